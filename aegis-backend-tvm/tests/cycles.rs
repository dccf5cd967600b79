//! Models are loaded, run and dropped many times, in a process of its own, and the memory is what it was: nothing of TVM's
//! is lost. `AEGIS_CYCLES` says how often; 60 times without it.
#![cfg(target_os = "linux")]
mod common;

use aegis_backend::{Binding, Limits, Runner, RuntimeBackend};

/// Memory that the process has in use, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Mappings and open files.
fn held() -> (usize, usize) {
    let mappings = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    (mappings, std::fs::read_dir("/proc/self/fd").unwrap().count())
}

#[test]
fn loads_and_drops_leave_nothing_behind() {
    let (Some(backend), Some(artifact)) = (common::tvm(), common::module("branches")) else { return };
    let cycles = std::env::var("AEGIS_CYCLES").map_or(60, |n| n.parse().expect("AEGIS_CYCLES is a number"));
    let cycle = || {
        let model = backend.load(&artifact, &Limits::default()).unwrap();
        let mut runner = Runner::open(&*model, &Binding::default()).unwrap();
        common::compare(model.facts(), &mut runner, &artifact, 1e-4);
        drop(model);
        runner.run(0).unwrap();
    };
    // What is made once for the process, and the allocator's habits.
    for _ in 0..20 {
        cycle();
    }
    let (before, held_before) = (resident(), held());
    for _ in 0..cycles {
        cycle();
    }
    let (after, held_after) = (resident(), held());
    println!("{cycles} cycles: {before} KiB before, {after} KiB after; {held_before:?}, {held_after:?}");
    assert_eq!(held_before.1, held_after.1, "open files");
    assert!(held_after.0 <= held_before.0 + 4, "mappings: {held_before:?}, {held_after:?}");
    // A module is 76 KiB of code and constants: one lost in ten would show.
    assert!(
        after <= before + 256 + 8 * cycles / 10,
        "{before} KiB before {cycles} cycles, {after} KiB after"
    );

    // Jobs alone lose nothing either.
    let model = backend.load(&artifact, &Limits::default()).unwrap();
    let mut runner = Runner::open(&*model, &Binding::default()).unwrap();
    let mut jobs = |n: u64| (0..n).for_each(|_| runner.run(0).unwrap());
    jobs(100);
    let before = resident();
    jobs(20 * cycles);
    let after = resident();
    println!("{} jobs: {before} KiB before, {after} KiB after", 20 * cycles);
    assert!(after <= before + 64, "{before} KiB before {} jobs, {after} KiB after", 20 * cycles);
}
