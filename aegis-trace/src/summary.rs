//! What a block of records says about itself in front: enough to know, without decoding it, whether it can hold what is
//! looked for.
use crate::bytes::Cursor;
use crate::{Body, Record};
use aegis_core::{Action, Event, JobId, Nanos, TaskId, Why};
use std::collections::BTreeMap;

/// Records to look for; what is absent does not restrict. A block that may hold one of them is read, so more than these
/// may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selection {
    /// Records that name this task, or a job of it.
    pub task: Option<TaskId>,
    /// Records that name this job.
    pub job: Option<JobId>,
    /// Records at this instant or later.
    pub from: Option<Nanos>,
    /// Records before this instant.
    pub to: Option<Nanos>,
}

/// The first and the last of a range of numbers, both included; empty where the last is below the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Range {
    const EMPTY: Self = Self { first: u64::MAX, last: 0 };

    fn include(&mut self, n: u64) {
        (self.first, self.last) = (self.first.min(n), self.last.max(n));
    }

    const fn has(self, n: u64) -> bool {
        self.first <= n && n <= self.last
    }
}

/// What stands in front of a block of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The earliest and the latest instant; [empty](Range) without records.
    pub instants: Range,
    /// The kinds of its records: bit `n` for the kind of number `n`.
    pub kinds: u64,
    /// Whether it has records whose tasks and jobs are not listed.
    pub names_others: bool,
    /// Each recorder's first and last sequence number.
    pub recorders: BTreeMap<u32, Range>,
    /// Every task that is named, with the first and the last number of its jobs that are.
    pub tasks: BTreeMap<u32, Range>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            instants: Range::EMPTY,
            kinds: 0,
            names_others: false,
            recorders: BTreeMap::new(),
            tasks: BTreeMap::new(),
        }
    }
}

impl Summary {
    /// Counts a record of the block in.
    pub(crate) fn include(&mut self, recorder: u32, seq: u64, record: &Record) {
        self.instants.include(record.at.0);
        self.kinds |= 1u64.checked_shl(record.body.kind() as u32).unwrap_or(0);
        self.recorders.entry(recorder).or_insert(Range::EMPTY).include(seq);
        match names(&record.body) {
            Some(named) => {
                for (task, job) in named.into_iter().flatten() {
                    let jobs = self.tasks.entry(task.0).or_insert(Range::EMPTY);
                    if let Some(job) = job {
                        jobs.include(job);
                    }
                }
            }
            None => self.names_others = true,
        }
    }

    /// Whether the block may hold a record of `selection`.
    #[must_use]
    pub fn may_hold(&self, selection: &Selection) -> bool {
        let task = |task: TaskId| self.names_others || self.tasks.contains_key(&task.0);
        let job = |job: JobId| {
            self.names_others || self.tasks.get(&job.task.0).is_some_and(|jobs| jobs.has(job.seq))
        };
        !self.recorders.is_empty()
            && selection.from.is_none_or(|from| from.0 <= self.instants.last)
            && selection.to.is_none_or(|to| self.instants.first < to.0)
            && selection.task.is_none_or(task)
            && selection.job.is_none_or(job)
    }

    /// instants, kinds, flags, counts, then a line of 20 bytes for each recorder and each task.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        for n in [self.instants.first, self.instants.last, self.kinds] {
            to.extend(n.to_le_bytes());
        }
        to.extend(u32::from(self.names_others).to_le_bytes());
        for lines in [&self.recorders, &self.tasks] {
            // A block holds fewer records than that.
            to.extend(u32::try_from(lines.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
        for (id, range) in self.recorders.iter().chain(&self.tasks) {
            to.extend(id.to_le_bytes());
            to.extend(range.first.to_le_bytes());
            to.extend(range.last.to_le_bytes());
        }
    }

    /// Undoes `encode`; ids must ascend.
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Option<Self> {
        let instants = Range { first: cursor.u64()?, last: cursor.u64()? };
        let (kinds, flags) = (cursor.u64()?, cursor.u32()?);
        let (recorders, tasks) = (cursor.u32()?, cursor.u32()?);
        let mut lines = |n: u32| -> Option<BTreeMap<u32, Range>> {
            let mut map = BTreeMap::new();
            for _ in 0..n {
                let (id, range) = (cursor.u32()?, Range { first: cursor.u64()?, last: cursor.u64()? });
                if map.last_key_value().is_some_and(|(last, _)| *last >= id) {
                    return None;
                }
                map.insert(id, range);
            }
            Some(map)
        };
        let names_others = match flags {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self { instants, kinds, names_others, recorders: lines(recorders)?, tasks: lines(tasks)? })
    }
}

type Named = (TaskId, Option<u64>);

/// Every task and job that the body names, in whatever part; `None` where this code does not know, as with kinds that were
/// added later: then the block counts as one that may name any.
#[allow(clippy::match_wildcard_for_single_variants, reason = "kinds that are added need no code here")]
pub fn names(body: &Body) -> Option<[Option<Named>; 3]> {
    let a_job = |job: JobId| Some((job.task, Some(job.seq)));
    let a_task = |task: TaskId| Some([Some((task, None)), None, None]);
    match *body {
        Body::Step { event, decision } => {
            let told = match event {
                Event::Release { job, .. } | Event::Finish { job, .. } => a_job(job),
                Event::Dispatch => None,
            };
            let done = match decision.action {
                Action::Start { job, .. } => a_job(job),
                Action::Enqueue
                | Action::Refuse
                | Action::Requeue
                | Action::Retire
                | Action::Continue
                | Action::Idle => None,
            };
            let why = match decision.why {
                Why::EarliestDeadline { over, .. }
                | Why::HighestPriority { over, .. }
                | Why::FirstReleased { over, .. } => a_job(over),
                Why::Busy { running, .. } => a_job(running),
                Why::Ready { .. }
                | Why::QueueFull { .. }
                | Why::UnknownTask
                | Why::NotRunning
                | Why::TimeWentBack
                | Why::OnlyReady
                | Why::NothingReady
                | Why::MoreSegments { .. }
                | Why::DeadlineMet { .. }
                | Why::DeadlineMissed { .. }
                | Why::Faulted => None,
            };
            Some([told, done, why])
        }
        Body::Started { job, .. }
        | Body::Ended { job, .. }
        | Body::Copied { job, .. }
        | Body::Contended { job, .. }
        | Body::Recovering { job }
        | Body::Recovered { job, .. } => Some([a_job(job), None, None]),
        Body::Fault { task, job, .. } => Some([Some((task, None)), job.and_then(a_job), None]),
        Body::Loaded { task, .. }
        | Body::Profiled { task, .. }
        | Body::Placed { task, .. }
        | Body::Certified { task, .. }
        | Body::WithinBudget { task, .. }
        | Body::Admitted { task, .. } => a_task(task),
        Body::Stopping | Body::RecordCost { .. } | Body::ClockChanged { .. } => Some([None; 3]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Range, Selection, Summary};
    use crate::bytes::Cursor;
    use crate::tests::{job, some_records};
    use crate::{Body, Record};
    use aegis_core::{Action, Decision, Event, Nanos, TaskId, Why};

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut summary = Summary::default();
        for (seq, record) in (0..).zip(some_records(9)) {
            summary.include(u32::try_from(seq % 3).unwrap(), 5 + seq, &record);
        }
        for summary in [summary, Summary::default()] {
            let mut bytes = Vec::new();
            summary.encode(&mut bytes);
            let mut cursor = Cursor(&bytes);
            assert_eq!(Summary::decode(&mut cursor), Some(summary));
            assert!(cursor.0.is_empty());
            (0..bytes.len()).for_each(|cut| assert_eq!(Summary::decode(&mut Cursor(&bytes[..cut])), None));
        }
    }

    /// Both the first and the last of everything, and the numbers beside them.
    #[test]
    fn a_block_is_read_for_what_it_may_hold() {
        let mut summary = Summary::default();
        let over = job(2, 4);
        let decision = Decision {
            action: Action::Start { job: job(1, 7), segment: 0 },
            why: Why::FirstReleased { release: Nanos(1), over },
        };
        summary.include(
            0,
            9,
            &Record { at: Nanos(50), body: Body::Step { event: Event::Dispatch, decision } },
        );
        summary.include(1, 3, &Record { at: Nanos(60), body: Body::Started { job: job(1, 9), segment: 0 } });
        assert_eq!(summary.recorders[&1], Range { first: 3, last: 3 });
        let may = |selection: Selection| summary.may_hold(&selection);
        assert!(may(Selection::default()));
        for (task, seq, expected) in [
            (1, 6, false),
            (1, 7, true),
            (1, 8, true),
            (1, 9, true),
            (1, 10, false),
            (2, 4, true),
            (2, 5, false),
            (0, 7, false),
        ] {
            let selection = Selection { job: Some(job(task, seq)), ..Selection::default() };
            assert_eq!(may(selection), expected, "{task}#{seq}");
        }
        for (task, expected) in [(0, false), (1, true), (2, true), (3, false)] {
            assert_eq!(may(Selection { task: Some(TaskId(task)), ..Selection::default() }), expected);
        }
        for (from, to, expected) in
            [(0, 50, false), (0, 51, true), (60, 99, true), (61, 99, false), (55, 56, true)]
        {
            let selection =
                Selection { from: Some(Nanos(from)), to: Some(Nanos(to)), ..Selection::default() };
            assert_eq!(may(selection), expected, "{from}..{to}");
        }
        summary.names_others = true;
        assert!(summary.may_hold(&Selection { job: Some(job(9, 9)), ..Selection::default() }));
        assert!(!Summary::default().may_hold(&Selection::default()), "nothing is in an empty block");
    }
}
