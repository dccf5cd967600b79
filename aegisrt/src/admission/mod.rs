//! The answer of admission for a whole system: for each partition and chain a verdict, and everything that hangs on it.
mod bounds;
mod json;
mod offsets;
mod text;

pub(crate) use bounds::milliseconds;
pub(crate) use json::value;
pub(crate) use text::{headline, of_partition, reasons, whole};

use crate::Error;
use crate::assurance::Statement;
use aegis_analysis::conflict::{Conflict, smallest_conflict};
use aegis_analysis::critical::{self, Ties};
use aegis_analysis::jobs::{AtOffsets, Limits, Undecided};
use aegis_analysis::remedy::{Remedy, remedies};
use aegis_analysis::sensitivity::{Margins, margins};
use aegis_analysis::{PartitionVerdict, SystemRejection, SystemVerdict, Theorem, analyse_at_offsets};
use aegis_core::{Bound, Bytes, Nanos, PartitionId, Segment, System, Task, TaskId, TaskSet, Verdict};

/// What the schedules at stated offsets may take: a few seconds, before safe bounds are asked.
const AT_OFFSETS: Limits = Limits { states: 4_000_000, memory: Bytes(1 << 30) };

/// Schedules of more jobs than this are not drawn up to see whether a bound is attained: it is to take milliseconds.
const MOST_IN_A_SCHEDULE: u64 = 1 << 12;
/// Nor are any if those of all tasks together have more.
const MOST_IN_ALL_SCHEDULES: u64 = 1 << 16;

/// The answer for a system.
#[derive(Debug)]
pub(crate) struct Admission {
    /// What was asked.
    pub system: System,
    /// What was found.
    pub verdict: SystemVerdict,
    /// One answer for each partition that has tasks, in their order.
    pub partitions: Vec<PartitionAnswer>,
    /// What measured WCETs leave of the proof; nothing for tasks without models.
    pub statement: Option<Statement>,
}

/// The answer for the tasks of one partition.
#[derive(Debug)]
pub(crate) struct PartitionAnswer {
    /// Which partition.
    pub partition: PartitionId,
    /// Which theorem decided.
    pub theorem: Theorem,
    /// Its tasks as the theorem takes them: WCETs multiplied by the interference factor.
    pub set: TaskSet,
    /// The answer of the plain theorem of its policy, where that decided.
    pub plain: Option<Plain>,
    /// What the stated offsets show, where arrivals at any time may make a job late and some task states one.
    pub offsets: Option<Result<AtOffsets, Undecided>>,
    /// The rejection for arrivals at any time, where the offsets decided otherwise.
    pub at_any_time: Option<Verdict>,
    /// How far each time may move, where that was asked for.
    pub margins: Option<Margins>,
}

/// What there is to say where the plain theorem of a policy decided.
#[derive(Debug)]
pub(crate) struct Plain {
    /// Whether the tasks fit, and why.
    pub verdict: Verdict,
    /// The smallest set of tasks that cannot coexist, where they do not fit.
    pub conflict: Option<Conflict>,
    /// What would fit, where they do not.
    pub remedies: Vec<Remedy>,
    /// For each task how much sooner than its bound a job ends in the latest schedule that is known; 0 where the bound is
    /// attained, nothing where no such schedule can be listed.
    pub gaps: Vec<Option<Nanos>>,
}

impl Plain {
    pub fn of(set: &TaskSet, verdict: Verdict) -> Self {
        let remedies = remedies(set, &verdict);
        let conflict = if verdict.admitted() { None } else { smallest_conflict(set).ok().flatten() };
        let gaps = gaps(set, &verdict);
        Self { verdict, conflict, remedies, gaps }
    }
}

/// For each task what is missing to its bound in the latest schedule that is known.
fn gaps(set: &TaskSet, verdict: &Verdict) -> Vec<Option<Nanos>> {
    let jobs = |bound: &Bound| {
        let each = set
            .tasks()
            .iter()
            .map(|task| task.arrival.arrivals_within(bound.wcrt.saturating_add(task.jitter).0));
        each.fold(0, u64::saturating_add)
    };
    let drawn: Vec<u64> = verdict.tasks.iter().filter_map(|answer| answer.bound.as_ref()).map(jobs).collect();
    let too_many = drawn.iter().any(|jobs| *jobs > MOST_IN_A_SCHEDULE)
        || drawn.iter().copied().fold(0, u64::saturating_add) > MOST_IN_ALL_SCHEDULES;
    if too_many {
        return vec![None; verdict.tasks.len()];
    }
    let gap = |(i, bound): (usize, &Option<Bound>)| {
        let pattern = critical::of_bound(set, TaskId::from(i), bound.as_ref()?, Ties::InOrderOfRelease);
        Some(pattern.ok()?.gap())
    };
    verdict.tasks.iter().map(|answer| &answer.bound).enumerate().map(gap).collect()
}

impl Admission {
    /// Analyses `system`; `statement` is passed on. With `with_margins`, how far each time may move is sought too.
    ///
    /// # Errors
    /// [`Error::Defect`] if a checked system holds a task set that is none.
    pub fn of(system: System, statement: Option<Statement>, with_margins: bool) -> Result<Self, Error> {
        let mut verdict = analyse_at_offsets(&system, &AT_OFFSETS);
        let mut partitions = Vec::new();
        for PartitionVerdict { partition, theorem, verdict: plain, offsets } in &mut verdict.partitions {
            let high = matches!(theorem, Theorem::Reservation | Theorem::Offsets);
            let taken = if high { reserving(&system)? } else { system.clone() };
            let set = taken
                .partition_set(*partition)
                .ok_or_else(|| Error::Defect("an answer for a partition without tasks".to_owned()))?
                .map_err(|error| Error::Defect(error.to_string()))?;
            let (plain, at_any_time) = match plain.take() {
                Some(verdict) if *theorem == Theorem::Offsets => (None, Some(verdict)),
                plain => (plain.map(|verdict| Plain::of(&set, verdict)), None),
            };
            let margins = (with_margins && plain.is_some()).then(|| margins(&set));
            partitions.push(PartitionAnswer {
                partition: *partition,
                theorem: *theorem,
                set,
                plain,
                offsets: offsets.take(),
                at_any_time,
                margins,
            });
        }
        Ok(Self { system, verdict, partitions, statement })
    }

    /// The answer for the partition of that name, or for the first.
    pub fn partition(&self, name: Option<&str>) -> Option<&PartitionAnswer> {
        let named = |answer: &&PartitionAnswer| {
            name.is_none_or(|name| self.system.partitions()[answer.partition.index()].name == name)
        };
        self.partitions.iter().find(named)
    }

    /// Reasons that no partition's own answer tells: chains, and partitions that no plain theorem decided.
    fn only_in_system(&self) -> impl Iterator<Item = &SystemRejection> {
        let is_plain = |partition| {
            self.partitions.iter().any(|answer| answer.partition == partition && answer.plain.is_some())
        };
        let told = move |rejection: &SystemRejection| match rejection {
            SystemRejection::Overload { partition, .. } => is_plain(*partition),
            SystemRejection::NoBound { task, .. } | SystemRejection::DeadlineMissed { task, .. } => {
                is_plain(self.system.tasks()[task.index()].partition)
            }
            _ => false,
        };
        self.verdict.rejections.iter().filter(move |rejection| !told(rejection))
    }
}

/// `system` with every segment taking its high WCET.
///
/// # Errors
/// [`Error::Defect`] if that is not a system, although the analysis took it.
pub(crate) fn reserving(system: &System) -> Result<System, Error> {
    let mut tasks = system.tasks().to_vec();
    for segment in tasks.iter_mut().flat_map(|task| task.segments.iter_mut()) {
        *segment = Segment { wcet: segment.wcet_hi.unwrap_or(segment.wcet), wcet_hi: None, ..*segment };
    }
    System::new(system.partitions().to_vec(), tasks, system.chains().to_vec())
        .map_err(|error| Error::Defect(error.to_string()))
}

/// The share of time that a task asks for, overheads included, in parts per million, rounded up.
fn load_ppm(set: &TaskSet, task: &Task) -> u64 {
    let overheads = set.overheads();
    let around = overheads.around_segment().unwrap_or_default();
    let segments = task.segments.len() as u128;
    let work = u128::from(task.wcet().0) + u128::from(around.0) * segments + u128::from(overheads.copy.0);
    let (jobs, window) = task.arrival.rate();
    // Work is below 2^63, so that its product with a million fits; with the jobs of a curve it may not.
    let per_window = work.saturating_mul(u128::from(jobs));
    let ppm = per_window.saturating_mul(1_000_000).div_ceil(u128::from(window.0.max(1)));
    u64::try_from(ppm).unwrap_or(u64::MAX)
}
