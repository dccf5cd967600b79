//! From one task set to another at run time: what pending jobs of the old set do to the new one, and the other way round.
//!
//! Real, Crespo: "Mode change protocols for real-time systems: a survey and a new proposal", Real-Time Systems 26, 2004,
//! names the protocols; the bounds are the busy-period analyses of this crate with two sets in one busy period.
//!
//! Assumptions, beside those of the policy's own analysis for either set:
//! 1. At a request, at any moment, the tasks of the old set stop arriving: the last arrive at that moment. Their pending
//!    jobs go on by the policy, with the WCETs of the old set, also after the device has changed its clocks: where that
//!    makes them slower, state the slower WCETs.
//! 2. Tasks of the new set arrive no earlier than a delay after the request. A task that is in both sets is two tasks.
//! 3. Both sets state the same stalls: a recovery, a reload or a change of clocks may come at any moment around the request.
//! 4. Priorities and relative deadlines of the two sets are comparable: one scale.
//!
//! **Idle instant**: the new set starts when all old jobs have ended. If the request comes `u` after the start of a busy
//! period, that is at most `Σ α_j(u + J_j + 1) · C_j − u` later, stalls on top, at the worst `u ≥ −max J`.
//!
//! **After a delay** Δ: let the busy period of the analysed job start at 0 and the request come at `u`. Of old tasks
//! `α_j(min(s, u) + J_j + 1)` jobs are released by `s`, of new ones `α_k(s − max(u + Δ, −J_k) + 1)`. With these counts the
//! start of the last segment is the fixed point of the policy's own analysis, for every arrival of the job at which one
//! more job has to be served before it. Between two values of `u` at which one more old job counts, the smallest is the
//! worst: new jobs may arrive earlier, so that more of them count, and the analysed job as before. A job of the new set
//! may also be blocked by an old segment alone: that is a busy period without old jobs.
//!
//! Exact under FIFO without overtaking; else safe: what blocks a job may be impossible together with what is served before
//! it.
use super::blocking::Blocker;
use super::busy_period::{NoBound, Steps, least_fixed_point};
use super::holistic::response_times as steady;
use super::load::{LONGEST, Load, loads};
use super::stalls::Stalls;
use super::utilisation;
use super::{SET_STEP_LIMIT, STEP_LIMIT};
use aegis_core::{Nanos, Overheads, Policy, Task, TaskId, TaskSet};
use core::cmp::Ordering;

/// When the tasks of a new set may arrive after a request, and how late jobs of both sets end around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// All old jobs have ended at most so long after a request, if nothing new arrives.
    pub wait: Nanos,
    /// With this delay after the request, new tasks may arrive whether old jobs have ended or not; any shorter is
    /// too short, as far as these bounds tell. At most `wait`.
    pub delay: Nanos,
    /// With `delay`: the worst-case response of each old task, before, at or after the request.
    pub old: Vec<Nanos>,
    /// With `delay`: the worst-case response of each new task, ever.
    pub new: Vec<Nanos>,
}

/// Why one set cannot follow the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoTransition {
    /// The two are scheduled by different policies.
    #[error("the old set is scheduled by {old}, the new one by {new}; a change of policy has no bound here")]
    Policies {
        /// Of the old set.
        old: Policy,
        /// Of the new set.
        new: Policy,
    },
    /// The two state different stalls.
    #[error("the two sets state different times for `{stall}`; state the longer and more frequent for both")]
    Stalls {
        /// Which overhead.
        stall: &'static str,
    },
    /// A set is not schedulable on its own.
    #[error("`{task}` of the {set} set misses its deadline, or has no bound, without any change")]
    Unschedulable {
        /// `old` or `new`.
        set: &'static str,
        /// The task's name.
        task: String,
    },
    /// The bounds did not settle.
    #[error("not decided within {steps} steps and 2^62 ns")]
    Undecided {
        /// The limit on steps.
        steps: u64,
    },
}

/// When tasks of `new` may arrive after a request in the midst of `old`.
///
/// # Errors
/// [`NoTransition`] if one of the sets is not schedulable alone, or no bound is known.
pub fn transition(old: &TaskSet, new: &TaskSet) -> Result<Transition, NoTransition> {
    if old.policy() != new.policy() {
        return Err(NoTransition::Policies { old: old.policy(), new: new.policy() });
    }
    if let Some(stall) = different_stall(old.overheads(), new.overheads()) {
        return Err(NoTransition::Stalls { stall });
    }
    // First, either set alone.
    let alone = |set: &TaskSet, name| {
        let bounds = steady(set).into_iter().zip(set.tasks()).map(|(bound, task)| match bound {
            Ok(bound) if bound.wcrt <= task.deadline => Ok(bound.wcrt),
            _ => Err(NoTransition::Unschedulable { set: name, task: task.name.clone() }),
        });
        bounds.collect::<Result<Vec<Nanos>, NoTransition>>()
    };
    let (alone_old, alone_new) = (alone(old, "old")?, alone(new, "new")?);
    let undecided = |_| NoTransition::Undecided { steps: STEP_LIMIT };
    let wait = idle_wait(old).map_err(undecided)?;

    // Then, the least delay by bisection: bounds fall as it grows, and after `wait` only the new set is left.
    let mut steps = Steps::new(SET_STEP_LIMIT);
    let mut in_time = |delay: u64| {
        let known = [&alone_old, &alone_new].map(|bounds| bounds.iter().copied().map(Ok).collect());
        let bounds = around_request(old, new, Nanos(delay), known, &mut steps);
        let [old, new] = [(&bounds[0], old), (&bounds[1], new)].map(|(bounds, set)| {
            let in_time = |(bound, task): (&Result<Nanos, NoBound>, &Task)| {
                bound.ok().filter(|wcrt| *wcrt <= task.deadline)
            };
            bounds.iter().zip(set.tasks()).map(in_time).collect::<Option<Vec<Nanos>>>()
        });
        Some([old?, new?])
    };
    let (mut short, mut delay) = (0, wait.0);
    let mut bounds = [alone_old.clone(), alone_new.clone()];
    while short < delay {
        let middle = short + (delay - short) / 2;
        match in_time(middle) {
            Some(known) => (delay, bounds) = (middle, known),
            None => short = middle + 1,
        }
    }

    // Finally, the bounds with it.
    let [old, new] = bounds;
    Ok(Transition { wait, delay: Nanos(delay), old, new })
}

/// The first stall that is not the same in both.
fn different_stall(old: Overheads, new: Overheads) -> Option<&'static str> {
    let stalls = [
        ("recovery", old.recovery, new.recovery),
        ("clock_change", old.clock_change, new.clock_change),
        ("reload", old.reload, new.reload),
    ];
    stalls.into_iter().find(|(_, old, new)| old != new).map(|(name, ..)| name)
}

/// The longest time from a request until all old jobs have ended, under any policy; exact.
///
/// # Errors
/// [`NoBound`] if jobs of `old` may pile up without end.
pub fn idle_wait(old: &TaskSet) -> Result<Nanos, NoBound> {
    wait_for_idle(&loads(old), &Stalls::new(old.overheads()), &mut Steps::new(STEP_LIMIT))
}

fn wait_for_idle(old: &[Load], stalls: &Stalls, steps: &mut Steps) -> Result<Nanos, NoBound> {
    let mut worst = 0;
    for u in requests(&old.iter().collect::<Vec<_>>(), 0, stalls, steps)? {
        let pending = arrived(old.iter(), u).ok_or(steps.undecided())?;
        worst = worst.max(i128::from(stalls.end_of(pending, None, 0, steps)?) - u);
    }
    to_nanos(worst).ok_or(steps.undecided())
}

fn to_nanos(x: i128) -> Option<Nanos> {
    u64::try_from(x).ok().filter(|x| *x <= LONGEST).map(Nanos)
}

/// `α(x)`, 0 for no window.
fn count(load: &Load, window: i128) -> u64 {
    u64::try_from(window).map_or(0, |window| load.arrival.arrivals_within(window))
}

/// The work of all jobs that arrive up to `u` and are released at 0 or later.
fn arrived<'a>(mut loads: impl Iterator<Item = &'a Load>, u: i128) -> Option<u64> {
    loads.try_fold(0u64, |sum, load| {
        sum.checked_add(count(load, u + i128::from(load.j) + 1).checked_mul(load.c)?)
    })
}

/// Every moment of a request, from the start of a busy period of `old` after `blocking`, at which one more old job counts.
fn requests(old: &[&Load], blocking: u64, stalls: &Stalls, steps: &mut Steps) -> Result<Vec<i128>, NoBound> {
    if old.is_empty() {
        return Ok(Vec::new());
    }
    let drained = utilisation::against(old.iter().copied(), stalls);
    let waits = blocking > 0 || !stalls.is_empty() || old.iter().any(|load| load.j > 0);
    if drained == Ordering::Greater || (drained == Ordering::Equal && waits) {
        return Err(NoBound::NoFiniteBusyPeriod);
    }
    let released = |length: u64| {
        let base = blocking.checked_add(stalls.within(length, ANY)?)?;
        old.iter()
            .try_fold(base, |sum, load| sum.checked_add(load.released_within(length).checked_mul(load.c)?))
    };
    let start = released(1).ok_or(steps.undecided())?;
    let length = i128::from(least_fixed_point(start, old.len(), steps, released)?);
    let mut all = Vec::new();
    for load in old {
        for n in 0.. {
            steps.take(1)?;
            let at = i128::from(load.arrival.distance(n)) - i128::from(load.j);
            if at >= length {
                break;
            }
            all.push(at);
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// Some blocker, where it matters only that there may be one: stalls may then come a tick earlier.
const ANY: Option<Blocker> = Some((TaskId(0), 0));

/// Which set the analysed task is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Old,
    New,
}

/// Both sets around a request at `u` after the start of the busy period.
struct Around<'a> {
    policy: Policy,
    stalls: &'a Stalls,
    old: &'a [Load],
    new: &'a [Load],
    /// When the request comes; `None` in a busy period without old jobs.
    u: Option<i128>,
    delay: i128,
}

impl Around<'_> {
    /// Old jobs that can be released by `s`.
    fn old_by(&self, load: &Load, s: i128) -> u64 {
        self.u.map_or(0, |u| count(load, s.min(u) + i128::from(load.j) + 1))
    }

    /// When the first job of a new task can arrive.
    fn first(&self, load: &Load) -> i128 {
        let jitter = -i128::from(load.j);
        self.u.map_or(jitter, |u| (u + self.delay).max(jitter))
    }

    /// New jobs that can be released by `s`.
    fn new_by(&self, load: &Load, s: i128) -> u64 {
        count(load, s - self.first(load) + 1)
    }

    /// The start of the last segment of the task's job that arrives at `arrival`, and its end.
    fn last_segment(
        &self,
        (of, task): (Of, &Load),
        arrival: i128,
        steps: &mut Steps,
    ) -> Result<[i128; 2], NoBound> {
        let (deadline, release) = (arrival + i128::from(task.d), arrival + i128::from(task.j));
        let old = |load: &Load, s: i128| match self.policy {
            Policy::FixedPriority if load.priority > task.priority => 0,
            Policy::FixedPriority => self.old_by(load, s),
            Policy::Edf => self.old_by(load, s.min(deadline - i128::from(load.d))),
            Policy::Fifo => self.old_by(load, release),
        };
        let new = |load: &Load, s: i128| match self.policy {
            Policy::FixedPriority if load.priority > task.priority => 0,
            Policy::FixedPriority => self.new_by(load, s),
            Policy::Edf => self.new_by(load, s.min(deadline - i128::from(load.d))),
            Policy::Fifo => self.new_by(load, release),
        };
        let others = |loads: &[Load], of_set: Of, count: &dyn Fn(&Load, i128) -> u64, base: u64, s: i128| {
            let mut others = loads.iter().filter(|load| of != of_set || load.id != task.id);
            others.try_fold(base, |sum, load| sum.checked_add(count(load, s).checked_mul(load.c)?))
        };
        let first = if of == Of::Old { -i128::from(task.j) } else { self.first(task) };
        let own = count(task, arrival - first + 1).checked_add(task.overtaken()).ok_or(steps.undecided())?;
        let blocker = blocker(self, (of, task), arrival);
        let wait = blocker.map_or(0, |(_, wait)| wait);
        steps.take(self.old.len() + self.new.len())?;
        let before = own.checked_mul(task.c).ok_or(steps.undecided())? - task.last;
        let base = before.checked_add(wait).ok_or(steps.undecided())?;
        let all_before = |s: u64| {
            let s = i128::from(s);
            others(self.new, Of::New, &new, others(self.old, Of::Old, &old, base, s)?, s)
        };
        let start = least_fixed_point(base, self.old.len() + self.new.len(), steps, |s| {
            all_before(s)?.checked_add(self.stalls.within(s + 1, blocker)?)
        })?;
        let work = all_before(start).and_then(|work| work.checked_add(task.last)).ok_or(steps.undecided())?;
        Ok([start, self.stalls.end_of(work, blocker, start, steps)?].map(i128::from))
    }
}

/// Worst-case responses of the old and of the new tasks when new ones may arrive `delay` after a request, those without
/// any request near included.
///
/// # Errors
/// [`NoBound`] if the old jobs may pile up without end.
pub fn response_times(
    old: &TaskSet,
    new: &TaskSet,
    delay: Nanos,
) -> Result<[Vec<Result<Nanos, NoBound>>; 2], NoBound> {
    let wcrts = |set: &TaskSet| steady(set).into_iter().map(|bound| bound.map(|bound| bound.wcrt)).collect();
    let alone = [wcrts(old), wcrts(new)];
    let mut steps = Steps::new(SET_STEP_LIMIT);
    if delay >= idle_wait(old)? {
        return Ok(alone);
    }
    Ok(around_request(old, new, delay, alone, &mut steps))
}

/// The larger of what is known of either set alone and of the responses around a request.
fn around_request(
    old: &TaskSet,
    new: &TaskSet,
    delay: Nanos,
    alone: [Vec<Result<Nanos, NoBound>>; 2],
    steps: &mut Steps,
) -> [Vec<Result<Nanos, NoBound>>; 2] {
    let (policy, stalls) = (old.policy(), Stalls::new(old.overheads()));
    let (old, new) = (loads(old), loads(new));
    let around =
        Around { policy, stalls: &stalls, old: &old, new: &new, u: None, delay: i128::from(delay.0) };
    let most = |bound: &mut Result<Nanos, NoBound>, response: Result<Nanos, NoBound>| {
        *bound = bound.and_then(|bound| response.map(|response| response.max(bound)));
    };
    let [mut of_old, mut of_new] = alone;
    for (i, bound) in of_old.iter_mut().enumerate() {
        most(bound, old_response(&around, i, steps));
    }
    for (i, bound) in of_new.iter_mut().enumerate() {
        most(bound, new_response(&around, i, steps));
    }
    [of_old, of_new]
}

/// The longest wait of the task's job that arrives at `arrival` for a segment that started before the busy period: of a
/// less urgent job, and of a new task only where its jobs arrive that early.
fn blocker(around: &Around, (of, task): (Of, &Load), arrival: i128) -> Option<Blocker> {
    let deadline = arrival + i128::from(task.d);
    let blocks = |other: &(Of, &Load)| {
        let own = other.0 == of && other.1.id == task.id;
        let early = other.0 == Of::Old || around.u.is_none_or(|u| u + around.delay < 0);
        let less_urgent = match around.policy {
            Policy::FixedPriority => other.1.priority > task.priority,
            // It arrived at −1 or before; a job of the task itself only if it overtook this one.
            Policy::Edf => i128::from(other.1.d) - 1 > deadline && (!own || task.overtaken() > 0),
            Policy::Fifo => false,
        };
        early && less_urgent
    };
    let old = around.old.iter().map(|load| (Of::Old, load));
    let all = old.chain(around.new.iter().map(|load| (Of::New, load)));
    all.filter(blocks).map(|(_, load)| (load.id, load.longest - 1)).max_by_key(|(_, wait)| *wait)
}

/// Tasks of the old set that a task waits for, beside blocking.
fn more_urgent<'a>(around: &Around<'a>, task: &Load) -> Vec<&'a Load> {
    let urgent = |load: &&Load| around.policy != Policy::FixedPriority || load.priority <= task.priority;
    around.old.iter().filter(urgent).collect()
}

/// The longest response of an old task with the request while its job is pending.
fn old_response(around: &Around, i: usize, steps: &mut Steps) -> Result<Nanos, NoBound> {
    let task = &around.old[i];
    let wait = blocker(around, (Of::Old, task), -i128::from(task.j)).map_or(0, |(_, wait)| wait);
    let moments = requests(&more_urgent(around, task), wait, around.stalls, steps)?;
    let first = -i128::from(task.j);
    let among_old = arrivals(around, Of::Old, (Of::Old, task), first, steps)?;
    // Also where new jobs would count that arrive before the request by their jitter.
    let early = arrivals(around, Of::New, (Of::Old, task), first, steps)?;
    let all = moments.into_iter().chain(among_old.iter().copied()).chain(early);
    let mut all: Vec<i128> = all.filter(|u| *u >= first).collect();
    all.sort_unstable();
    all.dedup();
    let mut worst = 0;
    for u in all {
        let at = Around { u: Some(u), ..*around };
        // With the request at u, or before it and with one more new job served before.
        let among_new = arrivals(&at, Of::New, (Of::Old, task), first, steps)?;
        for arrival in among_old.iter().copied().chain(among_new).filter(|arrival| *arrival <= u) {
            let [_, end] = at.last_segment((Of::Old, task), arrival, steps)?;
            worst = worst.max(end - arrival);
        }
    }
    to_nanos(worst).ok_or(steps.undecided())
}

/// The longest response of a new task with old jobs in its busy period, or blocked by one.
fn new_response(around: &Around, i: usize, steps: &mut Steps) -> Result<Nanos, NoBound> {
    let task = &around.new[i];
    let wait = blocker(around, (Of::New, task), -i128::from(task.j)).map_or(0, |(_, wait)| wait);
    let moments = requests(&more_urgent(around, task), wait, around.stalls, steps)?;
    let mut worst = 0;
    for u in [None].into_iter().chain(moments.into_iter().map(Some)) {
        let at = Around { u, ..*around };
        let first = at.first(task);
        let mut all = arrivals(&at, Of::New, (Of::New, task), first, steps)?;
        if around.policy == Policy::Edf && u.is_some() {
            all.extend(arrivals(&at, Of::Old, (Of::New, task), first, steps)?);
        }
        for arrival in all {
            let [start, end] = at.last_segment((Of::New, task), arrival, steps)?;
            // A job that arrives after its start belongs to a later busy period.
            if start >= arrival {
                worst = worst.max(end - arrival);
            }
        }
    }
    to_nanos(worst).ok_or(steps.undecided())
}

/// Arrivals of `task` from `first` on at which one more job of `set` is served before it: of its own task, and by policy
/// those with earlier deadlines or releases.
fn arrivals(
    around: &Around,
    set: Of,
    (of, task): (Of, &Load),
    first: i128,
    steps: &mut Steps,
) -> Result<Vec<i128>, NoBound> {
    let end = i128::from(busy_end(around, set, steps)?);
    let mut all = vec![first];
    for load in if set == Of::Old { around.old } else { around.new } {
        let begins = match set {
            Of::Old => -i128::from(load.j),
            Of::New => around.first(load),
        };
        let own = set == of && load.id == task.id;
        let shift = match around.policy {
            Policy::FixedPriority | Policy::Fifo if own => 0,
            Policy::FixedPriority => continue,
            Policy::Edf => i128::from(load.d) - i128::from(task.d),
            Policy::Fifo => -i128::from(task.j),
        };
        for n in 0.. {
            steps.take(1)?;
            let at = begins + i128::from(load.arrival.distance(n)) + shift;
            if at >= end {
                break;
            }
            all.push(at.max(first));
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The end of the longest busy period of the analysed task's set: of all old tasks, or of old ones up to the request and
/// new ones after it.
fn busy_end(around: &Around, of: Of, steps: &mut Steps) -> Result<u64, NoBound> {
    let both = || around.old.iter().chain(around.new);
    let blocking = both().map(|load| load.longest - 1).max().unwrap_or(0);
    let alone = if of == Of::Old { around.old } else { around.new };
    if utilisation::against(alone.iter(), around.stalls) != Ordering::Less {
        return Err(NoBound::NoFiniteBusyPeriod);
    }
    let end = least_fixed_point(1, around.old.len() + around.new.len(), steps, |length| {
        let within = i128::from(length) - 1;
        let base = blocking.checked_add(around.stalls.within(length, ANY)?)?;
        let sum = around.old.iter().try_fold(base, |sum: u64, load| {
            let jobs = if of == Of::Old { load.released_within(length) } else { around.old_by(load, within) };
            sum.checked_add(jobs.checked_mul(load.c)?)
        })?;
        let new = if of == Of::Old { &[] } else { around.new };
        new.iter()
            .try_fold(sum, |sum, load| sum.checked_add(around.new_by(load, within).checked_mul(load.c)?))
    })?;
    Ok(end.saturating_add(1))
}
