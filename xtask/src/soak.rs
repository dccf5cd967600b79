//! Recording at a rate while the file stalls: nothing may be lost that the rings were sized for, and what is lost above that
//! is counted. The program is `aegis-trace/examples/soak.rs`.
use crate::Findings;
use std::path::Path;
use std::process::Command;

/// With what was asked for; dropped records are an answer, not a finding.
pub fn run(root: &Path, arguments: &[&str]) -> Findings {
    start(root, arguments, &[0, 3])
}

/// A short one at half the rate that a ring of 8 MiB is for, since CI's machines do other things too, and one far above
/// it: drops are there, and are counted.
pub fn ci(root: &Path) -> Findings {
    let mut findings = start(root, &["--seconds", "10", "--rate", "500000"], &[0]);
    findings.extend(start(root, &["--seconds", "3", "--rate", "1000000", "--ring", "65536"], &[3]));
    findings
}

fn start(root: &Path, arguments: &[&str], well: &[i32]) -> Findings {
    let program = ["run", "--release", "--quiet", "-p", "aegis-trace", "--example", "soak", "--"];
    println!("cargo {} {}", program.join(" "), arguments.join(" "));
    match Command::new("cargo").args(program).args(arguments).current_dir(root).status() {
        Ok(status) if status.code().is_some_and(|code| well.contains(&code)) => Findings::new(),
        Ok(status) => vec![format!("soak {}: {status}", arguments.join(" "))],
        Err(why) => vec![format!("soak: cargo: {why}")],
    }
}
