//! Adding, removing and changing tasks one by one answers what the whole set answers from scratch, at every step.
//!
//! `AEGIS_SCALE=10 cargo test --release -p aegis-analysis --test incremental` takes 10 times as many steps.
use aegis_analysis::{Admission, QuickVerdict, Refusal, admit, quick};
use aegis_core::{
    ArrivalCurve, ArrivalLaw, Nanos, Overheads, Policy, Priority, PriorityOrder, Rejection, Rng, Stall, Task,
    TaskDraft, TaskId, TaskSet, TaskSetError,
};
use std::collections::BTreeMap;

fn scale() -> usize {
    std::env::var("AEGIS_SCALE").map_or(1, |scale| scale.parse().expect("AEGIS_SCALE is a whole number"))
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    policy: Policy,
    order: Option<PriorityOrder>,
    overheads: Overheads,
    /// Most tasks at a time.
    tasks: usize,
    periods: (u64, u64),
    /// `C / T` is one in this many at most.
    largest: u64,
    jitter: bool,
    segments: bool,
    /// One task in so many arrives by a curve.
    curves: u64,
    /// `D / T` in percent, from and to.
    deadline: (u64, u64),
}

const fn plain(policy: Policy) -> Shape {
    Shape {
        policy,
        order: None,
        overheads: NONE,
        tasks: 10,
        periods: (10, 100),
        largest: 4,
        jitter: false,
        segments: false,
        curves: 0,
        deadline: (50, 200),
    }
}

const NO_STALL: Stall = Stall { length: Nanos(0), gap: Nanos(0) };
const NONE: Overheads = Overheads {
    release: Nanos(0),
    dispatch: Nanos(0),
    launch: Nanos(0),
    copy: Nanos(0),
    completion: Nanos(0),
    recovery: NO_STALL,
    clock_change: NO_STALL,
    reload: NO_STALL,
};

fn random_task(rng: &mut Rng, shape: Shape, name: String) -> Task {
    let t = rng.between(shape.periods.0, shape.periods.1);
    let c = rng.between(1, (t / shape.largest).max(1));
    let mut segments = vec![Nanos(c)];
    if shape.segments && c > 1 && rng.one_in(2) {
        let first = rng.between(1, c - 1);
        segments = vec![Nanos(first), Nanos(c - first)];
    }
    let arrival = if rng.one_in(shape.curves) {
        ArrivalCurve::new(Nanos(3 * t), vec![(Nanos(1), 1), (Nanos(t / 2 + 1), 2)]).unwrap().into()
    } else {
        ArrivalLaw::Sporadic(Nanos(t))
    };
    Task {
        name,
        segments,
        arrival,
        deadline: Nanos((t * rng.between(shape.deadline.0, shape.deadline.1) / 100).max(1)),
        jitter: if shape.jitter && rng.one_in(3) { Nanos(rng.between(0, t * 3 / 2)) } else { Nanos::ZERO },
        priority: Priority(u32::try_from(rng.between(0, 9)).unwrap()),
    }
}

/// The same tasks as a set of their own, by the public constructor alone.
fn from_scratch(shape: Shape, tasks: &BTreeMap<TaskId, Task>) -> TaskSet {
    let mut order: Vec<&TaskId> = tasks.keys().collect();
    if let Some(by) = shape.order {
        order.sort_by_key(|id| {
            let (d, t) = (tasks[id].deadline, tasks[id].arrival.mean_distance());
            if by == PriorityOrder::DeadlineMonotonic { (d, t, **id) } else { (t, d, **id) }
        });
    }
    let place = |id: &TaskId| u32::try_from(order.iter().position(|other| *other == id).unwrap()).unwrap();
    let draft = |(id, task): (&TaskId, &Task)| TaskDraft {
        name: task.name.clone(),
        segments: task.segments.clone(),
        arrival: task.arrival.clone(),
        deadline: Some(task.deadline),
        jitter: task.jitter,
        priority: Some(if shape.order.is_some() { Priority(place(id)) } else { task.priority }),
    };
    TaskSet::new(shape.policy, shape.overheads, tasks.iter().map(draft).collect()).unwrap()
}

/// Random steps; every answer against the whole set from scratch.
#[track_caller]
fn check(seed: u64, steps: usize, shape: Shape) {
    let mut rng = Rng::new(seed);
    let mut admission = Admission::new(shape.policy, shape.overheads, shape.order);
    let mut known: BTreeMap<TaskId, Task> = BTreeMap::new();
    let (mut accepted, mut rejected, mut changed) = (0, 0, 0);
    for step in 0..steps * scale() {
        let says = || format!("seed {seed}, step {step}");
        let ids: Vec<TaskId> = known.keys().copied().collect();
        let chosen =
            (!ids.is_empty()).then(|| ids[usize::try_from(rng.between(0, ids.len() as u64 - 1)).unwrap()]);
        let kind = rng.between(0, 9);
        match chosen {
            Some(id) if kind < 2 || known.len() >= shape.tasks => {
                assert_eq!(admission.remove(id), known.remove(&id), "{}", says());
                assert!(admission.remove(id).is_none());
            }
            Some(id) if kind < 4 => {
                let task = random_task(&mut rng, shape, format!("t{step}"));
                let mut with = known.clone();
                with.insert(id, task.clone());
                let expect = quick::decide(&from_scratch(shape, &with));
                let before = admission.clone();
                match admission.change(id, task) {
                    Ok(answer) => {
                        assert!(expect.admitted() && answer.task == id, "{}: {with:?}", says());
                        known = with;
                        changed += 1;
                    }
                    Err(refusal) => {
                        assert!(!expect.admitted(), "{}: {refusal:?} for {with:?}", says());
                        assert!(admission == before, "{}", says());
                        rejected += 1;
                    }
                }
            }
            _ => {
                let task = random_task(&mut rng, shape, format!("t{step}"));
                let before = admission.clone();
                let free = (0..1000).map(TaskId).find(|id| !known.contains_key(id)).unwrap();
                let mut with = known.clone();
                with.insert(free, task.clone());
                let set = from_scratch(shape, &with);
                let expect = quick::decide(&set);
                match admission.try_add(task) {
                    Ok(answer) => {
                        assert!(expect.admitted(), "{}: {answer:?} for {with:?}", says());
                        assert_eq!(answer.task, free);
                        // All of a FIFO line is looked at again; other lines go on from what they know.
                        let whole = shape.policy == Policy::Fifo;
                        assert!(!whole || answer.by == expect.decided_by(), "{}: {with:?}", says());
                        known = with;
                        accepted += 1;
                    }
                    Err(refusal) => {
                        assert!(!expect.admitted(), "{}: {refusal:?} for {with:?}", says());
                        assert!(admission == before, "{}", says());
                        let Refusal::Rejected { task, witness, .. } = refusal else { panic!("{refusal:?}") };
                        assert_eq!(task, free);
                        let kind = |verdict: QuickVerdict| verdict.witness().map(|witness| witness.code());
                        assert_eq!(Some(witness.code()), kind(expect), "{}: {with:?}", says());
                        rejected += 1;
                    }
                }
            }
        }
        assert_eq!(admission.len(), known.len());
        assert!(admission.tasks().map(|(id, task)| (id, task.clone())).eq(known.clone()), "{}", says());
        if step % 16 == 0 && !known.is_empty() {
            let set = from_scratch(shape, &known);
            assert_eq!(admission.set().as_ref(), Some(&set), "{}", says());
            assert!(admit(&set).admitted(), "{}: {set:?}", says());
        }
    }
    println!("seed {seed}: {accepted} accepted, {changed} changed, {rejected} rejected");
    assert!(accepted.min(rejected).min(changed) > steps / 50, "{accepted}, {changed}, {rejected}");
}

const POLICIES: [Policy; 3] = [Policy::FixedPriority, Policy::Edf, Policy::Fifo];

#[test]
fn every_step_answers_as_from_scratch() {
    for (k, policy) in (1..).zip(POLICIES) {
        check(k, 8_000, plain(policy));
        check(10 + k, 4_000, Shape { deadline: (100, 100), ..plain(policy) });
    }
}

#[test]
fn with_jitter_segments_and_overheads() {
    let overheads = Overheads { release: Nanos(1), dispatch: Nanos(1), copy: Nanos(2), ..NONE };
    for (k, policy) in (20..).zip(POLICIES) {
        let shape =
            Shape { jitter: true, segments: true, periods: (40, 300), deadline: (80, 400), ..plain(policy) };
        check(k, 5_000, shape);
        check(10 + k, 3_000, Shape { overheads, jitter: false, ..shape });
    }
}

#[test]
fn in_the_order_of_deadlines_or_periods() {
    for (k, order) in (40..).zip([PriorityOrder::DeadlineMonotonic, PriorityOrder::RateMonotonic]) {
        let shape = Shape { order: Some(order), ..plain(Policy::FixedPriority) };
        check(k, 6_000, shape);
        check(10 + k, 2_000, Shape { tasks: 30, largest: 12, deadline: (50, 100), ..shape });
    }
}

#[test]
fn many_small_tasks_in_nanoseconds() {
    for (k, policy) in (60..).zip(POLICIES) {
        let shape = Shape { periods: (10_000_000, 1_000_000_000), tasks: 40, largest: 16, ..plain(policy) };
        check(k, 1_500, Shape { segments: true, deadline: (80, 150), ..shape });
    }
}

/// Tasks that only the general analyses take come and go among others.
#[test]
fn with_arrival_curves_and_stalls() {
    let stall = Stall { length: Nanos(1), gap: Nanos(200) };
    for (k, policy) in (70..).zip(POLICIES) {
        let shape = Shape { curves: 8, tasks: 5, ..plain(policy) };
        check(k, 600, shape);
        check(10 + k, 200, Shape { curves: 0, overheads: Overheads { recovery: stall, ..NONE }, ..shape });
    }
}

fn task(name: &str, c: u64, t: u64) -> Task {
    Task {
        name: name.into(),
        segments: vec![Nanos(c)],
        arrival: Nanos(t).into(),
        deadline: Nanos(t),
        jitter: Nanos::ZERO,
        priority: Priority(0),
    }
}

#[test]
fn what_is_no_task_is_refused_and_changes_nothing() {
    let mut admission = Admission::new(Policy::Edf, NONE, None);
    let id = admission.try_add(task("a", 1, 10)).unwrap().task;
    let before = admission.clone();
    let mut refuses = |task: Task, expect: TaskSetError| {
        assert_eq!(admission.try_add(task), Err(Refusal::Invalid(expect)));
        assert_eq!(admission, before);
    };
    refuses(task("a", 1, 10), TaskSetError::DuplicateName { index: 1, task: "a".into() });
    refuses(task("", 1, 10), TaskSetError::EmptyName { index: 1 });
    refuses(task("b", 0, 10), TaskSetError::Zero { index: 1, task: "b".into(), field: "WCET" });
    refuses(task("b", 1, 0), TaskSetError::Zero { index: 1, task: "b".into(), field: "period" });
    let none = Task { segments: vec![], ..task("b", 1, 10) };
    refuses(none, TaskSetError::NoSegments { index: 1, task: "b".into() });
    let long = Task { segments: vec![Nanos(1 << 62), Nanos(1)], ..task("b", 1, 10) };
    refuses(long, TaskSetError::Overflow { index: 1, task: "b".into(), field: "WCET with overheads" });
    let nobody = TaskId(7);
    assert_eq!(admission.change(nobody, task("c", 1, 10)), Err(Refusal::Unknown { task: nobody }));
    // Its own name is free for the task that is changed.
    assert_eq!(admission.change(id, task("a", 2, 10)).unwrap().task, id);
}

#[test]
fn a_refusal_says_why_with_the_names_of_both() {
    let mut admission = Admission::new(Policy::FixedPriority, NONE, Some(PriorityOrder::DeadlineMonotonic));
    admission.try_add(task("camera", 12_000_000, 33_000_000)).unwrap();
    let refusal = admission.try_add(task("planner", 40_000_000, 500_000_000)).unwrap_err();
    assert!(matches!(refusal, Refusal::Rejected { witness: Rejection::Late { .. }, .. }));
    assert_eq!(
        admission.sentence(&refusal, "planner"),
        "camera: a response of 52.0 ms or more > deadline 33.0 ms; 40.0 ms of it waits for planner, which cannot be preempted"
    );
}

/// A whole set at once is the same as its tasks one by one.
#[test]
fn a_set_becomes_an_admission() {
    let drafts = (0..8).map(|i| TaskDraft {
        name: format!("t{i}"),
        segments: vec![Nanos(2 + i)],
        arrival: Nanos(60 + 10 * i).into(),
        ..TaskDraft::default()
    });
    let drafts: Vec<TaskDraft> = drafts.collect();
    for policy in POLICIES {
        let set = TaskSet::new(policy, NONE, drafts.clone()).unwrap();
        let mut whole = Admission::of(&set).unwrap();
        let mut one_by_one = Admission::new(policy, NONE, None);
        for task in set.tasks() {
            one_by_one.try_add(task.clone()).unwrap();
        }
        assert_eq!(whole, one_by_one);
        assert_eq!(whole.set().unwrap(), set);
        let more = task("more", 30, 60);
        assert_eq!(whole.try_add(more.clone()), one_by_one.try_add(more));
    }
    let too_much =
        TaskSet::new(Policy::Edf, NONE, vec![TaskDraft { segments: vec![Nanos(99)], ..drafts[0].clone() }]);
    assert!(matches!(Admission::of(&too_much.unwrap()), Err(Refusal::Rejected { .. })));
}
