//! Assignment of tasks to partitions: the exact search against every way there is, the fits against the exact search.
use aegis_analysis::analyse;
use aegis_analysis::partition::{NoAssignment, Strategy, assign};
use aegis_core::{
    Chain, Nanos, Overheads, Partition, PartitionId, Policy, Rng, Segment, System, SystemTask, TaskId,
    Trigger,
};

/// How many times the sets of a normal run: `AEGIS_SCALE`.
fn scale() -> usize {
    std::env::var("AEGIS_SCALE").map_or(1, |scale| scale.parse().expect("AEGIS_SCALE is a whole number"))
}

/// Partitions by policy and interference; tasks by `C`, `T`, `D`.
fn system(partitions: &[(Policy, u32)], tasks: &[(u64, u64, u64)], chains: Vec<Chain>) -> System {
    let partition = |(p, &(policy, interference_permille)): (usize, &(Policy, u32))| Partition {
        name: format!("p{p}"),
        policy,
        overheads: Overheads::default(),
        interference_permille,
    };
    let task = |(i, &(c, t, d)): (usize, &(u64, u64, u64))| SystemTask {
        name: format!("t{i}"),
        segments: vec![Segment::of(Nanos(c))],
        arrival: Nanos(t).into(),
        deadline: Some(Nanos(d)),
        ..SystemTask::default()
    };
    let partitions = partitions.iter().enumerate().map(partition).collect();
    System::new(partitions, tasks.iter().enumerate().map(task).collect(), chains).unwrap()
}

/// Whether any way at all is admitted.
fn any_way(system: &System) -> bool {
    let (p, n) = (system.partitions().len(), system.tasks().len());
    (0..p.pow(u32::try_from(n).unwrap())).any(|way| {
        let mut tasks = system.tasks().to_vec();
        for (i, task) in tasks.iter_mut().enumerate() {
            task.partition = PartitionId::from(way / p.pow(u32::try_from(i).unwrap()) % p);
        }
        let placed = System::new(system.partitions().to_vec(), tasks, system.chains().to_vec()).unwrap();
        analyse(&placed).admitted()
    })
}

#[test]
fn the_exact_search_finds_one_exactly_when_there_is_one() {
    let seed = 1;
    let mut rng = Rng::new(seed);
    let (mut found, mut fits) = (0, [0; 3]);
    let sets = 300 * scale();
    for k in 0..sets {
        let policies = [Policy::FixedPriority, Policy::Edf, Policy::Fifo];
        let partitions: Vec<(Policy, u32)> = (0..rng.between(2, 3))
            .map(|_| {
                (
                    policies[usize::try_from(rng.between(0, 2)).unwrap()],
                    if rng.one_in(3) { 1500 } else { 1000 },
                )
            })
            .collect();
        let tasks: Vec<(u64, u64, u64)> = (0..rng.between(3, 5))
            .map(|_| {
                let t = rng.between(4, 20);
                let c = rng.between(1, t / 2);
                (c, t, rng.between(c, t))
            })
            .collect();
        let edges = vec![(TaskId(0), TaskId(1)), (TaskId(1), TaskId(2))];
        let trigger = if rng.one_in(2) { Trigger::Event } else { Trigger::Time };
        let deadline = Some(Nanos(rng.between(10, 60)));
        let chain = Chain { name: "c".to_string(), edges, trigger, deadline };
        let chains = if k % 5 == 0 { vec![chain] } else { Vec::new() };
        let system = system(&partitions, &tasks, chains);
        let exact = assign(&system, Strategy::Exact);
        assert_eq!(exact.is_ok(), any_way(&system), "seed {seed}: {partitions:?} {tasks:?}: {exact:?}");
        if let Ok(assignment) = &exact {
            assert!(analyse(&assignment.system).admitted());
            found += 1;
        }
        let strategies = [Strategy::FirstFit, Strategy::BestFit, Strategy::WorstFit];
        for (count, strategy) in fits.iter_mut().zip(strategies) {
            if let Ok(assignment) = assign(&system, strategy) {
                assert!(exact.is_ok() && analyse(&assignment.system).admitted());
                *count += 1;
            }
        }
    }
    println!("seed {seed}: of {sets} systems exact {found}, first, best, worst fit {fits:?}");
    assert!(found > sets / 4 && found < sets && fits.iter().all(|fit| *fit <= found && *fit > found / 2));
}

#[test]
fn first_best_and_worst_fit_place_as_their_names_say() {
    let places = |strategy| -> Vec<u32> {
        let tasks = [(50, 100, 100), (30, 100, 100), (20, 100, 100), (10, 100, 100)];
        let system = system(&[(Policy::Edf, 1000), (Policy::Edf, 1900), (Policy::Edf, 1000)], &tasks, vec![]);
        assign(&system, strategy).unwrap().places().map(|place| place.0).collect()
    };
    assert_eq!(places(Strategy::FirstFit), [0, 0, 0, 1]);
    assert_eq!(places(Strategy::BestFit), [1, 0, 0, 0]);
    assert_eq!(places(Strategy::WorstFit), [0, 2, 1, 2]);
}

/// Decreasing utilisation misleads the fits; the exact search finds 5 + 3 + 2 and 4 + 4 + 2.
#[test]
fn exact_where_first_fit_fails() {
    let tasks = [5, 4, 4, 3, 2, 2].map(|c| (c, 10, 10));
    let system = system(&[(Policy::Fifo, 1000); 2], &tasks, vec![]);
    assert!(assign(&system, Strategy::FirstFit).is_err());
    let exact = assign(&system, Strategy::Exact).unwrap();
    let load = |p: u32| exact.places().zip(tasks).filter(|(on, _)| on.0 == p).map(|(_, t)| t.0).sum::<u64>();
    assert_eq!([load(0), load(1)], [10, 10]);
}

#[test]
fn why_none_fits() {
    let system = system(
        &[(Policy::Fifo, 1000), (Policy::Fifo, 2000)],
        &[(6, 10, 10), (5, 10, 10), (5, 10, 10)],
        vec![],
    );
    let none = assign(&system, Strategy::Exact).unwrap_err();
    let NoAssignment::Unplaced { proved: true, ref placed, ref why, .. } = none else { panic!("{none:?}") };
    assert_eq!((placed.len(), why.len()), (2, 2));
    let text = none.sentence(&system);
    assert!(text.starts_with("no assignment fits") && text.contains("t2 fits nowhere: on p0: "), "{text}");
}
