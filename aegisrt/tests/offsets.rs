//! `aegis admit` at stated offsets: who decides, what the answer rests on, and what is said where offsets do not help.
mod common;
#[path = "common/schema.rs"]
mod schema;
use common::Folder;
use schema::Schema;
use serde_json::{Value, json};

/// Camera and lidar, in ms: any offsets reject (the lidar's 7 may begin just before the camera), those here fit.
fn apart() -> Value {
    json!({ "policy": "np-edf", "tasks": [
        { "name": "camera", "c_ns": 2_000_000, "t_ns": 10_000_000, "d_ns": 3_000_000, "offset_ns": 0 },
        { "name": "lidar", "c_ns": 7_000_000, "t_ns": 20_000_000, "offset_ns": 3_000_000 } ] })
}

/// The answer for these tasks, valid by its schema.
#[track_caller]
fn admit(tasks: &Value, policy: &str, code: i32) -> (Value, String) {
    let folder = Folder::with("tasks.json", tasks.to_string());
    let json = folder.json(&format!("admit --tasks tasks.json --policy {policy}"), code);
    assert_eq!(Schema::open("verdict.schema.json").errors(&json), Vec::<String>::new());
    let text = folder.aegis(&format!("admit --tasks tasks.json --policy {policy}"));
    assert_eq!(text.code, code, "{text:?}");
    (json, text.stdout)
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

#[test]
fn offsets_admit_what_arrivals_at_any_time_cannot_under_every_policy() {
    for policy in ["np-edf", "np-fp", "fifo"] {
        let (json, text) = admit(&apart(), policy, 0);
        let partition = &json["partitions"][0];
        assert_eq!((&partition["theorem"], &partition["decided_by"]), (&json!("offsets"), &Value::Null));
        assert_eq!(
            (&partition["admitted"], &partition["offsets"]["outcome"]),
            (&json!(true), &json!("meets"))
        );
        assert_eq!((&partition["offsets"]["exact"], &json["reasons"]), (&json!(true), &json!([])));
        let tasks = json["tasks"].as_array().unwrap();
        let wcrts: Vec<u64> = tasks.iter().map(|task| task["wcrt_ns"].as_u64().unwrap()).collect();
        assert_eq!(wcrts, [2_000_000, 7_000_000]);
        assert_eq!(tasks[1]["at_offset"], json!({ "response_ns_min": 1, "response_ns_max": 7_000_000 }));
        assert_eq!((&tasks[1]["offset_ns"], &tasks[1]["terms"]), (&json!(3_000_000), &json!([])));
        says(
            &text,
            &[
                "ADMITTED: 2 of 2 tasks meet their deadlines if the stated offsets are kept to",
                "decided by every schedule at the stated offsets (",
                "each worst response is attained",
                "lidar: responds in 0.000001 to 7 ms",
                "assumes that every task arrives at its offset and then exactly every period",
                "arrivals at any other time may miss a deadline: camera: worst response",
            ],
        );
    }
}

#[test]
fn what_fits_at_any_time_needs_no_offsets() {
    let mut tasks = apart();
    tasks["tasks"][0]["d_ns"] = json!(9_000_000);
    let (json, text) = admit(&tasks, "np-edf", 0);
    assert_eq!(json["partitions"][0]["theorem"], "response_times");
    assert!(json["partitions"][0]["offsets"].is_null() && !text.contains("offset"), "{text}");
}

/// The lidar begins 4 ms before the camera: late at these offsets too, and the job that is late is named.
#[test]
fn a_miss_at_the_stated_offsets_is_told_with_its_job() {
    let mut tasks = apart();
    tasks["tasks"][1]["offset_ns"] = json!(6_000_000);
    let (json, text) = admit(&tasks, "np-edf", 3);
    let offsets = &json["partitions"][0]["offsets"];
    assert_eq!(offsets["outcome"], "misses");
    let late =
        json!({ "arrival_ns": 10_000_000, "deadline_ns": 13_000_000, "worst_completion_ns": 15_000_000 });
    assert_eq!(offsets["late"], late);
    assert_eq!(json["tasks"][0]["at_offset"]["response_ns_max"], 5_000_000);
    // The bound stays the one for any arrivals: 2 ms and the lidar's 7, of which 1 ns had run.
    assert_eq!(json["tasks"][0]["wcrt_ns"], 8_999_999);
    says(
        &text,
        &[
            "REJECTED under np-edf",
            "rejected at the stated offsets too: in some schedule the job of camera that arrives at 10 ms ends 2 ms after its \
             deadline",
            "  camera: responds in 0.000001 to 5 ms MISSES",
            "  lidar: responds in 0.000001 to 7 ms meets",
        ],
    );
}

#[test]
fn where_offsets_cannot_decide_the_answer_for_any_arrivals_stands() {
    for (change, code, why) in [
        ("/tasks/1/offset_ns", "not_periodic", "task `lidar` states no offset"),
        ("/tasks/1/t_ns", "not_periodic", "hyperperiod of "),
    ] {
        let mut tasks = apart();
        match change {
            "/tasks/1/offset_ns" => drop(tasks["tasks"][1].as_object_mut().unwrap().remove("offset_ns")),
            _ => tasks["tasks"][1]["t_ns"] = json!(19_999_999_937_u64),
        }
        let (json, text) = admit(&tasks, "np-edf", 3);
        let offsets = &json["partitions"][0]["offsets"];
        assert_eq!((&offsets["outcome"], &offsets["code"]), (&json!("undecided"), &json!(code)));
        assert!(offsets["why"].as_str().unwrap().contains(why), "{offsets}");
        assert_eq!(json["tasks"][0]["wcrt_ns"], 8_999_999);
        says(&text, &["the stated offsets do not decide otherwise: ", why]);
    }
    // No offset helps an overload, and none is asked.
    let mut tasks = apart();
    tasks["tasks"][1]["c_ns"] = json!(17_000_000);
    assert!(admit(&tasks, "np-edf", 3).0["partitions"][0]["offsets"].is_null());
}

/// High WCETs are what offsets have to serve; they were once no part of what a job set is made of.
#[test]
fn high_wcets_are_taken_at_offsets_too() {
    let mut tasks = apart();
    tasks["tasks"][1] = json!({ "name": "lidar", "t_ns": 20_000_000, "offset_ns": 3_000_000,
        "segments": [{ "wcet_ns": 6_000_000, "bcet_ns": 5_000_000, "wcet_hi_ns": 8_000_001 }] });
    assert_eq!(admit(&tasks, "np-edf", 3).0["partitions"][0]["offsets"]["outcome"], "misses");
    tasks["tasks"][1]["segments"][0]["wcet_hi_ns"] = json!(8_000_000);
    let (json, _) = admit(&tasks, "np-edf", 0);
    assert_eq!(
        json["tasks"][1]["at_offset"],
        json!({ "response_ns_min": 5_000_000, "response_ns_max": 8_000_000 })
    );
}

/// Host parts have a safe bound for arrivals at any time; offsets may admit where that does not.
#[test]
fn offsets_with_host_parts_and_a_chain_of_periods() {
    let tasks = json!({ "policy": "np-fp",
        "tasks": [
            { "name": "camera", "c_ns": 2, "t_ns": 20, "d_ns": 3, "offset_ns": 0 },
            { "name": "planner", "segments_ns": [3, 4], "host": [{ "min_ns": 1, "max_ns": 2 }], "t_ns": 20,
              "offset_ns": 2 } ],
        "chains": [{ "name": "drive", "tasks": ["camera", "planner"], "trigger": "time", "deadline_ns": 50 }] });
    let (json, _) = admit(&tasks, "np-fp", 0);
    assert_eq!(json["partitions"][0]["theorem"], "offsets");
    assert_eq!(json["tasks"][1]["wcrt_ns"], 9);
    assert!(json["chains"][0]["latency_ns"].as_u64().unwrap() <= 50, "{json}");
}

/// A system file in which tasks state when they first arrive, and how often.
fn system(lidar: &str) -> String {
    format!(
        "[policy]\nkind = \"edf\"\n\n[[task]]\nname = \"camera\"\nsim = {{ time = {{ law = \"constant\", value = \"2 ms\" }} }}\nperiod = \"10 ms\"\n\
         deadline = \"3 ms\"\nwcet = \"2 ms\"\n\n[[task]]\nname = \"lidar\"\nsim = {{ time = {{ law = \"constant\", value = \"7 ms\" }} }}\n{lidar}\nwcet = \"7 ms\"\n"
    )
}

#[test]
fn a_system_file_states_offsets_too() {
    for (lidar, code, part) in [
        (
            "period = \"20 ms\"\noffset = \"3 ms\"",
            0,
            "ADMITTED: 2 of 2 tasks meet their deadlines if the stated",
        ),
        ("period = \"20 ms\"\noffset = \"6 ms\"", 3, "rejected at the stated offsets too: "),
        (
            "min_inter_arrival = \"20 ms\"\noffset = \"3 ms\"",
            3,
            "task `lidar` states no offset; known offsets help only",
        ),
        ("period = \"20 ms\"", 3, "REJECTED under np-edf"),
    ] {
        let folder = Folder::with("system.toml", system(lidar));
        let answer = folder.aegis("admit system.toml");
        assert_eq!(answer.code, code, "{answer:?}");
        says(&answer.stdout, &[part]);
        let spoken_of = answer.stdout.contains("stated offsets");
        assert_eq!(spoken_of, lidar.contains("offset"), "{answer:?}");
    }
}

/// There is no proof and no picture of an answer that offsets gave: refused, with what to do.
#[test]
fn certificates_and_pictures_are_of_other_theorems() {
    let folder = Folder::with("tasks.json", apart().to_string());
    for option in ["--certificate", "--svg-demand", "--svg-schedule"] {
        let answer = folder.aegis(&format!("admit --tasks tasks.json {option} out"));
        assert_eq!(answer.code, 2, "{answer:?}");
        says(
            &answer.stderr,
            &["partition `device` is admitted by its stated offsets", "leave the option out"],
        );
        assert!(!folder.path("out").exists());
    }
}
