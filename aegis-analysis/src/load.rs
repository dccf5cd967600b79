//! A task as the analyses see it: whole nanoseconds, the platform's overheads folded in where they belong.
use super::utilisation::Share;
use aegis_core::{ArrivalLaw, Overheads, Task, TaskId, TaskSet, TermKind};

/// Windows, responses and sums stay at or below this; what needs more is undecided, never wrapped.
pub(super) const LONGEST: u64 = 1 << 62;

/// What the platform adds to a job.
pub(super) const OVERHEADS: [TermKind; 4] =
    [TermKind::Dispatch, TermKind::Launch, TermKind::Copy, TermKind::Completion];

/// One task. Every time is below 2^62, so that two of them add up in 64 bits; sums of segments saturate.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub id: TaskId,
    /// `C`: all segments, each with what the platform adds around it.
    pub c: u64,
    /// What `c` consists of beside the segments themselves, in the order of [`OVERHEADS`]; with `execution` it is `c`.
    pub overheads: [u64; 4],
    /// The segments alone.
    pub execution: u64,
    /// The longest segment with its overhead: the most that others wait for this task once it has started.
    pub longest: u64,
    /// The last segment with its overhead: once it has started no other job delays this one.
    pub last: u64,
    /// `α`: how often its jobs arrive.
    pub arrival: ArrivalLaw,
    /// `D`.
    pub d: u64,
    /// `J`, the release overhead included.
    pub j: u64,
    pub priority: u32,
    /// `C / T`: the long-run share of the time.
    pub share: Share,
}

/// The tasks of a set, in its order.
pub(super) fn loads(set: &TaskSet) -> Vec<Load> {
    let load = |(i, task)| Load::new(TaskId::from(i), task, set.overheads());
    set.tasks().iter().enumerate().map(load).collect()
}

impl Load {
    pub(super) fn new(id: TaskId, task: &Task, overheads: Overheads) -> Self {
        let around = overheads.around_segment().map_or(u64::MAX, |around| around.0);
        let copy = |i| if i == 0 { overheads.copy.0 } else { 0 };
        let with = |(i, segment): (usize, &aegis_core::Nanos)| {
            segment.0.saturating_add(around).saturating_add(copy(i))
        };
        let mut segments = task.segments.iter().enumerate().map(with);
        let c = segments.clone().fold(0, u64::saturating_add);
        let each = |overhead: aegis_core::Nanos| overhead.0.saturating_mul(task.segments.len() as u64);
        let (jobs, window) = task.arrival.rate();
        Self {
            id,
            c,
            overheads: [
                each(overheads.dispatch),
                each(overheads.launch),
                overheads.copy.0,
                each(overheads.completion),
            ],
            execution: task.wcet().0,
            longest: segments.clone().max().unwrap_or(0),
            last: segments.next_back().unwrap_or(0),
            arrival: task.arrival.clone(),
            d: task.deadline.0,
            j: (task.jitter + overheads.release).0,
            priority: task.priority.0,
            share: Share::new(u128::from(c) * u128::from(jobs), window.0),
        }
    }

    /// `α(x + 1)`: the most arrivals in `[t, t + x]`, both included; for a period `1 + ⌊x / T⌋`.
    fn arrivals_by(&self, x: u64) -> u64 {
        match &self.arrival {
            ArrivalLaw::Sporadic(period) => x / period.0 + 1,
            curve @ ArrivalLaw::Curve(_) => curve.arrivals_within(x.saturating_add(1)),
        }
    }

    /// Jobs that can be released in `[0, at]`, both included: `α(at + J + 1)`, for a period `1 + ⌊(at + J) / T⌋`.
    pub(super) fn released_by(&self, at: u64) -> u64 {
        self.arrivals_by(at + self.j)
    }

    /// Jobs that can be released in `[0, length)`: `α(length + J)`, for a period `⌈(length + J) / T⌉`.
    pub(super) fn released_within(&self, length: u64) -> u64 {
        self.arrival.arrivals_within(length + self.j)
    }

    /// The first instant after `at` at which [`released_by`](Self::released_by) is more than it is at `at`.
    pub(super) fn next_release(&self, at: u64) -> u64 {
        self.arrival.distance(self.released_by(at)).saturating_sub(self.j)
    }

    /// Which job of the task, from 0, is the last that can arrive as long after the first as `at` is after 0.
    pub(super) fn job_at(&self, at: u64) -> u64 {
        self.arrivals_by(at) - 1
    }

    /// Jobs that arrived after another of the same task and can be released before it: `α(J) − 1`, for a period
    /// `⌊(J − 1) / T⌋`, which is none unless `J > T`.
    pub(super) fn overtaken(&self) -> u64 {
        self.arrival.arrivals_within(self.j).saturating_sub(1)
    }

    /// Jobs that can be served no later than one released at `at ≥ 0`, itself included, in the order of arrivals and in
    /// that of releases.
    ///
    /// That job is released as late as it can be, so that it arrived at `at − J`. Those before it arrived in
    /// `[−J, at − J]`: `α(at + 1)`. Those that overtake it arrived in `[at − J, at)`, a window of `J` that holds the job
    /// itself, and were released in `[0, at)`: `α(J) − 1`, none at 0. All of them arrived in `[−J, at)`: `α(at + J)`.
    pub(super) fn own_by(&self, at: u64) -> u64 {
        let before = self.arrivals_by(at);
        if at == 0 || self.j == 0 {
            return before;
        }
        let all = self.arrival.arrivals_within(at + self.j);
        before.saturating_add(self.overtaken()).min(all)
    }

    /// The first instant after `at` at which [`own_by`](Self::own_by) may be more than it is at `at`.
    pub(super) fn next_own(&self, at: u64) -> u64 {
        let before = self.arrival.distance(self.arrivals_by(at));
        if self.j == 0 {
            return before;
        }
        if at == 0 && self.own_by(1) > self.own_by(0) {
            return 1;
        }
        // With a period the jobs that overtake are always as many.
        if self.arrival.period().is_some() {
            return before;
        }
        let all = self.arrival.distance(self.arrival.arrivals_within(at + self.j)).saturating_add(1);
        before.min(all.saturating_sub(self.j)).max(at + 1)
    }

    /// Jobs with a deadline at or before `at` that can be released at 0 or later: `α(at + J − D + 1)`, for a period
    /// `1 + ⌊(at + J − D) / T⌋`.
    pub(super) fn due_by(&self, at: i128) -> u64 {
        let since_first = at - self.first_deadline();
        if since_first < 0 {
            return 0;
        }
        u64::try_from(since_first).map_or(u64::MAX, |x| self.arrivals_by(x))
    }

    /// The last instant up to `at` at which [`due_by`](Self::due_by) rises; `None` before the first.
    pub(super) fn last_due(&self, at: i128) -> Option<i128> {
        let since_first = u64::try_from(at - self.first_deadline()).ok()?;
        let rise = match self.arrival.period() {
            Some(period) => since_first - since_first % period.0,
            None => self.arrival.distance(self.arrivals_by(since_first) - 1),
        };
        Some(self.first_deadline() + i128::from(rise))
    }

    /// The earliest deadline of a job that can be released at 0 or later: `D − J`.
    pub(super) fn first_deadline(&self) -> i128 {
        i128::from(self.d) - i128::from(self.j)
    }

    /// Under EDF, a segment of this task that started at −1 delays jobs with deadlines before this one.
    ///
    /// Its job arrived in `[−J, −1]`. If the window holds more of the task's own jobs than can have arrived there with
    /// it, `α(J) − 1`, then counting those jobs costs more than the segment, and all of them together are impossible.
    /// So it delays until the `α(J)`-th deadline of the task, which is the first while no job can be overtaken. Where
    /// that one is not the first segment of its job, the ones before it are taken as instant: safe, and off by no more
    /// than their shortest times.
    pub(super) fn blocks_before(&self) -> i128 {
        self.first_deadline() + i128::from(self.arrival.distance(self.overtaken()))
    }

    /// Under EDF, a segment of this task that started at −1 delays this task's own jobs with deadlines before this one;
    /// `None` where no job of it can be overtaken.
    ///
    /// The delayed job arrived at `d − D`, exactly, and the one that blocks it after that and at −1 at the latest. No two
    /// jobs of the task arrive closer to each other than `δ`, the least distance: `d − D + δ ≤ −1`.
    pub(super) fn blocks_own_before(&self) -> Option<i128> {
        let apart = i128::from(self.arrival.distance(1)).max(1);
        (self.overtaken() > 0).then(|| self.blocks_before().min(i128::from(self.d) - apart))
    }
}
