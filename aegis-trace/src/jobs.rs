//! The history of every job, put together from the records of the scheduler and of the workers.
use crate::machine::{Admission, Machine};
use crate::{Body, Direction, Gap, Kind, Trace};
use aegis_core::{Action, Decision, Event, Fault, JobId, Nanos, NextArrival, Outcome, Policy, TaskId, Why};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// An instant with the position of its record in [`Trace::entries`], which orders records of one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Moment {
    /// The instant.
    pub at: Nanos,
    /// The position.
    pub entry: usize,
}

/// What the trace says of one job. What it does not say is absent: it has not happened yet, or its record is missing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// When it arrived.
    pub arrival: Option<Nanos>,
    /// When the scheduler was told and put it among the ready jobs.
    pub release: Option<Moment>,
    /// When the scheduler was told and refused it, and why.
    pub refused: Option<(Moment, Why)>,
    /// Its segments, in the order of their numbers.
    pub segments: Vec<Segment>,
    /// When it left the system, and how its last segment ended.
    pub retired: Option<(Moment, Outcome)>,
    /// The first fault that is recorded for it.
    pub fault: Option<Fault>,
}

/// One segment of a job.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Segment {
    /// Its number, from 0.
    pub index: u16,
    /// The scheduler chose it.
    pub chosen: Option<Moment>,
    /// A worker began it.
    pub started: Option<Nanos>,
    /// A worker ended it.
    pub ended: Option<Nanos>,
    /// The scheduler was told that it ended.
    pub finished: Option<Moment>,
    /// How long its inputs were copied, within its execution.
    pub copied_in: Nanos,
    /// How long its outputs were copied, within its execution.
    pub copied_out: Nanos,
    /// How long its worker was ready to execute it while others had the processor.
    pub contended: Nanos,
    /// From when to when its model was brought back after its fault; the end is missing while that goes on.
    pub recovery: Option<(Nanos, Option<Nanos>)>,
}

/// A time during which the partition belonged to one segment of one job: from the choice of it until the scheduler was
/// told of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occupation {
    pub job: JobId,
    pub chosen: Moment,
    /// It held the partition for sure until then, and at most until `to`; not the same where records are missing.
    pub surely: Nanos,
    pub to: Nanos,
}

/// Every job of a trace.
#[derive(Debug, Clone)]
pub struct Jobs<'t> {
    pub(crate) trace: &'t Trace,
    all: BTreeMap<JobId, Job>,
    /// In the order of their choice.
    pub(crate) occupations: Vec<Occupation>,
    /// When it is not known who held the partition: apart from each other, in the order of time.
    pub(crate) unseen: Vec<Range<Nanos>>,
    /// The instant of the last record.
    pub(crate) end: Nanos,
    /// Whether workers record, and no record is missing: then a segment without a start has not been started.
    pub(crate) starts_known: bool,
    /// What the trace says of the machine and of what was admitted.
    pub(crate) machine: Machine,
    /// Jobs that arrived before their law allows, with the earliest instant at which they may have.
    pub(crate) early: BTreeMap<JobId, Nanos>,
}

impl<'t> Jobs<'t> {
    /// Puts the histories together, in one pass over the trace.
    #[must_use]
    pub fn of(trace: &'t Trace) -> Self {
        let end = trace.entries().iter().map(|e| e.record.at).max().unwrap_or_default();
        let starts = trace.entries().iter().any(|e| e.record.body.kind() == Kind::Started);
        let mut jobs = Self {
            trace,
            all: BTreeMap::new(),
            occupations: Vec::new(),
            unseen: Vec::new(),
            end,
            starts_known: starts && trace.gaps().is_empty(),
            machine: Machine::of(trace),
            early: BTreeMap::new(),
        };
        let mut due: BTreeMap<u32, u64> = BTreeMap::new();
        let mut chosen = None;
        for (entry, e) in trace.entries().iter().enumerate() {
            if due.insert(e.recorder, e.seq + 1).is_some_and(|due| due != e.seq) {
                chosen = None;
            }
            jobs.add(Moment { at: e.record.at, entry }, e.record.body, &mut chosen);
        }
        jobs.early = early(trace, &jobs.all);
        jobs.unseen = unseen(trace, end);
        jobs.occupations = occupations(&jobs.all, &jobs.unseen, end);
        jobs
    }

    /// The history of one job.
    #[must_use]
    pub fn get(&self, id: JobId) -> Option<&Job> {
        self.all.get(&id)
    }

    /// Every job, by task and number.
    pub fn iter(&self) -> impl Iterator<Item = &Job> {
        self.all.values()
    }

    /// The jobs of one task, by number.
    pub fn of_task(&self, task: TaskId) -> impl DoubleEndedIterator<Item = &Job> {
        self.up_to(JobId { task, seq: u64::MAX })
    }

    /// What the copies of one segment may take before they are slow: the declared overhead. Where none is declared they
    /// are part of what the WCET bounds, and never slow by themselves.
    pub(crate) fn copies_allowed(&self) -> Nanos {
        match self.trace.header().set.overheads().copy {
            Nanos::ZERO => Nanos::MAX,
            declared => declared,
        }
    }

    /// The bound with which a task was admitted; `None` where the trace does not say.
    #[must_use]
    pub fn admission(&self, task: TaskId) -> Option<&Admission> {
        self.machine.admitted.get(&task)
    }

    /// The jobs of one task, by number, to this one.
    pub(crate) fn up_to(&self, last: JobId) -> impl DoubleEndedIterator<Item = &Job> {
        self.all.range(JobId { seq: 0, ..last }..=last).map(|(_, job)| job)
    }

    fn job(&mut self, id: JobId) -> &mut Job {
        self.all.entry(id).or_insert_with(|| Job {
            id,
            arrival: None,
            release: None,
            refused: None,
            segments: Vec::new(),
            retired: None,
            fault: None,
        })
    }

    /// `chosen` is the latest choice, if no record has been missing since.
    fn add(&mut self, now: Moment, body: Body, chosen: &mut Option<(JobId, u16)>) {
        match body {
            Body::Step { event, decision } => self.step(now, event, decision, chosen),
            Body::Started { job, segment } => {
                self.job(job).segment(segment).started.get_or_insert(now.at);
            }
            Body::Ended { job, segment, .. } => {
                self.job(job).segment(segment).ended.get_or_insert(now.at);
            }
            Body::Fault { job: Some(job), fault, .. } => {
                self.job(job).fault.get_or_insert(fault);
            }
            Body::Copied { job, segment, direction, took } => {
                let segment = self.job(job).segment(segment);
                match direction {
                    Direction::In => segment.copied_in = took,
                    Direction::Out => segment.copied_out = took,
                }
            }
            Body::Contended { job, segment, waited } => {
                self.job(job).segment(segment).contended = waited;
            }
            Body::Recovering { job } => {
                if let Some(segment) = self.job(job).segments.last_mut() {
                    segment.recovery.get_or_insert((now.at, None));
                }
            }
            Body::Recovered { job, .. } => {
                if let Some((_, to @ None)) =
                    self.job(job).segments.last_mut().and_then(|s| s.recovery.as_mut())
                {
                    *to = Some(now.at);
                }
            }
            _ => {}
        }
    }

    fn step(
        &mut self,
        now: Moment,
        event: Event,
        Decision { action, why }: Decision,
        chosen: &mut Option<(JobId, u16)>,
    ) {
        match (event, action) {
            (Event::Release { job, arrival }, Action::Enqueue) => {
                let job = self.job(job);
                job.arrival.get_or_insert(arrival);
                job.release.get_or_insert(now);
            }
            (Event::Release { job, arrival }, Action::Refuse) => {
                let job = self.job(job);
                job.arrival.get_or_insert(arrival);
                job.refused.get_or_insert((now, why));
            }
            (Event::Finish { job: id, outcome }, Action::Requeue | Action::Retire) => {
                let segments = self.trace.header().set.get(id.task).map_or(1, |t| t.segments.len());
                let by_order = match (why, outcome) {
                    (Why::MoreSegments { left }, _) => segments.checked_sub(usize::from(left) + 1),
                    (_, Outcome::Completed) => segments.checked_sub(1),
                    (_, Outcome::Faulted) => None,
                };
                let by_order = by_order.and_then(|index| u16::try_from(index).ok());
                // Of a trace that lost nothing a part may be read: all of a job, or nothing that matters.
                let lossless = self.trace.totals().is_some_and(|totals| totals.dropped() == 0);
                let open = || {
                    let last = self.all.get(&id)?.segments.last()?;
                    (lossless && last.chosen.is_some() && last.finished.is_none()).then_some(last.index)
                };
                let index = chosen.take().filter(|(job, _)| *job == id).map(|(_, index)| index);
                let index = index.or(by_order).or_else(open);
                let job = self.job(id);
                if let Some(index) = index {
                    job.segment(index).finished.get_or_insert(now);
                }
                if action == Action::Retire {
                    job.retired.get_or_insert((now, outcome));
                }
                // Where the release is missing, the scheduler's own sums still tell when the job arrived.
                if let Why::DeadlineMet { response, .. } | Why::DeadlineMissed { response, .. } = why {
                    job.arrival = job.arrival.or(now.at.checked_sub(response));
                }
            }
            (_, Action::Start { job, segment }) => {
                *chosen = Some((job, segment));
                self.job(job).segment(segment).chosen.get_or_insert(now);
            }
            _ => {}
        }
    }

    /// The job's place in the order of the policy; the smaller, the more urgent. `None` where records are missing.
    pub(crate) fn rank(&self, id: JobId) -> Option<(u64, usize)> {
        let set = &self.trace.header().set;
        let (job, task) = (self.all.get(&id)?, set.get(id.task)?);
        let first = match set.policy() {
            Policy::Fifo => 0,
            Policy::FixedPriority => u64::from(task.priority.0),
            Policy::Edf => job.arrival?.saturating_add(task.deadline).0,
        };
        Some((first, job.release?.entry))
    }
}

impl Job {
    fn segment(&mut self, index: u16) -> &mut Segment {
        let at = self.segments.partition_point(|s| s.index < index);
        if self.segments.get(at).is_none_or(|s| s.index != index) {
            let nothing = Segment {
                index,
                chosen: None,
                started: None,
                ended: None,
                finished: None,
                copied_in: Nanos::ZERO,
                copied_out: Nanos::ZERO,
                contended: Nanos::ZERO,
                recovery: None,
            };
            self.segments.insert(at, nothing);
        }
        &mut self.segments[at]
    }

    /// The last instant at which the trace says anything of it.
    pub(crate) fn last_known(&self) -> Option<Nanos> {
        let moments = [self.release, self.refused.map(|(m, _)| m), self.retired.map(|(m, _)| m)];
        let of_segments = self.segments.iter().flat_map(|s| [s.from(), s.started, s.ended, s.to()]);
        moments.into_iter().map(|m| m.map(|m| m.at)).chain(of_segments).flatten().max()
    }
}

impl Segment {
    /// When the partition began to belong to it, as far as is known.
    pub(crate) fn from(&self) -> Option<Nanos> {
        self.chosen.map(|moment| moment.at).or(self.started)
    }

    /// When the partition was free again, as far as is known.
    pub(crate) fn to(&self) -> Option<Nanos> {
        self.finished.map(|moment| moment.at).or(self.ended)
    }
}

/// The jobs that arrived before their law allows, beside those of their task that it allows: taking them away leaves
/// arrivals that keep the law.
fn early(trace: &Trace, jobs: &BTreeMap<JobId, Job>) -> BTreeMap<JobId, Nanos> {
    let mut early = BTreeMap::new();
    let mut laws: Vec<NextArrival<'_>> =
        trace.header().set.tasks().iter().map(|task| NextArrival::new(&task.arrival)).collect();
    for job in jobs.values() {
        let (Some(arrival), Some(law)) = (job.arrival, laws.get_mut(job.id.task.index())) else { continue };
        let earliest = law.earliest();
        if arrival < earliest {
            early.insert(job.id, earliest);
        } else {
            law.arrived(arrival);
        }
    }
    early
}

/// Who held the partition when. A segment whose end is missing held it at most until the next choice at a
/// later instant; the last one may simply still hold it.
fn occupations(jobs: &BTreeMap<JobId, Job>, unseen: &[Range<Nanos>], end: Nanos) -> Vec<Occupation> {
    let segments = jobs.values().flat_map(|job| job.segments.iter().map(|segment| (job.id, segment)));
    let mut held: Vec<(Moment, JobId, &Segment)> = segments
        .filter_map(|(job, segment)| {
            let unordered = |at| Moment { at, entry: usize::MAX };
            Some((segment.chosen.or(segment.started.map(unordered))?, job, segment))
        })
        .collect();
    held.sort_by_key(|(chosen, job, _)| (*chosen, *job));
    let mut later: Option<Nanos> = None;
    let mut occupations: Vec<Occupation> = Vec::with_capacity(held.len());
    for (chosen, job, segment) in held.into_iter().rev() {
        let next = occupations.last().map(|o| o.chosen.at).filter(|at| *at > chosen.at).or(later);
        later = next;
        let all_seen = unseen.last().is_none_or(|gap| gap.end <= chosen.at);
        let (surely, to) = match (segment.finished, next) {
            (Some(finished), _) => (finished.at, finished.at),
            // Another was chosen after it, at the same instant.
            (None, None) if !occupations.is_empty() => (chosen.at, chosen.at),
            (None, None) if all_seen => (end, end),
            (None, next) => (segment.ended.unwrap_or(chosen.at), next.unwrap_or(end)),
        };
        occupations.push(Occupation { job, chosen, surely, to });
    }
    occupations.reverse();
    occupations
}

/// When it is not known who held the partition because decisions may be missing: from the last record before a gap of
/// the scheduler's recorder to the first one behind it that says who holds the partition.
fn unseen(trace: &Trace, end: Nanos) -> Vec<Range<Nanos>> {
    let lost = |recorder: u32| {
        let balance = trace.totals().and_then(|totals| totals.recorders.get(recorder as usize));
        balance.is_none_or(|balance| balance.dropped.contains_key(&Kind::Step))
    };
    let decides: BTreeSet<u32> = trace
        .entries()
        .iter()
        .filter(|e| e.record.body.kind() == Kind::Step)
        .map(|e| e.recorder)
        .filter(|recorder| lost(*recorder))
        .collect();
    let gaps: Vec<&Gap> = trace.gaps().iter().filter(|gap| decides.contains(&gap.recorder)).collect();
    if gaps.is_empty() {
        return Vec::new();
    }
    let mut times: Vec<Range<Nanos>> = Vec::new();
    for recorder in decides {
        let mut gaps = gaps.iter().filter(|gap| gap.recorder == recorder).peekable();
        let mut since: Option<Nanos> = None;
        for entry in trace.entries().iter().filter(|e| e.recorder == recorder) {
            while let Some(gap) = gaps.next_if(|gap| gap.last < entry.seq) {
                since.get_or_insert(gap.after.unwrap_or_default());
            }
            if tells_who_runs(&entry.record.body)
                && let Some(since) = since.take()
            {
                times.push(since..entry.record.at);
            }
        }
        let last = gaps.next().map(|gap| gap.after.unwrap_or_default());
        times.extend(since.or(last).map(|since| since..end));
    }
    times.sort_by_key(|time| (time.start, time.end));
    let mut apart: Vec<Range<Nanos>> = Vec::with_capacity(times.len());
    for time in times {
        match apart.last_mut() {
            Some(last) if time.start <= last.end => last.end = last.end.max(time.end),
            _ => apart.push(time),
        }
    }
    apart
}

fn tells_who_runs(body: &Body) -> bool {
    matches!(
        body,
        Body::Step {
            decision: Decision {
                action: Action::Start { .. } | Action::Requeue | Action::Retire | Action::Idle,
                ..
            },
            ..
        }
    )
}
