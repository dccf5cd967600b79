//! What another policy would have done with a recorded run: the same jobs, under the same scheduler, in virtual time.
//!
//! It assumes that
//! 1. jobs arrive and are told to the scheduler when they were: nobody waits for an output before sending the next input;
//! 2. each segment holds the partition as long as it did in the record, its dispatch and completion included, whatever
//!    runs before and after it; one that is not on record takes its WCET with the declared overheads;
//! 3. the queues hold as many jobs, and a faulted segment faults again;
//! 4. the deadlines and the stated (or deadline-monotonic) priorities of the set are those of the other policy.
use crate::replay::RecordedStep;
use crate::{State, step};
use aegis_core::{Action, Event, JobId, Nanos, Outcome, Policy, TaskSet, Why};
use aegis_trace::{Job, Jobs, Trace};
use std::collections::BTreeMap;

/// How a job ended under a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a result, after this time from its arrival.
    Completed(Nanos),
    /// With a fault, after this time.
    Faulted(Nanos),
    /// It was refused: its task's queue was full.
    Refused,
    /// Not by the end of the record.
    Unfinished,
}

impl End {
    /// The response time of a job that gave a result.
    #[must_use]
    pub const fn response(self) -> Option<Nanos> {
        match self {
            Self::Completed(response) => Some(response),
            _ => None,
        }
    }
}

/// One job under both policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// The job.
    pub job: JobId,
    /// As it was.
    pub recorded: End,
    /// As it would have been.
    pub other: End,
}

/// A recorded run under another policy.
#[derive(Debug, Clone)]
pub struct Counterfactual {
    /// The other policy.
    pub policy: Policy,
    /// Every job of which the trace says when it was released or refused, by task and number.
    pub jobs: Vec<Compared>,
    /// Segments whose time is not on record, so that their WCET stands for it.
    pub assumed: u64,
    /// The steps that the other scheduler would have taken.
    pub steps: Vec<RecordedStep>,
}

/// Steps a fresh scheduler of `policy` through the releases and executions of a recorded run.
#[must_use]
pub fn counterfactual(trace: &Trace, jobs: &Jobs<'_>, policy: Policy) -> Counterfactual {
    let header = trace.header();
    let set = header.set.with_policy(policy);
    let mut known: Vec<&Job> = jobs
        .iter()
        .filter(|job| told(job).is_some() && job.arrival.is_some() && set.get(job.id.task).is_some())
        .collect();
    // In the order in which they were told, which decides among those of one instant.
    known.sort_by_key(|job| told(job));
    let mut ends: BTreeMap<JobId, End> = BTreeMap::new();
    let (mut steps, mut assumed) = (Vec::new(), 0);
    let mut releases = known.iter().peekable();
    let mut state = State::new(&set, &header.queues);
    let mut running: Option<(Nanos, JobId, Outcome)> = None;
    let mut tell = |state: &mut State, at, event| {
        let decision = step(state, at, event);
        steps.push(RecordedStep { at, event, decision });
        decision
    };
    loop {
        let next = releases.peek().and_then(|job| told(job)).map(|(at, _)| at);
        let Some(now) = next.into_iter().chain(running.map(|(end, ..)| end)).min() else { break };
        if let Some((_, job, outcome)) = running.take_if(|(end, ..)| *end == now) {
            match tell(&mut state, now, Event::Finish { job, outcome }).why {
                Why::DeadlineMet { response, .. } | Why::DeadlineMissed { response, .. } => {
                    ends.insert(job, End::Completed(response));
                }
                Why::Faulted => {
                    let arrival = jobs.get(job).and_then(|job| job.arrival).unwrap_or(now);
                    ends.insert(job, End::Faulted(now.saturating_sub(arrival)));
                }
                _ => {}
            }
        }
        while let Some(job) = releases.next_if(|job| told(job).is_some_and(|(at, _)| at == now)) {
            let arrival = job.arrival.unwrap_or(now).min(now);
            let decision = tell(&mut state, now, Event::Release { job: job.id, arrival });
            if decision.action == Action::Refuse {
                ends.insert(job.id, End::Refused);
            }
        }
        if let Action::Start { job, segment } = tell(&mut state, now, Event::Dispatch).action {
            let recorded = jobs.get(job).and_then(|job| held(job, segment));
            assumed += u64::from(recorded.is_none());
            let (length, outcome) =
                recorded.unwrap_or_else(|| (charged(&set, job, segment), Outcome::Completed));
            running = Some((now.saturating_add(length), job, outcome));
        }
    }
    let compared = known.iter().map(|job| Compared {
        job: job.id,
        recorded: recorded(job),
        other: ends.get(&job.id).copied().unwrap_or(End::Unfinished),
    });
    let mut compared: Vec<Compared> = compared.collect();
    compared.sort_by_key(|one| one.job);
    Counterfactual { policy, jobs: compared, assumed, steps }
}

/// When the scheduler was told of the job, and which record says so.
fn told(job: &Job) -> Option<(Nanos, usize)> {
    let moment = job.release.or(job.refused.map(|(moment, _)| moment))?;
    Some((moment.at, moment.entry))
}

/// How long a segment held the partition, and how it ended.
fn held(job: &Job, index: u16) -> Option<(Nanos, Outcome)> {
    let segment = job.segments.iter().find(|segment| segment.index == index)?;
    let length = segment.finished?.at.checked_sub(segment.chosen?.at)?;
    let last = job.segments.last().is_some_and(|last| last.index == index);
    let outcome = job.retired.filter(|_| last).map_or(Outcome::Completed, |(_, outcome)| outcome);
    Some((length, outcome))
}

fn charged(set: &TaskSet, job: JobId, segment: u16) -> Nanos {
    let overheads = set.overheads();
    let copy = if segment == 0 { overheads.copy } else { Nanos::ZERO };
    let wcet = set.get(job.task).and_then(|task| task.segments.get(usize::from(segment))).copied();
    wcet.unwrap_or_default()
        .saturating_add(overheads.around_segment().unwrap_or_default())
        .saturating_add(copy)
}

fn recorded(job: &Job) -> End {
    match (job.retired, job.arrival, job.refused) {
        (Some((moment, outcome)), Some(arrival), _) => {
            let response = moment.at.saturating_sub(arrival);
            if outcome == Outcome::Completed { End::Completed(response) } else { End::Faulted(response) }
        }
        (None, _, Some(_)) if job.release.is_none() => End::Refused,
        _ => End::Unfinished,
    }
}
