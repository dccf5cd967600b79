//! Finding records: of a task, of a job, between two instants.
use crate::{Body, Entry, Trace};
use aegis_core::{Action, Event, JobId, Nanos, Rejection, TaskId, Why};

/// Which records to find; what is absent does not restrict.
///
/// A record concerns a task or a job if it is about it, or names it in its reason: `lidar#61 chosen, before camera#118`
/// concerns both, because it says why camera#118 waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query {
    /// Only records that concern this task.
    pub task: Option<TaskId>,
    /// Only records that concern this job.
    pub job: Option<JobId>,
    /// Only records at this instant or later.
    pub from: Option<Nanos>,
    /// Only records before this instant.
    pub to: Option<Nanos>,
}

impl Query {
    fn admits(&self, entry: &Entry) -> bool {
        let at = entry.record.at;
        let subjects = subjects(&entry.record.body);
        self.from.is_none_or(|from| from <= at)
            && self.to.is_none_or(|to| at < to)
            && self.task.is_none_or(|task| subjects.iter().flatten().any(|s| s.task() == task))
            && self.job.is_none_or(|job| subjects.contains(&Some(Subject::Job(job))))
    }
}

impl Trace {
    /// The records that `query` admits, in the order of [`Trace::entries`].
    pub fn query(&self, query: &Query) -> impl Iterator<Item = &Entry> {
        let query = *query;
        self.entries().iter().filter(move |entry| query.admits(entry))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Task(TaskId),
    Job(JobId),
}

impl Subject {
    const fn task(self) -> TaskId {
        match self {
            Self::Task(task) => task,
            Self::Job(job) => job.task,
        }
    }
}

/// Whom a record is about: at most one by the event, one by the action, one by the reason.
fn subjects(body: &Body) -> [Option<Subject>; 3] {
    let one = |subject| [Some(subject), None, None];
    match *body {
        Body::Step { event, decision } => {
            let told = match event {
                Event::Release { job, .. } | Event::Finish { job, .. } => Some(Subject::Job(job)),
                Event::Dispatch => None,
            };
            let done = match decision.action {
                Action::Start { job, .. } => Some(Subject::Job(job)),
                _ => None,
            };
            let named = match decision.why {
                Why::EarliestDeadline { over, .. }
                | Why::HighestPriority { over, .. }
                | Why::FirstReleased { over, .. } => Some(Subject::Job(over)),
                Why::Busy { running, .. } => Some(Subject::Job(running)),
                _ => None,
            };
            [told, done, named]
        }
        Body::Started { job, .. } | Body::Ended { job, .. } | Body::Fault { job: Some(job), .. } => {
            one(Subject::Job(job))
        }
        Body::Fault { task, job: None, .. }
        | Body::Loaded { task, .. }
        | Body::Profiled { task, .. }
        | Body::Placed { task, .. }
        | Body::Certified { task, .. }
        | Body::WithinBudget { task, .. }
        | Body::Admitted { task, .. } => one(Subject::Task(task)),
        Body::BoundTerm { task, term } => [Some(Subject::Task(task)), term.by.map(Subject::Task), None],
        Body::Copied { job, .. }
        | Body::Contended { job, .. }
        | Body::Recovering { job }
        | Body::Recovered { job, .. } => one(Subject::Job(job)),
        Body::Rejected(rejection) => match rejection {
            Rejection::DeadlineMissed { task, blocked_by, .. } => {
                [Some(Subject::Task(task)), blocked_by.map(Subject::Task), None]
            }
            Rejection::NoFiniteBusyPeriod { task } | Rejection::Undecided { task, .. } => {
                one(Subject::Task(task))
            }
            _ => [None; 3],
        },
        Body::Stopping
        | Body::Planned { .. }
        | Body::Unplannable { .. }
        | Body::RecordCost { .. }
        | Body::ClockChanged { .. } => [None; 3],
    }
}
