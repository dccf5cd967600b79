//! Whether every job of a set meets its deadline, by the most exact means that its size allows.
use super::limit::{End, Limits};
use super::set::JobSet;
use super::{Completion, Exploration, reach, windows};

/// What the completion times of an [`Answer`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Every schedule was looked at; see [`Answer::exact`].
    Schedules,
    /// All schedules that start the same jobs were taken as one: sound.
    Hull,
    /// Busy windows, without looking at schedules: sound.
    BusyWindows,
    /// There are none.
    None,
}

impl Method {
    /// A stable name for programs: `schedules`, `hull`, `busy_windows`, `none`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Schedules => "schedules",
            Self::Hull => "hull",
            Self::BusyWindows => "busy_windows",
            Self::None => "none",
        }
    }
}

/// Whether the deadlines are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of them, in every schedule.
    Meets,
    /// A schedule exists in which this job ends after its deadline.
    Misses {
        /// Position of the job.
        job: usize,
    },
    /// The bound of this job is above its deadline, but no schedule is known that attains it.
    Undecided {
        /// Position of the job.
        job: usize,
    },
}

/// The answer for a job set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether the deadlines are met.
    pub outcome: Outcome,
    /// Bounds on the end of each job, in the order of the set; empty when there are none.
    pub completions: Vec<Completion>,
    /// Where the bounds come from.
    pub method: Method,
    /// Whether some schedule attains each of the bounds.
    pub exact: bool,
    /// What the exploration of all schedules took, and how it ended.
    pub exploration: Exploration,
}

/// Explores every schedule of `set`. Where the limits end that, the schedules are explored again, all that start the same
/// jobs as one; where that ends too, busy windows remain.
#[must_use]
pub fn admit(set: &JobSet, limits: &Limits) -> Answer {
    let mut exploration = reach(set, limits, false);
    let faithful = set.every_choice_is_a_schedule();
    let found = core::mem::take(&mut exploration.completions);
    if exploration.end == End::Complete {
        let completions: Vec<Completion> = found.into_iter().flatten().collect();
        let outcome = match late(set, &completions) {
            None => Outcome::Meets,
            Some(job) if faithful => Outcome::Misses { job },
            Some(job) => Outcome::Undecided { job },
        };
        return Answer { outcome, completions, method: Method::Schedules, exact: faithful, exploration };
    }

    // What was found is real, however much was not.
    let seen_late = |job: &usize| found[*job].is_some_and(|end| end.worst > set.jobs()[*job].deadline);
    let missed = (0..found.len()).find(seen_late).filter(|_| faithful);
    let (method, completions) = bounds(set, limits);
    let outcome = match (missed, late(set, &completions)) {
        (Some(job), _) => Outcome::Misses { job },
        (None, Some(job)) => Outcome::Undecided { job },
        (None, None) if method == Method::None => Outcome::Undecided { job: 0 },
        (None, None) => Outcome::Meets,
    };
    Answer { outcome, completions, method, exact: false, exploration }
}

/// What remains when not every schedule can be looked at.
fn bounds(set: &JobSet, limits: &Limits) -> (Method, Vec<Completion>) {
    let hull = reach(set, limits, true);
    if hull.end == End::Complete {
        return (Method::Hull, hull.completions.into_iter().flatten().collect());
    }
    match windows::bounds(set) {
        Some(bounds) => (Method::BusyWindows, bounds),
        None => (Method::None, Vec::new()),
    }
}

/// The first job whose bound is above its deadline.
fn late(set: &JobSet, completions: &[Completion]) -> Option<usize> {
    completions.iter().zip(set.jobs()).position(|(end, job)| end.worst > job.deadline)
}
