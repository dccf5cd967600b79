//! What the tests need that may not be on this machine: TVM's runtime, and the modules that `test_modules.py` makes.
#![allow(dead_code, reason = "each test file uses a part of it")]
use aegis_backend::{Artifact, BackendError, DType, ModelFacts, Runner};
use aegis_backend_tvm::TvmBackend;
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::sync::OnceLock;

/// Whether what is missing is a failure.
fn required() -> bool {
    std::env::var_os("AEGIS_REQUIRE_TVM").is_some_and(|v| v == "1")
}

fn missing<T>(what: &str) -> Option<T> {
    assert!(!required(), "{what}");
    println!("skipped: {what}");
    None
}

/// The backend; `None`, with a notice, where TVM is not installed and `AEGIS_REQUIRE_TVM=1` is not set.
pub fn tvm() -> Option<TvmBackend> {
    // Looked for once: where it is missing, each search asks Python again.
    static FOUND: OnceLock<Result<TvmBackend, BackendError>> = OnceLock::new();
    match FOUND.get_or_init(|| TvmBackend::find(None)) {
        Ok(backend) => Some(backend.clone()),
        Err(error) => missing(&error.to_string()),
    }
}

/// The folder that an environment variable names; `None` likewise.
pub fn folder(variable: &str) -> Option<PathBuf> {
    match std::env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_dir()) {
        Some(folder) => Some(folder),
        None => missing(&format!("{variable} names no folder; `scripts/tvm/test_modules.py` fills one")),
    }
}

/// The folder of compiled modules; `None` likewise.
pub fn modules() -> Option<PathBuf> {
    folder("AEGIS_TVM_MODULES")
}

/// A compiled module of that folder.
pub fn module(name: &str) -> Option<Artifact> {
    let file = modules()?.join(format!("{name}.tvm"));
    Some(Artifact::open(&file).unwrap_or_else(|error| panic!("{error}")))
}

/// Runs a model on the inputs that lie beside it as `NAME.in0`, … and compares with `NAME.out0`, …: floats to within
/// `tolerance` of the largest. Answers by how much they differ.
pub fn compare(facts: &ModelFacts, runner: &mut Runner, artifact: &Artifact, tolerance: f64) -> f64 {
    let beside = |end: String| {
        std::fs::read(artifact.origin().with_extension(&end)).unwrap_or_else(|why| panic!("{end}: {why}"))
    };
    for index in 0..facts.inputs.len() {
        runner.input_mut(index).unwrap().unwrap().copy_from_slice(&beside(format!("in{index}")));
    }
    runner.fill_outputs(0xa5).unwrap();
    runner.run(0).unwrap_or_else(|error| panic!("{}: {error}", artifact.origin().display()));
    let mut worst = 0.0f64;
    for (index, facts) in facts.outputs.iter().enumerate() {
        let (expected, got) = (beside(format!("out{index}")), runner.output(index).unwrap());
        assert_eq!(expected.len(), got.len(), "{facts}");
        if facts.dtype != DType::F32 {
            assert_eq!(expected, got, "output `{}`", facts.name);
            continue;
        }
        let floats = |bytes: &[u8]| -> Vec<f64> {
            bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
        };
        let (expected, got) = (floats(&expected), floats(got));
        let largest = expected.iter().fold(1e-30f64, |most, v| most.max(v.abs()));
        let apart = expected.iter().zip(&got).fold(0.0f64, |most, (a, b)| most.max((a - b).abs())) / largest;
        assert!(
            apart <= tolerance,
            "{}: output `{}` differs by {apart:e}",
            artifact.origin().display(),
            facts.name
        );
        worst = worst.max(apart);
    }
    worst
}

/// The file with another manifest and other code, and the digest that belongs to them.
pub fn repacked(artifact: &Artifact, manifest: impl Fn(String) -> String, code: Option<&[u8]>) -> Artifact {
    let bytes = artifact.bytes();
    let length = u32::from_le_bytes(*bytes[12..].first_chunk().unwrap()) as usize;
    let text = String::from_utf8(bytes[48..48 + length].to_vec()).unwrap();
    let changed = manifest(text.clone());
    let body = [changed.as_bytes(), code.unwrap_or(&bytes[48 + length..])].concat();
    let length = u32::try_from(changed.len()).unwrap().to_le_bytes();
    let digest = Sha256::digest(&body);
    Artifact::from_bytes("other.tvm", [&bytes[..12], &length, digest.as_slice(), &body].concat())
}
