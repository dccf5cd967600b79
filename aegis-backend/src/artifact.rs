//! What a model is loaded from: its bytes, where they came from, and their digest.
use crate::BackendError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The BLAKE3 digest of a model's bytes: names the model in profiles and traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// Lower-case hexadecimal; sixteen digits of it with the alternate form (`{:#}`).
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if f.alternate() { &self.0[..8] } else { &self.0[..] };
        shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A model's bytes with their origin and digest. The bytes that were hashed are the bytes that are loaded. A clone
/// shares them.
#[derive(Debug, Clone)]
pub struct Artifact {
    origin: PathBuf,
    bytes: Arc<Vec<u8>>,
    digest: Digest,
}

impl Artifact {
    /// Reads a file.
    ///
    /// # Errors
    /// [`BackendError::Unreadable`] if it cannot be read, [`BackendError::Malformed`] if it is empty.
    pub fn open(path: &Path) -> Result<Self, BackendError> {
        let bytes = std::fs::read(path).map_err(|source| BackendError::Unreadable {
            path: path.to_path_buf(),
            why: source.to_string(),
        })?;
        if bytes.is_empty() {
            return Err(BackendError::Malformed {
                path: path.to_path_buf(),
                why: "the file is empty".to_owned(),
            });
        }
        Ok(Self::from_bytes(path, bytes))
    }

    /// Takes bytes that are in memory already; `origin` is what messages call them.
    #[must_use]
    pub fn from_bytes(origin: impl Into<PathBuf>, bytes: Vec<u8>) -> Self {
        let digest = Digest(*blake3::hash(&bytes).as_bytes());
        Self { origin: origin.into(), bytes: Arc::new(bytes), digest }
    }

    /// Where the bytes came from; a path if they came from a file.
    #[must_use]
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their digest.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}
