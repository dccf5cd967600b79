//! Random task sets near the edge between what fits and what does not, and how many of them a campaign takes.
use crate::common::Row;
use aegis_core::{Nanos, Overheads, Policy, Rng, Stall};

#[allow(dead_code, reason = "not every test file needs every form")]
pub const POLICIES: [Policy; 3] = [Policy::FixedPriority, Policy::Edf, Policy::Fifo];

/// `sets`, times what `AEGIS_SCALE` says (1 unless stated).
#[allow(dead_code, reason = "not every test file needs every form")]
pub fn scaled(sets: usize) -> usize {
    sets * std::env::var("AEGIS_SCALE")
        .map_or(1, |scale| scale.parse().expect("AEGIS_SCALE is a whole number"))
}

/// Sets in which anything may happen: segments, jitter up to the period, deadlines on either side of it, priorities that
/// may be equal; some in bursts.
#[allow(dead_code, reason = "not every test file needs every form")]
pub fn rows(rng: &mut Rng, n: u64) -> Vec<Row> {
    let rows = (0..n).map(|i| {
        let t = rng.between(20, 400);
        let most = if rng.one_in(4) { t / 2 } else { t / n };
        let segments = (0..rng.between(1, 3)).map(|_| rng.between(1, (most / 2).max(1))).collect();
        Row {
            segments: if rng.one_in(2) { vec![rng.between(1, most.max(1))] } else { segments },
            t,
            d: if rng.one_in(2) { t } else { rng.between(t / 3, 2 * t) },
            j: if rng.one_in(3) { rng.between(0, t / 2) } else { 0 },
            priority: Some(u32::try_from(rng.between(0, i)).unwrap()),
            // Two jobs in two periods, the second sooner.
            curve: rng.one_in(8).then(|| (2 * t, vec![(1, 1), (rng.between(2, t), 2)])),
        }
    });
    rows.collect()
}

#[allow(dead_code, reason = "not every test file needs every form")]
pub fn overheads(rng: &mut Rng) -> Overheads {
    Overheads {
        release: Nanos(rng.between(0, 2)),
        dispatch: Nanos(rng.between(0, 1)),
        launch: Nanos(rng.between(0, 1)),
        copy: Nanos(if rng.one_in(3) { rng.between(0, 3) } else { 0 }),
        completion: Nanos(rng.between(0, 1)),
        recovery: if rng.one_in(4) {
            Stall { length: Nanos(rng.between(1, 4)), gap: Nanos(rng.between(40, 200)) }
        } else {
            Stall::default()
        },
        ..Overheads::default()
    }
}
