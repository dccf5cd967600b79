//! Whether admission accepts, as conditions that can be asked one by one: what every search for "what would fit" probes.
//!
//! A set fits when all conditions hold, and it fits exactly when [`admit`](super::admit) admits it. Under fixed priorities
//! there is one condition a task, so that a search along one parameter needs the others only once; under EDF and FIFO one
//! condition stands for all tasks. Response times are not asked for where a cheaper exact test exists.
use super::busy_period::{NoBound, Steps};
use super::load::Load;
use super::{demand, fifo, fixed_priority, utilisation};
use aegis_core::{Bound, Policy};
use core::cmp::Ordering;

/// How many conditions a set of `tasks` has.
pub(super) const fn conditions(policy: Policy, tasks: usize) -> usize {
    match policy {
        Policy::FixedPriority => tasks,
        Policy::Edf | Policy::Fifo => 1,
    }
}

/// Whether all conditions hold.
pub(super) fn fits(policy: Policy, loads: &[Load], steps: &mut Steps) -> Result<bool, NoBound> {
    for condition in 0..conditions(policy, loads.len()) {
        if !holds(policy, loads, condition, steps)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether one condition holds.
pub(super) fn holds(
    policy: Policy,
    loads: &[Load],
    condition: usize,
    steps: &mut Steps,
) -> Result<bool, NoBound> {
    match policy {
        Policy::FixedPriority => meets(fixed_priority::bound(loads, condition, steps), &loads[condition]),
        Policy::Edf => {
            // Admission gives bounds, and there is none where a busy period never ends.
            let drains = match utilisation::sum_against_one(loads.iter()) {
                Ordering::Less => true,
                Ordering::Equal => loads.iter().all(|load| load.j == 0),
                Ordering::Greater => false,
            };
            if !drains {
                return Ok(false);
            }
            match demand::test(loads, steps) {
                Err(demand::DemandWitness::Undecided { steps }) => Err(NoBound::Undecided { steps }),
                answer => Ok(answer.is_ok()),
            }
        }
        Policy::Fifo => {
            let length = match fifo::searched(loads, steps) {
                Err(NoBound::NoFiniteBusyPeriod) => return Ok(false),
                length => length?,
            };
            for (i, load) in loads.iter().enumerate() {
                if !meets(fifo::bound(loads, i, length, steps), load)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// Whether there is a bound and it is within the deadline.
fn meets(bound: Result<Bound, NoBound>, load: &Load) -> Result<bool, NoBound> {
    match bound {
        Ok(bound) => Ok(bound.wcrt.0 <= load.d),
        Err(NoBound::NoFiniteBusyPeriod) => Ok(false),
        Err(undecided) => Err(undecided),
    }
}
