//! Reading the blocks of a trace: everything up to the last whole block; damage is an answer with its place.
use crate::file::{BEFORE, BEHIND, Chunk, END, HEADER, LONGEST, MAGIC, RECORDS, VERSION, crc32};
use crate::{Balance, Damage, Entry, Gap, Header, Totals, TraceError};
use aegis_core::Nanos;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// What the blocks of a trace say.
#[derive(Debug)]
pub struct Contents {
    pub header: Header,
    /// Recorder by recorder, in the order of their sequence numbers; empty ones may be absent.
    pub recorders: BTreeMap<u32, Vec<Entry>>,
    pub gaps: Vec<Gap>,
    /// `None` when the trace is cut off.
    pub totals: Option<Totals>,
    /// End of the last whole block.
    pub read: u64,
}

/// One block of a trace that may be damaged.
struct Block<'a> {
    offset: u64,
    kind: u8,
    payload: &'a [u8],
}

/// Reads a trace.
pub fn read(bytes: &[u8]) -> Result<Contents, TraceError> {
    let Some((magic, rest)) = bytes.split_first_chunk::<8>() else {
        let cut = MAGIC.starts_with(bytes);
        return Err(if cut { no_header(bytes) } else { TraceError::NotATrace });
    };
    if *magic != MAGIC {
        return Err(TraceError::NotATrace);
    }
    let (version, _) = rest.split_first_chunk::<2>().ok_or_else(|| no_header(bytes))?;
    let found = u16::from_le_bytes(*version);
    if found != VERSION {
        return Err(TraceError::Version { found, reads: VERSION });
    }
    let mut at = MAGIC.len() + version.len();

    let first = next(bytes, &mut at)?.ok_or_else(|| no_header(bytes))?;
    if first.kind != HEADER {
        return Err(first.damaged(Damage::Place { kind: first.kind }));
    }
    let header: Header = first.decode()?;
    header.check()?;

    let mut contents =
        Contents { header, recorders: BTreeMap::new(), gaps: Vec::new(), totals: None, read: 0 };
    while let Some(block) = next(bytes, &mut at)? {
        match block.kind {
            RECORDS if contents.totals.is_none() => contents.add(&block)?,
            END if contents.totals.is_none() => contents.close(&block)?,
            HEADER | RECORDS | END => return Err(block.damaged(Damage::Place { kind: block.kind })),
            kind => return Err(block.damaged(Damage::Kind { kind })),
        }
    }
    if contents.totals.is_some() && at < bytes.len() {
        let damage = Damage::Place { kind: bytes[at] };
        return Err(TraceError::Damaged { offset: at as u64, damage });
    }
    contents.read = at as u64;
    Ok(contents)
}

fn no_header(bytes: &[u8]) -> TraceError {
    TraceError::NoHeader { offset: bytes.len() as u64 }
}

/// The block at `at`, which is moved behind it; `None` when the bytes end before the block does.
fn next<'a>(bytes: &'a [u8], at: &mut usize) -> Result<Option<Block<'a>>, TraceError> {
    let offset = *at as u64;
    let damaged = |damage| Err(TraceError::Damaged { offset, damage });
    let Some(([kind, length @ ..], rest)) = bytes[*at..].split_first_chunk::<BEFORE>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length);
    if length > LONGEST {
        return damaged(Damage::Length { length, most: LONGEST });
    }
    let Some((payload, rest)) = rest.split_at_checked(length as usize) else { return Ok(None) };
    let Some((stored, _)) = rest.split_first_chunk::<BEHIND>() else { return Ok(None) };
    let stored = u32::from_le_bytes(*stored);
    let computed = crc32(0, &bytes[*at..*at + BEFORE + payload.len()]);
    if computed != stored {
        return damaged(Damage::Checksum { stored, computed });
    }
    *at += BEFORE + payload.len() + BEHIND;
    Ok(Some(Block { offset, kind: *kind, payload }))
}

impl Block<'_> {
    fn damaged(&self, damage: Damage) -> TraceError {
        TraceError::Damaged { offset: self.offset, damage }
    }

    /// The content, which must take the whole payload. Postcard takes no stated length on trust: it reserves at most
    /// one element for each byte that is left.
    fn decode<T: DeserializeOwned>(&self) -> Result<T, TraceError> {
        match postcard::take_from_bytes(self.payload) {
            Ok((content, [])) => Ok(content),
            _ => Err(self.damaged(Damage::Content { kind: self.kind })),
        }
    }
}

impl Contents {
    fn add(&mut self, block: &Block<'_>) -> Result<(), TraceError> {
        let chunks: Vec<Chunk> = block.decode()?;
        for Chunk { recorder, first, records } in chunks {
            let entries = self.recorders.entry(recorder).or_default();
            let expected = entries.last().map_or(0, |last| last.seq + 1);
            let wrong = || block.damaged(Damage::Sequence { recorder, first, expected });
            // `+ 1` above cannot overflow: the last sequence number of a chunk is below `u64::MAX`.
            let behind = first.checked_add(records.len() as u64).ok_or_else(wrong)?;
            if first < expected {
                return Err(wrong());
            }
            let Some(earliest) = records.first() else { continue };
            if first > expected {
                let after = entries.last().map(|last| last.record.at);
                let before = Some(earliest.at);
                self.gaps.push(Gap { recorder, first: expected, last: first - 1, after, before });
            }
            entries.extend((first..behind).zip(records).map(|(seq, record)| Entry { recorder, seq, record }));
        }
        Ok(())
    }

    fn close(&mut self, block: &Block<'_>) -> Result<(), TraceError> {
        let totals: Totals = block.decode()?;
        let stated = u32::try_from(totals.recorders.len()).unwrap_or(u32::MAX);
        if let Some((&recorder, _)) = self.recorders.range(stated..).next() {
            return Err(block.damaged(Damage::Totals { recorder }));
        }
        for (recorder, balance) in (0..).zip(&totals.recorders) {
            let entries = self.recorders.get(&recorder).map_or(&[][..], Vec::as_slice);
            let expected = entries.last().map_or(0, |last| last.seq + 1);
            if !fits(balance, entries.len(), expected) {
                return Err(block.damaged(Damage::Totals { recorder }));
            }
            if balance.offered > expected {
                let after: Option<Nanos> = entries.last().map(|last| last.record.at);
                let last = balance.offered - 1;
                self.gaps.push(Gap { recorder, first: expected, last, after, before: None });
            }
        }
        self.totals = Some(totals);
        Ok(())
    }
}

fn fits(balance: &Balance, entries: usize, expected: u64) -> bool {
    balance.adds_up() && balance.written == entries as u64 && balance.offered >= expected
}
