//! The largest model that can join a set: an edge of [`sensitivity`](super::sensitivity) at every place among the priorities.
use super::sensitivity::{Beyond, Change, NoEdge, draft, edge, edge_steps};
use aegis_core::{ArrivalLaw, Nanos, Policy, Priority, TaskDraft, TaskId, TaskSet};

/// A model that is to join a set, of which everything but the WCET is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// How often its jobs arrive.
    pub arrival: ArrivalLaw,
    /// Its relative deadline, from arrival.
    pub deadline: Nanos,
    /// Its release jitter.
    pub jitter: Nanos,
}

/// The largest newcomer that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The largest WCET, in one segment and overheads apart.
    pub wcet: Nanos,
    /// What is known of one nanosecond more, at any place.
    pub beyond: Beyond,
    /// Under fixed priorities, the place: it goes before the task of this priority number and behind all smaller ones;
    /// `None` is behind all tasks. Of equal places the last.
    pub before: Option<Priority>,
}

/// The largest WCET, in one segment, with which `newcomer` can join `set`; under fixed priorities at the best place, the
/// other tasks staying in their order.
///
/// # Errors
/// [`NoEdge`] where not even 1 ns fits, none is decided, or the newcomer is no valid task.
pub fn room(set: &TaskSet, newcomer: &Newcomer) -> Result<Room, NoEdge> {
    let mut ranks: Vec<Priority> = set.tasks().iter().map(|task| task.priority).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let places: Vec<Option<Priority>> = match set.policy() {
        Policy::FixedPriority => {
            core::iter::once(None).chain(ranks.iter().rev().copied().map(Some)).collect()
        }
        Policy::Edf | Policy::Fifo => vec![None],
    };
    let mut name = "newcomer".to_owned();
    while set.tasks().iter().any(|task| task.name == name) {
        name.push('\'');
    }
    let rank = |priority: Priority| 2 * u32::try_from(ranks.partition_point(|r| *r < priority)).unwrap_or(0);
    let mut best: Option<Room> = None;
    let mut undecided = None;
    for before in places {
        // The old ranks are odd, so that there is a place before and behind each.
        let mut drafts: Vec<TaskDraft> = set.tasks().iter().cloned().map(draft).collect();
        for task in &mut drafts {
            task.priority = task.priority.map(|priority| Priority(rank(priority) + 1));
        }
        let last = 2 * u32::try_from(ranks.len()).unwrap_or(0);
        drafts.push(TaskDraft {
            name: name.clone(),
            segments: vec![Nanos(1)],
            arrival: newcomer.arrival.clone(),
            deadline: Some(newcomer.deadline),
            jitter: newcomer.jitter,
            priority: Some(Priority(before.map_or(last, rank))),
        });
        let with = TaskSet::new(set.policy(), set.overheads(), drafts)?;
        match edge(&with, Change::Wcet(TaskId::from(set.tasks().len()))) {
            Ok(edge) => {
                if edge.beyond == Beyond::Undecided {
                    undecided = Some(edge_steps(with.tasks().len()));
                }
                if best.is_none_or(|best| edge.fits > best.wcet.0) {
                    best = Some(Room { wcet: Nanos(edge.fits), beyond: edge.beyond, before });
                }
            }
            Err(NoEdge::Undecided { steps }) => undecided = Some(steps),
            Err(_) => {}
        }
    }
    match (best, undecided) {
        (Some(best), Some(_)) => Ok(Room { beyond: Beyond::Undecided, ..best }),
        (Some(best), None) => Ok(best),
        (None, Some(steps)) => Err(NoEdge::Undecided { steps }),
        (None, None) => Err(NoEdge::NothingFits),
    }
}
