//! What the probe answers without driver, without library, and with stand-ins for both.
#![cfg(target_os = "linux")]
use aegis_backend::BackendError;
use aegis_backend_trt::probe;
use std::path::Path;
use std::process::Command;

#[test]
fn this_machine() {
    match (aegis_cuda::probe(), probe()) {
        (Err(driver), Err(BackendError::Unavailable { backend, why, .. })) => {
            assert_eq!((backend, why), ("trt", driver.to_string()), "the driver is what is missing first");
        }
        (Ok(_), Err(BackendError::Unavailable { why, .. })) => assert!(why.contains("libnvinfer"), "{why}"),
        (Ok(_), Ok(library)) => println!("TensorRT {} in {}", library.version, library.path.display()),
        (driver, library) => panic!("{driver:?}, {library:?}"),
    }
}

/// Run by the test below as a process of its own, as libraries stay loaded in the one that probed.
#[test]
fn tell() {
    match probe() {
        Ok(library) => println!("TOLD {} {} {}", library.version, library.lean, library.path.display()),
        Err(why) => println!("TOLD {why}"),
    }
}

fn told(folder: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tell", "--nocapture"])
        .env("LD_LIBRARY_PATH", folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let (_, told) = text.split_once("TOLD ").unwrap();
    told.lines().next().unwrap().to_string()
}

fn build(source: &str, library: &Path, cfg: &[&str]) {
    let built = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=stand_in", "-Anon_snake_case"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(source))
        .arg("-o")
        .arg(library)
        .args(cfg)
        .status()
        .unwrap();
    assert!(built.success());
}

#[test]
fn library_missing_damaged_mute_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
    let check = |says: &str| {
        let told = told(folder.path());
        assert!(told.contains(says), "{told}");
    };

    build("../aegis-cuda/tests/data/fake_driver.rs", &at("libcuda.so"), &[]);
    check("none of libnvinfer.so.11, libnvinfer.so.10");
    std::fs::write(at("libnvinfer.so.11"), "no library").unwrap();
    check("found, but cannot be loaded: libnvinfer.so.11: ");
    build("tests/data/stand_in.rs", &at("libnvinfer.so.11"), &["--cfg=mute"]);
    check("libnvinfer.so.11: it has no function getInferLibVersion");
    // A library that cannot be used does not hide one that can.
    build("tests/data/stand_in.rs", &at("libnvinfer_lean.so.10"), &[]);
    check(&format!("10.16.1 true {}", at("libnvinfer_lean.so.10").display()));
    build("tests/data/stand_in.rs", &at("libnvinfer.so.10"), &[]);
    check(&format!("10.16.1 false {}", at("libnvinfer.so.10").display()));
}
