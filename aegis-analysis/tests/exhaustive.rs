//! Every bound equals the largest response in any schedule of the model, for thousands of random tiny sets; and the demand
//! test accepts exactly when all of them are within their deadlines.
mod common;
mod explorer;

use aegis_analysis::{NoBound, edf, fifo, fixed_priority};
use aegis_core::{Nanos, Overheads, Policy, Rng, Stall, TaskSet};
use common::{Curve, Row, bounds, set, set_with};
use explorer::{World, largest_responses};

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
    /// One task in so many has an arrival curve, which need not be subadditive; none when 0.
    curves: u64,
    /// Sources of stalls.
    stalls: usize,
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
                curve: (shape.curves > 0 && rng.one_in(shape.curves)).then(|| curve(rng, t)),
            }
        })
        .collect()
}

/// Up to three steps; a job every `t` in the long run, one more in some horizons.
fn curve(rng: &mut Rng, t: u64) -> Curve {
    let most = rng.between(1, 3);
    let horizon = rng.between(t * most, t * most + 2);
    let mut steps = vec![(1, rng.between(1, most))];
    while let Some(&(window, count)) = steps.last()
        && count < most
        && window < horizon
    {
        steps.push((rng.between(window + 1, horizon), rng.between(count + 1, most)));
    }
    (horizon, steps)
}

/// Whether jobs can arrive as densely as the curve says: `α(x + y) ≤ α(x) + α(y)`.
fn subadditive(row: &Row) -> bool {
    let Some((horizon, steps)) = &row.curve else { return true };
    let alpha = |x: u64| {
        let step = steps.iter().rev().find(|step| step.0 <= x % horizon);
        x / horizon * steps.last().unwrap().1 + step.map_or(0, |step| step.1)
    };
    // Beyond one horizon both sides repeat.
    (1..=*horizon).all(|x| (1..=*horizon).all(|y| alpha(x + y) <= alpha(x) + alpha(y)))
}

/// ΣC/T, stalls included, against 1 for periods whose product is small.
fn utilisation(rows: &[Row], stalls: &[(u64, u64)]) -> std::cmp::Ordering {
    let rates = rows.iter().map(|row| {
        // Of a curve, the window that holds the fewest jobs for its length.
        let count = |horizon: &u64, steps: &[(u64, u64)], x: u64| {
            let step = steps.iter().rev().find(|step| step.0 <= x % horizon);
            x / horizon * steps.last().unwrap().1 + step.map_or(0, |step| step.1)
        };
        let (jobs, window) = row.curve.as_ref().map_or((1, row.t), |(horizon, steps)| {
            let windows = (1..=*horizon).map(|x| (count(horizon, steps, x), x));
            windows.min_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1))).unwrap()
        });
        (row.c() * jobs, window)
    });
    let shares: Vec<(u64, u64)> = rates.chain(stalls.iter().copied()).collect();
    let product: u64 = shares.iter().map(|(_, window)| window).product();
    shares.iter().map(|(work, window)| work * (product / window)).sum::<u64>().cmp(&product)
}

/// `AEGIS_SCALE` times as many sets.
fn scale() -> usize {
    std::env::var("AEGIS_SCALE").map_or(1, |text| text.parse().expect("AEGIS_SCALE is a number"))
}

/// A set on a platform that stalls.
fn stalling(policy: Policy, rows: &[Row], stalls: &[(u64, u64)]) -> TaskSet {
    let source = |k: usize| {
        let (length, gap) = stalls.get(k).copied().unwrap_or_default();
        Stall { length: Nanos(length), gap: Nanos(gap) }
    };
    let overheads =
        Overheads { recovery: source(0), clock_change: source(1), reload: source(2), ..Overheads::default() };
    set_with(policy, overheads, rows)
}

/// How the bounds of many sets compare with the largest responses.
#[derive(Debug, Default)]
struct Found {
    /// Sets compared, of each policy.
    compared: [usize; 3],
    /// Sets that miss a deadline under EDF.
    misses: usize,
    /// Bounds that are above the largest response, where the analyses do not claim otherwise.
    above: usize,
    bounds: usize,
    /// Tasks without a bound, where curves allow more in the long run than can arrive.
    none: usize,
}

/// Whether the analyses say that the bounds of these tasks are attained.
fn exact(policy: Policy, rows: &[Row]) -> bool {
    let overtaking = |row: &Row| match &row.curve {
        None => row.j > row.t,
        Some((_, steps)) => {
            row.j > 0 && steps[0].1 > 1 || steps.iter().any(|step| step.1 > 1 && step.0 <= row.j)
        }
    };
    rows.iter().all(|row| {
        let curve = row.curve.is_some();
        subadditive(row)
            && (!overtaking(row) || (row.segments.len() == 1 && (!curve || policy == Policy::Edf)))
    })
}

#[track_caller]
fn check(seed: u64, sets: usize, shape: Shape) -> Found {
    let sets = sets * scale();
    let mut rng = Rng::new(seed);
    let mut found = Found::default();
    while found.compared.iter().sum::<usize>() < 3 * sets {
        let rows = random(&mut rng, shape);
        let stalls: Vec<(u64, u64)> = (0..shape.stalls)
            .map(|_| {
                let length = rng.between(1, 3);
                (length, rng.between(2 * length, 2 * length + 8))
            })
            .collect();
        let drains = rows.iter().all(|row| row.j == 0) && stalls.is_empty();
        match utilisation(&rows, &stalls) {
            std::cmp::Ordering::Greater => continue,
            std::cmp::Ordering::Equal if !drains => continue,
            _ => {}
        }
        for (k, policy) in [Policy::FixedPriority, Policy::Edf, Policy::Fifo].into_iter().enumerate() {
            let world = World { rows: &rows, policy, shorter: shape.shorter_execution, stalls: &stalls };
            let Some(worst) = largest_responses(world, 20_000) else {
                continue;
            };
            found.compared[k] += 1;
            let set = stalling(policy, &rows, &stalls);
            let case = || format!("seed {seed}, {policy}: {rows:?} {stalls:?} {worst:?}");
            let bounds = bounds(&set);
            for (bound, worst) in bounds.iter().zip(&worst) {
                let Some(bound) = *bound else {
                    assert!(!rows.iter().all(subadditive), "no bound: {}", case());
                    found.none += 1;
                    continue;
                };
                assert!(bound >= *worst, "{bound} is not safe: {}", case());
                assert!(bound == *worst || !exact(policy, &rows), "{bound} is not attained: {}", case());
                found.above += usize::from(bound > *worst);
                found.bounds += 1;
            }
            if policy == Policy::Edf {
                let in_time = worst.iter().zip(&rows).all(|(worst, row)| *worst <= row.d);
                found.misses += usize::from(!in_time);
                let demand = edf::demand_test(&set);
                assert!(in_time || demand.is_err(), "demand test: {}", case());
                assert!(!in_time || demand.is_ok() || !exact(policy, &rows), "{demand:?}: {}", case());
            }
        }
    }
    let compared = found.compared;
    assert!(compared.iter().all(|n| *n > sets / 2), "{compared:?}");
    let ordinary = sets / 20..compared[1] - sets / 20;
    assert!(ordinary.contains(&found.misses), "{} of {compared:?} miss a deadline", found.misses);
    println!("seed {seed}: {found:?}");
    found
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

/// Bursts and curves, of which some say more than can arrive.
#[test]
fn arrival_curves() {
    let shape = Shape { longest_period: 6, curves: 2, ..Shape::default() };
    check(17, 200, Shape { tasks: 2, ..shape });
    check(18, 40, Shape { tasks: 3, longest_period: 5, ..shape });
    check(19, 50, Shape { tasks: 2, segments: true, shorter_execution: true, ..shape });
}

/// A later job of a burst that is released first.
#[test]
fn arrival_curves_with_jitter() {
    let shape = Shape { longest_period: 5, curves: 2, jitter: 3, overtaking: true, ..Shape::default() };
    check(20, 80, Shape { tasks: 1, ..shape });
    check(21, 60, Shape { tasks: 2, jitter: 2, ..shape });
    check(22, 20, Shape { tasks: 2, jitter: 2, segments: true, ..shape });
}

/// Stalls at every moment, from up to two sources.
#[test]
fn stalls() {
    let shape = Shape { longest_period: 9, stalls: 1, ..Shape::default() };
    check(23, 120, Shape { tasks: 2, ..shape });
    check(24, 20, Shape { tasks: 3, ..shape });
    check(25, 30, Shape { tasks: 2, stalls: 2, ..shape });
    check(26, 40, Shape { tasks: 2, segments: true, ..shape });
    check(27, 40, Shape { tasks: 2, longest_period: 7, jitter: 2, ..shape });
    check(28, 25, Shape { tasks: 2, longest_period: 6, shorter_execution: true, ..shape });
    check(29, 25, Shape { tasks: 2, longest_period: 5, curves: 2, ..shape });
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
