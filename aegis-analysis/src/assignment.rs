//! Fixed priorities: the named orders, and the optimal one by Audsley's method. A set has an order that fits iff one is found.
//!
//! Audsley: "On priority assignment in fixed priority scheduling", IPL 79(1), 2001. Deadline-monotonic order is not optimal
//! when nothing is preempted, not even for `D ≤ T` (George, Rivierre, Spuri, INRIA RR-2966, 1996).
//!
//! Assumptions: those of [`fixed_priority`]. Audsley's method needs of a test that
//! 1. the response of a task depends on the *set* of tasks above it, not on their order: it does, by their `C`, `T`, `J`;
//! 2. and on the set of tasks below it, not on their order: it does, by their longest segment;
//! 3. it does not grow when the task moves up by one place: the task that it passes no longer interferes, with `C` or
//!    more, and may block instead, with its longest segment less one tick, which is less than `C`.
//!
//! Equal priorities are never better: two tasks of one priority each wait for the other as if it were above.
//!
//! First, any task that meets its deadline below all that have no priority yet gets the lowest free one, and so on up. If at
//! some level there is none, those that are left are the proof that no order fits: in any order, one of them goes last
//! of them. Then, an order found is one in which every task has been shown to meet its deadline.
//!
//! [`robust`] takes at each level the task with the most slack, which maximises the least slack over all tasks: the
//! method with every deadline earlier by that much would find an order, and takes none whose slack is less (Davis,
//! Burns: "Robust priority assignment for fixed priority real-time systems", RTSS 2007).
use super::busy_period::{NoBound, Steps};
use super::fits::entries;
use super::load::{Load, loads};
use super::quick::{entry::Entry, fixed_priority::Line};
use super::sensitivity::{draft, name};
use super::stalls::Stalls;
use super::{fixed_priority, utilisation};
use aegis_core::{Nanos, Priority, Rejection, TaskId, TaskSet};
use core::cmp::{Ordering, Reverse};

/// Steps for one question to the exact test.
const PROBE_STEPS: u64 = 1 << 22;
/// Steps for one assignment.
const STEPS: u64 = 1 << 32;

/// Why there is no order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoOrder {
    /// Whichever of these tasks goes last of them misses its deadline, whatever the order of the others.
    NoneGoesLast {
        /// The tasks, in the order of the set.
        tasks: Vec<TaskId>,
    },
    /// The exact test took its limit of steps for a task, and no other task meets its deadline in its place.
    Undecided {
        /// The limit on steps.
        steps: u64,
    },
}

impl NoOrder {
    /// The reason for a person, with the names of `set`.
    #[must_use]
    pub fn sentence(&self, set: &TaskSet) -> String {
        match self {
            Self::NoneGoesLast { tasks } => {
                let names: Vec<String> = tasks.iter().map(|task| name(set, *task)).collect();
                format!(
                    "no order of priorities fits: whichever of {} goes last misses its deadline",
                    names.join(", ")
                )
            }
            Self::Undecided { steps } => format!("no order of priorities found within {steps} steps a task"),
        }
    }
}

/// An order, and how much every task has to spare in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Robust {
    /// One priority a task, in the order of the set.
    pub priorities: Vec<Priority>,
    /// The least of all `D − R`: no order has more.
    pub slack: Nanos,
}

/// Priorities by period, the shortest first; of equal periods by deadline, then in the order of the set. One a task.
#[must_use]
pub fn rate_monotonic(set: &TaskSet) -> Vec<Priority> {
    by_key(set, |i| (set.tasks()[i].arrival.mean_distance(), set.tasks()[i].deadline))
}

/// Priorities by deadline, the earliest first; of equal deadlines by period, then in the order of the set. One a task.
#[must_use]
pub fn deadline_monotonic(set: &TaskSet) -> Vec<Priority> {
    by_key(set, |i| (set.tasks()[i].deadline, set.tasks()[i].arrival.mean_distance()))
}

fn by_key<K: Ord>(set: &TaskSet, key: impl Fn(usize) -> K) -> Vec<Priority> {
    let mut order: Vec<usize> = (0..set.tasks().len()).collect();
    order.sort_by_key(|&i| key(i));
    let mut priorities = vec![Priority(0); order.len()];
    for (rank, i) in (0..).zip(order) {
        priorities[i] = Priority(rank);
    }
    priorities
}

/// `set` with these priorities, one a task; tasks beyond the end of `priorities` keep theirs.
#[must_use]
pub fn with_priorities(set: &TaskSet, priorities: &[Priority]) -> TaskSet {
    let mut drafts: Vec<_> = set.tasks().iter().cloned().map(draft).collect();
    for (task, priority) in drafts.iter_mut().zip(priorities) {
        task.priority = Some(*priority);
    }
    // Nothing but the priorities has changed since the set was checked.
    TaskSet::new(set.policy(), set.overheads(), drafts).unwrap_or_else(|_| set.clone())
}

/// Priorities under which every task of `set` meets every deadline, one a task; its policy and its priorities are not
/// looked at.
///
/// # Errors
/// [`NoOrder`], with the tasks that prove it.
pub fn optimal(set: &TaskSet) -> Result<Vec<Priority>, NoOrder> {
    audsley(Levels::new(loads(set), Stalls::new(set.overheads())), first_that_meets)
}

/// As [`optimal`], for tasks that block nobody: what every other order with every split needs at least.
pub(super) fn optimal_unblocked(loads: &[Load], stalls: Stalls) -> Result<Vec<Priority>, NoOrder> {
    let loads = loads.iter().map(|load| Load { longest: 1, ..load.clone() });
    audsley(Levels::new(loads.collect(), stalls), first_that_meets)
}

/// Later deadlines first: most often the first that is asked goes last.
fn first_that_meets(levels: &mut Levels, left: &[usize]) -> Result<Option<usize>, NoOrder> {
    let mut undecided = false;
    for (k, &i) in left.iter().enumerate() {
        match levels.meets(i) {
            Ok(true) => return Ok(Some(k)),
            Ok(false) | Err(NoBound::NoFiniteBusyPeriod) => {}
            Err(NoBound::Undecided { .. }) => undecided = true,
        }
    }
    if undecided { Err(levels.undecided()) } else { Ok(None) }
}

/// Priorities that maximise the least slack, with that slack.
///
/// # Errors
/// [`NoOrder`], with the tasks that prove it.
pub fn robust(set: &TaskSet) -> Result<Robust, NoOrder> {
    let mut least = u64::MAX;
    let priorities = audsley(Levels::new(loads(set), Stalls::new(set.overheads())), |levels, left| {
        let mut most: Option<(u64, usize)> = None;
        let mut undecided = false;
        for (k, &i) in left.iter().enumerate() {
            match levels.slack(i) {
                Ok(Some(slack)) if most.is_none_or(|(most, _)| slack > most) => most = Some((slack, k)),
                Ok(_) | Err(NoBound::NoFiniteBusyPeriod) => {}
                Err(NoBound::Undecided { .. }) => undecided = true,
            }
        }
        // A task without an answer might have had the most.
        if undecided {
            return Err(levels.undecided());
        }
        Ok(most.map(|(slack, k)| {
            least = least.min(slack);
            k
        }))
    })?;
    Ok(Robust { priorities, slack: Nanos(least) })
}

/// Audsley's method: `choose` is asked for a task that may go last of those that are left, level by level.
fn audsley(
    mut levels: Levels,
    mut choose: impl FnMut(&mut Levels, &[usize]) -> Result<Option<usize>, NoOrder>,
) -> Result<Vec<Priority>, NoOrder> {
    let mut left: Vec<usize> = (0..levels.loads.len()).collect();
    left.sort_by_key(|&i| Reverse((levels.loads[i].d, i)));
    let mut priorities = vec![Priority(0); left.len()];
    for rank in (0..priorities.len()).rev() {
        let Some(k) = choose(&mut levels, &left)? else {
            left.sort_unstable();
            return Err(NoOrder::NoneGoesLast { tasks: left.into_iter().map(TaskId::from).collect() });
        };
        let i = left.remove(k);
        levels.goes_last(i);
        priorities[i] = Priority(u32::try_from(rank).unwrap_or(u32::MAX));
    }
    Ok(priorities)
}

/// The tasks while priorities are found: those that have none are above all that have one, and equal to each other, so
/// that each of them waits for all the others.
struct Levels {
    loads: Vec<Load>,
    stalls: Stalls,
    /// The same for the quick test, where it holds, in the order of `loads` and in line.
    quick: Option<(Vec<Entry>, Line)>,
    left: u64,
}

impl Levels {
    fn new(mut loads: Vec<Load>, stalls: Stalls) -> Self {
        for load in &mut loads {
            load.priority = 0;
        }
        let below_one = utilisation::against(loads.iter(), &stalls) == Ordering::Less;
        let entries = entries(&loads, &stalls).filter(|_| below_one);
        let quick = entries.map(|entries| (entries.clone(), Line::new(entries)));
        Self { loads, stalls, quick, left: STEPS }
    }

    /// Task `i` gets the lowest free priority.
    fn goes_last(&mut self, i: usize) {
        self.loads[i].priority = 1;
        if let Some((entries, line)) = &mut self.quick {
            line.remove(&entries[i]);
            entries[i].rank = (1, 0, 0);
            line.insert(entries[i]);
        }
    }

    /// Whether task `i` meets its deadline below all that have no priority.
    fn meets(&mut self, i: usize) -> Result<bool, NoBound> {
        if let Some((entries, line)) = &self.quick {
            let mut steps = Steps::new(PROBE_STEPS.min(self.left));
            let answer = line.test_one(&entries[i], &mut steps);
            self.left -= steps.spent();
            match answer {
                Ok(()) => return Ok(true),
                Err(Rejection::Undecided { .. }) => {}
                Err(_) => return Ok(false),
            }
        }
        Ok(self.slack(i)?.is_some())
    }

    /// `D − R` of task `i` below all that have no priority; `None` if that is negative.
    fn slack(&mut self, i: usize) -> Result<Option<u64>, NoBound> {
        let mut steps = Steps::new(PROBE_STEPS.min(self.left));
        let bound = fixed_priority::bound(&self.loads, &self.stalls, i, &mut steps);
        self.left -= steps.spent();
        match bound {
            Ok(bound) => Ok(self.loads[i].d.checked_sub(bound.wcrt.0)),
            Err(NoBound::NoFiniteBusyPeriod) => Ok(None),
            Err(undecided) => Err(undecided),
        }
    }

    fn undecided(&self) -> NoOrder {
        NoOrder::Undecided { steps: if self.left == 0 { STEPS } else { PROBE_STEPS } }
    }
}
