//! Profiles of ONNX Runtime in traces: a recorded one, and made-up ones whose true shift is known.
mod common;
use aegis_core::{Nanos, Outcome, Rng, TaskId, Why};
use aegis_export::{Alignment, Operator, Operators, chrome, perfetto};
use aegis_trace::{Body, Record, Trace};
use common::{at, chosen, header, job, released, retired, trace_of};
use serde_json::{Value, json};

/// Events of ONNX Runtime 1.32, of a session that ran five times; made by its Python package.
const RECORDED: &str = include_str!("data/ort_profile.json");
/// Before and after each of those runs, on the clock on which the profile began at 5 ms.
const WINDOWS: [[u64; 2]; 5] = [
    [44_955_794, 45_689_541],
    [72_275_140, 72_873_136],
    [84_265_645, 84_882_239],
    [104_304_805, 104_878_395],
    [119_998_637, 120_605_066],
];
const BEGAN: u64 = 5_000_000;

/// One job of task 0 for each window, which a worker executes there.
fn executed(windows: &[[u64; 2]]) -> Trace {
    let mut records: Vec<Record> = Vec::new();
    for (seq, [from, to]) in (0..).zip(windows) {
        let job = job(0, seq);
        let met = Why::DeadlineMet { response: Nanos(1), slack: Nanos(1) };
        records.extend([
            released(from - 1, job, from - 1),
            chosen(from - 1, job, 0),
            at(*from, Body::Started { job, segment: 0 }),
            at(*to, Body::Ended { job, segment: 0, outcome: Outcome::Completed }),
            retired(*to, job, Outcome::Completed, met),
        ]);
    }
    trace_of(&header(&["camera", "lidar"]), &records)
}

fn merge(trace: &Trace, profile: &str) -> (Operators, Result<Alignment, String>) {
    let mut operators = Operators::default();
    let aligned = operators.merge_ort(trace, TaskId(0), profile).map_err(|error| error.to_string());
    (operators, aligned)
}

#[test]
fn a_recorded_profile() {
    let events: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    // The first run was before the trace began.
    let trace = executed(&WINDOWS[1..]);
    let (operators, aligned) = merge(&trace, RECORDED);
    let Alignment { executions, earlier_runs, operators: n, error } = aligned.unwrap();
    assert_eq!((executions, earlier_runs), (4, 1));
    let nodes: Vec<&Value> = events.iter().filter(|e| e["cat"] == "Node").collect();
    assert_eq!(n * 5, nodes.len() * 4);
    assert!(error < Nanos(100_000), "{error}");
    let merged: Vec<&Operator> = (0..4).flat_map(|seq| operators.of(job(0, seq), 0)).collect();
    for (operator, node) in merged.iter().zip(&nodes[nodes.len() / 5..]) {
        let truth = BEGAN + node["ts"].as_u64().unwrap() * 1000;
        // Cut off to microseconds by the profile.
        assert!(operator.from.0.abs_diff(truth) <= error.0 + 1000, "{operator:?} at {truth}");
        assert_eq!(format!("{}_kernel_time", operator.name), node["name"].as_str().unwrap());
        assert_eq!(operator.op, node["args"]["op_name"].as_str().unwrap());
        assert_eq!((operator.provider.as_str(), operator.thread), ("CPUExecutionProvider", 0));
    }
}

/// Operators stand inside the segment of their job, in both formats.
#[test]
fn operators_are_inside_their_jobs() {
    let trace = executed(&WINDOWS[1..]);
    let (operators, aligned) = merge(&trace, RECORDED);
    let mut out = Vec::new();
    chrome(&trace, &operators, &mut out).unwrap();
    let export: Value = serde_json::from_slice(&out).unwrap();
    let events = export["traceEvents"].as_array().unwrap();
    let worker = events.iter().find(|e| e["name"] == "thread_name" && e["args"]["name"] == "worker").unwrap();
    let (mut open, mut inside) = (Vec::new(), 0);
    for event in events.iter().filter(|e| e["tid"] == worker["tid"] && e["pid"] == worker["pid"]) {
        match event["ph"].as_str().unwrap() {
            "B" => {
                if event["cat"] == "operator" {
                    assert_eq!(open.len(), 1, "{event}");
                    inside += 1;
                }
                open.push(event);
            }
            "E" => {
                let begin: &Value = open.pop().unwrap();
                assert!(begin["ts"].as_f64() <= event["ts"].as_f64());
            }
            _ => {}
        }
    }
    assert_eq!((inside, open.len()), (aligned.unwrap().operators, 0));
    let (mut with, mut without) = (Vec::new(), Vec::new());
    perfetto(&trace, &operators, &mut with).unwrap();
    perfetto(&trace, &Operators::default(), &mut without).unwrap();
    assert!(
        with.windows(4).filter(|w| w == b"LSTM").count()
            > without.windows(4).filter(|w| w == b"LSTM").count()
    );
}

/// Executions with runs somewhere inside them, by a clock that is shifted and cuts off: the shift that is found is never
/// further from the truth than it says.
#[test]
fn the_error_that_is_stated_covers_the_truth() {
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let began = rng.between(0, 50_000);
        let (mut windows, mut events, mut truths) = (Vec::new(), Vec::new(), Vec::new());
        let mut now = began + 10_000;
        for run in 0..rng.between(1, 6) {
            let from = now + rng.between(1, 200_000);
            let begin = from + rng.between(0, 5_000);
            let end = begin + rng.between(2_000, 60_000);
            let to = end + rng.between(0, 5_000);
            now = to;
            let node = begin + rng.between(0, 1_000);
            // As ONNX Runtime does it: beginning and length, each cut off.
            let event = |name: &str, cat: &str, from: u64, to: u64| json!({ "cat": cat, "name": name, "ts": (from - began) / 1000, "dur": (to - from) / 1000, "tid": 1 });
            events.push(event("Conv_kernel_time", "Node", node, end));
            events.push(event("model_run", "Session", begin, end));
            if run > 0 || rng.between(0, 1) == 0 {
                windows.push([from, to]);
                truths.push(node);
            }
        }
        if windows.is_empty() {
            continue;
        }
        let trace = executed(&windows);
        let (operators, aligned) = merge(&trace, &Value::from(events).to_string());
        let error = aligned.unwrap_or_else(|why| panic!("seed {seed}: {why}")).error;
        for (seq, truth) in (0..).zip(&truths) {
            let [operator] = operators.of(job(0, seq), 0) else { panic!("seed {seed}") };
            assert!(operator.from.0.abs_diff(*truth) <= error.0 + 1000, "seed {seed}: {operator:?}, {truth}");
        }
    }
}

#[test]
fn profiles_of_something_else() {
    let trace = executed(&WINDOWS[1..]);
    let run = |ts: u64, dur: u64| json!({ "cat": "Session", "name": "model_run", "ts": ts, "dur": dur });
    let of = |runs: &[Value]| Value::from(runs.to_vec()).to_string();
    let far = [run(0, 100), run(12_000, 100), run(20_000, 100), run(50_000, 100)];
    let long = [run(0, 900), run(12_000, 100), run(32_000, 100), run(47_700, 100)];
    for (profile, says) in [
        ("[".to_owned(), "not a profile of ONNX Runtime: EOF while parsing"),
        ("{}".to_owned(), "not a profile of ONNX Runtime: invalid type: map"),
        ("[{\"ph\":\"X\"}]".to_owned(), "missing field `cat`"),
        ("[]".to_owned(), "0 runs in the profile for 4 executions in the trace"),
        (of(&far[..3]), "3 runs in the profile for 4 executions"),
        (of(&far), "one of its last 4 runs is "),
        (of(&long), "outside of its execution"),
        (
            of(&[run(u64::MAX, u64::MAX), far[1].clone(), far[2].clone(), far[3].clone()]),
            "outside of its execution",
        ),
    ] {
        let (operators, aligned) = merge(&trace, &profile);
        let why = aligned.unwrap_err();
        assert!(why.contains(says), "{why}");
        assert_eq!(operators, Operators::default());
    }
    let mut operators = Operators::default();
    let none = operators.merge_ort(&trace, TaskId(1), RECORDED).unwrap_err();
    assert!(none.is_bad_input() && none.to_string().contains("no execution of this task"), "{none}");
}

/// Operators inside operators, and on other threads: a control flow node with its body, and two threads at once.
#[test]
fn nodes_in_nodes_and_beside_each_other() {
    let trace = executed(&[[100_000, 200_000]]);
    let node = |name: &str, ts: u64, dur: u64, tid: i64| json!({ "cat": "Node", "name": name, "ts": ts, "dur": dur, "tid": tid });
    let profile = Value::from(vec![
        json!({ "cat": "Session", "name": "model_run", "ts": 0, "dur": 99, "tid": 7 }),
        node("Loop_kernel_time", 10, 50, 7),
        node("body_kernel_time", 10, 20, 7),
        node("body_kernel_time", 30, 61, 7),
        node("aside", 20, 30, 8),
        node("aside", 40, 30, 8),
    ]);
    let (operators, aligned) = merge(&trace, &profile.to_string());
    assert_eq!(aligned.unwrap().operators, 5);
    let found: Vec<(&str, u32)> =
        operators.of(job(0, 0), 0).iter().map(|o| (o.name.as_str(), o.thread)).collect();
    assert_eq!(found, [("Loop", 0), ("body", 0), ("body", 0), ("aside", 1), ("aside", 1)]);
    let mut out = Vec::new();
    chrome(&trace, &operators, &mut out).unwrap();
    let export: Value = serde_json::from_slice(&out).unwrap();
    let drawn: Vec<(&str, f64)> = export["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .skip_while(|e| e["ph"] != "B" || e["cat"] != "operator")
        .filter(|e| ["B", "E"].contains(&e["ph"].as_str().unwrap()))
        .map(|e| (e["ph"].as_str().unwrap(), e["ts"].as_f64().unwrap()))
        .collect();
    assert_eq!(drawn.len(), 2 * 5 + 1, "{drawn:?}");
    let shape: String = drawn.iter().map(|(phase, _)| *phase).collect();
    // Loop with two bodies inside, the segment's end, then one after the other on the other thread, cut off.
    assert_eq!(shape, "BBEBEEEBBEE", "{drawn:?}");
    for thread in [&drawn[..7], &drawn[7..]] {
        assert!(thread.is_sorted_by_key(|(_, at)| *at), "{drawn:?}");
    }
}
