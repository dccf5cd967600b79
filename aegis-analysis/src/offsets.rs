//! First arrivals with which a set that sporadic arrivals cannot use fits: proposed by simple rules, proven over every schedule.
//!
//! Assumptions: those of [`jobs::periodic`](mod@super::jobs::periodic); above all, arrivals are strictly periodic, `offset + k · T`,
//! which a task set does not say and the system has to keep to. Execution times are anything up to the WCETs.
//!
//! First, each task starts where those of earlier deadlines (then: of shorter periods, of later deadlines) would be done,
//! were they all to start one after the other; then, a few draws. Finally, each proposal is put to the exploration
//! of all schedules, and the first that it admits is the answer. That none is found says nothing: to find offsets is
//! strongly NP-hard (Jeffay, Stanat, Martel, RTSS 1991).
use super::jobs::Limits;
use super::jobs::periodic::{AtOffsets, at_offsets};
use super::load::loads;
use aegis_core::{Bytes, Nanos, PartitionId, Rng, System, SystemTask, TaskSet};

/// Sets with more jobs in a hyperperiod are not tried.
const MOST_JOBS: u64 = 100;
/// Proposals drawn at random.
const DRAWS: usize = 5;
const SEED: u64 = 1;
/// For each proposal: a millisecond.
const LIMITS: Limits = Limits { states: 2_000, memory: Bytes(1 << 26) };

/// First arrivals, one a task in the order of `set`, with which its tasks, strictly periodic, meet all deadlines in every
/// schedule; `None` if none of the proposals is proven to, or if some task has no period.
#[must_use]
pub fn proven_offsets(set: &TaskSet) -> Option<Vec<Nanos>> {
    let periods = set.tasks().iter().map(|task| task.arrival.period()).collect::<Option<Vec<Nanos>>>()?;
    let hyperperiod = periods.iter().try_fold(1, |lcm, period| least_common_multiple(lcm, period.0))?;
    let jobs = periods.iter().try_fold(0_u64, |jobs, period| jobs.checked_add(hyperperiod / period.0))?;
    if jobs > MOST_JOBS {
        return None;
    }
    proposals(set, &periods).into_iter().find(|offsets| proven(set, offsets))
}

fn proposals(set: &TaskSet, periods: &[Nanos]) -> Vec<Vec<Nanos>> {
    let loads = loads(set);
    let in_turn = |order: &[usize]| {
        let mut offsets = vec![Nanos::ZERO; order.len()];
        let mut start = 0_u64;
        for &i in order {
            offsets[i] = Nanos(start % periods[i].0);
            start = start.saturating_add(loads[i].c).saturating_add(loads[i].j);
        }
        offsets
    };
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by_key(|&i| (loads[i].d, i));
    let mut proposals = vec![in_turn(&order)];
    order.sort_by_key(|&i| (periods[i], i));
    proposals.push(in_turn(&order));
    order.sort_by_key(|&i| core::cmp::Reverse((loads[i].d, i)));
    proposals.push(in_turn(&order));
    let mut rng = Rng::new(SEED);
    proposals.extend((0..DRAWS).map(|_| periods.iter().map(|t| Nanos(rng.between(0, t.0 - 1))).collect()));
    proposals
}

fn proven(set: &TaskSet, offsets: &[Nanos]) -> bool {
    let sporadic = System::of_set(set);
    let tasks = sporadic.tasks().iter().cloned().zip(offsets);
    let tasks = tasks.map(|(task, offset)| SystemTask { offset: Some(*offset), ..task });
    let Ok(system) = System::new(sporadic.partitions().to_vec(), tasks.collect(), Vec::new()) else {
        return false;
    };
    matches!(at_offsets(&system, PartitionId(0), &LIMITS), Ok(AtOffsets { admitted: true, .. }))
}

fn least_common_multiple(a: u64, b: u64) -> Option<u64> {
    let (mut divisor, mut rest) = (a, b);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (a / divisor).checked_mul(b)
}
