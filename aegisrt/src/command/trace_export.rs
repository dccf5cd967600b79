//! `aegis trace export`: a trace in the format of another tool.
use super::trace::open;
use crate::Error;
use crate::cli::ExportArgs;
use crate::export::{chrome, job_lines, jobs_csv, otlp_spans, perfetto, records_csv};
use crate::file_output::{STDOUT, write_to};
use crate::output::{Format, Output};
use aegis_core::Bytes;
use aegis_trace::Jobs;
use std::path::Path;

pub(crate) fn run(args: &ExportArgs, output: &Output) -> Result<u8, Error> {
    let trace = open(&args.trace)?;
    if same_file(&args.trace, &args.output) {
        let trace = args.trace.display();
        return Err(Error::Argument(format!("--output: {trace} is the trace itself; name another file")));
    }
    let header = trace.header();
    write_to(Some(&args.output), |sink| match args.format {
        Format::Chrome => chrome(&trace, sink),
        Format::Csv => records_csv(sink, header, trace.entries()),
        Format::JobsCsv => jobs_csv(sink, header, job_lines(&Jobs::of(&trace))),
        Format::OtlpSpans => otlp_spans(&trace, sink),
        _ => perfetto(&trace, sink),
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

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
