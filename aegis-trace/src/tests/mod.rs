//! Tests of the crate as a whole, and what they share: headers, and traces with records missing at will.
mod auditing;
mod beside_bound;
mod collecting;
mod explaining;
mod files;
mod format;
mod golden;
mod parts;
mod sentences;
mod slots;
mod twin;

use crate::sink::Stream;
use crate::writer::{Start, Writer};
use crate::{Balance, Body, ClockNote, ClockPair, Header, ModelNote, Record, Totals, Trace};
use aegis_core::{JobId, Nanos, Overheads, Policy, Priority, TaskDraft, TaskId, TaskSet};
use std::collections::BTreeMap;

/// 2026-11-22 14:23:45 UTC
pub const NOON: u64 = 1_795_357_425 * 1_000_000_000;

pub struct TaskOf<'a>(pub &'a str, pub &'a [u64], pub u64, pub u32);

/// Name, WCETs, deadline (and period), priority; times in units of `unit`.
pub fn header(policy: Policy, unit: u64, tasks: &[TaskOf<'_>]) -> Header {
    let drafts = tasks.iter().map(|TaskOf(name, segments, deadline, priority)| TaskDraft {
        name: (*name).to_owned(),
        segments: segments.iter().map(|c| Nanos(c * unit)).collect(),
        arrival: Nanos(deadline * unit).into(),
        deadline: None,
        jitter: Nanos::ZERO,
        priority: Some(Priority(*priority)),
    });
    Header {
        created_unix_ns: NOON,
        clock: "simulated".to_owned(),
        program: "test 1".to_owned(),
        spec_digest: "00".to_owned(),
        seed: Some(7),
        set: TaskSet::new(policy, Overheads::default(), drafts.collect()).unwrap(),
        queues: vec![2; tasks.len()],
        models: vec![ModelNote {
            task: tasks[0].0.to_owned(),
            backend: "sim".to_owned(),
            version: "sim 1".to_owned(),
            digest: "ab".to_owned(),
            file: "camera.onnx".to_owned(),
        }],
        host: "a test".to_owned(),
    }
}

pub fn job(task: u32, seq: u64) -> JobId {
    JobId { task: TaskId(task), seq }
}

/// A trace file of what each recorder offered, without the records that `lost` names by recorder and number. With
/// `cut` the balance at its end is missing.
pub fn file_of(
    header: &Header,
    offered: &[Vec<Record>],
    lost: impl Fn(u32, u64) -> bool,
    cut: bool,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(Stream(&mut bytes), start(header, offered.len())).unwrap();
    let mut totals = Totals::default();
    for (recorder, records) in (0..).zip(offered) {
        let mut balance = Balance { offered: records.len() as u64, ..Balance::default() };
        for (seq, record) in (0..).zip(records) {
            if lost(recorder, seq) {
                *balance.dropped.entry(record.body.kind()).or_default() += 1;
            } else {
                balance.written += 1;
                writer.record(recorder, seq, record).unwrap();
            }
        }
        totals.recorders.push(balance);
    }
    if cut {
        writer.flush().unwrap();
    } else {
        writer.end(&totals, ClockPair::default()).unwrap();
    }
    bytes
}

/// An unsigned file of so many recorders.
pub fn start(header: &Header, recorders: usize) -> Start<'_> {
    Start {
        header,
        clock: ClockNote::unstated(),
        recorders,
        key: None,
        identity: [7; 16],
        block: crate::writer::BLOCK,
    }
}

pub fn trace_of(header: &Header, offered: &[Vec<Record>], lost: impl Fn(u32, u64) -> bool) -> Trace {
    Trace::from_bytes(&file_of(header, offered, lost, false)).unwrap()
}

/// For tests that only need records that differ.
pub fn some_records(n: u64) -> Vec<Record> {
    (0..n)
        .map(|i| Record {
            at: Nanos(i * 1000),
            body: match i % 4 {
                0 => Body::Started { job: job(0, i), segment: 0 },
                1 => Body::Profiled { task: TaskId(1), wcet: Nanos(i), runs: i },
                2 => Body::Stopping,
                _ => Body::Admitted { task: TaskId(0), wcrt: Nanos(i), deadline: Nanos(2 * i) },
            },
        })
        .collect()
}

/// Counts by kind, as a balance has them.
pub fn kinds(records: &[Record]) -> BTreeMap<crate::Kind, u64> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.body.kind()).or_default() += 1;
    }
    counts
}
