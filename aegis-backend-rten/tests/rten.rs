//! The rten backend: conformance on models written by hand and on a real one, types, threads and refusals.
use aegis_backend::conformance::{Case, onnx};
use aegis_backend::{
    Artifact, BackendError, Binding, DType, Limits, Model, RuntimeBackend, Scratch, TensorBuf, run_job,
};
use aegis_backend_rten::RtenBackend;
use aegis_core::Bytes;
use std::path::PathBuf;

fn case(bytes: Vec<u8>) -> Case {
    Case {
        backend: Box::new(RtenBackend::new()),
        model: Artifact::from_bytes("hand.onnx", bytes),
        stream: None,
    }
}

mod dense {
    aegis_backend::conformance!(Some(super::case(super::onnx::dense())));
}

mod mixed {
    aegis_backend::conformance!(Some(super::case(super::onnx::mixed())));
}

mod real {
    use super::*;

    fn lstm() -> Option<Case> {
        let beside_the_repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/models");
        let folder = std::env::var_os("AEGIS_MODELS").unwrap_or_else(|| beside_the_repository.into());
        let path = PathBuf::from(folder).join("lstm_predictor.onnx");
        if !path.exists() && std::env::var_os("AEGIS_REQUIRE_MODELS").is_none() {
            println!("skipped: {} is not there; AEGIS_MODELS names another folder", path.display());
            return None;
        }
        let model = Artifact::open(&path).unwrap_or_else(|error| panic!("{error}"));
        Some(Case { backend: Box::new(RtenBackend::new()), model, stream: None })
    }
    aegis_backend::conformance!(lstm());
}

fn load(bytes: Vec<u8>) -> Result<Box<dyn Model>, BackendError> {
    RtenBackend::new().load(&Artifact::from_bytes("hand.onnx", bytes), &Limits::default())
}

/// Runs one job; inputs and outputs are `(type, shape, bytes)` and `(type, shape)`.
fn execute(
    model: &dyn Model,
    threads: Option<u32>,
    inputs: &[(DType, &[u64], &[u8])],
    outputs: &[(DType, &[u64])],
) -> Result<Vec<Vec<u8>>, BackendError> {
    let filled = |(dtype, shape, bytes): &(DType, &[u64], &[u8])| {
        let mut tensor = TensorBuf::zeroed(*dtype, shape).unwrap();
        tensor.data_mut().copy_from_slice(bytes);
        tensor
    };
    let inputs: Vec<_> = inputs.iter().map(filled).collect();
    let mut outputs: Vec<_> = outputs.iter().map(|(d, s)| TensorBuf::zeroed(*d, s).unwrap()).collect();
    let mut session = model.open(&Binding { threads, ..Binding::default() })?.into_host().unwrap();
    run_job(&mut *session, model.facts().segments, &inputs, &mut outputs)?;
    Ok(outputs.iter().map(|t| t.data().to_vec()).collect())
}

#[test]
fn facts_are_those_of_the_file() {
    let model = load(onnx::mixed()).unwrap();
    let facts = model.facts();
    let shown: Vec<String> = facts.inputs.iter().chain(&facts.outputs).map(ToString::to_string).collect();
    assert_eq!(shown, ["i64[n]", "bool[64]", "f32[n,3]", "i64[n]", "bool[n,3]", "bool[64]"]);
    assert_eq!((facts.weights, facts.segments), (Bytes(60), 1));
    assert_eq!(facts.scratch, Scratch::Heap);
}

#[test]
fn the_dense_layer_is_computed() {
    let values = |bytes: &[u8]| -> Vec<f32> {
        bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    let (w, b) = (values(&onnx::weights(128)), values(&onnx::weights(8)));
    let x: Vec<f32> = (0..32u8).map(|i| f32::from(i) / 8.0 - 2.0).collect();
    let expected: Vec<f32> = (0..16)
        .map(|i| {
            let (row, column) = (i / 8, i % 8);
            let sum: f32 = (0..16).map(|k| x[row * 16 + k] * w[k * 8 + column]).sum();
            (sum + b[column]).max(0.0)
        })
        .collect();
    let bytes: Vec<u8> = x.iter().flat_map(|v| v.to_le_bytes()).collect();
    let model = load(onnx::dense()).unwrap();
    for threads in [None, Some(0), Some(1), Some(3)] {
        let got = execute(&*model, threads, &[(DType::F32, &[2, 16], &bytes)], &[(DType::F32, &[2, 8])]);
        for (got, expected) in values(&got.unwrap()[0]).iter().zip(&expected) {
            assert!((got - expected).abs() <= 1e-5, "{got} instead of {expected}, threads {threads:?}");
        }
    }
}

#[test]
fn wide_and_symbolic_types_arrive_whole() {
    let model = load(onnx::mixed()).unwrap();
    let index: Vec<u8> = [3i64, 0, 2].iter().flat_map(|i| i.to_le_bytes()).collect();
    let flag: Vec<u8> = (0..64).map(|i| i % 3 % 2).collect();
    let outputs = [
        (DType::F32, &[3, 3][..]),
        (DType::I64, &[3][..]),
        (DType::Bool, &[3, 3][..]),
        (DType::Bool, &[64][..]),
    ];
    let inputs = |index| [(DType::I64, &[3][..], index), (DType::Bool, &[64][..], &*flag)];
    let got = execute(&*model, None, &inputs(&*index), &outputs).unwrap();
    let table = onnx::weights(12);
    let rows: Vec<u8> = [3usize, 0, 2].iter().flat_map(|row| table[row * 12..][..12].to_vec()).collect();
    assert_eq!(got[0], rows);
    assert_eq!(got[1], [4i64, 1, 3].iter().flat_map(|i| i.to_le_bytes()).collect::<Vec<u8>>());
    let high: Vec<u8> =
        rows.as_chunks::<4>().0.iter().map(|b| u8::from(f32::from_le_bytes(*b) > 0.0)).collect();
    assert_eq!(got[2], high);
    assert_eq!(got[3], flag.iter().map(|f| 1 - f).collect::<Vec<u8>>());

    // Beyond 32 bits, beyond the table, and an output that is declared longer than the rows that come.
    let wide: Vec<u8> = [1i64, 1 << 32, 0].iter().flat_map(|i| i.to_le_bytes()).collect();
    let error = execute(&*model, None, &inputs(&*wide), &outputs).unwrap_err().to_string();
    assert_eq!(error, "input `index`: element 1 is 4294967296; rten computes with 32 bits");
    let outside: Vec<u8> = [9i64, 9, 9].iter().flat_map(|i| i.to_le_bytes()).collect();
    let error = execute(&*model, None, &inputs(&*outside), &outputs).unwrap_err();
    assert!(matches!(error, BackendError::Execution { .. }), "{error:?}");
    let mut longer = outputs;
    longer[1].1 = &[4];
    let error = execute(&*model, None, &inputs(&*index), &longer).unwrap_err().to_string();
    assert_eq!(error, "output `next`: the model produced shape [3], given [4]");
}

#[test]
fn what_rten_cannot_do_is_refused_at_load() {
    let one = |operator, element, shape: &[&str]| {
        onnx::model(
            &[onnx::node(operator, &["x"], "y")],
            &[],
            &[onnx::port("x", element, shape)],
            &[onnx::port("y", element, shape)],
        )
    };
    let shapeless = onnx::model(
        &[onnx::node("Relu", &["x"], "y")],
        &[],
        &[onnx::Message::new().bytes(1, "x").bytes(2, onnx::Message::new().bytes(1, [0x08, 0x01]))],
        &[onnx::port("y", onnx::F32, &["1"])],
    );
    for (bytes, says) in [
        (one("Relu", 10, &["1"]), "hand.onnx: input `x` is f16, which rten does not take"),
        (one("Relu", 11, &["1"]), "hand.onnx: input `x` has ONNX element type 11, which is not supported"),
        (one("Teleport", 1, &["1"]), "Teleport"),
        (shapeless, "hand.onnx: input `x` has no shape in the file; add it with"),
    ] {
        let error = load(bytes).map(|_| ()).unwrap_err();
        assert!(matches!(error, BackendError::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error}\nbut not {says}");
    }
}
