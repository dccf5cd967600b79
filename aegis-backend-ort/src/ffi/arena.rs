//! What an arena of an ONNX Runtime session holds, by its own count.
#![allow(unsafe_code)]

use aegis_core::Bytes;
use ort::AsPointer;
use ort::memory::{Allocator, MemoryInfo};
use ort::session::Session;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};

/// What ONNX Runtime's arena on the device holds for one model, by its own count: constants, packed constants and
/// scratch. What the CUDA libraries take besides (code, workspaces of cuBLAS) is in none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ArenaStats {
    /// Handed out at the moment.
    pub in_use: Bytes,
    /// The most that was ever handed out.
    pub max_in_use: Bytes,
    /// Taken from the device, and kept.
    pub total: Bytes,
    /// The most that it may take; `None` without a limit.
    pub limit: Option<Bytes>,
}

/// Asks the arena of `session` at `place`.
///
/// # Errors
/// A sentence, if there is none there or it counts nothing.
pub(crate) fn stats(session: &Session, place: MemoryInfo<'_>) -> Result<ArenaStats, String> {
    let arena = Allocator::new(session, place).map_err(|error| error.to_string())?;
    let mut pairs = std::ptr::null_mut();
    // SAFETY: `arena` is a live allocator of ONNX Runtime, and `pairs` is a valid place for one pointer.
    let status = unsafe { (ort::api().AllocatorGetStats)(arena.ptr(), &raw mut pairs) };
    // SAFETY: `status` came from the call above and is given up here.
    unsafe { ort::Error::result_from_status(status) }.map_err(|error| error.to_string())?;
    let (mut keys, mut values, mut count) = (std::ptr::null(), std::ptr::null(), 0);
    // SAFETY: `pairs` was set by the call that succeeded above; the others are valid places.
    unsafe { (ort::api().GetKeyValuePairs)(pairs, &raw mut keys, &raw mut values, &raw mut count) };
    let read: BTreeMap<String, String> = (0..count)
        .map(|index| {
            // SAFETY: both lists have `count` entries and live until they are released below.
            unsafe { (text(*keys.add(index)), text(*values.add(index))) }
        })
        .collect();
    // SAFETY: released once, and the texts above are copies.
    unsafe { (ort::api().ReleaseKeyValuePairs)(pairs) };
    from_pairs(&read)
}

/// An allocator that is kept alive and not used.
pub(crate) struct Kept(#[expect(dead_code, reason = "only its life matters")] Allocator);

// SAFETY: nothing can be done with it but drop it, which releases a counted reference (`ReleaseAllocator`) and has no tie
// to a thread.
unsafe impl Send for Kept {}
// SAFETY: as above; a shared one gives nothing out.
unsafe impl Sync for Kept {}

/// The allocator of `session` at `place`, which lives as long as what is answered even if the session does not.
///
/// # Errors
/// ONNX Runtime's words, if there is none there.
pub(crate) fn keep(session: &Session, place: MemoryInfo<'_>) -> ort::Result<Kept> {
    Allocator::new(session, place).map(Kept)
}

/// A copy of one of ONNX Runtime's texts.
///
/// # Safety
/// `text` is null or a text that ends in zero.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn from_pairs(pairs: &BTreeMap<String, String>) -> Result<ArenaStats, String> {
    let read = |key: &str| pairs.get(key).and_then(|value| value.parse::<i128>().ok());
    let bytes = |key: &str| {
        let value = read(key).and_then(|value| u64::try_from(value).ok());
        value.map(Bytes).ok_or_else(|| format!("its arena does not count `{key}`: {pairs:?}"))
    };
    Ok(ArenaStats {
        in_use: bytes("InUse")?,
        max_in_use: bytes("MaxInUse")?,
        total: bytes("TotalAllocated")?,
        // Minus one, or the largest number, stand for none.
        limit: read("Limit")
            .and_then(|limit| i64::try_from(limit).ok())
            .filter(|limit| *limit != i64::MAX)
            .and_then(|limit| u64::try_from(limit).ok().map(Bytes)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_arena_of_the_host_counts_and_what_is_no_arena_says_so() {
        use aegis_backend::conformance::onnx;
        use ort::memory::{AllocationDevice, AllocatorType, MemoryType};
        let Some(runtime) = crate::process::for_tests() else { return };
        let session =
            Session::builder(&runtime.environment).unwrap().commit_from_memory(&onnx::dense()).unwrap();
        let place = |kind| MemoryInfo::new(AllocationDevice::CPU, 0, kind, MemoryType::Default).unwrap();
        let held = stats(&session, place(AllocatorType::Arena)).unwrap();
        assert!(held.in_use <= held.total && held.max_in_use >= held.in_use, "{held:?}");
        assert_eq!(held.limit, None);
        let kept = keep(&session, place(AllocatorType::Arena)).unwrap();
        let elsewhere = MemoryInfo::new(AllocationDevice::CUDA, 0, AllocatorType::Arena, MemoryType::Default);
        let error = stats(&session, elsewhere.unwrap()).unwrap_err();
        assert!(!error.is_empty());
        println!("{error}");
        let pinned = crate::ffi::bound::pinned(0).unwrap();
        assert!(keep(&session, pinned).is_err(), "there is no device");
        drop(session);
        drop(kept);
    }

    #[test]
    fn numbers_are_read_and_what_is_missing_is_named() {
        let all =
            [("InUse", "4112"), ("MaxInUse", "8224"), ("TotalAllocated", "1052688"), ("Limit", "2097152")];
        let expected = ArenaStats {
            in_use: Bytes(4112),
            max_in_use: Bytes(8224),
            total: Bytes(1_052_688),
            limit: Some(Bytes(2_097_152)),
        };
        assert_eq!(from_pairs(&pairs(&all)), Ok(expected));
        for missing in 0..3 {
            let mut fewer = all.to_vec();
            let (key, _) = fewer.remove(missing);
            let error = from_pairs(&pairs(&fewer)).unwrap_err();
            assert!(error.contains(&format!("does not count `{key}`")), "{error}");
        }
        assert!(from_pairs(&pairs(&[("InUse", "-4"), all[1], all[2]])).is_err());
    }

    #[test]
    fn no_limit_is_none() {
        for none in ["-1", "9223372036854775807", "18446744073709551615", "", "none"] {
            let all = [("InUse", "0"), ("MaxInUse", "0"), ("TotalAllocated", "0"), ("Limit", none)];
            assert_eq!(from_pairs(&pairs(&all)), Ok(ArenaStats::default()), "{none}");
        }
    }
}
