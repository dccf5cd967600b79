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
    task("§{ \"name\": \"B\", \"c_ns\": 1 }", &["task `B` states neither `t_ns` nor `arrival`; state one"]);
    task(
        "§{ \"name\": \"B\", \"t_ns\": 10 }",
        &["task `B` states none of `c_ns`, `segments_ns` and `segments`; state one"],
    );
    check("{ \"policy\": \"fifo\" §}", &["`tasks` is missing"]);
    check("{ \"tasks\": [] §}", &["`policy` is missing; add it, for the file or for each partition"]);
    check("{§}", &["`tasks` is missing"]);
}

#[test]
fn unknown_and_contradicting_fields() {
    task("{ \"name\": \"B\", §\"c_us\": 1, \"t_ns\": 10 }", &["unknown key `c_us`; known here: ", "`c_ns`"]);
    check(
        "{ §\"polcy\": \"fifo\" }",
        &["unknown key `polcy`; known here: `policy`, `tasks`, `overheads`, `partitions`, `chains`, "],
    );
    task(
        "{ \"name\": \"B\", \"c_ns\": 1, §\"c_ns\": 2, \"t_ns\": 10 }",
        &["`c_ns` is stated twice; keep one"],
    );
    task(
        "§{ \"name\": \"B\", \"c_ns\": 1, \"segments_ns\": [1], \"t_ns\": 10 }",
        &["task `B` states more than one of `c_ns`, `segments_ns` and `segments`; keep one"],
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
    task("§{ \"name\": \"A\", \"c_ns\": 1, \"t_ns\": 10 }", &["task `A`: two tasks have this name"]);
    task("§{ \"name\": \"\", \"c_ns\": 1, \"t_ns\": 10 }", &["has an empty name"]);
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

#[test]
fn segments_and_host_parts() {
    let with = |fields: &str| format!("{{ \"name\": \"B\", \"t_ns\": 10, {fields} }}");
    task(
        &with("\"segments\": [{ \"wcet_ns\": 2, §\"best\": 1 }]"),
        &["unknown key `best`; known here: `wcet_ns`, `bcet_ns`, `wcet_hi_ns`"],
    );
    task(&with("\"segments\": [{ \"bcet_ns\": 1 §}]"), &["`wcet_ns` is missing"]);
    for wrong in ["\"wcet_ns\": 2, \"bcet_ns\": 3", "\"wcet_ns\": 2, \"wcet_hi_ns\": 1"] {
        task(
            &format!("§{}", with(&format!("\"segments\": [{{ {wrong} }}]"))),
            &["task `B`", "in the order BCET, WCET, WCET of the high mode"],
        );
    }
    for (segments, host) in [("[1]", "[{\"max_ns\": 1}]"), ("[1, 1, 1]", "[{\"max_ns\": 1}]")] {
        task(
            &format!("§{}", with(&format!("\"segments_ns\": {segments}, \"host\": {host}"))),
            &["task `B`: host parts stand between segments: state one fewer than segments, or none"],
        );
    }
    task(
        &format!("§{}", with("\"segments_ns\": [1, 1], \"host\": [{\"min_ns\": 2, \"max_ns\": 1}]")),
        &["task `B`: a host part's least time is above its longest"],
    );
    task(&with("\"segments_ns\": [1, 1], \"host\": [{ \"min_ns\": 1 §}]"), &["`max_ns` is missing"]);
}

#[test]
fn arrivals() {
    let with = |fields: &str| format!("{{ \"name\": \"B\", \"c_ns\": 1, {fields} }}");
    task(
        &format!("§{}", with("\"t_ns\": 10, \"arrival\": { \"horizon_ns\": 9, \"steps\": [[1, 1]] }")),
        &["task `B` states both `t_ns` and `arrival`; state one"],
    );
    for (curve, says) in [
        ("§{ \"horizon_ns\": 9, \"steps\": [] }", "needs at least one step"),
        ("§{ \"horizon_ns\": 9, \"steps\": [[0, 1]] }", "step 0 starts at a window of 0 ns"),
        ("§{ \"horizon_ns\": 9, \"steps\": [[1, 1], [5, 1]] }", "step 1 does not grow"),
        ("§{ \"horizon_ns\": 9, \"steps\": [[1, 1], [10, 2]] }", "shorter than the window"),
        ("{ \"horizon_ns\": 9, \"steps\": [[1§]] }", "expected a list of 2 values, found 1"),
        ("{ \"horizon_ns\": 9 §}", "`steps` is missing"),
        ("§7", "expected an object, found integer `7`"),
        ("{ \"horizon_ns\": 9, \"steps\": [[1, §-1]] }", "found integer `-1`"),
    ] {
        task(&with(&format!("\"arrival\": {curve}")), &[says]);
    }
    task(
        &format!("§{}", with("\"arrival\": { \"horizon_ns\": 9, \"steps\": [[1, 1]] }, \"offset_ns\": 3")),
        &["task `B`: an offset needs a period"],
    );
    task(
        &with("\"t_ns\": 10, \"criticality\": §\"medium\""),
        &["`medium` is not known here; write", "`low`", "`high`"],
    );
}

#[test]
fn overheads() {
    let with = |overheads: &str| {
        format!(
            "{{ \"policy\": \"fifo\", \"overheads\": {overheads},\n  \"tasks\": [{{\"name\":\"A\",\"c_ns\":1,\"t_ns\":9}}] }}"
        )
    };
    check(
        &with("{ §\"start_ns\": 1 }"),
        &["unknown key `start_ns`; known here: `release_ns`, `dispatch_ns`, "],
    );
    check(&with("{ \"recovery\": { \"length_ns\": 1 §} }"), &["`gap_ns` is missing"]);
    check(
        &with("§{ \"recovery\": { \"length_ns\": 5, \"gap_ns\": 4 } }"),
        &[
            "overhead `recovery` takes 5 ns and may come again after 4 ns",
            "the gap must be at least the length",
        ],
    );
    check(&with("{ \"copy_ns\": §\"1 ms\" }"), &["expected a whole number", "found string \"1 ms\""]);
}

/// Two partitions; the place of the mistake is marked.
fn partitioned(partitions: &str, tasks: &str, says: &[&str]) {
    check(&format!("{{ \"partitions\": [{partitions}],\n  \"tasks\": [{tasks}] }}"), says);
}

#[test]
fn partitions() {
    const LEFT: &str = "{\"name\":\"left\",\"policy\":\"fifo\"}";
    const A: &str = "{\"name\":\"A\",\"c_ns\":1,\"t_ns\":9}";
    const ON_LEFT: &str = "{\"name\":\"A\",\"c_ns\":1,\"t_ns\":9,\"partition\":\"left\"}";
    check("§{ \"partitions\": [], \"tasks\": [] }", &["`partitions` is empty; state at least one"]);
    partitioned(
        "§{\"name\":\"left\"}",
        A,
        &["partition `left` states no `policy`, and neither does the file"],
    );
    partitioned("§{\"name\":\"\",\"policy\":\"fifo\"}", A, &["a partition has an empty name"]);
    partitioned(&format!("{LEFT}, §{LEFT}"), ON_LEFT, &["partition `left`: two partitions have this name"]);
    partitioned(
        "§{\"name\":\"left\",\"policy\":\"fifo\",\"interference_permille\":999}",
        A,
        &["partition `left`: an interference factor below 1", "state at least 1000"],
    );
    partitioned(
        &format!("{LEFT}, {{\"name\":\"right\",\"policy\":\"fifo\"}}"),
        &format!("§{A}"),
        &["task `A` states no `partition`, and there are 2; add one"],
    );
    partitioned(
        LEFT,
        "{\"name\":\"A\",\"c_ns\":1,\"t_ns\":9,\"partition\":§\"right\"}",
        &["no partition is named `right`; add it to `partitions`"],
    );
    partitioned(
        "{\"name\":\"left\",\"policy\":\"fifo\",\"overheads\":§{\"reload\":{\"length_ns\":2,\"gap_ns\":1}}}",
        ON_LEFT,
        &["overhead `reload`"],
    );
    // The index of a task counts within its partition there, and over the whole file here.
    partitioned(
        &format!("{LEFT}, {{\"name\":\"right\",\"policy\":\"fifo\"}}"),
        &format!("{ON_LEFT}, §{{\"name\":\"B\",\"c_ns\":0,\"t_ns\":9,\"partition\":\"right\"}}"),
        &["task `B`: WCET is 0"],
    );
}

/// Two tasks and this chain.
fn chained(chain: &str, says: &[&str]) {
    check(
        &format!(
            "{{ \"policy\": \"fifo\",\n  \"tasks\": [{{\"name\":\"A\",\"c_ns\":1,\"t_ns\":9}}, {{\"name\":\"B\",\"c_ns\":1,\"t_ns\":9}}],\n  \"chains\": [{chain}] }}"
        ),
        says,
    );
}

#[test]
fn chains() {
    chained("{ \"tasks\": [\"A\", \"B\"] §}", &["`name` is missing"]);
    chained("§{ \"name\": \"\", \"tasks\": [\"A\", \"B\"] }", &["a chain has an empty name"]);
    chained("§{ \"name\": \"c\" }", &["chain `c` states neither `tasks` nor `edges`; state one"]);
    chained(
        "§{ \"name\": \"c\", \"tasks\": [\"A\", \"B\"], \"edges\": [] }",
        &["chain `c` states both `tasks` and `edges`; state one"],
    );
    chained("§{ \"name\": \"c\", \"tasks\": [\"A\"] }", &["chain `c` needs at least two tasks"]);
    chained("§{ \"name\": \"c\", \"edges\": [] }", &["chain `c`: it has no edges"]);
    chained("{ \"name\": \"c\", \"tasks\": [\"A\", §\"C\"] }", &["chain `c`: no task is named `C`"]);
    chained("{ \"name\": \"c\", \"edges\": [[\"A\", §\"C\"]] }", &["chain `c`: no task is named `C`"]);
    chained("{ \"name\": \"c\", \"edges\": [[\"A\"§]] }", &["expected a list of 2 values, found 1"]);
    chained(
        "§{ \"name\": \"c\", \"edges\": [[\"A\", \"B\"], [\"B\", \"A\"]] }",
        &["chain `c`: its edges form a cycle"],
    );
    chained(
        "{ \"name\": \"c\", \"tasks\": [\"A\", \"B\"] },\n    §{ \"name\": \"c\", \"tasks\": [\"A\", \"B\"] }",
        &["chain `c`: two chains have this name"],
    );
    chained(
        "{ \"name\": \"c\", \"tasks\": [\"A\", \"B\"], \"trigger\": §\"clock\" }",
        &["`clock` is not known here; write", "`event`", "`time`"],
    );
}
