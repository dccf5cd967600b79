//! The checker of admission certificates: it reads what is claimed of a task set and does every sum again.
//!
//! An analysis searches: for fixed points, for the worst arrival, for the deadline that is missed. A certificate holds what
//! it found, and checking that is a few inequalities a claim. This crate uses none of ours, so that a defect of the analyses
//! cannot repeat itself here; it is short, so that a person can read it whole. The format, with an example that can be
//! checked by hand, is described in `docs/CERTIFICATES.md`.
//!
//! What is proved, and by which file: `admitted.rs` that every job meets its deadline, `rejected.rs` that one does not. Both rest
//! on the model: times are whole nanoseconds; arrivals of a task keep its law, in any phase to other tasks; a job that
//! arrives at `a` is released in `[a, a + J]`; one resource, never idle while a job is ready, chooses at the end of each
//! segment; ties may go either way; a segment takes at most its WCET with its overheads; while a stall lasts nothing starts
//! and what runs makes no progress.
#![forbid(unsafe_code)]

mod admitted;
mod rejected;
mod task;

use serde::Deserialize;
use task::Task;

/// A number of nanoseconds, of jobs, or a product of both; every operation on it is checked.
type Number = u128;

/// No time in a certificate is above this: 2^62 ns, 146 years.
pub const LONGEST: u64 = 1 << 62;
/// No certificate is longer than this many bytes.
pub const LONGEST_TEXT: usize = 64 << 20;
/// No check takes more than this many steps; a step is one task looked at once.
pub const MOST_STEPS: u64 = 1 << 26;

/// Why a certificate proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The text is no certificate of this version.
    #[error("not a certificate of this version: {why}")]
    Format {
        /// What is wrong, with line and column where they are known.
        why: String,
    },
    /// The task set, or a job of a witness, is outside the model.
    #[error("{what}: {why}")]
    OutsideModel {
        /// Which task or job.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A claim lacks an entry, or has them in a wrong order.
    #[error("{claim}: {why}")]
    Incomplete {
        /// Which claim.
        claim: String,
        /// What is missing.
        why: &'static str,
    },
    /// A claim is not true, or not shown to be by the numbers given for it.
    #[error("{claim}: {least} is not within the stated {stated}")]
    False {
        /// Which claim.
        claim: String,
        /// What the checker computed.
        least: u128,
        /// What the certificate states.
        stated: u128,
    },
    /// A sum does not fit 128 bits.
    #[error("{claim}: a sum does not fit 128 bits; nothing is decided")]
    Overflow {
        /// Which claim.
        claim: String,
    },
    /// The check would take too long.
    #[error("the check takes more than {MOST_STEPS} steps; nothing is decided")]
    TooLong,
}

/// What a certificate proves of the task set in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// `np-fp`, `np-edf` or `fifo`.
    pub policy: &'static str,
    /// The tasks of the set, in its order.
    pub tasks: Vec<CheckedTask>,
    /// What is proved of them.
    pub proved: Proved,
}

/// A task of a checked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedTask {
    /// Its name.
    pub name: String,
    /// Its relative deadline, in nanoseconds from arrival.
    pub deadline_ns: u64,
    /// No response of it is longer; absent where only the deadlines are proved to be met.
    pub response_ns: Option<u64>,
}

/// What a certificate proves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proved {
    /// Every job meets its deadline, in every schedule of the model.
    Admitted,
    /// The tasks ask for `demand / time` of the time, which is more than all of it.
    Overload {
        /// Numerator, in lowest terms.
        demand: u128,
        /// Denominator.
        time: u128,
    },
    /// In a schedule of the model, which was played through, a job ends after its deadline.
    Miss {
        /// Position of its task.
        task: usize,
        /// From its arrival to its end, in nanoseconds.
        response_ns: u64,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Certificate {
    schema_version: u32,
    policy: Policy,
    #[serde(default)]
    overheads: task::Overheads,
    tasks: Vec<task::Stated>,
    claim: Claim,
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    #[serde(rename = "np-fp")]
    FixedPriority,
    #[serde(rename = "np-edf")]
    Edf,
    #[serde(rename = "fifo")]
    Fifo,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Claim {
    FixedPriority(Vec<admitted::Level>),
    Edf(admitted::Windows),
    Fifo(admitted::Releases),
    Overload,
    Miss(rejected::Witness),
}

/// Reads a certificate and checks all of it.
///
/// # Errors
/// The first [`CertificateError`], which names the claim that fails. The work is bounded whatever the text says.
pub fn check(text: &str) -> Result<Checked, CertificateError> {
    let format = |why: String| CertificateError::Format { why };
    if text.len() > LONGEST_TEXT {
        return Err(format(format!("{} bytes; at most {LONGEST_TEXT} are read", text.len())));
    }
    let stated: Certificate = serde_json::from_str(text).map_err(|error| format(error.to_string()))?;
    if stated.schema_version != 1 {
        return Err(format(format!("schema_version is {}; this reads 1", stated.schema_version)));
    }
    let tasks = task::tasks(stated.tasks, &stated.overheads)?;
    let stalls = task::Stalls::new(&stated.overheads)?;
    let policy = stated.policy;
    let mut steps = Steps(MOST_STEPS);
    let none = vec![None; tasks.len()];
    let (responses, proved) = match (policy, &stated.claim) {
        (Policy::FixedPriority, Claim::FixedPriority(levels)) => {
            (admitted::fixed_priority(&tasks, &stalls, levels, &mut steps)?, Proved::Admitted)
        }
        (Policy::Edf, Claim::Edf(windows)) => {
            admitted::edf(&tasks, &stalls, windows, &mut steps)?;
            (none, Proved::Admitted)
        }
        (Policy::Fifo, Claim::Fifo(releases)) => {
            (admitted::fifo(&tasks, &stalls, releases, &mut steps)?, Proved::Admitted)
        }
        (_, Claim::Overload) => (none, rejected::overload(&tasks, &stalls)?),
        (_, Claim::Miss(witness)) => (none, rejected::miss(&tasks, &stalls, policy, witness, &mut steps)?),
        _ => return Err(format("the claim is one of another policy".to_owned())),
    };
    let policy = match policy {
        Policy::FixedPriority => "np-fp",
        Policy::Edf => "np-edf",
        Policy::Fifo => "fifo",
    };
    let checked = |(task, response_ns): (Task, _)| CheckedTask {
        name: task.name,
        deadline_ns: task.stated_deadline,
        response_ns,
    };
    Ok(Checked { policy, tasks: tasks.into_iter().zip(responses).map(checked).collect(), proved })
}

/// What is left of [`MOST_STEPS`].
struct Steps(u64);

impl Steps {
    fn take(&mut self, steps: usize) -> Result<(), CertificateError> {
        let left = u64::try_from(steps).ok().and_then(|steps| self.0.checked_sub(steps));
        self.0 = left.ok_or(CertificateError::TooLong)?;
        Ok(())
    }
}

/// `least ≤ stated`, or the claim that is false.
fn within(least: Option<Number>, stated: Number, claim: impl Fn() -> String) -> Result<(), CertificateError> {
    match least {
        None => Err(CertificateError::Overflow { claim: claim() }),
        Some(least) if least > stated => Err(CertificateError::False { claim: claim(), least, stated }),
        Some(_) => Ok(()),
    }
}
