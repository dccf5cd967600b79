//! The jobs of strictly periodic tasks with known offsets, and the verdict that uses the offsets. Exact.
//!
//! Assumptions:
//! 1. Job `k` of a task arrives at `offset + k · T` and is released within its jitter (release overhead included) after
//!    that. Every task of the partition states its offset.
//! 2. A segment executes for its BCET (1 ns where that is less, for nothing takes no time) to its WCET, times the
//!    partition's interference factor, with the overheads around it; host parts take their [min, max].
//! 3. The scheduler is the one of [`super::explore`]; ties are served in the order of release ([`Ties::ByRelease`]).
//!
//! With `H` the least common multiple of the periods and `S` the largest offset, arrivals repeat with `H` from `S` on.
//! Call an instant `x ≥ S` a cut when all that arrived before `x` is done at `x` in every schedule. If `x` and `x + H` are
//! both cuts, the jobs that arrive before `x + H` show everything: what follows either cut is the same, for the resource
//! is free, nothing waits, and the same arrivals come. (Leung, Merrill, IPL 11(3), 1980, study `[S, S + 2H)` for
//! preemptive tasks; with varying execution times the cut has to be shown.) All jobs that arrive in `[0, S + 2H)` are
//! enough to look for a cut in `[S, S + H]`: later ones are released after it.
use super::set::{Edge, Job, JobSet, JobSetError, Span, Ties};
use super::{Answer, Completion, Limits, Method, Outcome, admit, windows};
use aegis_core::{
    Chain, Nanos, Overheads, PartitionId, Policy, System, SystemTask, Task, TaskId, Trigger, Verdict,
};

/// The most jobs that are made of a system.
pub const MOST_JOBS: u64 = 200_000;

/// Why a partition is not a job set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeriodicError {
    /// The partition has no tasks, or does not exist.
    #[error("the partition has no tasks")]
    NoTasks,
    /// A task whose first arrival is not known.
    #[error(
        "task `{task}` states no offset; known offsets help only where every task of the partition is periodic and \
         states one"
    )]
    NoOffset {
        /// Its name.
        task: String,
    },
    /// A stall may come at any time.
    #[error("overhead `{stall}` may come at any time, which known offsets do not help with")]
    Stall {
        /// Which one.
        stall: &'static str,
    },
    /// A task starts when another has ended, not at its own offset.
    #[error("task `{task}` is started by the end of another in chain `{chain}`, not by its period")]
    Triggered {
        /// Its name.
        task: String,
        /// The chain.
        chain: String,
    },
    /// The jobs until everything repeats are too many, or too long a time.
    #[error(
        "hyperperiod of {} with {} jobs does not fit the limit of {MOST_JOBS} jobs and 2^61 ns; \
         periods that are multiples of a common step repeat sooner",
        .hyperperiod.map_or("more than 2^64 ns".to_owned(), |h| format!("{h} ns")),
        .jobs.map_or("more than 2^64".to_owned(), |n| n.to_string())
    )]
    Hyperperiod {
        /// The least common multiple of the periods, in ns.
        hyperperiod: Option<u64>,
        /// Jobs that would be needed.
        jobs: Option<u64>,
    },
    /// The jobs are not a valid set.
    #[error(transparent)]
    Jobs(#[from] JobSetError),
}

/// The jobs that arrive before `until`, and what each is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodicJobs {
    /// The jobs: one a segment, joined by edges.
    pub set: JobSet,
    /// Which segment of which job each is, in the order of the set.
    pub origins: Vec<Origin>,
    /// From here on arrivals repeat: the largest offset.
    pub repeats_from: Nanos,
    /// After so long.
    pub hyperperiod: Nanos,
    /// The jobs are those that arrive before this instant.
    pub until: Nanos,
}

/// Where a job of a set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The task, in the system.
    pub task: TaskId,
    /// Which of its jobs, from 0.
    pub seq: u64,
    /// When that arrives.
    pub arrival: Nanos,
    /// Which segment.
    pub segment: usize,
    /// Whether the job ends with it.
    pub last: bool,
}

/// The jobs of `partition` that arrive in `[0, S + 2H)`.
///
/// # Errors
/// [`PeriodicError`] where the partition is not strictly periodic, or its hyperperiod does not fit.
pub fn periodic(system: &System, partition: PartitionId) -> Result<PeriodicJobs, PeriodicError> {
    let rhythm = Rhythm::of(system, partition)?;
    rhythm.jobs(0, rhythm.search_until())
}

/// Tasks with their offsets, and when they repeat.
pub(super) struct Rhythm<'a> {
    pub policy: Policy,
    pub overheads: Overheads,
    pub tasks: Vec<Beat<'a>>,
    pub start: u64,
    pub hyperperiod: u64,
}

/// One task: as the system states it, and with the inflated WCETs.
pub(super) struct Beat<'a> {
    pub id: TaskId,
    pub stated: &'a SystemTask,
    pub task: Task,
    pub offset: u64,
    pub period: u64,
}

impl<'a> Rhythm<'a> {
    pub(super) fn of(system: &'a System, partition: PartitionId) -> Result<Self, PeriodicError> {
        let Some(Ok(set)) = system.partition_set(partition) else { return Err(PeriodicError::NoTasks) };
        let overheads = set.overheads();
        let stalls = [
            ("recovery", overheads.recovery),
            ("clock_change", overheads.clock_change),
            ("reload", overheads.reload),
        ];
        if let Some((stall, _)) = stalls.into_iter().find(|(_, stall)| stall.length > Nanos::ZERO) {
            return Err(PeriodicError::Stall { stall });
        }
        let mut tasks = Vec::new();
        for ((id, stated), task) in system.on(partition).zip(set.tasks()) {
            let name = || stated.name.clone();
            let triggers = |chain: &&Chain| {
                chain.trigger == Trigger::Event && chain.edges.iter().any(|(_, to)| *to == id)
            };
            if let Some(chain) = system.chains().iter().find(triggers) {
                return Err(PeriodicError::Triggered { task: name(), chain: chain.name.clone() });
            }
            let (Some(offset), Some(period)) = (stated.offset, stated.arrival.period()) else {
                return Err(PeriodicError::NoOffset { task: name() });
            };
            tasks.push(Beat { id, stated, task: task.clone(), offset: offset.0, period: period.0 });
        }
        let hyperperiod = tasks.iter().try_fold(1_u64, |all, beat| lcm(all, beat.period));
        let hyperperiod = hyperperiod.ok_or(PeriodicError::Hyperperiod { hyperperiod: None, jobs: None })?;
        let start = tasks.iter().map(|beat| beat.offset).max().unwrap_or(0);
        Ok(Self { policy: set.policy(), overheads, tasks, start, hyperperiod })
    }

    /// Enough to look for a cut: `S + 2H`.
    fn search_until(&self) -> u64 {
        self.start.saturating_add(self.hyperperiod.saturating_mul(2))
    }

    /// The jobs that arrive in `[from, until)`, in time since `from`.
    pub(super) fn jobs(&self, from: u64, until: u64) -> Result<PeriodicJobs, PeriodicError> {
        let before = |instant: u64, beat: &Beat| instant.saturating_sub(beat.offset).div_ceil(beat.period);
        let count = |beat: &Beat| {
            (before(until, beat) - before(from, beat)).checked_mul(beat.task.segments.len() as u64)
        };
        let jobs = self.tasks.iter().try_fold(0_u64, |sum, beat| sum.checked_add(count(beat)?));
        if jobs.is_none_or(|jobs| jobs > MOST_JOBS) {
            return Err(PeriodicError::Hyperperiod { hyperperiod: Some(self.hyperperiod), jobs });
        }
        let (mut jobs, mut edges, mut origins) = (Vec::new(), Vec::new(), Vec::new());
        for beat in &self.tasks {
            for seq in before(from, beat)..before(until, beat) {
                let arrival = seq * beat.period + beat.offset - from;
                self.job(beat, seq, arrival, &mut jobs, &mut edges, &mut origins);
            }
        }
        let set = JobSet::new(jobs, edges, Ties::ByRelease)?;
        let repeats_from = Nanos(self.start.saturating_sub(from));
        let (hyperperiod, until) = (Nanos(self.hyperperiod), Nanos(until - from));
        Ok(PeriodicJobs { set, origins, repeats_from, hyperperiod, until })
    }

    /// One job of a task: its segments, each behind the one before.
    fn job(
        &self,
        beat: &Beat,
        seq: u64,
        arrival: u64,
        jobs: &mut Vec<Job>,
        edges: &mut Vec<Edge>,
        origins: &mut Vec<Origin>,
    ) {
        let around = self.overheads.around_segment().unwrap_or_default().0;
        let segments = beat.task.segments.len();
        // Sums that do not fit are refused by `JobSet::new`.
        let deadline = Nanos(arrival.saturating_add(beat.task.deadline.0));
        let jitter = beat.task.jitter.saturating_add(self.overheads.release);
        for (segment, longest) in beat.task.segments.iter().enumerate() {
            let copy = if segment == 0 { self.overheads.copy.0 } else { 0 };
            let shortest = beat.stated.segments[segment].bcet.0.max(1);
            if segment > 0 {
                let host = beat.stated.host.get(segment - 1).copied().unwrap_or_default();
                let delay = Span::new(host.min, host.max);
                edges.push(Edge { from: jobs.len() - 1, to: jobs.len(), delay });
            }
            jobs.push(Job {
                task: u64::from(beat.id.0),
                job: seq * segments as u64 + segment as u64,
                release: Span::new(Nanos(arrival), Nanos(arrival).saturating_add(jitter)),
                cost: Span::new(Nanos(shortest), Nanos(longest.0 + around + copy)),
                deadline,
                priority: match self.policy {
                    Policy::Edf => deadline.0,
                    Policy::FixedPriority => u64::from(beat.task.priority.0),
                    Policy::Fifo => 0,
                },
            });
            let last = segment + 1 == segments;
            origins.push(Origin { task: beat.id, seq, arrival: Nanos(arrival), segment, last });
        }
    }
}

fn lcm(a: u64, b: u64) -> Option<u64> {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).checked_mul(b)
}

impl PeriodicJobs {
    /// The first `x` in `[S, until − H]` such that `x` and `x + H` are cuts, given bounds on completions.
    fn cut(&self, completions: &[Completion]) -> Option<Nanos> {
        let mut ends: Vec<(Nanos, Nanos)> =
            self.origins.iter().zip(completions).map(|(origin, end)| (origin.arrival, end.worst)).collect();
        ends.sort_unstable();
        // The latest end of all that arrive up to each job of the list.
        let mut latest = Nanos::ZERO;
        for end in &mut ends {
            latest = latest.max(end.1);
            end.1 = latest;
        }
        let done = |x: Nanos| {
            let before = ends.partition_point(|(arrival, _)| *arrival < x);
            before.checked_sub(1).is_none_or(|last| ends[last].1 <= x)
        };
        let most = self.until.checked_sub(self.hyperperiod)?;
        // Between two arrivals the later instant is a cut if an earlier one is.
        let arrivals = ends.iter().map(|(arrival, _)| *arrival);
        let candidates = [self.repeats_from].into_iter().chain(arrivals).chain([most]);
        candidates.filter(|x| (self.repeats_from..=most).contains(x)).find(|x| {
            let next = x.checked_add(self.hyperperiod);
            done(*x) && next.is_some_and(done)
        })
    }
}

/// The worst response of a task whose offset is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetBound {
    /// The task, in the system.
    pub task: TaskId,
    /// The shortest response, from arrival.
    pub best: Nanos,
    /// The longest response, from arrival.
    pub worst: Nanos,
    /// Its relative deadline.
    pub deadline: Nanos,
}

/// What every schedule of the periodic jobs shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtOffsets {
    /// Whether all deadlines are met, for ever.
    pub admitted: bool,
    /// The responses of each task, in the order of the partition. Of a set that misses a deadline they hold as long as
    /// the jobs of `jobs` last.
    pub tasks: Vec<OffsetBound>,
    /// The jobs that were looked at.
    pub jobs: PeriodicJobs,
    /// What was found.
    pub answer: Answer,
}

impl AtOffsets {
    /// The first job, by its position, that ends after its deadline in some schedule.
    #[must_use]
    pub const fn late(&self) -> Option<usize> {
        match self.answer.outcome {
            Outcome::Misses { job } => Some(job),
            Outcome::Meets | Outcome::Undecided { .. } => None,
        }
    }
}

/// The verdict over known offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffsetsVerdict {
    /// Decided over every schedule of the periodic jobs.
    Offsets(AtOffsets),
    /// Known offsets did not decide; the sporadic test did, for every offset.
    Sporadic {
        /// Why not.
        why: Undecided,
        /// Its verdict.
        verdict: Verdict,
    },
    /// Nothing decided: there are host parts, for which the sporadic test needs another analysis.
    Undecided {
        /// Why offsets did not.
        why: Undecided,
    },
}

/// Why known offsets did not decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecided {
    /// The partition is not strictly periodic, or its hyperperiod does not fit.
    #[error(transparent)]
    NotPeriodic(#[from] PeriodicError),
    /// The exploration gave up, and the bounds that remain do not show that all deadlines are met.
    #[error("not every schedule of {jobs} jobs can be looked at: {states} states, then the limit `{limit}`")]
    GaveUp {
        /// How many jobs.
        jobs: usize,
        /// States made.
        states: u64,
        /// [`super::End::code`].
        limit: &'static str,
    },
    /// Some job may always be waiting, so that no time shows what comes after it.
    #[error("no instant between {from} and {to} is free of earlier jobs in every schedule")]
    NoCut {
        /// Start of the search.
        from: Nanos,
        /// End of the search.
        to: Nanos,
    },
    /// A bound is above its deadline, but it is not known to be attained.
    #[error("task `{task}`: its bound is above its deadline, but no schedule is known that attains it")]
    NotAttained {
        /// The task's name.
        task: String,
    },
}

impl OffsetsVerdict {
    /// Whether all deadlines are met.
    #[must_use]
    pub fn admitted(&self) -> bool {
        match self {
            Self::Offsets(found) => found.admitted,
            Self::Sporadic { verdict, .. } => verdict.admitted(),
            Self::Undecided { .. } => false,
        }
    }
}

/// Whether every job of `partition` meets its deadline with the offsets that the tasks state; where that cannot be
/// decided, whether it does with any.
#[must_use]
pub fn offsets_verdict(system: &System, partition: PartitionId, limits: &Limits) -> OffsetsVerdict {
    match at_offsets(system, partition, limits) {
        Ok(found) => OffsetsVerdict::Offsets(found),
        Err(why) => {
            let suspends = system.on(partition).any(|(_, task)| !task.host.is_empty());
            match system.partition_set(partition) {
                Some(Ok(set)) if !suspends => OffsetsVerdict::Sporadic { why, verdict: crate::admit(&set) },
                _ => OffsetsVerdict::Undecided { why },
            }
        }
    }
}

/// What every schedule of `partition` shows where its tasks arrive at the offsets that they state, and then every period.
/// WCETs of a high-criticality mode are not looked at.
///
/// # Errors
/// [`Undecided`]: nothing is known then, neither that deadlines are met nor that one is missed.
pub fn at_offsets(system: &System, partition: PartitionId, limits: &Limits) -> Result<AtOffsets, Undecided> {
    // First, the jobs up to a cut that busy windows show, or all that may be needed to find one.
    let rhythm = Rhythm::of(system, partition)?;
    let mut jobs = rhythm.jobs(0, rhythm.search_until())?;
    let early = windows::bounds(&jobs.set).and_then(|bounds| jobs.cut(&bounds));
    if let Some(cut) = early {
        jobs = rhythm.jobs(0, cut.0 + rhythm.hyperperiod)?;
    }

    // Then, their schedules.
    let answer = admit(&jobs.set, limits);
    match answer.outcome {
        Outcome::Meets if early.is_some() || jobs.cut(&answer.completions).is_some() => {}
        Outcome::Meets => {
            return Err(Undecided::NoCut { from: jobs.repeats_from, to: jobs.until });
        }
        // Jobs that arrive later cannot help one whose deadline comes before them.
        Outcome::Misses { job } if jobs.set.jobs()[job].deadline <= jobs.until || early.is_some() => {}
        Outcome::Misses { job } | Outcome::Undecided { job } => {
            let code = answer.exploration.end.code();
            return Err(if answer.method == Method::Schedules {
                let task = system.tasks()[jobs.origins[job].task.index()].name.clone();
                Undecided::NotAttained { task }
            } else {
                let states = answer.exploration.states;
                Undecided::GaveUp { jobs: jobs.set.jobs().len(), states, limit: code }
            });
        }
    }

    // Finally, the responses of each task.
    let tasks = rhythm.tasks.iter().filter_map(|beat| {
        let of_task = jobs.origins.iter().zip(&answer.completions);
        let of_task = of_task.filter(|(origin, _)| origin.task == beat.id && origin.last);
        let responses = of_task.map(|(origin, end)| {
            (end.best.saturating_sub(origin.arrival), end.worst.saturating_sub(origin.arrival))
        });
        let (best, worst) = responses.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        Some(OffsetBound { task: beat.id, best, worst, deadline: beat.task.deadline })
    });
    let (tasks, admitted) = (tasks.collect(), answer.outcome == Outcome::Meets);
    Ok(AtOffsets { admitted, tasks, jobs, answer })
}
