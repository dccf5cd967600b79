//! The ONNX Runtime backend: conformance on models written by hand and on a real one, types, sharing and refusals.
//! Where ONNX Runtime is not installed, each test says that it was skipped; `AEGIS_REQUIRE_ORT=1` makes that a failure.
mod common;

use aegis_backend::conformance::{Case, onnx};
use aegis_backend::{
    Artifact, BackendError, Binding, DType, Limits, Model, RuntimeBackend, Scratch, TensorBuf, run_job,
};
use aegis_backend_ort::OrtBackend;
use aegis_core::Bytes;

fn case(bytes: Vec<u8>) -> Option<Case> {
    let model = Artifact::from_bytes("hand.onnx", bytes);
    Some(Case { backend: Box::new(common::ort()?), model, stream: None })
}

mod dense {
    aegis_backend::conformance!(super::case(super::onnx::dense()));
}

mod mixed {
    aegis_backend::conformance!(super::case(super::onnx::mixed()));
}

mod real {
    use super::*;

    fn lstm() -> Option<Case> {
        let (backend, folder) = (common::ort()?, common::models()?);
        let model = Artifact::open(&folder.join("lstm_predictor.onnx")).unwrap_or_else(|e| panic!("{e}"));
        Some(Case { backend: Box::new(backend), model, stream: None })
    }
    aegis_backend::conformance!(lstm());
}

fn load(backend: &OrtBackend, bytes: Vec<u8>) -> Result<Box<dyn Model>, BackendError> {
    backend.load(&Artifact::from_bytes("hand.onnx", bytes), &Limits::default())
}

fn tensor(dtype: DType, shape: &[u64], bytes: &[u8]) -> TensorBuf {
    let mut tensor = TensorBuf::zeroed(dtype, shape).unwrap();
    tensor.data_mut().copy_from_slice(bytes);
    tensor
}

#[test]
fn facts_are_those_of_the_file() {
    let Some(backend) = common::ort() else { return };
    assert!(backend.version().starts_with("onnxruntime 1."), "{}", backend.version());
    let model = load(&backend, onnx::mixed()).unwrap();
    let facts = model.facts();
    let shown: Vec<String> = facts.inputs.iter().chain(&facts.outputs).map(ToString::to_string).collect();
    assert_eq!(shown, ["i64[n]", "bool[64]", "f32[n,3]", "i64[n]", "bool[n,3]", "bool[64]"]);
    assert_eq!(facts.weights, Bytes(60 + onnx::mixed().len() as u64), "constants and the file's bytes");
    assert_eq!((&facts.scratch, facts.segments), (&Scratch::Opaque { at_most: None }, 1));
}

#[test]
fn extents_that_the_file_leaves_open_are_inferred() {
    let Some(backend) = common::ort() else { return };
    let model = onnx::model(
        &[onnx::node("Relu", &["x"], "y")],
        &[onnx::initializer("w", onnx::F32, &[1], &[0; 4])],
        &[onnx::port("x", onnx::F32, &["2", "5"])],
        &[onnx::Message::new()
            .bytes(1, "y")
            .bytes(2, onnx::Message::new().bytes(1, onnx::Message::new().number(1, onnx::F32)))],
    );
    assert_eq!(load(&backend, model).unwrap().facts().outputs[0].to_string(), "f32[2,5]");
}

#[test]
fn wide_and_symbolic_types_arrive_whole() {
    let Some(backend) = common::ort() else { return };
    let model = load(&backend, onnx::mixed()).unwrap();
    let long = |values: &[i64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let flags: Vec<u8> = (0..64).map(|i| i % 3 % 2).collect();
    let mut session = model.open(&Binding::default()).unwrap().into_host().unwrap();
    let mut execute = |index: &[i64], flags: &[u8], rows: u64| {
        let inputs =
            [tensor(DType::I64, &[index.len() as u64], &long(index)), tensor(DType::Bool, &[64], flags)];
        let mut outputs = [
            TensorBuf::zeroed(DType::F32, &[rows, 3]).unwrap(),
            TensorBuf::zeroed(DType::I64, &[rows]).unwrap(),
            TensorBuf::zeroed(DType::Bool, &[rows, 3]).unwrap(),
            TensorBuf::zeroed(DType::Bool, &[64]).unwrap(),
        ];
        run_job(&mut *session, 1, &inputs, &mut outputs).map(|()| outputs)
    };
    let got = execute(&[3, 0, 2], &flags, 3).unwrap();
    let table = onnx::weights(12);
    let rows: Vec<u8> = [3usize, 0, 2].iter().flat_map(|row| table[row * 12..][..12].to_vec()).collect();
    assert_eq!(got[0].data(), rows);
    assert_eq!(got[1].data(), long(&[4, 1, 3]));
    let high = rows.as_chunks::<4>().0.iter().map(|b| u8::from(f32::from_le_bytes(*b) > 0.0));
    assert_eq!(got[2].data(), high.collect::<Vec<u8>>());
    assert_eq!(got[3].data(), flags.iter().map(|f| 1 - f).collect::<Vec<u8>>());

    let error = execute(&[0], &[2; 64], 1).unwrap_err();
    assert!(matches!(error, BackendError::BadTensor { which: "input", .. }), "2 is no boolean: {error:?}");
    let error = execute(&[9, 9], &flags, 2).unwrap_err();
    assert!(matches!(error, BackendError::Execution { .. }), "beyond the table: {error:?}");
    let error = execute(&[0, 1], &flags, 4).unwrap_err().to_string();
    assert_eq!(error, "output `row`: the model produced shape [2, 3], given [4, 3]");
    execute(&[1], &flags, 1).expect("the session is unhurt");
}

#[test]
fn any_number_of_threads_gives_the_same() {
    let Some(backend) = common::ort() else { return };
    let model = load(&backend, onnx::dense()).unwrap();
    let x: Vec<u8> = (0..32u8).flat_map(|i| (f32::from(i) / 8.0 - 2.0).to_le_bytes()).collect();
    let input = [tensor(DType::F32, &[2, 16], &x)];
    let mut sessions: Vec<_> = [None, Some(0), Some(1), Some(3), None]
        .map(|threads| model.open(&Binding { threads, ..Binding::default() }).unwrap().into_host().unwrap())
        .into_iter()
        .collect();
    drop(model);
    let results: Vec<Vec<u8>> = sessions
        .iter_mut()
        .map(|session| {
            let mut output = [TensorBuf::zeroed(DType::F32, &[2, 8]).unwrap()];
            run_job(&mut **session, 1, &input, &mut output).unwrap();
            output[0].data().to_vec()
        })
        .collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
    assert!(results[0].iter().any(|byte| *byte != 0));
}

#[test]
fn what_cannot_be_done_is_refused_at_load() {
    let Some(backend) = common::ort() else { return };
    let one = |operator, element| {
        onnx::model(
            &[onnx::node(operator, &["x"], "y")],
            &[],
            &[onnx::port("x", element, &["1"])],
            &[onnx::port("y", element, &["1"])],
        )
    };
    for (bytes, says) in [
        (one("Relu", 10), "hand.onnx: input `x` is f16, which this backend does not take yet"),
        (one("Relu", 11), "hand.onnx: input `x` has ONNX element type 11, which is not supported"),
        (one("Teleport", 1), "Teleport"),
    ] {
        let error = load(&backend, bytes).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("hand.onnx"), "{error}\nbut not {says}");
    }
}

#[test]
fn the_process_has_one_runtime() {
    let Some(first) = common::ort() else { return };
    let second = OrtBackend::find(None).unwrap();
    assert_eq!(first.library(), second.library());
    OrtBackend::find(Some(first.library())).expect("the same library by name");

    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("libonnxruntime.so");
    std::fs::write(&copy, "another").unwrap();
    let error = OrtBackend::find(Some(&copy)).unwrap_err();
    assert!(matches!(error, BackendError::Unavailable { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("this process runs ONNX Runtime 1."), "{message}");
    assert!(message.contains("libonnxruntime.so besides; use one library in a process"), "{message}");
    load(&first, onnx::dense()).expect("the first still works");
}
