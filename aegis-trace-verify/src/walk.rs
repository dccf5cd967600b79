//! One file from front to end: the chain, the order, the balances, the index, the signatures.
use crate::bytes::Input;
use crate::finding::{Finding, Problem};
use crate::{PublicKey, VerifyError, records};
use ed25519_dalek::{Signature, VerifyingKey};
use std::io::{self, Read};
use std::path::Path;

const MAGIC: &[u8; 8] = b"AEGISTRC";
const VERSION: u16 = 3;
const START: usize = 16;
const HEAD: usize = 16;
const HASH: usize = 32;
const SIGNATURE: usize = 64;
/// The longest payload.
const LONGEST: u64 = 1 << 24;
/// Findings that are kept; the rest are counted.
const MOST_FINDINGS: usize = 100;

const HEADER: u8 = 1;
const RECORDS: u8 = 2;
const CHECKPOINT: u8 = 3;
const INDEX: u8 = 4;
const END: u8 = 5;

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has no end: what came last is missing.
    CutOff,
    /// It ends, and another part follows.
    Continued,
    /// It ends, and the recording with it.
    Whole,
}

/// What the signatures of a file are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// It has none: anybody could have written it.
    None,
    /// They are of the key in the file, and nobody has said whose that is.
    KeyUnknown {
        /// The key in the file.
        key: PublicKey,
    },
    /// They are of the key that was given.
    KeyGiven,
}

/// What was found out about one file.
#[derive(Debug, Clone)]
pub struct Report {
    /// What is wrong, in the order of the file; at most a hundred.
    pub findings: Vec<Finding>,
    /// Findings that were not kept.
    pub more: u64,
    /// How it ends.
    pub state: State,
    /// What its signatures are worth.
    pub signatures: Signatures,
    /// Checkpoints with a valid signature, the end included.
    pub signed_checkpoints: u64,
    /// The bytes that the last of those covers.
    pub signed_bytes: u64,
    /// Bytes up to the end of the last whole block.
    pub bytes: u64,
    /// Whole blocks.
    pub blocks: u64,
    /// Tells the recording from every other.
    pub identity: [u8; 16],
    /// Which part of the recording this is, from 1.
    pub part: u32,
    /// The hash of the last block.
    pub head: [u8; 32],
    /// What each recorder's records are.
    pub recorders: Vec<Recorder>,
    /// The balances at the start and at the last checkpoint or end, as they stand in the file.
    totals: [Vec<u8>; 2],
    /// The hash of the part before, as the header has it.
    previous: [u8; 32],
    starts: Vec<u64>,
}

/// What was counted of one recorder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recorder {
    /// Records in all parts up to here.
    pub written: u64,
    /// Records that gaps say are missing.
    pub missing: u64,
    /// Records at an instant before that of the one before: allowed, and worth knowing.
    pub went_back: u64,
    /// The next sequence number.
    pub(crate) next: u64,
    latest: u64,
    dropped: u64,
}

impl Recorder {
    pub(crate) fn record(&mut self, at: u64) {
        self.written += 1;
        self.went_back += u64::from(at < self.latest);
        self.latest = at;
    }
}

/// What the part before ended with.
#[derive(Debug)]
pub struct After<'a>(pub &'a Report);

impl Report {
    /// Whether nothing is wrong with it.
    #[must_use]
    pub const fn intact(&self) -> bool {
        self.findings.is_empty()
    }

    pub(crate) fn find(&mut self, offset: u64, problem: Problem) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding { offset, problem });
        } else {
            self.more += 1;
        }
    }
}

/// Checks one file, in the memory of its longest block. `after` is the report on the part before it, if there is one.
///
/// # Errors
/// [`VerifyError`] where there is nothing that could be checked.
pub fn verify(
    source: impl Read,
    path: &Path,
    key: Option<&PublicKey>,
    after: Option<&After<'_>>,
) -> Result<Report, VerifyError> {
    let mut walk = Walk {
        source,
        key,
        signer: None,
        hash: [0; HASH],
        lines: blake3::Hasher::new(),
        line_count: 0,
        last_index: 0,
        report: Report {
            findings: Vec::new(),
            more: 0,
            state: State::CutOff,
            signatures: Signatures::None,
            signed_checkpoints: 0,
            signed_bytes: 0,
            bytes: 0,
            blocks: 0,
            identity: [0; 16],
            part: 0,
            head: [0; HASH],
            recorders: Vec::new(),
            totals: [Vec::new(), Vec::new()],
            previous: [0; HASH],
            starts: Vec::new(),
        },
    };
    let begun = walk.start().map_err(|source| VerifyError::Read { path: path.to_path_buf(), source })?;
    match begun {
        Begun::Well => {}
        Begun::NotATrace => return Err(VerifyError::NotATrace { path: path.to_path_buf() }),
        Begun::Version(found) => {
            return Err(VerifyError::Version { path: path.to_path_buf(), found, checks: VERSION });
        }
    }
    walk.blocks().map_err(|source| VerifyError::Read { path: path.to_path_buf(), source })?;
    let mut report = walk.report;
    report.head = walk.hash;
    // A part that was only begun says nothing.
    if let Some(After(before)) = after.filter(|_| report.blocks > 0) {
        follows(&mut report, before);
    }
    Ok(report)
}

/// Whether a part follows the one before it.
fn follows(report: &mut Report, before: &Report) {
    let what = if report.identity != before.identity {
        "it belongs to another recording"
    } else if report.part != before.part.saturating_add(1) {
        "its number is not the next one"
    } else if report.previous != before.head {
        "it was chained to another end"
    } else if report.totals[0] != before.totals[1]
        || report.starts.iter().ne(before.recorders.iter().map(|recorder| &recorder.next))
    {
        "its balances are not those at the end of the part before"
    } else {
        return;
    };
    report.find(0, Problem::Part { what });
}

enum Begun {
    Well,
    NotATrace,
    Version(u16),
}

struct Walk<'k, R> {
    source: R,
    key: Option<&'k PublicKey>,
    signer: Option<VerifyingKey>,
    hash: [u8; HASH],
    /// Of the lines that the next index must have.
    lines: blake3::Hasher,
    line_count: u32,
    last_index: u64,
    report: Report,
}

/// Up to `length` bytes; fewer where there are no more. Takes no memory for bytes that are not there.
fn read(source: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.by_ref().take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl<R: Read> Walk<'_, R> {
    fn start(&mut self) -> io::Result<Begun> {
        let start = read(&mut self.source, START as u64)?;
        let known = start.len().min(MAGIC.len());
        if start[..known] != MAGIC[..known] {
            return Ok(Begun::NotATrace);
        }
        if let [_, _, _, _, _, _, _, _, v0, v1, ..] = start[..] {
            let found = u16::from_le_bytes([v0, v1]);
            if found != VERSION {
                return Ok(Begun::Version(found));
            }
        }
        if start.iter().skip(10).any(|byte| *byte != 0) {
            self.report.find(10, Problem::Reserved);
        }
        self.hash = *blake3::hash(&start).as_bytes();
        self.report.bytes = start.len() as u64;
        Ok(Begun::Well)
    }

    fn blocks(&mut self) -> io::Result<()> {
        loop {
            let offset = self.report.bytes;
            let mut block = read(&mut self.source, HEAD as u64)?;
            if self.report.state != State::CutOff && !block.is_empty() {
                self.report.find(offset, Problem::Trailing);
                return Ok(());
            }
            if block.len() < HEAD {
                break;
            }
            let mut head = Input::new(&block);
            let (kind, zeros, length, number) =
                (head.number(1), head.number(3), head.number(4), head.number(8));
            let (Some(kind), Some(zeros), Some(length), Some(number)) = (kind, zeros, length, number) else {
                break;
            };
            let kind = kind.to_le_bytes()[0];
            if length > LONGEST {
                self.report.find(offset, Problem::Length { length, most: LONGEST });
                return Ok(());
            }
            let rest = read(&mut self.source, length + HASH as u64)?;
            if rest.len() as u64 != length + HASH as u64 {
                break;
            }
            let (payload, stored) = rest.split_at(rest.len() - HASH);
            block.extend(payload);
            let before = self.hash;
            let mut hasher = blake3::Hasher::new();
            hasher.update(&before).update(&block);
            if hasher.finalize().as_bytes()[..] != *stored {
                self.report.find(offset, Problem::Hash);
            }
            if zeros != 0 {
                self.report.find(offset, Problem::Reserved);
            }
            if number != self.report.blocks {
                self.report.find(offset, Problem::Number { found: number, due: self.report.blocks });
            }
            // What follows is judged against what stands here, right or not, so that each wrong place is found once.
            self.hash.copy_from_slice(stored);
            if let Err(problem) = self.block(offset, kind, &before, &block) {
                self.report.find(offset, problem);
            }
            self.report.bytes += rest.len() as u64 + HEAD as u64;
            self.report.blocks += 1;
        }
        if self.report.state == State::CutOff {
            self.report.find(self.report.bytes, Problem::CutOff);
        }
        Ok(())
    }

    fn block(&mut self, offset: u64, kind: u8, before: &[u8; HASH], block: &[u8]) -> Result<(), Problem> {
        let payload = &block[HEAD..];
        if (kind == HEADER) != (self.report.blocks == 0) {
            return Err(Problem::Place { kind });
        }
        match kind {
            HEADER => self.header(payload),
            RECORDS => {
                let summary = records::check(payload, &mut self.report.recorders)?;
                self.lines.update(&offset.to_le_bytes());
                // The length was read from four bytes.
                self.lines.update(&block[4..8]).update(summary);
                self.line_count = self.line_count.saturating_add(1);
                Ok(())
            }
            INDEX => self.index(offset, payload),
            CHECKPOINT | END => self.balance(offset, kind, before, block),
            kind => Err(Problem::Kind { kind }),
        }
    }

    fn header(&mut self, payload: &[u8]) -> Result<(), Problem> {
        let shape = |what| Problem::Shape { kind: HEADER, what };
        let mut input = Input::new(payload);
        let too_short = || shape("it is too short");
        let identity = input.bytes(16).ok_or_else(too_short)?;
        self.report.identity.copy_from_slice(identity);
        self.report.part = input.u32().ok_or_else(too_short)?;
        let flags = input.u32().ok_or_else(too_short)?;
        self.report.previous.copy_from_slice(input.bytes(HASH).ok_or_else(too_short)?);
        let key = input.bytes(32).ok_or_else(too_short)?;
        let (totals, balances) = balances(&mut input).ok_or_else(|| shape("its balances"))?;
        self.report.totals = [totals.to_vec(), totals.to_vec()];
        for balance in &balances {
            let next = input.number(8).ok_or_else(too_short)?;
            let missing = next.checked_sub(balance.written).ok_or_else(|| shape("its sequence numbers"))?;
            self.report.starts.push(next);
            self.report.recorders.push(Recorder {
                written: balance.written,
                missing,
                next,
                dropped: balance.dropped,
                ..Recorder::default()
            });
        }
        for what in ["its origin", "its header"] {
            let length = input.number(4).and_then(|n| usize::try_from(n).ok());
            length.and_then(|n| input.bytes(n)).ok_or_else(|| shape(what))?;
        }
        if !input.left.is_empty() {
            return Err(shape("something follows"));
        }
        let first = self.report.part == 1;
        if self.report.part == 0 || first && self.report.previous != [0; HASH] {
            return Err(shape("its part"));
        }
        if first && self.report.recorders.iter().any(|r| r.next > 0 || r.dropped > 0) {
            return Err(shape("a first part with records before it"));
        }
        self.keys(flags, key)
    }

    fn keys(&mut self, flags: u32, key: &[u8]) -> Result<(), Problem> {
        let mut public = [0; 32];
        public.copy_from_slice(key);
        match (flags, self.key) {
            (0, _) if public != [0; 32] => {
                return Err(Problem::Shape { kind: HEADER, what: "a key without signatures" });
            }
            (0, Some(_)) => return Err(Problem::Unsigned),
            (0, None) => return Ok(()),
            (1, Some(given)) if given.0 == public => self.report.signatures = Signatures::KeyGiven,
            (1, Some(_)) => {
                self.report.signatures = Signatures::KeyUnknown { key: PublicKey(public) };
                self.report.find(START as u64, Problem::OtherKey);
            }
            (1, None) => self.report.signatures = Signatures::KeyUnknown { key: PublicKey(public) },
            _ => return Err(Problem::Shape { kind: HEADER, what: "its flags" }),
        }
        let signer = VerifyingKey::from_bytes(&public);
        self.signer = Some(signer.map_err(|_| Problem::Shape { kind: HEADER, what: "its key" })?);
        Ok(())
    }

    /// The index lists the blocks of records since the one before it, byte for byte as they say of themselves.
    fn index(&mut self, offset: u64, payload: &[u8]) -> Result<(), Problem> {
        let mut input = Input::new(payload);
        let (before, count) = (input.number(8), input.u32());
        let expected = std::mem::take(&mut self.lines).finalize();
        let (due_before, due_count) = (self.last_index, std::mem::take(&mut self.line_count));
        self.last_index = offset;
        if before != Some(due_before) {
            return Err(Problem::Index { what: "it names another index before it" });
        }
        if count != Some(due_count) || count == Some(0) || blake3::hash(input.left) != expected {
            return Err(Problem::Index { what: "its lines are not those of the blocks before it" });
        }
        Ok(())
    }

    /// A checkpoint or an end.
    fn balance(&mut self, offset: u64, kind: u8, before: &[u8; HASH], block: &[u8]) -> Result<(), Problem> {
        let shape = |what| Problem::Shape { kind, what };
        let payload = &block[HEAD..];
        let mut input = Input::new(payload);
        let (flags, zeros) = (input.u32(), input.u32());
        let clocks = input.bytes(32);
        let read = balances(&mut input);
        let (index, says, signature) = (input.number(8), input.number(8), input.bytes(SIGNATURE));
        let (Some(_), Some((totals, balances)), Some(index), Some(says), Some(signature)) =
            (clocks, read, index, says, signature)
        else {
            return Err(shape("it is too short"));
        };
        let state = match (kind, flags, zeros) {
            (CHECKPOINT, Some(0), Some(0)) => State::CutOff,
            (END, Some(0), Some(0)) => State::Whole,
            (END, Some(1), Some(0)) => State::Continued,
            _ => return Err(shape("its flags")),
        };
        // An end that is wrong is an end all the same.
        self.report.state = state;
        if !input.left.is_empty() {
            return Err(shape("something follows"));
        }
        if says != offset {
            return Err(Problem::Offset { says });
        }
        if index != self.last_index {
            return Err(Problem::Index { what: "the last index is elsewhere" });
        }
        if kind == END && self.line_count > 0 {
            return Err(Problem::Index { what: "blocks of records before the end are in no index" });
        }
        if balances.len() != self.report.recorders.len() {
            return Err(shape("its number of recorders"));
        }
        self.report.totals[1] = totals.to_vec();
        for (recorder, (says, of)) in (0..).zip(balances.iter().zip(&mut self.report.recorders)) {
            says.check(of, state == State::Whole).map_err(|what| Problem::Balance { recorder, what })?;
            of.dropped = says.dropped;
        }
        self.signature(offset, before, block, signature)
    }

    fn signature(
        &mut self,
        offset: u64,
        before: &[u8; HASH],
        block: &[u8],
        signature: &[u8],
    ) -> Result<(), Problem> {
        let Some(signer) = &self.signer else {
            let none = signature.iter().all(|byte| *byte == 0);
            return if none { Ok(()) } else { Err(Problem::Signature) };
        };
        let mut message = b"aegis-trace checkpoint v3\0\0\0".to_vec();
        message.extend(self.report.identity);
        message.extend(self.report.part.to_le_bytes());
        message.extend(before);
        message.extend(&block[..block.len() - SIGNATURE]);
        let signature = Signature::from_slice(signature).map_err(|_| Problem::Signature)?;
        signer.verify_strict(&message, &signature).map_err(|_| Problem::Signature)?;
        self.report.signed_checkpoints += 1;
        self.report.signed_bytes = offset + block.len() as u64 + HASH as u64;
        Ok(())
    }
}

/// One recorder's balance as a block states it.
struct Balance {
    offered: u64,
    written: u64,
    dropped: u64,
}

impl Balance {
    /// Against what was counted. Drops are counted before the gap that they become is in the file.
    fn check(&self, of: &Recorder, whole: bool) -> Result<(), &'static str> {
        if self.written.checked_add(self.dropped) != Some(self.offered) {
            return Err("written and dropped are not what was offered");
        }
        if self.written != of.written {
            return Err("it states another number of records than there are");
        }
        if self.dropped < of.missing || whole && self.dropped != of.missing {
            return Err("it states another number of drops than there are gaps");
        }
        if self.dropped < of.dropped {
            return Err("it states fewer drops than the one before it");
        }
        Ok(())
    }
}

/// Balances, and their bytes.
fn balances<'a>(input: &mut Input<'a>) -> Option<(&'a [u8], Vec<Balance>)> {
    let before = input.left;
    let mut balances = Vec::new();
    for _ in 0..input.u32()? {
        let (offered, written) = (input.number(8)?, input.number(8)?);
        if input.number(1)? > 1 {
            return None;
        }
        let (mut dropped, mut least) = (0u64, 0);
        for _ in 0..input.number(1)? {
            let kind = input.number(1)?;
            if kind < least {
                return None;
            }
            least = kind + 1;
            dropped = dropped.checked_add(input.number(8)?)?;
        }
        balances.push(Balance { offered, written, dropped });
    }
    Some((&before[..before.len() - input.left.len()], balances))
}
