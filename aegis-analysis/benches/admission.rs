//! How long admission takes, beside the crate `response-time-analysis`, on the same sets in one run:
//! `cargo bench -p aegis-analysis --bench admission`, or with `-- incremental` only the second table.
//!
//! Sets have implicit deadlines, periods log-uniform from 10 ms to 1 s and shares by UUniFast; with 30 tasks no `C` is 90 %
//! of the shortest period. Each figure is the median, and where said the p99, over sets or tasks; of a verdict and of a
//! task added, the least of three calls counts. The two clock reads (about 50 ns) are left in.
//! The peer computes the worst-case response times of all tasks and has no verdict of its own; [`admit`] computes the
//! same, with their terms, and the two are compared task by task.
use aegis_analysis::{Admission, admit, quick};
use aegis_core::{Nanos, Overheads, Policy, Priority, PriorityOrder, Rng, Task, TaskDraft, TaskSet};
use response_time_analysis::{arrival, demand, edf, fifo, fixed_priority, wcet};
use std::hint::black_box;
use std::time::Instant;

const SEED: u64 = 4;
const UTILISATIONS: [f64; 4] = [0.5, 0.7, 0.9, 0.95];
const POLICIES: [Policy; 3] = [Policy::Edf, Policy::FixedPriority, Policy::Fifo];

/// A positive number of nanoseconds, rounded down, at least 1.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds at most, and positive")]
fn whole(ns: f64) -> u64 {
    (ns as u64).max(1)
}

fn period(rng: &mut Rng) -> u64 {
    whole(1e7 * 100f64.powf(rng.unit()))
}

/// `(C, T)` of `n` tasks.
fn tasks(rng: &mut Rng, n: usize, utilisation: f64) -> Vec<(u64, u64)> {
    loop {
        let mut left = utilisation;
        let mut tasks: Vec<(u64, u64)> = Vec::with_capacity(n);
        for i in 0..n {
            let rest = (n - 1 - i) as f64;
            let next = if rest > 0.0 { left * rng.unit().powf(1.0 / rest) } else { 0.0 };
            let t = period(rng);
            tasks.push((whole((left - next) * t as f64), t));
            left = next;
        }
        let shortest = tasks.iter().map(|(_, t)| *t).min().unwrap_or(1);
        if n > 30 || tasks.iter().all(|(c, _)| c * 10 < 9 * shortest) {
            return tasks;
        }
    }
}

fn set(policy: Policy, tasks: &[(u64, u64)]) -> TaskSet {
    let draft = |(i, &(c, t)): (usize, &(u64, u64))| TaskDraft {
        name: format!("t{i}"),
        segments: vec![Nanos(c)],
        arrival: Nanos(t).into(),
        ..TaskDraft::default()
    };
    TaskSet::new(policy, Overheads::default(), tasks.iter().enumerate().map(draft).collect())
        .expect("a valid set")
}

/// Response times by the peer, for the tasks `from..to` in the order of periods; `None` where it finds none.
fn peer(policy: Policy, tasks: &[(u64, u64)], which: std::ops::Range<usize>) -> Vec<Option<u64>> {
    use response_time_analysis::time::{Duration, Service};
    let limit = Duration::from(1 << 40);
    let arrivals: Vec<_> =
        tasks.iter().map(|&(_, t)| arrival::Sporadic::new_zero_jitter(Duration::from(t))).collect();
    let costs: Vec<_> = tasks.iter().map(|&(c, _)| wcet::Scalar::new(Service::from(c))).collect();
    let demands: Vec<_> =
        costs.iter().zip(&arrivals).map(|(cost, law)| demand::RBF::new(law, cost)).collect();
    let one = |i: usize| {
        let bound = match policy {
            Policy::FixedPriority => {
                let below = tasks[i + 1..].iter().map(|(c, _)| c - 1).max().unwrap_or(0);
                let task = fixed_priority::fully_nonpreemptive::TaskUnderAnalysis {
                    wcet: costs[i],
                    arrivals: &arrivals[i],
                    blocking_bound: Service::from(below),
                };
                fixed_priority::fully_nonpreemptive::dedicated_uniproc_rta(&task, &demands[..i], limit)
            }
            Policy::Edf => {
                let task = |k: usize| edf::fully_nonpreemptive::Task {
                    wcet: costs[k],
                    arrivals: &arrivals[k],
                    deadline: Duration::from(tasks[k].1),
                };
                let others: Vec<_> = (0..tasks.len()).filter(|k| *k != i).map(task).collect();
                edf::fully_nonpreemptive::dedicated_uniproc_rta(&task(i), &others, limit)
            }
            Policy::Fifo => fifo::dedicated_uniproc_rta(&demand::Slice::of(&demands), limit),
        };
        bound.ok().map(u64::from)
    };
    if policy == Policy::Fifo { vec![one(0); which.len()] } else { which.map(one).collect() }
}

/// Times of single calls in nanoseconds.
#[derive(Default)]
struct Times(Vec<u64>);

impl Times {
    fn of<T>(&mut self, one: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let answer = black_box(one());
        self.0.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        answer
    }

    /// The least of three calls, each on its own `input`: what the machine does beside does not count.
    fn least<I, T>(&mut self, input: impl Fn() -> I, one: impl Fn(I) -> T) -> T {
        let mut least = u64::MAX;
        let mut answer = None;
        for _ in 0..3 {
            let input = input();
            let start = Instant::now();
            answer = Some(black_box(one(input)));
            least = least.min(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        self.0.push(least);
        answer.expect("three calls")
    }

    fn at(&mut self, permille: usize) -> f64 {
        self.0.sort_unstable();
        self.0[(self.0.len() * permille / 1000).min(self.0.len() - 1)] as f64
    }
}

fn show(ns: f64) -> String {
    match ns {
        ns if ns < 1e4 => format!("{:.2} us", ns / 1e3),
        ns if ns < 1e6 => format!("{:.0} us", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}

/// On how many sets the full answer and the peer are measured.
fn compared(n: usize, policy: Policy) -> usize {
    match (n, policy) {
        (30, Policy::Edf) => 20,
        (30, _) => 200,
        (100, Policy::Edf) => 2,
        (100, _) => 40,
        (_, Policy::Edf) => 1,
        _ => 3,
    }
}

fn verdicts() {
    println!(
        "{:>5} {:>5} {:<6} | {:>8} {:>8} {:>8} {:>8} | {:>8} {:>8} | {:>8} {:>7} {:>9}",
        "tasks",
        "U",
        "policy",
        "verdict",
        "p99",
        "admitted",
        "by bound",
        "WCRTs",
        "p99",
        "peer",
        "/ WCRTs",
        "/ verdict"
    );
    for (n, sets) in [(30, 1000), (100, 300), (1000, 60)] {
        for utilisation in UTILISATIONS {
            let mut rng = Rng::new(SEED);
            let mut sorted = || {
                let mut tasks = tasks(&mut rng, n, utilisation);
                tasks.sort_by_key(|(_, t)| *t);
                tasks
            };
            let all: Vec<Vec<(u64, u64)>> = (0..sets).map(|_| sorted()).collect();
            for policy in POLICIES {
                let (mut verdict, mut full, mut beside) =
                    (Times::default(), Times::default(), Times::default());
                let (mut admitted, mut by_bound) = (0, 0);
                for (k, tasks) in all.iter().enumerate() {
                    let set = set(policy, tasks);
                    let quick = verdict.least(|| (), |()| quick::decide(&set));
                    admitted += usize::from(quick.admitted());
                    by_bound += usize::from(quick.decided_by().name().ends_with("bound"));
                    if k >= compared(n, policy) {
                        continue;
                    }
                    let ours = full.of(|| admit(&set));
                    assert_eq!(ours.admitted(), quick.admitted());
                    // The peer's EDF takes up to an hour for a set of 1000: one task, in the middle.
                    let which = if n == 1000 && policy == Policy::Edf { n / 2..n / 2 + 1 } else { 0..n };
                    let theirs = beside.of(|| peer(policy, tasks, which.clone()));
                    // Deadline-monotonic, ties by position: the order of the tasks.
                    for (ours, theirs) in ours.tasks[which].iter().zip(theirs) {
                        if let Some(bound) = &ours.bound {
                            assert_eq!(Some(bound.wcrt.0), theirs);
                        }
                    }
                }
                println!(
                    "{n:>5} {utilisation:>5} {:<6} | {:>8} {:>8} {:>7}% {:>7}% | {:>8} {:>8} | {:>8} {:>7.1} {:>9.0}{}",
                    policy.name(),
                    show(verdict.at(500)),
                    show(verdict.at(990)),
                    100 * admitted / sets,
                    100 * by_bound / sets,
                    show(full.at(500)),
                    show(full.at(990)),
                    show(beside.at(500)),
                    beside.at(500) / full.at(500),
                    beside.at(500) / verdict.at(500),
                    if n == 1000 && policy == Policy::Edf { " (peer: 1 task of 1000)" } else { "" },
                );
            }
        }
    }
}

fn task(name: String, (c, t): (u64, u64)) -> Task {
    Task {
        name,
        segments: vec![Nanos(c)],
        arrival: Nanos(t).into(),
        deadline: Nanos(t),
        jitter: Nanos::ZERO,
        priority: Priority::default(),
    }
}

/// A set of `n` tasks of which one at a time is replaced by a new one.
fn incremental() {
    println!(
        "{:>5} {:>5} {:<6} | {:>10} {:>10} | {:>10} {:>10} | {:>12}",
        "tasks", "U", "policy", "add median", "p99", "refusal", "p99", "from scratch"
    );
    for (n, adds) in [(30, 10_000), (1000, 2_000)] {
        for utilisation in UTILISATIONS {
            for policy in POLICIES {
                let mut rng = Rng::new(SEED);
                let mut admission =
                    Admission::new(policy, Overheads::default(), Some(PriorityOrder::DeadlineMonotonic));
                admission.reserve(n + 1);
                // Shares around U / n: the sum stays about there.
                let candidate = |rng: &mut Rng, k: usize| {
                    let t = period(rng);
                    let share = 2.0 * rng.unit() * utilisation / n as f64;
                    let mut task = task(format!("t{k}"), (whole(share * t as f64), t));
                    // First come, first served makes all wait for all: the shortest period would decide alone.
                    if policy == Policy::Fifo {
                        task.deadline = Nanos::from_secs(1);
                    }
                    task
                };
                let mut k = 0;
                while admission.len() < n && k < 20 * n {
                    let _ = admission.try_add(candidate(&mut rng, k));
                    k += 1;
                }
                let (mut accepted, mut refused, mut scratch) =
                    (Times::default(), Times::default(), Times::default());
                let size = admission.len();
                for _ in 0..adds {
                    if admission.len() >= size {
                        let ids: Vec<_> = admission.tasks().map(|(id, _)| id).collect();
                        let chosen = rng.between(0, ids.len() as u64 - 1);
                        admission.remove(ids[usize::try_from(chosen).expect("a position")]);
                    }
                    let task = candidate(&mut rng, k);
                    k += 1;
                    let fresh = || {
                        let mut copy = admission.clone();
                        copy.reserve(1);
                        (copy, task.clone())
                    };
                    let add = |(mut copy, task): (Admission, Task)| {
                        let added = copy.try_add(task).is_ok();
                        (added, copy)
                    };
                    let mut time = Times::default();
                    let (added, after) = time.least(fresh, add);
                    admission = after;
                    (if added { &mut accepted } else { &mut refused }).0.append(&mut time.0);
                    if scratch.0.len() < 100
                        && let Some(set) = admission.set()
                    {
                        scratch.least(|| (), |()| quick::decide(&set));
                    }
                }
                let shown = |times: &mut Times, permille| {
                    if times.0.is_empty() { "none".to_string() } else { show(times.at(permille)) }
                };
                println!(
                    "{size:>5} {utilisation:>5} {:<6} | {:>10} {:>10} | {:>10} {:>10} | {:>12} ({} refused)",
                    policy.name(),
                    shown(&mut accepted, 500),
                    shown(&mut accepted, 990),
                    shown(&mut refused, 500),
                    shown(&mut refused, 990),
                    shown(&mut scratch, 500),
                    refused.0.len()
                );
            }
        }
    }
}

fn main() {
    println!("seed {SEED}; implicit deadlines, periods log-uniform from 10 ms to 1 s");
    if !std::env::args().any(|arg| arg == "incremental") {
        verdicts();
    }
    incremental();
}
