//! Every demo model runs on the backends, and its answers are numbers that depend on the input.
#![cfg(feature = "rten")]

use aegisrt::backend::{Artifact, Binding, Limits, Model, RuntimeBackend, TensorBuf, run_job};
use aegisrt::core::Rng;
use aegisrt::zoo;

/// The bytes of every output for an input drawn from `seed`.
fn answers(model: &dyn Model, seed: u64) -> Vec<Vec<u8>> {
    let facts = model.facts();
    let mut rng = Rng::new(seed);
    let buffers =
        |tensors: &[_]| tensors.iter().map(|t| TensorBuf::for_facts(t).unwrap()).collect::<Vec<_>>();
    let (mut inputs, mut outputs) = (buffers(&facts.inputs), buffers(&facts.outputs));
    for input in &mut inputs {
        for bytes in input.data_mut().as_chunks_mut::<4>().0 {
            *bytes = (rng.between(0, 1000) as f32 / 1000.0).to_le_bytes();
        }
    }
    let binding = Binding { threads: Some(1), ..Binding::default() };
    let mut session = model.open(&binding).unwrap().into_host().unwrap();
    run_job(&mut *session, facts.segments, &inputs, &mut outputs).unwrap();
    outputs.iter().map(|output| output.data().to_vec()).collect()
}

fn check(backend: &dyn RuntimeBackend) {
    for model in &zoo::MODELS {
        let artifact = Artifact::from_bytes(model.file, zoo::bytes(model));
        assert_eq!(artifact.digest().to_string(), model.digest);
        let loaded = backend.load(&artifact, &Limits::default()).unwrap_or_else(|error| panic!("{error}"));
        let (first, again, other) = (answers(&*loaded, 1), answers(&*loaded, 1), answers(&*loaded, 2));
        assert_eq!(first, again, "{}: the same input gives the same answer", model.name);
        assert!(!first.is_empty());
        for (output, changed) in first.iter().zip(&other) {
            let values: Vec<f32> =
                output.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            assert!(values.iter().all(|v| v.is_finite()), "{}: {values:?}", model.name);
            let (least, most) = values.iter().fold((f32::MAX, f32::MIN), |(l, m), v| (l.min(*v), m.max(*v)));
            assert!(least < most, "{}: all values are {least}", model.name);
            assert!(most.abs().max(least.abs()) < 1e6, "{}: values up to {most}", model.name);
            assert_ne!(output, changed, "{}: the answer depends on the input", model.name);
        }
    }
}

#[test]
fn every_model_runs_on_rten() {
    check(&aegis_backend_rten::RtenBackend::new());
}
