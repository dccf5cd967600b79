//! A run takes no memory: counted by the allocator of this test.
use crate::fake::{Fake, facts};
use aegis_backend::{Binding, MOST_TENSORS, Scratch};
use aegis_context::ExecutionContext;
use aegis_core::Budget;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to `System` unchanged; the counter is a thread-local without destructor, which
// neither allocates nor can be gone.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promises are those that `System` asks for.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.set(TAKEN.get() + 1);
        // SAFETY: the caller's promise about `layout` is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as above.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `alloc` above, hence from `System`, with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_run_takes_no_memory() {
    for n in [1, 5, MOST_TENSORS] {
        let fake = Fake::new(facts(n, Scratch::None, 0));
        let mut context =
            ExecutionContext::open("net", Box::new(fake), &Budget::default(), &Binding::default()).unwrap();
        let before = TAKEN.get();
        for _ in 0..200 {
            context.fill_inputs(3).unwrap();
            context.input_mut(0).unwrap()[0] = 4;
            context.run(0).unwrap();
            assert_eq!(context.output(0).unwrap()[0], 5);
            context.check_compute(aegis_core::Nanos(1)).unwrap();
        }
        assert_eq!(TAKEN.get() - before, 0, "{n} inputs and outputs");
    }
    let before = TAKEN.get();
    drop(std::hint::black_box(Box::new(1u8)));
    assert_eq!(TAKEN.get() - before, 1, "the counter counts");
}
