//! Whom a record is about: the columns that every kind of record has.
use aegis_core::{Action, Event, JobId, TaskId};
use aegis_trace::Body;
use serde_json::Value;

/// Whom a record is about. A task or job that is only named in a reason is not its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subject {
    /// The task; that of the job where there is one.
    pub task: Option<TaskId>,
    /// The job.
    pub job: Option<JobId>,
    /// The segment of the job.
    pub segment: Option<u16>,
}

/// Whom `body` is about.
#[must_use]
pub fn subject(body: &Body) -> Subject {
    let of = |job: JobId, segment| Subject { task: Some(job.task), job: Some(job), segment };
    match *body {
        Body::Step { event, decision } => match (event, decision.action) {
            (_, Action::Start { job, segment }) => of(job, Some(segment)),
            (Event::Release { job, .. } | Event::Finish { job, .. }, _) => of(job, None),
            (Event::Dispatch, _) => Subject::default(),
        },
        Body::Started { job, segment } | Body::Ended { job, segment, .. } => of(job, Some(segment)),
        // The rarer kinds name their subject by the same words, so that a new one needs nothing here.
        ref rare => serde_json::to_value(rare).map(|value| named(&value)).unwrap_or_default(),
    }
}

fn named(body: &Value) -> Subject {
    let job = find(body, "job").and_then(|job| JobId::deserialize(job).ok());
    let task = find(body, "task").and_then(Value::as_u64).and_then(|task| u32::try_from(task).ok());
    Subject {
        task: job.map(|job| job.task).or(task.map(TaskId)),
        job,
        segment: find(body, "segment").and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok()),
    }
}

/// The first value of that name, the outer ones first.
fn find<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let fields = value.as_object()?;
    fields.get(name).filter(|value| !value.is_null()).or_else(|| fields.values().find_map(|v| find(v, name)))
}

use serde::Deserialize as _;

#[cfg(test)]
mod tests {
    use super::{Subject, subject};
    use aegis_core::{
        Action, Blame, Bytes, Decision, Event, Fault, FaultCode, JobId, Nanos, Outcome, Rejection, TaskId,
        Usable, Why,
    };
    use aegis_trace::{Body, Purpose};

    #[test]
    fn every_kind() {
        let job = JobId { task: TaskId(3), seq: 9 };
        let other = JobId { task: TaskId(1), seq: 2 };
        let fault = Fault { blame: Blame::Model, code: FaultCode::Panicked, usable: Usable::Model };
        let step = |event, action, why| Body::Step { event, decision: Decision { action, why } };
        let (release, finish) =
            (Event::Release { job, arrival: Nanos(1) }, Event::Finish { job, outcome: Outcome::Completed });
        let busy = Why::Busy { running: other, since: Nanos(1) };
        let start = Action::Start { job, segment: 2 };
        let over = Why::EarliestDeadline { deadline: Nanos(5), over: other };
        let of = |task: u32, seq, segment| Subject {
            task: Some(TaskId(task)),
            job: Some(JobId { task: TaskId(task), seq }),
            segment,
        };
        let of_task = |task| Subject { task: Some(TaskId(task)), job: None, segment: None };
        let missed = Rejection::DeadlineMissed {
            task: TaskId(4),
            wcrt: Nanos(1),
            deadline: Nanos(1),
            blocked_by: Some(TaskId(1)),
            blocking: Nanos(1),
        };
        for (body, expected) in [
            (step(release, Action::Enqueue, Why::Ready { waiting: 0 }), of(3, 9, None)),
            (step(finish, Action::Retire, Why::Faulted), of(3, 9, None)),
            (step(Event::Dispatch, start, over), of(3, 9, Some(2))),
            (step(Event::Dispatch, Action::Continue, busy), Subject::default()),
            (Body::Started { job, segment: 1 }, of(3, 9, Some(1))),
            (Body::Ended { job, segment: 1, outcome: Outcome::Faulted }, of(3, 9, Some(1))),
            (Body::Fault { task: TaskId(3), job: Some(job), fault }, of(3, 9, None)),
            (Body::Fault { task: TaskId(5), job: None, fault }, of_task(5)),
            (Body::Profiled { task: TaskId(6), wcet: Nanos(1), runs: 0 }, of_task(6)),
            (
                Body::Placed { task: TaskId(7), purpose: Purpose::Io, offset: Bytes(1), size: Bytes(2) },
                of_task(7),
            ),
            (Body::Rejected(missed), of_task(4)),
            (Body::Rejected(Rejection::Overload { utilisation_ppm: 2_000_000 }), Subject::default()),
            (Body::Stopping, Subject::default()),
        ] {
            assert_eq!(subject(&body), expected, "{body:?}");
        }
    }
}
