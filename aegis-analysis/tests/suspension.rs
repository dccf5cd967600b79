//! Host parts between segments: no schedule exceeds the bounds, and how far they are above the longest. The known mistakes stand in `planted.rs`.
mod pipelines;

use aegis_analysis::NoBound;
use aegis_analysis::suspension::{Response, Rule, response_times};
use aegis_core::{
    HostPart, Nanos, Overheads, Partition, PartitionId, Policy, Priority, Rng, Segment, Stall, System,
    SystemTask, TermKind,
};
use pipelines::{Pipeline, Server, Stage, latest_ends};

/// How many times the sets of a normal run: `AEGIS_SCALE`.
fn scale() -> usize {
    std::env::var("AEGIS_SCALE").map_or(1, |scale| scale.parse().expect("AEGIS_SCALE is a whole number"))
}

/// One task: BCET and WCET of each segment, host parts between, `T`, `D`, `J`.
#[derive(Debug, Clone)]
struct Row {
    segments: Vec<(u64, u64)>,
    host: Vec<(u64, u64)>,
    t: u64,
    d: u64,
    j: u64,
}

fn row(segments: &[u64], host: &[(u64, u64)], t: u64, d: u64) -> Row {
    Row { segments: segments.iter().map(|&c| (c, c)).collect(), host: host.to_vec(), t, d, j: 0 }
}

/// Tasks in the order of their priorities.
fn system(policy: Policy, rows: &[Row]) -> System {
    system_with(policy, Overheads::default(), rows)
}

fn system_with(policy: Policy, overheads: Overheads, rows: &[Row]) -> System {
    let partition = Partition { name: "gpu".to_string(), policy, overheads, interference_permille: 1000 };
    let task = |(i, row): (usize, &Row)| SystemTask {
        name: format!("task {i}"),
        segments: row
            .segments
            .iter()
            .map(|&(bcet, wcet)| Segment { bcet: Nanos(bcet), ..Segment::of(Nanos(wcet)) })
            .collect(),
        host: row.host.iter().map(|&(min, max)| HostPart { min: Nanos(min), max: Nanos(max) }).collect(),
        arrival: Nanos(row.t).into(),
        deadline: Some(Nanos(row.d)),
        jitter: Nanos(row.j),
        priority: Some(Priority(u32::try_from(i).unwrap())),
        ..SystemTask::default()
    };
    System::new(vec![partition], rows.iter().enumerate().map(task).collect(), vec![]).unwrap()
}

fn pipelines(rows: &[Row]) -> Vec<Pipeline> {
    let stages = |(i, row): (usize, &Row)| {
        let stage = |(m, &(bcet, wcet)): (usize, &(u64, u64))| Stage {
            partition: 0,
            bcet,
            wcet,
            priority: u32::try_from(i).unwrap(),
            deadline: row.d,
            host: if m == 0 { (0, 0) } else { row.host[m - 1] },
            goes_on: m > 0 && row.host[m - 1].1 == 0,
        };
        Pipeline { t: row.t, jitter: row.j, stages: row.segments.iter().enumerate().map(stage).collect() }
    };
    rows.iter().enumerate().map(stages).collect()
}

/// The longest response of each task in any schedule.
fn longest(rows: &[Row], policy: Policy, stall: Option<(u64, u64)>, most: usize) -> Option<Vec<u64>> {
    let server = Server { stall, ..Server::new(policy, false) };
    let ends = latest_ends(&pipelines(rows), &[server], most)?;
    Some(ends.iter().map(|stages| *stages.last().unwrap()).collect())
}

fn bounds(policy: Policy, rows: &[Row]) -> Vec<Result<Response, NoBound>> {
    response_times(&system(policy, rows), PartitionId(0))
}

fn wcrts(policy: Policy, rows: &[Row]) -> Vec<Option<u64>> {
    bounds(policy, rows).into_iter().map(|bound| bound.ok().map(|bound| bound.wcrt.0)).collect()
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    tasks: u64,
    longest_period: u64,
    segments: u64,
    jitter: u64,
    shorter: bool,
    /// Length and gap.
    stall: Option<(u64, u64)>,
}

fn random(rng: &mut Rng, shape: Shape) -> Vec<Row> {
    (0..shape.tasks)
        .map(|_| {
            let count = rng.between(1, shape.segments);
            let segments: Vec<(u64, u64)> = (0..count)
                .map(|_| {
                    let wcet = rng.between(1, 2);
                    (if shape.shorter { rng.between(0, wcet) } else { wcet }, wcet)
                })
                .collect();
            let host = (1..count)
                .map(|_| {
                    let min = rng.between(0, 3);
                    (min, min + rng.between(0, 2))
                })
                .collect();
            let c: u64 = segments.iter().map(|s| s.1).sum();
            let t = rng.between(c + 1, shape.longest_period.max(c + 1));
            Row {
                segments,
                host,
                t,
                d: rng.between(t.saturating_sub(3).max(1), t + 4),
                j: rng.between(0, shape.jitter),
            }
        })
        .collect()
}

/// What a campaign found.
#[derive(Debug, Default)]
struct Found {
    tasks: u64,
    attained: u64,
    oblivious: u64,
    /// Sums of bounds and of longest responses.
    sums: (u64, u64),
}

/// No schedule exceeds a bound; some attain it.
#[track_caller]
fn check(policy: Policy, seed: u64, sets: usize, shape: Shape) -> Found {
    let mut rng = Rng::new(seed);
    let mut found = Found::default();
    let mut compared = 0;
    while compared < sets * scale() {
        let rows = random(&mut rng, shape);
        if rows.iter().map(|row| row.segments.iter().map(|s| s.1).sum::<u64>() * 1000 / row.t).sum::<u64>()
            > 900
        {
            continue;
        }
        let (length, gap) = shape.stall.unwrap_or_default();
        let recovery = Stall { length: Nanos(length), gap: Nanos(gap) };
        let overheads = Overheads { recovery, ..Overheads::default() };
        let bounds = response_times(&system_with(policy, overheads, &rows), PartitionId(0));
        if bounds.iter().any(Result::is_err) {
            continue;
        }
        let Some(longest) = longest(&rows, policy, shape.stall, 60_000) else { continue };
        compared += 1;
        for (bound, longest) in bounds.into_iter().flatten().zip(longest) {
            assert!(bound.wcrt.0 >= longest, "{policy}, seed {seed}: {longest} > {bound:?} of {rows:?}");
            found.tasks += 1;
            found.attained += u64::from(bound.wcrt.0 == longest);
            found.oblivious += u64::from(bound.rule == Rule::Oblivious);
            found.sums = (found.sums.0 + bound.wcrt.0, found.sums.1 + longest);
            for part in &bound.parts {
                let sum: i64 = part.bound.terms.iter().map(|term| term.ns).sum();
                assert_eq!(u64::try_from(sum), Ok(part.bound.wcrt.0), "terms of {part:?}");
            }
        }
    }
    println!(
        "{policy}, seed {seed}: {} tasks, {} attained, {} by the oblivious bound, bounds / longest = {} ‰",
        found.tasks,
        found.attained,
        found.oblivious,
        found.sums.0 * 1000 / found.sums.1
    );
    assert!(found.attained * 10 > found.tasks, "{found:?}");
    found
}

const TWO: Shape =
    Shape { tasks: 2, longest_period: 11, segments: 2, jitter: 0, shorter: false, stall: None };

#[test]
fn fixed_priority_bounds_are_safe() {
    let found = check(Policy::FixedPriority, 1, 150, TWO);
    assert!(found.oblivious > 0, "{found:?}");
    check(Policy::FixedPriority, 2, 25, Shape { segments: 3, longest_period: 12, ..TWO });
    check(Policy::FixedPriority, 3, 40, Shape { shorter: true, longest_period: 9, ..TWO });
    check(Policy::FixedPriority, 4, 15, Shape { jitter: 2, longest_period: 8, ..TWO });
}

#[test]
fn edf_bounds_are_safe() {
    check(Policy::Edf, 5, 150, TWO);
    check(Policy::Edf, 6, 25, Shape { segments: 3, longest_period: 12, ..TWO });
    check(Policy::Edf, 7, 40, Shape { shorter: true, longest_period: 9, ..TWO });
    check(Policy::Edf, 8, 15, Shape { jitter: 2, longest_period: 8, ..TWO });
}

#[test]
fn fifo_bounds_are_safe() {
    check(Policy::Fifo, 9, 100, TWO);
    check(Policy::Fifo, 10, 20, Shape { segments: 3, longest_period: 12, ..TWO });
    check(Policy::Fifo, 11, 30, Shape { shorter: true, longest_period: 9, ..TWO });
}

#[test]
fn three_tasks() {
    let shape = Shape { tasks: 3, longest_period: 9, segments: 2, jitter: 0, shorter: false, stall: None };
    check(Policy::FixedPriority, 12, 10, shape);
    check(Policy::Edf, 13, 10, shape);
}

/// Without host parts, the bounds are those of plain segments, which are attained.
#[test]
fn without_host_parts_nothing_is_lost() {
    let rows = [row(&[1, 2], &[(0, 0)], 9, 9), row(&[3], &[], 12, 12), row(&[1, 1], &[(0, 0)], 20, 20)];
    for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
        let system = system(policy, &rows);
        let set = system.partition_set(PartitionId(0)).unwrap().unwrap();
        let plain = aegis_analysis::admit(&set).tasks.into_iter().map(|task| task.bound.map(|b| b.wcrt.0));
        assert_eq!(wcrts(policy, &rows), plain.collect::<Vec<_>>(), "{policy}");
    }
}

#[test]
fn stalls_are_in_both_bounds() {
    for (policy, seed) in [(Policy::FixedPriority, 31), (Policy::Edf, 32), (Policy::Fifo, 33)] {
        check(policy, seed, 15, Shape { stall: Some((2, 9)), longest_period: 9, ..TWO });
    }
}

/// The resumed segment is blocked again, by the second segment of the less urgent task: 2 + 1 + 2 + 1 + 1. One blocking
/// a job is not enough.
#[test]
fn every_resumption_may_be_blocked() {
    let rows = [row(&[1, 1], &[(2, 2)], 20, 20), row(&[3, 3], &[(0, 0)], 40, 40)];
    for policy in [Policy::FixedPriority, Policy::Edf] {
        let longest = longest(&rows, policy, None, 200_000).unwrap();
        assert_eq!(longest[0], 7, "{policy}");
        assert!(wcrts(policy, &rows)[0] >= Some(7), "{policy}");
    }
}

/// The copies before the first segment are a term of their own, in the first part alone, and parts still sum.
#[test]
fn copies_are_named() {
    let overheads = Overheads { copy: Nanos(3), dispatch: Nanos(1), ..Overheads::default() };
    let rows = [row(&[2, 4], &[(5, 6)], 60, 60), row(&[3], &[], 70, 70)];
    let system = system_with(Policy::FixedPriority, overheads, &rows);
    for response in response_times(&system, PartitionId(0)) {
        for (m, part) in response.unwrap().parts.iter().enumerate() {
            let of = |kind| part.bound.terms.iter().filter(move |term| term.kind == kind).map(|term| term.ns);
            let copies: Vec<i64> = if m == 0 { vec![3] } else { vec![] };
            assert_eq!(of(TermKind::Copy).collect::<Vec<_>>(), copies, "{part:?}");
            assert_eq!(of(TermKind::Dispatch).collect::<Vec<_>>(), [1], "{part:?}");
            let sum: i64 = part.bound.terms.iter().map(|term| term.ns).sum();
            assert_eq!(u64::try_from(sum).ok(), Some(part.bound.wcrt.0), "{part:?}");
        }
    }
}
