//! The file: round trip, cut at every byte, every byte changed, and blocks that lie.
use super::twin::simulate;
use super::{TaskOf, file_of, header, job, kinds, some_records, trace_of};
use crate::file::{Chunk, END, HEADER, LONGEST, MAGIC, RECORDS, VERSION, crc32};
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

/// A block with a right checksum, whatever it says.
fn block(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut block = vec![kind];
    block.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
    block.extend(payload);
    block.extend(crc32(0, &block).to_le_bytes());
    block
}

fn file(blocks: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
    for (kind, payload) in blocks {
        bytes.extend(block(*kind, payload));
    }
    bytes
}

fn encoded(content: &impl serde::Serialize) -> Vec<u8> {
    postcard::to_allocvec(content).unwrap()
}

fn chunk(recorder: u32, first: u64, n: u64) -> Chunk {
    Chunk { recorder, first, records: some_records(n) }
}

fn balance(offered: u64, written: u64) -> Balance {
    Balance { offered, written, ..Balance::default() }
}

#[test]
fn what_is_written_is_read() {
    for n in [0, 1, 8191, 8192, 8193, 20_000] {
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
    assert_eq!(gaps, [(0, 3, 5), (0, 9, 9), (1, 0, 0), (0, 18, 19)]);
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
        let (steps, works) = (scheduler.len() as u64, worker.len() as u64);
        let mut blocks = vec![
            (HEADER, encoded(&truth.header)),
            (RECORDS, encoded(&vec![Chunk { recorder: 0, first: 0, records: scheduler }])),
            (RECORDS, encoded(&vec![Chunk { recorder: 1, first: 0, records: worker }])),
            (END, encoded(&Totals { recorders: vec![balance(steps, steps), balance(works, works)] })),
        ];
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
        let headed = [&MAGIC[..], &VERSION.to_le_bytes(), &bytes].concat();
        prop_assert!(Trace::from_bytes(&headed).is_err());
    }
}

fn check(bytes: &[u8], says: &str) {
    let error = Trace::from_bytes(bytes).unwrap_err().to_string();
    assert!(error.contains(says), "{says} / {error}");
}

#[test]
fn wrong_files_are_refused_with_the_reason() {
    let (head, end) = ((HEADER, encoded(&two_tasks())), (END, encoded(&Totals::default())));
    check(b"", "cut off at byte 0, inside its header");
    check(b"AEGIS", "cut off at byte 5");
    check(b"PK\x03\x04 some archive", "not a trace");
    check(b"%PDF", "not a trace");
    check(b"AEGISTRC\x01\x00rest", "format version 1; this program reads version 2");
    check(&file(&[]), "cut off at byte 10");
    check(&file(std::slice::from_ref(&end)), "damaged at byte 10: a block of kind 3 in the wrong place");
    check(&file(&[head.clone(), head.clone()]), "kind 1 in the wrong place");
    check(&file(&[head.clone(), end.clone(), end.clone()]), "kind 3 in the wrong place");
    let late = (RECORDS, encoded(&Vec::<Chunk>::new()));
    check(&file(&[head.clone(), end.clone(), late]), "kind 2 in the wrong place");
    check(&file(&[head.clone(), (9, vec![])]), "a block of unknown kind 9");
    check(&file(&[head.clone(), (RECORDS, vec![200])]), "kind 2 with content that cannot be decoded");
    check(&file(&[head.clone(), (END, vec![0, 0])]), "kind 3 with content that cannot be decoded");
    let mut trailing = file(&[head.clone(), end.clone()]);
    trailing.push(7);
    check(&trailing, "kind 7 in the wrong place");
    let mut absurd = file(std::slice::from_ref(&head));
    let offset = absurd.len();
    absurd.extend([RECORDS, 0xff, 0xff, 0xff, 0xff]);
    check(&absurd, &format!("damaged at byte {offset}: a block of 4294967295 bytes; the most is {LONGEST}"));
}

#[test]
fn records_and_totals_must_fit_each_other() {
    let checked = |chunks: Vec<Chunk>, totals: Vec<Balance>| {
        Trace::from_bytes(&file(&[
            (HEADER, encoded(&two_tasks())),
            (RECORDS, encoded(&chunks)),
            (END, encoded(&Totals { recorders: totals })),
        ]))
    };
    let damage = |result: Result<Trace, TraceError>| match result {
        Err(TraceError::Damaged { damage, .. }) => damage,
        other => panic!("{other:?}"),
    };
    assert!(checked(vec![chunk(0, 0, 3)], vec![balance(3, 3)]).is_ok());
    let overlap = damage(checked(vec![chunk(0, 0, 3), chunk(0, 2, 1)], vec![balance(4, 4)]));
    assert_eq!(overlap, Damage::Sequence { recorder: 0, first: 2, expected: 3 });
    let beyond = damage(checked(vec![chunk(0, u64::MAX - 1, 2)], vec![balance(4, 4)]));
    assert_eq!(beyond, Damage::Sequence { recorder: 0, first: u64::MAX - 1, expected: 0 });
    for totals in [vec![balance(3, 2)], vec![balance(2, 2)], vec![balance(4, 3)], vec![]] {
        let found = damage(checked(vec![chunk(0, 0, 3)], totals));
        assert_eq!(found, Damage::Totals { recorder: 0 });
    }
    let dropped = Balance { dropped: [(crate::Kind::Step, 3)].into(), ..balance(5, 2) };
    for (chunk, totals) in [(chunk(0, 0, 3), dropped), (chunk(0, 5, 1), balance(1, 1))] {
        assert_eq!(damage(checked(vec![chunk], vec![totals])), Damage::Totals { recorder: 0 });
    }
    let far = damage(checked(vec![chunk(u32::MAX, 0, 1)], vec![balance(1, 1)]));
    assert_eq!(far, Damage::Totals { recorder: u32::MAX });
}

/// A deserialised task set has not been through its constructor.
#[test]
fn a_header_is_checked_like_a_task_set() {
    let good = two_tasks();
    let read = |header: &Header| Trace::from_bytes(&file(&[(HEADER, encoded(header))])).map(|_| ());
    assert!(read(&good).is_ok());
    // The same shape as a task set, made without it.
    #[derive(serde::Serialize)]
    struct Forged(Policy, aegis_core::Overheads, Vec<aegis_core::Task>);
    let forge = |tasks: Vec<aegis_core::Task>| -> Header {
        let bytes = encoded(&Forged(Policy::Edf, aegis_core::Overheads::default(), tasks));
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
