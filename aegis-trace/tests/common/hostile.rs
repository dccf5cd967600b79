//! Traces to start from, and changes to them that somebody might make who wants to harm their reader.
use aegis_core::Rng;
use std::path::{Path, PathBuf};

/// The folder of the fuzzer's corpus.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/trace")
}

/// Every file of the corpus.
///
/// # Panics
/// Where there are none.
pub fn corpus() -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder()).expect("the corpus").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(paths.len() >= 4, "{} files in the corpus", paths.len());
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

/// Some bytes changed, put in, cut out; numbers made as large as they can be.
pub fn mutated(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..rng.between(1, 4) {
        if out.len() < 32 {
            break;
        }
        // What stands before the first block is rarely worth a change.
        let least = if rng.one_in(16) { 0 } else { 16 };
        let at = usize::try_from(rng.between(least, out.len() as u64 - 1)).expect("an index");
        let until = (at + usize::try_from(rng.between(1, 9)).expect("few")).min(out.len());
        match rng.between(0, 6) {
            0 => out[at] ^= 1 << rng.between(0, 7),
            1 => out[at] = rng.bits().to_le_bytes()[0],
            2 => out[at..until].fill(0xff),
            3 => out[at..until].fill(0),
            4 => drop(out.drain(at..until)),
            5 => drop(out.splice(at..at, std::iter::repeat_n(0xff, until - at))),
            _ => out.truncate(at),
        }
    }
    out
}
