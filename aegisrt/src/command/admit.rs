//! `aegis admit`: the verdict with its bounds and terms, or the witnesses and what would fit.
use super::{NOT_ADMITTED, profile};
use crate::backends::Backends;
use crate::cli::{AdmitArgs, TasksArgs};
use crate::output::{Output, table};
use crate::{Error, SystemFile, runtime, tasks_json};
use aegis_analysis::remedy::{Remedy, remedies};
use aegis_analysis::{admit, certify};
use aegis_core::{TaskSet, TermKind, Verdict};
use std::fmt::Write;
use std::path::Path;

pub(crate) fn run(args: &AdmitArgs, output: &Output) -> Result<u8, Error> {
    let (set, _) = task_set(&args.tasks, output)?;
    let verdict = admit(&set);
    let remedies = remedies(&set, &verdict);
    if let Some(path) = &args.certificate {
        write_certificate(path, &set, &verdict, output)?;
    }
    output.answer(|| text(&set, &verdict, &remedies), || tasks_json::verdict(&set, &verdict, &remedies));
    Ok(if verdict.admitted() { 0 } else { NOT_ADMITTED })
}

/// Writes the proof of `verdict`, after the checker has accepted it. A rejection may have none: that is a note.
fn write_certificate(path: &Path, set: &TaskSet, verdict: &Verdict, output: &Output) -> Result<(), Error> {
    let certificate = match certify(set, verdict) {
        Err(why) if !verdict.admitted() => {
            output.note(format!("no certificate is written: {why}"));
            return Ok(());
        }
        certificate => certificate?.to_string(),
    };
    aegis_certificate::check(&certificate)
        .map_err(|why| Error::Defect(format!("the certificate of this answer does not check: {why}")))?;
    std::fs::write(path, certificate).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// The tasks that the arguments name, with their WCETs, and the system file if they come from one.
pub(crate) fn task_set(args: &TasksArgs, output: &Output) -> Result<(TaskSet, Option<SystemFile>), Error> {
    let policy = args.policy.map(Into::into);
    if let Some(path) = &args.tasks {
        return Ok((tasks_json::open(path, policy)?, None));
    }
    let path = args
        .system
        .as_ref()
        .ok_or_else(|| Error::Argument("state a system file or --tasks FILE".to_owned()))?;
    let file = SystemFile::open(path)?.on(args.device.device);
    let wcets = profile::wcets(&file, &mut Backends::default(), None, args.seed, output)?;
    let set = runtime::task_set(&file, &wcets)?;
    let set = policy.map_or_else(|| set.clone(), |policy| set.with_policy(policy));
    Ok((set, Some(file)))
}

/// The verdict for people: a row for each task, the derivation of each bound, the reasons and what would fit.
pub(crate) fn text(set: &TaskSet, verdict: &Verdict, remedies: &[Remedy]) -> String {
    let rows = verdict.tasks.iter().zip(set.tasks()).map(|(answer, task)| {
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
            task.arrival.mean_distance().to_string(),
            task.deadline.to_string(),
            bound,
            slack,
        ]
    });
    let header = ["task", "", "WCET", "period", "deadline", "bound", "slack"];
    let mut out = headline(verdict);
    out.push('\n');
    out.push_str(&table(&header, "llrrrrr", rows));
    for (answer, task) in verdict.tasks.iter().zip(set.tasks()) {
        if let Some(bound) = &answer.bound {
            let bound_ms = milliseconds(bound.wcrt.0);
            let _ = write!(out, "\n  {}: {bound_ms} ms = {}", task.name, terms(set, &bound.terms));
        }
    }
    out.push_str(&reasons(set, verdict, remedies));
    out
}

/// The verdict in one line.
pub(crate) fn headline(verdict: &Verdict) -> String {
    let word = if verdict.admitted() { "ADMITTED" } else { "REJECTED" };
    format!("{word} under {}: {}", verdict.policy, meaning(verdict))
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

fn meaning(verdict: &Verdict) -> &'static str {
    if verdict.admitted() {
        "every job meets its deadline, whatever the release times and however early jobs end"
    } else {
        "some legal release pattern makes a job miss its deadline"
    }
}

/// Exact milliseconds, so that a person can add them up.
fn milliseconds(ns: u64) -> String {
    let exact = format!("{}.{:06}", ns / 1_000_000, ns % 1_000_000);
    exact.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn terms(set: &TaskSet, terms: &[aegis_core::Term]) -> String {
    let mut out = String::new();
    for term in terms {
        let amount = milliseconds(term.ns.unsigned_abs());
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
