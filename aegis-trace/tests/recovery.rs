//! A process that records is killed at random moments: every block that was whole is read back, and the checker finds
//! nothing wrong but that the end is missing.
//!
//! `AEGIS_KILLS=200 cargo test --release -p aegis-trace --test recovery` kills that often.
use aegis_core::{JobId, Nanos, Overheads, Policy, Rng, TaskDraft, TaskId, TaskSet};
use aegis_trace::{
    Body, Collector, Header, Options, Selection, Trace, TraceError, TraceFile, part_path, recorder,
};
use aegis_trace_verify::{Problem, State, verify_file};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Set for the process that is to be killed: where it records to, and after how many bytes a part ends.
const RECORD_TO: &str = "AEGIS_TEST_RECORD_TO";
const PART_BYTES: &str = "AEGIS_TEST_PART_BYTES";

fn header() -> Header {
    let task = TaskDraft {
        name: "camera".to_owned(),
        segments: vec![Nanos(25)],
        arrival: Nanos(77).into(),
        deadline: None,
        jitter: Nanos::ZERO,
        priority: None,
    };
    Header {
        created_unix_ns: 0,
        clock: "a counter".to_owned(),
        program: "test 1".to_owned(),
        spec_digest: "00".to_owned(),
        seed: None,
        set: TaskSet::new(Policy::Fifo, Overheads::default(), vec![task]).unwrap(),
        queues: vec![2],
        models: vec![],
        host: "a test".to_owned(),
    }
}

fn body(seq: u64) -> Body {
    Body::Started { job: JobId { task: TaskId(0), seq }, segment: 0 }
}

/// What the process does that is to be killed; in the ordinary run of this file nothing.
#[test]
fn records_until_it_is_killed() {
    let Some(path) = std::env::var_os(RECORD_TO) else { return };
    let part_bytes = std::env::var(PART_BYTES).ok().and_then(|n| n.parse().ok());
    let (mut recorder, tap) = recorder(1 << 16);
    let options = Options { part_bytes, ..Options::default() };
    let _collector = Collector::create(Path::new(&path), &header(), vec![tap], &options).unwrap();
    for seq in 0.. {
        recorder.record(Nanos(seq), body(seq));
        if seq % 1000 == 0 {
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

/// Ends of whole blocks, by heads alone.
fn whole_blocks(bytes: &[u8]) -> usize {
    let mut at = 16;
    while let Some(head) = bytes.get(at..at + 16) {
        let length = u32::from_le_bytes(head[4..8].try_into().unwrap()) as usize;
        if at + length + 48 > bytes.len() {
            break;
        }
        at += length + 48;
    }
    at
}

fn killed(rng: &mut Rng, path: &Path, part_bytes: u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "records_until_it_is_killed"])
        .env(RECORD_TO, path)
        .env(PART_BYTES, part_bytes.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // A moment is a size and a little more: on a busy machine a time would often come before the first block.
    let size = || -> u64 {
        let of = |part| std::fs::metadata(part_path(path, part)).ok().map(|about| about.len());
        (1..10_000).map_while(of).sum()
    };
    let until = rng.between(0, 150_000);
    while size() < until || !path.exists() {
        std::thread::sleep(Duration::from_micros(200));
    }
    std::thread::sleep(Duration::from_micros(rng.between(0, 20_000)));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn every_whole_block_is_read_back_after_a_kill() {
    let kills: u64 = std::env::var("AEGIS_KILLS").map_or(8, |n| n.parse().expect("a number"));
    let seed = std::env::var("AEGIS_SEED").map_or(31, |n| n.parse().expect("a number"));
    let mut rng = Rng::new(seed);
    let (mut with_records, mut records, mut most_parts) = (0, 0, 0);
    for kill in 0..kills {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.aegis-trace");
        let part_bytes = if rng.one_in(2) { 40_000 } else { u64::MAX };
        killed(&mut rng, &path, part_bytes);
        let told = format!("seed {seed}, kill {kill}");
        let trace = match Trace::open(&path) {
            Ok(trace) => trace,
            // Killed before the header was written.
            Err(TraceError::NoHeader { .. }) => continue,
            Err(error) => panic!("{told}: {error}"),
        };
        assert!(!trace.complete(), "{told}");
        let parts: Vec<Vec<u8>> =
            (1..10_000).map_while(|part| std::fs::read(part_path(&path, part)).ok()).collect();
        // Of a part that was only begun nothing is read.
        let read = parts.iter().map(|bytes| whole_blocks(bytes)).filter(|end| *end > 16);
        assert_eq!(trace.bytes_read(), read.sum::<usize>() as u64, "{told}");
        for (seq, entry) in (0..).zip(trace.entries()) {
            assert_eq!(
                (entry.seq, entry.record.at, entry.record.body),
                (seq, Nanos(seq), body(seq)),
                "{told}"
            );
        }
        assert!(trace.gaps().is_empty(), "{told}: the ring was large enough");
        let file = TraceFile::open(&path).unwrap();
        assert_eq!(file.read(&Selection::default()).unwrap().entries(), trace.entries(), "{told}");
        let verified = verify_file(&path, None).unwrap();
        let findings: Vec<&Problem> =
            verified.files.iter().flat_map(|(_, report)| &report.findings).map(|f| &f.problem).collect();
        let cut_off = |problem: &&Problem| matches!(problem, Problem::CutOff | Problem::NextPart { .. });
        assert!(
            findings.len() == 1 && findings.iter().all(cut_off) && !verified.intact(),
            "{told}: {findings:?}"
        );
        let states: Vec<State> = verified.files.iter().map(|(_, report)| report.state).collect();
        assert!(
            states[..states.len() - 1].iter().all(|state| *state == State::Continued),
            "{told}: {states:?}"
        );
        with_records += u64::from(!trace.entries().is_empty());
        records += trace.entries().len();
        most_parts = most_parts.max(parts.len());
    }
    println!(
        "{kills} kills: {with_records} left records, {records} in all, up to {most_parts} parts (seed {seed})"
    );
    assert!(with_records * 2 > kills, "{with_records} of {kills}");
}
