//! Writing the blocks of a trace, and a whole trace at once where no threads are involved.
use crate::file::{BEFORE, BEHIND, Chunk, END, HEADER, LONGEST, MAGIC, RECORDS, VERSION, crc32};
use crate::{Balance, Header, Record, Totals, TraceError};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Records in one block; keeps a block far below [`LONGEST`] whatever the records say.
pub(crate) const RECORDS_PER_BLOCK: usize = 8192;

/// A trace being written: one call of the sink's `write` a block, so that a crash leaves whole blocks.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    sink: W,
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes everything before the first record.
    pub fn begin(mut sink: W, header: &Header) -> Result<Self, TraceError> {
        header.check()?;
        let mut block = Vec::new();
        encode(&mut block, HEADER, header).map_err(not_written)?;
        let bytes = block.len() - BEFORE - BEHIND;
        if bytes > LONGEST as usize {
            return Err(TraceError::HeaderTooLarge { bytes, most: LONGEST });
        }
        sink.write_all(&MAGIC)
            .and_then(|()| sink.write_all(&VERSION.to_le_bytes()))
            .and_then(|()| sink.write_all(&block))
            .map_err(not_written)?;
        Ok(Self { sink, block })
    }

    /// Writes one block of at most [`RECORDS_PER_BLOCK`] records.
    pub fn records(&mut self, chunks: &[Chunk]) -> io::Result<()> {
        self.block(RECORDS, &chunks)
    }

    /// Writes the balance and hands everything to the system.
    pub fn end(mut self, totals: &Totals) -> io::Result<()> {
        self.block(END, totals)?;
        self.sink.flush()
    }

    fn block(&mut self, kind: u8, content: &impl Serialize) -> io::Result<()> {
        encode(&mut self.block, kind, content)?;
        self.sink.write_all(&self.block)
    }
}

fn not_written(source: io::Error) -> TraceError {
    TraceError::Write { source, unwritten: 0 }
}

/// Replaces `block` by kind, length, payload and checksum.
fn encode(block: &mut Vec<u8>, kind: u8, content: &impl Serialize) -> io::Result<()> {
    block.clear();
    block.push(kind);
    block.extend([0; 4]);
    postcard::to_io(content, &mut *block).map_err(io::Error::other)?;
    let length = u32::try_from(block.len() - BEFORE).map_err(io::Error::other)?;
    block[1..BEFORE].copy_from_slice(&length.to_le_bytes());
    block.extend(crc32(0, block).to_le_bytes());
    Ok(())
}

/// Writes a whole trace of one recorder that dropped nothing: for simulations and tests.
///
/// # Errors
/// [`TraceError::Write`], or what [`Header::check`] says.
pub fn write_all(
    sink: impl Write,
    header: &Header,
    records: impl IntoIterator<Item = Record>,
) -> Result<Totals, TraceError> {
    let mut writer = Writer::begin(sink, header)?;
    let mut records = records.into_iter();
    let mut chunk = Chunk { recorder: 0, first: 0, records: Vec::new() };
    let mut written = 0;
    loop {
        chunk.records.clear();
        chunk.records.extend(records.by_ref().take(RECORDS_PER_BLOCK));
        if chunk.records.is_empty() {
            break;
        }
        let taken = chunk.records.len() as u64;
        writer
            .records(std::slice::from_ref(&chunk))
            .map_err(|source| TraceError::Write { source, unwritten: taken })?;
        written += taken;
        chunk.first = written;
    }
    let totals = Totals { recorders: vec![Balance { offered: written, written, ..Balance::default() }] };
    writer.end(&totals).map_err(not_written)?;
    Ok(totals)
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
    write_all(create(path)?, header, records)
}

pub(crate) fn create(path: &Path) -> Result<File, TraceError> {
    File::create(path).map_err(|source| TraceError::Create { path: path.to_path_buf(), source })
}
