//! What `aegis doctor` says of a CUDA device, played by the stand-ins of `aegis-cuda`, and of one that tells little.
#![cfg(target_os = "linux")]
#[path = "../../aegis-cuda/tests/common/stand_ins.rs"]
mod stand_ins;

use serde_json::Value;
use std::process::Command;

/// What it prints of CUDA with these libraries, and what the stand-in says of it.
fn doctor(format: &str, folders: &str, environment: &[(&str, &str)]) -> (String, String) {
    let report = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_aegis"))
        .args(["--format", format, "doctor"])
        .env("LD_LIBRARY_PATH", folders)
        .env("FAKE_CUDA_REPORT", report.path())
        .env("FAKE_CUDA_DEVICES", "1")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let report = std::fs::read_to_string(report.path()).unwrap();
    let left: Vec<&str> = report.lines().filter(|line| !line.starts_with("calls ")).collect();
    (String::from_utf8(output.stdout).unwrap(), left.join("\n"))
}

/// The lines from the driver's on: those before are of this machine, and so is the one of the library for ranges.
fn of_cuda(text: &str) -> String {
    let lines =
        text.lines().skip_while(|line| !line.starts_with("cuda ")).filter(|line| !line.starts_with("nvtx "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_device_that_tells_all() {
    let (text, left) = doctor("text", &stand_ins::stand_ins(), &[]);
    assert_eq!(left, "", "all is given back");
    insta::assert_snapshot!(of_cuda(&text));
}

#[test]
fn a_device_that_tells_little() {
    let little = [
        ("FAKE_CUDA_VERSION", "11040"),
        ("FAKE_NVML_INIT", "9"),
        ("FAKE_CUDA_FAIL", "cuCtxGetStreamPriorityRange:1:999,cuMemPoolCreate:1:801,cuDeviceGetPCIBusId:1:1"),
    ];
    let folders = format!("{}:{}", stand_ins::stand_in(&["--cfg=old"]), stand_ins::stand_ins());
    let (text, left) = doctor("text", &folders, &little);
    assert_eq!(left, "", "all is given back");
    insta::assert_snapshot!(of_cuda(&text));
}

#[test]
fn for_programs_unknown_is_null_and_why() {
    let little = [("FAKE_CUDA_FAIL", "cuDevicePrimaryCtxRetain:1:2")];
    let (text, _) = doctor("json", &stand_ins::stand_ins(), &little);
    let answer: Value = serde_json::from_str(&text).unwrap();
    let device = &answer["cuda"]["devices"][0];
    assert_eq!(device["memory_bytes"], 8_u64 << 30);
    assert_eq!(device["memory_bandwidth_bytes_per_s"], 102_432_000_000_u64, "by NVML's clock");
    let facts = device.as_object().unwrap();
    let unknown: Vec<&String> = facts.iter().filter(|fact| fact.1.is_null()).map(|fact| fact.0).collect();
    let reasons = device["why"].as_object().unwrap();
    assert_eq!(unknown, reasons.keys().collect::<Vec<_>>());
    assert_eq!(
        unknown,
        [
            "green_contexts",
            "memory_free_bytes",
            "memory_pools",
            "persistent",
            "stream_priorities",
            "temperature_c",
            "virtual_memory_step_bytes"
        ]
    );
    assert!(facts.iter().all(|fact| *fact.1 != 0 || fact.0 == "ordinal"), "{device}");
    let why = "cuDevicePrimaryCtxRetain failed with CUDA error 2 (CUDA_ERROR_OUT_OF_MEMORY)";
    assert_eq!(reasons["memory_free_bytes"], why);
}
