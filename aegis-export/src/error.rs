//! What can go wrong with an export: the sink, the trace and the caller's other files kept apart.
use crate::OrtError;
use aegis_trace::TraceError;
use std::io;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The sink took no more. What was written before is not a whole export.
    #[error("cannot write the export: {0}")]
    Write(#[from] io::Error),
    /// The trace contradicts itself.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A profile of ONNX Runtime cannot be merged.
    #[error(transparent)]
    Ort(#[from] OrtError),
}

impl ExportError {
    /// Whether a file of the caller is wrong, rather than the machine or this program.
    #[must_use]
    pub const fn is_bad_input(&self) -> bool {
        match self {
            Self::Write(_) => false,
            Self::Trace(error) => error.is_bad_input(),
            Self::Ort(_) => true,
        }
    }
}
