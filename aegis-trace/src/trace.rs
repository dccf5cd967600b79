//! A trace in memory: header, records in the order of time, balance and gaps.
use crate::reader::{Contents, Ended, unread};
use crate::sink::part_path;
use crate::{ClockPair, Gap, Header, Origin, Record, Totals, TraceError};
use aegis_core::Nanos;
use std::fs::File;
use std::io;
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

/// How a trace was recorded, and how much of it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Tells this recording from every other.
    pub identity: [u8; 16],
    /// The first part that was read, from 1.
    pub part: u32,
    /// How many parts were read.
    pub parts: u32,
    /// The public key (Ed25519) whose signatures the trace carries; `None` when it is not signed. Reading does not check
    /// signatures: `aegis trace verify` does.
    pub key: Option<[u8; 32]>,
    /// Who wrote it, on which clock.
    pub origin: Origin,
    /// Its clock beside others, at every checkpoint.
    pub clocks: Vec<ClockPair>,
    /// Bytes up to the last whole block, of all parts.
    pub bytes_read: u64,
}

/// A trace that was read.
#[derive(Debug, Clone)]
pub struct Trace {
    header: Header,
    recording: Recording,
    entries: Vec<Entry>,
    gaps: Vec<Gap>,
    totals: Option<Totals>,
}

impl Trace {
    /// Reads a trace file, and the parts that follow it. A trace that was cut off is read up to its last whole block;
    /// [`Trace::complete`] says so.
    ///
    /// # Errors
    /// [`TraceError::Read`], [`TraceError::Part`] or [`TraceError::InPart`] for a later part, or as
    /// [`Trace::from_bytes`].
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let file = File::open(path).map_err(|source| unread(path, source))?;
        let (mut contents, mut hash, mut ended) = Contents::read(file, path)?;
        let first = path_of_first(path, contents.recording.part);
        let mut part = contents.recording.part;
        while ended == Ended::Continued {
            part = part.saturating_add(1);
            let path = part_path(&first, part);
            let file = match File::open(&path) {
                Ok(file) => file,
                // The crash came before the next part was begun, or somebody took it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(source) => return Err(unread(&path, source)),
            };
            match contents.read_next(file, &path, hash) {
                Ok(next) => (hash, ended) = next,
                Err(TraceError::NoHeader { .. }) => break,
                Err(error @ (TraceError::Part { .. } | TraceError::Read { .. })) => return Err(error),
                Err(error) => return Err(TraceError::InPart { path, error: Box::new(error) }),
            }
        }
        Ok(Self::of(contents))
    }

    /// Reads a trace of one part from memory.
    ///
    /// # Errors
    /// [`TraceError`] says what is wrong with it, and at which byte.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TraceError> {
        let (contents, ..) = Contents::read(bytes, Path::new("bytes in memory"))?;
        Ok(Self::of(contents))
    }

    pub(crate) fn of(contents: Contents) -> Self {
        let Contents { header, recording, recorders, gaps, totals, .. } = contents;
        Self {
            header,
            recording,
            entries: merge(recorders.into_iter().map(|recorder| recorder.entries).collect()),
            gaps,
            totals,
        }
    }

    /// What the trace says about itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// How it was recorded: parts, clock, who wrote it, whether it is signed.
    #[must_use]
    pub const fn recording(&self) -> &Recording {
        &self.recording
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
        self.recording.bytes_read
    }
}

/// The path of the first part, from that of any.
pub fn path_of_first(path: &Path, part: u32) -> std::path::PathBuf {
    let suffix = format!(".{part}");
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    match stem.and_then(|stem| stem.strip_suffix(&suffix)) {
        Some(stem) if part > 1 => {
            let mut name = std::ffi::OsString::from(stem);
            if let Some(extension) = path.extension() {
                name.push(".");
                name.push(extension);
            }
            path.with_file_name(name)
        }
        _ => path.to_path_buf(),
    }
}

/// Merges by (instant, recorder, sequence number), where an instant counts as no earlier than the ones that its
/// recorder recorded before.
fn merge(recorders: Vec<Vec<Entry>>) -> Vec<Entry> {
    let mut keyed: Vec<(Nanos, Entry)> = Vec::with_capacity(recorders.iter().map(Vec::len).sum());
    for entries in recorders {
        let mut latest = Nanos::ZERO;
        keyed.extend(entries.into_iter().map(|entry| {
            latest = latest.max(entry.record.at);
            (latest, entry)
        }));
    }
    keyed.sort_by_key(|(latest, entry)| (*latest, entry.recorder, entry.seq));
    keyed.into_iter().map(|(_, entry)| entry).collect()
}
