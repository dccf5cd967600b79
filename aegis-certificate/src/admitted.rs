//! That every job meets its deadline: one inequality for each range of jobs, of deadlines or of releases.
//!
//! In all three, time 0 is the start of the busy period of the job in question, so that of another task all jobs count
//! that arrive at `−J` or later. A job that arrives at `r − J` is said to be released at `r`, which is the latest it may
//! be. Every number in a certificate may be larger than it has to be, never smaller: a window that holds all its work
//! proves that the busy period ends in it, whether or not it is the shortest such window.
use crate::rejected::{Round, share};
use crate::task::Stalls;
use crate::{CertificateError, Number, Steps, Task, within};
use serde::Deserialize;

/// One task under fixed priorities.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Level {
    /// A busy period of the task is not longer.
    busy_ns: u64,
    /// No response is longer.
    response_ns: u64,
    /// `[from, start, end]`: of the jobs that are released in the range which begins there, no last segment starts later
    /// and none ends later.
    starts: Vec<(u64, u64, u64)>,
}

/// Deadlines under EDF.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Windows {
    /// No busy period is longer.
    busy_ns: u64,
    /// `[from, end]`: all that is due in the range of deadlines which begins there has ended by then. A range ends where
    /// the next begins, the last with the busy period.
    ends: Vec<(u64, u64)>,
}

/// Releases under FIFO.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Releases {
    /// The responses of all tasks, in the order of the set.
    Ranges { busy_ns: u64, tasks: Vec<Responses> },
    /// Without jitter: every response is at most the sum of all WCETs.
    Sum { sum_ns: u64 },
}

/// One task under FIFO.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Responses {
    /// No response is longer.
    response_ns: u64,
    /// `[from, end]`: no job that is released in the range which begins there ends later.
    ends: Vec<(u64, u64)>,
}

/// Responses within deadlines under non-preemptive fixed priorities (Davis, Burns, Bril, Lukkien, 2007).
///
/// A job starts its last segment once one segment of less priority, its own jobs before it and all more urgent work that
/// has been released by then are done. Its own jobs are the more the later it is released, so that the start of those
/// released at `end − 1` stands for all from `from` on; they arrived at `from − J` or later.
pub(crate) fn fixed_priority(
    tasks: &[Task],
    stalls: &Stalls,
    levels: &[Level],
    steps: &mut Steps,
) -> Result<Vec<Option<u64>>, CertificateError> {
    complete("fixed_priority", levels.len() == tasks.len(), "one entry a task, in the order of the set")?;
    let mut responses = Vec::with_capacity(tasks.len());
    for (i, (me, level)) in tasks.iter().zip(levels).enumerate() {
        let claim = |what: &str| format!("task `{}`, {what}", me.name);
        let others = || tasks.iter().enumerate().filter(|(k, _)| *k != i).map(|(_, task)| task);
        let urgent = || others().filter(|other| other.priority <= me.priority);
        let less_urgent = || others().filter(|other| other.priority > me.priority);
        let wait = less_urgent().map(|other| other.wait).max().unwrap_or(0);
        let early = Number::from(less_urgent().next().is_some());

        let busy = Number::from(level.busy_ns);
        steps.take(tasks.len())?;
        let work = sum(wait, urgent().chain([me]), |task| task.arrivals(busy + task.j));
        within(plus(work, stalls.within(busy + early)), busy, || claim("busy period"))?;

        for (entry, from, end) in ranges(&level.starts, |entry| entry.0.into(), 0, busy, &claim("starts"))? {
            let (start, ended) = (Number::from(entry.1), Number::from(entry.2));
            let jobs = |what: &str| claim(&format!("{what} of jobs released in [{from}, {end})"));
            steps.take(tasks.len())?;
            let own = me.own(end - 1).and_then(|jobs| jobs.checked_mul(me.c));
            let own = own.and_then(|own| (own - me.last).checked_add(wait));
            let before = own.and_then(|own| sum(own, urgent(), |task| task.arrivals(start + task.j + 1)));
            within(plus(before, stalls.within(start + 1 + early)), start, || jobs("start"))?;
            let all = plus(before, Some(me.last));
            within(plus(all, stalls.within(ended + early)), ended, || jobs("end"))?;
            let response = (me.j + ended).saturating_sub(from);
            within(Some(response), level.response_ns.into(), || jobs("response"))?;
        }
        within(Some(level.response_ns.into()), me.d, || claim("deadline"))?;
        responses.push(Some(level.response_ns));
    }
    Ok(responses)
}

/// Demand within time under non-preemptive EDF (Jeffay, Stanat, Martel, 1991; George, Rivierre, Spuri, 1996).
///
/// A job misses its deadline `t` only if the work with deadlines up to `t`, and one segment that started before 0 for a
/// later deadline, take longer than `t`; and only while the resource is busy. The work rises with `t` and the
/// segment falls, so that `work(end − 1) + segment(from) ≤ from` stands for all deadlines from `from` to `end − 1`.
///
/// A task's own segment goes on while no job of it is due, or while all that are due may have been overtaken by the
/// one that started: then they all arrived within `J` of each other. With more jobs due than that, one of them was not
/// overtaken, the segment did not start before it, and the whole of it is in the sum, which is more.
pub(crate) fn edf(
    tasks: &[Task],
    stalls: &Stalls,
    claim: &Windows,
    steps: &mut Steps,
) -> Result<(), CertificateError> {
    let busy = Number::from(claim.busy_ns);
    steps.take(tasks.len())?;
    let work = sum(0, tasks.iter(), |task| task.arrivals(busy + task.j));
    within(plus(work, stalls.within(busy)), busy, || "busy period".to_owned())?;

    let first = claim.ends.first().map_or(claim.busy_ns, |entry| entry.0).into();
    let due = |task: &Task, by: Number| match (by + task.j + 1).checked_sub(task.d) {
        Some(window) => task.arrivals(window),
        None => Some(0),
    };
    if first > 0 {
        let early = sum(0, tasks.iter(), |task| due(task, first - 1));
        within(early, 0, || format!("work due before the first range, which begins at {first}"))?;
    }
    for ((_, ended), from, end) in ranges(&claim.ends, |entry| entry.0.into(), first, busy, "deadlines")? {
        let ended = Number::from(*ended);
        steps.take(2 * tasks.len())?;
        let goes_on = |task: &&Task| due(task, from) < task.overtaking().map(|more| more + 1);
        let segment = tasks.iter().filter(goes_on).map(|task| task.wait).max();
        let early = Number::from(segment.is_some());
        let work = sum(segment.unwrap_or(0), tasks.iter(), |task| due(task, end - 1));
        let what = || format!("work with deadlines in [{from}, {end})");
        within(plus(work, stalls.within(ended + early)), ended, what)?;
        within(Some(ended), from, || format!("end of the {}", what()))?;
    }
    Ok(())
}

/// Responses within deadlines under FIFO (Bedarkar, Vardishvili, Bozhko, Maida, Brandenburg, 2022).
///
/// A job that is released at `r`, and arrived at `r − J` or later, ends once all that was released before it is done. That
/// work rises with `r`, so that `J + work(end − 1) − from ≤ R` stands for all releases from `from` to `end − 1`.
pub(crate) fn fifo(
    tasks: &[Task],
    stalls: &Stalls,
    claim: &Releases,
    steps: &mut Steps,
) -> Result<Vec<Option<u64>>, CertificateError> {
    let (busy, claims) = match claim {
        Releases::Ranges { busy_ns, tasks } => (Number::from(*busy_ns), tasks),
        Releases::Sum { sum_ns } => {
            sum_of_all(tasks, stalls, *sum_ns)?;
            return Ok(vec![Some(*sum_ns); tasks.len()]);
        }
    };
    complete("fifo", claims.len() == tasks.len(), "one entry a task, in the order of the set")?;
    steps.take(tasks.len())?;
    let work = sum(0, tasks.iter(), |task| task.arrivals(busy + task.j));
    within(plus(work, stalls.within(busy)), busy, || "busy period".to_owned())?;
    for (i, (me, stated)) in tasks.iter().zip(claims).enumerate() {
        let claim = |what: &str| format!("task `{}`, {what}", me.name);
        for ((_, ended), from, end) in
            ranges(&stated.ends, |entry| entry.0.into(), 0, busy, &claim("releases"))?
        {
            let ended = Number::from(*ended);
            let jobs = |what: &str| claim(&format!("{what} of jobs released in [{from}, {end})"));
            steps.take(tasks.len())?;
            let own = me.own(end - 1).and_then(|jobs| jobs.checked_mul(me.c));
            let others = tasks.iter().enumerate().filter(|(k, _)| *k != i).map(|(_, task)| task);
            let work = own.and_then(|own| sum(own, others, |task| task.arrivals(end + task.j)));
            within(plus(work, stalls.within(ended)), ended, || jobs("end"))?;
            let response = (me.j + ended).saturating_sub(from);
            within(Some(response), stated.response_ns.into(), || jobs("response"))?;
        }
        within(Some(stated.response_ns.into()), me.d, || claim("deadline"))?;
    }
    Ok(claims.iter().map(|stated| Some(stated.response_ns)).collect())
}

/// Periods without jitter or stalls, and `ΣC/T ≤ 1`: the work up to a release `r` is `ΣC + Σ ⌊r / T⌋ · C ≤ ΣC + r`.
fn sum_of_all(tasks: &[Task], stalls: &Stalls, stated: u64) -> Result<(), CertificateError> {
    let smooth = tasks.iter().all(|task| task.j == 0 && task.rate().0 == 1 && task.distance(0) == Some(0));
    complete(
        "sum",
        smooth && stalls.sources().next().is_none(),
        "only for periods without jitter or stalls",
    )?;
    let (demand, time) = share(tasks, stalls, Round::Up)?;
    within(Some(demand), time, || "ΣC/T, as demand in a time".to_owned())?;
    within(sum(0, tasks.iter(), |_| Some(1)), stated.into(), || "sum of all WCETs".to_owned())?;
    tasks.iter().try_for_each(|task| {
        within(Some(stated.into()), task.d, || format!("task `{}`, deadline", task.name))
    })
}

fn plus(a: Option<Number>, b: Option<Number>) -> Option<Number> {
    a?.checked_add(b?)
}

/// `base + Σ jobs · C`; `None` when it does not fit.
fn sum<'a>(
    base: Number,
    mut tasks: impl Iterator<Item = &'a Task>,
    jobs: impl Fn(&Task) -> Option<Number>,
) -> Option<Number> {
    tasks.try_fold(base, |sum, task| sum.checked_add(jobs(task)?.checked_mul(task.c)?))
}

/// Entries with where their ranges begin and end, `from` up to `end` without a gap.
fn ranges<'a, T>(
    entries: &'a [T],
    begin: impl Fn(&T) -> Number,
    from: Number,
    end: Number,
    claim: &str,
) -> Result<Vec<(&'a T, Number, Number)>, CertificateError> {
    let begins = entries.iter().map(&begin);
    let ends = begins.clone().skip(1).chain([end]);
    let ranges: Vec<_> = entries.iter().zip(begins.zip(ends)).map(|(entry, (a, b))| (entry, a, b)).collect();
    complete(claim, ranges.first().map_or(end, |(_, a, _)| *a) == from, "the first range begins too late")?;
    complete(
        claim,
        ranges.iter().all(|(_, a, b)| a < b),
        "a range is empty, or the last begins beyond the end",
    )?;
    Ok(ranges)
}

fn complete(claim: &str, is: bool, why: &'static str) -> Result<(), CertificateError> {
    if is { Ok(()) } else { Err(CertificateError::Incomplete { claim: claim.to_owned(), why }) }
}
