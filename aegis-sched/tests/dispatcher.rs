//! The dispatcher with real threads and a stand-in for contexts: one job at a time, every decision recorded and
//! replayable, faults and refusals explicit, no allocation on the way.
mod counting;

use aegis_core::{
    Action, Blame, Clock, Decision, Event, Fault, FaultCode, JobId, MonotonicClock, Nanos, Overheads, Policy,
    TaskDraft, TaskId, TaskSet, Usable, Why,
};
use aegis_sched::dispatcher::{Executor, Law, Run, WORKER, run};
use aegis_sched::replay::{RecordedStep, replay};
use aegis_trace::{Body, Record, Tap, recorder};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Takes `takes` for every segment and fails every `fail_every`-th job.
struct Stub {
    takes: Duration,
    fail_every: u64,
    executed: u64,
    calls_at_tenth: u64,
    calls_at_last: u64,
    budget: Nanos,
}

impl Stub {
    fn new(takes: Duration, fail_every: u64) -> Self {
        Self { takes, fail_every, executed: 0, calls_at_tenth: 0, calls_at_last: 0, budget: Nanos::MAX }
    }
}

const FAULT: Fault =
    Fault { blame: Blame::Backend, code: FaultCode::ExecutionFailed, usable: Usable::Session };

impl Executor for Stub {
    fn execute(&mut self, _job: JobId, _segment: u16) -> Result<(), Fault> {
        self.executed += 1;
        self.calls_at_last = counting::calls();
        if self.executed == 10 {
            self.calls_at_tenth = self.calls_at_last;
        }
        std::thread::sleep(self.takes);
        if self.fail_every > 0 && self.executed.is_multiple_of(self.fail_every) { Err(FAULT) } else { Ok(()) }
    }

    fn judge(&mut self, _job: JobId, used: Nanos) -> Result<(), Fault> {
        let code = FaultCode::Budget(aegis_core::Budgeted::ComputeTime { limit: self.budget, used });
        if used > self.budget {
            Err(Fault { blame: Blame::Model, code, usable: Usable::Session })
        } else {
            Ok(())
        }
    }
}

fn set(tasks: &[(&str, u64)], segments: usize) -> TaskSet {
    let drafts = tasks.iter().map(|&(name, period_ms)| TaskDraft {
        name: name.to_owned(),
        segments: vec![Nanos::from_millis(1); segments],
        arrival: Nanos::from_millis(period_ms).into(),
        deadline: None,
        jitter: Nanos::ZERO,
        priority: None,
    });
    TaskSet::new(Policy::Edf, Overheads::default(), drafts.collect()).unwrap()
}

/// Runs for `millis` and returns the executor, the dispatcher's records and the worker's.
fn ran(set: &TaskSet, laws: &[Law], millis: u64, stub: Stub) -> (Stub, Vec<Record>, Vec<Record>) {
    ran_by(&MonotonicClock::start(), set, laws, millis, stub)
}

fn ran_by(
    clock: &impl Clock,
    set: &TaskSet,
    laws: &[Law],
    millis: u64,
    stub: Stub,
) -> (Stub, Vec<Record>, Vec<Record>) {
    let (first, first_tap) = recorder(1 << 16);
    let (second, second_tap) = recorder(1 << 16);
    let stop = AtomicBool::new(false);
    let until = Nanos::from_millis(millis);
    let (stub, first, second) =
        run(&Run { set, laws, until, seed: 1, stop: &stop }, clock, stub, first, second);
    assert_eq!(first.dropped() + second.dropped(), 0);
    let all = |mut tap: Tap| std::iter::from_fn(move || tap.take()).map(|t| t.record).collect();
    (stub, all(first_tap), all(second_tap))
}

fn law(queue: u32) -> Law {
    Law { offset: Nanos::ZERO, sporadic: false, queue }
}

fn steps(records: &[Record]) -> Vec<(Nanos, Event, Decision)> {
    let step = |r: &Record| match r.body {
        Body::Step { event, decision } => Some((r.at, event, decision)),
        _ => None,
    };
    records.iter().filter_map(step).collect()
}

#[test]
fn one_at_a_time_recorded_and_replayable() {
    let set = set(&[("fast", 5), ("slow", 20)], 2);
    let (stub, dispatcher, worker) =
        ran(&set, &[law(50), law(50)], 300, Stub::new(Duration::from_millis(1), 0));

    // Starts and ends alternate: never two segments at once.
    let mut open: Option<(JobId, u16)> = None;
    for record in &worker {
        match record.body {
            Body::Started { job, segment } => assert_eq!(open.replace((job, segment)), None),
            Body::Ended { job, segment, .. } => assert_eq!(open.take(), Some((job, segment))),
            _ => {}
        }
    }
    assert_eq!(open, None);

    // Every arrival before the end is served, each with both of its segments, and the scheduler says so.
    let steps = steps(&dispatcher);
    let count =
        |wanted: fn(&Action) -> bool| steps.iter().filter(|(_, _, d)| wanted(&d.action)).count() as u64;
    assert_eq!(count(|a| matches!(a, Action::Enqueue)), 300 / 5 + 300 / 20);
    assert_eq!(count(|a| matches!(a, Action::Retire)), 300 / 5 + 300 / 20);
    assert_eq!(count(|a| matches!(a, Action::Start { .. })), 2 * (300 / 5 + 300 / 20));
    assert_eq!(stub.executed, 2 * (300 / 5 + 300 / 20));
    assert_eq!(dispatcher.iter().filter(|r| r.body == Body::Stopping).count(), 1);
    assert!(dispatcher.is_sorted_by_key(|r| r.at), "the dispatcher's time never goes back");

    // No release is told before it arrived, and the same events lead to the same decisions.
    for (at, event, _) in &steps {
        if let Event::Release { arrival, .. } = event {
            assert!(arrival <= at);
        }
    }
    let recorded = steps.iter().map(|&(at, event, decision)| RecordedStep { at, event, decision });
    let replayed = replay(&set, &[50, 50], recorded);
    assert_eq!((replayed.compared, replayed.differences), (steps.len() as u64, 0));
}

#[test]
fn faults_and_overruns_are_recorded_and_the_others_go_on() {
    let set = set(&[("a", 4)], 1);
    let stub = Stub { budget: Nanos::from_micros(500), ..Stub::new(Duration::from_millis(1), 3) };
    let (stub, dispatcher, worker) = ran(&set, &[law(50)], 120, stub);
    let faulted = steps(&dispatcher).iter().filter(|(_, _, d)| d.why == Why::Faulted).count() as u64;
    assert_eq!(faulted, stub.executed / 3);
    let recorded = |code: fn(&FaultCode) -> bool| {
        let is = |r: &&Record| matches!(r.body, Body::Fault { fault, job: Some(_), .. } if code(&fault.code));
        worker.iter().filter(is).count() as u64
    };
    assert_eq!(recorded(|c| matches!(c, FaultCode::ExecutionFailed)), stub.executed / 3);
    assert_eq!(
        recorded(|c| matches!(c, FaultCode::Budget(_))),
        stub.executed,
        "every job sleeps past 500 us"
    );
    assert_eq!(stub.executed, 30);
}

#[test]
fn a_full_queue_refuses_by_name() {
    let set = set(&[("a", 1)], 1);
    let (stub, dispatcher, _) = ran(&set, &[law(2)], 60, Stub::new(Duration::from_millis(5), 0));
    let steps = steps(&dispatcher);
    let refused = steps.iter().filter(|(_, _, d)| d.why == Why::QueueFull { capacity: 2 }).count() as u64;
    let released = steps.iter().filter(|(_, e, _)| matches!(e, Event::Release { .. })).count() as u64;
    assert!(refused > 0);
    assert_eq!(released, 60);
    assert_eq!(stub.executed + refused, released);
}

/// A clock that remembers how often the dispatcher's thread had called the allocator when it asked for the time.
struct Watching {
    clock: MonotonicClock,
    asked: AtomicU64,
    early: AtomicU64,
    late: AtomicU64,
}

thread_local! {
    static DISPATCHER: Cell<bool> = const { Cell::new(false) };
}

impl Clock for Watching {
    fn now(&self) -> Nanos {
        if DISPATCHER.get() {
            let calls = counting::calls();
            if self.asked.fetch_add(1, Ordering::Relaxed) == 20 {
                self.early.store(calls, Ordering::Relaxed);
            }
            self.late.store(calls, Ordering::Relaxed);
        }
        self.clock.now()
    }
}

#[test]
fn dispatching_allocates_nothing() {
    let set = set(&[("a", 1), ("b", 2), ("c", 5)], 1);
    let zero = || AtomicU64::new(0);
    let clock = Watching { clock: MonotonicClock::start(), asked: zero(), early: zero(), late: zero() };
    DISPATCHER.set(true);
    let (stub, _, _) = ran_by(&clock, &set, &[law(400); 3], 400, Stub::new(Duration::from_micros(100), 7));
    DISPATCHER.set(false);
    assert!(stub.executed >= 600, "{}", stub.executed);
    assert_eq!(stub.calls_at_last - stub.calls_at_tenth, 0, "by the worker in {} jobs", stub.executed);
    assert!(clock.asked.load(Ordering::Relaxed) > 600);
    let (early, late) = (clock.early.load(Ordering::Relaxed), clock.late.load(Ordering::Relaxed));
    assert!(early > 0, "setting up allocates, and is counted");
    assert_eq!(late - early, 0, "by the dispatcher in {} jobs", stub.executed);
}

#[test]
fn stopping_early_finishes_what_was_released() {
    let set = set(&[("a", 5)], 1);
    let clock = MonotonicClock::start();
    let (first, mut tap) = recorder(1 << 12);
    let (second, _keep) = recorder(1 << 12);
    let stop = AtomicBool::new(false);
    let until = Nanos::from_secs(60);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            stop.store(true, Ordering::Relaxed);
        });
        let task = Run { set: &set, laws: &[law(9)], until, seed: 1, stop: &stop };
        run(&task, &clock, Stub::new(Duration::from_millis(1), 0), first, second);
    });
    let records: Vec<Record> = std::iter::from_fn(|| tap.take()).map(|t| t.record).collect();
    let steps = steps(&records);
    let released = steps.iter().filter(|(_, _, d)| d.action == Action::Enqueue).count();
    let retired = steps.iter().filter(|(_, _, d)| d.action == Action::Retire).count();
    assert!(released > 0 && released < 12_000);
    assert_eq!(released, retired);
}

/// Says on which thread it was primed, and when that was over.
struct Primed {
    at: Vec<(String, Nanos)>,
    clock: MonotonicClock,
}

impl Executor for Primed {
    fn prime(&mut self, failed: &mut dyn FnMut(TaskId, Fault)) {
        std::thread::sleep(Duration::from_millis(40));
        failed(TaskId(1), FAULT);
        self.at.push((std::thread::current().name().unwrap_or_default().to_owned(), self.clock.now()));
    }

    fn execute(&mut self, _: JobId, _: u16) -> Result<(), Fault> {
        Ok(())
    }

    fn judge(&mut self, _: JobId, _: Nanos) -> Result<(), Fault> {
        Ok(())
    }
}

#[test]
fn nothing_is_released_before_the_worker_is_primed() {
    let set = set(&[("a", 5), ("b", 10)], 1);
    let clock = MonotonicClock::start();
    let (first, mut first_tap) = recorder(1 << 10);
    let (second, mut second_tap) = recorder(1 << 10);
    let stop = AtomicBool::new(false);
    let laws = [law(50), law(50)];
    let task = Run { set: &set, laws: &laws, until: Nanos::from_millis(20), seed: 1, stop: &stop };
    let (primed, ..) = run(&task, &clock, Primed { at: vec![], clock }, first, second);
    let [(thread, over)] = primed.at.as_slice() else { panic!("primed once: {:?}", primed.at) };
    assert_eq!(thread, WORKER);
    let dispatched: Vec<Record> = std::iter::from_fn(|| first_tap.take()).map(|t| t.record).collect();
    let arrivals: Vec<Nanos> = dispatched
        .iter()
        .filter_map(|r| match r.body {
            Body::Step { event: Event::Release { arrival, .. }, .. } => Some(arrival),
            _ => None,
        })
        .collect();
    // The time that it took is not missing from the run: four of `a` and two of `b` within 20 ms of its end.
    assert_eq!(arrivals.len(), 6, "{arrivals:?}");
    assert!(arrivals.iter().all(|arrival| arrival >= over), "{arrivals:?} but primed at {over}");
    let worked: Vec<Record> = std::iter::from_fn(|| second_tap.take()).map(|t| t.record).collect();
    assert_eq!(worked[0].body, Body::Fault { task: TaskId(1), job: None, fault: FAULT });
}
