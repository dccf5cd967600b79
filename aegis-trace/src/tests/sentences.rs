//! Every record in words, and which of them concern whom.
use super::{TaskOf, header, job, trace_of};
use crate::{Body, ClockLimits, Direction, Header, Purpose, Query, Record};
use aegis_core::{
    Action, Blame, Budgeted, Bytes, Decision, Event, Fault, FaultCode, JobId, Nanos, Outcome, Policy,
    Priority, Rejection, TaskId, Term, TermKind, Usable, Why,
};

const CAMERA: JobId = JobId { task: TaskId(0), seq: 118 };
const LIDAR: JobId = JobId { task: TaskId(1), seq: 61 };

fn two_tasks() -> Header {
    header(Policy::Edf, 1_000_000, &[TaskOf("camera", &[25], 77, 0), TaskOf("lidar", &[45, 5], 200, 1)])
}

fn ms(n: u64) -> Nanos {
    Nanos::from_millis(n)
}

fn check(body: Body, says: &str) {
    let record = Record { at: ms(150), body };
    assert_eq!(two_tasks().say(&record).to_string(), says);
}

fn step(event: Event, action: Action, why: Why) -> Body {
    Body::Step { event, decision: Decision { action, why } }
}

#[test]
fn decisions() {
    let release = Event::Release { job: CAMERA, arrival: ms(123) };
    let early = Event::Release { job: CAMERA, arrival: ms(151) };
    let finish = Event::Finish { job: CAMERA, outcome: Outcome::Completed };
    let start = |job, segment| Action::Start { job, segment };
    for (event, action, why, says) in [
        (release, Action::Enqueue, Why::Ready { waiting: 0 }, "camera#118 queued: ready, nobody else waits"),
        (release, Action::Enqueue, Why::Ready { waiting: 1 }, "camera#118 queued: ready, 1 other waiting"),
        (release, Action::Enqueue, Why::Ready { waiting: 2 }, "camera#118 queued: ready, 2 others waiting"),
        (
            release,
            Action::Refuse,
            Why::QueueFull { capacity: 1 },
            "camera#118 refused: its queue of 1 is full, this job is lost",
        ),
        (release, Action::Refuse, Why::UnknownTask, "camera#118 refused: no such task; the set has 2"),
        (
            release,
            Action::Refuse,
            Why::TimeWentBack,
            "camera#118 refused: time went back: a later event was told before",
        ),
        (
            early,
            Action::Refuse,
            Why::TimeWentBack,
            "camera#118 refused: it arrives at 14:23:45.151, after its own release",
        ),
        (finish, Action::Refuse, Why::NotRunning, "end of camera#118 refused: it was not running"),
        (finish, Action::Requeue, Why::MoreSegments { left: 1 }, "camera#118 queued again: 1 segment left"),
        (finish, Action::Requeue, Why::MoreSegments { left: 2 }, "camera#118 queued again: 2 segments left"),
        (
            finish,
            Action::Retire,
            Why::DeadlineMet { response: Nanos(72_400_000), slack: Nanos(4_600_000) },
            "camera#118 finished: deadline met, response 72.4 ms, slack 4.6 ms",
        ),
        (
            finish,
            Action::Retire,
            Why::DeadlineMissed { response: ms(80), late: ms(3) },
            "camera#118 finished: deadline missed by 3 ms, response 80 ms",
        ),
        (
            Event::Finish { job: CAMERA, outcome: Outcome::Faulted },
            Action::Retire,
            Why::Faulted,
            "camera#118 finished: faulted, its result is void",
        ),
        (Event::Dispatch, start(LIDAR, 0), Why::OnlyReady, "lidar#61 chosen: the only ready job"),
        (
            Event::Dispatch,
            start(LIDAR, 0),
            Why::EarliestDeadline { deadline: ms(200), over: CAMERA },
            "lidar#61 chosen: earliest deadline 14:23:45.200, before camera#118",
        ),
        (
            Event::Dispatch,
            start(LIDAR, 1),
            Why::HighestPriority { priority: Priority(0), over: CAMERA },
            "lidar#61 chosen (segment 1): highest priority 0, before camera#118",
        ),
        (
            Event::Dispatch,
            start(LIDAR, 0),
            Why::FirstReleased { release: ms(100), over: CAMERA },
            "lidar#61 chosen: released first, at 14:23:45.100, before camera#118",
        ),
        (
            Event::Dispatch,
            Action::Continue,
            Why::Busy { running: LIDAR, since: ms(121) },
            "lidar#61 goes on: it runs since 14:23:45.121 and cannot be preempted",
        ),
        (Event::Dispatch, Action::Idle, Why::NothingReady, "idle: no job is ready"),
        (
            Event::Dispatch,
            Action::Refuse,
            Why::TimeWentBack,
            "choice refused: time went back: a later event was told before",
        ),
    ] {
        check(step(event, action, why), says);
    }
}

#[test]
fn every_combination_of_event_action_and_reason_is_a_sentence() {
    let events = [
        Event::Release { job: CAMERA, arrival: ms(1) },
        Event::Finish { job: job(9, 1), outcome: Outcome::Faulted },
        Event::Dispatch,
    ];
    let actions = [
        Action::Enqueue,
        Action::Refuse,
        Action::Start { job: LIDAR, segment: 0 },
        Action::Requeue,
        Action::Retire,
        Action::Continue,
        Action::Idle,
    ];
    let whys = [Why::NothingReady, Why::Busy { running: CAMERA, since: ms(1) }, Why::Faulted];
    for event in events {
        for action in actions {
            for why in whys {
                let record = Record { at: ms(1), body: step(event, action, why) };
                let said = two_tasks().say(&record).to_string();
                let (done, reason) = said.split_once(": ").unwrap();
                assert!(!done.is_empty() && !reason.is_empty(), "{said}");
            }
        }
    }
}

#[test]
fn everything_else() {
    let fault = Fault { blame: Blame::Device, code: FaultCode::DeviceLost, usable: Usable::Nothing };
    let (task, other) = (TaskId(0), TaskId(1));
    for (body, says) in [
        (Body::Started { job: CAMERA, segment: 0 }, "camera#118 started (segment 0)"),
        (
            Body::Ended { job: CAMERA, segment: 1, outcome: Outcome::Completed },
            "camera#118 ended (segment 1): completed",
        ),
        (
            Body::Ended { job: job(7, 3), segment: 0, outcome: Outcome::Faulted },
            "task 7#3 ended (segment 0): faulted",
        ),
        (
            Body::Fault { task, job: Some(CAMERA), fault },
            "camera#118 faulted: the device was lost (blame: Device; still usable: nothing in this process)",
        ),
        (
            Body::Fault { task, job: None, fault },
            "camera faulted: the device was lost (blame: Device; still usable: nothing in this process)",
        ),
        (
            Body::Loaded { task, weights: Bytes::from_mib(12), io: Bytes(512), scratch: None, took: ms(120) },
            "camera loaded in 120.0 ms: weights 12 MiB, inputs and outputs 512 B, scratch unknown",
        ),
        (
            Body::Loaded {
                task,
                weights: Bytes::from_mib(12),
                io: Bytes(512),
                scratch: Some(Bytes::from_mib(3)),
                took: ms(120),
            },
            "camera loaded in 120.0 ms: weights 12 MiB, inputs and outputs 512 B, scratch 3 MiB",
        ),
        (Body::Profiled { task, wcet: ms(25), runs: 0 }, "camera: WCET 25 ms, as stated"),
        (Body::Profiled { task, wcet: ms(25), runs: 300 }, "camera: WCET 25 ms, measured over 300 runs"),
        (
            Body::Placed { task: other, purpose: Purpose::Io, offset: Bytes(4096), size: Bytes::from_mib(1) },
            "lidar: inputs and outputs placed at 4096 B, 1 MiB",
        ),
        (
            Body::Admitted { task, wcrt: ms(72), deadline: ms(77) },
            "camera admitted: worst response 72 ms, deadline 77 ms",
        ),
        (
            Body::Rejected(Rejection::Overload { utilisation_ppm: 1_250_001 }),
            "task set rejected: the tasks ask for 125.0001 % of all time",
        ),
        (
            Body::Rejected(Rejection::NoFiniteBusyPeriod { task }),
            "task set rejected: camera has no bound: its busy period never ends",
        ),
        (
            Body::Rejected(Rejection::DeadlineMissed {
                task,
                wcrt: Nanos(81_200_000),
                deadline: ms(77),
                blocked_by: Some(other),
                blocking: ms(45),
            }),
            "task set rejected: camera: worst response 81.2 ms > deadline 77 ms; 45 ms of it waits for lidar, which \
             cannot be preempted",
        ),
        (
            Body::Rejected(Rejection::Undecided { task, steps: 10 }),
            "task set rejected: camera: the analysis gave up after 10 steps",
        ),
        (Body::Stopping, "stopping: later releases are not served, running jobs are finished"),
        (
            Body::BoundTerm {
                task,
                term: Term { kind: TermKind::Interference, by: Some(other), ns: 5_000_000 },
            },
            "camera: interference of its bound: 5 ms by lidar",
        ),
        (
            Body::BoundTerm { task, term: Term { kind: TermKind::ArrivedLater, by: None, ns: -2_000_000 } },
            "camera: arrived_later of its bound: -2 ms",
        ),
        (
            Body::Certified {
                task,
                bound: ms(24),
                samples: 29_956,
                exceedance_ppb: 100_000,
                confidence_ppb: 950_000_001,
            },
            "camera: 29956 samples show with 95.0000001 % confidence that at most 0.01 % of its jobs run longer than 24 ms",
        ),
        (
            Body::WithinBudget { task, budget: Budgeted::Streams { limit: 3, asked: 1 } },
            "camera is within its budget: 1 streams, of 3",
        ),
        (
            Body::WithinBudget { task, budget: Budgeted::ComputeTime { limit: ms(30), used: ms(25) } },
            "camera is within its budget: 25 ms per job, of 30 ms",
        ),
        (
            Body::Planned {
                on_device: true,
                peak: Bytes::from_mib(3),
                at_least: Bytes::from_mib(2),
                limit: Some(Bytes::from_mib(4)),
            },
            "device memory planned: 3 MiB, and no plan takes less than 2 MiB; the limit is 4 MiB",
        ),
        (
            Body::Unplannable {
                peak: Bytes::from_mib(3),
                at_least: Bytes::from_mib(2),
                limit: Bytes::from_mib(1),
            },
            "system rejected: the best plan of its memory takes 3 MiB, every plan takes 2 MiB or more, the limit is \
             1 MiB",
        ),
        (Body::RecordCost { per_thousand: Nanos(7_500) }, "a thousand records take their thread 7.5 us"),
        (
            Body::Copied { job: CAMERA, segment: 1, direction: Direction::Out, took: ms(2) },
            "camera#118 copied its outputs in 2 ms (segment 1)",
        ),
        (
            Body::Contended { job: CAMERA, segment: 0, waited: ms(2) },
            "camera#118 was ready to run and others had the processor for 2 ms (segment 0)",
        ),
        (Body::Recovering { job: CAMERA }, "camera is brought back after the fault of camera#118"),
        (Body::Recovered { job: CAMERA, usable: true }, "camera is usable again"),
        (Body::Recovered { job: CAMERA, usable: false }, "camera cannot be used again in this run"),
        (
            Body::ClockChanged {
                from_khz: 1_980_000,
                to_khz: 1_200_000,
                limits: ClockLimits { power: false, heat: true },
            },
            "clock changed from 1980 to 1200 MHz, limited by heat",
        ),
    ] {
        check(body, says);
    }
}

#[test]
fn queries_find_what_concerns_a_task_or_a_job() {
    let over = Why::EarliestDeadline { deadline: ms(200), over: CAMERA };
    let bodies = [
        Body::Admitted { task: TaskId(0), wcrt: ms(1), deadline: ms(2) },
        step(Event::Release { job: CAMERA, arrival: ms(1) }, Action::Enqueue, Why::Ready { waiting: 0 }),
        step(Event::Dispatch, Action::Start { job: LIDAR, segment: 0 }, over),
        Body::Started { job: LIDAR, segment: 0 },
        step(Event::Dispatch, Action::Continue, Why::Busy { running: LIDAR, since: ms(2) }),
        step(
            Event::Finish { job: LIDAR, outcome: Outcome::Completed },
            Action::Retire,
            Why::DeadlineMet { response: ms(1), slack: ms(1) },
        ),
        Body::Rejected(Rejection::DeadlineMissed {
            task: TaskId(0),
            wcrt: ms(9),
            deadline: ms(8),
            blocked_by: Some(TaskId(1)),
            blocking: ms(1),
        }),
        Body::Stopping,
        step(Event::Dispatch, Action::Idle, Why::NothingReady),
    ];
    let records: Vec<Record> = (0..).zip(bodies).map(|(i, body)| Record { at: ms(i), body }).collect();
    let trace = trace_of(&two_tasks(), &[records], |_, _| false);
    let found = |query: Query| trace.query(&query).map(|e| e.seq).collect::<Vec<_>>();
    let (camera, lidar) = (trace.header().task("camera").unwrap(), trace.header().task("lidar").unwrap());
    let any = Query::default();
    assert_eq!(found(any), (0..9).collect::<Vec<_>>());
    assert_eq!(found(Query { task: Some(camera), ..any }), [0, 1, 2, 6]);
    assert_eq!(found(Query { task: Some(lidar), ..any }), [2, 3, 4, 5, 6]);
    assert_eq!(found(Query { job: Some(CAMERA), ..any }), [1, 2]);
    assert_eq!(found(Query { job: Some(job(0, 1)), ..any }), [0; 0]);
    assert_eq!(found(Query { job: Some(LIDAR), task: Some(camera), ..any }), [2]);
    assert_eq!(found(Query { from: Some(ms(2)), to: Some(ms(4)), ..any }), [2, 3]);
    assert_eq!(found(Query { task: Some(lidar), from: Some(ms(5)), ..any }), [5, 6]);
}
