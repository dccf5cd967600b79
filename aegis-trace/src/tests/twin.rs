//! Explanations against a brute-force twin: a small scheduler that writes down, for every nanosecond, who held the
//! partition; each nanosecond of each job is then classified from that table and compared with the explanation.
use super::{TaskOf, header, job, trace_of};
use crate::{Body, CauseKind, Direction, Ending, Explanation, Header, Jobs, Record};
use aegis_core::{Action, Decision, Event, JobId, Nanos, Outcome, Policy, Rng, Why};
use std::collections::BTreeMap;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    In,
    Run,
    Out,
    Recovery,
}

/// One nanosecond of one job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tick {
    Late,
    Blocked(JobId),
    Behind(JobId),
    Own(JobId),
    Dispatch,
    Completion,
    Recovery,
    Copy(u16, Direction),
    Ran(u16),
    Contended(u16),
    Over(u16),
    Unexplained,
}

/// A segment while it holds the partition.
#[derive(Clone, Copy, Debug)]
struct Held {
    index: usize,
    started: u64,
    ended: u64,
    told: u64,
    outcome: Outcome,
    /// Of its execution: inputs and outputs copied, others on the processor.
    copied: [u64; 2],
    contended: u64,
    /// After its end.
    recovery: Option<(u64, u64)>,
}

impl Held {
    /// What its worker records, up to `last`.
    fn records(&self, job: JobId, segment: u16, last: u64) -> impl Iterator<Item = Record> {
        let mut records = vec![
            (self.started, Body::Started { job, segment }),
            (self.ended, Body::Ended { job, segment, outcome: self.outcome }),
        ];
        for (direction, took) in [Direction::In, Direction::Out].into_iter().zip(self.copied) {
            if took > 0 {
                records.push((self.ended, Body::Copied { job, segment, direction, took: Nanos(took) }));
            }
        }
        if self.contended > 0 {
            records.push((self.ended, Body::Contended { job, segment, waited: Nanos(self.contended) }));
        }
        if let Some((from, to)) = self.recovery {
            records.push((from, Body::Recovering { job }));
            records.push((to, Body::Recovered { job, usable: true }));
        }
        let seen = records.into_iter().filter(move |(at, _)| *at <= last);
        seen.map(|(at, body)| Record { at: Nanos(at), body })
    }
}

struct Live {
    id: JobId,
    arrival: u64,
    release: u64,
    /// Position among all releases.
    order: u64,
    segment: usize,
    end: Option<(u64, Ending)>,
}

/// What really happened.
pub struct Truth {
    pub header: Header,
    pub scheduler: Vec<Record>,
    pub worker: Vec<Record>,
    /// For every nanosecond: who held the partition, in which phase of which segment.
    owner: Vec<Option<(JobId, u16, Phase)>>,
    /// What is known of every segment that held it.
    held: BTreeMap<(JobId, u16), Held>,
    jobs: Vec<Live>,
    refused: Vec<JobId>,
}

pub fn simulate(seed: u64) -> Truth {
    let mut rng = Rng::new(seed);
    let rng = &mut rng;
    let policy =
        [Policy::Edf, Policy::FixedPriority, Policy::Fifo][usize::try_from(rng.between(0, 2)).unwrap()];
    let n = rng.between(1, 4);
    let shapes: Vec<(Vec<u64>, u64, u32)> = (0..n)
        .map(|_| {
            let segments = (0..rng.between(1, 3)).map(|_| rng.between(1, 12)).collect();
            (segments, rng.between(10, 60), u32::try_from(rng.between(0, 2)).unwrap())
        })
        .collect();
    let names = ["camera", "lidar", "radar", "imu"];
    let tasks: Vec<TaskOf<'_>> =
        shapes.iter().zip(names).map(|((c, d, p), name)| TaskOf(name, c, *d, *p)).collect();
    let header = header(policy, 1, &tasks);
    let mut t = Truth {
        scheduler: vec![],
        worker: vec![],
        owner: vec![],
        held: BTreeMap::new(),
        jobs: vec![],
        refused: vec![],
        header,
    };
    let (horizon, slow) = (rng.between(20, 300), rng.between(1, 4));
    // Arrivals and releases of every task.
    let mut coming: Vec<(u64, u64, JobId)> = Vec::new();
    for (task, (_, deadline, _)) in (0..).zip(&shapes) {
        let (mut arrival, mut released) = (rng.between(0, 20), 0);
        for seq in 0.. {
            released = released.max(arrival + if rng.one_in(3) { rng.between(0, 6) } else { 0 });
            if released >= horizon {
                break;
            }
            coming.push((released, arrival, job(task, seq)));
            arrival += rng.between(deadline / 3, *deadline);
        }
    }
    coming.sort_unstable();
    let mut coming = coming.into_iter().peekable();
    let mut ready: Vec<usize> = Vec::new();
    let mut running: Option<Held> = None;
    let step = |event, action, why| Body::Step { event, decision: Decision { action, why } };
    for now in 0..horizon {
        let at = Nanos(now);
        // Within one instant the scheduler is told in any order, and may choose in between.
        for _ in 0..8 {
            match rng.between(0, 3) {
                0 => {
                    if let Some(held @ Held { index, told, outcome, .. }) = running
                        && told <= now
                    {
                        let live = &mut t.jobs[index];
                        let segments = &shapes[live.id.task.index()].0;
                        live.segment += 1;
                        let left = segments.len() - live.segment;
                        let event = Event::Finish { job: live.id, outcome };
                        let segment = u16::try_from(live.segment - 1).unwrap();
                        let deadline = live.arrival + shapes[live.id.task.index()].1;
                        let (action, why) = if outcome == Outcome::Faulted {
                            live.end = Some((now, Ending::Faulted));
                            (Action::Retire, Why::Faulted)
                        } else if left > 0 {
                            ready.push(index);
                            (Action::Requeue, Why::MoreSegments { left: u16::try_from(left).unwrap() })
                        } else if now <= deadline {
                            live.end = Some((now, Ending::Met));
                            let (response, slack) = (Nanos(now - live.arrival), Nanos(deadline - now));
                            (Action::Retire, Why::DeadlineMet { response, slack })
                        } else {
                            live.end = Some((now, Ending::Missed));
                            let (response, late) = (Nanos(now - live.arrival), Nanos(now - deadline));
                            (Action::Retire, Why::DeadlineMissed { response, late })
                        };
                        t.scheduler.push(Record { at, body: step(event, action, why) });
                        let job = live.id;
                        t.worker.extend(held.records(job, segment, now));
                        running = None;
                    }
                }
                1 => {
                    if let Some((_, arrival, id)) = coming.next_if(|(release, _, _)| *release <= now) {
                        let event = Event::Release { job: id, arrival: Nanos(arrival) };
                        let live = t.jobs.iter().filter(|j| j.id.task == id.task && j.end.is_none()).count();
                        let capacity = t.header.queues[id.task.index()];
                        let (action, why) = if live >= capacity as usize {
                            t.refused.push(id);
                            (Action::Refuse, Why::QueueFull { capacity })
                        } else {
                            ready.push(t.jobs.len());
                            let order = t.jobs.len() as u64;
                            t.jobs.push(Live { id, arrival, release: now, order, segment: 0, end: None });
                            (Action::Enqueue, Why::Ready { waiting: u32::try_from(ready.len()).unwrap() })
                        };
                        t.scheduler.push(Record { at, body: step(event, action, why) });
                    }
                }
                _ if !rng.one_in(slow) => {}
                _ => {
                    let (action, why) = if let Some(Held { index, .. }) = running {
                        let running = t.jobs[index].id;
                        (Action::Continue, Why::Busy { running, since: Nanos::ZERO })
                    } else if let Some(best) =
                        (0..ready.len()).min_by_key(|&i| rank(&t.header, &t.jobs[ready[i]]))
                    {
                        let index = ready.remove(best);
                        let live = &t.jobs[index];
                        let mut delay = || if rng.one_in(3) { rng.between(0, 3) } else { 0 };
                        let (before, behind) = (delay(), delay());
                        let wcet = shapes[live.id.task.index()].0[live.segment];
                        let runs =
                            if rng.one_in(5) { wcet + rng.between(0, 3) } else { rng.between(0, wcet) };
                        let outcome = if rng.one_in(12) { Outcome::Faulted } else { Outcome::Completed };
                        let (started, ended) = (now + before, now + before + runs);
                        let mut left = runs;
                        let mut part = || {
                            let taken = if rng.one_in(4) { rng.between(0, left.min(4)) } else { 0 };
                            left -= taken;
                            taken
                        };
                        let (copied, contended) = ([part(), part()], part());
                        let mut told = ended + behind;
                        let recovery = (outcome == Outcome::Faulted && rng.one_in(2)).then(|| {
                            let from = told;
                            told += rng.between(0, 5);
                            (from, told)
                        });
                        told += if recovery.is_some() { rng.between(0, 2) } else { 0 };
                        let held = Held { index, started, ended, told, outcome, copied, contended, recovery };
                        running = Some(held);
                        let segment = u16::try_from(live.segment).unwrap();
                        t.held.insert((live.id, segment), held);
                        (Action::Start { job: live.id, segment }, Why::OnlyReady)
                    } else {
                        (Action::Idle, Why::NothingReady)
                    };
                    t.scheduler.push(Record { at, body: step(Event::Dispatch, action, why) });
                }
            }
        }
        t.owner.push(running.map(|Held { index, started, ended, recovery, .. }| {
            let live = &t.jobs[index];
            let phase = match now {
                _ if now < started => Phase::In,
                _ if now < ended => Phase::Run,
                _ if recovery.is_some_and(|(from, to)| from <= now && now < to) => Phase::Recovery,
                _ => Phase::Out,
            };
            (live.id, u16::try_from(live.segment).unwrap(), phase)
        }));
    }
    // A segment that is still running has been started, perhaps even ended.
    let last = t.scheduler.last().map_or(0, |r| r.at.0);
    if let Some(held) = running {
        let live = &t.jobs[held.index];
        let (job, segment) = (live.id, u16::try_from(live.segment).unwrap());
        t.worker.extend(held.records(job, segment, last));
    }
    t
}

fn rank(header: &Header, live: &Live) -> (u64, u64) {
    let task = header.set.get(live.id.task).unwrap();
    let first = match header.set.policy() {
        Policy::Edf => live.arrival + task.deadline.0,
        Policy::FixedPriority => u64::from(task.priority.0),
        Policy::Fifo => 0,
    };
    (first, live.order)
}

/// What happened to the job in every nanosecond from its arrival until `until`.
fn truth_of(truth: &Truth, live: &Live, until: u64) -> Vec<Tick> {
    let last = truth.scheduler.last().map_or(0, |r| r.at.0);
    let live_of = |id| truth.jobs.iter().find(|j| j.id == id).unwrap();
    let mut ran: BTreeMap<u16, u64> = BTreeMap::new();
    (live.arrival..until)
        .map(|now| match truth.owner[usize::try_from(now).unwrap()] {
            _ if now < live.release => Tick::Late,
            Some((id, segment, Phase::Run)) if id == live.id => {
                let ran = ran.entry(segment).or_default();
                *ran += 1;
                executing(truth, id, segment, *ran, last)
            }
            Some((id, _, Phase::Out)) if id == live.id => Tick::Completion,
            Some((id, _, Phase::Recovery)) if id == live.id => Tick::Recovery,
            Some((id, ..)) if id == live.id => Tick::Dispatch,
            Some((id, ..)) if id.task == live.id.task && id.seq < live.id.seq => Tick::Own(id),
            Some((id, ..)) if rank(&truth.header, live_of(id)) < rank(&truth.header, live) => {
                Tick::Behind(id)
            }
            Some((id, ..)) => Tick::Blocked(id),
            None => Tick::Dispatch,
        })
        .collect()
}

/// What the `nth` nanosecond of an execution is, of one that ended by `last` or still goes on: first inputs, last outputs,
/// before them what is above the WCET and nothing explains, before that others, and the rest is its own.
fn executing(truth: &Truth, id: JobId, segment: u16, nth: u64, last: u64) -> Tick {
    let held = truth.held[&(id, segment)];
    let wcet = truth.header.set.get(id.task).unwrap().segments[usize::from(segment)].0;
    let ended = held.ended <= last;
    let length = held.ended.min(last) - held.started;
    let ([inputs, outputs], others) = if ended { (held.copied, held.contended) } else { ([0, 0], 0) };
    let rest = length - inputs - outputs - others;
    let over = length.saturating_sub(wcet).saturating_sub(others).min(rest);
    if nth <= inputs {
        Tick::Copy(segment, Direction::In)
    } else if nth <= inputs + rest - over {
        Tick::Ran(segment)
    } else if nth <= inputs + rest - over + others {
        Tick::Contended(segment)
    } else if nth <= length - outputs {
        Tick::Over(segment)
    } else {
        Tick::Copy(segment, Direction::Out)
    }
}

fn told_of(explanation: &Explanation) -> Vec<Tick> {
    let ticks = explanation.causes.iter().map(|cause| {
        let tick = match cause.kind {
            CauseKind::LateRelease => Tick::Late,
            CauseKind::Blocked { .. } => Tick::Blocked(cause.by.unwrap()),
            CauseKind::Behind { .. } => Tick::Behind(cause.by.unwrap()),
            CauseKind::BehindOwn => Tick::Own(cause.by.unwrap()),
            CauseKind::Dispatch => Tick::Dispatch,
            CauseKind::Completion => Tick::Completion,
            CauseKind::Recovery => Tick::Recovery,
            CauseKind::Copy { segment, direction } => Tick::Copy(segment, direction),
            CauseKind::Contended { segment } => Tick::Contended(segment),
            CauseKind::SlowClock { .. } | CauseKind::Recording { .. } => unreachable!("not in these traces"),
            CauseKind::Ran { segment } => Tick::Ran(segment),
            CauseKind::RanOver { segment, .. } => Tick::Over(segment),
            CauseKind::Unexplained => Tick::Unexplained,
        };
        vec![tick; usize::try_from(cause.ns.0).unwrap()]
    });
    ticks.flatten().collect()
}

#[test]
fn every_nanosecond_agrees_with_the_twin() {
    let (mut jobs_seen, mut ticks): (usize, BTreeMap<String, usize>) = (0, BTreeMap::new());
    for seed in 0..1500 {
        let truth = simulate(seed);
        let offered = [truth.scheduler.clone(), truth.worker.clone()];
        let trace = trace_of(&truth.header, &offered, |_, _| false);
        let jobs = Jobs::of(&trace);
        assert!(jobs.unexplained().is_empty(), "seed {seed}: {:?}", jobs.unexplained());
        for live in &truth.jobs {
            let e = jobs.explain(live.id).unwrap();
            let (until, ending) =
                live.end.unwrap_or((jobs.end.0.max(live.arrival), Ending::Unfinished { running: false }));
            assert_eq!(e.until, Nanos(until), "seed {seed} {e:?}");
            match (e.ending, ending) {
                (Ending::Unfinished { running }, Ending::Unfinished { .. }) => {
                    let holds = truth.owner.last().unwrap().is_some_and(|(id, ..)| id == live.id);
                    assert_eq!(running, holds, "seed {seed} {e:?}");
                }
                (told, truth) => assert_eq!(told, truth, "seed {seed} {e:?}"),
            }
            assert_eq!(told_of(&e), truth_of(&truth, live, until), "seed {seed} {e:?}");
            for tick in told_of(&e) {
                let name = format!("{tick:?}");
                *ticks.entry(name.split('(').next().unwrap().to_owned()).or_default() += 1;
            }
            assert!(!trace.header().narrate(&e).to_string().is_empty());
        }
        for id in &truth.refused {
            let e = jobs.explain(*id).unwrap();
            assert!(matches!(e.ending, Ending::Refused(Why::QueueFull { capacity: 2 })), "seed {seed} {e:?}");
            assert_eq!(e.ahead.len(), 2, "seed {seed} {e:?}");
        }
        jobs_seen += truth.jobs.len() + truth.refused.len();
    }
    assert!(jobs_seen > 10_000, "{jobs_seen}");
    let all = [
        "Late",
        "Blocked",
        "Behind",
        "Own",
        "Dispatch",
        "Completion",
        "Recovery",
        "Copy",
        "Ran",
        "Contended",
        "Over",
    ];
    for name in all {
        assert!(ticks.get(name).is_some_and(|n| *n > 500), "{name}: {ticks:?}");
    }
}

/// With records missing, an explanation may say less, but nothing that is wrong. Only between the choice and the end
/// of a job itself may a missing record of the worker make what was on its way in or out look like running.
#[test]
fn missing_records_never_make_it_say_something_wrong() {
    let (mut right, mut silent, mut unknown) = (0u64, 0u64, 0u64);
    for seed in 0..3000 {
        let truth = simulate(seed);
        let mut rng = Rng::new(seed);
        let rarely = rng.between(2, 30);
        let lost: Vec<Vec<bool>> =
            [&truth.scheduler, &truth.worker].map(|r| r.iter().map(|_| rng.one_in(rarely)).collect()).into();
        let offered = [truth.scheduler.clone(), truth.worker.clone()];
        let trace = trace_of(&truth.header, &offered, |recorder, seq| {
            lost[recorder as usize][usize::try_from(seq).unwrap()]
        });
        let jobs = Jobs::of(&trace);
        for live in &truth.jobs {
            let Ok(e) = jobs.explain(live.id) else {
                unknown += 1;
                continue;
            };
            assert_eq!(e.arrival, Nanos(live.arrival), "seed {seed}");
            let until = live.end.map_or(truth.owner.len() as u64, |(at, _)| at);
            assert!(e.until.0 <= until, "seed {seed}: until {until}, {e:?}");
            let truths = truth_of(&truth, live, e.until.0);
            for (now, (told, truth)) in (live.arrival..).zip(told_of(&e).into_iter().zip(truths)) {
                let runs =
                    |tick| matches!(tick, Tick::Ran(_) | Tick::Over(_) | Tick::Contended(_) | Tick::Copy(..));
                let out = |tick| matches!(tick, Tick::Completion | Tick::Recovery);
                match told {
                    Tick::Unexplained => silent += 1,
                    told if told == truth => right += 1,
                    told if runs(told) && (runs(truth) || out(truth) || truth == Tick::Dispatch) => {
                        right += 1;
                    }
                    told if out(told) && out(truth) => right += 1,
                    told => panic!("seed {seed}, at {now}: told {told:?}, truth {truth:?}, {e:?}"),
                }
            }
            assert!(!trace.header().narrate(&e).to_string().is_empty());
        }
    }
    assert!(right > 4 * silent && silent > 1000 && unknown > 100, "{right} {silent} {unknown}");
}
