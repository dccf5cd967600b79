//! Every mistake that a task set in JSON can contain is refused with its place, in words that can be acted on.
mod common;
use common::{Folder, refuses, refuses_bytes, refuses_in};

fn check(content: &str, says: &[&str]) {
    refuses("admit --tasks tasks.json", "tasks.json", content, says);
    let (content, place) = common::marked(content);
    refuses_bytes("simulate --tasks tasks.json", "tasks.json", content.as_bytes(), says, place);
}

/// A set with this task as its second.
fn task(json: &str, says: &[&str]) {
    check(
        &format!(
            "{{\n  \"policy\": \"np-edf\",\n  \"tasks\": [\n    {{ \"name\": \"A\", \"c_ns\": 1, \"t_ns\": 10 }},\n    {json}\n  ]\n}}\n"
        ),
        says,
    );
}

/// The times that a task must state, without this one.
fn all_but(field: &str) -> String {
    ["\"c_ns\": 1, ", "\"t_ns\": 10, "].into_iter().filter(|stated| !stated.contains(field)).collect()
}

#[test]
fn missing_fields() {
    task("{ \"c_ns\": 1, \"t_ns\": 10 §}", &["`name` is missing; add it"]);
    task("{ \"name\": \"B\", \"c_ns\": 1 §}", &["`t_ns` is missing; add it"]);
    task(
        "§{ \"name\": \"B\", \"t_ns\": 10 }",
        &["task `B` states neither `c_ns` nor `segments_ns`; state one"],
    );
    check("{ \"policy\": \"fifo\" §}", &["`tasks` is missing"]);
    check("{ \"tasks\": [] §}", &["`policy` is missing"]);
    check("{§}", &["`policy` is missing"]);
}

#[test]
fn unknown_and_contradicting_fields() {
    task("{ \"name\": \"B\", §\"c_us\": 1, \"t_ns\": 10 }", &["unknown key `c_us`; known here: ", "`c_ns`"]);
    check(
        "{ §\"polcy\": \"fifo\" }",
        &["unknown key `polcy`; known here: `policy`, `tasks`, `overheads`, `schema_version`"],
    );
    task(
        "{ \"name\": \"B\", \"c_ns\": 1, §\"c_ns\": 2, \"t_ns\": 10 }",
        &["`c_ns` is stated twice; keep one"],
    );
    task(
        "§{ \"name\": \"B\", \"c_ns\": 1, \"segments_ns\": [1], \"t_ns\": 10 }",
        &["task `B` states both `c_ns` and `segments_ns`; state one"],
    );
    for policy in ["edff", "NP-EDF", "round-robin", ""] {
        check(
            &format!("{{ \"policy\": §\"{policy}\", \"tasks\": [] }}"),
            &[&format!("`{policy}` is not known here; write one of: "), "`np-edf`", "`np-fp`", "`fifo`"],
        );
    }
}

#[test]
fn numbers() {
    for field in ["c_ns", "t_ns", "d_ns", "j_ns"] {
        let others = all_but(field);
        for (value, says) in [
            ("-5", "expected a whole number from 0 to 18446744073709551615, found integer `-5`"),
            ("1.5", "expected a whole number from 0 to 18446744073709551615, found floating point `1.5`"),
            ("1e3", "expected a whole number from 0 to 18446744073709551615, found floating point `1000.0`"),
            (
                "99999999999999999999",
                "expected a whole number from 0 to 18446744073709551615, found floating point",
            ),
            ("\"20 ms\"", "expected a whole number from 0 to 18446744073709551615, found string \"20 ms\""),
            ("true", "expected a whole number from 0 to 18446744073709551615, found boolean `true`"),
        ] {
            task(&format!("{{ {others}\"{field}\": §{value}, \"name\": \"B\" }}"), &[says]);
        }
        task(&format!("{{ {others}\"{field}\": §1e999, \"name\": \"B\" }}"), &["number out of range"]);
    }
    task("{ \"name\": \"B\", \"segments_ns\": [1, §-1], \"t_ns\": 10 }", &["found integer `-1`"]);
    task("{ \"name\": \"B\", \"segments_ns\": §5, \"t_ns\": 10 }", &["expected a list, found integer `5`"]);
    task("{ \"name\": §5, \"c_ns\": 1, \"t_ns\": 10 }", &["expected a string, found integer `5`"]);
    task("{ \"name\": \"B\", \"c_ns\": 1, \"t_ns\": 10, \"priority\": §-1 }", &["found integer `-1`"]);
    task("§5", &["expected an object, found integer `5`"]);
    check("{ \"policy\": \"fifo\", \"tasks\": §5 }", &["expected a list, found integer `5`"]);
}

#[test]
fn values() {
    task(
        "§{ \"name\": \"B\", \"c_ns\": 0, \"t_ns\": 10 }",
        &["task `B`: WCET is 0; it must be at least 1 ns"],
    );
    task("§{ \"name\": \"B\", \"c_ns\": 1, \"t_ns\": 0 }", &["task `B`: period is 0"]);
    task("§{ \"name\": \"B\", \"c_ns\": 1, \"t_ns\": 1, \"d_ns\": 0 }", &["task `B`: deadline is 0"]);
    task(
        "§{ \"name\": \"B\", \"segments_ns\": [], \"t_ns\": 10 }",
        &["task `B` has no segments; state at least one"],
    );
    task("§{ \"name\": \"B\", \"segments_ns\": [1, 0], \"t_ns\": 10 }", &["task `B`: WCET is 0"]);
    task("§{ \"name\": \"A\", \"c_ns\": 1, \"t_ns\": 10 }", &["two tasks are named `A`"]);
    task("§{ \"name\": \"\", \"c_ns\": 1, \"t_ns\": 10 }", &["task 1 has an empty name"]);
    for (field, big) in [
        ("c_ns", "4611686018427387905"),
        ("t_ns", "18446744073709551615"),
        ("d_ns", "4611686018427387905"),
        ("j_ns", "18446744073709551615"),
    ] {
        let others = all_but(field);
        task(
            &format!("§{{ {others}\"{field}\": {big}, \"name\": \"B\" }}"),
            &["task `B`: ", "does not fit", "2^62 ns"],
        );
    }
    task(
        "§{ \"name\": \"B\", \"segments_ns\": [9223372036854775808, 9223372036854775808], \"t_ns\": 10 }",
        &["WCET with overheads does not fit"],
    );
    check("§{ \"policy\": \"np-fp\", \"tasks\": [] }", &["the task set is empty; state at least one task"]);
}

#[test]
fn not_json() {
    check("§", &["the file ends inside a value"]);
    check("{ \"policy\": \"fifo\", \"tasks\": [{ \"name\": \"§B", &["the file ends inside a string"]);
    check("{ \"policy\": \"fifo\", \"tasks\": [], §}", &["trailing comma"]);
    check(
        "{ \"policy\": \"fifo\", \"tasks\": [{\"name\":\"B\",\"c_ns\":1,\"t_ns\":9}] } §x",
        &["trailing characters"],
    );
    check("[§[task]]", &["expected value"]);
    check("§policy = 1", &["expected value"]);
    let deep = "[".repeat(100_000);
    refuses_bytes("admit --tasks tasks.json", "tasks.json", deep.as_bytes(), &[], Some((1, 2)));
    let nested = format!("{{ \"policy\": \"fifo\", \"tasks\": [{deep}");
    let folder = Folder::with("tasks.json", nested);
    let answer = folder.aegis("admit --tasks tasks.json");
    assert_eq!(answer.code, 2);
    assert!(answer.stderr.len() < 500, "a line of 100 kB is not shown: {} bytes", answer.stderr.len());
}

#[test]
fn not_a_readable_file() {
    let folder = Folder::new();
    refuses_in(
        &folder,
        "admit --tasks none.json",
        "none.json",
        &["cannot read the task set", "No such file"],
        None,
    );
    std::fs::create_dir(folder.path("folder")).unwrap();
    refuses_in(&folder, "admit --tasks folder", "folder", &["is a folder"], None);
    let bytes = b"{ \"policy\": \"\xc3\x28\" }";
    refuses_bytes("admit --tasks tasks.json", "tasks.json", bytes, &["not UTF-8"], Some((1, 14)));
}

#[test]
fn a_byte_order_mark_is_fine() {
    let text =
        "\u{feff}{ \"policy\": \"fifo\", \"tasks\": [{ \"name\": \"A\", \"c_ns\": 1, \"t_ns\": 10 }] }";
    assert_eq!(Folder::with("tasks.json", text).aegis("admit --tasks tasks.json").code, 0);
}

#[test]
fn extremes_that_are_valid_get_an_answer() {
    let big = 1u64 << 62;
    for policy in ["np-edf", "np-fp", "fifo"] {
        for (c, t, d) in
            [(big, big, big), (1, big, big), (1, 1, 1), (big, 1, 1), (1, big, 1), (big - 1, big, big)]
        {
            let task = |name: &str| {
                format!("{{\"name\":\"{name}\",\"c_ns\":{c},\"t_ns\":{t},\"d_ns\":{d},\"j_ns\":{big}}}")
            };
            let text = format!("{{\"policy\":\"{policy}\",\"tasks\":[{},{}]}}", task("A"), task("B"));
            let folder = Folder::with("tasks.json", text);
            let admitted = folder.aegis("--format json admit --tasks tasks.json");
            assert!([0, 3].contains(&admitted.code), "{admitted:?}");
            let value = admitted.json();
            assert_eq!(value["admitted"], admitted.code == 0);
            assert_eq!(value["reasons"].as_array().unwrap().is_empty(), admitted.code == 0, "{value}");
            for options in ["--duration 1us", "--adversarial 10"] {
                let simulated = folder.aegis(&format!("simulate --tasks tasks.json {options}"));
                assert!([0, 2, 3].contains(&simulated.code), "{simulated:?}");
            }
        }
    }
}

/// Whatever is broken in a file, the command answers.
#[test]
fn mangled_files_get_an_answer() {
    let sound = std::fs::read(common::examples().join("mvp.json")).unwrap();
    let folder = Folder::new();
    for seed in 0..80 {
        folder.write("tasks.json", common::mangled(&sound, seed));
        let answer = folder.aegis("admit --tasks tasks.json");
        assert!([0, 2, 3].contains(&answer.code), "seed {seed}: {answer:?}");
    }
}
