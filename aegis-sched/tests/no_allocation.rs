//! The scheduler's step and the record of it allocate nothing, counted over a million steps.
mod counting;

use aegis_core::{Action, Event, JobId, Nanos, Outcome, Overheads, Policy, TaskDraft, TaskId, TaskSet};
use aegis_sched::{State, step};
use aegis_trace::{Body, recorder};

#[test]
fn a_million_steps_allocate_nothing() {
    const TASKS: u32 = 32;
    for policy in [Policy::Fifo, Policy::FixedPriority, Policy::Edf] {
        let drafts = (0..TASKS).map(|i| TaskDraft {
            name: format!("t{i}"),
            segments: vec![Nanos(10)],
            arrival: Nanos(1_000).into(),
            deadline: Some(Nanos(500 + u64::from(i * 7 % 13))),
            jitter: Nanos::ZERO,
            priority: None,
        });
        let set = TaskSet::new(policy, Overheads::default(), drafts.collect()).unwrap();
        let mut state = State::new(&set, &[2; TASKS as usize]);
        let (mut recorder, mut tap) = recorder(1 << 10);
        let mut steps = 0u64;
        let before = counting::calls();
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
        let after = counting::calls();
        assert!(steps >= 1_000_000, "{steps}");
        assert_eq!(after - before, 0, "{policy}: calls of the allocator in {steps} steps");
    }
}
