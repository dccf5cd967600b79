//! Tasks as the analyses and the scheduler see them: WCET per segment, arrival law, deadline, priority, policy.
use crate::{ArrivalLaw, Nanos, TaskId};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The rule by which a partition chooses its next job. Every choice is non-preemptive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Policy {
    /// First released, first served.
    Fifo,
    /// Fixed priorities, the smaller number first.
    FixedPriority,
    /// The earliest absolute deadline (arrival + relative deadline) first.
    Edf,
}

impl Policy {
    /// The name used in files and on the command line: `fifo`, `np-fp`, `np-edf`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::FixedPriority => "np-fp",
            Self::Edf => "np-edf",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A fixed priority: the smaller number is the more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Priority(pub u32);

/// Delays of the platform that every bound contains by name; all zero unless stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Overheads {
    /// The longest delay between an arrival and the moment the scheduler sees it; adds to every task's jitter.
    pub release: Nanos,
    /// The longest delay between the scheduler's decision and the call that starts a segment; adds to every segment.
    pub dispatch: Nanos,
    /// The longest delay between that call and the start on the device; adds to every segment.
    pub launch: Nanos,
    /// The longest time for a job's inputs and outputs to be copied; adds to the first segment of every job.
    pub copy: Nanos,
    /// The longest delay between the end of a segment and the moment the scheduler sees it; adds to every segment.
    pub completion: Nanos,
    /// The partition stands still after a fault until it is usable again.
    pub recovery: Stall,
    /// The device stands still while its clocks or its power mode change.
    pub clock_change: Stall,
    /// The partition stands still while evicted weights are brought back.
    pub reload: Stall,
}

impl Overheads {
    /// What every segment takes beside its execution; `None` when it does not fit.
    #[must_use]
    pub fn around_segment(&self) -> Option<Nanos> {
        self.dispatch.checked_add(self.launch)?.checked_add(self.completion)
    }
}

/// The partition serves nobody for a while, now and then; nothing when `length` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Stall {
    /// How long it stands still, at most.
    pub length: Nanos,
    /// The least time between the beginnings of two of them; not zero where `length` is not.
    pub gap: Nanos,
}

/// A task before it is checked: what a file or a program states.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskDraft {
    /// Unique name.
    pub name: String,
    /// WCET of each non-preemptive segment, in order of execution.
    pub segments: Vec<Nanos>,
    /// How often jobs arrive: period or minimum inter-arrival time `T`, or an arrival curve.
    pub arrival: ArrivalLaw,
    /// Relative deadline `D`, from arrival; when absent the period, or the mean distance of an arrival curve.
    pub deadline: Option<Nanos>,
    /// Release jitter `J`: a job that arrives at `a` is released in `[a, a + J]`.
    pub jitter: Nanos,
    /// Fixed priority; deadline-monotonic when no task states one.
    pub priority: Option<Priority>,
}

/// A checked task. All times are from arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Task {
    /// Unique name.
    pub name: String,
    /// WCET of each non-preemptive segment; at least one, none zero.
    pub segments: Vec<Nanos>,
    /// How often jobs arrive; a period `T` is not zero.
    pub arrival: ArrivalLaw,
    /// Relative deadline `D`, not zero.
    pub deadline: Nanos,
    /// Release jitter `J`.
    pub jitter: Nanos,
    /// Fixed priority; smaller is more urgent. Deadline-monotonic unless stated.
    pub priority: Priority,
}

impl Task {
    /// WCET of the whole job: the sum of its segments. Checked at construction, so that it fits.
    #[must_use]
    pub fn wcet(&self) -> Nanos {
        self.segments.iter().copied().sum()
    }
}

/// Tasks that share one partition under one policy; valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TaskSet {
    policy: Policy,
    overheads: Overheads,
    tasks: Vec<Task>,
}

/// Why a set of tasks is not valid input. `task` is its name; the position is in `index`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskSetError {
    /// There is nothing to analyse.
    #[error("the task set is empty; state at least one task")]
    Empty,
    /// A stall that would never end, or that does not fit.
    #[error(
        "overhead `{stall}` takes {length} and may come again after {gap}; the gap must be at least the length and at most 2^62 ns"
    )]
    Stall {
        /// Which overhead.
        stall: &'static str,
        /// How long it takes.
        length: Nanos,
        /// How soon it may come again.
        gap: Nanos,
    },
    /// More tasks than identifiers.
    #[error("{n} tasks are too many; the most is {}", u16::MAX)]
    TooMany {
        /// How many there are.
        n: usize,
    },
    /// Two tasks have one name.
    #[error("two tasks are named `{task}`; names must be unique")]
    DuplicateName {
        /// The second of the two.
        index: usize,
        /// The name.
        task: String,
    },
    /// A task without a name.
    #[error("task {index} has an empty name")]
    EmptyName {
        /// Its position.
        index: usize,
    },
    /// A time that must be positive is zero.
    #[error("task `{task}`: {field} is 0; it must be at least 1 ns")]
    Zero {
        /// Position of the task.
        index: usize,
        /// Its name.
        task: String,
        /// Which time.
        field: &'static str,
    },
    /// A task without segments.
    #[error("task `{task}` has no segments; state at least one WCET")]
    NoSegments {
        /// Position of the task.
        index: usize,
        /// Its name.
        task: String,
    },
    /// Some tasks state a priority and this one does not.
    #[error("task `{task}` states no priority while others do; state one for every task or for none")]
    MissingPriority {
        /// Position of the task.
        index: usize,
        /// Its name.
        task: String,
    },
    /// The times of a task do not fit 64 bits of nanoseconds together with the overheads.
    #[error("task `{task}`: {field} does not fit; the sum must stay below 2^62 ns (146 years)")]
    Overflow {
        /// Position of the task.
        index: usize,
        /// Its name.
        task: String,
        /// Which sum.
        field: &'static str,
    },
}

/// Times above this are refused at the edge, so that sums of a few of them cannot overflow inside the analyses.
const LONGEST: Nanos = Nanos(1 << 62);

impl TaskSet {
    /// Checks the drafts and assigns priorities: the stated ones, or deadline-monotonic (ties by period, then order)
    /// when no task states one.
    ///
    /// # Errors
    /// The first [`TaskSetError`] in the order of the drafts.
    pub fn new(policy: Policy, overheads: Overheads, drafts: Vec<TaskDraft>) -> Result<Self, TaskSetError> {
        if drafts.is_empty() {
            return Err(TaskSetError::Empty);
        }
        for (stall, value) in [
            ("recovery", overheads.recovery),
            ("clock_change", overheads.clock_change),
            ("reload", overheads.reload),
        ] {
            if value.length > value.gap || value.gap > LONGEST {
                return Err(TaskSetError::Stall { stall, length: value.length, gap: value.gap });
            }
        }
        if drafts.len() > usize::from(u16::MAX) {
            return Err(TaskSetError::TooMany { n: drafts.len() });
        }
        let stated = drafts.iter().any(|d| d.priority.is_some());
        let mut names = BTreeSet::new();
        let mut tasks: Vec<Task> = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.into_iter().enumerate() {
            let task = draft.name;
            if task.is_empty() {
                return Err(TaskSetError::EmptyName { index });
            }
            if !names.insert(task.clone()) {
                return Err(TaskSetError::DuplicateName { index, task });
            }
            if draft.segments.is_empty() {
                return Err(TaskSetError::NoSegments { index, task });
            }
            let distance = draft.arrival.mean_distance();
            let deadline = draft.deadline.unwrap_or(distance);
            for (field, value) in [("period", draft.arrival.rate().1), ("deadline", deadline)]
                .into_iter()
                .chain(draft.segments.iter().map(|c| ("WCET", *c)))
            {
                if value == Nanos::ZERO {
                    return Err(TaskSetError::Zero { index, task, field });
                }
            }
            let per_segment = overheads.around_segment();
            let wcet = draft
                .segments
                .iter()
                .try_fold(overheads.copy, |sum, c| sum.checked_add(*c)?.checked_add(per_segment?));
            let jitter = draft.jitter.checked_add(overheads.release);
            for (field, value) in [
                ("WCET with overheads", wcet),
                ("jitter with the release overhead", jitter),
                ("period", Some(draft.arrival.rate().1)),
                ("deadline", Some(deadline)),
            ] {
                if value.is_none_or(|v| v > LONGEST) {
                    return Err(TaskSetError::Overflow { index, task, field });
                }
            }
            let priority = match draft.priority {
                None if stated => return Err(TaskSetError::MissingPriority { index, task }),
                stated => stated.unwrap_or_default(),
            };
            tasks.push(Task {
                name: task,
                segments: draft.segments,
                arrival: draft.arrival,
                deadline,
                jitter: draft.jitter,
                priority,
            });
        }
        if !stated {
            let mut order: Vec<usize> = (0..tasks.len()).collect();
            order.sort_by_key(|&i| (tasks[i].deadline, tasks[i].arrival.mean_distance(), i));
            for (priority, i) in (0..).zip(order) {
                tasks[i].priority = Priority(priority);
            }
        }
        Ok(Self { policy, overheads, tasks })
    }

    /// The policy under which the tasks share their partition.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// The platform's delays that bounds must contain.
    #[must_use]
    pub const fn overheads(&self) -> Overheads {
        self.overheads
    }

    /// The tasks; [`TaskId`]s are positions in this slice.
    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The task of that identifier, or `None`.
    #[must_use]
    pub fn get(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(id.index())
    }

    /// The same tasks under another policy, for "would it fit with …".
    #[must_use]
    pub fn with_policy(&self, policy: Policy) -> Self {
        Self { policy, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn draft(name: &str, c: u64, t: u64) -> TaskDraft {
        TaskDraft {
            name: name.into(),
            segments: vec![Nanos(c)],
            arrival: Nanos(t).into(),
            deadline: None,
            jitter: Nanos::ZERO,
            priority: None,
        }
    }

    fn check(drafts: Vec<TaskDraft>, says: &str) {
        let error = TaskSet::new(Policy::Edf, Overheads::default(), drafts).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn bad_sets_are_refused_with_the_reason() {
        check(vec![], "empty");
        check(vec![draft("", 1, 2)], "empty name");
        check(vec![draft("a", 1, 2), draft("a", 1, 3)], "two tasks are named `a`");
        check(vec![draft("a", 0, 2)], "`a`: WCET is 0");
        check(vec![draft("a", 1, 0)], "`a`: period is 0");
        check(vec![TaskDraft { deadline: Some(Nanos(0)), ..draft("a", 1, 2) }], "deadline is 0");
        check(vec![TaskDraft { segments: vec![], ..draft("a", 1, 2) }], "no segments");
        check(vec![TaskDraft { segments: vec![Nanos::MAX, Nanos(1)], ..draft("a", 1, 2) }], "does not fit");
        check(vec![TaskDraft { jitter: Nanos(u64::MAX), ..draft("a", 1, 2) }], "jitter");
        check(
            vec![TaskDraft { priority: Some(Priority(1)), ..draft("a", 1, 2) }, draft("b", 1, 2)],
            "`b` states no priority",
        );
    }

    #[test]
    fn deadline_monotonic_with_ties_by_period_then_order() {
        let drafts = vec![
            TaskDraft { deadline: Some(Nanos(9)), ..draft("slow", 1, 20) },
            TaskDraft { deadline: Some(Nanos(9)), ..draft("fast", 1, 10) },
            TaskDraft { deadline: Some(Nanos(9)), ..draft("fast2", 1, 10) },
            draft("urgent", 1, 5),
        ];
        let set = TaskSet::new(Policy::FixedPriority, Overheads::default(), drafts).unwrap();
        let priorities: Vec<u32> = set.tasks().iter().map(|t| t.priority.0).collect();
        assert_eq!(priorities, [3, 1, 2, 0]);
    }
}
