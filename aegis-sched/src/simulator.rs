//! A discrete-event simulator of one partition: virtual time around the same [`step`] that drives the device.
use crate::{State, step};
use aegis_core::{Action, Decision, Event, JobId, Nanos, Outcome, TaskId, TaskSet, Why};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// When a job arrives and when it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrives; its deadline counts from here.
    pub arrival: Nanos,
    /// When the scheduler sees it; not before `arrival`, and not before the task's previous release.
    pub release: Nanos,
}

/// What the simulated world does.
pub trait Workload {
    /// The next job of `task`, or `None` when it has no more.
    fn next(&mut self, task: TaskId) -> Option<Arrival>;

    /// How long a segment of a job takes.
    fn execution(&mut self, job: JobId, segment: u16) -> Nanos;

    /// How long the partition stands still before a segment ends that starts at `now` and takes `execution`.
    fn stalled(&mut self, now: Nanos, execution: Nanos) -> Nanos {
        let _ = (now, execution);
        Nanos::ZERO
    }

    /// Of the tasks whose next jobs are released at one instant, the one with the smallest turn is told first; of equal
    /// turns the first in the set.
    fn turn(&self, task: TaskId) -> usize {
        task.index()
    }
}

/// What happened to the jobs of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskOutcome {
    /// Jobs released.
    pub jobs: u64,
    /// Jobs that ended after their deadline.
    pub missed: u64,
    /// Jobs refused because the task's queue was full.
    pub refused: u64,
    /// The longest response time.
    pub worst: Nanos,
}

/// Runs `workload` to its end and returns what happened to each task. Every (now, event, decision) is shown to
/// `observe` in order, which is what a trace records.
pub fn simulate<W: Workload>(
    set: &TaskSet,
    queues: &[u32],
    workload: &mut W,
    mut observe: impl FnMut(Nanos, Event, Decision),
) -> Vec<TaskOutcome> {
    let n = set.tasks().len();
    let mut outcomes = vec![TaskOutcome::default(); n];
    // Of each task the next release and the arrival behind it, the earliest first; of one instant by their turns.
    let next_of = |workload: &mut W, task: TaskId| {
        let Arrival { arrival, release } = workload.next(task)?;
        Some(Reverse((release, workload.turn(task), task, arrival)))
    };
    let mut upcoming: BinaryHeap<Reverse<(Nanos, usize, TaskId, Nanos)>> =
        (0..n).filter_map(|i| next_of(workload, TaskId::from(i))).collect();
    let mut state = State::new(set, queues);
    let mut ends: Option<(Nanos, JobId)> = None;
    let mut tell = |state: &mut State, now, event| {
        let decision = step(state, now, event);
        observe(now, event, decision);
        decision
    };
    loop {
        let released = upcoming.peek().map(|Reverse((release, ..))| *release);
        let Some(now) = released.into_iter().chain(ends.map(|(end, _)| end)).min() else {
            return outcomes;
        };
        if let Some((_, job)) = ends.take_if(|(end, _)| *end == now) {
            let decision = tell(&mut state, now, Event::Finish { job, outcome: Outcome::Completed });
            let outcome = &mut outcomes[job.task.index()];
            match decision.why {
                Why::DeadlineMet { response, .. } => outcome.worst = outcome.worst.max(response),
                Why::DeadlineMissed { response, .. } => {
                    outcome.worst = outcome.worst.max(response);
                    outcome.missed += 1;
                }
                _ => {}
            }
        }
        while let Some(mut next) = upcoming.peek_mut()
            && next.0.0 == now
        {
            let Reverse((_, _, task, arrival)) = *next;
            let outcome = &mut outcomes[task.index()];
            let job = JobId { task, seq: outcome.jobs };
            let decision = tell(&mut state, now, Event::Release { job, arrival });
            outcome.jobs += 1;
            outcome.refused += u64::from(decision.action == Action::Refuse);
            match next_of(workload, task) {
                Some(later) => *next = later,
                None => drop(PeekMut::pop(next)),
            }
        }
        let decision = tell(&mut state, now, Event::Dispatch);
        if let Action::Start { job, segment } = decision.action {
            let execution = workload.execution(job, segment);
            ends = Some((now + execution + workload.stalled(now, execution), job));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_core::{Overheads, Policy, TaskDraft};

    /// Jobs as listed, 4 ns each.
    struct Listed(Vec<Arrival>);

    impl Workload for Listed {
        fn next(&mut self, _: TaskId) -> Option<Arrival> {
            self.0.pop()
        }

        fn execution(&mut self, _: JobId, _: u16) -> Nanos {
            Nanos(4)
        }
    }

    /// A job that arrives at 2 and is released at 5 ends at 9: in 7, not in 4.
    #[test]
    fn responses_and_deadlines_count_from_arrival() {
        let arrivals = || Listed(vec![Arrival { arrival: Nanos(2), release: Nanos(5) }]);
        for (deadline, missed) in [(7, 0), (6, 1)] {
            let draft = TaskDraft {
                name: "late".to_owned(),
                segments: vec![Nanos(4)],
                arrival: Nanos(100).into(),
                deadline: Some(Nanos(deadline)),
                jitter: Nanos(3),
                priority: None,
            };
            for policy in [Policy::Fifo, Policy::FixedPriority, Policy::Edf] {
                let set = TaskSet::new(policy, Overheads::default(), vec![draft.clone()]).unwrap();
                let outcome = simulate(&set, &[1], &mut arrivals(), |_, _, _| {})[0];
                assert_eq!(outcome, TaskOutcome { jobs: 1, missed, refused: 0, worst: Nanos(7) });
            }
        }
    }
}
