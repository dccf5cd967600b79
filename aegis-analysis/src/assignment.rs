//! Fixed priorities: the named orders, and the optimal one by Audsley's method. A set has an order that fits iff one is found.
//!
//! Audsley: "On priority assignment in fixed priority scheduling", IPL 79(1), 2001. Deadline-monotonic order is not optimal
//! when nothing is preempted, not even for `D ≤ T` (George, Rivierre, Spuri, INRIA RR-2966, 1996).
//!
//! Assumptions: those of [`fixed_priority`](super::fixed_priority). Audsley's method needs of a test that
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
use super::fixed_priority;
use super::load::{Load, loads};
use super::sensitivity::{draft, name};
use aegis_core::{ArrivalLaw, Nanos, Overheads, Priority, TaskId, TaskSet};
use core::cmp::Reverse;

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
    let above = closed_forms_hold(set).then(|| Above::of(&loads(set)));
    audsley(Levels::new(loads(set), above), first_that_meets)
}

/// As [`optimal`], for tasks that block nobody: what every other order with every split needs at least.
pub(super) fn optimal_unblocked(loads: &[Load]) -> Result<Vec<Priority>, NoOrder> {
    let loads = loads.iter().map(|load| Load { longest: 1, ..load.clone() });
    audsley(Levels::new(loads.collect(), None), first_that_meets)
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
    let priorities = audsley(Levels::new(loads(set), None), |levels, left| {
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

/// Whether arrivals are sporadic and nothing stalls, as the closed forms below have it.
fn closed_forms_hold(set: &TaskSet) -> bool {
    let Overheads { recovery, clock_change, reload, .. } = set.overheads();
    let stalls = [recovery, clock_change, reload].iter().any(|stall| stall.length > Nanos::ZERO);
    !stalls && set.tasks().iter().all(|task| matches!(task.arrival, ArrivalLaw::Sporadic(_)))
}

/// The tasks while priorities are found: those that have none are above all that have one, and equal to each other, so
/// that each of them waits for all the others.
struct Levels {
    loads: Vec<Load>,
    /// The longest wait for a task that has a priority.
    wait: u64,
    /// All that have none, where the closed forms may be asked first.
    above: Option<Above>,
    left: u64,
}

impl Levels {
    fn new(mut loads: Vec<Load>, above: Option<Above>) -> Self {
        for load in &mut loads {
            load.priority = 0;
        }
        Self { loads, wait: 0, above, left: STEPS }
    }

    /// Task `i` gets the lowest free priority.
    fn goes_last(&mut self, i: usize) {
        if let Some(above) = &mut self.above {
            above.remove(i);
        }
        self.loads[i].priority = 1;
        self.wait = self.wait.max(self.loads[i].longest - 1);
    }

    /// Whether task `i` meets its deadline below all that have no priority. First in constant time, then exactly.
    fn meets(&mut self, i: usize) -> Result<bool, NoBound> {
        let load = &self.loads[i];
        let deadline = u128::from(load.d);
        if let Some(above) = &self.above {
            if above.least_response(load, self.wait) > deadline {
                return Ok(false);
            }
            if above.most_response(load, i, self.wait).is_some_and(|response| response <= deadline) {
                return Ok(true);
            }
        }
        Ok(self.slack(i)?.is_some())
    }

    /// `D − R` of task `i` below all that have no priority; `None` if that is negative.
    fn slack(&mut self, i: usize) -> Result<Option<u64>, NoBound> {
        let mut steps = Steps::new(PROBE_STEPS.min(self.left));
        let bound = fixed_priority::bound(&self.loads, i, &mut steps);
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

/// Sums over the tasks that have no priority, the asked one included, kept as they get one. For periods only.
struct Above {
    /// What each task adds.
    each: Vec<Sums>,
    all: Sums,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    /// ΣC.
    c: u128,
    /// Σ C·(1 + J/T), each rounded up.
    at_once: u128,
    /// ΣC/T in units of 2^-64, each rounded up.
    share: u128,
}

impl Above {
    fn of(loads: &[Load]) -> Self {
        let sums = |load: &Load| {
            let (c, t) = (u128::from(load.c), u128::from(load.arrival.mean_distance().0));
            Sums { c, at_once: c + (c * u128::from(load.j)).div_ceil(t), share: (c << 64).div_ceil(t) }
        };
        let each: Vec<Sums> = loads.iter().map(sums).collect();
        let all = each.iter().fold(Sums::default(), |all, one| Sums {
            c: all.c + one.c,
            at_once: all.at_once + one.at_once,
            share: all.share + one.share,
        });
        Self { each, all }
    }

    fn remove(&mut self, i: usize) {
        let one = self.each[i];
        self.all.c -= one.c;
        self.all.at_once -= one.at_once;
        self.all.share -= one.share;
    }

    /// Every task above is served once, and a blocking segment before.
    fn least_response(&self, load: &Load, wait: u64) -> u128 {
        u128::from(load.j) + u128::from(wait) + self.all.c
    }

    /// With `1 + ⌊x⌋ ≤ 1 + x` the last segment of job q starts at most at
    /// `(B + (q + o + 1)·C − last + Σ_hp C_j·(1 + J_j/T_j)) / (1 − Σ_hp C_j/T_j)`, where `o` counts jobs that overtake it.
    /// The response counts from `q·T`, so that it is largest for q = 0 while `C/T + Σ_hp C_j/T_j < 1`; `None` where that is not
    /// known.
    fn most_response(&self, load: &Load, i: usize, wait: u64) -> Option<u128> {
        const ONE: u128 = 1 << 64;
        if self.all.share >= ONE {
            return None;
        }
        let own = u128::from(load.overtaken() + 1) * u128::from(load.c) - u128::from(load.last);
        let base = u128::from(wait) + own + self.all.at_once - self.each[i].at_once;
        let base = (base < 1 << 63).then_some(base << 64)?;
        let start = base.div_ceil(ONE - (self.all.share - self.each[i].share));
        Some(u128::from(load.j) + start + u128::from(load.last))
    }
}
