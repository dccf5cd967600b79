//! What one started segment can delay under EDF: a staircase over the deadline that is delayed.
use super::load::Load;
use aegis_core::TaskId;

/// A segment that had just started: whose it is, and how much of it is left.
pub(super) type Blocker = (TaskId, u64);

/// For each deadline, the longest wait for a segment that started one tick before, and whose it is.
///
/// A segment of task k delays deadlines before [`Load::blocks_before`]; the wait falls as the deadline grows.
#[derive(Debug)]
pub(super) struct Blocking {
    /// Ends of the stairs, ascending; each with the longest wait of those that end here or later.
    stairs: Vec<(i128, TaskId, u64)>,
}

impl Blocking {
    pub(super) fn new(loads: &[Load]) -> Self {
        let mut stairs: Vec<_> =
            loads.iter().map(|load| (load.blocks_before(), load.id, load.longest - 1)).collect();
        // Of equal waits the one that lasts longest stands for the shorter ones; of equals in that too, the first.
        stairs.sort_by_key(|&(end, id, _)| (end, core::cmp::Reverse(id)));
        for k in (1..stairs.len()).rev() {
            let (_, id, wait) = stairs[k];
            if wait >= stairs[k - 1].2 {
                (stairs[k - 1].1, stairs[k - 1].2) = (id, wait);
            }
        }
        Self { stairs }
    }

    /// Who delays a job with its deadline at `at`, and for how long.
    pub(super) fn at(&self, at: i128) -> Option<Blocker> {
        let above = self.stairs.partition_point(|&(end, ..)| end <= at);
        self.stairs.get(above).map(|&(_, id, wait)| (id, wait))
    }

    /// The longest wait at all.
    pub(super) fn longest(&self) -> Option<Blocker> {
        self.stairs.first().map(|&(_, id, wait)| (id, wait))
    }
}
