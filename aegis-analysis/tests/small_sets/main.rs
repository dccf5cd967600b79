//! Exactness at scale: every verdict and every bound against all schedules of a set, for each pair of tasks of short periods
//! and for random sets, over all integer releases and all execution times.
//!
//! `AEGIS_SETS` is how many random sets are explored, `AEGIS_PERIODS` the longest period of the pairs, `AEGIS_SEED` the seed.
mod explore;

use aegis_analysis::{admit, edf, quick};
use aegis_core::{Nanos, Overheads, Policy, Priority, Rng, TaskDraft, TaskSet};
use explore::{Explorer, Tiny};
use std::cmp::Ordering;

const POLICIES: [Policy; 3] = [Policy::FixedPriority, Policy::Edf, Policy::Fifo];

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// The set as a file would state it: `overheads` are a part of every time in `tasks`, and there is room for them.
fn set(policy: Policy, tasks: &[Tiny], overheads: Overheads) -> TaskSet {
    let draft = |(name, task): (char, &Tiny)| TaskDraft {
        name: name.to_string(),
        segments: (0..task.segments.len())
            .map(|i| Nanos(u64::from(task.segments[i])).saturating_sub(around(i, overheads)))
            .collect(),
        arrival: Nanos(task.t.into()).into(),
        deadline: Some(Nanos(task.d.into())),
        jitter: Nanos(u64::from(task.j)).saturating_sub(overheads.release),
        priority: Some(Priority(task.priority.into())),
    };
    TaskSet::new(policy, overheads, ('a'..).zip(tasks).map(draft).collect()).unwrap()
}

/// What the platform takes around the `i`-th segment of a job.
fn around(i: usize, overheads: Overheads) -> Nanos {
    let copy = if i == 0 { overheads.copy } else { Nanos::ZERO };
    overheads.dispatch + overheads.launch + overheads.completion + copy
}

/// Random overheads that are less than every segment and no more than every jitter; mostly none.
fn overheads(rng: &mut Rng, tasks: &[Tiny]) -> Overheads {
    let mut upto = |most| Nanos(rng.between(0, most));
    let overheads = Overheads {
        release: upto(1),
        dispatch: upto(1),
        launch: upto(1),
        copy: upto(2),
        completion: upto(1),
        ..Overheads::default()
    };
    let fits = |task: &Tiny| {
        let mut segments = task.segments.iter().enumerate();
        Nanos(task.j.into()) >= overheads.release
            && segments.all(|(i, c)| Nanos(u64::from(*c)) > around(i, overheads))
    };
    if tasks.iter().all(fits) { overheads } else { Overheads::default() }
}

fn c(task: &Tiny) -> u64 {
    task.segments.iter().map(|c| u64::from(*c)).sum()
}

/// ΣC/T against 1.
fn utilisation(tasks: &[Tiny]) -> Ordering {
    let product: u64 = tasks.iter().map(|task| u64::from(task.t)).product();
    tasks.iter().map(|task| c(task) * product / u64::from(task.t)).sum::<u64>().cmp(&product)
}

/// Where the theorems promise no more than safety: a job may be overtaken by a later one of its task, and has segments.
fn only_safe(tasks: &[Tiny]) -> bool {
    let overtaking = tasks.iter().any(|task| task.j > task.t);
    let segments = tasks.iter().any(|task| task.segments.len() > 1);
    overtaking && segments
}

/// What was compared.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    /// Sets explored to the end, by policy.
    sets: [u64; 3],
    /// Sets that are given up for their size.
    too_large: u64,
    admitted: u64,
    /// Not admitted, and a response above its deadline exists.
    rejected_rightly: u64,
    /// Not admitted although no response is above its deadline: only where the theorem is not exact, or utilisation is 1.
    rejected_safely: u64,
    /// Bounds that a schedule attains.
    attained: u64,
    /// Bounds above the largest response, where the theorem promises no more.
    safe: u64,
    /// Tasks without a bound, at a utilisation of exactly 1.
    unbounded: u64,
}

impl Tally {
    fn explored(&self) -> u64 {
        self.sets.iter().sum()
    }
}

/// Explores one set and compares; `earlier` is taken off every bound, to see that this notices.
///
/// # Errors
/// What disagrees.
fn compare(
    explorer: &mut Explorer,
    tally: &mut Tally,
    policy: Policy,
    tasks: &[Tiny],
    overheads: Overheads,
    earlier: u64,
) -> Result<(), String> {
    let Ok(worst) = explorer.largest_responses(tasks, policy) else {
        tally.too_large += 1;
        return Ok(());
    };
    let set = set(policy, tasks, overheads);
    let verdict = admit(&set);
    let exact = !only_safe(tasks);
    let mut in_time = true;
    for ((answer, worst), task) in verdict.tasks.iter().zip(worst).zip(tasks) {
        let worst = u64::from(worst);
        in_time &= worst <= u64::from(task.d);
        let Some(bound) = &answer.bound else {
            if utilisation(tasks) != Ordering::Equal {
                return Err(format!("{policy}: no bound below full utilisation: {tasks:?}"));
            }
            tally.unbounded += 1;
            continue;
        };
        let sum: i64 = bound.terms.iter().map(|term| term.ns).sum();
        if u64::try_from(sum) != Ok(bound.wcrt.0) {
            return Err(format!("{policy}: the terms do not sum to the bound: {bound:?} of {tasks:?}"));
        }
        let bound = bound.wcrt.0 - earlier;
        match bound.cmp(&worst) {
            Ordering::Equal => tally.attained += 1,
            Ordering::Greater if !exact => tally.safe += 1,
            _ => {
                return Err(format!(
                    "{policy}: bound {bound}, largest response {worst}: {task:?} of {tasks:?}"
                ));
            }
        }
    }
    let without_bound = verdict.tasks.iter().any(|answer| answer.bound.is_none());
    let quick = quick::decide(&set);
    if quick.admitted() != verdict.admitted() {
        return Err(format!("{policy}: {quick:?} without bounds, {:?} with: {tasks:?}", verdict.rejections));
    }
    // Where jobs are overtaken at a utilisation of exactly 1 the demand test says that no window is long enough.
    let overtaking = tasks.iter().any(|task| task.j > task.t);
    if policy == Policy::Edf && exact && !(overtaking && utilisation(tasks) == Ordering::Equal) {
        let demand = edf::demand_test(&set);
        if demand.is_ok() != in_time {
            return Err(format!("demand test {demand:?}, in time {in_time}: {tasks:?}"));
        }
    } else if policy == Policy::Edf && edf::demand_test(&set).is_ok() && !in_time {
        return Err(format!("the demand test accepts a miss: {tasks:?}"));
    }
    match (verdict.admitted(), in_time) {
        (true, true) => tally.admitted += 1,
        (false, false) => tally.rejected_rightly += 1,
        (false, true) if !exact || without_bound => tally.rejected_safely += 1,
        (admitted, _) => {
            return Err(format!("{policy}: admitted {admitted}, in time {in_time}: {tasks:?}"));
        }
    }
    tally.sets[POLICIES.iter().position(|p| *p == policy).unwrap()] += 1;
    Ok(())
}

/// A random set of 1 to 4 tasks, small enough to be explored in a fraction of a millisecond most of the time.
fn random(rng: &mut Rng) -> Vec<Tiny> {
    let mut byte = |low: u64, high: u64| u8::try_from(rng.between(low, high)).unwrap();
    let n = [1_u8, 2, 2, 2, 2, 3, 3, 3, 3, 4][usize::from(byte(0, 9))];
    let longest = [30_u8, 14, 9, 6][usize::from(n - 1)];
    // Jitter of everybody or of nobody, so that both kinds of sets are frequent; above the period now and then.
    let jitter = [0_u64, 0, 0, 1, 2, 3][usize::from(byte(0, 5))];
    let overtaking = byte(0, 3) == 0;
    let segments = byte(0, 2) == 0;
    let task = |_| {
        let t = byte(1, longest.into());
        let c = byte(1, (2 * t / n).clamp(1, t).into());
        let mut parts = vec![c];
        while segments && parts.len() < 3 && byte(0, 1) == 0 && parts.iter().any(|c| *c > 1) {
            let k = parts.iter().position(|c| *c > 1).unwrap();
            let first = byte(1, u64::from(parts[k]) - 1);
            parts.splice(k..=k, [first, parts[k] - first]);
        }
        let j = if jitter == 0 { 0 } else { byte(0, jitter) };
        Tiny {
            segments: parts,
            t,
            d: byte(1, u64::from(t) + 6),
            j: if overtaking { j * 2 } else { j.min(t) },
            priority: byte(0, u64::from(n) - 1),
        }
    };
    (0..n).map(task).collect()
}

fn report(name: &str, tally: &Tally, explorer: &Explorer) {
    println!("{name}: {} sets explored ({:?} FP, EDF, FIFO)", tally.explored(), tally.sets);
    println!(
        "  {} states, {} steps; {} sets were too large",
        explorer.visited, explorer.steps, tally.too_large
    );
    println!(
        "  {} admitted, none of them misses; {} rejected, of which {} miss and {} may not",
        tally.admitted,
        tally.rejected_rightly + tally.rejected_safely,
        tally.rejected_rightly,
        tally.rejected_safely
    );
    println!(
        "  {} bounds attained exactly, {} safe where the theorem is not exact, {} without bound at utilisation 1",
        tally.attained, tally.safe, tally.unbounded
    );
}

#[test]
fn random_sets() {
    let sets = from_env("AEGIS_SETS", if cfg!(debug_assertions) { 4_000 } else { 50_000 });
    let seed = from_env("AEGIS_SEED", 1);
    let (mut rng, mut explorer, mut tally) = (Rng::new(seed), Explorer::new(1 << 14), Tally::default());
    while tally.explored() < sets {
        let tasks = random(&mut rng);
        if utilisation(&tasks) == Ordering::Greater {
            continue;
        }
        let policy = POLICIES[usize::try_from(rng.between(0, 2)).unwrap()];
        let overheads = overheads(&mut rng, &tasks);
        if let Err(why) = compare(&mut explorer, &mut tally, policy, &tasks, overheads, 0) {
            panic!("seed {seed}: {why}");
        }
    }
    report(&format!("random sets, seed {seed}"), &tally, &explorer);
    // The campaign says nothing where a kind of answer hardly occurs.
    let share = |n: u64| n * 20 > sets;
    assert!(
        share(tally.admitted) && share(tally.rejected_rightly) && tally.too_large * 4 < sets,
        "{tally:?}"
    );
    assert!(tally.sets.iter().all(|n| share(*n)), "{tally:?}");
}

/// 1 to 3 tasks, the first with jitter above its period: what a job waits for that a later one of its task overtakes.
fn overtaken(rng: &mut Rng) -> Vec<Tiny> {
    let n = rng.between(1, 3);
    let segments = rng.one_in(4);
    let mut byte = |low: u64, high: u64| u8::try_from(rng.between(low, high)).unwrap();
    let task = |i: u64| {
        let t = byte(1, 7);
        let c = byte(1, (u64::from(t) * 2 / n).clamp(1, u64::from(t)));
        let first = byte(1, u64::from(c));
        let segments = if segments && first < c { vec![first, c - first] } else { vec![c] };
        let j = if i == 0 { t + byte(1, 2 * u64::from(t) + 1) } else { byte(0, u64::from(t) + 2) };
        Tiny { segments, t, d: byte(1, u64::from(t) + 9), j, priority: byte(0, n - 1) }
    };
    (0..n).map(task).collect()
}

/// Under EDF a bound once was one tick above the largest response, `(C, T, D, J)` of `(2, 5, 10, 6)` and `(2, 4, 5, 4)`: a
/// segment of the analysed task blocked, whose job would have had to arrive less than a period after the analysed one.
#[test]
fn jobs_that_are_overtaken() {
    // One of them takes as long as ten of the random sets.
    let sets = from_env("AEGIS_SETS", if cfg!(debug_assertions) { 15_000 } else { 200_000 }) / 10;
    let seed = from_env("AEGIS_SEED", 1);
    let (mut rng, mut explorer, mut tally) = (Rng::new(seed), Explorer::new(1 << 15), Tally::default());
    let tiny = |(c, t, d, j)| Tiny { segments: vec![c], t, d, j, priority: 0 };
    let mut next = [(2, 5, 10, 6), (2, 4, 5, 4)].map(tiny).to_vec();
    while tally.explored() < sets {
        let tasks = std::mem::replace(&mut next, overtaken(&mut rng));
        if utilisation(&tasks) != Ordering::Less {
            continue;
        }
        let policy =
            if rng.one_in(4) { POLICIES[usize::try_from(rng.between(0, 2)).unwrap()] } else { Policy::Edf };
        if let Err(why) = compare(&mut explorer, &mut tally, policy, &tasks, Overheads::default(), 0) {
            panic!("seed {seed}: {why}");
        }
    }
    report(&format!("jobs that are overtaken, seed {seed}"), &tally, &explorer);
    assert!(tally.attained > tally.explored() && tally.too_large < sets, "{tally:?}");
}

/// All pairs of one-segment tasks, smaller first, with all deadlines or priorities that differ in what they decide.
#[test]
fn every_pair() {
    let longest = from_env("AEGIS_PERIODS", if cfg!(debug_assertions) { 4 } else { 6 });
    let longest = u8::try_from(longest).unwrap();
    let (mut explorer, mut tally) = (Explorer::new(1 << 14), Tally::default());
    let mut kinds = Vec::new();
    for t in 1..=longest {
        for c in 1..=t {
            kinds.extend((0..=2.min(t)).map(|j| Tiny { segments: vec![c], t, d: t, j, priority: 0 }));
        }
    }
    for (k, a) in kinds.iter().enumerate() {
        for b in &kinds[k..] {
            let mut check = |policy, tasks: [Tiny; 2]| {
                if utilisation(&tasks) != Ordering::Greater
                    && let Err(why) =
                        compare(&mut explorer, &mut tally, policy, &tasks, Overheads::default(), 0)
                {
                    panic!("{why}");
                }
            };
            check(Policy::Fifo, [a.clone(), b.clone()]);
            for (first, second) in [(0, 0), (0, 1), (1, 0)] {
                let (a, b) = (a.clone(), b.clone());
                check(Policy::FixedPriority, [Tiny { priority: first, ..a }, Tiny { priority: second, ..b }]);
            }
            for later in 0..=2 * longest {
                check(
                    Policy::Edf,
                    [Tiny { d: later + 1, ..a.clone() }, Tiny { d: longest + 1, ..b.clone() }],
                );
            }
        }
    }
    report(&format!("all pairs with periods up to {longest}"), &tally, &explorer);
    assert_eq!(tally.too_large, 0);
}

/// The comparison itself must fail for a bound that is one tick too small, and for one too large.
#[test]
fn a_bound_off_by_one_is_noticed() {
    let mut explorer = Explorer::new(1 << 14);
    let tasks =
        |d| [(2, 6, d), (3, 9, 9)].map(|(c, t, d)| Tiny { segments: vec![c], t, d, j: 0, priority: 0 });
    for policy in POLICIES {
        let mut noticed = |earlier| {
            let mut tally = Tally::default();
            compare(&mut explorer, &mut tally, policy, &tasks(6), Overheads::default(), earlier).is_err()
        };
        assert_eq!([noticed(0), noticed(1), noticed(2)], [false, true, true]);
    }
}
