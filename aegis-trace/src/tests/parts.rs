//! Traces in several parts, and what a recording says of itself.
use super::{TaskOf, header, some_records};
use crate::{ClockSource, Collector, Header, Options, Trace, TraceClock, TraceError, part_path, recorder};
use aegis_core::Policy;
use std::path::{Path, PathBuf};

fn one_task() -> Header {
    header(Policy::Fifo, 1, &[TaskOf("camera", &[25], 77, 0)])
}

/// Bytes of all parts.
fn size(path: &Path) -> u64 {
    let of = |part| std::fs::metadata(part_path(path, part)).ok().map(|about| about.len());
    (1..1000).map_while(of).sum()
}

/// Records `n` records in parts of about that many bytes; how many parts there are.
fn in_parts(path: &Path, n: u64, part_bytes: u64) -> u32 {
    let (mut recorder, tap) = recorder(1 << 12);
    let options = Options { part_bytes: Some(part_bytes), ..Options::default() };
    let collector = Collector::create(path, &one_task(), vec![tap], &options).unwrap();
    for (i, record) in some_records(n).into_iter().enumerate() {
        recorder.record(record.at, record.body);
        if i % 500 == 499 {
            // However busy the machine is: the drain thread writes the block before more is recorded.
            let before = size(path);
            for _ in 0..20_000 {
                if size(path) > before {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }
    drop(recorder);
    let totals = collector.finish().unwrap();
    assert_eq!((totals.offered(), totals.dropped()), (n, 0));
    (1..1000).take_while(|part| part_path(path, *part).exists()).last().unwrap_or(0)
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.aegistrace");
    (folder, path)
}

#[test]
fn parts_are_read_as_one_and_alone() {
    let (_folder, path) = scratch();
    let parts = in_parts(&path, 4000, 9_000);
    assert!(parts >= 3, "{parts}");
    let whole = Trace::open(&path).unwrap();
    assert!(whole.complete() && whole.gaps().is_empty());
    assert_eq!((whole.recording().part, whole.recording().parts), (1, parts));
    let records: Vec<_> = whole.entries().iter().map(|e| e.record).collect();
    assert_eq!(records, some_records(4000));
    // Read from the second part on, everything but the first is there.
    let first = Trace::from_bytes(&std::fs::read(&path).unwrap()).unwrap();
    let rest = Trace::open(&part_path(&path, 2)).unwrap();
    assert!(!first.complete() && rest.complete());
    assert_eq!((rest.recording().part, rest.recording().parts), (2, parts - 1));
    assert_eq!(first.entries().len() + rest.entries().len(), 4000);
    assert_eq!(rest.entries()[0].seq, first.entries().len() as u64);
    assert_eq!(rest.totals(), whole.totals());
}

#[test]
fn parts_that_do_not_follow() {
    let (folder, path) = scratch();
    let parts = in_parts(&path, 3000, 9_000);
    let other = folder.path().join("other.aegistrace");
    in_parts(&other, 3000, 9_000);
    let second = part_path(&path, 2);
    let kept = std::fs::read(&second).unwrap();
    let says = |expected: &str| {
        let error = Trace::open(&path).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().contains(expected), "{error}");
    };
    // The same part of another recording, another part of this one, a damaged part.
    std::fs::copy(part_path(&other, 2), &second).unwrap();
    says("belongs to another recording; move it away");
    std::fs::copy(part_path(&path, 3), &second).unwrap();
    says("it is part 3, and part 2 is due");
    let mut damaged = kept.clone();
    damaged[700] ^= 1;
    std::fs::write(&second, damaged).unwrap();
    says("run.2.aegistrace: the trace is damaged at byte");
    // Begun and no more, or not there: the trace was cut off behind the first part.
    std::fs::write(&second, &kept[..100]).unwrap();
    let cut = Trace::open(&path).unwrap();
    assert!(!cut.complete() && cut.recording().parts == 1 && !cut.entries().is_empty());
    std::fs::remove_file(&second).unwrap();
    assert!(!Trace::open(&path).unwrap().complete());
    assert!(parts > 2);
}

/// The header says which clock it was, and checkpoints what others showed beside it.
#[test]
fn the_clock_is_in_the_file() {
    let (_folder, path) = scratch();
    let clock = TraceClock::start();
    let (mut recorder, tap) = recorder(64);
    let options = Options { clock: Some(clock), ..Options::default() };
    let collector = Collector::create(&path, &one_task(), vec![tap], &options).unwrap();
    recorder.record(aegis_core::Clock::now(&clock), crate::Body::Stopping);
    drop(recorder);
    collector.finish().unwrap();
    let trace = Trace::open(&path).unwrap();
    let recording = trace.recording();
    assert_eq!(recording.origin.clock, clock.note());
    assert_ne!(recording.origin.clock.source, ClockSource::Unstated);
    let [pair] = recording.clocks[..] else { panic!("{:?}", recording.clocks) };
    assert!(pair.clock_ns >= trace.entries()[0].record.at.0 && pair.unix_ns > 0);
    assert_eq!(recording.key, None);
    assert!(recording.origin.build.to_string().contains("linux") || !cfg!(target_os = "linux"));
}

/// Two recordings are told apart although everything that they say is the same.
#[test]
fn every_recording_has_an_identity_of_its_own() {
    let identities: Vec<[u8; 16]> = (0..3)
        .map(|_| {
            let (_folder, path) = scratch();
            Collector::create(&path, &one_task(), vec![], &Options::default()).unwrap().finish().unwrap();
            Trace::open(&path).unwrap().recording().identity
        })
        .collect();
    assert!(identities[0] != identities[1] && identities[1] != identities[2]);
}

#[test]
fn a_stream_has_one_part() {
    let options = Options { part_bytes: Some(1), ..Options::default() };
    let (mut recorder, tap) = recorder(64);
    let collector = Collector::start(std::io::sink(), &one_task(), vec![tap], &options).unwrap();
    recorder.record(aegis_core::Nanos(1), crate::Body::Stopping);
    drop(recorder);
    assert!(collector.finish().is_ok());
}

#[test]
fn a_key_that_is_none() {
    let (folder, path) = scratch();
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let error = crate::TraceKey::open(&path).unwrap_err();
    assert!(
        matches!(error, TraceError::Key { .. }) && error.to_string().contains("openssl genpkey"),
        "{error}"
    );
    let error = crate::TraceKey::open(&folder.path().join("none.pem")).unwrap_err();
    assert!(matches!(error, TraceError::Read { .. }), "{error}");
}
