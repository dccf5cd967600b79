//! The exact verdict under non-preemptive EDF without response times: demand against time. Much cheaper.
//!
//! Jeffay, Stanat, Martel, RTSS 1991; George, Rivierre, Spuri, INRIA RR-2966, 1996, for any relation of `D`
//! and `T`. The search is quick processor-demand analysis (Zhang, Burns, IEEE TC 58(9), 2009).
//!
//! Assumptions as for [`edf`](super::edf). With `D' = D − J`, a set meets its deadlines iff ΣC/T ≤ 1 and for all `t > 0`
//! with some `D'_j ≤ t`
//!
//! `Σ_{D'_j ≤ t} α_j(t − D'_j + 1) · C_j + B(t) ≤ t`, for periods `Σ_{D'_j ≤ t} (1 + ⌊(t − D'_j) / T_j⌋) · C_j + B(t) ≤ t`
//!
//! where `B` is the same as in the response times. `B` falls as `t` grows, but where a task ceases to block, at one of its
//! deadlines, the demand rises by its whole `C`: the left side never falls, and a jump from `t` down to it passes over no
//! miss. Deadlines up to the busy period `L = Σ α_j(L) · C_j` are
//! enough: the blocker is inside `L` and has no deadline up to `t`. That fails if a job can be overtaken by a later
//! one of its task (`α(J) > 1`; with a period, `J > T`): then the task blocks itself, and `L` has to hold the blocking on top.
use super::blocking::{Blocker, Blocking};
use super::busy_period::{NoBound, Steps, least_fixed_point, work};
use super::load::{Load, loads};
use super::stalls::Stalls;
use super::utilisation;
use aegis_core::{Nanos, TaskId, TaskSet};
use core::cmp::Ordering;

/// Why a set misses a deadline under EDF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemandWitness {
    /// ΣC/T > 1.
    Overload {
        /// ΣC/T in parts per million, rounded up.
        utilisation_ppm: u64,
    },
    /// In a window of this length there is more to do than time.
    TooMuchDemand {
        /// From the start of the busy period to the deadline that is missed.
        window: Nanos,
        /// All work with its deadline inside the window.
        demand: Nanos,
        /// The rest of a segment that started just before.
        blocking: Nanos,
        /// Whose segment.
        blocked_by: Option<TaskId>,
        /// The stalls that begin before all of that is done.
        stalled: Nanos,
    },
    /// ΣC/T is 1 and a job can be overtaken by a later one of its task: no window is long enough to look at.
    NoFiniteBusyPeriod,
    /// A window outgrew 2^62 ns, or the search took its limit of steps.
    Undecided {
        /// The limit on steps.
        steps: u64,
    },
}

impl From<NoBound> for DemandWitness {
    fn from(no_bound: NoBound) -> Self {
        match no_bound {
            NoBound::NoFiniteBusyPeriod => Self::NoFiniteBusyPeriod,
            NoBound::Undecided { steps } => Self::Undecided { steps },
        }
    }
}

/// Whether every job meets its deadline in every schedule of the model; its policy is not looked at.
///
/// # Errors
/// The witness found first, which is the one with the longest window that the search looks at.
pub fn demand_test(set: &TaskSet) -> Result<(), DemandWitness> {
    test(&loads(set), &Stalls::new(set.overheads()), &mut Steps::new(super::STEP_LIMIT))
}

pub(super) fn test(loads: &[Load], stalls: &Stalls, steps: &mut Steps) -> Result<(), DemandWitness> {
    let share = utilisation::against(loads.iter(), stalls);
    if share == Ordering::Greater {
        let utilisation_ppm = utilisation::in_ppm(loads.iter(), stalls);
        return Err(DemandWitness::Overload { utilisation_ppm });
    }
    // A job that is released too late to end by its deadline on its own.
    if let Some(load) = loads.iter().find(|load| load.first_deadline() < i128::from(load.c)) {
        let window = Nanos(u64::try_from(load.first_deadline()).unwrap_or(0));
        return Err(DemandWitness::TooMuchDemand {
            window,
            demand: Nanos(load.c),
            blocking: Nanos::ZERO,
            blocked_by: None,
            stalled: Nanos::ZERO,
        });
    }
    let blocking = Blocking::new(loads);
    let mut loads: Vec<&Load> = loads.iter().collect();
    loads.sort_by_key(|load| load.first_deadline());

    // First, the longest window that matters.
    let overtaking = loads.iter().any(|load| load.overtaken() > 0);
    if overtaking && share == Ordering::Equal {
        return Err(DemandWitness::NoFiniteBusyPeriod);
    }
    let blocker = if overtaking { blocking.longest() } else { None };
    let wait = blocker.map_or(0, |(_, wait)| wait);
    let length = {
        let all = || loads.iter().copied();
        let start = work(wait, all(), |_| 1).ok_or(steps.undecided())?;
        least_fixed_point(start, loads.len(), steps, |length| {
            work(stalls.within(length, blocker)?.checked_add(wait)?, all(), |load| {
                load.arrival.arrivals_within(length)
            })
        })?
    };

    // Then, from its last deadline down to what has to be done by then, else to the deadline before.
    let mut at = last_deadline(&loads, i128::from(length) + 1);
    while let Some(t) = at {
        steps.take(2 * loads.len())?;
        let due = loads.iter().map(|load| (load.due_by(t), load.c)).take_while(|(n, _)| *n > 0);
        let demand = due
            .map(|(n, c)| i128::from(n).checked_mul(i128::from(c)))
            .try_fold(0_i128, |sum, work| sum.checked_add(work?))
            .ok_or(steps.undecided())?;
        if demand == 0 {
            break;
        }
        let blocker = blocking.at(t);
        let work = demand.checked_add(blocker.map_or(0, |(_, wait)| wait).into());
        let work = work.and_then(|work| u64::try_from(work).ok()).ok_or(steps.undecided())?;
        let end = stalls.end_of(work, blocker, 0, steps)?;
        let needed = i128::from(end);
        if needed > t {
            let window = last_deadline(&loads, t + 1).unwrap_or(t);
            return Err(witness(window, demand, blocking.at(window), stalls, steps)?);
        }
        // At `needed` itself the left side is no more than at `t`, which is `needed`: to go on below it would do as well.
        at = if needed < t { Some(needed) } else { last_deadline(&loads, t) };
    }
    Ok(())
}

/// The last deadline before `t`. `loads` are in the order of their first deadlines.
fn last_deadline(loads: &[&Load], t: i128) -> Option<i128> {
    let before = loads.iter().take_while(|load| load.first_deadline() < t);
    before.filter_map(|load| load.last_due(t - 1)).max()
}

fn witness(
    window: i128,
    demand: i128,
    blocker: Option<Blocker>,
    stalls: &Stalls,
    steps: &mut Steps,
) -> Result<DemandWitness, NoBound> {
    let time = |ns| u64::try_from(ns).map_err(|_| steps.undecided());
    let (window, demand) = (time(window)?, time(demand)?);
    let blocking = blocker.map_or(0, |(_, wait)| wait);
    let work = demand.checked_add(blocking).ok_or(steps.undecided())?;
    let stalled = stalls.end_of(work, blocker, 0, steps)? - work;
    Ok(DemandWitness::TooMuchDemand {
        window: Nanos(window),
        demand: Nanos(demand),
        blocking: Nanos(blocking),
        blocked_by: blocker.filter(|(_, wait)| *wait > 0).map(|(task, _)| task),
        stalled: Nanos(stalled),
    })
}
