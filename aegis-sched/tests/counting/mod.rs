//! An allocator that counts the calls of all threads, for the tests that promise none.
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

pub struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);

/// Calls of the allocator so far.
pub fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

// SAFETY: every call is passed on to the system allocator unchanged; counting does not touch the memory.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promises are those that the system allocator asks for.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller's promises are those that the system allocator asks for.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on unchanged.
        unsafe { System.dealloc(pointer, layout) }
    }
}
