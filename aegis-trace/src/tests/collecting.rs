//! The drain thread: nothing is lost that fits, what is lost is counted, a failing sink blocks nobody.
use super::{TaskOf, header, some_records};
use crate::{Collector, Header, Options, Record, Recorder, Trace, TraceError, recorder};
use aegis_core::Policy;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn one_task() -> Header {
    header(Policy::Fifo, 1, &[TaskOf("camera", &[25], 77, 0)])
}

/// A sink that others can look into, that is slow, and that is full at some length.
#[derive(Clone)]
struct Sink {
    bytes: Arc<Mutex<Vec<u8>>>,
    pause: Duration,
    room: usize,
}

impl Sink {
    fn new(pause: Duration, room: usize) -> Self {
        Self { bytes: Arc::default(), pause, room }
    }

    fn trace(&self) -> Trace {
        Trace::from_bytes(&self.bytes.lock().unwrap()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::thread::sleep(self.pause);
        let mut held = self.bytes.lock().unwrap();
        let taken = bytes.len().min(self.room - held.len());
        held.extend(&bytes[..taken]);
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn offer_all(recorder: &mut Recorder, n: u64) {
    for record in some_records(n) {
        recorder.record(record.at, record.body);
    }
}

fn offer(mut recorder: Recorder, records: Vec<Record>, every: usize) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        for (i, record) in records.into_iter().enumerate() {
            recorder.record(record.at, record.body);
            if i % every == every - 1 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        recorder.dropped()
    })
}

#[test]
fn conserved_from_threads_to_the_file() {
    for (capacities, n, pause) in [
        (vec![1 << 16, 1 << 16, 1 << 16], 30_000, 0),
        (vec![64, 1 << 12], 50_000, 8),
        (vec![1], 20_000, 2),
        (vec![], 0, 0),
    ] {
        let sink = Sink::new(Duration::from_millis(pause), usize::MAX);
        let (recorders, taps): (Vec<_>, Vec<_>) = capacities.iter().map(|c| recorder(*c)).unzip();
        let collector = Collector::start(sink.clone(), &one_task(), taps, &Options::default()).unwrap();
        let threads: Vec<_> = recorders.into_iter().map(|r| offer(r, some_records(n), 2000)).collect();
        let dropped: Vec<u64> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        let totals = collector.finish().unwrap();
        let trace = sink.trace();
        assert_eq!(trace.totals(), Some(&totals));
        assert_eq!(totals.recorders.len(), capacities.len());
        for (balance, dropped) in totals.recorders.iter().zip(&dropped) {
            assert!(balance.adds_up() && !balance.still_recording);
            assert_eq!((balance.offered, balance.dropped_in_all()), (n, *dropped));
        }
        let missing: u64 = trace.gaps().iter().map(crate::Gap::missing).sum();
        assert_eq!(missing, totals.dropped());
        let offered = some_records(n);
        for entry in trace.entries() {
            assert_eq!(entry.record, offered[usize::try_from(entry.seq).unwrap()]);
        }
        assert_eq!(trace.entries().len() as u64, totals.written());
        if pause == 0 {
            assert_eq!(totals.dropped(), 0);
        }
    }
}

#[test]
fn a_full_disk_blocks_nobody_and_is_reported() {
    let records = some_records(50_000);
    for room in [900, 5_000, 200_000] {
        let sink = Sink::new(Duration::ZERO, room);
        let (recorder, tap) = recorder(1 << 17);
        let collector = Collector::start(sink.clone(), &one_task(), vec![tap], &Options::default()).unwrap();
        assert_eq!(offer(recorder, records.clone(), 5000).join().unwrap(), 0);
        let error = collector.finish().unwrap_err();
        let TraceError::Write { source, unwritten } = &error else { panic!("{error}") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        let trace = sink.trace();
        assert!(!trace.complete());
        assert_eq!(trace.entries().len() as u64 + unwritten, records.len() as u64);
        assert!(error.to_string().contains(&format!("{unwritten} records")), "{error}");
    }
}

#[test]
fn a_header_that_cannot_be_written_is_reported_at_the_start() {
    let (_, tap) = recorder(1);
    let error = Collector::start(Sink::new(Duration::ZERO, 20), &one_task(), vec![tap], &Options::default())
        .unwrap_err();
    assert!(matches!(error, TraceError::Write { unwritten: 0, .. }), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let error = Collector::create(&folder.path().join("no/trace"), &one_task(), vec![], &Options::default())
        .unwrap_err();
    assert!(matches!(error, TraceError::Create { .. }), "{error}");
}

/// A worker that hangs keeps its recorder: the trace is finished all the same and says so.
#[test]
fn a_recorder_that_lives_on_is_named() {
    let sink = Sink::new(Duration::ZERO, usize::MAX);
    let (mut alive, tap) = recorder(8);
    let (mut gone, other) = recorder(8);
    offer_all(&mut gone, 3);
    drop(gone);
    let collector =
        Collector::start(sink.clone(), &one_task(), vec![tap, other], &Options::default()).unwrap();
    offer_all(&mut alive, 2);
    let totals = collector.finish().unwrap();
    let [living, closed] = &totals.recorders[..] else { panic!() };
    assert!(living.still_recording && living.adds_up() && living.written == 2);
    assert!(!closed.still_recording && closed.written == 3);
    offer_all(&mut alive, 9);
    assert!(sink.trace().complete());
}

#[test]
fn a_dropped_collector_finishes_its_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let (mut recorder, tap) = recorder(32);
    let collector = Collector::create(&path, &one_task(), vec![tap], &Options::default()).unwrap();
    offer_all(&mut recorder, 5);
    drop(recorder);
    drop(collector);
    let trace = Trace::open(&path).unwrap();
    assert!(trace.complete());
    assert_eq!(trace.entries().len(), 5);
}
