//! Recording allocates nothing, and reading allocates no more than the file can account for: counted by an allocator
//! that counts what one thread takes.
use aegis_core::{JobId, Nanos, TaskId};
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
/// the file's length, whatever byte is changed and even where checksums are right.
#[test]
fn reading_takes_no_more_memory_than_the_file_accounts_for() {
    let mut bytes = b"AEGISTRC\x01\x00".to_vec();
    let table = |mut crc: u32| {
        (0..8).for_each(|_| crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 });
        crc
    };
    let crc = |bytes: &[u8]| {
        !bytes.iter().fold(!0u32, |crc, byte| table(u32::from(crc.to_le_bytes()[0] ^ byte)) ^ (crc >> 8))
    };
    // A header whose every length claims as much as a number can, in each place where a length may stand.
    for claim in
        [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]]
    {
        for zeros in 0..12 {
            for tail in [0, 40] {
                bytes.truncate(10);
                let payload = [&vec![0; zeros][..], claim, &vec![1; tail]].concat();
                let mut block = vec![1];
                block.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
                block.extend(payload);
                let sum = crc(&block);
                bytes.extend(block);
                bytes.extend(sum.to_le_bytes());
                LARGEST.with(|n| n.set(0));
                assert!(Trace::from_bytes(&bytes).is_err());
                let largest = LARGEST.with(Cell::get);
                assert!(largest <= 128 * bytes.len(), "{largest} bytes for a file of {}", bytes.len());
            }
        }
    }
}
