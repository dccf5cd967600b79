//! All of this crate on a real device. Without one it says so and passes; with AEGIS_REQUIRE_GPU=1 it fails then.
mod common;

use aegis_core::Bytes;
use aegis_cuda::{
    Argument, Context, CudaError, DeviceMemory, Grid, Stream, StreamPriority, Wait, failed_drops,
};
use common::scenarios;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One test at a time has the device: some look at its free memory.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Device 0, if there is one.
fn device(wait: Wait) -> Option<Arc<Context>> {
    match Context::open(0, wait) {
        Ok(context) => Some(context),
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_GPU").is_none(), "{why}");
            println!("not tested: {why}");
            None
        }
    }
}

#[test]
fn scenarios() {
    let _alone = alone();
    for wait in [Wait::Block, Wait::Spin] {
        for (name, scenario) in scenarios::ALL {
            let Some(context) = device(wait) else { return };
            scenario(&context).unwrap_or_else(|why| panic!("{name}: {why}"));
            println!("{name}, {wait:?}: done on {context:?}");
        }
    }
    assert_eq!(failed_drops().count, 0, "{:?}", failed_drops());
}

/// The driver keeps about 4 MiB of each green context that was destroyed (seen with 580.159, CUDA 13.0).
const KEPT_BY_THE_DRIVER: &str = "parts_of_the_device";

/// The second half of many rounds takes no more memory than the first half has taken.
#[test]
fn nothing_grows() {
    let _alone = alone();
    let Some(context) = device(Wait::Block) else { return };
    let rounds: u32 = std::env::var("AEGIS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    for (name, scenario) in scenarios::ALL {
        let mut free = [0; 2];
        for half in &mut free {
            for _ in 0..rounds / 2 {
                scenario(&context).unwrap_or_else(|why| panic!("{name}: {why}"));
            }
            context.synchronize().unwrap();
            *half = context.memory().unwrap().0.0;
        }
        println!("{name}: {rounds} rounds, free {} then {}", free[0], free[1]);
        assert!(
            free[1] >= free[0] || *name == KEPT_BY_THE_DRIVER,
            "{name}: {} bytes less",
            free[0] - free[1]
        );
    }
    assert_eq!(failed_drops().count, 0, "{:?}", failed_drops());
}

/// Run by the test below as a process of its own, which can use the device no more afterwards.
#[test]
fn fault() {
    if std::env::var_os("FAULT").is_none() {
        return;
    }
    let context = device(Wait::Block).unwrap();
    let Some(module) = scenarios::kernels(&context).unwrap() else {
        println!("TOLD nothing");
        return;
    };
    let stream = Stream::new(&context, StreamPriority::Usual).unwrap();
    let memory = DeviceMemory::alloc(&context, Bytes(1 << 20)).unwrap();
    let kernel = module.kernel(c"fault").unwrap();
    // SAFETY: the address is not memory of the device, which its memory unit finds out; the process ends soon.
    unsafe { kernel.launch(&stream, Grid::line(1, 1), &[Argument::U64(64)]) }.unwrap();
    let first = stream.synchronize().unwrap_err();
    let later = DeviceMemory::alloc(&context, Bytes(1)).map(drop).unwrap_err();
    drop((kernel, module, memory, stream));
    let lost: Vec<_> = failed_drops().first.iter().map(|lost| lost.object).collect();
    println!("TOLD {}, {}, {lost:?}: {first}", first.is_sticky(), later.is_sticky());
}

/// A kernel that leaves the device's memory ends the process's use of it: that is told at the wait, at each call after it,
/// and by what can no longer be given back; the next process has the device as before.
#[test]
fn a_fault_is_sticky() {
    let _alone = alone();
    let Some(context) = device(Wait::Block) else { return };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fault", "--nocapture"])
        .env("FAULT", "1")
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    assert!(output.status.success());
    if text.contains("TOLD nothing") {
        return;
    }
    assert!(text.contains("TOLD true, true, "), "{text}");
    assert!(text.contains("\"device memory\"") && text.contains("\"module\""), "{text}");
    assert!(text.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{text}");
    let stream = Stream::new(&context, StreamPriority::Usual).unwrap();
    let memory = DeviceMemory::alloc(&context, Bytes(4)).unwrap();
    let written: Result<(), CudaError> = stream.write(&[1, 2, 3, 4], &memory);
    written.unwrap();
}
