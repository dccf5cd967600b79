//! Building the stand-ins of the CUDA driver and of the libraries beside it. Tests of other crates include this file by its
//! path.
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

/// Each of them says at its top what it is told by.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../aegis-cuda/tests/data");

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
    let file = Path::new(SOURCES).join(source).with_extension("rs");
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
