//! TensorRT: plans on a device, through a small C++ shim of our own; the library is looked for at run time.
//!
//! **Building.** Nearly all of TensorRT is C++ vtables, so there is a shim (`shim/shim.cpp`) of flat functions, compiled
//! by `build.rs` against TensorRT's headers. They are looked for in the folders that `AEGIS_TENSORRT_INCLUDE` names (as
//! `PATH` does; one shim for each, so that one program can drive several versions), otherwise where packages put them.
//! Where none are found the crate builds without a shim and [`TrtBackend::find`] says so. Neither TensorRT nor CUDA is
//! linked. A shim drives libraries of its major that are not older than its headers.
//!
//! **Trust.** A plan is code that the device executes, and TensorRT loads one that is damaged in its middle without an
//! error. So a plan is loaded only with a digest: the file `model.plan.blake3` beside `model.plan`, in the format of
//! `b3sum`, made where the plan was built with `b3sum model.plan > model.plan.blake3` or by [`trust()`].
//! [`TrtBackend::trust_unhashed`] takes plans without one, as when they come from this program's memory. The version of
//! TensorRT that built a plan is read from its header before anything of it reaches TensorRT.
//!
//! **Memory.** Each model has a TensorRT runtime and an allocator of its own: what it holds is counted,
//! [`ModelFacts::weights`](aegis_backend::ModelFacts::weights), and more than
//! [`Limits::device_memory`](aegis_backend::Limits::device_memory) is refused while it loads. That figure is for one
//! session, whose execution context is made by the load and handed to the first session that opens, and taken back when
//! it closes; each further session at the same time takes what a context holds, within the same limit. The scratch memory
//! is the caller's. Not counted: what the driver takes for the code of kernels, and TensorRT's memory on the host.
//!
//! **Streams.** A session puts its work on the stream of its binding. The engine's auxiliary streams are the session's
//! own, as many as [`ModelFacts::extra_streams`](aegis_backend::ModelFacts::extra_streams) says; TensorRT joins them to
//! the session's stream, so that waiting for that one waits for all.
//!
//! **Shapes.** An engine's shapes must be fixed, or fixed by its first optimisation profile (`--shapes` of `trtexec`).
//! Inputs on the host, tensors that are not row-major, and outputs whose shape depends on the data are refused by name.
//!
//! **Threads.** The backend and its models are `Sync`: TensorRT's runtime and engine may be used from several threads.
//! A session is `Send` and is used by one thread at a time, as an execution context demands.
//!
//! # Example
//! The shortest loop there is: nothing of ours but one indirect call stands between it and `enqueueV3`.
//! ```no_run
//! use aegis_backend::{Artifact, Binding, DeviceBinding, Limits, RuntimeBackend};
//! use aegis_backend_trt::TrtBackend;
//! use aegis_cuda::{Context, Stream, StreamPriority, Wait};
//!
//! let context = Context::open(0, Wait::Spin)?;
//! let backend = TrtBackend::find(None, &context)?;
//! let model = backend.load(&Artifact::open("model.plan".as_ref())?, &Limits::default())?;
//! let stream = Stream::new(&context, StreamPriority::Urgent)?;
//! let device = DeviceBinding::alone(&stream, model.facts())?;
//! let binding = Binding { threads: None, device: Some(device) };
//! let mut session = model.open(&binding)?.into_device().expect("plans run on a device");
//! for _ in 0..1000 {
//!     session.enqueue(0)?;
//!     stream.synchronize()?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

mod ffi;
mod fit;
mod model;
mod plan;
mod probe;
mod session;
mod trust;
mod version;

pub use probe::{TrtLibrary, probe};
pub use trust::{digest_file, trust};
pub use version::TrtVersion;

use aegis_backend::{Artifact, BackendError, Limits, Model, RuntimeBackend};
use aegis_cuda::Context;
use std::path::Path;
use std::sync::Arc;

/// The name in specs and messages.
const NAME: &str = "trt";

/// The backend `trt`: a TensorRT library, tried out, on one device.
#[derive(Debug, Clone)]
pub struct TrtBackend {
    library: ffi::Library,
    about: TrtLibrary,
    context: Arc<Context>,
    trust_unhashed: bool,
}

impl TrtBackend {
    /// Finds TensorRT, or takes the library at that path, and tries it out. Models are loaded on `context`'s device.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] if there is no library, none that this program's shims can drive, or if TensorRT
    /// does not work here; each with what to do.
    pub fn find(library: Option<&Path>, context: &Arc<Context>) -> Result<Self, BackendError> {
        context.make_current()?;
        let (opened, about) = match library {
            Some(path) => probe::at(path)?,
            None => probe::search()?,
        };
        let library = ffi::Library::start(&opened).map_err(|why| probe::unusable(&about, &why))?;
        Ok(Self { library, about, context: Arc::clone(context), trust_unhashed: false })
    }

    /// Loads plans that have no digest beside them as well. A digest that is there must match all the same.
    #[must_use]
    pub fn trust_unhashed(mut self) -> Self {
        self.trust_unhashed = true;
        self
    }

    /// The library in use.
    #[must_use]
    pub const fn library(&self) -> &TrtLibrary {
        &self.about
    }
}

/// The versions of TensorRT's headers that this program was built with; empty if it was built without.
#[must_use]
pub fn built_with() -> Vec<TrtVersion> {
    ffi::versions()
}

impl RuntimeBackend for TrtBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    /// For example `tensorrt 8.5.3`, or `tensorrt 10.16.1 (lean)`.
    fn version(&self) -> String {
        format!("tensorrt {}{}", self.about.version, if self.about.lean { " (lean)" } else { "" })
    }

    fn load(&self, artifact: &Artifact, limits: &Limits) -> Result<Box<dyn Model>, BackendError> {
        plan::check(artifact.bytes(), self.library.version)
            .map_err(|why| BackendError::Malformed { path: artifact.origin().to_path_buf(), why })?;
        trust::check(artifact, self.trust_unhashed)?;
        Ok(Box::new(model::TrtModel::load(self.library, &self.context, artifact, limits)?))
    }
}
