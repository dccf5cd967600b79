//! Completion times of job sets against every schedule of tiny sets, published sets, and sets that once went wrong.
mod schedules;

use aegis_analysis::jobs::{
    Edge, End, Exploration, Job, JobSet, JobSetError, Limits, Method, Outcome, Span, Ties, admit, explore,
};
use aegis_core::{Bytes, Nanos, Rng};
use schedules::{Ends, ends, random, set};
use serde_json::Value;

/// How many times the usual work: 1 unless the variable says otherwise.
fn scale() -> u64 {
    std::env::var("AEGIS_SCALE").map_or(1, |text| text.parse().expect("AEGIS_SCALE is a whole number"))
}

fn found(exploration: &Exploration) -> Ends {
    let ends = exploration.completions.iter().map(|c| c.map(|c| (c.best.0, c.worst.0)));
    ends.map(|ends| ends.unwrap_or((u64::MAX, 0))).collect()
}

fn explored(set: &JobSet) -> Ends {
    let exploration = explore(set, &Limits::default());
    assert_eq!(exploration.end, End::Complete);
    found(&exploration)
}

/// Compares `sets` random sets with their enumeration.
#[track_caller]
fn equals_enumeration(seed: u64, sets: u64, ties: Ties, draw: impl Fn(&mut Rng) -> (Vec<Job>, Vec<Edge>)) {
    for seed in seed..seed + sets * scale() {
        let (jobs, edges) = draw(&mut Rng::new(seed));
        let expected = ends(&jobs, &edges, ties);
        assert_eq!(explored(&set(&jobs, &edges, ties)), expected, "seed {seed}: {jobs:?} {edges:?}");
    }
}

#[test]
fn independent_jobs() {
    equals_enumeration(10_000, 600, Ties::ById, |rng| random(rng, 5, 0, 0, 20_000));
}

#[test]
fn precedence_without_delays() {
    equals_enumeration(20_000, 600, Ties::ById, |rng| random(rng, 5, 3, 0, 20_000));
}

/// Where the state of other analyses is an interval for each predecessor, a quarter of such sets come out too wide.
#[test]
fn precedence_with_delays() {
    equals_enumeration(30_000, 600, Ties::ById, |rng| random(rng, 5, 3, 3, 20_000));
}

#[test]
fn first_released_first_served() {
    equals_enumeration(40_000, 500, Ties::ByRelease, |rng| {
        let (mut jobs, edges) = random(rng, 5, 0, 0, 5_000);
        for (task, job) in (0..).zip(&mut jobs) {
            (job.priority, job.task) = (0, task);
        }
        (jobs, edges)
    });
}

/// With priorities and ties by release together the answer covers every schedule; in nearly all sets it is exact too.
#[test]
fn ties_by_release_are_covered() {
    let (mut exact, mut all) = (0, 0);
    for seed in 50_000..50_000 + 500 * scale() {
        let (jobs, edges) = random(&mut Rng::new(seed), 5, seed % 2 * 2, seed % 2 * 2, 5_000);
        let expected = ends(&jobs, &edges, Ties::ByRelease);
        let found = explored(&set(&jobs, &edges, Ties::ByRelease));
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.0 <= expected.0 && expected.1 <= found.1, "seed {seed}: {jobs:?} {edges:?}");
        }
        exact += u64::from(found == expected);
        all += 1;
    }
    println!("ties by release: {exact} of {all} sets exact");
    assert!(exact * 100 >= all * 95, "{exact} of {all}");
}

/// Jobs that may take no time at all: covered, exact in most sets.
#[test]
fn jobs_without_execution_are_covered() {
    let (mut exact, mut all) = (0, 0);
    for seed in 60_000..60_000 + 500 * scale() {
        let (mut jobs, edges) = random(&mut Rng::new(seed), 5, 2, seed % 3, 5_000);
        jobs.iter_mut().step_by(2).for_each(|job| job.cost.min = Nanos(0));
        let expected = ends(&jobs, &edges, Ties::ById);
        let found = explored(&set(&jobs, &edges, Ties::ById));
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.0 <= expected.0 && expected.1 <= found.1, "seed {seed}: {jobs:?} {edges:?}");
        }
        exact += u64::from(found == expected);
        all += 1;
    }
    println!("jobs without execution: {exact} of {all} sets exact");
}

fn published(id: &str) -> (Value, Vec<Job>) {
    let path = format!("{}/tests/data/tasksets.json", env!("CARGO_MANIFEST_DIR"));
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let sets = file["sets"].as_array().unwrap();
    let set = sets.iter().find(|set| set["id"] == id).unwrap_or_else(|| panic!("no set `{id}`"));
    let jobs = set["jobs"].as_array().unwrap().iter().map(|row| {
        let at = |column: usize| row[column].as_u64().unwrap();
        Job {
            task: at(0),
            job: at(1),
            release: Span::new(Nanos(at(2)), Nanos(at(3))),
            cost: Span::new(Nanos(at(4)), Nanos(at(5))),
            deadline: Nanos(at(6)),
            priority: at(7),
        }
    });
    (set["expected"].clone(), jobs.collect())
}

#[track_caller]
fn as_published(id: &str) {
    let (expected, jobs) = published(id);
    let found = explored(&set(&jobs, &[], Ties::ById));
    let rows = expected["cct_computed"].as_array().unwrap();
    assert_eq!(rows.len(), jobs.len());
    let mut missed = false;
    for row in rows {
        let at = |column: usize| row[column].as_u64().unwrap();
        let index = jobs.iter().position(|job| (job.task, job.job) == (at(0), at(1))).unwrap();
        assert_eq!(found[index], (at(2), at(3)), "{id}: {}", jobs[index].name());
        missed |= at(3) > jobs[index].deadline.0;
    }
    assert_eq!(expected["sched"], !missed, "{id}");
}

/// The anomaly: with all WCETs every deadline is met, and an early end makes job 2 miss.
#[test]
fn sag_fig1a() {
    as_published("sag-fig1a");
}

#[test]
fn sag_fig1c() {
    as_published("sag-fig1c");
}

#[test]
fn sag_fig1c_fp() {
    as_published("sag-fig1c-fp");
}

#[test]
fn sag_cw_fig2() {
    as_published("sag-cw-fig2");
}

#[test]
fn sag_prm_fig1() {
    as_published("sag-prm-fig1");
}

#[test]
fn sag_prm_fig2() {
    as_published("sag-prm-fig2");
}

#[test]
fn sag_skipped_job() {
    as_published("sag-skipped-job");
}

fn job(task: u64, job: u64, release: (u64, u64), cost: (u64, u64), priority: u64) -> Job {
    let span = |(min, max)| Span::new(Nanos(min), Nanos(max));
    Job { task, job, release: span(release), cost: span(cost), deadline: Nanos(1_000), priority }
}

/// A job that is certainly ready at 0 keeps others from starting before 0, not from 0 − 1 on as unsigned numbers count.
#[test]
fn nothing_starts_before_zero() {
    let jobs = [job(1, 1, (0, 0), (2, 2), 1), job(2, 1, (0, 5), (1, 1), 2)];
    assert_eq!(explored(&set(&jobs, &[], Ties::ById)), [(2, 2), (3, 6)]);
    assert_eq!(explored(&set(&jobs, &[], Ties::ByRelease)), [(2, 2), (3, 6)]);
}

/// Jobs that are equal in everything but their number are two jobs.
#[test]
fn identical_twins_are_two() {
    let twins = [job(1, 1, (0, 3), (5, 5), 1), job(1, 2, (0, 3), (5, 5), 1), job(2, 1, (0, 3), (5, 5), 1)];
    assert_eq!(explored(&set(&twins, &[], Ties::ById)), [(5, 12), (5, 17), (5, 18)]);
    assert_eq!(ends(&twins, &[], Ties::ById), [(5, 12), (5, 17), (5, 18)]);
    assert_eq!(explored(&set(&twins, &[], Ties::ByRelease)), [(5, 18); 3]);
}

/// States whose jobs lie far apart use more words; the answer is the same as with all jobs close.
#[test]
fn long_waits_among_many_jobs() {
    for (n, wait) in [(63, 1), (64, 1), (65, 1), (70, 40), (300, 200), (1_100, 1_050)] {
        // A job of the least priority waits for `wait` urgent ones that follow each other without a gap.
        let mut jobs = vec![job(1, 0, (0, 0), (1, 1), 9)];
        jobs.extend((0..n).map(|i| {
            let at = if i < wait { i } else { i + 10 };
            job(2, i, (at, at), (1, 1), 1)
        }));
        let found = explored(&set(&jobs, &[], Ties::ById));
        assert_eq!(found[0], (wait + 1, wait + 1), "{n} jobs");
        let first = |i| if i < wait { i } else { i + 10 };
        assert!((0..n).zip(&found[1..]).all(|(i, end)| end.0 == first(i) + 1), "{n} jobs");
    }
}

/// Independent jobs through the engine for delays: an edge that never holds anybody back selects it.
#[test]
fn both_engines_agree() {
    for seed in 70_000..70_000 + 300 * scale() {
        let rng = &mut Rng::new(seed);
        let (mut jobs, mut edges) = random(rng, 9, seed % 2, 0, u64::MAX);
        let one = explored(&set(&jobs, &edges, Ties::ById));
        let late = |release| job(99, release, (1_000 + release, 1_000 + release), (1, 1), 0);
        jobs.extend([late(0), late(500)]);
        let delay = Span::new(Nanos(0), Nanos(1));
        edges.push(Edge { from: jobs.len() - 2, to: jobs.len() - 1, delay });
        let other = explored(&set(&jobs, &edges, Ties::ById));
        assert_eq!(one, other[..one.len()], "seed {seed}");
    }
}

#[test]
fn limits_end_an_exploration() {
    let jobs: Vec<Job> = (0..30).map(|i| job(i, 0, (0, 1_000), (1, 100), i)).collect();
    let set = set(&jobs, &[], Ties::ById);
    let few = Limits { states: 10_000, ..Limits::default() };
    assert_eq!(explore(&set, &few).end, End::StateLimit);
    let small = Limits { memory: Bytes(100_000), ..Limits::default() };
    let exploration = explore(&set, &small);
    assert_eq!(exploration.end, End::MemoryLimit);
    assert!(exploration.memory.0 < 1_000_000, "{}", exploration.memory);
}

#[test]
fn what_is_refused() {
    let check = |jobs: &[Job], edges: &[(usize, usize)], says: &str| {
        let edge = |&(from, to): &(usize, usize)| Edge { from, to, delay: Span::default() };
        let edges = edges.iter().map(edge).collect();
        let error = JobSet::new(jobs.to_vec(), edges, Ties::ById).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    let (a, b) = (job(1, 1, (0, 0), (1, 1), 1), job(1, 2, (0, 0), (1, 1), 1));
    check(&[], &[], "the job set is empty");
    check(&[a, a], &[], "job T1J1 is stated twice");
    check(&[job(1, 1, (2, 1), (1, 1), 1)], &[], "the least release (2 ns) is above the most (1 ns)");
    check(&[job(1, 1, (1, 1), (2, 1), 1)], &[], "the least execution time (2 ns)");
    check(&[a, b], &[(0, 2)], "edge 0 names job 2, but there are only 2 jobs");
    check(&[a, b], &[(0, 1), (1, 0)], "waits for itself");
    check(&[a, b], &[(0, 0)], "job T1J1 waits for itself");
    check(&[a, job(1, 2, (0, 1 << 61), (1, 1), 1)], &[], "up to job T1J2");
    check(&[a, job(1, 2, (0, u64::MAX), (1, u64::MAX), 1)], &[], "more than 2^61 ns");
    let backwards = Edge { from: 0, to: 1, delay: Span::new(Nanos(2), Nanos(1)) };
    let error = JobSet::new(vec![a, b], vec![backwards], Ties::ById).unwrap_err();
    assert_eq!(error, JobSetError::EdgeOrder { edge: 0, min: 2, max: 1 });
}

/// Whatever the limits: bounds cover every schedule, `Meets` and `Misses` are what the schedules say.
#[test]
fn answers_hold_under_every_limit() {
    let mut methods = std::collections::BTreeMap::new();
    for seed in 80_000..80_000 + 400 * scale() {
        let ties = if seed % 2 == 0 { Ties::ById } else { Ties::ByRelease };
        let (mut jobs, edges) = random(&mut Rng::new(seed), 6, seed % 3, seed % 2 * 2, 5_000);
        if seed % 5 == 0 {
            jobs[0].cost.min = Nanos(0);
        }
        let schedules = ends(&jobs, &edges, ties);
        let meets = schedules.iter().zip(&jobs).all(|(end, job)| end.1 <= job.deadline.0);
        let set = set(&jobs, &edges, ties);
        for states in [0, 3, 6, 9, 12, 1_000] {
            let limits = Limits { states, ..Limits::default() };
            let answer = admit(&set, &limits);
            *methods.entry(answer.method.code()).or_insert(0) += 1;
            for (bound, end) in answer.completions.iter().zip(&schedules) {
                let bound = (bound.best.0, bound.worst.0);
                assert!(
                    bound.0 <= end.0 && end.1 <= bound.1,
                    "seed {seed}, {states}: {answer:?} {schedules:?}"
                );
                assert!(!answer.exact || bound == *end, "seed {seed}");
            }
            match answer.outcome {
                Outcome::Meets => assert!(meets, "seed {seed}, {states}: {answer:?}"),
                Outcome::Misses { job } => {
                    assert!(schedules[job].1 > jobs[job].deadline.0, "seed {seed}, {states}: {answer:?}");
                }
                Outcome::Undecided { .. } => assert!(!answer.exact, "seed {seed}"),
            }
        }
    }
    println!("{methods:?}");
    assert_eq!(methods.keys().copied().collect::<Vec<_>>(), ["busy_windows", "schedules"]);
}

/// Bounds are called attained only where they certainly are.
#[test]
fn what_may_not_be_attained_is_not_called_exact() {
    let exact = |jobs: &[Job], ties| admit(&set(jobs, &[], ties), &Limits::default()).exact;
    let points = [job(1, 1, (0, 0), (1, 2), 1), job(2, 1, (0, 0), (1, 2), 1), job(3, 1, (4, 4), (1, 2), 2)];
    assert!(exact(&points, Ties::ById) && exact(&points, Ties::ByRelease));
    let instant = [job(1, 1, (0, 0), (0, 2), 1)];
    assert!(!exact(&instant, Ties::ById));
    let overlapping =
        [job(1, 1, (0, 3), (1, 2), 1), job(2, 1, (2, 5), (1, 2), 1), job(3, 1, (0, 0), (1, 2), 2)];
    assert!(exact(&overlapping, Ties::ById) && !exact(&overlapping, Ties::ByRelease));
    assert!(exact(&overlapping[..2], Ties::ByRelease), "first come, first served");
    let overtaking = [job(1, 1, (0, 3), (1, 2), 1), job(1, 2, (2, 5), (1, 2), 1)];
    assert!(!exact(&overtaking, Ties::ByRelease));
}

/// Sets whose states are many intervals for each set of started jobs: as one each, they cover what they were.
#[test]
fn hulls_cover_every_schedule() {
    let (mut hulls, mut wider) = (0, 0);
    for seed in 90_000..90_000 + 60 * scale() {
        let rng = &mut Rng::new(seed);
        let (mut jobs, edges) = random(rng, 12, seed % 2, seed % 2 * 3, u64::MAX);
        for job in &mut jobs {
            let release = rng.between(0, 60);
            job.release = Span::new(Nanos(release), Nanos(release + rng.between(0, 30)));
            let cost = rng.between(1, 8);
            job.cost = Span::new(Nanos(cost), Nanos(cost + rng.between(0, 1)));
            job.deadline = Nanos(rng.between(30, 120));
        }
        let set = set(&jobs, &edges, Ties::ById);
        let all = explore(&set, &Limits::default());
        let exact = found(&all);
        let meets = exact.iter().zip(&jobs).all(|(end, job)| end.1 <= job.deadline.0);
        for fewer in 1..10 {
            let limits = Limits { states: all.states.saturating_sub(fewer), ..Limits::default() };
            let answer = admit(&set, &limits);
            hulls += u64::from(answer.method == Method::Hull);
            for (bound, end) in answer.completions.iter().zip(&exact) {
                assert!(bound.best.0 <= end.0 && end.1 <= bound.worst.0, "seed {seed}, {fewer}");
                wider += u64::from(answer.method == Method::Hull && (bound.best.0, bound.worst.0) != *end);
            }
            match answer.outcome {
                Outcome::Meets => assert!(meets, "seed {seed}, {fewer}"),
                Outcome::Misses { job } => assert!(exact[job].1 > jobs[job].deadline.0, "seed {seed}"),
                Outcome::Undecided { .. } => {}
            }
        }
    }
    println!("{hulls} answers from hulls, {wider} of their bounds not attained");
    assert!(hulls > 0, "{hulls}");
}
