//! Random arrival curves that some arrivals attain.
use aegis_core::{ArrivalCurve, Nanos, Rng};

/// The curve of a random pattern of arrivals that repeats with `horizon`: as tight as a curve can be.
pub fn curve(rng: &mut Rng, horizon: u64) -> ArrivalCurve {
    let mut pattern: Vec<u64> = (0..rng.between(1, 4)).map(|_| rng.between(0, horizon - 1)).collect();
    pattern.sort_unstable();
    let n = pattern.len();
    pattern.extend_from_within(..);
    pattern[n..].iter_mut().for_each(|at| *at += horizon);
    // The shortest window that holds so many arrivals.
    let window = |count: usize| (0..n).map(|k| pattern[k + count - 1] - pattern[k] + 1).min().unwrap();
    let mut steps: Vec<(Nanos, u64)> = (1..=n).map(|count| (Nanos(window(count)), count as u64)).collect();
    steps.reverse();
    steps.dedup_by_key(|step| step.0);
    steps.reverse();
    ArrivalCurve::new(Nanos(horizon), steps).unwrap()
}
