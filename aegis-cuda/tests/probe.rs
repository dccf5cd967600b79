//! What the probe answers on this machine, and what it answers to drivers of every kind, played by a stand-in library.
mod common;

use aegis_cuda::{ProbeError, probe};
use common::stand_ins::stand_in;
use std::path::Path;

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

fn told(folder: &str, environment: &[(&str, &str)]) -> String {
    common::run(folder, "tell", environment).told
}

const TWO_DEVICES: &str = concat!(
    "Ok(Driver { version: CudaVersion { major: 13, minor: 0 }, devices: [",
    "Device { ordinal: 0, name: \"Fake 40\", compute_capability: (8, 7), multiprocessors: 16, ",
    "memory: Bytes(8589934592), integrated: false, clock_khz: Some(1300000), memory_clock_khz: None, memory_bus_bits: Some(128), ",
    "l2: Some(Bytes(4194304)), ecc: false, copy_engines: Some(1), virtual_memory: true, memory_pools: true, ",
    "pci: Some(\"0000:40:00.0\") }, ",
    "Device { ordinal: 1, name: \"Fake 41\", compute_capability: (8, 7), multiprocessors: 16, ",
    "memory: Bytes(8589934592), integrated: true, clock_khz: Some(1300000), memory_clock_khz: None, memory_bus_bits: Some(128), ",
    "l2: Some(Bytes(4194304)), ecc: false, copy_engines: Some(1), virtual_memory: true, memory_pools: true, ",
    "pci: Some(\"0000:41:00.0\") }] })",
);

#[test]
#[cfg(target_os = "linux")]
fn drivers_of_every_kind() {
    let whole = stand_in(&[]);
    for (environment, says) in [
        (&[][..], TWO_DEVICES),
        (
            &[("FAKE_CUDA_VERSION", "11030")][..],
            "Err(DriverTooOld { found: CudaVersion { major: 11, minor: 3 }, needed: CudaVersion { major: 11, minor: 4 } })",
        ),
        // Too old is said even when it would fail later on, as it is what the user can mend.
        (
            &[("FAKE_CUDA_VERSION", "11030"), ("FAKE_CUDA_INIT", "802")][..],
            "Err(DriverTooOld { found: CudaVersion { major: 11, minor: 3 }, needed: CudaVersion { major: 11, minor: 4 } })",
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
        assert_eq!(told(&whole, environment), says, "{environment:?}");
    }
    let incomplete = stand_in(&["--cfg=incomplete"]);
    assert_eq!(told(&incomplete, &[]), "Err(SymbolMissing { symbol: \"cuDeviceGetAttribute\" })");
}
