//! One hash over every decision: equal runs have equal ones, on every machine and in every build profile.
//!
//! The hash is BLAKE3 over the steps in their order, each of them `at`, event, action, reason. Integers are little-endian
//! and of fixed size: an instant, a time and a job's number take 8 bytes, a task, a priority, a capacity and a count of
//! jobs 4, a segment and a count of segments 2. A job is its task and its number. Each of event, action and reason begins
//! with one byte for its variant, and its fields follow in the order of their declaration:
//!
//! | byte | event | action | reason |
//! |---|---|---|---|
//! | 0 | release: job, arrival | enqueue | ready: waiting |
//! | 1 | finish: job, outcome (0 completed, 1 faulted) | refuse | queue full: capacity |
//! | 2 | dispatch | start: job, segment | unknown task |
//! | 3 | | requeue | not running |
//! | 4 | | retire | time went back |
//! | 5 | | continue | only ready |
//! | 6 | | idle | earliest deadline: deadline, over |
//! | 7 | | | highest priority: priority, over |
//! | 8 | | | first released: release, over |
//! | 9 | | | busy: running, since |
//! | 10 | | | nothing ready |
//! | 11 | | | more segments: left |
//! | 12 | | | deadline met: response, slack |
//! | 13 | | | deadline missed: response, late |
//! | 14 | | | faulted |
use crate::replay::RecordedStep;
use aegis_core::{Action, Decision, Event, JobId, Nanos, Outcome, Why};
use std::fmt;

/// A hash of decisions in the making.
#[derive(Debug, Clone)]
pub struct Digest {
    hasher: blake3::Hasher,
    /// Steps that are not hashed yet: the hasher is quicker on long pieces.
    bytes: Vec<u8>,
    steps: u64,
}

/// Bytes that are hashed at once.
const PIECE: usize = 1 << 16;
/// The longest step.
const LONGEST: usize = 80;

impl Default for Digest {
    fn default() -> Self {
        Self { hasher: blake3::Hasher::new(), bytes: Vec::with_capacity(PIECE), steps: 0 }
    }
}

/// The hash of all decisions, shown as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecisionHash(pub [u8; 32]);

impl fmt::Display for DecisionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Digest {
    /// Takes one more step.
    pub fn add(&mut self, step: &RecordedStep) {
        if self.bytes.len() + LONGEST > PIECE {
            self.hasher.update(&self.bytes);
            self.bytes.clear();
        }
        encode(step, &mut self.bytes);
        self.steps += 1;
    }

    /// How many steps it has taken.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// The hash of all steps so far.
    #[must_use]
    pub fn hash(&self) -> DecisionHash {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.bytes);
        DecisionHash(*hasher.finalize().as_bytes())
    }
}

/// The hash of `steps`.
#[must_use]
pub fn hash(steps: impl IntoIterator<Item = RecordedStep>) -> DecisionHash {
    let mut digest = Digest::default();
    steps.into_iter().for_each(|step| digest.add(&step));
    digest.hash()
}

fn encode(
    &RecordedStep { at, event, decision: Decision { action, why } }: &RecordedStep,
    bytes: &mut Vec<u8>,
) {
    let mut put = Put(bytes);
    put.time(at);
    match event {
        Event::Release { job, arrival } => put.variant(0).job(job).time(arrival),
        Event::Finish { job, outcome } => put.variant(1).job(job).byte(match outcome {
            Outcome::Completed => 0,
            Outcome::Faulted => 1,
        }),
        Event::Dispatch => put.variant(2),
    };
    match action {
        Action::Enqueue => put.variant(0),
        Action::Refuse => put.variant(1),
        Action::Start { job, segment } => put.variant(2).job(job).short(segment),
        Action::Requeue => put.variant(3),
        Action::Retire => put.variant(4),
        Action::Continue => put.variant(5),
        Action::Idle => put.variant(6),
    };
    match why {
        Why::Ready { waiting } => put.variant(0).word(waiting),
        Why::QueueFull { capacity } => put.variant(1).word(capacity),
        Why::UnknownTask => put.variant(2),
        Why::NotRunning => put.variant(3),
        Why::TimeWentBack => put.variant(4),
        Why::OnlyReady => put.variant(5),
        Why::EarliestDeadline { deadline, over } => put.variant(6).time(deadline).job(over),
        Why::HighestPriority { priority, over } => put.variant(7).word(priority.0).job(over),
        Why::FirstReleased { release, over } => put.variant(8).time(release).job(over),
        Why::Busy { running, since } => put.variant(9).job(running).time(since),
        Why::NothingReady => put.variant(10),
        Why::MoreSegments { left } => put.variant(11).short(left),
        Why::DeadlineMet { response, slack } => put.variant(12).time(response).time(slack),
        Why::DeadlineMissed { response, late } => put.variant(13).time(response).time(late),
        Why::Faulted => put.variant(14),
    };
}

struct Put<'a>(&'a mut Vec<u8>);

impl Put<'_> {
    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    fn variant(&mut self, number: u8) -> &mut Self {
        self.byte(number)
    }

    fn short(&mut self, number: u16) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn word(&mut self, number: u32) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn time(&mut self, time: Nanos) -> &mut Self {
        self.0.extend_from_slice(&time.0.to_le_bytes());
        self
    }

    fn job(&mut self, job: JobId) -> &mut Self {
        self.word(job.task.0).time(Nanos(job.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_core::TaskId;

    fn step(at: u64, event: Event, action: Action, why: Why) -> RecordedStep {
        RecordedStep { at: Nanos(at), event, decision: Decision { action, why } }
    }

    /// To the byte, as the table says.
    #[test]
    fn a_step_is_encoded_as_documented() {
        let job = JobId { task: TaskId(1), seq: 2 };
        let over = JobId { task: TaskId(3), seq: 4 };
        let mut bytes = Vec::new();
        let why = Why::EarliestDeadline { deadline: Nanos(5), over };
        encode(&step(258, Event::Dispatch, Action::Start { job, segment: 6 }, why), &mut bytes);
        let mut expected = vec![2, 1, 0, 0, 0, 0, 0, 0, 2, 2];
        expected.extend([1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 6, 0, 6]);
        expected.extend([5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes, expected);
        let one = step(258, Event::Dispatch, Action::Start { job, segment: 6 }, why);
        assert_eq!(hash([one]).0, *blake3::hash(&expected).as_bytes());
    }

    /// No two of these steps have one encoding, and none is longer than what is kept free for it.
    #[test]
    fn different_steps_are_encoded_differently() {
        let job = |task, seq| JobId { task: TaskId(task), seq };
        let (a, b) = (job(0, 1), job(1, 0));
        let events = [
            Event::Release { job: a, arrival: Nanos(1) },
            Event::Release { job: b, arrival: Nanos(1) },
            Event::Release { job: a, arrival: Nanos(0) },
            Event::Finish { job: a, outcome: Outcome::Completed },
            Event::Finish { job: a, outcome: Outcome::Faulted },
            Event::Dispatch,
        ];
        let actions = [
            Action::Enqueue,
            Action::Refuse,
            Action::Start { job: a, segment: 0 },
            Action::Start { job: a, segment: 1 },
            Action::Start { job: b, segment: 0 },
            Action::Requeue,
            Action::Retire,
            Action::Continue,
            Action::Idle,
        ];
        let (x, y) = (Nanos(7), Nanos(8));
        let reasons = [
            Why::Ready { waiting: 0 },
            Why::Ready { waiting: 1 },
            Why::QueueFull { capacity: 1 },
            Why::UnknownTask,
            Why::NotRunning,
            Why::TimeWentBack,
            Why::OnlyReady,
            Why::EarliestDeadline { deadline: x, over: a },
            Why::EarliestDeadline { deadline: y, over: a },
            Why::HighestPriority { priority: aegis_core::Priority(7), over: a },
            Why::HighestPriority { priority: aegis_core::Priority(7), over: b },
            Why::FirstReleased { release: x, over: a },
            Why::Busy { running: a, since: x },
            Why::Busy { running: b, since: x },
            Why::NothingReady,
            Why::MoreSegments { left: 1 },
            Why::MoreSegments { left: 2 },
            Why::DeadlineMet { response: x, slack: y },
            Why::DeadlineMet { response: y, slack: x },
            Why::DeadlineMissed { response: x, late: y },
            Why::Faulted,
        ];
        let mut seen = std::collections::BTreeSet::new();
        for at in [0, 1] {
            for event in events {
                for action in actions {
                    for why in reasons {
                        let mut bytes = Vec::new();
                        encode(&step(at, event, action, why), &mut bytes);
                        assert!(bytes.len() <= LONGEST, "{}", bytes.len());
                        assert!(seen.insert(bytes), "{event:?} {action:?} {why:?}");
                    }
                }
            }
        }
    }

    /// However the steps fall into pieces.
    #[test]
    fn pieces_do_not_show() {
        let steps = (0..5_000).map(|at| step(at, Event::Dispatch, Action::Idle, Why::NothingReady));
        let mut bytes = Vec::new();
        steps.clone().for_each(|one| encode(&one, &mut bytes));
        assert!((1..PIECE).contains(&bytes.len()));
        let longer: Vec<RecordedStep> = steps.cycle().take(50_000).collect();
        let mut all = Vec::new();
        for one in &longer {
            encode(one, &mut all);
        }
        assert!(all.len() > 5 * PIECE);
        assert_eq!(hash(longer).0, *blake3::hash(&all).as_bytes());
    }
}
