//! Critical instants: the arrivals, releases and execution times that attain a bound, or come closest to it.
//!
//! Each analysis takes its bound from a busy period that it describes in numbers; here it is drawn up as jobs. Time 0 is
//! its start. The job whose segment blocks starts that segment at −1. Of every other task that is served before the
//! analysed job, arrivals begin at −J and are as dense as they may be, each job released at 0 or when it arrives. The
//! task's own earlier jobs are as dense before the analysed job. Every segment takes its WCET, except those that the
//! blocking job has behind it: they take 1 ns, so that it arrives as late as it can. Stalls come at 0, or at −1 if a segment
//! blocks, just after it was chosen, and then as often as they may.
//!
//! The analyses decide ties against the analysed job. A scheduler decides them in the order of release, so that a job
//! with an equal deadline or priority that is released later does not come first. Then the bound may not be attained,
//! and [`Pattern::gap`] says what is missing: under EDF one tick at most, the one by which the deadline has to be later.
use super::busy_period::NoBound;
use super::{edf, fifo, fixed_priority};
use aegis_core::{
    ArrivalLaw, Bound, Nanos, NextArrival, Overheads, Policy, Stall, TaskId, TaskSet, TermKind,
};
use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// No pattern holds more jobs.
pub const MOST_JOBS: usize = 1 << 16;

/// Which of two jobs comes first if the policy does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ties {
    /// The one that is listed first in the pattern: the analysed job last, as the analyses have it.
    AsListed,
    /// The one that was released first; at one instant the one that is listed first, as the scheduler has it.
    InOrderOfRelease,
}

/// One job of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternJob {
    /// Its task.
    pub task: TaskId,
    /// When it arrives; its deadline counts from here.
    pub arrival: Nanos,
    /// When it is released.
    pub release: Nanos,
    /// How long each of its segments takes, overheads included.
    pub executions: Vec<Nanos>,
}

/// One stall of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternStall {
    /// 0 recovery, 1 change of clocks, 2 reload.
    pub source: usize,
    /// When it begins.
    pub at: Nanos,
    /// If the resource chooses at that instant, it has chosen before the stall begins.
    pub after_choice: bool,
}

/// A schedule of the model, as its jobs; all times count from the first arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// All jobs, in the order in which ties are decided.
    pub jobs: Vec<PatternJob>,
    /// Position in `jobs` of the analysed one.
    pub job: usize,
    /// All stalls; those of one source in order.
    pub stalls: Vec<PatternStall>,
    /// Position in `jobs` of the one that runs when the busy period starts.
    pub blocker: Option<usize>,
    /// When the busy period starts: the blocking segment started one tick before.
    pub busy_from: Nanos,
    /// How long the analysed job takes from its arrival to its end.
    pub response: Nanos,
    /// How long the analysis says that it takes at most.
    pub bound: Nanos,
}

impl Pattern {
    /// What is missing to the bound; 0 where it is attained.
    #[must_use]
    pub fn gap(&self) -> Nanos {
        self.bound.saturating_sub(self.response)
    }

    /// The task whose bound it is.
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.jobs[self.job].task
    }

    /// What happens and how close it comes, with the names of `set`.
    #[must_use]
    pub fn sentence(&self, set: &TaskSet) -> String {
        let name = |job: &PatternJob| set.get(job.task).map_or("?", |task| task.name.as_str());
        let analysed = &self.jobs[self.job];
        let blocked = self.blocker.map_or_else(String::new, |blocker| {
            format!(
                " {} starts 1 ns before {}, when the others are released;",
                name(&self.jobs[blocker]),
                self.busy_from
            )
        });
        let close = if self.gap() == Nanos::ZERO {
            "which is its bound".to_owned()
        } else {
            format!("{} less than its bound", self.gap())
        };
        format!(
            "{} jobs;{blocked} {} arrives at {}, is released at {} and takes {}, {close}",
            self.jobs.len(),
            name(analysed),
            analysed.arrival,
            analysed.release,
            self.response
        )
    }
}

/// Why there is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPattern {
    /// The set has no such task.
    #[error("the set has no task {}", task.0)]
    UnknownTask {
        /// The task.
        task: TaskId,
    },
    /// The task has no bound that could be attained.
    #[error("task {} has no bound: its busy period does not end, or was not found within the limit of steps", task.0)]
    NoBound {
        /// The task.
        task: TaskId,
        /// Why it has none.
        why: NoBound,
    },
    /// The busy period has too many jobs to list.
    #[error("the busy period of task {} has more than {MOST_JOBS} jobs before the analysed one ends", task.0)]
    TooManyJobs {
        /// The task.
        task: TaskId,
    },
}

/// The release pattern in which a job of `task` responds as late as its bound says, or comes closest to it, under a
/// scheduler that decides ties in the order of release.
///
/// # Errors
/// [`NoPattern`].
pub fn critical_instant(set: &TaskSet, task: TaskId) -> Result<Pattern, NoPattern> {
    let bounds = match set.policy() {
        Policy::FixedPriority => fixed_priority::response_times(set),
        Policy::Edf => edf::response_times(set),
        Policy::Fifo => fifo::response_times(set),
    };
    let bound = bounds.get(task.index()).ok_or(NoPattern::UnknownTask { task })?;
    let bound = bound.as_ref().map_err(|why| NoPattern::NoBound { task, why: *why })?;
    of_bound(set, task, bound, Ties::InOrderOfRelease)
}

/// [`critical_instant`] for a bound that is known, and ties as one likes.
///
/// # Errors
/// [`NoPattern`], except that a bound is missing.
pub fn of_bound(set: &TaskSet, task: TaskId, bound: &Bound, ties: Ties) -> Result<Pattern, NoPattern> {
    if set.get(task).is_none() {
        return Err(NoPattern::UnknownTask { task });
    }
    // Where the scheduler's ties fall out against the analysis, a release as late as may be or an arrival one tick
    // later is next best; where not all jobs can come at once, those that can, with the blocking one or without.
    let scene = Scene::new(set, task, bound);
    let mut best: Option<Pattern> = None;
    for (later, late) in [(0, false), (0, true), (1, false), (1, true)] {
        let (drawn, whole) = scene.draw(scene.blocker, later, late, ties)?;
        let unblocked = if whole { None } else { scene.draw(None, later, late, ties)?.0 };
        for drawn in [drawn, unblocked].into_iter().flatten() {
            if best.as_ref().is_none_or(|best| drawn.response > best.response) {
                best = Some(drawn);
            }
        }
        if best.as_ref().is_some_and(|best| best.gap() == Nanos::ZERO) {
            break;
        }
    }
    best.ok_or(NoPattern::TooManyJobs { task })
}

/// A job with the busy period's start as time 0.
#[derive(Debug, Clone)]
struct Drawn {
    task: usize,
    arrival: i128,
    release: i128,
    executions: Vec<u64>,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Blocks,
    Analysed,
    Served,
}

/// What a bound says of its busy period.
struct Scene<'a> {
    set: &'a TaskSet,
    i: usize,
    bound: &'a Bound,
    /// When the analysed job arrives.
    arrival: i128,
    /// When its last segment starts, if nothing stalls it; the latest release that makes sense.
    start: i128,
    /// When it ends: jobs released later are not served before it.
    until: i128,
    /// Whose segment blocks.
    blocker: Option<usize>,
}

impl<'a> Scene<'a> {
    fn new(set: &'a TaskSet, task: TaskId, bound: &'a Bound) -> Self {
        let i = task.index();
        let term = |kind| bound.terms.iter().find(move |term| term.kind == kind);
        let later = term(TermKind::ArrivedLater).map_or(0, |term| -i128::from(term.ns));
        let arrival = later - jitter(set, i);
        let last = executions(set, i).last().copied().unwrap_or(0);
        let end = arrival + i128::from(bound.wcrt.0);
        let until = if set.policy() == Policy::Fifo { later } else { end };
        let blocker = term(TermKind::Blocking).and_then(|term| term.by).map(TaskId::index);
        Self { set, i, bound, arrival, start: end - i128::from(last), until, blocker }
    }

    /// The jobs, with the analysed one `later` than the bound has it and released as `late` as it may be or at once; and
    /// whether the law of each task allows all of them.
    fn draw(
        &self,
        blocker: Option<usize>,
        later: i128,
        late: bool,
        ties: Ties,
    ) -> Result<(Option<Pattern>, bool), NoPattern> {
        let (set, i) = (self.set, self.i);
        let tasks = set.tasks();
        let (policy, me) = (set.policy(), &tasks[i]);
        let deadline = self.arrival + i128::from(me.deadline.0);
        let mut jobs = Vec::new();
        let mut add = |job| {
            jobs.push(job);
            if jobs.len() > MOST_JOBS {
                Err(NoPattern::TooManyJobs { task: TaskId::from(i) })
            } else {
                Ok(())
            }
        };

        let drawn = |task, arrival: i128, release: i128, role| Drawn {
            task,
            arrival,
            release: release.max(arrival).max(0),
            executions: executions(set, task),
            role,
        };

        // First, what runs at 0, and what else is served before.
        if let Some(k) = blocker {
            let mut executions = executions(set, k);
            let longest = executions.iter().copied().max().unwrap_or(0);
            let before = executions.iter().position(|c| *c == longest).unwrap_or(0);
            executions[..before].fill(1);
            let release = -1 - before as i128;
            add(Drawn { task: k, arrival: release, release, executions, role: Role::Blocks })?;
        }
        for (j, task) in tasks.iter().enumerate() {
            if j == i || (policy == Policy::FixedPriority && task.priority > me.priority) {
                continue;
            }
            let first = -jitter(set, j);
            for apart in dense(&task.arrival, self.until - first) {
                let arrival = first + apart;
                if policy == Policy::Edf && arrival + i128::from(task.deadline.0) > deadline {
                    break;
                }
                add(drawn(j, arrival, 0, Role::Served))?;
            }
        }

        // Then, the task's own jobs: those before the analysed one, itself, and those that overtake it.
        let arrival = self.arrival + later;
        let first = -jitter(set, i);
        let latest = arrival + jitter(set, i);
        let release = match policy {
            Policy::Fifo => latest,
            _ if late => latest.min(self.start),
            _ => 0,
        };
        let release = release.max(arrival).max(0);
        for apart in dense(&me.arrival, arrival - first).iter().skip(1).rev() {
            add(drawn(i, arrival - apart, 0, Role::Served))?;
        }
        add(drawn(i, arrival, release, Role::Analysed))?;
        if policy != Policy::Edf {
            for apart in dense(&me.arrival, release - 1 - arrival).iter().skip(1) {
                add(drawn(i, arrival + apart, 0, Role::Served))?;
            }
        }

        // Finally, the order in which ties are decided, and what comes of it.
        jobs.sort_by_key(|job| (job.task == i, job.task, job.release, job.arrival));
        if ties == Ties::InOrderOfRelease {
            jobs.sort_by_key(|job| job.release);
        }
        let whole = legal(set, &jobs);
        let jobs = if whole { jobs } else { allowed(set, &jobs) };
        Ok((self.pattern(&jobs), whole))
    }

    /// As many stalls as may be, from the start of the busy period on, or from one tick before if a segment blocks.
    fn stalls(&self, blocked: bool) -> Vec<Stalled> {
        let mut stalls = Vec::new();
        for (source, stall) in sources(&self.set.overheads()).iter().enumerate() {
            if stall.length > Nanos::ZERO {
                let begins = (0..).map(|n| n * i128::from(stall.gap.0) - i128::from(blocked));
                let begins = begins.take_while(|at| *at < self.arrival + i128::from(self.bound.wcrt.0));
                stalls.extend(begins.take(MOST_JOBS).map(|at| Stalled {
                    source,
                    at,
                    length: stall.length.0.into(),
                    after_choice: blocked && at == -1,
                }));
            }
        }
        stalls.sort_by_key(|stall| stall.at);
        stalls
    }

    fn pattern(&self, jobs: &[Drawn]) -> Option<Pattern> {
        let stalls = self.stalls(jobs.iter().any(|job| job.role == Role::Blocks));
        let place = |role| jobs.iter().position(|job| job.role == role);
        let (job, blocker) = (place(Role::Analysed)?, place(Role::Blocks));
        let response = u64::try_from(end_of(self.set, jobs, &stalls, job)? - jobs[job].arrival).ok()?;
        let from = jobs.iter().map(|job| job.arrival).chain(stalls.iter().map(|stall| stall.at)).min()?;
        let time = |at: i128| u64::try_from(at - from).ok().map(Nanos);
        let told = |job: &Drawn| {
            Some(PatternJob {
                task: TaskId::from(job.task),
                arrival: time(job.arrival)?,
                release: time(job.release)?,
                executions: job.executions.iter().copied().map(Nanos).collect(),
            })
        };
        Some(Pattern {
            jobs: jobs.iter().map(told).collect::<Option<_>>()?,
            job,
            stalls: stalls
                .iter()
                .map(|stall| {
                    let (source, after_choice) = (stall.source, stall.after_choice);
                    Some(PatternStall { source, at: time(stall.at)?, after_choice })
                })
                .collect::<Option<_>>()?,
            blocker,
            busy_from: time(0)?,
            response: Nanos(response),
            bound: self.bound.wcrt,
        })
    }
}

/// `J` of a task, release overhead included.
fn jitter(set: &TaskSet, i: usize) -> i128 {
    i128::from(set.tasks()[i].jitter.0) + i128::from(set.overheads().release.0)
}

/// WCETs of a task's segments, overheads included.
fn executions(set: &TaskSet, i: usize) -> Vec<u64> {
    let overheads = set.overheads();
    let around = overheads.around_segment().unwrap_or_default().0;
    let copy = |k| if k == 0 { overheads.copy.0 } else { 0 };
    set.tasks()[i].segments.iter().enumerate().map(|(k, segment)| segment.0 + around + copy(k)).collect()
}

/// How long after a job the jobs of its task arrive if they do so as early as its law allows, up to `most`; 0 is the job
/// itself. No more of them than a pattern may hold, and one.
fn dense(law: &ArrivalLaw, most: i128) -> Vec<i128> {
    let mut next = NextArrival::new(law);
    let earliest = || {
        let at = next.earliest();
        next.arrived(at);
        i128::from(at.0)
    };
    core::iter::repeat_with(earliest).take(MOST_JOBS + 1).take_while(|at| *at <= most).collect()
}

/// Whether the jobs of each task are as far apart as its law says.
fn legal(set: &TaskSet, jobs: &[Drawn]) -> bool {
    let mut arrivals: Vec<Vec<i128>> = vec![Vec::new(); set.tasks().len()];
    for job in jobs {
        arrivals[job.task].push(job.arrival);
    }
    set.tasks().iter().zip(&mut arrivals).all(|(task, arrivals)| {
        arrivals.sort_unstable();
        // What is more jobs apart than arrive in a horizon is a horizon apart and the rest.
        let most = usize::try_from(task.arrival.rate().0).map_or(arrivals.len(), |n| n.min(arrivals.len()));
        (1..=most).all(|n| {
            let apart = i128::from(task.arrival.distance(n as u64));
            arrivals.iter().zip(arrivals.iter().skip(n)).all(|(a, b)| b - a >= apart)
        })
    })
}

/// The jobs that the laws allow beside the analysed one and the one that blocks: those near the analysed one first.
fn allowed(set: &TaskSet, jobs: &[Drawn]) -> Vec<Drawn> {
    let analysed = jobs.iter().find(|job| job.role == Role::Analysed).map_or(0, |job| job.arrival);
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|&k| {
        let rank = [Role::Analysed, Role::Blocks, Role::Served].iter().position(|role| *role == jobs[k].role);
        (rank, (jobs[k].arrival - analysed).abs())
    });
    let mut kept: Vec<(usize, Drawn)> = Vec::new();
    for k in order {
        kept.push((k, jobs[k].clone()));
        let task = jobs[k].task;
        let of_task: Vec<Drawn> =
            kept.iter().filter(|(_, job)| job.task == task).map(|(_, job)| job.clone()).collect();
        if !legal(set, &of_task) {
            kept.pop();
        }
    }
    kept.sort_by_key(|(k, _)| *k);
    kept.into_iter().map(|(_, job)| job).collect()
}

/// A stall with the busy period's start as time 0.
#[derive(Debug, Clone, Copy)]
struct Stalled {
    source: usize,
    at: i128,
    length: i128,
    after_choice: bool,
}

/// Recovery, changes of clocks, reloads.
pub(super) const fn sources(overheads: &Overheads) -> [Stall; 3] {
    [overheads.recovery, overheads.clock_change, overheads.reload]
}

/// When that job ends: at the end of each segment and of the stalls that begin then, the resource takes the job that the
/// policy puts first, of equal ones the one that is listed first.
fn end_of(set: &TaskSet, jobs: &[Drawn], stalls: &[Stalled], sought: usize) -> Option<i128> {
    let mut upcoming: Vec<usize> = (0..jobs.len()).collect();
    upcoming.sort_by_key(|&k| Reverse((jobs[k].release, k)));
    let mut stalls = stalls.iter().peekable();
    let mut ready = BinaryHeap::new();
    let (mut now, mut still_until) = (i128::MIN, i128::MIN);
    loop {
        if let (true, Some(&k)) = (ready.is_empty(), upcoming.last()) {
            now = now.max(jobs[k].release);
        }
        while let Some(stall) =
            stalls.next_if(|stall| stall.at < now || (stall.at == now && !stall.after_choice))
        {
            still_until = still_until.max(stall.at) + stall.length;
            now = now.max(still_until);
        }
        while let Some(k) = upcoming.pop_if(|k| jobs[*k].release <= now) {
            let task = &set.tasks()[jobs[k].task];
            let key = match set.policy() {
                Policy::FixedPriority => task.priority.0.into(),
                Policy::Edf => jobs[k].arrival + i128::from(task.deadline.0),
                Policy::Fifo => jobs[k].release,
            };
            ready.push(Reverse((key, k, 0)));
        }
        let Reverse((key, k, segment)) = ready.pop()?;
        now += i128::from(jobs[k].executions[segment]);
        while let Some(stall) = stalls.next_if(|stall| stall.at < now) {
            now += stall.length;
        }
        if segment + 1 < jobs[k].executions.len() {
            ready.push(Reverse((key, k, segment + 1)));
        } else if k == sought {
            return Some(now);
        }
    }
}
