//! The embedded CPU backend: ONNX models through [rten](https://docs.rs/rten), pure Rust, nothing to install.
//!
//! **Memory.** Weights are the file's initialisers and constants, as the file stores them; rten keeps `i64` ones in
//! half of that and `f16` ones in twice. During a run, rten allocates each operator's output from a pool that lives
//! only for that run, so everything goes back to the system's allocator after each job. It does not say how much that
//! is, neither beforehand nor afterwards, but it is this program's heap: [`Scratch::Heap`](aegis_backend::Scratch::Heap).
//!
//! **Threads.** With [`Binding::threads`](aegis_backend::Binding::threads) a session has that many of its own; without,
//! all sessions share one pool with a thread for each physical core. Either way an execution runs on the pool's threads
//! while the calling thread sleeps; on Linux they inherit the scheduling policy of the thread that opened the session
//! (the shared ones: that ran first).
//!
//! **Types.** rten computes with 32 bits where the file says `i64`; an input beyond that range is refused, constants
//! beyond it are saturated by rten. Models whose inputs or outputs are `f16` or `f64` are not supported.
#![forbid(unsafe_code)]

mod facts;
mod session;
mod tensor;

use aegis_backend::{
    Artifact, BackendError, Binding, Limits, Model, ModelFacts, RuntimeBackend, Session, catch,
};
use rten::ModelOptions;
use session::RtenSession;
use std::sync::Arc;

/// The version of rten that this adapter was written and tested with.
const RTEN: &str = "rten 0.27";

/// The backend `rten`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RtenBackend;

impl RtenBackend {
    /// It is always there.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl RuntimeBackend for RtenBackend {
    fn name(&self) -> &'static str {
        "rten"
    }

    fn version(&self) -> String {
        RTEN.to_owned()
    }

    fn load(&self, artifact: &Artifact, _: &Limits) -> Result<Box<dyn Model>, BackendError> {
        let outline = aegis_backend::onnx::outline(artifact)?;
        let path = || artifact.origin().to_path_buf();
        let model = catch(|| ModelOptions::with_all_ops().load(artifact.bytes().to_vec()))
            .map_err(|why| BackendError::Panicked { path: path(), why })?
            .map_err(|error| match error.kind() {
                rten::LoadErrorKind::OperatorInvalid => {
                    BackendError::Unsupported { path: path(), why: error.to_string() }
                }
                _ => BackendError::Malformed { path: path(), why: error.to_string() },
            })?;
        let facts =
            facts::facts(&outline, &model).map_err(|why| BackendError::Unsupported { path: path(), why })?;
        Ok(Box::new(RtenModel(Arc::new(Loaded { model, facts }))))
    }
}

/// What a model and its sessions share.
struct Loaded {
    model: rten::Model,
    facts: ModelFacts,
}

struct RtenModel(Arc<Loaded>);

impl Model for RtenModel {
    fn facts(&self) -> &ModelFacts {
        &self.0.facts
    }

    fn open(&self, binding: &Binding) -> Result<Session, BackendError> {
        Ok(Session::Host(Box::new(RtenSession::new(Arc::clone(&self.0), binding.threads))))
    }
}
