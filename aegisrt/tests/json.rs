//! The shapes of the JSON answers, as they are documented, and the text that people get for the same question.
mod common;
use common::{Folder, examples};
use serde_json::Value;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn total(list: &[Value], key: &str) -> i128 {
    list.iter().map(|item| i128::from(item[key].as_i64().unwrap_or_else(|| panic!("{item}")))).sum()
}

#[test]
fn admit_explains_every_bound_by_terms_that_add_up() {
    let folder = Folder::with("mvp.json", std::fs::read(examples().join("mvp.json")).unwrap());
    folder.write(
        "rich.json",
        r#"{ "schema_version": 1, "policy": "np-fp",
             "overheads": { "release_ns": 100, "dispatch_ns": 20, "completion_ns": 30 },
             "tasks": [
               { "name": "a", "c_ns": 1000, "t_ns": 10000, "j_ns": 500, "priority": 2 },
               { "name": "b", "segments_ns": [700, 800], "t_ns": 12000, "d_ns": 30000, "priority": 1 },
               { "name": "c", "c_ns": 2000, "t_ns": 20000, "priority": 3 } ] }"#,
    );
    for file in ["mvp.json", "rich.json"] {
        for policy in ["np-edf", "np-fp", "fifo"] {
            let answer = folder.aegis(&format!("--format json admit --tasks {file} --policy {policy}"));
            let value = answer.json();
            assert_eq!(
                keys(&value),
                [
                    "admitted",
                    "chains",
                    "confidence",
                    "partitions",
                    "policy",
                    "reasons",
                    "schema_version",
                    "tasks",
                    "would_fit",
                ]
            );
            assert_eq!(value["policy"], policy);
            assert_eq!(answer.code, if value["admitted"] == true { 0 } else { 3 });
            assert_eq!(list(&value, "reasons").is_empty(), value["admitted"] == true);
            for reason in list(&value, "reasons") {
                assert_eq!(keys(reason), ["code", "message", "partition"]);
            }
            for task in list(&value, "tasks") {
                assert_eq!(
                    keys(task),
                    [
                        "busy_period_ns",
                        "critical_gap_ns",
                        "deadline_ns",
                        "jitter_ns",
                        "job",
                        "name",
                        "partition",
                        "period_ns",
                        "priority",
                        "schedulable",
                        "slack_ns",
                        "terms",
                        "utilisation_ppm",
                        "wcet_ns",
                        "wcrt_ns",
                    ]
                );
                let wcrt = task["wcrt_ns"].as_i64().unwrap();
                assert_eq!(total(list(task, "terms"), "ns"), i128::from(wcrt), "{task}");
                // Every bound of these sets is attained, up to the tick of equal deadlines under EDF.
                let most = u64::from(policy == "np-edf");
                assert!(task["critical_gap_ns"].as_u64().unwrap() <= most, "{task}");
                assert_eq!(task["slack_ns"].as_i64(), Some(task["deadline_ns"].as_i64().unwrap() - wcrt));
                assert_eq!(task["schedulable"], task["slack_ns"].as_i64() >= Some(0), "{task}");
                for term in list(task, "terms") {
                    assert!(term["kind"].is_string(), "{term}");
                    assert!(
                        term.get("task")
                            .is_none_or(|by| ["A", "B", "C", "a", "b", "c"].contains(&by.as_str().unwrap()))
                    );
                }
            }
        }
    }
}

#[test]
fn an_overload_has_no_bound_and_says_so() {
    let folder = Folder::with(
        "tasks.json",
        r#"{ "policy": "np-edf", "tasks": [
             { "name": "a", "c_ns": 60, "t_ns": 100 }, { "name": "b", "c_ns": 50, "t_ns": 100 } ] }"#,
    );
    let value = folder.json("admit --tasks tasks.json", 3);
    assert!(
        list(&value, "tasks").iter().all(|t| t["wcrt_ns"].is_null() && t["schedulable"] == false),
        "{value}"
    );
    assert!(!list(&value, "reasons").is_empty(), "{value}");
}

#[test]
fn plan_of_buffers() {
    let rows = "id,lower,upper,size\na,0,4,100\nb,2,6,50\nc,4,8,100\n";
    let folder = Folder::with("b.csv", rows);
    let value = folder.json("plan --buffers b.csv", 0);
    assert_eq!(
        keys(&value),
        ["buffers", "lower_bound_bytes", "method", "optimal", "peak_bytes", "schema_version"]
    );
    assert_eq!((value["peak_bytes"].as_u64(), value["lower_bound_bytes"].as_u64()), (Some(150), Some(150)));
    assert_eq!(value["optimal"], true);
    let placed: Vec<(&str, u64, u64)> = list(&value, "buffers")
        .iter()
        .map(|b| (b["id"].as_str().unwrap(), b["offset"].as_u64().unwrap(), b["size"].as_u64().unwrap()))
        .collect();
    assert_eq!(placed.iter().map(|p| (p.0, p.2)).collect::<Vec<_>>(), [("a", 100), ("b", 50), ("c", 100)]);
    let apart = |x: usize, y: usize| {
        placed[x].1 + placed[x].2 <= placed[y].1 || placed[y].1 + placed[y].2 <= placed[x].1
    };
    assert!(apart(0, 1) && apart(1, 2), "{placed:?}");

    let text = folder.aegis("plan --buffers b.csv");
    let (header, lines) = text.stdout.split_once('\n').unwrap();
    assert_eq!(header, "id,lower,upper,size,offset");
    for ((line, row), (_, offset, _)) in lines.lines().zip(rows.lines().skip(1)).zip(&placed) {
        assert_eq!(line, format!("{row},{offset}"));
    }
    assert_eq!(lines.lines().count(), 3);
    assert!(text.stderr.contains("150 B"), "{text:?}");

    assert_eq!(folder.json("plan --buffers b.csv --capacity 150", 0)["capacity_bytes"], 150);
    let refused = folder.json("plan --buffers b.csv --capacity 149", 3);
    assert_eq!((&refused["peak_bytes"], &refused["capacity_bytes"]), (&150.into(), &149.into()));
    assert_eq!(refused["lower_bound_bytes"], 150);
    let refusal = &refused["refusal"];
    assert_eq!((&refusal["code"], &refusal["impossible"]), (&"OVER_CAPACITY".into(), &true.into()));
    let message = refusal["message"].as_str().unwrap();
    assert!(message.contains("150 B") && message.contains("149 B"), "{message}");
    let people = folder.aegis("plan --buffers b.csv --capacity 0.1KiB");
    assert_eq!(people.code, 2, "0.1 KiB is not a whole number of bytes: {people:?}");
    let people = folder.aegis("plan --buffers b.csv --capacity 64B");
    assert_eq!(people.code, 3);
    assert!(
        people.stdout.starts_with("does not fit: the best plan needs 150 B, the capacity is 64 B"),
        "{people:?}"
    );
}

#[test]
fn profile_of_samples() {
    let thousand = (1..=1000).map(|ns| ns.to_string()).collect::<Vec<_>>().join("\n");
    let folder = Folder::with("s.csv", format!("time_ns\n# measured\n{thousand}"));
    let value = folder.json("profile --samples s.csv --exceedance 0.01 --confidence 0.95", 0);
    assert_eq!(
        keys(&value),
        [
            "assumptions",
            "attained_confidence",
            "bound_ns",
            "claims_not_made",
            "confidence",
            "exceedance",
            "largest_ns",
            "median_ns",
            "method",
            "n",
            "rank",
            "schema_version",
            "tier",
        ]
    );
    let (bound, rank) = (value["bound_ns"].as_u64().unwrap(), value["rank"].as_u64().unwrap());
    assert_eq!(bound, 1000 - rank);
    assert!(value["attained_confidence"].as_f64() >= Some(0.95), "{value}");
    assert_eq!((value["n"].as_u64(), value["largest_ns"].as_u64()), (Some(1000), Some(1000)));

    let value = folder.json("profile --samples s.csv", 3);
    assert_eq!(keys(&value), ["refusal", "schema_version"]);
    assert_eq!(value["refusal"]["code"], "TOO_FEW_SAMPLES");
    assert_eq!(
        (value["refusal"]["n"].as_u64(), value["refusal"]["n_needed"].as_u64()),
        (Some(1000), Some(29_956))
    );
    let people = folder.aegis("profile --samples s.csv");
    assert_eq!(people.code, 3);
    assert!(
        people.stdout.contains("refused: 1000 samples cannot show")
            && people.stdout.contains("29956 are needed"),
        "{people:?}"
    );
}

#[test]
fn simulate_explain_replay_and_trace() {
    let folder = Folder::with("mvp.json", std::fs::read(examples().join("mvp.json")).unwrap());
    for policy in ["np-edf", "np-fp", "fifo"] {
        let command =
            format!("simulate --tasks mvp.json --offset A=1ms --offset B=1ms --policy {policy} --trace t");
        let answer = folder.aegis(&format!("--format json {command}"));
        let value = answer.json();
        assert_eq!(keys(&value), ["admitted", "policy", "schema_version", "seed", "tasks"]);
        let missed: u64 = list(&value, "tasks").iter().map(|t| t["missed"].as_u64().unwrap()).sum();
        assert_eq!(answer.code, if missed > 0 { 3 } else { 0 });
        let jobs: u64 = list(&value, "tasks").iter().map(|t| t["jobs"].as_u64().unwrap()).sum();

        let explained = folder.json(&format!("explain t --worst {jobs}"), 0);
        let explained = list(&explained, "jobs");
        assert_eq!(explained.len() as u64, jobs);
        for job in explained {
            assert_eq!(
                total(list(job, "causes"), "ns"),
                i128::from(job["response_ns"].as_i64().unwrap()),
                "{job}"
            );
            assert_eq!(
                job["met"],
                job["response_ns"].as_u64()
                    <= Some(job["deadline_ns"].as_u64().unwrap() - job["arrival_ns"].as_u64().unwrap()),
                "{job}"
            );
        }
        let late = explained.iter().filter(|job| job["met"] == false).count();
        assert_eq!(late as u64, missed);

        let value = folder.json("replay t", 0);
        assert_eq!(
            keys(&value),
            ["compared", "complete", "decisions_blake3", "differences", "first_difference", "schema_version"]
        );
        assert!(value["compared"].as_u64() >= Some(3 * jobs), "{value}");
        assert_eq!(value["differences"], 0);

        // Under its own policy it is the same run, to the hash.
        let same = folder.aegis(&format!("--format json replay t --policy {policy}"));
        assert_eq!(same.code, answer.code, "{same:?}");
        let same = same.json();
        assert_eq!(same["decisions_blake3"], value["decisions_blake3"]);
        assert!(list(&same, "tasks").iter().all(|task| task["recorded"] == task["other"]), "{same}");
        let itself = folder.json("replay t --against t", 0);
        assert_eq!(
            (itself["alike"].clone(), itself["first_difference"].is_null()),
            (value["compared"].clone(), true)
        );
        std::fs::copy(folder.path("t"), folder.path(policy)).unwrap();

        let audited = folder.json("audit t", 0);
        assert_eq!(
            (audited["jobs"].as_u64(), audited["flawed"].as_u64()),
            (Some(jobs), Some(0)),
            "{audited}"
        );
        let blamed = folder.json("blame t --svg blame.svg", 0);
        for row in list(&blamed, "tasks") {
            let sum = i128::from(row["response_ns_sum"].as_i64().unwrap());
            assert_eq!(total(list(row, "costs"), "ns"), sum, "{row}");
        }
        assert!(std::fs::read_to_string(folder.path("blame.svg")).unwrap().starts_with("<svg "));

        let info = folder.json("trace info t", 0);
        assert_eq!(info["tasks"], serde_json::json!(["A", "B", "C"]));
        assert_eq!((info["complete"].as_bool(), info["missing"].as_u64()), (Some(true), Some(0)));
        let all = folder.json("trace query t --limit 100000", 0);
        assert_eq!(all["matching"], info["records"]);
        assert_eq!(list(&all, "records").len() as u64, info["records"].as_u64().unwrap());
        let few = folder.json("trace query t --model A --limit 2 --from 100ms", 0);
        assert_eq!(list(&few, "records").len(), 2);
        assert!(few["matching"].as_u64() < all["matching"].as_u64());
        assert!(list(&few, "records").iter().all(|r| r["at_ns"].as_u64() >= Some(100_000_000)), "{few}");
        let none = folder.json("trace query t --from 100s", 0);
        assert_eq!(none["matching"], 0);
    }
}

/// Two policies part at a choice, and both states are shown; a job that a trace does not have cannot be audited.
#[test]
fn two_traces_part_and_a_chain_is_shown() {
    let folder = Folder::with("mvp.json", std::fs::read(examples().join("mvp.json")).unwrap());
    for policy in ["np-edf", "fifo"] {
        folder.aegis(&format!(
            "simulate --tasks mvp.json --offset A=1ms --offset B=1ms --policy {policy} --trace {policy}"
        ));
    }
    let parted = folder.json("replay np-edf --against fifo", 1);
    let at = &parted["first_other_decision"];
    assert!(at["first"]["decision"] != at["second"]["decision"], "{parted}");
    assert!(!list(&at["first"], "ready").is_empty(), "{parted}");
    let people = folder.aegis("replay np-edf --against fifo");
    assert!(people.code == 1 && people.stdout.contains("waiting: "), "{people:?}");
    let chain = folder.aegis("audit np-edf --job A#0");
    for link in ["admitted", "released", "chosen", "told", "retired", "every chain of decisions is whole"] {
        assert!(chain.code == 0 && chain.stdout.contains(link), "{link}: {chain:?}");
    }
    let unknown = folder.aegis("audit np-edf --job A#999999");
    assert!(unknown.code == 2 && unknown.stderr.contains("says nothing of A#999999"), "{unknown:?}");
    let people = folder.aegis("replay np-edf --policy fifo");
    assert!(people.stdout.contains("this assumes that"), "{people:?}");
}

#[test]
fn init_check_plan_inspect_and_doctor() {
    let folder = Folder::new();
    let value = folder.json("init my-system", 0);
    assert_eq!(value["system"], "my-system/system.toml");
    let again = folder.aegis("init my-system");
    assert_eq!(again.code, 2);
    assert!(
        again.stderr.contains("my-system/system.toml exists already and is not overwritten"),
        "{again:?}"
    );

    let value = folder.json("check my-system/system.toml", 0);
    assert_eq!((value["valid"].as_bool(), value["policy"].as_str()), (Some(true), Some("np-edf")));
    let names: Vec<&str> = list(&value, "tasks").iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["detector", "classifier", "segmenter", "predictor", "planner"]);

    let value = folder.json("plan my-system/system.toml", 0);
    let value = &value["places"][0];
    let (peak, bound) = (value["peak_bytes"].as_u64().unwrap(), value["lower_bound_bytes"].as_u64().unwrap());
    assert!(bound > 0 && bound <= peak && peak <= value["separate_bytes"].as_u64().unwrap(), "{value}");
    for region in list(value, "regions") {
        assert!(region["offset"].as_u64().unwrap() + region["size"].as_u64().unwrap() <= peak, "{region}");
        assert!(names.contains(&region["model"].as_str().unwrap()), "{region}");
    }

    let value = folder.json("inspect my-system/models/detector.onnx", 0);
    assert_eq!(list(&value, "inputs")[0]["name"], "input");
    assert_eq!(list(&value, "outputs").len(), 2);
    assert!(value["weights_bytes"].as_u64() > Some(1 << 20), "{value}");
    assert_eq!(value["digest"], aegisrt::zoo::MODELS[0].digest);

    let value = folder.json("doctor", 0);
    let names: Vec<&str> = list(&value, "backends").iter().map(|b| b["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["rten", "ort", "sim", "trt", "tvm"]);
    for backend in list(&value, "backends") {
        let reason = if backend["available"] == true { "version" } else { "why" };
        assert!(!backend[reason].as_str().unwrap().is_empty(), "{backend}");
    }
    for command in [
        "check my-system/system.toml",
        "plan my-system/system.toml",
        "inspect my-system/models/planner.onnx",
        "doctor",
    ] {
        let people = folder.aegis(command);
        assert_eq!((people.code, people.stderr.as_str()), (0, ""), "{command}");
        assert!(people.stdout.ends_with('\n') && !people.stdout.contains('\u{1b}'), "{people:?}");
    }
}

/// A bound on execution times that was measured leaves so many misses an hour; one that was stated, nobody knows how many.
#[test]
fn measured_wcets_carry_their_confidence_into_the_verdict() {
    let task = |name: &str, wcet: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nsim = {{ time = {{ law = \"constant\", value = \"1 ms\" }} }}\nperiod = \"1 s\"\n{wcet}\n"
        )
    };
    let profile = "[profile]\nexceedance = 0.05\nconfidence = 0.9\nruns = 45\nwarm_up = 0\n";
    let folder = Folder::with("measured.toml", format!("{profile}{}{}", task("a", ""), task("b", "")));
    let value = folder.json("admit measured.toml", 0);
    let confidence = &value["confidence"];
    assert_eq!(keys(confidence), ["confidence", "mean_overruns_per_hour", "overruns_per_hour"]);
    // Two tasks with 3600 jobs an hour each; the bound is the largest of 45 samples.
    assert_eq!(confidence["overruns_per_hour"], "360");
    assert_eq!(confidence["confidence"], "0.8");
    assert_eq!(confidence["mean_overruns_per_hour"], "156.522");
    let text = folder.aegis("admit measured.toml").stdout;
    let says =
        "with confidence 0.8 expect at most 360 such jobs an hour, on average over profiles at most 156.522";
    assert!(text.contains(says), "{text}");

    folder.write("mixed.toml", format!("{profile}{}{}", task("a", ""), task("b", "wcet = \"2 ms\"")));
    assert!(folder.json("admit mixed.toml", 0)["confidence"].is_null());
    let text = folder.aegis("admit mixed.toml").stdout;
    let says = "no statement about misses an hour: the WCETs of b are stated, not measured";
    assert!(text.contains(says), "{text}");

    folder.write("tasks.json", r#"{ "policy": "fifo", "tasks": [{ "name": "a", "c_ns": 1, "t_ns": 9 }] }"#);
    assert!(folder.json("admit --tasks tasks.json", 0)["confidence"].is_null());
    assert!(!folder.aegis("admit --tasks tasks.json").stdout.contains("an hour"));
}

/// Everything that a file can describe at once gets one answer: partitions, bursts, host parts, chains.
#[test]
fn a_whole_system_gets_one_answer() {
    let folder = Folder::with("rover.json", std::fs::read(examples().join("rover.json")).unwrap());
    let value = folder.json("admit --tasks rover.json", 0);
    let theorems: Vec<&Value> =
        list(&value, "partitions").iter().map(|partition| &partition["theorem"]).collect();
    assert_eq!(theorems, ["response_times", "response_times"]);
    let [drive] = list(&value, "chains") else { panic!("{value}") };
    assert_eq!(
        (&drive["name"], &drive["trigger"], &drive["meets"]),
        (&"drive".into(), &"time".into(), &true.into())
    );
    assert!(drive["data_age_ns"].as_u64() <= drive["latency_ns"].as_u64(), "{drive}");
    let text = folder.aegis("admit --tasks rover.json").stdout;
    for part in ["ADMITTED: 5 of 5 tasks", "PARTITION vision (np-edf, every WCET × 1.120", "CHAINS", "drive"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }

    let mut system: Value =
        serde_json::from_slice(&std::fs::read(folder.path("rover.json")).unwrap()).unwrap();
    system["tasks"][1]["host"] = serde_json::json!([{ "max_ns": 2_000_000 }]);
    system["chains"][0]["deadline_ns"] = 1_000.into();
    folder.write("late.json", system.to_string());
    let value = folder.json("admit --tasks late.json", 3);
    assert_eq!(value["partitions"][0]["theorem"], "suspension");
    let lidar = &value["tasks"][1];
    assert_eq!(list(lidar, "parts").len(), 2, "{lidar}");
    for part in list(lidar, "parts") {
        assert_eq!(total(list(part, "terms"), "ns"), i128::from(part["wcrt_ns"].as_i64().unwrap()), "{part}");
    }
    let codes: Vec<&Value> = list(&value, "reasons").iter().map(|reason| &reason["code"]).collect();
    assert_eq!(codes, ["chain_late"]);
    let text = folder.aegis("admit --tasks late.json").stdout;
    for part in [
        "REJECTED",
        "part 1 from",
        "counted as execution",
        "because chain drive: end to end",
        "with host parts",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let answer = folder.aegis("admit --tasks late.json --svg-demand out.svg");
    assert!(answer.code == 2 && answer.stderr.contains("partition `vision` has host parts"), "{answer:?}");
}

/// A rejection names the smallest set of tasks that cannot coexist, and what each time may be.
#[test]
fn a_rejection_names_the_conflict_and_margins_when_asked() {
    let folder = Folder::with("mvp.json", std::fs::read(examples().join("mvp.json")).unwrap());
    let value = folder.json("admit --tasks mvp.json --margins", 3);
    let partition = &value["partitions"][0];
    assert_eq!(partition["conflict"]["tasks"], serde_json::json!(["B", "C"]), "{partition}");
    assert_eq!(partition["conflict"]["smallest"], true);
    assert_eq!(list(&partition["margins"], "tasks").len(), 3, "{partition}");
    let text = folder.aegis("admit --tasks mvp.json --margins").stdout;
    assert!(
        text.contains("smallest conflict: B and C cannot coexist") && text.contains("may be, alone"),
        "{text}"
    );
    let plain = folder.json("admit --tasks mvp.json", 3);
    assert!(plain["partitions"][0]["margins"].is_null());
}
