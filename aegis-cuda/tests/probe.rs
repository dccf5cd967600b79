//! What the probe answers on this machine, and what it answers to drivers of every kind, played by a stand-in library.
use aegis_cuda::{ProbeError, probe};
use std::path::Path;
use std::process::Command;

/// The driver's own file; it exists where the kernel module of a discrete or of a Jetson device is loaded.
fn this_machine_has_a_device() -> bool {
    ["/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu"].iter().any(|path| Path::new(path).exists())
}

#[test]
fn this_machine() {
    match probe() {
        Ok(driver) => {
            assert!(driver.version >= aegis_cuda::OLDEST_DRIVER);
            for (position, device) in driver.devices.iter().enumerate() {
                println!("CUDA {}, {device}", driver.version);
                assert_eq!(usize::try_from(device.ordinal).unwrap(), position);
                assert!(!device.name.is_empty());
                assert!(device.multiprocessors > 0 && device.compute_capability.0 > 0);
                assert!(device.memory.0 > 1 << 20);
            }
            assert!(!driver.devices.is_empty());
        }
        Err(ProbeError::NoDriver { looked_for }) => {
            assert!(looked_for.iter().any(|name| name == "libcuda.so.1"), "{looked_for:?}");
            assert!(!this_machine_has_a_device(), "a device, but no library: {looked_for:?}");
        }
        Err(other) => assert!(!this_machine_has_a_device(), "{other}"),
    }
}

/// Run by the test below as a process of its own, as a library cannot be loaded anew in the same one.
#[test]
fn tell() {
    println!("TOLD {:?}", probe());
}

/// A folder that holds the stand-in under the driver's name.
fn stand_in(cfg: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fake_driver.rs");
    let built = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args([
            "--edition=2024",
            "--crate-type=cdylib",
            "--crate-name=cuda",
            "-Anon_snake_case",
            source,
            "-o",
        ])
        .arg(folder.path().join("libcuda.so"))
        .args(cfg)
        .status()
        .unwrap();
    assert!(built.success());
    folder
}

fn told(folder: &Path, environment: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tell", "--nocapture"])
        .env("LD_LIBRARY_PATH", folder)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let (_, told) = text.split_once("TOLD ").unwrap();
    told.lines().next().unwrap().to_string()
}

const TWO_DEVICES: &str = concat!(
    "Ok(Driver { version: CudaVersion { major: 13, minor: 0 }, devices: [",
    "Device { ordinal: 0, name: \"Fake 40\", compute_capability: (8, 7), multiprocessors: 16, ",
    "memory: Bytes(8589934592), integrated: false, clock_khz: Some(1300000), memory_clock_khz: None }, ",
    "Device { ordinal: 1, name: \"Fake 41\", compute_capability: (8, 7), multiprocessors: 16, ",
    "memory: Bytes(8589934592), integrated: true, clock_khz: Some(1300000), memory_clock_khz: None }] })",
);

#[test]
#[cfg(target_os = "linux")]
fn drivers_of_every_kind() {
    let whole = stand_in(&[]);
    for (environment, says) in [
        (&[][..], TWO_DEVICES),
        (
            &[("FAKE_CUDA_VERSION", "11080")][..],
            "Err(DriverTooOld { found: CudaVersion { major: 11, minor: 8 }, needed: CudaVersion { major: 12, minor: 0 } })",
        ),
        // Too old is said even when it would fail later on, as it is what the user can mend.
        (
            &[("FAKE_CUDA_VERSION", "11080"), ("FAKE_CUDA_INIT", "802")][..],
            "Err(DriverTooOld { found: CudaVersion { major: 11, minor: 8 }, needed: CudaVersion { major: 12, minor: 0 } })",
        ),
        (&[("FAKE_CUDA_DEVICES", "0")][..], "Err(NoDevice)"),
        (&[("FAKE_CUDA_DEVICES", "-1")][..], "Err(NoDevice)"),
        (&[("FAKE_CUDA_INIT", "100")][..], "Err(NoDevice)"),
        (&[("FAKE_CUDA_INIT", "34")][..], "Err(StubDriver)"),
        (
            &[("FAKE_CUDA_INIT", "719")][..],
            "Err(Call { call: \"cuInit\", code: 719, name: Some(\"CUDA_ERROR_LAUNCH_FAILED\"), sticky: true })",
        ),
        // A code that no present driver has.
        (
            &[("FAKE_CUDA_INIT", "9999")][..],
            "Err(Call { call: \"cuInit\", code: 9999, name: None, sticky: false })",
        ),
    ] {
        assert_eq!(told(whole.path(), environment), says, "{environment:?}");
    }
    let incomplete = stand_in(&["--cfg=incomplete"]);
    assert_eq!(told(incomplete.path(), &[]), "Err(SymbolMissing { symbol: \"cuDeviceGetAttribute\" })");
}
