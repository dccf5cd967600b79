//! What a run did, computed from its trace alone: deadlines, response times against bounds, executions, overheads.
use aegis_core::{Budgeted, FaultCode, Nanos, Outcome, Policy, TaskId};
use aegis_trace::{Body, Job, Jobs, Trace};
use hdrhistogram::Histogram;

/// A run, task by task.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The policy that chose the jobs.
    pub policy: Policy,
    /// One a task, in the order of the system.
    pub tasks: Vec<TaskReport>,
    /// The longest delays of the platform that were seen.
    pub seen: Delays,
    /// Scheduler decisions in the trace.
    pub decisions: u64,
    /// Records that the trace says are missing.
    pub lost: u64,
}

/// The jobs of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReport {
    /// Its name.
    pub name: String,
    /// Jobs that arrived.
    pub jobs: u64,
    /// Completed by their deadline.
    pub met: u64,
    /// Completed after their deadline.
    pub missed: u64,
    /// Refused because the queue was full.
    pub refused: u64,
    /// Ended by a fault, their result void.
    pub faulted: u64,
    /// Completed, but took longer than the WCET that admission charged.
    pub overran: u64,
    /// Not finished when the trace ended.
    pub unfinished: u64,
    /// Relative deadline.
    pub deadline: Nanos,
    /// The bound that was admitted.
    pub bound: Option<Nanos>,
    /// The longest response time, from arrival.
    pub worst: Nanos,
    /// Median response time, within one part in a thousand above the exact value.
    pub median: Nanos,
    /// 99th percentile of the response time, likewise.
    pub p99: Nanos,
    /// The WCET that was charged.
    pub wcet: Nanos,
    /// The longest execution.
    pub longest_execution: Nanos,
}

/// Delays of the platform: the longest seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delays {
    /// From an arrival to the moment the scheduler was told.
    pub release: Nanos,
    /// From the scheduler's choice to the start of the segment.
    pub dispatch: Nanos,
    /// From the end of the segment to the moment the scheduler was told.
    pub completion: Nanos,
}

impl Report {
    /// Reads a report off a trace.
    #[must_use]
    pub fn of(trace: &Trace) -> Self {
        let jobs = Jobs::of(trace);
        let set = &trace.header().set;
        let mut seen = Delays::default();
        let tasks = (0..set.tasks().len()).map(|i| task(trace, &jobs, TaskId::from(i), &mut seen)).collect();
        let bodies = trace.entries().iter().map(|e| e.record.body);
        let decisions = bodies.filter(|body| matches!(body, Body::Step { .. })).count() as u64;
        let lost = trace.gaps().iter().map(aegis_trace::Gap::missing).sum();
        Self { policy: set.policy(), tasks, seen, decisions, lost }
    }

    /// Jobs that arrived.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.tasks.iter().map(|t| t.jobs).sum()
    }

    /// Jobs that did not deliver a result by their deadline: late, refused or faulted.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.tasks.iter().map(|t| t.missed + t.refused + t.faulted).sum()
    }
}

fn task(trace: &Trace, jobs: &Jobs<'_>, id: TaskId, seen: &mut Delays) -> TaskReport {
    let spec = &trace.header().set.tasks()[id.index()];
    let mut responses = Histogram::<u64>::new(3).expect("three significant digits are valid");
    let bound = trace.entries().iter().find_map(|e| match e.record.body {
        Body::Admitted { task, wcrt, .. } if task == id => Some(wcrt),
        _ => None,
    });
    let mut report = TaskReport {
        name: spec.name.clone(),
        jobs: 0,
        met: 0,
        missed: 0,
        refused: 0,
        faulted: 0,
        overran: overruns(trace, id),
        unfinished: 0,
        deadline: spec.deadline,
        bound,
        worst: Nanos::ZERO,
        median: Nanos::ZERO,
        p99: Nanos::ZERO,
        wcet: spec.wcet(),
        longest_execution: Nanos::ZERO,
    };
    for job in jobs.of_task(id) {
        report.jobs += 1;
        delays(job, seen);
        for segment in &job.segments {
            if let (Some(start), Some(end)) = (segment.started, segment.ended) {
                report.longest_execution = report.longest_execution.max(end.saturating_sub(start));
            }
        }
        match (job.refused, job.retired, job.arrival) {
            (Some(_), _, _) => report.refused += 1,
            (None, Some((_, Outcome::Faulted)), _) => report.faulted += 1,
            (None, Some((end, Outcome::Completed)), Some(arrival)) => {
                let response = end.at.saturating_sub(arrival);
                let late = response > spec.deadline;
                report.missed += u64::from(late);
                report.met += u64::from(!late);
                report.worst = report.worst.max(response);
                // An auto-resizing histogram takes every value.
                let _ = responses.record(response.0.max(1));
            }
            _ => report.unfinished += 1,
        }
    }
    if !responses.is_empty() {
        report.median = Nanos(responses.value_at_quantile(0.5)).min(report.worst);
        report.p99 = Nanos(responses.value_at_quantile(0.99)).min(report.worst);
    }
    report
}

/// Jobs that took longer than they were charged: their compute budget is what admission charges.
fn overruns(trace: &Trace, id: TaskId) -> u64 {
    let over = |body: &Body| match body {
        Body::Fault { task, fault, .. } => {
            *task == id && matches!(fault.code, FaultCode::Budget(Budgeted::ComputeTime { .. }))
        }
        _ => false,
    };
    trace.entries().iter().filter(|e| over(&e.record.body)).count() as u64
}

fn delays(job: &Job, seen: &mut Delays) {
    let longest = |most: &mut Nanos, from: Option<Nanos>, to: Option<Nanos>| {
        if let (Some(from), Some(to)) = (from, to) {
            *most = (*most).max(to.saturating_sub(from));
        }
    };
    longest(&mut seen.release, job.arrival, job.release.map(|m| m.at));
    for segment in &job.segments {
        longest(&mut seen.dispatch, segment.chosen.map(|m| m.at), segment.started);
        longest(&mut seen.completion, segment.ended, segment.finished.map(|m| m.at));
    }
}
