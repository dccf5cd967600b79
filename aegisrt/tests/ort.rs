//! A system on ONNX Runtime, through the command. Where the library is not installed the test says that it was skipped;
//! `AEGIS_REQUIRE_ORT=1` makes that a failure.
#![cfg(feature = "ort")]
mod common;
use common::Folder;
use std::fmt::Write;

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
    let ran = folder.json("run system.toml --duration 1s", 0);
    for task in ran["tasks"].as_array().unwrap() {
        assert_eq!((task["jobs"].as_u64(), task["met"].as_u64()), (Some(5), Some(5)), "{task}");
    }
    let info = folder.aegis("trace info system.aegis-trace");
    assert!(info.stdout.contains("ONNX Runtime") || info.stdout.contains("onnxruntime"), "{info:?}");
    assert_eq!(folder.json("replay system.aegis-trace", 0)["differences"], 0);
}
