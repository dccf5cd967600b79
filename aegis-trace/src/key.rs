//! The key that signs a trace: Ed25519, from a file as `openssl genpkey -algorithm ed25519` writes it.
use crate::TraceError;
use crate::file::{DOMAIN, HEAD, Hash};
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer, SigningKey};
use std::path::Path;

/// Bytes of a signature.
pub const SIGNATURE: usize = 64;

/// A private key that signs the checkpoints of a trace.
#[derive(Clone)]
pub struct TraceKey(SigningKey);

impl std::fmt::Debug for TraceKey {
    /// Shows the public half.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TraceKey").field(&self.public()).finish()
    }
}

impl TraceKey {
    /// Reads a private key: PKCS #8, as PEM.
    ///
    /// # Errors
    /// [`TraceError::Read`] if the file cannot be read, [`TraceError::Key`] if it holds no such key.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TraceError::Read { path: path.to_path_buf(), source })?;
        let key = SigningKey::from_pkcs8_pem(&text);
        key.map(Self).map_err(|_| TraceError::Key { path: path.to_path_buf() })
    }

    /// The public half, as it stands in the file's header.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, signed: &Signed<'_>) -> [u8; SIGNATURE] {
        let message = [
            &DOMAIN[..],
            signed.identity,
            &signed.part.to_le_bytes(),
            signed.before,
            signed.head,
            signed.payload,
        ];
        self.0.sign(&message.concat()).to_bytes()
    }
}

/// What a signature says: this block, behind these blocks, of this part of this recording.
pub struct Signed<'a> {
    pub identity: &'a [u8; 16],
    pub part: u32,
    pub before: &'a Hash,
    pub head: &'a [u8; HEAD],
    /// Without the signature.
    pub payload: &'a [u8],
}
