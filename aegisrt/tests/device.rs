//! Whole runs whose models lie on a device: on a stand-in for the CUDA driver that counts what lives, and without one.
//! The stand-in is the one of aegis-cuda's tests; its first lines say what it can be told.
#![cfg(target_os = "linux")]
mod common;
#[path = "../../aegis-cuda/tests/common/stand_ins.rs"]
#[allow(dead_code, reason = "the libraries beside the driver are not needed here")]
mod stand_ins;
use common::Folder;
use serde_json::Value;
use std::process::{Command, Output};

/// Two models on the device whose scratch may share memory, and one on the host.
const SYSTEM: &str = r#"
[device]
kind = "cuda"

[[task]]
name = "camera"
period = "50 ms"
deadline = "2 s"
wcet = "10 ms"
queue = 20
sim = { place = "device", weights = "1 MiB", scratch = "3 MiB", time = { law = "constant", value = "1 ms" } }

[[task]]
name = "lidar"
period = "40 ms"
deadline = "2 s"
wcet = "10 ms"
queue = 20
sim = { place = "device", weights = "1 MiB", scratch = "2 MiB", segments = 2 }

[[task]]
name = "planner"
period = "40 ms"
deadline = "2 s"
wcet = "10 ms"
queue = 20
sim = { weights = "1 MiB" }
"#;

fn aegis(folder: &Folder, command: &str, environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis"))
        .args(command.split_whitespace())
        .current_dir(folder.path(""))
        .env("LD_LIBRARY_PATH", stand_ins::stand_in(&[]))
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn models_on_a_device_run_and_leave_nothing() {
    for defer in ["0", "1"] {
        let folder = Folder::with("system.toml", SYSTEM);
        let report = folder.path("report");
        let environment = [("FAKE_CUDA_REPORT", report.to_str().unwrap()), ("FAKE_CUDA_DEFER", defer)];
        let output = aegis(&folder, "--format json run system.toml --duration 500ms", &environment);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        for task in value["tasks"].as_array().unwrap() {
            assert!(task["jobs"].as_u64() >= Some(10) && task["met"] == task["jobs"], "{task}");
            assert_eq!((&task["faulted"], &task["refused"]), (&0.into(), &0.into()), "{task}");
        }
        let about = said(&aegis(&folder, "--format json trace info system.aegis-trace", &[]));
        assert!(about.contains("device 0: Fake 40"), "the trace names the device: {about}");
        let report = std::fs::read_to_string(&report).unwrap();
        let left: Vec<&str> =
            report.lines().filter(|l| l.starts_with("live") || l.starts_with("wrong")).collect();
        assert!(left.is_empty(), "{left:?}");
        // Each segment fills its scratch once, and each model was executed once before the first release.
        let jobs = |task: usize| value["tasks"][task]["jobs"].as_u64().unwrap();
        let fills = format!("calls cuMemsetD8Async {}", jobs(0) + 2 * jobs(1) + 3);
        assert!(report.lines().any(|line| line == fills), "no `{fills}` in {report}");
        // One arena for tensors and one for scratch, however many models there are.
        assert!(report.lines().any(|line| line == "calls cuMemAlloc_v2 2"), "{report}");
    }
}

#[test]
fn a_device_that_shares_the_hosts_memory_copies_nothing() {
    let folder = Folder::with("system.toml", SYSTEM);
    let report = folder.path("report");
    // Devices with odd numbers are integrated.
    let command = "--format json run system.toml --duration 300ms --device cuda:1";
    let output = aegis(&folder, command, &[("FAKE_CUDA_REPORT", report.to_str().unwrap())]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report = std::fs::read_to_string(&report).unwrap();
    assert!(!report.lines().any(|l| l.starts_with("live") || l.starts_with("wrong")), "{report}");
    // The tensors are one piece of the host's memory, and only the scratch is the device's.
    for calls in ["calls cuMemHostGetDevicePointer_v2 1", "calls cuMemAlloc_v2 1"] {
        assert!(report.lines().any(|line| line == calls), "no `{calls}` in {report}");
    }
}

#[test]
fn the_plan_knows_which_memory_it_plans() {
    let folder = Folder::with("system.toml", SYSTEM);
    let output = aegis(&folder, "--format json plan system.toml", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [device, host] = value["places"].as_array().unwrap().as_slice() else { panic!("{value}") };
    assert_eq!((device["place"].as_str(), host["place"].as_str()), (Some("device"), Some("host")));
    // Scratch of 3 and 2 MiB lies on each other.
    let saved = device["separate_bytes"].as_u64().unwrap() - device["peak_bytes"].as_u64().unwrap();
    assert_eq!(saved, 2 << 20, "{value}");
}

#[test]
fn what_is_wrong_with_a_device_is_said() {
    let folder = Folder::with("system.toml", SYSTEM);
    let check = |command: &str, environment: &[(&str, &str)], code: i32, says: &str| {
        let output = aegis(&folder, command, environment);
        let text = said(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(code), "{command}: {text}");
        assert!(text.contains(says), "{command}: {text}\nbut not {says}");
    };
    let run = "run system.toml --duration 100ms";
    check(&format!("{run} --device cuda:7"), &[], 1, "there is no CUDA device 7; the driver shows 2");
    check(&format!("{run} --device gpu"), &[], 2, "`gpu` is no device; write cpu, cuda, or cuda:1");
    check(
        &format!("{run} --device cpu"),
        &[],
        2,
        "backend `sim` works on a CUDA device; write kind = \"cuda\"",
    );
    check(run, &[("FAKE_CUDA_VERSION", "11030")], 1, "the driver supports CUDA 11.3");
    check(run, &[("FAKE_CUDA_INIT", "999")], 1, "cuInit failed with CUDA error 999");
    check(run, &[("FAKE_CUDA_MEMORY", "1000000")], 3, "the device has no");
    check(
        run,
        &[("FAKE_CUDA_FAIL", "cuStreamCreateWithPriority:1:2")],
        1,
        "the device `cuda:0` cannot be used",
    );
    // The error of a job is a fault of its model; the others go on, and the run says so.
    let failing = [("FAKE_CUDA_FAIL", "cuMemsetD8Async:3:1")];
    check(run, &failing, 1, "faulted");
    // After a sticky error nothing on the device is believed.
    let lost = [("FAKE_CUDA_FAIL", "work:12:700")];
    let output = aegis(&folder, run, &lost);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let output = aegis(&folder, "trace query system.aegis-trace --limit 1000", &[]);
    assert!(said(&output).contains("device"), "{}", said(&output));
}

#[test]
fn without_a_driver_the_same_file_says_what_is_missing() {
    let folder = Folder::with("system.toml", SYSTEM);
    if aegis_cuda::probe().is_ok() {
        println!("skipped: there is a driver on this machine");
        return;
    }
    let answer = folder.aegis("run system.toml --duration 100ms");
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("no CUDA driver on this machine"), "{answer:?}");
}

#[test]
#[cfg(feature = "trt")]
fn a_plan_is_trusted_as_it_is() {
    // The header of a plan of TensorRT 8.5: magic, 0, its number for serialized plans, 0, the length of the rest.
    let mut plan = b"ptrt\0\0\0\0\xe8\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0".to_vec();
    plan.extend([7; 8]);
    let folder = Folder::with("model.plan", &plan);
    let value = folder.json("trust model.plan", 0);
    assert_eq!(value["digest_file"], "model.plan.blake3");
    let written = std::fs::read_to_string(folder.path("model.plan.blake3")).unwrap();
    assert_eq!(written.split_whitespace().next().map(str::len), Some(64), "{written}");
    assert!(written.trim_end().ends_with("  model.plan"), "as b3sum writes it: {written}");
    folder.write("notes.txt", "no plan at all, but long enough to look into");
    let refused = folder.aegis("trust notes.txt");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("notes.txt"), "{refused:?}");
    assert!(!folder.path("notes.txt.blake3").exists());
}
