//! Recording of events and decisions.
#![forbid(unsafe_code)]

mod vocabulary;

pub use vocabulary::{Body, Purpose, Record};
