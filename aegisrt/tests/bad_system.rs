//! Every mistake that a system file can contain is refused with its place, in words that can be acted on.
mod common;
use common::{Folder, refuses, refuses_bytes, refuses_in};

const SIM: &str = "sim = { time = { law = \"constant\", value = \"1 ms\" } }";

/// A file that is the `task`'s lines under a heading; the place of the mistake is marked with `§`.
fn task(lines: &str, says: &[&str]) {
    check(&format!("[[task]]\n{lines}\n"), says);
}

/// A task with these lines more.
fn more(lines: &str, says: &[&str]) {
    task(&format!("name = \"camera\"\n{SIM}\n{lines}"), says);
}

/// A system with one sound task after these lines.
fn before(lines: &str, says: &[&str]) {
    check(
        &format!("{lines}\n\n[[task]]\nname = \"camera\"\n{SIM}\nperiod = \"20 ms\"\nwcet = \"1 ms\"\n"),
        says,
    );
}

fn check(content: &str, says: &[&str]) {
    refuses("admit system.toml", "system.toml", content, says);
}

#[test]
fn missing_fields() {
    check(&format!("§[[task]]\n{SIM}\nperiod = \"20 ms\"\n"), &["`name` is missing; add it"]);
    check(
        "§[[task]]\nname = \"camera\"\nperiod = \"20 ms\"\n",
        &["task `camera` has no model", "add `model = \"file.onnx\"` or a `sim` table"],
    );
    check(
        &format!("§[[task]]\nname = \"camera\"\n{SIM}\n"),
        &["task `camera` states neither `period` nor `min_inter_arrival`; add one"],
    );
    check("§[policy]\nkind = \"edf\"\n", &["no [[task]]"]);
    check("§", &["no [[task]]; state at least one"]);
    check("§# nothing\n", &["no [[task]]"]);
}

#[test]
fn times_and_sizes() {
    for (value, says) in [
        ("\"-5 ms\"", "`-5 ms` is negative"),
        ("-5", "`-5` is negative"),
        ("\"99999999999999 s\"", "`99999999999999 s` is too large; the most is 18446744073 s"),
        ("\"20 hours\"", "unknown unit `hours` in `20 hours`; write one of ns, us, ms, s"),
        ("\"20 MiB\"", "unknown unit `MiB`"),
        ("20", "`20` has no unit; write one of ns, us, ms, s, as in `20 ms`"),
        ("2.5", "`2.5` has no unit"),
        ("\"20\"", "`20` has no unit"),
        ("\"\"", "`` is not a quantity; write a number and a unit, as in `20 ms`"),
        ("\"soon\"", "`soon` is not a quantity"),
        ("\"0.5 ns\"", "finer than one nanosecond"),
        ("nan", "`NaN` is not a quantity"),
        ("true", "expected a time in quotes, as in \"20 ms\", found boolean `true`"),
        ("[\"20 ms\"]", "expected a time in quotes, as in \"20 ms\", found a list"),
        ("{ ms = 20 }", "expected a time in quotes, as in \"20 ms\", found a table"),
    ] {
        for field in ["period", "min_inter_arrival"] {
            more(&format!("{field} = §{value}"), &[says]);
        }
        for field in ["deadline", "jitter", "offset", "wcet", "budget"] {
            more(&format!("period = \"20 ms\"\n{field} = §{value}"), &[says]);
        }
    }
    for (value, says) in [
        ("\"20 ms\"", "unknown unit `ms` in `20 ms`; write one of B, kB, MB, GB, KiB, MiB, GiB"),
        ("512", "`512` has no unit"),
        ("\"-1 MiB\"", "is negative"),
        ("\"0.3 B\"", "finer than one byte"),
        ("\"99999999999999999999 GiB\"", "is too large"),
        ("false", "expected a size in quotes, as in \"512 MiB\", found boolean `false`"),
    ] {
        more(&format!("period = \"20 ms\"\nmemory_limit = §{value}"), &[says]);
        before(&format!("[device]\nmemory = §{value}"), &[says]);
    }
    for field in ["release", "dispatch", "completion"] {
        before(&format!("[overhead]\n{field} = §\"-1 ms\""), &["`-1 ms` is negative"]);
    }
}

#[test]
fn zeros_and_extremes() {
    more("period = §\"0 ms\"", &["task `camera`: period is 0; it must be at least 1 ns"]);
    more("min_inter_arrival = §\"0 s\"", &["task `camera`: period is 0"]);
    more("period = \"1 s\"\ndeadline = §\"0 ms\"", &["task `camera`: deadline is 0"]);
    more("period = \"1 s\"\nwcet = §\"0 ms\"", &["task `camera`: WCET is 0"]);
    more("period = \"1 s\"\nbudget = §\"0 ms\"", &["task `camera`: budget is 0"]);
    more("period = \"1 s\"\nqueue = §0", &["task `camera`: queue is 0; it must hold at least 1 job"]);
    more(
        "period = \"1 s\"\nqueue = §-1",
        &["expected a whole number from 0 to 4294967295, found integer `-1`"],
    );
    more(
        "period = \"1 s\"\nqueue = §1.5",
        &["expected a whole number from 0 to 4294967295, found floating point `1.5`"],
    );
    more("period = \"1 s\"\nqueue = §10001", &["task `camera`: queue is 10001; the most is 10000"]);
    more("period = §\"10000000000 s\"", &["task `camera`: period does not fit"]);
    more("period = \"1 s\"\ndeadline = §\"10000000000 s\"", &["deadline does not fit"]);
    more("period = \"1 s\"\njitter = §\"10000000000 s\"", &["jitter with the release overhead does not fit"]);
    more("period = \"1 s\"\nwcet = §\"10000000000 s\"", &["WCET with overheads does not fit"]);
    more(
        "period = \"1 s\"\nwcet = §\"5 ms\"\nbudget = \"4 ms\"",
        &["task `camera`: wcet 5 ms is longer than its compute budget 4 ms"],
    );
}

#[test]
fn runs_that_cannot_support_the_claim() {
    let system = |runs: &str| {
        format!(
            "[profile]\nruns = {runs}\nexceedance = 0.05\n[[task]]\nname = \"a\"\n{SIM}\nperiod = \"9 ms\"\n"
        )
    };
    check(&system("§58"), &["58 runs cannot show", "59 are needed"]);
}

#[test]
fn unknown_keys_list_the_known_ones() {
    before(
        "§polcy = 1",
        &["unknown key `polcy`; known here: `device`, `policy`, `overhead`, `profile`, `task`"],
    );
    more("period = \"1 s\"\n§dealine = \"1 s\"", &["unknown key `dealine`; known here: ", "`deadline`"]);
    before("[policy]\n§knd = \"edf\"", &["unknown key `knd`; known here: `kind`, `order`"]);
    before("[profile]\n§exceed = 0.1", &["unknown key `exceed`; known here: ", "`exceedance`, `confidence`"]);
    before(
        "[device]\n§mem = \"1 GiB\"",
        &["unknown key `mem`; known here: `memory`, `threads`, `ort_library`"],
    );
    before(
        "[overhead]\n§relase = \"1 ms\"",
        &[
            "known here: `release`, `dispatch`, `launch`, `copy`, `completion`, `recovery`, `clock_change`, `reload`",
        ],
    );
    before(
        "[policy]\nkind = §\"round-robin\"",
        &["`round-robin` is not known here", "`edf`", "`fixed-priority`"],
    );
    before("[policy]\nkind = §3", &["expected a word in quotes"]);
    before("[policy]\nkind = \"fixed-priority\"\norder = §\"random\"", &["`random` is not known here"]);
}

#[test]
fn wrong_types() {
    task(&format!("name = §5\n{SIM}\nperiod = \"1 s\""), &["expected a string, found integer `5`"]);
    task("name = \"camera\"\nmodel = §[1]\nperiod = \"1 s\"", &["expected a string, found a list"]);
    task(
        "name = \"camera\"\nsim = §\"fast\"\nperiod = \"1 s\"",
        &["expected a table, found string \"fast\""],
    );
    more("period = \"1 s\"\npriority = §\"high\"", &["expected a whole number from 0"]);
    more("period = \"1 s\"\nbackend = §7", &["expected a string, found integer `7`"]);
    more("period = \"1 s\"\nstreams = §-2", &["expected a whole number from 0"]);
    before("device = §4", &["expected a table, found integer `4`"]);
    before(
        "[device]\nthreads = §\"two\"",
        &["expected a whole number from 0 to 4294967295, found string \"two\""],
    );
    before("[profile]\nexceedance = §\"low\"", &["expected a number, found string \"low\""]);
    before("[profile]\nruns = §-3", &["expected a whole number from 0 to 18446744073709551615"]);
    check(
        &format!("§[task]\nname = \"camera\"\n{SIM}\nperiod = \"1 s\"\n"),
        &["write [[task]] with two brackets"],
    );
    check("task = §3\n", &["expected a list, found integer `3`"]);
    check("task = [§3]\n", &["expected a table, found integer `3`"]);
}

#[test]
fn contradictions() {
    more(
        "period = \"1 s\"\nmin_inter_arrival = §\"1 s\"",
        &["task `camera` states both `period` and `min_inter_arrival`; keep one"],
    );
    task(
        "name = \"camera\"\nmodel = \"a.onnx\"\nsim = §{}\nperiod = \"1 s\"",
        &["task `camera` states both `model` and `sim`; keep one"],
    );
}

#[test]
fn names_and_priorities() {
    let two = |first: &str, second: &str| {
        format!("[[task]]\n{SIM}\nperiod = \"1 s\"\n{first}\n\n[[task]]\n{SIM}\nperiod = \"1 s\"\n{second}\n")
    };
    check(&two("name = \"a\"", "name = §\"a\""), &["two tasks are named `a`; names must be unique"]);
    check(&two("name = \"a\"", "name = §\"\""), &["task 1 has an empty name"]);
    let some = two("name = \"a\"\npriority = 1", "name = \"b\"");
    let at = some.rfind("[[task]]").unwrap();
    check(
        &format!("{}§{}", &some[..at], &some[at..]),
        &["task `b` states no priority while others do; state one for every task or for none"],
    );
    for kind in ["edf", "fifo"] {
        before(
            &format!("[policy]\nkind = \"{kind}\"\norder = §\"rate-monotonic\""),
            &["`order` means something only with kind = \"fixed-priority\""],
        );
    }
}

#[test]
fn probabilities() {
    for field in ["exceedance", "confidence"] {
        for (value, shown) in [
            ("0", "0"),
            ("0.0", "0"),
            ("1", "1"),
            ("2", "2"),
            ("-0.5", "-0.5"),
            ("nan", "NaN"),
            ("inf", "inf"),
        ] {
            before(
                &format!("[profile]\n{field} = §{value}"),
                &[&format!("{field} is {shown}; it must be above 0 and below 1")],
            );
        }
    }
}

#[test]
fn not_toml() {
    for (content, says) in [
        ("[[task]\nname = 1", ""),
        ("[[task]]\nname = \"a", ""),
        ("[[task]]\nname =\n", ""),
        ("[[task]]\nname = \"a\"\nname = \"b\"\n", "duplicate key"),
        ("{\"task\": []}", ""),
        ("just words", ""),
        ("a = 99999999999999999999999999999999999999999", ""),
    ] {
        let folder = Folder::with("system.toml", content);
        let error = &folder.json("admit system.toml", 2)["error"];
        assert_eq!(error["code"], "bad_file");
        assert!(error["line"].as_u64() >= Some(1) && error["column"].as_u64() >= Some(1), "{error}");
        assert!(error["message"].as_str().unwrap().len() > 5, "{error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
}

#[test]
fn not_a_readable_file() {
    let folder = Folder::new();
    refuses_in(
        &folder,
        "admit none.toml",
        "none.toml",
        &["there is no such system file", "aegis init"],
        None,
    );
    std::fs::create_dir(folder.path("folder")).unwrap();
    refuses_in(&folder, "admit folder", "folder", &["is a folder; name the file"], None);
    let latin = b"[[task]]\nname = \"cam\xe9ra\"\n";
    refuses_bytes("admit system.toml", "system.toml", latin, &["not UTF-8"], Some((2, 12)));
    refuses_bytes("admit system.toml", "system.toml", b"\xff\xfe[\0", &["not UTF-8"], Some((1, 1)));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let text = format!(
        "\u{feff}[[task]]\r\nname = \"camera\"\r\n{SIM}\r\nperiod = \"20 ms\"\r\nwcet = \"1 ms\"\r\n"
    );
    let folder = Folder::with("system.toml", text);
    assert_eq!(folder.aegis("admit system.toml").code, 0);
}

#[test]
fn the_message_shows_the_line_and_a_mark_under_it() {
    let folder =
        Folder::with("system.toml", format!("[[task]]\nname = \"camera\"\n{SIM}\nperiod = \"20 hours\"\n"));
    let shown = folder.aegis("check system.toml").stderr;
    assert!(shown.contains("system.toml:4:10: unknown unit `hours`"), "{shown}");
    assert!(shown.contains("4 │ period = \"20 hours\""), "{shown}");
    assert!(shown.contains("here"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours without a terminal: {shown:?}");
}

/// Whatever is broken in a file, it is a system or an error that can be shown and points into the file.
#[test]
fn mangled_files_are_read_or_refused_with_a_place() {
    let sound = include_bytes!("../src/command/init.toml");
    let mut refused = 0;
    for seed in 0..3000 {
        let text = String::from_utf8_lossy(&common::mangled(sound, seed)).into_owned();
        let lines = text.matches('\n').count() + 1;
        if let Err(error) = aegisrt::SystemFile::parse("system.toml".as_ref(), text) {
            refused += 1;
            let (line, column) = error.position().unwrap_or_else(|| panic!("seed {seed}: {error}"));
            assert!(line <= lines && column >= 1, "seed {seed}: {error}");
            assert!(
                error.render(false).contains(error.message().split(' ').next().unwrap()),
                "seed {seed}: {error}"
            );
        }
    }
    assert!((1000..3000).contains(&refused), "{refused} of 3000");
}

mod models {
    use super::*;

    /// A system whose one model is the file `net.onnx` with these bytes; the mistake is at the line of the model.
    fn check(bytes: Option<&[u8]>, says: &[&str]) {
        let folder = Folder::with(
            "system.toml",
            "[[task]]\nname = \"camera\"\nmodel = \"net.onnx\"\nperiod = \"1 s\"\nwcet = \"1 ms\"\n",
        );
        if let Some(bytes) = bytes {
            folder.write("net.onnx", bytes);
        }
        for command in ["check", "plan", "run", "profile"] {
            refuses_in(&folder, &format!("{command} system.toml"), "system.toml", says, Some((3, 9)));
        }
        refuses_in(&folder, "inspect net.onnx", "net.onnx", &["model"], None);
    }

    #[test]
    fn files_that_are_no_models() {
        check(None, &["task `camera`: cannot read the model", "net.onnx", "No such file"]);
        check(Some(b""), &["the file is empty"]);
        check(Some(b"hello, I am text\n"), &["is not a model"]);
        check(Some(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\x06"), &["is not a model"]);
        let mut rng = aegisrt::core::Rng::new(5);
        let noise: Vec<u8> = (0..4096).map(|_| rng.bits().to_le_bytes()[0]).collect();
        check(Some(&noise), &["net.onnx"]);
        let sound = aegisrt::zoo::bytes(&aegisrt::zoo::MODELS[4]);
        for part in [10, sound.len() / 2, sound.len() - 1] {
            check(Some(&sound[..part]), &["net.onnx"]);
        }
    }

    #[test]
    fn a_folder_instead_of_a_model() {
        let folder = Folder::with(
            "system.toml",
            "[[task]]\nname = \"camera\"\nmodel = \"net.onnx\"\nperiod = \"1 s\"\nwcet = \"1 ms\"\n",
        );
        std::fs::create_dir(folder.path("net.onnx")).unwrap();
        refuses_in(&folder, "check system.toml", "system.toml", &["cannot read the model"], Some((3, 9)));
    }

    #[test]
    fn simulated_models() {
        let check = |sim: &str, says: &[&str]| {
            let text = format!("[[task]]\nname = \"camera\"\nperiod = \"1 s\"\nsim = §{sim}\n");
            refuses("check system.toml", "system.toml", &text, says);
        };
        check("{ time = { law = \"pareto\" } }", &["`camera`", "`pareto`", "`constant`"]);
        check("{ time = { law = \"constant\" } }", &["`value`"]);
        check("{}", &["it is blank; write at least how long it takes, as `time`"]);
        check("{ wieghts = \"1 MiB\" }", &["`wieghts`", "`weights`"]);
        check(
            "{ time = { law = \"uniform\", low = \"2 ms\", high = \"1 ms\" } }",
            &["low = 2 ms is above high = 1 ms"],
        );
    }

    #[test]
    fn backends() {
        let text = "[[task]]\nname = \"camera\"\nmodel = \"net.onnx\"\nbackend = \"rtn\"\nperiod = \"1 s\"\n";
        let folder = Folder::with("system.toml", text);
        folder.write("net.onnx", aegisrt::zoo::bytes(&aegisrt::zoo::MODELS[4]));
        let says = ["task `camera`: unknown backend `rtn`", "rten, ort, sim, trt, tvm"];
        refuses_in(&folder, "check system.toml", "system.toml", &says, Some((4, 11)));
        let inspected = folder.aegis("inspect net.onnx --backend rtn");
        assert_eq!(inspected.code, 2);
        assert!(inspected.stderr.contains("unknown backend `rtn`"), "{inspected:?}");
    }

    #[cfg(not(feature = "tvm"))]
    #[test]
    fn a_backend_that_is_not_built() {
        let text = "[[task]]\nname = \"camera\"\nmodel = \"net.onnx\"\nbackend = \"tvm\"\nperiod = \"1 s\"\n";
        let folder = Folder::with("system.toml", text);
        folder.write("net.onnx", aegisrt::zoo::bytes(&aegisrt::zoo::MODELS[4]));
        let error = &folder.json("check system.toml", 2)["error"];
        assert_eq!(error["code"], "backend_unavailable");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("backend `tvm` is not in this build; rebuild with"), "{message}");
    }
}

#[test]
fn overheads() {
    for field in ["launch", "copy"] {
        before(&format!("[overhead]\n{field} = §\"-1 ms\""), &["`-1 ms` is negative"]);
    }
    for stall in ["recovery", "clock_change", "reload"] {
        let with = |table: &str| format!("[overhead]\n{stall} = {table}");
        before(&with("§\"1 ms\""), &["expected a table"]);
        before(&with("§{ length = \"1 ms\" }"), &["`gap` is missing; add it"]);
        before(&with("{ length = §1, gap = \"1 s\" }"), &["`1` has no unit"]);
        before(&with("{ length = \"1 ms\", gap = \"1 s\", §often = 1 }"), &["known here: `length`, `gap`"]);
        before(
            &with("§{ length = \"2 ms\", gap = \"1 ms\" }"),
            &[&format!("overhead `{stall}` takes 2 ms and may come again after 1 ms"), "at least the length"],
        );
    }
}
