//! Least fixed points in bounded work, and the longest busy period: what every analysis here walks through.
use super::blocking::Blocker;
use super::load::{LONGEST, Load};
use super::stalls::Stalls;
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

    /// One answer a task: each within [`STEP_LIMIT`](super::STEP_LIMIT), all together within
    /// [`SET_STEP_LIMIT`](super::SET_STEP_LIMIT).
    pub(super) fn shared<T>(tasks: usize, mut answer: impl FnMut(usize, &mut Self) -> T) -> Vec<T> {
        let mut left = super::SET_STEP_LIMIT;
        let one = |i| {
            let mut steps = if left < super::STEP_LIMIT {
                Self { limit: super::SET_STEP_LIMIT, left }
            } else {
                Self::new(super::STEP_LIMIT)
            };
            let given = steps.left;
            let answer = answer(i, &mut steps);
            left -= given - steps.left;
            answer
        };
        (0..tasks).map(one).collect()
    }

    /// How many have been taken.
    pub(super) const fn spent(&self) -> u64 {
        self.limit - self.left
    }

    pub(super) const fn undecided(&self) -> NoBound {
        NoBound::Undecided { steps: self.limit }
    }

    pub(super) fn take(&mut self, steps: usize) -> Result<(), NoBound> {
        let left = u64::try_from(steps).ok().and_then(|steps| self.left.checked_sub(steps));
        self.left = left.unwrap_or(0);
        if left.is_some() { Ok(()) } else { Err(self.undecided()) }
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

/// `base + Σ jobs_j · C_j`, or `None` when it does not fit.
pub(super) fn work<'a>(
    base: u64,
    mut loads: impl Iterator<Item = &'a Load>,
    jobs: impl Fn(&Load) -> u64,
) -> Option<u64> {
    loads.try_fold(base, |sum, load| sum.checked_add(jobs(load).checked_mul(load.c)?))
}

/// The longest time that `loads` and `stalls` keep the resource busy after `blocker`: the least
/// `L = B + Σ α_j(L + J_j) · C_j + Σ ⌈L / gap⌉ · length`, where `α_j(x) = ⌈x / T_j⌉` for a period.
///
/// It is finite exactly when the shares of time sum to less than 1, or to 1 without blocking and jitter.
pub(super) fn busy_period<'a>(
    loads: &(impl Iterator<Item = &'a Load> + Clone),
    blocker: Option<Blocker>,
    stalls: &Stalls,
    steps: &mut Steps,
) -> Result<u64, NoBound> {
    let wait = blocker.map_or(0, |(_, wait)| wait);
    let drains = match utilisation::against(loads.clone(), stalls) {
        Ordering::Less => true,
        Ordering::Equal => {
            let early = blocker.is_some() && !stalls.is_empty();
            wait == 0 && !early && loads.clone().all(|load| load.j == 0)
        }
        Ordering::Greater => false,
    };
    if !drains {
        return Err(NoBound::NoFiniteBusyPeriod);
    }
    let start = work(wait, loads.clone(), |_| 1).filter(|start| *start <= LONGEST);
    least_fixed_point(start.ok_or(steps.undecided())?, loads.clone().count(), steps, |length| {
        work(stalls.within(length, blocker)?.checked_add(wait)?, loads.clone(), |load| {
            load.released_within(length)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SET_STEP_LIMIT, STEP_LIMIT};

    /// Thirty tasks that each took their limit once kept admission busy for a minute.
    #[test]
    fn no_task_and_no_set_takes_more_than_its_steps() {
        let most = usize::try_from(SET_STEP_LIMIT / STEP_LIMIT).unwrap();
        let each = usize::try_from(STEP_LIMIT).unwrap();
        let answers = Steps::shared(most + 2, |i, steps| {
            let over = usize::from(i == 0);
            steps.take(each + over)
        });
        assert_eq!(answers[0], Err(NoBound::Undecided { steps: STEP_LIMIT }));
        assert_eq!(answers[1..most], vec![Ok(()); most - 1]);
        assert_eq!(answers[most..], vec![Err(NoBound::Undecided { steps: SET_STEP_LIMIT }); 2]);
    }
}
