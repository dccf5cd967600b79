//! What can be wrong with a trace, each with its place.
use std::fmt;

/// Something wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In bytes from the start of the file: the start of the block that it concerns.
    pub offset: u64,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.problem)
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file ends without its end.
    #[error("the trace is cut off: nothing that was recorded from here on is there")]
    CutOff,
    /// Something stands behind the end.
    #[error("something follows the end")]
    Trailing,
    /// A block is longer than blocks are; nothing behind it can be found.
    #[error("a block of {length} bytes; the most is {most}")]
    Length {
        /// What it states.
        length: u64,
        /// The most.
        most: u64,
    },
    /// A hash is not that of the hash before it and the block.
    #[error("the hash does not fit: this block was changed, or does not belong behind the one before it")]
    Hash,
    /// Bytes that must be 0 are not.
    #[error("reserved bytes are not 0")]
    Reserved,
    /// Blocks are not numbered one after the other.
    #[error("block number {found} where {due} was due")]
    Number {
        /// The number found.
        found: u64,
        /// The number that was due.
        due: u64,
    },
    /// No block is of this kind.
    #[error("a block of unknown kind {kind}")]
    Kind {
        /// The kind.
        kind: u8,
    },
    /// The header is not first, or is there twice, or something stands behind the end.
    #[error("a block of kind {kind} where there can be none")]
    Place {
        /// The kind.
        kind: u8,
    },
    /// The content does not have the shape of its kind.
    #[error("the content of a block of kind {kind} is not of its shape: {what}")]
    Shape {
        /// The kind.
        kind: u8,
        /// What does not fit.
        what: &'static str,
    },
    /// Records are there twice, in a wrong order, or missing without a gap that says so.
    #[error("record {found} of recorder {recorder} where {due} was due")]
    Sequence {
        /// The recorder.
        recorder: u32,
        /// The sequence number found.
        found: u64,
        /// The sequence number that was due.
        due: u64,
    },
    /// What a block says of itself in front is not what it holds.
    #[error("the block's summary is wrong: {what}")]
    Summary {
        /// What is wrong in it.
        what: &'static str,
    },
    /// A balance is not that of the records and gaps before it.
    #[error("the balance of recorder {recorder} is wrong: {what}")]
    Balance {
        /// The recorder.
        recorder: u32,
        /// What does not fit.
        what: &'static str,
    },
    /// The index does not list the blocks of records before it.
    #[error("the index is wrong: {what}")]
    Index {
        /// What does not fit.
        what: &'static str,
    },
    /// A block states another place than its own.
    #[error("the block says that it stands at byte {says}")]
    Offset {
        /// The place that it states.
        says: u64,
    },
    /// A signature was not made with the key for these bytes.
    #[error("the signature is not valid")]
    Signature,
    /// The trace is signed with another key than the one given.
    #[error("the trace is signed with another key than the one given")]
    OtherKey,
    /// A key was given, and the trace is not signed.
    #[error("the trace is not signed, so the key proves nothing")]
    Unsigned,
    /// The part that should follow is not there.
    #[error("the next part of the trace is missing: {path}")]
    NextPart {
        /// Where it should be.
        path: String,
    },
    /// The part does not follow the one before it.
    #[error("this part does not follow the one before it: {what}")]
    Part {
        /// What does not fit.
        what: &'static str,
    },
}
