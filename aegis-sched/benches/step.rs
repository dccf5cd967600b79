//! Cost of one scheduler step, of recording it, and of reading the clock, in one run: `cargo bench -p aegis-sched`.
//!
//! Criterion's figures are means; the p99 of single calls is printed first, measured call by call and with the cost of
//! the two clock reads around each call left in (the line `clock` says what that is).
use aegis_core::{
    Clock, Event, JobId, MonotonicClock, Nanos, Outcome, Overheads, Policy, TaskDraft, TaskId, TaskSet,
};
use aegis_sched::{State, step};
use aegis_trace::{Body, recorder};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

const TASKS: u32 = 32;

fn set(policy: Policy) -> TaskSet {
    let drafts = (0..TASKS).map(|i| TaskDraft {
        name: format!("t{i}"),
        segments: vec![Nanos(10)],
        arrival: Nanos(1_000).into(),
        deadline: Some(Nanos(500 + u64::from(i * 7 % 13))),
        jitter: Nanos::ZERO,
        priority: None,
    });
    TaskSet::new(policy, Overheads::default(), drafts.collect()).expect("a valid set")
}

/// A scheduler with 32 ready tasks that goes round: release, dispatch, finish of one job at each call.
struct Wheel {
    state: State,
    now: Nanos,
    seq: u64,
}

impl Wheel {
    fn new(policy: Policy) -> Self {
        let mut state = State::new(&set(policy), &[4; TASKS as usize]);
        for task in 1..TASKS {
            let job = JobId { task: TaskId(task), seq: 0 };
            step(&mut state, Nanos::ZERO, Event::Release { job, arrival: Nanos::ZERO });
        }
        step(&mut state, Nanos::ZERO, Event::Dispatch);
        Self { state, now: Nanos(1), seq: 0 }
    }

    /// One of the three kinds of step, in turn; `tell` sees each.
    fn turn(&mut self, mut tell: impl FnMut(&mut State, Nanos, Event)) {
        let running = self.state.running().expect("32 jobs are never all done");
        self.now += Nanos(10);
        let job = JobId { task: running.task, seq: self.seq };
        self.seq += 1;
        tell(&mut self.state, self.now, Event::Finish { job: running, outcome: Outcome::Completed });
        tell(&mut self.state, self.now, Event::Release { job, arrival: self.now });
        tell(&mut self.state, self.now, Event::Dispatch);
    }
}

fn percentiles(name: &str, mut one: impl FnMut()) {
    let clock = MonotonicClock::start();
    let mut samples: Vec<u64> = (0..200_000)
        .map(|_| {
            let start = clock.now();
            one();
            (clock.now() - start).0
        })
        .collect();
    samples.sort_unstable();
    let at = |p: usize| samples[samples.len() * p / 1000];
    println!("{name:<28} p50 {:>6} ns   p99 {:>6} ns   p99.9 {:>6} ns", at(500), at(990), at(999));
}

fn benches(c: &mut Criterion) {
    percentiles("clock (two reads)", || {});
    for policy in [Policy::Fifo, Policy::FixedPriority, Policy::Edf] {
        let mut wheel = Wheel::new(policy);
        percentiles(&format!("three steps, {policy}"), || {
            wheel.turn(|state, now, event| {
                black_box(step(state, now, event));
            });
        });
    }
    let clock = MonotonicClock::start();
    c.bench_function("clock read", |b| b.iter(|| black_box(clock.now())));
    for policy in [Policy::Fifo, Policy::FixedPriority, Policy::Edf] {
        let mut wheel = Wheel::new(policy);
        c.bench_function(&format!("three steps of {TASKS} tasks, {policy}"), |b| {
            b.iter(|| {
                wheel.turn(|state, now, event| {
                    black_box(step(state, now, event));
                });
            });
        });
    }
    let mut wheel = Wheel::new(Policy::Edf);
    let (mut recorder, mut tap) = recorder(1 << 12);
    c.bench_function("three steps and their records, np-edf", |b| {
        b.iter(|| {
            wheel.turn(|state, now, event| {
                let decision = step(state, now, event);
                recorder.record(now, Body::Step { event, decision });
            });
            while tap.take().is_some() {}
        });
    });
    assert_eq!(recorder.dropped(), 0, "a full ring would make recording look cheap");
}

criterion_group!(group, benches);
criterion_main!(group);
