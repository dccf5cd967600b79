//! Tasks come, change places and go without a call of the allocator, once room is reserved and the tasks exist.
use aegis_analysis::Admission;
use aegis_core::{ArrivalCurve, Nanos, Overheads, Policy, Priority, PriorityOrder, Rng, Task};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged; the counter is a constant of the thread, which
// neither allocates nor has a destructor.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promises are those that the system allocator asks for.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.set(TAKEN.get() + 1);
        // SAFETY: passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller's promises are those that the system allocator asks for.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on unchanged.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Random tasks come and go under every policy.
#[test]
fn adding_and_removing_allocates_nothing() {
    come_and_go(|admission| assert!(admission.is_empty()));
}

/// A task that only the general analyses take was there before: once it has left they answer no more.
#[test]
fn nothing_is_allocated_after_a_burst_has_left() {
    come_and_go(|admission| {
        let burst = ArrivalCurve::new(Nanos(100_000_000), vec![(Nanos(1), 2)]).expect("a curve");
        let task = Task { arrival: burst.into(), ..task("burst".into(), &[1], 100_000_000) };
        let id = admission.try_add(task).expect("it is alone").task;
        assert!(admission.remove(id).is_some());
    });
}

fn task(name: String, segments: &[u64], deadline: u64) -> Task {
    Task {
        name,
        segments: segments.iter().copied().map(Nanos).collect(),
        arrival: Nanos(deadline).into(),
        deadline: Nanos(deadline),
        jitter: Nanos::ZERO,
        priority: Priority::default(),
    }
}

/// Tasks are accepted, refused and removed after `before`, and nothing is allocated.
fn come_and_go(before: impl Fn(&mut Admission)) {
    const TASKS: usize = 40;
    let seed = 5;
    for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
        let mut rng = Rng::new(seed);
        let mut pool: Vec<Task> = (0..4 * TASKS)
            .map(|k| {
                let t = rng.between(10_000_000, 1_000_000_000);
                let segments = [rng.between(1, t / 32), rng.between(1, t / 64)];
                Task {
                    deadline: Nanos(rng.between(t / 2, 2 * t)),
                    jitter: Nanos(rng.between(0, t / 4)),
                    ..task(format!("t{k}"), &segments, t)
                }
            })
            .collect();
        let order = Some(PriorityOrder::DeadlineMonotonic);
        let mut admission = Admission::new(policy, Overheads::default(), order);
        before(&mut admission);
        admission.reserve(TASKS);
        let (mut accepted, mut refused) = (0, 0);
        let taken = TAKEN.get();
        while let Some(task) = pool.pop() {
            if admission.len() == TASKS {
                let chosen = usize::try_from(rng.between(0, TASKS as u64 - 1)).expect("a position");
                let id = admission.tasks().nth(chosen).map(|(id, _)| id).expect("a task");
                assert!(admission.remove(id).is_some());
            }
            match admission.try_add(task) {
                Ok(_) => accepted += 1,
                Err(_) => refused += 1,
            }
        }
        let taken = TAKEN.get() - taken;
        assert!(accepted > 5 && refused > 5, "{policy}, seed {seed}: {accepted} accepted, {refused} refused");
        assert_eq!(taken, 0, "{policy}, seed {seed}: {accepted} accepted, {refused} refused");
    }
}
