//! What recording costs, beside what reading the clock costs on the same machine in the same run.
//!
//! `cargo bench -p aegis-trace --bench record`
use aegis_core::{Action, Clock, Decision, Event, JobId, MonotonicClock, Nanos, TaskId, Why};
use aegis_trace::{Body, Recorder, Tap, recorder};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};

const CAPACITY: usize = 1 << 14;

fn body(seq: u64) -> Body {
    let job = JobId { task: TaskId(1), seq };
    let over = JobId { task: TaskId(0), seq };
    let why = Why::EarliestDeadline { deadline: Nanos(seq + 5), over };
    Body::Step {
        event: Event::Dispatch,
        decision: Decision { action: Action::Start { job, segment: 0 }, why },
    }
}

/// Times `record` alone: the ring is emptied between batches that it holds, so that every record fits.
fn batches(iterations: u64, mut record: impl FnMut(&mut Recorder, u64)) -> Duration {
    let (mut recorder, mut tap): (Recorder, Tap) = recorder(CAPACITY);
    let (mut done, mut took) = (0, Duration::ZERO);
    while done < iterations {
        let batch = (iterations - done).min(CAPACITY as u64);
        let begun = Instant::now();
        (done..done + batch).for_each(|seq| record(&mut recorder, seq));
        took += begun.elapsed();
        done += batch;
        while tap.take().is_some() {}
    }
    assert_eq!(recorder.dropped(), 0, "a record that is dropped costs something else");
    took
}

fn record(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    let clock = MonotonicClock::start();
    group.bench_function("Instant::now", |b| b.iter(Instant::now));
    group.bench_function("MonotonicClock::now", |b| b.iter(|| clock.now()));
    group.bench_function("record", |b| {
        b.iter_custom(|n| batches(n, |recorder, seq| recorder.record(Nanos(seq), black_box(body(seq)))));
    });
    group.bench_function("record with MonotonicClock::now", |b| {
        b.iter_custom(|n| batches(n, |recorder, seq| recorder.record(clock.now(), black_box(body(seq)))));
    });
    group.bench_function("record into a full ring", |b| {
        let (mut recorder, _tap) = recorder(1);
        recorder.record(Nanos(0), body(0));
        b.iter(|| recorder.record(Nanos(0), black_box(body(0))));
        assert!(recorder.dropped() == recorder.offered() - 1, "only the first one fits");
    });
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
