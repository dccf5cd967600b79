//! The exact verdict under non-preemptive EDF in microseconds: a sum over densities, then demand against time where
//! that sum does not decide.
//!
//! Assumptions and condition as for [`demand`](crate::edf::demand_test): with `D' = D − J` and ΣC/T ≤ 1, deadlines are
//! met iff `h(t) + B(t) ≤ t` for all `t > 0` with some `D'_j ≤ t`, where
//!
//! `h(t) = Σ_{D'_j ≤ t} (1 + ⌊(t − D'_j) / T_j⌋) · C_j`
//!
//! and `B(t)`, the longest wait for a segment that had started, is a staircase that falls with `t`.
//!
//! First, with `S(t) = Σ_{D'_j ≤ t} C_j / min(D'_j, T_j)`, `h(t) ≤ S(t) · t`: where `B(t) ≤ (1 − S(t)) · t` holds for
//! `t = D'_i`, it holds until the next `D'`. If it holds at every `D'_i`, that is the verdict.
//!
//! Then, only between the first and the last `D'_i` where it does not hold: `t` falls from the last to `h(t) + B(t)`, and
//! to the deadline before where the two are equal (Zhang, Burns, IEEE TC 58(9), 2009). That passes over nothing, because
//! `h(t) + B(t)` never falls as `t` grows: where a task ceases to block, its whole `C` comes due.
//!
//! Above the last `D'_i`, and where the first part leaves that open, the walk starts at the least of
//! - `(G + B) / (1 − ΣC/T)` with `G = Σ_{D' < T} (T − D') · C / T`, for `h(t) ≤ t · ΣC/T + G`; and
//! - the busy period `Σ ⌈L / T⌉ · C`, with the longest wait on top where a job can be overtaken by a later one.
use super::entry::{Entry, MOST, ONE, Sums, over, part, quotient, share_up};
use crate::SET_STEP_LIMIT;
use crate::busy_period::Steps;
use aegis_core::{Decided, Nanos, Rejection, TaskId};
use core::cmp::Reverse;

/// What `h(t)` needs of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    /// `D'`.
    due: u64,
    t: u64,
    inverse: u64,
    c: u64,
}

impl Row {
    /// Work with its deadline up to `at ≥ D'`.
    #[inline]
    fn work_by(&self, at: u64) -> u64 {
        (quotient(at - self.due, self.t, self.inverse) + 1) * self.c
    }
}

/// Deadlines before `end`, and not before the end of the stair below, wait for `wait` at most, for `by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stair {
    end: u64,
    wait: u64,
    by: TaskId,
}

/// Tasks in the order of `D'`, with what the tests need of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Line {
    rows: Vec<Row>,
    /// For each row its `C / min(D', T)`, from above.
    densities: Vec<u64>,
    entries: Vec<Entry>,
    /// Ends ascending, waits descending.
    stairs: Vec<Stair>,
    /// `G`, at least.
    gap: u64,
}

/// The miss of a job that is released too late to end by its deadline on its own.
pub(crate) fn too_late(entry: &Entry) -> Option<Rejection> {
    entry.first_deadline().is_none().then(|| Rejection::TooMuchDemand {
        window: Nanos(entry.d.saturating_sub(entry.j)),
        demand: Nanos(entry.c),
        blocking: Nanos::ZERO,
        blocked_by: None,
    })
}

impl Line {
    pub(crate) fn reserve(&mut self, tasks: usize) {
        self.rows.reserve(tasks);
        self.densities.reserve(tasks);
        self.entries.reserve(tasks);
        self.stairs.reserve(tasks + self.entries.len());
    }

    /// Every entry has its [`Entry::first_deadline`].
    pub(crate) fn new(mut entries: Vec<Entry>, sums: &Sums) -> Self {
        entries.sort_unstable_by_key(|entry| (due(entry), entry.id));
        let mut line = Self {
            rows: entries.iter().map(row).collect(),
            densities: entries.iter().map(density).collect(),
            gap: entries.iter().map(gap).sum(),
            stairs: Vec::with_capacity(entries.len()),
            entries,
        };
        line.stack_stairs(sums);
        line
    }

    /// Takes in a task and returns the time from which on `h` or `B` is larger than before. `sums` contain it.
    pub(crate) fn insert(&mut self, entry: Entry, sums: &Sums) -> u64 {
        let wait = entry.longest - 1;
        let raised = self.stairs.iter().find(|stair| stair.wait >= wait).map_or(0, |stair| stair.end);
        let at = self.entries.partition_point(|other| (due(other), other.id) < (due(&entry), entry.id));
        self.rows.insert(at, row(&entry));
        self.densities.insert(at, density(&entry));
        self.entries.insert(at, entry);
        self.gap += gap(&entry);
        self.stack_stairs(sums);
        raised.min(due(&entry))
    }

    /// Undoes [`Line::insert`]. `sums` are without it.
    pub(crate) fn remove(&mut self, entry: &Entry, sums: &Sums) {
        let at = self.entries.partition_point(|other| (due(other), other.id) < (due(entry), entry.id));
        self.rows.remove(at);
        self.densities.remove(at);
        self.entries.remove(at);
        self.gap -= gap(entry);
        self.stack_stairs(sums);
    }

    /// The staircase of waits, from the last end to the first.
    fn stack_stairs(&mut self, sums: &Sums) {
        self.stairs.clear();
        if sums.overtaking == 0 {
            // Tasks cease to block in the order of their rows.
            for entry in self.entries.iter().rev() {
                let wait = entry.longest - 1;
                if wait > self.stairs.last().map_or(0, |stair| stair.wait) {
                    self.stairs.push(Stair { end: due(entry), wait, by: entry.id });
                }
            }
            return;
        }
        let stair = |entry: &Entry| Stair {
            end: due(entry) + entry.overtaken * entry.t,
            wait: entry.longest - 1,
            by: entry.id,
        };
        self.stairs.extend(self.entries.iter().map(stair));
        self.stairs.sort_unstable_by_key(|stair| Reverse(stair.end));
        let mut longest = 0;
        self.stairs.retain(|stair| {
            let longer = stair.wait > longest;
            longest = longest.max(stair.wait);
            longer
        });
    }

    /// Whether `h(t) + B(t) ≤ t` for all `t ≥ from`; below, it is known. ΣC/T is at most 1, and 1
    /// only without jitter.
    pub(crate) fn test(&self, sums: &Sums, from: u64, steps: &mut Steps) -> Result<Decided, Rejection> {
        // First, what the densities leave open.
        let mut open: Option<(usize, usize)> = None;
        let (mut density, mut lowest) = (0u64, self.stairs.len());
        for (i, row) in self.rows.iter().enumerate() {
            density = density.saturating_add(self.densities[i]);
            while lowest > 0 && self.stairs[lowest - 1].end <= row.due {
                lowest -= 1;
            }
            let wait = if lowest > 0 { self.stairs[lowest - 1].wait } else { 0 };
            if density > ONE || part(ONE - density, row.due) < wait {
                open = Some((open.map_or(i, |(first, _)| first), i));
            }
        }
        let Some((first, last)) = open else { return Ok(Decided::DensityBound) };

        // Then, demand against time, from the last of it down.
        let undecided = self.undecided();
        let mut t = match self.rows.get(last + 1) {
            Some(above) => above.due - 1,
            None => self.horizon(sums, steps)?,
        };
        let bottom = self.rows[first].due.max(from);
        let mut stair = 0;
        while t >= bottom {
            steps.take(self.rows.len()).map_err(|_| undecided)?;
            while self.stairs.get(stair + 1).is_some_and(|next| next.end > t) {
                stair += 1;
            }
            let wait = self.stairs.get(stair).filter(|stair| stair.end > t).map_or(0, |stair| stair.wait);
            let needed = self.demand(t) + wait;
            if needed > t {
                return Err(self.miss(t));
            }
            if needed < t {
                t = needed;
            } else if let Some(before) = self.last_deadline(t - 1) {
                t = before;
            } else {
                break;
            }
        }
        Ok(Decided::Demand)
    }

    /// `h(t)`.
    fn demand(&self, t: u64) -> u64 {
        self.rows.iter().take_while(|row| row.due <= t).map(|row| row.work_by(t)).sum()
    }

    /// The last deadline up to `t`.
    fn last_deadline(&self, t: u64) -> Option<u64> {
        let rows = self.rows.iter().take_while(|row| row.due <= t);
        rows.map(|row| row.due + quotient(t - row.due, row.t, row.inverse) * row.t).max()
    }

    /// The last time at which demand can exceed time, at least.
    fn horizon(&self, sums: &Sums, steps: &mut Steps) -> Result<u64, Rejection> {
        let (end, longest) = self.stairs.first().map_or((0, 0), |stair| (stair.end - 1, self.longest_wait()));
        let idle = ONE - sums.share();
        let unblocked = if self.gap > 0 { over(self.gap, idle) } else { 0 };
        let linear = unblocked.max(end.min(over(self.gap + longest, idle)));
        // Below that factor the walk is shorter than the way to a better bound.
        if u128::from(linear) <= 64 * sums.c {
            return Ok(linear);
        }
        let wait = if sums.overtaking > 0 { longest } else { 0 };
        let mut length = wait + self.entries.iter().map(|entry| entry.c).sum::<u64>();
        while length < linear {
            if length > 2 * MOST {
                return Err(self.undecided());
            }
            steps.take(self.rows.len()).map_err(|_| self.undecided())?;
            let released = |row: &Row| (quotient(length - 1, row.t, row.inverse) + 1) * row.c;
            let next = wait + self.rows.iter().map(released).sum::<u64>();
            if next == length {
                return Ok(length);
            }
            length = next;
        }
        Ok(linear)
    }

    fn longest_wait(&self) -> u64 {
        self.stairs.last().map_or(0, |stair| stair.wait)
    }

    /// Why the last deadline up to `t` is missed.
    fn miss(&self, t: u64) -> Rejection {
        let window = self.last_deadline(t).unwrap_or(t);
        let blocker = self.stairs.iter().rfind(|stair| stair.end > window);
        Rejection::TooMuchDemand {
            window: Nanos(window),
            demand: Nanos(self.demand(window)),
            blocking: Nanos(blocker.map_or(0, |stair| stair.wait)),
            blocked_by: blocker.map(|stair| stair.by),
        }
    }

    fn undecided(&self) -> Rejection {
        let task = self.entries.first().map_or(TaskId(0), |entry| entry.id);
        Rejection::Undecided { task, steps: SET_STEP_LIMIT }
    }
}

fn due(entry: &Entry) -> u64 {
    entry.d.saturating_sub(entry.j)
}

fn row(entry: &Entry) -> Row {
    Row { due: due(entry), t: entry.t, inverse: entry.inverse, c: entry.c }
}

fn density(entry: &Entry) -> u64 {
    if due(entry) < entry.t { share_up(entry.c, due(entry)) } else { entry.high }
}

/// `⌈(T − D') · C / T⌉`, at least, if `D' < T`.
fn gap(entry: &Entry) -> u64 {
    if due(entry) < entry.t { entry.c - part(entry.low, due(entry)) } else { 0 }
}
