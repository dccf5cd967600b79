//! What can be asked of a trace beyond a look at it: queries, exports, metrics.
use super::WindowArgs;
use crate::export::JobVerdict;
use crate::output::Format;
use aegis_core::Nanos;
use aegis_trace::Kind;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The trace
    pub trace: PathBuf,
    /// Lists jobs, one line each, instead of records
    #[arg(long)]
    pub jobs: bool,
    /// Only records that concern this task's model; of jobs, those of it
    #[arg(long, value_name = "TASK")]
    pub model: Option<String>,
    /// Only records that concern this job, as in camera#118
    #[arg(long)]
    pub job: Option<String>,
    /// Only records of these kinds
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind(), conflicts_with = "jobs")]
    pub kind: Vec<Kind>,
    /// Only jobs that ended so, or records about such jobs
    #[arg(long, value_name = "VERDICT", value_delimiter = ',', value_parser = verdict())]
    pub verdict: Vec<JobVerdict>,
    /// Only jobs that missed their deadline, or records about such jobs: short for --verdict missed
    #[arg(long, conflicts_with = "verdict")]
    pub missed: bool,
    /// Only jobs that took longer than this from their arrival on, or records about such jobs
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub slower_than: Option<Nanos>,
    /// At most so many records or jobs [default: 1000 as text and JSON, else all]
    #[arg(long)]
    pub limit: Option<usize>,
    #[command(flatten)]
    pub window: WindowArgs,
    /// How the answer is printed; JSON carries `schema_version`, arrow needs a program that was built with it
    #[arg(long, value_parser = Format::one_of(QUERY), default_value = "text")]
    pub format: Format,
    /// Writes a table (csv, arrow) into this file instead of standard output; - is standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

const QUERY: &[Format] = &[Format::Text, Format::Json, Format::Csv, Format::Arrow];

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The trace
    pub trace: PathBuf,
    /// What is written: perfetto and chrome for ui.perfetto.dev, csv with a row for each record, jobs-csv with one for
    /// each job, otlp-spans for OpenTelemetry
    #[arg(long, value_parser = Format::one_of(EXPORT), default_value = "perfetto")]
    pub format: Format,
    /// The file to write; - is standard output
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Shows the operators of ONNX Runtime's profile of a task's session under its jobs, in perfetto and chrome; may be
    /// repeated. TASK= may be left out where one task runs on ONNX Runtime
    #[arg(long, value_name = "[TASK=]FILE")]
    pub merge_ort: Vec<String>,
}

const EXPORT: &[Format] =
    &[Format::Perfetto, Format::Chrome, Format::Csv, Format::JobsCsv, Format::OtlpSpans];

#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// The trace
    pub trace: PathBuf,
    /// OpenMetrics text for Prometheus, or OTLP as JSON for an OpenTelemetry collector
    #[arg(long, value_parser = Format::one_of(&[Format::Openmetrics, Format::Otlp]), default_value = "openmetrics")]
    pub format: Format,
    /// Writes into this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::name))
        .map(|name| Kind::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or(Kind::Step))
}

fn verdict() -> impl TypedValueParser<Value = JobVerdict> {
    PossibleValuesParser::new(JobVerdict::ALL.map(JobVerdict::name)).map(|name| {
        JobVerdict::ALL.into_iter().find(|verdict| verdict.name() == name).unwrap_or(JobVerdict::Unknown)
    })
}
