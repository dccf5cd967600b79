//! Proven offsets: what is admitted with them never misses, in simulations that share nothing with the proof.
mod common;
mod random;

use aegis_analysis::offsets::proven_offsets;
use aegis_analysis::{Remedy, admit, remedies};
use aegis_core::{Nanos, Policy, Rng};
use common::{Row, row, set};
use random::scaled;

/// Strictly periodic arrivals, any releases within the jitter and any execution times: the largest lateness, from the
/// deadline, of any job.
fn lateness(rows: &[Row], policy: Policy, offsets: &[Nanos], rng: &mut Rng) -> i64 {
    // (release, arrival, task) of jobs that have not started.
    let mut jobs: Vec<(u64, u64, usize)> = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        jobs.extend((0..60).map(|k| {
            let arrival = offsets[i].0 + k * row.t;
            (arrival + rng.between(0, row.j), arrival, i)
        }));
    }
    let until = rows.iter().zip(offsets).map(|(row, offset)| offset.0 + 59 * row.t).min().unwrap();
    jobs.retain(|(_, arrival, _)| *arrival <= until);
    let (mut now, mut late) = (0, i64::MIN);
    while let Some(first) = jobs.iter().map(|(release, ..)| *release).min() {
        now = now.max(first);
        let ready = jobs.iter().enumerate().filter(|(_, (release, ..))| *release <= now);
        let key = |(release, arrival, i): (u64, u64, usize)| match policy {
            Policy::FixedPriority => (u64::from(rows[i].priority.unwrap()), release),
            Policy::Edf => (arrival + rows[i].d, release),
            Policy::Fifo => (release, 0),
        };
        let (k, _) = ready.min_by_key(|(_, job)| key(**job)).unwrap();
        let (_, arrival, i) = jobs.remove(k);
        now += if rng.one_in(2) { rows[i].c() } else { rng.between(1, rows[i].c()) };
        late = late.max(i64::try_from(now).unwrap() - i64::try_from(arrival + rows[i].d).unwrap());
    }
    late
}

#[test]
fn what_is_proven_never_misses() {
    let seed = 71;
    let mut rng = Rng::new(seed);
    let mut proven = 0;
    for k in 0..scaled(150) {
        let rows: Vec<Row> = (0..rng.between(2, 4))
            .map(|i| {
                let t = [12, 24, 36, 48][usize::try_from(rng.between(0, 3)).unwrap()];
                let c = rng.between(1, t / 4);
                let jitter = if rng.one_in(3) { rng.between(0, 2) } else { 0 };
                row(c, t, rng.between(c + jitter, t)).jitter(jitter).priority(u32::try_from(i).unwrap())
            })
            .collect();
        for policy in random::POLICIES {
            let set = set(policy, &rows);
            if admit(&set).admitted() {
                continue;
            }
            let Some(offsets) = proven_offsets(&set) else { continue };
            proven += 1;
            for _ in 0..20 {
                let late = lateness(&rows, policy, &offsets, &mut rng);
                assert!(late <= 0, "seed {seed}, set {k}, {policy}: {late} late in {rows:?} at {offsets:?}");
            }
        }
    }
    println!("{proven} sets fit with offsets and not without");
    assert!(proven > 20, "{proven}");
}

/// A camera that cannot wait for the detector, unless the detector starts behind it.
#[test]
fn offsets_are_a_remedy() {
    let pair = set(Policy::Edf, &[row(2, 20, 4), row(10, 20, 20)]);
    let verdict = admit(&pair);
    assert!(!verdict.admitted());
    let found = remedies(&pair, &verdict);
    let offsets = found.iter().find(|remedy| matches!(remedy, Remedy::Offsets { .. })).unwrap();
    assert_eq!(
        offsets.sentence(&pair),
        "strictly periodic arrivals, the first of `a` at 0 ms, of `b` at 2 ns (shown over every schedule)"
    );
    // In coprime rhythms every phase comes about.
    let drifting = set(Policy::Edf, &[row(2, 19, 4), row(10, 20, 20)]);
    assert_eq!(proven_offsets(&drifting), None);
}
