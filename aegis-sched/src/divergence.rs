//! Where two recorded runs part: the first step that differs, with the states of both schedulers right before it.
use crate::replay::RecordedStep;
use crate::{State, View, step};
use aegis_core::{Action, Event, JobId, TaskSet};

/// One of two runs, as its trace has it.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// Its tasks.
    pub set: &'a TaskSet,
    /// Capacities of their queues.
    pub queues: &'a [u32],
    /// Its steps.
    pub steps: &'a [RecordedStep],
}

/// Where two runs part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parting {
    /// Position of the step, from 0.
    pub index: usize,
    /// That step of each; `None` where a run has ended.
    pub steps: [Option<RecordedStep>; 2],
    /// What each scheduler remembered right before it.
    pub states: [View; 2],
}

/// How two runs differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Steps that both have before the first difference of any kind.
    pub alike: usize,
    /// The first step at which an instant, an event, an action or a reason differs.
    pub anything: Option<Parting>,
    /// The first step at which one was told or did something else, whatever the instants: two runs on real clocks differ in
    /// every instant, and part here.
    pub decided: Option<Parting>,
}

/// Compares two runs step by step.
#[must_use]
pub fn divergence(a: Recorded<'_>, b: Recorded<'_>) -> Divergence {
    let length = a.steps.len().max(b.steps.len());
    let first = |differ: fn(&RecordedStep, &RecordedStep) -> bool| {
        (0..length).find(|&i| match (a.steps.get(i), b.steps.get(i)) {
            (Some(a), Some(b)) => differ(a, b),
            _ => true,
        })
    };
    let parting = |index: usize| Parting {
        index,
        steps: [a, b].map(|run| run.steps.get(index).copied()),
        states: [a, b].map(|run| before(run, index)),
    };
    let anything = first(|a, b| a != b);
    Divergence {
        alike: anything.unwrap_or(length),
        anything: anything.map(parting),
        decided: first(|a, b| course(a) != course(b)).map(parting),
    }
}

/// What was told and done, without instants and without reasons.
fn course(step: &RecordedStep) -> (u8, Option<JobId>, Action) {
    let (kind, job) = match step.event {
        Event::Release { job, .. } => (0, Some(job)),
        Event::Finish { job, .. } => (1, Some(job)),
        Event::Dispatch => (2, None),
    };
    (kind, job, step.decision.action)
}

/// The state of a fresh scheduler that was told the first `index` events of a run.
fn before(run: Recorded<'_>, index: usize) -> View {
    let mut state = State::new(run.set, run.queues);
    for told in run.steps.iter().take(index) {
        step(&mut state, told.at, told.event);
    }
    state.view()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::simulate;
    use crate::workload::{Adversary, Execution};
    use aegis_core::{Nanos, Overheads, Policy, TaskDraft};

    fn set(policy: Policy) -> TaskSet {
        let draft = |name: &str, c, t| TaskDraft {
            name: name.to_owned(),
            segments: vec![Nanos(c); 2],
            arrival: Nanos(t).into(),
            deadline: None,
            jitter: Nanos(2),
            priority: None,
        };
        let drafts = vec![draft("a", 1, 9), draft("b", 2, 15), draft("c", 2, 40)];
        TaskSet::new(policy, Overheads::default(), drafts).unwrap()
    }

    fn ran(set: &TaskSet) -> Vec<RecordedStep> {
        let mut steps = vec![];
        let mut world = Adversary::new(set, Nanos(80), 500, Execution::Wcet, 7);
        simulate(set, &[3, 3, 3], &mut world, |at, event, decision| {
            steps.push(RecordedStep { at, event, decision });
        });
        steps
    }

    #[test]
    fn a_run_is_like_itself_and_parts_where_it_was_changed() {
        let set = set(Policy::Edf);
        let steps = ran(&set);
        let run = |steps| Recorded { set: &set, queues: &[3, 3, 3], steps };
        let same = divergence(run(&steps), run(&steps));
        assert_eq!((same.alike, same.anything, same.decided), (steps.len(), None, None));

        // Later by one nanosecond, everywhere behind the middle: nothing else was decided.
        let (mut later, middle) = (steps.clone(), steps.len() / 2);
        for step in &mut later[middle..] {
            step.at += Nanos(1);
        }
        let parted = divergence(run(&steps), run(&later));
        assert_eq!((parted.alike, parted.decided), (middle, None));
        let at = parted.anything.unwrap();
        assert_eq!((at.index, at.states[0].clone()), (middle, at.states[1].clone()));

        // Cut off.
        let short = divergence(run(&steps), run(&steps[..middle]));
        assert_eq!(short.alike, middle);
        let at = short.decided.unwrap();
        assert_eq!((at.index, at.steps[0], at.steps[1]), (middle, Some(steps[middle]), None));
    }

    /// FIFO and EDF part where the older job is not the more urgent one, and the states show both of them.
    #[test]
    fn two_policies_part_at_a_choice() {
        let (fifo, edf) = (set(Policy::Fifo), set(Policy::Edf));
        let (of_fifo, of_edf) = (ran(&fifo), ran(&edf));
        let queues = &[3, 3, 3];
        let parted = divergence(
            Recorded { set: &fifo, queues, steps: &of_fifo },
            Recorded { set: &edf, queues, steps: &of_edf },
        );
        let at = parted.decided.unwrap();
        let [Some(a), Some(b)] = at.steps else { panic!("{at:?}") };
        let (Action::Start { job: a, .. }, Action::Start { job: b, .. }) =
            (a.decision.action, b.decision.action)
        else {
            panic!("{at:?}")
        };
        assert_ne!(a, b);
        // Both waited in both; each policy has its own first.
        assert_eq!([at.states[0].ready[0].job, at.states[1].ready[0].job], [a, b]);
        assert!(
            at.states[0].ready.iter().any(|w| w.job == b) && at.states[1].ready.iter().any(|w| w.job == a)
        );
        assert!(at.states[0].ready.is_sorted_by_key(|w| (w.key, w.order)));
        assert_eq!(at.states[0].running, None);
    }
}
