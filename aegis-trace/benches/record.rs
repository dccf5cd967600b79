//! What recording costs, beside what reading the clock costs on the same machine in the same run, and beside `tracing`.
//!
//! `cargo bench -p aegis-trace --bench record`
use aegis_core::{Action, Clock, Decision, Event, JobId, MonotonicClock, Nanos, TaskId, Why};
use aegis_trace::{Body, Recorder, Tap, TraceClock, recorder};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};
use tracing::{Event as Told, Metadata, Subscriber, span};

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
fn batches(iterations: u64, per_record: usize, mut record: impl FnMut(&mut Recorder, u64)) -> Duration {
    let (mut recorder, mut tap): (Recorder, Tap) = recorder(CAPACITY * per_record);
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

/// Wants everything, and does nothing with it.
struct Nothing;

impl Subscriber for Nothing {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Told<'_>) {
        black_box(event);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What [`body`] says, as an event of `tracing`.
fn tell(seq: u64) {
    tracing::info!(
        task = 1,
        seq,
        segment = 0,
        deadline = seq + 5,
        over_task = 0,
        over_seq = seq,
        "dispatched"
    );
}

fn record(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    let (monotonic, clock) = (MonotonicClock::start(), TraceClock::start());
    println!("clock: {}", clock.note());
    group.bench_function("clock: Instant::now", |b| b.iter(Instant::now));
    group.bench_function("clock: MonotonicClock", |b| b.iter(|| monotonic.now()));
    group.bench_function("clock: TraceClock", |b| b.iter(|| clock.now()));
    group.bench_function("record, without reading a clock", |b| {
        b.iter_custom(|n| batches(n, 1, |recorder, seq| recorder.record(Nanos(seq), black_box(body(seq)))));
    });
    group.bench_function("record with TraceClock", |b| {
        b.iter_custom(|n| batches(n, 1, |recorder, seq| recorder.record(clock.now(), black_box(body(seq)))));
    });
    group.bench_function("record with MonotonicClock", |b| {
        b.iter_custom(|n| {
            batches(n, 1, |recorder, seq| recorder.record(monotonic.now(), black_box(body(seq))))
        });
    });
    group.bench_function("record of a rare kind, without reading a clock", |b| {
        let rare = |seq| Body::Admitted { task: TaskId(1), wcrt: Nanos(seq), deadline: Nanos(seq) };
        b.iter_custom(|n| {
            batches(n, aegis_trace::most_slots(), |recorder, seq| {
                recorder.record(Nanos(seq), black_box(rare(seq)));
            })
        });
    });
    group.bench_function("record into a full ring", |b| {
        let (mut recorder, _tap) = recorder(1);
        recorder.record(Nanos(0), body(0));
        b.iter(|| recorder.record(Nanos(0), black_box(body(0))));
        assert!(recorder.dropped() == recorder.offered() - 1, "only the first one fits");
    });
    group.bench_function("nothing: what the loop and the body cost", |b| {
        b.iter(|| black_box(body(black_box(0))));
    });
    group.bench_function("record, disabled", |b| {
        let mut recorder = black_box(Recorder::disabled());
        b.iter(|| recorder.record(Nanos(0), black_box(body(black_box(0)))));
    });
    let mut seq = 0u64;
    let mut next = || {
        seq += 1;
        black_box(seq)
    };
    group.bench_function("tracing: no subscriber", |b| b.iter(|| tell(next())));
    tracing::subscriber::with_default(Nothing, || {
        group.bench_function("tracing: a subscriber that does nothing", |b| b.iter(|| tell(next())));
    });
    let lines = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
    tracing::subscriber::with_default(lines, || {
        group.bench_function("tracing: lines of text to nowhere", |b| b.iter(|| tell(next())));
    });
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
