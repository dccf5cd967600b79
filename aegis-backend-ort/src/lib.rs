//! ONNX Runtime through [ort](https://docs.rs/ort): the library is looked for at run time, building needs nothing.
//!
//! **Where the library comes from.** [`OrtBackend::find`] takes the first of: the path it is given, the environment
//! variable `ORT_DYLIB_PATH`, the Python package `onnxruntime` of the active virtual environment or of the first
//! `python3` or `python` on `PATH`. A path that is named but wrong is an error, never a reason to look further. The
//! version is checked before the library is used. ONNX Runtime's environment is one per process: a second
//! [`OrtBackend::find`] shares it, and one that names another library is refused.
//!
//! **Memory.** ONNX Runtime would keep the scratch memory of each model in an arena of its own for ever. Here the arena
//! and its planned patterns are switched off: a run takes its tensors from the process's allocator and gives them back
//! before it returns, so models that run one after the other share that memory. The price is an allocation for each
//! tensor, and that nobody knows the most a run takes: [`Scratch::Opaque`](aegis_backend::Scratch::Opaque) without a
//! bound. A model holds its file's bytes, to open sessions with another number of threads, and one copy of its
//! constants in ONNX Runtime; [`ModelFacts::weights`](aegis_backend::ModelFacts::weights) is the sum of both. Weights
//! that ONNX Runtime packs for its kernels come on top and are not reported by it.
//!
//! **Threads.** Sessions of one model with the same number of threads share one ONNX Runtime session and take turns in
//! it: ort considers concurrent runs of one session unsafe. Threads do not spin while they wait for work.
//!
//! **Providers.** The CPU's only. Nothing else is registered, so nothing can fall back silently.
#![deny(unsafe_code)]

mod ffi;
mod find;
mod model;
mod process;
mod session;
mod tensor;

use aegis_backend::{Artifact, BackendError, Limits, Model, RuntimeBackend};
use std::path::{Path, PathBuf};

/// The name in specs and messages.
const NAME: &str = "ort";

/// The backend `ort`: ONNX Runtime, found and started.
#[derive(Debug, Clone)]
pub struct OrtBackend {
    runtime: process::Runtime,
}

impl OrtBackend {
    /// Finds ONNX Runtime, checks its version and starts it, once for the process.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] if it is not there, too old, or another one runs in this process already: with
    /// what was looked for where, and how to get it.
    pub fn find(path: Option<&Path>) -> Result<Self, BackendError> {
        process::start(path).map(|runtime| Self { runtime })
    }

    /// The library in use.
    #[must_use]
    pub fn library(&self) -> &PathBuf {
        &self.runtime.library
    }
}

impl RuntimeBackend for OrtBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        format!("onnxruntime {}", self.runtime.version)
    }

    fn load(&self, artifact: &Artifact, _: &Limits) -> Result<Box<dyn Model>, BackendError> {
        Ok(Box::new(model::OrtModel::load(&self.runtime.environment, artifact)?))
    }
}

/// An error for whoever has no usable ONNX Runtime.
fn unavailable(why: String) -> BackendError {
    BackendError::Unavailable {
        backend: NAME,
        why,
        remedy: format!(
            "install it with `pip install onnxruntime`, or set ORT_DYLIB_PATH to the library of ONNX Runtime 1.{} or \
             newer",
            ort::MINOR_VERSION
        ),
    }
}
