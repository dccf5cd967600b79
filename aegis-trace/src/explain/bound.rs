//! An explanation beside the bound with which its task was admitted: which term used how much of its allowance.
//!
//! Each cause belongs to one term of the bound: late release to *jitter*, waiting behind more urgent jobs to the
//! *interference* of their task, behind earlier jobs of its own to *earlier jobs*, and so on. The job's own execution,
//! over its WCET or not, is *execution*; copies count there unless a copy overhead is declared. A term may be above its
//! allowance while the response is within the bound: the bound is of the worst job, and another job may wait for others.
//! Whether an assumption of the bound was broken is what [`Jobs::suspects`] says.
use super::{Cause, CauseKind, During, Explanation};
use crate::Jobs;
use aegis_core::{Nanos, TaskId, TermKind};
use serde::Serialize;

/// One term of a bound and what a job used of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The term.
    pub kind: TermKind,
    /// Who causes it, where that is another task; with blocking the task that the bound assumes, whoever blocked.
    pub by: Option<TaskId>,
    /// What the bound allows, in nanoseconds; negative only for [`TermKind::ArrivedLater`].
    pub allowed_ns: i64,
    /// What the job used.
    pub used: Nanos,
}

impl Share {
    /// How much the job used above what the bound allows.
    #[must_use]
    pub fn above(&self) -> Nanos {
        self.used.saturating_sub(Nanos(u64::try_from(self.allowed_ns).unwrap_or_default()))
    }
}

/// A response beside its bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Against {
    /// The bound.
    pub wcrt: Nanos,
    /// The response.
    pub response: Nanos,
    /// The terms of the bound in their order, then what was used and is no term of it.
    pub shares: Vec<Share>,
    /// What no rule explains, which is no term.
    pub unexplained: Nanos,
}

impl Against {
    /// How much the response is above the bound.
    #[must_use]
    pub fn above(&self) -> Nanos {
        self.response.saturating_sub(self.wcrt)
    }

    /// Whether what is allowed sums to the bound, and what is used to the response.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let allowed: i128 = self.shares.iter().map(|share| i128::from(share.allowed_ns)).sum();
        let used: u128 = self.shares.iter().map(|share| u128::from(share.used.0)).sum();
        allowed == i128::from(self.wcrt.0)
            && used + u128::from(self.unexplained.0) == u128::from(self.response.0)
    }
}

impl Jobs<'_> {
    /// Compares an explanation with the bound of its task; `None` where the trace does not have the bound with its terms.
    #[must_use]
    pub fn against_bound(&self, explanation: &Explanation) -> Option<Against> {
        let admission = self.admission(explanation.job.task).filter(|admission| admission.adds_up())?;
        let share = |term: &aegis_core::Term| Share {
            kind: term.kind,
            by: term.by,
            allowed_ns: term.ns,
            used: Nanos::ZERO,
        };
        let mut against = Against {
            wcrt: admission.wcrt,
            response: explanation.response(),
            shares: admission.terms.iter().map(share).collect(),
            unexplained: Nanos::ZERO,
        };
        let copies_declared = self.trace.header().set.overheads().copy > Nanos::ZERO;
        for cause in &explanation.causes {
            let Some((kind, by)) = term_of(cause, copies_declared) else {
                against.unexplained += cause.ns;
                continue;
            };
            let same =
                |share: &&mut Share| share.kind == kind && (share.by == by || kind == TermKind::Blocking);
            match against.shares.iter_mut().find(same) {
                Some(share) => share.used += cause.ns,
                None => against.shares.push(Share { kind, by, allowed_ns: 0, used: cause.ns }),
            }
        }
        Some(against)
    }
}

/// The term of a bound that a cause belongs to.
fn term_of(cause: &Cause, copies_declared: bool) -> Option<(TermKind, Option<TaskId>)> {
    let by = cause.by.map(|job| job.task);
    Some(match cause.kind {
        CauseKind::LateRelease => (TermKind::Jitter, None),
        CauseKind::Blocked { .. } => (TermKind::Blocking, by),
        CauseKind::Behind { .. } => (TermKind::Interference, by),
        CauseKind::BehindOwn => (TermKind::EarlierJobs, None),
        CauseKind::Copy { .. } if copies_declared => (TermKind::Copy, None),
        CauseKind::Ran { .. }
        | CauseKind::RanOver { .. }
        | CauseKind::Contended { .. }
        | CauseKind::Copy { .. }
        | CauseKind::Recording { during: During::Execution } => (TermKind::Execution, None),
        CauseKind::SlowClock { .. } => (TermKind::ClockChange, None),
        CauseKind::Recovery => (TermKind::Recovery, None),
        CauseKind::Dispatch | CauseKind::Recording { during: During::Dispatch } => (TermKind::Dispatch, None),
        CauseKind::Completion | CauseKind::Recording { during: During::Completion } => {
            (TermKind::Completion, None)
        }
        CauseKind::Unexplained => return None,
    })
}
