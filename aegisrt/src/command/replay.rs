//! `aegis replay`: the scheduler stepped through a trace again, under another policy, or beside another trace.
use super::trace::open;
use super::{FAILED, what_if};
use crate::Error;
use crate::cli::ReplayArgs;
use crate::output::Output;
use aegis_sched::View;
use aegis_sched::digest::{DecisionHash, hash};
use aegis_sched::divergence::{Divergence, Parting, Recorded, divergence};
use aegis_sched::replay::{RecordedStep, Replay, replay};
use aegis_trace::{Body, Header, Record, Trace};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

pub(crate) fn run(args: &ReplayArgs, output: &Output) -> Result<u8, Error> {
    let trace = open(&args.trace)?;
    if let Some(policy) = args.policy {
        return Ok(what_if::run(&trace, policy.into(), output));
    }
    if let Some(other) = &args.against {
        return against(&trace, other, output);
    }
    let (result, decisions) = (of(&trace), decisions(&trace));
    output.answer(
        || format!("{}\n  decisions {decisions}", text(&result, &trace)),
        || {
            json!({
                "schema_version": 1,
                "compared": result.compared,
                "differences": result.differences,
                "complete": trace.complete() && trace.gaps().is_empty(),
                "decisions_blake3": decisions.to_string(),
                "first_difference": result.first.map(|d| json!({
                    "index": d.index,
                    "at_ns": d.recorded.at.0,
                    "event": format!("{:?}", d.recorded.event),
                    "recorded": format!("{:?}", d.recorded.decision),
                    "replayed": format!("{:?}", d.replayed),
                })),
            })
        },
    );
    Ok(if result.differences == 0 { 0 } else { FAILED })
}

/// The scheduler's steps of a trace.
fn steps(trace: &Trace) -> impl Iterator<Item = RecordedStep> + '_ {
    trace.entries().iter().filter_map(|entry| match entry.record.body {
        Body::Step { event, decision } => Some(RecordedStep { at: entry.record.at, event, decision }),
        _ => None,
    })
}

/// Replays the scheduler's steps of a trace.
pub(crate) fn of(trace: &Trace) -> Replay {
    replay(&trace.header().set, &trace.header().queues, steps(trace))
}

/// The hash of every recorded decision.
fn decisions(trace: &Trace) -> DecisionHash {
    hash(steps(trace))
}

/// The result for people.
pub(crate) fn text(result: &Replay, trace: &Trace) -> String {
    let mut out = format!("{} decisions replayed, {} differences", result.compared, result.differences);
    if let Some(first) = result.first {
        out = format!(
            "{out}\n  first at decision {}, {}:\n    told      {:?}\n    recorded  {:?}\n    replayed  {:?}",
            first.index,
            trace.header().time(first.recorded.at),
            first.recorded.event,
            first.recorded.decision,
            first.replayed
        );
    }
    if !trace.complete() || !trace.gaps().is_empty() {
        out.push_str("\n  the trace is not complete: decisions after a gap may differ for that reason alone");
    }
    out
}

fn against(a: &Trace, other: &Path, output: &Output) -> Result<u8, Error> {
    let b = open(other)?;
    let [of_a, of_b] = [a, &b].map(|trace| steps(trace).collect::<Vec<RecordedStep>>());
    let recorded = |trace: &'_ Trace| (trace.header().set.clone(), trace.header().queues.clone());
    let ((set_a, queues_a), (set_b, queues_b)) = (recorded(a), recorded(&b));
    let found = divergence(
        Recorded { set: &set_a, queues: &queues_a, steps: &of_a },
        Recorded { set: &set_b, queues: &queues_b, steps: &of_b },
    );
    let headers = [a.header(), b.header()];
    output.answer(
        || parted(&found, headers),
        || {
            json!({
                "schema_version": 1,
                "alike": found.alike,
                "first_difference": found.anything.as_ref().map(|at| value(at, headers)),
                "first_other_decision": found.decided.as_ref().map(|at| value(at, headers)),
            })
        },
    );
    Ok(if found.anything.is_none() { 0 } else { FAILED })
}

fn parted(found: &Divergence, headers: [&Header; 2]) -> String {
    let Some(anything) = &found.anything else {
        return format!("{} decisions, all alike", found.alike);
    };
    let mut out = format!("the first {} decisions are alike\n", found.alike);
    match &found.decided {
        Some(decided) if decided.index == anything.index => {
            out.push_str(&shown("decision", decided, headers));
        }
        Some(decided) => {
            let _ = writeln!(out, "decision {} differs in its instant or its reason alone", anything.index);
            out.push_str(&shown("another course is taken at decision", decided, headers));
        }
        None => {
            out.push_str(&shown("only instants and reasons differ, first at decision", anything, headers));
        }
    }
    out
}

fn shown(what: &str, at: &Parting, headers: [&Header; 2]) -> String {
    let mut out = format!("{what} {}:\n", at.index);
    for (name, i) in [("first", 0), ("second", 1)] {
        let _ = writeln!(out, "  the {name} trace");
        let _ = writeln!(out, "    before   {}", state(&at.states[i], headers[i]));
        let step = match at.steps[i] {
            Some(step) => said(&step, headers[i]),
            None => "has ended".to_owned(),
        };
        let _ = writeln!(out, "    decision {step}");
    }
    out
}

fn said(step: &RecordedStep, header: &Header) -> String {
    let body = Body::Step { event: step.event, decision: step.decision };
    let record = Record { at: step.at, body };
    format!("{:.9} {}", header.time(step.at), header.say(&record))
}

/// A scheduler's state in one line.
fn state(view: &View, header: &Header) -> String {
    let running = match view.running {
        Some((job, since)) => {
            format!(
                "{} runs (segment {}) since {:.9}",
                header.job_name(job.job),
                job.segment,
                header.time(since)
            )
        }
        None => "nobody runs".to_owned(),
    };
    let waiting: Vec<String> = view
        .ready
        .iter()
        .map(|job| format!("{} (segment {}, key {})", header.job_name(job.job), job.segment, job.key))
        .collect();
    match waiting.as_slice() {
        [] => format!("{running}, nobody waits"),
        waiting => format!("{running}; waiting: {}", waiting.join(", ")),
    }
}

fn value(at: &Parting, headers: [&Header; 2]) -> Value {
    let side = |i: usize| {
        let header = headers[i];
        json!({
            "at_ns": at.steps[i].map(|step| step.at.0),
            "decision": at.steps[i].map(|step| said(&step, header)),
            "running": at.states[i].running.map(|(job, _)| header.job_name(job.job).to_string()),
            "ready": at.states[i].ready.iter().map(|job| json!({
                "job": header.job_name(job.job).to_string(),
                "segment": job.segment,
                "key": job.key,
            })).collect::<Vec<_>>(),
        })
    };
    json!({ "index": at.index, "first": side(0), "second": side(1) })
}
