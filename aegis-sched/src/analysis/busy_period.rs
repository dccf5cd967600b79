//! Least fixed points in bounded work, and the longest busy period: what every analysis here walks through.
use super::load::{LONGEST, Load};
use super::utilisation;
use core::cmp::Ordering;

/// Why a task has no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoBound {
    /// The task and all that is served before it ask for all of the time, and blocking or jitter never drains, or
    /// they ask for more than that.
    NoFiniteBusyPeriod,
    /// A window outgrew 2^62 ns, or the search took its limit of steps.
    Undecided {
        /// The limit on steps.
        steps: u64,
    },
}

/// What is left of a limit on work. A step is one task looked at once: the same on every machine.
#[derive(Debug)]
pub(super) struct Steps {
    limit: u64,
    left: u64,
}

impl Steps {
    pub(super) const fn new(limit: u64) -> Self {
        Self { limit, left: limit }
    }

    pub(super) const fn undecided(&self) -> NoBound {
        NoBound::Undecided { steps: self.limit }
    }

    pub(super) fn take(&mut self, steps: usize) -> Result<(), NoBound> {
        let left = u64::try_from(steps).ok().and_then(|steps| self.left.checked_sub(steps));
        self.left = left.ok_or(self.undecided())?;
        Ok(())
    }
}

/// The least `x ≥ start` with `x = f(x)`, for a monotone `f` with `f(start) ≥ start`. Each evaluation costs `cost` steps;
/// `None` is an overflow.
pub(super) fn least_fixed_point(
    start: u64,
    cost: usize,
    steps: &mut Steps,
    f: impl Fn(u64) -> Option<u64>,
) -> Result<u64, NoBound> {
    let mut x = start;
    loop {
        steps.take(cost)?;
        let next = f(x).filter(|next| *next <= LONGEST).ok_or(steps.undecided())?;
        if next <= x {
            return Ok(x);
        }
        x = next;
    }
}

/// `blocking + Σ jobs_j · C_j`, or `None` when it does not fit.
pub(super) fn work<'a>(
    base: u64,
    mut loads: impl Iterator<Item = &'a Load>,
    jobs: impl Fn(&Load) -> u64,
) -> Option<u64> {
    loads.try_fold(base, |sum, load| sum.checked_add(jobs(load).checked_mul(load.c)?))
}

/// The longest time that `loads` keep the resource busy after `blocking`: the least
/// `L = blocking + Σ ⌈(L + J_j) / T_j⌉ · C_j`.
///
/// It is finite exactly when ΣC/T < 1, or = 1 without blocking and jitter.
pub(super) fn busy_period<'a>(
    loads: &(impl Iterator<Item = &'a Load> + Clone),
    blocking: u64,
    steps: &mut Steps,
) -> Result<u64, NoBound> {
    let drains = match utilisation::sum_against_one(loads.clone()) {
        Ordering::Less => true,
        Ordering::Equal => blocking == 0 && loads.clone().all(|load| load.j == 0),
        Ordering::Greater => false,
    };
    if !drains {
        return Err(NoBound::NoFiniteBusyPeriod);
    }
    let start = work(blocking, loads.clone(), |_| 1).filter(|start| *start <= LONGEST);
    least_fixed_point(start.ok_or(steps.undecided())?, loads.clone().count(), steps, |length| {
        work(blocking, loads.clone(), |load| load.released_within(length))
    })
}
