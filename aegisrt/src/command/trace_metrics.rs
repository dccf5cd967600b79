//! `aegis trace metrics`: what a trace adds up to, for monitoring.
use super::trace::open;
use crate::Error;
use crate::cli::MetricsArgs;
use crate::export::{ExportError, Metrics};
use crate::file_output::write_to;
use crate::output::{Format, Output};
use aegis_trace::Trace;
use std::path::Path;

pub(crate) fn run(args: &MetricsArgs, output: &Output) -> Result<u8, Error> {
    let trace = open(&args.trace)?;
    // Whoever asks for JSON before the command's name gets the one that is JSON.
    let format = if output.json() { Format::Otlp } else { args.format };
    write_to(args.output.as_deref(), |sink| sum_up(&trace, format, sink))?;
    Ok(0)
}

/// Writes the metrics of a trace into a file.
pub(crate) fn write(trace: &Trace, path: &Path, format: Format) -> Result<(), Error> {
    write_to(Some(path), |sink| sum_up(trace, format, sink))
}

fn sum_up(trace: &Trace, format: Format, sink: &mut dyn std::io::Write) -> Result<(), ExportError> {
    let metrics = Metrics::of(trace)?;
    if format == Format::Otlp { metrics.otlp(sink) } else { metrics.openmetrics(sink) }
}
