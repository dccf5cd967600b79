//! Task sets in the shape of POET's YAML files: the same bounds as from elsewhere, and every mistake refused with its place.
mod common;
use common::{Folder, refuses};
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

/// POET's cases with bounds that three other implementations computed.
fn cases() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../aegis-analysis/tests/data/poet_np_cases.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    file["sets"].as_array().unwrap().clone()
}

/// A case as POET writes it; every other one with lists in brackets, as in its README.
fn yaml(case: &Value, flow: bool) -> String {
    let fixed = case["policy"] == "np-fp";
    let mut text =
        format!("scheduling policy: {}\npreemption model: NP\ntask set:\n", if fixed { "FP" } else { "EDF" });
    for (i, task) in case["tasks"].as_array().unwrap().iter().enumerate() {
        let _ = write!(text, "- id: {}\n  worst-case execution time: {}\n", i + 1, task["C"]);
        if let Some(curve) = task["ac"].as_array() {
            if flow {
                let _ = writeln!(text, "  arrival curve: {}", task["ac"]);
            } else {
                let _ = write!(text, "  arrival curve:\n  - {}\n", curve[0]);
                for (k, step) in curve[1].as_array().unwrap().iter().enumerate() {
                    let lead = if k == 0 { "  - - - " } else { "    - - " };
                    let _ = write!(text, "{lead}{}\n      - {}\n", step[0], step[1]);
                }
            }
        } else {
            let key = if i % 2 == 0 { "period" } else { "min interarrival" };
            let _ = writeln!(text, "  {key}: {}", task["T"]);
        }
        let _ = writeln!(text, "  deadline: {}", task["D"]);
        if fixed {
            // There the larger number is the more urgent.
            let _ = writeln!(text, "  priority: {}", 1_000 - task["P"].as_i64().unwrap());
        }
    }
    text
}

#[test]
fn poet_s_cases_have_the_bounds_of_three_other_implementations() {
    let folder = Folder::new();
    let mut compared = 0;
    for (i, case) in cases().iter().enumerate() {
        folder.write("case.yaml", yaml(case, i % 2 == 0));
        let system = aegisrt::tasks_file::read(&folder.path("case.yaml"), None).unwrap();
        let set = system.partition_set(aegisrt::core::PartitionId(0)).unwrap().unwrap();
        assert_eq!(set.policy().name(), case["policy"], "{case}");
        let verdict = aegis_analysis::admit(&set);
        let bounds: Vec<Value> =
            verdict.tasks.iter().map(|task| task.bound.as_ref().map(|b| b.wcrt.0).into()).collect();
        assert_eq!(verdict.admitted(), case["sched"] == true, "{}", case["id"]);
        assert_eq!(&Value::Array(bounds), &case["R"], "{}", case["id"]);
        compared += verdict.tasks.len();
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn the_command_answers_with_poet_s_names() {
    let case = &cases()[0];
    for name in ["case.yaml", "case.YML"] {
        let folder = Folder::with(name, yaml(case, false));
        let value = folder.json(&format!("admit --tasks {name}"), 3);
        let task = &value["tasks"][0];
        assert_eq!((&task["name"], &task["wcrt_ns"]), (&"tsk01".into(), &case["R"][0]), "{task}");
        assert_eq!(folder.aegis(&format!("simulate --tasks {name} --duration 1us")).code, 3);
    }
}

fn check(content: &str, says: &[&str]) {
    refuses("admit --tasks tasks.yaml", "tasks.yaml", content, says);
}

/// A set with this task as its second.
fn task(lines: &str, says: &[&str]) {
    check(
        &format!(
            "scheduling policy: FP\npreemption model: NP\ntask set:\n- {{id: 1, worst-case execution time: 1, period: 9, deadline: 9, priority: 3}}\n{lines}\n"
        ),
        says,
    );
}

#[test]
fn what_is_not_this_shape() {
    check("§", &["the file is empty"]);
    check("§# nothing\n", &["the file is empty"]);
    check("§5", &["expected the file as `key: value` lines, found `5`"]);
    check("§- 1\n", &["expected the file as `key: value` lines, found a list"]);
    check("§scheduling policy: FP\n", &["`preemption model` is missing; add it"]);
    check(
        "scheduling policy: FP\npreemption model: NP\n§tasks: []\n",
        &["unknown key `tasks`; known here: `scheduling policy`, `preemption model`, `task set`"],
    );
    check(
        "scheduling policy: §RM\npreemption model: NP\ntask set: []\n",
        &["`RM` is not known here; write one of: `FP`", "`EDF`"],
    );
    for preemptive in ["FP", "fully-preemptive"] {
        check(
            &format!("scheduling policy: FP\npreemption model: §{preemptive}\ntask set: []\n"),
            &["this task set is preemptive; jobs on a device are not: bounds hold for `NP` only"],
        );
    }
    check(
        "scheduling policy: FP\npreemption model: §LP\ntask set: []\n",
        &["`LP` is not known here; write one of: `NP`, `non-preemptive`"],
    );
    check("§scheduling policy: FP\npreemption model: NP\ntask set: []\n", &["the task set is empty"]);
    check("scheduling policy: FP\npreemption model: NP\ntask set: §7\n", &["expected a list, found `7`"]);
    check(
        "scheduling policy: FP\n§scheduling policy: FP\n",
        &["`scheduling policy` is stated twice; keep one"],
    );
    check("scheduling policy: [FP\n§", &["this is not YAML"]);
    check("scheduling policy: §&a FP\n", &["anchors, aliases and tags are not read"]);
    check("scheduling policy: §!!str FP\n", &["anchors, aliases and tags are not read"]);
    check("scheduling policy: FP\n§---\nscheduling policy: FP\n", &["second document"]);
}

#[test]
fn mistakes_in_a_task() {
    const FINE: &str = "worst-case execution time: 1, deadline: 9, priority: 1";
    task("- §5", &["expected a task as `key: value` lines, found `5`"]);
    task(&format!("- §{{{FINE}, period: 9}}"), &["`id` is missing; add it"]);
    task(&format!("- {{id: §two, {FINE}, period: 9}}"), &["expected a whole number, found `two`"]);
    task(&format!("- {{id: §\"2\", {FINE}, period: 9}}"), &["expected a whole number, found `2`"]);
    task(&format!("- §{{id: 1, {FINE}, period: 9}}"), &["task `tsk01`: two tasks have this name"]);
    task(
        &format!("- {{id: 2, {FINE}, period: 9, §offset: 3}}"),
        &["unknown key `offset`; known here: `id`, "],
    );
    for arrival in ["", ", period: 9, min interarrival: 9", ", period: 9, arrival curve: [9, [[1, 1]]]"] {
        let what = if arrival.is_empty() { "none" } else { "more than one" };
        let says = format!(
            "task `tsk02` states {what} of `period`, `min interarrival` and `arrival curve`; state one"
        );
        task(&format!("- §{{id: 2, {FINE}{arrival}}}"), &[&says]);
    }
    for (curve, says) in [
        ("§[9, []]", "needs at least one step"),
        ("§[9]", "expected [horizon, list of steps], found a list of 1 values"),
        ("[9, [§[1]]]", "expected [window, jobs], found a list of 1 values"),
        ("[9, §3]", "expected a list, found `3`"),
        ("[9, [[1, §-1]]]", "expected a whole number, found `-1`"),
        ("[§{a: 1}, [[1, 1]]]", "expected a whole number, found `key: value` lines"),
        ("§[9, [[1, 1], [3, 1]]]", "step 1 does not grow"),
    ] {
        task(&format!("- {{id: 2, {FINE}, arrival curve: {curve}}}"), &[says]);
    }
    task("- §{id: 2, worst-case execution time: 0, deadline: 9, priority: 1, period: 9}", &["WCET is 0"]);
    task("- {id: 2, worst-case execution time§: , deadline: 9}", &["expected a whole number, found nothing"]);
    task(
        "- §{id: 2, worst-case execution time: 1, deadline: 9, period: 9}",
        &["task `tsk02` states no `priority`, which FP needs; add it"],
    );
    task("- {id: 2, priority: §1.5, worst-case execution time: 1, deadline: 9, period: 9}", &["found `1.5`"]);
}

/// Nesting without end ends early, and a place behind other letters is still the right one.
#[test]
fn hostile_text() {
    let folder = Folder::new();
    for (deep, says) in [("[", "recursion limit exceeded"), ("- ", "nested more than 16 levels deep")] {
        folder.write("deep.yaml", deep.repeat(50_000));
        let answer = folder.aegis("admit --tasks deep.yaml");
        assert_eq!(answer.code, 2, "{answer:?}");
        assert!(answer.stderr.contains(says) && answer.stderr.len() < 500, "{answer:?}");
    }
    check("# äöü ✓\nscheduling policy: §µ\n", &["`µ` is not known here"]);
    let sound = yaml(&cases()[1], false);
    for seed in 0..60 {
        folder.write("mangled.yaml", common::mangled(sound.as_bytes(), seed));
        let answer = folder.aegis("admit --tasks mangled.yaml");
        assert!([0, 2, 3].contains(&answer.code), "seed {seed}: {answer:?}");
    }
}
