//! The format of a trace file, version 2.
//!
//! ```text
//! file   = "AEGISTRC" version:u16 block*
//! block  = kind:u8 length:u32 payload:[u8; length] checksum:u32
//! blocks = Header, then any number of Records, then End
//! ```
//! Integers are little-endian. The checksum is the CRC-32 of kind, length and payload. Payloads are postcard encodings:
//! of a [`Header`](crate::Header), of a list of [`Chunk`]s, of [`Totals`](crate::Totals). A file without End was cut
//! off: by a crash, a full disk, or a copy that did not finish.
use crate::Record;
use serde::{Deserialize, Serialize};

/// The first bytes of every trace.
pub const MAGIC: [u8; 8] = *b"AEGISTRC";
/// The version that this crate writes and reads.
pub const VERSION: u16 = 2;
/// The longest payload of a block.
pub const LONGEST: u32 = 1 << 24;

/// Bytes of a block before its payload, and behind it.
pub const BEFORE: usize = 5;
pub const BEHIND: usize = 4;

pub const HEADER: u8 = 1;
pub const RECORDS: u8 = 2;
pub const END: u8 = 3;

/// Records of one recorder with consecutive sequence numbers. A jump to the next chunk's `first` is a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    pub recorder: u32,
    pub first: u64,
    pub records: Vec<Record>,
}

/// CRC-32 (IEEE 802.3) of `bytes`, which follow others whose CRC is `crc`; 0 at the start.
#[must_use]
pub fn crc32(crc: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!crc, |crc, byte| TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8))
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0u32;
    while i < 256 {
        let (mut crc, mut bit) = (i, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[i as usize] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn check_value_of_the_standard() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"12345"), b"6789"), 0xcbf4_3926);
        assert_eq!(crc32(0, b""), 0);
    }
}
