//! The schemas in `schema/` say what the parser accepts and what answers look like; and they say it about every field.
mod common;
#[path = "common/schema.rs"]
mod schema;
use common::{Folder, examples, run};
use schema::Schema;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Every field that there is.
fn everything() -> Value {
    json!({
        "$schema": "tasks.schema.json",
        "schema_version": 1,
        "policy": "np-edf",
        "overheads": {
            "release_ns": 1, "dispatch_ns": 2, "launch_ns": 3, "copy_ns": 4, "completion_ns": 5,
            "recovery": { "length_ns": 1, "gap_ns": 1_000_000 },
            "clock_change": { "length_ns": 1, "gap_ns": 1_000_000 },
            "reload": { "length_ns": 1, "gap_ns": 1_000_000 }
        },
        "partitions": [
            { "name": "left", "policy": "np-fp", "overheads": { "copy_ns": 9 }, "interference_permille": 1150 },
            { "name": "right" }
        ],
        "tasks": [
            { "name": "camera", "c_ns": 100, "t_ns": 10_000, "d_ns": 9_000, "j_ns": 10, "offset_ns": 5,
              "priority": 1, "partition": "left", "criticality": "low" },
            { "name": "lidar", "segments_ns": [100, 200], "host": [{ "min_ns": 1, "max_ns": 2 }],
              "arrival": { "horizon_ns": 10_000, "steps": [[1, 1], [100, 2]] }, "partition": "right" },
            { "name": "planner", "segments": [{ "wcet_ns": 10, "bcet_ns": 5, "wcet_hi_ns": 20 }], "t_ns": 20_000,
              "priority": 2, "partition": "left" }
        ],
        "chains": [
            { "name": "drive", "tasks": ["camera", "planner"], "trigger": "event", "deadline_ns": 50_000 },
            { "name": "see", "edges": [["lidar", "planner"], ["camera", "planner"]], "trigger": "time" }
        ]
    })
}

/// Whether the parser takes it, whatever the verdict.
fn parsed(value: &Value) -> Result<(), String> {
    let folder = Folder::with("tasks.json", value.to_string());
    aegisrt::tasks_file::read(&folder.path("tasks.json"), None).map(|_| ()).map_err(|error| error.to_string())
}

/// `value` with the field at `pointer` set, or removed if `to` is null.
fn with(value: &Value, pointer: &str, to: Value) -> Value {
    let mut changed = value.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match changed.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
        Value::Object(fields) if to.is_null() => drop(fields.remove(key)),
        Value::Object(fields) => drop(fields.insert(key.to_owned(), to)),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = to,
        other => panic!("{other}"),
    }
    changed
}

#[test]
fn what_the_schema_accepts_the_parser_reads() {
    let schema = Schema::open("tasks.schema.json");
    let everything = everything();
    let mvp: Value = serde_json::from_slice(&std::fs::read(examples().join("mvp.json")).unwrap()).unwrap();
    let fine = [
        everything.clone(),
        mvp,
        with(&everything, "/policy", json!("fifo")),
        with(&everything, "/overheads", json!({})),
        with(&everything, "/tasks/0/criticality", json!("high")),
        with(&everything, "/tasks/1/host", Value::Null),
        with(&everything, "/chains", json!([])),
        with(&everything, "/chains/0/trigger", json!("time")),
        with(&everything, "/tasks/2/segments/0", json!({ "wcet_ns": 3 })),
    ];
    for value in fine {
        assert_eq!(schema.errors(&value), Vec::<String>::new());
        assert_eq!(parsed(&value), Ok(()), "{value}");
    }
}

#[test]
fn what_the_schema_refuses_the_parser_refuses() {
    let schema = Schema::open("tasks.schema.json");
    let everything = everything();
    for (pointer, to) in [
        ("/tasks", Value::Null),
        ("/tasks", json!([])),
        ("/tasks", json!(5)),
        ("/speed", json!(5)),
        ("/policy", json!("round-robin")),
        ("/schema_version", json!(-1)),
        ("/overheads/start_ns", json!(1)),
        ("/overheads/copy_ns", json!(-1)),
        ("/overheads/recovery/gap_ns", Value::Null),
        ("/overheads/recovery/often", json!(1)),
        ("/partitions", json!([])),
        ("/partitions/0/name", Value::Null),
        ("/partitions/0/name", json!("")),
        ("/partitions/0/interference_permille", json!(999)),
        ("/partitions/0/interference_permille", json!(1.5)),
        ("/partitions/0/speed", json!(1)),
        ("/tasks/0/name", Value::Null),
        ("/tasks/0/name", json!("")),
        ("/tasks/0/c_ns", Value::Null),
        ("/tasks/0/c_ns", json!(0)),
        ("/tasks/0/c_ns", json!("1 ms")),
        ("/tasks/0/c_ns", json!(4_611_686_018_427_387_905_u64)),
        ("/tasks/0/segments_ns", json!([1])),
        ("/tasks/0/t_ns", Value::Null),
        ("/tasks/0/t_ns", json!(0)),
        ("/tasks/0/d_ns", json!(0)),
        ("/tasks/0/arrival", json!({ "horizon_ns": 9, "steps": [[1, 1]] })),
        ("/tasks/0/speed", json!(1)),
        ("/tasks/0/criticality", json!("medium")),
        ("/tasks/0/priority", json!(-1)),
        ("/tasks/1/segments_ns", json!([])),
        ("/tasks/1/segments_ns", json!([1, 0])),
        ("/tasks/1/host/0/max_ns", Value::Null),
        ("/tasks/1/host/0/mean_ns", json!(1)),
        ("/tasks/1/arrival/steps", json!([])),
        ("/tasks/1/arrival/steps", json!([[1]])),
        ("/tasks/1/arrival/steps", json!([[1, 2, 3]])),
        ("/tasks/1/arrival/steps", json!([[0, 1]])),
        ("/tasks/1/arrival/steps", json!([[1, 0]])),
        ("/tasks/1/arrival/horizon_ns", Value::Null),
        ("/tasks/1/arrival/burst", json!(1)),
        ("/tasks/2/segments", json!([])),
        ("/tasks/2/segments/0/wcet_ns", Value::Null),
        ("/tasks/2/segments/0/acet_ns", json!(1)),
        ("/chains/0/name", Value::Null),
        ("/chains/0/name", json!("")),
        ("/chains/0/tasks", Value::Null),
        ("/chains/0/tasks", json!(["camera"])),
        ("/chains/0/edges", json!([["camera", "planner"]])),
        ("/chains/0/trigger", json!("clock")),
        ("/chains/0/speed", json!(1)),
        ("/chains/1/edges", json!([])),
        ("/chains/1/edges", json!([["camera"]])),
    ] {
        let wrong = with(&everything, pointer, to);
        assert!(!schema.errors(&wrong).is_empty(), "the schema accepts {pointer}: {wrong}");
        assert!(parsed(&wrong).is_err(), "the parser accepts {pointer}: {wrong}");
    }
}

/// What the parser says that it knows is what the schema documents, for every object of the file.
#[test]
fn every_field_is_documented() {
    let schema = Schema::open("tasks.schema.json");
    let everything = everything();
    for (object, definition) in [
        ("", ""),
        ("/overheads", "/$defs/overheads"),
        ("/overheads/recovery", "/$defs/stall"),
        ("/partitions/0", "/$defs/partition"),
        ("/partitions/0/overheads", "/$defs/overheads"),
        ("/tasks/0", "/$defs/task"),
        ("/tasks/1/host/0", "/$defs/host_part"),
        ("/tasks/1/arrival", "/$defs/arrival"),
        ("/tasks/2/segments/0", "/$defs/segment"),
        ("/chains/0", "/$defs/chain"),
    ] {
        let message = parsed(&with(&everything, &format!("{object}/no_such_field"), json!(1))).unwrap_err();
        let (_, known) = message.split_once("known here: ").unwrap_or_else(|| panic!("{message}"));
        let known: BTreeSet<&str> = known.split(", ").map(|name| name.trim_matches('`')).collect();
        let documented = schema.0.pointer(&format!("{definition}/properties")).unwrap().as_object().unwrap();
        assert_eq!(known, documented.keys().map(String::as_str).collect(), "{object}");
        for (name, field) in documented {
            assert!(field["description"].is_string(), "{definition}/{name} has no description");
        }
        // The example above shows them all.
        let shown = documented.keys().filter(|name| {
            let has =
                |at: &str| everything.pointer(at).is_some_and(|object| object.get(name.as_str()).is_some());
            let kin = object.rsplit_once('/').map_or("", |(kin, _)| kin);
            has(object) || (0..3).any(|i| has(&format!("{kin}/{i}")))
        });
        let hidden = documented.len() - shown.count();
        assert!(
            hidden == 0 || object == "/partitions/0/overheads",
            "{object}: {hidden} fields are not shown"
        );
    }
}

/// Answers of all kinds have the documented shape.
#[test]
fn answers_have_the_documented_shape() {
    let schema = Schema::open("verdict.schema.json");
    let overload = json!({ "policy": "np-edf", "tasks": [
        { "name": "a", "c_ns": 60, "t_ns": 100 }, { "name": "b", "c_ns": 50, "t_ns": 100 } ] });
    let modes = json!({ "policy": "np-fp", "tasks": [
        { "name": "hi", "segments": [{ "wcet_ns": 5, "wcet_hi_ns": 9 }], "t_ns": 100 },
        { "name": "lo", "c_ns": 8, "t_ns": 90, "criticality": "low" } ] });
    let events = with(&everything(), "/chains/1/trigger", json!("event"));
    for value in [overload, everything(), modes, events] {
        let folder = Folder::with("tasks.json", value.to_string());
        for policy in ["np-edf", "np-fp", "fifo"] {
            let answer =
                folder.aegis(&format!("--format json admit --tasks tasks.json --margins --policy {policy}"));
            assert_eq!(schema.errors(&answer.json()), Vec::<String>::new());
        }
    }
    for system in ["mvp.toml", "mvp-admitted.toml"] {
        let answer = run(&examples(), &["--format", "json", "admit", system]);
        assert_eq!(schema.errors(&answer.json()), Vec::<String>::new());
    }
}
