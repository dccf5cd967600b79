//! `aegis trace`: what a trace says, record by record.
use crate::cli::{TraceArgs, TraceCommand};
use crate::output::{Output, table};
use crate::{Error, SourceError};
use aegis_core::Nanos;
use aegis_trace::{Query, Trace, TraceError};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn run(args: &TraceArgs, output: &Output) -> Result<u8, Error> {
    match &args.command {
        TraceCommand::Info { trace } => info(trace, output),
        TraceCommand::Verify { trace, key } => super::trace_verify::run(trace, key.as_deref(), output),
        TraceCommand::Query { trace: path, model, job, limit, window } => {
            let trace = open(path)?;
            let header = trace.header();
            let query = Query {
                task: model.as_deref().map(|name| header.task(name)).transpose()?,
                job: job.as_deref().map(|name| header.parse_job(name)).transpose()?,
                from: instant(window.from.as_deref(), &trace, "--from")?,
                to: instant(window.to.as_deref(), &trace, "--to")?,
            };
            let total = trace.query(&query).count();
            output.answer(
                || {
                    let lines = trace.query(&query).take(*limit);
                    let mut lines: Vec<String> = lines
                        .map(|e| format!("{}  {}", header.time(e.record.at), header.say(&e.record)))
                        .collect();
                    if total > *limit {
                        lines.push(format!("... {} more; raise --limit to see them", total - limit));
                    }
                    if total == 0 {
                        lines.push("no record matches".to_owned());
                    }
                    lines.join("\n")
                },
                || {
                    let records: Vec<Value> = trace
                        .query(&query)
                        .take(*limit)
                        .map(|e| {
                            json!({
                                "at_ns": e.record.at.0,
                                "recorder": e.recorder,
                                "seq": e.seq,
                                "text": header.say(&e.record).to_string(),
                                "body": serde_json::to_value(e.record.body).unwrap_or_default(),
                            })
                        })
                        .collect();
                    json!({ "schema_version": 1, "matching": total, "records": records })
                },
            );
            Ok(0)
        }
    }
}

/// Opens a trace; every error names the file.
pub(crate) fn open(path: &Path) -> Result<Trace, Error> {
    Trace::open(path).map_err(|error| match error {
        TraceError::Read { source, .. } => {
            SourceError::unplaced(path, format!("cannot read the trace: {source}")).into()
        }
        error if error.is_bad_input() => SourceError::unplaced(path, error.to_string()).into(),
        error => error.into(),
    })
}

fn info(path: &Path, output: &Output) -> Result<u8, Error> {
    let trace = open(path)?;
    let header = trace.header();
    let missing: u64 = trace.gaps().iter().map(aegis_trace::Gap::missing).sum();
    output.answer(
        || {
            let rows = header.models.iter().map(|m| {
                let digest = m.digest.get(..16).unwrap_or(&m.digest);
                vec![m.task.clone(), m.version.clone(), digest.to_owned(), m.file.clone()]
            });
            let complete = match (trace.complete(), missing) {
                (true, 0) => "complete".to_owned(),
                (whole, n) => format!(
                    "{}, {n} records missing",
                    if whole { "closed properly" } else { "cut off before its end" }
                ),
            };
            format!(
                "{}\n  written by {} on {}\n  clock {}, began {}, seed {:?}\n  policy {}, {} tasks, {} records, {complete}\n{}",
                path.display(),
                header.program,
                header.host,
                header.clock,
                header.time(Nanos::ZERO),
                header.seed,
                header.set.policy(),
                header.set.tasks().len(),
                trace.entries().len(),
                table(&["task", "runtime", "model", "file"], "llll", rows),
            )
        },
        || {
            json!({
                "schema_version": 1,
                "program": header.program,
                "host": header.host,
                "clock": header.clock,
                "created_unix_ns": header.created_unix_ns,
                "seed": header.seed,
                "policy": header.set.policy().name(),
                "spec_digest": header.spec_digest,
                "tasks": header.set.tasks().iter().map(|t| t.name.clone()).collect::<Vec<_>>(),
                "records": trace.entries().len(),
                "complete": trace.complete(),
                "missing": missing,
            })
        },
    );
    Ok(0)
}

/// An instant on the trace's clock: a time of day in UTC, or a time since the trace began.
pub(crate) fn instant(text: Option<&str>, trace: &Trace, option: &str) -> Result<Option<Nanos>, Error> {
    let Some(text) = text else { return Ok(None) };
    let bad = |what: String| Error::Argument(format!("{option}: {what}"));
    if !text.contains(':') {
        return text.parse().map(Some).map_err(|error: aegis_core::QuantityError| bad(error.to_string()));
    }
    let wrong = || bad(format!("`{text}` is not a time of day; write it as in 14:23:45.123"));
    let mut parts = text.splitn(3, ':');
    let mut whole = |most: u64| -> Option<u64> { parts.next()?.parse().ok().filter(|n| *n < most) };
    let (hours, minutes) = (whole(24).ok_or_else(wrong)?, whole(60).ok_or_else(wrong)?);
    let seconds = parts.next().unwrap_or("0");
    let seconds: Nanos = format!("{seconds} s").parse().map_err(|_| wrong())?;
    if seconds >= Nanos::from_secs(60) {
        return Err(wrong());
    }
    const DAY: u64 = 86_400_000_000_000;
    let of_day = Nanos::from_secs(hours * 3600 + minutes * 60) + seconds;
    let began = trace.header().created_unix_ns % DAY;
    // A time of day before the beginning is one of the next day.
    Ok(Some(Nanos((of_day.0 + DAY - began) % DAY)))
}
