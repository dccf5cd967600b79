//! The format of a trace file, version 3. `docs/TRACE_FORMAT.md` draws it to the byte.
//!
//! ```text
//! file   = "AEGISTRC" version:u16 0:[u8; 6] block*
//! block  = head payload hash
//! head   = kind:u8 0:[u8; 3] length:u32 number:u64
//! hash   = BLAKE3(hash of the block before, head, payload); before the first block stands BLAKE3(the first 16 bytes)
//! blocks = Header, then any number of Records, Checkpoints and Indexes, then End
//! ```
//! Integers are little-endian. A file without End was cut off: by a crash, a full disk, or somebody.
use crate::bytes::Cursor;
use crate::{Damage, TraceError};

/// The first bytes of every trace.
pub const MAGIC: [u8; 8] = *b"AEGISTRC";
/// The version that this crate writes and reads.
pub const VERSION: u16 = 3;
/// Bytes before the first block.
pub const START: usize = 16;
/// Bytes of a block before its payload, and of the hash behind it.
pub const HEAD: usize = 16;
pub const HASH: usize = 32;
/// The longest payload of a block.
pub const LONGEST: u32 = 1 << 24;

pub const HEADER: u8 = 1;
pub const RECORDS: u8 = 2;
pub const CHECKPOINT: u8 = 3;
pub const INDEX: u8 = 4;
pub const END: u8 = 5;

/// Tags of what a Records block holds behind its summary.
pub const CHUNK: u8 = 0;
pub const GAP: u8 = 1;

/// Set in a Header's flags where checkpoints are signed.
pub const SIGNED: u32 = 1;
/// Set in an End's flags where another part follows.
pub const CONTINUED: u32 = 1;

/// What a signature of a checkpoint is of: this, the identity, the part (u32), the hash before the block, the block's head,
/// and its payload without the signature.
pub const DOMAIN: &[u8; 28] = b"aegis-trace checkpoint v3\0\0\0";

/// A BLAKE3 hash.
pub type Hash = [u8; HASH];

/// The first 16 bytes.
pub const fn start() -> [u8; START] {
    let [v0, v1] = VERSION.to_le_bytes();
    let [a, e, g, i, s, t, r, c] = MAGIC;
    [a, e, g, i, s, t, r, c, v0, v1, 0, 0, 0, 0, 0, 0]
}

/// What stands for the hash before the first block.
pub fn first_hash() -> Hash {
    *blake3::hash(&start()).as_bytes()
}

/// The hash of a block.
pub fn chained(before: &Hash, head_and_payload: &[u8]) -> Hash {
    *blake3::Hasher::new().update(before).update(head_and_payload).finalize().as_bytes()
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub kind: u8,
    pub length: u32,
    /// Blocks before it in its file.
    pub number: u64,
}

impl Head {
    pub const fn encoded(self) -> [u8; HEAD] {
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        let [n0, n1, n2, n3, n4, n5, n6, n7] = self.number.to_le_bytes();
        [self.kind, 0, 0, 0, l0, l1, l2, l3, n0, n1, n2, n3, n4, n5, n6, n7]
    }

    /// The head of the block at `offset`, which may be no longer than a block may be.
    pub fn decode(bytes: [u8; HEAD], offset: u64) -> Result<Self, TraceError> {
        let damaged = |damage| TraceError::Damaged { offset, damage };
        let mut cursor = Cursor(&bytes);
        let read = (cursor.array::<4>(), cursor.u32(), cursor.u64());
        let (Some([kind, zeros @ ..]), Some(length), Some(number)) = read else {
            return Err(TraceError::Bug { what: "16 bytes do not hold a head" });
        };
        if length > LONGEST {
            return Err(damaged(Damage::Length { length, most: LONGEST }));
        }
        if zeros != [0; 3] {
            return Err(damaged(Damage::Content { kind }));
        }
        Ok(Self { kind, length, number })
    }

    /// The whole block in the file.
    pub const fn block_bytes(self) -> u64 {
        self.length as u64 + (HEAD + HASH) as u64
    }
}

/// Checks the bytes before the first block.
pub fn check_start(bytes: &[u8]) -> Result<(), TraceError> {
    let cut = || TraceError::NoHeader { offset: bytes.len() as u64 };
    let Some((magic, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(if MAGIC.starts_with(bytes) { cut() } else { TraceError::NotATrace });
    };
    if *magic != MAGIC {
        return Err(TraceError::NotATrace);
    }
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
    let found = u16::from_le_bytes(*version);
    if found != VERSION {
        return Err(TraceError::Version { found, reads: VERSION });
    }
    let (zeros, _) = rest.split_first_chunk::<6>().ok_or_else(cut)?;
    if *zeros != [0; 6] {
        return Err(TraceError::NotATrace);
    }
    Ok(())
}
