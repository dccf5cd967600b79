//! What can end a command or a run early, and the exit code that says which kind it is.
use crate::backends::NoBackend;
use crate::diagnostic::SourceError;
use aegis_context::ContextError;
use aegis_core::{Nanos, TaskSet, Verdict};
use aegis_cuda::CudaError;
use std::path::PathBuf;

/// Why a stage did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that the user wrote is not what it should be.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An argument is not what it should be.
    #[error("{0}")]
    Argument(String),
    /// A runtime that the system needs cannot be used on this machine.
    #[error("task `{task}`: {source}")]
    Backend {
        /// The task that needs it.
        task: String,
        /// Why not.
        source: NoBackend,
    },
    /// The device cannot be used, or has not enough memory.
    #[error("the device of the system: {0}")]
    Device(CudaError),
    /// A model exceeds its budget or failed while it was opened or measured.
    #[error("task {source}")]
    Context {
        /// The task.
        task: String,
        /// What happened.
        source: ContextError,
    },
    /// The measured executions do not support the claim that the system asks for.
    #[error("task `{task}`: no WCET: {source}")]
    NoWcet {
        /// The task.
        task: String,
        /// Why not.
        source: aegis_sched::profile::Refusal,
    },
    /// The measured WCET is above the compute budget.
    #[error(
        "task `{task}`: its measured WCET {wcet} is above its compute budget {budget}; \
         raise the budget or make the model faster"
    )]
    BudgetTooSmall {
        /// The task.
        task: String,
        /// The measured WCET, margin included.
        wcet: Nanos,
        /// The stated budget.
        budget: Nanos,
    },
    /// The models together need more memory than the device has.
    #[error("the models together do not fit `[device] memory`: {0}; raise it, or leave a model out")]
    Memory(aegis_memory::SystemError),
    /// The power mode, the clocks or the machine itself changed while models were measured or ran.
    #[error(
        "the machine changed meanwhile: it was `{before}` and is `{now}`; what was measured and admitted before does not \
         hold now: run it again, and the models are profiled and admitted anew"
    )]
    HostChanged {
        /// What it was.
        before: String,
        /// What it is.
        now: String,
    },
    /// The system is not admitted.
    #[error("{}", sentences(.verdict, .set))]
    NotAdmitted {
        /// The tasks with their WCETs.
        set: Box<TaskSet>,
        /// The verdict with its witnesses.
        verdict: Box<Verdict>,
    },
    /// The answer of admission has no proof that could be written down.
    #[error("no certificate: {0}")]
    NoCertificate(#[from] aegis_analysis::certify::NoCertificate),
    /// A trace cannot be written or read.
    #[error(transparent)]
    Trace(#[from] aegis_trace::TraceError),
    /// AegisRT contradicts itself.
    #[error("bug in AegisRT, please report it: {0}")]
    Defect(String),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// 1 run failed, 2 bad input, 3 not admitted or a deadline missed.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Source(_)
            | Self::Argument(_)
            | Self::Backend {
                source: NoBackend::Unknown { .. } | NoBackend::NotBuilt { .. } | NoBackend::NeedsDevice { .. },
                ..
            } => 2,
            Self::NotAdmitted { .. }
            | Self::NoWcet { .. }
            | Self::BudgetTooSmall { .. }
            | Self::Memory(_)
            | Self::Device(CudaError::OutOfMemory { .. })
            | Self::Context { source: ContextError::OverBudget { .. }, .. } => 3,
            Self::Trace(error) if error.is_bad_input() => 2,
            Self::Context { .. }
            | Self::Device(_)
            | Self::Backend { .. }
            | Self::Trace(_)
            | Self::HostChanged { .. }
            | Self::NoCertificate(_)
            | Self::Defect(_)
            | Self::Write { .. } => 1,
        }
    }

    /// A stable word for the kind of error, in JSON.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Source(_) => "bad_file",
            Self::Argument(_) => "bad_argument",
            Self::Backend { .. } => "backend_unavailable",
            Self::Device(_) => "device",
            Self::Context { .. } => "model_failed",
            Self::NoWcet { .. } => "no_wcet",
            Self::BudgetTooSmall { .. } => "budget_too_small",
            Self::Memory(_) => "out_of_memory",
            Self::HostChanged { .. } => "host_changed",
            Self::NotAdmitted { .. } => "not_admitted",
            Self::NoCertificate(_) => "no_certificate",
            Self::Trace(_) => "trace",
            Self::Defect(_) => "defect",
            Self::Write { .. } => "cannot_write",
        }
    }
}

fn sentences(verdict: &Verdict, set: &TaskSet) -> String {
    let reasons: Vec<String> = verdict.rejections.iter().map(|r| r.sentence(set)).collect();
    format!("not admitted under {}: {}", verdict.policy, reasons.join("; "))
}
