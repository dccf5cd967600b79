//! How far one parameter may move: the edge between what admission accepts and what it rejects, found by the exact test.
//!
//! Assumptions: those of the analysis of the set's policy. 1. The exact test is monotone in every parameter here: less work,
//! a longer period, a later deadline or less jitter never turns a set that fits into one that does not (Burns, Baruah:
//! "Sustainability in real-time scheduling analysis", JCSE 2(1), 2008, for the tests used here). 2. Fixed priorities
//! stay as they are, also where they were derived from deadlines.
//!
//! First, each parameter has an end beyond which no set fits, whatever the other tasks are: a job needs `J + C ≤ D`, and a
//! task `C ≤ T`. Then, around the value that the set has now, in growing distances and by halves, until two neighbours
//! are found of which one fits and the other does not. Finally, both have been asked: that the edge is one does not rest
//! on assumption 1, only that there is no second edge further out does.
use super::busy_period::{NoBound, Steps};
use super::fits::fits;
use super::load::{LONGEST, Load, loads};
use super::stalls::Stalls;
use aegis_core::{Nanos, Policy, Task, TaskDraft, TaskId, TaskSet, TaskSetError};

pub use super::room::{Newcomer, Room, room};

/// Steps for one question to the exact test: a millisecond, more for a large set.
fn probe_steps(tasks: usize) -> u64 {
    (1 << 18).max((tasks as u64) << 12)
}

/// Steps for one edge.
pub(super) fn edge_steps(tasks: usize) -> u64 {
    8 * probe_steps(tasks)
}

/// A parameter that may move while everything else stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// `C` of a task, overheads apart, in nanoseconds. Its segments are scaled together, each rounded up.
    Wcet(TaskId),
    /// The longest segment of a task, in nanoseconds: longer ones are cut off there.
    LongestSegment(TaskId),
    /// `T` of a task, in nanoseconds; its deadline stays.
    Period(TaskId),
    /// `T` of a task in nanoseconds, and `D` with it where the two are equal now.
    Rate(TaskId),
    /// `D` of a task, in nanoseconds.
    Deadline(TaskId),
    /// `J` of a task, in nanoseconds; the release overhead comes on top.
    Jitter(TaskId),
    /// `C` of all tasks, in millionths of what it is now, each segment rounded up. Overheads are not scaled.
    AllWcets,
}

/// The last value that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edge {
    /// Of which parameter.
    pub change: Change,
    /// The value, in the unit of the parameter.
    pub fits: u64,
    /// What is known of the next value.
    pub beyond: Beyond,
}

/// What is known of the value after the last one that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Beyond {
    /// It does not fit.
    Rejected,
    /// It is no further change: all values fit.
    Unlimited,
    /// The exact test took its limit of steps there; more may fit.
    Undecided,
}

/// Why there is no edge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoEdge {
    /// No value fits.
    #[error("no value of it fits: something else has to change, too")]
    NothingFits,
    /// The task has an arrival curve and no period.
    #[error("the task has an arrival curve; there is no single period to move")]
    NoPeriod,
    /// There is no such task in the set.
    #[error("task {} is not in the set", .0.0)]
    NoTask(TaskId),
    /// The newcomer is no valid task.
    #[error("{0}")]
    Invalid(#[from] TaskSetError),
    /// The exact test took its limit of steps at the most favourable value that was asked.
    #[error(
        "not decided within {steps} steps; utilisation is close to 1, or periods differ by orders of magnitude"
    )]
    Undecided {
        /// The limit on steps.
        steps: u64,
    },
}

/// `set` with the parameter at `value`.
///
/// # Errors
/// As [`TaskSet::new`]: the value may be 0 where that is not allowed, or not fit.
pub fn apply(set: &TaskSet, change: Change, value: u64) -> Result<TaskSet, TaskSetError> {
    let drafts = set.tasks().iter().enumerate().map(|(i, task)| {
        draft(if change.moves(TaskId::from(i)) { change.of(task, value) } else { task.clone() })
    });
    TaskSet::new(set.policy(), set.overheads(), drafts.collect())
}

/// A draft that says what a task says.
pub(super) fn draft(task: Task) -> TaskDraft {
    TaskDraft {
        name: task.name,
        segments: task.segments,
        arrival: task.arrival,
        deadline: Some(task.deadline),
        jitter: task.jitter,
        priority: Some(task.priority),
    }
}

/// Where `change` stops fitting: for an admitted set how far the parameter may grow worse, for a rejected one how far it
/// has to grow better.
///
/// # Errors
/// [`NoEdge`] where no value fits or none is decided.
pub fn edge(set: &TaskSet, change: Change) -> Result<Edge, NoEdge> {
    Search::new(set).edge(change)
}

/// How far each parameter of an admitted set may move alone; for a rejected set, how far it would have to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Margins {
    /// One entry a task, in the order of the set.
    pub tasks: Vec<TaskMargins>,
    /// All execution times together.
    pub all_wcets: Result<Edge, NoEdge>,
}

/// The edges of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskMargins {
    /// The task.
    pub task: TaskId,
    /// The largest `C`.
    pub wcet: Result<Edge, NoEdge>,
    /// The smallest `T`, the deadline staying.
    pub period: Result<Edge, NoEdge>,
    /// The earliest `D`.
    pub deadline: Result<Edge, NoEdge>,
    /// The largest `J`.
    pub jitter: Result<Edge, NoEdge>,
}

/// All edges of `set`.
#[must_use]
pub fn margins(set: &TaskSet) -> Margins {
    let edge = |change| edge(set, change);
    let tasks = (0..set.tasks().len()).map(TaskId::from).map(|task| TaskMargins {
        task,
        wcet: edge(Change::Wcet(task)),
        period: edge(Change::Period(task)),
        deadline: edge(Change::Deadline(task)),
        jitter: edge(Change::Jitter(task)),
    });
    Margins { tasks: tasks.collect(), all_wcets: edge(Change::AllWcets) }
}

impl Edge {
    /// What the set needs, or how far it may go, with the names of `set`: "a period of 52 ms for `camera`".
    #[must_use]
    pub fn sentence(&self, set: &TaskSet) -> String {
        let at = Nanos(self.fits);
        let task = self.change.task().and_then(|task| set.get(task));
        let name = self.change.task().map_or_else(String::new, |task| name(set, task));
        let order =
            if set.policy() == Policy::FixedPriority { ", with the priorities as they are" } else { "" };
        let mut says = match self.change {
            Change::Wcet(_) if task.is_some_and(|task| task.segments.len() > 1) => {
                format!("a WCET of {at} for {name}, its segments in proportion")
            }
            Change::Wcet(_) => format!("a WCET of {at} for {name}"),
            Change::LongestSegment(_) => format!("no segment of {name} longer than {at}"),
            Change::Period(_) => format!("a period of {at} for {name}, its deadline as it is{order}"),
            Change::Rate(_) if task.is_some_and(|task| task.arrival.period() == Some(task.deadline)) => {
                format!("a period and a deadline of {at} for {name}{order}")
            }
            Change::Rate(_) => format!("a period of {at} for {name}{order}"),
            Change::Deadline(_) => format!("a deadline of {at} for {name}"),
            Change::Jitter(_) => format!("a release jitter of {at} for {name}"),
            Change::AllWcets => {
                format!("all WCETs at {}.{:04} %", self.fits / 10_000, self.fits % 10_000)
            }
        };
        if self.beyond == Beyond::Undecided {
            says.push_str("; what lies beyond is not decided");
        }
        says
    }
}

/// The name of a task, as sentences quote it.
pub(super) fn name(set: &TaskSet, task: TaskId) -> String {
    set.get(task).map_or_else(|| format!("task {}", task.0), |task| format!("`{}`", task.name))
}

impl Change {
    const fn task(self) -> Option<TaskId> {
        match self {
            Self::Wcet(task)
            | Self::LongestSegment(task)
            | Self::Period(task)
            | Self::Rate(task)
            | Self::Deadline(task)
            | Self::Jitter(task) => Some(task),
            Self::AllWcets => None,
        }
    }

    fn moves(self, task: TaskId) -> bool {
        self.task().is_none_or(|moved| moved == task)
    }

    /// `task` with the parameter at `value`; what does not fit 64 bits is cut off there.
    fn of(self, task: &Task, value: u64) -> Task {
        let scaled = |by: u64, of: u64| -> Vec<Nanos> {
            let scale = |c: &Nanos| (u128::from(c.0) * u128::from(by)).div_ceil(u128::from(of));
            task.segments.iter().map(|c| Nanos(u64::try_from(scale(c)).unwrap_or(u64::MAX))).collect()
        };
        let mut task = task.clone();
        match self {
            Self::Wcet(_) => task.segments = scaled(value, task.wcet().0),
            Self::AllWcets => task.segments = scaled(value, MILLION),
            Self::LongestSegment(_) => {
                task.segments.iter_mut().for_each(|c| *c = Nanos(c.0.min(value)));
            }
            Self::Period(_) => task.arrival = Nanos(value).into(),
            Self::Rate(_) => {
                if task.arrival.period() == Some(task.deadline) {
                    task.deadline = Nanos(value);
                }
                task.arrival = Nanos(value).into();
            }
            Self::Deadline(_) => task.deadline = Nanos(value),
            Self::Jitter(_) => task.jitter = Nanos(value),
        }
        task
    }

    /// What the value is now.
    pub(super) fn now(self, set: &TaskSet) -> Option<u64> {
        let Some(task) = self.task() else { return Some(MILLION) };
        let task = set.get(task)?;
        Some(match self {
            Self::Wcet(_) | Self::AllWcets => task.wcet().0,
            Self::LongestSegment(_) => task.segments.iter().max()?.0,
            Self::Period(_) | Self::Rate(_) => task.arrival.period()?.0,
            Self::Deadline(_) => task.deadline.0,
            Self::Jitter(_) => task.jitter.0,
        })
    }
}

const MILLION: u64 = 1_000_000;

/// The values of a parameter in the order from the most favourable to the one beyond which none fits.
#[derive(Debug, Clone, Copy)]
struct Range {
    best: u64,
    worst: u64,
    /// What is known of the value after the worst.
    after: Beyond,
}

impl Range {
    const fn span(self) -> u64 {
        self.best.abs_diff(self.worst)
    }

    const fn value(self, at: u64) -> u64 {
        if self.best < self.worst { self.best + at } else { self.best - at }
    }

    /// The position of `value`, or of the nearest value in the range.
    fn at(self, value: u64) -> u64 {
        let (least, most) = (self.best.min(self.worst), self.best.max(self.worst));
        value.clamp(least, most).abs_diff(self.best)
    }
}

/// What a search has left, and the set with the value in it that is asked about.
struct Search<'a> {
    set: &'a TaskSet,
    loads: Vec<Load>,
    stalls: Stalls,
    left: u64,
}

impl<'a> Search<'a> {
    fn new(set: &'a TaskSet) -> Self {
        Self {
            set,
            loads: loads(set),
            stalls: Stalls::new(set.overheads()),
            left: edge_steps(set.tasks().len()),
        }
    }

    /// The edge of one parameter.
    fn edge(&mut self, change: Change) -> Result<Edge, NoEdge> {
        if let Some(task) = change.task()
            && self.set.get(task).is_none()
        {
            return Err(NoEdge::NoTask(task));
        }
        let now = change.now(self.set).ok_or(NoEdge::NoPeriod)?;
        let range = self.range(change).ok_or(NoEdge::NothingFits)?;
        let span = range.span();
        let found = last_that_holds(span, range.at(now), |at| self.ask(change, range.value(at)))?;
        let (last, beyond) = found.unwrap_or((span, range.after));
        Ok(Edge { change, fits: range.value(last), beyond })
    }

    /// Beyond the worst value no set fits: `J + C ≤ D` and `C ≤ T`.
    fn range(&self, change: Change) -> Option<Range> {
        let load = |task: TaskId| &self.loads[task.index()];
        let task = |id: TaskId| &self.set.tasks()[id.index()];
        let rejected = |best, worst| Some(Range { best, worst, after: Beyond::Rejected });
        // What a task needs beside the WCET of its segments.
        let overhead = |load: &Load| load.c - load.execution;
        match change {
            Change::Wcet(id) => {
                let load = load(id);
                let most = load.d.checked_sub(load.j)?.checked_sub(overhead(load))?;
                rejected(1, most).filter(|range| range.worst >= 1)
            }
            Change::AllWcets => {
                let most = self.loads.iter().map(|load| {
                    let most = load.d.checked_sub(load.j)?.checked_sub(overhead(load))?;
                    Some(u128::from(most) * u128::from(MILLION) / u128::from(load.execution))
                });
                let most = most.collect::<Option<Vec<u128>>>()?.into_iter().min()?;
                // A set of that little work is not asked about further.
                let after = if most > u128::from(LONGEST) { Beyond::Undecided } else { Beyond::Rejected };
                let worst = u64::try_from(most).unwrap_or(LONGEST).min(LONGEST);
                Some(Range { best: 1, worst, after }).filter(|range| range.worst >= 1)
            }
            Change::LongestSegment(id) => {
                let worst = task(id).segments.iter().max()?.0;
                Some(Range { best: 1, worst, after: Beyond::Unlimited })
            }
            Change::Period(id) => rejected(LONGEST, load(id).c),
            Change::Rate(id) => {
                let least = load(id).c;
                let with_deadline = task(id).arrival.period() == Some(task(id).deadline);
                rejected(LONGEST, if with_deadline { least.checked_add(load(id).j)? } else { least })
                    .filter(|range| range.worst <= LONGEST)
            }
            Change::Deadline(id) => {
                rejected(LONGEST, load(id).c.checked_add(load(id).j)?).filter(|range| range.worst <= LONGEST)
            }
            Change::Jitter(id) => {
                let most = load(id).d.checked_sub(load(id).c)?;
                let release = self.set.overheads().release.0;
                rejected(0, most.checked_sub(release)?)
            }
        }
    }

    /// Whether the set fits with the parameter at `value`.
    fn ask(&mut self, change: Change, value: u64) -> Result<bool, NoBound> {
        let overheads = self.set.overheads();
        let moved = |i: usize| {
            let id = TaskId::from(i);
            Load::new(id, &change.of(&self.set.tasks()[i], value), overheads)
        };
        let range = change.task().map_or(0..self.loads.len(), |task| task.index()..task.index() + 1);
        let changed: Vec<Load> = range.clone().map(moved).collect();
        let before: Vec<Load> = self.loads.splice(range.clone(), changed).collect();
        let mut steps = Steps::new(probe_steps(self.loads.len()).min(self.left));
        let answer = fits(self.set.policy(), &self.loads, &self.stalls, &mut steps);
        self.left -= steps.spent();
        self.loads.splice(range, before);
        answer
    }
}

/// The last of the positions `0..=end` that holds and what is known of the next; `None` if `end` holds. The first positions
/// asked after `end` and 0 are `near` and those around it.
fn last_that_holds(
    end: u64,
    near: u64,
    mut ask: impl FnMut(u64) -> Result<bool, NoBound>,
) -> Result<Option<(u64, Beyond)>, NoEdge> {
    let known = |answer: &Result<bool, NoBound>| match answer {
        Err(NoBound::Undecided { .. }) => Beyond::Undecided,
        _ => Beyond::Rejected,
    };
    let answer = ask(end);
    if answer == Ok(true) {
        return Ok(None);
    }
    let (mut fails, mut beyond) = (end, known(&answer));
    let answer = if fails == 0 { answer } else { ask(0) };
    match answer {
        Ok(true) => {}
        Err(NoBound::Undecided { steps }) => return Err(NoEdge::Undecided { steps }),
        _ => return Err(NoEdge::NothingFits),
    }
    let mut fit = 0;
    // First around `near`, in growing distances as long as the answers are the same; then halves.
    let mut distance = 0_u64;
    let mut first = None;
    let mut walking = true;
    while fails - fit > 1 {
        let at = match first {
            _ if !walking => fit + (fails - fit) / 2,
            None => near,
            Some(true) => near.saturating_add(distance),
            Some(false) => near.saturating_sub(distance),
        };
        let at = at.clamp(fit + 1, fails - 1);
        let answer = ask(at);
        let holds = answer == Ok(true);
        if holds {
            fit = at;
        } else {
            (fails, beyond) = (at, known(&answer));
        }
        walking &= *first.get_or_insert(holds) == holds;
        distance = distance.saturating_mul(16).max(1);
    }
    Ok(Some((fit, beyond)))
}
