//! A recorded run under another policy: under its own it is the same run, and under another what the simulator says when
//! it is given the same jobs.
use aegis_core::{JobId, Nanos, Overheads, Policy, Rng, TaskDraft, TaskId, TaskSet};
use aegis_sched::counterfactual::{End, counterfactual};
use aegis_sched::digest::{DecisionHash, hash};
use aegis_sched::replay::RecordedStep;
use aegis_sched::simulator::{Arrival, Workload, simulate};
use aegis_trace::{Body, Header, Jobs, Record, Trace, write_all};
use std::collections::BTreeMap;

const POLICIES: [Policy; 3] = [Policy::Fifo, Policy::FixedPriority, Policy::Edf];

/// Jobs whose times depend on their names alone.
struct Same<'a> {
    set: &'a TaskSet,
    next: Vec<Nanos>,
    left: Vec<u64>,
    seed: u64,
}

impl Workload for Same<'_> {
    fn next(&mut self, task: TaskId) -> Option<Arrival> {
        let i = task.index();
        self.left[i] = self.left[i].checked_sub(1)?;
        let spec = &self.set.tasks()[i];
        let arrival = self.next[i];
        let mut rng = Rng::new(self.seed ^ arrival.0 ^ (i as u64) << 50);
        self.next[i] = arrival + spec.arrival.mean_distance() + Nanos(rng.between(0, 5));
        Some(Arrival { arrival, release: arrival + Nanos(rng.between(0, spec.jitter.0)) })
    }

    fn execution(&mut self, job: JobId, segment: u16) -> Nanos {
        let most = self.set.tasks()[job.task.index()].segments[usize::from(segment)].0;
        Nanos(
            Rng::new(self.seed ^ job.seq << 20 ^ u64::from(job.task.0) << 8 ^ u64::from(segment))
                .between(1, most),
        )
    }
}

fn set(seed: u64, policy: Policy) -> TaskSet {
    let mut rng = Rng::new(seed);
    let drafts = (0..rng.between(2, 4)).map(|i| {
        let period = rng.between(10, 60);
        TaskDraft {
            name: format!("task{i}"),
            segments: (0..rng.between(1, 2)).map(|_| Nanos(rng.between(1, period / 5))).collect(),
            arrival: Nanos(period).into(),
            deadline: Some(Nanos(rng.between(period / 2, period))),
            // Releases of one task stay in the order of their arrivals.
            jitter: Nanos(4),
            priority: None,
        }
    });
    TaskSet::new(policy, Overheads::default(), drafts.collect()).unwrap()
}

/// The steps under `policy`, and the response of every job.
fn ran(seed: u64, policy: Policy, queues: &[u32]) -> (TaskSet, Vec<RecordedStep>) {
    let set = set(seed, policy);
    let n = set.tasks().len();
    let mut world = Same { set: &set, next: vec![Nanos(7); n], left: vec![60; n], seed };
    let mut steps = Vec::new();
    simulate(&set, queues, &mut world, |at, event, decision| {
        steps.push(RecordedStep { at, event, decision });
    });
    (set, steps)
}

fn trace(set: &TaskSet, queues: Vec<u32>, steps: &[RecordedStep]) -> Trace {
    let header = Header {
        created_unix_ns: 0,
        clock: "virtual".to_owned(),
        program: "test".to_owned(),
        spec_digest: String::new(),
        seed: None,
        set: set.clone(),
        queues,
        models: vec![],
        host: "test".to_owned(),
    };
    let records = steps.iter().map(|step| {
        let body = Body::Step { event: step.event, decision: step.decision };
        Record { at: step.at, body }
    });
    let mut bytes = Vec::new();
    write_all(&mut bytes, &header, records).unwrap();
    Trace::from_bytes(&bytes).unwrap()
}

#[test]
fn under_its_own_policy_it_is_the_same_run_and_under_another_what_the_simulator_says() {
    let mut differ = 0;
    for seed in 0..200 {
        // Queues that never fill: a refused job has no execution on record.
        let queues = vec![1_000; set(seed, Policy::Fifo).tasks().len()];
        let runs: BTreeMap<&str, (TaskSet, Vec<RecordedStep>)> =
            POLICIES.iter().map(|policy| (policy.name(), ran(seed, *policy, &queues))).collect();
        for (set, steps) in runs.values() {
            let trace = trace(set, queues.clone(), steps);
            let jobs = Jobs::of(&trace);
            for policy in POLICIES {
                let other = counterfactual(&trace, &jobs, policy);
                let (_, expected) = &runs[policy.name()];
                assert_eq!(other.assumed, 0, "seed {seed}");
                assert_eq!(
                    hash(other.steps.iter().copied()),
                    hash(expected.iter().copied()),
                    "seed {seed}: {} recorded, {policy} asked",
                    set.policy()
                );
                for one in &other.jobs {
                    assert!(one.recorded.response().is_some() && one.other.response().is_some(), "{one:?}");
                    assert!(policy != set.policy() || one.recorded == one.other, "seed {seed}: {one:?}");
                    differ += u64::from(one.recorded != one.other);
                }
            }
        }
    }
    assert!(differ > 1_000, "{differ}");
}

/// A job that was refused has no execution on record: its WCET stands for it, and is counted.
#[test]
fn refused_jobs_and_full_queues() {
    let (mut refused, mut assumed) = (0, 0);
    for seed in 0..100 {
        let n = set(seed, Policy::Fifo).tasks().len();
        let (set, steps) = ran(seed, Policy::Fifo, &vec![1; n]);
        let trace = trace(&set, vec![1; n], &steps);
        let jobs = Jobs::of(&trace);
        let same = counterfactual(&trace, &jobs, Policy::Fifo);
        assert!(same.jobs.iter().all(|one| one.recorded == one.other), "seed {seed}");
        refused += same.jobs.iter().filter(|one| one.recorded == End::Refused).count();
        let other = counterfactual(&trace, &jobs, Policy::Edf);
        assert_eq!(other.jobs.len(), same.jobs.len());
        assumed += other.assumed;
    }
    assert!(refused > 0 && assumed > 0, "{refused} {assumed}");
}

/// The same on every machine and in every build profile: whoever changes a decision, a reason or their encoding sees it
/// here.
#[test]
fn the_hash_of_these_decisions_is_this_one() {
    let mut all = Vec::new();
    for policy in POLICIES {
        for seed in 0..100 {
            let n = set(seed, policy).tasks().len();
            all.extend(ran(seed, policy, &vec![2; n]).1);
        }
    }
    let hash: DecisionHash = hash(all.iter().copied());
    let expected = "33db0d5f25f3019485837e1d505df00a3013e13b9cd8bec0cc49891e31fb84e4";
    assert_eq!((all.len(), hash.to_string().as_str()), (279_411, expected));
}
