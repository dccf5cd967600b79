//! Traces that lost records or their end: the exports show where.
mod common;
use aegis_core::Nanos;
use aegis_export::{Metrics, Operators, chrome};
use aegis_trace::{Collector, Options, Trace, recorder, write_all};
use common::{everything, header, released};
use serde_json::Value;

/// The events of the Chrome export; its text is that of Perfetto's tracks too.
fn exported(trace: &Trace) -> Value {
    let mut out = Vec::new();
    chrome(trace, &Operators::default(), &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_gap_is_drawn_and_counted() {
    const ROOM: u64 = 4;
    const LOST: u64 = 6;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let (mut recorder, tap) = recorder(usize::try_from(ROOM).unwrap());
    // Nobody empties the ring yet.
    for i in 0..ROOM + LOST {
        let record = released(1000 * i, common::job(0, i), 1000 * i);
        recorder.record(record.at, record.body);
    }
    let collector = Collector::create(&path, &header(&["camera"]), vec![tap], &Options::default()).unwrap();
    drop(recorder);
    collector.finish().unwrap();
    let trace = Trace::open(&path).unwrap();
    let missing: u64 = trace.gaps().iter().map(aegis_trace::Gap::missing).sum();
    assert_eq!((trace.entries().len() as u64, missing), (ROOM, LOST));
    let export = exported(&trace);
    assert_eq!(
        (&export["otherData"]["missing"], &export["otherData"]["complete"]),
        (&LOST.into(), &true.into())
    );
    let events = export["traceEvents"].as_array().unwrap();
    let gap = events.iter().find(|e| e["name"] == "6 records missing").unwrap();
    assert_eq!(
        (gap["ph"].as_str(), gap["ts"].as_f64()),
        (Some("B"), Some(3.0)),
        "after the last that was kept"
    );
    assert_eq!((gap["args"]["first"].as_u64(), gap["args"]["last"].as_u64()), (Some(4), Some(9)));
    let mut metrics = Vec::new();
    Metrics::of(&trace).unwrap().openmetrics(&mut metrics).unwrap();
    assert!(String::from_utf8(metrics).unwrap().contains("aegisrt_trace_records_missing_total 6\n"));
}

#[test]
fn the_place_where_a_trace_is_cut_off() {
    let whole = everything();
    let mut bytes = Vec::new();
    let records = whole.entries().iter().map(|e| e.record);
    write_all(&mut bytes, whole.header(), records).unwrap();
    let cut = Trace::from_bytes(&bytes[..bytes.len() - 1]).unwrap();
    assert!(!cut.complete());
    let shown = |trace: &Trace| {
        let export = exported(trace);
        let events = export["traceEvents"].as_array().unwrap();
        let here = events.iter().filter(|e| e["name"] == "the trace is cut off here");
        let times: Vec<f64> = here.map(|e| e["ts"].as_f64().unwrap() * 1000.0).collect();
        (times, export["otherData"]["complete"].clone())
    };
    let last = cut.entries().iter().map(|e| e.record.at).max().unwrap_or(Nanos::ZERO);
    #[allow(clippy::cast_precision_loss, reason = "a small number")]
    let last = last.0 as f64;
    assert_eq!(shown(&cut), (vec![last], false.into()));
    assert_eq!(shown(&whole), (vec![], true.into()));
}
