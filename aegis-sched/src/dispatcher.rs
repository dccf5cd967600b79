//! The dispatcher of one partition: tells the scheduler what happens, carries its decisions out, records both.
//!
//! The dispatcher is the thread that calls [`run`]. It never calls a backend: one worker thread executes segments, and
//! the two talk through two single-slot queues and the operating system's park and unpark. From the first release to
//! the last retirement neither side allocates or takes a lock.
use crate::{State, step};
use aegis_core::{
    Action, Clock, Decision, Event, Fault, JobId, Nanos, NextArrival, Outcome, Rng, TaskId, TaskSet,
};
use aegis_trace::{Body, Recorder};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// The name of the thread that executes segments.
pub const WORKER: &str = "aegis-worker";

/// When a task's jobs arrive during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Law {
    /// First arrival after the start of the run: the moment at which the worker has [primed](Executor::prime) itself.
    pub offset: Nanos,
    /// Later arrivals come up to half a period later than they may, at random; otherwise as early as the arrival law
    /// allows, which is every period.
    pub sporadic: bool,
    /// Unfinished jobs held at a time; a release above that is refused and recorded.
    pub queue: u32,
}

/// What a run does.
#[derive(Debug)]
pub struct Run<'a> {
    /// The admitted tasks.
    pub set: &'a TaskSet,
    /// One a task.
    pub laws: &'a [Law],
    /// No job arrives this long after the start of the run, or later.
    pub until: Nanos,
    /// Seed of the sporadic gaps.
    pub seed: u64,
    /// Set it from another thread to stop releasing jobs; what was released is finished.
    pub stop: &'a AtomicBool,
}

/// Executes segments, on the worker thread.
pub trait Executor: Send {
    /// Called once, before the first release: whatever the first execution on a thread sets up is to be set up here, so
    /// that it is in no job's time. `failed` is told what went wrong with which task; it goes into the trace.
    fn prime(&mut self, failed: &mut dyn FnMut(TaskId, Fault)) {
        let _ = failed;
    }

    /// Called right before a segment is executed, and before its start is recorded.
    fn begin(&mut self, job: JobId, segment: u16) {
        let _ = (job, segment);
    }

    /// Executes one segment to its end.
    ///
    /// # Errors
    /// The fault that voids the job's result.
    fn execute(&mut self, job: JobId, segment: u16) -> Result<(), Fault>;

    /// Judges how long a segment took; a fault here is recorded but does not void the result.
    ///
    /// # Errors
    /// The fault that the duration is.
    fn judge(&mut self, job: JobId, used: Nanos) -> Result<(), Fault>;

    /// Whether the model of a job that faulted is to be brought back at `now`, before anything else is executed.
    fn may_recover(&self, job: JobId, now: Nanos) -> bool {
        let _ = (job, now);
        false
    }

    /// Brings the model of a job that faulted back. The partition stands still meanwhile.
    ///
    /// # Errors
    /// The fault for which it cannot be used again.
    fn recover(&mut self, job: JobId, now: Nanos) -> Result<(), Fault> {
        let _ = (job, now);
        Ok(())
    }

    /// Tells what is known of the segment that was executed last: what it copied, and how long others had its processor.
    /// Called when the scheduler has been told of its end.
    fn noticed(&mut self, job: JobId, segment: u16, record: &mut dyn FnMut(Body)) {
        let _ = (job, segment, record);
    }
}

#[derive(Debug, Clone, Copy)]
struct Order {
    job: JobId,
    segment: u16,
}

#[derive(Debug, Clone, Copy)]
struct Report {
    job: JobId,
    outcome: Outcome,
}

/// Primes the worker, runs the system until `run.until` or `run.stop`, then finishes what was released. Returns the executor and the two
/// recorders: the dispatcher's, which holds every (event, decision), and the worker's, which holds starts, ends and
/// faults.
///
/// # Panics
/// If the worker thread panics outside the executor's own boundary, which is a defect of AegisRT.
pub fn run<E: Executor>(
    run: &Run<'_>,
    clock: &impl Clock,
    executor: E,
    mut dispatcher: Recorder,
    worker: Recorder,
) -> (E, Recorder, Recorder) {
    let (mut orders, orders_end) = rtrb::RingBuffer::new(1);
    let (reports_end, mut reports) = rtrb::RingBuffer::new(1);
    let this = thread::current();
    let primed = AtomicBool::new(false);
    thread::scope(|scope| {
        let work = || {
            let (mut executor, mut worker) = (executor, worker);
            executor.prime(&mut |task, fault| {
                worker.record(clock.now(), Body::Fault { task, job: None, fault });
            });
            primed.store(true, Ordering::Release);
            this.unpark();
            work(clock, executor, worker, orders_end, reports_end, &this)
        };
        let handle = thread::Builder::new()
            .name(WORKER.to_owned())
            .spawn_scoped(scope, work)
            .expect("the system can start one more thread");
        // A worker that panics while it primes itself unparks nobody.
        while !primed.load(Ordering::Acquire) && !handle.is_finished() {
            thread::park_timeout(Duration::from_millis(10));
        }
        if !primed.load(Ordering::Acquire) {
            let (executor, worker) = handle.join().expect("the worker does not panic");
            return (executor, dispatcher, worker);
        }
        let mut order = |order: Order| {
            orders.push(order).expect("the scheduler starts a segment only after the last one ended");
            handle.thread().unpark();
        };
        dispatch(run, clock, &mut dispatcher, &mut order, &mut reports);
        drop(orders);
        handle.thread().unpark();
        let (executor, worker) = handle.join().expect("the worker does not panic");
        (executor, dispatcher, worker)
    })
}

fn dispatch(
    run: &Run<'_>,
    clock: &impl Clock,
    recorder: &mut Recorder,
    order: &mut impl FnMut(Order),
    reports: &mut rtrb::Consumer<Report>,
) {
    let queues: Vec<u32> = run.laws.iter().map(|law| law.queue).collect();
    let mut state = State::new(run.set, &queues);
    let start = clock.now();
    let until = start.saturating_add(run.until);
    let mut arrivals: Vec<Nanos> = run.laws.iter().map(|law| start.saturating_add(law.offset)).collect();
    let mut allowed: Vec<NextArrival> =
        run.set.tasks().iter().map(|task| NextArrival::new(&task.arrival)).collect();
    let mut released = vec![0u64; arrivals.len()];
    let mut rng = Rng::new(run.seed);
    let mut stopping = false;
    loop {
        // First what has ended, then the clock: an end is never recorded earlier than it was.
        let report = reports.pop().ok();
        let now = clock.now();
        let mut told = false;
        if let Some(Report { job, outcome }) = report {
            tell(&mut state, recorder, now, Event::Finish { job, outcome });
            told = true;
        }
        // Then everything that has arrived by now, so that it competes in the decision below.
        for (i, task) in run.set.tasks().iter().enumerate() {
            while !stopping && arrivals[i] <= now && arrivals[i] < until {
                let job = JobId { task: TaskId::from(i), seq: released[i] };
                tell(&mut state, recorder, now, Event::Release { job, arrival: arrivals[i] });
                told = true;
                released[i] += 1;
                let late =
                    if run.laws[i].sporadic { rng.between(0, task.arrival.mean_distance().0 / 2) } else { 0 };
                allowed[i].arrived(arrivals[i]);
                arrivals[i] = allowed[i].earliest().saturating_add(Nanos(late));
            }
        }
        // Finally one decision on all of it.
        if told
            && let Action::Start { job, segment } = tell(&mut state, recorder, now, Event::Dispatch).action
        {
            order(Order { job, segment });
        }
        let next = arrivals.iter().copied().min().unwrap_or(Nanos::MAX);
        if !stopping && (next >= until || run.stop.load(Ordering::Relaxed)) {
            stopping = true;
            recorder.record(now, Body::Stopping);
        }
        if stopping && state.quiet() {
            return;
        }
        if reports.is_empty() {
            // A report that comes between this check and the sleep leaves a token, and park returns at once.
            if stopping {
                thread::park();
            } else {
                thread::park_timeout(next.saturating_sub(clock.now()).to_std());
            }
        }
    }
}

fn tell(state: &mut State, recorder: &mut Recorder, now: Nanos, event: Event) -> Decision {
    let decision = step(state, now, event);
    recorder.record(now, Body::Step { event, decision });
    decision
}

fn work<E: Executor>(
    clock: &impl Clock,
    mut executor: E,
    mut recorder: Recorder,
    mut orders: rtrb::Consumer<Order>,
    mut reports: rtrb::Producer<Report>,
    dispatcher: &thread::Thread,
) -> (E, Recorder) {
    loop {
        let Ok(Order { job, segment }) = orders.pop() else {
            if orders.is_abandoned() {
                return (executor, recorder);
            }
            thread::park();
            continue;
        };
        executor.begin(job, segment);
        let start = clock.now();
        recorder.record(start, Body::Started { job, segment });
        let executed = executor.execute(job, segment);
        let end = clock.now();
        let outcome = if executed.is_ok() { Outcome::Completed } else { Outcome::Faulted };
        recorder.record(end, Body::Ended { job, segment, outcome });
        let used = end.saturating_sub(start);
        for fault in [executed.err(), executor.judge(job, used).err()].into_iter().flatten() {
            recorder.record(end, Body::Fault { task: job.task, job: Some(job), fault });
        }
        if outcome == Outcome::Faulted && executor.may_recover(job, end) {
            recover(clock, &mut executor, &mut recorder, job);
        }
        reports.push(Report { job, outcome }).expect("one report for each order");
        dispatcher.unpark();
        // The dispatcher wakes up meanwhile.
        executor.noticed(job, segment, &mut |body| recorder.record(end, body));
    }
}

fn recover<E: Executor>(clock: &impl Clock, executor: &mut E, recorder: &mut Recorder, job: JobId) {
    let from = clock.now();
    recorder.record(from, Body::Recovering { job });
    let recovered = executor.recover(job, from);
    let to = clock.now();
    recorder.record(to, Body::Recovered { job, usable: recovered.is_ok() });
    if let Err(fault) = recovered {
        recorder.record(to, Body::Fault { task: job.task, job: Some(job), fault });
    }
}
