//! Published and found mistakes, planted: on the smallest set that shows it, each gives a wrong answer, ours gives the one
//! that an exhaustive search over all schedules finds.
//!
//! The planted copies are the formulas as they are found in papers, tools and textbooks, with one mistake each; without a
//! mistake they give our answers.
#[path = "small_sets/explore.rs"]
mod explore;
mod pipelines;

use aegis_analysis::{admit, edf, fixed_priority, suspension};
use aegis_core::{
    ArrivalCurve, ArrivalLaw, HostPart, Nanos, Overheads, Partition, PartitionId, Policy, Priority, Segment,
    System, SystemTask, TaskDraft, TaskSet,
};
use explore::{Explorer, Tiny};
use pipelines::{Pipeline, Server, Stage, latest_ends};

fn task(c: u8, t: u8, d: u8, j: u8, priority: u8) -> Tiny {
    Tiny { segments: vec![c], t, d, j, priority }
}

fn set(policy: Policy, tasks: &[Tiny]) -> TaskSet {
    let draft = |(name, task): (char, &Tiny)| TaskDraft {
        name: name.to_string(),
        segments: vec![Nanos(task.segments[0].into())],
        arrival: Nanos(task.t.into()).into(),
        deadline: Some(Nanos(task.d.into())),
        jitter: Nanos(task.j.into()),
        priority: Some(Priority(task.priority.into())),
    };
    TaskSet::new(policy, Overheads::default(), ('a'..).zip(tasks).map(draft).collect()).unwrap()
}

/// The largest responses that exist; ours must be these.
#[track_caller]
fn truth(policy: Policy, tasks: &[Tiny]) -> Vec<u64> {
    let largest = Explorer::new(1 << 20).largest_responses(tasks, policy).unwrap();
    let largest: Vec<u64> = largest.iter().take(tasks.len()).map(|r| u64::from(*r)).collect();
    let verdict = admit(&set(policy, tasks));
    let ours: Vec<u64> = verdict.tasks.iter().map(|task| task.bound.as_ref().unwrap().wcrt.0).collect();
    assert_eq!(ours, largest, "{policy}: {tasks:?}");
    largest
}

/// What a fixed-priority analysis can get wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// Tindell 1994, refuted 2006 and 2007: the first job of the busy period is taken for the worst.
    FirstJobOnly,
    /// The busy period leaves the blocking out.
    NoBlockingInTheBusyPeriod,
    /// Own jitter is left out of the number of jobs in the busy period.
    NoJitterInTheNumberOfJobs,
    /// Jobs that arrive at the very instant at which a segment would start are left out.
    CeilingForFloorPlusOne,
    /// Other tasks of equal priority both interfere and block.
    EqualPriorityBlocks,
    /// Tasks that are equal to the analysed one are taken for itself: pyRTA 0.1.1.
    TwinsDropped,
    /// Jitter of other tasks is forgotten.
    NoJitterOfOthers,
}

/// Response from arrival, length of the busy period and the jobs in it, from the formulas of Davis et al. 2007 with `mistake`.
fn fixed_priority(tasks: &[Tiny], i: usize, mistake: Mistake) -> (u64, u64, u64) {
    let numbers = |task: &Tiny| [task.segments[0], task.t, task.j].map(u64::from);
    let [c, t, j] = numbers(&tasks[i]);
    let others = || {
        let dropped = |k: usize| k == i || (mistake == Mistake::TwinsDropped && tasks[k] == tasks[i]);
        (0..tasks.len()).filter(move |k| !dropped(*k)).map(|k| &tasks[k])
    };
    let first = |other: &&Tiny| other.priority <= tasks[i].priority;
    let hp: Vec<[u64; 3]> = others().filter(first).map(numbers).collect();
    let blocks = |other: &&Tiny| {
        !first(other) || (mistake == Mistake::EqualPriorityBlocks && other.priority == tasks[i].priority)
    };
    let blocking = others().filter(blocks).map(|other| u64::from(other.segments[0]) - 1).max().unwrap_or(0);
    let fixed_point = |f: &dyn Fn(u64) -> u64| {
        let mut x = 1;
        while f(x) != x {
            x = f(x);
        }
        x
    };
    let length = fixed_point(&|x| {
        let own = (x + j).div_ceil(t) * c;
        let others: u64 = hp.iter().map(|[c, t, j]| (x + j).div_ceil(*t) * c).sum();
        own + others + if mistake == Mistake::NoBlockingInTheBusyPeriod { 0 } else { blocking }
    });
    let jobs = match mistake {
        Mistake::FirstJobOnly => 1,
        Mistake::NoJitterInTheNumberOfJobs => length.div_ceil(t),
        _ => (length + j).div_ceil(t),
    };
    let response = |q: u64| {
        let before = |w: u64| {
            let others = hp.iter().map(|[c, t, j]| match mistake {
                Mistake::CeilingForFloorPlusOne => (w + j).div_ceil(*t) * c,
                Mistake::NoJitterOfOthers => (1 + w / t) * c,
                _ => (1 + (w + j) / t) * c,
            });
            blocking + q * c + others.sum::<u64>()
        };
        // A start of 0 is a fixed point of the mistake.
        let mut w = before(0);
        while before(w) != w {
            w = before(w);
        }
        (j + w + c).saturating_sub(q * t)
    };
    ((0..jobs).map(response).max().unwrap(), length, jobs)
}

/// The mistake shows as this response of task `i`; without it the formulas give the true one.
#[track_caller]
fn check(tasks: &[Tiny], i: usize, mistake: Mistake, wrong: u64) {
    let truth = truth(Policy::FixedPriority, tasks);
    assert_eq!(fixed_priority(tasks, i, Mistake::None).0, truth[i], "the copy is wrong without the mistake");
    assert_eq!(fixed_priority(tasks, i, mistake).0, wrong);
    assert_ne!(wrong, truth[i], "the mistake does not show");
}

#[test]
fn the_first_job_is_taken_for_the_worst() {
    check(&[task(1, 4, 2, 0, 0), task(2, 6, 4, 0, 1), task(2, 5, 5, 0, 2)], 2, Mistake::FirstJobOnly, 5);
}

#[test]
fn an_arrival_at_the_start_is_left_out() {
    check(&[task(1, 3, 3, 0, 1), task(1, 2, 2, 0, 0)], 0, Mistake::CeilingForFloorPlusOne, 1);
}

#[test]
fn equal_priority_blocks_on_top() {
    check(&[task(1, 2, 2, 0, 0), task(2, 5, 5, 0, 0)], 0, Mistake::EqualPriorityBlocks, 4);
}

#[test]
fn identical_twins_are_dropped() {
    check(&[task(5, 20, 20, 0, 0), task(5, 20, 20, 0, 0)], 0, Mistake::TwinsDropped, 5);
}

#[test]
fn jitter_of_others_is_forgotten() {
    check(&[task(2, 6, 6, 4, 0), task(2, 9, 9, 0, 1)], 1, Mistake::NoJitterOfOthers, 4);
}

/// These two make the busy period or the number of its jobs too small. No response is known to change: where work without
/// the blocking ends, all that follows is at most what a new busy period holds, because `⌈x / T⌉` is subadditive. So
/// the mistake shows in the busy period alone, which certificates and explanations contain.
#[test]
fn the_busy_period_without_blocking_or_own_jitter() {
    let tasks = [task(2, 4, 9, 0, 0), task(3, 8, 20, 1, 1), task(3, 100, 100, 0, 2)];
    let truth = truth(Policy::FixedPriority, &tasks);
    let bound = |mistake| fixed_priority(&tasks, 1, mistake);
    assert_eq!(bound(Mistake::None), (truth[1], 23, 3));
    let ours = admit(&set(Policy::FixedPriority, &tasks)).tasks[1].bound.clone().unwrap();
    assert_eq!((ours.wcrt.0, ours.busy_period.0), (truth[1], 23));
    assert_eq!(bound(Mistake::NoBlockingInTheBusyPeriod), (truth[1], 7, 1));
    let late = [task(2, 4, 9, 0, 0), task(2, 5, 20, 5, 1)];
    assert_eq!(fixed_priority(&late, 1, Mistake::None).2, 5);
    assert_eq!(fixed_priority(&late, 1, Mistake::NoJitterInTheNumberOfJobs).2, 4);
}

/// Quick processor-demand analysis from the end of the busy period, with the blocking by `at`: `true` accepts.
fn quick_demand(tasks: &[Tiny], blocking: impl Fn(u64) -> u64) -> bool {
    let numbers = |task: &Tiny| [task.segments[0], task.t, task.d].map(u64::from);
    let all: Vec<[u64; 3]> = tasks.iter().map(numbers).collect();
    let mut length = 1;
    loop {
        let next: u64 = all.iter().map(|[c, t, _]| u64::div_ceil(length, *t) * c).sum();
        if next == length {
            break;
        }
        length = next;
    }
    let due =
        |at: u64| all.iter().filter(|[.., d]| *d <= at).map(|[c, t, d]| (1 + (at - d) / t) * c).sum::<u64>();
    let last_before = |at: u64| {
        let before = all.iter().filter(|[.., d]| *d < at).map(|[_, t, d]| at - 1 - (at - 1 - d) % t);
        before.max()
    };
    let mut at = last_before(length + 1);
    while let Some(t) = at {
        let needed = due(t) + blocking(t);
        if needed > t {
            return false;
        }
        at = if needed < t && due(needed) > 0 { Some(needed) } else { last_before(t.min(needed.max(1))) };
    }
    true
}

/// The blocking is no constant: it grows where the window is shorter than more deadlines. Looked up once, at the end of
/// the busy period, it misses what happens below the deadline of the long task.
#[test]
fn quick_demand_analysis_without_the_staircase() {
    let tasks = [task(1, 4, 4, 0, 0), task(5, 10, 10, 0, 0), task(2, 12, 12, 0, 0)];
    let longest = |at: u64| {
        let later =
            tasks.iter().filter(|task| u64::from(task.d) > at).map(|task| u64::from(task.segments[0]) - 1);
        later.max().unwrap_or(0)
    };
    assert!(truth(Policy::Edf, &tasks)[0] > 4);
    assert!(edf::demand_test(&set(Policy::Edf, &tasks)).is_err());
    assert!(!quick_demand(&tasks, longest));
    assert!(quick_demand(&tasks, |_| longest(10)), "the mistake does not show");
    assert!(quick_demand(&tasks, |_| 0), "preemptive analysis accepts");
}

/// The worst arrival under EDF is not the synchronous one.
#[test]
fn only_the_synchronous_arrival_under_edf() {
    let tasks = [task(4, 20, 10, 0, 0), task(3, 16, 8, 0, 0), task(6, 40, 20, 0, 0)];
    let truth = truth(Policy::Edf, &tasks);
    // Released with the others: one segment of a later deadline, then what is due by its deadline.
    let synchronous = |i: usize| {
        let own = &tasks[i];
        let blocking =
            tasks.iter().filter(|o| o.d > own.d).map(|o| u64::from(o.segments[0]) - 1).max().unwrap_or(0);
        blocking + tasks.iter().filter(|o| o.d <= own.d).map(|o| u64::from(o.segments[0])).sum::<u64>()
    };
    let wrong: Vec<u64> = (0..tasks.len()).map(synchronous).collect();
    assert!(wrong.iter().zip(&truth).any(|(wrong, truth)| wrong < truth), "{wrong:?} {truth:?}");
    assert!(wrong.iter().zip(&truth).all(|(wrong, truth)| wrong <= truth), "{wrong:?} {truth:?}");
}

/// Liu and Layland's bound, without blocking, accepts what can miss: 10 207 of 54 202 accepted random sets.
#[test]
fn the_utilisation_bound_without_blocking() {
    let tasks = [task(1, 4, 4, 0, 0), task(10, 100, 100, 0, 1)];
    let utilisation: f64 = tasks.iter().map(|task| f64::from(task.segments[0]) / f64::from(task.t)).sum();
    assert!(utilisation < 2.0 * (f64::sqrt(2.0) - 1.0));
    assert_eq!(truth(Policy::FixedPriority, &tasks)[0], 10);
    assert!(!admit(&set(Policy::FixedPriority, &tasks)).admitted());
}

/// The crate response-time-analysis 0.3.2 gives the steps of an arrival-curve prefix with a window of 0 first. The offset of
/// that step, one before it, wraps in release builds; nothing is left to search and the response is 0.
#[test]
fn an_arrival_curve_with_a_step_at_zero() {
    let steps: [(u64, u64); 1] = [(1, 1)];
    let (horizon, c) = (20, 5_u64);
    let planted = |from_zero: bool| {
        let windows = from_zero.then_some(0).into_iter().chain((0..).map(|k| k * horizon + steps[0].0));
        let offsets = windows.map(|window: u64| window.wrapping_sub(1));
        let searched = offsets.take_while(|offset| *offset < 2 * c);
        searched.map(|offset| 2 * c * (1 + offset / horizon) - offset).max().unwrap_or(0)
    };
    let law = || {
        ArrivalLaw::Curve(
            ArrivalCurve::new(Nanos(horizon), steps.map(|(x, n)| (Nanos(x), n)).to_vec()).unwrap(),
        )
    };
    let draft = |name: &str, priority| TaskDraft {
        name: name.to_string(),
        segments: vec![Nanos(c)],
        arrival: law(),
        deadline: None,
        jitter: Nanos::ZERO,
        priority: Some(Priority(priority)),
    };
    let wcrts = |policy| {
        let set = TaskSet::new(policy, Overheads::default(), vec![draft("a", 0), draft("b", 1)]).unwrap();
        admit(&set).tasks.iter().map(|task| task.bound.as_ref().unwrap().wcrt.0).collect::<Vec<_>>()
    };
    assert_eq!(wcrts(Policy::FixedPriority), [9, 10]);
    assert_eq!(wcrts(Policy::Edf), [10, 10]);
    assert_eq!(wcrts(Policy::Fifo), [10, 10]);
    assert_eq!((planted(false), planted(true)), (10, 0));
    let zero = ArrivalCurve::new(Nanos(horizon), vec![(Nanos(0), 1)]);
    assert!(zero.is_err(), "a curve with a step at 0 is refused at the edge");
}

/// Segments between host parts as tasks of their own, with the jitter that the host part varies by, here none. But a segment
/// that was blocked resumes later than the next job's, which was not: what the first segment's response varies by is
/// jitter of the second, and two of them come closer together than `T`.
#[test]
fn jitter_of_a_resumed_segment_is_not_inherited() {
    // Segments, the host part between them, `T`; in the order of priorities.
    let tasks: [(&[u64], u64, u64); 2] = [(&[1, 1], 3, 4), (&[3], 0, 8)];
    let priority = |i: usize| u32::try_from(i).unwrap();

    let pipeline = |(i, &(segments, host, t)): (usize, &(&[u64], u64, u64))| {
        let stage = |(m, &c): (usize, &u64)| Stage {
            partition: 0,
            bcet: c,
            wcet: c,
            priority: priority(i),
            deadline: t,
            host: if m == 0 { (0, 0) } else { (host, host) },
            goes_on: false,
        };
        Pipeline { t, jitter: 0, stages: segments.iter().enumerate().map(stage).collect() }
    };
    let pipelines: Vec<Pipeline> = tasks.iter().enumerate().map(pipeline).collect();
    let ends = latest_ends(&pipelines, &[Server::new(Policy::FixedPriority, false)], 60_000).unwrap();
    let truth: Vec<u64> = ends.iter().map(|stages| *stages.last().unwrap()).collect();
    assert_eq!(truth, [11, 6]);

    let system_task = |(i, &(segments, host, t)): (usize, &(&[u64], u64, u64))| SystemTask {
        name: format!("task {i}"),
        segments: segments.iter().map(|&c| Segment { bcet: Nanos(c), ..Segment::of(Nanos(c)) }).collect(),
        host: vec![HostPart { min: Nanos(host), max: Nanos(host) }; segments.len() - 1],
        arrival: Nanos(t).into(),
        priority: Some(Priority(priority(i))),
        ..SystemTask::default()
    };
    let partition = Partition {
        name: "gpu".to_string(),
        policy: Policy::FixedPriority,
        overheads: Overheads::default(),
        interference_permille: 1000,
    };
    let system_tasks = tasks.iter().enumerate().map(system_task).collect();
    let system = System::new(vec![partition], system_tasks, vec![]).unwrap();
    let ours = suspension::response_times(&system, PartitionId(0));
    let ours: Vec<u64> = ours.into_iter().map(|bound| bound.unwrap().wcrt.0).collect();
    assert!(ours.iter().zip(&truth).all(|(ours, truth)| ours >= truth), "{ours:?}");

    let segments = tasks.iter().enumerate().flat_map(|(i, (segments, _, t))| {
        segments.iter().enumerate().map(move |(m, c)| TaskDraft {
            name: format!("{i} {m}"),
            segments: vec![Nanos(*c)],
            arrival: Nanos(*t).into(),
            priority: Some(Priority(priority(i))),
            ..TaskDraft::default()
        })
    });
    let set = TaskSet::new(Policy::FixedPriority, Overheads::default(), segments.collect()).unwrap();
    let bounds = fixed_priority::response_times(&set).into_iter().map(|bound| bound.unwrap().wcrt.0);
    let bounds: Vec<u64> = bounds.collect();
    assert_eq!([bounds[0] + 3 + bounds[1], bounds[2]], [11, 5], "the mistake does not show");
}
