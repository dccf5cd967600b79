//! `aegis replay`: the scheduler stepped through a trace again.
use super::FAILED;
use super::trace::open;
use crate::Error;
use crate::cli::ReplayArgs;
use crate::output::Output;
use aegis_sched::replay::{RecordedStep, Replay, replay};
use aegis_trace::{Body, Trace};
use serde_json::json;

pub(crate) fn run(args: &ReplayArgs, output: &Output) -> Result<u8, Error> {
    let trace = open(&args.trace)?;
    let result = of(&trace);
    output.answer(
        || text(&result, &trace),
        || {
            json!({
                "schema_version": 1,
                "compared": result.compared,
                "differences": result.differences,
                "complete": trace.complete() && trace.gaps().is_empty(),
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

/// Replays the scheduler's steps of a trace.
pub(crate) fn of(trace: &Trace) -> Replay {
    let steps = trace.entries().iter().filter_map(|entry| match entry.record.body {
        Body::Step { event, decision } => Some(RecordedStep { at: entry.record.at, event, decision }),
        _ => None,
    });
    replay(&trace.header().set, &trace.header().queues, steps)
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
