//! The exact verdict under non-preemptive fixed priorities in microseconds: a closed form for each task, then start times
//! where that does not decide.
//!
//! Assumptions and recurrences as for [`fixed_priority`](crate::fixed_priority). With ΣC/T ≤ 1, a job of task i that is
//! released at `r` after the start of a busy period, as late as it can, meets its deadline iff its last segment starts by
//! `X(r) = D − J − last + r`, and that is iff there is an `x ≤ X(r)` with `f_r(x) ≤ x`,
//!
//! `f_r(x) = B + (1 + ⌊r / T⌋ + o(r)) · C − last + Σ_hp (1 + ⌊(x + J_j) / T_j⌋) · C_j`
//!
//! with `o(r) = ⌊(J − 1) / T⌋` for `r > 0`, and 0 for `r = 0`. The releases to look at are 0, every multiple of `T`, and 1
//! if `o(1) > 0`.
//!
//! First, a line above all start times (in the manner of Bini, Baruah, "Efficient computation of response time bounds
//! under fixed-priority scheduling", RTNS 2007): the last job of j counted in the least fixed point `w = f_r(w)` is
//! released `C_j` or more before `w`, because `f_r` exceeds `x` at every `x < w` and rises by `C_j` at that release. So at
//! most `1 + (w + J_j − C_j) / T_j` jobs are counted, and
//!
//! `w · (1 − U_hp) ≤ B + (1 + ⌊r / T⌋ + o(r)) · C − last + Σ_hp (C_j + (J_j − C_j) · C_j / T_j)`
//!
//! As r grows by T, the right side grows by C and `X(r) · (1 − U_hp)` by `T · (1 − U_hp) ≥ C`: what holds for a job, with
//! `o(1)` for `o(0)`, holds for all later ones.
//!
//! Then, release by release, whether `X(r)` itself is such an `x`; else the least fixed point from below, started at
//! `w ≥ (B + (1 + ⌊r / T⌋ + o(r)) · C − last + Σ_hp J_j · C_j / T_j) / (1 − U_hp)`, until it ends or passes `X(r)`.
//!
//! Finally, the busy period ends by the next release `y` if `B + Σ_hep ⌈(y + J_j) / T_j⌉ · C_j ≤ y`.
//!
//! The points `x` and `y` are kept: as long as the sums at them, brought up to date, stay below, they prove the same
//! after a change.
use super::entry::{Entry, MOST, ONE, Rank, over, part, quotient};
use crate::SET_STEP_LIMIT;
use crate::busy_period::Steps;
use aegis_core::{Decided, Nanos, Rejection, TaskId};

/// What the sums over more urgent tasks need of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    j: u64,
    t: u64,
    inverse: u64,
    c: u64,
}

impl Row {
    /// Work that can be released in `[0, at]`.
    #[inline]
    fn released_by(&self, at: u64) -> u64 {
        (quotient(at + self.j, self.t, self.inverse) + 1) * self.c
    }

    /// Work that can be released in `[0, length)`, `length > 0`.
    #[inline]
    fn released_within(&self, length: u64) -> u64 {
        self.released_by(length - 1)
    }
}

/// Points that prove that the job released at 0 meets its deadline, and that the busy period holds no later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Points {
    /// `x` with `f_0(x)`, of a task whose jobs are not overtaken.
    start: (u64, u64),
    /// `y` with the work released before it; `None` if the line above proves the later jobs.
    end: Option<(u64, u64)>,
}

/// Tasks in the order of their priorities, with the longest wait and the points of each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Line {
    rows: Vec<Row>,
    entries: Vec<Entry>,
    /// For each task `B`.
    waits: Vec<u64>,
    points: Vec<Option<Points>>,
    /// Points found by a test that has not ended yet.
    found: Vec<(usize, Points)>,
    /// The task that was late when a task was last refused.
    suspect: Option<(Rank, TaskId)>,
}

/// Sums over the tasks that go before another.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    /// ΣC/T from below and from above.
    low: u64,
    high: u64,
    /// `Σ J · C / T`, at most.
    jitter: u64,
    /// `Σ (C + (J − C) · C / T)`, at least.
    line: u64,
}

impl Before {
    fn with(self, entry: &Entry) -> Self {
        Self {
            low: self.low + entry.low,
            high: self.high + entry.high,
            jitter: self.jitter + entry.least_jitter_work(),
            line: self.line + line(entry),
        }
    }

    fn without(self, entry: &Entry) -> Self {
        Self {
            low: self.low - entry.low,
            high: self.high - entry.high,
            jitter: self.jitter - entry.least_jitter_work(),
            line: self.line - line(entry),
        }
    }
}

/// `C + (J − C) · C / T`, at least.
fn line(entry: &Entry) -> u64 {
    match entry.j.checked_sub(entry.c) {
        Some(later) => entry.c + part(entry.high, later) + 1,
        None => entry.c - part(entry.low, entry.c - entry.j),
    }
}

impl Line {
    pub(crate) fn reserve(&mut self, tasks: usize) {
        self.rows.reserve(tasks);
        self.entries.reserve(tasks);
        self.waits.reserve(tasks);
        self.points.reserve(tasks);
        self.found.reserve(tasks + self.entries.len());
    }

    pub(crate) fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by_key(|entry| (entry.rank, entry.id));
        let mut line = Self {
            rows: entries.iter().map(row).collect(),
            waits: vec![0; entries.len()],
            points: vec![None; entries.len()],
            found: Vec::new(),
            suspect: None,
            entries,
        };
        line.update_waits();
        line
    }

    /// Takes in a task and returns the position from which on tests may answer differently than before.
    pub(crate) fn insert(&mut self, entry: Entry) -> usize {
        let group = self.entries.partition_point(|other| other.rank < entry.rank);
        let at = group
            + self.entries[group..].partition_point(|other| (other.rank, other.id) < (entry.rank, entry.id));
        let row = row(&entry);
        for points in self.points[group..].iter_mut().flatten() {
            points.start.1 += row.released_by(points.start.0);
            if let Some((y, work)) = &mut points.end {
                *work += row.released_within(*y);
            }
        }
        self.rows.insert(at, row);
        self.entries.insert(at, entry);
        self.waits.insert(at, 0);
        self.points.insert(at, None);
        self.update_waits().min(group)
    }

    /// Undoes [`Line::insert`].
    pub(crate) fn remove(&mut self, entry: &Entry) {
        let group = self.entries.partition_point(|other| other.rank < entry.rank);
        let at = self.entries.partition_point(|other| (other.rank, other.id) < (entry.rank, entry.id));
        let row = self.rows.remove(at);
        self.entries.remove(at);
        self.waits.remove(at);
        self.points.remove(at);
        for points in self.points[group..].iter_mut().flatten() {
            points.start.1 -= row.released_by(points.start.0);
            if let Some((y, work)) = &mut points.end {
                *work -= row.released_within(*y);
            }
        }
        self.update_waits();
    }

    /// Brings every `B` up to date and returns the position of the first that changed.
    fn update_waits(&mut self) -> usize {
        let mut changed = self.entries.len();
        let (mut below, mut group) = (0, 0);
        for i in (0..self.entries.len()).rev() {
            if self.entries.get(i + 1).is_some_and(|next| next.rank > self.entries[i].rank) {
                below = group;
            }
            group = group.max(self.entries[i].longest - 1);
            let before = std::mem::replace(&mut self.waits[i], below);
            if before == below {
                continue;
            }
            changed = i;
            if let Some(points) = &mut self.points[i] {
                points.start.1 = points.start.1 - before + below;
                if let Some((_, work)) = &mut points.end {
                    *work = *work - before + below;
                }
            }
        }
        changed
    }

    /// Whether one task of the line meets its deadlines, whatever the others do. ΣC/T is at most 1, and 1 only without
    /// jitter.
    pub(crate) fn test_one(&self, entry: &Entry, steps: &mut Steps) -> Result<(), Rejection> {
        let at = self.entries.partition_point(|other| (other.rank, other.id) < (entry.rank, entry.id));
        let end = self.entries.partition_point(|other| other.rank <= entry.rank);
        let hp = self.entries[..end].iter().fold(Before::default(), Before::with).without(entry);
        if self.on_the_line(at, 0, &hp) {
            return Ok(());
        }
        self.jobs(at, end, &hp, steps).map(drop)
    }

    /// Whether the tasks at `from` and after it meet their deadlines; of those before it, it is known. ΣC/T is at most 1,
    /// and 1 only without jitter.
    pub(crate) fn test(&mut self, from: usize, steps: &mut Steps) -> Result<Decided, Rejection> {
        let mut found = std::mem::take(&mut self.found);
        let answer = self.test_suspect_first(from, &mut found, steps);
        match answer {
            Ok(_) => found.iter().for_each(|&(i, points)| self.points[i] = Some(points)),
            Err((i, _)) => self.suspect = Some((self.entries[i].rank, self.entries[i].id)),
        }
        found.clear();
        self.found = found;
        answer.map_err(|(_, rejection)| rejection)
    }

    /// The task that was late when a task was last refused is the first to be late again.
    fn test_suspect_first(
        &self,
        from: usize,
        found: &mut Vec<(usize, Points)>,
        steps: &mut Steps,
    ) -> Result<Decided, (usize, Rejection)> {
        let suspect = self.suspect.and_then(|suspect| {
            self.entries.binary_search_by_key(&suspect, |entry| (entry.rank, entry.id)).ok()
        });
        let suspect = suspect.filter(|suspect| *suspect >= from);
        let mut decided = Decided::ResponseTimeBound;
        if let Some(i) = suspect {
            let rank = self.entries[i].rank;
            let end = i + self.entries[i..].iter().take_while(|entry| entry.rank == rank).count();
            let before = self.entries[..end].iter().fold(Before::default(), Before::with);
            if !self.meets(i, end, before, found, steps)? {
                decided = Decided::ResponseTimes;
            }
        }
        let mut before = Before::default();
        let mut start = 0;
        for group in self.entries.chunk_by(|a, b| a.rank == b.rank) {
            let end = start + group.len();
            before = group.iter().fold(before, Before::with);
            for i in from.max(start)..end {
                if Some(i) != suspect && !self.meets(i, end, before, found, steps)? {
                    decided = Decided::ResponseTimes;
                }
            }
            start = end;
        }
        Ok(decided)
    }

    /// Whether task `i`, whose priority ends at `end`, meets its deadlines by the line alone; else it does by start times,
    /// or is late. `before` are the sums over all tasks up to `end`.
    fn meets(
        &self,
        i: usize,
        end: usize,
        before: Before,
        found: &mut Vec<(usize, Points)>,
        steps: &mut Steps,
    ) -> Result<bool, (usize, Rejection)> {
        let hp = before.without(&self.entries[i]);
        if self.on_the_line(i, 0, &hp) {
            return Ok(true);
        }
        let proven = self.points[i].is_some_and(|points| {
            points.start.1 <= points.start.0
                && points.end.map_or_else(|| self.on_the_line(i, 1, &hp), |(y, work)| work <= y)
        });
        if !proven && let Some(points) = self.jobs(i, end, &hp, steps).map_err(|rejection| (i, rejection))? {
            found.push((i, points));
        }
        Ok(false)
    }

    /// `B + jobs · C − last`: what is served before the last segment, beside hp. `None` for more than the tests take.
    fn base(&self, i: usize, jobs: u64) -> Option<u64> {
        let task = &self.entries[i];
        let own = jobs.checked_mul(task.c)? - task.last;
        own.checked_add(self.waits[i]).filter(|base| *base <= 2 * MOST)
    }

    /// `X(r)`; `None` if even a job that starts at once is late, or for more than the tests take.
    fn latest_start(&self, i: usize, release: u64) -> Option<u64> {
        let task = &self.entries[i];
        let x = task.d.checked_sub(task.j)?.checked_sub(task.last)?;
        x.checked_add(release).filter(|x| *x <= 2 * MOST)
    }

    /// Whether the jobs from the one that is released at `q · T` on meet their deadlines by the line above their starts.
    fn on_the_line(&self, i: usize, q: u64, hp: &Before) -> bool {
        let task = &self.entries[i];
        let base = self.base(i, 1 + q + task.overtaken);
        let latest = q.checked_mul(task.t).and_then(|release| self.latest_start(i, release));
        let (Some(base), Some(latest)) = (base, latest) else { return false };
        base + hp.line <= part(ONE.saturating_sub(hp.high), latest)
    }

    /// Looks at the jobs of the busy period of task `i`, whose priority ends at `end`, one by one.
    fn jobs(
        &self,
        i: usize,
        end: usize,
        hp: &Before,
        steps: &mut Steps,
    ) -> Result<Option<Points>, Rejection> {
        let task = &self.entries[i];
        let undecided = Rejection::Undecided { task: task.id, steps: SET_STEP_LIMIT };
        let mut first = None;
        let mut release = 0;
        loop {
            let q = task.periods_in(release);
            if q > 0 && self.on_the_line(i, q, hp) {
                return Ok(first.filter(|_| q == 1).map(|start| Points { start, end: None }));
            }
            let overtaking = if release > 0 { task.overtaken } else { 0 };
            let base = self.base(i, 1 + q + overtaking).ok_or(undecided)?;
            let Some(latest) = self.latest_start(i, release) else {
                let at_least = task.j + base + task.last;
                return Err(if release == 0 { self.late(i, end, at_least) } else { undecided });
            };

            // The start.
            let start = |x: u64, steps: &mut Steps| {
                steps.take(end).map_err(|_| undecided)?;
                let all: u64 = self.rows[..end].iter().map(|row| row.released_by(x)).sum();
                Ok(base + all - self.rows[i].released_by(x))
            };
            let kept = self.points[i].filter(|_| release == 0).map(|points| points.start);
            let by_latest = match kept {
                Some((x, by_x)) if x == latest => by_x,
                _ => start(latest, steps)?,
            };
            let mut point = (latest, by_latest);
            // A job that starts by then is found to in the search as well: the question to `latest` only saves its steps.
            if by_latest > latest {
                // From the point kept, which may be above the least fixed point; so the least decides against the job.
                // Whatever it starts from, the search is right: `f(x) ≤ x` is a proof, and the filter only saves steps.
                let linear = over(base + hp.jitter, ONE - hp.low).max(base);
                let froms = kept.map(|(_, by_x)| by_x).filter(|x| (linear..=latest).contains(x));
                point = 'found: {
                    let mut passed = linear;
                    for from in froms.into_iter().chain([linear]) {
                        let mut x = from;
                        while x <= latest {
                            let by_x = start(x, steps)?;
                            if by_x <= x {
                                break 'found (x, by_x);
                            }
                            x = by_x;
                        }
                        passed = x;
                    }
                    return Err(self.late(i, end, task.d + (passed.min(2 * MOST + 1) - latest)));
                };
            }
            if task.overtaken == 0 {
                first.get_or_insert(point);
            }

            // The end of the busy period.
            let next = if release == 0 && task.overtaken > 0 { 1 } else { (q + 1) * task.t };
            if next > 2 * MOST {
                return Err(undecided);
            }
            steps.take(end).map_err(|_| undecided)?;
            let released = self.rows[..end].iter().map(|row| row.released_within(next));
            let work = self.waits[i] + released.sum::<u64>();
            if work <= next {
                return Ok(first
                    .filter(|_| release == 0)
                    .map(|start| Points { start, end: Some((next, work)) }));
            }
            release = next;
        }
    }

    /// A job of task `i` that responds in `at_least` or later.
    fn late(&self, i: usize, end: usize, at_least: u64) -> Rejection {
        let task = &self.entries[i];
        let blocker = self.entries[end..].iter().find(|other| other.longest - 1 == self.waits[i]);
        Rejection::Late {
            task: task.id,
            at_least: Nanos(at_least),
            deadline: Nanos(task.d),
            blocked_by: blocker.map(|other| other.id),
            blocking: Nanos(self.waits[i]),
        }
    }
}

fn row(entry: &Entry) -> Row {
    Row { j: entry.j, t: entry.t, inverse: entry.inverse, c: entry.c }
}
