//! ONNX Runtime through [ort](https://docs.rs/ort): the library is looked for at run time, building needs nothing.
//!
//! **Where the library comes from.** [`OrtBackend::find`] takes the first of: the path it is given, the environment
//! variable `ORT_DYLIB_PATH`, the Python package `onnxruntime` of the active virtual environment or of the first
//! `python3` or `python` on `PATH`. A path that is named but wrong is an error, never a reason to look further. The
//! version is checked before the library is used. ONNX Runtime's environment is one per process: a second
//! [`OrtBackend::find`] shares it, and one that names another library is refused.
//!
//! **Providers.** [`OrtBackend::on`] chooses one [`Provider`]; without it models run on the CPU. Nothing else is
//! registered, so nothing can fall back silently: a provider that does not load is an error that names what is missing, and
//! a model with a node that the device has no code for, or with an input that is read on the host, is refused unless its
//! provider allows the host.
//!
//! # On the CPU
//!
//! **Memory.** ONNX Runtime would keep the scratch memory of each model in an arena of its own for ever. Here the arena
//! and its planned patterns are switched off: a run takes its tensors from the process's allocator and gives them back
//! before it returns, so models that run one after the other share that memory. The price is an allocation for each
//! tensor, and that nobody knows the most a run takes: [`Scratch::Opaque`](aegis_backend::Scratch::Opaque) without a
//! bound. A model holds its file's bytes, to open sessions with another number of threads, and one copy of its
//! constants in ONNX Runtime; [`ModelFacts::weights`] is the sum of both. Weights
//! that ONNX Runtime packs for its kernels come on top and are not reported by it.
//!
//! **Profiles.** Where the environment variable `AEGIS_ORT_PROFILE` is set, every session writes ONNX Runtime's profile of
//! itself into a file whose path begins with it, followed by the model's name, the session's number and the time. It is
//! complete when the session has ended. Profiling takes time at every operator.
//!
//! **Threads.** Sessions of one model with the same number of threads share one ONNX Runtime session and take turns in
//! it: ort considers concurrent runs of one session unsafe. Threads do not spin while they wait for work.
//!
//! # On a device
//!
//! **Loading** checks the file on the host first, so that a corrupt one never reaches the device. Then it makes the ONNX
//! Runtime session on the provider's stream and runs it on zeros until its memory stops growing: an operator that cannot run
//! is an error of the load, kernels are chosen before the first job, and the figures of
//! [`ModelFacts`] are counted, not guessed.
//!
//! **Loading disturbs.** Making a session of the CUDA provider waits until the whole device is idle, for the work of all
//! threads of this process, and its trial runs use the device. Load before the first release, or in a process of its own;
//! `benches/load_beside.rs` measures both. Opening a session on the provider's stream makes nothing and waits for nothing.
//!
//! **Sessions and streams.** A stream is an option of an ONNX Runtime session. All sessions of a model on the provider's
//! stream share the one that loading made, each with its own bound tensors, and take turns; what they put on the stream runs
//! in that order, so that they can share its scratch memory. A session on another stream of the device gets an ONNX Runtime
//! session of its own, tried out like the first, and with it the model's memory once more.
//!
//! **Memory.** ONNX Runtime holds a model's constants and scratch in an arena of its own and never gives them back while the
//! model is loaded. [`ModelFacts::weights`] is therefore all that the arena holds after
//! the trial, and [`Scratch`](aegis_backend::Scratch) is `None`: a job takes nothing more. The arena grows by what is asked
//! and no more, and is refused more than [`Limits::device_memory`]; constants are
//! compared with the limit afterwards, because ONNX Runtime takes them past it. Inputs and outputs are whoever binds them,
//! and in neither figure. [`OrtModel::arena`] gives the arena's own count. What the CUDA libraries take besides (their code,
//! the workspace of cuBLAS) is in none of them. A model on TensorRT holds what the device's free memory shrank by while it
//! was loaded, because TensorRT counts nothing for us. ONNX Runtime does not keep the file's bytes; the model does, to open
//! sessions on other streams.
//!
//! **Runs.** Tensors are bound once, when a session is opened. A run is one call of ONNX Runtime, which returns when
//! everything is on the stream; this crate adds an uncontended lock to it and takes no memory. A node whose shape depends on
//! data makes the call wait for the device. Any thread may run a session.
//!
//! **The host.** A model with nodes on the host, or with inputs that ONNX Runtime reads there (the axis of `CumSum`, the
//! shape of `Reshape`), is refused with [`BackendError::Unsupported`], which names the input. `cpu_fallback` allows it. Then
//! each run waits for the device, before it (an input that is read on the host is copied only when it is bound, so it is
//! bound anew for each run) and after it; loading makes the ONNX Runtime session twice.
//!
//! **What ends the process.** With ONNX Runtime 1.31.1 on an H200, sessions of many threads at once ended the process:
//! `terminate called after throwing an instance of 'onnxruntime::OnnxRuntimeException'`, `CUDA failure 800: operation not
//! permitted`, from `cudaFreeHost` in `cuda_allocator.cc`. CUDA answers 800 to a call from a function that a stream calls. ONNX
//! Runtime's sources have such a function: kernels that copy small tables to the device leave their pinned buffers to the
//! stream, to be given back in order. The function that gives them back holds the arena that they come from, and if the
//! session is released before it has run, it frees that arena. Runs that do not wait make this worse: what they leave is put on
//! the stream only when the session is released, and grows until then. Three things are done about it. The arena is held
//! until the stream has been waited for after the release of the session. The trial counts what a run that does not wait
//! leaves in the arena: if it is anything, the model's runs wait, with or without `cpu_fallback`. And what is on the host
//! waits always. That this was the cause is read from the sources, not seen in a debugger.
//!
//! **Same bytes.** Convolutions are chosen by cuDNN's heuristics instead of by timing them, reductions are deterministic and
//! TensorFloat-32 is off, so that one input gives the same bytes in every session on the same device and libraries. TensorRT chooses by timing: only
//! engines from its cache compute the same again.
#![deny(unsafe_code)]

mod device;
mod engine;
mod ffi;
mod find;
mod host;
mod process;
mod profiling;
mod provider;
mod session;
mod tensor;

use aegis_backend::{Artifact, BackendError, Binding, Limits, Model, ModelFacts, RuntimeBackend, Session};
use std::fmt;
use std::path::{Path, PathBuf};

pub use ffi::arena::ArenaStats;
pub use provider::Provider;

/// The name in specs and messages.
const NAME: &str = "ort";

/// The backend `ort`: ONNX Runtime, found and started.
#[derive(Debug, Clone)]
pub struct OrtBackend {
    runtime: process::Runtime,
    provider: Provider,
}

impl OrtBackend {
    /// Finds ONNX Runtime, checks its version and starts it, once for the process.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] if it is not there, too old, or another one runs in this process already: with
    /// what was looked for where, and how to get it.
    pub fn find(path: Option<&Path>) -> Result<Self, BackendError> {
        process::start(path).map(|runtime| Self { runtime, provider: Provider::Cpu })
    }

    /// The same ONNX Runtime with another provider for what is loaded from here on.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] if this ONNX Runtime is built without the provider, or if a library that the provider
    /// needs does not load: with its name.
    pub fn on(mut self, provider: Provider) -> Result<Self, BackendError> {
        if let Some(target) = provider.target() {
            target.check(&self.runtime.environment)?;
        }
        self.provider = provider;
        Ok(self)
    }

    /// [`RuntimeBackend::load`] with the model's type, for [`OrtModel::arena`].
    ///
    /// # Errors
    /// As for [`RuntimeBackend::load`].
    pub fn load_model(&self, artifact: &Artifact, limits: &Limits) -> Result<OrtModel, BackendError> {
        let environment = &self.runtime.environment;
        Ok(OrtModel(match self.provider.target() {
            None => Kind::Host(host::HostModel::load(environment, artifact)?),
            Some(target) => {
                Kind::Device(Box::new(device::DeviceModel::load(environment, artifact, target, limits)?))
            }
        }))
    }

    /// Where its models run.
    #[must_use]
    pub const fn provider(&self) -> &Provider {
        &self.provider
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
        match &self.provider {
            Provider::Cpu => format!("onnxruntime {}", self.runtime.version),
            device => format!("onnxruntime {}, {device}", self.runtime.version),
        }
    }

    fn load(&self, artifact: &Artifact, limits: &Limits) -> Result<Box<dyn Model>, BackendError> {
        Ok(Box::new(self.load_model(artifact, limits)?))
    }
}

/// A model that ONNX Runtime has loaded.
pub struct OrtModel(Kind);

enum Kind {
    Host(host::HostModel),
    Device(Box<device::DeviceModel>),
}

impl OrtModel {
    /// What the arena holds that sessions on the provider's stream share; `None` on the CPU, where there is no arena.
    ///
    /// # Errors
    /// [`BackendError::Execution`] if ONNX Runtime does not say.
    pub fn arena(&self) -> Result<Option<ArenaStats>, BackendError> {
        match &self.0 {
            Kind::Host(_) => Ok(None),
            Kind::Device(model) => model.arena().map(Some),
        }
    }
}

impl fmt::Debug for OrtModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OrtModel").field(self.facts()).finish()
    }
}

impl Model for OrtModel {
    fn facts(&self) -> &ModelFacts {
        match &self.0 {
            Kind::Host(model) => model.facts(),
            Kind::Device(model) => model.facts(),
        }
    }

    fn open(&self, binding: &Binding) -> Result<Session, BackendError> {
        match &self.0 {
            Kind::Host(model) => model.open(binding),
            Kind::Device(model) => model.open(binding),
        }
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
