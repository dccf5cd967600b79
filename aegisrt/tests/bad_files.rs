//! Mistakes in the other files and in arguments: buffers, samples, traces, jobs, times, options.
mod common;
use common::{Folder, examples, refuses, refuses_bytes, refuses_in};

#[test]
fn buffers() {
    const H: &str = "id,lower,upper,size\n";
    const G: &str = "id,lower,upper,size,alignment,gaps\n";
    let check = |content: String, says: &str| {
        refuses("plan --buffers buffers.csv", "buffers.csv", &content, &[says]);
    };
    check(String::new(), "no buffers; expected the header `id,lower,upper,size");
    check(H.into(), "no buffers");
    check("§id,lower,size\na,1,2\n".into(), "the header has no column `upper`");
    check("§id,lower,upper,size,offset\n".into(), "unknown column `offset`; known are `id`");
    check("§id,lower,upper,size,size\n".into(), "column `size` stands twice");
    check(format!("{H}a,0,1,2\n§b,0,1\n"), "3 fields, the header has 4: `b,0,1`");
    check(format!("{H}§a,0,x1,4\n"), "column `upper`: `x1` is not a whole number");
    check(format!("{H}§a,0,1,1.5\n"), "column `size`: `1.5` is not a whole number");
    check(format!("{H}§a,0,1,-5\n"), "column `size`: `-5` is negative");
    check(format!("{H}§a,0,1,18446744073709551616\n"), "is too large; the most is 18446744073709551615");
    check(format!("{H}§a,0,1,\n"), "column `size`: `` is empty");
    check(format!("{H}§,0,1,5\n"), "column `id`: `` is empty");
    check(format!("{H}§a,4,4,5\n"), "`4` is not above `lower`, which is 4");
    check(format!("{H}a,0,1,5\n§a,2,3,5\n"), "`a` is already the id of line 2");
    check(format!("{H}a,0,1,18446744073709551615\nb,0,1,5\n"), "buffer");
    check(format!("{G}§a,0,9,5,0,\n"), "`0` must be at least 1");
    check(format!("{G}§a,0,9,5,1,3\n"), "`3` is not a gap; write `a-b`");
    check(format!("{G}§a,0,9,5,1,3-4@0:7\n"), "has a window `@lo:hi`, which is not supported");
    check(format!("{G}§a,2,9,5,1,1-4\n"), "is empty or not inside the lifetime [2, 9)");
    check(format!("{G}§a,2,9,5,1,5-9 2-5\n"), "leaves no instant");
    refuses_bytes("plan --buffers b.csv", "b.csv", b"id,lower\n\xff", &["not UTF-8"], Some((2, 1)));
    let none = Folder::new();
    refuses_in(&none, "plan --buffers none.csv", "none.csv", &["cannot read the buffers"], None);
}

#[test]
fn samples() {
    let check = |content: &str, says: &str| {
        refuses("profile --samples samples.csv", "samples.csv", content, &[says]);
    };
    check("100\n§-5\n", "`-5` is not an execution time in whole nanoseconds");
    check("100\n  §1.5\n", "`1.5` is not an execution time in whole nanoseconds");
    check("time_ns\n100\n§garbage\n", "`garbage` is not an execution time");
    check("§100,200\n", "`100,200` is not an execution time");
    check("100\n§99999999999999999999\n", "the most is 18446744073709551615");
    check("100\n§20 ms\n", "`20 ms` is not an execution time");
    refuses_bytes("profile --samples s.csv", "s.csv", b"1\n2\n\xfe\n", &["not UTF-8"], Some((3, 1)));
    let none = Folder::new();
    refuses_in(
        &none,
        "profile --samples none.csv",
        "none.csv",
        &["cannot read the samples", "No such file"],
        None,
    );
}

#[test]
fn too_few_samples_are_refused_with_the_number_needed() {
    for (content, n) in [("", 0), ("# nothing\n", 0), ("ns\n5\n", 1), ("18446744073709551615\n", 1)] {
        let folder = Folder::with("samples.csv", content);
        let refusal = &folder.json("profile --samples samples.csv", 3)["refusal"];
        assert_eq!(
            (refusal["n"].as_u64(), refusal["n_needed"].as_u64()),
            (Some(n), Some(29_956)),
            "{refusal}"
        );
    }
}

#[test]
fn traces() {
    let folder = Folder::new();
    let mvp = examples().join("mvp-admitted.toml");
    let simulated =
        folder.aegis_with(&["simulate", mvp.to_str().unwrap(), "--trace", "good", "--duration", "1 s"]);
    assert_eq!(simulated.code, 0, "{simulated:?}");
    let good = std::fs::read(folder.path("good")).unwrap();
    std::fs::create_dir(folder.path("folder")).unwrap();
    let commands = ["explain", "replay", "trace info", "trace query"];
    for command in commands {
        assert_eq!(folder.aegis(&format!("{command} good")).code, 0, "{command}");
        let check =
            |file: &str, says: &str| refuses_in(&folder, &format!("{command} {file}"), file, &[says], None);
        check("none", "cannot read the trace: No such file");
        check("folder", "cannot read the trace");
        folder.write("empty", "");
        check("empty", "cut off at byte 0");
        folder.write("text", "{\"schema_version\": 1}\n");
        check("text", "not a trace: it does not begin with");
        folder.write("start", &good[..40]);
        check("start", "cut off at byte");
        let mut version = good.clone();
        version[8] ^= 0x40;
        folder.write("version", version);
        check("version", "format version");
    }
    // A trace that was cut off can be read as far as it goes, and says so.
    folder.write("cut", &good[..good.len() - 7]);
    for command in commands {
        assert_eq!(folder.aegis(&format!("{command} cut")).code, 0, "{command}");
    }
    assert_eq!(folder.json("trace info cut", 0)["complete"], false);
    assert_eq!(folder.json("trace info good", 0)["complete"], true);

    // Any flipped bit is either refused, or leaves no trace of itself.
    let mut rng = aegisrt::core::Rng::new(3);
    let mut damaged = 0;
    for round in 0..24 {
        let mut bytes = good.clone();
        let at = usize::try_from(rng.between(16, good.len() as u64 - 1)).unwrap();
        bytes[at] ^= 1 << rng.between(0, 7);
        folder.write("flipped", &bytes);
        let answer = folder.aegis(&format!("--format json {} flipped", commands[round % 4]));
        assert!([0, 2].contains(&answer.code), "bit at byte {at} of {}: {answer:?}", good.len());
        damaged += u64::from(answer.code == 2);
    }
    assert!(damaged >= 16, "only {damaged} of 24 flips were noticed");
}

#[test]
fn questions_that_a_trace_cannot_answer() {
    let folder = Folder::new();
    let mvp = examples().join("mvp-admitted.toml");
    folder.aegis_with(&["simulate", mvp.to_str().unwrap(), "--trace", "t", "--duration", "1 s"]);
    for (command, says) in [
        ("explain t D#0", "no task is named `D`; the tasks are A, B"),
        ("explain t A", "`A` does not name a job; write its task and number, as in `camera#118`"),
        ("explain t A#x", "`A#x` does not name a job"),
        ("explain t A#-1", "`A#-1` does not name a job"),
        ("explain t A#4000", "the trace says nothing of the arrival of A#4000; it has 0 to"),
        ("trace query t --model D", "no task is named `D`; the tasks are A, B"),
        ("trace query t --job D#1", "no task is named `D`"),
        ("trace query t --from 25:00", "--from: `25:00` is not a time of day; write it as in 14:23:45.123"),
        ("trace query t --from 12:61", "is not a time of day"),
        ("trace query t --to 12:00:60", "--to: `12:00:60` is not a time of day"),
        ("trace query t --from soon", "--from: `soon` is not a quantity"),
        ("explain t --to 5", "--to: `5` has no unit"),
        ("explain t --from :::", "is not a time of day"),
    ] {
        let people = folder.aegis(command);
        assert_eq!(people.code, 2, "{command}: {people:?}");
        assert!(people.stderr.contains(says), "{command}: {people:?}");
        let error = &folder.json(command, 2)["error"];
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
}

#[test]
fn arguments() {
    let folder = Folder::with("s.csv", "1\n2\n");
    folder.write("mvp.json", std::fs::read(examples().join("mvp.json")).unwrap());
    for (command, says) in [
        ("", "Usage"),
        ("admitt", "admit"),
        ("admit", "state a system file, --tasks FILE or --jobs FILE"),
        ("simulate", "state a system file or --tasks FILE"),
        ("admit a.toml --tasks b.json", "cannot be used with"),
        ("admit --tasks mvp.json --policy rr", "np-edf"),
        ("--format yaml doctor", "json"),
        ("plan", "required"),
        ("plan --buffers b.csv --capacity -1", "`-1` is negative"),
        ("run a.toml --duration -5ms", "`-5ms` is negative"),
        ("profile --samples s.csv --exceedance -0.1", "exceedance is -0.1"),
        ("plan --buffers b.csv --capacity 5ms", "unknown unit `ms`"),
        ("plan a.toml --capacity 5", "cannot be used with '--capacity <CAPACITY>'"),
        ("run a.toml --duration 5", "`5` has no unit"),
        ("run a.toml --duration 5minutes", "unknown unit `minutes`"),
        ("run a.toml --seed x", "--seed"),
        ("profile", "required"),
        ("profile --samples s.csv --exceedance 0", "exceedance is 0; it must be above 0 and below 1"),
        ("profile --samples s.csv --exceedance 1", "exceedance is 1"),
        ("profile --samples s.csv --exceedance 2", "exceedance is 2"),
        ("profile --samples s.csv --exceedance nan", "exceedance is NaN"),
        ("profile --samples s.csv --confidence 1", "confidence is 1"),
        ("profile --samples s.csv --exceedance much", "--exceedance"),
        ("simulate --tasks mvp.json --offset A", "write TASK=TIME, as in lidar=1ms"),
        ("simulate --tasks mvp.json --offset A=5", "`5` has no unit"),
        ("simulate --tasks mvp.json --offset D=5ms", "--offset: no task is named `D`; there are A, B, C"),
        ("simulate --tasks mvp.json --duration 18446744073s", "longer than the clock counts"),
        ("simulate --tasks mvp.json --adversarial 18446744073709551615", "longer than the clock counts"),
        ("simulate --tasks mvp.json --adversarial 5 --duration 5s", "cannot be used with"),
        ("explain t --worst x", "--worst"),
        ("trace", "Usage"),
    ] {
        let people = folder.aegis(command);
        assert_eq!((people.code, people.stdout.as_str()), (2, ""), "{command}: {people:?}");
        assert!(people.stderr.contains(says), "{command}: {people:?}");
    }
    let error = &folder.json("admit --policy", 2)["error"];
    assert_eq!(error["code"], "bad_argument", "{error}");
    assert!(!error["message"].as_str().unwrap().starts_with("error"), "{error}");
}
