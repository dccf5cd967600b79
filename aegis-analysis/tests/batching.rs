//! A batch across deadlines is demand, not blocking: a named trap with the smallest published schedule that shows it.
//!
//! Two models of one network can run as one batch: `C(1) = 1`, `C(2) = 1 + c`. When a job with an early deadline takes a
//! rider with a later one along, the rider's part delays everything behind the early job. Charging it as a segment that
//! had started before (so that it counts once, and not beside another blocker) accepts a set that misses.
mod common;

use aegis_analysis::{admit, edf};
use aegis_core::Policy;
use common::{Row, row, set};

const UNIT: u64 = 1000;

/// Y blocks; A and B can run as one batch; X1 and X2 wait.
fn rows() -> Vec<Row> {
    [(5, 100), (1, 10), (1, 20), (2, 10), (2, 10)].map(|(c, d)| row(c * UNIT, d * UNIT, d * UNIT)).to_vec()
}

/// Demand with the rider's cost as blocking: `dbf(t) + max(blocking, c) ≤ t` at every deadline.
fn accepts_with_the_rider_as_blocking(rows: &[Row], rider: u64) -> bool {
    (1..=100 * UNIT).filter(|t| rows.iter().any(|row| *t >= row.d && (t - row.d) % row.t == 0)).all(|t| {
        let due = rows.iter().filter(|row| row.d <= t);
        let demand: u64 = due.map(|row| (1 + (t - row.d) / row.t) * row.c()).sum();
        let blocking = rows.iter().filter(|row| row.d > t).map(|row| row.c() - 1).max().unwrap_or(0);
        demand + blocking.max(rider) <= t
    })
}

/// EDF on these arrivals, a batch of A and B taking `C(2)` whenever A is served and B waits: the latest end less the
/// deadline of X2.
fn lateness_of_x2(rider: u64) -> i64 {
    let rows = rows();
    let mut waiting = vec![(0, 0_usize), (1, 1), (1, 2), (2, 3), (2, 4)];
    let mut now = 0;
    let mut late = i64::MIN;
    while !waiting.is_empty() {
        let ready = waiting.iter().copied().filter(|(arrival, _)| *arrival <= now);
        let Some((arrival, task)) = ready.min_by_key(|(arrival, task)| (arrival + rows[*task].d, *task))
        else {
            now = waiting.iter().map(|(arrival, _)| *arrival).min().unwrap();
            continue;
        };
        waiting.retain(|job| job.1 != task);
        now += rows[task].c();
        if task == 1 && waiting.iter().any(|(arrival, other)| *other == 2 && *arrival <= now) {
            waiting.retain(|job| job.1 != 2);
            now += rider;
        }
        if task == 4 {
            late = i64::try_from(now).unwrap() - i64::try_from(arrival + rows[task].d).unwrap();
        }
    }
    late
}

#[test]
fn edgesched_batch_across_deadlines() {
    let alone = set(Policy::Edf, &rows());
    assert!(admit(&alone).admitted() && edf::demand_test(&alone).is_ok());

    let rider = UNIT / 2;
    assert!(accepts_with_the_rider_as_blocking(&rows(), rider));
    assert_eq!(lateness_of_x2(0), -2 - i64::try_from(UNIT).unwrap() + i64::try_from(UNIT).unwrap());
    assert_eq!(lateness_of_x2(rider), i64::try_from(rider).unwrap() - 2);

    // What our model says: a task whose jobs may take a rider along has the WCET of the largest batch.
    let mut with_batch = rows();
    with_batch[1].segments = vec![UNIT + rider];
    let with_batch = set(Policy::Edf, &with_batch);
    assert!(!admit(&with_batch).admitted() && edf::demand_test(&with_batch).is_err());
}
