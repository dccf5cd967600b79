//! ONNX Runtime on a CUDA device gives back what it takes: loads and unloads, and many runs, with the driver's own figure of
//! free memory. Run it when nothing else uses the device. `AEGIS_CYCLES` sets the number of loads of the smallest real model
//! that loads without the host (1,000; what a load takes is printed at the end), `AEGIS_RUNS` that of runs (10,000). Where the device is missing the tests say that they were skipped; `AEGIS_REQUIRE_GPU=1` makes that a
//! failure.
#[path = "common/bare.rs"]
mod bare;
mod common;

use aegis_backend::conformance::onnx;
use aegis_backend::{Artifact, Binding, DeviceBinding, Limits, Model, Runner, RuntimeBackend};
use aegis_backend_ort::OrtBackend;
use aegis_core::Bytes;
use aegis_cuda::{DeviceMemory, Stream};
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Both tests watch one figure, so they take turns.
static DEVICE: Mutex<()> = Mutex::new(());

/// The driver hands memory out in blocks of this size; code that a library loads late takes some.
const SLACK: Bytes = Bytes(4 << 20);

/// How often the loads say how far they are.
const PROGRESS: Duration = Duration::from_secs(3);

fn number(name: &str, usual: u32) -> u32 {
    std::env::var(name)
        .ok()
        .map_or(usual, |n| n.parse().unwrap_or_else(|_| panic!("{name}={n} is no number")))
}

fn free(stream: &Stream) -> Bytes {
    stream.synchronize().unwrap();
    stream.context().memory().unwrap().0
}

fn open(model: &dyn Model, stream: &Arc<Stream>) -> Runner {
    let device = DeviceBinding::alone(stream, model.facts()).unwrap();
    Runner::open(model, &Binding { threads: None, device: Some(device) }).unwrap()
}

/// The first of the real models, smallest first, that does without the host; without models one written by hand.
fn small(backend: &OrtBackend) -> Artifact {
    let real = common::gpu_models().into_iter().map(|path| Artifact::open(&path).unwrap());
    real.chain([Artifact::from_bytes("hand.onnx", onnx::dense())])
        .find(|artifact| match backend.load(artifact, &Limits::default()) {
            Ok(_) => true,
            Err(error) => {
                println!("{error}");
                false
            }
        })
        .expect("the model written by hand loads")
}

fn assert_flat(what: &str, before: Bytes, after: Bytes) {
    assert!(after + SLACK >= before, "{what}: {before} were free, now {after}");
}

/// Does it `cycles` times; answers what is free after the first few, which bring the libraries' code to the device, and
/// what is free at the end.
fn cycle(what: &str, cycles: u32, stream: &Stream, mut once: impl FnMut()) -> (Bytes, Bytes) {
    let (start, mut said, mut before) = (Instant::now(), Instant::now(), Bytes::ZERO);
    for cycle in 0..cycles {
        once();
        let now = free(stream);
        if cycle == cycles.min(10) - 1 {
            before = now;
        }
        if cycle == 0 || said.elapsed() >= PROGRESS {
            said = Instant::now();
            println!("{what} {cycle} of {cycles}: {} B free, {:.1?}", now.0, start.elapsed());
        }
    }
    let after = free(stream);
    println!("{what}: {cycles} in {:.1?}: {} B free before, {} B after", start.elapsed(), before.0, after.0);
    (before, after)
}

/// ONNX Runtime itself may keep something of each session: what bare sessions of the same model keep, ours may.
#[test]
fn loads_and_unloads_leave_nothing_behind() {
    let Some((backend, stream)) = common::cuda(false) else { return };
    let _turn = DEVICE.lock().unwrap_or_else(PoisonError::into_inner);
    let artifact = small(&backend);
    let cycles = number("AEGIS_CYCLES", 1_000);
    let model = backend.load(&artifact, &Limits::default()).unwrap();
    let (facts, device) = (model.facts().clone(), DeviceBinding::alone(&stream, model.facts()).unwrap());
    drop(model);
    let (before, after) = cycle("bare session", cycles, &stream, || {
        let mut bare = bare::Bare::new(artifact.bytes(), &facts, &device, true);
        bare.run();
        stream.synchronize().unwrap();
    });
    let kept = before.saturating_sub(after);
    let (before, after) = cycle("load", cycles, &stream, || {
        let model = backend.load(&artifact, &Limits::default()).unwrap();
        open(&*model, &stream).run_job(1).unwrap();
    });
    println!("{}: bare sessions keep {} B of the device", artifact.origin().display(), kept.0);
    assert_flat("after the loads, apart from what bare sessions keep", before, after + kept);
}

/// Jobs are on the stream when `enqueue` returns, not yet done.
#[test]
fn enqueue_returns_before_the_device_is_done() {
    let Some((backend, stream)) = common::cuda(false) else { return };
    let _turn = DEVICE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(path) = common::gpu_model() else { return };
    let model = backend.load_model(&Artifact::open(&path).unwrap(), &Limits::default()).unwrap();
    let device = DeviceBinding::alone(&stream, model.facts()).unwrap();
    let binding = Binding { threads: None, device: Some(device) };
    let mut session = model.open(&binding).unwrap().into_device().expect("it lives on the device");
    // So much that the device is at it for longer than any call takes to put the model's work behind it.
    let busy = DeviceMemory::alloc(stream.context(), Bytes(256 << 20)).unwrap();
    let mut early = 0;
    for _ in 0..20 {
        for _ in 0..200 {
            stream.fill(&busy, 0).unwrap();
        }
        session.enqueue(0).unwrap();
        early += u32::from(!stream.is_done().unwrap());
        stream.synchronize().unwrap();
    }
    println!("{early} of 20 calls returned before the device was done");
    assert!(early > 0, "each call waits for the device");
}

#[test]
fn runs_take_nothing() {
    let Some((backend, stream)) = common::cuda(false) else { return };
    let _turn = DEVICE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(path) = common::gpu_model() else { return };
    let model = backend.load_model(&Artifact::open(&path).unwrap(), &Limits::default()).unwrap();
    let held = model.arena().unwrap().expect("on a device").total;
    let mut runner = open(&model, &stream);
    for _ in 0..10 {
        runner.run_job(1).unwrap();
    }
    let (before, runs, start) = (free(&stream), number("AEGIS_RUNS", 10_000), Instant::now());
    for _ in 0..runs {
        runner.run_job(1).unwrap();
    }
    let (took, after) = (start.elapsed(), free(&stream));
    let arena = model.arena().unwrap().expect("on a device");
    println!("{runs} runs in {took:.1?}: {before} free before, {after} after; {arena:?}");
    assert_eq!(arena.total, held, "the arena grew");
    assert_flat("after the runs", before, after);
}
