//! Mixed criticality: no schedule, with overruns at any moment, exceeds the bounds of either mode.
mod search;

use aegis_analysis::criticality::{applies, response_times};
use aegis_core::{
    Criticality, Nanos, Overheads, Partition, PartitionId, Policy, Priority, Rng, Segment, Stall, System,
    SystemTask,
};
use search::Reached;

/// How many times the sets of a normal run: `AEGIS_SCALE`.
fn scale() -> usize {
    std::env::var("AEGIS_SCALE").map_or(1, |scale| scale.parse().expect("AEGIS_SCALE is a whole number"))
}

/// WCET in both modes of each segment, `T`, `J`, whether it is critical; in the order of priorities.
#[derive(Debug, Clone)]
struct Row {
    segments: Vec<(u64, u64)>,
    t: u64,
    j: u64,
    critical: bool,
}

fn system(rows: &[Row], recovery: Stall) -> System {
    let partition = Partition {
        name: "gpu".to_string(),
        policy: Policy::FixedPriority,
        overheads: Overheads { recovery, ..Overheads::default() },
        interference_permille: 1000,
    };
    let task = |(i, row): (usize, &Row)| SystemTask {
        name: format!("task {i}"),
        segments: row
            .segments
            .iter()
            .map(|&(lo, hi)| Segment { wcet_hi: row.critical.then_some(Nanos(hi)), ..Segment::of(Nanos(lo)) })
            .collect(),
        arrival: Nanos(row.t).into(),
        jitter: Nanos(row.j),
        priority: Some(Priority(u32::try_from(i).unwrap())),
        criticality: if row.critical { Criticality::High } else { Criticality::Low },
        ..SystemTask::default()
    };
    System::new(vec![partition], rows.iter().enumerate().map(task).collect(), vec![]).unwrap()
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Job {
    age: u8,
    segment: u8,
    released: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    high: bool,
    since: Vec<u8>,
    jobs: Vec<Vec<Job>>,
    /// Whose job, the job, for how long its segment has run, and how long it will.
    running: Option<(usize, Job, u8, u8)>,
    /// Ticks since the last stall began, at most the gap, and what is left of it.
    stall: (u8, u8),
}

/// The longest responses of jobs that end while the mode is low, and of all.
fn longest(rows: &[Row], stall: Stall, most: usize) -> Option<Vec<(u64, u64)>> {
    let small = |x: u64| u8::try_from(x).unwrap();
    let mut worst = vec![(0, 0); rows.len()];
    let start = State {
        high: false,
        since: rows.iter().map(|row| small(row.t)).collect(),
        jobs: vec![Vec::new(); rows.len()],
        running: None,
        stall: (small(stall.gap.0), 0),
    };
    let mut reached = Reached::new(start, most);
    while let Some(state) = reached.next() {
        let mut now = vec![state];
        if now[0].high && now[0].running.is_none() && now[0].jobs.iter().all(Vec::is_empty) {
            now.push(State { high: false, ..now[0].clone() });
        }
        for (i, row) in rows.iter().enumerate() {
            for k in 0..now.len() {
                if u64::from(now[k].since[i]) >= row.t {
                    let mut with = now[k].clone();
                    with.since[i] = 0;
                    if row.critical || !with.high {
                        with.jobs[i].push(Job { age: 0, segment: 0, released: false });
                    }
                    now.push(with);
                }
            }
            for k in 0..now.len() {
                for q in 0..now[k].jobs[i].len() {
                    let job = &now[k].jobs[i][q];
                    if job.released {
                        continue;
                    }
                    let must = u64::from(job.age) >= row.j;
                    if !must {
                        let later = now[k].clone();
                        now.push(later);
                    }
                    now[k].jobs[i][q].released = true;
                }
            }
        }
        for state in now {
            let stalls = |state: &State| {
                let begins = state.stall == (small(stall.gap.0), 0) && stall.length > Nanos::ZERO;
                begins.then(|| State { stall: (0, small(stall.length.0)), ..state.clone() })
            };
            let mut served = choices(&state, rows);
            served.extend(stalls(&state));
            let after: Vec<State> = served.iter().filter_map(stalls).collect();
            served.extend(after);
            for mut next in served {
                let stalled = next.stall.1 > 0;
                next.stall = ((next.stall.0 + 1).min(small(stall.gap.0)), next.stall.1.saturating_sub(1));
                for (since, row) in next.since.iter_mut().zip(rows) {
                    *since = (*since + 1).min(small(row.t));
                }
                next.jobs.iter_mut().flatten().for_each(|job| job.age += 1);
                if let Some((i, mut job, run, length)) = next.running.take() {
                    job.age += 1;
                    let run = run + u8::from(!stalled);
                    let lo = small(rows[i].segments[usize::from(job.segment)].0);
                    if run == lo && length > lo && !stalled {
                        next.high = true;
                        for (jobs, row) in next.jobs.iter_mut().zip(rows) {
                            if !row.critical {
                                jobs.retain(|job| job.segment > 0);
                            }
                        }
                    }
                    if run < length {
                        next.running = Some((i, job, run, length));
                    } else if usize::from(job.segment) + 1 < rows[i].segments.len() {
                        let place = next.jobs[i].partition_point(|other| other.age > job.age);
                        next.jobs[i].insert(place, Job { segment: job.segment + 1, ..job });
                    } else {
                        let age = u64::from(job.age);
                        worst[i].1 = worst[i].1.max(age);
                        worst[i].0 = worst[i].0.max(if next.high { 0 } else { age });
                    }
                }
                if next.jobs.iter().any(|jobs| jobs.len() > 5) {
                    return None;
                }
                reached.add(next)?;
            }
        }
    }
    Some(worst)
}

/// Each choice of the partition: the most urgent task's oldest released job, for anything from 1 to its high WCET.
fn choices(state: &State, rows: &[Row]) -> Vec<State> {
    let released = |jobs: &Vec<Job>| jobs.iter().position(|job| job.released);
    let first = state.jobs.iter().enumerate().find_map(|(i, jobs)| released(jobs).map(|k| (i, k)));
    let free = state.running.is_none() && state.stall.1 == 0;
    let Some((i, k)) = first.filter(|_| free) else { return vec![state.clone()] };
    let mut next = state.clone();
    let job = next.jobs[i].remove(k);
    let (lo, hi) = rows[i].segments[usize::from(job.segment)];
    let most = if rows[i].critical { hi } else { lo };
    let with =
        |length| State { running: Some((i, job.clone(), 0, u8::try_from(length).unwrap())), ..next.clone() };
    (1..=most).map(with).collect()
}

#[test]
fn no_response_exceeds_its_mode_s_bound() {
    let seed = 1;
    let mut rng = Rng::new(seed);
    let (mut compared, mut high, mut attained, mut less) = (0, 0, 0, 0);
    while compared < 250 * scale() {
        let n = rng.between(2, 3);
        let rows: Vec<Row> = (0..n)
            .map(|_| {
                let segments: Vec<(u64, u64)> = (0..rng.between(1, 2))
                    .map(|_| {
                        let lo = rng.between(1, 2);
                        (lo, lo + rng.between(0, 2))
                    })
                    .collect();
                let c: u64 = segments.iter().map(|s| s.0).sum();
                let critical = rng.one_in(2);
                let j = if rng.one_in(4) { rng.between(1, 2) } else { 0 };
                Row { segments, t: rng.between(c + 1, 11), j, critical }
            })
            .collect();
        let stall = if rng.one_in(2) { Stall { length: Nanos(2), gap: Nanos(8) } } else { Stall::default() };
        let system = system(&rows, stall);
        if !applies(&system, PartitionId(0)) {
            continue;
        }
        let bounds = response_times(&system, PartitionId(0)).unwrap();
        if bounds.iter().any(|bound| bound.low.is_err() || matches!(bound.high, Some(Err(_)))) {
            continue;
        }
        let Some(longest) = longest(&rows, stall, 60_000) else { continue };
        compared += 1;
        let reserved = aegis_analysis::criticality::reserved(&system, PartitionId(0)).unwrap();
        let reserved = aegis_analysis::fixed_priority::response_times(&reserved);
        for ((bound, longest), reserved) in bounds.iter().zip(longest).zip(reserved) {
            let low = bound.low.as_ref().unwrap().wcrt.0;
            assert!(low >= longest.0, "seed {seed}: low {low} < {longest:?}: {rows:?}");
            if let Some(bound) = bound.high {
                let bound = bound.unwrap().0;
                assert!(bound >= longest.1, "seed {seed}: high {bound} < {longest:?}: {rows:?}");
                high += 1;
                attained += usize::from(bound == longest.1);
                less += usize::from(reserved.is_ok_and(|reserved| bound < reserved.wcrt.0));
            }
        }
    }
    println!("seed {seed}: {attained} of {high} high bounds attained, {less} below the reservation");
    assert!(attained * 2 > high && less > 0);
}

/// Sets with stalls, and the high bound of the last task of each if a stall at its start were left out.
const STALLED_STARTS: &[(&[(u64, u64, u64, bool)], (u64, u64), u64)] =
    &[(&[(2, 4, 9, false), (1, 2, 15, true)], (4, 6), 12)];

/// A stall that begins at the very moment at which the last segment would start delays it, and more urgent jobs go first
/// meanwhile: 12 would do without. Found beside the schedule that exceeds it.
#[test]
fn a_stall_may_begin_when_the_last_segment_would_start() {
    for &(rows, (length, gap), without) in STALLED_STARTS {
        let row = |&(lo, hi, t, critical)| Row { segments: vec![(lo, hi)], t, j: 0, critical };
        let rows: Vec<Row> = rows.iter().map(row).collect();
        let stall = Stall { length: Nanos(length), gap: Nanos(gap) };
        let system = system(&rows, stall);
        let bounds = response_times(&system, PartitionId(0)).unwrap();
        let bound = bounds.last().unwrap().high.unwrap().unwrap().0;
        let longest = longest(&rows, stall, 400_000).unwrap().last().unwrap().1;
        println!("{rows:?} {stall:?}: bound {bound}, longest {longest}, without {without}");
        assert!(longest > without && longest <= bound, "{longest} {bound}");
    }
}

/// The point of it: dropping the low task makes room for the overrun of the high one.
#[test]
fn a_set_that_no_reservation_fits() {
    let rows = [
        Row { segments: vec![(4, 4)], t: 10, j: 0, critical: false },
        Row { segments: vec![(2, 8)], t: 12, j: 0, critical: true },
    ];
    let system = system(&rows, Stall::default());
    let bounds = response_times(&system, PartitionId(0)).unwrap();
    assert_eq!(bounds[1].low.as_ref().unwrap().wcrt, Nanos(6));
    assert_eq!(bounds[1].high, Some(Ok(Nanos(12))));
    assert_eq!(bounds[0].low.as_ref().unwrap().wcrt, Nanos(5));
    assert_eq!(bounds[0].high, None);
    let reserved = aegis_analysis::criticality::reserved(&system, PartitionId(0)).unwrap();
    assert!(!aegis_analysis::admit(&reserved).tasks[0].schedulable());
}
