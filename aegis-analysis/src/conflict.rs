//! The smallest set of tasks that cannot coexist, with the window and the work in it that prove it.
//!
//! Every test here is monotone: without a task the others are never worse off. So a conflict from which no task can be
//! left out has no smaller conflict inside it; leaving tasks out one by one finds such a one (deletion). Another one,
//! elsewhere in the set, may still have fewer tasks. It is found by duality (Ignatiev, Previti, Liffiton, Marques-Silva:
//! "Smallest MUS Extraction with Minimal Hitting Set Dualization", CP 2015): every conflict has a task outside of each
//! set that fits. So
//!
//! 1. the smallest set `H` with a task outside of each fitting set known so far has no more tasks than any conflict;
//! 2. if `H` is a conflict, it is a smallest one; if it has as many tasks as a conflict that is known, that one is;
//! 3. else `H` fits: it is enlarged until nothing can be added, and is one more fitting set.
//!
//! Tasks that differ in nothing but their names, such as copies of one model, are counted instead of told apart: a set is
//! then so many tasks of each kind.
//!
//! Priorities stay as they are in the whole set, also where they were derived from deadlines.
use super::busy_period::{NoBound, Steps};
use super::demand::{self, DemandWitness};
use super::fits::drains;
use super::load::{Load, loads};
use super::stalls::Stalls;
use super::{fifo, fixed_priority, utilisation};
use aegis_core::{Bound, Nanos, Policy, TaskId, TaskSet, TermKind};
use core::cmp::Ordering;
use core::fmt::Write;

/// Steps for the tests of one conflict: about a second.
const STEP_LIMIT: u64 = 4 * super::STEP_LIMIT;

/// Tasks that cannot coexist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Which; all others may be left out. In the order of the set.
    pub tasks: Vec<TaskId>,
    /// No conflict in the whole set has fewer tasks than this. If that is as many as there are here, this is a smallest
    /// one; else the search took its limit of steps, and all that is known is that no task here can be left out.
    pub at_least: usize,
    /// What happens if these tasks, alone, share the partition.
    pub why: Clash,
}

/// Why a set of tasks cannot coexist.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clash {
    /// They ask for more than all of the time.
    Overload {
        /// ΣC/T in parts per million, rounded up.
        utilisation_ppm: u64,
    },
    /// Under EDF: more work has its deadline in a window than fits into it.
    Demand {
        /// From the start of a busy period to a deadline.
        window: Nanos,
        /// What each task has to run by then.
        demand: Vec<(TaskId, Nanos)>,
        /// What is left at the start of the window of a segment that started one tick before; and whose it is.
        blocking: Option<(TaskId, Nanos)>,
        /// The stalls that begin before all of that is done.
        stalled: Nanos,
    },
    /// A job ends after its deadline, because all this work comes first.
    Response {
        /// Its task.
        task: TaskId,
        /// Its deadline.
        deadline: Nanos,
        /// Its bound, whose terms are the work in its busy window.
        bound: Bound,
    },
    /// They ask for exactly all of the time, so that a delay of this task never drains.
    NeverDrains {
        /// The task without a bound; absent where it is any of them.
        task: Option<TaskId>,
    },
}

impl Conflict {
    /// Whether no conflict in the whole set has fewer tasks.
    #[must_use]
    pub fn is_smallest(&self) -> bool {
        self.at_least == self.tasks.len()
    }

    /// Who cannot coexist and why, with the names of `set`.
    #[must_use]
    pub fn sentence(&self, set: &TaskSet) -> String {
        let name = |task: &TaskId| {
            set.get(*task).map_or_else(|| format!("task {}", task.0), |task| task.name.clone())
        };
        let names: Vec<String> = self.tasks.iter().map(name).collect();
        let mut text = match names.as_slice() {
            [one] => format!("{one} does not fit even alone"),
            [first @ .., last] => {
                let how = if self.is_smallest() {
                    "no fewer tasks conflict"
                } else {
                    "none of them can be left out"
                };
                format!("{} and {last} cannot coexist, and {how}", first.join(", "))
            }
            [] => String::new(),
        };
        // Writing to a string does not fail.
        let _ = match &self.why {
            Clash::Overload { utilisation_ppm: ppm } => {
                write!(text, ": they ask for {}.{:04} % of the time", ppm / 10_000, ppm % 10_000)
            }
            Clash::Demand { window, demand, blocking, stalled } => {
                let mut parts: Vec<String> =
                    demand.iter().map(|(task, work)| format!("{work} of {}", name(task))).collect();
                parts.extend(
                    blocking
                        .iter()
                        .map(|(task, wait)| format!("{wait} of {}, which had started", name(task))),
                );
                if *stalled > Nanos::ZERO {
                    parts.push(format!("{stalled} of stalls"));
                }
                write!(text, ": {window} have to hold {}", parts.join(" and "))
            }
            Clash::Response { task, deadline, bound } => {
                let mut parts = Vec::new();
                for term in &bound.terms {
                    let work = Nanos(term.ns.unsigned_abs());
                    match (term.kind, term.by) {
                        (TermKind::Blocking, Some(by)) => {
                            parts.push(format!("{work} of {}, which had started", name(&by)));
                        }
                        (TermKind::Interference, Some(by)) => parts.push(format!("{work} of {}", name(&by))),
                        (TermKind::EarlierJobs, _) => parts.push(format!("{work} of its own earlier jobs")),
                        (TermKind::Recovery | TermKind::ClockChange | TermKind::Reload, _) => {
                            parts.push(format!("{work} of stalls ({})", term.kind.name()));
                        }
                        _ => {}
                    }
                }
                let after =
                    if parts.is_empty() { String::new() } else { format!(", after {}", parts.join(" and ")) };
                write!(text, ": {} responds in {}{after}; its deadline is {deadline}", name(task), bound.wcrt)
            }
            Clash::NeverDrains { task } => {
                let whose = task
                    .as_ref()
                    .map_or_else(|| "a delay".to_owned(), |task| format!("a delay of {}", name(task)));
                write!(text, ": they ask for all of the time, so that {whose} never drains")
            }
        };
        text
    }
}

/// The smallest set of tasks of `set` that is not admitted; `None` if the whole set is.
///
/// # Errors
/// [`NoBound::Undecided`] if the whole set, or a part that has to be looked at, is not decided within the limit of steps.
pub fn smallest_conflict(set: &TaskSet) -> Result<Option<Conflict>, NoBound> {
    let (loads, stalls) = (loads(set), Stalls::new(set.overheads()));
    let mut steps = Steps::new(STEP_LIMIT);
    let mut clash = |tasks: &[usize]| {
        let part: Vec<Load> = tasks.iter().map(|&i| loads[i].clone()).collect();
        clash(set.policy(), &part, &stalls, &mut steps)
    };

    // First, a conflict from which no task can be left out.
    let all: Vec<usize> = (0..loads.len()).collect();
    let Some(mut why) = clash(&all)? else { return Ok(None) };
    let mut tasks = all;
    let mut kept = 0;
    while kept < tasks.len() && tasks.len() > 1 {
        let mut without = tasks.clone();
        without.remove(kept);
        match clash(&without)? {
            Some(still) => (tasks, why) = (without, still),
            None => kept += 1,
        }
    }

    // Then, one with fewer tasks, or the proof that there is none. Steps that run out leave what is known.
    let mut at_least = 1;
    if let Ok(Some((fewer, clash))) =
        smallest(&kinds(set.policy(), &loads), tasks.len(), &mut at_least, &mut clash)
    {
        (tasks, why) = (fewer, clash);
    }
    Ok(Some(Conflict { tasks: tasks.into_iter().map(TaskId::from).collect(), at_least, why }))
}

/// The tasks, those together that differ in nothing that the policy and the analyses look at.
fn kinds(policy: Policy, loads: &[Load]) -> Vec<Vec<usize>> {
    let alike = |a: &Load, b: &Load| {
        let times = |load: &Load| (load.c, load.longest, load.last, load.d, load.j);
        let priority = policy != Policy::FixedPriority || a.priority == b.priority;
        priority && times(a) == times(b) && a.arrival == b.arrival
    };
    let mut kinds: Vec<Vec<usize>> = Vec::new();
    for (i, load) in loads.iter().enumerate() {
        match kinds.iter_mut().find(|kind| alike(&loads[kind[0]], load)) {
            Some(kind) => kind.push(i),
            None => kinds.push(vec![i]),
        }
    }
    kinds
}

/// A conflict with fewer than `limit` tasks; `at_least` rises to what is proved on the way.
fn smallest(
    kinds: &[Vec<usize>],
    limit: usize,
    at_least: &mut usize,
    clash: &mut impl FnMut(&[usize]) -> Result<Option<Clash>, NoBound>,
) -> Result<Option<(Vec<usize>, Clash)>, NoBound> {
    let members = |counts: &[usize]| {
        let mut tasks: Vec<usize> =
            kinds.iter().zip(counts).flat_map(|(kind, n)| kind[..*n].iter().copied()).collect();
        tasks.sort_unstable();
        tasks
    };
    let mut nodes = Steps::new(super::STEP_LIMIT);
    let mut known: Vec<Vec<usize>> = Vec::new();
    while *at_least < limit {
        let mut fitting = vec![0; kinds.len()];
        if !outside(&known, kinds, &mut fitting, *at_least, &mut nodes)? {
            *at_least += 1;
            continue;
        }
        if let Some(why) = clash(&members(&fitting))? {
            return Ok(Some((members(&fitting), why)));
        }
        for (k, kind) in kinds.iter().enumerate() {
            while fitting[k] < kind.len() {
                fitting[k] += 1;
                if clash(&members(&fitting))?.is_some() {
                    fitting[k] -= 1;
                    break;
                }
            }
        }
        known.push(fitting);
    }
    Ok(None)
}

/// Adds at most `more` tasks to `counts` so that it is within none of the `known` sets; whether that can be.
fn outside(
    known: &[Vec<usize>],
    kinds: &[Vec<usize>],
    counts: &mut Vec<usize>,
    more: usize,
    nodes: &mut Steps,
) -> Result<bool, NoBound> {
    nodes.take(known.len() + 1)?;
    let within = known.iter().find(|set| counts.iter().zip(*set).all(|(n, most)| n <= most));
    let Some(within) = within else { return Ok(true) };
    for (k, kind) in kinds.iter().enumerate() {
        let (before, after) = (counts[k], within[k] + 1);
        if after <= kind.len() && after - before <= more {
            counts[k] = after;
            if outside(known, kinds, counts, more - (after - before), nodes)? {
                return Ok(true);
            }
            counts[k] = before;
        }
    }
    Ok(false)
}

/// Why admission rejects these tasks alone; `None` if it does not.
fn clash(
    policy: Policy,
    loads: &[Load],
    stalls: &Stalls,
    steps: &mut Steps,
) -> Result<Option<Clash>, NoBound> {
    if utilisation::against(loads.iter(), stalls) == Ordering::Greater {
        let utilisation_ppm = utilisation::in_ppm(loads.iter(), stalls);
        return Ok(Some(Clash::Overload { utilisation_ppm }));
    }
    if policy == Policy::Edf {
        if !drains(loads, stalls) {
            return Ok(Some(Clash::NeverDrains { task: None }));
        }
        return match demand::test(loads, stalls, steps) {
            Ok(()) => Ok(None),
            Err(DemandWitness::Overload { utilisation_ppm }) => Ok(Some(Clash::Overload { utilisation_ppm })),
            Err(DemandWitness::TooMuchDemand { window, blocking, blocked_by, stalled, .. }) => {
                let of_task =
                    |load: &Load| (load.id, Nanos(load.due_by(window.0.into()).saturating_mul(load.c)));
                let demand = loads.iter().map(of_task).filter(|(_, work)| *work > Nanos::ZERO).collect();
                Ok(Some(Clash::Demand {
                    window,
                    demand,
                    blocking: blocked_by.map(|task| (task, blocking)),
                    stalled,
                }))
            }
            Err(DemandWitness::NoFiniteBusyPeriod) => Ok(Some(Clash::NeverDrains { task: None })),
            Err(DemandWitness::Undecided { steps }) => Err(NoBound::Undecided { steps }),
        };
    }
    let searched = if policy == Policy::Fifo { Some(fifo::searched(loads, stalls, steps)) } else { None };
    for (i, load) in loads.iter().enumerate() {
        let bound = match searched {
            None => fixed_priority::bound(loads, stalls, i, steps),
            Some(length) => length.and_then(|length| fifo::bound(loads, stalls, i, length, steps)),
        };
        match bound {
            Ok(bound) if bound.wcrt.0 <= load.d => {}
            Ok(bound) => {
                return Ok(Some(Clash::Response { task: load.id, deadline: Nanos(load.d), bound }));
            }
            Err(NoBound::NoFiniteBusyPeriod) => return Ok(Some(Clash::NeverDrains { task: Some(load.id) })),
            Err(undecided) => return Err(undecided),
        }
    }
    Ok(None)
}
