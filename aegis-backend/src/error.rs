//! What can go wrong in a backend: the caller's mistake, the file, the environment and the runtime kept apart.
use aegis_core::{Blame, Budgeted, Bytes, Fault, FaultCode, Usable};
use aegis_cuda::CudaError;
use std::path::PathBuf;

/// An error of a backend. Every message says what, where and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The file cannot be read.
    #[error("cannot read the model {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The file is not a model of the kind that this backend loads.
    #[error("{} is not a model that this backend can load: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The model is sound but asks for something that this backend does not do.
    #[error("{}: {why}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is not supported.
        why: String,
    },
    /// The runtime panicked while it loaded the file.
    #[error("{}: the runtime panicked while it loaded the model: {why}", path.display())]
    Panicked {
        /// The file.
        path: PathBuf,
        /// The panic's message.
        why: String,
    },
    /// The runtime is not on this machine, or not in a version that can be used.
    #[error("backend `{backend}` is not available: {why}; {remedy}")]
    Unavailable {
        /// The backend.
        backend: &'static str,
        /// What was looked for and not found.
        why: String,
        /// How to get it.
        remedy: String,
    },
    /// A tensor does not fit the model.
    #[error("{which} `{name}`: {why}")]
    BadTensor {
        /// `input` or `output`.
        which: &'static str,
        /// Its name in the model, or its position.
        name: String,
        /// What was expected and what was given.
        why: String,
    },
    /// The host has no memory for a tensor.
    #[error("no memory for {which} `{name}`, which takes {tensor}; free some, or use smaller shapes")]
    NoMemory {
        /// `input` or `output`.
        which: &'static str,
        /// Its name in the model.
        name: String,
        /// Its type and shape.
        tensor: String,
    },
    /// What a session was given does not fit its model.
    #[error("cannot bind the model: {why}")]
    BadBinding {
        /// What was expected and what was given.
        why: String,
    },
    /// A model asked for more of the device's memory than it may have.
    #[error("{}: loading needs at least {asked} of device memory, its limit is {limit}; raise the limit or use a smaller model", path.display())]
    OverLimit {
        /// The file.
        path: PathBuf,
        /// What it held and asked for in addition when it was refused.
        asked: Bytes,
        /// The most that it may hold.
        limit: Bytes,
    },
    /// The device failed.
    #[error(transparent)]
    Device(#[from] CudaError),
    /// The segment does not exist.
    #[error("segment {segment} does not exist; the model has {segments}")]
    NoSuchSegment {
        /// Asked for.
        segment: u16,
        /// How many there are.
        segments: u16,
    },
    /// The runtime failed while it executed.
    #[error("execution failed: {why}")]
    Execution {
        /// What the runtime said.
        why: String,
        /// Who is to blame and what stays usable.
        fault: Fault,
    },
}

impl BackendError {
    /// The fault that this error is, for the trace.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Execution { fault, .. } => *fault,
            Self::Device(error) if error.is_sticky() => {
                Fault { blame: Blame::Device, code: FaultCode::DeviceLost, usable: Usable::Nothing }
            }
            Self::Device(_) => {
                Fault { blame: Blame::Device, code: FaultCode::ExecutionFailed, usable: Usable::Model }
            }
            Self::OverLimit { asked, limit, .. } => Fault {
                blame: Blame::Model,
                code: FaultCode::Budget(Budgeted::DeviceMemory { limit: limit.0, asked: asked.0 }),
                usable: Usable::Model,
            },
            Self::BadBinding { .. } => {
                Fault { blame: Blame::Caller, code: FaultCode::BadTensor, usable: Usable::Model }
            }
            Self::BadTensor { .. } | Self::NoSuchSegment { .. } => {
                Fault { blame: Blame::Caller, code: FaultCode::BadTensor, usable: Usable::Session }
            }
            Self::Unreadable { .. } | Self::Unavailable { .. } | Self::NoMemory { .. } => {
                Fault { blame: Blame::Host, code: FaultCode::ExecutionFailed, usable: Usable::Model }
            }
            Self::Panicked { .. } => {
                Fault { blame: Blame::Backend, code: FaultCode::Panicked, usable: Usable::Model }
            }
            Self::Malformed { .. } | Self::Unsupported { .. } => {
                Fault { blame: Blame::Model, code: FaultCode::ExecutionFailed, usable: Usable::Model }
            }
        }
    }
}
