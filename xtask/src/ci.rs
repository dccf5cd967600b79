//! What CI runs, in order. Prints each command and how long it took, stops at the first failure, ends with a table.
use crate::{Findings, campaign, layers, mutants, readme, soak, tidy};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// A step of CI.
struct Step {
    name: &'static str,
    what: What,
}

enum What {
    /// A program with its arguments; `NAME=value` words before it are its environment.
    Run(&'static str),
    /// As `Run`, if the second command succeeds; skipped, with a notice, if it does not.
    RunIf(&'static str, &'static str),
    /// The first command if the third succeeds, else the second.
    RunEither(&'static str, &'static str, &'static str),
    /// A task of this crate.
    Task(fn(&Path) -> Findings),
}
use What::{Run, RunEither, RunIf, Task};

const STEPS: &[Step] = &[
    Step { name: "format", what: Run("cargo fmt --all --check") },
    Step { name: "layers", what: Task(layers::check) },
    Step { name: "tidy", what: Task(tidy::check) },
    Step {
        name: "licences, sources",
        what: RunIf("cargo deny check bans licenses sources", "cargo deny --version"),
    },
    Step { name: "advisories", what: RunIf("cargo deny check advisories", "cargo deny fetch db") },
    Step { name: "clippy", what: Run("cargo clippy --workspace --all-targets -- -D warnings") },
    Step {
        name: "clippy, all features",
        what: Run("cargo clippy --workspace --all-targets --all-features -- -D warnings"),
    },
    Step {
        name: "clippy, no features",
        what: Run("cargo clippy -p aegisrt --all-targets --no-default-features -- -D warnings"),
    },
    Step {
        name: "core without std",
        what: Run("cargo clippy -p aegis-core --no-default-features -- -D warnings"),
    },
    Step {
        name: "tests",
        what: RunEither(
            "cargo nextest run --workspace --no-fail-fast",
            "cargo test --workspace --tests --no-fail-fast",
            "cargo nextest --version",
        ),
    },
    Step { name: "examples in the documentation", what: Run("cargo test --doc --workspace") },
    Step { name: "documentation", what: Run("RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --workspace") },
    Step { name: "release build", what: Run("cargo build --release") },
    Step { name: "README", what: Task(readme::check) },
    Step { name: "demo", what: Run("target/release/aegis demo --folder target/demo/rten --duration 5s") },
    Step {
        name: "demo on ONNX Runtime",
        what: RunIf(
            "target/release/aegis demo --folder target/demo/ort --backend ort --duration 5s",
            "printenv ORT_DYLIB_PATH",
        ),
    },
    Step {
        name: "exports, read by their tools",
        what: RunIf(
            "target/ci-venv/bin/python scripts/perfetto/check.py target/release/aegis",
            "target/ci-venv/bin/python scripts/perfetto/check.py --packages",
        ),
    },
];

/// Tests that need the release profile to be affordable; they run after its build.
const HEAVY: &[Step] = &[
    Step { name: "exactness, soundness, peers, attacks on traces", what: Task(campaign::ci) },
    Step { name: "recording while the file stalls", what: Task(soak::ci) },
    Step { name: "seeded defects", what: Task(mutants::ci) },
];

/// How a step ended.
enum Ended {
    Well,
    Skipped,
    Badly,
}

/// Runs all steps.
pub fn run(root: &Path) -> ExitCode {
    let mut ended = Vec::new();
    let start = Instant::now();
    for step in STEPS.iter().chain(HEAVY) {
        println!("\n==> {}", step.name);
        let begun = Instant::now();
        let how = step.run(root);
        let failed = matches!(how, Ended::Badly);
        ended.push((step.name, how, begun.elapsed()));
        if failed {
            break;
        }
    }
    print!("{}", table(&ended, STEPS.len() + HEAVY.len(), start.elapsed()));
    if ended.iter().any(|(_, how, _)| matches!(how, Ended::Badly)) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

impl Step {
    fn run(&self, root: &Path) -> Ended {
        match self.what {
            Run(command) => shown(root, command),
            RunIf(command, condition) if succeeds(root, condition) => shown(root, command),
            RunIf(command, condition) => {
                println!("!!! SKIPPED: `{condition}` does not work here, so `{command}` was not run");
                Ended::Skipped
            }
            RunEither(command, other, condition) => {
                shown(root, if succeeds(root, condition) { command } else { other })
            }
            Task(task) => {
                let findings = task(root);
                for finding in &findings {
                    println!("{finding}");
                }
                if findings.is_empty() { Ended::Well } else { Ended::Badly }
            }
        }
    }
}

fn shown(root: &Path, command: &str) -> Ended {
    println!("{command}");
    match parse(command).current_dir(root).status() {
        Ok(status) if status.success() => Ended::Well,
        Ok(status) => {
            println!("{command}: {status}");
            Ended::Badly
        }
        Err(why) => {
            println!("{command}: {why}");
            Ended::Badly
        }
    }
}

fn succeeds(root: &Path, command: &str) -> bool {
    let mut command = parse(command);
    command
        .current_dir(root)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Words separated by blanks: first assignments, then the program, then its arguments.
fn parse(text: &str) -> Command {
    let mut words = text.split_whitespace().peekable();
    let mut environment = Vec::new();
    while let Some(assignment) = words.next_if(|word| word.contains('=')) {
        environment.extend(assignment.split_once('='));
    }
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).envs(environment);
    command
}

fn table(ended: &[(&str, Ended, Duration)], planned: usize, total: Duration) -> String {
    let mut text = String::from("\n");
    for (name, how, took) in ended {
        let how = match how {
            Ended::Well => "ok",
            Ended::Skipped => "SKIPPED",
            Ended::Badly => "FAILED",
        };
        writeln!(text, "{name:<48} {how:<8} {:>7.1} s", took.as_secs_f64()).expect("writing to a string");
    }
    let not_run = planned - ended.len();
    let rest = if not_run > 0 { format!("{not_run} not run") } else { String::new() };
    writeln!(text, "{:<48} {rest:<8} {:>7.1} s", "total", total.as_secs_f64()).expect("writing to a string");
    text
}

#[cfg(test)]
mod tests {
    use super::{Ended, Run, RunEither, RunIf, Step, Task, parse, table};
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn commands() {
        let command = parse("A=1 B=-Dx cargo doc --all x=y");
        assert_eq!(command.get_program(), "cargo");
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["doc", "--all", "x=y"]);
        assert_eq!(
            command.get_envs().collect::<Vec<_>>(),
            [("A".as_ref(), Some("1".as_ref())), ("B".as_ref(), Some("-Dx".as_ref()))]
        );
    }

    #[test]
    fn how_steps_end() {
        for (what, expected) in [
            (Run("true"), "ok"),
            (Run("false"), "FAILED"),
            (Run("no-such-program-here"), "FAILED"),
            (RunIf("true", "true"), "ok"),
            (RunIf("false", "true"), "FAILED"),
            (RunIf("false", "false"), "SKIPPED"),
            (RunIf("false", "no-such-program-here"), "SKIPPED"),
            (RunEither("true", "false", "true"), "ok"),
            (RunEither("true", "false", "false"), "FAILED"),
            (Task(|_| Vec::new()), "ok"),
            (Task(|_| vec!["bad".to_string()]), "FAILED"),
        ] {
            let ended = Step { name: "step", what }.run(Path::new("."));
            let table = table(&[("step", ended, Duration::from_millis(1500))], 1, Duration::ZERO);
            assert!(table.contains(&format!("step{:45}{expected:<8}     1.5 s", "")), "{table}");
        }
        assert!(table(&[("step", Ended::Badly, Duration::ZERO)], 3, Duration::ZERO).contains("2 not run"));
    }
}
