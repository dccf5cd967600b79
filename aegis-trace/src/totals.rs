//! The balance of a trace: what was offered, what is in the file, what is missing.
use crate::Kind;
use crate::bytes::Cursor;
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

impl Totals {
    /// The balances before the first record of so many recorders.
    #[must_use]
    pub fn none(recorders: usize) -> Self {
        Self { recorders: vec![Balance { still_recording: true, ..Balance::default() }; recorders] }
    }

    /// The number of recorders, then for each: offered, written, whether it records, the number of kinds, and a kind with
    /// its drops for each.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        to.extend(u32::try_from(self.recorders.len()).unwrap_or(u32::MAX).to_le_bytes());
        for balance in &self.recorders {
            to.extend(balance.offered.to_le_bytes());
            to.extend(balance.written.to_le_bytes());
            to.push(u8::from(balance.still_recording));
            // There are far fewer kinds: see `Kind::ALL`.
            to.push(u8::try_from(balance.dropped.len()).unwrap_or(u8::MAX));
            for (kind, dropped) in &balance.dropped {
                to.push(*kind as u8);
                to.extend(dropped.to_le_bytes());
            }
        }
    }

    /// Undoes `encode`; kinds must ascend.
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut recorders = Vec::new();
        for _ in 0..cursor.u32()? {
            let (offered, written) = (cursor.u64()?, cursor.u64()?);
            let still_recording = match cursor.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            };
            let mut dropped = BTreeMap::new();
            for _ in 0..cursor.u8()? {
                let kind = *Kind::ALL.get(usize::from(cursor.u8()?))?;
                if dropped.last_key_value().is_some_and(|(last, _)| *last >= kind) {
                    return None;
                }
                dropped.insert(kind, cursor.u64()?);
            }
            recorders.push(Balance { offered, written, dropped, still_recording });
        }
        Some(Self { recorders })
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
