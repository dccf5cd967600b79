//! Everything that this crate makes, on the stand-in driver: nothing leaks, every failure is an error, nothing panics.
#![cfg(target_os = "linux")]
mod common;

use aegis_cuda::{Context, CudaError, Wait, failed_drops};
use common::stand_ins::stand_ins;
use common::{Answer, run, scenarios};

/// Run by the tests below as a process of its own.
#[test]
fn tell() {
    let Ok(name) = std::env::var("SCENARIO") else { return };
    let wait = if std::env::var_os("SPIN").is_some() { Wait::Spin } else { Wait::Block };
    let answer = scenarios::run(&name, wait);
    let sticky = answer.as_ref().is_err_and(CudaError::is_sticky);
    println!("TOLD sticky {sticky}, lost {}, {answer:?}", failed_drops().count);
}

fn scenario(folders: &str, name: &str, environment: &[(&str, &str)]) -> Answer {
    run(folders, "tell", &[environment, &[("SCENARIO", name)]].concat())
}

#[test]
fn all_is_given_back() {
    let folders = stand_ins();
    for (name, _) in scenarios::ALL {
        for environment in [&[][..], &[("SPIN", "1")], &[("FAKE_CUDA_DEFER", "1")]] {
            let answer = scenario(&folders, name, environment);
            assert_eq!(answer.told, "sticky false, lost 0, Ok(())", "{name} {environment:?}");
            assert_eq!((answer.live, answer.wrong), (vec![], vec![]), "{name} {environment:?}");
        }
    }
}

/// Calls whose failure is not told: names of errors, what is free beside an error, the place on the bus.
const UNTOLD: [&str; 3] = ["cuGetErrorName", "cuMemGetInfo_v2", "cuDeviceGetPCIBusId"];

/// Lets each call of each scenario fail once, with an error that passes and with one that does not.
#[test]
fn any_call_may_fail() {
    let folders = stand_ins();
    for (name, _) in scenarios::ALL {
        let calls = scenario(&folders, name, &[("FAKE_CUDA_DEFER", "1")]).calls;
        assert!(calls.len() >= 10, "{calls:?}");
        for (call, count) in calls {
            if UNTOLD.contains(&&*call) {
                continue;
            }
            for (number, code) in [(1, 999), (2, 999), (3, 999), (count, 999), (1, 719), (count, 719)] {
                if number <= count {
                    fails(&folders, name, &format!("{call}:{number}:{code}"), code == 719);
                }
            }
        }
    }
}

fn fails(folders: &str, name: &str, failure: &str, sticky: bool) {
    let answer = scenario(folders, name, &[("FAKE_CUDA_DEFER", "1"), ("FAKE_CUDA_FAIL", failure)]);
    let silent = answer.told == "sticky false, lost 0, Ok(())";
    assert!(!silent, "{name}: {failure} was hidden");
    assert!(answer.wrong.is_empty(), "{name}: {failure}: {answer:?}");
    let told = answer.told.contains(if sticky { "code: 719" } else { "code: 999" });
    // A recording that failed already is ended all the same, and its own error is the one that is told.
    let told = told || failure.starts_with("cuStreamEndCapture:");
    assert!(told || answer.told.ends_with("Ok(())"), "{name}: {failure}: {answer:?}");
    if answer.told.contains("lost 0") {
        assert!(answer.live.is_empty(), "{name}: {failure}: {answer:?}");
    }
}

#[test]
fn a_sticky_error_is_told_once_and_stays() {
    let folders = stand_ins();
    let failing = [("FAKE_CUDA_DEFER", "1"), ("FAKE_CUDA_FAIL", "work:2:700")];
    let answer = scenario(&folders, "staging_copies", &failing);
    assert!(answer.told.starts_with("sticky true"), "{answer:?}");
    assert!(answer.told.contains("name: Some(\"CUDA_ERROR_ILLEGAL_ADDRESS\"), sticky: true"), "{answer:?}");
    assert!(!answer.told.contains("lost 0,"), "what cannot be freed is counted: {answer:?}");
    assert!(answer.wrong.is_empty(), "{answer:?}");
}

/// The device may still write the host's memory when the wait for it fails; it must not be given back.
#[test]
fn host_memory_in_flight_is_kept() {
    let folders = stand_ins();
    let failing = [("FAKE_CUDA_DEFER", "1"), ("FAKE_CUDA_FAIL", "cuStreamSynchronize:1:999")];
    let answer = scenario(&folders, "staging_dropped_in_flight", &failing);
    assert_eq!(answer.told, "sticky false, lost 1, Ok(())");
    assert_eq!(answer.live, ["context 1", "device-memory 1", "host-memory 2"]);
    assert!(answer.wrong.is_empty(), "{answer:?}");
}

#[test]
fn short_of_memory() {
    let folders = stand_ins();
    let answer = scenario(&folders, "streams_and_events", &[("FAKE_CUDA_MEMORY", "1048575")]);
    assert_eq!(
        answer.told,
        "sticky false, lost 0, \
         Err(OutOfMemory { asked: Bytes(1048576), free: Bytes(1048575), total: Bytes(1048575) })"
    );
    let failing = [("FAKE_CUDA_FAIL", "cuMemHostAlloc:2:2")];
    let answer = scenario(&folders, "staging_copies", &failing);
    assert_eq!(answer.told, "sticky false, lost 0, Err(HostOutOfMemory { asked: Bytes(1) })");
    assert!(answer.live.is_empty() && answer.wrong.is_empty(), "{answer:?}");
    // Where the driver cannot say what is free, its own error is told and no number is made up.
    let failing = [("FAKE_CUDA_FAIL", "cuMemAlloc_v2:1:2,cuMemGetInfo_v2:1:999")];
    let answer = scenario(&folders, "staging_copies", &failing);
    assert!(answer.told.contains("Err(Call { call: \"cuMemAlloc\", code: 2,"), "{answer:?}");
}

#[test]
fn no_such_device() {
    if Context::open(0, Wait::Block).is_ok() {
        println!("this machine has a device; what follows is for those without");
        return;
    }
    let error = Context::open(7, Wait::Block).unwrap_err();
    assert!(matches!(error, CudaError::Probe(_)) && !error.is_sticky(), "{error}");
}
