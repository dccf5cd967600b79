//! "Response ≤ bound", tested on millions of simulated jobs of admitted random systems under adversarial and arbitrary
//! releases and early completions, by the very code that drives the device; and a test of that test, with a planted defect.
//!
//! `AEGIS_JOBS` sets the number of jobs (default 1 000 000 in debug builds, 10 000 000 in release), `AEGIS_SEED` the seed.
use aegis_analysis::admit;
use aegis_core::{
    ArrivalCurve, ArrivalLaw, Nanos, Overheads, Policy, Rng, Stall, TaskDraft, TaskSet, TermKind, Verdict,
};
use aegis_sched::simulator::{TaskOutcome, simulate};
use aegis_sched::workload::{Adversary, Execution, Periodic};
use std::fmt;

const POLICIES: [Policy; 3] = [Policy::Fifo, Policy::FixedPriority, Policy::Edf];
/// Jobs of one task that may wait: more than any admitted system here ever needs.
const QUEUE: u32 = 4096;
/// Jobs of one task, about.
const JOBS: u64 = 1_000;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// A number of the magnitude of any between the two: each octave is as likely as another.
fn log_uniform(rng: &mut Rng, low: u64, high: u64) -> u64 {
    let octave = rng.between(low.ilog2().into(), high.ilog2().into());
    rng.between(1 << octave, (2 << octave) - 1).clamp(low, high)
}

/// A random system: two to five tasks of small integer times, so that coincidences are frequent, or up to twenty with
/// periods from 1 to 260 ms; jitter, bursts, segments, overheads, stalls and deadlines of every kind.
fn system(rng: &mut Rng, policy: Policy) -> TaskSet {
    let tiny = !rng.one_in(4);
    let n = if tiny { rng.between(2, 5) } else { rng.between(3, 20) };
    let tick = if tiny { 1 } else { 20_000 };
    let overheads = if rng.one_in(3) {
        let mut stall = || {
            let length = if rng.one_in(2) { rng.between(1, 4 * tick) } else { 0 };
            Stall { length: Nanos(length), gap: Nanos(rng.between(5 * length, 50 * length)) }
        };
        let (recovery, clock_change, reload) = (stall(), stall(), stall());
        let mut upto = |ticks: u64| Nanos(rng.between(0, ticks * tick));
        Overheads {
            release: upto(2),
            dispatch: upto(1),
            launch: upto(1),
            copy: upto(1),
            completion: upto(1),
            recovery,
            clock_change,
            reload,
        }
    } else {
        Overheads::default()
    };
    let task = |i| {
        let period = if tiny { rng.between(4, 60) } else { log_uniform(rng, 1_000_000, 260_000_000) };
        let wcet = rng.between(1, (period / n * 2).max(1));
        let mut segments = vec![Nanos(wcet)];
        while segments.len() < 4 && rng.one_in(3) && segments[0] > Nanos(1) {
            let first = Nanos(rng.between(1, segments[0].0 - 1));
            segments[0] = segments[0].saturating_sub(first);
            segments.push(first);
        }
        TaskDraft {
            name: format!("t{i}"),
            segments,
            arrival: if rng.one_in(4) { burst(rng, period) } else { Nanos(period).into() },
            deadline: Some(Nanos(rng.between(period / 2 + 1, period * 2))),
            jitter: Nanos(if rng.one_in(3) { rng.between(0, period) } else { 0 }),
            priority: None,
        }
    };
    TaskSet::new(policy, overheads, (0..n).map(task).collect()).expect("the generator makes valid sets")
}

/// Up to three jobs at once or in some way one after the other, in the long run one in a period or more.
fn burst(rng: &mut Rng, period: u64) -> ArrivalLaw {
    let most = rng.between(1, 3);
    let horizon = period * most;
    let mut steps = vec![(Nanos(1), rng.between(1, most))];
    while let Some(&(window, count)) = steps.last()
        && count < most
    {
        steps.push((Nanos(rng.between(window.0 + 1, window.0 + period / 2)), count + 1));
    }
    ArrivalCurve::new(Nanos(horizon), steps).expect("the steps grow and end before the horizon").into()
}

/// Who decides when jobs come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum World {
    /// Critical instants: somebody has just started, all others are released together, jitter and phase hurt most.
    Adversarial,
    /// Any phases, some tasks with gaps, releases anywhere within the jitter.
    Arbitrary,
}

fn outcomes(
    set: &TaskSet,
    world: World,
    longest: Nanos,
    execution: Execution,
    rng: &mut Rng,
) -> Vec<TaskOutcome> {
    let queues = vec![QUEUE; set.tasks().len()];
    let jobs = JOBS * set.tasks().len() as u64;
    match world {
        World::Adversarial => {
            let mut world = Adversary::new(set, longest, jobs, execution, rng.bits());
            simulate(set, &queues, &mut world, |_, _, _| {})
        }
        World::Arbitrary => {
            let periods = || set.tasks().iter().map(|task| task.arrival.mean_distance().0);
            let offsets: Vec<Nanos> = periods().map(|t| Nanos(rng.between(0, t))).collect();
            let sporadic: Vec<bool> = periods().map(|_| rng.one_in(3)).collect();
            let in_a_second: u64 = periods().map(|t| 1_000_000_000 / t + 1).sum();
            let horizon = Nanos(jobs * 1_000_000_000 / in_a_second);
            let mut world = Periodic::new(set, &offsets, &sporadic, horizon, execution, rng.bits());
            simulate(set, &queues, &mut world, |_, _, _| {})
        }
    }
}

/// How close the worst responses of tasks came to their bounds.
#[derive(Debug, Clone, Copy, Default)]
struct Closeness {
    /// Tasks whose worst response was below 50, 60, 70, 80, 90, 95, 99, 100 % of the bound, attained it, exceeded it.
    tasks: [u64; 10],
    jobs: u64,
    systems: u64,
}

impl Closeness {
    const BELOW: [u64; 8] = [50, 60, 70, 80, 90, 95, 99, 100];

    fn add(&mut self, worst: Nanos, bound: Nanos) {
        let below = |percent: u64| u128::from(worst.0) * 100 < u128::from(bound.0) * u128::from(percent);
        let place = Self::BELOW.iter().position(|percent| below(*percent));
        self.tasks[place.unwrap_or(if worst == bound { 8 } else { 9 })] += 1;
    }

    fn attained(&self) -> u64 {
        self.tasks[8]
    }

    fn above(&self) -> u64 {
        self.tasks[9]
    }
}

impl fmt::Display for Closeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} jobs, {} systems; worst/bound", self.jobs, self.systems)?;
        for (percent, tasks) in Self::BELOW.iter().zip(self.tasks) {
            write!(f, "  <{percent} %: {tasks}")?;
        }
        write!(f, "  =: {}  above: {}", self.attained(), self.above())
    }
}

/// Runs `jobs` jobs of admitted random systems, half of them adversarial, and compares every worst response with what
/// `bound` says of its task.
fn compare(jobs: u64, seed: u64, bound: impl Fn(&Verdict, usize) -> Nanos) -> [Closeness; 2] {
    let mut rng = Rng::new(seed);
    let mut found = [Closeness::default(); 2];
    while found[0].jobs + found[1].jobs < jobs {
        let policy = POLICIES[usize::try_from(rng.between(0, 2)).unwrap()];
        let set = system(&mut rng, policy);
        let verdict = admit(&set);
        if !verdict.admitted() {
            continue;
        }
        // Whoever has had fewer jobs goes next.
        let k = usize::from(found[0].jobs > found[1].jobs);
        let world = [World::Adversarial, World::Arbitrary][k];
        let longest = verdict.tasks.iter().map(|t| t.bound.as_ref().unwrap().busy_period).max().unwrap();
        let execution = if rng.one_in(2) { Execution::Wcet } else { Execution::UpToWcet };
        let found = &mut found[k];
        found.systems += 1;
        for (i, outcome) in outcomes(&set, world, longest, execution, &mut rng).iter().enumerate() {
            assert_eq!(outcome.refused, 0, "the queues are long enough: {set:?}");
            found.jobs += outcome.jobs;
            let bound = bound(&verdict, i);
            found.add(outcome.worst, bound);
            assert!(
                outcome.worst > bound || outcome.missed == 0,
                "met its bound, missed its deadline: {set:?}"
            );
        }
    }
    found
}

#[test]
fn response_never_exceeds_the_bound() {
    let jobs = from_env("AEGIS_JOBS", if cfg!(debug_assertions) { 1_000_000 } else { 10_000_000 });
    let seed = from_env("AEGIS_SEED", 1);
    let [adversarial, arbitrary] =
        compare(jobs, seed, |verdict, i| verdict.tasks[i].bound.as_ref().unwrap().wcrt);
    println!("seed {seed}\nadversarial: {adversarial}\narbitrary:   {arbitrary}");
    for found in [adversarial, arbitrary] {
        assert_eq!(
            found.above(),
            0,
            "AEGIS_JOBS={jobs} AEGIS_SEED={seed} cargo test --release -p aegis-sched --test soundness fails again"
        );
    }
    let most = adversarial.attained() > adversarial.systems / 2;
    assert!(most, "the adversary is too tame: {adversarial}");
}

/// The same test must fail for an analysis that forgets one tick of blocking.
#[test]
fn a_planted_off_by_one_in_the_blocking_is_found() {
    let [adversarial, _] = compare(100_000, 2, |verdict, i| {
        let bound = verdict.tasks[i].bound.as_ref().unwrap();
        let blocked = bound.terms.iter().any(|t| t.kind == TermKind::Blocking);
        bound.wcrt.saturating_sub(Nanos(u64::from(blocked)))
    });
    assert!(adversarial.above() > 0, "nothing exceeded a bound that is one tick too small");
}

/// The published scenario: releasing everything at once shows no miss; C one millisecond early makes A and B miss.
#[test]
fn mvp_scenario_misses_only_under_adversarial_release() {
    let draft = |name: &str, c, t, d| TaskDraft {
        name: name.to_owned(),
        segments: vec![Nanos::from_millis(c)],
        arrival: Nanos::from_millis(t).into(),
        deadline: Some(Nanos::from_millis(d)),
        jitter: Nanos::ZERO,
        priority: None,
    };
    let drafts = vec![draft("A", 20, 100, 50), draft("B", 15, 80, 40), draft("C", 30, 200, 100)];
    for policy in [Policy::Edf, Policy::FixedPriority] {
        let set = TaskSet::new(policy, Overheads::default(), drafts.clone()).unwrap();
        let run = |offsets: [u64; 3]| {
            let offsets = offsets.map(Nanos::from_millis);
            let horizon = Nanos::from_secs(100);
            let mut world = Periodic::new(&set, &offsets, &[], horizon, Execution::Wcet, 1);
            simulate(&set, &[8; 3], &mut world, |_, _, _| {}).iter().map(|o| o.missed).collect::<Vec<_>>()
        };
        assert!(!admit(&set).admitted());
        assert_eq!(run([0, 0, 0]), [0, 0, 0], "{policy}: a simulation that proves nothing");
        let early = run([1, 1, 0]);
        assert!(early[0] > 100 && early[1] > 100 && early[2] == 0, "{policy}: {early:?}");
    }
}
