//! What a fuzzer and the smoke test of `aegis-trace` do with bytes that claim to be a trace.
use aegis_trace::{Jobs, Trace};
use std::path::Path;

/// Everything that reads traces reads it; an error is a good answer. What the reader calls complete, the checker must
/// find whole.
///
/// # Panics
/// Where one of them has a defect.
pub fn read(bytes: &[u8]) {
    let checked = aegis_trace_verify::verify(bytes, Path::new("bytes"), None, None);
    let Ok(trace) = Trace::from_bytes(bytes) else { return };
    assert!(!trace.complete() || checked.is_ok(), "the reader takes what the checker does not know");
    for entry in trace.entries() {
        assert!(!trace.header().say(&entry.record).to_string().is_empty());
    }
    let jobs = Jobs::of(&trace);
    for job in jobs.iter().take(100) {
        if let Ok(explanation) = jobs.explain(job.id) {
            assert!(!trace.header().narrate(&explanation).to_string().is_empty());
        }
    }
}

/// The same blocks with right numbers and hashes, so that what stands in them is reached; what is no whole block is left as
/// it is.
#[must_use]
pub fn rehashed(bytes: &[u8]) -> Vec<u8> {
    let Some((start, mut rest)) = bytes.split_at_checked(16) else { return bytes.to_vec() };
    let mut out = start.to_vec();
    let mut hash = *blake3::hash(start).as_bytes();
    let mut number = 0u64;
    while let Some((length, whole)) = rest.get(4..8).and_then(|length| {
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        Some((length, rest.get(..length.checked_add(48)?)?))
    }) {
        let mut block = whole[..length + 16].to_vec();
        block[8..16].copy_from_slice(&number.to_le_bytes());
        hash = *blake3::Hasher::new().update(&hash).update(&block).finalize().as_bytes();
        out.extend(block);
        out.extend(hash);
        rest = &rest[whole.len()..];
        number += 1;
    }
    out.extend(rest);
    out
}
