//! Two criticalities under non-preemptive fixed priorities: what the more critical tasks keep when one of them overruns.
//!
//! Baruah, Burns, Davis: "Response-time analysis for mixed criticality systems", RTSS 2011, section IV (AMC-rtb);
//! carried over here to non-preemptive segments and to all jobs of a busy period.
//!
//! Assumptions 1 to 3 of [`fixed_priority`], stalls as there; and:
//! 4. A segment of a high task takes at most its WCET in the low mode. The moment one has taken that and has not ended,
//!    the mode is high, and a segment takes at most its high WCET.
//! 5. From then on no job of a low task starts: what waits is dropped, what has started goes on, by when is not bounded. A low
//!    task's segment
//!    never takes more than its own high WCET, where it states one, in any mode: nothing can stop it.
//! 6. The mode may be low again when the partition is idle, and only then.
//!
//! In the low mode the bounds are those of [`fixed_priority`]. In the high mode, and across the
//! change, let `w°` be the start of the last segment of the job released at `r` as if the mode stayed low. The job has
//! started that segment by then, or the mode has changed before; so that of low tasks only jobs released up to `w°`
//! are served before it:
//!
//! `w = B + own(r) · C − last + Σ_hp,high α_j(w + J_j + 1) · C_j + Σ_hp,low α_k(min(w, w°) + J_k + 1) · C_k`
//!
//! with high WCETs in `B`, `C`, `last` and `C_j`, and `R = max_r J + w + last − r`, stalls coming on top of both. A busy period without a change ends
//! by `L°`; so for `r ≥ L°` it is `L°` that takes the place of `w°`.
//!
//! Safe, not exact: the moment of the change that lets the most low jobs start need not be the one that lets the most
//! high jobs take their high WCETs. EDF is not offered: its known tests change deadlines, which a scheduler here does not.
use super::busy_period::{NoBound, Steps, busy_period, least_fixed_point, work};
use super::fixed_priority;
use super::load::{LONGEST, Load, loads};
use super::stalls::Stalls;
use super::utilisation;
use aegis_core::{
    Bound, Criticality, Nanos, PartitionId, Policy, Segment, System, SystemTask, TaskId, TaskSet,
};
use core::cmp::Ordering;

/// What is certain for one task in both modes. Responses count from arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeBounds {
    /// The task.
    pub task: TaskId,
    /// Its response while the mode is low.
    pub low: Result<Bound, NoBound>,
    /// Its response in the high mode and across the change; `None` for a low task, which may be dropped.
    pub high: Option<Result<Nanos, NoBound>>,
}

/// Whether `partition` has what this analysis is about: high tasks that may take longer, and low ones that may be
/// dropped then, under fixed priorities without host parts.
#[must_use]
pub fn applies(system: &System, partition: PartitionId) -> bool {
    let Some(of) = system.partitions().get(partition.index()) else { return false };
    let tasks = || system.on(partition).map(|(_, task)| task);
    let low = |task: &SystemTask| task.criticality == Criticality::Low;
    let longer = |task: &SystemTask| task.segments.iter().any(|s| s.wcet_hi.is_some_and(|hi| hi > s.wcet));
    let host = |task: &SystemTask| task.host.iter().any(|part| part.max > Nanos::ZERO);
    of.policy == Policy::FixedPriority
        && tasks().any(low)
        && tasks().any(|task| !low(task) && longer(task))
        && !tasks().any(host)
}

/// The task set of `partition` with other WCETs; `None` where they do not fit.
fn with_wcets(
    system: &System,
    partition: PartitionId,
    wcet: impl Fn(&SystemTask, &Segment) -> Nanos,
) -> Option<TaskSet> {
    let mut tasks = system.tasks().to_vec();
    for task in &mut tasks {
        let wcets: Vec<Nanos> = task.segments.iter().map(|segment| wcet(task, segment)).collect();
        for (segment, wcet) in task.segments.iter_mut().zip(wcets) {
            *segment = Segment { wcet, wcet_hi: None, ..*segment };
        }
    }
    let system = System::new(system.partitions().to_vec(), tasks, Vec::new()).ok()?;
    system.partition_set(partition)?.ok()
}

/// The set in which every task takes its high WCET always: what has to be reserved where no mode changes.
#[must_use]
pub fn reserved(system: &System, partition: PartitionId) -> Option<TaskSet> {
    with_wcets(system, partition, |_, segment| segment.wcet_hi.unwrap_or(segment.wcet))
}

/// One answer a task of `partition`, in the order of [`System::on`]; `None` where [`applies`] does not hold or the high
/// WCETs do not fit 2^62 ns.
#[must_use]
pub fn response_times(system: &System, partition: PartitionId) -> Option<Vec<ModeBounds>> {
    if !applies(system, partition) {
        return None;
    }
    let high = reserved(system, partition)?;
    let low = with_wcets(system, partition, |task, segment| match task.criticality {
        Criticality::Low => segment.wcet_hi.unwrap_or(segment.wcet),
        Criticality::High => segment.wcet,
    })?;
    let tasks: Vec<(TaskId, Criticality)> =
        system.on(partition).map(|(id, task)| (id, task.criticality)).collect();
    let modes = Modes {
        stalls: Stalls::new(low.overheads()),
        low: loads(&low),
        high: loads(&high),
        critical: tasks.iter().map(|(_, criticality)| *criticality == Criticality::High).collect(),
    };
    let in_high = Steps::shared(tasks.len(), |i, steps| modes.critical[i].then(|| modes.bound(i, steps)));
    let in_low = fixed_priority::response_times(&low);
    let bounds = tasks.into_iter().zip(in_low).zip(in_high);
    Some(bounds.map(|(((task, _), low), high)| ModeBounds { task, low, high }).collect())
}

/// One partition in both modes.
struct Modes {
    stalls: Stalls,
    /// With the WCETs of the low mode.
    low: Vec<Load>,
    /// With high WCETs.
    high: Vec<Load>,
    /// Which tasks are of high criticality.
    critical: Vec<bool>,
}

impl Modes {
    fn bound(&self, i: usize, steps: &mut Steps) -> Result<Nanos, NoBound> {
        let (task, as_low) = (&self.high[i], &self.low[i]);
        let all = 0..self.high.len();
        let hp: Vec<usize> =
            all.clone().filter(|j| *j != i && self.high[*j].priority <= task.priority).collect();
        let lp = || all.clone().filter(|j| self.high[*j].priority > task.priority);
        let longest = |loads: &[Load]| lp().map(|j| (loads[j].id, loads[j].longest - 1)).max_by_key(|b| b.1);
        let (blocker, blocker_low) = (longest(&self.high), longest(&self.low));
        let [wait, wait_low] = [blocker, blocker_low].map(|blocker| blocker.map_or(0, |(_, wait)| wait));

        // First, the busy period as if the mode stayed low, and with a change in it.
        let in_low = hp.iter().map(|j| &self.low[*j]);
        let length_low = busy_period(&in_low.clone().chain([as_low]), blocker_low, &self.stalls, steps)?;
        let critical = hp.iter().filter(|j| self.critical[**j]).map(|j| &self.high[*j]);
        let dropped = hp.iter().filter(|j| !self.critical[**j]).map(|j| &self.high[*j]);
        if utilisation::against(critical.clone().chain([task]), &self.stalls) != Ordering::Less {
            return Err(NoBound::NoFiniteBusyPeriod);
        }
        let released = |w: u64, served: u64| {
            let base = work(wait, dropped.clone(), |load| load.released_within(w.min(served)))?;
            let base = base.checked_add(self.stalls.within(w, blocker)?)?;
            work(base, critical.clone().chain([task]), |load| load.released_within(w))
        };
        let start = released(1, 1).ok_or(steps.undecided())?;
        let length = least_fixed_point(start, hp.len() + 1, steps, |w| released(w, length_low))?;

        // Then, for each job the start of its last segment, with low jobs up to the start in the low mode only.
        let mut worst = 0;
        let (mut release, mut start, mut start_low) = (0, 0, 0);
        while release < length {
            let own = task.own_by(release);
            let served = if release < length_low {
                let before = own.checked_mul(as_low.c).ok_or(steps.undecided())? - as_low.last;
                let base = before.checked_add(wait_low).ok_or(steps.undecided())?;
                start_low = least_fixed_point(base.max(start_low), hp.len() + 1, steps, |w| {
                    let base = base.checked_add(self.stalls.within(w + 1, blocker_low)?)?;
                    work(base, in_low.clone(), |load| load.released_by(w))
                })?;
                start_low
            } else {
                length_low
            };
            let before = own.checked_mul(task.c).ok_or(steps.undecided())? - task.last;
            let base = before.checked_add(wait).ok_or(steps.undecided())?;
            let before = |w: u64| {
                let base = work(base, dropped.clone(), |load| load.released_by(w.min(served)))?;
                work(base, critical.clone(), |load| load.released_by(w))
            };
            start = least_fixed_point(base.max(start), hp.len() + 1, steps, |w| {
                before(w)?.checked_add(self.stalls.within(w + 1, blocker)?)
            })?;
            let all = before(start).and_then(|work| work.checked_add(task.last)).ok_or(steps.undecided())?;
            let end = self.stalls.end_of(all, blocker, start, steps)?;
            worst = worst.max(i128::from(task.j) + i128::from(end) - i128::from(release));
            release = task.next_own(release);
        }

        // Finally, the largest response.
        u64::try_from(worst).ok().filter(|worst| *worst <= LONGEST).map(Nanos).ok_or(steps.undecided())
    }
}
