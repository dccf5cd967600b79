//! Admission as a user meets it: verdicts with derivations that add up, overheads, reasons in words, and what would fit.
mod common;

use aegis_analysis::{admit, edf, fifo, fixed_priority, utilisation};
use aegis_core::{
    Decided, Nanos, Overheads, Policy, Rejection, Rng, TaskDraft, TaskId, TaskSet, Term, TermKind, Verdict,
};
use common::{Row, bounds, named, row, set, set_with};

const POLICIES: [Policy; 3] = [Policy::FixedPriority, Policy::Edf, Policy::Fifo];

const A: (&str, u64, u64, u64) = ("A", 20, 100, 50);
const B: (&str, u64, u64, u64) = ("B", 15, 80, 40);
const C: (&str, u64, u64, u64) = ("C", 30, 200, 100);

/// The bounds with priorities or deadlines: B waits longest for an A that arrived first and shares its deadline, which
/// only EDF serves first.
#[test]
fn two_models_fit_and_a_third_blocks_both() {
    for (policy, worst_of_b) in [(Policy::Edf, 54_999_999), (Policy::FixedPriority, 44_999_999)] {
        let two = named(policy, &[A, B]);
        let verdict = admit(&two);
        let by = if policy == Policy::Edf { Decided::DensityBound } else { Decided::ResponseTimeBound };
        assert!(verdict.admitted());
        assert_eq!(verdict.decided_by, by);
        assert_eq!(bounds(&two), [Some(35_000_000), Some(34_999_999)], "{policy}");

        let three = named(policy, &[A, B, C]);
        let verdict = admit(&three);
        assert_eq!(bounds(&three), [Some(64_999_999), Some(worst_of_b), Some(65_000_000)], "{policy}");
        assert!(verdict.tasks[2].schedulable());
        let missed = |task, wcrt, deadline| Rejection::DeadlineMissed {
            task: TaskId(task),
            wcrt: Nanos(wcrt),
            deadline: Nanos::from_millis(deadline),
            blocked_by: Some(TaskId(2)),
            blocking: Nanos(29_999_999),
        };
        assert_eq!(verdict.rejections, [missed(0, 64_999_999, 50), missed(1, worst_of_b, 40)]);
        assert_eq!(
            verdict.rejections[0].sentence(&three),
            "A: worst response 65.0 ms > deadline 50.0 ms; 30.0 ms of it waits for C, which cannot be preempted"
        );
    }
}

#[test]
fn a_derivation_names_every_term_in_order() {
    let overheads =
        Overheads { release: Nanos(3), dispatch: Nanos(1), completion: Nanos(2), ..Overheads::default() };
    let rows = [
        row(10, 100, 90).priority(0),
        row(0, 40, 99).segments(&[4, 6]).jitter(2).priority(1),
        row(20, 500, 500).priority(2),
    ];
    let verdict = admit(&set_with(Policy::FixedPriority, overheads, &rows));
    let bound = verdict.tasks[1].bound.as_ref().unwrap();
    let term = |kind, by: Option<u32>, ns| Term { kind, by: by.map(TaskId), ns };
    assert_eq!(
        bound.terms,
        [
            term(TermKind::Jitter, None, 5),
            term(TermKind::Blocking, Some(2), 22),
            term(TermKind::Interference, Some(0), 13),
            term(TermKind::Execution, None, 10),
            term(TermKind::Dispatch, None, 2),
            term(TermKind::Completion, None, 4),
        ]
    );
    assert_eq!((bound.wcrt, bound.job), (Nanos(56), 0));

    let rows = [row(1, 4, 2).priority(0), row(2, 6, 4).priority(1), row(2, 5, 5).priority(2)];
    let verdict = admit(&set(Policy::FixedPriority, &rows));
    assert_eq!(
        verdict.tasks[2].bound.as_ref().unwrap().terms,
        [
            term(TermKind::Interference, Some(0), 3),
            term(TermKind::Interference, Some(1), 4),
            term(TermKind::EarlierJobs, None, 2),
            term(TermKind::ArrivedLater, None, -5),
            term(TermKind::Execution, None, 2),
        ]
    );
}

/// Sets too large for the explorer, with everything in them.
fn random(rng: &mut Rng, n: u64) -> Vec<Row> {
    let rows = (0..n).map(|i| {
        let t = rng.between(20, 400);
        let segments = (0..rng.between(1, 3)).map(|_| rng.between(1, (t / n / 2).max(1))).collect();
        Row {
            segments,
            t,
            d: rng.between(t / 3, 2 * t),
            j: if rng.one_in(2) { rng.between(0, t + t / 2) } else { 0 },
            priority: Some(u32::try_from(rng.between(0, i)).unwrap()),
            curve: None,
        }
    });
    rows.collect()
}

#[track_caller]
fn check_answer(set: &TaskSet, verdict: &Verdict) {
    let mut named = Vec::new();
    for (task, verdict) in set.tasks().iter().zip(&verdict.tasks) {
        let Some(bound) = &verdict.bound else {
            assert!(!verdict.schedulable());
            continue;
        };
        let sum: i64 = bound.terms.iter().map(|term| term.ns).sum();
        assert_eq!(u64::try_from(sum), Ok(bound.wcrt.0), "{set:?}");
        assert!(bound.wcrt >= task.jitter + task.wcet(), "{set:?}");
        for term in &bound.terms {
            assert_eq!(term.ns < 0, term.kind == TermKind::ArrivedLater, "{term:?} of {set:?}");
            let by_other = matches!(term.kind, TermKind::Blocking | TermKind::Interference);
            assert_eq!(term.by.is_some(), by_other, "{term:?} of {set:?}");
        }
    }
    for rejection in &verdict.rejections {
        match rejection {
            Rejection::DeadlineMissed { task, .. }
            | Rejection::NoFiniteBusyPeriod { task }
            | Rejection::Undecided { task, .. } => named.push(*task),
            Rejection::Overload { .. } => assert_eq!(verdict.decided_by, Decided::Utilisation),
            other => panic!("{other:?}"),
        }
    }
    assert!(named.is_sorted(), "{named:?}");
    let late: Vec<TaskId> =
        verdict.tasks.iter().filter(|task| !task.schedulable()).map(|task| task.task).collect();
    if verdict.decided_by != Decided::Utilisation {
        assert_eq!(named, late, "{set:?}");
    }
    assert_eq!(verdict.admitted(), late.is_empty());
}

#[test]
fn every_answer_adds_up() {
    let seed = 21;
    let mut rng = Rng::new(seed);
    let (mut admitted, mut demand_differs_from_bounds) = (0, 0);
    for k in 0..600 {
        let n = rng.between(2, 9);
        let rows = random(&mut rng, n);
        let overheads = Overheads {
            release: Nanos(rng.between(0, 2)),
            dispatch: Nanos(rng.between(0, 1)),
            completion: Nanos(rng.between(0, 1)),
            ..Overheads::default()
        };
        for policy in POLICIES {
            let set = set_with(policy, overheads, &rows);
            let verdict = admit(&set);
            check_answer(&set, &verdict);
            admitted += usize::from(verdict.admitted());
            if policy == Policy::Edf && utilisation::against_one(&set).is_lt() {
                let demand = edf::demand_test(&set);
                assert_eq!(demand.is_ok(), verdict.admitted(), "seed {seed}, set {k}: {demand:?}, {rows:?}");
                demand_differs_from_bounds += 1;
            }

            // Overheads mean exactly this: longer segments and more jitter.
            let longer: Vec<Row> = rows
                .iter()
                .map(|row| Row {
                    segments: row
                        .segments
                        .iter()
                        .map(|c| c + (overheads.dispatch + overheads.completion).0)
                        .collect(),
                    j: row.j + overheads.release.0,
                    ..row.clone()
                })
                .collect();
            assert_eq!(bounds(&set), bounds(&common::set(policy, &longer)), "seed {seed}, set {k}");
        }
    }
    assert!(admitted > 100 && demand_differs_from_bounds > 300, "{admitted}, {demand_differs_from_bounds}");
}

/// Under fixed priorities an overload spares those above it; otherwise it spares nobody.
#[test]
fn an_overload_comes_first_and_keeps_the_bounds_that_exist() {
    let tasks = [("fast", 10, 20, 20), ("middle", 20, 50, 40), ("slow", 30, 200, 200)];
    let set = named(Policy::FixedPriority, &tasks);
    let verdict = admit(&set);
    let [overload, fast, middle, slow] = verdict.rejections[..] else { panic!("{verdict:?}") };
    assert_eq!(overload, Rejection::Overload { utilisation_ppm: 1_050_000 });
    assert_eq!(overload.sentence(&set), "the tasks ask for 105.0000 % of the time");
    assert!(matches!(fast, Rejection::DeadlineMissed { task: TaskId(0), .. }), "{fast:?}");
    assert!(matches!(middle, Rejection::DeadlineMissed { task: TaskId(1), .. }), "{middle:?}");
    assert_eq!(slow, Rejection::NoFiniteBusyPeriod { task: TaskId(2) });
    assert!(slow.sentence(&set).starts_with("slow: it and all that is served before it"));
    assert_eq!(
        verdict.rejections.iter().map(Rejection::code).collect::<Vec<_>>(),
        ["overload", "deadline_missed", "deadline_missed", "no_finite_busy_period"]
    );
    for policy in [Policy::Edf, Policy::Fifo] {
        let verdict = admit(&set.with_policy(policy));
        assert_eq!(verdict.rejections, [overload]);
        assert_eq!(verdict.decided_by, Decided::Utilisation);
        assert!(verdict.tasks.iter().all(|task| task.bound.is_none()));
    }
}

/// A billion deadlines below the end of the busy period, of which few can be the worst.
#[test]
fn far_deadlines_do_not_make_the_search_long() {
    let rows = [row(5, 10, 1_000_000_000).jitter(3), row(5, 11, 1_000_000_000_000).jitter(100_000_000)];
    assert_eq!(bounds(&set(Policy::Edf, &rows)), [Some(12), Some(100_000_019)]);
}

/// Just below full utilisation no search for a bound walks the busy period to its end, but a miss is found. A response
/// above 2^62 ns is not given.
#[test]
fn what_cannot_be_walked_is_undecided() {
    let half = |t: u64| row(t / 2 - 1, t, t).jitter(1).priority(0);
    let long = [half(1_000_000_000_000_037), half(1_618_033_988_749_895)];
    let wide = [row(1 << 60, 1 << 61, 1 << 62).jitter(1 << 62).priority(0)];
    for policy in POLICIES {
        let set = set(policy, &wide);
        let verdict = admit(&set);
        let undecided = Rejection::Undecided { task: TaskId(0), steps: aegis_analysis::STEP_LIMIT };
        assert_eq!(verdict.rejections, [undecided], "{policy}");
        assert!(verdict.rejections[0].sentence(&set).starts_with("a: not decided"));
        check_answer(&set, &verdict);

        let verdict = admit(&common::set(policy, &long));
        assert!(verdict.tasks.iter().all(|task| task.bound.is_none()), "{policy}");
        assert_eq!(verdict.rejections.len(), 1);
        let code = if policy == Policy::Edf { "too_much_demand" } else { "deadline_missed" };
        assert_eq!(verdict.rejections[0].code(), code, "{policy}");
    }
}

/// The same with deadlines that are met: admitted, although no bound is known.
#[test]
fn what_cannot_be_walked_may_still_be_admitted() {
    let half = |t: u64| row(t / 2 - 1, t, 2 * t).jitter(1);
    let rows = [half(1_000_000_000_000_037), half(1_618_033_988_749_895)];
    for (policy, by) in [
        (Policy::FixedPriority, Decided::ResponseTimeBound),
        (Policy::Edf, Decided::DensityBound),
        (Policy::Fifo, Decided::ServiceSum),
    ] {
        let verdict = admit(&set(policy, &rows));
        assert!(verdict.admitted(), "{policy}: {:?}", verdict.rejections);
        assert_eq!(verdict.decided_by, by, "{policy}");
    }
}

#[test]
fn a_miss_by_a_nanosecond_is_not_rounded_away() {
    let set = named(Policy::Fifo, &[("a", 10, 100, 25), ("b", 15, 100, 100)]);
    assert!(admit(&set).admitted());
    let rows = [row(10_000_001, 100_000_000, 25_000_000), row(15_000_000, 100_000_000, 100_000_000)];
    let set = common::set(Policy::Fifo, &rows);
    assert_eq!(admit(&set).rejections[0].sentence(&set), "a: worst response 25.000001 ms > deadline 25 ms");
}

/// The analyses one by one ignore the policy of the set; admission takes the one that it names.
#[test]
fn admission_takes_the_analysis_of_the_policy() {
    let rows = [row(2, 10, 3), row(3, 10, 20), row(4, 12, 12)];
    for policy in POLICIES {
        let set = set(policy, &rows);
        let theorem = match policy {
            Policy::FixedPriority => fixed_priority::response_times(&set),
            Policy::Edf => edf::response_times(&set),
            Policy::Fifo => fifo::response_times(&set),
        };
        let verdict = admit(&set);
        assert_eq!(verdict.policy, policy);
        assert!(verdict.tasks.iter().zip(theorem).all(|(task, bound)| task.bound == bound.ok()));
    }
}
