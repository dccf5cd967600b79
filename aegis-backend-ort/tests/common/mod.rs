//! What the tests need that may not be on this machine: ONNX Runtime, the folder of models, a device.
#![allow(dead_code, reason = "no test uses all of it")]

use aegis_backend::BackendError;
use aegis_backend_ort::{OrtBackend, Provider};
use aegis_cuda::{Context, Stream, StreamPriority, Wait};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// The backend; `None`, with a notice, where ONNX Runtime is not installed and `AEGIS_REQUIRE_ORT=1` is not set.
pub fn ort() -> Option<OrtBackend> {
    // Looked for once: where it is missing, each search asks all interpreters again.
    static FOUND: OnceLock<Result<OrtBackend, BackendError>> = OnceLock::new();
    match FOUND.get_or_init(|| OrtBackend::find(None)) {
        Ok(backend) => Some(backend.clone()),
        Err(error) if std::env::var_os("AEGIS_REQUIRE_ORT").is_some_and(|v| v == "1") => panic!("{error}"),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

/// The folder of models; `None`, with a notice, where it is not there and `AEGIS_REQUIRE_MODELS=1` is not set.
pub fn models() -> Option<PathBuf> {
    let beside_the_repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/models");
    let folder: PathBuf =
        std::env::var_os("AEGIS_MODELS").unwrap_or_else(|| beside_the_repository.into()).into();
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var_os("AEGIS_REQUIRE_MODELS").is_some_and(|v| v == "1");
    assert!(!required, "there is no folder {}; AEGIS_MODELS names another", folder.display());
    println!("skipped: there is no folder {}; AEGIS_MODELS names another", folder.display());
    None
}

/// The backend on the first CUDA device, and the stream it was told; `None`, with a notice, where the driver, a device or
/// ONNX Runtime's CUDA provider is missing and `AEGIS_REQUIRE_GPU=1` is not set.
pub fn cuda(cpu_fallback: bool) -> Option<(OrtBackend, Arc<Stream>)> {
    let required = std::env::var_os("AEGIS_REQUIRE_GPU").is_some_and(|v| v == "1");
    let found = || -> Result<_, String> {
        let context = Context::open(0, Wait::Block).map_err(|error| error.to_string())?;
        let stream = Stream::new(&context, StreamPriority::Usual).map_err(|error| error.to_string())?;
        let backend = OrtBackend::find(None).map_err(|error| error.to_string())?;
        let provider = Provider::Cuda { stream: Arc::clone(&stream), cpu_fallback };
        Ok((backend.on(provider).map_err(|error| error.to_string())?, stream))
    };
    match found() {
        Ok(found) => Some(found),
        Err(error) if required => panic!("{error}"),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

/// A real model for the device: `AEGIS_ORT_GPU_MODEL`, or one of the folder of models.
pub fn gpu_model() -> Option<PathBuf> {
    let named = std::env::var_os("AEGIS_ORT_GPU_MODEL").map(PathBuf::from);
    named.or_else(|| models().map(|folder| folder.join("squeezenet1_1.onnx")))
}

/// Real models for a device, smallest first: `AEGIS_ORT_GPU_MODEL` alone, or two of the folder of models.
pub fn gpu_models() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("AEGIS_ORT_GPU_MODEL") {
        return vec![named.into()];
    }
    let names = ["lstm_predictor.onnx", "squeezenet1_1.onnx"];
    models().map_or_else(Vec::new, |folder| names.map(|name| folder.join(name)).into())
}
