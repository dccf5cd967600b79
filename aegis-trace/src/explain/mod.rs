//! Where the time of one job went: causes that follow each other without a hole from its arrival to its end, so that
//! they sum to its response time exactly.
//!
//! The time before the release is *late release*. From the release on, whatever held the partition while the job was
//! ready is the cause of its waiting, by these rules in this order:
//! 1. an earlier job of the same task: *behind own*;
//! 2. a job that the policy ranks as more urgent: *behind*, with the rule that ranked it. EDF compares absolute
//!    deadlines, fixed priority compares priorities; both, and FIFO alone, go by the order of release where that is equal;
//! 3. a less urgent job that had been chosen before this one was ready: *blocked*;
//! 4. nobody: *dispatch*;
//! 5. anything else is *unexplained*: records are missing, or the scheduler broke its policy.
//!
//! While the job itself holds the partition, the time from its choice to its start by a worker is *dispatch*, what
//! follows is its execution, and the time from its end there until the scheduler was told is *completion*, less the time
//! in which a worker brought its model back after a fault: *recovery*. [`parts`] says how an execution is divided.
//!
//! Where a worker's record is missing, its segment counts as running from the choice, or until the scheduler was told.
//! Where records of the scheduler are missing, nothing is said of the time in which they could have told something else.
mod bound;
mod parts;
mod suspects;

pub use bound::{Against, Share};
pub use suspects::{Root, Suspect};

use crate::jobs::{Moment, Occupation};
use crate::{ClockLimits, Direction, Job, Jobs, TraceError};
use aegis_core::{Fault, JobId, Nanos, Outcome, Policy, Priority, Why};
use serde::Serialize;
use std::ops::Range;

/// Where the time of one job went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The job.
    pub job: JobId,
    /// When it arrived.
    pub arrival: Nanos,
    /// When the scheduler was told; absent for a refused job and where that record is missing.
    pub release: Option<Nanos>,
    /// Its absolute deadline; [`Nanos::MAX`] for a task that the set does not have.
    pub deadline: Nanos,
    /// When it left the system; if it had not left, or that is not known, the last instant of which something is known.
    pub until: Nanos,
    /// How it left.
    pub ending: Ending,
    /// From `arrival` to `until`: each begins where the one before ends.
    pub causes: Vec<Cause>,
    /// Its fault, if one is recorded.
    pub fault: Option<Fault>,
    /// For a refused job: the unfinished jobs that filled its task's queue.
    pub ahead: Vec<JobId>,
}

/// How a job left the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Ending {
    /// Completed by its deadline.
    Met,
    /// Completed after its deadline.
    Missed,
    /// With a fault; its result is void.
    Faulted,
    /// It was never served, for this reason.
    Refused(Why),
    /// The records of its end are missing; the explanation goes as far as the trace speaks of it.
    Unknown,
    /// It had not left when the trace ended.
    Unfinished {
        /// Whether one of its segments was running then.
        running: bool,
    },
}

/// A part of a job's response time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// What it stands for.
    pub kind: CauseKind,
    /// Who causes it, where that is another job.
    pub by: Option<JobId>,
    /// How much: `to - from`.
    pub ns: Nanos,
    /// From when.
    pub from: Nanos,
    /// Until when.
    pub to: Nanos,
}

/// What a part of a response time stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum CauseKind {
    /// Between its arrival and the moment the scheduler was told.
    LateRelease,
    /// A less urgent job had been chosen before this one was ready, and cannot be preempted.
    Blocked {
        /// When that job was chosen.
        since: Nanos,
    },
    /// A more urgent job was served first.
    Behind {
        /// What made it more urgent.
        rule: Rule,
    },
    /// An earlier job of the same task was served first.
    BehindOwn,
    /// The partition was idle, or on its way into this job: from its choice to its start by a worker.
    Dispatch,
    /// From its end at the worker until the scheduler was told.
    Completion,
    /// Its inputs or outputs were copied.
    Copy {
        /// The segment.
        segment: u16,
        /// Which way.
        direction: Direction,
    },
    /// It ran, within the WCET of the segment.
    Ran {
        /// The segment.
        segment: u16,
    },
    /// It ran beyond the WCET of the segment, and the trace says nothing that would explain why.
    RanOver {
        /// The segment.
        segment: u16,
        /// Its WCET, with the overheads that are declared for what is measured with it.
        wcet: Nanos,
    },
    /// It was ready to run, and other programs or threads had the processor.
    Contended {
        /// The segment.
        segment: u16,
    },
    /// It ran beyond the WCET of the segment while the clock was lower than at the beginning of the trace: as much as
    /// the lower rate explains.
    SlowClock {
        /// The segment.
        segment: u16,
        /// The rate at the beginning.
        from_khz: u32,
        /// The lowest rate meanwhile.
        to_khz: u32,
        /// What the device said kept it low.
        limits: ClockLimits,
    },
    /// Its model was brought back after its fault.
    Recovery,
    /// Records were written, at the cost that the trace states for one.
    Recording {
        /// Into what that time would have counted otherwise.
        during: During,
    },
    /// The trace does not say.
    Unexplained,
}

impl CauseKind {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LateRelease => "late_release",
            Self::Blocked { .. } => "blocking",
            Self::Behind { .. } => "interference",
            Self::BehindOwn => "earlier_jobs",
            Self::Dispatch => "dispatch",
            Self::Completion => "completion",
            Self::Copy { .. } => "copy",
            Self::Ran { .. } => "execution",
            Self::RanOver { .. } => "overrun",
            Self::Contended { .. } => "contention",
            Self::SlowClock { .. } => "slow_clock",
            Self::Recovery => "recovery",
            Self::Recording { .. } => "recording",
            Self::Unexplained => "unexplained",
        }
    }
}

/// What a thread was doing when it wrote records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum During {
    /// On the way from the choice to the start.
    Dispatch,
    /// The execution.
    Execution,
    /// On the way from the end to the scheduler.
    Completion,
}

/// What made another job more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Rule {
    /// Its absolute deadline is earlier.
    EarlierDeadline {
        /// That deadline.
        deadline: Nanos,
    },
    /// Its priority is higher.
    HigherPriority {
        /// That priority.
        priority: Priority,
    },
    /// It was released first, and nothing ranks before that.
    ReleasedFirst {
        /// When.
        release: Nanos,
    },
}

impl Explanation {
    /// From the arrival to the end.
    #[must_use]
    pub fn response(&self) -> Nanos {
        self.until.saturating_sub(self.arrival)
    }

    /// When it left the system; `None` if it had not, or was refused.
    #[must_use]
    pub const fn finish(&self) -> Option<Nanos> {
        match self.ending {
            Ending::Met | Ending::Missed | Ending::Faulted => Some(self.until),
            Ending::Refused(_) | Ending::Unknown | Ending::Unfinished { .. } => None,
        }
    }

    /// Whether it gave a result by its deadline.
    #[must_use]
    pub fn met(&self) -> bool {
        self.ending == Ending::Met
    }

    /// The part that no rule explains; zero in a trace without gaps of a scheduler that keeps its policy.
    #[must_use]
    pub fn unexplained(&self) -> Nanos {
        self.causes.iter().filter(|c| c.kind == CauseKind::Unexplained).map(|c| c.ns).sum()
    }

    /// Whether the causes follow each other without a hole from the arrival to the end, and sum to the response time.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let mut at = self.arrival;
        let no_hole = self.causes.iter().all(|cause| {
            let follows = cause.from == at && cause.from < cause.to && cause.ns == cause.to - cause.from;
            at = cause.to;
            follows
        });
        let sum: u128 = self.causes.iter().map(|cause| u128::from(cause.ns.0)).sum();
        no_hole && at == self.until && sum == u128::from(self.response().0)
    }
}

impl Jobs<'_> {
    /// Explains one job.
    ///
    /// # Errors
    /// [`TraceError::UnknownJob`] if the trace does not say when it arrived; [`TraceError::Bug`] if the causes do not
    /// sum to the response time, which is checked every time.
    pub fn explain(&self, id: JobId) -> Result<Explanation, TraceError> {
        let known = self.get(id).and_then(|job| Some((job, job.arrival?)));
        let (job, arrival) = known.ok_or_else(|| self.unknown(id))?;
        let (until, ending) = self.ending(job, arrival);
        let mut causes = Tiling { at: arrival, end: until, causes: Vec::new() };
        let mut ahead = Vec::new();
        match (job.release, ending) {
            (_, Ending::Refused(_)) => {
                causes.until(until, CauseKind::LateRelease, None);
                ahead = self.unfinished_before(job);
            }
            (Some(release), _) => {
                causes.until(release.at, CauseKind::LateRelease, None);
                self.served(job, ending, &mut causes);
            }
            (None, _) => self.served(job, ending, &mut causes),
        }
        causes.until(until, CauseKind::Unexplained, None);
        let explanation = Explanation {
            job: id,
            arrival,
            release: job.release.map(|moment| moment.at),
            deadline: self.deadline(id, arrival),
            until,
            ending,
            causes: causes.causes,
            fault: job.fault,
            ahead,
        };
        if !explanation.adds_up() {
            return Err(TraceError::Bug { what: "the causes of a response time do not sum to it" });
        }
        Ok(explanation)
    }

    /// The `k` jobs that arrived in `window` and took longest relative to their deadlines, the worst first; those that
    /// had not left when the trace ended count with the time until then, refused ones not at all.
    #[must_use]
    pub fn worst(&self, k: usize, window: Range<Nanos>) -> Vec<Explanation> {
        let mut taken: Vec<(u64, u64, JobId)> = self
            .iter()
            .filter_map(|job| {
                let arrival = job.arrival.filter(|arrival| window.contains(arrival))?;
                let (until, ending) = self.ending(job, arrival);
                let relative = self.trace.header().set.get(job.id.task)?.deadline;
                let refused = matches!(ending, Ending::Refused(_));
                (!refused).then_some((until.saturating_sub(arrival).0, relative.0, job.id))
            })
            .collect();
        // response / deadline, compared without dividing
        taken.sort_by(|(r1, d1, id1), (r2, d2, id2)| {
            let [a, b] = [(r1, d2), (r2, d1)].map(|(r, d)| u128::from(*r) * u128::from(*d));
            b.cmp(&a).then(id1.cmp(id2))
        });
        taken.iter().take(k).filter_map(|(_, _, id)| self.explain(*id).ok()).collect()
    }

    fn unknown(&self, id: JobId) -> TraceError {
        let mut known = self.of_task(id.task).filter(|job| job.arrival.is_some()).map(|job| job.id.seq);
        let range = known.next().map(|first| (first, known.next_back().unwrap_or(first)));
        TraceError::UnknownJob { job: self.trace.header().job_name(id).to_string(), range }
    }

    /// When the job left and how; not before `arrival`, whatever the records say.
    fn ending(&self, job: &Job, arrival: Nanos) -> (Nanos, Ending) {
        let (at, ending) = match (job.retired, job.refused) {
            (Some((moment, Outcome::Completed)), _) => {
                let met = moment.at <= self.deadline(job.id, arrival);
                (moment.at, if met { Ending::Met } else { Ending::Missed })
            }
            (Some((moment, Outcome::Faulted)), _) => (moment.at, Ending::Faulted),
            (None, Some((moment, why))) if job.release.is_none() => (moment.at, Ending::Refused(why)),
            (None, _) => {
                let last = job.last_known().unwrap_or(arrival);
                if self.unseen.last().is_some_and(|gap| gap.end >= last) {
                    (last, Ending::Unknown)
                } else {
                    let running = job.segments.last().is_some_and(|s| s.finished.is_none());
                    (self.end, Ending::Unfinished { running })
                }
            }
        };
        (at.max(arrival), ending)
    }

    fn deadline(&self, id: JobId, arrival: Nanos) -> Nanos {
        let relative = self.trace.header().set.get(id.task).map_or(Nanos::MAX, |task| task.deadline);
        arrival.saturating_add(relative)
    }

    /// The jobs of the same task that were released and had not left when this one was refused, because its queue was
    /// full of them.
    fn unfinished_before(&self, job: &Job) -> Vec<JobId> {
        let Some((refused, Why::QueueFull { capacity })) = job.refused else { return Vec::new() };
        let mut ahead: Vec<JobId> = self
            .up_to(job.id)
            .rev()
            .filter(|other| other.release.is_some_and(|release| release < refused))
            .filter(|other| other.retired.is_none_or(|(retired, _)| retired > refused))
            .take(capacity as usize)
            .map(|other| other.id)
            .collect();
        ahead.reverse();
        ahead
    }

    /// Everything from the release on: waiting and running in turns. Where it is not known since when the job was
    /// ready, its waiting cannot be explained.
    fn served(&self, job: &Job, ending: Ending, causes: &mut Tiling) {
        let mut ready = job.release;
        for segment in &job.segments {
            if let Some(from) = segment.from() {
                if let Some(ready) = ready {
                    self.waited(job.id, ready, from, causes);
                }
                causes.until(from, CauseKind::Unexplained, None);
                let to = match ending {
                    // The trace may end before the scheduler was told.
                    Ending::Unfinished { .. } if Some(segment) == job.segments.last() => {
                        segment.finished.map_or(causes.end, |told| told.at)
                    }
                    _ => segment.to().unwrap_or(from),
                };
                self.held(job.id, segment, to, causes);
            }
            if let Some(finished) = segment.finished {
                causes.until(finished.at, CauseKind::Unexplained, None);
            }
            ready = segment.finished;
        }
        match (ready, ending) {
            (Some(ready), Ending::Unfinished { .. } | Ending::Unknown) => {
                self.waited(job.id, ready, causes.end, causes);
            }
            // It ended, and the trace ends before the scheduler was told.
            (None, Ending::Unfinished { .. }) => self.idle(causes.end, causes),
            _ => {}
        }
    }

    /// The job was ready from `ready` on and was not chosen before `to`: whoever held the partition is the cause.
    fn waited(&self, id: JobId, ready: Moment, to: Nanos, causes: &mut Tiling) {
        // Occupations follow each other, so that only those of the last choice before can reach into this wait.
        let begun = self.occupations.partition_point(|o| o.chosen.at <= causes.at);
        let last = self.occupations[..begun].last().map_or(Nanos::ZERO, |o| o.chosen.at);
        let first = self.occupations.partition_point(|o| o.chosen.at < last);
        for occupation in &self.occupations[first..] {
            if occupation.chosen.at >= to {
                break;
            }
            if occupation.job != id && occupation.to > causes.at {
                self.idle(occupation.chosen.at.min(to), causes);
                let kind = self.held_by(id, ready, occupation);
                causes.until(occupation.surely.min(to), kind, Some(occupation.job));
                causes.until(occupation.to.min(to), CauseKind::Unexplained, Some(occupation.job));
            }
        }
        self.idle(to, causes);
    }

    /// Nobody is known to have held the partition.
    fn idle(&self, to: Nanos, causes: &mut Tiling) {
        let first = self.unseen.partition_point(|gap| gap.end <= causes.at);
        for gap in self.unseen[first..].iter().take_while(|gap| gap.start < to) {
            causes.until(gap.start, CauseKind::Dispatch, None);
            causes.until(gap.end.min(to), CauseKind::Unexplained, None);
        }
        causes.until(to, CauseKind::Dispatch, None);
    }

    /// Why a ready job waited for another one that held the partition.
    fn held_by(&self, id: JobId, ready: Moment, other: &Occupation) -> CauseKind {
        if other.job.task == id.task && other.job.seq < id.seq {
            return CauseKind::BehindOwn;
        }
        let (Some(mine), Some(theirs)) = (self.rank(id), self.rank(other.job)) else {
            return CauseKind::Unexplained;
        };
        if theirs < mine {
            return CauseKind::Behind { rule: self.rule(other.job, theirs.0 < mine.0) };
        }
        if other.chosen < ready {
            return CauseKind::Blocked { since: other.chosen.at };
        }
        CauseKind::Unexplained
    }

    fn rule(&self, other: JobId, by_policy: bool) -> Rule {
        let set = &self.trace.header().set;
        let (job, task) = (self.get(other), set.get(other.task));
        match (set.policy(), task) {
            (Policy::Edf, Some(_)) if by_policy => {
                let arrival = job.and_then(|job| job.arrival).unwrap_or_default();
                Rule::EarlierDeadline { deadline: self.deadline(other, arrival) }
            }
            (Policy::FixedPriority, Some(task)) if by_policy => {
                Rule::HigherPriority { priority: task.priority }
            }
            _ => {
                let release = job.and_then(|job| job.release).map(|moment| moment.at);
                Rule::ReleasedFirst { release: release.unwrap_or_default() }
            }
        }
    }

    /// The jobs whose response time has a part that no rule explains, and how long that is; none in a trace without gaps
    /// of a scheduler that keeps its policy.
    #[must_use]
    pub fn unexplained(&self) -> Vec<(JobId, Nanos)> {
        self.iter()
            .filter_map(|job| Some((job.id, self.explain(job.id).ok()?.unexplained())))
            .filter(|(_, ns)| *ns > Nanos::ZERO)
            .collect()
    }
}

/// Causes laid one behind the other: no hole and no overlap by construction.
#[derive(Debug)]
pub(crate) struct Tiling {
    at: Nanos,
    end: Nanos,
    causes: Vec<Cause>,
}

impl Tiling {
    /// Everything from here to `to`, if that is later, has this cause; never beyond the end.
    fn until(&mut self, to: Nanos, kind: CauseKind, by: Option<JobId>) {
        let (from, to) = (self.at, to.min(self.end));
        if from < to {
            self.at = to;
            match self.causes.last_mut() {
                Some(last) if last.kind == kind && last.by == by => {
                    (last.to, last.ns) = (to, last.ns + (to - from));
                }
                _ => self.causes.push(Cause { kind, by, ns: to - from, from, to }),
            }
        }
    }
}
