//! Every published and precomputed set of `tests/data` that is scheduled without preemption comes out as published, each
//! a test of its name; a new one fails here until it has a name.
mod common;

use aegis_analysis::{admit, edf};
use aegis_core::Policy;
use common::{Row, bounds, set};
use serde_json::Value;

/// What the sets of the other kinds are about; they are no task sets of this model.
const OTHER_POLICIES: [&str; 6] = [
    "preemptive",
    "preemptive-fp",
    "preemptive-fp-with-blocking",
    "preemptive-fp-suspension",
    "preemptive-edf",
    "jobset",
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
        // Floating regions may end one tick before the job does: its last segment is that tick.
        let floating = task.get("nps").is_some();
        let longest = if floating { or("nps", c) } else { or("qmax", c) };
        let last = if floating { 1 } else { or("qlast", c) };
        let curve = task.get("ac").map(|curve| {
            let steps = curve[1].as_array().unwrap().iter();
            (time(&curve[0]), steps.map(|step| (time(&step[0]), time(&step[1]))).collect())
        });
        let t = or("T", 0);
        Row {
            segments: segments(c, longest, last),
            t,
            d: or("D", t),
            j: or("J", 0),
            priority: task.get("P").map(|priority| u32::try_from(time(priority)).unwrap()),
            curve,
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

fn policy(case: &Value) -> Option<Policy> {
    match case["policy"].as_str().unwrap() {
        "np-fp" | "lp-fp" | "floating-np-fp" | "np-fp (CAN)" => Some(Policy::FixedPriority),
        "np-edf" | "lp-edf" | "floating-np-edf" => Some(Policy::Edf),
        "np-fifo" => Some(Policy::Fifo),
        other => {
            let known = OTHER_POLICIES.iter().any(|policy| other == *policy || other.starts_with("jobset-"));
            assert!(known, "unknown policy `{other}`");
            None
        }
    }
}

/// One test a set, and one that says that none is missing.
macro_rules! published {
    ($($test:ident $id:literal)*) => {
        $(#[test]
        fn $test() {
            let sets = sets("tasksets.json");
            let case = sets.iter().find(|case| case["id"] == $id).expect("the file has the set");
            assert_ne!(compare(case, policy(case).expect("without preemption")), 0, "nothing to compare");
        })*

        #[test]
        fn every_set_has_a_test() {
            let sets = sets("tasksets.json");
            let ids = sets.iter().filter(|case| policy(case).is_some());
            let ids: Vec<&str> = ids.map(|case| case["id"].as_str().unwrap()).collect();
            assert_eq!(ids, [$($id),*]);
        }
    };
}

published! {
    crate_fp_np_rta_1 "rta-fp_np_rta_1"
    crate_fp_np_rta_overload "rta-fp_np_rta_overload"
    crate_edf_np_same_deadlines "rta-edf-np-same"
    crate_edf_np_different_deadlines "rta-edf-np-diff"
    crate_edf_np_improved_bound "rta-edf-np-improved"
    crate_fifo_ex1 "rta-fifo-ex1"
    crate_fifo_ex2_overload "rta-fifo-ex2"
    crate_lp_fp_1 "rta-lp-fp-1"
    crate_lp_fp_overload "rta-lp-fp-overload"
    crate_lp_edf_1 "rta-lp-edf-1"
    crate_floating_fp_1 "rta-fnps-fp-1"
    crate_floating_edf_1 "rta-fnps-edf-1"
    broster2002_can_12_messages "broster02-can12"
    davis2007_can_3_messages "davis07-can-3msg"
    lee2020_symmetry_example1 "symmetry20-lcedf-ex1"
    edgesched_batching_trap "edgesched-batch-trap"
    single_instance_trap "trap-single-instance"
}

/// Sporadic tasks and tasks with arrival curves. Their bounds count from release, which is arrival without jitter.
#[test]
fn poet_cases() {
    let sets = sets("poet_np_cases.json");
    let curves = sets
        .iter()
        .filter(|case| case["tasks"].as_array().unwrap().iter().any(|task| task.get("ac").is_some()));
    assert_eq!((sets.len(), curves.count()), (120, 116));
    for case in &sets {
        assert_eq!(compare(case, policy(case).unwrap()), 2, "{case}");
    }
}
