//! How a record lies in a ring: one slot of 64 bytes for what a running system records all the time, several for the rest.
//!
//! Steps, starts and ends are packed by hand, field by field. Every other body, and any step of a shape that the
//! scheduler does not make, is postcard over consecutive slots that are committed together: a new kind of record needs
//! no code here.
//!
//! ```text
//! slot 0   at:u64 seq:u64 form:u8 …          form 0: packed, 1: encoded
//! packed   form tag:u8 action:u8 why:u8 segment:u16 outcome:u8 0  task:u32 other:u32  job:u64 arrival:u64 a:u64 b:u64
//! encoded  form slots:u8 length:u16 0:u32  first 40 bytes; each further slot holds 64
//! ```
use crate::{Body, Record};
use aegis_core::{Action, Decision, Event, JobId, Nanos, Outcome, Priority, TaskId, Why};

/// Bytes of a slot: a cache line.
pub const SLOT_BYTES: usize = 64;
/// Bytes of an encoding in its first slot.
const IN_FIRST: usize = 40;
/// The longest encoding. A body of `n` bytes in memory takes at most `3n/2` encoded (a `u16` takes 3 bytes, a tag may share
/// its place in memory with a field) and its tags.
pub const LONGEST_BODY: usize = size_of::<Body>() * 3 / 2 + 16;
/// The most slots that a record takes.
pub const MOST_SLOTS: usize = slots_of(LONGEST_BODY);

/// One slot, as the ring moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(align(64))]
pub struct Slot(pub [u64; 8]);

const _: () = assert!(size_of::<Slot>() == SLOT_BYTES && MOST_SLOTS < 256 && LONGEST_BODY < 1 << 16);

const PACKED: u8 = 0;
const ENCODED: u8 = 1;

/// The tags of packed records.
mod tag {
    pub const RELEASE: u8 = 0;
    pub const FINISH: u8 = 1;
    pub const DISPATCH: u8 = 2;
    pub const STARTED: u8 = 3;
    pub const ENDED: u8 = 4;
}

/// How many slots an encoding of that length takes.
const fn slots_of(length: usize) -> usize {
    1 + length.saturating_sub(IN_FIRST).div_ceil(SLOT_BYTES)
}

/// The fields of a packed record; those that it does not have are 0.
#[derive(Clone, Copy, Default)]
struct Fields {
    tag: u8,
    action: u8,
    why: u8,
    outcome: u8,
    segment: u16,
    task: u32,
    job: u64,
    arrival: u64,
    /// Of the reason.
    other: u32,
    a: u64,
    b: u64,
}

impl Fields {
    fn about(tag: u8, job: JobId) -> Self {
        Self { tag, task: job.task.0, job: job.seq, ..Self::default() }
    }

    const fn subject(&self) -> JobId {
        JobId { task: TaskId(self.task), seq: self.job }
    }

    const fn named(&self) -> JobId {
        JobId { task: TaskId(self.other), seq: self.a }
    }

    fn named_is(&mut self, job: JobId) {
        (self.other, self.a) = (job.task.0, job.seq);
    }

    fn slot(&self, at: Nanos, seq: u64) -> Slot {
        let [s0, s1] = self.segment.to_le_bytes();
        let tags = [PACKED, self.tag, self.action, self.why, s0, s1, self.outcome, 0];
        let tasks = u64::from(self.task) | u64::from(self.other) << 32;
        Slot([at.0, seq, u64::from_le_bytes(tags), tasks, self.job, self.arrival, self.a, self.b])
    }

    fn of(slot: &Slot) -> Self {
        let [_, _, tags, tasks, job, arrival, a, b] = slot.0;
        let [_, tag, action, why, s0, s1, outcome, _] = tags.to_le_bytes();
        let [t0, t1, t2, t3, o0, o1, o2, o3] = tasks.to_le_bytes();
        let (task, other) = (u32::from_le_bytes([t0, t1, t2, t3]), u32::from_le_bytes([o0, o1, o2, o3]));
        Self {
            tag,
            action,
            why,
            outcome,
            segment: u16::from_le_bytes([s0, s1]),
            task,
            job,
            arrival,
            other,
            a,
            b,
        }
    }
}

/// The record in one slot, if it is of a shape that a running system records all the time.
#[inline]
pub fn pack(at: Nanos, seq: u64, body: &Body) -> Option<Slot> {
    let fields = match *body {
        Body::Step { event, decision } => step(event, decision)?,
        Body::Started { job, segment } => Fields { segment, ..Fields::about(tag::STARTED, job) },
        Body::Ended { job, segment, outcome } => {
            Fields { segment, outcome: outcome_number(outcome), ..Fields::about(tag::ENDED, job) }
        }
        _ => return None,
    };
    Some(fields.slot(at, seq))
}

#[inline]
fn step(event: Event, Decision { action, why }: Decision) -> Option<Fields> {
    let mut fields = match event {
        Event::Release { job, arrival } => Fields { arrival: arrival.0, ..Fields::about(tag::RELEASE, job) },
        Event::Finish { job, outcome } => {
            Fields { outcome: outcome_number(outcome), ..Fields::about(tag::FINISH, job) }
        }
        Event::Dispatch => Fields { tag: tag::DISPATCH, ..Fields::default() },
    };
    fields.action = match action {
        Action::Enqueue => 0,
        Action::Refuse => 1,
        Action::Requeue => 2,
        Action::Retire => 3,
        Action::Continue => 4,
        Action::Idle => 5,
        // The job takes the place of the event's, which has none.
        Action::Start { job, segment } if event == Event::Dispatch => {
            (fields.task, fields.job, fields.segment) = (job.task.0, job.seq, segment);
            6
        }
        Action::Start { .. } => return None,
    };
    let f = &mut fields;
    f.why = match why {
        Why::Ready { waiting } => {
            f.other = waiting;
            0
        }
        Why::QueueFull { capacity } => {
            f.other = capacity;
            1
        }
        Why::UnknownTask => 2,
        Why::NotRunning => 3,
        Why::TimeWentBack => 4,
        Why::OnlyReady => 5,
        Why::EarliestDeadline { deadline, over } => {
            f.named_is(over);
            f.b = deadline.0;
            6
        }
        Why::HighestPriority { priority, over } => {
            f.named_is(over);
            f.b = u64::from(priority.0);
            7
        }
        Why::FirstReleased { release, over } => {
            f.named_is(over);
            f.b = release.0;
            8
        }
        Why::Busy { running, since } => {
            f.named_is(running);
            f.b = since.0;
            9
        }
        Why::NothingReady => 10,
        Why::MoreSegments { left } => {
            f.other = u32::from(left);
            11
        }
        Why::DeadlineMet { response, slack } => {
            (f.a, f.b) = (response.0, slack.0);
            12
        }
        Why::DeadlineMissed { response, late } => {
            (f.a, f.b) = (response.0, late.0);
            13
        }
        Why::Faulted => 14,
    };
    Some(fields)
}

const fn outcome_number(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Completed => 0,
        Outcome::Faulted => 1,
    }
}

const fn outcome_of(number: u8) -> Option<Outcome> {
    Some(match number {
        0 => Outcome::Completed,
        1 => Outcome::Faulted,
        _ => return None,
    })
}

fn unpack(slot: &Slot) -> Option<Body> {
    let f = Fields::of(slot);
    let job = f.subject();
    let event = match f.tag {
        tag::RELEASE => Event::Release { job, arrival: Nanos(f.arrival) },
        tag::FINISH => Event::Finish { job, outcome: outcome_of(f.outcome)? },
        tag::DISPATCH => Event::Dispatch,
        tag::STARTED => return Some(Body::Started { job, segment: f.segment }),
        tag::ENDED => return Some(Body::Ended { job, segment: f.segment, outcome: outcome_of(f.outcome)? }),
        _ => return None,
    };
    let action = match f.action {
        0 => Action::Enqueue,
        1 => Action::Refuse,
        2 => Action::Requeue,
        3 => Action::Retire,
        4 => Action::Continue,
        5 => Action::Idle,
        6 => Action::Start { job, segment: f.segment },
        _ => return None,
    };
    let (a, b) = (Nanos(f.a), Nanos(f.b));
    let why = match f.why {
        0 => Why::Ready { waiting: f.other },
        1 => Why::QueueFull { capacity: f.other },
        2 => Why::UnknownTask,
        3 => Why::NotRunning,
        4 => Why::TimeWentBack,
        5 => Why::OnlyReady,
        6 => Why::EarliestDeadline { deadline: b, over: f.named() },
        7 => Why::HighestPriority { priority: Priority(u32::try_from(f.b).ok()?), over: f.named() },
        8 => Why::FirstReleased { release: b, over: f.named() },
        9 => Why::Busy { running: f.named(), since: b },
        10 => Why::NothingReady,
        11 => Why::MoreSegments { left: u16::try_from(f.other).ok()? },
        12 => Why::DeadlineMet { response: a, slack: b },
        13 => Why::DeadlineMissed { response: a, late: b },
        14 => Why::Faulted,
        _ => return None,
    };
    Some(Body::Step { event, decision: Decision { action, why } })
}

/// The record over as many slots as it takes, from the first of `slots` on; how many that are. `None` for a body that is
/// longer encoded than any can be.
#[inline(never)]
pub fn encode(at: Nanos, seq: u64, body: &Body, slots: &mut [Slot; MOST_SLOTS]) -> Option<usize> {
    let mut bytes = [0u8; LONGEST_BODY];
    let length = postcard::to_slice(body, &mut bytes).ok()?.len();
    let count = slots_of(length);
    let [l0, l1] = u16::try_from(length).ok()?.to_le_bytes();
    let form = [ENCODED, u8::try_from(count).ok()?, l0, l1, 0, 0, 0, 0];
    slots[0] = Slot([at.0, seq, u64::from_le_bytes(form), 0, 0, 0, 0, 0]);
    let (first, rest) = bytes[..length].split_at(length.min(IN_FIRST));
    put(&mut slots[0].0[3..], first);
    for (slot, bytes) in slots[1..].iter_mut().zip(rest.chunks(SLOT_BYTES)) {
        put(&mut slot.0, bytes);
    }
    Some(count)
}

fn put(words: &mut [u64], bytes: &[u8]) {
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
}

/// How many slots the record takes whose first one this is.
pub fn length(first: &Slot) -> usize {
    let [form, slots, ..] = first.0[2].to_le_bytes();
    if form == PACKED { 1 } else { usize::from(slots) }
}

/// The sequence number and the record in `slots`, which are all of it; `None` if they hold none.
pub fn decode(slots: impl Iterator<Item = Slot>) -> Option<(u64, Record)> {
    let mut slots = slots;
    let first = slots.next()?;
    let [at, seq, form, ..] = first.0;
    let [form, _, l0, l1, ..] = form.to_le_bytes();
    let body = if form == PACKED {
        unpack(&first)?
    } else {
        let mut bytes = [0u8; IN_FIRST + (MOST_SLOTS - 1) * SLOT_BYTES];
        let words = first.0[3..].iter().copied().chain(slots.flat_map(|slot| slot.0));
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        postcard::from_bytes(bytes.get(..length)?).ok()?
    };
    Some((seq, Record { at: Nanos(at), body }))
}
