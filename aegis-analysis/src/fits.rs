//! Whether admission accepts: what every search for "what would fit" probes.
//!
//! First the quick tests, where they hold; then, for arrival curves, stalls and very long times, the general analyses.
//! Both are what [`admit`](super::admit) goes by.
use super::busy_period::{NoBound, Steps};
use super::load::Load;
use super::quick::entry::{Entry, Sums};
use super::quick::{self, fixed_priority::Line};
use super::stalls::Stalls;
use super::{demand, fifo, fixed_priority, utilisation};
use aegis_core::{Bound, Policy, Rejection};
use core::cmp::Ordering;

/// The tasks as the quick tests see them; `None` if they do not hold for all of them.
pub(super) fn entries(loads: &[Load], stalls: &Stalls) -> Option<Vec<Entry>> {
    let entry = |load: &Load| Entry::of(load, (u64::from(load.priority), 0, 0));
    let entries = loads.iter().map(entry).collect::<Option<Vec<Entry>>>()?;
    Sums::of(&entries).fits()?;
    stalls.is_empty().then_some(entries)
}

/// Whether every task meets every deadline.
pub(super) fn fits(
    policy: Policy,
    loads: &[Load],
    stalls: &Stalls,
    steps: &mut Steps,
) -> Result<bool, NoBound> {
    let exact = || utilisation::against(loads.iter(), stalls);
    let quick = entries(loads, stalls);
    if let Some(verdict) = quick.and_then(|entries| quick::of_entries(policy, entries, exact, steps)) {
        return Ok(verdict.admitted());
    }
    match policy {
        Policy::Edf => {
            // Admission gives bounds, and there is none where a busy period never ends.
            if !drains(loads, stalls) {
                return Ok(false);
            }
            match demand::test(loads, stalls, steps) {
                Err(demand::DemandWitness::Undecided { steps }) => Err(NoBound::Undecided { steps }),
                answer => Ok(answer.is_ok()),
            }
        }
        Policy::FixedPriority => {
            for i in 0..loads.len() {
                if !within(&fixed_priority::bound(loads, stalls, i, steps), &loads[i])? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Policy::Fifo => {
            let length = match fifo::searched(loads, stalls, steps) {
                Err(NoBound::NoFiniteBusyPeriod) => return Ok(false),
                length => length?,
            };
            for (i, load) in loads.iter().enumerate() {
                if !within(&fifo::bound(loads, stalls, i, length, steps), load)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// Whether a busy period of all tasks ends under EDF, where what blocks in it has its deadline in it too: ΣC/T is below 1, or
/// exactly 1 without jitter.
pub(super) fn drains(loads: &[Load], stalls: &Stalls) -> bool {
    match utilisation::against(loads.iter(), stalls) {
        Ordering::Less => true,
        Ordering::Equal => loads.iter().all(|load| load.j == 0),
        Ordering::Greater => false,
    }
}

/// Whether task `i` meets its deadlines under fixed priorities, whatever the others do.
pub(super) fn meets(loads: &[Load], stalls: &Stalls, i: usize, steps: &mut Steps) -> Result<bool, NoBound> {
    let above = || loads.iter().filter(|load| load.priority <= loads[i].priority);
    if utilisation::against(above(), stalls) == Ordering::Less
        && let Some(entries) = entries(loads, stalls)
    {
        let entry = entries[i];
        match Line::new(entries).test_one(&entry, steps) {
            Ok(()) => return Ok(true),
            Err(Rejection::Undecided { .. }) => {}
            Err(_) => return Ok(false),
        }
    }
    within(&fixed_priority::bound(loads, stalls, i, steps), &loads[i])
}

/// Whether there is a bound and it is within the deadline.
fn within(bound: &Result<Bound, NoBound>, load: &Load) -> Result<bool, NoBound> {
    match bound {
        Ok(bound) => Ok(bound.wcrt.0 <= load.d),
        Err(NoBound::NoFiniteBusyPeriod) => Ok(false),
        Err(undecided) => Err(*undecided),
    }
}
