//! The file: round trip, cut at every byte, every byte changed, and blocks that lie.
use super::twin::simulate;
use super::{TaskOf, file_of, header, job, kinds, some_records, trace_of};
use crate::file::{
    END, HASH, HEAD, HEADER, Head, INDEX, LONGEST, RECORDS, START, chained, first_hash, start,
};
use crate::key::SIGNATURE;
use crate::summary::Summary;
use crate::{Balance, Body, Damage, Header, Record, Totals, Trace, TraceError, write_all, write_file};
use aegis_core::{Nanos, Policy, Rng, TaskSet, TaskSetError};
use proptest::prelude::*;

fn two_tasks() -> Header {
    header(Policy::Edf, 1_000_000, &[TaskOf("camera", &[25], 77, 0), TaskOf("lidar", &[45, 5], 200, 1)])
}

fn small() -> Vec<u8> {
    let records = [some_records(9), some_records(5)];
    file_of(&two_tasks(), &records, |recorder, seq| recorder == 1 && seq == 2, false)
}

/// The blocks of a file: kinds and payloads.
fn blocks(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut rest, mut blocks) = (&bytes[START..], Vec::new());
    while let Some((head, behind)) = rest.split_first_chunk::<HEAD>() {
        let length = u32::from_le_bytes(*head[4..].first_chunk().unwrap()) as usize;
        blocks.push((head[0], behind[..length].to_vec()));
        rest = &behind[length + HASH..];
    }
    blocks
}

/// A file with right heads and hashes, whatever its blocks say; where an End says that it stands is right, too.
fn file(blocks: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, mut hash) = (start().to_vec(), first_hash());
    for (number, (kind, payload)) in (0..).zip(blocks) {
        let at = bytes.len();
        let length = u32::try_from(payload.len()).unwrap();
        bytes.extend(Head { kind: *kind, length, number }.encoded());
        bytes.extend(payload);
        if *kind == END && payload.len() > SIGNATURE + 8 {
            let place = bytes.len() - SIGNATURE - 8;
            bytes[place..place + 8].copy_from_slice(&(at as u64).to_le_bytes());
        }
        hash = chained(&hash, &bytes[at..]);
        bytes.extend(hash);
    }
    bytes
}

/// What stands before the first record.
fn head_of(header: &Header, recorders: usize) -> (u8, Vec<u8>) {
    blocks(&file_of(header, &vec![vec![]; recorders], |_, _| false, true)).remove(0)
}

/// A Records block: chunks of so many records, by recorder and first number.
fn records(chunks: &[(u32, u64, u64)]) -> (u8, Vec<u8>) {
    let mut payload = Vec::new();
    Summary::default().encode(&mut payload);
    for (recorder, first, n) in chunks {
        let mut bodies = Vec::new();
        for (step, record) in (0..).zip(some_records(*n)) {
            let body = postcard::to_allocvec(&record.body).unwrap();
            // An instant 1000 behind the one before, as some_records makes them: 2000 as a zigzag varint.
            bodies.push(u8::try_from(body.len()).unwrap());
            bodies.extend(if step == 0 { &[0][..] } else { &[0xd0, 0x0f] });
            bodies.extend(body);
        }
        payload.push(0);
        payload.extend(recorder.to_le_bytes());
        payload.extend(first.to_le_bytes());
        payload.extend(0u64.to_le_bytes());
        payload.extend(u32::try_from(*n).unwrap().to_le_bytes());
        payload.extend(u32::try_from(bodies.len()).unwrap().to_le_bytes());
        payload.extend(bodies);
    }
    (RECORDS, payload)
}

fn gap(recorder: u32, first: u64, last: u64) -> (u8, Vec<u8>) {
    let mut payload = Vec::new();
    Summary::default().encode(&mut payload);
    payload.push(1);
    payload.extend(recorder.to_le_bytes());
    payload.extend(first.to_le_bytes());
    payload.extend(last.to_le_bytes());
    (RECORDS, payload)
}

fn end(recorders: Vec<Balance>) -> (u8, Vec<u8>) {
    let mut payload = vec![0; 40];
    Totals { recorders }.encode(&mut payload);
    payload.extend([0; 16 + SIGNATURE]);
    (END, payload)
}

fn balance(offered: u64, written: u64) -> Balance {
    Balance { offered, written, ..Balance::default() }
}

#[test]
fn what_is_written_is_read() {
    for n in [0, 1, 2, 8192, 20_000] {
        let (header, records) = (two_tasks(), some_records(n));
        let mut bytes = Vec::new();
        let totals = write_all(&mut bytes, &header, records.iter().copied()).unwrap();
        let trace = Trace::from_bytes(&bytes).unwrap();
        assert_eq!(trace.header(), &header);
        assert!(trace.complete() && trace.gaps().is_empty());
        assert_eq!(trace.totals(), Some(&totals));
        assert_eq!((totals.offered(), totals.written(), totals.dropped()), (n, n, 0));
        assert_eq!(trace.bytes_read(), bytes.len() as u64);
        let read: Vec<Record> = trace.entries().iter().map(|e| e.record).collect();
        assert_eq!(read, records);
    }
}

#[test]
fn files_in_the_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.aegistrace");
    write_file(&path, &two_tasks(), some_records(3)).unwrap();
    assert_eq!(Trace::open(&path).unwrap().entries().len(), 3);
    let missing = folder.path().join("no/such/folder");
    let error = write_file(&missing, &two_tasks(), []).unwrap_err();
    assert!(matches!(error, TraceError::Create { .. }), "{error}");
    let error = Trace::open(&missing).unwrap_err();
    assert!(matches!(error, TraceError::Read { .. }) && error.to_string().contains("no/such/folder"));
}

#[test]
fn gaps_are_exact() {
    let records = [some_records(20), some_records(6)];
    let lost = |recorder, seq| match recorder {
        0 => (3..=5).contains(&seq) || seq == 9 || seq >= 18,
        _ => seq == 0,
    };
    let trace = trace_of(&two_tasks(), &records, lost);
    let gaps: Vec<_> = trace.gaps().iter().map(|g| (g.recorder, g.first, g.last)).collect();
    assert_eq!(gaps, [(0, 3, 5), (0, 9, 9), (1, 0, 0), (0, 18, 19)], "{:?}", trace.gaps());
    let [first, _, start, tail] = trace.gaps() else { panic!() };
    assert_eq!((first.missing(), first.after, first.before), (3, Some(Nanos(2000)), Some(Nanos(6000))));
    assert_eq!((start.after, start.before), (None, Some(Nanos(1000))));
    assert_eq!((tail.after, tail.before), (Some(Nanos(17_000)), None));
    let totals = trace.totals().unwrap();
    let missing: u64 = trace.gaps().iter().map(super::super::Gap::missing).sum();
    assert_eq!((totals.dropped(), totals.written(), totals.offered()), (missing, 19, 26));
    let dropped: Vec<Record> =
        (0..).zip(&records[0]).filter(|(seq, _)| lost(0, *seq)).map(|(_, r)| *r).collect();
    assert_eq!(totals.recorders[0].dropped, kinds(&dropped));
}

/// Records are merged by time; one recorder's keep their order even where its clock was told to go back.
#[test]
fn merged_in_the_order_of_time() {
    let at = |times: &[u64]| -> Vec<Record> {
        times.iter().map(|t| Record { at: Nanos(*t), body: Body::Stopping }).collect()
    };
    let trace = trace_of(&two_tasks(), &[at(&[5, 10, 7, 12]), at(&[1, 5, 11, 11, 30])], |_, _| false);
    let order: Vec<_> = trace.entries().iter().map(|e| (e.record.at.0, e.recorder, e.seq)).collect();
    let expected = [
        (1, 1, 0),
        (5, 0, 0),
        (5, 1, 1),
        (10, 0, 1),
        (7, 0, 2),
        (11, 1, 2),
        (11, 1, 3),
        (12, 0, 3),
        (30, 1, 4),
    ];
    assert_eq!(order, expected);
}

#[test]
fn cut_at_every_byte() {
    let bytes = small();
    let whole = Trace::from_bytes(&bytes).unwrap();
    let mut most = 0;
    for cut in 0..bytes.len() {
        match Trace::from_bytes(&bytes[..cut]) {
            Ok(trace) => {
                assert!(!trace.complete() && trace.totals().is_none() && trace.bytes_read() <= cut as u64);
                assert!(trace.entries().len() >= most, "less of it at {cut}");
                most = trace.entries().len();
                assert!(trace.entries().iter().all(|e| whole.entries().contains(e)));
                assert_eq!(trace.header(), whole.header());
            }
            Err(TraceError::NoHeader { offset }) => assert!(offset == cut as u64 && most == 0),
            Err(other) => panic!("cut at {cut}: {other}"),
        }
    }
    assert_eq!(most, whole.entries().len());
}

/// One changed byte is an error or makes the trace incomplete: it never goes unnoticed.
#[test]
fn every_byte_changed() {
    let bytes = small();
    let (mut errors, mut short) = (0, 0);
    for at in 0..bytes.len() {
        for change in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            match Trace::from_bytes(&changed) {
                Ok(trace) if trace.complete() => panic!("byte {at} ^ {change} went unnoticed"),
                Ok(_) => short += 1,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    errors += 1;
                }
            }
        }
    }
    assert!(errors > 10 * short && short > 0, "{errors} {short}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Blocks with right checksums and random content, as an attacker would write them.
    #[test]
    fn hostile_content_is_an_answer(seed in any::<u64>(), changes in 1usize..8) {
        let mut rng = Rng::new(seed);
        let truth = simulate(seed % 40);
        let [scheduler, worker] = [&truth.scheduler, &truth.worker].map(|r| r[..r.len().min(60)].to_vec());
        let mut blocks = blocks(&file_of(&truth.header, &[scheduler, worker], |_, seq| seq == 7, false));
        prop_assert_eq!(blocks.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [HEADER, RECORDS, INDEX, END]);
        for _ in 0..changes {
            let which = usize::try_from(rng.between(0, 5)).map(|which| if which < 4 { which } else { 1 }).unwrap();
            let payload = &mut blocks[which].1;
            let at = usize::try_from(rng.between(0, payload.len() as u64)).unwrap();
            let byte = if rng.one_in(2) { 0xff } else { rng.bits().to_le_bytes()[0] };
            match rng.between(0, 3) {
                0 => payload.insert(at, byte),
                1 => payload.truncate(at),
                _ if at < payload.len() => payload[at] = byte,
                _ => payload.push(byte),
            }
        }
        if rng.one_in(2) {
            blocks.pop();
        }
        if let Ok(trace) = Trace::from_bytes(&file(&blocks)) {
            // Whatever was let through can be used.
            let jobs = crate::Jobs::of(&trace);
            for e in trace.entries() {
                prop_assert!(!trace.header().say(&e.record).to_string().is_empty());
            }
            for j in jobs.iter() {
                if let Ok(e) = jobs.explain(j.id) {
                    prop_assert!(!trace.header().narrate(&e).to_string().is_empty());
                }
            }
            let _ = jobs.worst(3, Nanos::ZERO..Nanos::MAX);
        }
    }

    #[test]
    fn random_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Trace::from_bytes(&bytes).is_err());
        let headed = [&start()[..], &bytes].concat();
        prop_assert!(Trace::from_bytes(&headed).is_err());
    }
}

fn check(bytes: &[u8], says: &str) {
    let error = Trace::from_bytes(bytes).unwrap_err().to_string();
    assert!(error.contains(says), "{says} / {error}");
}

#[test]
fn wrong_files_are_refused_with_the_reason() {
    let (head, end, none) = (head_of(&two_tasks(), 0), end(vec![]), records(&[]));
    check(b"", "cut off at byte 0, inside its header");
    check(b"AEGIS", "cut off at byte 5");
    check(b"PK\x03\x04 some archive", "not a trace");
    check(b"%PDF", "not a trace");
    check(b"AEGISTRC\x01\x00rest", "format version 1; this program reads version 3");
    check(&file(&[]), "cut off at byte 16");
    check(&file(std::slice::from_ref(&end)), "damaged at byte 16: a block of kind 5 in the wrong place");
    check(&file(&[head.clone(), head.clone()]), "kind 1 in the wrong place");
    check(&file(&[head.clone(), end.clone(), end.clone()]), "kind 5 in the wrong place");
    check(&file(&[head.clone(), end.clone(), none]), "kind 2 in the wrong place");
    check(&file(&[head.clone(), (9, vec![])]), "a block of unknown kind 9");
    check(&file(&[head.clone(), (RECORDS, vec![200])]), "kind 2 with content that cannot be decoded");
    check(&file(&[head.clone(), (END, vec![0, 0])]), "kind 5 with content that cannot be decoded");
    for trailing in [&[7][..], &[0; 16], &[0; 99]] {
        let bytes = [&file(&[head.clone(), end.clone()]), trailing].concat();
        check(&bytes, "something follows the end");
    }
    let mut absurd = file(std::slice::from_ref(&head));
    let offset = absurd.len();
    absurd.extend(Head { kind: RECORDS, length: u32::MAX, number: 1 }.encoded());
    check(&absurd, &format!("damaged at byte {offset}: a block of 4294967295 bytes; the most is {LONGEST}"));
    // A crash of the system can leave zeros where a block was to be.
    let mut crashed = file(&[head, records(&[])]);
    let whole = crashed.len() as u64;
    crashed.extend([0; 5000]);
    let trace = Trace::from_bytes(&crashed).unwrap();
    assert!(!trace.complete() && trace.bytes_read() == whole);
    crashed.push(1);
    check(&crashed, &format!("damaged at byte {whole}"));
}

#[test]
fn records_and_totals_must_fit_each_other() {
    let checked = |content: Vec<(u8, Vec<u8>)>, totals: Vec<Balance>| {
        let mut blocks = vec![head_of(&two_tasks(), totals.len())];
        blocks.extend(content);
        blocks.push(end(totals));
        Trace::from_bytes(&file(&blocks))
    };
    let damage = |result: Result<Trace, TraceError>| match result {
        Err(TraceError::Damaged { damage, .. }) => damage,
        other => panic!("{other:?}"),
    };
    let three = records(&[(0, 0, 3)]);
    assert_eq!(checked(vec![three.clone()], vec![balance(3, 3)]).unwrap().entries().len(), 3);
    for (content, first, expected) in [
        (vec![records(&[(0, 0, 3), (0, 2, 1)])], 2, 3),
        (vec![records(&[(0, 4, 1)])], 4, 0),
        (vec![three.clone(), gap(0, 2, 4)], 2, 3),
        (vec![three.clone(), gap(0, 4, 4)], 4, 3),
        (vec![three.clone(), gap(0, 3, 2)], 3, 3),
        (vec![gap(0, 0, u64::MAX)], 0, 0),
    ] {
        let found = damage(checked(content, vec![balance(4, 4)]));
        assert_eq!(found, Damage::Sequence { recorder: 0, first, expected });
    }
    let beyond =
        checked(vec![gap(0, 0, u64::MAX - 2), records(&[(0, u64::MAX - 1, 3)])], vec![balance(4, 4)]);
    let last = Damage::Sequence { recorder: 0, first: u64::MAX, expected: u64::MAX };
    assert_eq!(damage(beyond), last);
    let dropped = |offered, written, lost| Balance {
        dropped: [(crate::Kind::Step, lost)].into(),
        ..balance(offered, written)
    };
    assert!(checked(vec![three.clone(), gap(0, 3, 4)], vec![dropped(5, 3, 2)]).is_ok());
    for totals in
        [balance(3, 2), balance(2, 2), balance(4, 3), dropped(5, 2, 3), dropped(5, 3, 2), dropped(2, 3, 1)]
    {
        let found = damage(checked(vec![three.clone()], vec![totals]));
        assert_eq!(found, Damage::Totals { recorder: 0 });
    }
    let fewer = damage(checked(vec![three.clone(), gap(0, 3, 4)], vec![dropped(4, 3, 1)]));
    assert_eq!(fewer, Damage::Totals { recorder: 0 });
    let far = damage(checked(vec![records(&[(u32::MAX, 0, 1)])], vec![balance(1, 1)]));
    assert_eq!(far, Damage::Totals { recorder: u32::MAX });
    // Of another number of recorders than the header says.
    let blocks = [head_of(&two_tasks(), 2), end(vec![balance(0, 0)])];
    assert_eq!(damage(Trace::from_bytes(&file(&blocks))), Damage::Content { kind: END });
}

/// A deserialised task set has not been through its constructor.
#[test]
fn a_header_is_checked_like_a_task_set() {
    let good = two_tasks();
    // The header is what stands last in its block.
    let (_, beginning) = head_of(&good, 1);
    let before = beginning.len() - postcard::to_allocvec(&good).unwrap().len() - 4;
    let read = |header: &Header| {
        let encoded = postcard::to_allocvec(header).unwrap();
        let length = u32::try_from(encoded.len()).unwrap().to_le_bytes();
        let payload = [&beginning[..before], &length, &encoded].concat();
        Trace::from_bytes(&file(&[(HEADER, payload)])).map(|_| ())
    };
    assert!(read(&good).is_ok());
    // The same shape as a task set, made without it.
    #[derive(serde::Serialize)]
    struct Forged(Policy, aegis_core::Overheads, Vec<aegis_core::Task>);
    let forge = |tasks: Vec<aegis_core::Task>| -> Header {
        let forged = Forged(Policy::Edf, aegis_core::Overheads::default(), tasks);
        let bytes = postcard::to_allocvec(&forged).unwrap();
        let set: TaskSet = postcard::from_bytes(&bytes).unwrap();
        Header { set, models: vec![], ..good.clone() }
    };
    let tasks = good.set.tasks();
    let mut no_deadline = tasks.to_vec();
    no_deadline[1].deadline = Nanos::ZERO;
    let mut twins = tasks.to_vec();
    twins[1].name = "camera".to_owned();
    let mut endless = tasks.to_vec();
    endless[0].segments = vec![Nanos::MAX, Nanos::MAX];
    for (tasks, says) in [
        (vec![], "the task set is empty"),
        (no_deadline, "`lidar`: deadline is 0"),
        (twins, "two tasks are named `camera`"),
        (endless, "does not fit"),
    ] {
        let error = read(&forge(tasks)).unwrap_err();
        assert!(matches!(error, TraceError::Tasks(_)) && error.to_string().contains(says), "{error}");
    }
    assert!(matches!(read(&forge(vec![])), Err(TraceError::Tasks(TaskSetError::Empty))));
    let queues = Header { queues: vec![1], ..good.clone() };
    assert!(matches!(read(&queues), Err(TraceError::Queues { queues: 1, tasks: 2 })));
    let empty = Header { queues: vec![1, 0], ..good.clone() };
    assert!(read(&empty).unwrap_err().to_string().contains("queue of task `lidar` is 0"));
    let mut stranger = good.clone();
    stranger.models[0].task = "sonar".to_owned();
    let error = read(&stranger).unwrap_err().to_string();
    assert_eq!(error, "no task is named `sonar`; the tasks are camera, lidar");
    // What cannot be read back is not written.
    assert!(write_all(Vec::new(), &queues, []).is_err());
}

#[test]
fn jobs_are_found_by_name() {
    let header = two_tasks();
    assert_eq!(header.parse_job("lidar#61").unwrap(), job(1, 61));
    assert!(matches!(header.parse_job("sonar#1"), Err(TraceError::UnknownTask { .. })));
    for text in ["lidar", "lidar#", "lidar#x", "#", "lidar#-1"] {
        assert!(header.parse_job(text).is_err(), "{text}");
    }
    assert!(matches!(header.parse_job("lidar"), Err(TraceError::NotAJob { .. })));
}
