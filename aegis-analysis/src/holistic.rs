//! Stages that start each other, on one partition or several: jitter handed on from stage to stage until nothing changes.
//!
//! Tindell, Clark: "Holistic schedulability analysis for distributed hard real-time systems", Microprocessing and
//! Microprogramming 40, 1994; with the best case taken out of the jitter as in Palencia, Gutiérrez García, González
//! Harbour: "On the schedulability analysis for distributed hard real-time systems", Euromicro RTS 1997.
//!
//! Assumptions:
//! 1. A stage without predecessors arrives by its law and is released up to its jitter later. All such stages of one
//!    connected graph arrive together.
//! 2. Any other stage is released once each of its predecessors has ended and a host part of `[min, max]` after it has
//!    passed; the scheduler sees that at most the release overhead later.
//! 3. Stages of one partition are tasks of their own to its scheduler, also stages of one job; ties are broken in any
//!    order. Under EDF the absolute deadline counts from the arrival of the first stage, whenever this one is released;
//!    under FIFO the order is that in which stages are released.
//!
//! With `o_s = max_p (o_p + best_p + min)`, the earliest release, stage s is a task that arrives `o_s` after the first
//! stage, by the same law, and whose jitter is what its predecessors' responses leave open:
//!
//! `J_s = max_p (o_p + R_p + max) − o_s`
//!
//! Every schedule of the stages is a schedule of these tasks as long as each `R_p` is a bound, and `R` grows with `J`:
//! the least fixed point from below is a bound for all of them (by induction over the first moment at which one of them
//! would exceed it). It is safe, not exact: that stages of one job never overlap is not used.
use super::busy_period::NoBound;
use super::{edf, fifo, fixed_priority};
use aegis_core::{
    ArrivalLaw, Bound, Nanos, Overheads, Partition, PartitionId, Policy, Priority, TaskDraft, TaskId,
    TaskSet, Term, TermKind,
};

/// Rounds until a fixed point that has not been reached counts as undecided.
const ROUNDS: u64 = 1000;
/// The answer where no fixed point was reached, or a time does not fit.
pub(super) const UNDECIDED: NoBound = NoBound::Undecided { steps: ROUNDS };
/// Inherited jitter beyond this many periods counts as undecided: it will not settle.
const MOST_PERIODS: u64 = 1 << 12;

/// A part of a job that runs on one partition without the host: one segment or several in a row.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    /// The task it is part of; its terms name others by theirs.
    pub task: TaskId,
    pub partition: PartitionId,
    /// WCETs, interference and copies included, other overheads not.
    pub segments: Vec<Nanos>,
    /// The copies among them.
    pub copy: Nanos,
    /// The least that it takes.
    pub best: u64,
    /// How often the first stage arrives.
    pub arrival: ArrivalLaw,
    /// From the earliest arrival of this stage; negative when the earlier stages alone pass the deadline.
    pub deadline: i128,
    /// Jitter of a stage without predecessors; the others inherit theirs.
    pub jitter: u64,
    pub priority: Priority,
    pub after: Vec<After>,
}

/// A predecessor and the host part between.
#[derive(Debug, Clone, Copy)]
pub(super) struct After {
    pub stage: usize,
    pub min: u64,
    pub max: u64,
}

/// What is known of a stage.
#[derive(Debug, Clone)]
pub(super) struct StageBound {
    /// `o_s`: the earliest release after the arrival of the first stage.
    pub offset: u64,
    /// `J_s`.
    pub jitter: u64,
    /// `R_s`, from `o_s` after the arrival of the first stage.
    pub bound: Bound,
}

impl StageBound {
    /// When the stage has ended, after the arrival of the first stage.
    pub(super) fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.bound.wcrt.0)
    }
}

/// One answer a stage, predecessors being before their successors in `stages`. A stage without a bound leaves all of
/// the partitions without one on which others wait for it.
pub(super) fn solve(partitions: &[Partition], stages: &[Stage]) -> Vec<Result<StageBound, NoBound>> {
    let Some(offsets) = offsets(stages) else { return vec![Err(UNDECIDED); stages.len()] };
    let mut jitters: Vec<u64> = stages.iter().map(|stage| stage.jitter).collect();
    let mut lost: Vec<Option<NoBound>> = vec![None; partitions.len()];
    for _ in 0..ROUNDS {
        // First, the responses of all stages with the jitters as they are.
        let mut bounds = responses(partitions, stages, &jitters);
        for (bound, stage) in bounds.iter_mut().zip(stages) {
            if let Some(none) = lost[stage.partition.index()] {
                *bound = Err(none);
            }
        }

        // Then, the jitters that these leave open; where they leave nothing certain, the partition is lost.
        let next: Vec<Result<u64, NoBound>> =
            (0..stages.len()).map(|s| inherited(stages, s, &offsets, jitters[s], &bounds)).collect();
        let before = lost.clone();
        for (jitter, stage) in next.iter().zip(stages) {
            if let Err(none) = jitter {
                lost[stage.partition.index()].get_or_insert(*none);
            }
        }
        let next: Vec<u64> = next.iter().zip(&jitters).map(|(next, was)| next.unwrap_or(*was)).collect();

        // Finally, the bounds once no jitter grows.
        if next == jitters && lost == before {
            let all = bounds.into_iter().zip(offsets).zip(jitters);
            return all
                .map(|((bound, offset), jitter)| bound.map(|bound| StageBound { offset, jitter, bound }))
                .collect();
        }
        jitters = next;
    }
    vec![Err(UNDECIDED); stages.len()]
}

/// `o_s` of each stage; `None` when one does not fit.
fn offsets(stages: &[Stage]) -> Option<Vec<u64>> {
    let mut offsets: Vec<u64> = Vec::with_capacity(stages.len());
    for stage in stages {
        let mut earliest = 0;
        for after in &stage.after {
            let released =
                offsets[after.stage].checked_add(stages[after.stage].best)?.checked_add(after.min)?;
            earliest = earliest.max(released);
        }
        offsets.push(earliest);
    }
    Some(offsets)
}

/// `J_s`, never below what it was.
fn inherited(
    stages: &[Stage],
    s: usize,
    offsets: &[u64],
    was: u64,
    bounds: &[Result<Bound, NoBound>],
) -> Result<u64, NoBound> {
    let mut most = was;
    for after in &stages[s].after {
        let response = bounds[after.stage].as_ref().map_err(|none| *none)?.wcrt.0;
        let ended = offsets[after.stage].checked_add(response);
        let released = ended.and_then(|ended| ended.checked_add(after.max)).ok_or(UNDECIDED)?;
        most = most.max(released.saturating_sub(offsets[s]));
    }
    let limit = stages[s].arrival.mean_distance().0.saturating_add(1).saturating_mul(MOST_PERIODS);
    if stages[s].after.is_empty() || most <= limit { Ok(most) } else { Err(UNDECIDED) }
}

/// The responses of all stages as tasks of their own, from their earliest arrivals; terms name tasks of the system.
fn responses(partitions: &[Partition], stages: &[Stage], jitters: &[u64]) -> Vec<Result<Bound, NoBound>> {
    let mut all = vec![Err(UNDECIDED); stages.len()];
    for (p, partition) in partitions.iter().enumerate() {
        let here: Vec<usize> = (0..stages.len()).filter(|s| stages[*s].partition.index() == p).collect();
        // EDF compares deadlines, so that the same addition to all of them changes nothing.
        let earliest = here.iter().map(|s| stages[*s].deadline).min().unwrap_or(1);
        let shift = (1 - earliest).max(0);
        let draft = |&s: &usize| {
            let deadline = u64::try_from(stages[s].deadline + shift).ok()?;
            Some(TaskDraft {
                name: s.to_string(),
                segments: stages[s].segments.clone(),
                arrival: stages[s].arrival.clone(),
                deadline: Some(Nanos(deadline)),
                jitter: Nanos(jitters[s]),
                priority: Some(stages[s].priority),
            })
        };
        let Some(drafts) = here.iter().map(draft).collect::<Option<Vec<_>>>() else { continue };
        let overheads = Overheads { copy: Nanos::ZERO, ..partition.overheads };
        // A set that does not fit 2^62 ns leaves its stages undecided.
        let Ok(set) = TaskSet::new(partition.policy, overheads, drafts) else { continue };
        for (s, bound) in here.iter().zip(response_times(&set)) {
            all[*s] = bound.map(|mut bound| {
                for term in &mut bound.terms {
                    term.by = term.by.map(|by| stages[here[by.index()]].task);
                }
                name_copies(&mut bound.terms, stages[*s].copy);
                bound
            });
        }
    }
    all
}

/// Takes the copies out of a stage's own execution, as a term of their own.
fn name_copies(terms: &mut Vec<Term>, copy: Nanos) {
    let Ok(ns @ 1..) = i64::try_from(copy.0) else { return };
    if let Some(own) = terms.iter().position(|term| term.kind == TermKind::Execution) {
        terms[own].ns -= ns;
        terms.insert(own + 1, Term { kind: TermKind::Copy, by: None, ns });
    }
}

/// The responses under the policy of `set`.
pub(super) fn response_times(set: &TaskSet) -> Vec<Result<Bound, NoBound>> {
    match set.policy() {
        Policy::FixedPriority => fixed_priority::response_times(set),
        Policy::Edf => edf::response_times(set),
        Policy::Fifo => fifo::response_times(set),
    }
}
