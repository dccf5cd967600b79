//! What execution times on this machine depend on: its processor, and the clocks that its power mode allows.
use aegis_cuda::Jetson;
use std::collections::BTreeSet;
use std::path::Path;

/// The machine whose files are below `root`, which is `/` but for tests: processor, cores, operating system, and as far as
/// it tells them its power mode and the clocks that processor and GPU may have. Where two answers differ, a profile taken
/// under the first says nothing under the second.
pub(crate) fn describe(root: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut facts = vec![
        format!("{} ({cores} cores)", processor(root).as_deref().unwrap_or("unknown processor")),
        format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    ];
    if let Some(jetson) = Jetson::read(root) {
        facts.extend(jetson.module.clone());
        facts.extend(jetson.release.map(|release| format!("Jetson Linux {release}")));
        facts.extend(jetson.power());
    }
    facts.extend(governors(root));
    facts.join(", ")
}

fn processor(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join("proc/cpuinfo")).ok()?;
    let line = text.lines().find(|l| l.starts_with("model name") || l.starts_with("Model"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// How the kernel chooses the clocks of the processor's cores and between which limits: one answer for each group of cores
/// that differs from the others, in the order of their text.
fn governors(root: &Path) -> BTreeSet<String> {
    let policies = std::fs::read_dir(root.join("sys/devices/system/cpu/cpufreq")).into_iter().flatten();
    policies.filter_map(|policy| governor(&policy.ok()?.path())).collect()
}

fn governor(policy: &Path) -> Option<String> {
    let text = |file| Some(std::fs::read_to_string(policy.join(file)).ok()?.trim().to_owned());
    let mhz = |file| Some(text(file)?.parse::<u64>().ok()? / 1000);
    let governor = text("scaling_governor")?;
    Some(match (mhz("scaling_min_freq"), mhz("scaling_max_freq")) {
        (Some(min), Some(max)) => format!("CPU governor {governor} from {min} to {max} MHz"),
        _ => format!("CPU governor {governor}"),
    })
}

#[cfg(test)]
mod tests {
    use super::describe;
    use tempfile::TempDir;

    const BOARD: &[(&str, &str)] = &[
        ("proc/cpuinfo", "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\n"),
        ("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0"),
        ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 1\n"),
        ("etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"),
        ("var/lib/nvpmodel/status", "pmode:0000\n"),
        ("sys/class/devfreq/17000000.gpu/device/of_node/name", "gpu\0"),
        ("sys/class/devfreq/17000000.gpu/device/load", "10\n"),
        ("sys/class/devfreq/17000000.gpu/min_freq", "306000000\n"),
        ("sys/class/devfreq/17000000.gpu/cur_freq", "306000000\n"),
        ("sys/class/devfreq/17000000.gpu/max_freq", "624750000\n"),
        ("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "schedutil\n"),
        ("sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq", "729600\n"),
        ("sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "729600\n"),
        ("sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq", "1510400\n"),
        ("sys/devices/system/cpu/cpufreq/policy4/scaling_governor", "schedutil\n"),
        ("sys/devices/system/cpu/cpufreq/policy4/scaling_min_freq", "729600\n"),
        ("sys/devices/system/cpu/cpufreq/policy4/scaling_max_freq", "1510400\n"),
    ];

    fn machine(files: &[&[(&str, &str)]]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files.iter().copied().flatten() {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_jetson_says_its_power_mode_and_clocks() {
        let text = describe(machine(&[BOARD]).path());
        assert!(text.starts_with("ARMv8 Processor rev 1 (v8l) ("), "{text}");
        assert!(
            text.ends_with(
                ", NVIDIA Jetson Orin Nano Developer Kit, Jetson Linux R36.4.3, power mode 0 (15W), \
                 GPU 306 MHz to 624.75 MHz, CPU governor schedutil from 729 to 1510 MHz"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_makes_it_another_machine() {
        let before = describe(machine(&[BOARD]).path());
        let policy = |file: &str| format!("sys/devices/system/cpu/cpufreq/policy4/{file}");
        for (file, text, changes) in [
            ("var/lib/nvpmodel/status".to_owned(), "pmode:0002\n", true),
            ("sys/class/devfreq/17000000.gpu/min_freq".to_owned(), "624750000\n", true),
            ("etc/nv_tegra_release".to_owned(), "# R36 (release), REVISION: 5.0, GCID: 1\n", true),
            (policy("scaling_governor"), "performance\n", true),
            (policy("scaling_min_freq"), "1510400\n", true),
            (policy("scaling_max_freq"), "1113600\n", true),
            (policy("scaling_cur_freq"), "1510400\n", false),
            ("sys/class/devfreq/17000000.gpu/cur_freq".to_owned(), "624750000\n", false),
            ("sys/class/devfreq/17000000.gpu/device/load".to_owned(), "990\n", false),
        ] {
            let after = describe(machine(&[BOARD, &[(&file, text)]]).path());
            assert_eq!(after != before, changes, "{file}: {after}");
        }
    }

    #[test]
    fn a_machine_that_tells_nothing_has_no_power() {
        let text = describe(machine(&[]).path());
        assert!(text.starts_with("unknown processor ("), "{text}");
        assert!(
            text.ends_with(&format!("cores), {} {}", std::env::consts::OS, std::env::consts::ARCH)),
            "{text}"
        );
    }
}
