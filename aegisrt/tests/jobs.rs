//! `aegis admit --jobs`: the answer as text, JSON and CSV, and every mistake in its files with its place.
mod common;
use common::Folder;

/// A job of 1 to 2 every 10 next to longer ones: an early end lets the longest start just before job 2.
const JOBS: &str = "Task ID, Job ID, Arrival min, Arrival max, Cost min, Cost max, Deadline, Priority
1, 1,  0,  0, 1,  2, 10, 10
1, 2, 10, 10, 1,  2, 20, 20
2, 1,  0,  0, 7,  8, 30, 30
3, 1,  0,  0, 3, 13, 60, 60
";

#[test]
fn text_json_and_csv() {
    let folder = Folder::with("jobs.csv", JOBS);
    let answer = folder.aegis("admit --jobs jobs.csv --completions ends.csv");
    assert_eq!(answer.code, 3, "{answer:?}");
    let out = &answer.stdout;
    assert!(
        out.starts_with("REJECTED: in some schedule T1J2 may end at 24 ns, after its deadline of 20 ns"),
        "{out}"
    );
    assert!(
        out.contains("every schedule was looked at: ") && out.contains("each time above is attained"),
        "{out}"
    );
    let ends = std::fs::read_to_string(folder.path("ends.csv")).unwrap();
    let expected = "Task ID, Job ID, BCCT, WCCT, BCRT, WCRT
1, 1, 1, 2, 1, 2
1, 2, 11, 24, 1, 14
2, 1, 8, 10, 8, 10
3, 1, 11, 25, 11, 25
";
    assert_eq!(ends, expected);

    let json = folder.json("admit --jobs jobs.csv", 3);
    assert_eq!((&json["outcome"], &json["exact"]), (&"misses".into(), &true.into()));
    assert_eq!(json["late"]["job"], 2);
    assert_eq!(json["jobs"][1]["worst_completion_ns"], 24);
    assert_eq!(json["exploration"]["end"], "complete");

    // With the long job behind job 2 nothing is missed.
    folder.write("edges.csv", "from, job, to, job, min, max\n1,2,3,1,0,5\n");
    let json = folder.json("admit --jobs jobs.csv --prec edges.csv", 0);
    assert_eq!((&json["outcome"], &json["admitted"]), (&"meets".into(), &true.into()));
    let answer = folder.aegis("admit --jobs jobs.csv --prec edges.csv");
    assert!(
        answer.stdout.starts_with("ADMITTED: every job meets its deadline in every schedule"),
        "{answer:?}"
    );
}

/// What is wrong with these lines, at this place.
#[track_caller]
fn refused(jobs: &str, edges: Option<&str>, says: &[&str]) {
    let folder = Folder::with("jobs.csv", jobs);
    let answer = match edges {
        None => folder.aegis("admit --jobs jobs.csv"),
        Some(edges) => {
            folder.write("edges.csv", edges);
            folder.aegis("admit --jobs jobs.csv --prec edges.csv")
        }
    };
    assert_eq!(answer.code, 2, "{answer:?}");
    for says in says {
        assert!(answer.stderr.contains(says), "{answer:?}");
    }
}

#[test]
fn mistakes_in_jobs() {
    refused("", None, &["the job set is empty"]);
    refused("a header\n", None, &["the job set is empty"]);
    refused("1,1,0,0,1,2,10\n", None, &["jobs.csv:1:1", "7 columns; expected task, job, release min"]);
    refused(
        "task\n1, 1, 0, 0, x, 2, 10, 1\n",
        None,
        &["jobs.csv:2:13", "column `cost min`: `x` is not a whole"],
    );
    refused(
        "1,1,0,0,1.5,2,10,1\n",
        None,
        &["jobs.csv:1:9", "`1.5` is not a whole number; times are whole ns"],
    );
    refused("1,1,-3,0,1,2,10,1\n", None, &["jobs.csv:1:5", "`-3` is negative"]);
    refused("1,1,,0,1,2,10,1\n", None, &["jobs.csv:1:5", "column `release min`: is empty"]);
    refused("1,1,0,0,1,2,99999999999999999999,1\n", None, &["jobs.csv:1:13", "is too large"]);
    refused("1,1,0,0,1,2,10,1,2\n", None, &["jobs.csv:1:18", "more than 8 columns"]);
    refused(
        "1,1,0,0,3,2,10,1\n",
        None,
        &["jobs.csv:1:1", "the least execution time (3 ns) is above the most (2 ns)"],
    );
    refused("1,1,0,0,1,2,10,1\n\n1,1,0,0,1,2,10,1\n", None, &["jobs.csv:3:1", "job T1J1 is stated twice"]);
    refused("1,1,0,0,1,9223372036854775807,10,1\n", None, &["jobs.csv:1:1", "more than 2^61 ns"]);
}

#[test]
fn mistakes_in_edges() {
    let jobs = "1,1,0,0,1,2,10,1,0\r\n1,2,0,0,1,2,10,1,\n";
    refused(jobs, Some("1,1,1\n"), &["edges.csv:1:1", "3 columns; expected from task"]);
    refused(jobs, Some("1,1,1,2,5\n"), &["edges.csv:1:1", "5 columns"]);
    refused(jobs, Some("h\n1,1,1,7\n"), &["edges.csv:2:1", "there is no job T1J7 in the job set"]);
    refused(
        jobs,
        Some("1,1,1,2,5,4\n"),
        &["edges.csv:1:1", "the least delay (5 ns) is above the most (4 ns)"],
    );
    refused(
        jobs,
        Some("1,1,1,2,0,4,s\n"),
        &["edges.csv:1:13", "edges from the start of a job are not supported"],
    );
    refused(
        jobs,
        Some("1,1,1,2\n1,2,1,1\n"),
        &["jobs.csv:", "waits for itself through the precedence edges"],
    );
}

#[test]
fn arguments() {
    let folder = Folder::with("jobs.csv", JOBS);
    for command in
        ["admit --prec e.csv", "admit --jobs jobs.csv --tasks t.json", "admit system.toml --jobs jobs.csv"]
    {
        assert_eq!(folder.aegis(command).code, 2, "{command}");
    }
    let missing = folder.aegis("admit --jobs none.csv");
    assert!(missing.code == 2 && missing.stderr.contains("cannot read the job set"), "{missing:?}");
}
