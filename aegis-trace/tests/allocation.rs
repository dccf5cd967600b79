//! Recording allocates nothing, and reading allocates no more than the file can account for: counted by an allocator
//! that counts what one thread takes.
#[path = "common/hostile.rs"]
mod hostile;
#[allow(dead_code, reason = "the fuzzer's own function is for `tests/hostile.rs`")]
#[path = "../../fuzz/src/trace.rs"]
mod trace;

use aegis_core::{JobId, Nanos, Rng, TaskId};
use aegis_trace::{Body, Trace, recorder};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(size: usize) {
    TAKEN.with(|n| n.set(n.get() + 1));
    LARGEST.with(|n| n.set(n.get().max(size)));
}

// SAFETY: every call is handed to the system's allocator as it came; the counters are constants of the thread and
// neither allocate nor have destructors.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promises are those that the system's allocator asks for.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise, handed on.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as above.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    // SAFETY: as above.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[test]
fn recording_allocates_nothing_whether_it_fits_or_not() {
    let (mut recorder, mut tap) = recorder(1 << 10);
    let before = TAKEN.with(Cell::get);
    for seq in 0..1_000_000 {
        let job = JobId { task: TaskId(0), seq };
        recorder.record(Nanos(seq), Body::Started { job, segment: 0 });
        // The ring runs full, is emptied, and runs full again.
        if seq % 3000 == 0 {
            while tap.take().is_some() {}
        }
    }
    assert_eq!(TAKEN.with(Cell::get) - before, 0);
    assert_eq!(recorder.offered(), 1_000_000);
    assert!(recorder.dropped() > 500_000, "both paths are taken");
    drop(Box::new(seen_to_count(before)));
    assert!(TAKEN.with(Cell::get) > before, "the counter counts");
}

fn seen_to_count(before: u64) -> [u64; 4] {
    [before; 4]
}

/// Lengths inside the file are not trusted with memory: the largest single allocation stays within a small multiple of
/// the file's length, whatever bytes are changed and even where hashes are right; for the reader as for the checker.
#[test]
fn reading_takes_no_more_memory_than_the_file_accounts_for() {
    let corpus = hostile::corpus();
    let seed = 3;
    let mut rng = Rng::new(seed);
    let mut read = 0;
    for round in 0..6_000 {
        let file = &corpus[round % corpus.len()];
        let bytes = trace::rehashed(&hostile::mutated(&mut rng, file));
        for (who, reader) in [("reader", read_it as fn(&[u8]) -> bool), ("checker", check_it)] {
            LARGEST.with(|n| n.set(0));
            read += u32::from(reader(&bytes));
            let largest = LARGEST.with(Cell::get);
            let most = 128 * bytes.len().max(64);
            assert!(
                largest <= most,
                "seed {seed}, {round}, {who}: {largest} bytes for a file of {}",
                bytes.len()
            );
        }
    }
    assert!(read > 200, "only {read} were read: hashes are not right");
}

fn read_it(bytes: &[u8]) -> bool {
    Trace::from_bytes(bytes).is_ok()
}

fn check_it(bytes: &[u8]) -> bool {
    aegis_trace_verify::verify(bytes, std::path::Path::new("bytes"), None, None).is_ok_and(|r| r.intact())
}
