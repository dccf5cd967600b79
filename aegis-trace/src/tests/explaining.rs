//! Explanations of single jobs, as people read them. Times in milliseconds.
use super::{TaskOf, file_of, header, job};
use crate::{Body, CauseKind, Ending, Header, Jobs, Record, Trace, TraceError};
use aegis_core::{
    Action, Blame, Decision, Event, Fault, FaultCode, JobId, Nanos, Outcome, Policy, Usable, Why,
};

const MS: u64 = 1_000_000;
const CAMERA: u32 = 0;
const LIDAR: u32 = 1;
const RADAR: u32 = 2;

/// A scheduler and a worker that record what a test dictates.
struct Script {
    header: Header,
    scheduler: Vec<Record>,
    worker: Vec<Record>,
}

fn at(ms: f64) -> Nanos {
    format!("{ms} ms").parse().unwrap()
}

impl Script {
    fn new(policy: Policy) -> Self {
        let tasks = [
            TaskOf("camera", &[25], 77, 1),
            TaskOf("lidar", &[100, 60], 400, 2),
            TaskOf("radar", &[10], 50, 0),
        ];
        Self { header: header(policy, MS, &tasks), scheduler: vec![], worker: vec![] }
    }

    fn step(&mut self, ms: f64, event: Event, action: Action, why: Why) -> &mut Self {
        let body = Body::Step { event, decision: Decision { action, why } };
        self.scheduler.push(Record { at: at(ms), body });
        self
    }

    /// Arrived at `arrival`, told at `ms`.
    fn release(&mut self, ms: f64, job: JobId, arrival: f64) -> &mut Self {
        let event = Event::Release { job, arrival: at(arrival) };
        self.step(ms, event, Action::Enqueue, Why::Ready { waiting: 0 })
    }

    fn refuse(&mut self, ms: f64, job: JobId, why: Why) -> &mut Self {
        self.step(ms, Event::Release { job, arrival: at(ms) }, Action::Refuse, why)
    }

    fn choose(&mut self, ms: f64, job: JobId, segment: u16) -> &mut Self {
        self.step(ms, Event::Dispatch, Action::Start { job, segment }, Why::OnlyReady)
    }

    fn started(&mut self, ms: f64, job: JobId, segment: u16) -> &mut Self {
        self.worker.push(Record { at: at(ms), body: Body::Started { job, segment } });
        self
    }

    fn ended(&mut self, ms: f64, job: JobId, segment: u16, outcome: Outcome) -> &mut Self {
        self.worker.push(Record { at: at(ms), body: Body::Ended { job, segment, outcome } });
        self
    }

    fn next_segment(&mut self, ms: f64, job: JobId) -> &mut Self {
        let event = Event::Finish { job, outcome: Outcome::Completed };
        self.step(ms, event, Action::Requeue, Why::MoreSegments { left: 1 })
    }

    fn retire(&mut self, ms: f64, job: JobId, outcome: Outcome) -> &mut Self {
        let why = match outcome {
            Outcome::Completed => Why::DeadlineMet { response: at(ms), slack: Nanos::ZERO },
            Outcome::Faulted => Why::Faulted,
        };
        self.step(ms, Event::Finish { job, outcome }, Action::Retire, why)
    }

    /// Chosen, started, ended and told at the given instants; the last segment of a completed job.
    fn run(&mut self, job: JobId, segment: u16, [chosen, started, ended, told]: [f64; 4]) -> &mut Self {
        self.choose(chosen, job, segment)
            .started(started, job, segment)
            .ended(ended, job, segment, Outcome::Completed)
            .retire(told, job, Outcome::Completed)
    }

    fn trace(&self, lost: impl Fn(u32, u64) -> bool, cut: bool) -> Trace {
        let offered = [self.scheduler.clone(), self.worker.clone()];
        Trace::from_bytes(&file_of(&self.header, &offered, lost, cut)).unwrap()
    }

    fn check(&self, job: JobId, says: &str) {
        let trace = self.trace(|_, _| false, false);
        let e = Jobs::of(&trace).explain(job).unwrap();
        assert!(e.adds_up());
        assert_eq!(trace.header().narrate(&e).to_string(), says);
    }
}

#[test]
fn blocked_by_a_less_urgent_job_that_cannot_be_preempted() {
    let (camera, lidar) = (job(CAMERA, 118), job(LIDAR, 61));
    let mut script = Script::new(Policy::Edf);
    script
        .release(121.0, lidar, 121.0)
        .choose(121.0, lidar, 1)
        .started(121.5, lidar, 1)
        .release(123.0, camera, 123.0)
        .ended(168.0, lidar, 1, Outcome::Completed)
        .retire(168.2, lidar, Outcome::Completed)
        .run(camera, 0, [168.7, 169.7, 194.7, 195.4]);
    script.check(
        camera,
        "camera#118 released 14:23:45.123 (deadline .200) · blocked 45.2 ms by lidar#61 (non-preemptive, \
         started .121) · ran 25.0 ms · dispatch 1.5 ms · completion 0.7 ms · finished .195, response 72.4 ms, slack 4.6 ms",
    );
    let trace = script.trace(|_, _| false, false);
    let e = Jobs::of(&trace).explain(camera).unwrap();
    assert!(e.met() && e.finish() == Some(at(195.4)) && e.response() == at(72.4));
    let kinds: Vec<_> = e.causes.iter().map(|c| (c.kind, c.by, c.ns, c.from, c.to)).collect();
    let since = at(121.0);
    assert_eq!(
        kinds,
        [
            (CauseKind::Blocked { since }, Some(lidar), at(45.2), at(123.0), at(168.2)),
            (CauseKind::Dispatch, None, at(1.5), at(168.2), at(169.7)),
            (CauseKind::Ran { segment: 0 }, None, at(25.0), at(169.7), at(194.7)),
            (CauseKind::Completion, None, at(0.7), at(194.7), at(195.4)),
        ]
    );
}

#[test]
fn behind_more_urgent_jobs_with_the_rule_that_ranked_them() {
    let (camera, radar) = (job(CAMERA, 1), job(RADAR, 2));
    for (policy, rule) in [
        (Policy::Edf, "earlier deadline .050"),
        (Policy::FixedPriority, "higher priority 0"),
        (Policy::Fifo, "released first, .000"),
    ] {
        let mut script = Script::new(policy);
        script.release(0.0, radar, 0.0).release(0.0, camera, 0.0).run(radar, 0, [0.0, 0.0, 10.0, 10.0]).run(
            camera,
            0,
            [10.0, 10.0, 33.0, 33.0],
        );
        script.check(
            camera,
            &format!(
                "camera#1 released 14:23:45.000 (deadline .077) · waited 10.0 ms behind radar#2 ({rule}) · \
                 ran 23.0 ms · finished .033, response 33.0 ms, slack 44.0 ms"
            ),
        );
    }
}

/// Both deadlines are at 77 ms: the order of release decides, and is named.
#[test]
fn behind_a_job_of_the_same_deadline_that_was_released_first() {
    let (camera, radar) = (job(CAMERA, 1), job(RADAR, 2));
    let mut script = Script::new(Policy::Edf);
    script.release(27.0, radar, 27.0).release(30.0, camera, 0.0).run(radar, 0, [30.0, 30.0, 40.0, 40.0]).run(
        camera,
        0,
        [40.0, 40.0, 60.0, 60.0],
    );
    script.check(
        camera,
        "camera#1 arrived 14:23:45.000 (deadline .077) · released 30.0 ms late · waited 10.0 ms behind radar#2 \
         (released first, .027) · ran 20.0 ms · finished .060, response 60.0 ms, slack 17.0 ms",
    );
}

/// A response is not shown shorter, and a slack not longer, than it is; together they are the deadline.
#[test]
fn rounded_to_the_safe_side() {
    let camera = job(CAMERA, 1);
    for (end, says) in [
        (
            72.45,
            "ran 25.0 ms · ran 47.5 ms over its WCET of 25 ms · finished .072, response 72.5 ms, slack 4.5 ms",
        ),
        (
            77.01,
            "ran 25.0 ms · ran 52.1 ms over its WCET of 25 ms · finished .077, response 77.1 ms, late by 0.1 ms",
        ),
    ] {
        let mut script = Script::new(Policy::Edf);
        script.release(0.0, camera, 0.0).run(camera, 0, [0.0, 0.0, end, end]);
        script.check(camera, &format!("camera#1 released 14:23:45.000 (deadline .077) · {says}"));
    }
}

#[test]
fn behind_its_own_earlier_job() {
    let (first, second) = (job(CAMERA, 117), job(CAMERA, 118));
    let mut script = Script::new(Policy::Edf);
    script
        .release(0.0, first, 0.0)
        .choose(0.0, first, 0)
        .release(77.0, second, 77.0)
        .retire(80.0, first, Outcome::Completed)
        .run(second, 0, [80.0, 80.0, 100.0, 100.0]);
    script.check(
        second,
        "camera#118 released 14:23:45.077 (deadline .154) · waited 3.0 ms behind its own camera#117 · \
         ran 20.0 ms · finished .100, response 23.0 ms, slack 54.0 ms",
    );
    // Without records of a worker it ran from its choice on, and far over its WCET.
    script.check(
        first,
        "camera#117 released 14:23:45.000 (deadline .077) · ran 25.0 ms · ran 55.0 ms over its WCET of 25 ms · \
         finished .080, response 80.0 ms, late by 3.0 ms",
    );
}

#[test]
fn two_segments_with_another_job_between_them() {
    let (lidar, camera) = (job(LIDAR, 5), job(CAMERA, 9));
    let mut script = Script::new(Policy::Edf);
    script
        .release(0.0, lidar, 0.0)
        .choose(0.0, lidar, 0)
        .release(30.0, camera, 30.0)
        .next_segment(90.0, lidar)
        .run(camera, 0, [90.0, 90.0, 115.0, 115.0])
        .choose(115.0, lidar, 1)
        .retire(180.0, lidar, Outcome::Completed);
    script.check(
        lidar,
        "lidar#5 released 14:23:45.000 (deadline .400) · ran 90.0 ms (segment 0) · waited 25.0 ms behind camera#9 \
         (earlier deadline .107) · ran 60.0 ms (segment 1) · ran 5.0 ms over its WCET of 60 ms (segment 1) · \
         finished .180, response 180.0 ms, slack 220.0 ms",
    );
    script.check(
        camera,
        "camera#9 released 14:23:45.030 (deadline .107) · blocked 60.0 ms by lidar#5 (non-preemptive, started \
         .000) · ran 25.0 ms · finished .115, response 85.0 ms, late by 8.0 ms",
    );
}

#[test]
fn late_release_and_idle_gap() {
    let camera = job(CAMERA, 3);
    let mut script = Script::new(Policy::Edf);
    script.release(1_004.0, camera, 999.0).run(camera, 0, [1_006.0, 1_006.0, 1_020.0, 1_020.0]);
    script.check(
        camera,
        "camera#3 arrived 14:23:45.999 (deadline 14:23:46.076) · released 5.0 ms late · ran 14.0 ms · \
         dispatch 2.0 ms · finished 14:23:46.020, response 21.0 ms, slack 56.0 ms",
    );
}

#[test]
fn missing_records_of_the_worker_and_of_the_scheduler() {
    let (camera, lidar) = (job(CAMERA, 118), job(LIDAR, 61));
    let mut script = Script::new(Policy::Edf);
    script
        .release(1.0, lidar, 1.0)
        .run(lidar, 1, [1.0, 2.0, 40.0, 41.0])
        .release(10.0, camera, 10.0)
        .run(camera, 0, [41.0, 42.0, 60.0, 61.0])
        .step(62.0, Event::Dispatch, Action::Idle, Why::NothingReady);
    // The scheduler was told of the camera after it had chosen the lidar.
    script.scheduler.sort_by_key(|r| r.at);
    let told = |lost: &[(u32, u64)]| {
        let trace = script.trace(|recorder, seq| lost.contains(&(recorder, seq)), false);
        let jobs = Jobs::of(&trace);
        let e = jobs.explain(camera).unwrap();
        assert!(e.adds_up());
        let parts: Vec<String> = e.causes.iter().map(|c| format!("{:?} {}", c.kind, c.ns)).collect();
        (e.ending, parts.join(", "))
    };
    let blocked = "Blocked { since: Nanos(1000000) } 31 ms, ";
    for (lost, parts) in [
        (&[][..], "Dispatch 1 ms, Ran { segment: 0 } 18 ms, Completion 1 ms"),
        (&[(1, 2)], "Ran { segment: 0 } 19 ms, Completion 1 ms"),
        (&[(1, 3)], "Dispatch 1 ms, Ran { segment: 0 } 19 ms"),
        (&[(1, 2), (1, 3)], "Ran { segment: 0 } 20 ms"),
        // Its choice: it was started at 42.
        (&[(0, 4)], "Unexplained 1 ms, Ran { segment: 0 } 18 ms, Completion 1 ms"),
    ] {
        assert_eq!(told(lost), (Ending::Met, format!("{blocked}{parts}")), "{lost:?}");
    }
    // Its end: it is seen until a worker ended it.
    let parts = format!("{blocked}Dispatch 1 ms, Ran {{ segment: 0 }} 18 ms");
    assert_eq!(told(&[(0, 5)]), (Ending::Unknown, parts));
    // The same where nothing of the scheduler follows.
    assert_eq!(told(&[(0, 5), (0, 6)]).0, Ending::Unknown);
    // The end of the lidar: held until a worker ended it, then nobody knows.
    let (_, parts) = told(&[(0, 3)]);
    assert!(parts.starts_with("Blocked { since: Nanos(1000000) } 30 ms, Unexplained 1 ms, "), "{parts}");
    // The release of the lidar: whether it was more urgent is not known.
    let (_, parts) = told(&[(0, 0)]);
    assert!(parts.starts_with("Unexplained 31 ms, "), "{parts}");
    // Its own release: the scheduler's sums still tell when it arrived.
    let trace = script.trace(|recorder, seq| (recorder, seq) == (0, 2), false);
    let e = Jobs::of(&trace).explain(camera).unwrap();
    assert_eq!((e.arrival, e.release), (Nanos::ZERO, None));
    assert_eq!(Jobs::of(&trace).unexplained(), [(camera, at(41.0))]);
}

/// Only missing decisions leave open who held the partition.
#[test]
fn other_records_that_the_scheduler_lost_leave_nothing_open() {
    let camera = job(CAMERA, 1);
    let mut script = Script::new(Policy::Edf);
    script.release(0.0, camera, 0.0);
    script.scheduler.push(Record { at: at(1.0), body: Body::Stopping });
    script.run(camera, 0, [3.0, 3.0, 23.0, 23.0]);
    let trace = script.trace(|recorder, seq| (recorder, seq) == (0, 1), false);
    assert_eq!(trace.gaps().len(), 1);
    assert!(Jobs::of(&trace).unexplained().is_empty());
    // Without the balance at the end nobody knows what was lost.
    let cut = script.trace(|recorder, seq| (recorder, seq) == (0, 1), true);
    assert_eq!(Jobs::of(&cut).unexplained(), [(camera, at(3.0))]);
}

/// The end of the last segment is missing, and later records show that there was one.
#[test]
fn the_last_segment_is_not_taken_to_run_on_where_its_end_is_missing() {
    let (camera, lidar) = (job(CAMERA, 1), job(LIDAR, 1));
    let mut script = Script::new(Policy::Edf);
    script
        .release(1.0, lidar, 1.0)
        .choose(1.0, lidar, 1)
        .retire(41.0, lidar, Outcome::Completed)
        .step(42.0, Event::Dispatch, Action::Idle, Why::NothingReady)
        .release(50.0, camera, 50.0)
        .release(60.0, job(RADAR, 1), 60.0);
    let trace = script.trace(|recorder, seq| (recorder, seq) == (0, 2), false);
    let jobs = Jobs::of(&trace);
    assert_eq!(jobs.explain(camera).unwrap().ending, Ending::Unfinished { running: false });
    assert_eq!(jobs.unexplained(), [(camera, at(10.0))]);
}

#[test]
fn a_faulted_job() {
    let camera = job(CAMERA, 7);
    let mut script = Script::new(Policy::Edf);
    script.release(0.0, camera, 0.0).choose(0.0, camera, 0).started(0.0, camera, 0);
    let fault = Fault { blame: Blame::Model, code: FaultCode::Panicked, usable: Usable::Model };
    let body = Body::Fault { task: camera.task, job: Some(camera), fault };
    script.worker.push(Record { at: at(12.0), body });
    script.ended(12.0, camera, 0, Outcome::Faulted).retire(12.5, camera, Outcome::Faulted);
    script.check(
        camera,
        "camera#7 released 14:23:45.000 (deadline .077) · ran 12.0 ms · completion 0.5 ms · faulted .012 after \
         12.5 ms, its result is void: the backend panicked (blame: Model; still usable: other models)",
    );
}

#[test]
fn refused_jobs() {
    let mut script = Script::new(Policy::Edf);
    script
        .release(0.0, job(CAMERA, 1), 0.0)
        .choose(0.0, job(CAMERA, 1), 0)
        .release(77.0, job(CAMERA, 2), 77.0)
        .refuse(154.0, job(CAMERA, 3), Why::QueueFull { capacity: 2 })
        .retire(160.0, job(CAMERA, 1), Outcome::Completed)
        .refuse(170.0, job(9, 0), Why::UnknownTask);
    script.check(
        job(CAMERA, 3),
        "camera#3 arrived 14:23:45.154 (deadline .231) · refused .154: its queue of 2 is full, this job is lost \
         (camera#1, camera#2)",
    );
    let trace = script.trace(|_, _| false, false);
    let e = Jobs::of(&trace).explain(job(9, 0)).unwrap();
    assert_eq!(e.ending, Ending::Refused(Why::UnknownTask));
    let line = trace.header().narrate(&e).to_string();
    assert_eq!(line, "task 9#0 arrived 14:23:45.170 · refused .170: no such task; the set has 3");
}

#[test]
fn unfinished_jobs() {
    let (camera, lidar, radar) = (job(CAMERA, 1), job(LIDAR, 1), job(RADAR, 1));
    let mut script = Script::new(Policy::Edf);
    script
        .release(0.0, lidar, 0.0)
        .choose(0.0, lidar, 0)
        .started(1.0, lidar, 0)
        .release(5.0, camera, 5.0)
        .release(90.0, radar, 90.0);
    for cut in [false, true] {
        let trace = script.trace(|_, _| false, cut);
        assert_eq!(trace.complete(), !cut);
        let jobs = Jobs::of(&trace);
        for (job, says) in [
            (
                lidar,
                "lidar#1 released 14:23:45.000 (deadline .400) · ran 89.0 ms · dispatch 1.0 ms · still running .090 \
                 when the trace ends, 90.0 ms after it arrived",
            ),
            (
                camera,
                "camera#1 released 14:23:45.005 (deadline .082) · blocked 85.0 ms by lidar#1 (non-preemptive, started \
                 .000) · still waiting .090 when the trace ends, 85.0 ms after it arrived and 8.0 ms after its \
                 deadline",
            ),
        ] {
            assert_eq!(trace.header().narrate(&jobs.explain(job).unwrap()).to_string(), says);
        }
        assert!(jobs.explain(radar).unwrap().causes.is_empty());
    }
}

/// A scheduler that breaks its policy is not covered up.
#[test]
fn a_less_urgent_job_that_is_chosen_while_a_more_urgent_one_is_ready_explains_nothing() {
    let (camera, lidar) = (job(CAMERA, 1), job(LIDAR, 1));
    let mut script = Script::new(Policy::Edf);
    script.release(0.0, camera, 0.0).release(0.0, lidar, 0.0).run(lidar, 0, [1.0, 1.0, 21.0, 21.0]).run(
        camera,
        0,
        [21.0, 21.0, 31.0, 31.0],
    );
    let trace = script.trace(|_, _| false, false);
    let jobs = Jobs::of(&trace);
    assert_eq!(jobs.unexplained(), [(camera, at(20.0))]);
    assert_eq!(jobs.explain(camera).unwrap().causes[1].by, Some(lidar));
}

#[test]
fn the_worst_are_those_that_took_longest_for_their_deadline() {
    let mut script = Script::new(Policy::Fifo);
    let mut now = 0.0;
    for (id, runs) in
        [(job(CAMERA, 0), 20.0), (job(RADAR, 0), 40.0), (job(LIDAR, 0), 100.0), (job(CAMERA, 1), 61.6)]
    {
        script.release(now, id, now).run(id, 0, [now, now, now + runs, now + runs]);
        now += 200.0;
    }
    script.refuse(800.0, job(RADAR, 1), Why::QueueFull { capacity: 1 });
    let trace = script.trace(|_, _| false, false);
    let jobs = Jobs::of(&trace);
    let worst =
        |k, from, to| -> Vec<JobId> { jobs.worst(k, at(from)..at(to)).into_iter().map(|e| e.job).collect() };
    // 80 % each: ties go by the job.
    assert_eq!(worst(2, 0.0, 1e6), [job(CAMERA, 1), job(RADAR, 0)]);
    assert_eq!(worst(9, 0.0, 1e6).len(), 4);
    assert_eq!(worst(9, 0.0, 600.0), [job(RADAR, 0), job(CAMERA, 0), job(LIDAR, 0)]);
    assert_eq!(worst(0, 0.0, 1e6), []);
}

#[test]
fn a_job_that_is_not_in_the_trace() {
    let mut script = Script::new(Policy::Fifo);
    script.release(0.0, job(CAMERA, 3), 0.0).release(0.0, job(CAMERA, 4), 0.0);
    let trace = script.trace(|_, _| false, false);
    let jobs = Jobs::of(&trace);
    for (id, says) in [
        (job(CAMERA, 5), "the trace says nothing of the arrival of camera#5; it has 3 to 4 of that task"),
        (job(LIDAR, 0), "the trace says nothing of the arrival of lidar#0; it has no job of that task"),
        (job(77, 0), "the trace says nothing of the arrival of task 77#0; it has no job of that task"),
    ] {
        let error = jobs.explain(id).unwrap_err();
        assert!(matches!(error, TraceError::UnknownJob { .. }));
        assert_eq!(error.to_string(), says);
    }
}
