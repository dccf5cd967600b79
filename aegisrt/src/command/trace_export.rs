//! `aegis trace export`: a trace in the format of another tool.
use super::trace::open;
use crate::cli::ExportArgs;
use crate::diagnostic::read_text;
use crate::export::{
    Alignment, ExportError, Operators, chrome, job_lines, jobs_csv, otlp_spans, perfetto, records_csv,
};
use crate::file_output::{STDOUT, write_to};
use crate::output::{Format, Output};
use crate::{Error, SourceError};
use aegis_core::{Bytes, TaskId};
use aegis_trace::{Jobs, Trace};
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &ExportArgs, output: &Output) -> Result<u8, Error> {
    let trace = open(&args.trace)?;
    if same_file(&args.trace, &args.output) {
        let trace = args.trace.display();
        return Err(Error::Argument(format!("--output: {trace} is the trace itself; name another file")));
    }
    let operators = merged(args, &trace, output)?;
    let header = trace.header();
    write_to(Some(&args.output), |sink| match args.format {
        Format::Chrome => chrome(&trace, &operators, sink),
        Format::Csv => records_csv(sink, header, trace.entries()),
        Format::JobsCsv => jobs_csv(sink, header, job_lines(&Jobs::of(&trace))),
        Format::OtlpSpans => otlp_spans(&trace, sink),
        _ => perfetto(&trace, &operators, sink),
    })?;
    if args.output != Path::new(STDOUT) {
        let (file, bytes) = (args.output.display(), args.output.metadata().map_or(0, |about| about.len()));
        let next = match args.format {
            Format::Chrome => "; open it at https://ui.perfetto.dev or chrome://tracing",
            Format::Csv | Format::JobsCsv => "",
            Format::OtlpSpans => "; send it to a collector's /v1/traces",
            _ => "; open it at https://ui.perfetto.dev",
        };
        output.line(format!("wrote {file}, {}{next}", Bytes(bytes)));
    }
    Ok(0)
}

/// The operators of all profiles that were named.
fn merged(args: &ExportArgs, trace: &Trace, output: &Output) -> Result<Operators, Error> {
    let mut operators = Operators::default();
    if !args.merge_ort.is_empty() && !matches!(args.format, Format::Perfetto | Format::Chrome) {
        let why = "--merge-ort: only the formats perfetto and chrome show operators";
        return Err(Error::Argument(why.to_owned()));
    }
    for argument in &args.merge_ort {
        let (task, file) = profile_of(argument, trace)?;
        let text = read_text(&file, "profile")?;
        let task_name = trace.header().task_name(task);
        let alignment = operators.merge_ort(trace, task, &text).map_err(|error| match error {
            ExportError::Ort(why) => SourceError::unplaced(&file, format!("{task_name}: {why}")).into(),
            ExportError::Trace(error) => error.into(),
            error => Error::Defect(error.to_string()),
        })?;
        let Alignment { executions, earlier_runs, operators, error } = alignment;
        output.note(format!(
            "{}: {operators} operators in {executions} executions of {task_name} ({earlier_runs} earlier runs left out); \
             their times can be off by {error} either way",
            file.display()
        ));
    }
    Ok(operators)
}

/// The task and file of `[TASK=]FILE`. What stands before `=` is only taken for a task if there is one of that name.
fn profile_of(argument: &str, trace: &Trace) -> Result<(TaskId, PathBuf), Error> {
    let header = trace.header();
    if let Some((name, file)) = argument.split_once('=')
        && let Ok(task) = header.task(name)
    {
        return Ok((task, file.into()));
    }
    let mut on_ort = header.models.iter().filter(|model| model.backend == "ort");
    match (on_ort.next(), on_ort.next()) {
        (Some(model), None) => Ok((header.task(&model.task)?, argument.into())),
        _ => Err(Error::Argument(format!(
            "--merge-ort {argument}: whose profile is it? Write TASK={argument} with the name of a task"
        ))),
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
