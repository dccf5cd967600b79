//! Certificates written by hand: what is proved, what is refused and with which words, and that no text is too strange.
use aegis_certificate::{CertificateError, LONGEST, Proved, check};

/// Two tasks, (C, T, D) = (2, 10, 9) and (7, 60, 60), with a claim.
fn text(policy: &str, claim: &str) -> String {
    format!(
        r#"{{"schema_version": 1, "policy": "{policy}", "tasks": [
            {{"name": "a", "segments_ns": [2], "t_ns": 10, "d_ns": 9, "priority": 0}},
            {{"name": "b", "segments_ns": [7], "t_ns": 60, "d_ns": 60, "priority": 1}}], "claim": {claim}}}"#
    )
}

#[track_caller]
fn proved(policy: &str, claim: &str, responses: [Option<u64>; 2]) {
    let checked = check(&text(policy, claim)).unwrap();
    assert_eq!(checked.proved, Proved::Admitted);
    assert_eq!(checked.tasks.iter().map(|task| task.response_ns).collect::<Vec<_>>(), responses);
}

#[track_caller]
fn refused(text: &str, says: &str) {
    let error = check(text).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

/// a waits for b's segment, which started one tick before: 6, then 2 of its own. b waits for a, twice if it has to.
const FP: &str = r#"{"fixed_priority": [
    {"busy_ns": 8, "response_ns": 8, "starts": [[0, 6, 8]]}, {"busy_ns": 9, "response_ns": 9, "starts": [[0, 2, 9]]}]}"#;

#[test]
fn what_is_proved_by_hand() {
    proved("np-fp", FP, [Some(8), Some(9)]);
    // Larger numbers prove less.
    let loose = r#"{"fixed_priority": [
        {"busy_ns": 10, "response_ns": 9, "starts": [[0, 7, 9]]},
        {"busy_ns": 20, "response_ns": 60, "starts": [[0, 4, 12], [5, 11, 65]]}]}"#;
    proved("np-fp", loose, [Some(9), Some(60)]);
    // In [8, 9): a's job, 2, and b's segment, 6. At 9 nothing more is due, and no busy period is longer.
    proved("np-edf", r#"{"edf": {"busy_ns": 9, "ends": []}}"#, [None, None]);
    proved("np-edf", r#"{"edf": {"busy_ns": 19, "ends": [[8, 8]]}}"#, [None, None]);
    proved("fifo", r#"{"fifo": {"sum_ns": 9}}"#, [Some(9), Some(9)]);
    let ranges = r#"{"fifo": {"busy_ns": 9, "tasks": [
        {"response_ns": 9, "ends": [[0, 9]]}, {"response_ns": 9, "ends": [[0, 9]]}]}}"#;
    proved("fifo", ranges, [Some(9), Some(9)]);
}

#[test]
fn claims_that_are_not_true_are_named() {
    let fp = |now: &str, then: &str| text("np-fp", &FP.replacen(now, then, 1));
    refused(&fp(r#""busy_ns": 8"#, r#""busy_ns": 7"#), "task `a`, busy period: 8 is not within the stated 7");
    refused(
        &fp("[0, 6,", "[0, 5,"),
        "task `a`, start of jobs released in [0, 8): 6 is not within the stated 5",
    );
    refused(&fp("6, 8]", "6, 7]"), "task `a`, end of jobs released in [0, 8): 8 is not within the stated 7");
    refused(&fp("[0, 6,", "[1, 6,"), "task `a`, starts: the first range begins too late");
    refused(&fp("[[0, 6, 8]]", "[]"), "task `a`, starts: the first range begins too late");
    refused(&fp("[0, 6, 8]", "[0, 6, 8], [8, 8, 8]"), "the last begins beyond the end");
    refused(
        &fp(r#""response_ns": 8"#, r#""response_ns": 7"#),
        "task `a`, response of jobs released in [0, 8): 8 is not within the stated 7",
    );
    refused(
        &fp(r#""response_ns": 8"#, r#""response_ns": 10"#),
        "task `a`, deadline: 10 is not within the stated 9",
    );
    refused(&text("np-fp", r#"{"fixed_priority": []}"#), "fixed_priority: one entry a task");
    refused(&text("np-edf", FP), "of another policy");

    let edf = |claim: &str| text("np-edf", &format!(r#"{{"edf": {claim}}}"#));
    refused(&edf(r#"{"busy_ns": 8, "ends": []}"#), "busy period: 9 is not within the stated 8");
    refused(
        &edf(r#"{"busy_ns": 19, "ends": []}"#),
        "work due before the first range, which begins at 19: 2 is not",
    );
    refused(
        &edf(r#"{"busy_ns": 19, "ends": [[7, 7]]}"#),
        "work with deadlines in [7, 19): 8 is not within the stated 7",
    );
    // Without b's segment, 2 would be enough.
    refused(
        &edf(r#"{"busy_ns": 19, "ends": [[2, 2]]}"#),
        "work with deadlines in [2, 19): 8 is not within the stated 2",
    );
    refused(
        &edf(r#"{"busy_ns": 19, "ends": [[7, 8]]}"#),
        "end of the work with deadlines in [7, 19): 8 is not within the stated 7",
    );
    refused(&edf(r#"{"busy_ns": 19, "ends": [[8, 8], [8, 8]]}"#), "a range is empty");

    let often = text("fifo", r#"{"fifo": {"sum_ns": 9}}"#).replace(r#""t_ns": 60"#, r#""t_ns": 8"#);
    refused(&often, "ΣC/T, as demand in a time: 43 is not within the stated 40");
    refused(&text("fifo", r#"{"fifo": {"sum_ns": 8}}"#), "sum of all WCETs: 9 is not within the stated 8");
    refused(
        &text("fifo", r#"{"fifo": {"sum_ns": 10}}"#),
        "task `a`, deadline: 10 is not within the stated 9",
    );
    refused(
        &text("fifo", r#""overload""#),
        "overload: ΣC/T as demand in a time: 61 is not within the stated 19",
    );
}

#[test]
fn a_missed_deadline_is_played_through() {
    let claim = |jobs: &str| text("np-edf", &format!(r#"{{"miss": {{"job": 1, "jobs": [{jobs}]}}}}"#));
    let b = r#"{"task": 1, "arrival_ns": 0, "release_ns": 0, "executions_ns": [7]}"#;
    let a = |arrival: u64, release: u64, execution: u64| {
        format!(
            r#"{{"task": 0, "arrival_ns": {arrival}, "release_ns": {release}, "executions_ns": [{execution}]}}"#
        )
    };
    let jobs = format!("{b}, {}", a(1, 1, 2));
    refused(&claim(&jobs), "job 1 of task `a`, a response above the deadline: 10 is not within the stated 8");
    let tight = claim(&jobs).replace(r#""d_ns": 9"#, r#""d_ns": 7"#);
    assert_eq!(check(&tight).unwrap().proved, Proved::Miss { task: 0, response_ns: 8 });
    // What the model does not allow.
    for (jobs, says) in [
        (format!("{b}, {}", a(1, 2, 2)), "job 1: it is not released within the jitter"),
        (format!("{b}, {}", a(1, 0, 2)), "job 1: it is not released within the jitter"),
        (format!("{b}, {}", a(1, 1, 3)), "job 1: its executions are not one a segment"),
        (format!("{b}, {}", a(1, 1, 0)), "job 1: its executions are not one a segment"),
        (format!("{b}, {}, {}", a(1, 1, 2), a(10, 10, 2)), "jobs of task `a`: they arrive more often"),
        (format!("{b}, {}, {}", a(11, 11, 2), a(1, 1, 2)), "they are not listed in an order"),
        (b.to_owned(), "the job that misses is not among the jobs"),
        (b.replace(r#""task": 1"#, r#""task": 2"#), "job 0: it is of no task"),
    ] {
        refused(&claim(&jobs), says);
    }
}

#[test]
fn more_work_than_time_is_a_fraction() {
    let overload = text("fifo", r#""overload""#).replace(r#""segments_ns": [2]"#, r#""segments_ns": [9]"#);
    assert_eq!(check(&overload).unwrap().proved, Proved::Overload { demand: 61, time: 60 });
    // 1 exactly is not above 1.
    let full = overload.replace("[7]", "[6]");
    refused(&full, "2 is not within the stated 1");
    // Denominators that share nothing do not fit 128 bits; rounding still decides away from 1.
    let periods = [4_611_686_018_427_387_847_u64, 4_611_686_018_427_387_787, 4_611_686_018_427_387_761];
    let task = |k: usize, t: u64, c: u64| {
        format!(r#"{{"name": "t{k}", "segments_ns": [{c}], "t_ns": {t}, "d_ns": {t}}}"#)
    };
    let with = |c: u64| {
        let tasks: Vec<String> = (0..).zip(periods).map(|(k, t)| task(k, t, c)).collect();
        let tasks = tasks.join(", ");
        format!(r#"{{"schema_version": 1, "policy": "fifo", "tasks": [{tasks}], "claim": "overload"}}"#)
    };
    let demand = check(&with(1_600_000_000_000_000_000)).unwrap().proved;
    assert!(
        matches!(demand, Proved::Overload { demand, time } if time == 1 << 64 && demand > time),
        "{demand:?}"
    );
    refused(&with(1_500_000_000_000_000_000), "overload");
}

/// A burst of 3, then one more every 10: with D = 6 the third of a burst just ends in time.
#[test]
fn arrival_curves() {
    let text = |d: u64, from: &str| {
        format!(
            r#"{{"schema_version": 1, "policy": "np-edf", "tasks": [{{"name": "a", "segments_ns": [2], "d_ns": {d},
            "arrival": {{"horizon_ns": 30, "steps": [[1, 3], [11, 4], [21, 5]]}}}}],
            "claim": {{"edf": {{"busy_ns": 6, "ends": {from}}}}}}}"#
        )
    };
    assert_eq!(check(&text(6, "[]")).unwrap().proved, Proved::Admitted);
    refused(
        &text(5, "[]"),
        "work due before the first range, which begins at 6: 6 is not within the stated 0",
    );
    refused(&text(5, "[[5, 5]]"), "work with deadlines in [5, 6): 6 is not within the stated 5");
    for steps in
        ["[]", "[[0, 1]]", "[[1, 0]]", "[[1, 2], [1, 3]]", "[[1, 2], [2, 2]]", "[[31, 1]]", "[[2, 1]]"]
    {
        refused(&text(6, "[]").replace("[[1, 3], [11, 4], [21, 5]]", steps), "its arrivals are no curve");
    }
    let miss = |arrivals: [u64; 4]| {
        let job =
            |a: u64| format!(r#"{{"task": 0, "arrival_ns": {a}, "release_ns": {a}, "executions_ns": [2]}}"#);
        let jobs = arrivals.map(job).join(", ");
        let text = text(5, "[]");
        let claim = format!(r#""claim": {{"miss": {{"job": 2, "jobs": [{jobs}]}}}}}}"#);
        format!("{}{claim}", text.split(r#""claim""#).next().unwrap())
    };
    assert_eq!(check(&miss([0, 0, 0, 10])).unwrap().proved, Proved::Miss { task: 0, response_ns: 6 });
    refused(&miss([0, 0, 0, 9]), "they arrive more often than its law allows");
}

/// A stall of 3 just after b was chosen: a waits for 7 and for the 2 of the stall that are left at its release.
#[test]
fn stalls() {
    let with = |text: String, length: u64, gap: u64| {
        let overheads =
            format!(r#""overheads": {{"reload": {{"length_ns": {length}, "gap_ns": {gap}}}}}, "tasks""#);
        text.replacen(r#""tasks""#, &overheads, 1).replace(r#""d_ns": 9"#, r#""d_ns": 11"#)
    };
    let fp = |a: &str, b: &str| {
        let levels = format!(r#"{{"fixed_priority": [{a}, {b}]}}"#);
        with(text("np-fp", &levels), 3, 100)
    };
    let b = r#"{"busy_ns": 14, "response_ns": 12, "starts": [[0, 5, 12]]}"#;
    let a = r#"{"busy_ns": 13, "response_ns": 11, "starts": [[0, 9, 11], [10, 11, 13]]}"#;
    assert_eq!(check(&fp(a, b)).unwrap().proved, Proved::Admitted);
    refused(
        &fp(&a.replace("13, \"resp", "12, \"resp"), b),
        "task `a`, busy period: 13 is not within the stated 12",
    );
    refused(
        &fp(&a.replace("[0, 9", "[0, 8"), b),
        "start of jobs released in [0, 10): 9 is not within the stated 8",
    );
    refused(
        &fp(a, &b.replace("5, 12]", "5, 11]")),
        "end of jobs released in [0, 14): 12 is not within the stated 11",
    );

    // Stalls that begin just as the last segment starts, or as the job would end, are stalls too.
    let edge = |length: u64, busy: u64, first: &str| {
        let a = format!(r#"{{"busy_ns": {busy}, "response_ns": 11, "starts": [{first}, [10, 99, 99]]}}"#);
        with(text("np-fp", &format!(r#"{{"fixed_priority": [{a}, {b}]}}"#)), length, 10)
    };
    refused(&edge(3, 16, "[0, 9, 11]"), "start of jobs released in [0, 10): 12 is not within the stated 9");
    refused(&edge(2, 14, "[0, 8, 10]"), "end of jobs released in [0, 10): 12 is not within the stated 10");

    let edf = |ends: &str| {
        with(text("np-edf", &format!(r#"{{"edf": {{"busy_ns": 14, "ends": {ends}}}}}"#)), 3, 100)
    };
    assert_eq!(check(&edf("[[11, 11]]")).unwrap().proved, Proved::Admitted);
    refused(&edf("[[10, 10]]"), "work with deadlines in [10, 14): 11 is not within the stated 10");
    let fifo = with(text("fifo", r#"{"fifo": {"sum_ns": 9}}"#), 3, 100);
    refused(&fifo, "only for periods without jitter or stalls");
    refused(&with(text("fifo", r#""overload""#), 4, 3), "a stall is longer than the gap to the next");
    let overload = check(&with(text("fifo", r#""overload""#), 11, 15)).unwrap().proved;
    assert_eq!(overload, Proved::Overload { demand: 21, time: 20 });

    let miss = |stalls: &str| {
        let claim = format!(
            r#"{{"miss": {{"job": 1, "stalls": [{stalls}], "jobs": [
            {{"task": 1, "arrival_ns": 0, "release_ns": 0, "executions_ns": [7]}},
            {{"task": 0, "arrival_ns": 1, "release_ns": 1, "executions_ns": [2]}}]}}}}"#
        );
        with(text("np-edf", &claim), 3, 100).replace(r#""d_ns": 11"#, r#""d_ns": 10"#)
    };
    let at = |source: u64, at: u64, after: bool| {
        format!(r#"{{"source": {source}, "at_ns": {at}, "after_choice": {after}}}"#)
    };
    assert_eq!(check(&miss(&at(2, 0, true))).unwrap().proved, Proved::Miss { task: 0, response_ns: 11 });
    // If the stall comes first, a is there when the resource chooses.
    refused(&miss(&at(2, 0, false)), "a response above the deadline: 11 is not within the stated 4");
    refused(&miss(""), "11 is not within the stated 8");
    refused(&miss(&at(0, 0, true)), "stall 0: its source does not stall so often");
    refused(&miss(&at(3, 0, true)), "stall 0: it is of no source");
    refused(
        &miss(&[at(2, 0, true), at(2, 99, true)].join(", ")),
        "stall 1: its source does not stall so often",
    );
}

/// Jitter above the deadline or the period, times at the edge of what is read, counts that fit nothing.
#[test]
fn strange_numbers() {
    let a = r#""t_ns": 10, "d_ns": 9"#;
    for (with, says) in [
        (r#""t_ns": 10, "d_ns": 9, "j_ns": 8"#, "task `a`, busy period: 10"),
        (r#""t_ns": 1, "d_ns": 9, "j_ns": 4611686018427387904"#, "task `a`, busy period"),
        (r#""t_ns": 10, "d_ns": 9, "j_ns": 4611686018427387905"#, "task `a`: a time is above 2^62 ns"),
        (r#""t_ns": 0, "d_ns": 9"#, "task `a`: its arrivals are no curve"),
        (r#""t_ns": 10, "d_ns": 0"#, "task `a`: it has a deadline or a segment of 0 ns"),
        (r#""d_ns": 9"#, "neither `t_ns` nor `arrival`"),
        (r#""t_ns": -1, "d_ns": 9"#, "not a certificate"),
        (r#""t_ns": 1e3, "d_ns": 9"#, "not a certificate"),
        (r#""t_ns": 10, "t_ns": 10, "d_ns": 9"#, "duplicate field `t_ns`"),
        (r#""t_ns": 10, "d_ns": 9, "c_ns": 1"#, "unknown field `c_ns`"),
    ] {
        refused(&text("np-fp", FP).replacen(a, with, 1), says);
    }
    for policy in ["np-fp", "np-edf", "fifo"] {
        for claim in [
            FP.replace("60", "18446744073709551615")
                .replace(['8', '9'], "18446744073709551615"),
            r#"{"edf": {"busy_ns": 18446744073709551615, "ends": [[1, 1], [18446744073709551614, 9]]}}"#.to_owned(),
            r#"{"edf": {"busy_ns": 18446744073709551615, "ends": [[18446744073709551615, 18446744073709551615]]}}"#.to_owned(),
            r#"{"fifo": {"busy_ns": 18446744073709551615, "tasks": [
                {"response_ns": 18446744073709551615, "ends": [[0, 18446744073709551615], [18446744073709551614, 18446744073709551615]]},
                {"response_ns": 0, "ends": [[0, 0]]}]}}"#
                .to_owned(),
        ] {
            for j in [0, 1, LONGEST] {
                let task = format!(
                    r#""arrival": {{"horizon_ns": {LONGEST}, "steps": [[1, {LONGEST}]]}}, "d_ns": 9, "j_ns": {j}"#
                );
                let text = text(policy, &claim);
                assert!(check(&text).is_err());
                assert!(check(&text.replacen(a, &task, 1)).is_err());
                assert!(check(&text.replacen(a, &task.replace("[2]", "[4611686018427387904]"), 1)).is_err());
            }
        }
    }
}

/// Cut anywhere, and with any byte replaced, a certificate is refused or proves something; it never panics.
#[test]
fn damaged_texts() {
    let whole = text("np-fp", FP);
    for end in 0..whole.len() {
        assert!(matches!(check(&whole[..end]), Err(CertificateError::Format { .. })), "{end}");
    }
    for at in 0..whole.len() {
        for byte in *b"\"0919{}[],:x\\ -." {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] = byte;
            let _ = check(&String::from_utf8(bytes).unwrap());
        }
    }
    assert!(check(&"[".repeat(1 << 20)).is_err());
}

/// Entries times tasks are work: too much of it is refused, not done.
#[test]
fn work_is_bounded() {
    let tasks: Vec<String> = (0..20_000)
        .map(|k| format!(r#"{{"name": "t{k}", "segments_ns": [1], "t_ns": 90000, "d_ns": 90000}}"#))
        .collect();
    let from: Vec<String> = (20_000..40_000).map(|k| format!("[{k}, {k}]")).collect();
    let text = format!(
        r#"{{"schema_version": 1, "policy": "np-edf", "tasks": [{}],
        "claim": {{"edf": {{"busy_ns": 90001, "ends": [{}]}}}}}}"#,
        tasks.join(", "),
        from.join(", ")
    );
    assert_eq!(check(&text), Err(CertificateError::TooLong));
}
