//! The verdict alone, in microseconds: the cheapest test that decides, and by which it was decided.
//!
//! [`decide`] answers what [`admit`](crate::admit) answers, without the bounds. Each policy has its file: first a
//! sufficient condition that looks at every task once, then an exact test that starts from what that left open.
//! Before all of them stands ΣC/T: above 1 nothing fits; at 1 with jitter no busy period ends, and no response is
//! certain.
//!
//! A set that cannot be decided within [`SET_STEP_LIMIT`] evaluations of one task is left to the general analyses, as
//! are arrival curves, stalls and times above 2^60 ns.
pub(crate) mod edf;
pub(crate) mod entry;
pub(crate) mod fifo;
pub(crate) mod fixed_priority;

use crate::busy_period::Steps;
use crate::{SET_STEP_LIMIT, utilisation};
use aegis_core::{Decided, Nanos, Overheads, Policy, Rejection, Task, TaskId, TaskSet};
use core::cmp::Ordering;
use entry::{Entry, Sums};

/// The answer without bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuickVerdict {
    /// Every job meets its deadline in every schedule of the model.
    Admitted {
        /// Which test decided.
        by: Decided,
    },
    /// Some job can miss its deadline, or that is not certain.
    Rejected {
        /// Which test decided.
        by: Decided,
        /// The reason found first; there may be others.
        witness: Rejection,
    },
}

impl QuickVerdict {
    /// Whether every job meets its deadline in every schedule of the model.
    #[must_use]
    pub const fn admitted(&self) -> bool {
        matches!(self, Self::Admitted { .. })
    }

    /// Which test decided.
    #[must_use]
    pub const fn decided_by(&self) -> Decided {
        match *self {
            Self::Admitted { by } | Self::Rejected { by, .. } => by,
        }
    }

    /// Why not.
    #[must_use]
    pub const fn witness(&self) -> Option<Rejection> {
        match *self {
            Self::Admitted { .. } => None,
            Self::Rejected { witness, .. } => Some(witness),
        }
    }

    /// What a test of that policy answered.
    pub(crate) fn of(policy: Policy, sums: &Sums, answer: Result<Decided, Rejection>) -> Self {
        let by = match policy {
            Policy::Edf => Decided::Demand,
            Policy::Fifo if sums.jittery == 0 => Decided::ServiceSum,
            Policy::FixedPriority | Policy::Fifo => Decided::ResponseTimes,
        };
        match answer {
            Ok(by) => Self::Admitted { by },
            Err(witness) => Self::Rejected { by, witness },
        }
    }
}

/// Whether every task of `set` meets every deadline under the policy of the set.
///
/// ```
/// use aegis_analysis::quick;
/// use aegis_core::{Decided, Nanos, Overheads, Policy, TaskDraft, TaskSet};
/// let task = |name: &str, wcet, period| TaskDraft {
///     name: name.into(),
///     segments: vec![Nanos::from_millis(wcet)],
///     arrival: Nanos::from_millis(period).into(),
///     ..TaskDraft::default()
/// };
/// let drafts = vec![task("camera", 12, 33), task("lidar", 8, 50)];
/// let set = TaskSet::new(Policy::Edf, Overheads::default(), drafts).unwrap();
/// let verdict = quick::decide(&set);
/// assert!(verdict.admitted() && verdict.decided_by() == Decided::DensityBound);
/// ```
#[must_use]
pub fn decide(set: &TaskSet) -> QuickVerdict {
    sporadic(set).unwrap_or_else(|| general(&crate::rejections(set, &crate::response_times(set))))
}

/// The quick tests; `None` where they do not hold or do not decide.
pub(crate) fn sporadic(set: &TaskSet) -> Option<QuickVerdict> {
    let exact = || utilisation::against_one(set);
    of_entries(set.policy(), entries(set)?, exact, &mut Steps::new(SET_STEP_LIMIT))
}

/// As [`sporadic`], for tasks that are not in a set; `exact` compares their ΣC/T with 1.
pub(crate) fn of_entries(
    policy: Policy,
    entries: Vec<Entry>,
    exact: impl FnOnce() -> Ordering,
    steps: &mut Steps,
) -> Option<QuickVerdict> {
    let sums = Sums::of(&entries);
    let share = sums.fits()?.against_one(exact);
    if let Some(rejected) = over_utilised(&entries, share) {
        return Some(rejected);
    }
    let answer = match too_late(policy, &entries) {
        Some(late) => Err(late),
        None => Line::new(policy, entries, &sums).test_within(Changed::All, &sums, steps),
    };
    let verdict = QuickVerdict::of(policy, &sums, answer);
    (!matches!(verdict.witness(), Some(Rejection::Undecided { .. }))).then_some(verdict)
}

/// The verdict that the bounds of all tasks give.
pub(crate) fn general(rejections: &[Rejection]) -> QuickVerdict {
    match rejections {
        [] => QuickVerdict::Admitted { by: Decided::ResponseTimes },
        &[witness @ Rejection::Overload { .. }, ..] => {
            QuickVerdict::Rejected { by: Decided::Utilisation, witness }
        }
        &[witness, ..] => QuickVerdict::Rejected { by: Decided::ResponseTimes, witness },
    }
}

/// The tasks of a set with stalls are not entries, nor is one whose arrivals or times are beyond the quick tests.
fn entries(set: &TaskSet) -> Option<Vec<Entry>> {
    let overheads = set.overheads();
    let entry = |(i, task): (usize, &Task)| {
        Entry::new(TaskId::from(i), task, &overheads, (u64::from(task.priority.0), 0, 0))
    };
    if stands_still(&overheads) { None } else { set.tasks().iter().enumerate().map(entry).collect() }
}

/// Whether a stall takes any time.
pub(crate) fn stands_still(overheads: &Overheads) -> bool {
    [overheads.recovery, overheads.clock_change, overheads.reload]
        .iter()
        .any(|stall| stall.length > Nanos::ZERO)
}

/// What ΣC/T alone rejects.
pub(crate) fn over_utilised<'a>(
    entries: impl IntoIterator<Item = &'a Entry> + Clone,
    share: Ordering,
) -> Option<QuickVerdict> {
    let witness = match share {
        Ordering::Less => return None,
        Ordering::Equal => {
            entries.clone().into_iter().find(|entry| entry.j > 0)?;
            let last = entries.into_iter().max_by_key(|entry| entry.rank)?;
            Rejection::NoFiniteBusyPeriod { task: last.id }
        }
        Ordering::Greater => Rejection::Overload { utilisation_ppm: entry::parts_per_million(entries) },
    };
    Some(QuickVerdict::Rejected { by: Decided::Utilisation, witness })
}

/// Under EDF, a task whose jobs can be released too late to end by their deadlines on their own.
pub(crate) fn too_late<'a>(
    policy: Policy,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Option<Rejection> {
    if policy == Policy::Edf { entries.into_iter().find_map(edf::too_late) } else { None }
}

/// The tasks of a partition in the order that its policy tests them in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Edf(edf::Line),
    FixedPriority(fixed_priority::Line),
    Fifo(fifo::Line),
}

/// Which part of a line may answer differently since a task was added.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Changed {
    /// Deadlines at this time and later.
    From(u64),
    /// The task at this position and later ones.
    Behind(usize),
    /// All of it.
    All,
}

impl Line {
    /// Under EDF no entry is [`edf::too_late`].
    pub(crate) fn new(policy: Policy, entries: Vec<Entry>, sums: &Sums) -> Self {
        match policy {
            Policy::Edf => Self::Edf(edf::Line::new(entries, sums)),
            Policy::FixedPriority => Self::FixedPriority(fixed_priority::Line::new(entries)),
            Policy::Fifo => Self::Fifo(fifo::Line::new(entries)),
        }
    }

    pub(crate) fn reserve(&mut self, tasks: usize) {
        match self {
            Self::Edf(line) => line.reserve(tasks),
            Self::FixedPriority(line) => line.reserve(tasks),
            Self::Fifo(line) => line.reserve(tasks),
        }
    }

    /// Takes in a task; `sums` contain it.
    pub(crate) fn insert(&mut self, entry: Entry, sums: &Sums) -> Changed {
        match self {
            Self::Edf(line) => Changed::From(line.insert(entry, sums)),
            Self::FixedPriority(line) => Changed::Behind(line.insert(entry)),
            Self::Fifo(line) => {
                line.insert(entry);
                Changed::All
            }
        }
    }

    /// Undoes [`Line::insert`]; `sums` are without it.
    pub(crate) fn remove(&mut self, entry: &Entry, sums: &Sums) {
        match self {
            Self::Edf(line) => line.remove(entry, sums),
            Self::FixedPriority(line) => line.remove(entry),
            Self::Fifo(line) => line.remove(entry),
        }
    }

    /// Whether all deadlines are met; where nothing changed they are known to be. ΣC/T is at most 1, and 1
    /// only without jitter.
    pub(crate) fn test(&mut self, changed: Changed, sums: &Sums) -> Result<Decided, Rejection> {
        self.test_within(changed, sums, &mut Steps::new(SET_STEP_LIMIT))
    }

    fn test_within(
        &mut self,
        changed: Changed,
        sums: &Sums,
        steps: &mut Steps,
    ) -> Result<Decided, Rejection> {
        match (self, changed) {
            (Self::Edf(line), Changed::From(time)) => line.test(sums, time, steps),
            (Self::Edf(line), _) => line.test(sums, 0, steps),
            (Self::FixedPriority(line), Changed::Behind(position)) => line.test(position, steps),
            (Self::FixedPriority(line), _) => line.test(0, steps),
            (Self::Fifo(line), _) => line.test(sums, steps),
        }
    }
}
