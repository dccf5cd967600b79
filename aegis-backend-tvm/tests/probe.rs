//! What the probe answers where TVM is missing, half there, damaged, or played by a stand-in.
#![cfg(unix)]
use aegis_backend::BackendError;
use aegis_backend_tvm::{TvmBackend, probe};
use std::path::Path;
use std::process::Command;

#[test]
fn this_machine() {
    match probe() {
        Ok(library) => println!("TVM FFI {} in {}", library.version, library.ffi.display()),
        Err(BackendError::Unavailable { backend, why, remedy }) => {
            assert_eq!(backend, "tvm");
            assert!(why.contains("libtvm_"), "{why}");
            assert!(remedy.contains("apache-tvm") && remedy.contains("TVM_LIBRARY_PATH"), "{remedy}");
        }
        Err(other) => panic!("{other}"),
    }
}

/// Run by the tests below as a process of its own, as libraries stay loaded in the one that probed.
#[test]
fn tell() {
    match probe() {
        Ok(library) => println!("TOLD {} {}", library.version, library.runtime.display()),
        Err(why) => println!("TOLD {why}"),
    }
}

/// Likewise, for the backend.
#[test]
fn tell_start() {
    match TvmBackend::find(None) {
        Ok(backend) => println!("TOLD {}", backend.library().version),
        Err(why) => println!("TOLD {why}"),
    }
}

fn told(what: &str, environment: &[(&str, &Path)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", what, "--nocapture"])
        .env_remove("TVM_LIBRARY_PATH")
        .env_remove("LD_LIBRARY_PATH")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let (_, told) = text.split_once("TOLD ").unwrap();
    told.lines().next().unwrap().to_string()
}

fn build(library: &Path, cfg: &[&str]) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/stand_in.rs");
    let built = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=tvm", "-Anon_snake_case", source, "-o"])
        .arg(library)
        .args(cfg)
        .status()
        .unwrap();
    assert!(built.success());
}

#[test]
fn missing_half_there_damaged_and_whole() {
    let one = tempfile::tempdir().unwrap();
    let two = tempfile::tempdir().unwrap();
    let both = std::env::join_paths([one.path(), two.path()]).unwrap();
    let (ffi, runtime) = (one.path().join("libtvm_ffi.so"), two.path().join("libtvm_runtime.so"));
    let check = |environment: &[(&str, &Path)], says: &str| {
        let told = told("tell", environment);
        assert!(told.contains(says), "{environment:?}: {told}");
    };

    check(&[("TVM_LIBRARY_PATH", both.as_ref())], "no folder of TVM_LIBRARY_PATH holds libtvm_ffi.so");
    build(&ffi, &["--cfg=mute"]);
    check(&[("TVM_LIBRARY_PATH", both.as_ref())], "no folder of TVM_LIBRARY_PATH holds libtvm_runtime.so");
    std::fs::write(&runtime, "no library").unwrap();
    check(&[("TVM_LIBRARY_PATH", both.as_ref())], "libtvm_runtime.so: ");
    build(&runtime, &[]);
    check(&[("TVM_LIBRARY_PATH", both.as_ref())], "libtvm_ffi has no function TVMFFIGetVersion");
    build(&ffi, &[]);
    check(&[("TVM_LIBRARY_PATH", both.as_ref())], &format!("0.1.16 {}", runtime.display()));

    // Without Python on the path the system's loader decides.
    std::fs::copy(&ffi, two.path().join("libtvm_ffi.so")).unwrap();
    check(&[("PATH", one.path()), ("LD_LIBRARY_PATH", two.path())], "0.1.16 libtvm_runtime.so");
    check(&[("PATH", one.path())], "not among the packages of python3, and the loader says: libtvm_ffi.so: ");
}

/// What TVM's functions take is laid out by its version: with another one they are not called.
#[test]
fn a_version_that_was_not_tested_is_not_started() {
    let folder = tempfile::tempdir().unwrap();
    let (ffi, runtime) = (folder.path().join("libtvm_ffi.so"), folder.path().join("libtvm_runtime.so"));
    build(&runtime, &[]);
    for (cfg, says) in [
        (
            &["--cfg=newer"][..],
            "has version 0.2.0 of TVM's FFI, and its layouts were tested in 0.1.16 only; `pip install",
        ),
        (&[], "does not start: TVM's libraries have no function TVMFFIFunctionGetGlobal"),
    ] {
        build(&ffi, cfg);
        let told = told("tell_start", &[("TVM_LIBRARY_PATH", folder.path())]);
        assert!(told.contains(says), "{told}");
    }
}
