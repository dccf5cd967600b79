//! The checker of trace files: reads the bytes itself, and does every sum again.
//!
//! It uses none of our crates, so that a defect of the code that writes and reads traces cannot repeat itself here. The
//! format is drawn to the byte in `docs/TRACE_FORMAT.md`; what is checked, and against whom, stands there too. In short:
//!
//! - Without a key: that the file is whole and unchanged by accident. Every block carries the hash of the one before it,
//!   so any byte that is changed, cut out, put in or moved is found, unless whoever did it wrote the chain anew behind it:
//!   anybody can do that.
//! - With the public key of the recorder: also that. What is behind the last signed checkpoint is only chained, so a trace
//!   without an end can have lost what was recorded after it, at most about a second.
//!
//! Bodies of records are not decoded: a body is its kind and so many bytes. Which tasks and jobs a block's summary lists is
//! therefore taken from the writer, and read back by the tests of `aegis-trace`.
#![forbid(unsafe_code)]

mod bytes;
mod file;
mod finding;
mod records;
mod walk;

pub use file::{Verified, verify_file};
pub use finding::{Finding, Problem};
pub use walk::{After, Report, Signatures, State, verify};

use ed25519_dalek::pkcs8::DecodePublicKey;
use std::path::PathBuf;

/// A public Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Reads a key as `openssl pkey -in KEY.pem -pubout` writes it; `None` if the text holds none.
    #[must_use]
    pub fn from_pem(text: &str) -> Option<Self> {
        let key = ed25519_dalek::VerifyingKey::from_public_key_pem(text).ok()?;
        Some(Self(key.to_bytes()))
    }
}

/// Why nothing can be said of a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It does not begin like a trace.
    #[error("{} is not a trace: it does not begin with `AEGISTRC`", path.display())]
    NotATrace {
        /// The file.
        path: PathBuf,
    },
    /// It has a format that is not checked here.
    #[error("{} has format version {found}; this program checks version {checks}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: u16,
        /// What can be checked.
        checks: u16,
    },
}
