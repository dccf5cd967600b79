//! The exact verdict under first released, first served: in constant time without jitter, else a sum, else demand
//! against time for each task.
//!
//! Assumptions and bound as for [`fifo`](crate::fifo). With ΣC/T ≤ 1, a job of task i that is released at `r` after the
//! start of a busy period, as late as it can, meets its deadline iff
//!
//! `W_i(r) = Σ_{j≠i} (1 + ⌊(r + J_j) / T_j⌋) · C_j + (1 + ⌊r / T_i⌋ + o_i(r)) · C_i ≤ r + D_i − J_i`
//!
//! with `o_i(r) = ⌊(J_i − 1) / T_i⌋` for `r > 0`, and 0 for `r = 0`.
//!
//! First, without jitter the left side exceeds the right one most at `r = 0`: ΣC ≤ D_i for every task is the verdict.
//!
//! Then, with jitter, `W_i(r) ≤ r · ΣC/T + ΣC + Σ J_j · C_j / T_j`, because `o_i ≤ J_i / T_i`: where `ΣC + Σ J_j · C_j / T_j`
//! is at most `D_i − J_i`, the task meets its deadlines.
//!
//! Finally, for each other task, from `r = (ΣC + Σ J_j · C_j / T_j − D_i + J_i) / (1 − ΣC/T)`, above which the
//! same sum is enough: `W_i` never falls as `r` grows, so that nothing is late at any release from
//! `W_i(r) − D_i + J_i` to `r`, and the next to look at is the one before.
use super::entry::{Entry, MOST, ONE, Sums, over, quotient};
use crate::SET_STEP_LIMIT;
use crate::busy_period::Steps;
use aegis_core::{Decided, Nanos, Rejection, TaskId};

/// Tasks in any order, and those that can wait least.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Line {
    /// In the order of their identifiers.
    entries: Vec<Entry>,
    /// `D − J` for each task, ascending.
    patience: Vec<(i64, TaskId)>,
    /// `Σ J · C / T`, at least.
    jitter: u64,
}

fn patience(entry: &Entry) -> (i64, TaskId) {
    let signed = |x: u64| i64::try_from(x).unwrap_or(i64::MAX);
    (signed(entry.d) - signed(entry.j), entry.id)
}

impl Line {
    pub(crate) fn reserve(&mut self, tasks: usize) {
        self.entries.reserve(tasks);
        self.patience.reserve(tasks);
    }

    pub(crate) fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by_key(|entry| entry.id);
        let mut patience: Vec<_> = entries.iter().map(patience).collect();
        patience.sort_unstable();
        Self { jitter: entries.iter().map(Entry::jitter_work).sum(), entries, patience }
    }

    /// Takes in a task.
    pub(crate) fn insert(&mut self, entry: Entry) {
        let at = self.entries.partition_point(|other| other.id < entry.id);
        self.entries.insert(at, entry);
        let key = patience(&entry);
        self.patience.insert(self.patience.partition_point(|other| *other < key), key);
        self.jitter += entry.jitter_work();
    }

    /// Undoes [`Line::insert`].
    pub(crate) fn remove(&mut self, entry: &Entry) {
        self.entries.remove(self.entries.partition_point(|other| other.id < entry.id));
        let key = patience(entry);
        self.patience.remove(self.patience.partition_point(|other| *other < key));
        self.jitter -= entry.jitter_work();
    }

    /// Whether all tasks meet their deadlines. ΣC/T is at most 1, and 1 only without jitter.
    pub(crate) fn test(&self, sums: &Sums, steps: &mut Steps) -> Result<Decided, Rejection> {
        // First and then: the sum.
        let all = i64::try_from(sums.c).unwrap_or(i64::MAX);
        let most = all + i64::try_from(self.jitter).unwrap_or(i64::MAX);
        let late = self.patience.iter().take_while(|(patience, _)| *patience < most);
        let mut decided = Decided::ServiceSum;

        // Finally, release by release.
        for &(patience, id) in late {
            let Ok(i) = self.entries.binary_search_by_key(&id, |entry| entry.id) else { continue };
            if sums.jittery == 0 {
                return Err(self.late(i, self.work(i, 0), 0));
            }
            decided = Decided::ResponseTimes;
            let above = u64::try_from(most - patience).map_err(|_| self.undecided(i))?;
            self.releases(i, above, sums, steps)?;
        }
        Ok(decided)
    }

    /// Looks at the releases of task `i`, of which `above` is the most that its responses exceed the deadline by.
    fn releases(&self, i: usize, above: u64, sums: &Sums, steps: &mut Steps) -> Result<(), Rejection> {
        let undecided = self.undecided(i);
        // Where one release is late, that at 0 mostly is: no need to find where to start.
        steps.take(self.entries.len()).map_err(|_| undecided)?;
        if self.latest_late(i, 0).is_some_and(|late| late > 0) {
            return Err(self.late(i, self.work(i, 0), 0));
        }
        let mut r = over(above, ONE - sums.share());
        if u128::from(r) > 64 * sums.c {
            r = self.busy_period(r, steps).ok_or(undecided)?;
        }
        loop {
            steps.take(self.entries.len()).map_err(|_| undecided)?;
            match self.latest_late(i, r) {
                None | Some(0) => return Ok(()),
                Some(late) if late > r => return Err(self.late(i, self.work(i, r), r)),
                Some(late) => r = late - 1,
            }
        }
    }

    /// `W_i(r)`.
    fn work(&self, i: usize, r: u64) -> u64 {
        let task = &self.entries[i];
        let all: u64 = self.entries.iter().map(|entry| released_by(entry, r)).sum();
        let overtaking = if r > 0 { task.overtaken } else { 0 };
        all - released_by(task, r) + (task.periods_in(r) + 1 + overtaking) * task.c
    }

    /// `W_i(r) − D + J`, where that is not negative: all that is late with so much work is released before.
    fn latest_late(&self, i: usize, r: u64) -> Option<u64> {
        let task = &self.entries[i];
        (self.work(i, r) + task.j).checked_sub(task.d)
    }

    /// The longest busy period, or `most` if it is longer; `None` if that takes too many steps.
    fn busy_period(&self, most: u64, steps: &mut Steps) -> Option<u64> {
        let mut length = self.entries.iter().map(|entry| entry.c).sum::<u64>();
        while length < most {
            steps.take(self.entries.len()).ok().filter(|()| length <= 2 * MOST)?;
            let next = self.entries.iter().map(|entry| released_by(entry, length - 1)).sum();
            if next == length {
                return Some(length);
            }
            length = next;
        }
        Some(most)
    }

    /// The job of task `i` that is released at `r`, after so much work.
    fn late(&self, i: usize, work: u64, r: u64) -> Rejection {
        let task = &self.entries[i];
        Rejection::Late {
            task: task.id,
            at_least: Nanos(work + task.j - r),
            deadline: Nanos(task.d),
            blocked_by: None,
            blocking: Nanos::ZERO,
        }
    }

    fn undecided(&self, i: usize) -> Rejection {
        Rejection::Undecided { task: self.entries[i].id, steps: SET_STEP_LIMIT }
    }
}

/// Work of a task that can be released in `[0, at]`.
fn released_by(entry: &Entry, at: u64) -> u64 {
    (quotient(at + entry.j, entry.t, entry.inverse) + 1) * entry.c
}
