//! What can go wrong in a context, each with the fault that it is for the trace.
use aegis_backend::BackendError;
use aegis_core::{Blame, Budgeted, Fault, FaultCode, Usable};
use aegis_memory::SystemError;

/// An error of one context. It says nothing about any other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The model needs more than its budget; it was not opened.
    #[error("`{name}` {over}; raise the budget or use a smaller model")]
    OverBudget {
        /// The context.
        name: String,
        /// The limit and what was asked.
        over: Budgeted,
    },
    /// Sizes that the model states do not fit 64 bits.
    #[error(
        "`{name}`: its tensors and weights do not fit 64 bits of bytes; the file is damaged or its shapes are wrong"
    )]
    TooLarge {
        /// The context.
        name: String,
    },
    /// The lifetimes that the model states for its scratch are not sound.
    #[error("`{name}`: {source}")]
    Memory {
        /// The context.
        name: String,
        /// What is wrong with them.
        source: SystemError,
    },
    /// More inputs or outputs than a context passes on without taking memory in each run.
    #[error("`{name}` has {tensors} {which}s; a context takes at most {most}")]
    TooManyTensors {
        /// The context.
        name: String,
        /// `input` or `output`.
        which: &'static str,
        /// How many it has.
        tensors: usize,
        /// The most.
        most: usize,
    },
    /// An input or output that the model does not have.
    #[error("`{name}` has {tensors} {which}s; there is no {which} {index}")]
    NoSuchTensor {
        /// The context.
        name: String,
        /// `input` or `output`.
        which: &'static str,
        /// The position asked for.
        index: usize,
        /// How many there are.
        tensors: usize,
    },
    /// Bytes that are not as many as the input takes.
    #[error("`{name}`: input {index} takes {expected} bytes, {given} given")]
    WrongLength {
        /// The context.
        name: String,
        /// The input's position.
        index: usize,
        /// Its length in bytes.
        expected: usize,
        /// What was given.
        given: usize,
    },
    /// The backend reported an error.
    #[error("`{name}`: {source}")]
    Backend {
        /// The context.
        name: String,
        /// What it said.
        source: BackendError,
    },
    /// The backend panicked. That is a bug in it; its session is not used again.
    #[error(
        "`{name}`: the backend panicked in {during}: {message}; open the context again, and report it to the backend"
    )]
    Panicked {
        /// The context.
        name: String,
        /// What it was doing: `open`, `input`, `run` or `drop`.
        during: &'static str,
        /// What it said.
        message: String,
    },
    /// The context refuses to run, because of an earlier fault.
    #[error(
        "`{name}` does not run after an earlier fault: {fault}; open it again where that leaves anything usable"
    )]
    Unusable {
        /// The context.
        name: String,
        /// That fault.
        fault: Fault,
    },
}

impl ContextError {
    /// The fault that this error is, for the trace.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::OverBudget { over, .. } => {
                Fault { blame: Blame::Model, code: FaultCode::Budget(*over), usable: Usable::Model }
            }
            Self::TooLarge { .. } | Self::Memory { .. } | Self::TooManyTensors { .. } => {
                Fault { blame: Blame::Model, code: FaultCode::ExecutionFailed, usable: Usable::Model }
            }
            Self::NoSuchTensor { .. } | Self::WrongLength { .. } => {
                Fault { blame: Blame::Caller, code: FaultCode::BadTensor, usable: Usable::Session }
            }
            Self::Backend { source, .. } => source.fault(),
            Self::Panicked { .. } => {
                Fault { blame: Blame::Backend, code: FaultCode::Panicked, usable: Usable::Model }
            }
            Self::Unusable { fault, .. } => *fault,
        }
    }
}
