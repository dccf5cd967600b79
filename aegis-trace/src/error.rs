//! What can go wrong with a trace: the file, the environment, the caller and ourselves kept apart.
use aegis_core::TaskSetError;
use std::io;
use std::path::PathBuf;

/// An error of this crate. Offsets are in bytes from the start of the trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file cannot be created.
    #[error("cannot create the trace {}: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read the trace {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The trace could not be written to its end. What was written before can be read.
    #[error("cannot write the trace: {source}; {unwritten} records were taken and could not be written")]
    Write {
        /// What the system said.
        source: io::Error,
        /// Records that were taken from their rings and are not in the file.
        unwritten: u64,
    },
    /// The drain thread cannot be started.
    #[error("cannot start the thread that writes the trace: {source}")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no private key that can sign a trace.
    #[error(
        "{} holds no private Ed25519 key; `openssl genpkey -algorithm ed25519 -out KEY.pem` makes one",
        path.display()
    )]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// A part of a trace does not follow the part before it.
    #[error("{} is not the part that follows: {why}; move it away to read what comes before", path.display())]
    Part {
        /// The file of the part.
        path: PathBuf,
        /// What does not fit.
        why: WrongPart,
    },
    /// A later part of a trace cannot be read.
    #[error("{}: {error}", path.display())]
    InPart {
        /// The file of the part.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<TraceError>,
    },
    /// The header is longer than a block may be.
    #[error("the trace's header takes {bytes} bytes; the most is {most}")]
    HeaderTooLarge {
        /// Its length.
        bytes: usize,
        /// The most.
        most: u32,
    },
    /// The file does not begin like a trace.
    #[error("not a trace: it does not begin with `AEGISTRC`")]
    NotATrace,
    /// The file has a format that this version cannot read.
    #[error("the trace has format version {found}; this program reads version {reads}")]
    Version {
        /// What the file says.
        found: u16,
        /// What can be read.
        reads: u16,
    },
    /// The file ends before its header does, so that nothing in it can be understood.
    #[error("the trace is cut off at byte {offset}, inside its header; nothing can be read from it")]
    NoHeader {
        /// Where it ends.
        offset: u64,
    },
    /// A block is damaged.
    #[error("the trace is damaged at byte {offset}: {damage}")]
    Damaged {
        /// Where the block starts.
        offset: u64,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The task set in the header breaks the rules of task sets.
    #[error("the trace's header is not valid: {0}")]
    Tasks(#[from] TaskSetError),
    /// The header states queues for another number of tasks.
    #[error("the trace's header is not valid: {queues} queues for {tasks} tasks")]
    Queues {
        /// How many queues it states.
        queues: usize,
        /// How many tasks it states.
        tasks: usize,
    },
    /// The header states a queue that holds nothing.
    #[error("the trace's header is not valid: the queue of task `{task}` is 0; it must hold at least 1 job")]
    EmptyQueue {
        /// The task.
        task: String,
    },
    /// No task has that name.
    #[error("no task is named `{name}`; the tasks are {}", known.join(", "))]
    UnknownTask {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// The text does not name a job.
    #[error("`{text}` does not name a job; write its task and number, as in `camera#118`")]
    NotAJob {
        /// The text.
        text: String,
    },
    /// The trace does not say that this job arrived.
    #[error("the trace says nothing of the arrival of {job}{}", match range {
        Some((first, last)) => format!("; it has {first} to {last} of that task"),
        None => "; it has no job of that task".to_owned(),
    })]
    UnknownJob {
        /// The job asked for, with its task's name.
        job: String,
        /// The first and the last job of its task whose arrival is known, by number.
        range: Option<(u64, u64)>,
    },
    /// A bug of this crate.
    #[error("bug in aegis-trace, please report it: {what}")]
    Bug {
        /// What should not have happened.
        what: &'static str,
    },
}

impl TraceError {
    /// Whether the file or the question is wrong, rather than the machine or this program.
    #[must_use]
    pub const fn is_bad_input(&self) -> bool {
        match self {
            Self::InPart { error, .. } => error.is_bad_input(),
            Self::Read { .. }
            | Self::NotATrace
            | Self::Version { .. }
            | Self::NoHeader { .. }
            | Self::Key { .. }
            | Self::Part { .. }
            | Self::Damaged { .. }
            | Self::Tasks(_)
            | Self::Queues { .. }
            | Self::EmptyQueue { .. }
            | Self::UnknownTask { .. }
            | Self::NotAJob { .. }
            | Self::UnknownJob { .. } => true,
            Self::Create { .. }
            | Self::Write { .. }
            | Self::Thread { .. }
            | Self::HeaderTooLarge { .. }
            | Self::Bug { .. } => false,
        }
    }
}

/// Why a file is not the next part of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongPart {
    /// It belongs to another recording.
    #[error("it belongs to another recording")]
    Recording,
    /// It is another part of the same recording.
    #[error("it is part {found}, and part {due} is due")]
    Number {
        /// What it says.
        found: u32,
        /// What is due.
        due: u32,
    },
    /// It follows another end of the part before it.
    #[error("it follows an end that the part before it does not have")]
    Chain,
    /// Its balances at its start are not those at the end of the part before it.
    #[error("its balances do not begin where those of the part before it end")]
    Balances,
}

/// What is wrong with a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It states a length that no block has.
    #[error("a block of {length} bytes; the most is {most}")]
    Length {
        /// What it states.
        length: u32,
        /// The most.
        most: u32,
    },
    /// Its hash is not that of the block before it and its own bytes.
    #[error(
        "a block's hash does not fit it and the block before it: it was changed, or does not belong here"
    )]
    Hash,
    /// Its number is not the next one.
    #[error("block number {found} where {due} was due")]
    Number {
        /// What it states.
        found: u64,
        /// What was due.
        due: u64,
    },
    /// An index or an end names a place at which there is no such block.
    #[error("a block that should be at byte {place} is not there")]
    Missing {
        /// The place.
        place: u64,
    },
    /// It is of a kind that this version of the format does not have.
    #[error("a block of unknown kind {kind}")]
    Kind {
        /// Its kind.
        kind: u8,
    },
    /// Its content is not what its kind should contain.
    #[error("a block of kind {kind} with content that cannot be decoded")]
    Content {
        /// Its kind.
        kind: u8,
    },
    /// The header is missing, is there twice, or something follows the end.
    #[error("a block of kind {kind} in the wrong place")]
    Place {
        /// Its kind.
        kind: u8,
    },
    /// Something follows the end.
    #[error("something follows the end")]
    Trailing,
    /// Records of one recorder overlap, or are missing without a gap that says so.
    #[error("record {first} of recorder {recorder} where {expected} was due")]
    Sequence {
        /// The recorder.
        recorder: u32,
        /// The sequence number found.
        first: u64,
        /// The one that could follow.
        expected: u64,
    },
    /// The totals at the end do not fit the records before them, or do not add up.
    #[error("the totals of recorder {recorder} do not fit its records")]
    Totals {
        /// The recorder.
        recorder: u32,
    },
}
