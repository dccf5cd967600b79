//! AegisRT: many models on one device, predictably, and with the reason for everything.
//!
//! This crate is the umbrella: [`Runtime`] does the whole job for a program, the `aegis` command does it for a person.
//! The stages are plain functions on plain data and can be used one by one: [`SystemFile::open`], [`load::load`],
//! [`measure::measure`], [`analysis::admit`](aegis_analysis::admit), [`memory::plan_memory`],
//! [`execute::execute`], [`Report::of`]. The crates behind it are re-exported.
#![forbid(unsafe_code)]

mod admission;
mod arena;
mod assurance;
pub mod backends;
pub mod cli;
mod command;
mod contention;
mod diagnostic;
mod error;
pub mod execute;
mod file_output;
pub mod heap;
mod host;
mod jobs_csv;
pub mod load;
pub mod measure;
pub mod memory;
mod output;
pub mod profiles;
mod report;
mod runtime;
mod spec;
mod svg;
pub mod tasks_file;
mod watch;
pub mod zoo;

pub use aegis_backend as backend;
pub use aegis_context as context;
pub use aegis_core::{self as core, Bytes, Nanos, Policy};
pub use aegis_cuda as cuda;
pub use aegis_export as export;
pub use aegis_memory as planner;
pub use aegis_sched as sched;
pub use aegis_trace as trace;
pub use diagnostic::SourceError;
pub use error::Error;
pub use report::{Delays, Report, TaskReport};
pub use runtime::{Finished, Runtime, task_set, trace_path};
pub use spec::SystemFile;
