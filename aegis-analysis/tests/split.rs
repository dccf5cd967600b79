//! The fewest segments: compared with every split of every task, and with every order of priorities.
mod common;
mod random;

use aegis_analysis::admit;
use aegis_analysis::assignment::{deadline_monotonic, optimal, rate_monotonic, with_priorities};
use aegis_analysis::split::{Cuts, NoSplit, Split, fewest, fewest_with_priorities};
use aegis_analysis::tolerance::Intolerant;
use aegis_core::{Nanos, Overheads, Policy, Priority, Rng, TaskId, TaskSet};
use common::{Row, row, set, set_with};
use random::scaled;

/// Every way to run a task.
fn ways(row: &Row, cuts: &Cuts) -> Vec<Vec<Nanos>> {
    let nanos = |lengths: &[u64]| lengths.iter().copied().map(Nanos).collect::<Vec<Nanos>>();
    match cuts {
        Cuts::Fixed => vec![nanos(&row.segments)],
        Cuts::Anywhere => (1..=row.c())
            .map(|n| {
                let mut lengths = vec![0; usize::try_from(n).unwrap()];
                // Dealt out one by one, from the last segment to the first and again.
                for k in 0..row.c() {
                    let at = n - 1 - k % n;
                    lengths[usize::try_from(at).unwrap()] += 1;
                }
                nanos(&lengths)
            })
            .collect(),
        Cuts::Between(pieces) => (0..1_u32 << (pieces.len() - 1))
            .map(|bits| {
                let mut segments = vec![pieces[0]];
                for (k, piece) in pieces[1..].iter().enumerate() {
                    if bits >> k & 1 == 1 {
                        segments.push(*piece);
                    } else {
                        *segments.last_mut().unwrap() += *piece;
                    }
                }
                segments
            })
            .collect(),
    }
}

/// Every choice of one way for each task.
fn choices(ways: &[Vec<Vec<Nanos>>]) -> Vec<Vec<Vec<Nanos>>> {
    ways.iter().fold(vec![vec![]], |all, ways| {
        let with = |chosen: &Vec<Vec<Nanos>>| {
            let chosen = chosen.clone();
            ways.iter().map(move |way| chosen.iter().cloned().chain([way.clone()]).collect::<Vec<_>>())
        };
        all.iter().flat_map(with).collect()
    })
}

fn tiny(rng: &mut Rng, n: u64) -> (Vec<Row>, Vec<Cuts>, Overheads) {
    let mut cuts = Vec::new();
    let rows = (0..n).map(|k| {
        // One short and urgent, the others long.
        let c = if k == 0 { rng.between(1, 2) } else { rng.between(1, 8) };
        let t = if k == 0 { rng.between(4, 16) } else { rng.between(c.max(12), 60) };
        let mut pieces = vec![c];
        while pieces.len() < 4 && rng.one_in(2) && pieces.iter().any(|piece| *piece > 1) {
            let k = pieces.iter().position(|piece| *piece > 1).unwrap();
            let first = rng.between(1, pieces[k] - 1);
            pieces.splice(k..=k, [first, pieces[k] - first]);
        }
        cuts.push(match rng.between(0, 3) {
            0 => Cuts::Fixed,
            1 => Cuts::Between(pieces.iter().copied().map(Nanos).collect()),
            _ => Cuts::Anywhere,
        });
        Row {
            segments: if rng.one_in(3) { pieces } else { vec![c] },
            t,
            d: rng.between(t / 2, t + 4).max(c),
            j: if rng.one_in(3) { rng.between(0, 2) } else { 0 },
            priority: Some(u32::try_from(if rng.one_in(3) { rng.between(0, n - 1) } else { k }).unwrap()),
            curve: None,
        }
    });
    let rows = rows.collect();
    let overheads = Overheads {
        dispatch: Nanos(u64::from(rng.one_in(3))),
        completion: Nanos(u64::from(rng.one_in(4))),
        copy: Nanos(if rng.one_in(3) { rng.between(1, 3) } else { 0 }),
        ..Overheads::default()
    };
    (rows, cuts, overheads)
}

/// The least number of segments, for these priorities, with which some way of every task is admitted.
fn least(set: &TaskSet, choices: &[Vec<Vec<Nanos>>]) -> Option<usize> {
    let priorities: Vec<Priority> = set.tasks().iter().map(|task| task.priority).collect();
    let fitting = choices.iter().filter(|segments| {
        let split = Split { segments: (*segments).clone(), priorities: priorities.clone(), fewest: false };
        admit(&split.apply(set)).admitted()
    });
    fitting.map(|segments| segments.iter().map(Vec::len).sum()).min()
}

#[test]
fn every_split_of_every_task() {
    let seed = 51;
    let mut rng = Rng::new(seed);
    let (mut none, mut whole, mut more) = ([0; 2], [0; 2], [0; 2]);
    for k in 0..scaled(500) {
        let n = rng.between(1, 3);
        let (rows, cuts, overheads) = tiny(&mut rng, n);
        let ways: Vec<_> = rows.iter().zip(&cuts).map(|(row, cuts)| ways(row, cuts)).collect();
        let all = choices(&ways);
        for (p, policy) in [Policy::Edf, Policy::FixedPriority].into_iter().enumerate() {
            let set = set_with(policy, overheads, &rows);
            let least = least(&set, &all);
            let found = fewest(&set, &cuts);
            let at = format!("seed {seed}, set {k}, {policy}: {rows:?} {cuts:?} {overheads:?}");
            if let Ok(split) = &found {
                assert!(admit(&split.apply(&set)).admitted(), "{split:?} {at}");
                assert!(
                    split.segments.iter().zip(&ways).all(|(chosen, ways)| ways.contains(chosen)),
                    "{split:?} {at}"
                );
            }
            assert_eq!(found.as_ref().ok().map(Split::total), least, "{found:?} {at}");
            match least {
                None => none[p] += 1,
                Some(least) if least > ways.iter().map(|ways| ways[0].len()).sum() => more[p] += 1,
                Some(_) => whole[p] += 1,
            }
        }
    }
    println!("{none:?} do not fit, {whole:?} fit as they are, {more:?} in more segments");
    assert!(none.iter().chain(&whole).chain(&more).all(|n| *n > 20), "{none:?} {whole:?} {more:?}");
}

#[test]
fn every_order_and_every_split() {
    let seed = 52;
    let mut rng = Rng::new(seed);
    let (mut none, mut found, mut reordered) = (0, 0, 0);
    for k in 0..scaled(120) {
        let (rows, cuts, overheads) = tiny(&mut rng, 3);
        let set = set_with(Policy::FixedPriority, overheads, &rows);
        let ways: Vec<_> = rows.iter().zip(&cuts).map(|(row, cuts)| ways(row, cuts)).collect();
        let all = choices(&ways);
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let by_order = orders.map(|order| least(&with_priorities(&set, &order.map(Priority)), &all));
        let least = by_order.into_iter().flatten().min();
        let split = fewest_with_priorities(&set, &cuts);
        let at = format!("seed {seed}, set {k}: {rows:?} {cuts:?} {overheads:?}");
        assert_eq!(split.as_ref().ok().map(Split::total), least, "{split:?} {at}");
        match split {
            Ok(split) => {
                assert!(split.fewest && admit(&split.apply(&set)).admitted(), "{split:?} {at}");
                found += 1;
                reordered += usize::from(
                    fewest(&set, &cuts).map_or(usize::MAX, |split| split.total()) > split.total(),
                );
            }
            Err(error) => {
                assert!(!matches!(error, NoSplit::Undecided { .. }), "{at}");
                none += 1;
            }
        }
    }
    println!("{found} fit, {reordered} of them in fewer segments than in the given order, {none} do not");
    assert!(found > 20 && none > 20 && reordered > 5, "{found} {none} {reordered}");
}

/// A camera that tolerates 18 ms, and a detector of 30 ms in four engines.
#[test]
fn a_detector_in_as_few_engines_as_the_camera_tolerates() {
    let rows = [row(2, 20, 20).priority(0), row(30, 200, 200).priority(1)];
    for policy in [Policy::Edf, Policy::FixedPriority] {
        let set = set(policy, &rows);
        let pieces = |lengths: &[u64]| Cuts::Between(lengths.iter().copied().map(Nanos).collect());
        let segments = |cuts: Cuts| {
            let split = fewest(&set, &[Cuts::Fixed, cuts])?;
            Ok(split.segments[1].iter().map(|c| c.0).collect::<Vec<u64>>())
        };
        assert_eq!(segments(Cuts::Anywhere), Ok(vec![15, 15]), "{policy}");
        assert_eq!(segments(pieces(&[6, 9, 8, 7])), Ok(vec![15, 15]), "{policy}");
        assert_eq!(segments(pieces(&[9, 8, 7, 6])), Ok(vec![17, 13]), "{policy}");
        assert_eq!(segments(pieces(&[10, 10, 10])), Ok(vec![10, 10, 10]), "{policy}");
        assert_eq!(segments(pieces(&[20, 10])), Err(too_long(19)), "{policy}");
        assert_eq!(segments(Cuts::Fixed), Err(too_long(19)), "{policy}");
    }
}

fn too_long(limit: u64) -> NoSplit {
    NoSplit::Never(Intolerant::TooLong { task: TaskId(1), limit: Nanos(limit) })
}

#[test]
fn what_is_refused() {
    let set = set(Policy::Edf, &[row(2, 20, 20), row(30, 200, 200)]);
    assert_eq!(fewest(&set, &[Cuts::Fixed]), Err(NoSplit::Entries { given: 1, tasks: 2 }));
    let short = Cuts::Between(vec![Nanos(10), Nanos(19)]);
    let pieces = NoSplit::Pieces { task: TaskId(1), pieces: Nanos(29), wcet: Nanos(30) };
    assert_eq!(fewest(&set, &[Cuts::Fixed, short]), Err(pieces));
    let zero = Cuts::Between(vec![Nanos(0), Nanos(30)]);
    assert!(matches!(fewest(&set, &[Cuts::Fixed, zero]), Err(NoSplit::Pieces { .. })));
    let fifo = set.with_policy(Policy::Fifo);
    let cuts = [Cuts::Anywhere, Cuts::Anywhere];
    assert_eq!(fewest(&fifo, &cuts), Err(NoSplit::Never(Intolerant::NoDifference)));
}

/// Every boundary costs: a finer split is not always a better one.
#[test]
fn overheads_end_the_splitting() {
    let overheads = Overheads { launch: Nanos(2), ..Overheads::default() };
    let rows = [row(2, 12, 12), row(24, 60, 60)];
    let cuts = [Cuts::Anywhere, Cuts::Anywhere];
    let fits = fewest(&set_with(Policy::Edf, overheads, &rows), &cuts).map(|split| split.total());
    assert_eq!(fits, Ok(5));
    let rows = [row(2, 8, 8), row(24, 60, 60)];
    let never = fewest(&set_with(Policy::Edf, overheads, &rows), &cuts);
    assert!(matches!(never, Err(NoSplit::Never(_))), "{never:?}");
    assert!(fewest(&set(Policy::Edf, &rows), &cuts).is_ok());
}

/// Splitting `b` for `a` costs `b` more time than `c` can wait: `c` has to be split as well.
#[test]
fn a_split_can_ask_for_another() {
    let overheads = Overheads { launch: Nanos(1), ..Overheads::default() };
    let rows = [row(2, 1000, 20), row(76, 1000, 100), row(17, 1000, 200)];
    let split =
        fewest(&set_with(Policy::Edf, overheads, &rows), &[Cuts::Fixed, Cuts::Anywhere, Cuts::Anywhere]);
    let numbers: Vec<usize> = split.unwrap().segments.iter().map(Vec::len).collect();
    assert_eq!(numbers, [1, 5, 2]);
}

/// Four tasks, all orders: the search finds what the best of them needs, also where no order with a name is the best.
#[test]
fn every_order_of_four() {
    let seed = 53;
    let mut rng = Rng::new(seed);
    let mut orders = Vec::new();
    for code in 0..256_u32 {
        let ranks = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
        if (0..4).all(|rank| ranks.contains(&rank)) {
            orders.push(ranks.map(Priority));
        }
    }
    let (mut found, mut unnamed) = (0, 0);
    for k in 0..scaled(2500) {
        let rows: Vec<Row> = (0..4)
            .map(|_| {
                let c = rng.between(3, 18);
                let t = rng.between(30, 120);
                row(c, t, rng.between(t / 2, t))
            })
            .collect();
        let overheads = Overheads { launch: Nanos(rng.between(1, 3)), ..Overheads::default() };
        let set = set_with(Policy::FixedPriority, overheads, &rows);
        let cuts: Vec<Cuts> = rows
            .iter()
            .map(|row| match rng.between(0, 2) {
                0 => Cuts::Anywhere,
                1 => Cuts::Fixed,
                _ => {
                    let first = rng.between(1, row.c() - 1);
                    Cuts::Between(vec![Nanos(first), Nanos(row.c() - first)])
                }
            })
            .collect();
        let needs =
            |order: &[Priority]| fewest(&with_priorities(&set, order), &cuts).ok().map(|split| split.total());
        let best = orders.iter().filter_map(|order| needs(order)).min();
        let split = fewest_with_priorities(&set, &cuts);
        let at = format!("seed {seed}, set {k}: {rows:?} {cuts:?} {overheads:?}");
        assert_eq!(split.as_ref().ok().map(Split::total), best, "{at}");
        let Ok(split) = split else { continue };
        assert!(split.fewest && admit(&split.apply(&set)).admitted(), "{split:?} {at}");
        found += 1;
        let named = [deadline_monotonic(&set), rate_monotonic(&set)];
        let named = named.iter().filter_map(|order| needs(order));
        let by_method = optimal(&set).ok().and_then(|order| needs(&order));
        unnamed += usize::from(named.chain(by_method).min() != best);
    }
    println!("{found} fit, {unnamed} of them in fewer segments than in any order with a name");
    assert!(found > 200 && unnamed > 0, "{found} {unnamed}");
}

/// One segment fewer than in any order that has a name.
#[test]
fn an_order_without_a_name_needs_fewest() {
    let overheads = Overheads { launch: Nanos(3), ..Overheads::default() };
    let rows = [row(3, 111, 61), row(12, 45, 31), row(5, 110, 80), row(17, 69, 51)];
    let set = set_with(Policy::FixedPriority, overheads, &rows);
    let cuts = vec![Cuts::Anywhere; 4];
    let total =
        |order: &[Priority]| fewest(&with_priorities(&set, order), &cuts).ok().map(|split| split.total());
    let named = [deadline_monotonic(&set), rate_monotonic(&set)].map(|order| total(&order));
    assert_eq!(named, [Some(6), None]);
    assert!(optimal(&set).is_err());
    let split = fewest_with_priorities(&set, &cuts).unwrap();
    assert_eq!((split.total(), split.fewest), (5, true));
}
