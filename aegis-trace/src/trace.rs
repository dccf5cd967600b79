//! A trace in memory: header, records in the order of time, balance and gaps.
use crate::{Gap, Header, Record, Totals, TraceError, reader};
use aegis_core::Nanos;
use std::collections::BTreeMap;
use std::path::Path;

/// One record with its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// Position of the recorder that recorded it.
    pub recorder: u32,
    /// Its number among the records offered to that recorder, from 0.
    pub seq: u64,
    /// The record.
    pub record: Record,
}

/// A trace that was read.
#[derive(Debug, Clone)]
pub struct Trace {
    header: Header,
    entries: Vec<Entry>,
    gaps: Vec<Gap>,
    totals: Option<Totals>,
    bytes_read: u64,
}

impl Trace {
    /// Reads a trace file. A file that was cut off is read up to its last whole block; [`Trace::complete`] says so.
    ///
    /// # Errors
    /// [`TraceError::Read`], or as [`Trace::from_bytes`].
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let bytes =
            std::fs::read(path).map_err(|source| TraceError::Read { path: path.to_path_buf(), source })?;
        Self::from_bytes(&bytes)
    }

    /// Reads a trace from memory.
    ///
    /// # Errors
    /// [`TraceError`] says what is wrong with it, and at which byte.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TraceError> {
        let contents = reader::read(bytes)?;
        Ok(Self {
            header: contents.header,
            entries: merge(contents.recorders),
            gaps: contents.gaps,
            totals: contents.totals,
            bytes_read: contents.read,
        })
    }

    /// What the trace says about itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Every record, in the order of time; at one instant in the order of recorders. The records of one recorder keep
    /// the order in which they were recorded, even where it recorded an instant that was earlier than the one before.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where records are missing, in the order of the file.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// The balance of every recorder; `None` when the trace is cut off.
    #[must_use]
    pub const fn totals(&self) -> Option<&Totals> {
        self.totals.as_ref()
    }

    /// Whether the trace was written to its end. Records may still be missing: see [`Trace::gaps`].
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.totals.is_some()
    }

    /// How many bytes of the trace could be read: all of them when it is complete.
    #[must_use]
    pub const fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

/// Merges by (instant, recorder, sequence number), where an instant counts as no earlier than the ones that its
/// recorder recorded before.
fn merge(recorders: BTreeMap<u32, Vec<Entry>>) -> Vec<Entry> {
    let mut keyed: Vec<(Nanos, Entry)> = Vec::with_capacity(recorders.values().map(Vec::len).sum());
    for entries in recorders.into_values() {
        let mut latest = Nanos::ZERO;
        keyed.extend(entries.into_iter().map(|entry| {
            latest = latest.max(entry.record.at);
            (latest, entry)
        }));
    }
    keyed.sort_by_key(|(latest, entry)| (*latest, entry.recorder, entry.seq));
    keyed.into_iter().map(|(_, entry)| entry).collect()
}
