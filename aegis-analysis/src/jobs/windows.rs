//! Completion times of a job set from busy windows, without looking at schedules. Sound; cheap; not exact.
//!
//! The level-i busy window of fixed priorities (Lehoczky, RTSS 1990; George, Rivierre, Spuri, INRIA RR-2966, 1996, for
//! non-preemptive jobs), applied to one job at a time.
//!
//! Assumptions: those of [`super::explore`] and [`super::delays`].
//!
//! Let `j` be ready at `ρ` and `t₀ ≤ ρ` the last instant at which every job of `hep(j)` (rank not above that of `j`, but
//! nothing that waits for `j`) that was ready before is done. From `t₀` until `j` starts the resource is never idle and
//! serves: what is left of one less urgent job that started before `t₀`, and jobs of `hep(j)` that are ready at `t₀` or
//! later. Hence `j` starts at the latest at the least
//! `w = t₀ + B + Σ c_max(i) over i ∈ hep(j) with ready_max(i) ≥ t₀ and ready_min(i) ≤ w`, where
//! `B = max c_max(k) − 1 over less urgent k with ready_min(k) < t₀`.
//! The largest `t₀` with the same jobs in the sum is the worst, so that `t₀` need only be some `ready_max`.
//!
//! A job is ready at `max(r, end of p + delay over its edges)`, and ends depend on readiness: iterated from below to a
//! fixed point. That is sound, for the first job in time to end later than the fixed point says would contradict it.
use super::Completion;
use super::set::{Edge, HORIZON, JobSet};
use crate::STEP_LIMIT;
use aegis_core::Nanos;

/// Bounds on the completion of every job, or nothing where there is no bound within the limit on steps.
pub(super) fn bounds(set: &JobSet) -> Option<Vec<Completion>> {
    let into = set.edges_into();
    let mut ready: Vec<(u64, u64)> =
        set.jobs().iter().map(|job| (job.release.min.0, job.release.max.0)).collect();
    for &job in set.topological() {
        for edge in &into[job] {
            let end = ready[edge.from].0 + set.jobs()[edge.from].cost.min.0;
            ready[job].0 = ready[job].0.max(end + edge.delay.min.0);
        }
        ready[job].1 = ready[job].1.max(ready[job].0);
    }
    let behind = descendants(set, &into);
    let mut steps = STEP_LIMIT * 8;
    loop {
        let order = Order::new(set, &ready);
        let worst: Option<Vec<u64>> =
            (0..ready.len()).map(|job| worst(set, &order, &ready, &behind[job], job, &mut steps)).collect();
        let worst = worst?;
        let mut changed = false;
        for (job, edges) in into.iter().enumerate() {
            let latest = edges.iter().map(|edge| worst[edge.from] + edge.delay.max.0).max().unwrap_or(0);
            if latest > ready[job].1 {
                ready[job].1 = latest;
                changed = true;
            }
        }
        if !changed {
            let completion = |(job, worst): (usize, u64)| Completion {
                best: Nanos(ready[job].0 + set.jobs()[job].cost.min.0),
                worst: Nanos(worst),
            };
            return Some(worst.into_iter().enumerate().map(completion).collect());
        }
    }
}

/// The jobs in the order in which they may be ready, and how far behind its earliest a job may be ready.
struct Order {
    jobs: Vec<usize>,
    widest: u64,
    /// Every instant at which a busy window may have to begin, ascending.
    begins: Vec<u64>,
}

impl Order {
    fn new(set: &JobSet, ready: &[(u64, u64)]) -> Self {
        let mut jobs: Vec<usize> = (0..set.jobs().len()).collect();
        jobs.sort_by_key(|job| ready[*job].0);
        let widest = ready.iter().map(|(least, most)| most - least).max().unwrap_or(0);
        let mut begins: Vec<u64> = ready.iter().map(|ready| ready.1).collect();
        begins.sort_unstable();
        begins.dedup();
        Self { jobs, widest, begins }
    }
}

fn worst(
    set: &JobSet,
    order: &Order,
    ready: &[(u64, u64)],
    behind: &[usize],
    job: usize,
    steps: &mut u64,
) -> Option<u64> {
    let rank = set.rank(job);
    let latest = ready[job].1;
    let begins = &order.begins[..order.begins.partition_point(|begin| *begin <= latest)];
    let mut worst = 0;
    for &begin in begins.iter().rev() {
        let less_urgent = |k: &&usize| set.rank(**k) > rank && ready[**k].0 < begin;
        let blocking = order.jobs.iter().filter(less_urgent).map(|k| set.jobs()[*k].cost.max.0).max();
        let mut start = begin + blocking.map_or(0, |most| most.saturating_sub(1));
        let first = order.jobs.partition_point(|i| ready[*i].0 + order.widest < begin);
        for &i in &order.jobs[first..] {
            *steps = steps.checked_sub(1)?;
            if ready[i].0 > start {
                break;
            }
            if i != job && set.rank(i) <= rank && ready[i].1 >= begin && behind.binary_search(&i).is_err() {
                start += set.jobs()[i].cost.max.0;
            }
        }
        worst = worst.max(start);
        *steps = steps.checked_sub(order.jobs.len() as u64)?;
    }
    Some(worst + set.jobs()[job].cost.max.0).filter(|worst| *worst <= HORIZON)
}

/// For each job all that wait for it, directly or not, sorted.
fn descendants(set: &JobSet, into: &[Vec<Edge>]) -> Vec<Vec<usize>> {
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); into.len()];
    for &job in set.topological().iter().rev() {
        behind[job].sort_unstable();
        behind[job].dedup();
        for edge in &into[job] {
            let more = behind[job].clone();
            behind[edge.from].push(job);
            behind[edge.from].extend(more);
        }
    }
    behind
}
