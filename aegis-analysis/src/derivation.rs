//! From the worst scenario that an analysis found to a bound whose terms sum to it exactly.
use super::load::{LONGEST, Load, OVERHEADS};
use aegis_core::{Bound, Nanos, TaskId, Term, TermKind};

/// The job that responds last, and what it waits for. The busy period starts at 0; the task's first job in it
/// arrived at −J.
#[derive(Debug)]
pub(super) struct Scenario<'a> {
    pub task: &'a Load,
    /// Which of the task's jobs in the busy period, from 0.
    pub job: u64,
    pub busy_period: u64,
    /// The task that had just started, and how much of its segment is left at 0.
    pub blocking: Option<(TaskId, u64)>,
    /// Work of other tasks that is served first.
    pub interference: Vec<(TaskId, u64)>,
    /// Work of the task's own jobs that are served first.
    pub earlier: u64,
    /// How much later than −J the job arrived.
    pub later: u64,
    /// Stalls that begin before the job ends; `None` for what does not fit.
    pub stalls: Vec<(TermKind, Option<u64>)>,
}

impl Scenario<'_> {
    /// `R = J + blocking + Σ interference + earlier − later + C + Σ stalls`; `None` when something does not fit.
    pub(super) fn bound(&self) -> Option<Bound> {
        let task = self.task;
        let mut terms = Vec::with_capacity(self.interference.len() + 6);
        let mut add = |kind, by, ns: i128| -> Option<()> {
            if ns != 0 || kind == TermKind::Execution {
                terms.push(Term { kind, by, ns: i64::try_from(ns).ok()? });
            }
            Some(())
        };
        add(TermKind::Jitter, None, task.j.into())?;
        if let Some((by, ns)) = self.blocking {
            add(TermKind::Blocking, Some(by), ns.into())?;
        }
        for &(by, ns) in &self.interference {
            add(TermKind::Interference, Some(by), ns.into())?;
        }
        add(TermKind::EarlierJobs, None, self.earlier.into())?;
        add(TermKind::ArrivedLater, None, -i128::from(self.later))?;
        add(TermKind::Execution, None, task.execution.into())?;
        for (kind, ns) in OVERHEADS.into_iter().zip(task.overheads) {
            add(kind, None, ns.into())?;
        }
        for &(kind, ns) in &self.stalls {
            add(kind, None, ns?.into())?;
        }
        let wcrt: i128 = terms.iter().map(|term| i128::from(term.ns)).sum();
        let wcrt = u64::try_from(wcrt).ok().filter(|wcrt| *wcrt <= LONGEST)?;
        Some(Bound { wcrt: Nanos(wcrt), job: self.job, busy_period: Nanos(self.busy_period), terms })
    }
}
