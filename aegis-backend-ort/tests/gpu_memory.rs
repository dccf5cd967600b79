//! ONNX Runtime on a CUDA device gives back what it takes: loads and unloads, and many runs, with the driver's own figure of
//! free memory. Run it when nothing else uses the device. `AEGIS_CYCLES` sets the number of loads of the smallest real model
//! that loads without the host (1,000; what a load takes is printed at the end), `AEGIS_RUNS` that of runs (10,000). Where the device is missing the tests say that they were skipped; `AEGIS_REQUIRE_GPU=1` makes that a
//! failure.
mod common;

use aegis_backend::conformance::onnx;
use aegis_backend::{Artifact, Binding, DeviceBinding, Limits, Model, Runner, RuntimeBackend};
use aegis_backend_ort::OrtBackend;
use aegis_core::Bytes;
use aegis_cuda::Stream;
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

#[test]
fn loads_and_unloads_leave_nothing_behind() {
    let Some((backend, stream)) = common::cuda(false) else { return };
    let _turn = DEVICE.lock().unwrap_or_else(PoisonError::into_inner);
    let artifact = small(&backend);
    let cycles = number("AEGIS_CYCLES", 1_000);
    let (mut before, start) = (Bytes::ZERO, Instant::now());
    let (mut loading, mut longest, mut said) = (Duration::ZERO, Duration::ZERO, start);
    for cycle in 0..cycles {
        let begun = Instant::now();
        let model = backend.load(&artifact, &Limits::default()).unwrap();
        let took = begun.elapsed();
        loading += took;
        // The first brings the libraries' code to the device.
        longest = longest.max(if cycle == 0 { Duration::ZERO } else { took });
        open(&*model, &stream).run_job(1).unwrap();
        drop(model);
        let now = free(&stream);
        // The first loads bring the libraries' code to the device.
        if cycle == cycles.min(10) - 1 {
            before = now;
        }
        if cycle == 0 || said.elapsed() >= PROGRESS {
            said = Instant::now();
            println!(
                "cycle {cycle} of {cycles}: {now} free, {:.1?}; this load took {took:.1?}",
                start.elapsed()
            );
        }
        assert_flat(&format!("after cycle {cycle}"), before, now);
    }
    let after = free(&stream);
    println!("{cycles} cycles in {:.1?}: {before} free before, {after} after", start.elapsed());
    println!(
        "{}: a load takes {:.1?}, after the first at most {longest:.1?}",
        artifact.origin().display(),
        loading / cycles.max(1)
    );
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
