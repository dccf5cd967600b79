//! Traces that make no sense: every export is written, is well formed, and its slices nest.
mod common;
use aegis_export::{Metrics, Operators, chrome, job_lines, jobs_csv, otlp_spans, perfetto, records_csv};
use aegis_trace::{Jobs, Trace};
use common::{everything, nonsense};
use serde_json::Value;
use std::collections::BTreeMap;

#[test]
fn every_export_is_well_formed() {
    let seeds = (0..30).map(|seed| (seed, nonsense(seed, 120)));
    for (seed, trace) in seeds.chain([(u64::MAX, everything())]) {
        well_formed(&trace, seed);
    }
}

fn well_formed(trace: &Trace, seed: u64) {
    let jobs = Jobs::of(trace);
    let mut csv = Vec::new();
    records_csv(&mut csv, trace.header(), trace.entries()).unwrap();
    jobs_csv(&mut csv, trace.header(), job_lines(&jobs)).unwrap();
    let mut metrics = Vec::new();
    let sums = Metrics::of(trace).unwrap();
    sums.openmetrics(&mut metrics).unwrap();
    assert!(metrics.ends_with(b"# EOF\n"));
    let [mut otlp, mut spans, mut json] = [Vec::new(), Vec::new(), Vec::new()];
    sums.otlp(&mut otlp).unwrap();
    otlp_spans(trace, &mut spans).unwrap();
    for body in [otlp, spans] {
        let _: Value = serde_json::from_slice(&body).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
    chrome(trace, &Operators::default(), &mut json).unwrap();
    nests(&serde_json::from_slice(&json).unwrap(), seed);
    let mut packets = Vec::new();
    perfetto(trace, &Operators::default(), &mut packets).unwrap();
    assert!(messages(&packets, 0), "seed {seed}");
}

/// On every thread each end has a beginning before it, and time does not go back.
fn nests(export: &Value, seed: u64) {
    let mut open: BTreeMap<u64, u64> = BTreeMap::new();
    let mut now: BTreeMap<u64, f64> = BTreeMap::new();
    for event in export["traceEvents"].as_array().unwrap() {
        let thread = event["tid"].as_u64().unwrap();
        let depth = open.entry(thread).or_default();
        match event["ph"].as_str().unwrap() {
            "B" => *depth += 1,
            "E" => *depth = depth.checked_sub(1).unwrap_or_else(|| panic!("seed {seed}: {event}")),
            _ => continue,
        }
        let at = event["ts"].as_f64().unwrap();
        let before = now.insert(thread, at).unwrap_or(at);
        assert!(before <= at, "seed {seed}: {before} before {event}");
    }
    assert!(open.values().all(|depth| *depth == 0), "seed {seed}");
}

/// Whether the bytes are fields of a message, each whole. Of the outermost two levels, those with a length must be
/// messages themselves.
fn messages(mut bytes: &[u8], level: u32) -> bool {
    while !bytes.is_empty() {
        let Some(tag) = varint(&mut bytes) else { return false };
        match tag & 7 {
            0 => {
                if varint(&mut bytes).is_none() {
                    return false;
                }
            }
            1 => {
                let Some(rest) = bytes.get(8..) else { return false };
                bytes = rest;
            }
            2 => {
                let length = varint(&mut bytes).and_then(|length| usize::try_from(length).ok());
                let Some((inner, rest)) = length.and_then(|length| bytes.split_at_checked(length)) else {
                    return false;
                };
                if level < 2 && !messages(inner, level + 1) {
                    return false;
                }
                bytes = rest;
            }
            _ => return false,
        }
    }
    true
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (digit, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(digit & 0x7f) << shift;
        if digit & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A sink that is full says so, whatever is written to it.
#[test]
fn a_full_sink_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("full"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let trace = everything();
    let jobs = Jobs::of(&trace);
    let metrics = Metrics::of(&trace).unwrap();
    for written in [
        perfetto(&trace, &Operators::default(), Full),
        chrome(&trace, &Operators::default(), Full),
        otlp_spans(&trace, Full),
        records_csv(Full, trace.header(), trace.entries()),
        jobs_csv(Full, trace.header(), job_lines(&jobs)),
        metrics.openmetrics(Full),
        metrics.otlp(Full),
    ] {
        assert_eq!(written.unwrap_err().to_string(), "cannot write the export: full");
    }
}
