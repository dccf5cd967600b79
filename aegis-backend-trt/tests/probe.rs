//! What the probe answers without driver, without library, and with stand-ins for both.
#![cfg(target_os = "linux")]
use aegis_backend::BackendError;
use aegis_backend_trt::{TrtBackend, built_with, probe};
use aegis_cuda::{Context, Wait};
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

/// Likewise: what becomes of a backend; `AEGIS_TEST_LIBRARY` may name the library.
#[test]
fn tell_of_the_backend() {
    let library = std::env::var_os("AEGIS_TEST_LIBRARY");
    let found = Context::open(0, Wait::Block)
        .map_err(BackendError::from)
        .and_then(|context| TrtBackend::find(library.as_ref().map(Path::new), &context));
    match found {
        Ok(backend) => println!("TOLD {backend:?}"),
        Err(why) => println!("TOLD {why}"),
    }
}

fn told(folder: &Path) -> String {
    ask("tell", folder, |_| ())
}

fn ask(test: &str, folder: &Path, with: impl Fn(&mut Command)) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    with(&mut command);
    let output =
        command.args(["--exact", test, "--nocapture"]).env("LD_LIBRARY_PATH", folder).output().unwrap();
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

#[test]
fn libraries_that_no_shim_drives() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libnvinfer.so.10");
    build("../aegis-cuda/tests/data/fake_driver.rs", &folder.path().join("libcuda.so"), &[]);
    build("tests/data/stand_in.rs", &library, &[]);
    let check = |version: &str, named: Option<&Path>, says: &str| {
        let told = ask("tell_of_the_backend", folder.path(), |command| {
            command.env("AEGIS_STAND_IN_VERSION", version);
            if let Some(path) = named {
                command.env("AEGIS_TEST_LIBRARY", path);
            }
        });
        assert!(told.contains(says), "{told}\nbut not {says}");
        assert!(told.contains("backend `trt` is not available: "), "{told}");
    };
    // A major that does not exist, and the one before the first that is served.
    for (version, shown) in [("7203", "7.2.3"), ("990100", "99.1.0")] {
        let built = built_with();
        let says = if built.is_empty() {
            format!(
                "the library is TensorRT {shown}, and this program was built without TensorRT's headers; if it"
            )
        } else {
            let built: Vec<String> = built.iter().map(ToString::to_string).collect();
            format!(
                "TensorRT {shown}, and this program was built with the headers of {}, which",
                built.join(", ")
            )
        };
        check(version, None, &says);
        let (release, _) = shown.rsplit_once('.').unwrap();
        check(version, None, &format!("with the headers of TensorRT {release} or older of that major"));
        check(version, Some(&library), &library.display().to_string());
    }
    for version in built_with() {
        let number = version.major * if version.major < 10 { 1000 } else { 10_000 };
        let number = number + version.minor * 100 + version.patch;
        check(&number.to_string(), Some(&library), "the library has no function createInferRuntime_INTERNAL");
    }
    let gone = folder.path().join("libnvinfer.so.8");
    check("8503", Some(&gone), &format!("there is no {}", gone.display()));
    std::fs::write(&gone, "no library").unwrap();
    check("8503", Some(&gone), &format!("{} cannot be loaded: ", gone.display()));
}
