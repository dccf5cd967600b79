//! ONNX Runtime and rten compute the same, on real models and on ones written by hand.
mod common;

use aegis_backend::conformance::onnx;
use aegis_backend::{Artifact, Binding, DType, Limits, ModelFacts, RuntimeBackend, TensorBuf, run_job};
use aegis_backend_rten::RtenBackend;
use aegis_core::Rng;
use std::time::Instant;

const SEED: u64 = 20_260_311;

/// The most by which outputs may differ: `max |a - b|` over `max |b|`.
const TOLERANCE: f64 = 1e-3;

struct Ran {
    facts: ModelFacts,
    outputs: Vec<TensorBuf>,
    took: String,
}

fn run(backend: &dyn RuntimeBackend, artifact: &Artifact) -> Ran {
    let start = Instant::now();
    let model = backend
        .load(artifact, &Limits::default())
        .unwrap_or_else(|error| panic!("{}: {error}", backend.name()));
    let loaded = start.elapsed();
    let facts = model.facts().clone();
    let mut rng = Rng::new(SEED);
    let mut inputs: Vec<_> = facts.inputs.iter().map(|t| TensorBuf::for_facts(t).unwrap()).collect();
    for input in &mut inputs {
        input.fill_random(&mut rng);
    }
    let mut outputs: Vec<_> = facts.outputs.iter().map(|t| TensorBuf::for_facts(t).unwrap()).collect();
    let binding = Binding { threads: Some(1), ..Binding::default() };
    let mut session = model.open(&binding).unwrap().into_host().unwrap();
    let mut fastest = std::time::Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        run_job(&mut *session, facts.segments, &inputs, &mut outputs)
            .unwrap_or_else(|error| panic!("{}: {error}", backend.name()));
        fastest = fastest.min(start.elapsed());
    }
    let took = format!("{} loads in {loaded:.1?}, runs in {fastest:.2?}", backend.name());
    Ran { facts, outputs, took }
}

fn floats(tensor: &TensorBuf) -> Vec<f64> {
    tensor.data().as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_ne_bytes(*bytes))).collect()
}

fn check(ort: &dyn RuntimeBackend, artifact: &Artifact) {
    let name = artifact.origin().display();
    let (a, b) = (run(ort, artifact), run(&RtenBackend::new(), artifact));
    assert_eq!((&a.facts.inputs, &a.facts.outputs), (&b.facts.inputs, &b.facts.outputs), "{name}");
    let mut worst = 0.0f64;
    for ((a, b), facts) in a.outputs.iter().zip(&b.outputs).zip(&a.facts.outputs) {
        if facts.dtype != DType::F32 {
            assert_eq!(a.data(), b.data(), "{name}: output `{}`, seed {SEED}", facts.name);
            continue;
        }
        let (a, b) = (floats(a), floats(b));
        assert!(a.iter().chain(&b).all(|v| v.is_finite()), "{name}: output `{}`", facts.name);
        let largest = b.iter().fold(1e-30f64, |most, v| most.max(v.abs()));
        let apart = a.iter().zip(&b).fold(0.0f64, |most, (a, b)| most.max((a - b).abs())) / largest;
        assert!(apart <= TOLERANCE, "{name}: output `{}` differs by {apart:e}, seed {SEED}", facts.name);
        worst = worst.max(apart);
    }
    println!("{name}: differs by {worst:.1e}; {}; {}", a.took, b.took);
}

#[test]
fn models_written_by_hand() {
    let Some(ort) = common::ort() else { return };
    for (name, bytes) in [("dense", onnx::dense()), ("mixed", onnx::mixed())] {
        check(&ort, &Artifact::from_bytes(name, bytes));
    }
}

#[test]
fn real_models() {
    let (Some(ort), Some(folder)) = (common::ort(), common::models()) else { return };
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "onnx"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no .onnx in {}", folder.display());
    for file in files {
        check(&ort, &Artifact::open(&file).unwrap());
    }
}
