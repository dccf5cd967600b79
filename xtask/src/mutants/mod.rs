//! Seeded defects: whether the tests notice each of them, one at a time, in a scratch copy of the sources.
//!
//! The list is data: a file, the text to replace, what stands there instead, and what the mistake is. A text that is not
//! found exactly once is an error, so that the list cannot fall behind the code. A mutant is killed when a test fails or
//! does not end in time; the first test that notices is reported.
mod list;

use crate::Findings;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
const CRATES: &[&str] = &["aegis-core", "aegis-certificate", "aegis-analysis", "aegis-trace", "aegis-sched"];

/// A target of tests: package, the arguments that select it, and its environment.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Target {
    package: &'static str,
    select: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const fn target(package: &'static str, select: &'static [&'static str]) -> Target {
    Target { package, select, environment: &[] }
}

const SMALL_SETS: Target = target("aegis-analysis", &["--test", "small_sets"]);
const SOUNDNESS: Target = Target {
    package: "aegis-sched",
    select: &["--test", "soundness"],
    environment: &[("AEGIS_JOBS", "200000")],
};

/// What is run for a mutant of a crate until something fails: the cheapest and sharpest first. No target is larger than in
/// `cargo test`.
fn targets(file: &str) -> Vec<Target> {
    let analysis = || {
        [
            SMALL_SETS,
            target("aegis-analysis", &["--test", "traps"]),
            target("aegis-analysis", &["--lib"]),
            target("aegis-analysis", &["--test", "quick"]),
            target("aegis-analysis", &["--test", "exhaustive"]),
            target("aegis-analysis", &["--test", "admission"]),
            target("aegis-analysis", &["--test", "incremental"]),
            target("aegis-analysis", &["--test", "published"]),
            target("aegis-analysis", &["--test", "peers"]),
        ]
    };
    if file.starts_with("aegis-sched/") {
        vec![target("aegis-sched", &["--lib"]), SOUNDNESS]
    } else if file.starts_with("aegis-core/") {
        analysis().into_iter().chain([target("aegis-core", &["--lib"])]).collect()
    } else {
        analysis().into()
    }
}

/// A run of one target may not take longer; the slowest takes a tenth of it where nothing else runs.
const LONGEST: Duration = Duration::from_mins(3);

/// `[--sample N]`: N mutants, others on each commit. `[--only TEXT]`: those whose file or description contains it.
pub fn run(root: &Path, arguments: &[&str]) -> Findings {
    let chosen: Vec<&Mutant> = match arguments {
        [] => list::MUTANTS.iter().collect(),
        ["--only", text] => list::MUTANTS
            .iter()
            .filter(|mutant| mutant.file.contains(text) || mutant.what.contains(text))
            .collect(),
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
    try_all(root, &sample(2, commits(root)))
}

/// `n` mutants that follow each other in the list, from a place that moves with each commit.
fn sample(n: usize, commits: usize) -> Vec<&'static Mutant> {
    let all = list::MUTANTS.len();
    list::MUTANTS.iter().cycle().skip(commits * n % all).take(n.min(all)).collect()
}

fn commits(root: &Path) -> usize {
    let output = Command::new("git").args(["rev-list", "--count", "HEAD"]).current_dir(root).output();
    output.ok().and_then(|output| String::from_utf8_lossy(&output.stdout).trim().parse().ok()).unwrap_or(0)
}

fn try_all(root: &Path, mutants: &[&Mutant]) -> Findings {
    let mut findings: Findings =
        list::MUTANTS.iter().filter_map(|mutant| mutated(root, mutant).err()).collect();
    if !findings.is_empty() {
        return findings;
    }
    let scratch = match copy(root) {
        Ok(scratch) => scratch,
        Err(why) => return vec![format!("mutants: the scratch copy: {why}")],
    };
    let begun = Instant::now();
    let mut killed = 0;
    let mut trusted: Vec<Target> = Vec::new();
    for mutant in mutants {
        let Mutant { file, what, .. } = mutant;
        let start = Instant::now();
        let path = scratch.join(file);
        let noticed = mutated(root, mutant).and_then(|text| {
            fs::write(&path, text).map_err(|why| format!("{}: {why}", path.display()))?;
            Ok(targets(file).into_iter().find_map(|target| Some((target, notices(&scratch, target)?))))
        });
        if let Err(why) = fs::copy(root.join(file), &path) {
            findings.push(format!("{}: {why}", path.display()));
            break;
        }
        let took = start.elapsed().as_secs_f64();
        match noticed {
            Ok(Some((_, how @ Noticed::DoesNotCompile(_)))) => {
                findings.push(format!("{file}: {what}: {how}"));
            }
            Ok(Some((target, how))) => {
                // What fails without a defect says nothing about one.
                if !trusted.contains(&target) {
                    if let Some(how) = notices(&scratch, target) {
                        findings.push(format!("fails without a defect: {how}"));
                        break;
                    }
                    trusted.push(target);
                }
                killed += 1;
                println!("killed {took:6.1} s  {file}: {what}: {how}");
            }
            Ok(None) => {
                println!("SURVIVED {took:4.1} s  {file}: {what}");
                findings.push(format!("{file}: no test notices: {what}"));
            }
            Err(why) => findings.push(why),
        }
    }
    println!("{killed} of {} killed in {:.0} s", mutants.len(), begun.elapsed().as_secs_f64());
    findings
}

/// The file with the defect in it.
fn mutated(root: &Path, mutant: &Mutant) -> Result<String, String> {
    let Mutant { file, what, from, to } = mutant;
    let text = fs::read_to_string(root.join(file)).map_err(|why| format!("{file}: {why}"))?;
    match text.matches(from).count() {
        1 => Ok(text.replacen(from, to, 1)),
        n => {
            Err(format!("{file}: the text of the mutant \"{what}\" stands there {n} times, not once: {from}"))
        }
    }
}

/// A copy of the crates with a workspace around them that holds nothing else, and without benches.
fn copy(root: &Path) -> std::io::Result<PathBuf> {
    let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let scratch = base.join("mutants");
    for name in CRATES {
        let _ = fs::remove_dir_all(scratch.join(name));
        copy_folder(&root.join(name), &scratch.join(name))?;
        let manifest = scratch.join(name).join("Cargo.toml");
        let text = fs::read_to_string(&manifest)?;
        let text = text.split("[[bench]]").next().unwrap_or_default();
        fs::write(manifest, without_lines(text, "criterion"))?;
    }
    let text = fs::read_to_string(root.join("Cargo.toml"))?;
    let rest = text.find("[workspace.package]").map_or("", |at| &text[at..]);
    // Dependencies are built once and run little.
    let rest = rest.split("[profile.dev.package").next().unwrap_or_default();
    let members = CRATES.join("\", \"");
    fs::write(
        scratch.join("Cargo.toml"),
        format!("[workspace]\nresolver = \"3\"\nmembers = [\"{members}\"]\n\n{rest}"),
    )?;
    fs::copy(root.join("Cargo.lock"), scratch.join("Cargo.lock"))?;
    Ok(scratch)
}

fn without_lines(text: &str, with: &str) -> String {
    text.lines().filter(|line| !line.starts_with(with)).flat_map(|line| [line, "\n"]).collect()
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (here, there) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&here, &there)?;
        } else {
            fs::copy(here, there)?;
        }
    }
    Ok(())
}

/// How a defect came to light.
#[derive(Debug)]
enum Noticed {
    By(String),
    DoesNotEnd(String),
    DoesNotCompile(String),
}

impl std::fmt::Display for Noticed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::By(test) => f.write_str(test),
            Self::DoesNotEnd(target) => write!(f, "{target} does not end"),
            Self::DoesNotCompile(why) => write!(f, "does not compile: {why}"),
        }
    }
}

/// Builds and runs a target; `None` if all its tests pass.
fn notices(scratch: &Path, target: Target) -> Option<Noticed> {
    let name = format!("{} {}", target.package, target.select.join(" "));
    let start = |executable| {
        Command::new(executable)
            .envs(target.environment.iter().copied())
            .env("RUST_BACKTRACE", "0")
            .current_dir(scratch.join(target.package))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|why| format!("{name}: {why}"))
    };
    let mut child = match build(scratch, target).and_then(start) {
        Ok(child) => child,
        Err(why) => return Some(Noticed::DoesNotCompile(why)),
    };
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        stdout.and_then(|pipe| std::io::read_to_string(pipe).ok()).unwrap_or_default()
    });
    let passed = within(&mut child, LONGEST);
    let output = reader.join().unwrap_or_default();
    match passed {
        Some(true) => None,
        Some(false) => Some(Noticed::By(format!("{name}: {}", failed_tests(&output)))),
        None => Some(Noticed::DoesNotEnd(name)),
    }
}

/// Whether the program succeeds; `None` if it had to be ended.
fn within(child: &mut Child, limit: Duration) -> Option<bool> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if begun.elapsed() < limit => std::thread::sleep(Duration::from_millis(20)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// The executable of a target, or the compiler's first error.
fn build(scratch: &Path, target: Target) -> Result<PathBuf, String> {
    let output = Command::new("cargo")
        .args(["test", "--no-run", "-p", target.package])
        .args(target.select)
        .env("CARGO_TARGET_DIR", scratch.join("target"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_TERM_COLOR", "never")
        .current_dir(scratch)
        .output()
        .map_err(|why| format!("cargo: {why}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let error = text.lines().find(|line| line.starts_with("error"));
        return Err(error.unwrap_or("cargo gives no reason").to_string());
    }
    let line = text.lines().rfind(|line| line.trim_start().starts_with("Executable"));
    let path =
        line.and_then(|line| line.rsplit_once('(')).map(|(_, path)| scratch.join(path.trim_end_matches(')')));
    path.ok_or_else(|| "cargo names no executable".to_string())
}

/// The names of the tests that failed, in the order of the output.
fn failed_tests(output: &str) -> String {
    let names = output.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{CRATES, failed_tests, list::MUTANTS, mutated, sample, within};
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn every_mutant_is_found_once_and_changes_something() {
        let root = crate::root();
        let wrong: Vec<String> = MUTANTS.iter().filter_map(|mutant| mutated(&root, mutant).err()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
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
        for commit in 0..MUTANTS.len() {
            for mutant in sample(2, commit) {
                tried[MUTANTS.iter().position(|other| std::ptr::eq(other, mutant)).unwrap()] = true;
            }
        }
        assert!(tried.iter().all(|tried| *tried));
        assert_eq!(sample(1000, 7).len(), MUTANTS.len());
    }

    #[test]
    fn what_failed() {
        let output =
            "running 3 tests\ntest a ... ok\ntest b::c ... FAILED\ntest d ... FAILED\nfailures:\n    b::c\n";
        assert_eq!(failed_tests(output), "b::c, d");
    }

    #[test]
    fn programs_that_do_not_end_are_ended() {
        let ended =
            |seconds: &str, limit| within(&mut Command::new("sleep").arg(seconds).spawn().unwrap(), limit);
        assert_eq!(ended("60", Duration::from_millis(50)), None);
        assert_eq!(ended("0", Duration::from_mins(1)), Some(true));
        let mut fails = Command::new("false").spawn().unwrap();
        assert_eq!(within(&mut fails, Duration::from_mins(1)), Some(false));
    }
}
