//! `aegis explain`: where the time of a job went.
use super::trace::{instant, open};
use crate::Error;
use crate::cli::ExplainArgs;
use crate::output::Output;
use aegis_core::Nanos;
use aegis_trace::{Explanation, Jobs, Trace};
use serde_json::{Value, json};
use std::fmt::Write;

pub(crate) fn run(args: &ExplainArgs, output: &Output) -> Result<u8, Error> {
    let trace = open(&args.trace)?;
    let jobs = Jobs::of(&trace);
    let explanations = if let Some(job) = &args.job {
        vec![jobs.explain(trace.header().parse_job(job)?)?]
    } else {
        let from = instant(args.window.from.as_deref(), trace.header(), "--from")?.unwrap_or(Nanos::ZERO);
        let to = instant(args.window.to.as_deref(), trace.header(), "--to")?.unwrap_or(Nanos::MAX);
        jobs.worst(args.worst, from..to)
    };
    output.answer(
        || {
            if explanations.is_empty() {
                return "no job in that window".to_owned();
            }
            let mut out = String::new();
            for explanation in &explanations {
                out.push_str(&text(explanation, &jobs, &trace));
            }
            out
        },
        || {
            let jobs: Vec<Value> = explanations.iter().map(|e| value(e, &jobs, &trace)).collect();
            json!({ "schema_version": 1, "jobs": jobs })
        },
    );
    Ok(0)
}

/// Reasons that are shown for people; JSON has all.
const SHOWN: usize = 3;

/// The line of causes, then why it took that long, then what it used of its bound.
fn text(e: &Explanation, jobs: &Jobs<'_>, trace: &Trace) -> String {
    let header = trace.header();
    let mut out = format!("{}\n", header.narrate(e));
    for suspect in jobs.suspects(e).iter().take(SHOWN) {
        let _ = writeln!(out, "  why: {}", header.suspect(suspect));
    }
    if let Some(against) = jobs.against_bound(e) {
        let _ = writeln!(out, "  {}", header.beside_bound(&against));
    }
    out
}

fn value(e: &Explanation, jobs: &Jobs<'_>, trace: &Trace) -> Value {
    let header = trace.header();
    let against = jobs.against_bound(e);
    let suspects: Vec<Value> = jobs
        .suspects(e)
        .iter()
        .map(|suspect| {
            json!({
                "what": suspect.what.name(),
                "by": suspect.by.map(|by| header.job_name(by).to_string()),
                "ns": suspect.ns.0,
                "broken_assumption": suspect.broken,
                "times": suspect.times,
                "sentence": header.suspect(suspect).to_string(),
            })
        })
        .collect();
    let terms = against.as_ref().map(|against| {
        let terms = against.shares.iter().map(|share| {
            json!({
                "term": share.kind.name(),
                "by": share.by.map(|by| header.task_name(by).to_string()),
                "allowed_ns": share.allowed_ns,
                "used_ns": share.used.0,
            })
        });
        terms.collect::<Vec<Value>>()
    });
    let causes: Vec<Value> = e
        .causes
        .iter()
        .map(|cause| {
            let mut value = json!({
                "kind": cause.kind.name(),
                "ns": cause.ns.0,
                "from_ns": cause.from.0,
                "to_ns": cause.to.0,
            });
            if let Some(by) = cause.by {
                value["by"] = header.job_name(by).to_string().into();
            }
            value
        })
        .collect();
    json!({
        "job": header.job_name(e.job).to_string(),
        "arrival_ns": e.arrival.0,
        "release_ns": e.release.map(|r| r.0),
        "deadline_ns": e.deadline.0,
        "until_ns": e.until.0,
        "finished": e.finish().is_some(),
        "met": e.met(),
        "response_ns": e.response().0,
        "causes": causes,
        "why": suspects,
        "bound_ns": against.as_ref().map(|against| against.wcrt.0),
        "terms": terms,
        "unexplained_ns": e.unexplained().0,
        "sentence": header.narrate(e).to_string(),
    })
}
