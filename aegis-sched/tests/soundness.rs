//! "Response ≤ bound", tested on millions of simulated jobs of admitted random systems under adversarial releases and
//! early completions, by the very code that drives the device; and a test of that test, with a planted defect.
//!
//! `AEGIS_JOBS` sets the number of jobs (default 1 000 000 in debug builds, 10 000 000 in release), `AEGIS_SEED` the seed.
use aegis_analysis::admit;
use aegis_core::{Nanos, Overheads, Policy, Rng, TaskDraft, TaskSet, TermKind, Verdict};
use aegis_sched::simulator::simulate;
use aegis_sched::workload::{Adversary, Execution};

const POLICIES: [Policy; 3] = [Policy::Fifo, Policy::FixedPriority, Policy::Edf];
/// Jobs of one task that may wait: more than any admitted system here ever needs.
const QUEUE: u32 = 4096;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// A random system: small integer times, so that coincidences are frequent; jitter, segments, overheads and deadlines of
/// every kind.
fn system(rng: &mut Rng, policy: Policy) -> TaskSet {
    let n = rng.between(2, 5);
    let overheads = if rng.one_in(3) {
        Overheads {
            release: Nanos(rng.between(0, 2)),
            dispatch: Nanos(rng.between(0, 1)),
            completion: Nanos(rng.between(0, 1)),
            ..Overheads::default()
        }
    } else {
        Overheads::default()
    };
    let drafts = (0..n)
        .map(|i| {
            let period = rng.between(4, 60);
            let wcet = rng.between(1, (period / n * 2).max(1));
            let segments = if rng.one_in(3) && wcet >= 2 {
                let first = rng.between(1, wcet - 1);
                vec![Nanos(first), Nanos(wcet - first)]
            } else {
                vec![Nanos(wcet)]
            };
            TaskDraft {
                name: format!("t{i}"),
                segments,
                arrival: Nanos(period).into(),
                deadline: Some(Nanos(rng.between(period / 2 + 1, period * 2))),
                jitter: Nanos(if rng.one_in(3) { rng.between(0, period) } else { 0 }),
                priority: None,
            }
        })
        .collect();
    TaskSet::new(policy, overheads, drafts).expect("the generator makes valid sets")
}

/// Runs `jobs` jobs of admitted random systems and returns how many responses were above the bound that `bound` gives
/// for a task, how many bounds were attained exactly, and how many systems ran.
fn violations(jobs: u64, seed: u64, bound: impl Fn(&Verdict, usize) -> Nanos) -> (u64, u64, u64) {
    let mut rng = Rng::new(seed);
    let (mut done, mut above, mut attained, mut systems) = (0, 0, 0, 0);
    while done < jobs {
        let policy = POLICIES[usize::try_from(rng.between(0, 2)).unwrap()];
        let set = system(&mut rng, policy);
        let verdict = admit(&set);
        if !verdict.admitted() {
            continue;
        }
        systems += 1;
        let longest = verdict.tasks.iter().map(|t| t.bound.as_ref().unwrap().busy_period).max().unwrap();
        let execution = if rng.one_in(2) { Execution::Wcet } else { Execution::UpToWcet };
        let queues = vec![QUEUE; set.tasks().len()];
        let mut world = Adversary::new(&set, longest, 1_000, execution, rng.bits());
        for (i, outcome) in simulate(&set, &queues, &mut world, |_, _, _| {}).iter().enumerate() {
            assert_eq!(outcome.refused, 0, "the queues are long enough: {set:?}");
            done += outcome.jobs;
            let bound = bound(&verdict, i);
            above += u64::from(outcome.worst > bound);
            attained += u64::from(outcome.worst == bound);
            assert!(
                outcome.worst > bound || outcome.missed == 0,
                "met its bound, missed its deadline: {set:?}"
            );
        }
    }
    (above, attained, systems)
}

#[test]
fn response_never_exceeds_the_bound() {
    let jobs = from_env("AEGIS_JOBS", if cfg!(debug_assertions) { 1_000_000 } else { 10_000_000 });
    let seed = from_env("AEGIS_SEED", 1);
    let (above, attained, systems) =
        violations(jobs, seed, |verdict, i| verdict.tasks[i].bound.as_ref().unwrap().wcrt);
    println!("{jobs} jobs, {systems} admitted systems, {attained} bounds attained exactly, seed {seed}");
    assert_eq!(
        above, 0,
        "AEGIS_SEED={seed} cargo test --release -p aegis-sched --test soundness fails again"
    );
    assert!(attained > systems / 2, "the adversary is too tame: {attained} of {systems} systems");
}

/// The same test must fail for an analysis that forgets one tick of blocking.
#[test]
fn a_planted_off_by_one_in_the_blocking_is_found() {
    let (above, _, _) = violations(100_000, 2, |verdict, i| {
        let bound = verdict.tasks[i].bound.as_ref().unwrap();
        let blocked = bound.terms.iter().any(|t| t.kind == TermKind::Blocking);
        bound.wcrt.saturating_sub(Nanos(u64::from(blocked)))
    });
    assert!(above > 0, "nothing exceeded a bound that is one tick too small");
}

/// The published scenario: releasing everything at once shows no miss; C one millisecond early makes A and B miss.
#[test]
fn mvp_scenario_misses_only_under_adversarial_release() {
    use aegis_sched::workload::Periodic;
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
