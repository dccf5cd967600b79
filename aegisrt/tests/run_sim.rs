//! Whole runs on simulated models: what is run, recorded, explained, replayed and refused. Deadlines are generous, so
//! that a busy machine meets them.
mod common;
use common::{Answer, Folder};
use serde_json::Value;

/// A task that takes 2 ms of its stated 30 ms, ten times a second; `sim` and `more` are added to it.
fn task(name: &str, sim: &str, more: &str) -> String {
    format!(
        "[[task]]\nname = \"{name}\"\nperiod = \"100 ms\"\ndeadline = \"2 s\"\nqueue = 20\n{more}\n\
         [task.sim]\ntime = {{ law = \"constant\", value = \"2 ms\" }}\n{sim}\n\n"
    )
}

const WCET: &str = "wcet = \"30 ms\"";

fn system(tasks: &[String]) -> Folder {
    Folder::with("system.toml", tasks.concat())
}

fn named<'a>(value: &'a Value, name: &str) -> &'a Value {
    value["tasks"].as_array().unwrap().iter().find(|t| t["name"] == name).unwrap_or_else(|| panic!("{value}"))
}

fn count(value: &Value, name: &str, key: &str) -> u64 {
    named(value, name)[key].as_u64().unwrap_or_else(|| panic!("{key} in {value}"))
}

#[test]
fn a_run_can_be_explained_and_replayed() {
    let folder = system(&[
        task("camera", "weights = \"1 MiB\"\nscratch = \"2 MiB\"", WCET),
        task("lidar", "scratch = \"1 MiB\"\nsegments = 2", WCET),
    ]);
    let ran = folder.json("run system.toml --duration 1s", 0);
    let trace = ran["trace"].as_str().unwrap();
    assert_eq!(trace, "system.aegis-trace");
    assert_eq!(ran["records_lost"], 0);
    let mut jobs = Vec::new();
    for (name, segments) in [("camera", 1), ("lidar", 2)] {
        let n = count(&ran, name, "jobs");
        assert_eq!((n, count(&ran, name, "met")), (10, 10), "{ran}");
        let (worst, bound) = (count(&ran, name, "response_ns_max"), count(&ran, name, "bound_ns"));
        assert!(worst >= segments * 2_000_000 && bound <= 2_000_000_000, "{ran}");
        jobs.extend((0..n).map(|seq| format!("{name}#{seq}")));
    }
    let explained = folder.json(&format!("explain {trace} --worst 1000"), 0);
    assert_eq!(explained["jobs"].as_array().unwrap().len(), jobs.len());
    for job in &jobs {
        let answer = folder.json(&format!("explain {trace} {job}"), 0);
        let [one] = answer["jobs"].as_array().unwrap().as_slice() else { panic!("{answer}") };
        assert_eq!((one["job"].as_str(), one["finished"].as_bool()), (Some(job.as_str()), Some(true)));
        let sum: u64 = one["causes"].as_array().unwrap().iter().map(|c| c["ns"].as_u64().unwrap()).sum();
        assert_eq!(Some(sum), one["response_ns"].as_u64(), "{one}");
        let mut at = one["arrival_ns"].as_u64();
        for cause in one["causes"].as_array().unwrap() {
            assert_eq!(cause["from_ns"].as_u64(), at, "causes follow each other: {one}");
            at = cause["to_ns"].as_u64();
        }
        assert_eq!(at, one["until_ns"].as_u64());
    }
    let replayed = folder.json(&format!("replay {trace}"), 0);
    assert!(replayed["compared"].as_u64() >= Some(3 * jobs.len() as u64), "{replayed}");
    assert_eq!((replayed["differences"].as_u64(), replayed["complete"].as_bool()), (Some(0), Some(true)));
    let audited = folder.json(&format!("audit {trace}"), 0);
    assert_eq!(audited["jobs"].as_u64(), Some(jobs.len() as u64), "{audited}");

    let of_lidar = folder.json(&format!("trace query {trace} --model lidar --limit 5000"), 0);
    let all = folder.json(&format!("trace query {trace} --limit 5000"), 0);
    assert!(of_lidar["matching"].as_u64() < all["matching"].as_u64());
    for record in of_lidar["records"].as_array().unwrap() {
        assert!(record["text"].as_str().unwrap().contains("lidar"), "{record}");
    }
    let info = folder.json(&format!("trace info {trace}"), 0);
    assert_eq!(
        (info["complete"].as_bool(), info["records"].as_u64()),
        (Some(true), all["matching"].as_u64())
    );
    let digest = blake3::hash(&std::fs::read(folder.path("system.toml")).unwrap()).to_hex().to_string();
    assert_eq!(info["spec_digest"], digest);

    for job in ["camera#0", "lidar#9"] {
        let told = folder.aegis(&format!("explain {trace} {job}"));
        assert!(told.code == 0 && told.stdout.contains(job), "{told:?}");
    }
}

#[test]
fn people_see_what_is_done_and_no_progress_bar() {
    let folder = system(&[task("camera", "", ""), task("lidar", "", WCET)]);
    let text = "[profile]\nexceedance = 0.1\n".to_owned();
    let tasks = std::fs::read_to_string(folder.path("system.toml")).unwrap();
    folder.write("system.toml", text + &tasks);
    let answer = folder.aegis("run system.toml --duration 300ms --trace here");
    assert_eq!(answer.code, 0, "{answer:?}");
    for part in [
        "ADMITTED under np-edf",
        "MEMORY",
        "RUN for 300 ms",
        "(trace: here)",
        "6 of 6 deadlines met",
        "none lost",
    ] {
        assert!(answer.stdout.contains(part), "{part}: {}", answer.stdout);
    }
    assert_eq!(
        answer.stderr, "no profile under these conditions yet: measuring 29 executions of each of 2 models\n",
        "and nothing else where standard error is not a terminal"
    );
    let again = folder.aegis("admit system.toml");
    assert_eq!((again.code, again.stderr.as_str()), (0, ""), "the profile is kept and used again");
    let profile = folder.json("profile system.toml", 0);
    let bounds: Vec<u64> =
        profile["profiles"].as_array().unwrap().iter().map(|p| p["bound_ns"].as_u64().unwrap()).collect();
    assert!(bounds.len() == 2 && bounds.iter().all(|b| *b >= 2_000_000), "{profile}");
}

#[test]
fn failures_are_counted_and_do_not_touch_the_others() {
    let folder = system(&[task("camera", "faults = { fail_every = 3 }", WCET), task("lidar", "", WCET)]);
    let ran = folder.json("run system.toml --duration 1s", 1);
    assert_eq!((count(&ran, "camera", "faulted"), count(&ran, "camera", "met")), (3, 7), "{ran}");
    assert_eq!((count(&ran, "lidar", "faulted"), count(&ran, "lidar", "met")), (0, 10), "{ran}");
    assert_eq!(folder.json("replay system.aegis-trace", 0)["differences"], 0);
    let told = folder.aegis("trace query system.aegis-trace --job camera#2");
    assert!(told.stdout.contains("fault"), "{told:?}");
}

#[test]
fn a_panic_in_a_backend_ends_at_its_task() {
    let folder = system(&[task("camera", "faults = { panic_every = 4 }", WCET), task("lidar", "", WCET)]);
    let ran = folder.json("run system.toml --duration 1s", 1);
    assert_eq!(
        (count(&ran, "camera", "met"), count(&ran, "camera", "faulted")),
        (3, 7),
        "its session is not used again"
    );
    assert_eq!((count(&ran, "lidar", "met"), count(&ran, "lidar", "faulted")), (10, 0), "{ran}");
    assert_eq!(folder.json("replay system.aegis-trace", 0)["differences"], 0);
}

/// Where admission charges for recoveries, a model is brought back and goes on; the explanation says what that took.
#[test]
fn a_declared_recovery_brings_a_model_back() {
    let tasks = [task("camera", "faults = { panic_every = 4 }", WCET), task("lidar", "", WCET)].concat();
    let overhead = "[overhead]\nrecovery = { length = \"5 ms\", gap = \"150 ms\" }\n\n";
    let folder = Folder::with("system.toml", format!("{overhead}{tasks}"));
    let ran = folder.json("run system.toml --duration 1s", 1);
    assert!(count(&ran, "camera", "met") >= 7 && count(&ran, "camera", "faulted") >= 1, "{ran}");
    let told = folder.aegis("trace query system.aegis-trace").stdout;
    assert!(told.contains("is brought back after the fault of camera#3"), "{told}");
    assert!(told.contains("camera is usable again"), "{told}");
    let explained = folder.json("explain system.aegis-trace camera#3", 0);
    assert!(explained.to_string().contains("\"recovery\""), "{explained}");
    assert_eq!(folder.json("audit system.aegis-trace", 0)["flawed"], 0);
}

#[test]
fn a_lost_device_is_lost_for_all() {
    let folder =
        system(&[task("camera", "faults = { device_lost_after = 3 }", WCET), task("lidar", "", WCET)]);
    let ran = folder.json("run system.toml --duration 1s", 1);
    assert_eq!(count(&ran, "camera", "met"), 2, "{ran}");
    assert!(count(&ran, "lidar", "faulted") >= 7, "{ran}");
    let lost = folder.aegis("trace query system.aegis-trace");
    assert!(lost.stdout.contains("lost"), "{lost:?}");
}

#[test]
fn an_overrun_is_a_recorded_fault_but_the_result_counts() {
    let overrun = "faults = { overrun_every = 5, overrun_factor = 100 }";
    let folder =
        system(&[task("camera", overrun, "wcet = \"20 ms\"\nbudget = \"40 ms\""), task("lidar", "", WCET)]);
    let ran = folder.json("run system.toml --duration 1s", 0);
    assert!(count(&ran, "camera", "overran") >= 2, "{ran}");
    assert_eq!((count(&ran, "camera", "met"), count(&ran, "camera", "wcet_ns")), (10, 40_000_000), "{ran}");
    let told = folder.aegis("trace query system.aegis-trace --job camera#4");
    assert!(told.stdout.contains("its budget per job is 40 ms"), "{told:?}");
}

#[test]
fn a_full_queue_refuses_and_counts_as_a_miss() {
    let slow = "[[task]]\nname = \"camera\"\nperiod = \"20 ms\"\nqueue = 1\nwcet = \"10 ms\"\n\
                sim = { time = { law = \"constant\", value = \"150 ms\" } }\n";
    let folder = Folder::with("system.toml", slow);
    let ran = folder.json("run system.toml --duration 500ms", 3);
    let (jobs, refused) = (count(&ran, "camera", "jobs"), count(&ran, "camera", "refused"));
    assert!(jobs == 25 && refused >= 15, "{ran}");
    assert_eq!(count(&ran, "camera", "met") + count(&ran, "camera", "missed") + refused, jobs);
    assert_eq!(folder.json("replay system.aegis-trace", 0)["differences"], 0);
    let people = folder.aegis("explain system.aegis-trace camera#1");
    assert_eq!(people.code, 0, "{people:?}");
}

fn refused(folder: &Folder, code: &str, numbers: &[&str]) {
    for command in ["run system.toml --duration 100ms", "profile system.toml"] {
        let people: Answer = folder.aegis(command);
        assert_eq!(people.code, 3, "{people:?}");
        let error = &folder.json(command, 3)["error"];
        assert_eq!(error["code"], code);
        for number in numbers {
            assert!(error["message"].as_str().unwrap().contains(number), "{number}: {error}");
        }
        if code == "out_of_memory" {
            let trace = folder.aegis("trace query system.aegis-trace").stdout;
            assert!(
                trace.contains("system rejected: the best plan of its memory takes 40.00 MiB"),
                "{trace}"
            );
            assert!(["queued", "chosen", "started"].iter().all(|ran| !trace.contains(ran)), "{trace}");
            return;
        }
        assert!(!folder.path("system.aegis-trace").exists(), "nothing was run");
    }
}

#[test]
fn memory_above_its_limit_is_refused_with_both_numbers() {
    let folder =
        system(&[task("camera", "weights = \"20 MiB\"", "memory_limit = \"10 MiB\"\nwcet = \"30 ms\"")]);
    refused(&folder, "model_failed", &["`camera` needs 20", "MiB", "its budget is 10 MiB"]);
    let two =
        [task("camera", "weights = \"20 MiB\"", WCET), task("lidar", "scratch = \"20 MiB\"", WCET)].concat();
    let folder = Folder::with("system.toml", format!("[device]\nmemory = \"30 MiB\"\n\n{two}"));
    refused(&folder, "out_of_memory", &["40.00 MiB", "31457280 B"]);
    let people = folder.aegis("plan system.toml");
    assert!(people.code == 3 && people.stderr.contains("31457280 B"), "{people:?}");
}

#[test]
fn a_measured_wcet_above_the_budget_is_refused_with_both_numbers() {
    let folder = system(&[task("camera", "", "budget = \"1 ms\"")]);
    folder.write(
        "system.toml",
        format!(
            "[profile]\nexceedance = 0.2\n\n{}",
            std::fs::read_to_string(folder.path("system.toml")).unwrap()
        ),
    );
    let error = &folder.json("run system.toml", 3)["error"];
    assert_eq!(error["code"], "budget_too_small");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("task `camera`: its measured WCET") && message.contains("compute budget 1 ms"),
        "{message}"
    );
}

#[test]
fn what_is_not_admitted_is_not_run() {
    let folder = system(&[task("camera", "", "wcet = \"60 ms\""), task("lidar", "", "wcet = \"50 ms\"")]);
    let error = &folder.json("run system.toml", 3)["error"];
    assert_eq!(error["code"], "not_admitted");
    assert!(error["message"].as_str().unwrap().starts_with("not admitted under np-edf: "), "{error}");
    let trace = folder.aegis("trace query system.aegis-trace").stdout;
    assert!(trace.contains("task set rejected"), "{trace}");
    assert!(["queued", "chosen", "started"].iter().all(|ran| !trace.contains(ran)), "{trace}");
    let people = folder.aegis("run system.toml");
    assert!(people.code == 3 && people.stdout.contains("REJECTED under np-edf"), "{people:?}");
}

#[test]
fn far_offsets_and_short_runs() {
    let folder = system(&[task("camera", "", "wcet = \"30 ms\"\noffset = \"18446744073 s\"")]);
    let ran = folder.json("run system.toml --duration 50ms", 0);
    assert_eq!(count(&ran, "camera", "jobs"), 0);
    assert_eq!(folder.json("explain system.aegis-trace", 0)["jobs"], serde_json::json!([]));
    assert_eq!(folder.json("run system.toml --duration 0ms", 0)["policy"], "np-edf");
}
