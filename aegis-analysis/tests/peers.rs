//! The crate `response-time-analysis` 0.3.2 beside our analyses on the same random sets: equal wherever both say what they
//! bound in the same words, and every difference explained.
//!
//! The crate bounds responses from release, not from arrival; takes one task under analysis at a time, the blocking of fixed
//! priorities computed by the caller; gives one number for all tasks under FIFO; and under EDF counts deadlines from
//! release, so that jitter is left out there. `AEGIS_SETS` is the number of sets, `AEGIS_SEED` the seed.
use aegis_analysis::admit;
use aegis_core::{Nanos, Overheads, Policy, Priority, Rng, TaskDraft, TaskSet};
use response_time_analysis::arrival::Sporadic;
use response_time_analysis::demand::{RBF, RequestBound, Slice};
use response_time_analysis::time::{Duration, Service};
use response_time_analysis::wcet::Scalar;
use response_time_analysis::{edf, fifo, fixed_point, fixed_priority};
use std::cmp::Ordering;
use std::fmt;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Where the crate gives up; no busy period here comes near.
const LIMIT: u64 = 1 << 52;

#[derive(Debug, Clone)]
struct Row {
    segments: Vec<u64>,
    t: u64,
    d: u64,
    j: u64,
    priority: u32,
}

impl Row {
    fn c(&self) -> u64 {
        self.segments.iter().sum()
    }

    fn longest(&self) -> u64 {
        self.segments.iter().copied().max().unwrap()
    }

    fn last(&self) -> Service {
        Service::from(*self.segments.last().unwrap())
    }

    fn wcet(&self) -> Scalar {
        Scalar::new(Service::from(self.c()))
    }

    fn deadline(&self) -> Duration {
        Duration::from(self.d)
    }

    /// Releases in any window: those of arrivals at least `t` apart, each up to `j` late.
    fn releases(&self) -> Sporadic {
        Sporadic::new(Duration::from(self.t), Duration::from(self.j))
    }
}

/// A random set: coincidences of tiny numbers, numbers up to a thousand, or milliseconds in nanoseconds.
fn random(rng: &mut Rng) -> Vec<Row> {
    let scale = rng.between(0, 2);
    let n = rng.between(1, [4, 8, 10][usize::try_from(scale).unwrap()]);
    let (segments, jitter) = (rng.one_in(3), rng.one_in(3));
    // Aims at a utilisation between 30 and 105 %.
    let load = rng.between(30, 105);
    let task = |_| {
        let t = match scale {
            0 => rng.between(1, 14),
            1 => rng.between(10, 1_000),
            _ => 10_000 * rng.between(100, 26_000),
        };
        let c = rng.between(1, (2 * t * load / (100 * n)).clamp(1, t));
        let mut parts = vec![c];
        while segments && parts.len() < 4 && rng.one_in(2) && parts[0] > 1 {
            let first = rng.between(1, parts[0] - 1);
            parts[0] -= first;
            parts.push(first);
        }
        let j = if jitter && rng.one_in(2) { rng.between(0, t) } else { 0 };
        Row {
            segments: parts,
            t,
            d: rng.between(1, 2 * t),
            j,
            priority: u32::try_from(rng.between(0, n - 1)).unwrap(),
        }
    };
    (0..n).map(task).collect()
}

fn ours(policy: Policy, rows: &[Row]) -> Vec<Option<u64>> {
    let draft = |(i, row): (usize, &Row)| TaskDraft {
        name: format!("t{i}"),
        segments: row.segments.iter().copied().map(Nanos).collect(),
        arrival: Nanos(row.t).into(),
        deadline: Some(Nanos(row.d)),
        jitter: Nanos(row.j),
        priority: Some(Priority(row.priority)),
    };
    let set =
        TaskSet::new(policy, Overheads::default(), rows.iter().enumerate().map(draft).collect()).unwrap();
    admit(&set).tasks.iter().map(|task| task.bound.as_ref().map(|bound| bound.wcrt.0)).collect()
}

fn theirs(policy: Policy, rows: &[Row], i: usize) -> Option<u64> {
    let limit = Duration::from(LIMIT);
    let row = &rows[i];
    let releases: Vec<Sporadic> = rows.iter().map(Row::releases).collect();
    let rbfs: Vec<_> =
        rows.iter().zip(&releases).map(|(row, releases)| RBF::new(releases, row.wcet())).collect();
    let others = || (0..rows.len()).filter(|j| *j != i);
    let in_segments = rows.iter().any(|row| row.segments.len() > 1);
    let (wcet, arrivals, deadline) = (row.wcet(), &releases[i], row.deadline());
    let answer: fixed_point::SearchResult = match policy {
        Policy::Fifo => fifo::dedicated_uniproc_rta(&Slice::of(&rbfs), limit),
        Policy::FixedPriority => {
            let first = |j: &usize| rows[*j].priority <= row.priority;
            let before: Vec<&dyn RequestBound> =
                others().filter(first).map(|j| &rbfs[j] as &dyn RequestBound).collect();
            let after = others().filter(|j| !first(j));
            let blocking_bound = Service::from(after.map(|j| rows[j].longest() - 1).max().unwrap_or(0));
            if in_segments {
                use fixed_priority::limited_preemptive::{TaskUnderAnalysis, dedicated_uniproc_rta};
                let last_np_segment = row.last();
                let task = TaskUnderAnalysis { wcet, arrivals, last_np_segment, blocking_bound };
                dedicated_uniproc_rta(&task, &before, limit)
            } else {
                use fixed_priority::fully_nonpreemptive::{TaskUnderAnalysis, dedicated_uniproc_rta};
                dedicated_uniproc_rta(&TaskUnderAnalysis { wcet, arrivals, blocking_bound }, &before, limit)
            }
        }
        Policy::Edf if in_segments => {
            use edf::limited_preemptive::{InterferingTask, TaskUnderAnalysis, dedicated_uniproc_rta};
            let others: Vec<_> = others()
                .map(|j| InterferingTask {
                    rbf: &rbfs[j],
                    deadline: rows[j].deadline(),
                    max_np_segment: Service::from(rows[j].longest()),
                })
                .collect();
            let task = TaskUnderAnalysis { wcet, arrivals, deadline, last_np_segment: row.last() };
            dedicated_uniproc_rta(&task, &others, limit)
        }
        Policy::Edf => {
            use edf::fully_nonpreemptive::{Task, dedicated_uniproc_rta};
            let others: Vec<_> = others()
                .map(|j| Task { wcet: rows[j].wcet(), arrivals: &releases[j], deadline: rows[j].deadline() })
                .collect();
            dedicated_uniproc_rta(&Task { wcet, arrivals, deadline }, &others, limit)
        }
    };
    answer.ok().map(u64::from)
}

/// ΣC/T against 1. Periods of a thousand or of whole microseconds and up to ten tasks keep the sum in 128 bits; else it is
/// not close to 1.
fn utilisation<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> Ordering {
    let exact = rows.clone().try_fold((0_u128, 1_u128), |(sum, of), row| {
        let (c, t) = (u128::from(row.c()), u128::from(row.t));
        Some((sum.checked_mul(t)?.checked_add(c.checked_mul(of)?)?, of.checked_mul(t)?))
    });
    exact.map_or_else(
        || {
            let sum: f64 = rows.map(|row| row.c() as f64 / row.t as f64).sum();
            sum.partial_cmp(&1.0).unwrap()
        },
        |(sum, of)| sum.cmp(&of),
    )
}

/// How two answers for one task compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Relation {
    Equal,
    /// From release against from arrival: ours is above by no more than the task's jitter.
    WithinOwnJitter,
    /// At a utilisation of 1 with blocking or jitter ours has none; the crate would search up to its limit.
    NoneAtFullUtilisation,
    Unexplained,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "equal",
            Self::WithinOwnJitter => {
                "ours counts from arrival, theirs from release: apart by at most the jitter"
            }
            Self::NoneAtFullUtilisation => "no bound at a utilisation of 1, not asked of the crate",
            Self::Unexplained => "UNEXPLAINED",
        })
    }
}

fn relation(rows: &[Row], i: usize, policy: Policy, ours: Option<u64>) -> Relation {
    let Some(ours) = ours else {
        let full = utilisation(rows.iter()) == Ordering::Equal;
        return if full { Relation::NoneAtFullUtilisation } else { Relation::Unexplained };
    };
    match theirs(policy, rows, i) {
        Some(theirs) if ours == theirs => Relation::Equal,
        Some(theirs) if theirs < ours && ours - theirs <= rows[i].j => Relation::WithinOwnJitter,
        _ => Relation::Unexplained,
    }
}

#[test]
fn response_time_analysis_crate() {
    let sets = from_env("AEGIS_SETS", if cfg!(debug_assertions) { 1_000 } else { 10_000 });
    let seed = from_env("AEGIS_SEED", 1);
    let mut rng = Rng::new(seed);
    let policies = [Policy::FixedPriority, Policy::Edf, Policy::Fifo];
    let mut counts = [[0_u64; 4]; 3];
    let (mut overloaded, mut compared) = (0, 0);
    let mut unexplained = Vec::new();
    while compared < sets {
        let rows = random(&mut rng);
        // The crate would search for a fixed point up to its limit.
        if utilisation(rows.iter()) == Ordering::Greater {
            overloaded += 1;
            continue;
        }
        compared += 1;
        for (k, policy) in policies.into_iter().enumerate() {
            if policy == Policy::Edf && rows.iter().any(|row| row.j > 0) {
                continue;
            }
            let of_ours = ours(policy, &rows);
            for (i, ours) in of_ours.into_iter().enumerate() {
                let relation = relation(&rows, i, policy, ours);
                counts[k][relation as usize] += 1;
                if relation == Relation::Unexplained {
                    unexplained.push(format!(
                        "{policy}, task {i}: ours {ours:?}, theirs {:?}, {rows:?}",
                        theirs(policy, &rows, i)
                    ));
                }
            }
        }
    }
    println!("{compared} sets, seed {seed}; {overloaded} more with a utilisation above 1 were not compared");
    let relations =
        [Relation::Equal, Relation::WithinOwnJitter, Relation::NoneAtFullUtilisation, Relation::Unexplained];
    for (policy, counts) in policies.iter().zip(counts) {
        for (relation, count) in relations.iter().zip(counts).filter(|(_, count)| *count > 0) {
            println!("{policy:<6} {count:>8} tasks: {relation}");
        }
    }
    unexplained.truncate(5);
    assert!(unexplained.is_empty(), "seed {seed}: {unexplained:#?}");
    assert!(counts.iter().all(|counts| counts[0] > sets), "too few to mean anything: {counts:?}");
}
