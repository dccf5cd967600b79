//! Running a test of this file's binary as a process of its own beside the stand-in driver.
#![allow(dead_code, reason = "each test file uses a part")]
pub mod scenarios;
mod stand_ins;

pub use stand_ins::{stand_in, stand_ins};

use std::process::Command;

/// What a process said, and what the stand-in said of it at its end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The rest of the line that begins with `TOLD `.
    pub told: String,
    /// Calls of the driver, and how often.
    pub calls: Vec<(String, u32)>,
    /// What was not given back.
    pub live: Vec<String>,
    /// What the driver was misused for.
    pub wrong: Vec<String>,
}

/// Runs one test of this binary beside the stand-ins in these folders.
pub fn run(folders: &str, test: &str, environment: &[(&str, &str)]) -> Answer {
    let report = tempfile::NamedTempFile::new().unwrap(); // stays empty where the driver is not loaded
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("LD_LIBRARY_PATH", folders)
        .env("FAKE_CUDA_REPORT", report.path())
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test} {environment:?}: {text}{errors}");
    let (_, told) = text.split_once("TOLD ").unwrap_or_else(|| panic!("{text}{errors}"));
    let mut answer = Answer { told: told.lines().next().unwrap().to_string(), ..Answer::default() };
    for line in std::fs::read_to_string(report.path()).unwrap().lines() {
        match line.split_once(' ').unwrap() {
            ("calls", rest) => {
                let (call, count) = rest.split_once(' ').unwrap();
                answer.calls.push((call.to_string(), count.parse().unwrap()));
            }
            ("live", rest) => answer.live.push(rest.to_string()),
            ("wrong", rest) => answer.wrong.push(rest.to_string()),
            other => panic!("{other:?}"),
        }
    }
    answer
}
