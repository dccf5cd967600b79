//! Everything that bears on one job, read from a trace file by its index.
use crate::summary::{Selection, names};
use crate::{Body, Entry, Kind, Trace, TraceError, TraceFile};
use aegis_core::{Action, Decision, Event, JobId, Nanos};
use std::collections::BTreeSet;

/// Records of these kinds concern the time in which they stand; the others are about the whole run.
const OF_THE_MOMENT: u64 = {
    let kinds = [
        Kind::Step,
        Kind::Started,
        Kind::Ended,
        Kind::Fault,
        Kind::Copied,
        Kind::Contended,
        Kind::Recovering,
        Kind::Recovered,
    ];
    let (mut bits, mut i) = (0, 0);
    while i < kinds.len() {
        bits |= 1 << kinds[i] as u32;
        i += 1;
    }
    bits
};

impl TraceFile {
    /// Reads what [`Jobs::explain`](crate::Jobs::explain) needs to explain `job`, and little more: its records, those of
    /// the time from its arrival to its end, back to who held the partition then, all records of the jobs that these
    /// name, and those that concern the whole run. The explanation is the same as from the whole trace.
    ///
    /// The whole trace is read where that is not enough: where records are missing, or the job is unknown, was refused, or
    /// did not end.
    ///
    /// # Errors
    /// [`TraceError`] says what is wrong with a block.
    pub fn around(&self, job: JobId) -> Result<Trace, TraceError> {
        around(self, job)?.map_or_else(|| self.read(&Selection::default()), Ok)
    }
}

/// `None` where the whole is needed.
fn around(file: &TraceFile, job: JobId) -> Result<Option<Trace>, TraceError> {
    if file.totals().is_none_or(|totals| totals.dropped() > 0) {
        return Ok(None);
    }
    let blocks = file.blocks();

    let of_job = |job| Selection { job: Some(job), ..Selection::default() };
    let mut wanted: Vec<bool> = blocks.iter().map(|block| block.summary.may_hold(&of_job(job))).collect();
    let own = file.read_blocks(&wanted)?;
    let Some((from, to)) = lifetime(&own, job) else { return Ok(None) };

    // The time of the job, and back from it to the last decision that says who held the partition.
    let mut begin = from;
    for (block, wanted) in blocks.iter().zip(&mut wanted) {
        *wanted |= block.summary.instants.first <= to.0 && from.0 <= block.summary.instants.last;
    }
    for at in (0..blocks.len()).rev().filter(|at| blocks[*at].summary.instants.first <= from.0) {
        wanted[at] = true;
        let one: Vec<bool> = (0..blocks.len()).map(|i| i == at).collect();
        let held =
            file.read_blocks(&one)?.entries().iter().rev().find_map(|entry| holder_before(entry, from));
        if let Some(since) = held {
            begin = since;
            break;
        }
    }

    // Every job that these name, from its release to its end.
    let moment = file.read_blocks(&wanted)?;
    let time = begin..=to;
    let mut named = BTreeSet::new();
    for entry in moment.entries().iter().filter(|entry| time.contains(&entry.record.at)) {
        named.extend(
            names(&entry.record.body)
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|(task, seq)| Some(JobId { task, seq: seq? })),
        );
    }
    let end = blocks.iter().map(|block| block.summary.instants.last).max().unwrap_or(0);
    for (block, wanted) in blocks.iter().zip(&mut wanted) {
        let summary = &block.summary;
        *wanted |= summary.kinds & !OF_THE_MOMENT != 0
            || summary.instants.last == end
            || named.iter().any(|job| summary.may_hold(&of_job(*job)));
    }
    file.read_blocks(&wanted).map(Some)
}

/// From the first record of a job, or its arrival, to the decision that retires it; `None` if it has none.
fn lifetime(trace: &Trace, job: JobId) -> Option<(Nanos, Nanos)> {
    let (mut from, mut to) = (Nanos::MAX, None);
    for Entry { record, .. } in trace.entries() {
        if let Body::Step { event, decision: Decision { action, .. } } = record.body {
            match (event, action) {
                (Event::Release { job: told, arrival }, Action::Enqueue) if told == job => {
                    from = from.min(arrival).min(record.at);
                }
                (Event::Finish { job: told, .. }, Action::Retire) if told == job => to = Some(record.at),
                _ => {}
            }
        }
    }
    to.filter(|to| from <= *to).map(|to| (from, to))
}

/// When the partition's last holder before `from` got it, if this decision says so. That it was idle since would not be
/// enough: of whom it had been before, the end may lie in a block that is not read.
fn holder_before(entry: &Entry, from: Nanos) -> Option<Nanos> {
    let Body::Step { decision, .. } = entry.record.body else { return None };
    let says = matches!(decision.action, Action::Start { .. });
    (says && entry.record.at <= from).then_some(entry.record.at)
}
