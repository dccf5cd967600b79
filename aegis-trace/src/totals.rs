//! The balance of a trace: what was offered, what is in the file, what is missing.
use crate::Kind;
use aegis_core::Nanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The balance of every recorder, in the order in which their taps were given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// One balance a recorder.
    pub recorders: Vec<Balance>,
}

/// The balance of one recorder: `offered = written + dropped`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balance {
    /// Records that its thread offered.
    pub offered: u64,
    /// Records that are in the file.
    pub written: u64,
    /// Records that did not fit its ring, by kind; kinds without drops are left out.
    pub dropped: BTreeMap<Kind, u64>,
    /// Whether its thread was still recording when the trace was finished; what it offered later is not counted.
    pub still_recording: bool,
}

impl Balance {
    /// All drops; saturates on a count that no recorder can reach.
    #[must_use]
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Whether `offered = written + dropped`.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.written.checked_add(self.dropped_in_all()) == Some(self.offered)
    }
}

impl Totals {
    /// Records offered by all recorders.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.recorders.iter().fold(0, |sum, r| sum.saturating_add(r.offered))
    }

    /// Records in the file.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.recorders.iter().fold(0, |sum, r| sum.saturating_add(r.written))
    }

    /// Records dropped by all recorders.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.recorders.iter().fold(0, |sum, r| sum.saturating_add(r.dropped_in_all()))
    }
}

/// Records that are missing from a trace, at the place where they are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Position of the recorder.
    pub recorder: u32,
    /// Sequence number of the first missing record.
    pub first: u64,
    /// Sequence number of the last missing record.
    pub last: u64,
    /// Instant of the recorder's last record before the gap, if there is one.
    pub after: Option<Nanos>,
    /// Instant of its first record behind the gap, if there is one.
    pub before: Option<Nanos>,
}

impl Gap {
    /// How many records are missing.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}
