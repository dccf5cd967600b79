//! What a job did while it held the partition, how that stands beside its bound, and who is suspected. Times in
//! milliseconds, camera is more urgent than lidar.
use super::{TaskOf, header, job, trace_of};
use crate::{Body, CauseKind, ClockLimits, Direction, During, Header, Jobs, Record, Root, Trace};
use aegis_core::{
    Action, Decision, Event, JobId, Nanos, Outcome, Overheads, Policy, TaskDraft, TaskId, TaskSet, Term,
    TermKind, Why,
};

const MS: u64 = 1_000_000;
const CAMERA: TaskId = TaskId(0);
const LIDAR: TaskId = TaskId(1);

#[derive(Default)]
struct Script {
    scheduler: Vec<Record>,
    worker: Vec<Record>,
    watch: Vec<Record>,
    overheads: Overheads,
}

fn at(ms: u64) -> Nanos {
    Nanos(ms * MS)
}

impl Script {
    fn step(&mut self, ms: u64, event: Event, action: Action, why: Why) -> &mut Self {
        let body = Body::Step { event, decision: Decision { action, why } };
        self.scheduler.push(Record { at: at(ms), body });
        self
    }

    fn say(&mut self, ms: u64, body: Body) -> &mut Self {
        self.worker.push(Record { at: at(ms), body });
        self
    }

    fn release(&mut self, ms: u64, id: JobId, arrival: u64) -> &mut Self {
        let event = Event::Release { job: id, arrival: at(arrival) };
        self.step(ms, event, Action::Enqueue, Why::Ready { waiting: 0 })
    }

    /// Chosen, started, ended, told.
    fn run(&mut self, id: JobId, [chosen, started, ended, told]: [u64; 4]) -> &mut Self {
        self.step(chosen, Event::Dispatch, Action::Start { job: id, segment: 0 }, Why::OnlyReady);
        self.say(started, Body::Started { job: id, segment: 0 });
        self.say(ended, Body::Ended { job: id, segment: 0, outcome: Outcome::Completed });
        let why = Why::DeadlineMet { response: at(told), slack: Nanos::ZERO };
        self.step(told, Event::Finish { job: id, outcome: Outcome::Completed }, Action::Retire, why)
    }

    fn bound(&mut self, task: TaskId, terms: &[(TermKind, Option<TaskId>, i64)]) -> &mut Self {
        let sum: i64 = terms.iter().map(|(_, _, ms)| ms).sum();
        let wcrt = at(u64::try_from(sum).unwrap());
        self.scheduler.push(Record { at: at(0), body: Body::Admitted { task, wcrt, deadline: at(77) } });
        for &(kind, by, ms) in terms {
            let term = Term { kind, by, ns: ms * i64::try_from(MS).unwrap() };
            self.scheduler.push(Record { at: at(0), body: Body::BoundTerm { task, term } });
        }
        self
    }

    fn header(&self) -> Header {
        let header =
            header(Policy::Edf, MS, &[TaskOf("camera", &[25], 77, 0), TaskOf("lidar", &[45], 200, 1)]);
        let drafts = header.set.tasks().iter().map(|task| TaskDraft {
            name: task.name.clone(),
            segments: task.segments.clone(),
            arrival: task.arrival.clone(),
            deadline: Some(task.deadline),
            jitter: at(2),
            priority: Some(task.priority),
        });
        let set = TaskSet::new(Policy::Edf, self.overheads, drafts.collect()).unwrap();
        Header { set, ..header }
    }

    fn trace(&mut self) -> Trace {
        self.scheduler.sort_by_key(|r| r.at);
        let offered = [self.scheduler.clone(), self.worker.clone(), self.watch.clone()];
        trace_of(&self.header(), &offered, |_, _| false)
    }
}

/// The causes of a job with their lengths in milliseconds.
fn causes(trace: &Trace, id: JobId) -> Vec<(CauseKind, u64)> {
    let e = Jobs::of(trace).explain(id).unwrap();
    assert!(e.adds_up());
    e.causes.iter().map(|c| (c.kind, c.ns.0 / MS)).collect()
}

/// What is suspected, of whom, and how many milliseconds.
fn suspects(trace: &Trace, id: JobId) -> Vec<(Root, Option<JobId>, u64, bool)> {
    let jobs = Jobs::of(trace);
    let e = jobs.explain(id).unwrap();
    let suspects = jobs.suspects(&e);
    for suspect in &suspects {
        assert!(!trace.header().suspect(suspect).to_string().is_empty());
    }
    suspects.iter().map(|s| (s.what, s.by, s.ns.0 / MS, s.broken)).collect()
}

/// 60 ms of execution over a WCET of 25, of which copies took 9, others 10, and a clock at half its rate the half of 20.
#[test]
fn an_execution_is_divided_by_what_is_known_of_it() {
    let camera = job(0, 1);
    let (segment, wcet) = (0, at(29));
    let overheads = Overheads { launch: at(1), copy: at(3), ..Overheads::default() };
    let mut script = Script { overheads, ..Script::default() };
    script.release(0, camera, 0).run(camera, [0, 1, 61, 63]);
    script.say(61, Body::Copied { job: camera, segment, direction: Direction::In, took: at(5) });
    script.say(61, Body::Copied { job: camera, segment, direction: Direction::Out, took: at(4) });
    script.say(61, Body::Contended { job: camera, segment, waited: at(10) });
    let limits = ClockLimits { power: true, heat: false };
    for (ms, from_khz, to_khz) in [(20, 2_000_000, 1_000_000), (40, 1_000_000, 2_000_000)] {
        script.watch.push(Record { at: at(ms), body: Body::ClockChanged { from_khz, to_khz, limits } });
    }
    // Above 25 + 1 + 3: 31. Others explain 10 of it, copies the 6 above their overhead, the clock 10; 5 are left.
    let slow = CauseKind::SlowClock { segment, from_khz: 2_000_000, to_khz: 1_000_000, limits };
    let trace = script.trace();
    assert_eq!(
        causes(&trace, camera),
        [
            (CauseKind::Dispatch, 1),
            (CauseKind::Copy { segment, direction: Direction::In }, 5),
            (CauseKind::Ran { segment }, 26),
            (CauseKind::Contended { segment }, 10),
            (slow, 10),
            (CauseKind::RanOver { segment, wcet }, 5),
            (CauseKind::Copy { segment, direction: Direction::Out }, 4),
            (CauseKind::Completion, 2),
        ]
    );
    let e = Jobs::of(&trace).explain(camera).unwrap();
    assert_eq!(
        trace.header().narrate(&e).to_string(),
        "camera#1 released 14:23:45.000 (deadline .077) · copied its inputs 5.0 ms · ran 26.0 ms · others had the \
         processor 10.0 ms · lost 10.0 ms to a lower clock (1000 MHz, 2000 before, limited by power) · ran 5.0 ms over \
         its WCET of 29 ms · copied its outputs 4.0 ms · dispatch 1.0 ms · completion 2.0 ms · finished .063, response \
         63.0 ms, slack 14.0 ms"
    );
    let broken: Vec<_> = suspects(&trace, camera).into_iter().filter(|s| s.3).collect();
    let own = Some(camera);
    assert_eq!(
        broken,
        [
            (Root::Contention, own, 10, true),
            (Root::SlowClock, own, 10, true),
            (Root::Copy, own, 6, true),
            (Root::Overrun, own, 5, true),
            (Root::Completion, own, 2, true),
            (Root::Dispatch, own, 1, true),
        ]
    );
}

/// Of 20 records a thread makes while it is on its way, and one that it makes at its start.
#[test]
fn recording_costs_what_the_trace_says_and_never_more_than_there_is() {
    let camera = job(0, 1);
    let of = |per_thousand: Nanos, told: u64| {
        let mut script = Script::default();
        script.scheduler.push(Record { at: at(0), body: Body::RecordCost { per_thousand } });
        script.release(1, camera, 1).run(camera, [1, 3, 20, told]);
        let trace = script.trace();
        let e = Jobs::of(&trace).explain(camera).unwrap();
        assert!(e.adds_up());
        let recording = |c: &&crate::Cause| matches!(c.kind, CauseKind::Recording { .. });
        e.causes.iter().filter(recording).map(|c| (c.kind, c.ns)).collect::<Vec<_>>()
    };
    let kind = |during| CauseKind::Recording { during };
    // Two steps at 1 before the start, the start itself, the end.
    let (dispatch, execution, completion) = (During::Dispatch, During::Execution, During::Completion);
    assert_eq!(
        of(Nanos(50_000), 22),
        [(kind(dispatch), Nanos(100)), (kind(execution), Nanos(50)), (kind(completion), Nanos(50))]
    );
    // As dear as the whole way.
    assert_eq!(
        of(at(9_000), 22),
        [(kind(dispatch), at(2)), (kind(execution), at(9)), (kind(completion), at(2))]
    );
    assert_eq!(of(at(9_000), 20).len(), 2);
    assert_eq!(of(Nanos::ZERO, 22), []);
}

#[test]
fn a_response_stands_beside_the_terms_of_its_bound() {
    let (camera, lidar) = (job(0, 1), job(1, 1));
    let overheads = Overheads { dispatch: at(1), completion: at(1), ..Overheads::default() };
    let mut script = Script { overheads, ..Script::default() };
    let terms = [
        (TermKind::Jitter, None, 2),
        (TermKind::Blocking, Some(LIDAR), 44),
        (TermKind::Execution, None, 25),
        (TermKind::Dispatch, None, 1),
        (TermKind::Completion, None, 1),
        (TermKind::ArrivedLater, None, -1),
    ];
    script.bound(CAMERA, &terms);
    // Lidar runs 10 over its WCET.
    script
        .release(0, lidar, 0)
        .release(6, camera, 5)
        .run(lidar, [0, 0, 55, 56])
        .run(camera, [56, 57, 79, 80]);
    let trace = script.trace();
    let jobs = Jobs::of(&trace);
    let e = jobs.explain(camera).unwrap();
    let against = jobs.against_bound(&e).unwrap();
    assert!(against.adds_up());
    let shares: Vec<_> = against.shares.iter().map(|s| (s.kind, s.used.0 / MS, s.above().0 / MS)).collect();
    assert_eq!(
        shares,
        [
            (TermKind::Jitter, 1, 0),
            (TermKind::Blocking, 50, 6),
            (TermKind::Execution, 22, 0),
            (TermKind::Dispatch, 1, 0),
            (TermKind::Completion, 1, 0),
            (TermKind::ArrivedLater, 0, 0),
        ]
    );
    assert_eq!((against.wcrt, against.response, against.above()), (at(72), at(75), at(3)));
    assert_eq!(
        trace.header().beside_bound(&against).to_string(),
        "3.000 ms ABOVE its bound 72.000 ms: jitter 1.000 ms of 2.000 ms · blocking by lidar 50.000 ms of 44.000 ms ABOVE \
         · execution 22.000 ms of 25.000 ms · dispatch 1.000 ms of 1.000 ms · completion 1.000 ms of 1.000 ms · arrived \
         later -1.000 ms"
    );
    // The assumption that was broken is lidar's WCET, not the blocking as such.
    let first = suspects(&trace, camera)[0];
    assert_eq!(first, (Root::Overrun, Some(lidar), 10, true));
    // Without its terms, or with terms that do not sum to it, a bound is not compared with.
    let mut other = Script::default();
    other
        .scheduler
        .push(Record { at: at(0), body: Body::Admitted { task: CAMERA, wcrt: at(9), deadline: at(77) } });
    other.release(0, camera, 0).run(camera, [0, 0, 5, 5]);
    let trace = other.trace();
    let jobs = Jobs::of(&trace);
    assert_eq!(jobs.against_bound(&jobs.explain(camera).unwrap()), None);
}

/// What was late before a job arrived delays it all the same, through those that waited.
#[test]
fn suspects_are_sought_since_the_busy_period_began() {
    let lidars: Vec<JobId> = (0..3).map(|seq| job(1, seq)).collect();
    let camera = job(0, 0);
    let mut script = Script::default();
    // The first lidar runs 60 over; camera arrives when it has ended, and waits behind the second, which blocks it.
    script.release(0, lidars[0], 0).run(lidars[0], [0, 0, 105, 105]);
    script.release(100, lidars[1], 100).run(lidars[1], [105, 105, 150, 150]);
    script.release(110, camera, 110).run(camera, [150, 150, 170, 170]);
    // Much later one that ran over too: it has nothing to do with it.
    script.release(400, lidars[2], 400).run(lidars[2], [400, 400, 500, 500]);
    let found = suspects(&script.trace(), camera);
    // The 60 count with the 40 that camera waited. The second lidar came 100 after the first, and may after 200.
    assert_eq!(
        found[..2],
        [(Root::Overrun, Some(lidars[0]), 40, true), (Root::Burst, Some(lidars[1]), 40, true)]
    );

    // Of what ended when it came nothing is left.
    let mut script = Script::default();
    script.release(0, lidars[0], 0).run(lidars[0], [0, 0, 105, 105]);
    script.release(105, camera, 105).run(camera, [105, 105, 125, 125]);
    assert!(suspects(&script.trace(), camera).iter().all(|s| !s.3));
}

#[test]
fn own_arrivals_that_are_too_close_and_a_late_release() {
    let (first, second) = (job(0, 0), job(0, 1));
    let mut script = Script::default();
    script.release(0, first, 0).run(first, [0, 0, 20, 20]);
    script.release(10, second, 4).run(second, [20, 20, 40, 40]);
    let found = suspects(&script.trace(), second);
    // It waited 10 behind the first, which it should have followed after 77; told 6 late, of which 2 are its jitter.
    assert_eq!(
        found[..2],
        [(Root::Burst, Some(second), 10, true), (Root::LateRelease, Some(second), 4, true)]
    );
}

/// Nobody broke anything: what is unlike the task's other jobs is named, and nothing of a job that is like them.
#[test]
fn without_a_broken_assumption_the_unusual_is_named() {
    let mut script = Script::default();
    for seq in 0..9 {
        let (camera, start) = (job(0, seq), 100 * seq);
        script.release(start, camera, start);
        if seq == 7 {
            script.run(camera, [start + 30, start + 30, start + 40, start + 40]);
        } else {
            script.run(camera, [start, start, start + 10, start + 10]);
        }
    }
    let lidar = job(1, 0);
    script.release(690, lidar, 690).run(lidar, [690, 690, 730, 730]);
    let trace = script.trace();
    assert_eq!(suspects(&trace, job(0, 7)), [(Root::Blocking, Some(lidar), 30, false)]);
    assert_eq!(suspects(&trace, job(0, 3)), []);
}
