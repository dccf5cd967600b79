//! The TVM backend on the host: conformance, agreement with ONNX Runtime, memory, operators, sharing and refusals. Where
//! TVM or the modules are missing, each test says that it was skipped; `AEGIS_REQUIRE_TVM=1` makes that a failure.
#![cfg(target_os = "linux")]
mod common;

use aegis_backend::conformance::Case;
use aegis_backend::{
    Artifact, BackendError, Binding, DType, Io, Limits, Model, Place, Runner, RuntimeBackend, Scratch,
    TensorBuf, TensorMut, TensorRef,
};
use aegis_backend_tvm::TvmBackend;
use aegis_core::{Bytes, Rng};

fn case(name: &str) -> Option<Case> {
    Some(Case { backend: Box::new(common::tvm()?), model: common::module(name)?, stream: None })
}

mod mlp {
    aegis_backend::conformance!(super::case("mlp"));
}

mod mixed {
    aegis_backend::conformance!(super::case("mixed"));
}

mod branches {
    aegis_backend::conformance!(super::case("branches"));
}

fn load(backend: &TvmBackend, artifact: &Artifact) -> Box<dyn Model> {
    backend.load(artifact, &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn outputs_are_those_of_onnx_runtime() {
    let (Some(backend), Some(folder)) = (common::tvm(), common::modules()) else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "tvm") {
            continue;
        }
        let artifact = Artifact::open(&path).unwrap();
        let model = load(&backend, &artifact);
        let mut runner = Runner::open(&*model, &Binding::default()).unwrap();
        let apart = common::compare(model.facts(), &mut runner, &artifact, 1e-4);
        let start = std::time::Instant::now();
        runner.run(0).unwrap();
        let facts = model.facts();
        println!(
            "{}: differs by {apart:.1e}, runs in {:.2?}, weights {}, scratch {:?}",
            path.display(),
            start.elapsed(),
            facts.weights,
            facts.scratch
        );
        seen += 1;
    }
    assert!(seen >= 3, "{seen} modules");
}

#[test]
fn facts_are_those_of_the_manifest_and_of_a_recorded_run() {
    let (Some(backend), Some(artifact)) = (common::tvm(), common::module("branches")) else { return };
    assert_eq!(backend.version(), format!("tvm-ffi {}", backend.library().version));
    let model = load(&backend, &artifact);
    let facts = model.facts();
    let shown: Vec<String> = facts.inputs.iter().chain(&facts.outputs).map(ToString::to_string).collect();
    assert_eq!(shown, ["f32[1,3,24,24]", "f32[1,8,12,12]", "f32[1,8,1,1]", "f32[1,3,24,24]"]);
    assert_eq!((facts.place, facts.segments), (Place::Host, 1));
    assert!(facts.weights.0 > artifact.bytes().len() as u64, "code and constants: {}", facts.weights);
    // Two intermediate images of 8 channels live at the same time, and some padding around them.
    let image = 8 * 24 * 24 * 4;
    let Scratch::Opaque { at_most: Some(scratch) } = facts.scratch else { panic!("{:?}", facts.scratch) };
    assert!((2 * image..6 * image).contains(&scratch.0), "{scratch}");
}
