//! Writing the blocks of a trace, part after part, in bounded memory.
use crate::bytes::{put_varint, step};
use crate::file::{
    CHECKPOINT, CHUNK, CONTINUED, END, GAP, HASH, HEAD, HEADER, Hash, Head, INDEX, LONGEST, RECORDS, SIGNED,
    START, chained, first_hash, start,
};
use crate::key::{SIGNATURE, Signed};
use crate::sink::Sink;
use crate::summary::Summary;
use crate::{ClockNote, ClockPair, Header, Origin, Record, Totals, TraceError, TraceKey};
use std::io;

/// What [`Start::block`] is unless a test needs many small blocks.
pub const BLOCK: usize = 1 << 17;
/// The same for the lines of the index.
const INDEX_BLOCK: usize = 1 << 16;

/// What a file is written with, besides its header.
#[derive(Debug)]
pub struct Start<'a> {
    pub header: &'a Header,
    pub clock: ClockNote,
    pub recorders: usize,
    pub key: Option<TraceKey>,
    /// Tells this recording from every other.
    pub identity: [u8; 16],
    /// Records that wait are written as a block when they take this many bytes.
    pub block: usize,
}

/// A trace being written: each block is handed to the sink in one call, so that a crash leaves whole blocks.
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
    key: Option<TraceKey>,
    identity: [u8; 16],
    /// Origin and header, as every part repeats them.
    about: Vec<u8>,
    /// From 1.
    part: u32,
    /// Where the next block stands, its number, and the hash before it.
    offset: u64,
    number: u64,
    hash: Hash,
    /// The next sequence number of each recorder, and its records that wait.
    recorders: Vec<Progress>,
    waiting: Waiting,
    index: Index,
    most_waiting: usize,
    block: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    next: u64,
    waiting: u64,
    written: u64,
}

/// The content of the next block of records.
#[derive(Debug, Default)]
struct Waiting {
    summary: Summary,
    chunks: Vec<u8>,
    records: u64,
    open: Option<Open>,
    body: Vec<u8>,
}

/// The chunk at the end of `Waiting::chunks`.
#[derive(Debug, Clone, Copy)]
struct Open {
    recorder: u32,
    count: u32,
    at: u64,
    /// Where its count and its length stand.
    place: usize,
}

#[derive(Debug, Default)]
struct Index {
    lines: Vec<u8>,
    count: u32,
    /// Offset of the last index block; 0 without one.
    before: u64,
}

impl<S: Sink> Writer<S> {
    /// Writes everything before the first record.
    pub fn begin(sink: S, start: Start<'_>) -> Result<Self, TraceError> {
        start.header.check()?;
        let origin = Origin { clock: start.clock, build: crate::Build::this() };
        let mut about = Vec::new();
        put_encoded(&mut about, &origin).map_err(not_written)?;
        put_encoded(&mut about, start.header).map_err(not_written)?;
        let mut writer = Self {
            sink,
            key: start.key,
            identity: start.identity,
            about,
            part: 0,
            offset: 0,
            number: 0,
            hash: [0; HASH],
            recorders: vec![Progress::default(); start.recorders],
            waiting: Waiting::default(),
            index: Index::default(),
            most_waiting: start.block,
            block: Vec::new(),
        };
        let totals = Totals::none(start.recorders);
        writer.header(&totals);
        let bytes = writer.block.len() - START - HEAD;
        if bytes > LONGEST as usize {
            return Err(TraceError::HeaderTooLarge { bytes, most: LONGEST });
        }
        writer.close(START, HEADER).map_err(not_written)?;
        Ok(writer)
    }

    /// Begins a part: what stands before its first block, and that block but for its hash.
    fn header(&mut self, totals: &Totals) {
        self.part += 1;
        self.block.clear();
        self.block.extend(start());
        self.block.extend([0; HEAD]);
        self.block.extend(self.identity);
        self.block.extend(self.part.to_le_bytes());
        self.block.extend(if self.key.is_some() { SIGNED } else { 0 }.to_le_bytes());
        self.block.extend(self.hash);
        self.block.extend(self.key.as_ref().map_or([0; 32], TraceKey::public));
        totals.encode(&mut self.block);
        self.block.extend(self.recorders.iter().flat_map(|progress| progress.next.to_le_bytes()));
        self.block.extend(&self.about);
        (self.offset, self.number, self.hash) = (0, 0, first_hash());
        self.index = Index::default();
    }

    /// Begins `block`.
    fn open(&mut self) {
        self.block.clear();
        self.block.extend([0; HEAD]);
    }

    /// Adds head and hash to what stands in `block` from `from` on, and hands all of it to the sink.
    fn close(&mut self, from: usize, kind: u8) -> io::Result<()> {
        let length = u32::try_from(self.block.len() - from - HEAD).map_err(io::Error::other)?;
        let head = Head { kind, length, number: self.number };
        self.block[from..from + HEAD].copy_from_slice(&head.encoded());
        self.hash = chained(&self.hash, &self.block[from..]);
        self.block.extend(self.hash);
        self.sink.write(&self.block)?;
        self.offset += self.block.len() as u64;
        self.number += 1;
        Ok(())
    }

    /// Adds a record to the next block; records of one recorder come in the order of their numbers, and a jump becomes
    /// a gap. Where the block is full it is written.
    pub fn record(&mut self, recorder: u32, seq: u64, record: &Record) -> io::Result<()> {
        let Some(progress) = self.recorders.get_mut(recorder as usize) else {
            return Err(io::Error::other(format!("recorder {recorder} was not announced")));
        };
        if seq > progress.next {
            self.waiting.gap(recorder, progress.next, seq - 1);
        }
        progress.next = seq + 1;
        progress.waiting += 1;
        self.waiting.record(recorder, seq, record)?;
        if self.waiting.chunks.len() >= self.most_waiting { self.flush() } else { Ok(()) }
    }

    /// Records that wait for their block to be written; those are lost when that fails.
    pub fn waiting(&self) -> u64 {
        self.waiting.records
    }

    /// Records of one recorder that are in the file.
    pub fn written(&self, recorder: usize) -> u64 {
        self.recorders[recorder].written
    }

    /// Bytes of this part.
    pub const fn part_bytes(&self) -> u64 {
        self.offset
    }

    /// Writes what waits as a block.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.waiting.chunks.is_empty() {
            return Ok(());
        }
        self.waiting.close();
        self.open();
        self.waiting.summary.encode(&mut self.block);
        self.block.extend(&self.waiting.chunks);
        let (at, length) = (self.offset, self.block.len() - HEAD);
        self.close(0, RECORDS)?;
        for progress in &mut self.recorders {
            progress.written += std::mem::take(&mut progress.waiting);
        }
        self.index.add(at, length, &self.waiting.summary);
        self.waiting.clear();
        if self.index.lines.len() >= INDEX_BLOCK { self.write_index() } else { Ok(()) }
    }

    /// Writes the lines of the index that are not in the file.
    fn write_index(&mut self) -> io::Result<()> {
        if self.index.count == 0 {
            return Ok(());
        }
        let at = self.offset;
        self.open();
        self.block.extend(self.index.before.to_le_bytes());
        self.block.extend(self.index.count.to_le_bytes());
        self.block.extend(&self.index.lines);
        self.close(0, INDEX)?;
        self.index = Index { before: at, ..Index::default() };
        Ok(())
    }

    /// Writes what waits and what is known of losses by now, signed where there is a key, and has all of it on disk.
    pub fn checkpoint(&mut self, totals: &Totals, clocks: ClockPair) -> io::Result<()> {
        self.flush()?;
        self.balance(CHECKPOINT, 0, totals, clocks)?;
        self.sink.sync()
    }

    /// Ends this part and begins the next. What waits was flushed, and `totals` made after that.
    pub fn next_part(&mut self, totals: &Totals, clocks: ClockPair) -> io::Result<()> {
        self.write_index()?;
        self.balance(END, CONTINUED, totals, clocks)?;
        self.sink.sync()?;
        self.sink.next_part(self.part + 1)?;
        self.header(totals);
        self.close(START, HEADER)
    }

    /// Writes what waits, the final balance, and has all of it on disk. Records that are missing at the end become gaps.
    pub fn end(mut self, totals: &Totals, clocks: ClockPair) -> io::Result<()> {
        for (recorder, balance) in (0..).zip(&totals.recorders) {
            let next = self.recorders[recorder as usize].next;
            if balance.offered > next {
                self.waiting.gap(recorder, next, balance.offered - 1);
            }
        }
        self.flush()?;
        self.write_index()?;
        self.balance(END, 0, totals, clocks)?;
        self.sink.sync()
    }

    /// A Checkpoint or an End.
    fn balance(&mut self, kind: u8, flags: u32, totals: &Totals, clocks: ClockPair) -> io::Result<()> {
        let at = self.offset;
        self.open();
        self.block.extend(flags.to_le_bytes());
        self.block.extend([0; 4]);
        for n in [clocks.raw, clocks.clock_ns, clocks.monotonic_ns, clocks.unix_ns] {
            self.block.extend(n.to_le_bytes());
        }
        totals.encode(&mut self.block);
        self.block.extend(self.index.before.to_le_bytes());
        self.block.extend(at.to_le_bytes());
        let signature = match &self.key {
            Some(key) => {
                let length = u32::try_from(self.block.len() - HEAD + SIGNATURE).map_err(io::Error::other)?;
                key.sign(&Signed {
                    identity: &self.identity,
                    part: self.part,
                    before: &self.hash,
                    head: &Head { kind, length, number: self.number }.encoded(),
                    payload: &self.block[HEAD..],
                })
            }
            None => [0; SIGNATURE],
        };
        self.block.extend(signature);
        self.close(0, kind)
    }
}

impl Waiting {
    fn record(&mut self, recorder: u32, seq: u64, record: &Record) -> io::Result<()> {
        if self.open.is_none_or(|open| open.recorder != recorder) {
            self.close();
            self.chunks.push(CHUNK);
            self.chunks.extend(recorder.to_le_bytes());
            self.chunks.extend(seq.to_le_bytes());
            self.chunks.extend(record.at.0.to_le_bytes());
            self.open = Some(Open { recorder, count: 0, at: record.at.0, place: self.chunks.len() });
            self.chunks.extend([0; 8]);
        }
        self.body.clear();
        postcard::to_io(&record.body, &mut self.body).map_err(io::Error::other)?;
        if let Some(open) = &mut self.open {
            put_varint(&mut self.chunks, self.body.len() as u64);
            put_varint(&mut self.chunks, step(open.at, record.at.0));
            self.chunks.extend(&self.body);
            open.count += 1;
            open.at = record.at.0;
        }
        self.records += 1;
        self.summary.include(recorder, seq, record);
        Ok(())
    }

    /// Records `first..=last` are missing.
    fn gap(&mut self, recorder: u32, first: u64, last: u64) {
        self.close();
        self.chunks.push(GAP);
        self.chunks.extend(recorder.to_le_bytes());
        self.chunks.extend(first.to_le_bytes());
        self.chunks.extend(last.to_le_bytes());
    }

    /// Ends the open chunk: how many records it has, and how many bytes.
    fn close(&mut self) {
        if let Some(Open { count, place, .. }) = self.open.take() {
            // A block is written when it has a few kilobytes.
            let bytes = u32::try_from(self.chunks.len() - place - 8).unwrap_or(u32::MAX);
            self.chunks[place..place + 4].copy_from_slice(&count.to_le_bytes());
            self.chunks[place + 4..place + 8].copy_from_slice(&bytes.to_le_bytes());
        }
    }

    fn clear(&mut self) {
        self.chunks.clear();
        self.summary = Summary::default();
        self.records = 0;
    }
}

impl Index {
    fn add(&mut self, offset: u64, length: usize, summary: &Summary) {
        self.lines.extend(offset.to_le_bytes());
        self.lines.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        summary.encode(&mut self.lines);
        self.count += 1;
    }
}

fn not_written(source: io::Error) -> TraceError {
    TraceError::Write { source, unwritten: 0 }
}

/// Length and postcard encoding.
fn put_encoded(to: &mut Vec<u8>, content: &impl serde::Serialize) -> io::Result<()> {
    let place = to.len();
    to.extend([0; 4]);
    postcard::to_io(content, &mut *to).map_err(io::Error::other)?;
    let length = u32::try_from(to.len() - place - 4).map_err(io::Error::other)?;
    to[place..place + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}
