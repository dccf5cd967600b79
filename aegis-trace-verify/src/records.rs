//! The content of a block of records: its summary, chunks and gaps.
use crate::bytes::Input;
use crate::finding::Problem;
use crate::walk::Recorder;
use std::collections::BTreeMap;

const KIND: u8 = 2;

const fn shape(what: &'static str) -> Problem {
    Problem::Shape { kind: KIND, what }
}

/// What stands in front.
struct Summary<'a> {
    first: u64,
    last: u64,
    kinds: u64,
    recorders: BTreeMap<u32, (u64, u64)>,
    bytes: &'a [u8],
}

fn summary<'a>(input: &mut Input<'a>) -> Option<Summary<'a>> {
    let before = input.left;
    let (first, last, kinds) = (input.number(8)?, input.number(8)?, input.number(8)?);
    let (flags, recorders, tasks) = (input.u32()?, input.u32()?, input.u32()?);
    let mut lines = |n: u32| -> Option<BTreeMap<u32, (u64, u64)>> {
        let mut lines = BTreeMap::new();
        let mut least = 0;
        for _ in 0..n {
            let id = input.u32()?;
            if u64::from(id) < least {
                return None;
            }
            least = u64::from(id) + 1;
            lines.insert(id, (input.number(8)?, input.number(8)?));
        }
        Some(lines)
    };
    let recorders = lines(recorders)?;
    lines(tasks)?;
    if flags > 1 {
        return None;
    }
    let bytes = &before[..before.len() - input.left.len()];
    Some(Summary { first, last, kinds, recorders, bytes })
}

/// Follows the sequence numbers of a block, and compares it with its summary. Returns the summary's bytes, which the index
/// repeats.
pub fn check<'a>(payload: &'a [u8], recorders: &mut [Recorder]) -> Result<&'a [u8], Problem> {
    let mut input = Input::new(payload);
    let said = summary(&mut input).ok_or(shape("its summary"))?;
    let mut seen = Seen { first: u64::MAX, last: 0, kinds: 0, recorders: BTreeMap::new() };
    while !input.left.is_empty() {
        let tag = input.number(1);
        let recorder = input.u32().ok_or(shape("a chunk is too short"))?;
        let of =
            recorders.get_mut(recorder as usize).ok_or(shape("a recorder that the header does not have"))?;
        match tag {
            Some(0) => seen.chunk(&mut input, recorder, of)?,
            Some(1) => gap(&mut input, recorder, of)?,
            _ => return Err(shape("neither a chunk nor a gap")),
        }
    }
    let wrong = |what| Err(Problem::Summary { what });
    if (said.first, said.last) != (seen.first, seen.last) {
        return wrong("its instants");
    }
    if said.kinds != seen.kinds {
        return wrong("its kinds");
    }
    if said.recorders != seen.recorders {
        return wrong("its sequence numbers");
    }
    Ok(said.bytes)
}

struct Seen {
    first: u64,
    last: u64,
    kinds: u64,
    recorders: BTreeMap<u32, (u64, u64)>,
}

impl Seen {
    fn chunk(&mut self, input: &mut Input<'_>, recorder: u32, of: &mut Recorder) -> Result<(), Problem> {
        let too_short = || shape("a chunk is too short");
        let first = input.number(8).ok_or_else(too_short)?;
        let mut at = input.number(8).ok_or_else(too_short)?;
        let count = input.u32().ok_or_else(too_short)?;
        let length = input.u32().and_then(|n| usize::try_from(n).ok()).ok_or_else(too_short)?;
        let mut records = Input::new(input.bytes(length).ok_or_else(too_short)?);
        if count == 0 {
            return Err(shape("a chunk without records"));
        }
        if first != of.next {
            return Err(Problem::Sequence { recorder, found: first, due: of.next });
        }
        for i in 0..count {
            let length = records.varint().and_then(|n| usize::try_from(n).ok());
            let step = records.varint().ok_or(shape("a record's instant"))?;
            let body = length.and_then(|n| records.bytes(n)).ok_or(shape("a record's length"))?;
            let kind = *body.first().filter(|kind| **kind < 64).ok_or(shape("a record's kind"))?;
            let by = if step % 2 == 0 { step / 2 } else { !(step / 2) };
            let now = at.wrapping_add(by);
            if i == 0 && step != 0 {
                return Err(shape("a chunk's first instant"));
            }
            of.record(now);
            at = now;
            self.first = self.first.min(now);
            self.last = self.last.max(now);
            self.kinds |= 1 << kind;
        }
        if !records.left.is_empty() {
            return Err(shape("a chunk is longer than its records"));
        }
        let last = first.checked_add(u64::from(count) - 1).filter(|last| *last < u64::MAX);
        let last = last.ok_or(shape("a sequence number beyond the last"))?;
        of.next = last + 1;
        let range = self.recorders.entry(recorder).or_insert((first, last));
        range.1 = last;
        Ok(())
    }
}

fn gap(input: &mut Input<'_>, recorder: u32, of: &mut Recorder) -> Result<(), Problem> {
    let (Some(first), Some(last)) = (input.number(8), input.number(8)) else {
        return Err(shape("a gap is too short"));
    };
    if first != of.next {
        return Err(Problem::Sequence { recorder, found: first, due: of.next });
    }
    if last < first || last == u64::MAX {
        return Err(shape("a gap that ends before it begins"));
    }
    of.missing += last - first + 1;
    of.next = last + 1;
    Ok(())
}
