//! What one started segment can delay under EDF: a staircase over the deadline that is delayed.
//!
//! It is the same for every task, but for one: a job that is itself overtaken has arrived at one instant exactly, which
//! leaves the job that overtakes it less room.
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
        Self::until(loads, Load::blocks_before)
    }

    /// The same for the deadlines of one task, whose own segments delay them for less long: until
    /// [`Load::blocks_own_before`].
    pub(super) fn of_task(loads: &[Load], task: &Load) -> Self {
        Self::until(loads, |load| match task.blocks_own_before() {
            Some(end) if load.id == task.id => end,
            _ => load.blocks_before(),
        })
    }

    fn until(loads: &[Load], end: impl Fn(&Load) -> i128) -> Self {
        let mut stairs: Vec<_> = loads.iter().map(|load| (end(load), load.id, load.longest - 1)).collect();
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
