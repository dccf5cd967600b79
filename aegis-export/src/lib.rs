//! Traces in the formats that other tools open, and metrics computed from them.
//!
//! Everything here reads a [`Trace`](aegis_trace::Trace) and writes to a sink as it goes, so that beside the trace and
//! the histories of its jobs an export holds one event in memory. [`perfetto()`] and [`chrome()`] tell the same
//! timeline; [`records_csv`] and [`jobs_csv`] are tables; [`Metrics`] are counters, gauges and histograms, written as
//! OpenMetrics or OTLP; [`Filter`] chooses records and jobs. What each format loses stands in `docs/EXPORT.md`.
#![forbid(unsafe_code)]

#[cfg(feature = "arrow")]
mod arrow;
mod chrome;
mod csv;
mod error;
mod filter;
mod job;
pub mod metrics;
mod ort;
mod otlp_spans;
mod perfetto;
mod subject;
mod table;
mod timeline;

#[cfg(feature = "arrow")]
pub use arrow::{jobs_arrow, records_arrow};
pub use chrome::chrome;
pub use csv::{jobs_csv, records_csv};
pub use error::ExportError;
pub use filter::Filter;
pub use job::{JobLine, JobVerdict, Run, job_lines};
pub use metrics::Metrics;
pub use ort::{Alignment, Operator, Operators, OrtError};
pub use otlp_spans::otlp_spans;
pub use perfetto::perfetto;
pub use subject::{Subject, subject};
pub use table::{Cell, Column, ColumnKind, JOB_COLUMNS, RECORD_COLUMNS, job_row, record_row};
