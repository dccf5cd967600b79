//! For each model, which other model cost it how much: the causes of all jobs of a window, summed.
use crate::explain::Root;
use crate::{CauseKind, Jobs};
use aegis_core::{JobId, Nanos, TaskId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// Where time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Source {
    /// To jobs of this task; a task's own are its earlier jobs.
    Task(TaskId),
    /// To the job itself or to the machine, under this name.
    Itself(Root),
}

/// What one source cost the jobs of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// All of it.
    pub ns: Nanos,
    /// What of it was blocking: waiting for something less urgent that cannot be preempted.
    pub blocking: Nanos,
    /// The most that it cost one job.
    pub worst: Nanos,
    /// Which job that was.
    pub worst_job: JobId,
}

/// The jobs of one task in a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlameRow {
    /// The task.
    pub task: TaskId,
    /// Its jobs that arrived in the window and were not refused.
    pub jobs: u64,
    /// The sum of their response times; what each source cost sums to it.
    pub responses: Nanos,
    /// What each source cost them.
    pub costs: BTreeMap<Source, Cost>,
}

impl Jobs<'_> {
    /// Sums the causes of every job that arrived in `window`, one row a task of the set.
    #[must_use]
    pub fn blame(&self, window: Range<Nanos>) -> Vec<BlameRow> {
        let tasks = self.trace.header().set.tasks().len();
        let row = |task| BlameRow { task, jobs: 0, responses: Nanos::ZERO, costs: BTreeMap::new() };
        let mut rows: Vec<BlameRow> = (0..tasks).map(|task| row(TaskId::from(task))).collect();
        for job in self.iter().filter(|job| job.release.is_some()) {
            let Some(row) = rows.get_mut(job.id.task.index()) else { continue };
            if !job.arrival.is_some_and(|arrival| window.contains(&arrival)) {
                continue;
            }
            let Ok(explained) = self.explain(job.id) else { continue };
            row.jobs += 1;
            row.responses = row.responses.saturating_add(explained.response());
            let mut of_job: BTreeMap<Source, (Nanos, Nanos)> = BTreeMap::new();
            for cause in &explained.causes {
                let source = match cause.by {
                    Some(by) if cause.kind != CauseKind::Unexplained => Source::Task(by.task),
                    _ => Source::Itself(Root::of(cause.kind)),
                };
                let (all, blocking) = of_job.entry(source).or_default();
                *all += cause.ns;
                if matches!(cause.kind, CauseKind::Blocked { .. }) {
                    *blocking += cause.ns;
                }
            }
            for (source, (ns, blocking)) in of_job {
                let nothing =
                    Cost { ns: Nanos::ZERO, blocking: Nanos::ZERO, worst: Nanos::ZERO, worst_job: job.id };
                let cost = row.costs.entry(source).or_insert(nothing);
                cost.ns = cost.ns.saturating_add(ns);
                cost.blocking = cost.blocking.saturating_add(blocking);
                if ns > cost.worst {
                    (cost.worst, cost.worst_job) = (ns, job.id);
                }
            }
        }
        rows
    }
}
