//! The scheduler's step and the record of it allocate nothing, counted over a million steps.
use aegis_core::{Action, Event, JobId, Nanos, Outcome, Overheads, Policy, TaskDraft, TaskId, TaskSet};
use aegis_sched::{State, step};
use aegis_trace::{Body, recorder};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);

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

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_million_steps_allocate_nothing() {
    const TASKS: u32 = 32;
    for policy in [Policy::Fifo, Policy::FixedPriority, Policy::Edf] {
        let drafts = (0..TASKS).map(|i| TaskDraft {
            name: format!("t{i}"),
            segments: vec![Nanos(10)],
            period: Nanos(1_000),
            deadline: Some(Nanos(500 + u64::from(i * 7 % 13))),
            jitter: Nanos::ZERO,
            priority: None,
        });
        let set = TaskSet::new(policy, Overheads::default(), drafts.collect()).unwrap();
        let mut state = State::new(&set, &[2; TASKS as usize]);
        let (mut recorder, mut tap) = recorder(1 << 10);
        let mut steps = 0u64;
        let before = CALLS.load(Ordering::Relaxed);
        let mut tell = |state: &mut State, now, event| {
            let decision = step(state, now, event);
            recorder.record(now, Body::Step { event, decision });
            steps += 1;
            decision.action
        };
        for round in 0..10_500u64 {
            let mut now = Nanos(round * 1_000);
            for task in 0..TASKS {
                let job = JobId { task: TaskId(task), seq: round };
                tell(&mut state, now, Event::Release { job, arrival: now });
            }
            while let Action::Start { job, .. } = tell(&mut state, now, Event::Dispatch) {
                now += Nanos(10);
                tell(&mut state, now, Event::Finish { job, outcome: Outcome::Completed });
            }
            while tap.take().is_some() {}
        }
        let after = CALLS.load(Ordering::Relaxed);
        assert!(steps >= 1_000_000, "{steps}");
        assert_eq!(after - before, 0, "{policy}: calls of the allocator in {steps} steps");
    }
}
