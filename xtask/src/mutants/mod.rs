//! Seeded defects: whether the tests notice each of them, one at a time, in a scratch copy of the sources that is built once
//! with all of them in it.
//!
//! The list is data: a file, the text to replace, what stands there instead, and what the mistake is. A text that is not
//! found exactly once is an error, so that the list cannot fall behind the code. A mutant is killed when a test fails or
//! does not end in time; the first test that notices is reported, and nothing more is run for that mutant.
mod list;
mod seed;

use crate::Findings;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A defect and where it goes.
struct Mutant {
    file: &'static str,
    what: &'static str,
    /// Stands exactly once in the file.
    from: &'static str,
    to: &'static str,
}

/// The crates that the scratch copy holds: those with mutants and what they need.
const CRATES: &[&str] = &[
    "aegis-core",
    "aegis-certificate",
    "aegis-analysis",
    "aegis-trace",
    "aegis-trace-verify",
    "aegis-sched",
];

/// What CI tries of the list on each commit: with the one build a minute or two, of which a mutant takes seconds. All have
/// had their turn within a tenth as many commits as there are mutants.
const SAMPLE: usize = 4;

/// A target of tests: package, its name (`lib` for the unit tests), and its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    package: &'static str,
    name: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

/// The targets that hold all exact analyses against schedules, definitions and published numbers: the cheapest and
/// sharpest first.
const EXACT: &[&str] =
    &["traps", "small_sets", "lib", "quick", "exhaustive", "admission", "incremental", "published", "peers"];

/// What is run for a mutant of a file until something fails. No target is larger than in `cargo test`. Where a theorem has
/// tests of its own, only those count: that another one notices by chance is no evidence.
fn targets(file: &str) -> Vec<Target> {
    let in_package = |package, names: &[&'static str]| -> Vec<Target> {
        names.iter().map(|name| Target { package, name, environment: &[] }).collect()
    };
    let Some(module) = file.strip_prefix("aegis-analysis/src/") else {
        let simulated = || Target {
            environment: &[("AEGIS_JOBS", "200000")],
            ..in_package("aegis-sched", &["soundness"])[0]
        };
        return if file.starts_with("aegis-sched/") {
            in_package("aegis-sched", &["lib"]).into_iter().chain([simulated()]).collect()
        } else {
            let analyses = in_package("aegis-analysis", EXACT);
            analyses.into_iter().chain(in_package("aegis-core", &["lib"])).collect()
        };
    };
    let names: &[&str] = match module {
        "conflict.rs" => &["conflicts"],
        "fits.rs" => &["sensitivity", "conflicts"],
        "critical.rs" => return in_package("aegis-sched", &["critical"]),
        "criticality.rs" => &["criticality"],
        "incremental.rs" => &["incremental", "no_allocation"],
        "mode_change.rs" => &["mode_change"],
        "offsets.rs" => &["offsets", "offsets_anomaly"],
        "sensitivity.rs" | "tolerance.rs" => &["sensitivity"],
        "split.rs" => &["split"],
        "suspension.rs" => &["suspension"],
        _ if module.starts_with("quick/") => &["lib", "quick", "small_sets", "incremental", "no_allocation"],
        _ => EXACT,
    };
    in_package("aegis-analysis", names)
}

/// A target without a defect may not take longer.
const LONGEST: Duration = Duration::from_mins(15);

/// How long a target may take with a defect that takes so long without: what is slower than that does not end.
fn limit(without: Duration) -> Duration {
    (6 * without).clamp(Duration::from_mins(1), LONGEST)
}

/// `[--sample N]`: N mutants, others on each commit. `[--only TEXT]`: those whose file or description contains it.
pub fn run(root: &Path, arguments: &[&str]) -> Findings {
    let chosen: Vec<usize> = match arguments {
        [] => (0..list::MUTANTS.len()).collect(),
        ["--only", text] => {
            let names = |mutant: &Mutant| mutant.file.contains(text) || mutant.what.contains(text);
            (0..list::MUTANTS.len()).filter(|i| names(&list::MUTANTS[*i])).collect()
        }
        ["--sample", n] => match n.parse() {
            Ok(n) => sample(n, commits(root)),
            Err(_) => return vec![format!("`{n}` is not a number of mutants")],
        },
        _ => return vec!["cargo xtask mutants [--sample N] [--only TEXT]".to_string()],
    };
    try_all(root, &chosen)
}

/// As many mutants as CI has time for.
pub fn ci(root: &Path) -> Findings {
    try_all(root, &sample(SAMPLE, commits(root)))
}

/// `n` positions that follow each other in the list, from a place that moves with each commit.
fn sample(n: usize, commits: usize) -> Vec<usize> {
    let all = list::MUTANTS.len();
    (0..all).cycle().skip(commits * n % all).take(n.min(all)).collect()
}

fn commits(root: &Path) -> usize {
    let output = Command::new("git").args(["rev-list", "--count", "HEAD"]).current_dir(root).output();
    output.ok().and_then(|output| String::from_utf8_lossy(&output.stdout).trim().parse().ok()).unwrap_or(0)
}

fn try_all(root: &Path, chosen: &[usize]) -> Findings {
    let scratch = match seeded_files(root).and_then(|seeded| {
        copy(root, &seeded).map_err(|why| vec![format!("mutants: the scratch copy: {why}")])
    }) {
        Ok(scratch) => scratch,
        Err(findings) => return findings,
    };
    let mut findings = Findings::new();
    let begun = Instant::now();
    let mut killed = 0;
    let mut built: BTreeMap<Target, (PathBuf, Duration)> = BTreeMap::new();
    for &number in chosen {
        let Mutant { file, what, .. } = &list::MUTANTS[number];
        let mut took = Duration::ZERO;
        let mut noticed = None;
        for target in targets(file) {
            let (executable, longest) = match built.entry(target) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    // What fails without a defect says nothing about one.
                    let sound = build(&scratch, target).and_then(|path| {
                        let start = Instant::now();
                        match notices(&scratch, target, &path, LONGEST, None) {
                            None => Ok((path, limit(start.elapsed()))),
                            Some(how) => Err(format!("fails without a defect: {how}")),
                        }
                    });
                    match sound {
                        Ok(sound) => unknown.insert(sound),
                        Err(why) => {
                            findings.push(format!("mutants: {why}"));
                            return findings;
                        }
                    }
                }
            };
            let start = Instant::now();
            noticed = notices(&scratch, target, executable, *longest, Some(number));
            took += start.elapsed();
            if noticed.is_some() {
                break;
            }
        }
        let took = took.as_secs_f64();
        if let Some(how) = noticed {
            killed += 1;
            println!("killed {took:6.1} s  {file}: {what}: {how}");
        } else {
            println!("SURVIVED {took:4.1} s  {file}: {what}");
            findings.push(format!("{file}: no test notices: {what}"));
        }
    }
    println!("{killed} of {} killed in {:.0} s", chosen.len(), begun.elapsed().as_secs_f64());
    findings
}

/// The files that have defects, with all of them in it.
fn seeded_files(root: &Path) -> Result<BTreeMap<&'static str, String>, Findings> {
    let mut of_file: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
    for (number, mutant) in list::MUTANTS.iter().enumerate() {
        of_file.entry(mutant.file).or_default().push((number, mutant));
    }
    let mut findings = Findings::new();
    let mut files = BTreeMap::new();
    for (file, mutants) in of_file {
        let text = fs::read_to_string(root.join(file)).map_err(|why| format!("{file}: {why}"));
        match text.and_then(|text| seed::seeded(&text, &mutants)) {
            Ok(text) => _ = files.insert(file, text),
            Err(why) => findings.push(why),
        }
    }
    if findings.is_empty() { Ok(files) } else { Err(findings) }
}

/// A copy of the crates with defects in some files, with a workspace around them that holds nothing else, and without
/// benches. A file that is there already stays as it is, so that a build is not repeated for nothing.
fn copy(root: &Path, seeded: &BTreeMap<&str, String>) -> std::io::Result<PathBuf> {
    let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let scratch = base.join("mutants");
    for name in CRATES {
        copy_folder(root, &scratch, &Path::new(name).join("src"), seeded)?;
        if root.join(name).join("tests").exists() {
            copy_folder(root, &scratch, &Path::new(name).join("tests"), seeded)?;
        }
        let manifest = Path::new(name).join("Cargo.toml");
        let text = fs::read_to_string(root.join(&manifest))?;
        let text = text.split("[[bench]]").next().unwrap_or_default();
        put(&scratch.join(manifest), without_lines(text, "criterion").as_bytes())?;
    }
    let text = fs::read_to_string(root.join("Cargo.toml"))?;
    let rest = text.find("[workspace.package]").map_or("", |at| &text[at..]);
    // Dependencies are built once and run little.
    let rest = rest.split("[profile.dev.package").next().unwrap_or_default();
    let members = CRATES.join("\", \"");
    let workspace = format!("[workspace]\nresolver = \"3\"\nmembers = [\"{members}\"]\n\n{rest}");
    put(&scratch.join("Cargo.toml"), workspace.as_bytes())?;
    put(&scratch.join("Cargo.lock"), &fs::read(root.join("Cargo.lock"))?)?;
    Ok(scratch)
}

fn without_lines(text: &str, with: &str) -> String {
    text.lines().filter(|line| !line.starts_with(with)).flat_map(|line| [line, "\n"]).collect()
}

/// The files of `folder` below `root`, below `scratch`: with defects where `seeded` has them.
fn copy_folder(
    root: &Path,
    scratch: &Path,
    folder: &Path,
    seeded: &BTreeMap<&str, String>,
) -> std::io::Result<()> {
    fs::create_dir_all(scratch.join(folder))?;
    for entry in fs::read_dir(scratch.join(folder))? {
        let entry = entry?;
        // What is no longer there.
        if !root.join(folder).join(entry.file_name()).exists() {
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
    }
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(root, scratch, &path, seeded)?;
            continue;
        }
        let mut text = match path.to_str().and_then(|name| seeded.get(name)) {
            Some(text) => text.clone().into_bytes(),
            None => fs::read(root.join(&path))?,
        };
        if path.ends_with("src/lib.rs") {
            text.extend_from_slice(seed::CHOICE.as_bytes());
        }
        put(&scratch.join(path), &text)?;
    }
    Ok(())
}

/// Writes what is not there.
fn put(path: &Path, text: &[u8]) -> std::io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == text) { Ok(()) } else { fs::write(path, text) }
}

/// How a defect came to light.
#[derive(Debug)]
enum Noticed {
    By(String),
    DoesNotEnd(String),
}

impl std::fmt::Display for Noticed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::By(test) => f.write_str(test),
            Self::DoesNotEnd(target) => write!(f, "{target} does not end"),
        }
    }
}

/// Runs a target with a defect, or with none; `None` if all its tests pass.
fn notices(
    scratch: &Path,
    target: Target,
    executable: &Path,
    longest: Duration,
    defect: Option<usize>,
) -> Option<Noticed> {
    let name = format!("{} {}", target.package, target.name);
    let child = Command::new(executable)
        .envs(target.environment.iter().copied())
        .envs(defect.map(|number| (seed::VARIABLE, number.to_string())))
        .env("RUST_BACKTRACE", "0")
        .current_dir(scratch.join(target.package))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    match child.map(|child| watch(child, longest)) {
        Ok(End::Passed) => None,
        Ok(End::Failed(test)) => Some(Noticed::By(format!("{name}: {test}"))),
        Ok(End::TooLate) => Some(Noticed::DoesNotEnd(name)),
        Err(why) => Some(Noticed::By(format!("{name} does not start: {why}"))),
    }
}

/// How a program of tests ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Passed,
    /// The test that failed first, if the program said so.
    Failed(String),
    TooLate,
}

/// Waits for the program, and ends it where a test has failed or the time is up.
fn watch(mut child: Child, limit: Duration) -> End {
    let begun = Instant::now();
    let (failed, first) = mpsc::channel();
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let lines = stdout.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok);
        for line in lines {
            if let Some(test) = failed_test(&line) {
                // Nobody waits for what fails after the first.
                let _ = failed.send(test.to_owned());
            }
        }
    });
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if begun.elapsed() < limit => {}
            _ => break None,
        }
        if let Ok(test) = first.recv_timeout(Duration::from_millis(20)) {
            end(&mut child);
            return End::Failed(test);
        }
        if reader.is_finished() {
            // The channel is closed and does not wait.
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let Some(status) = status else {
        end(&mut child);
        return End::TooLate;
    };
    let _ = reader.join();
    if status.success() { End::Passed } else { End::Failed(first.recv().unwrap_or_default()) }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// The executable of a target, or the compiler's first error.
fn build(scratch: &Path, target: Target) -> Result<PathBuf, String> {
    let select: &[&str] = if target.name == "lib" { &["--lib"] } else { &["--test", target.name] };
    let output = Command::new("cargo")
        .args(["test", "--no-run", "-p", target.package])
        .args(select)
        .env("CARGO_TARGET_DIR", scratch.join("target"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_TERM_COLOR", "never")
        .current_dir(scratch)
        .output()
        .map_err(|why| format!("cargo: {why}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        // With all defects in it; the compiler's first error shows which does not compile.
        let error = text.lines().skip_while(|line| !line.starts_with("error")).take(12);
        return Err(format!(
            "{} {} does not compile:\n{}",
            target.package,
            target.name,
            error.collect::<Vec<_>>().join("\n")
        ));
    }
    let line = text.lines().rfind(|line| line.trim_start().starts_with("Executable"));
    let path =
        line.and_then(|line| line.rsplit_once('(')).map(|(_, path)| scratch.join(path.trim_end_matches(')')));
    path.ok_or_else(|| "cargo names no executable".to_string())
}

/// The test of which a line of the output says that it failed.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use super::{CRATES, End, SAMPLE, failed_test, list::MUTANTS, sample, seeded_files, targets, watch};
    use std::process::{Command, Stdio};
    use std::time::Duration;

    #[test]
    fn every_mutant_has_a_place_and_changes_something() {
        let wrong = seeded_files(&crate::root()).err();
        assert_eq!(wrong, None);
        for mutant in MUTANTS {
            assert!(CRATES.iter().any(|name| mutant.file.starts_with(name)), "{}", mutant.file);
            assert_ne!(mutant.from, mutant.to, "{}", mutant.what);
        }
        assert!(MUTANTS.len() >= 40);
    }

    /// In as many commits as it takes, every mutant has its turn.
    #[test]
    fn samples_go_round() {
        let mut tried = vec![false; MUTANTS.len()];
        for commit in 0..MUTANTS.len().div_ceil(SAMPLE) {
            for number in sample(SAMPLE, commit) {
                tried[number] = true;
            }
        }
        assert!(tried.iter().all(|tried| *tried));
        assert_eq!(sample(1000, 7).len(), MUTANTS.len());
    }

    /// The copy is a workspace of its own: what its crates use of ours is in it.
    #[test]
    fn the_copy_is_complete() {
        for name in CRATES {
            let manifest = crate::root().join(name).join("Cargo.toml");
            let text = std::fs::read_to_string(manifest).unwrap();
            let ours = text.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
            for used in ours.filter(|line| line.starts_with("aegis-")) {
                assert!(CRATES.contains(&used), "{name} uses {used}");
            }
        }
    }

    /// Each has tests that could notice it, and those are there.
    #[test]
    fn every_mutant_has_targets() {
        for mutant in MUTANTS {
            let targets = targets(mutant.file);
            assert!(!targets.is_empty(), "{}", mutant.file);
            for target in targets.into_iter().filter(|target| target.name != "lib") {
                let tests = crate::root().join(target.package).join("tests");
                let (file, folder) = (tests.join(format!("{}.rs", target.name)), tests.join(target.name));
                assert!(file.exists() || folder.join("main.rs").exists(), "{target:?}");
            }
        }
    }

    #[test]
    fn what_failed() {
        assert_eq!(failed_test("test b::c ... FAILED"), Some("b::c"));
        assert_eq!(failed_test("test a ... ok"), None);
        assert_eq!(failed_test("failures:"), None);
    }

    /// The first test that fails ends the program; one that says nothing and does not end is ended.
    #[test]
    fn programs_are_watched() {
        let runs = |script: &str, limit| {
            let mut sh = Command::new("sh");
            watch(sh.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap(), limit)
        };
        let minute = Duration::from_mins(1);
        assert_eq!(runs("exec sleep 60", Duration::from_millis(50)), End::TooLate);
        assert_eq!(runs("exec >&-; exec sleep 60", Duration::from_millis(50)), End::TooLate);
        assert_eq!(runs("echo test a ... ok", minute), End::Passed);
        assert_eq!(runs("echo test a ... FAILED; exec sleep 600", minute), End::Failed("a".into()));
        assert_eq!(
            runs("echo test a ... FAILED; echo test b ... FAILED; exit 1", minute),
            End::Failed("a".into())
        );
        assert_eq!(runs("exit 101", minute), End::Failed(String::new()));
    }
}
