//! `aegis explain`: where the time of a job went.
use super::trace::{instant, open};
use crate::Error;
use crate::cli::ExplainArgs;
use crate::output::Output;
use aegis_core::Nanos;
use aegis_trace::{Explanation, Jobs, Trace};
use serde_json::{Value, json};

pub(crate) fn run(args: &ExplainArgs, output: &Output) -> Result<u8, Error> {
    let trace = open(&args.trace)?;
    let jobs = Jobs::of(&trace);
    let explanations = if let Some(job) = &args.job {
        vec![jobs.explain(trace.header().parse_job(job)?)?]
    } else {
        let from = instant(args.window.from.as_deref(), &trace, "--from")?.unwrap_or(Nanos::ZERO);
        let to = instant(args.window.to.as_deref(), &trace, "--to")?.unwrap_or(Nanos::MAX);
        jobs.worst(args.worst, from..to)
    };
    output.answer(
        || {
            if explanations.is_empty() {
                return "no job in that window".to_owned();
            }
            let lines: Vec<String> =
                explanations.iter().map(|e| trace.header().narrate(e).to_string()).collect();
            lines.join("\n")
        },
        || {
            let jobs: Vec<Value> = explanations.iter().map(|e| value(e, &trace)).collect();
            json!({ "schema_version": 1, "jobs": jobs })
        },
    );
    Ok(0)
}

fn value(e: &Explanation, trace: &Trace) -> Value {
    let header = trace.header();
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
        "sentence": header.narrate(e).to_string(),
    })
}
