//! Replay: feeds recorded events to a fresh scheduler and compares its decisions with the recorded ones.
use crate::{State, step};
use aegis_core::{Decision, Event, Nanos, TaskSet};

/// One recorded step: what the scheduler was told, when, and what it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedStep {
    /// The `now` it was told.
    pub at: Nanos,
    /// The event.
    pub event: Event,
    /// The recorded answer.
    pub decision: Decision,
}

/// Where a replay parts from the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// Position of the step, from 0.
    pub index: u64,
    /// The recorded step.
    pub recorded: RecordedStep,
    /// What the scheduler answers now.
    pub replayed: Decision,
}

/// The result of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// Decisions compared.
    pub compared: u64,
    /// Decisions that differ.
    pub differences: u64,
    /// The first of them.
    pub first: Option<Difference>,
}

/// Steps a fresh scheduler for `set` and `queues` through `steps` and compares every decision.
#[must_use]
pub fn replay(set: &TaskSet, queues: &[u32], steps: impl IntoIterator<Item = RecordedStep>) -> Replay {
    let mut state = State::new(set, queues);
    let mut result = Replay { compared: 0, differences: 0, first: None };
    for recorded in steps {
        let replayed = step(&mut state, recorded.at, recorded.event);
        if replayed != recorded.decision {
            result.differences += 1;
            result.first.get_or_insert(Difference { index: result.compared, recorded, replayed });
        }
        result.compared += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::simulate;
    use crate::workload::{Adversary, Execution};
    use aegis_core::{Action, Overheads, Policy, TaskDraft};

    #[test]
    fn a_recorded_run_replays_and_a_changed_decision_is_found() {
        let draft = |name: &str, c, t| TaskDraft {
            name: name.to_owned(),
            segments: vec![Nanos(c), Nanos(c)],
            arrival: Nanos(t).into(),
            deadline: None,
            jitter: Nanos(2),
            priority: None,
        };
        for policy in [Policy::Fifo, Policy::FixedPriority, Policy::Edf] {
            let drafts = vec![draft("a", 1, 9), draft("b", 2, 15), draft("c", 2, 40)];
            let set = TaskSet::new(policy, Overheads::default(), drafts).unwrap();
            let mut steps = vec![];
            let mut world = Adversary::new(&set, Nanos(80), 5_000, Execution::UpToWcet, 7);
            simulate(&set, &[3, 3, 3], &mut world, |at, event, decision| {
                steps.push(RecordedStep { at, event, decision });
            });
            let same = replay(&set, &[3, 3, 3], steps.clone());
            assert_eq!((same.differences, same.first), (0, None));
            assert_eq!(same.compared, steps.len() as u64);

            let changed = steps.iter().rposition(|s| s.decision.action == Action::Idle).unwrap();
            steps[changed].decision.action = Action::Continue;
            let other = replay(&set, &[3, 3, 3], steps);
            assert_eq!(other.differences, 1);
            assert_eq!(other.first.unwrap().index, changed as u64);
        }
    }
}
