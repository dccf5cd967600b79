//! What a Jetson says of itself in its files: module, release, power mode, the GPU's clocks and load, shared memory.
//!
//! The driver knows none of this, and no privilege is needed to read it. Sources, all of them public: the device tree;
//! `/etc/nv_tegra_release`, which the board support package installs; `/var/lib/nvpmodel/status` and
//! `/etc/nvpmodel.conf`, which `nvpmodel` writes and reads; devfreq, where the kernel shows the clocks of the GPU.
use aegis_core::Bytes;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Names of the GPU in the device tree: Xavier, TX2, Orin under JetPack 5, and Orin since JetPack 6.
const TREE_NAMES: [&str; 4] = ["gv11b", "gp10b", "ga10b", "gpu"];

/// The GPU's clock on Thor, where the device under devfreq is not one of the device tree.
const THOR_CLOCK: &str = "gpu-gpc-0";

/// Longer files are cut: the longest that is read here, `nvpmodel.conf`, has some ten kilobytes.
const LONGEST: u64 = 1 << 20;

/// A Jetson, as far as its files tell. What they do not tell is `None`, and `--` where it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Jetson {
    /// The module or developer kit, as its device tree calls it.
    pub module: Option<String>,
    /// The release of Jetson Linux.
    pub release: Option<Release>,
    /// The power mode that `nvpmodel` has set.
    pub power_mode: Option<PowerMode>,
    /// The GPU under devfreq.
    pub gpu: Option<Gpu>,
    /// The memory that CPU and GPU share, without what the firmware keeps for itself.
    pub memory: Option<Bytes>,
}

/// A release of Jetson Linux, formerly L4T: `R36.4.3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// Before the first dot.
    pub major: u32,
    /// Between the dots.
    pub revision: u32,
    /// After the second dot; 0 where the file has none.
    pub patch: u32,
}

/// A power mode: which cores and which clocks are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerMode {
    /// Its number, which means another mode on another module.
    pub id: u32,
    /// Its name in `nvpmodel.conf`.
    pub name: Option<String>,
}

/// The GPU's clocks and load.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gpu {
    /// Its name under devfreq, for example `17000000.gpu`.
    pub name: String,
    /// The lowest clock that it may have now.
    pub hz_min: Option<u64>,
    /// Its clock now.
    pub hz: Option<u64>,
    /// The highest clock that it may have now.
    pub hz_max: Option<u64>,
    /// Its load in the kernel's last interval, in thousandths.
    pub load_permille: Option<u32>,
}

impl Jetson {
    /// Reads the files below `root`, which is `/` but for tests. `None` where they do not show a Jetson.
    ///
    /// # Example
    /// ```
    /// match aegis_cuda::Jetson::read("/".as_ref()) {
    ///     Some(jetson) => println!("{jetson}"),
    ///     None => println!("this is not a Jetson"),
    /// }
    /// ```
    #[must_use]
    pub fn read(root: &Path) -> Option<Self> {
        let module = text(root, "proc/device-tree/model");
        let compatible = text(root, "proc/device-tree/compatible").unwrap_or_default();
        let release = text(root, "etc/nv_tegra_release");
        let is_tegra = compatible.split('\0').any(|name| name.starts_with("nvidia,tegra"));
        if !is_tegra && release.is_none() && !module.as_deref().is_some_and(|name| name.contains("Jetson")) {
            return None;
        }
        let mode = text(root, "var/lib/nvpmodel/status").as_deref().and_then(mode_id);
        let modes = text(root, "etc/nvpmodel.conf").unwrap_or_default();
        Some(Self {
            module,
            release: release.as_deref().and_then(Release::parse),
            power_mode: mode.map(|id| PowerMode { id, name: mode_name(&modes, id) }),
            gpu: Gpu::read(root),
            memory: text(root, "proc/meminfo").as_deref().and_then(memory_total),
        })
    }

    /// What execution times depend on and a user can change while a system runs: the power mode and the clocks that the
    /// GPU may have. `None` if neither is known.
    ///
    /// The kernel counts a thermal limit among the clocks that are allowed, so a device that becomes too hot is one
    /// whose conditions have changed, which it is.
    #[must_use]
    pub fn power(&self) -> Option<String> {
        let mode = self.power_mode.as_ref().map(|mode| format!("power mode {mode}"));
        let clocks = self.gpu.as_ref().and_then(Gpu::clocks).map(|clocks| format!("GPU {clocks}"));
        let known: Vec<String> = mode.into_iter().chain(clocks).collect();
        (!known.is_empty()).then(|| known.join(", "))
    }
}

/// This machine's power mode and the clocks that its GPU may have; `None` unless it is a Jetson that tells them.
#[must_use]
pub fn power_mode() -> Option<String> {
    Jetson::read(Path::new("/"))?.power()
}

impl Release {
    /// From the first line of `/etc/nv_tegra_release`: `# R36 (release), REVISION: 4.3, GCID: …`.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?;
        let major = line.split_whitespace().find_map(|word| word.strip_prefix('R')?.parse().ok())?;
        let revision = line.split(',').find_map(|part| part.trim().strip_prefix("REVISION:"))?;
        let mut numbers = revision.trim().split('.').map(|number| number.parse().ok());
        let (revision, patch) = (numbers.next()??, numbers.next().unwrap_or(Some(0))?);
        Some(Self { major, revision, patch })
    }

    /// The JetPack that this release belongs to, where that is known.
    #[must_use]
    pub fn jetpack(self) -> Option<u32> {
        match self.major {
            32 => Some(4),
            34 | 35 => Some(5),
            36 => Some(6),
            38 | 39 => Some(7),
            _ => None,
        }
    }
}

impl Gpu {
    fn read(root: &Path) -> Option<Self> {
        let devices = std::fs::read_dir(root.join("sys/class/devfreq")).ok()?;
        let mut found: Vec<PathBuf> = devices.filter_map(|entry| Some(entry.ok()?.path())).collect();
        found.sort_unstable();
        let device = found.iter().find(|device| is_gpu(device))?;
        let number = |file| text(device, file)?.trim().parse::<u64>().ok();
        Some(Self {
            name: device.file_name()?.to_string_lossy().into_owned(),
            hz_min: number("min_freq"),
            hz: number("cur_freq"),
            hz_max: number("max_freq"),
            load_permille: number("device/load").and_then(|load| u32::try_from(load).ok()),
        })
    }

    /// Whether the clock cannot move, as `jetson_clocks` makes it.
    #[must_use]
    pub fn locked(&self) -> Option<bool> {
        Some(self.hz_min? == self.hz_max?)
    }

    /// The clocks that it may have.
    fn clocks(&self) -> Option<String> {
        let (min, max) = (self.hz_min?, self.hz_max?);
        let locked = self.locked()?;
        Some(if locked {
            format!("locked at {}", Megahertz(max))
        } else {
            format!("{} to {}", Megahertz(min), Megahertz(max))
        })
    }
}

/// Whether a folder under devfreq is the GPU.
fn is_gpu(device: &Path) -> bool {
    let name = text(device, "device/of_node/name").unwrap_or_default();
    TREE_NAMES.contains(&name.as_str()) || device.file_name().is_some_and(|name| name == THOR_CLOCK)
}

/// The mode's number, from `pmode:0002`, which other words may follow.
fn mode_id(status: &str) -> Option<u32> {
    status.split_whitespace().find_map(|word| word.strip_prefix("pmode:"))?.parse().ok()
}

/// The mode's name, from the line `< POWER_MODEL ID=2 NAME=15W >`.
fn mode_name(modes: &str, id: u32) -> Option<String> {
    modes.lines().find_map(|line| {
        let mut words = line.trim().strip_prefix('<')?.trim_end_matches('>').split_whitespace();
        (words.next()? == "POWER_MODEL").then_some(())?;
        (words.next()?.strip_prefix("ID=")?.parse() == Ok(id)).then_some(())?;
        words.find_map(|word| word.strip_prefix("NAME=")).map(str::to_owned)
    })
}

/// The memory, from `MemTotal:       64349120 kB`, which counts in units of 1024 bytes.
fn memory_total(meminfo: &str) -> Option<Bytes> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024).map(Bytes)
}

/// What a file holds, without the zeros and line ends behind it; `None` if it cannot be read or is empty.
fn text(folder: &Path, file: &str) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(folder.join(file)).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end_matches(['\0', '\n', '\r', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// A frequency in hertz, shown in megahertz.
struct Megahertz(u64);

impl fmt::Display for Megahertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MHz", self.0 as f64 / 1e6)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{}.{}.{}", self.major, self.revision, self.patch)
    }
}

impl fmt::Display for PowerMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id, self.name.as_deref().unwrap_or("--"))
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = self.load_permille.map(|load| format!("{}.{} %", load / 10, load % 10));
        write!(
            f,
            "{}: clock {} ({}), load {}",
            self.name,
            shown(self.hz.map(Megahertz)),
            shown(self.clocks()),
            shown(load)
        )
    }
}

impl fmt::Display for Jetson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jetpack = self.release.and_then(Release::jetpack);
        write!(
            f,
            "{}; Jetson Linux {} (JetPack {}); power mode {}; GPU {}; {} shared by CPU and GPU",
            shown(self.module.as_ref()),
            shown(self.release),
            shown(jetpack),
            shown(self.power_mode.as_ref()),
            shown(self.gpu.as_ref()),
            shown(self.memory)
        )
    }
}

/// A fact, or `--` for one that is not known.
fn shown(fact: Option<impl fmt::Display>) -> String {
    fact.map_or_else(|| "--".to_owned(), |fact| fact.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Gpu, Jetson, Release, memory_total, mode_id, mode_name};
    use aegis_core::Bytes;
    use tempfile::TempDir;

    const ORIN: &[(&str, &str)] = &[
        ("proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0"),
        ("proc/device-tree/compatible", "nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0nvidia,tegra234\0"),
        ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n"),
        ("var/lib/nvpmodel/status", "pmode:0002\n"),
        (
            "etc/nvpmodel.conf",
            "# < POWER_MODEL ID=2 NAME=OLD >\n< POWER_MODEL ID=0 NAME=MAXN >\nGPU MAX_FREQ -1\n\
             < POWER_MODEL ID=2 NAME=MODE_30W >\nGPU MAX_FREQ 624750000\n< PM_CONFIG DEFAULT=2 >\n",
        ),
        ("sys/class/devfreq/15340000.vic/device/of_node/name", "vic\0"),
        ("sys/class/devfreq/15340000.vic/max_freq", "1\n"),
        ("sys/class/devfreq/17000000.gpu/device/of_node/name", "gpu\0"),
        ("sys/class/devfreq/17000000.gpu/device/load", "423\n"),
        ("sys/class/devfreq/17000000.gpu/min_freq", "306000000\n"),
        ("sys/class/devfreq/17000000.gpu/cur_freq", "612000000\n"),
        ("sys/class/devfreq/17000000.gpu/max_freq", "624750000\n"),
        ("proc/meminfo", "MemTotal:       64349120 kB\nMemFree:  1 kB\n"),
    ];

    /// A machine whose files are these, the later of two of the same name.
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
    fn an_orin_is_read_whole() {
        let orin = Jetson::read(machine(&[ORIN]).path()).unwrap();
        assert_eq!(
            orin.to_string(),
            "NVIDIA Jetson AGX Orin Developer Kit; Jetson Linux R36.4.3 (JetPack 6); power mode 2 (MODE_30W); \
             GPU 17000000.gpu: clock 612 MHz (306 MHz to 624.75 MHz), load 42.3 %; 61.37 GiB shared by CPU and GPU"
        );
        assert_eq!(orin.power().unwrap(), "power mode 2 (MODE_30W), GPU 306 MHz to 624.75 MHz");
        assert_eq!(orin.memory, Some(Bytes(64_349_120 * 1024)));
    }

    #[test]
    fn what_changes_the_power() {
        let before = Jetson::read(machine(&[ORIN]).path()).unwrap().power();
        let cases: [(&str, &str, bool); 6] = [
            ("var/lib/nvpmodel/status", "pmode:0000\n", true),
            ("sys/class/devfreq/17000000.gpu/min_freq", "624750000\n", true),
            ("sys/class/devfreq/17000000.gpu/max_freq", "500000000\n", true),
            ("sys/class/devfreq/17000000.gpu/cur_freq", "306000000\n", false),
            ("sys/class/devfreq/17000000.gpu/device/load", "7\n", false),
            ("proc/meminfo", "MemTotal: 1 kB\n", false),
        ];
        for (file, text, changes) in cases {
            let after = Jetson::read(machine(&[ORIN, &[(file, text)]]).path()).unwrap().power();
            assert_eq!(after != before, changes, "{file}: {before:?}, {after:?}");
        }
        let locked = Jetson::read(
            machine(&[ORIN, &[("sys/class/devfreq/17000000.gpu/min_freq", "624750000\n")]]).path(),
        );
        assert_eq!(locked.unwrap().power().unwrap(), "power mode 2 (MODE_30W), GPU locked at 624.75 MHz");
    }

    #[test]
    fn what_is_not_told_is_not_made_up() {
        let bare = Jetson::read(machine(&[&[("etc/nv_tegra_release", "?\n")]]).path()).unwrap();
        assert_eq!(
            bare.to_string(),
            "--; Jetson Linux -- (JetPack --); power mode --; GPU --; -- shared by CPU and GPU"
        );
        assert_eq!(bare.power(), None);
        let unnamed = Jetson::read(machine(&[ORIN, &[("etc/nvpmodel.conf", "")]]).path()).unwrap();
        assert_eq!(unnamed.power_mode.unwrap().to_string(), "2 (--)");
        let gpu =
            Gpu { name: "gpu".to_owned(), hz_min: None, hz: None, hz_max: Some(1), load_permille: None };
        assert_eq!((gpu.locked(), gpu.to_string().as_str()), (None, "gpu: clock -- (--), load --"));
    }

    #[test]
    fn which_machines_are_jetsons() {
        for (file, text, expected) in [
            ("proc/device-tree/model", "NVIDIA Jetson Xavier NX\0", true),
            ("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0", false),
            ("proc/device-tree/compatible", "vendor,board\0nvidia,tegra264\0", true),
            ("proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0", false),
            ("etc/nv_tegra_release", "# R35 (release), REVISION: 4.1, GCID: 1\n", true),
            ("sys/class/devfreq/a/device/of_node/name", "gpu\0", false),
        ] {
            assert_eq!(
                Jetson::read(machine(&[&[(file, text)]]).path()).is_some(),
                expected,
                "{file}: {text}"
            );
        }
    }

    #[test]
    fn which_device_is_the_gpu() {
        for (file, text, expected) in [
            ("sys/class/devfreq/17000000.gv11b/device/of_node/name", "gv11b\0", Some("17000000.gv11b")),
            ("sys/class/devfreq/17000000.gp10b/device/of_node/name", "gp10b\0", Some("17000000.gp10b")),
            ("sys/class/devfreq/17000000.ga10b/device/of_node/name", "ga10b\0", Some("17000000.ga10b")),
            ("sys/class/devfreq/gpu-gpc-0/cur_freq", "1575000000\n", Some("gpu-gpc-0")),
            ("sys/class/devfreq/gpu-nvd-0/cur_freq", "1\n", None),
            ("sys/class/devfreq/bwmgr/cur_freq", "1\n", None),
        ] {
            let root = machine(&[&[(file, text)]]);
            assert_eq!(Gpu::read(root.path()).map(|gpu| gpu.name).as_deref(), expected, "{file}");
        }
    }

    #[test]
    fn releases() {
        for (line, expected) in [
            ("# R36 (release), REVISION: 4.3, GCID: 1", Some(("R36.4.3", Some(6)))),
            ("# R35 (release), REVISION: 6.0, GCID: 1\n# KERNEL_VARIANT: oot", Some(("R35.6.0", Some(5)))),
            ("# R38 (release), REVISION: 2.2, BOARD: generic", Some(("R38.2.2", Some(7)))),
            ("# R39 (release), REVISION: 2.1,", Some(("R39.2.1", Some(7)))),
            ("# R99 (release), REVISION: 1", Some(("R99.1.0", None))),
            ("# R36 (release), REVISION: x", None),
            ("# R36 (release)", None),
            ("# (release), REVISION: 4.3", None),
            ("", None),
        ] {
            let found = Release::parse(line).map(|release| (release.to_string(), release.jetpack()));
            assert_eq!(found, expected.map(|(shown, jetpack)| (shown.to_owned(), jetpack)), "{line}");
        }
    }

    #[test]
    fn modes() {
        for (status, expected) in [
            ("pmode:0000", Some(0)),
            ("pmode:0012", Some(12)),
            ("fmode:cool pmode:0003", Some(3)),
            ("pmode:0008 fmode:quiet\n", Some(8)),
            ("pmode:", None),
            ("pmode:-1", None),
            ("0002", None),
        ] {
            assert_eq!(mode_id(status), expected, "{status}");
        }
        let conf = "  < POWER_MODEL ID=1 NAME=A>\n<POWER_MODEL ID=10 NAME=B >\n< OTHER ID=3 NAME=C >\n< POWER_MODEL ID=4 >";
        for (id, expected) in [(1, Some("A")), (10, Some("B")), (0, None), (3, None), (4, None)] {
            assert_eq!(mode_name(conf, id).as_deref(), expected, "{id}");
        }
    }

    #[test]
    fn totals_of_memory() {
        for (text, expected) in [
            ("MemTotal:        8 kB", Some(8192)),
            ("A: 1 kB\nMemTotal: 3 kB\n", Some(3072)),
            ("MemTotal: 8", None),
            ("MemTotal: 18446744073709551615 kB", None),
            ("", None),
        ] {
            assert_eq!(memory_total(text), expected.map(Bytes), "{text}");
        }
    }
}
