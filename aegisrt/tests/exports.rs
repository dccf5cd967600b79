//! Exports, queries and metrics as a user asks for them: what is written where, and what is refused.
mod common;
use common::Folder;

/// Three tasks by FIFO; the short one misses when the long one is before it.
const TASKS: &str = r#"{ "policy": "fifo", "tasks": [
    { "name": "short", "c_ns": 1000000, "t_ns": 10000000, "d_ns": 4000000 },
    { "name": "long", "c_ns": 6000000, "t_ns": 20000000, "d_ns": 20000000 } ] }"#;

fn simulated() -> Folder {
    let folder = Folder::with("tasks.json", TASKS);
    let answer = folder.aegis("simulate --tasks tasks.json --duration 60ms --offset short=1ms --trace t");
    assert_eq!(answer.code, 3, "{answer:?}");
    folder
}

#[test]
fn every_format_is_written() {
    let folder = simulated();
    for (format, begins) in [
        ("perfetto", "\n"),
        ("chrome", "{\"displayTimeUnit\":\"ns\""),
        ("csv", "at_ns,recorder,seq,kind,model,job,segment,action,text,body\n"),
        ("jobs-csv", "job,model,number,verdict,arrival_ns"),
        ("otlp-spans", "{\"resourceSpans\":[{\"resource\""),
    ] {
        let told = folder.aegis(&format!("trace export t --format {format} --output out"));
        assert!(told.code == 0 && told.stdout.starts_with("wrote out, "), "{told:?}");
        let written = std::fs::read(folder.path("out")).unwrap();
        assert!(written.starts_with(begins.as_bytes()), "{format}");
        if format != "perfetto" {
            let piped = folder.aegis(&format!("trace export t --format {format} --output -"));
            assert_eq!((piped.code, piped.stdout.as_bytes()), (0, written.as_slice()), "{format}");
        }
    }
    let names = std::fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with(".part")), "nothing is left over");
}

#[test]
fn queries_by_verdict_and_time() {
    let folder = simulated();
    let jobs = |rest: &str| {
        let answer = folder.json(&format!("trace query t --jobs {rest}"), 0);
        let list = answer["jobs"].as_array().unwrap();
        list.iter().map(|job| job["job"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = [
        "short#0", "short#1", "short#2", "short#3", "short#4", "short#5", "long#0", "long#1", "long#2",
        "long#3",
    ];
    assert_eq!(jobs(""), all);
    let late = ["short#0", "short#2", "short#4"];
    assert_eq!(jobs("--missed"), late);
    assert_eq!(jobs("--verdict missed"), late);
    assert_eq!(jobs("--verdict met,missed").len(), 10);
    assert_eq!(jobs("--slower-than 4ms --model short"), late);
    assert_eq!(jobs("--slower-than 6ms"), Vec::<String>::new());
    assert_eq!(jobs("--from 20ms --to 22ms"), ["short#2", "long#1"]);
    assert_eq!(jobs("--job long#1"), ["long#1"]);
    let json = folder.json("trace query t --missed --kind step --limit 2", 0);
    assert_eq!((json["matching"].as_u64(), json["records"].as_array().unwrap().len()), (Some(9), 2));
    let table = folder.aegis("trace query t --missed --format csv --limit 2");
    assert_eq!((table.code, table.stdout.lines().count()), (0, 3), "{table:?}");
    assert_eq!(table.stderr, "7 more match; raise --limit to see them\n");
    let table = folder.aegis("trace query t --jobs --missed --format csv --output late.csv");
    assert_eq!((table.code, table.stdout.as_str()), (0, ""), "{table:?}");
    assert_eq!(std::fs::read_to_string(folder.path("late.csv")).unwrap().lines().count(), 4);
    let people = folder.aegis("trace query t --jobs --missed --limit 1");
    assert!(people.stdout.contains("short#0 released") && people.stdout.contains("... 2 more"), "{people:?}");
    assert_eq!(folder.aegis("trace query t --jobs --slower-than 1s").stdout, "no job matches\n");
}

#[test]
fn metrics_of_a_trace_and_of_a_run() {
    let folder = simulated();
    let text = folder.aegis("trace metrics t");
    assert_eq!((text.code, text.stderr.as_str()), (0, ""), "{text:?}");
    for line in ["aegisrt_deadline_misses_total{model=\"short\"} 3", "# EOF"] {
        assert!(text.stdout.lines().any(|found| found == line), "{line}: {}", text.stdout);
    }
    let otlp = folder.aegis("trace metrics t --format otlp");
    assert!(otlp.stdout.contains("\"resourceMetrics\""), "{otlp:?}");
    assert_eq!(folder.aegis("--format json trace metrics t").stdout, otlp.stdout);
    let system = "[[task]]\nname = \"a\"\nperiod = \"50 ms\"\ndeadline = \"2 s\"\nwcet = \"1000 ms\"\n\
                  sim = { time = { law = \"constant\", value = \"1 ms\" } }\n";
    folder.write("system.toml", system);
    let rejected = folder.aegis("run system.toml --metrics metrics.txt");
    assert_eq!(rejected.code, 3, "{rejected:?}");
    let metrics = std::fs::read_to_string(folder.path("metrics.txt")).unwrap();
    assert!(metrics.contains("aegisrt_admission_rejections_total{reason=\"overload\"} 1\n"), "{metrics}");
    folder.write("system.toml", system.replace("1000 ms", "10 ms"));
    let ran = folder.aegis("run system.toml --duration 100ms --metrics metrics.txt");
    assert_eq!(ran.code, 0, "{ran:?}");
    let metrics = std::fs::read_to_string(folder.path("metrics.txt")).unwrap();
    assert!(metrics.contains("aegisrt_requests_total{model=\"a\",outcome=\"met\"} 2\n"), "{metrics}");
    assert_eq!(metrics, folder.aegis("trace metrics system.aegis-trace").stdout);
}

#[test]
fn what_is_refused() {
    let folder = simulated();
    folder.write("profile.json", "[]");
    for (command, says) in [
        ("trace export t --output t", "--output: t is the trace itself"),
        ("trace export t", "--output"),
        ("trace export t --format json --output o", "invalid value 'json'"),
        ("trace export nothing --output o", "cannot read the trace"),
        ("trace export t --output no/such/folder/o", "cannot write no/such/folder/o"),
        ("trace query t --format perfetto", "invalid value 'perfetto'"),
        ("trace query t --output o", "--output: only tables go into a file"),
        ("trace query t --kind nonsense", "invalid value 'nonsense'"),
        ("trace query t --verdict late", "invalid value 'late'"),
        ("trace query t --jobs --kind step", "cannot be used with"),
        ("trace query t --missed --verdict met", "cannot be used with"),
        ("trace query t --slower-than -1ms", "--slower-than"),
        ("trace query t --format arrow", "--format arrow"),
        ("trace export t --merge-ort profile.json --output o", "write TASK=profile.json"),
        (
            "trace export t --merge-ort short=profile.json --output o",
            "profile.json: short: the trace has no execution",
        ),
        ("trace export t --merge-ort short=none.json --output o", "none.json: cannot read the profile"),
        (
            "trace export t --format csv --merge-ort short=profile.json --output o",
            "only the formats perfetto and chrome",
        ),
    ] {
        let answer = folder.aegis(command);
        let expected = if says.starts_with("cannot write") { 1 } else { 2 };
        assert_eq!(answer.code, expected, "{command}: {answer:?}");
        assert!(answer.stderr.to_lowercase().contains(&says.to_lowercase()), "{command}: {answer:?}");
        assert!(!folder.path("o").exists(), "{command}");
    }
}
