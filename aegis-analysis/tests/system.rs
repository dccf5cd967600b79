//! A whole system: which theorem answers for which partition, and that nothing that is described is overlooked.
use aegis_analysis::{
    ChainBound, SystemRejection, SystemVerdict, TaskBound, Theorem, admit, analyse, suspension::Rule,
};
use aegis_core::{
    Chain, Criticality, HostPart, Nanos, Overheads, Partition, PartitionId, Policy, Priority, Segment,
    System, SystemTask, TaskId, Trigger,
};

fn partition(name: &str, policy: Policy) -> Partition {
    Partition { name: name.to_string(), policy, overheads: Overheads::default(), interference_permille: 1000 }
}

fn task(name: &str, c: u64, t: u64, on: u32) -> SystemTask {
    SystemTask {
        name: name.to_string(),
        segments: vec![Segment::of(Nanos(c))],
        arrival: Nanos(t).into(),
        partition: PartitionId(on),
        ..SystemTask::default()
    }
}

fn high(task: SystemTask, c: u64) -> SystemTask {
    SystemTask { segments: vec![Segment { wcet_hi: Some(Nanos(c)), ..task.segments[0] }], ..task }
}

fn low(task: SystemTask) -> SystemTask {
    SystemTask { criticality: Criticality::Low, ..task }
}

fn wcrts(verdict: &SystemVerdict) -> Vec<Option<u64>> {
    verdict.tasks.iter().map(|task| task.wcrt.map(|wcrt| wcrt.0)).collect()
}

/// One partition of each kind, all at once.
#[test]
fn each_partition_by_its_theorem() {
    let partitions = vec![
        partition("plain", Policy::Edf),
        partition("host", Policy::FixedPriority),
        partition("modes", Policy::FixedPriority),
        partition("reserved", Policy::Edf),
        partition("camera", Policy::Fifo),
        partition("planner", Policy::Fifo),
        partition("empty", Policy::Fifo),
    ];
    let host = vec![HostPart { min: Nanos(1), max: Nanos(3) }];
    let tasks = vec![
        task("a", 2, 10, 0),
        task("b", 3, 12, 0),
        SystemTask {
            segments: vec![Segment::of(Nanos(1)), Segment::of(Nanos(2))],
            host,
            ..task("c", 1, 20, 1)
        },
        SystemTask { priority: Some(Priority(0)), ..low(task("d", 4, 10, 2)) },
        SystemTask { priority: Some(Priority(1)), ..high(task("e", 2, 12, 2), 8) },
        low(task("f", 4, 20, 3)),
        high(task("g", 2, 20, 3), 8),
        task("h", 2, 10, 4),
        task("i", 1, 10, 4),
        task("j", 3, 10, 5),
    ];
    let chain = |trigger, from, to, deadline| Chain {
        name: format!("{from} to {to}"),
        edges: vec![(TaskId(from), TaskId(to))],
        trigger,
        deadline: Some(Nanos(deadline)),
    };
    let chains = vec![chain(Trigger::Event, 7, 9, 6), chain(Trigger::Time, 0, 1, 30)];
    let system = System::new(partitions, tasks, chains).unwrap();
    let verdict = analyse(&system);
    let theorems: Vec<Theorem> = verdict.partitions.iter().map(|partition| partition.theorem).collect();
    assert_eq!(
        theorems,
        [
            Theorem::ResponseTimes,
            Theorem::Suspension,
            Theorem::MixedCriticality,
            Theorem::Reservation,
            Theorem::Holistic,
            Theorem::Holistic
        ]
    );
    let expect = [4, 5, 6, 5, 12, 12, 12, 3, 3, 6];
    assert_eq!(wcrts(&verdict), expect.map(Some), "{verdict:#?}");
    let TaskBound::Suspending(response) = verdict.tasks[2].bound.as_ref().unwrap() else { panic!() };
    assert_eq!((response.rule, response.parts.len()), (Rule::Oblivious, 2));
    assert_eq!(verdict.chains[0].bound, Ok(ChainBound::Event(Nanos(6))));
    let Ok(ChainBound::Time(latency)) = verdict.chains[1].bound else { panic!() };
    // `a` has the shorter deadline, so that it costs no response of its own: 9 + 11 + 5 and 9 + 5.
    assert_eq!((latency.reaction, latency.age), (Nanos(25), Nanos(14)));
    assert!(verdict.admitted(), "{:?}", verdict.rejections);
}

#[test]
fn a_plain_partition_answers_like_admission() {
    for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
        let tasks = vec![task("a", 2, 9, 0), task("b", 3, 12, 0), task("c", 4, 11, 0)];
        let system = System::new(vec![partition("p", policy)], tasks, vec![]).unwrap();
        let plain = admit(&system.partition_set(PartitionId(0)).unwrap().unwrap());
        let verdict = analyse(&system);
        assert_eq!(verdict.admitted(), plain.admitted(), "{policy}");
        let bounds = plain.tasks.iter().map(|task| task.bound.as_ref().map(|bound| bound.wcrt.0));
        assert_eq!(wcrts(&verdict), bounds.collect::<Vec<_>>(), "{policy}");
        assert_eq!(verdict.partitions[0].verdict.as_ref(), Some(&plain));
    }
}

/// Terms name tasks of the system, not of the partition.
#[test]
fn terms_name_tasks_of_the_system() {
    let tasks = vec![task("a", 1, 10, 0), task("b", 2, 10, 1), task("c", 3, 10, 1)];
    let system =
        System::new(vec![partition("p", Policy::Fifo), partition("q", Policy::Fifo)], tasks, vec![]).unwrap();
    let verdict = analyse(&system);
    let TaskBound::Plain(bound) = verdict.tasks[2].bound.as_ref().unwrap() else { panic!() };
    let by: Vec<TaskId> = bound.terms.iter().filter_map(|term| term.by).collect();
    assert_eq!(by, [TaskId(1)]);
}

#[track_caller]
fn rejected(system: &System, says: &[&str]) {
    let sentences: Vec<String> =
        analyse(system).rejections.iter().map(|rejection| rejection.sentence(system)).collect();
    assert_eq!(sentences, says);
}

#[test]
fn every_reason_is_a_sentence() {
    let one = |policy, tasks| System::new(vec![partition("gpu", policy)], tasks, vec![]).unwrap();
    rejected(
        &one(Policy::Edf, vec![task("a", 6, 10, 0), task("b", 6, 10, 0)]),
        &["partition gpu: its tasks ask for 120.0000 % of the time"],
    );
    rejected(
        &one(Policy::FixedPriority, vec![task("a", 6, 10, 0), task("b", 6, 11, 0)]),
        &[
            "partition gpu: its tasks ask for 114.5455 % of the time",
            "a: worst response 11 ns > deadline 10 ns",
            "b: what is served before it leaves no time to spare; no response is certain",
        ],
    );
    rejected(
        &one(Policy::Edf, vec![high(task("a", 3, 10, 0), 8), task("b", 4, 10, 0)]),
        &["partition gpu: its tasks ask for 120.0000 % of the time"],
    );
    let two = vec![partition("p", Policy::Fifo), partition("q", Policy::Fifo)];
    let chain = |deadline| Chain {
        name: "see and act".to_string(),
        edges: vec![(TaskId(0), TaskId(1))],
        trigger: Trigger::Event,
        deadline,
    };
    let tasks = vec![task("a", 3, 10, 0), task("b", 4, 10, 1)];
    let late = System::new(two.clone(), tasks, vec![chain(Some(Nanos(6)))]).unwrap();
    rejected(&late, &["chain see and act: end to end 7 ns > deadline 6 ns"]);
    let tasks = vec![task("a", 3, 10, 0), task("b", 4, 10, 1), task("c", 7, 10, 1)];
    let lost = System::new(two, tasks, vec![chain(Some(Nanos(100)))]).unwrap();
    let verdict = analyse(&lost);
    assert_eq!(verdict.tasks[0].wcrt, Some(Nanos(3)), "it waits for nobody");
    assert!(matches!(verdict.rejections.last(), Some(SystemRejection::ChainWithoutBound { chain: 0, .. })));
}

/// A high WCET counts wherever no mode changes, host parts or chains or not.
#[test]
fn high_wcets_are_never_overlooked() {
    let partitions = || vec![partition("p", Policy::Fifo), partition("q", Policy::Fifo)];
    let tasks = vec![high(task("a", 3, 20, 0), 5), task("b", 4, 20, 1)];
    let system = |chains| System::new(partitions(), tasks.clone(), chains).unwrap();
    assert_eq!(wcrts(&analyse(&system(vec![]))), [Some(5), Some(4)]);
    let chain = Chain {
        name: "c".to_string(),
        edges: vec![(TaskId(0), TaskId(1))],
        trigger: Trigger::Event,
        deadline: None,
    };
    let verdict = analyse(&system(vec![chain]));
    assert_eq!(verdict.chains[0].bound, Ok(ChainBound::Event(Nanos(9))));
    let host = vec![HostPart { min: Nanos(2), max: Nanos(2) }];
    let segment = Segment { wcet_hi: Some(Nanos(5)), ..Segment::of(Nanos(3)) };
    let with_host = SystemTask { segments: vec![segment; 2], host, ..task("a", 1, 30, 0) };
    let alone = vec![partition("p", Policy::FixedPriority)];
    assert_eq!(wcrts(&analyse(&System::new(alone, vec![with_host], vec![]).unwrap())), [Some(12)]);
}
