//! Reading a trace from front to end: everything up to the last whole block; damage is an answer with its place.
use crate::blocks::{Balanced, Beginning, Item, index, records};
use crate::file::{
    CHECKPOINT, END, HASH, HEAD, HEADER, Hash, Head, INDEX, RECORDS, START, chained, check_start, first_hash,
};
use crate::{Balance, ClockPair, Damage, Entry, Gap, Header, Recording, Totals, TraceError, WrongPart};
use std::io::{self, Read};
use std::path::Path;

/// What the blocks of a trace say.
#[derive(Debug)]
pub struct Contents {
    pub header: Header,
    pub recording: Recording,
    pub recorders: Vec<Recorded>,
    pub gaps: Vec<Gap>,
    /// `None` when the trace is cut off.
    pub totals: Option<Totals>,
    /// Where only some blocks are read, numbers that are not there are not missing.
    pub some: bool,
}

/// What was read of one recorder.
#[derive(Debug, Default)]
pub struct Recorded {
    /// In the order of their sequence numbers.
    pub entries: Vec<Entry>,
    /// The least sequence number that can follow.
    next: u64,
    /// Written and dropped before the first part that was read, and gaps since.
    written_before: u64,
    missing: u64,
    /// Position of the gap behind which no record was read yet.
    open_gap: Option<usize>,
}

/// How a part ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It has no End.
    CutOff,
    /// Another part follows.
    Continued,
    /// It is the last part.
    Whole,
}

/// One block whose hash is right.
pub struct Block<'a> {
    pub offset: u64,
    pub head: Head,
    pub payload: &'a [u8],
}

impl Block<'_> {
    pub const fn damaged(&self, damage: Damage) -> TraceError {
        TraceError::Damaged { offset: self.offset, damage }
    }

    pub fn undecodable(&self) -> TraceError {
        self.damaged(Damage::Content { kind: self.head.kind })
    }
}

/// The blocks of one part, one at a time.
pub struct Blocks<R> {
    source: R,
    offset: u64,
    number: u64,
    hash: Hash,
    bytes: Vec<u8>,
}

/// Reads until `bytes` has `length` bytes or the source ends; takes no memory for bytes that are not there.
fn read_up_to(source: &mut impl Read, length: usize, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let missing = length.saturating_sub(bytes.len()) as u64;
    source.by_ref().take(missing).read_to_end(bytes)?;
    Ok(bytes.len() == length)
}

impl<R: Read> Blocks<R> {
    /// Checks what stands before the first block.
    pub fn begin(mut source: R, path: &Path) -> Result<Self, TraceError> {
        let mut bytes = Vec::new();
        read_up_to(&mut source, START, &mut bytes).map_err(|source| unread(path, source))?;
        check_start(&bytes)?;
        Ok(Self { source, offset: START as u64, number: 0, hash: first_hash(), bytes })
    }

    /// The next block; `None` where the bytes end before it does, or nothing but zeros follows, as a crash of the system
    /// can leave it.
    pub fn next(&mut self, path: &Path) -> Result<Option<Block<'_>>, TraceError> {
        let unread = |source| unread(path, source);
        self.bytes.clear();
        if !read_up_to(&mut self.source, HEAD, &mut self.bytes).map_err(unread)? {
            return Ok(None);
        }
        let Some(head) = self.bytes.first_chunk::<HEAD>() else {
            return Err(TraceError::Bug { what: "a head is shorter than it is" });
        };
        let offset = self.offset;
        let damaged = |damage| Err(TraceError::Damaged { offset, damage });
        if *head == [0; HEAD] {
            let cut_off = only_zeros(&mut self.source).map_err(unread)?;
            return if cut_off { Ok(None) } else { damaged(Damage::Kind { kind: 0 }) };
        }
        let head = Head::decode(*head, offset)?;
        let length = HEAD + head.length as usize;
        if !read_up_to(&mut self.source, length + HASH, &mut self.bytes).map_err(unread)? {
            return Ok(None);
        }
        let (block, stored) = self.bytes.split_at(length);
        let hash = chained(&self.hash, block);
        if hash != stored {
            return damaged(Damage::Hash);
        }
        if head.number != self.number {
            return damaged(Damage::Number { found: head.number, due: self.number });
        }
        self.offset += head.block_bytes();
        self.number += 1;
        self.hash = hash;
        Ok(Some(Block { offset, head, payload: &block[HEAD..] }))
    }

    /// End of the last whole block.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Hash of the last whole block.
    pub const fn hash(&self) -> Hash {
        self.hash
    }
}

pub fn unread(path: &Path, source: io::Error) -> TraceError {
    TraceError::Read { path: path.to_path_buf(), source }
}

fn only_zeros(source: &mut impl Read) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    loop {
        match source.read(&mut bytes)? {
            0 => return Ok(true),
            n if bytes[..n].iter().all(|byte| *byte == 0) => {}
            _ => return Ok(false),
        }
    }
}

impl Contents {
    /// Reads the first part.
    pub fn read(source: impl Read, path: &Path) -> Result<(Self, Hash, Ended), TraceError> {
        let mut blocks = Blocks::begin(source, path)?;
        let beginning = beginning(&mut blocks, path)?;
        let mut contents = Self::begin_with(&beginning, false);
        let ended = contents.follow(&mut blocks, path)?;
        Ok((contents, blocks.hash(), ended))
    }

    /// Nothing yet, behind that beginning.
    pub fn begin_with(beginning: &Beginning, some: bool) -> Self {
        let recorders =
            beginning.next.iter().zip(&beginning.totals.recorders).map(|(next, balance)| Recorded {
                next: *next,
                written_before: balance.written,
                missing: next.saturating_sub(balance.written),
                ..Recorded::default()
            });
        Self {
            recorders: recorders.collect(),
            recording: Recording {
                identity: beginning.identity,
                part: beginning.part,
                parts: 0,
                key: beginning.key,
                origin: beginning.origin.clone(),
                clocks: Vec::new(),
                bytes_read: 0,
            },
            header: beginning.header.clone(),
            gaps: Vec::new(),
            totals: None,
            some,
        }
    }

    /// Reads the part that follows one with that last hash.
    pub fn read_next(
        &mut self,
        source: impl Read,
        path: &Path,
        after: Hash,
    ) -> Result<(Hash, Ended), TraceError> {
        let mut blocks = Blocks::begin(source, path)?;
        let beginning = beginning(&mut blocks, path)?;
        self.check_next(&beginning, path, after)?;
        let ended = self.follow(&mut blocks, path)?;
        Ok((blocks.hash(), ended))
    }

    pub fn check_next(&self, beginning: &Beginning, path: &Path, after: Hash) -> Result<(), TraceError> {
        let due = self.recording.part.saturating_add(self.recording.parts);
        let why = if beginning.identity != self.recording.identity {
            WrongPart::Recording
        } else if beginning.part != due {
            WrongPart::Number { found: beginning.part, due }
        } else if beginning.previous != after {
            WrongPart::Chain
        } else if !self.some && beginning.next.iter().ne(self.recorders.iter().map(|r| &r.next)) {
            WrongPart::Balances
        } else {
            return Ok(());
        };
        Err(TraceError::Part { path: path.to_path_buf(), why })
    }

    /// Everything behind the beginning of a part.
    fn follow(&mut self, blocks: &mut Blocks<impl Read>, path: &Path) -> Result<Ended, TraceError> {
        let mut ended = Ended::CutOff;
        self.recording.parts += 1;
        while let Some(block) = blocks.next(path)? {
            if ended != Ended::CutOff {
                return Err(block.damaged(Damage::Place { kind: block.head.kind }));
            }
            match block.head.kind {
                RECORDS => self.records(&block)?,
                CHECKPOINT | END => ended = self.balance(&block)?,
                INDEX => drop(index(block.payload).ok_or_else(|| block.undecodable())?),
                HEADER => return Err(block.damaged(Damage::Place { kind: HEADER })),
                kind => return Err(block.damaged(Damage::Kind { kind })),
            }
        }
        let offset = blocks.offset();
        if ended != Ended::CutOff && blocks.followed(path)? {
            return Err(TraceError::Damaged { offset, damage: Damage::Trailing });
        }
        self.recording.bytes_read = self.recording.bytes_read.saturating_add(offset);
        Ok(ended)
    }

    pub fn records(&mut self, block: &Block<'_>) -> Result<(), TraceError> {
        let add = |item| match item {
            Item::Record { recorder, seq, record } => self.record(block, Entry { recorder, seq, record }),
            Item::Gap { recorder, first, last } => self.gap(block, recorder, first, last),
        };
        records(block.payload, add).ok_or_else(|| block.undecodable())?
    }

    fn recorder(&mut self, block: &Block<'_>, recorder: u32) -> Result<&mut Recorded, TraceError> {
        self.recorders.get_mut(recorder as usize).ok_or_else(|| block.damaged(Damage::Totals { recorder }))
    }

    fn record(&mut self, block: &Block<'_>, entry: Entry) -> Result<(), TraceError> {
        let (some, seq) = (self.some, entry.seq);
        let of = self.recorder(block, entry.recorder)?;
        let expected = of.next;
        let wrong = || block.damaged(Damage::Sequence { recorder: entry.recorder, first: seq, expected });
        if seq < expected || seq > expected && !some {
            return Err(wrong());
        }
        of.next = seq.checked_add(1).ok_or_else(wrong)?;
        of.entries.push(entry);
        if let Some(gap) = of.open_gap.take().filter(|_| seq == expected) {
            self.gaps[gap].before = Some(entry.record.at);
        }
        Ok(())
    }

    fn gap(&mut self, block: &Block<'_>, recorder: u32, first: u64, last: u64) -> Result<(), TraceError> {
        let (some, position) = (self.some, self.gaps.len());
        let of = self.recorder(block, recorder)?;
        let expected = of.next;
        let wrong = || block.damaged(Damage::Sequence { recorder, first, expected });
        if first < expected || first > expected && !some || last < first {
            return Err(wrong());
        }
        of.next = last.checked_add(1).ok_or_else(wrong)?;
        of.missing = of.missing.saturating_add(last - first + 1);
        of.open_gap = Some(position);
        let after = of.entries.last().filter(|entry| entry.seq + 1 == first).map(|entry| entry.record.at);
        self.gaps.push(Gap { recorder, first, last, after, before: None });
        Ok(())
    }

    /// A Checkpoint or an End.
    pub fn balance(&mut self, block: &Block<'_>) -> Result<Ended, TraceError> {
        let Balanced { continued, clocks, totals, offset, .. } =
            Balanced::decode(block.payload).ok_or_else(|| block.undecodable())?;
        let ended = match (block.head.kind, continued) {
            (END, true) => Ended::Continued,
            (END, false) => Ended::Whole,
            _ => Ended::CutOff,
        };
        if offset != block.offset
            || totals.recorders.len() != self.recorders.len()
            || continued && ended == Ended::CutOff
        {
            return Err(block.undecodable());
        }
        for (recorder, (balance, of)) in (0..).zip(totals.recorders.iter().zip(&self.recorders)) {
            if !balance.adds_up() || !self.some && !fits(balance, of, ended == Ended::Whole) {
                return Err(block.damaged(Damage::Totals { recorder }));
            }
        }
        if clocks != ClockPair::default() {
            self.recording.clocks.push(clocks);
        }
        if ended == Ended::Whole {
            self.totals = Some(totals);
        }
        Ok(ended)
    }
}

/// Whether a balance can be that of what was read. Before the end drops may be counted whose gap is not in the file yet.
fn fits(balance: &Balance, of: &Recorded, whole: bool) -> bool {
    let dropped = balance.dropped_in_all();
    let missing = if whole { of.missing == dropped } else { of.missing <= dropped };
    missing && of.written_before.checked_add(of.entries.len() as u64) == Some(balance.written)
}

/// The first block, which must be a header that can be used.
pub fn beginning(blocks: &mut Blocks<impl Read>, path: &Path) -> Result<Beginning, TraceError> {
    let Some(block) = blocks.next(path)? else {
        return Err(TraceError::NoHeader { offset: blocks.seen() });
    };
    if block.head.kind != HEADER {
        return Err(block.damaged(Damage::Place { kind: block.head.kind }));
    }
    let beginning = Beginning::decode(block.payload).ok_or_else(|| block.undecodable())?;
    beginning.header.check()?;
    Ok(beginning)
}

impl<R: Read> Blocks<R> {
    /// Bytes that were read, whole blocks or not.
    fn seen(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Whether anything stands behind the last whole block.
    fn followed(&mut self, path: &Path) -> Result<bool, TraceError> {
        if !self.bytes.is_empty() {
            return Ok(true);
        }
        let mut byte = [0];
        self.source.read(&mut byte).map(|n| n > 0).map_err(|source| unread(path, source))
    }
}
