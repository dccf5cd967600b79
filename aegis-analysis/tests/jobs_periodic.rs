//! Known offsets and time tables: against long simulations, against every order of tiny sets, and on published sets.
mod schedules;

use aegis_analysis::jobs::table::{NoTable, Output, Slot, TableOptions, check, table};
use aegis_analysis::jobs::{
    AtOffsets, Edge, Job, JobSet, Limits, Method, NoCyclicTable, OffsetsVerdict, PeriodicError, Span, Ties,
    Undecided, cyclic_table, offsets_verdict, periodic,
};
use aegis_core::{
    Chain, HostPart, Nanos, Overheads, Partition, PartitionId, Policy, Rng, Segment, Stall, System,
    SystemTask, TaskId, Trigger,
};
use std::collections::BTreeMap;

const FIRST: PartitionId = PartitionId(0);

fn scale() -> u64 {
    std::env::var("AEGIS_SCALE").map_or(1, |text| text.parse().expect("AEGIS_SCALE is a whole number"))
}

fn partition(policy: Policy) -> Partition {
    Partition { name: "gpu".to_owned(), policy, overheads: Overheads::default(), interference_permille: 1000 }
}

/// `(offset, [bcet, wcet], T, D, J)`.
fn task(name: &str, offset: u64, cost: [u64; 2], t: u64, d: u64, jitter: u64) -> SystemTask {
    SystemTask {
        name: name.to_owned(),
        segments: vec![Segment { bcet: Nanos(cost[0]), ..Segment::of(Nanos(cost[1])) }],
        arrival: Nanos(t).into(),
        deadline: Some(Nanos(d)),
        jitter: Nanos(jitter),
        offset: Some(Nanos(offset)),
        ..SystemTask::default()
    }
}

fn system(policy: Policy, tasks: Vec<SystemTask>) -> System {
    System::new(vec![partition(policy)], tasks, Vec::new()).unwrap()
}

fn verdict(system: &System) -> OffsetsVerdict {
    offsets_verdict(system, FIRST, &Limits::default())
}

/// Responses of each task, shortest and longest, of jobs that arrive before `until`, while later ones keep coming: jobs in
/// segments with host parts, times drawn by `draw(least, most)`.
fn simulate(system: &System, until: u64, mut draw: impl FnMut(u64, u64) -> u64) -> Vec<(u64, u64)> {
    struct Live {
        task: usize,
        arrival: u64,
        release: u64,
        ready: u64,
        segment: usize,
    }
    let policy = system.partitions()[0].policy;
    let mut live: Vec<Live> = Vec::new();
    for (i, task) in system.tasks().iter().enumerate() {
        let period = task.arrival.period().unwrap().0;
        for arrival in (task.offset.unwrap().0..until + 100).step_by(usize::try_from(period).unwrap()) {
            let release = arrival + draw(0, task.jitter.0);
            live.push(Live { task: i, arrival, release, ready: release, segment: 0 });
        }
    }
    let mut responses = vec![(u64::MAX, 0); system.tasks().len()];
    let mut now = 0;
    while let Some(soonest) = live.iter().map(|job| job.ready).min() {
        now = now.max(soonest);
        let key = |job: &Live| {
            let task = &system.tasks()[job.task];
            let key = match policy {
                Policy::Edf => job.arrival + task.deadline.unwrap().0,
                Policy::FixedPriority => u64::from(task.priority.unwrap().0),
                Policy::Fifo => 0,
            };
            (key, job.release, job.task, job.arrival)
        };
        let ready = (0..live.len()).filter(|i| live[*i].ready <= now);
        let next = ready.min_by_key(|i| key(&live[*i])).unwrap();
        let job = &mut live[next];
        let task = &system.tasks()[job.task];
        let segment = task.segments[job.segment];
        now += draw(segment.bcet.0.max(1), segment.wcet.0);
        job.segment += 1;
        if job.segment < task.segments.len() {
            let host = task.host.get(job.segment - 1).copied().unwrap_or_default();
            job.ready = now + draw(host.min.0, host.max.0);
            continue;
        }
        if job.arrival < until {
            let response = now - job.arrival;
            let worst = &mut responses[job.task];
            *worst = (worst.0.min(response), worst.1.max(response));
        }
        live.swap_remove(next);
    }
    responses
}

fn random_system(rng: &mut Rng, vary: bool) -> System {
    let policy =
        [Policy::Edf, Policy::FixedPriority, Policy::Fifo][usize::try_from(rng.between(0, 2)).unwrap()];
    let n = rng.between(2, 4);
    let tasks = (0..n).map(|i| {
        let t = [6, 8, 12, 16, 24][usize::try_from(rng.between(0, 4)).unwrap()];
        let c = rng.between(1, (t / n).max(1));
        let best = if vary { rng.between(1, c) } else { c };
        let jitter = if vary { rng.between(0, 2) } else { 0 };
        let mut task =
            task(&format!("t{i}"), rng.between(0, t + 3), [best, c], t, rng.between(c, t + 2), jitter);
        task.priority = Some(aegis_core::Priority(u32::try_from(i).unwrap()));
        if c > 1 && rng.one_in(3) {
            let (first, min) = (rng.between(1, c - 1), rng.between(0, 2));
            let segment = |c: u64| Segment { bcet: Nanos(best.min(c)), ..Segment::of(Nanos(c)) };
            task.segments = vec![segment(first), segment(c - first)];
            if !vary {
                task.segments.iter_mut().for_each(|segment| segment.bcet = segment.wcet);
            }
            let max = if vary { min + rng.between(0, 2) } else { min };
            task.host = vec![HostPart { min: Nanos(min), max: Nanos(max) }];
        }
        task
    });
    let tasks = tasks.collect();
    system(policy, tasks)
}

/// Tasks that do the same every time: the simulation of ten hyperperiods shows every response, and only these.
#[test]
fn fixed_times_come_out_as_simulated() {
    let mut compared = 0;
    for seed in 1_000..1_000 + 400 * scale() {
        let system = random_system(&mut Rng::new(seed), false);
        let OffsetsVerdict::Offsets(AtOffsets { admitted: true, tasks, answer, .. }) = verdict(&system)
        else {
            continue;
        };
        let simulated = simulate(&system, 27 + 48 * 10, |least, _| least);
        for (found, simulated) in tasks.iter().zip(&simulated) {
            let found = (found.best.0, found.worst.0);
            assert!(found.0 <= simulated.0 && simulated.1 <= found.1, "seed {seed}: {system:?}");
            // Tasks that arrive at one instant may be served in any order; the simulation takes one of them.
            if answer.exact && !together(&system) {
                assert_eq!(found, *simulated, "seed {seed}: {system:?}");
                compared += 1;
            }
        }
    }
    assert!(compared > 100 * scale(), "{compared}");
}

/// Whether jobs of two tasks ever arrive at one instant.
fn together(system: &System) -> bool {
    let mut seen = BTreeMap::new();
    system.tasks().iter().enumerate().any(|(i, task)| {
        let arrivals =
            (task.offset.unwrap().0..200).step_by(usize::try_from(task.arrival.period().unwrap().0).unwrap());
        arrivals.into_iter().any(|arrival| *seen.entry(arrival).or_insert(i) != i)
    })
}

#[test]
fn no_simulation_exceeds_a_bound() {
    let (mut admitted, mut attained, mut bounds) = (0, 0, 0);
    for seed in 2_000..2_000 + 300 * scale() {
        let rng = &mut Rng::new(seed);
        let system = random_system(rng, true);
        let OffsetsVerdict::Offsets(AtOffsets { admitted: true, tasks, .. }) = verdict(&system) else {
            continue;
        };
        admitted += 1;
        let mut most = vec![0; tasks.len()];
        for run in 0..30 {
            let simulated = simulate(&system, 200, |least, longest| match run {
                0 => longest,
                1 => least,
                _ if rng.one_in(2) => [least, longest][usize::from(rng.one_in(2))],
                _ => rng.between(least, longest),
            });
            for ((bound, simulated), most) in tasks.iter().zip(&simulated).zip(&mut most) {
                assert!(bound.best.0 <= simulated.0, "seed {seed}: {system:?}");
                assert!(simulated.1 <= bound.worst.0, "seed {seed}: {system:?}");
                *most = simulated.1.max(*most);
            }
        }
        bounds += most.len();
        attained += tasks.iter().zip(&most).filter(|(bound, most)| bound.worst.0 == **most).count();
    }
    println!("{admitted} systems admitted; {attained} of {bounds} bounds attained by a simulation");
    assert!(admitted > 50 * scale() && attained * 10 > bounds * 8, "{admitted}: {attained} of {bounds}");
}

/// Two tasks that block each other wherever they meet, and offsets with which they never do.
#[test]
fn offsets_admit_what_no_sporadic_test_can() {
    let tasks = |offset| vec![task("a", 0, [3, 4], 10, 5, 0), task("b", offset, [5, 5], 10, 5, 0)];
    let apart = system(Policy::Edf, tasks(5));
    let set = apart.partition_set(FIRST).unwrap().unwrap();
    assert!(!aegis_analysis::admit(&set).admitted());
    let OffsetsVerdict::Offsets(AtOffsets { admitted: true, tasks: bounds, answer, .. }) = verdict(&apart)
    else {
        panic!()
    };
    assert_eq!((bounds[0].best, bounds[0].worst, bounds[1].worst), (Nanos(3), Nanos(4), Nanos(5)));
    assert_eq!((answer.method, answer.exact), (Method::Schedules, true));
    assert!(!verdict(&system(Policy::Edf, tasks(3))).admitted());
}

/// An early end lets the long job start before the urgent one arrives: with WCETs alone nothing is missed.
#[test]
fn an_early_end_makes_another_job_late() {
    let tasks = |best| {
        vec![
            task("a", 0, [best, 10], 40, 10, 0),
            task("b", 5, [15, 15], 40, 40, 0),
            task("u", 9, [5, 5], 40, 8, 0),
        ]
    };
    assert!(verdict(&system(Policy::Edf, tasks(10))).admitted());
    assert!(!verdict(&system(Policy::Edf, tasks(8))).admitted());
}

#[track_caller]
fn not_periodic(system: &System, says: &str) {
    let error = periodic(system, FIRST).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
    let OffsetsVerdict::Sporadic { why: Undecided::NotPeriodic(why), verdict } = verdict(system) else {
        panic!()
    };
    assert_eq!(why.to_string(), error);
    assert_eq!(verdict, aegis_analysis::admit(&system.partition_set(FIRST).unwrap().unwrap()));
}

#[test]
fn what_is_not_periodic_falls_back_to_the_sporadic_test() {
    let edf = |tasks| system(Policy::Edf, tasks);
    let mut free = task("free", 0, [1, 1], 10, 10, 0);
    free.offset = None;
    not_periodic(&edf(vec![free]), "task `free` states no offset");
    let odd = vec![task("a", 0, [1, 1], 999_983, 9, 0), task("b", 0, [1, 1], 1_000_003, 9, 0)];
    not_periodic(
        &edf(odd),
        "hyperperiod of 999985999949 ns with 3999972 jobs does not fit the limit of 200000 jobs",
    );
    let endless =
        [4_294_967_291, 4_294_967_279, 4_294_967_231].map(|t| task(&t.to_string(), 0, [1, 1], t, t, 0));
    not_periodic(&edf(endless.to_vec()), "hyperperiod of more than 2^64 ns with more than 2^64 jobs");
    let stall = Stall { length: Nanos(1), gap: Nanos(100) };
    let overheads = Overheads { recovery: stall, ..Overheads::default() };
    let stalls = Partition { overheads, ..partition(Policy::Edf) };
    let one = vec![task("a", 0, [1, 1], 10, 10, 0)];
    not_periodic(
        &System::new(vec![stalls], one, vec![]).unwrap(),
        "overhead `recovery` may come at any time",
    );
    let two = vec![task("a", 0, [1, 1], 10, 10, 0), task("b", 0, [1, 1], 10, 10, 0)];
    let chain = Chain {
        name: "c".to_owned(),
        edges: vec![(TaskId(0), TaskId(1))],
        trigger: Trigger::Event,
        deadline: None,
    };
    let chained = System::new(vec![partition(Policy::Edf)], two, vec![chain]).unwrap();
    not_periodic(&chained, "task `b` is started by the end of another in chain `c`");
    assert_eq!(periodic(&chained, PartitionId(7)).unwrap_err(), PeriodicError::NoTasks);
}

/// At 1, where arrivals begin to repeat, the job of 0 still runs: the first instant free of earlier jobs is 10.
#[test]
fn a_cut_leaves_no_job_behind() {
    let tasks = vec![task("a", 0, [2, 2], 10, 10, 0), task("b", 1, [1, 1], 10, 10, 0)];
    let OffsetsVerdict::Offsets(AtOffsets { admitted: true, jobs, tasks, .. }) =
        verdict(&system(Policy::Edf, tasks))
    else {
        panic!()
    };
    assert_eq!((jobs.repeats_from, jobs.until), (Nanos(1), Nanos(10 + 10)));
    assert_eq!((tasks[0].worst, tasks[1].worst), (Nanos(2), Nanos(2)));
}

/// Every overhead and the interference factor enter the jobs by name: nothing is hidden, nothing is left out.
#[test]
fn overheads_are_in_the_jobs() {
    let overheads = Overheads {
        release: Nanos(3),
        dispatch: Nanos(10),
        launch: Nanos(20),
        copy: Nanos(500),
        completion: Nanos(40),
        ..Overheads::default()
    };
    let slower = Partition { overheads, interference_permille: 1100, ..partition(Policy::FixedPriority) };
    let mut two = task("a", 7, [5, 100], 10_000, 9_000, 2);
    two.segments.push(Segment::of(Nanos(11)));
    two.host = vec![HostPart { min: Nanos(1), max: Nanos(8) }];
    let system = System::new(vec![slower], vec![two], vec![]).unwrap();
    let jobs = periodic(&system, FIRST).unwrap();
    assert_eq!((jobs.hyperperiod, jobs.repeats_from, jobs.until), (Nanos(10_000), Nanos(7), Nanos(20_007)));
    let [first, second, next, _] = jobs.set.jobs() else { panic!("{jobs:?}") };
    assert_eq!(first.release, Span::new(Nanos(7), Nanos(7 + 5)));
    assert_eq!(first.cost, Span::new(Nanos(5), Nanos(110 + 70 + 500)));
    assert_eq!(second.cost, Span::new(Nanos(1), Nanos(13 + 70)));
    assert_eq!((first.deadline, next.deadline), (Nanos(9_007), Nanos(19_007)));
    let delay = Span::new(Nanos(1), Nanos(8));
    assert_eq!(jobs.set.edges()[0], Edge { from: 0, to: 1, delay });
    let OffsetsVerdict::Offsets(AtOffsets { admitted: true, tasks, .. }) = verdict(&system) else { panic!() };
    assert_eq!((tasks[0].best, tasks[0].worst), (Nanos(5 + 1 + 1), Nanos(5 + 680 + 8 + 83)));
}

/// With host parts the sporadic test of the set does not cover the suspensions, so it is not asked.
#[test]
fn nothing_is_claimed_of_host_parts_without_offsets() {
    let mut waits = task("a", 0, [1, 1], 10, 10, 0);
    waits.segments.push(Segment::of(Nanos(1)));
    waits.host = vec![HostPart { min: Nanos(1), max: Nanos(2) }];
    assert!(verdict(&system(Policy::Edf, vec![waits.clone()])).admitted());
    waits.offset = None;
    assert!(matches!(verdict(&system(Policy::Edf, vec![waits])), OffsetsVerdict::Undecided { .. }));
}

#[test]
fn limits_leave_a_sound_answer() {
    let tasks: Vec<SystemTask> = (0..6).map(|i| task(&format!("t{i}"), i, [1, 4], 40, 40, 10)).collect();
    let roomy = system(Policy::Edf, tasks);
    let none = Limits { states: 0, ..Limits::default() };
    let OffsetsVerdict::Offsets(AtOffsets { admitted: true, answer, .. }) =
        offsets_verdict(&roomy, FIRST, &none)
    else {
        panic!()
    };
    assert_eq!((answer.method, answer.exact), (Method::BusyWindows, false));
    let tight = system(Policy::Edf, vec![task("a", 0, [3, 4], 10, 5, 0), task("b", 3, [5, 5], 10, 5, 0)]);
    let verdict = offsets_verdict(&tight, FIRST, &none);
    let OffsetsVerdict::Sporadic { why, .. } = &verdict else { panic!("{verdict:?}") };
    assert!(why.to_string().contains("then the limit `state_limit`"), "{why}");
}

/// Whether some order of the jobs, each as early as it can, meets every deadline.
fn some_order(
    jobs: &[Job],
    edges: &[Edge],
    output: Output,
    free: u64,
    outputs: &mut Vec<Option<u64>>,
) -> bool {
    outputs.iter().all(Option::is_some)
        || (0..jobs.len()).any(|i| {
            let before = edges.iter().filter(|edge| edge.to == i);
            let ready = before.map(|edge| outputs[edge.from].map(|out| out + edge.delay.max.0));
            let Some(ready) = ready.collect::<Option<Vec<u64>>>() else { return false };
            let start = ready.into_iter().fold(free.max(jobs[i].release.max.0), u64::max);
            let end = start + jobs[i].cost.max.0;
            if outputs[i].is_some() || end > jobs[i].deadline.0 {
                return false;
            }
            outputs[i] = Some(if output == Output::AtEnd { end } else { jobs[i].deadline.0 });
            let found = some_order(jobs, edges, output, end, outputs);
            outputs[i] = None;
            found
        })
}

#[test]
fn a_table_is_found_exactly_where_one_exists() {
    let (mut tables, mut none) = (0, 0);
    for seed in 3_000..3_000 + 3_000 * scale() {
        let rng = &mut Rng::new(seed);
        let (mut jobs, edges) = schedules::random(rng, 6, seed % 3, seed % 2 * 3, u64::MAX);
        for job in &mut jobs {
            job.deadline = Nanos(job.release.max.0 + job.cost.max.0 + rng.between(0, 14));
            if rng.one_in(10) {
                job.cost = Span::default();
            }
        }
        let output = if seed % 4 == 0 { Output::AtDeadline } else { Output::AtEnd };
        let options = TableOptions { output, ..TableOptions::default() };
        let set = JobSet::new(jobs.clone(), edges.clone(), Ties::ById).unwrap();
        let exists = some_order(&jobs, &edges, output, 0, &mut vec![None; jobs.len()]);
        match table(&set, &options) {
            Ok(table) => {
                assert_eq!(check(&set, &table.slots), Ok(()), "seed {seed}: {jobs:?} {edges:?} {table:?}");
                assert!(exists, "seed {seed}");
                tables += 1;
            }
            Err(NoTable::GaveUp { .. }) => panic!("seed {seed}"),
            Err(_) => {
                assert!(!exists, "seed {seed}: {jobs:?} {edges:?}");
                none += 1;
            }
        }
    }
    println!("{tables} tables, {none} without");
    assert!(tables > 500 * scale() && none > 500 * scale(), "{tables} {none}");
}

/// Every number of a table moved by one in the direction of its window's end, every slot dropped or doubled: refused.
#[test]
fn a_broken_table_is_refused() {
    let mut refused = 0;
    for seed in 4_000..4_200 {
        let (mut jobs, edges) = schedules::random(&mut Rng::new(seed), 6, 2, 2, u64::MAX);
        for job in &mut jobs {
            job.deadline = Nanos(60);
        }
        let set = JobSet::new(jobs, edges, Ties::ById).unwrap();
        let Ok(table) = table(&set, &TableOptions::default()) else { continue };
        let mut broken = |change: &dyn Fn(&mut Vec<Slot>)| {
            let mut slots = table.slots.clone();
            change(&mut slots);
            assert!(check(&set, &slots).is_err(), "seed {seed}: {slots:?}");
            refused += 1;
        };
        for i in 0..table.slots.len() {
            broken(&|slots| slots[i].latest.0 += 1);
            broken(&|slots| slots[i].output.0 -= 1);
            // A window is as late as it can be: what ends it is the deadline, the next job or an edge.
            broken(&|slots| {
                slots[i].latest.0 += 1;
                slots[i].output.0 += 1;
            });
            broken(&|slots| slots[i].start.0 = slots[i].latest.0 + 1);
            broken(&|slots| slots[i].job = set.jobs().len());
            broken(&|slots| slots.push(slots[i]));
            broken(&|slots| slots.truncate(i));
            let release = set.jobs()[table.slots[i].job].release.max.0;
            if release > 0 {
                broken(&|slots| slots[i].start.0 = release - 1);
            }
        }
    }
    assert!(refused > 3_000, "{refused}");
}

fn published(id: &str) -> JobSet {
    let path = format!("{}/tests/data/tasksets.json", env!("CARGO_MANIFEST_DIR"));
    let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let set = file["sets"].as_array().unwrap().iter().find(|set| set["id"] == id).unwrap();
    let jobs = set["jobs"].as_array().unwrap().iter().map(|row| {
        let at = |column: usize| row[column].as_u64().unwrap();
        let span = |from| Span::new(Nanos(at(from)), Nanos(at(from + 1)));
        let (deadline, priority) = (Nanos(at(6)), at(7));
        Job { task: at(0), job: at(1), release: span(2), cost: span(4), deadline, priority }
    });
    JobSet::new(jobs.collect(), Vec::new(), Ties::ById).unwrap()
}

/// Sets that the published idling rules (critical window, precautious rate-monotonic) serve and work-conserving ones do
/// not: a table serves them too.
#[track_caller]
fn needs_idling(id: &str) {
    let set = published(id);
    assert!(matches!(
        aegis_analysis::jobs::admit(&set, &Limits::default()).outcome,
        aegis_analysis::jobs::Outcome::Misses { .. }
    ));
    let found = table(&set, &TableOptions::default()).unwrap_or_else(|error| panic!("{id}: {error}"));
    assert_eq!(check(&set, &found.slots), Ok(()));
}

#[test]
fn sag_fig1a_has_a_table() {
    needs_idling("sag-fig1a");
}

#[test]
fn sag_cw_fig2_has_a_table() {
    needs_idling("sag-cw-fig2");
}

#[test]
fn sag_prm_fig1_has_a_table() {
    needs_idling("sag-prm-fig1");
}

#[test]
fn sag_prm_fig2_has_a_table() {
    needs_idling("sag-prm-fig2");
}

/// A long job and a short one that comes every 10: no work-conserving rule keeps the long one away from 9.
#[test]
fn a_round_that_repeats() {
    let tasks = vec![
        task("short", 3, [1, 1], 10, 4, 0),
        task("long", 0, [9, 9], 40, 40, 0),
        task("mid", 7, [6, 6], 20, 20, 0),
    ];
    let idling = system(Policy::Edf, tasks.clone());
    let cyclic = cyclic_table(&idling, FIRST, &TableOptions::default()).unwrap();
    assert_eq!(check(&cyclic.jobs.set, &cyclic.table.slots), Ok(()));
    assert_eq!((cyclic.jobs.hyperperiod, cyclic.jobs.set.jobs().len()), (Nanos(40), 4 + 1 + 2));
    let last = cyclic.table.slots.last().unwrap();
    assert!(last.latest + cyclic.jobs.set.jobs()[last.job].cost.max <= Nanos(40));
    for output in [Output::AtEnd, Output::AtDeadline] {
        let options = TableOptions { output, ..TableOptions::default() };
        assert!(cyclic_table(&idling, FIRST, &options).is_ok());
    }
    let mut full = tasks;
    full.push(task("more", 0, [16, 16], 40, 40, 0));
    let error = cyclic_table(&system(Policy::Edf, full), FIRST, &TableOptions::default()).unwrap_err();
    assert!(matches!(error, NoCyclicTable::NoTable { .. }), "{error}");
    assert!(error.to_string().contains("no round of 40 ns, at any of 3 phases"), "{error}");
}
