//! Writing a whole trace at once, where no threads are involved: simulations, rejections, tests.
use crate::sink::{Files, Sink, Stream};
use crate::writer::{BLOCK, Start, Writer};
use crate::{Balance, ClockNote, ClockPair, Header, Record, Totals, TraceError, TraceKey};
use std::io::Write;
use std::path::Path;

/// Writes a whole trace of one recorder that dropped nothing: for simulations and tests. The same header and records
/// give the same bytes.
///
/// # Errors
/// [`TraceError::Write`], or what [`Header::check`] says.
pub fn write_all(
    sink: impl Write,
    header: &Header,
    records: impl IntoIterator<Item = Record>,
) -> Result<Totals, TraceError> {
    write(Stream(sink), header, None, records)
}

/// As [`write_all`], into a new file, signed if there is a key.
///
/// # Errors
/// [`TraceError::Create`], or as [`write_all`].
pub fn write_signed(
    path: &Path,
    header: &Header,
    key: Option<TraceKey>,
    records: impl IntoIterator<Item = Record>,
) -> Result<Totals, TraceError> {
    write(Files::create(path)?, header, key, records)
}

/// As [`write_all`], into a new file.
///
/// # Errors
/// [`TraceError::Create`], or as [`write_all`].
pub fn write_file(
    path: &Path,
    header: &Header,
    records: impl IntoIterator<Item = Record>,
) -> Result<Totals, TraceError> {
    write_signed(path, header, None, records)
}

fn write(
    sink: impl Sink,
    header: &Header,
    key: Option<TraceKey>,
    records: impl IntoIterator<Item = Record>,
) -> Result<Totals, TraceError> {
    let identity = identity(header, &[]);
    let start = Start { header, clock: ClockNote::unstated(), recorders: 1, key, identity, block: BLOCK };
    let mut writer = Writer::begin(sink, start)?;
    let mut written = 0;
    for (seq, record) in (0..).zip(records) {
        if let Err(source) = writer.record(0, seq, &record) {
            return Err(TraceError::Write { source, unwritten: writer.waiting() });
        }
        written = seq + 1;
    }
    let totals = Totals { recorders: vec![Balance { offered: written, written, ..Balance::default() }] };
    let waiting = writer.waiting();
    match writer.end(&totals, ClockPair::default()) {
        Ok(()) => Ok(totals),
        Err(source) => Err(TraceError::Write { source, unwritten: waiting }),
    }
}

/// Sixteen bytes that tell a recording from others: of its header, and of what makes it one of its kind.
pub fn identity(header: &Header, unique: &[u64]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    // The header was or will be written in the same encoding, which says why it cannot be.
    hasher.update(&postcard::to_allocvec(header).unwrap_or_default());
    for n in unique {
        hasher.update(&n.to_le_bytes());
    }
    let mut identity = [0; 16];
    identity.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    identity
}
