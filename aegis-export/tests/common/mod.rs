//! Traces for the tests: one by hand in which everything happens, and any number of random ones in which nothing fits.
#![allow(dead_code, reason = "each test uses its part")]
use aegis_core::{
    Action, Blame, Bytes, Decision, Event, Fault, FaultCode, JobId, Nanos, Outcome, Overheads, Policy,
    Priority, Rejection, Rng, TaskDraft, TaskId, TaskSet, Usable, Why,
};
use aegis_trace::{Body, Header, ModelNote, Purpose, Record, Trace, write_all};

/// 2026-11-22 14:23:45 UTC
pub const NOON: u64 = 1_795_357_425 * 1_000_000_000;

pub fn header(names: &[&str]) -> Header {
    let drafts = names.iter().map(|name| TaskDraft {
        name: (*name).to_owned(),
        segments: vec![Nanos(20), Nanos(20)],
        arrival: Nanos(100).into(),
        deadline: None,
        jitter: Nanos::ZERO,
        priority: Some(Priority(1)),
    });
    Header {
        created_unix_ns: NOON,
        clock: "monotonic".to_owned(),
        program: "test 1".to_owned(),
        spec_digest: "00".to_owned(),
        seed: None,
        set: TaskSet::new(Policy::Fifo, Overheads::default(), drafts.collect()).unwrap(),
        queues: vec![2; names.len()],
        models: vec![ModelNote {
            task: names[0].to_owned(),
            backend: "sim".to_owned(),
            version: "1".to_owned(),
            digest: "ab".to_owned(),
            file: "camera.onnx".to_owned(),
        }],
        host: "a \"test\" host".to_owned(),
    }
}

pub fn trace_of(header: &Header, records: &[Record]) -> Trace {
    let mut bytes = Vec::new();
    write_all(&mut bytes, header, records.iter().copied()).unwrap();
    Trace::from_bytes(&bytes).unwrap()
}

pub fn job(task: u32, seq: u64) -> JobId {
    JobId { task: TaskId(task), seq }
}

pub fn at(ns: u64, body: Body) -> Record {
    Record { at: Nanos(ns), body }
}

pub fn step(ns: u64, event: Event, action: Action, why: Why) -> Record {
    at(ns, Body::Step { event, decision: Decision { action, why } })
}

pub fn released(ns: u64, job: JobId, arrival: u64) -> Record {
    let event = Event::Release { job, arrival: Nanos(arrival) };
    step(ns, event, Action::Enqueue, Why::Ready { waiting: 0 })
}

pub fn refused(ns: u64, job: JobId) -> Record {
    let event = Event::Release { job, arrival: Nanos(ns) };
    step(ns, event, Action::Refuse, Why::QueueFull { capacity: 2 })
}

pub fn chosen(ns: u64, job: JobId, segment: u16) -> Record {
    step(ns, Event::Dispatch, Action::Start { job, segment }, Why::OnlyReady)
}

pub fn requeued(ns: u64, job: JobId) -> Record {
    let event = Event::Finish { job, outcome: Outcome::Completed };
    step(ns, event, Action::Requeue, Why::MoreSegments { left: 1 })
}

pub fn retired(ns: u64, job: JobId, outcome: Outcome, why: Why) -> Record {
    step(ns, Event::Finish { job, outcome }, Action::Retire, why)
}

/// Two segments of a job with 1 ns of dispatch before and 2 ns behind each; the second ends at `from + lengths + 6`.
fn two_segments(from: u64, job: JobId, lengths: [u64; 2], outcome: Outcome, why: Why) -> Vec<Record> {
    let (a, b) = (from + lengths[0] + 3, from + lengths[0] + lengths[1] + 6);
    vec![
        chosen(from, job, 0),
        at(from + 1, Body::Started { job, segment: 0 }),
        at(a - 2, Body::Ended { job, segment: 0, outcome: Outcome::Completed }),
        requeued(a, job),
        chosen(a, job, 1),
        at(a + 1, Body::Started { job, segment: 1 }),
        at(b - 2, Body::Ended { job, segment: 1, outcome }),
        retired(b, job, outcome, why),
    ]
}

pub const FAULT: Fault = Fault { blame: Blame::Model, code: FaultCode::Panicked, usable: Usable::Model };

/// A system of `camera` and `lidar, "front"` in which each verdict happens once.
pub fn everything() -> Trace {
    let (camera, lidar) = (TaskId(0), TaskId(1));
    let mut records = vec![
        at(
            0,
            Body::Loaded { task: camera, weights: Bytes(100), io: Bytes(10), scratch: None, took: Nanos(5) },
        ),
        at(
            0,
            Body::Loaded {
                task: lidar,
                weights: Bytes(0),
                io: Bytes(7),
                scratch: Some(Bytes(64)),
                took: Nanos(6),
            },
        ),
        at(1, Body::Profiled { task: camera, wcet: Nanos(40), runs: 30 }),
        at(1, Body::Admitted { task: camera, wcrt: Nanos(90), deadline: Nanos(100) }),
        at(1, Body::Rejected(Rejection::Overload { utilisation_ppm: 1_200_000 })),
        at(2, Body::Placed { task: camera, purpose: Purpose::Weights, offset: Bytes(0), size: Bytes(100) }),
        at(2, Body::Placed { task: camera, purpose: Purpose::Scratch, offset: Bytes(100), size: Bytes(30) }),
        at(2, Body::Placed { task: lidar, purpose: Purpose::Scratch, offset: Bytes(110), size: Bytes(64) }),
    ];
    // camera#0: arrives at 100, told at 103, 40 ns of work, met at 149.
    records.push(released(103, job(0, 0), 100));
    let met = Why::DeadlineMet { response: Nanos(49), slack: Nanos(51) };
    records.extend(two_segments(103, job(0, 0), [20, 20], Outcome::Completed, met));
    // lidar#0 arrives at 200 and misses: camera#1 came first and took far longer than its WCET.
    records.push(released(200, job(0, 1), 200));
    records.push(released(200, job(1, 0), 200));
    let faulted = retired(0, job(0, 1), Outcome::Faulted, Why::Faulted);
    let Body::Step { decision, .. } = faulted.body else { unreachable!() };
    records.extend(two_segments(200, job(0, 1), [20, 54], Outcome::Faulted, decision.why));
    records
        .insert(records.len() - 1, at(279, Body::Fault { task: camera, job: Some(job(0, 1)), fault: FAULT }));
    let missed = Why::DeadlineMissed { response: Nanos(126), late: Nanos(26) };
    records.extend(two_segments(280, job(1, 0), [20, 20], Outcome::Completed, missed));
    records.push(refused(330, job(1, 1)));
    records.push(at(340, Body::Fault { task: lidar, job: None, fault: FAULT }));
    // camera#2 is still running when the trace ends.
    records.push(released(350, job(0, 2), 350));
    records.push(chosen(350, job(0, 2), 0));
    records.push(at(351, Body::Started { job: job(0, 2), segment: 0 }));
    records.push(at(400, Body::Stopping));
    trace_of(&header(&["camera", "lidar, \"front\""]), &records)
}

/// Records that need not make sense: known and unknown tasks, times that go back, ends without beginnings.
pub fn nonsense(seed: u64, length: u64) -> Trace {
    let mut rng = Rng::new(seed);
    let records: Vec<Record> = (0..length)
        .map(|i| {
            let mut some = |most| rng.between(0, most);
            let job = job(u32::try_from(some(3)).unwrap(), some(4));
            let other = JobId { task: TaskId(u32::try_from(some(2)).unwrap()), seq: some(4) };
            let (time, arrival) = (some(20) + 3 * i, some(30) + 2 * i);
            let segment = u16::try_from(some(2)).unwrap();
            let outcome = if some(3) == 0 { Outcome::Faulted } else { Outcome::Completed };
            let task = job.task;
            match some(15) {
                0..=3 => released(time, job, arrival),
                4..=6 => chosen(time, job, segment),
                7 => requeued(time, job),
                8 => retired(time, job, outcome, Why::Faulted),
                9 => retired(
                    time,
                    job,
                    outcome,
                    Why::DeadlineMissed { response: Nanos(arrival), late: Nanos(some(u64::MAX - 1)) },
                ),
                10 => refused(time, job),
                11 => at(time, Body::Started { job, segment }),
                12 => at(time, Body::Ended { job, segment, outcome }),
                13 => step(
                    time,
                    Event::Dispatch,
                    Action::Continue,
                    Why::Busy { running: other, since: Nanos(1) },
                ),
                14 => at(time, Body::Fault { task, job: Some(job), fault: FAULT }),
                _ => at(
                    time,
                    Body::Placed {
                        task,
                        purpose: Purpose::Scratch,
                        offset: Bytes(some(u64::MAX - 1)),
                        size: Bytes(some(u64::MAX - 1)),
                    },
                ),
            }
        })
        .collect();
    trace_of(&header(&["a", "b"]), &records)
}
