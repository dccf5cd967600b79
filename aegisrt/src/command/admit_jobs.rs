//! `aegis admit --jobs`: when each job of a set ends, at the earliest and at the latest, over every schedule.
use super::NOT_ADMITTED;
use crate::cli::JobsArgs;
use crate::output::{Output, table};
use crate::{Error, jobs_csv};
use aegis_analysis::jobs::{Answer, End, JobSet, Limits, Method, Outcome, admit};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

pub(crate) fn run(jobs: &Path, args: &JobsArgs, output: &Output) -> Result<u8, Error> {
    let set = jobs_csv::open(jobs, args.prec.as_deref())?;
    let limits = Limits::default();
    let answer = admit(&set, &limits);
    if let Some(path) = &args.completions {
        std::fs::write(path, csv(&set, &answer))
            .map_err(|source| Error::Write { path: path.clone(), source })?;
    }
    output.answer(|| text(&set, &answer, &limits), || value(&set, &answer));
    Ok(if answer.outcome == Outcome::Meets { 0 } else { NOT_ADMITTED })
}

fn text(set: &JobSet, answer: &Answer, limits: &Limits) -> String {
    let mut out = headline(set, answer);
    if answer.completions.is_empty() {
        out.push_str("\n  no bound on the end of any job was found");
    } else {
        let rows = set.jobs().iter().zip(&answer.completions).map(|(job, end)| {
            let mark = if end.worst <= job.deadline { "meets" } else { "MISSES" };
            let figures = [job.release.min, job.release.max, end.best, end.worst, job.deadline];
            let mut row = vec![job.name(), mark.to_owned()];
            row.extend(figures.iter().map(|time| time.0.to_string()));
            row
        });
        let header = ["job", "", "released from", "to", "ends from (ns)", "to (ns)", "deadline (ns)"];
        let _ = write!(out, "\n{}", table(&header, "llrrrrr", rows));
    }
    let _ = write!(out, "\n  {}", effort(answer, limits));
    out
}

fn headline(set: &JobSet, answer: &Answer) -> String {
    let late = |job: usize| {
        let named = set.jobs()[job].name();
        let (ends, deadline) = (answer.completions.get(job), set.jobs()[job].deadline.0);
        match ends {
            Some(end) => {
                format!("{named} may end at {} ns, after its deadline of {deadline} ns", end.worst.0)
            }
            None => format!("{named} has a deadline of {deadline} ns"),
        }
    };
    match answer.outcome {
        Outcome::Meets => "ADMITTED: every job meets its deadline in every schedule".to_owned(),
        Outcome::Misses { job } => format!("REJECTED: in some schedule {}", late(job)),
        Outcome::Undecided { job } => {
            format!("REJECTED: not decided; as far as the bound says, {}", late(job))
        }
    }
}

/// What was explored, what the bounds are, and what was given up.
fn effort(answer: &Answer, limits: &Limits) -> String {
    let found = &answer.exploration;
    let did = format!(
        "{} states, {} merged, at most {} at a time in {}",
        found.states, found.merged, found.widest, found.memory
    );
    let gave_up = match found.end {
        End::Complete => {
            let attained = if answer.exact {
                "each time above is attained"
            } else {
                "times are bounds, not all attained"
            };
            return format!("every schedule was looked at: {did}; {attained}");
        }
        End::StateLimit => format!("more than {} states", limits.states),
        End::MemoryLimit => format!("more than {} of memory", limits.memory),
        _ => "jobs lie too far apart".to_owned(),
    };
    let remains = match answer.method {
        Method::Hull => "times above are safe bounds from states taken together",
        Method::BusyWindows => "times above are safe bounds from busy windows",
        _ => "no bound remains",
    };
    format!("gave up looking at every schedule, {gave_up} ({did}); {remains}")
}

fn value(set: &JobSet, answer: &Answer) -> Value {
    let jobs = set.jobs().iter().enumerate().map(|(i, job)| {
        let end = answer.completions.get(i);
        json!({
            "task": job.task,
            "job": job.job,
            "best_completion_ns": end.map(|end| end.best.0),
            "worst_completion_ns": end.map(|end| end.worst.0),
            "deadline_ns": job.deadline.0,
            "schedulable": end.is_some_and(|end| end.worst <= job.deadline),
        })
    });
    let late = |job: usize| json!({ "task": set.jobs()[job].task, "job": set.jobs()[job].job });
    let (outcome, late) = match answer.outcome {
        Outcome::Meets => ("meets", None),
        Outcome::Misses { job } => ("misses", Some(late(job))),
        Outcome::Undecided { job } => ("undecided", Some(late(job))),
    };
    let found = &answer.exploration;
    json!({
        "schema_version": 1,
        "admitted": answer.outcome == Outcome::Meets,
        "outcome": outcome,
        "late": late,
        "bounds": answer.method.code(),
        "exact": answer.exact,
        "jobs": jobs.collect::<Vec<Value>>(),
        "exploration": {
            "end": found.end.code(),
            "states": found.states,
            "merged": found.merged,
            "transitions": found.transitions,
            "widest": found.widest,
            "memory_bytes": found.memory.0,
        },
    })
}

/// The columns of SAG's response-time files; responses count from the earliest release.
fn csv(set: &JobSet, answer: &Answer) -> String {
    let mut out = "Task ID, Job ID, BCCT, WCCT, BCRT, WCRT\n".to_owned();
    for (job, end) in set.jobs().iter().zip(&answer.completions) {
        let response = |end: u64| end - job.release.min.0;
        let (best, worst) = (end.best.0, end.worst.0);
        let _ = writeln!(
            out,
            "{}, {}, {best}, {worst}, {}, {}",
            job.task,
            job.job,
            response(best),
            response(worst)
        );
    }
    out
}
