//! Gated launches against a host and a device that run them: calls, a queue, launches that end early, interruptions.
mod common;
mod random;

use aegis_analysis::admit;
use aegis_analysis::in_flight::{NoWindows, fits_with, gated, largest};
use aegis_core::{Nanos, Overheads, Policy, Rng, TaskSet};
use common::{Row, row, set, set_with};
use random::scaled;

/// A job that is not done.
#[derive(Debug, Clone)]
struct Job {
    task: usize,
    arrival: u64,
    /// Launches that have been called.
    called: usize,
    /// When each of them ends on the device.
    ends: Vec<u64>,
    /// How many of them the host has seen.
    seen: usize,
}

/// What the host and the device do with these arrivals, `(time, task)` in order: the largest response of each task.
///
/// `length` gives the time that a launch takes when its WCET is as stated.
fn run(
    set: &TaskSet,
    windows: &[usize],
    arrivals: &[(u64, usize)],
    mut length: impl FnMut(u64) -> u64,
) -> Vec<u64> {
    let overheads = set.overheads();
    let (pre, completion) = ((overheads.dispatch + overheads.launch).0, overheads.completion.0);
    let tasks = set.tasks();
    let urgency = |job: &Job| match set.policy() {
        Policy::FixedPriority => (u64::from(tasks[job.task].priority.0), 0),
        Policy::Edf => (job.arrival + tasks[job.task].deadline.0, 0),
        Policy::Fifo => (job.arrival, 0),
    };
    let mut worst = vec![0; tasks.len()];
    let mut arrivals = arrivals.iter().copied().peekable();
    let mut ready: Vec<Job> = Vec::new();
    let mut current: Option<(Job, bool)> = None;
    let (mut now, mut device_free) = (0_u64, 0_u64);
    loop {
        while let Some((arrival, task)) = arrivals.next_if(|(arrival, _)| *arrival <= now) {
            ready.push(Job { task, arrival, called: 0, ends: Vec::new(), seen: 0 });
        }
        let mut call = |job: &mut Job, now: &mut u64| {
            let launch = tasks[job.task].segments[job.called].0;
            let copy = if job.called == 0 { overheads.copy.0 } else { 0 };
            *now += pre;
            device_free = device_free.max(*now) + length(launch) + copy;
            job.ends.push(device_free);
            job.called += 1;
        };
        match current.take() {
            None => {
                // Ties against the job that arrived first; within a task in order.
                let Some(k) = (0..ready.len()).min_by_key(|k| (urgency(&ready[*k]), ready[*k].arrival, *k))
                else {
                    let Some((arrival, _)) = arrivals.peek() else { return worst };
                    now = *arrival;
                    continue;
                };
                let mut job = ready.remove(k);
                let n = tasks[job.task].segments.len();
                while job.called < n && job.called - job.seen < windows[job.task] {
                    call(&mut job, &mut now);
                }
                current = Some((job, false));
            }
            Some((mut job, mut draining)) => {
                now = now.max(job.ends[job.seen] + completion);
                job.seen += 1;
                while let Some((arrival, task)) = arrivals.next_if(|(arrival, _)| *arrival <= now) {
                    ready.push(Job { task, arrival, called: 0, ends: Vec::new(), seen: 0 });
                }
                let n = tasks[job.task].segments.len();
                draining |= ready.iter().any(|other| urgency(other) < urgency(&job));
                if job.seen == n {
                    worst[job.task] = worst[job.task].max(now - job.arrival);
                } else if draining && job.seen == job.called {
                    ready.push(job);
                } else {
                    if !draining && job.called < n {
                        call(&mut job, &mut now);
                    }
                    current = Some((job, draining));
                }
            }
        }
    }
}

fn random(rng: &mut Rng) -> (Vec<Row>, Vec<usize>, Overheads) {
    let n = rng.between(2, 4);
    let rows: Vec<Row> = (0..n)
        .map(|i| {
            let t = rng.between(20, 120);
            let segments: Vec<u64> = (0..rng.between(1, 7)).map(|_| rng.between(1, 1 + t / n / 6)).collect();
            let priority = u32::try_from(i).unwrap();
            row(0, t, rng.between(t / 2, 2 * t)).segments(&segments).priority(priority)
        })
        .collect();
    let windows = rows.iter().map(|row| usize::try_from(rng.between(1, row.segments.len() as u64)).unwrap());
    let windows = windows.collect();
    let overheads = Overheads {
        dispatch: Nanos(rng.between(0, 1)),
        launch: Nanos(rng.between(0, 2)),
        completion: Nanos(rng.between(0, 2)),
        copy: Nanos(if rng.one_in(3) { rng.between(1, 3) } else { 0 }),
        ..Overheads::default()
    };
    (rows, windows, overheads)
}

/// Arrivals that hurt: one task first, all others one tick later, as often as they may; or with some slack.
fn arrivals(rng: &mut Rng, rows: &[Row], horizon: u64) -> Vec<(u64, usize)> {
    let first = usize::try_from(rng.between(0, rows.len() as u64 - 1)).unwrap();
    let dense = rng.one_in(2);
    let mut all = Vec::new();
    for (task, row) in rows.iter().enumerate() {
        let mut at = if task == first { 0 } else { rng.between(1, if dense { 3 } else { row.t }) };
        while at < horizon {
            all.push((at, task));
            at += row.t + if dense { 0 } else { rng.between(0, 4) };
        }
    }
    all.sort_unstable();
    all
}

/// What fits meets its deadlines on the host and the device, and the deadlines are as early as they can be.
#[test]
fn no_job_that_fits_misses() {
    let seed = 61;
    let mut rng = Rng::new(seed);
    let (mut fitting, mut met, mut interrupted) = (0, 0, 0);
    for k in 0..scaled(1500) {
        let (mut rows, windows, overheads) = random(&mut rng);
        let policy = if rng.one_in(2) { Policy::Edf } else { Policy::FixedPriority };
        if fits_with(&set_with(policy, overheads, &rows), &windows) != Ok(true) {
            continue;
        }
        fitting += 1;
        let tight = usize::try_from(rng.between(0, rows.len() as u64 - 1)).unwrap();
        while rows[tight].d > 1 {
            rows[tight].d -= 1;
            if fits_with(&set_with(policy, overheads, &rows), &windows) != Ok(true) {
                rows[tight].d += 1;
                break;
            }
        }
        let set = set_with(policy, overheads, &rows);
        let mut attained = false;
        for _ in 0..30 {
            let arrivals = arrivals(&mut rng, &rows, 600);
            let early = rng.one_in(2);
            let mut lengths = Rng::new(rng.bits());
            let worst = run(&set, &windows, &arrivals, |c| if early { lengths.between(0, c) } else { c });
            for (worst, row) in worst.iter().zip(&rows) {
                assert!(
                    *worst <= row.d,
                    "seed {seed}, set {k}, {policy}: {worst} in {rows:?}, {windows:?}, {overheads:?}: {arrivals:?}"
                );
            }
            attained |= worst[tight] == rows[tight].d;
        }
        met += usize::from(attained);
        interrupted +=
            usize::from(windows.iter().zip(&rows).any(|(w, row)| *w > 1 && *w < row.segments.len()));
    }
    println!(
        "{fitting} fit, {interrupted} of them with a queue that drains; in {met} the earliest deadline is met on the tick"
    );
    assert!(fitting > 200 && interrupted > 100 && met > 20, "{fitting} {interrupted} {met}");
}

/// One launch in flight is one segment at a time.
#[test]
fn a_window_of_one_is_the_analysis_of_segments() {
    let seed = 62;
    let mut rng = Rng::new(seed);
    let mut answers = [0; 2];
    for k in 0..scaled(600) {
        let (rows, _, overheads) = random(&mut rng);
        for policy in random::POLICIES {
            let set = set_with(policy, overheads, &rows);
            let admitted = admit(&set).admitted();
            let windows = vec![1; rows.len()];
            assert_eq!(fits_with(&set, &windows), Ok(admitted), "seed {seed}, set {k}, {policy}: {rows:?}");
            answers[usize::from(admitted)] += 1;
        }
    }
    assert!(answers.iter().all(|n| *n > 100), "{answers:?}");
}

/// Alone on host and device, a job takes exactly what the recursion says; with a larger window no more, and others wait
/// no less.
#[test]
fn a_job_alone_takes_what_is_said() {
    let seed = 63;
    let mut rng = Rng::new(seed);
    let mut hidden = 0;
    for k in 0..scaled(500) {
        let (rows, _, overheads) = random(&mut rng);
        let alone = set_with(Policy::Edf, overheads, &rows[..1]);
        let launches = &alone.tasks()[0].segments;
        let all: Vec<_> = (1..=launches.len()).map(|w| gated(launches, w, overheads).unwrap()).collect();
        for gate in &all {
            let worst = run(&alone, &[gate.window], &[(0, 0)], |c| c);
            assert_eq!(worst, [gate.execution.0], "seed {seed}, set {k}: {gate:?} {rows:?} {overheads:?}");
            let sums = launches.windows(gate.window).map(|burst| burst.iter().copied().sum::<Nanos>());
            assert!(gate.region >= sums.max().unwrap() + overheads.around_segment().unwrap());
        }
        for pair in all.windows(2) {
            assert!(pair[1].execution <= pair[0].execution && pair[1].region >= pair[0].region, "{pair:?}");
            hidden += usize::from(pair[1].execution < pair[0].execution);
        }
        assert_eq!(all.last().unwrap().region, all.last().unwrap().execution);
    }
    assert!(hidden > 100, "{hidden}");
}

/// No window of the answer can be larger alone.
#[test]
fn the_largest_windows_fit_and_no_larger_one_does() {
    let seed = 64;
    let mut rng = Rng::new(seed);
    let (mut found, mut none, mut larger_helps) = (0, 0, 0);
    for k in 0..scaled(400) {
        let (rows, _, overheads) = random(&mut rng);
        let policy = random::POLICIES[usize::try_from(rng.between(0, 2)).unwrap()];
        let set = set_with(policy, overheads, &rows);
        let at = format!("seed {seed}, set {k}, {policy}: {rows:?} {overheads:?}");
        match largest(&set) {
            Ok(gates) => {
                let windows: Vec<usize> = gates.iter().map(|gate| gate.window).collect();
                assert_eq!(fits_with(&set, &windows), Ok(true), "{at}");
                for (i, row) in rows.iter().enumerate() {
                    for window in windows[i] + 1..=row.segments.len() {
                        let mut larger = windows.clone();
                        larger[i] = window;
                        assert_eq!(fits_with(&set, &larger), Ok(false), "{larger:?} {at}");
                    }
                }
                found += 1;
                larger_helps += usize::from(!admit(&set).admitted());
            }
            Err(NoWindows::NothingFits) => {
                assert!(!admit(&set).admitted(), "{at}");
                none += 1;
            }
            Err(other) => panic!("{other} {at}"),
        }
    }
    println!("{found} fit, {larger_helps} of them not with a window of 1; {none} do not");
    assert!(found > 50 && none > 20 && larger_helps > 5, "{found} {none} {larger_helps}");
}

/// Ten launches of 1 ms, and 0.4 ms between two of them: two in flight hide it, and block for 2 ms more or less.
#[test]
fn two_in_flight_hide_the_gap() {
    let micros = |us: u64| Nanos(us * 1000);
    let overheads = Overheads { launch: micros(300), completion: micros(100), ..Overheads::default() };
    let launches = vec![micros(1000); 10];
    let gate = |w| gated(&launches, w, overheads).unwrap();
    assert_eq!((gate(1).execution, gate(1).region), (micros(14_000), micros(1_400)));
    assert_eq!((gate(2).execution, gate(2).region), (micros(10_400), micros(2_400)));
    assert_eq!((gate(3).execution, gate(3).region), (micros(10_400), micros(3_400)));
    assert_eq!(gated(&launches, 0, overheads), None);
    assert_eq!(gated(&[], 1, overheads), None);
    assert_eq!(gate(99), gate(10));
}

#[test]
fn what_is_refused() {
    let set = set(Policy::Edf, &[row(2, 20, 20), row(3, 20, 20)]);
    assert_eq!(fits_with(&set, &[1]), Err(NoWindows::Entries { given: 1, tasks: 2 }));
    assert!(matches!(fits_with(&set, &[1, 0]), Err(NoWindows::Invalid { .. })));
}

/// A long job with a queue, interrupted again and again by a short one: each interruption costs it the queue once more.
#[test]
fn every_interruption_costs_the_queue() {
    let seed = 65;
    let mut rng = Rng::new(seed);
    let (mut fitting, mut close) = (0, 0);
    for k in 0..scaled(300) {
        let launches: Vec<u64> = (0..rng.between(6, 12)).map(|_| rng.between(1, 4)).collect();
        let overheads = Overheads {
            launch: Nanos(rng.between(1, 2)),
            completion: Nanos(rng.between(0, 2)),
            ..Overheads::default()
        };
        let (short, t) = (rng.between(1, 2), rng.between(12, 24));
        let rows = |d: u64| {
            [row(short, t, 100).priority(0), row(0, 1000, d).segments(&launches).priority(1)].to_vec()
        };
        let windows = [1, usize::try_from(rng.between(2, 4)).unwrap()];
        let fits =
            |d: &u64| fits_with(&set_with(Policy::FixedPriority, overheads, &rows(*d)), &windows) == Ok(true);
        let Some(d) = (10..1000).find(fits) else { continue };
        fitting += 1;
        let set = set_with(Policy::FixedPriority, overheads, &rows(d));
        let mut worst = 0;
        for first in 0..t {
            let mut arrivals: Vec<(u64, usize)> = (0..80).map(|k| (first + k * t, 0)).collect();
            arrivals.push((t, 1));
            arrivals.sort_unstable();
            worst = worst.max(run(&set, &windows, &arrivals, |c| c)[1]);
        }
        assert!(
            worst <= d,
            "seed {seed}, set {k}: {worst} > {d}, {launches:?}, {windows:?}, {short} every {t}, {overheads:?}"
        );
        close += usize::from(worst * 10 >= d * 9);
    }
    println!("{fitting} fit, in {close} of them the bound is within a tenth");
    assert!(fitting > 100 && close > 20, "{fitting} {close}");
}
