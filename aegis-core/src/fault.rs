//! Faults as values: who is to blame, what went wrong, what stays usable.
use crate::Nanos;
use core::fmt;

/// Who is to blame for a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Blame {
    /// The model: its file, its shapes, its appetite.
    Model,
    /// The runtime that executes the model.
    Backend,
    /// The device or its driver.
    Device,
    /// The machine and its operating system.
    Host,
    /// The program that gave the input.
    Caller,
}

/// What can still be used after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Usable {
    /// Everything: only this job's result is void.
    Session,
    /// Other sessions and models; this session must be opened again.
    Model,
    /// Nothing on this device in this process: void all results, end the process, start another.
    Nothing,
}

/// What went wrong, as a closed set that fits a trace record; the words are in the error that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum FaultCode {
    /// The runtime reported that the execution failed.
    ExecutionFailed,
    /// An input or output does not fit the model.
    BadTensor,
    /// A budget was exceeded.
    Budget(Budgeted),
    /// The backend panicked; its session is not used again.
    Panicked,
    /// The device failed in a way that voids all later results of the process.
    DeviceLost,
}

/// A budget that was exceeded: what was allowed and what it would have taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Budgeted {
    /// Device memory, in bytes.
    DeviceMemory {
        /// Allowed.
        limit: u64,
        /// Asked for, all together.
        asked: u64,
    },
    /// Host memory, in bytes.
    HostMemory {
        /// Allowed.
        limit: u64,
        /// Asked for, all together.
        asked: u64,
    },
    /// Streams.
    Streams {
        /// Allowed.
        limit: u32,
        /// Asked for.
        asked: u32,
    },
    /// Compute time of one job. Found when the segment ended: it could not be preempted.
    ComputeTime {
        /// Allowed per job.
        limit: Nanos,
        /// Taken.
        used: Nanos,
    },
}

impl fmt::Display for Budgeted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::Bytes;
        match *self {
            Self::DeviceMemory { limit, asked } => {
                write!(f, "needs {} of device memory, its budget is {}", Bytes(asked), Bytes(limit))
            }
            Self::HostMemory { limit, asked } => {
                write!(f, "needs {} of host memory, its budget is {}", Bytes(asked), Bytes(limit))
            }
            Self::Streams { limit, asked } => write!(f, "needs {asked} streams, its budget is {limit}"),
            Self::ComputeTime { limit, used } => write!(f, "ran {used}, its budget per job is {limit}"),
        }
    }
}

/// A fault of one job or one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Fault {
    /// Who is to blame.
    pub blame: Blame,
    /// What went wrong.
    pub code: FaultCode,
    /// What can still be used.
    pub usable: Usable,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            FaultCode::ExecutionFailed => write!(f, "execution failed")?,
            FaultCode::BadTensor => write!(f, "a tensor does not fit the model")?,
            FaultCode::Budget(budget) => write!(f, "{budget}")?,
            FaultCode::Panicked => write!(f, "the backend panicked")?,
            FaultCode::DeviceLost => write!(f, "the device was lost")?,
        }
        write!(
            f,
            " (blame: {:?}; still usable: {})",
            self.blame,
            match self.usable {
                Usable::Session => "the session",
                Usable::Model => "other models",
                Usable::Nothing => "nothing in this process",
            }
        )
    }
}
