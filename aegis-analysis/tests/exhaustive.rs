//! Every bound equals the largest response in any schedule of the model, for thousands of random tiny sets; and the demand
//! test accepts exactly when all of them are within their deadlines.
mod common;
mod explorer;

use aegis_analysis::{NoBound, edf, fifo, fixed_priority};
use aegis_core::{Policy, Rng};
use common::{Row, bounds, set};
use explorer::largest_responses;

/// What the random sets of a test may contain.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    tasks: u64,
    longest_period: u64,
    jitter: u64,
    /// Jitter may exceed the period.
    overtaking: bool,
    segments: bool,
    shorter_execution: bool,
}

fn random(rng: &mut Rng, shape: Shape) -> Vec<Row> {
    (0..shape.tasks)
        .map(|_| {
            let t = rng.between(1, shape.longest_period);
            let c = rng.between(1, (t * 2 / shape.tasks).clamp(1, t));
            let most = if shape.overtaking { shape.jitter } else { shape.jitter.min(t) };
            let mut segments = vec![c];
            while shape.segments && rng.one_in(2) && segments.iter().any(|c| *c > 1) {
                let k = segments.iter().position(|c| *c > 1).unwrap();
                let first = rng.between(1, segments[k] - 1);
                segments.splice(k..=k, [first, segments[k] - first]);
            }
            Row {
                segments,
                t,
                d: rng.between(1, t + 6),
                j: rng.between(0, most),
                priority: Some(u32::try_from(rng.between(0, shape.tasks - 1)).unwrap()),
            }
        })
        .collect()
}

/// ΣC/T against 1 for periods whose product is small.
fn utilisation(rows: &[Row]) -> std::cmp::Ordering {
    let product: u64 = rows.iter().map(|row| row.t).product();
    rows.iter().map(|row| row.c() * product / row.t).sum::<u64>().cmp(&product)
}

#[track_caller]
fn check(seed: u64, sets: usize, shape: Shape) {
    let mut rng = Rng::new(seed);
    let (mut compared, mut misses) = ([0; 3], 0);
    while compared.iter().sum::<usize>() < 3 * sets {
        let rows = random(&mut rng, shape);
        let jitter = rows.iter().any(|row| row.j > 0);
        match utilisation(&rows) {
            std::cmp::Ordering::Greater => continue,
            std::cmp::Ordering::Equal if jitter => continue,
            _ => {}
        }
        for (k, policy) in [Policy::FixedPriority, Policy::Edf, Policy::Fifo].into_iter().enumerate() {
            let Some(worst) = largest_responses(&rows, policy, shape.shorter_execution, 20_000) else {
                continue;
            };
            compared[k] += 1;
            let set = set(policy, &rows);
            let expect: Vec<_> = worst.iter().copied().map(Some).collect();
            if shape.overtaking && (shape.segments || policy == Policy::FixedPriority) {
                // Safe, and at most 1 tick above where only fixed priorities keep it from being exact.
                let most = if shape.segments { u64::MAX } else { 1 };
                for (bound, worst) in bounds(&set).into_iter().flatten().zip(&worst) {
                    let above = bound.checked_sub(*worst);
                    assert!(
                        above.is_some_and(|above| above <= most),
                        "seed {seed}, {policy}: {rows:?} {worst:?} {bound:?}"
                    );
                }
                continue;
            }
            assert_eq!(bounds(&set), expect, "seed {seed}, {policy}: {rows:?}");
            if policy == Policy::Edf {
                let in_time = worst.iter().zip(&rows).all(|(worst, row)| *worst <= row.d);
                misses += usize::from(!in_time);
                let demand = edf::demand_test(&set);
                assert_eq!(demand.is_ok(), in_time, "seed {seed}, demand {demand:?}: {rows:?}");
            }
        }
    }
    assert!(compared.iter().all(|n| *n > sets / 2), "{compared:?}");
    if shape.overtaking && shape.segments {
        return;
    }
    assert!(
        misses > sets / 20 && misses < compared[1] - sets / 20,
        "{misses} of {compared:?} miss a deadline"
    );
}

#[test]
fn two_tasks() {
    check(1, 2500, Shape { tasks: 2, longest_period: 10, ..Shape::default() });
}

#[test]
fn three_tasks() {
    check(2, 1500, Shape { tasks: 3, longest_period: 8, ..Shape::default() });
}

#[test]
fn four_tasks() {
    check(3, 250, Shape { tasks: 4, longest_period: 9, ..Shape::default() });
}

#[test]
fn segments() {
    let shape = Shape { longest_period: 9, segments: true, ..Shape::default() };
    check(4, 1200, Shape { tasks: 2, ..shape });
    check(5, 500, Shape { tasks: 3, ..shape });
}

#[test]
fn jitter() {
    let shape = Shape { longest_period: 7, jitter: 4, ..Shape::default() };
    check(6, 800, Shape { tasks: 2, ..shape });
    check(7, 120, Shape { tasks: 3, jitter: 2, ..shape });
}

#[test]
fn jitter_and_segments() {
    let shape = Shape { longest_period: 7, jitter: 3, segments: true, ..Shape::default() };
    check(8, 500, Shape { tasks: 2, ..shape });
    check(9, 60, Shape { tasks: 3, jitter: 2, ..shape });
}

/// Jitter above the period lets a later job of a task start before an earlier one is released, and block it. With
/// segments the bound is safe, not exact: it takes the ones before the blocking segment as instant.
#[test]
fn jitter_above_the_period() {
    let shape = Shape { longest_period: 4, jitter: 5, overtaking: true, ..Shape::default() };
    check(10, 100, Shape { tasks: 1, longest_period: 6, jitter: 12, ..shape });
    check(11, 100, Shape { tasks: 2, ..shape });
    check(12, 100, Shape { tasks: 1, longest_period: 6, jitter: 12, segments: true, ..shape });
    check(13, 30, Shape { tasks: 2, segments: true, ..shape });
}

/// The model is sustainable: executions shorter than the WCET never make a response longer.
#[test]
fn shorter_executions() {
    let shape = Shape { longest_period: 8, shorter_execution: true, ..Shape::default() };
    check(14, 600, Shape { tasks: 2, ..shape });
    check(15, 150, Shape { tasks: 3, segments: true, ..shape });
    check(16, 150, Shape { tasks: 2, longest_period: 6, jitter: 3, segments: true, ..shape });
}

/// At ΣC/T = 1 with jitter no busy period ends: no bound, never a wrong one.
#[test]
fn full_utilisation_with_jitter_has_no_bound() {
    let rows = [common::row(1, 2, 9).priority(0), common::row(1, 2, 9).jitter(1).priority(1)];
    let none = vec![Err(NoBound::NoFiniteBusyPeriod); 2];
    assert_eq!(edf::response_times(&set(Policy::Edf, &rows)), none);
    assert_eq!(fifo::response_times(&set(Policy::Fifo, &rows)), none);
    let fp = fixed_priority::response_times(&set(Policy::FixedPriority, &rows));
    assert!(fp[0].is_ok() && fp[1] == none[1]);
}
