//! `aegis trace query`: the records or jobs of a trace that somebody asks for.
use super::trace::{instant, named, open, open_file};
use crate::Error;
use crate::cli::QueryArgs;
use crate::export::{
    Cell, ExportError, Filter, JOB_COLUMNS, JobLine, JobVerdict, job_row, jobs_csv, records_csv, subject,
};
use crate::file_output::write_to;
use crate::output::{Format, Output};
use aegis_trace::{Entry, Header, Jobs, Query, Selection, Trace};
use serde_json::{Map, Value, json};

/// What is shown of an answer that people read, unless they ask for more.
const SHOWN: usize = 1000;

pub(crate) fn run(args: &QueryArgs, output: &Output) -> Result<u8, Error> {
    let file = open_file(&args.trace)?;
    let filter = filter(args, file.header())?;
    if let Some(why) = unusable(args) {
        return Err(Error::Argument(why.to_owned()));
    }
    let trace = if args.jobs || !filter.verdicts.is_empty() || filter.slower_than.is_some() {
        open(&args.trace)?
    } else {
        // Only the blocks that may hold what is asked for.
        let Query { task, job, from, to } = filter.query;
        file.read(&Selection { task, job, from, to }).map_err(|error| named(&args.trace, error))?
    };
    let limit = args.limit.unwrap_or(if table(args.format) { usize::MAX } else { SHOWN });
    if args.jobs {
        jobs(args, &trace, &filter, limit, output)
    } else {
        records(args, &trace, &filter, limit, output)
    }
}

const fn table(format: Format) -> bool {
    matches!(format, Format::Csv | Format::Arrow)
}

/// What is wrong with the format and the file that were asked for.
fn unusable(args: &QueryArgs) -> Option<&'static str> {
    match args.format {
        Format::Arrow if !cfg!(feature = "arrow") => Some(
            "--format arrow: this program was built without it; build it with --features arrow, or take csv",
        ),
        Format::Arrow if args.output.is_none() => {
            Some("--format arrow is not text: name a file with --output, or - for standard output")
        }
        format if !table(format) && args.output.is_some() => {
            Some("--output: only tables go into a file; add --format csv or --format arrow")
        }
        _ => None,
    }
}

fn filter(args: &QueryArgs, header: &Header) -> Result<Filter, Error> {
    Ok(Filter {
        query: Query {
            task: args.model.as_deref().map(|name| header.task(name)).transpose()?,
            job: args.job.as_deref().map(|name| header.parse_job(name)).transpose()?,
            from: instant(args.window.from.as_deref(), header, "--from")?,
            to: instant(args.window.to.as_deref(), header, "--to")?,
        },
        kinds: args.kind.clone(),
        verdicts: if args.missed { vec![JobVerdict::Missed] } else { args.verdict.clone() },
        slower_than: args.slower_than,
    })
}

fn records(
    args: &QueryArgs,
    trace: &Trace,
    filter: &Filter,
    limit: usize,
    output: &Output,
) -> Result<u8, Error> {
    let header = trace.header();
    let found = filter.records(trace).map_err(explained)?;
    let shown = &found[..limit.min(found.len())];
    if table(args.format) {
        write_to(args.output.as_deref(), |sink| match args.format {
            #[cfg(feature = "arrow")]
            Format::Arrow => crate::export::records_arrow(sink, header, shown.iter().copied()),
            _ => records_csv(sink, header, shown.iter().copied()),
        })?;
        cut_off(found.len(), shown.len(), output);
        return Ok(0);
    }
    let line = |e: &&Entry| format!("{}  {}", header.time(e.record.at), header.say(&e.record));
    output.answer(
        || lines("record", shown.iter().map(line).collect(), found.len()),
        || {
            let records: Vec<Value> = shown.iter().map(|entry| record(header, entry)).collect();
            json!({ "schema_version": 1, "matching": found.len(), "missing": missing(trace), "records": records })
        },
    );
    Ok(0)
}

fn jobs(
    args: &QueryArgs,
    trace: &Trace,
    filter: &Filter,
    limit: usize,
    output: &Output,
) -> Result<u8, Error> {
    let header = trace.header();
    let found = filter.jobs(&Jobs::of(trace)).map_err(explained)?;
    let shown = &found[..limit.min(found.len())];
    if table(args.format) {
        let lines = shown.iter().cloned().map(Ok);
        write_to(args.output.as_deref(), |sink| match args.format {
            #[cfg(feature = "arrow")]
            Format::Arrow => crate::export::jobs_arrow(sink, header, lines),
            _ => jobs_csv(sink, header, lines),
        })?;
        cut_off(found.len(), shown.len(), output);
        return Ok(0);
    }
    output.answer(
        || lines("job", shown.iter().map(|line| sentence(header, line)).collect(), found.len()),
        || {
            let jobs: Vec<Value> = shown.iter().map(|line| job(header, line)).collect();
            json!({ "schema_version": 1, "matching": found.len(), "missing": missing(trace), "jobs": jobs })
        },
    );
    Ok(0)
}

/// Records that the answer lacks because the trace does.
fn missing(trace: &Trace) -> u64 {
    trace.gaps().iter().fold(0u64, |sum, gap| sum.saturating_add(gap.missing()))
}

fn explained(error: ExportError) -> Error {
    match error {
        ExportError::Trace(error) => error.into(),
        error => Error::Defect(error.to_string()),
    }
}

fn lines(what: &str, mut lines: Vec<String>, matching: usize) -> String {
    if matching > lines.len() {
        lines.push(format!("... {} more; raise --limit to see them", matching - lines.len()));
    }
    if matching == 0 {
        lines.push(format!("no {what} matches"));
    }
    lines.join("\n")
}

/// Says beside a table that it is not whole.
fn cut_off(matching: usize, shown: usize, output: &Output) {
    if matching > shown {
        output.note(format!("{} more match; raise --limit to see them", matching - shown));
    }
}

fn sentence(header: &Header, line: &JobLine) -> String {
    match &line.explanation {
        Some(explanation) => header.narrate(explanation).to_string(),
        None => format!("{}: the record of its arrival is missing", header.job_name(line.id)),
    }
}

fn record(header: &Header, entry: &Entry) -> Value {
    let about = subject(&entry.record.body);
    json!({
        "at_ns": entry.record.at.0,
        "recorder": entry.recorder,
        "seq": entry.seq,
        "kind": entry.record.body.kind().name(),
        "model": about.task.map(|task| header.task_name(task).to_string()),
        "job": about.job.map(|job| header.job_name(job).to_string()),
        "text": header.say(&entry.record).to_string(),
        "body": serde_json::to_value(entry.record.body).unwrap_or_default(),
    })
}

/// The columns of the table, with their names.
fn job(header: &Header, line: &JobLine) -> Value {
    let mut fields = Map::new();
    for (column, cell) in JOB_COLUMNS.iter().zip(job_row(header, line)) {
        let value = match cell {
            Cell::Nothing => Value::Null,
            Cell::Number(number) => number.into(),
            Cell::Text(text) => text.into(),
        };
        fields.insert(column.name.to_owned(), value);
    }
    fields.insert("sentence".to_owned(), sentence(header, line).into());
    Value::Object(fields)
}
