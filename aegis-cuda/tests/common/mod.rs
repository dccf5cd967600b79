//! Building the stand-in driver, and running a test of this file's binary as a process of its own beside it.
#![allow(dead_code, reason = "each test file uses a part")]
pub mod scenarios;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

/// The stand-ins of the driver and of the libraries beside it, as a value of `LD_LIBRARY_PATH`.
pub fn stand_ins() -> String {
    let beside = [built("fake_nvrtc", "libnvrtc.so", &[]), built("fake_nvml", "libnvidia-ml.so.1", &[])];
    format!("{}:{}", stand_in(&[]), beside.join(":"))
}

/// A folder that holds the stand-in driver alone.
pub fn stand_in(cfg: &[&str]) -> String {
    built("fake_driver", "libcuda.so", cfg)
}

/// A folder that holds `tests/data/SOURCE.rs` as a library of that name. It is built once for each content of that file.
fn built(source: &str, name: &str, cfg: &[&str]) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(source).with_extension("rs");
    let mut hasher = DefaultHasher::new();
    (std::fs::read(&file).unwrap(), cfg).hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{source}-{:016x}", hasher.finish()));
    let library = folder.join(name);
    if !library.exists() {
        std::fs::create_dir_all(&folder).unwrap();
        let fresh = folder.join(format!("{}.new", std::process::id())); // others may be building it as well
        let status = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
            .args(["--edition=2024", "--crate-type=cdylib", "-Anon_snake_case"])
            .arg(file)
            .arg("-o")
            .arg(&fresh)
            .args(cfg)
            .status()
            .unwrap();
        assert!(status.success());
        std::fs::rename(fresh, library).unwrap();
    }
    folder.into_os_string().into_string().unwrap()
}

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
