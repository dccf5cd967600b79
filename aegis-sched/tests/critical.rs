//! Critical instants, played by the scheduler that drives the device: the analysed job responds as late as its bound says,
//! for every task of random sets under every policy; where it cannot, by as much less as the pattern says.
//!
//! `AEGIS_SCALE` multiplies the number of sets, `AEGIS_SEED` sets the seed.
#[path = "../../aegis-analysis/tests/common/curve.rs"]
mod curve;

use aegis_analysis::admit;
use aegis_analysis::critical::{Pattern, Ties, of_bound};
use aegis_core::{ArrivalLaw, Nanos, Overheads, Policy, Priority, Rng, TaskDraft, TaskId, TaskSet, Why};
use aegis_sched::pattern::{Listed, ListedJob};
use aegis_sched::simulator::{Arrival, simulate};
use curve::curve;

const POLICIES: [Policy; 3] = [Policy::Fifo, Policy::FixedPriority, Policy::Edf];

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// What random sets may contain.
#[expect(clippy::struct_excessive_bools, reason = "each is a feature that a set has or has not")]
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    jitter: bool,
    /// Jitter may exceed the period.
    overtaking: bool,
    segments: bool,
    overheads: bool,
    /// Some tasks share a priority.
    equal_priorities: bool,
    /// Half of the tasks arrive by a curve.
    curves: bool,
}

fn random(rng: &mut Rng, policy: Policy, shape: Shape) -> TaskSet {
    let n = rng.between(2, 6);
    let mut small = |most: u64| if shape.overheads { Nanos(rng.between(0, most)) } else { Nanos::ZERO };
    let overheads = Overheads {
        release: if shape.jitter { small(2) } else { Nanos::ZERO },
        dispatch: small(1),
        launch: small(1),
        copy: small(2),
        completion: small(1),
        ..Overheads::default()
    };
    let drafts = (0..n).map(|i| {
        let t = rng.between(6, 80);
        let (arrival, t) = if shape.curves && rng.one_in(2) {
            let law = ArrivalLaw::from(curve(rng, 3 * t));
            let mean = law.mean_distance().0;
            (law, mean)
        } else {
            (Nanos(t).into(), t)
        };
        let wcet = rng.between(1, (t * 7 / n / 5).max(1));
        let parts = if shape.segments { rng.between(1, 3.min(wcet)) } else { 1 };
        let cut = wcet / parts;
        let segments = (0..parts).map(|k| Nanos(if k == 0 { wcet - cut * (parts - 1) } else { cut }));
        let most = if shape.overtaking { 2 * t } else { t - overheads.release.0 };
        TaskDraft {
            name: format!("t{i}"),
            segments: segments.collect(),
            arrival,
            deadline: Some(Nanos(rng.between(t / 3 + 1, 2 * t))),
            jitter: Nanos(if shape.jitter && rng.one_in(2) { rng.between(0, most) } else { 0 }),
            priority: shape.equal_priorities.then(|| Priority(u32::try_from(rng.between(0, n / 2)).unwrap())),
        }
    });
    TaskSet::new(policy, overheads, drafts.collect()).expect("the generator makes valid sets")
}

/// The response of the analysed job as the simulator sees it.
fn played(set: &TaskSet, pattern: &Pattern) -> Nanos {
    let listed = |job: &aegis_analysis::critical::PatternJob| ListedJob {
        task: job.task,
        times: Arrival { arrival: job.arrival, release: job.release },
        executions: job.executions.clone(),
    };
    let jobs: Vec<ListedJob> = pattern.jobs.iter().map(listed).collect();
    let mut world = Listed::new(set.tasks().len(), &jobs);
    let analysed = world.jobs()[pattern.job];
    let queues = vec![u32::try_from(jobs.len()).unwrap(); set.tasks().len()];
    let mut response = None;
    simulate(set, &queues, &mut world, |_, event, decision| {
        if let aegis_core::Event::Finish { job, .. } = event
            && job == analysed
            && let Why::DeadlineMet { response: r, .. } | Why::DeadlineMissed { response: r, .. } =
                decision.why
        {
            response = Some(r);
        }
    });
    response.expect("the analysed job ends")
}

/// Plays the critical instant of every task; `(attained, one tick less, anything less)`.
fn campaign(seed: u64, sets: u64, policy: Policy, shape: Shape) -> (u64, u64, u64) {
    let mut rng = Rng::new(seed);
    let (mut attained, mut tick, mut less) = (0, 0, 0);
    for _ in 0..sets {
        let set = random(&mut rng, policy, shape);
        for (i, answer) in admit(&set).tasks.iter().enumerate() {
            let Some(bound) = &answer.bound else { continue };
            if bound.busy_period > Nanos(100_000) {
                continue;
            }
            let context = || format!("seed {seed}, task {i} of {set:?}, {bound:?}");
            let pattern = of_bound(&set, TaskId::from(i), bound, Ties::InOrderOfRelease).unwrap();
            let response = played(&set, &pattern);
            assert_eq!(response, pattern.response, "the pattern says what it does: {}", context());
            assert!(response <= bound.wcrt, "{} {pattern:?}", context());
            match pattern.gap().0 {
                0 => attained += 1,
                1 => tick += 1,
                _ => less += 1,
            }
            let listed = of_bound(&set, TaskId::from(i), bound, Ties::AsListed).unwrap();
            assert!(listed.response <= bound.wcrt, "{} {listed:?}", context());
            if !shape.overtaking {
                assert_eq!(listed.gap(), Nanos::ZERO, "{} {listed:?}", context());
            }
        }
    }
    println!("{policy}, {shape:?}: {attained} attained, {tick} one tick less, {less} less; seed {seed}");
    (attained, tick, less)
}

fn check(shape: Shape) {
    let (seed, sets) = (from_env("AEGIS_SEED", 1), 300 * from_env("AEGIS_SCALE", 1));
    for policy in POLICIES {
        let (attained, tick, less) = campaign(seed, sets, policy, shape);
        assert!(attained > sets / 2, "{attained} of {sets} sets");
        let tied = policy == Policy::FixedPriority && shape.equal_priorities;
        let exact = !shape.overtaking && !tied;
        if exact {
            assert_eq!(less, 0, "{policy}");
            assert!(policy == Policy::Edf || tick == 0, "{policy}: only deadlines tie");
        }
    }
}

#[test]
fn one_segment() {
    check(Shape::default());
}

#[test]
fn jitter() {
    check(Shape { jitter: true, ..Shape::default() });
}

#[test]
fn segments_and_overheads() {
    check(Shape { segments: true, overheads: true, ..Shape::default() });
}

#[test]
fn everything() {
    check(Shape { jitter: true, segments: true, overheads: true, ..Shape::default() });
}

#[test]
fn arrival_curves() {
    check(Shape { curves: true, segments: true, ..Shape::default() });
}

#[test]
fn arrival_curves_with_jitter() {
    check(Shape { curves: true, jitter: true, overtaking: true, segments: true, ..Shape::default() });
}

#[test]
fn equal_priorities() {
    check(Shape { equal_priorities: true, jitter: true, ..Shape::default() });
}

#[test]
fn jitter_above_the_period() {
    check(Shape { jitter: true, overtaking: true, segments: true, ..Shape::default() });
}
