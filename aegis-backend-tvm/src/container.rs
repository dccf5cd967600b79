//! The file that `scripts/tvm/compile.py` writes: a header, a digest of all that follows, a manifest, and the module.
//!
//! One file and not two, so that a model and what is known about it cannot be told apart, renamed apart or updated apart,
//! and so that bytes in memory are a whole model. A module is executable code: nothing of it is loaded before the digest
//! is right. The digest keeps out damage and mix-ups; it keeps out nobody who can write the file.
use crate::manifest::Manifest;
use aegis_backend::{Artifact, BackendError};
use sha2::{Digest as _, Sha256};

const MAGIC: &[u8] = b"AEGISTVM";
const VERSION: u32 = 1;

/// Where the manifest begins.
const HEADER: usize = 48;

/// How a model becomes such a file.
const COMMAND: &str = "make one with `scripts/tvm/compile.py MODEL.onnx OUT.tvm`";

/// A file that is what it was when it was written.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    pub(crate) manifest: Manifest,
    /// The shared library.
    pub(crate) code: &'a [u8],
}

/// Takes a file apart.
pub(crate) fn open(artifact: &Artifact) -> Result<Container<'_>, BackendError> {
    take_apart(artifact.bytes())
        .map_err(|why| BackendError::Malformed { path: artifact.origin().to_path_buf(), why })
}

fn take_apart(bytes: &[u8]) -> Result<Container<'_>, String> {
    if bytes.starts_with(b"\x7fELF") {
        return Err(format!("it is a shared library without a manifest; {COMMAND}"));
    }
    let Some((header, rest)) = bytes.split_at_checked(HEADER).filter(|_| bytes.starts_with(MAGIC)) else {
        return Err(format!("it does not begin as a compiled TVM model; {COMMAND}"));
    };
    let number = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let version = number(8);
    if version != VERSION {
        return Err(format!("its layout has version {version}, this backend reads {VERSION}; {COMMAND}"));
    }
    if Sha256::digest(rest).as_slice() != &header[16..HEADER] {
        return Err(format!("it is damaged: its bytes do not have the digest that it states; {COMMAND}"));
    }
    let length = usize::try_from(number(12)).unwrap_or(usize::MAX);
    let Some((manifest, code)) = rest.split_at_checked(length) else {
        return Err(format!("its manifest of {length} bytes is longer than the file; {COMMAND}"));
    };
    Ok(Container { manifest: Manifest::parse(manifest)?, code })
}

#[cfg(test)]
pub(crate) fn pack(manifest: &str, code: &[u8]) -> Vec<u8> {
    let body = [manifest.as_bytes(), code].concat();
    let length = u32::try_from(manifest.len()).unwrap();
    [MAGIC, &VERSION.to_le_bytes(), &length.to_le_bytes(), Sha256::digest(&body).as_slice(), &body].concat()
}

#[cfg(test)]
mod tests {
    use super::{open, pack};
    use crate::manifest::tests::MLP;
    use aegis_backend::{Artifact, BackendError};

    fn refused(bytes: Vec<u8>) -> String {
        let error = open(&Artifact::from_bytes("a.tvm", bytes)).unwrap_err();
        assert!(matches!(error, BackendError::Malformed { .. }), "{error:?}");
        error.to_string()
    }

    #[test]
    fn a_file_comes_apart_as_it_was_put_together() {
        let artifact = Artifact::from_bytes("a.tvm", pack(MLP, b"code"));
        let container = open(&artifact).unwrap();
        assert_eq!((container.code, container.manifest.inputs.len()), (&b"code"[..], 1));
    }

    #[test]
    fn every_bit_counts() {
        let sound = pack(MLP, b"some code");
        for at in 0..sound.len() {
            for bit in 0..8 {
                let mut flipped = sound.clone();
                flipped[at] ^= 1 << bit;
                refused(flipped);
            }
        }
        for len in 0..sound.len() {
            refused(sound[..len].to_vec());
        }
        refused([&sound[..], b"more"].concat());
    }

    #[test]
    fn what_it_is_not_is_said_with_the_command() {
        let mut other = pack(MLP, b"");
        other[8] = 9;
        let mut long = pack(MLP, b"");
        long[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        for (bytes, says) in [
            (b"\x7fELF\x02".to_vec(), "a shared library without a manifest"),
            (b"\x08\x0a".to_vec(), "does not begin as a compiled TVM model"),
            (b"AEGISTVM\x01".to_vec(), "does not begin as a compiled TVM model"),
            (other, "its layout has version 9, this backend reads 1"),
            (long, "its manifest of 4294967295 bytes is longer than the file"),
        ] {
            let message = refused(bytes);
            assert!(message.contains(says) && message.contains("compile.py MODEL.onnx"), "{message}");
        }
    }
}
