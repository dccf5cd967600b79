//! `aegis trace`: what a trace says of itself; opening one, and instants as people write them.
use crate::cli::{TraceArgs, TraceCommand};
use crate::output::{Output, table};
use crate::{Error, SourceError};
use aegis_core::Nanos;
use aegis_trace::{Header, Trace, TraceError, TraceFile};
use serde_json::json;
use std::path::Path;

pub(crate) fn run(args: &TraceArgs, output: &Output) -> Result<u8, Error> {
    match &args.command {
        TraceCommand::Info { trace } => info(trace, output),
        TraceCommand::Verify { trace, key } => super::trace_verify::run(trace, key.as_deref(), output),
        TraceCommand::Query(args) => super::trace_query::run(args, output),
        TraceCommand::Export(args) => super::trace_export::run(args, output),
        TraceCommand::Metrics(args) => super::trace_metrics::run(args, output),
    }
}

/// Opens a trace; every error names the file.
pub(crate) fn open(path: &Path) -> Result<Trace, Error> {
    Trace::open(path).map_err(|error| named(path, error))
}

/// Opens a trace without reading its records; every error names the file.
pub(crate) fn open_file(path: &Path) -> Result<TraceFile, Error> {
    TraceFile::open(path).map_err(|error| named(path, error))
}

/// The error with the file that it is about.
pub(crate) fn named(path: &Path, error: TraceError) -> Error {
    match error {
        TraceError::Read { source, .. } => {
            SourceError::unplaced(path, format!("cannot read the trace: {source}")).into()
        }
        error if error.is_bad_input() => SourceError::unplaced(path, error.to_string()).into(),
        error => error.into(),
    }
}

fn info(path: &Path, output: &Output) -> Result<u8, Error> {
    let trace = open(path)?;
    let (header, recording) = (trace.header(), trace.recording());
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
                "{}\n  written by {} on {}\n  recorder {}, {}, {}\n  clock {}, began {}, seed {:?}\n  policy {}, {} tasks, {} records, {complete}\n{}",
                path.display(),
                header.program,
                header.host,
                recording.origin.build,
                match recording.parts {
                    1 => "1 part".to_owned(),
                    n => format!("{n} parts"),
                },
                if recording.key.is_some() { "signed" } else { "not signed" },
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
                "clock_resolution_ns": recording.origin.clock.resolution_ns,
                "recorder_version": recording.origin.build.version,
                "recorder_profile": recording.origin.build.profile,
                "recorder_target": recording.origin.build.target,
                "parts": recording.parts,
                "signed": recording.key.is_some(),
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
pub(crate) fn instant(text: Option<&str>, header: &Header, option: &str) -> Result<Option<Nanos>, Error> {
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
    let began = header.created_unix_ns % DAY;
    // A time of day before the beginning is one of the next day.
    Ok(Some(Nanos((of_day.0 + DAY - began) % DAY)))
}
