//! A trace on disk of which only what is asked for is read: headers, ends and indexes first, then single blocks.
use crate::blocks::{Balanced, Beginning, Line, index};
use crate::file::{CHECKPOINT, END, HASH, HEAD, Hash, Head, INDEX, RECORDS, chained};
use crate::reader::{Block, Blocks, Contents, beginning, unread};
use crate::sink::part_path;
use crate::summary::{Selection, Summary};
use crate::trace::path_of_first;
use crate::{Damage, Header, Recording, Totals, Trace, TraceError};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A trace whose records stay on disk until they are asked for.
///
/// The index of a trace that has its end is read; of one that was cut off the blocks are walked, from head to head. Every
/// block that is read is checked against its hash and the one before it, the others are not.
#[derive(Debug)]
pub struct TraceFile {
    parts: Vec<Part>,
    blocks: Vec<BlockAt>,
    totals: Option<Totals>,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    beginning: Beginning,
    /// Where the first block behind the header stands.
    from: u64,
    end: Option<(Balanced, Hash)>,
}

/// A block of records, and what it says of itself in front.
#[derive(Debug, Clone)]
pub struct BlockAt {
    /// Position of its file among the parts that were opened.
    pub part: usize,
    /// Where it stands in that file, in bytes.
    pub offset: u64,
    /// Bytes of its payload.
    pub bytes: u32,
    /// What it may hold.
    pub summary: Summary,
}

impl TraceFile {
    /// Opens a trace, and the parts that follow it, without reading records.
    ///
    /// # Errors
    /// As [`Trace::open`].
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let mut this = Self { parts: Vec::new(), blocks: Vec::new(), totals: None };
        this.add(path)?;
        let first = path_of_first(path, this.first().beginning.part);
        while let Some((Balanced { continued: true, .. }, _)) = this.last().end {
            let path = part_path(&first, this.last().beginning.part.saturating_add(1));
            match this.add(&path) {
                Ok(()) => {}
                Err(TraceError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => break,
                Err(TraceError::NoHeader { .. }) => break,
                Err(error @ (TraceError::Part { .. } | TraceError::Read { .. })) => return Err(error),
                Err(error) => return Err(TraceError::InPart { path, error: Box::new(error) }),
            }
        }
        this.totals = match &this.last().end {
            Some((Balanced { continued: false, totals, .. }, _)) => Some(totals.clone()),
            _ => None,
        };
        Ok(this)
    }

    fn first(&self) -> &Part {
        &self.parts[0]
    }

    fn last(&self) -> &Part {
        &self.parts[self.parts.len() - 1]
    }

    /// Opens one part behind those that are open.
    fn add(&mut self, path: &Path) -> Result<(), TraceError> {
        let file = File::open(path).map_err(|source| unread(path, source))?;
        let length = file.metadata().map_err(|source| unread(path, source))?.len();
        let mut blocks = Blocks::begin(&file, path)?;
        let beginning = beginning(&mut blocks, path)?;
        if let Some(before) = self.parts.last() {
            let after = before.end.as_ref().map_or([0; HASH], |(_, hash)| *hash);
            let mut contents = Contents::begin_with(&self.first().beginning, true);
            contents.recording.parts = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
            contents.check_next(&beginning, path, after)?;
        }
        let from = blocks.offset();
        let mut part = Part { path: path.to_path_buf(), file, length, beginning, from, end: None };
        part.end = part.read_end()?;
        let lines = match &part.end {
            Some((end, _)) => part.index(end.index)?,
            None => part.walk()?,
        };
        let position = self.parts.len();
        self.blocks.extend(lines.into_iter().map(|Line { offset, length, summary }| BlockAt {
            part: position,
            offset,
            bytes: length,
            summary,
        }));
        self.parts.push(part);
        Ok(())
    }

    /// What the trace says about itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.first().beginning.header
    }

    /// The balance of every recorder; `None` when the trace is cut off.
    #[must_use]
    pub const fn totals(&self) -> Option<&Totals> {
        self.totals.as_ref()
    }

    /// Its blocks of records, in the order of the file.
    #[must_use]
    pub fn blocks(&self) -> &[BlockAt] {
        &self.blocks
    }

    /// The blocks that may hold a record of `selection`.
    pub fn blocks_for(&self, selection: &Selection) -> impl Iterator<Item = &BlockAt> {
        let selection = *selection;
        self.blocks.iter().filter(move |block| block.summary.may_hold(&selection))
    }

    /// Reads the blocks that may hold a record of `selection`: all of each block. Gaps in other blocks are not in the
    /// trace that is returned; its balances are those of the whole.
    ///
    /// # Errors
    /// [`TraceError`] says what is wrong with a block.
    pub fn read(&self, selection: &Selection) -> Result<Trace, TraceError> {
        let wanted: Vec<bool> = self.blocks.iter().map(|block| block.summary.may_hold(selection)).collect();
        self.read_blocks(&wanted)
    }

    /// Reads the blocks that are wanted, by position.
    pub(crate) fn read_blocks(&self, wanted: &[bool]) -> Result<Trace, TraceError> {
        let mut contents = Contents::begin_with(&self.first().beginning, true);
        contents.recording.parts = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::new();
        for (at, _) in self.blocks.iter().zip(wanted).filter(|(_, wanted)| **wanted) {
            let part = &self.parts[at.part];
            let (head, _) = part.block(at.offset, &mut bytes).map_err(|error| self.named(at.part, error))?;
            let block = Block { offset: at.offset, head, payload: &bytes[HASH + HEAD..bytes.len() - HASH] };
            contents.recording.bytes_read += head.block_bytes();
            if head.kind != RECORDS || head.length != at.bytes {
                let place = at.offset;
                return Err(self.named(at.part, block.damaged(Damage::Missing { place })));
            }
            contents.records(&block).map_err(|error| self.named(at.part, error))?;
        }
        contents.recording.clocks =
            self.parts.iter().filter_map(|part| part.end.as_ref().map(|(end, _)| end.clocks)).collect();
        contents.totals.clone_from(&self.totals);
        Ok(Trace::of(contents))
    }

    /// How the trace was recorded. Of its clock beside others only what the ends of its parts say is known.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let mut contents = Contents::begin_with(&self.first().beginning, true);
        contents.recording.parts = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        contents.recording
    }

    fn named(&self, part: usize, error: TraceError) -> TraceError {
        if part == 0 {
            return error;
        }
        TraceError::InPart { path: self.parts[part].path.clone(), error: Box::new(error) }
    }
}

impl Part {
    fn read_at(&self, offset: u64, length: u64, bytes: &mut Vec<u8>) -> Result<bool, TraceError> {
        bytes.clear();
        let mut file = &self.file;
        let read = file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(length).read_to_end(bytes))
            .map_err(|source| unread(&self.path, source))?;
        Ok(read as u64 == length)
    }

    /// The block at `offset` with the hash before it, which is checked; its hash.
    fn block(&self, offset: u64, bytes: &mut Vec<u8>) -> Result<(Head, Hash), TraceError> {
        let damaged = |damage| TraceError::Damaged { offset, damage };
        let missing = || damaged(Damage::Missing { place: offset });
        let from = offset.checked_sub(HASH as u64).ok_or_else(missing)?;
        if !self.read_at(from, (HASH + HEAD) as u64, bytes)? {
            return Err(missing());
        }
        let head = bytes[HASH..].first_chunk::<HEAD>().ok_or_else(missing)?;
        let head = Head::decode(*head, offset)?;
        if !self.read_at(from, HASH as u64 + head.block_bytes(), bytes)? {
            return Err(missing());
        }
        let (before, block) = bytes.split_first_chunk::<HASH>().ok_or_else(missing)?;
        let (block, stored) = block.split_last_chunk::<HASH>().ok_or_else(missing)?;
        if chained(before, block) != *stored {
            return Err(damaged(Damage::Hash));
        }
        Ok((head, *stored))
    }

    /// The End, where the file has one.
    fn read_end(&self) -> Result<Option<(Balanced, Hash)>, TraceError> {
        let mut bytes = Vec::new();
        let Some(place) = self.length.checked_sub(Balanced::OFFSET_FROM_END) else { return Ok(None) };
        self.read_at(place, 8, &mut bytes)?;
        let Some(offset) = bytes.first_chunk::<8>() else { return Ok(None) };
        let offset = u64::from_le_bytes(*offset);
        if offset < self.from {
            return Ok(None);
        }
        // Where the bytes there happen to name a place, a block that ends with the file must stand there.
        let Ok((head, hash)) = self.block(offset, &mut bytes) else { return Ok(None) };
        if head.kind != END || offset + head.block_bytes() != self.length {
            return Ok(None);
        }
        let end = Balanced::decode(&bytes[HASH + HEAD..bytes.len() - HASH]);
        Ok(end.filter(|end| end.offset == offset).map(|end| (end, hash)))
    }

    /// All lines of the index, from the last block of it back to the first.
    fn index(&self, last: u64) -> Result<Vec<Line>, TraceError> {
        let (mut lists, mut at, mut bytes) = (Vec::new(), last, Vec::new());
        while at != 0 {
            let (head, _) = self.block(at, &mut bytes)?;
            let damaged = |damage| TraceError::Damaged { offset: at, damage };
            if head.kind != INDEX {
                return Err(damaged(Damage::Missing { place: at }));
            }
            let content = index(&bytes[HASH + HEAD..bytes.len() - HASH]);
            let (before, lines) = content.ok_or_else(|| damaged(Damage::Content { kind: INDEX }))?;
            if before >= at {
                return Err(damaged(Damage::Content { kind: INDEX }));
            }
            lists.push(lines);
            at = before;
        }
        Ok(lists.into_iter().rev().flatten().collect())
    }

    /// The same from the blocks themselves, up to the last whole one.
    fn walk(&self) -> Result<Vec<Line>, TraceError> {
        /// Enough for the summary of most blocks.
        const FRONT: u64 = 1 << 12;
        let (mut lines, mut offset, mut bytes) = (Vec::new(), self.from, Vec::new());
        while self.read_at(offset, HEAD as u64, &mut bytes)? {
            let Some(head) = bytes.first_chunk::<HEAD>().filter(|head| **head != [0; HEAD]) else { break };
            let head = Head::decode(*head, offset)?;
            let damaged = |damage| TraceError::Damaged { offset, damage };
            if offset + head.block_bytes() > self.length {
                break;
            }
            match head.kind {
                RECORDS => {
                    let (payload, length) = (offset + HEAD as u64, u64::from(head.length));
                    self.read_at(payload, length.min(FRONT), &mut bytes)?;
                    let mut summary = Summary::decode(&mut crate::bytes::Cursor(&bytes));
                    if summary.is_none() && length > FRONT {
                        self.read_at(payload, length, &mut bytes)?;
                        summary = Summary::decode(&mut crate::bytes::Cursor(&bytes));
                    }
                    let summary = summary.ok_or_else(|| damaged(Damage::Content { kind: RECORDS }))?;
                    lines.push(Line { offset, length: head.length, summary });
                }
                CHECKPOINT | INDEX | END => {}
                kind => return Err(damaged(Damage::Kind { kind })),
            }
            offset += head.block_bytes();
        }
        Ok(lines)
    }
}

impl Trace {
    /// Reads the blocks of a trace file that may hold a record of `selection`, found by its index: in a file of a
    /// gigabyte those of one job are there in milliseconds. See [`TraceFile::read`].
    ///
    /// # Errors
    /// As [`Trace::open`].
    pub fn open_part(path: &Path, selection: &Selection) -> Result<Self, TraceError> {
        TraceFile::open(path)?.read(selection)
    }
}
