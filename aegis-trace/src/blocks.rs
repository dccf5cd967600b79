//! What stands in the payloads of blocks: decoded from bytes that may say anything.
use crate::bytes::{Cursor, stepped};
use crate::file::{CHUNK, CONTINUED, GAP, HASH, Hash, SIGNED};
use crate::key::SIGNATURE;
use crate::summary::Summary;
use crate::{Body, ClockPair, Header, Origin, Record, Totals};
use aegis_core::Nanos;
use serde::de::DeserializeOwned;

/// The payload of a Header block.
#[derive(Debug)]
pub struct Beginning {
    pub identity: [u8; 16],
    pub part: u32,
    /// The hash of the last block of the part before; zeros in the first part.
    pub previous: Hash,
    /// The public key of the signatures, if there are any.
    pub key: Option<[u8; 32]>,
    /// The balances at the start of the part.
    pub totals: Totals,
    /// The next sequence number of each recorder.
    pub next: Vec<u64>,
    pub origin: Origin,
    pub header: Header,
}

impl Beginning {
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(payload);
        let (identity, part, flags) = (cursor.array()?, cursor.u32()?, cursor.u32()?);
        let (previous, key) = (cursor.array()?, cursor.array()?);
        let key = match flags {
            0 => None,
            SIGNED => Some(key),
            _ => return None,
        };
        let totals = Totals::decode(&mut cursor)?;
        let next = totals.recorders.iter().map(|_| cursor.u64()).collect::<Option<Vec<u64>>>()?;
        let (origin, header) = (encoded(&mut cursor)?, encoded(&mut cursor)?);
        cursor.0.is_empty().then_some(Self { identity, part, previous, key, totals, next, origin, header })
    }
}

/// Length and postcard encoding, which takes all of it. Postcard takes no stated length on trust: it reserves at most
/// one element for each byte that is left.
fn encoded<T: DeserializeOwned>(cursor: &mut Cursor<'_>) -> Option<T> {
    let length = usize::try_from(cursor.u32()?).ok()?;
    match postcard::take_from_bytes(cursor.take(length)?) {
        Ok((content, [])) => Some(content),
        _ => None,
    }
}

/// The payload of a Checkpoint or an End.
#[derive(Debug)]
pub struct Balanced {
    /// Another part follows.
    pub continued: bool,
    pub clocks: ClockPair,
    pub totals: Totals,
    /// Offset of the last Index block before it; 0 without one.
    pub index: u64,
    /// Where it says that it stands itself.
    pub offset: u64,
}

impl Balanced {
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(payload);
        let continued = match (cursor.u32()?, cursor.u32()?) {
            (0, 0) => false,
            (CONTINUED, 0) => true,
            _ => return None,
        };
        let clocks = ClockPair {
            raw: cursor.u64()?,
            clock_ns: cursor.u64()?,
            monotonic_ns: cursor.u64()?,
            unix_ns: cursor.u64()?,
        };
        let totals = Totals::decode(&mut cursor)?;
        let (index, offset) = (cursor.u64()?, cursor.u64()?);
        cursor.take(SIGNATURE)?;
        cursor.0.is_empty().then_some(Self { continued, clocks, totals, index, offset })
    }

    /// How far before the end of a file the offset of its End block stands.
    pub const OFFSET_FROM_END: u64 = (HASH + SIGNATURE + 8) as u64;
}

/// One line of an Index block: a block of records, and what stands in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub offset: u64,
    /// Of its payload.
    pub length: u32,
    pub summary: Summary,
}

/// The payload of an Index block: the offset of the one before it, 0 without one, and its lines.
pub fn index(payload: &[u8]) -> Option<(u64, Vec<Line>)> {
    let mut cursor = Cursor(payload);
    let (before, count) = (cursor.u64()?, cursor.u32()?);
    let mut lines = Vec::new();
    for _ in 0..count {
        let (offset, length) = (cursor.u64()?, cursor.u32()?);
        lines.push(Line { offset, length, summary: Summary::decode(&mut cursor)? });
    }
    cursor.0.is_empty().then_some((before, lines))
}

/// One thing that a Records block says.
#[derive(Debug, Clone, Copy)]
pub enum Item {
    Record { recorder: u32, seq: u64, record: Record },
    Gap { recorder: u32, first: u64, last: u64 },
}

/// Hands what the payload of a Records block says to `each`, in the order of the file; `None` as soon as something cannot
/// be understood. What `each` refuses is its error.
pub fn records<E>(payload: &[u8], mut each: impl FnMut(Item) -> Result<(), E>) -> Option<Result<(), E>> {
    let mut cursor = Cursor(payload);
    Summary::decode(&mut cursor)?;
    while let Some(tag) = cursor.u8() {
        let recorder = cursor.u32()?;
        match tag {
            CHUNK => {
                let (first, mut at) = (cursor.u64()?, cursor.u64()?);
                let (count, length) = (cursor.u32()?, cursor.u32()?);
                let mut chunk = Cursor(cursor.take(usize::try_from(length).ok()?)?);
                for i in 0..u64::from(count) {
                    let seq = first.checked_add(i)?;
                    let length = usize::try_from(chunk.varint()?).ok()?;
                    at = stepped(at, chunk.varint()?);
                    let (body, rest) = postcard::take_from_bytes::<Body>(chunk.take(length)?).ok()?;
                    if !rest.is_empty() {
                        return None;
                    }
                    let record = Record { at: Nanos(at), body };
                    if let Err(error) = each(Item::Record { recorder, seq, record }) {
                        return Some(Err(error));
                    }
                }
                if !chunk.0.is_empty() {
                    return None;
                }
            }
            GAP => {
                let (first, last) = (cursor.u64()?, cursor.u64()?);
                if let Err(error) = each(Item::Gap { recorder, first, last }) {
                    return Some(Err(error));
                }
            }
            _ => return None,
        }
    }
    Some(Ok(()))
}
