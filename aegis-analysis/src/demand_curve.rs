//! Demand against time as a staircase, to be drawn: the left side of the exact test under EDF, window by window.
//!
//! The assumptions and the letters are those of the demand test (`demand.rs`): with `D' = D − J`,
//! `demand(t) = Σ_{D'_j ≤ t} α_j(t − D'_j + 1) · C_j`, and `blocking(t)` is what is left of the longest segment that
//! can have started one tick before the window and whose deadline is after it.
//!
//! Where `demand(t) + blocking(t) > t` at a step, EDF misses a deadline. Where `demand(t) > t` alone, every policy does.
use super::blocking::Blocking;
use super::load::loads;
use aegis_core::{Nanos, TaskId, TaskSet};
use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// No curve has more steps; a longer one ends early.
pub const MOST_STEPS: usize = 1 << 13;

/// What has to be done in every window from the length `at` up to the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The length of the window.
    pub at: Nanos,
    /// All work that can be released and has its deadline inside.
    pub demand: Nanos,
    /// The rest of a segment that started just before.
    pub blocking: Nanos,
    /// Whose segment.
    pub blocked_by: Option<TaskId>,
}

impl Step {
    /// Demand and blocking together.
    #[must_use]
    pub const fn needed(&self) -> Nanos {
        Nanos(self.demand.0.saturating_add(self.blocking.0))
    }

    /// Whether EDF can miss a deadline at the end of this window: there is work in it, and more than time.
    #[must_use]
    pub const fn too_much(&self) -> bool {
        self.demand.0 > 0 && self.needed().0 > self.at.0
    }
}

/// The steps in order, the first at 0, the last at or before `until`; at most [`MOST_STEPS`]. Sums saturate.
#[must_use]
pub fn curve(set: &TaskSet, until: Nanos) -> Vec<Step> {
    let loads = loads(set);
    let blocking = Blocking::new(&loads);
    // What changes the curve: the next deadline of each task, and where a task ceases to block.
    let deadline = |j: usize, n: u64| {
        let distance = set.tasks()[j].arrival.distance(n);
        loads[j].first_deadline().saturating_add(i128::from(distance))
    };
    let mut next: BinaryHeap<_> = (0..loads.len()).map(|j| Reverse((deadline(j, 0), Some((j, 1))))).collect();
    next.extend(loads.iter().map(|load| Reverse((load.blocks_before(), None))));
    let step = |at: Nanos| {
        let t = i128::from(at.0);
        let demand =
            loads.iter().map(|load| load.due_by(t).saturating_mul(load.c)).fold(0, u64::saturating_add);
        let (blocked_by, blocking) = blocking.at(t).filter(|(_, wait)| *wait > 0).unzip();
        Step { at, demand: Nanos(demand), blocking: Nanos(blocking.unwrap_or(0)), blocked_by }
    };
    let mut steps = vec![step(Nanos::ZERO)];
    // Every task has one deadline at a time in the heap, so that each look brings time forward or ends.
    while let Some(Reverse((at, again))) = next.pop() {
        let at = Nanos(u64::try_from(at.max(0)).unwrap_or(u64::MAX));
        if at > until || at == Nanos::MAX || steps.len() == MOST_STEPS {
            break;
        }
        if let Some((j, n)) = again {
            // Jobs that can arrive at one instant share their deadline.
            let due = deadline(j, n - 1);
            let more = (n..).find(|&n| deadline(j, n) > due).unwrap_or(u64::MAX);
            next.push(Reverse((deadline(j, more), Some((j, more + 1)))));
        }
        let reached = step(at);
        match steps.last_mut() {
            Some(last) if last.at == at => *last = reached,
            Some(last) if Step { at, ..*last } != reached => steps.push(reached),
            _ => {}
        }
    }
    steps
}
