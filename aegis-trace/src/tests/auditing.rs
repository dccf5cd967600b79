//! Chains of decisions: whole ones, and each link taken out in turn.
use super::{TaskOf, header, job, trace_of};
use crate::{Body, Flaw, Header, Link, Purpose, Record, audit};
use aegis_core::{
    Action, Blame, Bytes, Decision, Event, Fault, FaultCode, JobId, Nanos, Outcome, Policy, Rejection,
    TaskId, Term, TermKind, Usable, Why,
};

const CAMERA: TaskId = TaskId(0);

fn records(bodies: Vec<(u64, Body)>) -> Vec<Record> {
    bodies.into_iter().map(|(at, body)| Record { at: Nanos(at), body }).collect()
}

fn step(event: Event, action: Action, why: Why) -> Body {
    Body::Step { event, decision: Decision { action, why } }
}

/// What is decided before the first job.
fn before() -> Vec<(u64, Body)> {
    let term = |kind, ns| Body::BoundTerm { task: CAMERA, term: Term { kind, by: None, ns } };
    vec![
        (0, Body::Loaded { task: CAMERA, weights: Bytes(1), io: Bytes(1), scratch: None, took: Nanos(1) }),
        (1, Body::Profiled { task: CAMERA, wcet: Nanos(30), runs: 9 }),
        (2, Body::Admitted { task: CAMERA, wcrt: Nanos(40), deadline: Nanos(77) }),
        (2, term(TermKind::Jitter, 5)),
        (2, term(TermKind::Execution, 35)),
        (3, Body::Placed { task: CAMERA, purpose: Purpose::Io, offset: Bytes(0), size: Bytes(1) }),
    ]
}

fn release(job: JobId, arrival: u64) -> Event {
    Event::Release { job, arrival: Nanos(arrival) }
}

/// A job of two segments.
fn served(id: JobId) -> Vec<(u64, Body)> {
    let finish = Event::Finish { job: id, outcome: Outcome::Completed };
    let start = |segment| step(Event::Dispatch, Action::Start { job: id, segment }, Why::OnlyReady);
    vec![
        (10, step(release(id, 10), Action::Enqueue, Why::Ready { waiting: 0 })),
        (10, start(0)),
        (11, Body::Started { job: id, segment: 0 }),
        (20, Body::Ended { job: id, segment: 0, outcome: Outcome::Completed }),
        (21, step(finish, Action::Requeue, Why::MoreSegments { left: 1 })),
        (21, start(1)),
        (22, Body::Started { job: id, segment: 1 }),
        (30, Body::Ended { job: id, segment: 1, outcome: Outcome::Completed }),
        (31, step(finish, Action::Retire, Why::DeadlineMet { response: Nanos(21), slack: Nanos(56) })),
    ]
}

fn two_segments() -> Header {
    header(Policy::Edf, 1, &[TaskOf("camera", &[15, 15], 77, 0)])
}

fn flaws(bodies: Vec<(u64, Body)>) -> Vec<Flaw> {
    let chains = audit(&trace_of(&two_segments(), &[records(bodies)], |_, _| false));
    assert_eq!(chains.len(), 1, "{chains:?}");
    chains.into_iter().next().unwrap().flaws
}

fn all() -> Vec<(u64, Body)> {
    [before(), served(job(0, 4))].concat()
}

#[test]
fn every_link_that_is_taken_out_is_named() {
    assert_eq!(flaws(all()), []);
    let missing = [
        vec![Flaw::Missing(Link::Loaded)],
        vec![Flaw::Missing(Link::Profiled)],
        vec![Flaw::Missing(Link::Admitted)],
        vec![Flaw::Missing(Link::Terms)],
        vec![Flaw::Missing(Link::Terms)],
        vec![Flaw::Missing(Link::Placed)],
        vec![Flaw::Missing(Link::Released)],
        vec![Flaw::Missing(Link::Chosen { segment: 0 })],
        vec![Flaw::Missing(Link::Started { segment: 0 })],
        vec![Flaw::Missing(Link::Ended { segment: 0 })],
        vec![Flaw::Missing(Link::Told { segment: 0 })],
        vec![Flaw::Missing(Link::Chosen { segment: 1 })],
        vec![Flaw::Missing(Link::Started { segment: 1 })],
        vec![Flaw::Missing(Link::Ended { segment: 1 })],
        vec![Flaw::Missing(Link::Told { segment: 1 }), Flaw::Missing(Link::Retired)],
    ];
    assert_eq!(missing.len(), all().len());
    for (out, expected) in missing.into_iter().enumerate() {
        let mut some = all();
        let gone = some.remove(out);
        assert_eq!(flaws(some), expected, "without {gone:?}");
    }
}

#[test]
fn a_link_in_the_wrong_order_is_named() {
    let mut late = all();
    let started = late.iter().position(|(_, body)| matches!(body, Body::Started { segment: 1, .. })).unwrap();
    late[started].0 = 31;
    assert_eq!(flaws(late), [Flaw::OutOfOrder(Link::Ended { segment: 1 })]);
}

#[test]
fn refused_faulted_and_rejected() {
    let id = job(0, 4);
    let refused = (10, step(release(id, 10), Action::Refuse, Why::QueueFull { capacity: 2 }));
    assert_eq!(flaws([before(), vec![refused]].concat()), []);

    let faulted = |with_record: bool| {
        let mut bodies = [before(), served(id)[..3].to_vec()].concat();
        bodies.push((15, Body::Ended { job: id, segment: 0, outcome: Outcome::Faulted }));
        if with_record {
            let fault = Fault { blame: Blame::Model, code: FaultCode::Panicked, usable: Usable::Model };
            bodies.push((15, Body::Fault { task: CAMERA, job: Some(id), fault }));
        }
        let finish = Event::Finish { job: id, outcome: Outcome::Faulted };
        bodies.push((16, step(finish, Action::Retire, Why::Faulted)));
        flaws(bodies)
    };
    assert_eq!((faulted(true), faulted(false)), (vec![], vec![Flaw::Missing(Link::Fault)]));

    // A simulation of what was rejected: decisions alone.
    let rejected = (0, Body::Rejected(Rejection::Overload { utilisation_ppm: 2_000_000 }));
    let decisions: Vec<(u64, Body)> =
        served(id).into_iter().filter(|(_, body)| matches!(body, Body::Step { .. })).collect();
    let bodies = [vec![rejected], decisions].concat();
    let simulated = Header { models: vec![], ..two_segments() };
    let chains = audit(&trace_of(&simulated, &[records(bodies.clone())], |_, _| false));
    assert_eq!(chains[0].flaws, []);
    assert_eq!(chains[0].links.first(), Some(&(Link::Admitted, 0)));
    // The same of a system with models: nothing was loaded, and no worker recorded.
    assert_eq!(flaws(bodies).len(), 3 + 4);
}
