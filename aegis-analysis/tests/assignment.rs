//! Optimal priorities: an order is found exactly when one of all orders fits, and none has more slack than the robust one.
mod common;
mod random;

use aegis_analysis::admit;
use aegis_analysis::assignment::{
    NoOrder, deadline_monotonic, optimal, rate_monotonic, robust, with_priorities,
};
use aegis_core::{Policy, Priority, Rng, TaskId, TaskSet};
use common::{row, set, set_with};
use random::{overheads, rows, scaled};

/// Every order of `n` tasks: the rank of each.
fn orders(n: usize) -> Vec<Vec<Priority>> {
    let mut all = vec![vec![]];
    for _ in 0..n {
        all = all
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                let free: Vec<usize> = (0..n).filter(|rank| !order.contains(rank)).collect();
                free.into_iter().map(move |rank| order.iter().copied().chain([rank]).collect::<Vec<usize>>())
            })
            .collect();
    }
    all.into_iter()
        .map(|order| order.into_iter().map(|rank| Priority(u32::try_from(rank).unwrap())).collect())
        .collect()
}

/// The least `D − R`; `None` when rejected.
fn slack(set: &TaskSet) -> Option<u64> {
    let verdict = admit(set);
    let slack = verdict.tasks.iter().map(|task| task.deadline.0.checked_sub(task.bound.as_ref()?.wcrt.0));
    slack.collect::<Option<Vec<u64>>>()?.into_iter().min()
}

#[track_caller]
fn check(seed: u64, sets: usize, n: u64) {
    let mut rng = Rng::new(seed);
    let orders = orders(usize::try_from(n).unwrap());
    let (mut none, mut only_optimal, mut found) = (0, 0, 0);
    for k in 0..sets {
        let mut rows = rows(&mut rng, n);
        for row in &mut rows {
            // Short enough jobs that some order of many tasks fits.
            row.segments.iter_mut().for_each(|c| *c = c.div_ceil(n / 2));
        }
        if rng.one_in(2) {
            for row in &mut rows {
                row.d = rng.between(row.c() + row.j, row.t.max(row.c() + row.j + 1));
            }
        }
        let set = set_with(Policy::FixedPriority, overheads(&mut rng), &rows);
        let best = orders.iter().filter_map(|order| slack(&with_priorities(&set, order))).max();
        let at = format!("seed {seed}, set {k}: {rows:?} {:?}", set.overheads());
        match optimal(&set) {
            Ok(order) => assert!(admit(&with_priorities(&set, &order)).admitted(), "{order:?} {at}"),
            Err(NoOrder::NoneGoesLast { tasks }) => {
                assert_eq!(best, None, "{at}");
                // The proof: alone, no order of those tasks fits either with the others below them.
                assert!(!tasks.is_empty());
            }
            Err(other) => panic!("{other:?} {at}"),
        }
        assert_eq!(best, robust(&set).ok().map(|robust| robust.slack.0), "{at}");
        if let Ok(robust) = robust(&set) {
            assert_eq!(best, slack(&with_priorities(&set, &robust.priorities)), "{at}");
            found += 1;
        }
        let named = [deadline_monotonic(&set), rate_monotonic(&set)];
        let by_name = named.iter().any(|order| admit(&with_priorities(&set, order)).admitted());
        none += usize::from(best.is_none());
        only_optimal += usize::from(best.is_some() && !by_name);
    }
    println!(
        "{sets} sets of {n}: {found} fit, {only_optimal} of them in no order that has a name, {none} in none"
    );
    assert!(none >= sets / 10 && found >= sets / 10, "{none} {found}");
}

#[test]
fn all_orders_of_two_and_three() {
    check(41, scaled(600), 2);
    check(42, scaled(600), 3);
}

#[test]
fn all_orders_of_four_and_five() {
    check(43, scaled(200), 4);
    check(44, scaled(40), 5);
}

#[test]
fn all_orders_of_six() {
    check(45, scaled(6), 6);
}

/// Deadline-monotonic is not optimal when nothing is preempted, not even for deadlines within the period.
#[test]
fn deadline_monotonic_is_not_optimal() {
    let set = set(Policy::FixedPriority, &[row(3, 10, 8), row(2, 12, 8), row(3, 6, 6)]);
    let ranks = |priorities: &[Priority]| priorities.iter().map(|p| p.0).collect::<Vec<_>>();
    assert_eq!(ranks(&deadline_monotonic(&set)), [1, 2, 0]);
    assert!(!admit(&with_priorities(&set, &deadline_monotonic(&set))).admitted());
    assert!(!admit(&with_priorities(&set, &rate_monotonic(&set))).admitted());
    let order = optimal(&set).unwrap();
    assert_eq!(ranks(&order), [2, 1, 0]);
    assert!(admit(&with_priorities(&set, &order)).admitted());
    assert_eq!(robust(&set).unwrap().slack.0, 0);
}

/// Tasks that cannot go last are named, and only those.
#[test]
fn the_proof_names_who_cannot_go_last() {
    let rows = [row(3, 10, 4), row(3, 10, 5), row(1, 100, 100)];
    let set = set(Policy::FixedPriority, &rows);
    let error = optimal(&set).unwrap_err();
    assert_eq!(error, NoOrder::NoneGoesLast { tasks: vec![TaskId(0), TaskId(1)] });
    assert_eq!(
        error.sentence(&set),
        "no order of priorities fits: whichever of `a`, `b` goes last misses its deadline"
    );
}

#[test]
fn named_orders() {
    let rows = [row(1, 20, 5), row(1, 10, 30), row(1, 10, 5), row(1, 10, 5)];
    let set = set(Policy::FixedPriority, &rows);
    let ranks = |priorities: Vec<Priority>| priorities.iter().map(|p| p.0).collect::<Vec<_>>();
    assert_eq!(ranks(deadline_monotonic(&set)), [2, 3, 0, 1]);
    assert_eq!(ranks(rate_monotonic(&set)), [3, 2, 0, 1]);
}
