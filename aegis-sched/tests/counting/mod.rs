//! An allocator that counts the calls of each thread, for the tests that promise none.
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Calls of the allocator by this thread so far.
pub fn calls() -> u64 {
    CALLS.get()
}

// SAFETY: every call is passed on to the system allocator unchanged; the counter is a constant of the thread, which
// neither allocates nor has a destructor.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promises are those that the system allocator asks for.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller's promises are those that the system allocator asks for.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: passed on unchanged.
        unsafe { System.dealloc(pointer, layout) }
    }
}
