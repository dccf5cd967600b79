//! What the questions beside the verdict cost: latest schedules, priorities, margins, room, segments, remedies.
//!
//! `cargo bench -p aegis-analysis --bench fit`. Sets with implicit deadlines, periods log-uniform in 10 ms to 1 s, one seed; each
//! figure is the median and the worst of the sets, in the same run beside one full verdict of the same set.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "random times are drawn as floats"
)]
use aegis_analysis::critical::{Ties, of_bound};
use aegis_analysis::sensitivity::{Newcomer, margins, room};
use aegis_analysis::split::{Cuts, fewest};
use aegis_analysis::{admit, assignment, remedies};
use aegis_core::{Nanos, Overheads, Policy, Rng, TaskDraft, TaskId, TaskSet, Verdict};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SEED: u64 = 7;

/// `n` tasks of `utilisation` in all, shares uniform up to their sum (UUniFast), no job as long as 0.9 of the shortest
/// period unless `long`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds at most, and positive")]
fn set(rng: &mut Rng, policy: Policy, n: usize, utilisation: f64, long: bool) -> TaskSet {
    loop {
        let mut left = utilisation;
        let mut drafts = Vec::with_capacity(n);
        for i in 0..n {
            let rest = if i + 1 == n { 0.0 } else { left * rng.unit().powf(1.0 / (n - 1 - i) as f64) };
            let share = left - rest;
            left = rest;
            let t = (10e6_f64.ln() + rng.unit() * 100_f64.ln()).exp();
            drafts.push(TaskDraft {
                name: format!("t{i}"),
                segments: vec![Nanos(((share * t) as u64).max(1))],
                arrival: Nanos(t as u64).into(),
                ..TaskDraft::default()
            });
        }
        let shortest = drafts.iter().filter_map(|draft| draft.arrival.period()).min();
        let longest = drafts.iter().map(|draft| draft.segments[0]).max();
        if long || longest.unwrap().0 * 10 < shortest.unwrap().0 * 9 {
            return TaskSet::new(policy, Overheads::default(), drafts).unwrap();
        }
    }
}

fn time<T>(mut f: impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    black_box(f());
    start.elapsed()
}

fn row<T>(what: &str, sets: &[T], f: impl Fn(&T)) {
    let mut times: Vec<Duration> = sets.iter().map(|set| time(|| f(set))).collect();
    times.sort_unstable();
    println!(
        "  {what:<44} median {:>11.1?}  worst {:>11.1?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
}

fn main() {
    let mut rng = Rng::new(SEED);
    println!("seed {SEED}");
    for (n, count) in [(30, 40), (1000, 3)] {
        for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
            for utilisation in [0.5, 0.7, 0.9] {
                let sets: Vec<TaskSet> =
                    (0..count).map(|_| set(&mut rng, policy, n, utilisation, n > 100)).collect();
                let admitted = sets.iter().filter(|set| admit(set).admitted()).count();
                println!("{policy}, n = {n}, U = {utilisation}: {admitted} of {count} admitted");
                if n < 100 || policy != Policy::Edf {
                    row("full verdict", &sets, |set| {
                        black_box(admit(set));
                    });
                }
                if policy == Policy::FixedPriority {
                    let found = sets.iter().filter(|set| assignment::optimal(set).is_ok()).count();
                    row(&format!("optimal priorities ({found} found)"), &sets, |set| {
                        let _ = black_box(assignment::optimal(set));
                    });
                    if n < 100 {
                        row("robust priorities", &sets, |set| {
                            let _ = black_box(assignment::robust(set));
                        });
                    }
                }
                if n < 100 {
                    let answered: Vec<(TaskSet, Verdict)> =
                        sets.iter().map(|set| (set.clone(), admit(set))).collect();
                    row("latest schedule of each task", &answered, |(set, verdict)| {
                        for (i, task) in verdict.tasks.iter().enumerate() {
                            if let Some(bound) = &task.bound {
                                let _ =
                                    black_box(of_bound(set, TaskId::from(i), bound, Ties::InOrderOfRelease));
                            }
                        }
                    });
                    row("all margins", &sets, |set| {
                        black_box(margins(set));
                    });
                    let newcomer = Newcomer {
                        arrival: Nanos::from_millis(100).into(),
                        deadline: Nanos::from_millis(100),
                        jitter: Nanos::ZERO,
                    };
                    row("room for a newcomer", &sets, |set| {
                        let _ = black_box(room(set, &newcomer));
                    });
                    row("remedies, where rejected", &sets, |set| {
                        let verdict = admit(set);
                        black_box(remedies(set, &verdict));
                    });
                }
                if policy != Policy::Fifo && n < 100 {
                    row("fewest segments", &sets, |set| {
                        let _ = black_box(fewest(set, &vec![Cuts::Anywhere; n]));
                    });
                }
            }
        }
    }
}
