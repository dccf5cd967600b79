//! Changes of the task set at run time: no schedule, with the request at any moment, exceeds the bounds.
mod search;

use aegis_analysis::mode_change::{NoTransition, idle_wait, response_times, transition};
use aegis_core::{Nanos, Overheads, Policy, Priority, Rng, Stall, TaskDraft, TaskSet};
use search::Reached;

/// How many times the sets of a normal run: `AEGIS_SCALE`.
fn scale() -> usize {
    std::env::var("AEGIS_SCALE").map_or(1, |scale| scale.parse().expect("AEGIS_SCALE is a whole number"))
}

/// `C`, `T`, `D`, `J`, priority.
type Row = (u64, u64, u64, u64, u32);

fn set(policy: Policy, rows: &[Row]) -> TaskSet {
    set_with(policy, Stall::default(), rows)
}

fn set_with(policy: Policy, recovery: Stall, rows: &[Row]) -> TaskSet {
    let draft = |(i, &(c, t, d, j, p)): (usize, &Row)| TaskDraft {
        name: format!("task {i}"),
        segments: vec![Nanos(c)],
        arrival: Nanos(t).into(),
        deadline: Some(Nanos(d)),
        jitter: Nanos(j),
        priority: Some(Priority(p)),
    };
    let overheads = Overheads { recovery, ..Overheads::default() };
    TaskSet::new(policy, overheads, rows.iter().enumerate().map(draft).collect()).unwrap()
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Job {
    age: u8,
    /// Ticks since release.
    released: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// Ticks since the request, at most the delay, or until all old jobs had ended.
    requested: Option<u8>,
    since: Vec<u8>,
    jobs: Vec<Vec<Job>>,
    running: Option<(usize, Job, u8)>,
    /// Ticks since the last stall began, at most the gap, and what is left of it.
    stall: (u8, u8),
}

/// The longest response of each task, old ones first, and the longest wait from the request to the end of all old jobs.
fn longest(
    rows: &[Row],
    old: usize,
    policy: Policy,
    delay: u64,
    stall: Stall,
    states: usize,
) -> Option<(Vec<u64>, u64)> {
    let small = |x: u64| u8::try_from(x).unwrap();
    let wait_limit = 100;
    let mut worst = vec![0; rows.len()];
    let mut wait = 0;
    let start = State {
        requested: None,
        since: rows.iter().map(|row| small(row.1)).collect(),
        jobs: vec![Vec::new(); rows.len()],
        running: None,
        stall: (small(stall.gap.0), 0),
    };
    let mut reached = Reached::new(start, states);
    while let Some(state) = reached.next() {
        let busy = |state: &State| {
            state.jobs[..old].iter().any(|jobs| !jobs.is_empty())
                || state.running.as_ref().is_some_and(|running| running.0 < old)
        };
        let mut now = vec![state];
        // The last old jobs arrive at the moment of the request.
        for (i, row) in rows.iter().enumerate().take(old) {
            for k in 0..now.len() {
                if now[k].requested.is_none() && u64::from(now[k].since[i]) >= row.1 {
                    let mut with = now[k].clone();
                    with.since[i] = 0;
                    with.jobs[i].push(Job { age: 0, released: None });
                    now.push(with);
                }
            }
        }
        for k in 0..now.len() {
            if now[k].requested.is_none() {
                let with = State { requested: Some(0), ..now[k].clone() };
                now.push(with);
            }
        }
        for state in &now {
            if let Some(ticks) = state.requested.filter(|_| busy(state)) {
                wait = wait.max(u64::from(ticks) + 1);
            }
        }
        for (i, row) in rows.iter().enumerate() {
            for k in 0..now.len() {
                let may = i >= old && now[k].requested.is_some_and(|ticks| u64::from(ticks) >= delay);
                if may && u64::from(now[k].since[i]) >= row.1 {
                    let mut with = now[k].clone();
                    with.since[i] = 0;
                    with.jobs[i].push(Job { age: 0, released: None });
                    now.push(with);
                }
            }
            for k in 0..now.len() {
                for q in 0..now[k].jobs[i].len() {
                    let job = &now[k].jobs[i][q];
                    if job.released.is_none() {
                        if u64::from(job.age) < row.3 {
                            let later = now[k].clone();
                            now.push(later);
                        }
                        now[k].jobs[i][q].released = Some(0);
                    }
                }
            }
        }
        for state in now {
            let stalls = |state: &State| {
                let begins = state.stall == (small(stall.gap.0), 0) && stall.length > Nanos::ZERO;
                begins.then(|| State { stall: (0, small(stall.length.0)), ..state.clone() })
            };
            let mut served = choices(&state, rows, policy);
            served.extend(stalls(&state));
            let after: Vec<State> = served.iter().filter_map(stalls).collect();
            served.extend(after);
            for mut next in served {
                let stalled = next.stall.1 > 0;
                next.stall = ((next.stall.0 + 1).min(small(stall.gap.0)), next.stall.1.saturating_sub(1));
                for (since, row) in next.since.iter_mut().zip(rows) {
                    *since = (*since + 1).min(small(row.1));
                }
                let counts = busy(&next);
                // Once it is over and the old jobs have ended, how long ago it was tells nothing.
                let most = if counts { wait_limit } else { small(delay) };
                next.requested = next.requested.map(|ticks| (ticks + 1).min(most.max(small(delay))));
                for job in next.jobs.iter_mut().flatten() {
                    job.age += 1;
                    job.released =
                        job.released.map(|ticks| if policy == Policy::Fifo { ticks + 1 } else { 0 });
                }
                if let Some((i, mut job, left)) = next.running.take() {
                    job.age += 1;
                    if left > 1 || stalled {
                        next.running = Some((i, job, left - u8::from(!stalled)));
                    } else {
                        worst[i] = worst[i].max(u64::from(job.age));
                    }
                }
                if next.jobs.iter().any(|jobs| jobs.len() > 6) {
                    return None;
                }
                reached.add(next)?;
            }
        }
    }
    Some((worst, wait))
}

fn choices(state: &State, rows: &[Row], policy: Policy) -> Vec<State> {
    if state.running.is_some() || state.stall.1 > 0 {
        return vec![state.clone()];
    }
    let mut ready = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let released = state.jobs[i].iter().enumerate().filter_map(|(k, job)| Some((k, job, job.released?)));
        let keys = released.map(|(k, job, ticks)| match policy {
            Policy::FixedPriority => (i64::from(row.4), k),
            Policy::Edf => (i64::try_from(row.2).unwrap() - i64::from(job.age), k),
            Policy::Fifo => (-i64::from(ticks), k),
        });
        ready.extend(keys.min().map(|(key, k)| (key, i, k)));
    }
    let Some(first) = ready.iter().map(|ready| ready.0).min() else { return vec![state.clone()] };
    let mut all = Vec::new();
    for &(_, i, k) in ready.iter().filter(|ready| ready.0 == first) {
        let mut next = state.clone();
        let job = next.jobs[i].remove(k);
        for ticks in [1, rows[i].0] {
            all.push(State { running: Some((i, job.clone(), u8::try_from(ticks).unwrap())), ..next.clone() });
        }
    }
    all.dedup();
    all
}

fn random(rng: &mut Rng, jitter: u64) -> Vec<Row> {
    (0..2)
        .map(|_| {
            let t = rng.between(3, 9);
            let c = rng.between(1, (t / 2).max(1));
            (c, t, rng.between(c, t + 4), rng.between(0, jitter), u32::try_from(rng.between(0, 3)).unwrap())
        })
        .collect()
}

#[track_caller]
fn check(policy: Policy, seed: u64, sets: usize, jitter: u64, stall: Stall) {
    let mut rng = Rng::new(seed);
    let (mut compared, mut attained, mut above, mut waits) = (0, 0, 0, 0);
    while compared < sets * scale() {
        let (old, new) = (random(&mut rng, jitter), random(&mut rng, jitter));
        let full = |rows: &[Row]| rows.iter().map(|row| row.0 * 2520 / row.1).sum::<u64>() >= 2520;
        if full(&old) || full(&new) {
            continue;
        }
        let [before, after] = [&old, &new].map(|rows| set_with(policy, stall, rows));
        let Ok(wait) = idle_wait(&before) else { continue };
        let delay = rng.between(0, wait.0 + 1);
        let bounds = response_times(&before, &after, Nanos(delay)).unwrap();
        let rows = [old.clone(), new.clone()].concat();
        if bounds.iter().flatten().any(Result::is_err) {
            continue;
        }
        let Some((longest, longest_wait)) = longest(&rows, old.len(), policy, delay, stall, 40_000) else {
            continue;
        };
        compared += 1;
        // Without new jobs in between.
        if delay >= wait.0 {
            assert_eq!(longest_wait, wait.0, "{policy}, seed {seed}: {old:?}");
            waits += 1;
        }
        for (bound, longest) in bounds.into_iter().flatten().zip(longest) {
            let bound = bound.unwrap().0;
            assert!(
                bound >= longest,
                "{policy}, seed {seed}, delay {delay}: {bound} < {longest}: {old:?} {new:?}"
            );
            attained += usize::from(bound == longest);
            above += usize::from(bound > longest);
        }
    }
    println!(
        "{policy}, seed {seed}: {compared} changes, {attained} attained, {above} above, {waits} waits exact"
    );
    assert!(attained > above && waits > 0);
}

#[test]
fn fixed_priority_responses_are_never_longer() {
    check(Policy::FixedPriority, 1, 120, 0, Stall::default());
    check(Policy::FixedPriority, 2, 30, 2, Stall::default());
}

#[test]
fn edf_responses_are_never_longer() {
    check(Policy::Edf, 3, 120, 0, Stall::default());
    check(Policy::Edf, 4, 30, 2, Stall::default());
}

#[test]
fn fifo_responses_are_never_longer() {
    check(Policy::Fifo, 5, 120, 0, Stall::default());
    check(Policy::Fifo, 6, 20, 2, Stall::default());
}

#[test]
fn stalls_around_a_request() {
    let stall = Stall { length: Nanos(2), gap: Nanos(11) };
    for (policy, seed) in [(Policy::FixedPriority, 7), (Policy::Edf, 8), (Policy::Fifo, 9)] {
        check(policy, seed, 15, 0, stall);
    }
}

/// Two sets that are schedulable alone, and not right after each other.
#[test]
fn a_delay_between_nothing_and_idle() {
    let old = set(Policy::FixedPriority, &[(4, 10, 10, 0, 1), (5, 12, 12, 0, 2)]);
    let new = set(Policy::FixedPriority, &[(3, 10, 7, 0, 0), (4, 12, 9, 0, 3)]);
    let change = transition(&old, &new).unwrap();
    assert_eq!(change.wait, Nanos(9));
    assert!(change.delay > Nanos(0) && change.delay < change.wait, "{change:?}");
    let [shorter_old, shorter_new] = response_times(&old, &new, Nanos(change.delay.0 - 1)).unwrap();
    let late = |bounds: &[Result<Nanos, _>], set: &TaskSet| {
        bounds.iter().zip(set.tasks()).any(|(bound, task)| bound.unwrap() > task.deadline)
    };
    assert!(late(&shorter_old, &old) || late(&shorter_new, &new), "any shorter is too short");
}

/// Every shorter delay makes some task late, and the bounds that are given are those with the delay.
#[test]
fn the_delay_is_the_least() {
    let seed = 21;
    let mut rng = Rng::new(seed);
    let (mut none, mut some, mut idle) = (0, 0, 0);
    for k in 0..1_500 * scale() {
        let policy = [Policy::FixedPriority, Policy::Edf, Policy::Fifo][k % 3];
        let jitter = u64::from(rng.one_in(3)) * 2;
        let [old, new] = [(); 2].map(|()| set(policy, &random(&mut rng, jitter)));
        let Ok(change) = transition(&old, &new) else { continue };
        let at = format!("{policy}, seed {seed}: {old:?} {new:?} {change:?}");
        let bounds = |delay| response_times(&old, &new, Nanos(delay)).unwrap();
        let late = |delay| {
            bounds(delay).iter().zip([&old, &new]).any(|(bounds, set)| {
                bounds
                    .iter()
                    .zip(set.tasks())
                    .any(|(bound, task)| !bound.is_ok_and(|bound| bound <= task.deadline))
            })
        };
        let given =
            [&change.old, &change.new].map(|bounds| bounds.iter().copied().map(Ok).collect::<Vec<_>>());
        assert!(change.delay <= change.wait && bounds(change.delay.0) == given, "{at}");
        assert!(!late(change.delay.0) && (0..change.delay.0).all(late), "{at}");
        let counter = if change.delay == Nanos::ZERO {
            &mut none
        } else if change.delay < change.wait {
            &mut some
        } else {
            &mut idle
        };
        *counter += 1;
    }
    println!("seed {seed}: {none} without a delay, {some} with some, {idle} after the idle instant");
    assert!(none.min(some).min(idle) > 10, "{none} {some} {idle}");
}

#[test]
fn what_is_refused() {
    let rows: &[Row] = &[(4, 10, 10, 0, 0)];
    let old = set(Policy::Edf, rows);
    let text = |new: &TaskSet| transition(&old, new).unwrap_err().to_string();
    assert!(text(&old.with_policy(Policy::Fifo)).contains("np-edf, the new one by fifo"));
    assert!(text(&set(Policy::Edf, &[(4, 10, 3, 0, 0)])).contains("`task 0` of the new set misses"));
    let stalling = Overheads { recovery: Stall { length: Nanos(1), gap: Nanos(9) }, ..Overheads::default() };
    let drafts = vec![TaskDraft {
        name: "a".to_string(),
        segments: vec![Nanos(1)],
        arrival: Nanos(9).into(),
        ..TaskDraft::default()
    }];
    let stalls = TaskSet::new(Policy::Edf, stalling, drafts).unwrap();
    assert_eq!(transition(&old, &stalls), Err(NoTransition::Stalls { stall: "recovery" }));
}
