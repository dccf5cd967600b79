//! Every published and precomputed set of `tests/data` that this model can express comes out as published; every other one
//! is listed with the reason, so that a new set fails here until someone has looked at it.
mod common;

use aegis_analysis::{admit, edf};
use aegis_core::Policy;
use common::{Row, bounds, set};
use serde_json::Value;

const PREEMPTIVE: &str = "the resource is preemptive; this model chooses at the ends of segments only";
const FLOATING: &str = "the places of the non-preemptive parts are not known; segments here are";
const JOBS: &str = "a list of jobs with known releases; this model is sporadic";

/// Sets that this model does not express.
const NOT_EXPRESSED: &[(&str, &str)] = &[
    ("rta-fnps-fp-1", FLOATING),
    ("rta-fnps-edf-1", FLOATING),
    ("rta-fp-basic", PREEMPTIVE),
    ("lehoczky90-ex2", PREEMPTIVE),
    ("lehoczky90-ex3", PREEMPTIVE),
    ("audsley93-table3", PREEMPTIVE),
    ("pyrta-quickstart", PREEMPTIVE),
    ("schedcat-susp-trap", PREEMPTIVE),
    ("schedcat-qpa", PREEMPTIVE),
    ("schedcat-qpa-unsched1", PREEMPTIVE),
    ("schedcat-gy-ts1", PREEMPTIVE),
    ("schedcat-gy-ts4", PREEMPTIVE),
    ("sag-fig1a", JOBS),
    ("sag-fig1c", JOBS),
    ("sag-fig1c-fp", JOBS),
    ("sag-cw-fig2", JOBS),
    ("sag-prm-fig1", JOBS),
    ("sag-prm-fig2", JOBS),
    ("sag-skipped-job", JOBS),
];

fn sets(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    match file["sets"].take() {
        Value::Array(sets) => sets,
        other => panic!("{other}"),
    }
}

fn time(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a time"))
}

/// Segments with this sum, longest and last.
fn segments(c: u64, longest: u64, last: u64) -> Vec<u64> {
    let mut segments = vec![last];
    let mut left = c - last;
    while left > 0 {
        let next = left.min(longest);
        segments.insert(0, next);
        left -= next;
    }
    assert_eq!((segments.iter().sum::<u64>(), segments.iter().max()), (c, Some(&longest)));
    segments
}

fn rows(tasks: &Value) -> Vec<Row> {
    let row = |task: &Value| {
        let c = time(&task["C"]);
        let or = |key: &str, default: u64| task.get(key).map_or(default, time);
        let (longest, last) = (or("qmax", c), or("qlast", c));
        Row {
            segments: segments(c, longest, last),
            t: time(&task["T"]),
            d: or("D", time(&task["T"])),
            j: or("J", 0),
            priority: task.get("P").map(|priority| u32::try_from(time(priority)).unwrap()),
        }
    };
    tasks.as_array().unwrap().iter().map(row).collect()
}

/// One number stands for every task.
fn expected(value: &Value, tasks: usize) -> Vec<Option<u64>> {
    match value {
        Value::Array(all) => all.iter().map(Value::as_u64).collect(),
        one => vec![one.as_u64(); tasks],
    }
}

/// Compares one set and says how many of its answers were compared.
fn compare(case: &Value, policy: Policy) -> usize {
    let id = case["id"].as_str().unwrap();
    let set = set(policy, &rows(&case["tasks"]));
    let expect = &case["expected"];
    let bounds = bounds(&set);
    let mut compared = 0;
    let keys = [expect.get("R"), case.get("R"), case.get("oracle_py"), case.get("computed_exact_ticks")];
    for value in keys.into_iter().flatten() {
        assert_eq!(bounds, expected(value, set.tasks().len()), "{id}");
        compared += 1;
    }
    let keys = [expect.get("sched"), expect.get("sched_without_batching"), case.get("sched")];
    for sched in keys.into_iter().flatten().map(|value| value.as_bool().unwrap()) {
        assert_eq!(admit(&set).admitted(), sched, "{id}");
        if policy == Policy::Edf {
            assert_eq!(edf::demand_test(&set).is_ok(), sched, "{id}");
        }
        compared += 1;
    }
    compared
}

#[test]
fn task_sets() {
    let mut not_expressed: Vec<&str> = NOT_EXPRESSED.iter().map(|(id, _)| *id).collect();
    let mut reproduced = 0;
    for case in sets("tasksets.json") {
        let id = case["id"].as_str().unwrap();
        let policy = match case["policy"].as_str().unwrap() {
            "np-fp" | "lp-fp" | "np-fp (CAN)" => Policy::FixedPriority,
            "np-edf" | "lp-edf" => Policy::Edf,
            "np-fifo" => Policy::Fifo,
            other => {
                let listed = not_expressed.iter().position(|listed| *listed == id);
                not_expressed
                    .remove(listed.unwrap_or_else(|| panic!("`{id}` ({other}) is neither used nor listed")));
                continue;
            }
        };
        assert_ne!(compare(&case, policy), 0, "{id}: nothing to compare");
        reproduced += 1;
    }
    assert_eq!(not_expressed, Vec::<&str>::new(), "listed but not in the file, or expressible now");
    assert_eq!(reproduced, 15);
}

/// Only sporadic tasks: the others arrive by a curve. Their bounds count from release, which is arrival without jitter.
#[test]
fn poet_cases() {
    let (mut sporadic, mut curves) = (Vec::new(), 0);
    for case in sets("poet_np_cases.json") {
        let policy = match case["policy"].as_str().unwrap() {
            "np-fp" => Policy::FixedPriority,
            "np-edf" => Policy::Edf,
            other => panic!("unknown policy `{other}`"),
        };
        if case["tasks"].as_array().unwrap().iter().any(|task| task.get("ac").is_some()) {
            curves += 1;
            continue;
        }
        assert_eq!(compare(&case, policy), 2, "{case}");
        sporadic.push(case["id"].as_str().unwrap().to_string());
    }
    assert_eq!(sporadic, ["NP-EDF-007.yaml", "NP-EDF-032.yaml", "NP-FP-032.yaml", "NP-FP-036.yaml"]);
    assert_eq!(curves, 116);
}
