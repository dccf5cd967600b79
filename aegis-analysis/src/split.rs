//! Into how many segments tasks must be split for a set to fit, at least, every segment paying its overheads.
//!
//! Assumptions: those of the analysis of the set's policy. A boundary between segments costs one more dispatch, launch and
//! completion, so that more segments mean a larger `C` and, under fixed priorities, a later start of the last segment: a
//! split helps those that wait for the task and nobody else.
//!
//! First, how long a segment of each task may be ([`tolerance`](super::tolerance)). Then, the fewest segments within it: of
//! equal lengths where a task can be cut anywhere; where only pieces are given (layers of a network, engines), as many
//! of them as fit from the last one back, which has the fewest segments and, of those, the longest last one.
//! Both are cheapest in the sense of [`tolerance::cheapest`](super::tolerance), so that the numbers found are the least
//! for every task at once, not only in sum.
//!
//! With priorities to choose as well, that holds for each order. [`fewest_with_priorities`] searches the orders from the top
//! down: what is above a level decides the segments there, and what is left needs at least what the tolerance so far
//! asks of it (branch and bound; Audsley's order for unlimited splitting proves that some order fits, or that none does).
use super::assignment::{self, NoOrder};
use super::busy_period::Steps;
use super::load::{Load, loads};
use super::sensitivity::draft;
use super::stalls::Stalls;
use super::tolerance::{Intolerant, cheapest, level};
use aegis_core::{Nanos, Overheads, Policy, Priority, Task, TaskId, TaskSet};

/// Most segments of one task: each is a launch that the scheduler has to make.
pub const MOST_SEGMENTS: u64 = 4096;
/// Steps for one order of priorities, or for EDF.
const STEPS: u64 = 1 << 26;
/// Steps for all orders together.
const ORDER_STEPS: u64 = 1 << 27;

/// Where a task can be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cuts {
    /// Nowhere: its segments stay as they are.
    Fixed,
    /// Anywhere, in up to [`MOST_SEGMENTS`] segments of equal length; lengths differ by 1 ns at most, longer ones last.
    Anywhere,
    /// Only between these pieces, in order of execution.
    Between(Vec<Nanos>),
}

/// A way to split a set that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The WCETs of the segments of each task, in the order of the set.
    pub segments: Vec<Vec<Nanos>>,
    /// The priorities for which it holds, one a task.
    pub priorities: Vec<Priority>,
    /// Whether it is known that no way with fewer segments in all fits: in the order of the set's priorities, or in any
    /// order if priorities were to choose.
    pub fewest: bool,
}

impl Split {
    /// How many segments there are in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.segments.iter().map(Vec::len).sum()
    }

    /// `set` with these segments and priorities.
    #[must_use]
    pub fn apply(&self, set: &TaskSet) -> TaskSet {
        let mut drafts: Vec<_> = set.tasks().iter().cloned().map(draft).collect();
        for ((task, segments), priority) in drafts.iter_mut().zip(&self.segments).zip(&self.priorities) {
            task.segments.clone_from(segments);
            task.priority = Some(*priority);
        }
        // Segments with their overheads were checked against 2^62 when they were made.
        TaskSet::new(set.policy(), set.overheads(), drafts).unwrap_or_else(|_| set.clone())
    }
}

/// Why no split was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoSplit {
    /// There must be one entry a task.
    #[error("{given} entries say where {tasks} tasks can be cut; state one for each")]
    Entries {
        /// How many there are.
        given: usize,
        /// How many tasks there are.
        tasks: usize,
    },
    /// The pieces of a task are not its WCET.
    #[error("the pieces of task {} take {pieces} together, and its WCET is {wcet}; no piece may be 0", task.0)]
    Pieces {
        /// The task.
        task: TaskId,
        /// The sum of its pieces.
        pieces: Nanos,
        /// Its WCET.
        wcet: Nanos,
    },
    /// No split fits.
    #[error("no number of segments fits: {0}")]
    Never(#[from] Intolerant),
    /// Some orders of priorities were given up before it was known whether they fit.
    #[error("no order of priorities with a split that fits was found within {steps} steps")]
    Undecided {
        /// The limit on steps.
        steps: u64,
    },
    /// No order of priorities fits, however fine the split: of these tasks, whichever goes last misses its deadline, even
    /// if nothing blocks it.
    #[error("no order of priorities fits, in any number of segments")]
    NoOrder {
        /// The tasks.
        tasks: Vec<TaskId>,
    },
    /// Every order of priorities was tried, each with the fewest segments that those above tolerate.
    #[error("no order of priorities fits, each tried with the segments that it asks for")]
    EveryOrder,
}

/// The fewest segments with which `set` fits, its priorities staying as they are. The policy must not be FIFO, unless the
/// set fits already.
///
/// # Errors
/// [`NoSplit`], with the reason.
pub fn fewest(set: &TaskSet, cuts: &[Cuts]) -> Result<Split, NoSplit> {
    check(set, cuts)?;
    let stalls = Stalls::new(set.overheads());
    let shape = |k: usize, limit: u64| shape(set, cuts, k, limit);
    let shapes = cheapest(
        set.policy(),
        &loads(set),
        &stalls,
        |k, limit| shape(k, limit).map(|s| s.0),
        &mut Steps::new(STEPS),
    )?;
    let priorities = set.tasks().iter().map(|task| task.priority).collect();
    Ok(Split { segments: of_lengths(&shapes, shape), priorities, fewest: true })
}

/// The fewest segments with which `set` fits under fixed priorities of any order.
///
/// # Errors
/// [`NoSplit`], with the reason.
pub fn fewest_with_priorities(set: &TaskSet, cuts: &[Cuts]) -> Result<Split, NoSplit> {
    check(set, cuts)?;
    let set = &set.with_policy(Policy::FixedPriority);
    let stalls = Stalls::new(set.overheads());
    let shape = |k: usize, limit: u64| shape(set, cuts, k, limit);
    let tasks: Vec<Load> = (0..cuts.len())
        .map(|k| {
            let too_long = Intolerant::TooLong { task: TaskId::from(k), limit: Nanos(u64::MAX) };
            shape(k, u64::MAX).map(|(load, _)| load).ok_or(NoSplit::Never(too_long))
        })
        .collect::<Result<_, _>>()?;

    // First, an order that fits if splitting were free and complete; without one, none fits.
    let unblocked: Vec<Priority> = match assignment::optimal_unblocked(&tasks, stalls.clone()) {
        Ok(priorities) => priorities,
        Err(NoOrder::NoneGoesLast { tasks }) => return Err(NoSplit::NoOrder { tasks }),
        Err(NoOrder::Undecided { steps }) => return Err(NoSplit::Undecided { steps }),
    };

    // Then, the orders that have a name, for a start.
    let named = [
        set.tasks().iter().map(|task| task.priority).collect(),
        assignment::deadline_monotonic(set),
        assignment::rate_monotonic(set),
        unblocked,
    ];
    let mut orders: Vec<Vec<Priority>> = named.into();
    orders.extend(assignment::optimal(set));
    let mut best: Option<Split> = None;
    for priorities in orders {
        if let Ok(split) = fewest(&assignment::with_priorities(set, &priorities), cuts)
            && best.as_ref().is_none_or(|best| split.total() < best.total())
        {
            best = Some(Split { fewest: false, ..split });
        }
    }

    // Finally, all orders that could need fewer.
    let mut search = Orders {
        loads: tasks,
        stalls,
        shape: &|k, limit| shape(k, limit),
        above: Vec::new(),
        limit: u64::MAX,
        used: 0,
        most: best.as_ref().map_or(usize::MAX, Split::total),
        best: None,
        steps: Steps::new(ORDER_STEPS),
    };
    search.loads.iter_mut().for_each(|load| load.priority = u32::MAX);
    let all = search.extend();
    if let Some((order, shapes)) = search.best {
        let mut priorities = vec![Priority(0); order.len()];
        for (rank, k) in (0..).zip(order) {
            priorities[k] = Priority(rank);
        }
        best = Some(Split { segments: of_lengths(&shapes, shape), priorities, fewest: false });
    }
    match (best, all) {
        (Some(best), all) => Ok(Split { fewest: all.is_ok(), ..best }),
        (None, Ok(())) => Err(NoSplit::EveryOrder),
        (None, Err(())) => Err(NoSplit::Undecided { steps: ORDER_STEPS }),
    }
}

/// The segments of shapes that were made with their own longest segment as the limit.
fn of_lengths(shapes: &[Load], shape: impl Fn(usize, u64) -> Option<(Load, Vec<Nanos>)>) -> Vec<Vec<Nanos>> {
    let of =
        |(k, load): (usize, &Load)| shape(k, load.longest).map_or_else(Vec::new, |(_, segments)| segments);
    shapes.iter().enumerate().map(of).collect()
}

/// Branch and bound over the orders, from the top down.
struct Orders<'a> {
    /// The tasks; those in the order so far with their shape and rank, the others at the bottom.
    loads: Vec<Load>,
    stalls: Stalls,
    shape: &'a dyn Fn(usize, u64) -> Option<(Load, Vec<Nanos>)>,
    above: Vec<usize>,
    /// The longest segment that those above tolerate, overheads included.
    limit: u64,
    /// Segments of those above.
    used: usize,
    /// Only fewer segments are of interest.
    most: usize,
    best: Option<(Vec<usize>, Vec<Load>)>,
    steps: Steps,
}

impl Orders<'_> {
    /// Tries every task that is left at the next place; an error is the end of the steps.
    fn extend(&mut self) -> Result<(), ()> {
        if self.above.len() == self.loads.len() {
            self.most = self.used;
            self.best = Some((self.above.clone(), self.loads.clone()));
            return Ok(());
        }
        // Each of those left needs at least what is tolerated now asks of it.
        let mut next = Vec::new();
        let mut needed = self.used;
        for k in (0..self.loads.len()).filter(|k| self.loads[*k].priority == u32::MAX) {
            self.steps.take(self.loads.len()).map_err(|_| ())?;
            let Some((load, segments)) = (self.shape)(k, self.limit) else { return Ok(()) };
            needed += segments.len();
            next.push((k, load, segments.len()));
        }
        if needed >= self.most {
            return Ok(());
        }
        // Earlier deadlines first: most often the better place.
        next.sort_by_key(|(k, ..)| (self.loads[*k].d, *k));
        for (k, shaped, segments) in next {
            let rank = u32::try_from(self.above.len()).unwrap_or(u32::MAX);
            let before = core::mem::replace(&mut self.loads[k], Load { priority: rank, ..shaped });
            let limit = self.limit;
            if let Some(tolerated) = level(&self.loads, &self.stalls, k, &mut self.steps).map_err(|_| ())? {
                self.limit = limit.min(tolerated.saturating_add(1));
                self.used += segments;
                self.above.push(k);
                let all = self.extend();
                self.above.pop();
                self.used -= segments;
                self.limit = limit;
                all?;
            }
            self.loads[k] = before;
        }
        Ok(())
    }
}

fn check(set: &TaskSet, cuts: &[Cuts]) -> Result<(), NoSplit> {
    if cuts.len() != set.tasks().len() {
        return Err(NoSplit::Entries { given: cuts.len(), tasks: set.tasks().len() });
    }
    for (k, (cuts, task)) in cuts.iter().zip(set.tasks()).enumerate() {
        let Cuts::Between(pieces) = cuts else { continue };
        let sum = pieces.iter().try_fold(Nanos::ZERO, |sum, piece| sum.checked_add(*piece));
        let sum = sum.unwrap_or(Nanos::MAX);
        if sum != task.wcet() || pieces.contains(&Nanos::ZERO) {
            return Err(NoSplit::Pieces { task: TaskId::from(k), pieces: sum, wcet: task.wcet() });
        }
    }
    Ok(())
}

/// Task `k` in the fewest segments of at most `limit`, overheads included; of equally few, with the longest last one.
fn shape(set: &TaskSet, cuts: &[Cuts], k: usize, limit: u64) -> Option<(Load, Vec<Nanos>)> {
    let task = &set.tasks()[k];
    let overheads = set.overheads();
    let segments = match &cuts[k] {
        Cuts::Fixed => task.segments.clone(),
        Cuts::Anywhere => equal(task.wcet().0, overheads, limit)?,
        Cuts::Between(pieces) => from_the_back(pieces, overheads, limit)?,
    };
    // What does not fit 2^62 ns is no shape.
    let around = overheads.around_segment()?;
    let total =
        segments.iter().try_fold(overheads.copy, |sum, c| sum.checked_add(*c)?.checked_add(around))?;
    if total > Nanos(1 << 62) {
        return None;
    }
    let load = Load::new(TaskId::from(k), &Task { segments: segments.clone(), ..task.clone() }, overheads);
    (load.longest <= limit).then_some((load, segments))
}

/// The fewest segments of equal length, of at most `limit` each with its overheads.
fn equal(wcet: u64, overheads: Overheads, limit: u64) -> Option<Vec<Nanos>> {
    let around = overheads.around_segment()?.0;
    let longest = |n: u64| {
        let first = wcet / n + overheads.copy.0;
        around + first.max(wcet.div_ceil(n))
    };
    let most = MOST_SEGMENTS.min(wcet);
    if longest(most) > limit {
        return None;
    }
    let (mut too_few, mut enough) = (0, most);
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        *(if longest(middle) <= limit { &mut enough } else { &mut too_few }) = middle;
    }
    let length = |k: u64| Nanos(wcet / enough + u64::from(enough - k <= wcet % enough));
    Some((0..enough).map(length).collect())
}

/// Pieces in the fewest segments of at most `limit`, filled from the last one back.
fn from_the_back(pieces: &[Nanos], overheads: Overheads, limit: u64) -> Option<Vec<Nanos>> {
    let room = limit.checked_sub(overheads.around_segment()?.0)?;
    let mut left = pieces;
    let mut segments = Vec::new();
    while !left.is_empty() {
        let mut from = left.len();
        let mut length = 0_u64;
        while let Some(piece) = from.checked_sub(1).map(|before| left[before].0) {
            // The first segment copies inputs and outputs.
            let with = length + piece + if from == 1 { overheads.copy.0 } else { 0 };
            if with > room {
                break;
            }
            length += piece;
            from -= 1;
        }
        if from == left.len() {
            return None;
        }
        segments.push(Nanos(length));
        left = &left[..from];
    }
    segments.reverse();
    (segments.len() as u64 <= MOST_SEGMENTS).then_some(segments)
}
