//! The host's side of a pipeline: preemptive fixed priorities and preemptive EDF on one processor.
//!
//! Fixed priorities: Lehoczky, RTSS 1990 (arbitrary deadlines); Audsley, Burns, Richardson, Tindell, Wellings,
//! Software Engineering Journal 8(5), 1993 (jitter, blocking); Tindell, Burns, Wellings, Real-Time Systems 6, 1994.
//! Suspension: Chen et al., Real-Time Systems 55, 2019, section 4. EDF: Spuri, INRIA RR-2772, 1996 (responses);
//! Baruah, Mok, Rosier, RTSS 1990, and Zhang, Burns, IEEE TC 58(9), 2009 (demand).
//!
//! Assumptions:
//! 1. Time is whole nanoseconds; arrivals keep to their law, in any phase to other tasks.
//! 2. A job that arrives at `a` is released in `[a, a + J]`; its response and its deadline count from `a`.
//! 3. One processor, which at every moment runs the most urgent ready job: fixed priorities (between tasks of equal
//!    priority in any order, within a task the job that arrived first) or the earliest absolute deadline.
//! 4. A job executes for at most its WCET. Where it may suspend itself, it does so for at most `S` in all, at any
//!    moments. Less urgent tasks delay it by `B` in all (critical sections, say); under EDF neither is offered.
//!
//! Exact without `S` and `B` (with `B`, if all of it can come at once). With them, safe.
use super::STEP_LIMIT;
use super::busy_period::{NoBound, Steps, least_fixed_point};
use super::demand::DemandWitness;
use super::load::LONGEST;
use aegis_core::{ArrivalLaw, Nanos, Priority};

/// Rounds until responses that depend on each other count as undecided.
const ROUNDS: u64 = 1000;

/// A task on the host's processor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostTask {
    /// WCET `C`, not zero.
    pub wcet: Nanos,
    /// How often its jobs arrive.
    pub arrival: ArrivalLaw,
    /// Relative deadline, from arrival; only EDF looks at it.
    pub deadline: Nanos,
    /// Release jitter `J`.
    pub jitter: Nanos,
    /// `B`: how long less urgent tasks delay one job.
    pub blocking: Nanos,
    /// `S`: how long a job suspends itself, in all.
    pub suspension: Nanos,
    /// Smaller is more urgent; only fixed priorities look at it.
    pub priority: Priority,
}

impl HostTask {
    /// Jobs that can be released in `[0, length)`.
    fn released_within(&self, length: u64) -> u64 {
        self.arrival.arrivals_within(length.saturating_add(self.jitter.0))
    }

    /// Jobs with a deadline at or before `at` that can be released at 0 or later.
    fn due_by(&self, at: i128) -> u64 {
        let since_first = at - self.first_deadline();
        u64::try_from(since_first + 1).map_or(0, |window| self.arrival.arrivals_within(window))
    }

    /// `D − J`.
    fn first_deadline(&self) -> i128 {
        i128::from(self.deadline.0) - i128::from(self.jitter.0)
    }

    /// The last deadline at or before `at` of a job that can be released at 0 or later.
    fn last_deadline(&self, at: i128) -> Option<i128> {
        let before = self.due_by(at).checked_sub(1)?;
        Some(self.first_deadline() + i128::from(self.arrival.distance(before)))
    }
}

/// ΣC/T against 1, rounded up: whether `cost` of each task leaves time to spare in the long run.
fn drains<'a>(tasks: impl Iterator<Item = (&'a HostTask, u64)>) -> bool {
    const ONE: u128 = 1 << 64;
    let share = |(task, cost): (&HostTask, u64)| {
        let (jobs, window) = task.arrival.rate();
        let work = u128::from(cost) * u128::from(jobs);
        // Work of 2^64 in a window is more than any window here holds.
        if work >= ONE { ONE * 2 } else { (work << 64).div_ceil(u128::from(window.0)) }
    };
    tasks.map(share).try_fold(0u128, u128::checked_add).is_some_and(|sum| sum <= ONE)
}

/// `base + Σ jobs · cost`, or `None` when it does not fit.
fn sum(base: u64, mut items: impl Iterator<Item = (u64, u64)>) -> Option<u64> {
    items.try_fold(base, |sum, (jobs, cost)| sum.checked_add(jobs.checked_mul(cost)?))
}

/// Worst-case response times under preemptive fixed priorities, from arrival, in the order of `tasks`.
///
/// `w(q) = B + (q + 1) · C + Σ_hp ⌈(w + J_j) / T_j⌉ · C_j` and `R = max_q J + w(q) − q · T` over the jobs of the longest
/// busy period. Where the task or a more urgent one suspends itself, own jobs cost `C + S + B` each, and more urgent
/// tasks have the jitter `R_j − C_j`: their jobs may wait, and then come late and close together. (`S_j` is not
/// enough.)
#[must_use]
pub fn fixed_priority_response_times(tasks: &[HostTask]) -> Vec<Result<Nanos, NoBound>> {
    // First, as if no more urgent task suspended itself; then, with the responses that gives, until none grows.
    let mut known: Vec<Result<Nanos, NoBound>> = tasks.iter().map(|task| Ok(task.wcet)).collect();
    for _ in 0..ROUNDS {
        let next = Steps::shared(tasks.len(), |i, steps| fixed_priority(tasks, i, &known, steps));
        if next == known {
            return known;
        }
        known = next;
    }
    vec![Err(NoBound::Undecided { steps: ROUNDS }); tasks.len()]
}

fn fixed_priority(
    tasks: &[HostTask],
    i: usize,
    known: &[Result<Nanos, NoBound>],
    steps: &mut Steps,
) -> Result<Nanos, NoBound> {
    let task = &tasks[i];
    let urgent = |j: usize| j != i && tasks[j].priority <= task.priority;
    let hp: Vec<usize> = (0..tasks.len()).filter(|j| urgent(*j)).collect();
    let suspends = hp.iter().chain([&i]).any(|j| tasks[*j].suspension > Nanos::ZERO);
    let mut jitters = Vec::with_capacity(hp.len());
    for &j in &hp {
        jitters.push(if suspends { known[j]?.0 - tasks[j].wcet.0 } else { tasks[j].jitter.0 });
    }
    let wait = task.blocking.0;
    let own = if suspends {
        sum(task.wcet.0, [(1, task.suspension.0), (1, wait)].into_iter())
    } else {
        Some(task.wcet.0)
    };
    let own = own.filter(|own| *own <= LONGEST).ok_or(steps.undecided())?;
    let once = if suspends { 0 } else { wait };
    if !drains(hp.iter().map(|j| (&tasks[*j], tasks[*j].wcet.0)).chain([(task, own)])) {
        return Err(NoBound::NoFiniteBusyPeriod);
    }
    let interference = |base: u64, w: u64| {
        let arrived = hp.iter().zip(&jitters).map(|(j, jitter)| {
            (tasks[*j].arrival.arrivals_within(w.saturating_add(*jitter)), tasks[*j].wcet.0)
        });
        sum(base, arrived)
    };

    // First, the busy period and the jobs of the task in it.
    let start =
        sum(once, hp.iter().map(|j| (1, tasks[*j].wcet.0)).chain([(1, own)])).ok_or(steps.undecided())?;
    let length = least_fixed_point(start, hp.len() + 1, steps, |w| {
        interference(sum(once, [(task.released_within(w), own)].into_iter())?, w)
    })?;

    // Then, the end of each of them.
    let mut worst = 0;
    let mut end = 0;
    for job in 0..task.released_within(length) {
        let base = sum(once, [(job + 1, own)].into_iter()).ok_or(steps.undecided())?;
        end = least_fixed_point(base.max(end), hp.len() + 1, steps, |w| interference(base, w))?;
        let response = i128::from(task.jitter.0) + i128::from(end) - i128::from(task.arrival.distance(job));
        worst = worst.max(response);
    }

    // Finally, the largest response.
    u64::try_from(worst).ok().filter(|worst| *worst <= LONGEST).map(Nanos).ok_or(steps.undecided())
}

/// The longest time that all of `tasks` keep the processor busy, with `jitter` or without.
fn busy_period(tasks: &[HostTask], jitter: bool, steps: &mut Steps) -> Result<u64, NoBound> {
    if !drains(tasks.iter().map(|task| (task, task.wcet.0))) {
        return Err(NoBound::NoFiniteBusyPeriod);
    }
    let start = sum(0, tasks.iter().map(|task| (1, task.wcet.0))).ok_or(steps.undecided())?;
    least_fixed_point(start, tasks.len(), steps, |length| {
        let released = |task: &HostTask| {
            if jitter { task.released_within(length) } else { task.arrival.arrivals_within(length) }
        };
        sum(0, tasks.iter().map(|task| (released(task), task.wcet.0)))
    })
}

/// Worst-case response times under preemptive EDF, from arrival, in the order of `tasks`. `B` and `S` are not looked at.
///
/// A job that arrives at `a` after a busy period of deadlines up to `d = a + D` began at 0 ends at the least
/// `f = n_i(d) · C_i + Σ_{j≠i} min(⌈(f + J_j) / T_j⌉, n_j(d)) · C_j`, `n_j(d)` being the jobs with deadlines up to `d`. Only
/// arrivals in `[−J, L)` at which some `n_j` rises matter.
#[must_use]
pub fn edf_response_times(tasks: &[HostTask]) -> Vec<Result<Nanos, NoBound>> {
    let length = busy_period(tasks, true, &mut Steps::new(STEP_LIMIT));
    Steps::shared(tasks.len(), |i, steps| edf(tasks, i, length?, steps))
}

fn edf(tasks: &[HostTask], i: usize, length: u64, steps: &mut Steps) -> Result<Nanos, NoBound> {
    let task = &tasks[i];
    let deadline = i128::from(task.deadline.0);
    let first = -i128::from(task.jitter.0);

    // From the last arrival below L down to the first.
    let mut worst = i128::from(task.jitter.0) + i128::from(task.wcet.0);
    let mut at = i128::from(length) - 1;
    loop {
        // First, the latest arrival up to `at` at which some n_j rises.
        steps.take(tasks.len())?;
        let rise = tasks.iter().filter_map(|other| other.last_deadline(at + deadline)).max();
        let arrival = rise.map_or(first, |rise| (rise - deadline).max(first));

        // Then, the end of its job.
        let d = arrival + deadline;
        let own = task.due_by(d).checked_mul(task.wcet.0).ok_or(steps.undecided())?;
        let due: Vec<(usize, u64)> =
            (0..tasks.len()).filter(|j| *j != i).map(|j| (j, tasks[j].due_by(d))).collect();
        let end = least_fixed_point(own, tasks.len(), steps, |f| {
            sum(own, due.iter().map(|&(j, n)| (tasks[j].released_within(f).min(n), tasks[j].wcet.0)))
        })?;
        worst = worst.max(i128::from(end) - arrival);
        if arrival <= first {
            break;
        }
        at = arrival - 1;
    }

    // Finally, the largest response.
    u64::try_from(worst).ok().filter(|worst| *worst <= LONGEST).map(Nanos).ok_or(steps.undecided())
}

/// Whether every job meets its deadline under preemptive EDF, exactly: `Σ n_j(t) · C_j ≤ t` for every deadline `t` up to
/// the busy period. `B` and `S` are not looked at.
///
/// # Errors
/// The witness found first.
pub fn edf_demand_test(tasks: &[HostTask]) -> Result<(), DemandWitness> {
    let mut steps = Steps::new(STEP_LIMIT);
    let too_much = |window: i128, demand: i128| {
        let fits = |x: i128| u64::try_from(x.max(0)).map_or(Nanos::MAX, Nanos);
        DemandWitness::TooMuchDemand {
            window: fits(window),
            demand: fits(demand),
            blocking: Nanos::ZERO,
            blocked_by: None,
            stalled: Nanos::ZERO,
        }
    };
    if let Some(task) = tasks.iter().find(|task| task.first_deadline() < i128::from(task.wcet.0)) {
        return Err(too_much(task.first_deadline(), task.wcet.0.into()));
    }
    let length = i128::from(busy_period(tasks, false, &mut steps)?);
    let last = |at: i128| tasks.iter().filter_map(|task| task.last_deadline(at)).max();
    let mut at = last(length);
    while let Some(t) = at {
        steps.take(2 * tasks.len())?;
        let demand: i128 =
            tasks.iter().map(|task| i128::from(task.due_by(t)) * i128::from(task.wcet.0)).sum();
        if demand > t {
            return Err(too_much(t, demand));
        }
        at = if demand < t { last(demand) } else { last(t - 1) };
    }
    Ok(())
}
