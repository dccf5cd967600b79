//! What would fit: for a rejected set, changes each of which alone makes it admitted, found by the exact test.
//!
//! Asked are, in this order: other policies, other priorities, segments, the edge of one time of one task or of all WCETs
//! together, and offsets of strictly periodic arrivals. Each answer comes from the file that finds it:
//! [`assignment`], [`split`](super::split), [`sensitivity`](super::sensitivity),
//! [`offsets`](super::offsets).
use super::assignment;
use super::busy_period::Steps;
use super::fits::fits;
use super::load::loads;
use super::offsets::proven_offsets;
use super::sensitivity::{Change, Edge, edge, name};
use super::split::{Cuts, Split, fewest, fewest_with_priorities};
use super::stalls::Stalls;
use aegis_core::{Nanos, Policy, Priority, Rejection, TaskId, TaskSet, Verdict};

/// Most tasks that are considered for a change, of either kind.
const MOST_SUSPECTS: usize = 4;
/// A time that would have to grow or shrink by more than this factor is no remedy.
const LONGEST_STRETCH: u64 = 1024;
/// More segments of one task than this are no remedy.
const MOST_SEGMENTS: usize = 64;
/// Most tasks for which priorities and segments are sought together.
const MOST_ORDERED: usize = 12;
/// Steps to see whether another policy fits.
const POLICY_STEPS: u64 = super::STEP_LIMIT;

/// One change that, alone, makes the set admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Schedule the same set by another policy.
    OtherPolicy {
        /// The policy.
        policy: Policy,
    },
    /// Schedule the set by fixed priorities, these.
    Priorities {
        /// One a task, in the order of the set.
        priorities: Vec<Priority>,
    },
    /// Run the tasks in these segments, under these priorities; fewer are not enough for any task if the priorities are
    /// those of the set.
    Split(Split),
    /// Move one time as far as this.
    Edge(Edge),
    /// Let all tasks arrive strictly periodically, with these first arrivals: shown to fit over every schedule.
    Offsets {
        /// One a task, in the order of the set.
        offsets: Vec<Nanos>,
    },
}

impl Remedy {
    /// What to change, with the names of `set`: "`lidar` in 2 segments".
    #[must_use]
    pub fn sentence(&self, set: &TaskSet) -> String {
        match self {
            Self::OtherPolicy { policy } => format!("policy {policy}"),
            Self::Priorities { priorities } => order(set, priorities),
            Self::Split(split) => {
                let tasks = set.tasks().iter().zip(&split.segments).enumerate();
                let changed = tasks.filter(|(_, (task, segments))| task.segments != **segments);
                let mut says = changed
                    .map(|(i, (_, segments))| {
                        format!("{} in {} segments", name(set, TaskId::from(i)), segments.len())
                    })
                    .collect::<Vec<_>>();
                if set
                    .tasks()
                    .iter()
                    .zip(&split.priorities)
                    .any(|(task, priority)| task.priority != *priority)
                {
                    says.push(order(set, &split.priorities));
                }
                says.join(" and ")
            }
            Self::Edge(edge) => edge.sentence(set),
            Self::Offsets { offsets } => {
                let first = |(i, at): (usize, &Nanos)| format!("of {} at {at}", name(set, TaskId::from(i)));
                let first: Vec<String> = offsets.iter().enumerate().map(first).collect();
                format!(
                    "strictly periodic arrivals, the first {} (shown over every schedule)",
                    first.join(", ")
                )
            }
        }
    }

    /// `set` with the change made; offsets are not part of a task set and leave it as it is.
    #[must_use]
    pub fn apply(&self, set: &TaskSet) -> TaskSet {
        match self {
            Self::OtherPolicy { policy } => set.with_policy(*policy),
            Self::Priorities { priorities } => {
                assignment::with_priorities(&set.with_policy(Policy::FixedPriority), priorities)
            }
            Self::Split(split) => split.apply(set),
            Self::Offsets { .. } => set.clone(),
            Self::Edge(edge) => {
                super::sensitivity::apply(set, edge.change, edge.fits).unwrap_or_else(|_| set.clone())
            }
        }
    }
}

/// An order of priorities: "priorities in the order `a`, `b`, `c`".
fn order(set: &TaskSet, priorities: &[Priority]) -> String {
    let mut tasks: Vec<TaskId> = (0..priorities.len()).map(TaskId::from).collect();
    tasks.sort_by_key(|task| priorities[task.index()]);
    let names: Vec<String> = tasks.into_iter().map(|task| name(set, task)).collect();
    let policy = if set.policy() == Policy::FixedPriority { "" } else { "policy np-fp with " };
    format!("{policy}priorities in the order {}", names.join(", "))
}

/// What would make `set` admitted, given that `verdict` rejects it; empty when it does not, or when no single change of
/// these kinds is found within the limits of steps.
///
/// Times are considered of the tasks that block others past their deadlines (without any, of the task with the largest
/// share of time) and of the tasks that miss.
#[must_use]
pub fn remedies(set: &TaskSet, verdict: &Verdict) -> Vec<Remedy> {
    if verdict.admitted() {
        return Vec::new();
    }
    let (mut to_shorten, mut to_slow) = (Vec::new(), Vec::new());
    for rejection in &verdict.rejections {
        match *rejection {
            Rejection::DeadlineMissed { task, blocked_by, .. } | Rejection::Late { task, blocked_by, .. } => {
                to_shorten.extend(blocked_by);
                to_slow.push(task);
            }
            Rejection::TooMuchDemand { blocked_by, .. } => to_shorten.extend(blocked_by),
            Rejection::NoFiniteBusyPeriod { task } => to_slow.push(task),
            _ => {}
        }
    }
    let (loads, stalls) = (loads(set), Stalls::new(set.overheads()));
    let largest = loads.iter().max_by(|a, b| a.share.compare(&b.share).then(b.id.cmp(&a.id)));
    let largest = largest.map(|load| load.id);
    for suspects in [&mut to_shorten, &mut to_slow] {
        if suspects.is_empty() {
            suspects.extend(largest);
        }
        suspects.sort_unstable();
        suspects.dedup();
        suspects.truncate(MOST_SUSPECTS);
    }

    let policies = [Policy::Edf, Policy::FixedPriority, Policy::Fifo].into_iter();
    let policies = policies.filter(|policy| *policy != verdict.policy);
    let policies =
        policies.filter(|policy| fits(*policy, &loads, &stalls, &mut Steps::new(POLICY_STEPS)) == Ok(true));
    let mut found: Vec<Remedy> = policies.map(|policy| Remedy::OtherPolicy { policy }).collect();
    if !found.contains(&Remedy::OtherPolicy { policy: Policy::FixedPriority }) {
        found.extend(assignment::optimal(set).map(|priorities| Remedy::Priorities { priorities }));
    }
    let reordered = found.iter().any(|remedy| matches!(remedy, Remedy::Priorities { .. }));
    found.extend(split(set, !reordered).map(Remedy::Split));
    let edges = to_shorten.iter().flat_map(|&task| {
        let segments = set.tasks()[task.index()].segments.len();
        [Some(Change::Wcet(task)), (segments > 1).then_some(Change::LongestSegment(task))]
    });
    let edges = edges.chain(to_slow.iter().flat_map(|&task| {
        let period = set.tasks()[task.index()].arrival.period();
        [Some(Change::Deadline(task)), period.map(|_| Change::Rate(task))]
    }));
    for change in edges.flatten().chain([Change::AllWcets]) {
        found.extend(edge(set, change).ok().filter(|edge| within_reach(set, *edge)).map(Remedy::Edge));
    }
    found.extend(proven_offsets(set).map(|offsets| Remedy::Offsets { offsets }));
    found
}

/// The fewest segments that fit: of tasks in one segment, else of all; else under other priorities.
fn split(set: &TaskSet, any_order: bool) -> Option<Split> {
    let anywhere = |task: &aegis_core::Task| {
        if task.segments.len() == 1 { Cuts::Anywhere } else { Cuts::Fixed }
    };
    let single: Vec<Cuts> = set.tasks().iter().map(anywhere).collect();
    let all = vec![Cuts::Anywhere; single.len()];
    let few = |split: &Split| split.segments.iter().all(|segments| segments.len() <= MOST_SEGMENTS);
    let as_ordered = |cuts: &[Cuts]| fewest(set, cuts).ok().filter(few);
    as_ordered(&single).or_else(|| as_ordered(&all)).or_else(|| {
        let ordered = any_order && set.policy() == Policy::FixedPriority && single.len() <= MOST_ORDERED;
        ordered.then(|| fewest_with_priorities(set, &single).ok().filter(few)).flatten()
    })
}

/// Whether the value is not out of all proportion to what it is now.
fn within_reach(set: &TaskSet, edge: Edge) -> bool {
    let now = edge.change.now(set).unwrap_or(0);
    edge.fits <= now.saturating_mul(LONGEST_STRETCH) && edge.fits.saturating_mul(LONGEST_STRETCH) >= now
}
