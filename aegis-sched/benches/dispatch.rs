//! What the dispatcher adds to a job, on this machine: from arrival to the scheduler, from its choice to the worker, from
//! the worker's end back to the scheduler. `cargo bench -p aegis-sched --bench dispatch`; figures depend on the operating
//! system's wake-ups, so the cost of one park and unpark between two threads is measured in the same run.
use aegis_core::{Fault, JobId, MonotonicClock, Nanos, Overheads, Policy, TaskDraft, TaskId, TaskSet};
use aegis_sched::dispatcher::{Executor, Law, Run, run};
use aegis_trace::{Header, Jobs, Record, Trace, recorder, write_all};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

struct Nothing;

impl Executor for Nothing {
    fn execute(&mut self, _: JobId, _: u16) -> Result<(), Fault> {
        Ok(())
    }

    fn judge(&mut self, _: JobId, _: Nanos) -> Result<(), Fault> {
        Ok(())
    }
}

fn percentiles(name: &str, mut samples: Vec<u64>) {
    assert!(samples.len() > 1_000, "{name}: too few samples");
    samples.sort_unstable();
    let at = |permille: usize| samples[samples.len() * permille / 1000] / 1000;
    println!("{name:<44} p50 {:>5} us   p99 {:>5} us   p99.9 {:>5} us", at(500), at(990), at(999));
}

/// One thread wakes another and is woken by it: the floor under a dispatch and its completion together.
fn round_trips() -> Vec<u64> {
    let (ping, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let this = std::thread::current();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                if ping.swap(false, Ordering::AcqRel) {
                    this.unpark();
                } else {
                    std::thread::park();
                }
            }
        });
        let samples = (0..2_000)
            .map(|_| {
                std::thread::sleep(Duration::from_micros(500));
                let start = Instant::now();
                ping.store(true, Ordering::Release);
                other.thread().unpark();
                while ping.load(Ordering::Acquire) {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
            })
            .collect();
        stop.store(true, Ordering::Release);
        other.thread().unpark();
        samples
    })
}

fn main() {
    percentiles("park and unpark, there and back", round_trips());
    let draft = TaskDraft {
        name: "tick".to_owned(),
        segments: vec![Nanos(1)],
        arrival: Nanos::from_millis(1).into(),
        deadline: None,
        jitter: Nanos::ZERO,
        priority: None,
    };
    let set = TaskSet::new(Policy::Edf, Overheads::default(), vec![draft]).expect("a valid set");
    let (first, mut first_tap) = recorder(1 << 16);
    let (second, mut second_tap) = recorder(1 << 16);
    let clock = MonotonicClock::start();
    let laws = [Law { offset: Nanos::ZERO, sporadic: false, queue: 1_000 }];
    let task =
        Run { set: &set, laws: &laws, until: Nanos::from_secs(3), seed: 1, stop: &AtomicBool::new(false) };
    drop(run(&task, &clock, Nothing, first, second));
    let mut records: Vec<Record> = Vec::new();
    for tap in [&mut first_tap, &mut second_tap] {
        records.extend(std::iter::from_fn(|| tap.take()).map(|t| t.record));
    }
    records.sort_by_key(|r| r.at);
    let header = Header {
        created_unix_ns: 0,
        clock: "monotonic".to_owned(),
        program: "bench".to_owned(),
        spec_digest: String::new(),
        seed: None,
        set,
        queues: vec![1_000],
        models: vec![],
        host: String::new(),
    };
    let mut bytes = Vec::new();
    write_all(&mut bytes, &header, records).expect("memory takes every trace");
    let trace = Trace::from_bytes(&bytes).expect("what was written can be read");
    let jobs = Jobs::of(&trace);
    let (mut release, mut dispatch, mut completion) = (vec![], vec![], vec![]);
    for job in jobs.of_task(TaskId(0)) {
        let segment = &job.segments[0];
        let all =
            (job.arrival, job.release, segment.chosen, segment.started, segment.ended, segment.finished);
        if let (Some(arrival), Some(released), Some(chosen), Some(started), Some(ended), Some(finished)) = all
        {
            release.push(released.at.saturating_sub(arrival).0);
            dispatch.push(started.saturating_sub(chosen.at).0);
            completion.push(finished.at.saturating_sub(ended).0);
        }
    }
    percentiles("release: arrival to scheduler", release);
    percentiles("dispatch: choice to worker", dispatch);
    percentiles("completion: end to scheduler", completion);
}
