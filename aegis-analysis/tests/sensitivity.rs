//! Every edge is an edge: the value fits and the next does not, by admission itself; and there is no other edge beyond.
mod common;
mod random;

use aegis_analysis::admit;
use aegis_analysis::sensitivity::{Beyond, Change, Edge, Newcomer, NoEdge, apply, edge, margins, room};
use aegis_analysis::tolerance::{Intolerant, longest_segments};
use aegis_core::{Nanos, Overheads, Policy, Priority, Rng, Stall, TaskDraft, TaskId, TaskSet};
use common::{Row, row, set, set_with};
use random::{POLICIES, overheads, rows, scaled};

fn changes(task: TaskId) -> [Change; 7] {
    [
        Change::Wcet(task),
        Change::LongestSegment(task),
        Change::Period(task),
        Change::Rate(task),
        Change::Deadline(task),
        Change::Jitter(task),
        Change::AllWcets,
    ]
}

/// The value after the last one that fits.
fn next(edge: Edge) -> Option<u64> {
    match edge.change {
        Change::Wcet(_) | Change::LongestSegment(_) | Change::Jitter(_) | Change::AllWcets => {
            Some(edge.fits + 1)
        }
        _ => edge.fits.checked_sub(1),
    }
}

fn admitted(set: &TaskSet, change: Change, value: u64) -> bool {
    apply(set, change, value).is_ok_and(|set| admit(&set).admitted())
}

#[test]
fn the_value_fits_and_the_next_does_not() {
    let seed = 31;
    let mut rng = Rng::new(seed);
    let mut found = [0; 3];
    let (mut never, mut undecided) = (0, 0);
    for k in 0..scaled(150) {
        let n = rng.between(1, 6);
        let rows = rows(&mut rng, n);
        let overheads = overheads(&mut rng);
        for (p, policy) in POLICIES.into_iter().enumerate() {
            let set = set_with(policy, overheads, &rows);
            let task = TaskId(u32::try_from(rng.between(0, n - 1)).unwrap());
            let now = admit(&set).admitted();
            for change in changes(task) {
                let at = format!("seed {seed}, set {k}, {policy}, {change:?}: {rows:?} {overheads:?}");
                match edge(&set, change) {
                    Ok(edge) => {
                        assert!(admitted(&set, change, edge.fits), "{edge:?} {at}");
                        match edge.beyond {
                            Beyond::Rejected => {
                                let beyond = next(edge).is_some_and(|value| admitted(&set, change, value));
                                assert!(!beyond, "{edge:?} {at}");
                            }
                            Beyond::Unlimited => assert!(matches!(change, Change::LongestSegment(_)), "{at}"),
                            // The test may give up just below full utilisation, and there only.
                            Beyond::Undecided => undecided += 1,
                        }
                        found[p] += 1;
                    }
                    Err(NoEdge::NoPeriod) => assert!(rows[task.index()].curve.is_some(), "{at}"),
                    Err(NoEdge::NothingFits) => {
                        assert!(!now, "{at}");
                        let best = match change {
                            Change::Jitter(_) => 0,
                            Change::Wcet(_) | Change::LongestSegment(_) | Change::AllWcets => 1,
                            _ => 1 << 62,
                        };
                        assert!(!admitted(&set, change, best), "{at}");
                        never += 1;
                    }
                    Err(other) => panic!("{other} {at}"),
                }
            }
        }
    }
    println!("{found:?} edges, {undecided} of them not decided beyond, {never} without");
    assert!(undecided * 1000 <= found.iter().sum::<usize>(), "{undecided}");
    assert!(found.iter().all(|n| *n > 300) && never > 100, "{found:?} {never}");
}

/// Trying all values: the edge is the only one.
#[test]
fn no_value_beyond_the_edge_fits() {
    let seed = 32;
    let mut rng = Rng::new(seed);
    let mut compared = 0;
    for k in 0..scaled(60) {
        let n = rng.between(1, 3);
        let rows: Vec<Row> = (0..n)
            .map(|i| {
                let t = rng.between(2, 16);
                let segments = (0..rng.between(1, 2)).map(|_| rng.between(1, (t / n).max(1))).collect();
                Row {
                    segments,
                    t,
                    d: rng.between(1, 20),
                    j: if rng.one_in(3) { rng.between(0, 2) } else { 0 },
                    priority: Some(u32::try_from(i).unwrap()),
                    curve: None,
                }
            })
            .collect();
        for policy in POLICIES {
            let set = set(policy, &rows);
            let task = TaskId(u32::try_from(rng.between(0, n - 1)).unwrap());
            for change in [
                Change::Wcet(task),
                Change::LongestSegment(task),
                Change::Period(task),
                Change::Deadline(task),
                Change::Jitter(task),
            ] {
                let (values, larger_is_better) = match change {
                    Change::Wcet(_) => (1..60, false),
                    Change::LongestSegment(_) => {
                        (1..rows[task.index()].segments.iter().max().unwrap() + 1, false)
                    }
                    Change::Jitter(_) => (0..60, false),
                    _ => (1..300, true),
                };
                let fitting: Vec<u64> =
                    values.clone().filter(|value| admitted(&set, change, *value)).collect();
                let expect = if larger_is_better { fitting.first() } else { fitting.last() };
                let found = edge(&set, change).ok().map(|edge| edge.fits);
                // Values above those tried: only for better ones.
                if found.is_none_or(|value| values.contains(&value)) {
                    assert_eq!(
                        found.as_ref(),
                        expect,
                        "seed {seed}, set {k}, {policy}, {change:?}: {rows:?}"
                    );
                    compared += 1;
                }
                // All values on the good side of the edge fit.
                assert!(
                    fitting.windows(2).all(|w| w[1] == w[0] + 1),
                    "{fitting:?} {policy}, {change:?}: {rows:?}"
                );
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

/// Under fixed priorities and FIFO the earliest deadline is the response itself.
#[test]
fn the_earliest_deadline_is_the_response() {
    let rows = [row(1, 8, 8).priority(0), row(2, 9, 9).priority(1), row(2, 20, 20).priority(2)];
    for policy in [Policy::FixedPriority, Policy::Fifo] {
        let set = set(policy, &rows);
        let verdict = admit(&set);
        assert!(verdict.admitted());
        for (task, margins) in verdict.tasks.iter().zip(margins(&set).tasks) {
            assert_eq!(margins.deadline.unwrap().fits, task.bound.as_ref().unwrap().wcrt.0);
        }
    }
}

/// What the newcomer may take is an edge of admission, at the best place.
#[test]
fn room_for_a_newcomer() {
    let seed = 33;
    let mut rng = Rng::new(seed);
    let (mut some, mut none) = (0, 0);
    for k in 0..scaled(60) {
        let n = rng.between(1, 5);
        let rows = rows(&mut rng, n);
        for policy in POLICIES {
            let set = set(policy, &rows);
            let newcomer = Newcomer {
                arrival: Nanos(rng.between(20, 400)).into(),
                deadline: Nanos(rng.between(10, 500)),
                jitter: Nanos(rng.between(0, 5)),
            };
            // Every place, written down once more: the old priorities doubled, the new one between them.
            let largest = |c: u64| {
                let ranks = if policy == Policy::FixedPriority { 2 * n + 1 } else { 1 };
                (0..ranks).any(|rank| {
                    let mut drafts: Vec<TaskDraft> = set
                        .tasks()
                        .iter()
                        .map(|task| TaskDraft {
                            name: task.name.clone(),
                            segments: task.segments.clone(),
                            arrival: task.arrival.clone(),
                            deadline: Some(task.deadline),
                            jitter: task.jitter,
                            priority: Some(Priority(2 * task.priority.0 + 1)),
                        })
                        .collect();
                    drafts.push(TaskDraft {
                        name: "new".to_owned(),
                        segments: vec![Nanos(c)],
                        arrival: newcomer.arrival.clone(),
                        deadline: Some(newcomer.deadline),
                        jitter: newcomer.jitter,
                        priority: Some(Priority(u32::try_from(rank).unwrap())),
                    });
                    admit(&TaskSet::new(policy, Overheads::default(), drafts).unwrap()).admitted()
                })
            };
            let at = format!("seed {seed}, set {k}, {policy}: {rows:?} {newcomer:?}");
            match room(&set, &newcomer) {
                Ok(room) => {
                    assert!(largest(room.wcet.0) && !largest(room.wcet.0 + 1), "{room:?} {at}");
                    assert_eq!(room.beyond, Beyond::Rejected);
                    some += 1;
                }
                Err(NoEdge::NothingFits) => {
                    assert!(!largest(1), "{at}");
                    none += 1;
                }
                Err(other) => panic!("{other} {at}"),
            }
        }
    }
    assert!(some > 30 && none > 30, "{some} {none}");
}

/// Lengths of one segment with the rest of the job behind it in steps of 1: they delay nobody.
fn with_longest(row: &Row, longest: u64) -> Row {
    let rest = row.c() - longest;
    let mut segments = vec![longest];
    segments.extend(std::iter::repeat_n(1, usize::try_from(rest).unwrap()));
    row.clone().segments(&segments)
}

/// One task with a segment of the length that is given fits, one longer does not, the others in steps of 1.
#[track_caller]
fn check_longest_segments(seed: u64, sets: usize, policy: Policy, stalls: bool) {
    let mut rng = Rng::new(seed);
    let (mut limited, mut any, mut never) = (0, 0, 0);
    for k in 0..scaled(sets) {
        let n = rng.between(2, 5);
        let mut all = rows(&mut rng, n);
        for row in &mut all {
            *row = with_longest(row, 1);
        }
        let recovery = if stalls {
            Stall { length: Nanos(rng.between(1, 5)), gap: Nanos(rng.between(20, 90)) }
        } else {
            Stall::default()
        };
        let overheads = Overheads { recovery, ..Overheads::default() };
        let fine = set_with(policy, overheads, &all);
        let at = format!("{policy}, seed {seed}, set {k}: {all:?} {overheads:?}");
        let limits = match longest_segments(&fine) {
            Ok(limits) => limits,
            Err(reason) => {
                assert!(!matches!(reason, Intolerant::Undecided { .. }), "{at}");
                assert!(!admit(&fine).admitted(), "{at}");
                never += 1;
                continue;
            }
        };
        if !admit(&fine).admitted() {
            // Some deadline is missed that nobody blocks, or a segment of 1 is too long.
            continue;
        }
        for (i, limit) in limits.iter().enumerate() {
            let longest = |length: u64| {
                let mut rows = all.clone();
                rows[i] = with_longest(&rows[i], length);
                admit(&set_with(policy, overheads, &rows)).admitted()
            };
            if let Some(limit) = limit {
                assert!(longest(limit.0) && !longest(limit.0 + 1), "task {i}: {limit}, {at}");
                limited += 1;
            } else {
                assert!(longest(all[i].c()), "task {i}, {at}");
                any += 1;
            }
        }
    }
    println!("{policy}, seed {seed}: {limited} limited, {any} of any length; {never} sets fit in none");
    assert!(limited * 8 > sets && any * 8 > sets && never * 20 > sets, "{limited} {any} {never}");
}

/// Under EDF in closed form, under fixed priorities by the response of those above.
#[test]
fn the_longest_segment_of_each_task() {
    check_longest_segments(34, 400, Policy::Edf, false);
    check_longest_segments(35, 200, Policy::FixedPriority, false);
}

/// Stalls take the closed form away: the demand test is asked.
#[test]
fn the_longest_segment_beside_stalls() {
    check_longest_segments(36, 60, Policy::Edf, true);
    check_longest_segments(37, 60, Policy::FixedPriority, true);
}

/// Near full utilisation the exact test does not end everywhere; the value that is given fits all the same.
#[test]
fn an_edge_that_is_not_decided_says_so() {
    let half = |t: u64| row(t / 2 - 1, t, 1 << 61).jitter(1).priority(0);
    let set = set(Policy::FixedPriority, &[half(1_000_000_000_000_037), half(1_618_033_988_749_895)]);
    let Ok(edge) = edge(&set, Change::Wcet(TaskId(0))) else { panic!() };
    assert_eq!(edge.beyond, Beyond::Undecided);
    assert!(edge.fits > 0 && edge.sentence(&set).ends_with("what lies beyond is not decided"));
}

#[test]
fn what_has_no_edge_says_why() {
    let alone = set(Policy::Edf, &[row(5, 10, 4), row(1, 10, 10)]);
    let error = edge(&alone, Change::Wcet(TaskId(1))).unwrap_err();
    assert_eq!(error, NoEdge::NothingFits);
    assert_eq!(edge(&alone, Change::Wcet(TaskId(2))), Err(NoEdge::NoTask(TaskId(2))));
    assert_eq!(edge(&alone, Change::Deadline(TaskId(0))).unwrap().fits, 5);
}

/// Where a busy period never ends no response is certain, and admission rejects; arrival curves take the general path.
#[test]
fn full_utilisation_with_jitter_has_no_edge() {
    let rows = [row(5, 10, 100).jitter(1), row(5, 10, 100).curve(10, &[(1, 1)])];
    let set = set(Policy::Edf, &rows);
    assert!(!admit(&set).admitted());
    assert_eq!(edge(&set, Change::Deadline(TaskId(0))), Err(NoEdge::NothingFits));
    assert_eq!(edge(&set, Change::Jitter(TaskId(0))).unwrap().fits, 0);
}
