//! Recording of events and decisions: what happened, in which order, and why.
//!
//! A thread that records owns a [`Recorder`]; the [`Collector`]'s thread empties all rings into one file. [`Trace`]
//! reads that file, [`Trace::query`] finds records in it, [`Header::say`] puts a record into words, and
//! [`Jobs::explain`] says where the time of one job went.
#![deny(unsafe_code)]

mod around;
mod audit;
mod blame;
mod blocks;
mod bytes;
mod clock;
mod collect;
mod counter;
mod counters;
mod error;
mod explain;
mod file;
mod header;
mod jobs;
mod key;
mod machine;
mod narrate;
mod origin;
mod query;
mod reader;
mod ring;
mod say;
mod sink;
mod slot;
mod summary;
#[cfg(test)]
mod tests;
mod time;
mod totals;
mod trace;
mod trace_file;
mod vocabulary;
mod why;
mod write;
mod writer;

pub use audit::{Chain, Flaw, Link, audit};
pub use blame::{BlameRow, Cost, Source};
pub use clock::TraceClock;
pub use collect::{Collector, Options};
pub use error::{Damage, TraceError, WrongPart};
pub use explain::{Against, Cause, CauseKind, During, Ending, Explanation, Root, Rule, Share, Suspect};
pub use header::{Header, ModelNote};
pub use jobs::{Job, Jobs, Moment, Segment};
pub use key::TraceKey;
pub use machine::Admission;
pub use origin::{Build, ClockNote, ClockPair, ClockSource, Counter, Origin, WhyMonotonic};
pub use query::Query;
pub use ring::{Recorder, Taken, Tap, most_slots, recorder, ring_slots};
pub use sink::part_path;
pub use summary::{Range, Selection, Summary};
pub use time::WallTime;
pub use totals::{Balance, Gap, Totals};
pub use trace::{Entry, Recording, Trace};
pub use trace_file::{BlockAt, TraceFile};
pub use vocabulary::{Body, ClockLimits, Direction, Kind, Purpose, Record};
pub use write::{write_all, write_file, write_signed};
