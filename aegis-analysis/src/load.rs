//! A task as the analyses see it: whole nanoseconds, the platform's overheads folded in where they belong.
use super::utilisation::Share;
use aegis_core::{Overheads, Task, TaskId, TaskSet};

/// Windows, responses and sums stay at or below this; what needs more is undecided, never wrapped.
pub(super) const LONGEST: u64 = 1 << 62;

/// One task. Every time is below 2^62, so that two of them add up in 64 bits.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub id: TaskId,
    /// `C`: all segments, each with its dispatch and completion overhead.
    pub c: u64,
    /// The part of `c` that is not overhead.
    pub execution: u64,
    /// The longest segment with its overhead: the most that others wait for this task once it has started.
    pub longest: u64,
    /// The last segment with its overhead: once it has started nothing delays the job.
    pub last: u64,
    /// `T`.
    pub t: u64,
    /// `D`.
    pub d: u64,
    /// `J`, the release overhead included.
    pub j: u64,
    pub priority: u32,
    /// `C / T`.
    pub share: Share,
}

/// The tasks of a set, in its order.
pub(super) fn loads(set: &TaskSet) -> Vec<Load> {
    let load = |(i, task)| Load::new(TaskId::from(i), task, set.overheads());
    set.tasks().iter().enumerate().map(load).collect()
}

impl Load {
    /// Cannot overflow for the tasks of a [`TaskSet`]: it refuses sums above 2^62.
    pub(super) fn new(id: TaskId, task: &Task, overheads: Overheads) -> Self {
        let around = overheads.around_segment().unwrap_or_default().0;
        let copy = |i| if i == 0 { overheads.copy.0 } else { 0 };
        let mut segments = task.segments.iter().enumerate().map(|(i, segment)| segment.0 + around + copy(i));
        let c = segments.clone().sum();
        Self {
            id,
            c,
            execution: task.wcet().0,
            longest: segments.clone().max().unwrap_or(0),
            last: segments.next_back().unwrap_or(0),
            t: task.arrival.mean_distance().0,
            d: task.deadline.0,
            j: (task.jitter + overheads.release).0,
            priority: task.priority.0,
            share: Share::new(c, task.arrival.mean_distance().0),
        }
    }

    /// Jobs that can be released in `[0, at]`, both included: `1 + ⌊(at + J) / T⌋`.
    pub(super) const fn released_by(&self, at: u64) -> u64 {
        (at + self.j) / self.t + 1
    }

    /// Jobs that can be released in `[0, length)`: `⌈(length + J) / T⌉`.
    pub(super) const fn released_within(&self, length: u64) -> u64 {
        (length + self.j).div_ceil(self.t)
    }

    /// Jobs that arrived before another of the same task and can be released after that one has started:
    /// `⌊(J − 1) / T⌋`. Zero unless `J > T`.
    ///
    /// The other arrived at −1 or before; what it overtakes arrived in `[−J, −1 − T]`. If it is not the first segment
    /// that is running, the ones before it are taken as instant: safe, and off by no more than their shortest times.
    pub(super) const fn overtaken(&self) -> u64 {
        self.j.saturating_sub(1) / self.t
    }

    /// Jobs with a deadline at or before `at` that can be released at 0 or later: `1 + ⌊(at + J − D) / T⌋`.
    pub(super) fn due_by(&self, at: i128) -> u64 {
        let since_first = at - self.first_deadline();
        if since_first < 0 {
            return 0;
        }
        u64::try_from(since_first / i128::from(self.t)).map_or(u64::MAX, |n| n.saturating_add(1))
    }

    /// The earliest deadline of a job that can be released at 0 or later: `D − J`.
    pub(super) fn first_deadline(&self) -> i128 {
        i128::from(self.d) - i128::from(self.j)
    }

    /// Under EDF, a segment of this task that started at −1 delays jobs with deadlines before this one.
    ///
    /// Its job arrived at −1 or before, so that its deadline is at most `D − 1`. If the window holds one of the
    /// task's own jobs that this one cannot have overtaken, counting that job instead costs more, and both
    /// together are impossible: hence `D − J + ⌊(J − 1) / T⌋ · T`, which is `D − J` while `J ≤ T`.
    pub(super) fn blocks_before(&self) -> i128 {
        self.first_deadline() + i128::from(self.overtaken()) * i128::from(self.t)
    }
}
