//! The answer of admission for people: what holds, why, for each task how its bound comes about, and what would fit.
use super::{Admission, PartitionAnswer};
use crate::output::table;
use aegis_analysis::remedy::Remedy;
use aegis_analysis::utilisation;
use aegis_core::{Bound, Nanos, Task, TaskSet, TaskVerdict, Term, TermKind, Verdict};
use std::fmt::Write;

/// The whole answer: one part for each partition, with a heading where there are several.
pub(crate) fn whole(admission: &Admission) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let [only] = &*admission.partitions {
        parts.push(of_partition(&only.set, &only.verdict, &only.remedies));
    } else {
        let word = if admission.admitted() { "ADMITTED" } else { "REJECTED" };
        parts.push(format!("{word}: {}", count(admission)));
        for answer in &admission.partitions {
            let body = of_partition(&answer.set, &answer.verdict, &answer.remedies);
            parts.push(format!("\n{}\n{body}", heading(admission, answer)));
        }
    }
    if let Some(statement) = &admission.statement {
        parts.push(format!("  {}", statement.sentence()));
    }
    parts.join("\n")
}

fn count(admission: &Admission) -> String {
    let fit = admission.partitions.iter().filter(|answer| answer.verdict.admitted()).count();
    format!("{fit} of {} partitions fit", admission.partitions.len())
}

/// `PARTITION left (np-edf, every WCET × 1.15 for what runs beside it)`
fn heading(admission: &Admission, answer: &PartitionAnswer) -> String {
    let partition = &admission.system.partitions()[answer.partition.index()];
    let beside = match partition.interference_permille {
        1000 => String::new(),
        factor => format!(", every WCET × {}.{:03} for what runs beside it", factor / 1000, factor % 1000),
    };
    format!("PARTITION {} ({}{beside})", partition.name, partition.policy)
}

/// The verdict for one partition: a row for each task, the derivation of each bound, the reasons and what would fit.
pub(crate) fn of_partition(set: &TaskSet, verdict: &Verdict, remedies: &[Remedy]) -> String {
    let rows = verdict.tasks.iter().zip(set.tasks()).map(|(answer, task)| row(set, answer, task));
    let header = ["task", "", "WCET", "period", "deadline", "bound", "slack", "load"];
    let mut out = headline(verdict);
    let _ = write!(out, "\n{}\n", decided(set, verdict));
    out.push_str(&table(&header, "llrrrrrr", rows));
    for (answer, task) in verdict.tasks.iter().zip(set.tasks()) {
        if let Some(bound) = &answer.bound {
            let _ = write!(out, "\n  {}", derivation(set, task, bound));
        }
    }
    out.push_str(&reasons(set, verdict, remedies));
    out
}

fn row(set: &TaskSet, answer: &TaskVerdict, task: &Task) -> Vec<String> {
    let (bound, slack) = match &answer.bound {
        None => ("none".to_owned(), "-".to_owned()),
        Some(bound) => {
            let slack = match task.deadline.checked_sub(bound.wcrt) {
                Some(slack) => format!("{slack:.3}"),
                None => format!("-{:.3}", bound.wcrt - task.deadline),
            };
            (format!("{:.3}", bound.wcrt), slack)
        }
    };
    let mark = if answer.schedulable() { "meets" } else { "MISSES" };
    vec![
        task.name.clone(),
        mark.to_owned(),
        format!("{:.3}", task.wcet()),
        period(task),
        task.deadline.to_string(),
        bound,
        slack,
        percent(super::load_ppm(set, task)),
    ]
}

/// The period, or the mean distance of an arrival curve.
fn period(task: &Task) -> String {
    match task.arrival.period() {
        Some(period) => period.to_string(),
        None => format!("~{}", task.arrival.mean_distance()),
    }
}

/// Parts per million as percent with one digit, rounded up.
fn percent(ppm: u64) -> String {
    let tenths = ppm.div_ceil(1000);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// The verdict in one line.
pub(crate) fn headline(verdict: &Verdict) -> String {
    let word = if verdict.admitted() { "ADMITTED" } else { "REJECTED" };
    format!("{word} under {}: {}", verdict.policy, meaning(verdict))
}

fn meaning(verdict: &Verdict) -> &'static str {
    if verdict.admitted() {
        "every job meets its deadline, whatever the release times and however early jobs end"
    } else {
        "some legal release pattern makes a job miss its deadline"
    }
}

/// Which test decided, and how much of the time is asked for.
fn decided(set: &TaskSet, verdict: &Verdict) -> String {
    let by = verdict.decided_by;
    format!("  decided by {by}; load {}", percent(utilisation::parts_per_million(set)))
}

/// One line for every reason of a rejection and for everything that would fit; empty when admitted.
pub(crate) fn reasons(set: &TaskSet, verdict: &Verdict, remedies: &[Remedy]) -> String {
    let mut out = String::new();
    for reason in &verdict.rejections {
        let _ = write!(out, "\n  because {}", reason.sentence(set));
    }
    for remedy in remedies {
        let _ = write!(out, "\n  would fit: {}", remedy.sentence(set));
    }
    out
}

/// `camera: 45.2 ms = 29.999999 blocked by lidar + 15.2 own`
fn derivation(set: &TaskSet, task: &Task, bound: &Bound) -> String {
    format!("{}: {} ms = {}", task.name, milliseconds(bound.wcrt), terms(set, &bound.terms))
}

/// Exact milliseconds, so that a person can add them up.
fn milliseconds(time: Nanos) -> String {
    let exact = format!("{}.{:06}", time.0 / 1_000_000, time.0 % 1_000_000);
    exact.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn terms(set: &TaskSet, terms: &[Term]) -> String {
    let mut out = String::new();
    for term in terms {
        let amount = milliseconds(Nanos(term.ns.unsigned_abs()));
        let sign = match (term.ns < 0, out.is_empty()) {
            (true, _) => " - ",
            (false, true) => "",
            (false, false) => " + ",
        };
        let by = term.by.and_then(|id| set.get(id)).map(|t| t.name.as_str());
        let what = match (term.kind, by) {
            (TermKind::Blocking, Some(by)) => format!("blocked by {by}"),
            (TermKind::Interference, Some(by)) => format!("behind {by}"),
            (TermKind::EarlierJobs, _) => "own earlier jobs".to_owned(),
            (TermKind::Execution, _) => "own".to_owned(),
            (TermKind::ArrivedLater, _) => "arrived later".to_owned(),
            (kind, _) => kind.name().to_owned(),
        };
        let _ = write!(out, "{sign}{amount} {what}");
    }
    out
}
