//! How much heap a piece of work takes at most, where the program counts its allocations.
//!
//! A program that wants the figures makes [`CountingAllocator`] its global allocator, as the `aegis` command does.
use aegis_core::Bytes;

/// An allocator that passes everything on to the system's and counts the bytes that are taken.
pub use peak_alloc::PeakAlloc as CountingAllocator;

/// Does `work` and returns the most heap that was taken at a time beyond what was taken before; `None` where the program
/// does not count. Other threads are counted too: call it while they are quiet.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, Option<Bytes>) {
    CountingAllocator.reset_peak_usage();
    let before = CountingAllocator.current_usage();
    let result = work();
    let most = CountingAllocator.peak_usage().saturating_sub(before);
    (result, (before > 0).then_some(Bytes(most as u64)))
}
