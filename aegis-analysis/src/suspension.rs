//! Tasks with host parts between their segments, on one partition: two safe bounds, of which the smaller counts.
//!
//! Chen et al.: "Many suspensions, many problems: a review of self-suspending tasks in real-time systems", Real-Time
//! Systems 55, 2019, reviews what holds. Not used here, because refuted: the critical instant of Lakshmanan and
//! Rajkumar (RTAS 2010), jitter of a suspending task taken as the length of its suspension, suspension as blocking under
//! EDF (Devi, ECRTS 2003, theorem 8). A period enforcer is no remedy either (Chen, Brandenburg, LITES 2017).
//!
//! Assumptions 1 and 4 of [`fixed_priority`](super::fixed_priority); and:
//! 2. A job's next segment is ready when the host part before it, which takes `[min, max]`, has ended; the scheduler sees
//!    that at most the release overhead later. Segments with no host part between them are one part of the job.
//! 3. The resource is never idle while a segment is ready. All segments of a job have its priority and its absolute
//!    deadline; first come, first served goes by when a part became ready. Ties are broken in any order, between
//!    parts of one task too; of jobs in the same part the one that arrived first goes first.
//!
//! **Inherited jitter** ([`Rule::Inherited`]): the fixed point of `holistic.rs` over the parts of all jobs.
//!
//! **Oblivious** ([`Rule::Oblivious`], fixed priorities and EDF): host time counts as execution. While a job of at least the
//! urgency of the analysed one is pending, such a job runs, or a host part of one elapses, or all of them are ready
//! and a less urgent segment runs on. The second is inside the host parts. The third started while none of them was
//! ready: either all that were pending were on the host, and one has become ready since, which happens once for
//! each host part and takes at most the longest such segment less a tick; or none was pending, which is the
//! blocking at the start of a busy period. So the bound is that of jobs without host parts that take
//!
//! `C'_j = C_j + Σ max + number of host parts · B`
//!
//! Under fixed priorities later jobs of the task itself are counted as none of these, so that the bound holds only
//! if it is at most the distance to the next arrival; else it is not used. Under EDF they are less urgent.
use super::busy_period::NoBound;
use super::holistic::{After, Stage, StageBound, UNDECIDED, response_times as plain, solve};
use aegis_core::{
    Bound, HostPart, Nanos, Overheads, PartitionId, Policy, System, SystemTask, Task, TaskDraft, TaskId,
    TaskSet,
};

/// Which of the two bounds is the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Each part of the job is a task with the jitter that the part before it leaves.
    Inherited,
    /// Host parts count as execution.
    Oblivious,
}

/// A part of a job without host parts inside, and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartBound {
    /// Its earliest release, from the job's arrival.
    pub offset: Nanos,
    /// How much later than that it is released at most.
    pub jitter: Nanos,
    /// Its response from `offset`; the terms sum to it, its jitter among them, and name tasks of the system.
    pub bound: Bound,
}

/// The worst-case response of a task, from its arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Worst-case response time.
    pub wcrt: Nanos,
    /// Which bound it is.
    pub rule: Rule,
    /// By inherited jitter, in the order of execution; empty when only the oblivious bound exists.
    pub parts: Vec<PartBound>,
}

/// One answer a task of `partition`, in the order of [`System::on`]; chains are not looked at.
#[must_use]
pub fn response_times(system: &System, partition: PartitionId) -> Vec<Result<Response, NoBound>> {
    let Some(Ok(set)) = system.partition_set(partition) else { return Vec::new() };
    let tasks: Vec<(TaskId, &SystemTask)> = system.on(partition).collect();
    let mut stages = Vec::new();
    let of_task: Vec<core::ops::Range<usize>> = tasks
        .iter()
        .zip(set.tasks())
        .map(|(&(id, system_task), task)| {
            let first = stages.len();
            push_job(&mut stages, id, system_task, task, set.overheads().copy, &[]);
            first..stages.len()
        })
        .collect();
    let bounds = solve(system.partitions(), &stages);
    let oblivious = oblivious(&set, &tasks);
    of_task
        .into_iter()
        .zip(oblivious)
        .map(|(stages, oblivious)| smaller(&bounds[stages], oblivious))
        .collect()
}

/// Appends the stages of one job; `after` are those that the first one waits for.
pub(super) fn push_job(
    stages: &mut Vec<Stage>,
    id: TaskId,
    system_task: &SystemTask,
    task: &Task,
    copy: Nanos,
    after: &[After],
) {
    let mut host = HostPart::default();
    let mut since_arrival: i128 = 0;
    for (m, (segment, wcet)) in system_task.segments.iter().zip(&task.segments).enumerate() {
        if m > 0 {
            host = system_task.host.get(m - 1).copied().unwrap_or_default();
        }
        let copy = if m == 0 { copy } else { Nanos::ZERO };
        let wcet = wcet.saturating_add(copy);
        match stages.last_mut() {
            Some(stage) if m > 0 && host.max == Nanos::ZERO => {
                stage.segments.push(wcet);
                stage.best = stage.best.saturating_add(segment.bcet.0);
            }
            last => {
                if let Some(last) = last.filter(|_| m > 0) {
                    since_arrival += i128::from(last.best) + i128::from(host.min.0);
                }
                let before = After { stage: stages.len().wrapping_sub(1), min: host.min.0, max: host.max.0 };
                stages.push(Stage {
                    task: id,
                    partition: system_task.partition,
                    segments: vec![wcet],
                    copy,
                    best: segment.bcet.0,
                    arrival: task.arrival.clone(),
                    deadline: i128::from(task.deadline.0) - since_arrival,
                    jitter: if m == 0 { task.jitter.0 } else { 0 },
                    priority: task.priority,
                    after: if m == 0 { after.to_vec() } else { vec![before] },
                });
            }
        }
    }
}

/// The smaller of the two bounds of a task. Later parts end later, so that the last one's end is the job's.
fn smaller(
    parts: &[Result<StageBound, NoBound>],
    oblivious: Result<Nanos, NoBound>,
) -> Result<Response, NoBound> {
    let inherited = end_to_end(parts);
    match (inherited, oblivious) {
        (Ok((wcrt, parts)), oblivious) => Ok(match oblivious {
            Ok(less) if less < wcrt => Response { wcrt: less, rule: Rule::Oblivious, parts },
            _ => Response { wcrt, rule: Rule::Inherited, parts },
        }),
        (Err(_), Ok(wcrt)) => Ok(Response { wcrt, rule: Rule::Oblivious, parts: Vec::new() }),
        (Err(none), Err(_)) => Err(none),
    }
}

/// The end of the last part, from the arrival of the job that started the first stage, with all parts.
pub(super) fn end_to_end(parts: &[Result<StageBound, NoBound>]) -> Result<(Nanos, Vec<PartBound>), NoBound> {
    let all = parts.iter().cloned().collect::<Result<Vec<StageBound>, NoBound>>()?;
    let end = all.last().and_then(StageBound::end).ok_or(UNDECIDED)?;
    let part = |stage: StageBound| PartBound {
        offset: Nanos(stage.offset),
        jitter: Nanos(stage.jitter),
        bound: stage.bound,
    };
    Ok((Nanos(end), all.into_iter().map(part).collect()))
}

/// A task with its host time folded into its execution, overheads included.
struct Folded {
    segments: Vec<u64>,
    host: u64,
    gaps: u64,
}

impl Folded {
    fn longest(&self) -> u64 {
        self.segments.iter().copied().max().unwrap_or(0)
    }

    /// `C'`, keeping the last segment last and no other longer than the longest, up to a limit on their number.
    fn inflated(&self, wait: u64) -> Option<Vec<Nanos>> {
        const MOST_PIECES: u64 = 64;
        let (last, before) = self.segments.split_last()?;
        let waits = self.gaps.checked_mul(wait)?;
        let sum = before.iter().try_fold(self.host.checked_add(waits)?, |sum, c| sum.checked_add(*c))?;
        let piece = self.longest().max(sum.div_ceil(MOST_PIECES));
        let mut left = sum;
        let mut pieces = Vec::new();
        while left > 0 {
            pieces.push(Nanos(left.min(piece)));
            left -= left.min(piece);
        }
        pieces.push(Nanos(*last));
        Some(pieces)
    }

    fn plain(&self) -> Vec<Nanos> {
        self.segments.iter().copied().map(Nanos).collect()
    }
}

/// The oblivious bound of each task.
fn oblivious(set: &TaskSet, tasks: &[(TaskId, &SystemTask)]) -> Vec<Result<Nanos, NoBound>> {
    let Some(folded) = fold(set, tasks) else { return vec![Err(UNDECIDED); tasks.len()] };
    let all: Vec<usize> = (0..tasks.len()).collect();
    match set.policy() {
        Policy::FixedPriority => {
            let bound = |i: usize| {
                let priority = set.tasks()[i].priority;
                let urgent = |j: usize| set.tasks()[j].priority <= priority;
                let bound = inflated_bounds(set, &folded, urgent).ok_or(UNDECIDED)?.swap_remove(i)?;
                let alone = folded[i].gaps == 0 || bound.wcrt.0 <= set.tasks()[i].arrival.distance(1);
                if alone { Ok(bound.wcrt) } else { Err(UNDECIDED) }
            };
            all.into_iter().map(bound).collect()
        }
        Policy::Edf => match inflated_bounds(set, &folded, |_| true) {
            Some(bounds) => bounds.into_iter().map(|bound| bound.map(|bound| bound.wcrt)).collect(),
            None => vec![Err(UNDECIDED); tasks.len()],
        },
        Policy::Fifo => vec![Err(UNDECIDED); tasks.len()],
    }
}

/// `None` when something does not fit.
fn fold(set: &TaskSet, tasks: &[(TaskId, &SystemTask)]) -> Option<Vec<Folded>> {
    let overheads = set.overheads();
    let around = overheads.around_segment()?.0;
    let fold = |(task, (_, with_host)): (&Task, &(TaskId, &SystemTask))| {
        let copy = |m| if m == 0 { overheads.copy.0 } else { 0 };
        let segment = |(m, c): (usize, &Nanos)| c.0.checked_add(around)?.checked_add(copy(m));
        let gaps: Vec<u64> =
            with_host.host.iter().filter(|part| part.max > Nanos::ZERO).map(|part| part.max.0).collect();
        let host = |sum: u64, gap: &u64| sum.checked_add(*gap)?.checked_add(overheads.release.0);
        Some(Folded {
            segments: task.segments.iter().enumerate().map(segment).collect::<Option<_>>()?,
            host: gaps.iter().try_fold(0, host)?,
            gaps: gaps.len() as u64,
        })
    };
    set.tasks().iter().zip(tasks).map(fold).collect()
}

/// The bounds of the set in which tasks that are `urgent` take `C'`, and the others block as they are.
fn inflated_bounds(
    set: &TaskSet,
    folded: &[Folded],
    urgent: impl Fn(usize) -> bool,
) -> Option<Vec<Result<Bound, NoBound>>> {
    let n = folded.len();
    let suspends = (0..n).any(|j| urgent(j) && folded[j].gaps > 0);
    // Under EDF every task may be the less urgent one, under fixed priorities those that are not urgent.
    let blocks = |j: usize| set.policy() == Policy::Edf || !urgent(j);
    let wait = (0..n).filter(|j| blocks(*j)).map(|j| folded[j].longest() - 1).max().unwrap_or(0);
    let draft = |(j, task): (usize, &Task)| {
        let segments = if urgent(j) && suspends { folded[j].inflated(wait)? } else { folded[j].plain() };
        Some(TaskDraft {
            name: task.name.clone(),
            segments,
            arrival: task.arrival.clone(),
            deadline: Some(task.deadline),
            jitter: task.jitter,
            priority: Some(task.priority),
        })
    };
    let drafts = set.tasks().iter().enumerate().map(draft).collect::<Option<Vec<_>>>()?;
    let zero = Nanos::ZERO;
    let overheads =
        Overheads { dispatch: zero, launch: zero, copy: zero, completion: zero, ..set.overheads() };
    TaskSet::new(set.policy(), overheads, drafts).ok().map(|set| plain(&set))
}
