//! The answer of admission for people: what holds, why, for each task how its bound comes about, and what would fit.
use super::bounds::{derivation, milliseconds, plain};
use super::{Admission, PartitionAnswer, Plain, load_ppm, offsets};
use crate::output::table;
use aegis_analysis::conflict::Conflict;
use aegis_analysis::remedy::Remedy;
use aegis_analysis::sensitivity::{Edge, Margins, NoEdge};
use aegis_analysis::{ChainBound, ChainVerdict, Theorem, utilisation};
use aegis_core::{Nanos, Task, TaskId, TaskSet, Verdict};
use std::fmt::Write;

/// The whole answer. One partition without chains is told as what it is; else there is a heading for each part.
pub(crate) fn whole(admission: &Admission) -> String {
    let mut parts: Vec<String> = Vec::new();
    let several = admission.partitions.len() > 1 || !admission.system.chains().is_empty();
    if several || admission.partitions.iter().any(|answer| answer.plain.is_none()) {
        parts.push(system_headline(admission));
    }
    for answer in &admission.partitions {
        if several {
            parts.push(format!("\n{}", heading(admission, answer)));
        }
        parts.push(match &answer.plain {
            Some(plain) => of_plain(&answer.set, plain),
            None => of_theorem(admission, answer),
        });
        parts.extend(offsets::notes(admission, answer).into_iter().map(|note| format!("  {note}")));
        if let Some(margins) = &answer.margins {
            parts.push(of_margins(&answer.set, margins));
        }
    }
    if !admission.verdict.chains.is_empty() {
        parts.push(format!("\nCHAINS\n{}", of_chains(admission)));
    }
    let rest = admission.only_in_system();
    parts.extend(rest.map(|rejection| format!("  because {}", rejection.sentence(&admission.system))));
    if let Some(statement) = &admission.statement {
        parts.push(format!("  {}", statement.sentence()));
    }
    parts.join("\n")
}

fn system_headline(admission: &Admission) -> String {
    let word = if admission.verdict.admitted() { "ADMITTED" } else { "REJECTED" };
    let (tasks, chains) = (admission.system.tasks().len(), admission.system.chains().len());
    let late =
        admission.verdict.tasks.iter().filter(|task| task.wcrt.is_none_or(|r| r > task.deadline)).count();
    let end = match chains {
        0 => String::new(),
        1 => ", with 1 chain".to_owned(),
        n => format!(", with {n} chains"),
    };
    let at_offsets = admission.partitions.iter().any(|answer| answer.theorem == Theorem::Offsets);
    let kept = if at_offsets { " if the stated offsets are kept to" } else { "" };
    format!("{word}: {} of {tasks} tasks meet their deadlines{kept}{end}", tasks - late)
}

/// `PARTITION left (np-edf, every WCET × 1.150 for what runs beside it)`
fn heading(admission: &Admission, answer: &PartitionAnswer) -> String {
    let partition = &admission.system.partitions()[answer.partition.index()];
    let beside = match partition.interference_permille {
        1000 => String::new(),
        factor => {
            format!(", every WCET × {}.{:03} for what runs beside it", factor / 1000, factor % 1000)
        }
    };
    format!("PARTITION {} ({}{beside})", partition.name, partition.policy)
}

/// The verdict for one partition: a row for each task, the derivation of each bound, the reasons and what would fit.
pub(crate) fn of_partition(set: &TaskSet, verdict: &Verdict, remedies: &[Remedy]) -> String {
    of_verdict(set, verdict, &[]) + &reasons(set, verdict, remedies)
}

/// What holds and how each bound comes about, with what is missing to it in the latest schedule that is known.
fn of_verdict(set: &TaskSet, verdict: &Verdict, gaps: &[Option<Nanos>]) -> String {
    let bounds = verdict.tasks.iter().map(|answer| answer.bound.as_ref().map(|bound| bound.wcrt));
    let mut out = headline(verdict);
    let _ = write!(out, "\n  decided by {}; {}\n", verdict.decided_by, load(set));
    out.push_str(&rows(set, bounds));
    let name = |task: TaskId| set.get(task).map(|task| task.name.as_str());
    for (i, (answer, task)) in verdict.tasks.iter().zip(set.tasks()).enumerate() {
        if let Some(bound) = &answer.bound {
            let close = gaps.get(i).copied().flatten().map_or_else(String::new, attained);
            let _ = write!(out, "\n  {}{close}", plain(&task.name, bound, &name));
        }
    }
    out
}

/// How close the latest schedule that is known comes to a bound.
fn attained(gap: Nanos) -> String {
    if gap == Nanos::ZERO { "; attained".to_owned() } else { format!("; a schedule comes within {gap}") }
}

/// [`of_partition`] with the smallest conflict between the reasons and what would fit.
fn of_plain(set: &TaskSet, plain: &Plain) -> String {
    let mut out = of_verdict(set, &plain.verdict, &plain.gaps) + &reasons(set, &plain.verdict, &[]);
    out.push_str(&conflicting(set, plain.conflict.as_ref()));
    out.push_str(&would_fit(set, &plain.remedies));
    out
}

/// The tasks of a partition that a theorem for more than plain segments decided.
fn of_theorem(admission: &Admission, answer: &PartitionAnswer) -> String {
    let system = &admission.system;
    let name = |task: TaskId| system.tasks().get(task.index()).map(|task| task.name.as_str());
    let verdicts: Vec<_> =
        system.on(answer.partition).map(|(id, _)| &admission.verdict.tasks[id.index()]).collect();
    let decided_by = match &answer.offsets {
        Some(Ok(found)) if found.admitted => offsets::decided_by(found),
        _ => theorem(answer.theorem).to_owned(),
    };
    let mut out = format!("  decided by {decided_by}; {}\n", load(&answer.set));
    let wcrts = verdicts.iter().map(|verdict| verdict.wcrt);
    out.push_str(&match offsets::column(admission, answer) {
        Some(offsets) => rows_at_offsets(&answer.set, &offsets, wcrts),
        None => rows(&answer.set, wcrts),
    });
    for (verdict, task) in verdicts.iter().zip(answer.set.tasks()) {
        for line in verdict.bound.iter().flat_map(|bound| derivation(&task.name, bound, &name)) {
            let _ = write!(out, "\n  {line}");
        }
    }
    out
}

const fn theorem(theorem: Theorem) -> &'static str {
    match theorem {
        Theorem::ResponseTimes => "exact response times",
        Theorem::Reservation => "exact response times, every segment taking its high WCET",
        Theorem::Suspension => "response times with host parts between segments (safe, not always exact)",
        Theorem::MixedCriticality => "response times in both modes and across the change (safe)",
        Theorem::Holistic => "response times of tasks that start each other, to a fixed point (safe)",
        Theorem::Offsets => "every schedule at the stated offsets",
    }
}

/// A row for each task of `set`.
fn rows(set: &TaskSet, bounds: impl Iterator<Item = Option<Nanos>>) -> String {
    let rows = set.tasks().iter().zip(bounds).map(|(task, bound)| row(set, task, bound));
    table(&["task", "", "WCET", "period", "deadline", "bound", "slack", "load"], "llrrrrrr", rows)
}

/// The same with the offset behind the period.
fn rows_at_offsets(set: &TaskSet, offsets: &[Nanos], bounds: impl Iterator<Item = Option<Nanos>>) -> String {
    let rows = set.tasks().iter().zip(offsets).zip(bounds).map(|((task, offset), bound)| {
        let mut row = row(set, task, bound);
        row.insert(4, offset.to_string());
        row
    });
    let header = ["task", "", "WCET", "period", "offset", "deadline", "worst", "slack", "load"];
    table(&header, "llrrrrrrr", rows)
}

fn row(set: &TaskSet, task: &Task, bound: Option<Nanos>) -> Vec<String> {
    let slack = bound.map(|bound| match task.deadline.checked_sub(bound) {
        Some(slack) => format!("{slack:.3}"),
        None => format!("-{:.3}", bound - task.deadline),
    });
    vec![
        task.name.clone(),
        mark(bound.is_some_and(|bound| bound <= task.deadline)).to_owned(),
        format!("{:.3}", task.wcet()),
        period(task),
        task.deadline.to_string(),
        bound.map_or_else(|| "none".to_owned(), |bound| format!("{bound:.3}")),
        slack.unwrap_or_else(|| "-".to_owned()),
        percent(load_ppm(set, task)),
    ]
}

const fn mark(meets: bool) -> &'static str {
    if meets { "meets" } else { "MISSES" }
}

/// The period, or the mean distance of an arrival curve.
fn period(task: &Task) -> String {
    match task.arrival.period() {
        Some(period) => period.to_string(),
        None => format!("~{}", task.arrival.mean_distance()),
    }
}

fn load(set: &TaskSet) -> String {
    format!("load {}", percent(utilisation::parts_per_million(set)))
}

/// Parts per million as percent with one digit, rounded up.
fn percent(ppm: u64) -> String {
    let tenths = ppm.div_ceil(1000);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// The verdict in one line.
pub(crate) fn headline(verdict: &Verdict) -> String {
    let (word, meaning) = if verdict.admitted() {
        ("ADMITTED", "every job meets its deadline, whatever the release times and however early jobs end")
    } else {
        ("REJECTED", "some legal release pattern makes a job miss its deadline")
    };
    format!("{word} under {}: {meaning}", verdict.policy)
}

/// One line for every reason of a rejection and for everything that would fit; empty when admitted.
pub(crate) fn reasons(set: &TaskSet, verdict: &Verdict, remedies: &[Remedy]) -> String {
    let mut out = String::new();
    for reason in &verdict.rejections {
        let _ = write!(out, "\n  because {}", reason.sentence(set));
    }
    out + &would_fit(set, remedies)
}

fn would_fit(set: &TaskSet, remedies: &[Remedy]) -> String {
    remedies.iter().fold(String::new(), |mut out, remedy| {
        let _ = write!(out, "\n  would fit: {}", remedy.sentence(set));
        out
    })
}

/// The smallest conflict, unless it says no more than that one task does not fit.
fn conflicting(set: &TaskSet, conflict: Option<&Conflict>) -> String {
    conflict.map_or_else(String::new, |conflict| format!("\n  smallest conflict: {}", conflict.sentence(set)))
}

/// A row for each chain: end to end, against its deadline.
fn of_chains(admission: &Admission) -> String {
    let rows = admission.verdict.chains.iter().map(|verdict| chain_row(admission, verdict));
    table(&["chain", "", "started by", "end to end", "data age", "deadline"], "lllrrr", rows)
}

fn chain_row(admission: &Admission, verdict: &ChainVerdict) -> Vec<String> {
    let name = admission.system.chains()[verdict.chain].name.clone();
    let latency = verdict.bound.as_ref().ok().map(ChainBound::latency);
    let (by, age) = match &verdict.bound {
        Ok(ChainBound::Time(latency)) => ("periods", format!("{} ms", milliseconds(latency.age))),
        Ok(ChainBound::Event(_)) => ("events", "-".to_owned()),
        Err(_) => ("-", "-".to_owned()),
    };
    let mark = match (latency, verdict.deadline) {
        (_, None) => "",
        (latency, Some(deadline)) => mark(latency.is_some_and(|latency| latency <= deadline)),
    };
    vec![
        name,
        mark.to_owned(),
        by.to_owned(),
        latency.map_or_else(|| "none".to_owned(), |latency| format!("{} ms", milliseconds(latency))),
        age,
        verdict.deadline.map_or_else(|| "-".to_owned(), |deadline| deadline.to_string()),
    ]
}

/// How far each time may move alone: a row for each task.
fn of_margins(set: &TaskSet, margins: &Margins) -> String {
    let time = |edge: &Result<Edge, NoEdge>| match edge {
        Ok(edge) => Nanos(edge.fits).to_string(),
        Err(_) => "none".to_owned(),
    };
    let rows = set.tasks().iter().zip(&margins.tasks).map(|(task, margins)| {
        vec![
            task.name.clone(),
            time(&margins.wcet),
            time(&margins.period),
            time(&margins.deadline),
            time(&margins.jitter),
        ]
    });
    let header = ["may be, alone", "WCET up to", "period from", "deadline from", "jitter up to"];
    let all = match &margins.all_wcets {
        Ok(edge) => format!(
            "\n  all WCETs together up to {}.{:04} % of what they are",
            edge.fits / 10_000,
            edge.fits % 10_000
        ),
        Err(_) => String::new(),
    };
    format!("{}{all}", table(&header, "lrrrr", rows))
}
