//! `aegis admit --table`: windows for starts as text, JSON and CSV, and every reason why there are none.
mod common;
#[path = "common/schema.rs"]
mod schema;
use common::Folder;
use schema::Schema;
use serde_json::{Value, json};

/// In ms: at 5 the lidar may begin, and whoever never idles begins it, so that the camera's job of 10 waits until 12. A
/// table lets it wait.
fn waits() -> Value {
    json!({ "policy": "np-edf", "tasks": [
        { "name": "camera", "c_ns": 2_000_000, "t_ns": 10_000_000, "d_ns": 3_000_000, "offset_ns": 0 },
        { "name": "lidar", "c_ns": 7_000_000, "t_ns": 20_000_000, "offset_ns": 5_000_000 } ] })
}

/// The table for these tasks, valid by its schema.
#[track_caller]
fn table(tasks: &Value, options: &str, code: i32) -> Value {
    let folder = Folder::with("tasks.json", tasks.to_string());
    let json = folder.json(&format!("admit --tasks tasks.json --table {options}"), code);
    assert_eq!(Schema::open("table.schema.json").errors(&json), Vec::<String>::new());
    assert_eq!(json["admitted"], code == 0);
    json
}

#[test]
fn a_table_runs_what_every_policy_misses_also_at_its_offsets() {
    let folder = Folder::with("tasks.json", waits().to_string());
    for policy in ["np-edf", "np-fp", "fifo"] {
        let answer = folder.json(&format!("admit --tasks tasks.json --policy {policy}"), 3);
        assert_eq!(answer["partitions"][0]["offsets"]["outcome"], "misses", "{policy}");
    }
    let answer = folder.aegis("admit --tasks tasks.json --table --table-csv table.csv");
    assert_eq!(answer.code, 0, "{answer:?}");
    let head = "TABLE for partition device: every job meets its deadline in a round of 20 ms, beginning 5 ms after the start, \
                repeated for ever";
    assert!(answer.stdout.starts_with(head), "{answer:?}");
    assert!(answer.stdout.contains("its output is there when its window and its longest execution are over"));
    assert!(answer.stdout.contains("`aegis run` starts them by a policy"), "{answer:?}");
    // The round begins at 5 ms: the lidar's job is there, and waits for the camera's, which comes at 10.
    let csv = "partition,task,job,segment,arrival_ns,start_ns,latest_start_ns,output_ns,deadline_ns\n\
               device,camera,1,0,5000000,5000000,5000000,7000000,8000000\n\
               device,lidar,0,0,0,7000000,8000000,15000000,20000000\n\
               device,camera,2,0,15000000,15000000,16000000,18000000,18000000\n";
    let written = std::fs::read_to_string(folder.path("table.csv")).unwrap();
    assert_eq!(written, csv);
    let json = table(&waits(), "", 0);
    let of = &json["tables"][0];
    assert_eq!((&of["hyperperiod_ns"], &of["refusal"]), (&json!(20_000_000), &Value::Null));
    let slots = of["slots"].as_array().unwrap();
    assert_eq!(slots.len(), 3);
    // Each line of the CSV is a slot of the JSON.
    for (line, slot) in written.lines().skip(1).zip(slots) {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!((fields[1], fields[5]), (slot["task"].as_str().unwrap(), &*slot["start_ns"].to_string()));
        assert_eq!(fields[7], slot["output_ns"].to_string());
    }
    // One at a time, whatever part of the windows is used, and in time.
    for pair in slots.windows(2) {
        let longest = if pair[0]["task"] == "camera" { 2_000_000 } else { 7_000_000 };
        assert!(
            pair[0]["latest_start_ns"].as_u64().unwrap() + longest <= pair[1]["start_ns"].as_u64().unwrap()
        );
    }
    for slot in slots {
        let time = |key: &str| slot[key].as_u64().unwrap();
        assert!(time("arrival_ns") <= time("start_ns") && time("start_ns") <= time("latest_start_ns"));
        assert!(time("output_ns") <= time("deadline_ns"), "{slot}");
    }
}

#[test]
fn logical_execution_time_puts_outputs_at_deadlines() {
    let json = table(&waits(), "--output-at deadline", 0);
    assert_eq!(json["output_at"], "deadline");
    for slot in json["tables"][0]["slots"].as_array().unwrap() {
        assert_eq!(slot["output_ns"], slot["deadline_ns"]);
    }
    let folder = Folder::with("tasks.json", waits().to_string());
    let text = folder.aegis("admit --tasks tasks.json --table --output-at let");
    assert!(text.code == 0 && text.stdout.contains("at its deadline, however early it ends"), "{text:?}");
    // What waits for an output waits for the deadline: with the host part there is no time left.
    let parts = json!({ "policy": "np-edf", "tasks": [{ "name": "a", "segments_ns": [2, 2], "t_ns": 10, "offset_ns": 0,
        "host": [{ "min_ns": 0, "max_ns": 3 }] }] });
    table(&parts, "", 0);
    assert_eq!(table(&parts, "--output-at deadline", 3)["tables"][0]["refusal"]["code"], "overload");
}

#[test]
fn a_refusal_says_why() {
    let tight = |d: u64| {
        let mut tasks = waits();
        tasks["tasks"][1]["d_ns"] = json!(d);
        tasks
    };
    let mut unknown = waits();
    unknown["tasks"][1].as_object_mut().unwrap().remove("offset_ns");
    // The camera's job of 10 is served from 10 to 12, then the lidar's of 5 until 19, which is 14 after its arrival.
    for (tasks, code, says) in [
        (tight(14_000_000), None, ""),
        (tight(13_999_999), Some("infeasible"), "no table exists: every order of the jobs misses a deadline"),
        (tight(6_999_999), Some("overload"), "even with preemption; no table exists"),
        (unknown, Some("not_periodic"), "task `lidar` states no offset"),
    ] {
        let json = table(&tasks, "", if code.is_some() { 3 } else { 0 });
        let refusal = &json["tables"][0]["refusal"];
        assert_eq!(refusal["code"].as_str(), code, "{refusal}");
        let Some(message) = refusal["message"].as_str() else { continue };
        assert!(message.contains(says), "{message}");
        let folder = Folder::with("tasks.json", tasks.to_string());
        let text = folder.aegis("admit --tasks tasks.json --table");
        assert!(text.code == 3 && text.stdout.starts_with("NO TABLE for partition device: "), "{text:?}");
        assert!(text.stdout.contains(says) && !text.stdout.contains("aegis run"), "{text:?}");
    }
}

#[test]
fn high_wcets_and_partitions() {
    let mut tasks = waits();
    tasks["partitions"] = json!([{ "name": "left, front" }, { "name": "right" }]);
    tasks["tasks"][0]["partition"] = json!("right");
    tasks["tasks"][1]["partition"] = json!("left, front");
    let folder = Folder::with("tasks.json", tasks.to_string());
    let both = folder.json("admit --tasks tasks.json --table --table-csv out.csv", 0);
    assert_eq!(both["tables"].as_array().unwrap().len(), 2);
    assert!(std::fs::read_to_string(folder.path("out.csv")).unwrap().contains("\"left, front\",lidar,"));
    assert_eq!(table(&tasks, "--partition right", 0)["tables"][0]["partition"], "right");
    let none = folder.aegis("admit --tasks tasks.json --table --partition middle");
    assert!(none.code == 2 && none.stderr.contains("there are left, front, right"), "{none:?}");

    let mut high = waits();
    high["tasks"][1] = json!({ "name": "lidar", "t_ns": 20_000_000, "offset_ns": 5_000_000,
        "segments": [{ "wcet_ns": 7_000_000, "wcet_hi_ns": 9_000_001 }] });
    table(&high, "", 3);
    high["tasks"][1]["segments"][0]["wcet_hi_ns"] = json!(8_000_000);
    table(&high, "", 0);
}

/// A job of 7 that may begin at 5, and one of 2 that comes at 10 and has to be done by 13.
#[test]
fn a_job_set_too() {
    let jobs = "1,1,5,5,7,7,30,0\n2,1,10,10,2,2,13,1\n";
    let folder = Folder::with("jobs.csv", jobs);
    folder.json("admit --jobs jobs.csv", 3);
    let json = folder.json("admit --jobs jobs.csv --table --table-csv table.csv", 0);
    assert_eq!(Schema::open("table.schema.json").errors(&json), Vec::<String>::new());
    assert!(json["tables"][0]["partition"].is_null());
    let csv = "partition,task,job,segment,arrival_ns,start_ns,latest_start_ns,output_ns,deadline_ns\n\
               ,2,1,0,10,10,10,12,13\n,1,1,0,5,12,23,30,30\n";
    assert_eq!(std::fs::read_to_string(folder.path("table.csv")).unwrap(), csv);
    let text = folder.aegis("admit --jobs jobs.csv --table");
    assert!(text.stdout.starts_with("TABLE: every job meets its deadline (2 placements)"), "{text:?}");
    assert!(text.stdout.contains("T1J1") && text.stdout.contains("released (ns)"), "{text:?}");
    folder.write("edges.csv", "1,1,2,1\n");
    let none = folder.json("admit --jobs jobs.csv --prec edges.csv --table", 3);
    assert_eq!(none["tables"][0]["refusal"]["code"], "overload");
}

#[test]
fn a_system_file_without_offsets_starts_all_of_its_tasks_at_once() {
    let system = "[[task]]\nname = \"a\"\nsim = { time = { law = \"constant\", value = \"1 ms\" } }\nperiod = \"4 ms\"\nwcet = \"1 ms\"\n";
    let folder = Folder::with("system.toml", system);
    let json = folder.json("admit system.toml --table", 0);
    assert_eq!(json["tables"][0]["slots"][0]["latest_start_ns"], 3_000_000);
    folder.write("system.toml", system.replace("period", "min_inter_arrival"));
    let json = folder.json("admit system.toml --table", 3);
    assert_eq!(json["tables"][0]["refusal"]["code"], "not_periodic");
}

#[test]
fn arguments() {
    let folder = Folder::with("tasks.json", waits().to_string());
    for options in [
        "--table --margins",
        "--table --certificate c.json",
        "--table --svg-demand d.svg",
        "--table --svg-schedule s.svg",
        "--output-at end",
        "--table-csv t.csv",
        "--table --output-at start",
    ] {
        assert_eq!(folder.aegis(&format!("admit --tasks tasks.json {options}")).code, 2, "{options}");
    }
}
