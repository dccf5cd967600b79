//! TVM: compiled modules, run by the virtual machine of its runtime library, which is looked for at run time.
//!
//! **A model** is one file that `scripts/tvm/compile.py MODEL.onnx OUT.tvm` makes: a header with a digest, a manifest that
//! says what a module does not (names, types and shapes of tensors), and the module, a shared library. Loading a module
//! runs its code, so nothing of it is loaded before the digest, the architecture and the version of the FFI are right; and
//! what is loaded are the bytes that were checked, from an anonymous file that is sealed. The digest finds damage. It does
//! not make a file trustworthy: load only what you would execute.
//!
//! **Memory.** TVM's own allocators are used for constants alone. A model runs once when it is loaded, on zeros, and
//! everything that it asks for is recorded: intermediate tensors, outputs, the workspaces of kernels. From that its
//! scratch is planned, with `aegis-memory`, and outputs are placed where they are wanted in the end, so that nothing is
//! copied. Every later job gets the planned places and no others. A job that asks for another size, for more, or for
//! something before it has let go of what lay there, fails with an error before it gets the memory.
//!
//! * A module for a device: [`Scratch::Placeable`], and nothing is allocated on the device after the load.
//! * A module for the host: [`Scratch::Opaque`] with a bound. Models of a process use one region in turn.
//!
//! The scratch of a model for a device is counted against [`Limits`] as it is planned and, while the first run is
//! recorded, without the plan, where it can be more.
//!
//! Not planned: objects of some dozen bytes that TVM makes for each tensor, on the host; and what a kernel's launch costs
//! the CUDA driver. A program that branches on its data and then asks for other memory cannot be run.
//!
//! **Threads.** A job runs on the thread that calls; modules whose kernels start threads of TVM's are refused. Sessions of
//! one model share its machine and take turns in it; on a device the turn is the time to put a job on its stream.
//!
//! **What TVM trusts.** Compiled operators check the shapes of tensors and not what is in them. `Gather` reads wherever its
//! indices say, as TVM warns when it compiles it: a model that takes indices from outside needs them checked before.
//!
//! **What TVM does to its process.** Its libraries stay loaded, and install a handler for `SIGSEGV` that prints a
//! backtrace. The first error takes it up to a second, in which it reads debug information; [`TvmBackend::find`] makes one,
//! so that no job has to.
//!
//! **One TVM in a process.** A second [`TvmBackend::find`] shares it. Three of TVM's functions are replaced in it; requests
//! for memory that come from elsewhere in the process go on to TVM's own.
//!
//! [`Scratch::Placeable`]: aegis_backend::Scratch::Placeable
//! [`Scratch::Opaque`]: aegis_backend::Scratch::Opaque
#![deny(unsafe_code)]

mod container;
mod device;
mod ffi;
mod host;
mod manifest;
mod model;
mod pool;
mod probe;
mod process;
mod profile;
mod script;

pub use ffi::FfiVersion;
pub use probe::{TvmLibrary, probe};
pub use profile::OperatorTime;

use aegis_backend::{Artifact, BackendError, Limits, Model, RuntimeBackend};
use aegis_cuda::Context;
use model::TvmModel;
use std::path::PathBuf;
use std::sync::Arc;

/// The name in specs and messages.
const NAME: &str = "tvm";

/// The backend `tvm`: TVM's runtime, found and started.
#[derive(Debug, Clone)]
pub struct TvmBackend {
    runtime: process::Runtime,
    context: Option<Arc<Context>>,
}

impl TvmBackend {
    /// Finds TVM's runtime libraries, checks their version and starts them, once for the process. They are looked for in
    /// `folders`; without these in the folders that `TVM_LIBRARY_PATH` lists; if that is not set, in the packages of
    /// `python3`, and then where the system's loader looks.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] if they are not there, if their version was not tested, or if another TVM runs in
    /// this process: with what was looked for, and how to get it.
    pub fn find(folders: Option<&[PathBuf]>) -> Result<Self, BackendError> {
        process::start(folders).map(|runtime| Self { runtime, context: None })
    }

    /// Loads modules for CUDA devices onto this one. Without it they go to the first.
    #[must_use]
    pub fn on(mut self, context: Arc<Context>) -> Self {
        self.context = Some(context);
        self
    }

    /// The libraries in use.
    #[must_use]
    pub const fn library(&self) -> &TvmLibrary {
        &self.runtime.library
    }

    /// Times each operator of a model, over `jobs` jobs on random inputs from `seed`. The model is loaded for that alone,
    /// with a callback before and after each operator; models that [`load`](RuntimeBackend::load) gives have none.
    ///
    /// # Errors
    /// As [`load`](RuntimeBackend::load), and as a job.
    pub fn profile(
        &self,
        artifact: &Artifact,
        jobs: u32,
        seed: u64,
    ) -> Result<Vec<OperatorTime>, BackendError> {
        profile::profile(&self.model(artifact, &Limits::default())?, jobs, seed)
    }

    fn model(&self, artifact: &Artifact, limits: &Limits) -> Result<TvmModel, BackendError> {
        TvmModel::load(&self.runtime, self.context.as_ref(), artifact, limits)
    }
}

impl RuntimeBackend for TvmBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        format!("tvm-ffi {}", self.runtime.library.version)
    }

    fn load(&self, artifact: &Artifact, limits: &Limits) -> Result<Box<dyn Model>, BackendError> {
        Ok(Box::new(self.model(artifact, limits)?))
    }
}
