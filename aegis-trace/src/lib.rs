//! Recording of events and decisions: what happened, in which order, and why.
//!
//! A thread that records owns a [`Recorder`]; the [`Collector`]'s thread empties all rings into one file. [`Trace`]
//! reads that file, [`Trace::query`] finds records in it, [`Header::say`] puts a record into words, and
//! [`Jobs::explain`] says where the time of one job went.
#![forbid(unsafe_code)]

mod audit;
mod blame;
mod collect;
mod error;
mod explain;
mod file;
mod header;
mod jobs;
mod machine;
mod narrate;
mod query;
mod reader;
mod ring;
mod say;
#[cfg(test)]
mod tests;
mod time;
mod totals;
mod trace;
mod vocabulary;
mod why;
mod writer;

pub use audit::{Chain, Flaw, Link, audit};
pub use blame::{BlameRow, Cost, Source};
pub use collect::Collector;
pub use error::{Damage, TraceError};
pub use explain::{Against, Cause, CauseKind, During, Ending, Explanation, Root, Rule, Share, Suspect};
pub use header::{Header, ModelNote};
pub use jobs::{Job, Jobs, Moment, Segment};
pub use machine::Admission;
pub use query::Query;
pub use ring::{Recorder, Taken, Tap, recorder};
pub use time::WallTime;
pub use totals::{Balance, Gap, Totals};
pub use trace::{Entry, Trace};
pub use vocabulary::{Body, ClockLimits, Direction, Kind, Purpose, Record};
pub use writer::{write_all, write_file};
