//! The drawn demand against its definition, counted job by job, and against the verdict of the demand test.
use aegis_analysis::demand_curve::{MOST_STEPS, Step, curve};
use aegis_analysis::edf::demand_test;
use aegis_core::{Nanos, Overheads, Policy, Rng, TaskDraft, TaskSet};

fn random_set(rng: &mut Rng) -> TaskSet {
    let n = rng.between(1, 4);
    let drafts = (0..n).map(|i| {
        let period = rng.between(3, 20);
        let segments = (0..rng.between(1, 2)).map(|_| Nanos(rng.between(1, 4))).collect();
        TaskDraft {
            name: format!("t{i}"),
            segments,
            arrival: Nanos(period).into(),
            deadline: Some(Nanos(rng.between(2, 30))),
            jitter: Nanos(if rng.one_in(2) { rng.between(0, 8) } else { 0 }),
            priority: None,
        }
    });
    let overheads = Overheads {
        release: Nanos(rng.between(0, 1)),
        dispatch: Nanos(rng.between(0, 1)),
        ..Overheads::default()
    };
    TaskSet::new(Policy::Edf, overheads, drafts.collect()).unwrap()
}

/// The demand of a window that begins at 0, by listing jobs: each as late before 0 as its jitter lets it, then dense.
fn listed_demand(set: &TaskSet, window: u64) -> u64 {
    let mut demand = 0;
    for task in set.tasks() {
        let jitter = (task.jitter + set.overheads().release).0 as i64;
        let each: u64 = task.segments.iter().map(|c| (*c + set.overheads().dispatch).0).sum();
        let mut arrival = -jitter;
        while arrival + task.deadline.0 as i64 <= window as i64 {
            demand += each;
            arrival += task.arrival.period().unwrap().0 as i64;
        }
    }
    demand
}

/// The longest rest of a segment of a job that arrived before the window and has its deadline behind it. Only without
/// overtaking, where it is as simple as that.
fn listed_blocking(set: &TaskSet, window: u64) -> u64 {
    let rest = |task: &aegis_core::Task| {
        let jitter = (task.jitter + set.overheads().release).0 as i64;
        let longest = task.segments.iter().map(|c| (*c + set.overheads().dispatch).0).max().unwrap();
        let outside = (-jitter + task.deadline.0 as i64) > window as i64;
        if outside { longest - 1 } else { 0 }
    };
    set.tasks().iter().map(rest).max().unwrap()
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
            .any(|task| task.jitter + set.overheads().release > task.arrival.period().unwrap());
        for window in 0..=until {
            let step = at(&steps, window);
            assert_eq!(step.demand.0, listed_demand(&set, window), "round {round}, window {window}: {set:?}");
            if !overtaking {
                let blocking = listed_blocking(&set, window);
                assert_eq!(step.blocking.0, blocking, "round {round}, window {window}: {set:?}");
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
        // Far beyond every busy period of such small sets that ends at all soon.
        let steps = curve(&set, Nanos(4_000));
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
