//! Where analyses are known to go wrong: each published or found mistake with the smallest set that shows it.
mod common;

use aegis_analysis::{NoBound, admit, edf, fixed_priority};
use aegis_core::{
    ArrivalCurve, ArrivalCurveError, Bound, Nanos, Overheads, Policy, Rejection, Stall, TaskId, TermKind,
};
use common::{Row, bounds, row, set, set_with};

#[track_caller]
fn check(policy: Policy, rows: &[Row], expect: &[u64]) {
    let expect: Vec<Option<u64>> = expect.iter().copied().map(Some).collect();
    assert_eq!(bounds(&set(policy, rows)), expect, "{policy}: {rows:?}");
}

fn bound(policy: Policy, rows: &[Row], task: usize) -> Bound {
    admit(&set(policy, rows)).tasks[task].bound.clone().unwrap()
}

/// Tindell 1994 looked at the first job of the busy period only and was refuted in 2007: the second is worse here.
#[test]
fn the_first_job_is_not_the_worst() {
    let rows = [row(1, 4, 2).priority(0), row(2, 6, 4).priority(1), row(2, 5, 5).priority(2)];
    check(Policy::FixedPriority, &rows, &[2, 4, 6]);
    let worst = bound(Policy::FixedPriority, &rows, 2);
    assert_eq!((worst.job, worst.wcrt), (1, Nanos(6)));
    assert!(!admit(&set(Policy::FixedPriority, &rows)).admitted());
}

/// Where several jobs are the worst, the first of them is the one explained.
#[test]
fn of_equal_responses_the_first_is_explained() {
    let rows = [row(1, 3, 3).priority(0), row(1, 2, 3).priority(1), row(2, 50, 50).priority(2)];
    let worst = bound(Policy::FixedPriority, &rows, 1);
    assert_eq!((worst.wcrt, worst.job), (Nanos(3), 0));
}

/// The busy period contains the blocking and the jitter, also where its later jobs turn out not to be the worst.
#[test]
fn the_busy_period_contains_blocking_and_jitter() {
    let rows = [row(2, 4, 9).priority(0), row(3, 8, 20).jitter(1).priority(1), row(3, 100, 100).priority(2)];
    let worst = bound(Policy::FixedPriority, &rows, 1);
    // 7 without the blocking, 16 without the jitter.
    assert_eq!(worst.busy_period, Nanos(2 + 6 * 2 + 3 * 3));
    check(Policy::FixedPriority, &rows, &[4, 10, 17]);
}

/// A job that arrives exactly when the last would start is served first: `1 + ⌊w / T⌋`, not `⌈w / T⌉`.
#[test]
fn an_arrival_at_the_start_goes_first() {
    check(Policy::FixedPriority, &[row(2, 4, 4).priority(0), row(3, 9, 9).priority(1)], &[4, 5]);
    check(
        Policy::FixedPriority,
        &[row(2, 4, 4).priority(0), row(2, 9, 9).priority(1), row(1, 9, 9).priority(2)],
        &[3, 4, 7],
    );
}

/// Two copies of one model: pyRTA 0.1.1 drops the twin and answers 5.
#[test]
fn identical_twins_wait_for_each_other() {
    let twins = [row(5, 20, 20).priority(0), row(5, 20, 20).priority(0)];
    for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
        check(policy, &twins, &[10, 10]);
    }
}

/// Equal priority counts as higher for either and never as blocking on top.
#[test]
fn equal_priority_does_not_block() {
    let rows = [row(1, 10, 10).priority(0), row(4, 10, 10).priority(0)];
    check(Policy::FixedPriority, &rows, &[5, 5]);
    assert!(bound(Policy::FixedPriority, &rows, 0).terms.iter().all(|term| term.kind != TermKind::Blocking));
}

/// Jitter of a more urgent task brings two of its jobs into a window that holds one without it.
#[test]
fn jitter_of_others_adds_jobs() {
    check(Policy::FixedPriority, &[row(2, 6, 6).jitter(4).priority(0), row(2, 9, 9).priority(1)], &[7, 6]);
    check(Policy::FixedPriority, &[row(2, 6, 6).priority(0), row(2, 9, 9).priority(1)], &[3, 4]);
}

/// Own jitter counts from arrival: it is in the response and brings the next job closer.
#[test]
fn own_jitter_is_in_the_response() {
    let one = [row(4, 6, 20).jitter(5).priority(0)];
    for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
        check(policy, &one, &[9]);
    }
}

/// QPA must not jump past a miss: the walk starts at t = 8, where all is well, and the only one is at t = 4.
#[test]
fn qpa_finds_a_miss_below_the_deadline_of_the_blocker() {
    let rows = [row(1, 4, 4), row(5, 20, 20), row(2, 20, 20)];
    let edf = set(Policy::Edf, &rows);
    let witness = edf::demand_test(&edf).unwrap_err();
    assert_eq!(
        witness,
        edf::DemandWitness::TooMuchDemand {
            window: Nanos(4),
            demand: Nanos(1),
            blocking: Nanos(4),
            blocked_by: Some(TaskId(1)),
            stalled: Nanos::ZERO,
        }
    );
    assert!(!admit(&edf).admitted());
}

/// ΣC/T of exactly 1 is enough where nothing blocks: every C − 1 is 0, or all deadlines are equal.
#[test]
fn full_utilisation_without_blocking_is_admitted() {
    let unit = [row(1, 2, 2), row(1, 4, 4), row(1, 8, 8), row(1, 8, 8)];
    let edf = set(Policy::Edf, &unit);
    assert!(admit(&edf).admitted() && edf::demand_test(&edf).is_ok());
    let fp = [
        row(1, 2, 2).priority(0),
        row(1, 4, 4).priority(1),
        row(1, 8, 8).priority(2),
        row(1, 8, 8).priority(3),
    ];
    check(Policy::FixedPriority, &fp, &[1, 2, 4, 8]);
    assert!(admit(&set(Policy::FixedPriority, &fp)).admitted());
    check(Policy::Edf, &[row(3, 6, 6), row(3, 6, 6)], &[6, 6]);
    check(Policy::Fifo, &[row(3, 6, 6), row(2, 8, 8), row(1, 4, 4)], &[6, 6, 6]);
}

/// One part in 2^60 above 1 is above 1.
#[test]
fn just_above_full_utilisation_is_an_overload() {
    let period = 1 << 60;
    let rows = [row(period / 2, period, period), row(period / 2 + 1, period, period)];
    for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
        let verdict = admit(&set(policy, &rows));
        assert_eq!(verdict.rejections[0], Rejection::Overload { utilisation_ppm: 1_000_001 }, "{policy}");
    }
}

/// Blocking that never drains has no bound, however long the search.
#[test]
fn full_utilisation_with_blocking_has_no_busy_period() {
    let rows = [row(1, 2, 9).priority(0), row(2, 4, 9).priority(1), row(5, 1000, 1000).priority(2)];
    let bounds = fixed_priority::response_times(&set(Policy::FixedPriority, &rows));
    assert_eq!(bounds[0].as_ref().unwrap().wcrt, Nanos(5));
    assert_eq!(bounds[1..], [Err(NoBound::NoFiniteBusyPeriod), Err(NoBound::NoFiniteBusyPeriod)]);
}

/// With a deadline later than its own, an earlier arrival still goes first if its deadline ties: the worst arrival of a
/// task under EDF is not the synchronous one.
#[test]
fn edf_worst_arrival_is_not_synchronous() {
    let rows = [row(20, 100, 50), row(15, 80, 40), row(30, 200, 100)];
    check(Policy::Edf, &rows, &[64, 54, 65]);
}

/// A later job that is released before an earlier one blocks it: jitter above the period, deadline from arrival.
#[test]
fn a_task_blocks_itself_when_releases_overtake() {
    let one = [row(5, 6, 13).jitter(7)];
    check(Policy::Edf, &one, &[16]);
    let edf = set(Policy::Edf, &one);
    assert!(matches!(
        edf::demand_test(&edf),
        Err(edf::DemandWitness::TooMuchDemand { blocked_by: Some(TaskId(0)), .. })
    ));
    let says = admit(&edf).rejections[0].sentence(&edf);
    assert!(says.ends_with("4 ns of it waits for a later job of its own, released earlier"), "{says}");
}

/// The crate response-time-analysis 0.3.2 answers 0 for a curve with a step at a window of 0; nothing arrives in such a
/// window, and a curve that starts later lets nothing arrive at all. Neither is a curve here, from a file either.
#[test]
fn an_arrival_curve_cannot_let_its_task_vanish() {
    let curve = |steps: &[(u64, u64)]| {
        ArrivalCurve::new(Nanos(20), steps.iter().map(|&(window, count)| (Nanos(window), count)).collect())
    };
    assert_eq!(curve(&[(0, 1)]), Err(ArrivalCurveError::ZeroStep { step: 0 }));
    assert_eq!(curve(&[(0, 1), (1, 2)]), Err(ArrivalCurveError::ZeroStep { step: 0 }));
    assert_eq!(curve(&[(7, 1)]), Err(ArrivalCurveError::LateFirstStep { window: Nanos(7) }));
    // The set of that crate's answer: two tasks with C = 5 and T = 20.
    let twins = |priority| row(5, 20, 20).curve(20, &[(1, 1)]).priority(priority);
    check(Policy::FixedPriority, &[twins(0), twins(1)], &[9, 10]);
    check(Policy::Fifo, &[twins(0), twins(1)], &[10, 10]);
    check(Policy::Edf, &[twins(0), twins(1)], &[10, 10]);
}

/// Under FIFO the worst release may be late in the busy period: eight jobs of 1 keep the resource busy until the second job
/// of the other task, which its jitter brings to 10; then 2 · 4 + 8 − 10 are left, and 4 + 1 at the start. The busy
/// period ends at 16.
#[test]
fn the_worst_release_may_be_late_in_the_busy_period() {
    let steps: Vec<(u64, u64)> = (1..=8).map(|n| (n, n)).collect();
    let rows = [row(1, 100, 100).curve(100, &steps), row(4, 100, 100).jitter(90)];
    check(Policy::Fifo, &rows, &[6, 95]);
    assert_eq!(bound(Policy::Fifo, &rows, 0).busy_period, Nanos(16));
}

/// A burst is as long as it says: its average distance of 20 would answer 3 and 6.
#[test]
fn a_burst_is_not_spread_out() {
    let rows = [row(3, 20, 60).curve(60, &[(1, 3)]).priority(0), row(4, 60, 60).priority(1)];
    check(Policy::FixedPriority, &rows, &[12, 13]);
    check(Policy::Edf, &rows, &[13, 13]);
    check(Policy::Fifo, &rows, &[13, 13]);
    assert_eq!(bound(Policy::FixedPriority, &rows, 0).job, 2);
    let late = [row(3, 20, 12).curve(60, &[(1, 3)]), row(4, 60, 60)];
    assert!(edf::demand_test(&set(Policy::Edf, &late)).is_ok());
    let early = [row(3, 20, 11).curve(60, &[(1, 3)]), row(4, 60, 60)];
    assert!(edf::demand_test(&set(Policy::Edf, &early)).is_err());
}

/// One tick of jitter lets jobs of a burst overtake each other; it does not make the burst longer.
#[test]
fn jitter_does_not_add_a_job_to_a_burst() {
    let burst = [row(3, 20, 60).curve(60, &[(1, 2)]).jitter(1).priority(0)];
    for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
        check(policy, &burst, &[7]);
    }
}

/// A curve may allow more in a horizon than in the parts of it: six jobs in 9 ticks, but one in any 4. More than the
/// parts cannot come, so that this is no overload.
#[test]
fn a_curve_s_long_run_is_that_of_its_densest_window() {
    let rows = [row(2, 4, 9).curve(9, &[(1, 1), (5, 6)]).priority(0)];
    check(Policy::FixedPriority, &rows, &[2]);
    assert!(admit(&set(Policy::FixedPriority, &rows)).admitted());
    assert!(edf::demand_test(&set(Policy::Edf, &rows)).is_ok());
}

fn recovering(length: u64, gap: u64) -> Overheads {
    Overheads { recovery: Stall { length: Nanos(length), gap: Nanos(gap) }, ..Overheads::default() }
}

/// A stall that begins after the last segment has started still delays its end, and no job overtakes in it.
#[test]
fn a_stall_pauses_what_runs() {
    let rows = [row(2, 20, 20).priority(0), row(6, 20, 20).priority(1)];
    let set = set_with(Policy::FixedPriority, recovering(3, 10), &rows);
    // 5 of blocking, 2 and two stalls, the first of which began with what blocks; 8 and two stalls, the second while the
    // last segment runs.
    assert_eq!(bounds(&set), [Some(13), Some(14)]);
    let verdict = admit(&set);
    let terms = &verdict.tasks[1].bound.as_ref().unwrap().terms;
    assert!(terms.iter().any(|term| term.kind == TermKind::Recovery && term.ns == 6), "{terms:?}");
}

/// What blocks can have been stopped by a stall at the very instant at which it was chosen: the next stall is one tick
/// earlier than after a stall that begins with the busy period.
#[test]
fn a_stall_may_begin_with_the_blocking_segment() {
    let rows = [row(2, 30, 30).priority(0), row(6, 30, 30).priority(1)];
    let answer = |gap| bounds(&set_with(Policy::FixedPriority, recovering(3, gap), &rows))[0];
    // 5 + 2 + 3 is done at 10: a second stall at 10 − 1 delays it, one at 10 does not.
    assert_eq!((answer(11), answer(10), answer(9)), (Some(10), Some(13), Some(13)));
}

/// Stalls are part of the load: 3 of 10 for them leave less than the tasks ask for.
#[test]
fn stalls_count_in_the_load() {
    let rows = [row(7, 20, 100).priority(0), row(8, 20, 100).priority(1)];
    for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
        assert!(admit(&set(policy, &rows)).admitted());
        let stalled = admit(&set_with(policy, recovering(3, 10), &rows));
        assert_eq!(stalled.rejections[0], Rejection::Overload { utilisation_ppm: 1_050_000 }, "{policy}");
    }
    let edf = set_with(Policy::Edf, recovering(3, 10), &rows);
    assert_eq!(edf::demand_test(&edf), Err(edf::DemandWitness::Overload { utilisation_ppm: 1_050_000 }));
}

/// What the platform does around each segment is part of the load: 7 + 8 of 20 fit, and 3 more for each job are too much.
#[test]
fn overheads_count_in_the_load() {
    let rows = [row(7, 20, 100).priority(0), row(8, 20, 100).priority(1)];
    let overheads = Overheads { launch: Nanos(3), ..Overheads::default() };
    for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
        let verdict = admit(&set_with(policy, overheads, &rows));
        assert_eq!(verdict.rejections[0], Rejection::Overload { utilisation_ppm: 1_050_000 }, "{policy}");
    }
}

/// A burst asks for the time of all its jobs: three of 8 in 20 are an overload, however long they are spread out.
#[test]
fn a_burst_counts_in_the_load_with_all_its_jobs() {
    let rows = [row(8, 20, 100).curve(20, &[(1, 3)]).priority(0)];
    let overload = Rejection::Overload { utilisation_ppm: 1_200_000 };
    for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
        assert_eq!(admit(&set(policy, &rows)).rejections[0], overload, "{policy}");
    }
    let demand = edf::demand_test(&set(Policy::Edf, &rows));
    assert_eq!(demand, Err(edf::DemandWitness::Overload { utilisation_ppm: 1_200_000 }));
}
