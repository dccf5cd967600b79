//! A system on ONNX Runtime, through the command. Where the library is not installed the test says that it was skipped;
//! `AEGIS_REQUIRE_ORT=1` makes that a failure.
#![cfg(feature = "ort")]
mod common;
use common::Folder;
use std::fmt::Write;
use std::process::Command;

#[test]
fn two_models_run_on_onnx_runtime() {
    let folder = Folder::new();
    let doctor = folder.json("doctor", 0);
    let ort = doctor["backends"].as_array().unwrap().iter().find(|b| b["name"] == "ort").unwrap();
    if ort["available"] != true {
        let required = std::env::var_os("AEGIS_REQUIRE_ORT").is_some_and(|v| v == "1");
        assert!(!required, "{ort}");
        eprintln!("skipped: {}", ort["why"]);
        return;
    }
    let mut system = "[device]\nthreads = 1\n".to_owned();
    for model in aegisrt::zoo::MODELS.iter().filter(|m| ["predictor", "planner"].contains(&m.name)) {
        folder.write(model.file, aegisrt::zoo::bytes(model));
        let _ = write!(
            system,
            "\n[[task]]\nname = \"{}\"\nmodel = \"{}\"\nbackend = \"ort\"\nperiod = \"200 ms\"\ndeadline = \"2 s\"\n\
             queue = 10\nwcet = \"80 ms\"\n",
            model.name, model.file
        );
    }
    folder.write("system.toml", system);
    let ran = Command::new(env!("CARGO_BIN_EXE_aegis"))
        .args(["--format", "json", "run", "system.toml", "--duration", "1s"])
        .current_dir(folder.path(""))
        .env("AEGIS_ORT_PROFILE", folder.path("profile"))
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let ran: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    for task in ran["tasks"].as_array().unwrap() {
        assert_eq!((task["jobs"].as_u64(), task["met"].as_u64()), (Some(5), Some(5)), "{task}");
    }
    let info = folder.aegis("trace info system.aegis-trace");
    assert!(info.stdout.contains("ONNX Runtime") || info.stdout.contains("onnxruntime"), "{info:?}");
    assert_eq!(folder.json("replay system.aegis-trace", 0)["differences"], 0);
    for model in ["predictor", "planner"] {
        operators_are_under_the_jobs(&folder, model);
    }
}

/// The profile of the session that ran the jobs is merged; those of the sessions before it are refused.
fn operators_are_under_the_jobs(folder: &Folder, task: &str) {
    let file = aegisrt::zoo::MODELS.iter().find(|m| m.name == task).unwrap().file;
    let begins = format!("profile.{}.", file.strip_suffix(".onnx").unwrap());
    let names = std::fs::read_dir(folder.path("")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut merged = 0;
    for name in names.filter(|name| name.starts_with(&begins)) {
        let answer = folder.aegis(&format!(
            "trace export system.aegis-trace --format chrome --merge-ort {task}={name} --output merged.json"
        ));
        if answer.code == 2 {
            assert!(answer.stderr.contains("runs in the profile for 5 executions"), "{answer:?}");
            continue;
        }
        assert!(answer.code == 0 && answer.stderr.contains("operators in 5 executions"), "{answer:?}");
        let export = std::fs::read_to_string(folder.path("merged.json")).unwrap();
        assert!(export.contains("\"cat\":\"operator\""), "{answer:?}");
        merged += 1;
    }
    assert_eq!(merged, 1, "{begins}");
}
