//! Why a job took as long as it did: what broke an assumption of its bound first, then what was unlike its task's other
//! jobs.
//!
//! A cause says what held the partition; a suspect says why that was so long. `camera#118` may have waited 45 ms behind
//! `lidar#61` because lidar ran 20 ms over its WCET: the cause is *blocking* by lidar, the first suspect is *overrun* of
//! lidar. Assumptions are checked for the job and for every segment that held the partition since the busy period began in
//! which the job arrived: what was late before it arrived delays it all the same. They are
//! - each segment takes no longer than its WCET (else *overrun*, or *contention*, *slow clock* or *copy* as far as these
//!   explain it);
//! - jobs arrive no closer than their law allows (*burst*), and are told to the scheduler within their jitter (*late
//!   release*);
//! - dispatch and completion take no longer than declared, a model is brought back within the declared *recovery*;
//! - the scheduler keeps its policy (*policy*) and the trace is whole (*lost records*).
//!
//! A broken assumption counts with what it exceeds, at most with what the job waited if it is another job's. Breaks of one
//! kind by one task count together. Those below a hundredth of the response come last: nobody declares every microsecond.
//! Where no assumption was broken, the causes themselves are ranked, by how much longer they are than the median over the
//! jobs of the same task.
use super::{Cause, CauseKind, Ending, Explanation};
use crate::jobs::Occupation;
use crate::{Jobs, Segment};
use aegis_core::{JobId, Nanos, TaskId, Why};
use serde::Serialize;
use std::collections::BTreeMap;

/// Jobs of the same task that an explanation is compared with, at most: the nearest by number.
const NEIGHBOURS: usize = 256;

/// One reason why a job took as long as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Suspect {
    /// What happened.
    pub what: Root,
    /// To which job; the one with the most, where it happened to several of one task. Absent where it is nobody's.
    pub by: Option<JobId>,
    /// To which segment of it.
    pub segment: Option<u16>,
    /// How often, if an assumption was broken; else 0.
    pub times: u64,
    /// What that job may take, or usually takes; with a burst, when it may have arrived at the earliest.
    pub expected: Nanos,
    /// What it took; with a burst, when it arrived.
    pub seen: Nanos,
    /// How much of the response this stands for.
    pub ns: Nanos,
    /// Whether an assumption of the bound was broken.
    pub broken: bool,
}

/// What made a job slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[allow(missing_docs, reason = "the module says what each stands for")]
pub enum Root {
    QueueFull,
    LostRecords,
    Policy,
    Overrun,
    Contention,
    SlowClock,
    Copy,
    Burst,
    LateRelease,
    Dispatch,
    Completion,
    Recovery,
    Blocking,
    Interference,
    EarlierJobs,
    Execution,
    Recording,
}

impl Root {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::LostRecords => "lost_records",
            Self::Policy => "policy",
            Self::Overrun => "overrun",
            Self::Contention => "contention",
            Self::SlowClock => "slow_clock",
            Self::Copy => "copy",
            Self::Burst => "burst",
            Self::LateRelease => "late_release",
            Self::Dispatch => "dispatch",
            Self::Completion => "completion",
            Self::Recovery => "recovery",
            Self::Blocking => "blocking",
            Self::Interference => "interference",
            Self::EarlierJobs => "earlier_jobs",
            Self::Execution => "execution",
            Self::Recording => "recording",
        }
    }

    pub(crate) const fn of(kind: CauseKind) -> Self {
        match kind {
            CauseKind::LateRelease => Self::LateRelease,
            CauseKind::Blocked { .. } => Self::Blocking,
            CauseKind::Behind { .. } => Self::Interference,
            CauseKind::BehindOwn => Self::EarlierJobs,
            CauseKind::Dispatch => Self::Dispatch,
            CauseKind::Completion => Self::Completion,
            CauseKind::Copy { .. } => Self::Copy,
            CauseKind::Ran { .. } => Self::Execution,
            CauseKind::RanOver { .. } => Self::Overrun,
            CauseKind::Contended { .. } => Self::Contention,
            CauseKind::SlowClock { .. } => Self::SlowClock,
            CauseKind::Recovery => Self::Recovery,
            CauseKind::Recording { .. } => Self::Recording,
            CauseKind::Unexplained => Self::LostRecords,
        }
    }
}

/// An assumption that was broken once.
struct Break {
    what: Root,
    by: JobId,
    segment: Option<u16>,
    expected: Nanos,
    seen: Nanos,
    ns: Nanos,
}

impl Jobs<'_> {
    /// Why a job took as long as it did, the strongest reason first. Empty for a job like its task's others.
    #[must_use]
    pub fn suspects(&self, explanation: &Explanation) -> Vec<Suspect> {
        let mut suspects = self.broken(explanation);
        let response = u128::from(explanation.response().0);
        // Not worth a hundredth of the response: behind everything that is.
        let material = |suspect: &Suspect| u128::from(suspect.ns.0) * 100 >= response;
        let same = |other: &Suspect, of: &[Suspect]| {
            of.iter().any(|s| s.what == other.what && s.by.map(|j| j.task) == other.by.map(|j| j.task))
        };
        for suspect in self.unusual(explanation) {
            if !same(&suspect, &suspects) {
                suspects.push(suspect);
            }
        }
        let class = |suspect: &Suspect| match suspect.what {
            Root::QueueFull => 0,
            // Its end is not known: whatever else is said is of a part of its time.
            Root::LostRecords if explanation.ending == Ending::Unknown => 0,
            _ if suspect.broken && material(suspect) => 1,
            _ => 2,
        };
        suspects.sort_by_key(|suspect| (class(suspect), std::cmp::Reverse(suspect.ns), suspect.what));
        suspects
    }

    /// Every assumption that was broken where it can have touched this job.
    fn broken(&self, explanation: &Explanation) -> Vec<Suspect> {
        let id = explanation.job;
        let mut breaks: Vec<Break> = Vec::new();
        let waited: Nanos = explanation.causes.iter().filter(|c| c.by.is_some()).map(|c| c.ns).sum();
        let begin = self.busy_since(explanation);
        let first = self.occupations.partition_point(|o| o.chosen.at < begin);
        let mut seen = std::collections::BTreeSet::new();
        for occupation in self.occupations[first..].iter().take_while(|o| o.chosen.at < explanation.until) {
            let own = occupation.job == id;
            let mut of_it = self.of_segment(occupation);
            if seen.insert(occupation.job) {
                of_it.extend(self.of_arrival(occupation.job, own, explanation));
            }
            for mut one in of_it {
                one.ns = if own { one.ns } else { one.ns.min(waited) };
                breaks.push(one);
            }
        }
        // A job that never held the partition arrived nevertheless.
        if seen.insert(id) {
            breaks.extend(self.of_arrival(id, true, explanation));
        }
        let mut suspects: BTreeMap<(Root, TaskId), (Nanos, Suspect)> = BTreeMap::new();
        for one in breaks.into_iter().filter(|one| one.ns > Nanos::ZERO) {
            let Break { what, by, segment, expected, seen, ns } = one;
            let new = Suspect { what, by: Some(by), segment, times: 1, expected, seen, ns, broken: true };
            suspects
                .entry((what, by.task))
                .and_modify(|(most, sum)| {
                    let (times, all) = (sum.times + 1, sum.ns.saturating_add(ns));
                    if ns > *most {
                        (*most, *sum) = (ns, new);
                    }
                    (sum.times, sum.ns) = (times, all);
                })
                .or_insert((ns, new));
        }
        let mut suspects: Vec<Suspect> = suspects.into_values().map(|(_, suspect)| suspect).collect();
        let nobody = |what, expected, seen, ns, by| Suspect {
            what,
            by,
            segment: None,
            times: 1,
            expected,
            seen,
            ns,
            broken: true,
        };
        if let Ending::Refused(Why::QueueFull { capacity }) = explanation.ending {
            let (full, ns) = (Nanos(capacity.into()), explanation.response());
            suspects.push(nobody(Root::QueueFull, full, full, ns, Some(id)));
        }
        let unexplained = explanation.unexplained();
        let lost = !self.unseen.is_empty() || explanation.ending == Ending::Unknown;
        if unexplained > Nanos::ZERO || explanation.ending == Ending::Unknown {
            let what = if lost { Root::LostRecords } else { Root::Policy };
            let ns = if unexplained > Nanos::ZERO { unexplained } else { explanation.response() };
            suspects.push(nobody(what, Nanos::ZERO, unexplained, ns, None));
        }
        suspects
    }

    /// Since when the partition had been busy without a break when this job was released: with jobs that were released
    /// and had not left.
    fn busy_since(&self, explanation: &Explanation) -> Nanos {
        let released = explanation.release.unwrap_or(explanation.arrival);
        let mut begin = released;
        let before = self.occupations.partition_point(|o| o.chosen.at <= released);
        for occupation in self.occupations[..before].iter().rev() {
            // What ended by the first release made nobody wait.
            if occupation.to <= begin {
                break;
            }
            begin = begin.min(occupation.chosen.at);
            // Who held the partition then had been released before; nobody idles in between.
            if let Some(release) = self.get(occupation.job).and_then(|job| job.release) {
                begin = begin.min(release.at);
            }
        }
        begin
    }

    /// What broke an assumption while this segment held the partition.
    fn of_segment(&self, occupation: &Occupation) -> Vec<Break> {
        let mut breaks = Vec::new();
        let by = occupation.job;
        let segment = self.get(by).and_then(|job| {
            job.segments.iter().find(|s| s.from() == Some(occupation.chosen.at) && s.to().is_some())
        });
        let Some(segment) = segment else { return breaks };
        let causes = self.parts(by, segment, occupation.to);
        let sum = |wanted: fn(CauseKind) -> bool| -> Nanos {
            causes.iter().filter(|c| wanted(c.kind)).map(|c| c.ns).sum()
        };
        let overheads = self.trace.header().set.overheads();
        let mut above = |what, expected: Nanos, seen: Nanos| {
            let ns = seen.saturating_sub(expected);
            breaks.push(Break { what, by, segment: Some(segment.index), expected, seen, ns });
        };
        if segment.started.is_some() {
            let dispatch = sum(|kind| matches!(kind, CauseKind::Dispatch));
            above(Root::Dispatch, overheads.dispatch, dispatch);
        }
        if segment.ended.is_some() && segment.finished.is_some() {
            above(Root::Completion, overheads.completion, sum(|kind| kind == CauseKind::Completion));
        }
        above(Root::Recovery, overheads.recovery.length, sum(|kind| kind == CauseKind::Recovery));
        let slow = sum(|kind| matches!(kind, CauseKind::SlowClock { .. }));
        above(Root::SlowClock, overheads.clock_change.length, slow);
        let Some(charged) = self.charged(by, segment) else { return breaks };
        let executed = causes.iter().filter(|c| is_execution(c.kind)).map(|c| c.ns).sum::<Nanos>();
        let over = executed.saturating_sub(charged);
        if over == Nanos::ZERO {
            return breaks;
        }
        let mut left = over.saturating_sub(slow);
        let mut explain = |what, expected, seen, most: Nanos| {
            let ns = most.min(left);
            left = left - ns;
            breaks.push(Break { what, by, segment: Some(segment.index), expected, seen, ns });
        };
        let contended = sum(|kind| matches!(kind, CauseKind::Contended { .. }));
        explain(Root::Contention, Nanos::ZERO, contended, contended);
        let (copied, usual) = (sum(|kind| matches!(kind, CauseKind::Copy { .. })), self.copies_allowed());
        explain(Root::Copy, usual, copied, copied.saturating_sub(usual));
        explain(Root::Overrun, charged, executed, Nanos::MAX);
        breaks
    }

    /// What a segment did while it held the partition.
    fn parts(&self, job: JobId, segment: &Segment, to: Nanos) -> Vec<Cause> {
        let from = segment.from().unwrap_or(to);
        let mut tiling = super::Tiling { at: from, end: to.max(from), causes: Vec::new() };
        self.held(job, segment, to, &mut tiling);
        tiling.causes
    }

    /// What broke an assumption before this job was ready: its arrival, or its release.
    fn of_arrival(&self, id: JobId, own: bool, explanation: &Explanation) -> Vec<Break> {
        let mut breaks = Vec::new();
        let set = &self.trace.header().set;
        let (Some(job), Some(task)) = (self.get(id), set.get(id.task)) else { return breaks };
        let Some(arrival) = job.arrival else { return breaks };
        let held: Nanos = job.segments.iter().filter_map(|s| Some(s.to()?.saturating_sub(s.from()?))).sum();
        if let Some(&earliest) = self.early.get(&id) {
            let waited_own: Nanos =
                explanation.causes.iter().filter(|c| c.kind == CauseKind::BehindOwn).map(|c| c.ns).sum();
            let ns = if own { waited_own.min(earliest.saturating_sub(arrival)) } else { held };
            breaks.push(Break {
                what: Root::Burst,
                by: id,
                segment: None,
                expected: earliest,
                seen: arrival,
                ns,
            });
        }
        if let Some(told) = job.release.or(job.refused.map(|(moment, _)| moment)) {
            let allowed = task.jitter.saturating_add(set.overheads().release);
            let late = told.at.saturating_sub(arrival);
            let above = late.saturating_sub(allowed);
            let ns = if own { above } else { above.min(held) };
            breaks.push(Break {
                what: Root::LateRelease,
                by: id,
                segment: None,
                expected: allowed,
                seen: late,
                ns,
            });
        }
        breaks
    }

    /// Causes that are longer than with other jobs of the same task.
    fn unusual(&self, explanation: &Explanation) -> Vec<Suspect> {
        let id = explanation.job;
        let mut others: Vec<JobId> =
            self.of_task(id.task).map(|job| job.id).filter(|job| *job != id).collect();
        others.sort_by_key(|other| (other.seq.abs_diff(id.seq), other.seq));
        others.truncate(NEIGHBOURS);
        let tables: Vec<BTreeMap<_, _>> = others
            .into_iter()
            .filter_map(|other| self.explain(other).ok())
            .filter(|other| other.finish().is_some())
            .map(|other| by_root(&other))
            .collect();
        let mut suspects = Vec::new();
        for (key @ (what, by), (seen, most)) in by_root(explanation) {
            if matches!(what, Root::LostRecords) {
                continue;
            }
            let mut of_others: Vec<Nanos> =
                tables.iter().map(|table| table.get(&key).map_or(Nanos::ZERO, |(ns, _)| *ns)).collect();
            of_others.sort_unstable();
            let expected = of_others.get(of_others.len() / 2).copied().unwrap_or_default();
            let ns = seen.saturating_sub(expected);
            if ns > Nanos::ZERO {
                let by = by.and(most);
                suspects.push(Suspect {
                    what,
                    by,
                    segment: None,
                    times: 0,
                    expected,
                    seen,
                    ns,
                    broken: false,
                });
            }
        }
        suspects
    }
}

/// Whether a cause is part of what a WCET bounds.
const fn is_execution(kind: CauseKind) -> bool {
    matches!(
        kind,
        CauseKind::Ran { .. }
            | CauseKind::RanOver { .. }
            | CauseKind::Contended { .. }
            | CauseKind::SlowClock { .. }
            | CauseKind::Copy { .. }
            | CauseKind::Recording { during: super::During::Execution }
    )
}

/// The causes of a job summed by what they are and whose, with the job that has the most.
fn by_root(explanation: &Explanation) -> BTreeMap<(Root, Option<TaskId>), (Nanos, Option<JobId>)> {
    let mut sums: BTreeMap<_, (Nanos, Nanos, Option<JobId>)> = BTreeMap::new();
    for cause in &explanation.causes {
        // What is the job's own is under its name.
        let by = cause.by.unwrap_or(explanation.job);
        let (sum, most, whose) = sums.entry((Root::of(cause.kind), Some(by.task))).or_default();
        *sum += cause.ns;
        if cause.ns > *most {
            (*most, *whose) = (cause.ns, Some(by));
        }
    }
    sums.into_iter().map(|(key, (sum, _, whose))| (key, (sum, whose))).collect()
}
