//! The scheduler of one partition, as a pure function: `step(&mut State, now, Event) -> Decision`.
//!
//! Non-preemptive FIFO, fixed priority and EDF, consulted at every segment boundary. No clock, no thread, no float, no
//! map order; after [`State::new`] nothing is allocated. Jobs that tie are served in the order of release, which every
//! analysis covers, because they decide ties against the task they analyse.
//!
//! Of two jobs of one task EDF serves the one that arrived first, whenever they were released: its deadline is earlier.
//! Fixed priorities and FIFO serve the one that was released first. Where the releases of a task are told in the order of
//! its arrivals, as the dispatcher tells them, that is the same job; where jitter above the period lets a release overtake
//! another, it is not, and the analyses of both count the jobs that overtake. A job with segments left keeps its key and its
//! place, so that no later job of its task comes between them. The suspension analysis (`aegis-analysis`) needs
//! just this: of jobs of one task in the same part, the one that arrived first goes first.
use aegis_core::{Action, Decision, Event, JobId, Nanos, Outcome, Policy, Priority, TaskId, TaskSet, Why};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What the scheduler must know of a task.
#[derive(Debug, Clone)]
struct Served {
    deadline: Nanos,
    priority: Priority,
    segments: u16,
    capacity: u32,
    unfinished: u32,
}

/// A job that waits. Ordered by the policy's key, then by the order of release; both are unique together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    key: u64,
    order: u64,
    job: JobId,
    arrival: Nanos,
    release: Nanos,
    segment: u16,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    pending: Pending,
    since: Nanos,
}

/// Everything that one partition's scheduler remembers.
#[derive(Debug, Clone)]
pub struct State {
    policy: Policy,
    tasks: Vec<Served>,
    ready: BinaryHeap<Reverse<Pending>>,
    running: Option<Running>,
    now: Nanos,
    released: u64,
}

/// A state as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The policy.
    pub policy: Policy,
    /// The instant of the last event.
    pub now: Nanos,
    /// Who runs, and since when.
    pub running: Option<(Waiting, Nanos)>,
    /// Who waits, the next one first.
    pub ready: Vec<Waiting>,
}

/// A job that waits or runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The job.
    pub job: JobId,
    /// Its next (or running) segment.
    pub segment: u16,
    /// What the policy ranks it by; the smaller goes first. The release under FIFO, the priority, or the absolute deadline.
    pub key: u64,
    /// Its place among all releases, which decides where keys are equal.
    pub order: u64,
    /// When it arrived.
    pub arrival: Nanos,
}

impl State {
    /// The state before the first event. `queues` says how many unfinished jobs of each task are held at a time; a task
    /// without an entry holds one. All memory is taken here.
    #[must_use]
    pub fn new(set: &TaskSet, queues: &[u32]) -> Self {
        let tasks: Vec<Served> = set
            .tasks()
            .iter()
            .enumerate()
            .map(|(i, task)| Served {
                deadline: task.deadline,
                priority: task.priority,
                segments: u16::try_from(task.segments.len()).unwrap_or(u16::MAX),
                capacity: queues.get(i).copied().unwrap_or(1),
                unfinished: 0,
            })
            .collect();
        let capacity: usize = tasks.iter().map(|t| t.capacity as usize).sum();
        Self {
            policy: set.policy(),
            ready: BinaryHeap::with_capacity(capacity),
            tasks,
            running: None,
            now: Nanos::ZERO,
            released: 0,
        }
    }

    /// The job that runs, if one does.
    #[must_use]
    pub fn running(&self) -> Option<JobId> {
        self.running.map(|r| r.pending.job)
    }

    /// Whether no job runs and none waits.
    #[must_use]
    pub fn quiet(&self) -> bool {
        self.running.is_none() && self.ready.is_empty()
    }

    /// What it remembers, for people and for comparing two of them: who runs, and who waits in which order.
    #[must_use]
    pub fn view(&self) -> View {
        let waiting = |pending: &Pending| Waiting {
            job: pending.job,
            segment: pending.segment,
            key: pending.key,
            order: pending.order,
            arrival: pending.arrival,
        };
        let mut ready: Vec<&Pending> = self.ready.iter().map(|Reverse(pending)| pending).collect();
        ready.sort_unstable();
        View {
            policy: self.policy,
            now: self.now,
            running: self.running.map(|running| (waiting(&running.pending), running.since)),
            ready: ready.into_iter().map(waiting).collect(),
        }
    }

    fn release(&mut self, now: Nanos, job: JobId, arrival: Nanos) -> Decision {
        let Some(task) = self.tasks.get_mut(job.task.index()) else {
            return refuse(Why::UnknownTask);
        };
        if arrival > now {
            return refuse(Why::TimeWentBack);
        }
        if task.unfinished >= task.capacity {
            return refuse(Why::QueueFull { capacity: task.capacity });
        }
        task.unfinished += 1;
        let key = match self.policy {
            Policy::Fifo => now.0,
            Policy::FixedPriority => u64::from(task.priority.0),
            Policy::Edf => arrival.saturating_add(task.deadline).0,
        };
        let waiting = u32::try_from(self.ready.len()).unwrap_or(u32::MAX);
        let order = self.released;
        self.released += 1;
        self.ready.push(Reverse(Pending { key, order, job, arrival, release: now, segment: 0 }));
        Decision { action: Action::Enqueue, why: Why::Ready { waiting } }
    }

    fn finish(&mut self, now: Nanos, job: JobId, outcome: Outcome) -> Decision {
        let Some(Running { pending, .. }) = self.running.take_if(|r| r.pending.job == job) else {
            return refuse(Why::NotRunning);
        };
        let task = &mut self.tasks[job.task.index()];
        let left = task.segments - 1 - pending.segment;
        if outcome == Outcome::Completed && left > 0 {
            self.ready.push(Reverse(Pending { segment: pending.segment + 1, ..pending }));
            return Decision { action: Action::Requeue, why: Why::MoreSegments { left } };
        }
        task.unfinished -= 1;
        let deadline = pending.arrival.saturating_add(task.deadline);
        let response = now - pending.arrival;
        let why = match (outcome, deadline.checked_sub(now)) {
            (Outcome::Faulted, _) => Why::Faulted,
            (Outcome::Completed, Some(slack)) => Why::DeadlineMet { response, slack },
            (Outcome::Completed, None) => Why::DeadlineMissed { response, late: now - deadline },
        };
        Decision { action: Action::Retire, why }
    }

    fn dispatch(&mut self, now: Nanos) -> Decision {
        if let Some(Running { pending, since }) = self.running {
            return Decision { action: Action::Continue, why: Why::Busy { running: pending.job, since } };
        }
        let Some(Reverse(first)) = self.ready.pop() else {
            return Decision { action: Action::Idle, why: Why::NothingReady };
        };
        self.running = Some(Running { pending: first, since: now });
        let why = match (self.ready.peek(), self.policy) {
            (None, _) => Why::OnlyReady,
            (Some(Reverse(next)), Policy::Fifo) => {
                Why::FirstReleased { release: first.release, over: next.job }
            }
            (Some(Reverse(next)), Policy::FixedPriority) => {
                Why::HighestPriority { priority: self.priority(first.job.task), over: next.job }
            }
            (Some(Reverse(next)), Policy::Edf) => {
                Why::EarliestDeadline { deadline: Nanos(first.key), over: next.job }
            }
        };
        Decision { action: Action::Start { job: first.job, segment: first.segment }, why }
    }

    fn priority(&self, task: TaskId) -> Priority {
        self.tasks[task.index()].priority
    }
}

/// Tells the scheduler one event and returns its decision. Never fails: an event that makes no sense is refused with the
/// reason and changes nothing.
///
/// Tell all events up to an instant first and [`Event::Dispatch`] last: jobs released at one instant then compete with
/// each other, and a blocking job has always started strictly before the job it blocks (the `C − 1` of the analyses).
pub fn step(state: &mut State, now: Nanos, event: Event) -> Decision {
    if now < state.now {
        return refuse(Why::TimeWentBack);
    }
    state.now = now;
    match event {
        Event::Release { job, arrival } => state.release(now, job, arrival),
        Event::Finish { job, outcome } => state.finish(now, job, outcome),
        Event::Dispatch => state.dispatch(now),
    }
}

const fn refuse(why: Why) -> Decision {
    Decision { action: Action::Refuse, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_core::{Overheads, TaskDraft};

    /// Tasks 0, 1, 2 with deadlines 50, 20, 90 (so priorities 1, 0, 2); task 2 has two segments; queues of 2.
    fn state(policy: Policy) -> State {
        let draft = |name: &str, segments: &[u64], deadline| TaskDraft {
            name: name.to_owned(),
            segments: segments.iter().copied().map(Nanos).collect(),
            arrival: Nanos(100).into(),
            deadline: Some(Nanos(deadline)),
            jitter: Nanos::ZERO,
            priority: None,
        };
        let drafts = vec![draft("a", &[5], 50), draft("b", &[5], 20), draft("c", &[5, 5], 90)];
        State::new(&TaskSet::new(policy, Overheads::default(), drafts).unwrap(), &[2, 2, 2])
    }

    fn job(task: u32, seq: u64) -> JobId {
        JobId { task: TaskId(task), seq }
    }

    fn release(task: u32, seq: u64, arrival: u64) -> Event {
        Event::Release { job: job(task, seq), arrival: Nanos(arrival) }
    }

    fn finish(task: u32, seq: u64) -> Event {
        Event::Finish { job: job(task, seq), outcome: Outcome::Completed }
    }

    /// The order in which everything runs when `events` are told at once at time 10.
    fn order(policy: Policy, events: &[Event]) -> Vec<(JobId, u16)> {
        let mut state = state(policy);
        for &event in events {
            assert_eq!(step(&mut state, Nanos(10), event).action, Action::Enqueue, "{event:?}");
        }
        let mut served = vec![];
        while let Action::Start { job, segment } = step(&mut state, Nanos(10), Event::Dispatch).action {
            served.push((job, segment));
            step(&mut state, Nanos(10), Event::Finish { job, outcome: Outcome::Completed });
        }
        assert!(state.quiet());
        served
    }

    #[test]
    fn each_policy_serves_in_its_order() {
        let events = [release(2, 0, 10), release(0, 0, 3), release(1, 0, 10), release(0, 1, 10)];
        let (a0, a1, b, c) = ((job(0, 0), 0), (job(0, 1), 0), (job(1, 0), 0), job(2, 0));
        assert_eq!(order(Policy::Fifo, &events), [(c, 0), (c, 1), a0, b, a1]);
        assert_eq!(order(Policy::FixedPriority, &events), [b, a0, a1, (c, 0), (c, 1)]);
        assert_eq!(order(Policy::Edf, &events), [b, a0, a1, (c, 0), (c, 1)]);
        // An old job of a long deadline beats a young one of a short deadline under EDF only.
        let mixed = [release(2, 0, 0), release(0, 0, 60), release(1, 0, 75)];
        let mut edf = state(Policy::Edf);
        for event in mixed {
            step(&mut edf, Nanos(75), event);
        }
        let first = step(&mut edf, Nanos(75), Event::Dispatch);
        assert_eq!(first.action, Action::Start { job: c, segment: 0 });
        assert_eq!(first.why, Why::EarliestDeadline { deadline: Nanos(90), over: job(1, 0) });
    }

    /// The suspension analysis takes it that no job of a task passes an earlier one in the same part.
    #[test]
    fn jobs_of_one_task_are_served_in_the_order_of_their_arrivals() {
        for policy in [Policy::Fifo, Policy::FixedPriority, Policy::Edf] {
            for (name, events) in [
                ("released one after the other", [release(2, 0, 3), release(2, 1, 7)]),
                ("arrived at once", [release(2, 0, 5), release(2, 1, 5)]),
            ] {
                let (first, second) = (job(2, 0), job(2, 1));
                let whole_jobs = [(first, 0), (first, 1), (second, 0), (second, 1)];
                assert_eq!(order(policy, &events), whole_jobs, "{policy}: {name}");
            }
        }
    }

    #[test]
    fn a_later_job_of_its_task_does_not_come_between_the_segments_of_one() {
        for policy in [Policy::Fifo, Policy::FixedPriority, Policy::Edf] {
            let mut s = state(policy);
            step(&mut s, Nanos(0), release(2, 0, 0));
            step(&mut s, Nanos(0), Event::Dispatch);
            step(&mut s, Nanos(2), release(2, 1, 2));
            step(&mut s, Nanos(5), finish(2, 0));
            let next = step(&mut s, Nanos(5), Event::Dispatch).action;
            assert_eq!(next, Action::Start { job: job(2, 0), segment: 1 }, "{policy}");
        }
    }

    /// Jitter above the period: the job that arrived second is released first.
    #[test]
    fn a_release_that_overtakes_is_served_first_unless_deadlines_decide() {
        let events = [release(0, 1, 7), release(0, 0, 3)];
        let (early, late) = ((job(0, 0), 0), (job(0, 1), 0));
        assert_eq!(order(Policy::Edf, &events), [early, late]);
        assert_eq!(order(Policy::FixedPriority, &events), [late, early]);
        assert_eq!(order(Policy::Fifo, &events), [late, early]);
    }

    #[test]
    fn a_segment_boundary_lets_the_urgent_job_in() {
        let mut s = state(Policy::FixedPriority);
        step(&mut s, Nanos(0), release(2, 0, 0));
        assert_eq!(
            step(&mut s, Nanos(0), Event::Dispatch).action,
            Action::Start { job: job(2, 0), segment: 0 }
        );
        step(&mut s, Nanos(1), release(1, 0, 1));
        let busy = step(&mut s, Nanos(1), Event::Dispatch);
        assert_eq!(busy.action, Action::Continue);
        assert_eq!(busy.why, Why::Busy { running: job(2, 0), since: Nanos(0) });
        assert_eq!(step(&mut s, Nanos(5), finish(2, 0)).why, Why::MoreSegments { left: 1 });
        assert_eq!(
            step(&mut s, Nanos(5), Event::Dispatch).action,
            Action::Start { job: job(1, 0), segment: 0 }
        );
        step(&mut s, Nanos(10), finish(1, 0));
        assert_eq!(
            step(&mut s, Nanos(10), Event::Dispatch).action,
            Action::Start { job: job(2, 0), segment: 1 }
        );
        let last = step(&mut s, Nanos(15), finish(2, 0));
        assert_eq!(last.why, Why::DeadlineMet { response: Nanos(15), slack: Nanos(75) });
    }

    #[test]
    fn the_deadline_itself_is_met_and_one_later_is_missed() {
        for (end, why) in [
            (20, Why::DeadlineMet { response: Nanos(20), slack: Nanos(0) }),
            (21, Why::DeadlineMissed { response: Nanos(21), late: Nanos(1) }),
        ] {
            let mut s = state(Policy::Edf);
            step(&mut s, Nanos(0), release(1, 0, 0));
            step(&mut s, Nanos(0), Event::Dispatch);
            assert_eq!(step(&mut s, Nanos(end), finish(1, 0)).why, why);
        }
    }

    #[test]
    fn senseless_events_are_refused_and_change_nothing() {
        let mut s = state(Policy::Edf);
        for (event, why) in [
            (release(9, 0, 0), Why::UnknownTask),
            (release(0, 0, 11), Why::TimeWentBack),
            (finish(0, 0), Why::NotRunning),
        ] {
            assert_eq!(step(&mut s, Nanos(10), event), refuse(why));
        }
        step(&mut s, Nanos(10), release(0, 0, 10));
        step(&mut s, Nanos(10), release(0, 1, 10));
        assert_eq!(step(&mut s, Nanos(10), release(0, 2, 10)), refuse(Why::QueueFull { capacity: 2 }));
        step(&mut s, Nanos(10), Event::Dispatch);
        assert_eq!(step(&mut s, Nanos(11), release(0, 2, 11)), refuse(Why::QueueFull { capacity: 2 }));
        assert_eq!(step(&mut s, Nanos(11), finish(0, 1)), refuse(Why::NotRunning));
        assert_eq!(step(&mut s, Nanos(9), finish(0, 0)), refuse(Why::TimeWentBack));
        assert_eq!(s.running(), Some(job(0, 0)));
        assert_eq!(step(&mut s, Nanos(12), finish(0, 0)).action, Action::Retire);
        assert_eq!(step(&mut s, Nanos(12), release(0, 2, 12)).action, Action::Enqueue);
    }

    #[test]
    fn a_fault_ends_the_job_whatever_segments_are_left() {
        let mut s = state(Policy::Edf);
        step(&mut s, Nanos(0), release(2, 0, 0));
        step(&mut s, Nanos(0), Event::Dispatch);
        let event = Event::Finish { job: job(2, 0), outcome: Outcome::Faulted };
        assert_eq!(step(&mut s, Nanos(1), event), Decision { action: Action::Retire, why: Why::Faulted });
        assert!(s.quiet());
    }
}
