//! The drawn demand against its definition, counted job by job, and against the verdict of the demand test.
use aegis_analysis::demand_curve::{MOST_STEPS, Step, curve};
use aegis_analysis::edf::{self, demand_test};
use aegis_core::{ArrivalCurve, ArrivalLaw, Nanos, Overheads, Policy, Rng, Stall, TaskDraft, TaskSet};

fn random_set(rng: &mut Rng) -> TaskSet {
    let overheads = Overheads {
        release: Nanos(rng.between(0, 1)),
        dispatch: Nanos(rng.between(0, 1)),
        reload: if rng.one_in(3) {
            Stall { length: Nanos(rng.between(1, 3)), gap: Nanos(rng.between(5, 40)) }
        } else {
            Stall::default()
        },
        ..Overheads::default()
    };
    let n = rng.between(1, 4);
    let drafts: Vec<TaskDraft> = (0..n)
        .map(|i| TaskDraft {
            name: format!("t{i}"),
            segments: (0..rng.between(1, 2)).map(|_| Nanos(rng.between(1, 4))).collect(),
            arrival: arrival(rng),
            deadline: Some(Nanos(rng.between(2, 30))),
            jitter: Nanos(if rng.one_in(2) { rng.between(0, 8) } else { 0 }),
            priority: None,
        })
        .collect();
    TaskSet::new(Policy::Edf, overheads, drafts).unwrap()
}

fn arrival(rng: &mut Rng) -> ArrivalLaw {
    if !rng.one_in(3) {
        return Nanos(rng.between(3, 20)).into();
    }
    let (mut window, mut count, mut steps) = (1, 0, Vec::new());
    for _ in 0..rng.between(1, 3) {
        count += rng.between(1, 2);
        steps.push((Nanos(window), count));
        window += rng.between(1, 9);
    }
    ArrivalCurve::new(Nanos(window + rng.between(5, 20)), steps).unwrap().into()
}

/// The demand of a window that begins at 0, by listing jobs: each arrives as early as the law lets it after the first,
/// which arrived as long before 0 as its jitter lets it.
fn listed_demand(set: &TaskSet, window: u64) -> u64 {
    let mut demand = 0;
    for task in set.tasks() {
        let first = i64::try_from((task.jitter + set.overheads().release).0).unwrap();
        let last = i64::try_from(window).unwrap() - i64::try_from(task.deadline.0).unwrap();
        let each: u64 = task.segments.iter().map(|c| (*c + set.overheads().dispatch).0).sum();
        let mut arrived = 0;
        for at in -first..=last {
            // As many as the law allows from the first arrival to this moment, both included.
            let allowed = task.arrival.arrivals_within(u64::try_from(at + first).unwrap() + 1);
            demand += (allowed - arrived) * each;
            arrived = allowed;
        }
    }
    demand
}

/// The longest rest of a segment of a job that arrived before the window and has its deadline behind it. Only without
/// overtaking, where it is as simple as that.
fn listed_blocking(set: &TaskSet, window: u64) -> u64 {
    let rest = |task: &aegis_core::Task| {
        let jitter = task.jitter + set.overheads().release;
        let longest = task.segments.iter().map(|c| (*c + set.overheads().dispatch).0).max().unwrap();
        let outside = task.deadline > Nanos(window) + jitter;
        if outside { longest - 1 } else { 0 }
    };
    set.tasks().iter().map(rest).max().unwrap()
}

/// When so much work ends, tick by tick: a stall begins whenever it may. Where something blocks it began one tick before
/// the window, and so did the first stall.
fn with_stalls(set: &TaskSet, work: u64, window: u64) -> u64 {
    let Stall { length, gap } = set.overheads().reload;
    if length == Nanos::ZERO {
        return work;
    }
    let early = u64::from(set.tasks().iter().any(|task| {
        let jitter = task.jitter + set.overheads().release;
        task.deadline > Nanos(window) + jitter
    }));
    let (mut left, mut now, mut stalled) = (work, 0, length.0);
    while left > 0 || stalled > 0 {
        if now > 0 && (now + early) % gap.0 == 0 {
            stalled += length.0;
        }
        if stalled > 0 {
            stalled -= 1;
        } else {
            left -= 1;
        }
        now += 1;
    }
    now
}

fn at(steps: &[Step], window: u64) -> Step {
    *steps.iter().take_while(|step| step.at.0 <= window).last().unwrap()
}

#[test]
fn every_window_holds_what_is_listed() {
    let mut rng = Rng::new(41);
    for round in 0..2_000 {
        let set = random_set(&mut rng);
        let until = 80;
        let steps = curve(&set, Nanos(until));
        assert_eq!(steps[0].at, Nanos::ZERO);
        assert!(steps.windows(2).all(|pair| pair[0].at < pair[1].at), "round {round}: {steps:?}");
        assert!(steps.windows(2).all(|pair| pair[0].demand <= pair[1].demand), "round {round}: {steps:?}");
        assert!(steps.last().unwrap().at <= Nanos(until));
        let overtaking = set
            .tasks()
            .iter()
            .any(|task| task.arrival.arrivals_within((task.jitter + set.overheads().release).0) > 1);
        for window in 0..=until {
            let step = at(&steps, window);
            assert_eq!(step.demand.0, listed_demand(&set, window), "round {round}, window {window}: {set:?}");
            if !overtaking {
                let blocking = listed_blocking(&set, window);
                assert_eq!(step.blocking.0, blocking, "round {round}, window {window}: {set:?}");
                if step.demand > Nanos::ZERO {
                    let needed = with_stalls(&set, step.demand.0 + blocking, window);
                    assert_eq!(step.needed().0, needed, "round {round}, window {window}: {set:?}");
                }
            }
            assert_eq!(step.blocked_by.is_some(), step.blocking > Nanos::ZERO);
        }
    }
}

/// Where the curve stays under the time within the busy period, the test accepts, and the reverse.
#[test]
fn a_step_above_the_time_is_a_rejection() {
    let mut rng = Rng::new(42);
    let (mut accepted, mut rejected) = (0, 0);
    for round in 0..4_000 {
        let set = random_set(&mut rng);
        if aegis_analysis::utilisation::against_one(&set).is_ge() {
            continue;
        }
        let Ok(bound) = &edf::response_times(&set)[0] else { continue };
        let steps = curve(&set, bound.busy_period);
        let above = steps.iter().any(Step::too_much);
        match demand_test(&set) {
            Ok(()) => {
                assert!(!above, "round {round}: {set:?}");
                accepted += 1;
            }
            Err(witness) => {
                assert!(above, "round {round}: {witness:?} {set:?}");
                rejected += 1;
            }
        }
    }
    assert!(accepted > 200 && rejected > 200, "{accepted} {rejected}");
}

#[test]
fn a_curve_has_an_end() {
    let draft = |period: u64| TaskDraft {
        name: format!("t{period}"),
        segments: vec![Nanos(1)],
        arrival: Nanos(period).into(),
        ..TaskDraft::default()
    };
    let set = TaskSet::new(Policy::Edf, Overheads::default(), vec![draft(3), draft(1 << 61)]).unwrap();
    let steps = curve(&set, Nanos::MAX);
    assert_eq!(steps.len(), MOST_STEPS);
    assert_eq!(steps[1].at, Nanos(3));
    assert_eq!(curve(&set, Nanos::ZERO).len(), 1);
}
