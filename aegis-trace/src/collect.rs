//! The thread that carries records from the rings to the file. It wakes by a timer; recorders never wake it.
use crate::file::Chunk;
use crate::writer::{RECORDS_PER_BLOCK, Writer, create};
use crate::{Balance, Header, Taken, Tap, Totals, TraceError};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time between two visits to the rings.
const EVERY: Duration = Duration::from_millis(5);

/// A trace that is being recorded.
#[derive(Debug)]
pub struct Collector {
    thread: Option<JoinHandle<Result<Totals, TraceError>>>,
    stop: Arc<AtomicBool>,
}

impl Collector {
    /// Writes the header and starts the thread that empties `taps` into `sink`. Recorders are numbered by the position
    /// of their taps. The sink is given one whole block a call and needs no buffer of its own.
    ///
    /// # Errors
    /// [`TraceError::Write`] if the header cannot be written, [`TraceError::Thread`] if the thread cannot be started,
    /// or what [`Header::check`] says.
    pub fn start(
        sink: impl Write + Send + 'static,
        header: &Header,
        taps: Vec<Tap>,
    ) -> Result<Self, TraceError> {
        let writer = Writer::begin(sink, header)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("aegis-trace".to_owned())
            .spawn(move || drain(writer, taps, &stopped))
            .map_err(|source| TraceError::Thread { source })?;
        Ok(Self { thread: Some(thread), stop })
    }

    /// As [`Collector::start`], into a new file.
    ///
    /// # Errors
    /// [`TraceError::Create`], or as [`Collector::start`].
    pub fn create(path: &Path, header: &Header, taps: Vec<Tap>) -> Result<Self, TraceError> {
        Self::start(create(path)?, header, taps)
    }

    /// Empties the rings a last time, writes the balance and waits until that is done. Drop the recorders first: what a
    /// living one offers from now on is not in the trace, and its balance says so.
    ///
    /// # Errors
    /// [`TraceError::Write`] for the first write that failed since the start, with the number of records lost by it.
    pub fn finish(mut self) -> Result<Totals, TraceError> {
        self.join()
    }

    fn join(&mut self) -> Result<Totals, TraceError> {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.take().ok_or(TraceError::Bug { what: "a collector was joined twice" })?;
        thread.thread().unpark();
        thread.join().unwrap_or(Err(TraceError::Bug { what: "the drain thread panicked" }))
    }
}

/// A collector that is dropped finishes its trace too; [`Collector::finish`] also says whether that worked.
impl Drop for Collector {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.join();
        }
    }
}

/// One ring with the number that its next record has if nothing is dropped.
struct Source {
    tap: Tap,
    next: u64,
    written: u64,
    /// Read before each visit: what was offered before the recorder was gone is seen by that visit.
    closed: Option<u64>,
}

fn drain<W: Write>(writer: Writer<W>, taps: Vec<Tap>, stop: &AtomicBool) -> Result<Totals, TraceError> {
    let mut sources: Vec<Source> =
        taps.into_iter().map(|tap| Source { tap, next: 0, written: 0, closed: None }).collect();
    let mut output = Output { writer, failed: None };
    loop {
        // Read before the rings are: what was offered before the stop is seen by the visit behind it.
        let last = stop.load(Ordering::Acquire);
        visit(&mut sources, &mut output);
        if last {
            break;
        }
        std::thread::park_timeout(EVERY);
    }
    let totals = Totals { recorders: sources.iter().map(Source::balance).collect() };
    match output.failed {
        Some((source, unwritten)) => Err(TraceError::Write { source, unwritten }),
        None => match output.writer.end(&totals) {
            Ok(()) => Ok(totals),
            Err(source) => Err(TraceError::Write { source, unwritten: 0 }),
        },
    }
}

/// Takes from every ring what waits in it now, so that a visit ends even where recorders are faster.
fn visit<W: Write>(sources: &mut [Source], output: &mut Output<W>) {
    for source in &mut *sources {
        source.closed = source.tap.closed();
    }
    let mut left: Vec<usize> = sources.iter().map(|source| source.tap.waiting()).collect();
    while left.iter().any(|n| *n > 0) {
        let mut room = RECORDS_PER_BLOCK;
        let mut chunks: Vec<Chunk> = Vec::new();
        for (recorder, (source, left)) in (0..).zip(sources.iter_mut().zip(&mut left)) {
            let take = room.min(*left);
            (room, *left) = (room - take, *left - take);
            for Taken { seq, record } in std::iter::from_fn(|| source.tap.take()).take(take) {
                match chunks.last_mut() {
                    Some(chunk) if chunk.recorder == recorder && seq == source.next => {
                        chunk.records.push(record);
                    }
                    _ => chunks.push(Chunk { recorder, first: seq, records: vec![record] }),
                }
                source.next = seq + 1;
            }
        }
        output.put(&chunks, sources);
    }
}

impl Source {
    /// What is known now. Read after the last record was taken: a drop is counted before any record behind it.
    fn balance(&self) -> Balance {
        let mut balance = Balance {
            offered: 0,
            written: self.written,
            dropped: self.tap.dropped(),
            still_recording: self.closed.is_none(),
        };
        balance.offered = self.closed.unwrap_or_else(|| balance.written + balance.dropped_in_all());
        balance
    }
}

/// The file, until a write fails: a block that is half there cannot be followed by others.
struct Output<W> {
    writer: Writer<W>,
    failed: Option<(io::Error, u64)>,
}

impl<W: Write> Output<W> {
    fn put(&mut self, chunks: &[Chunk], sources: &mut [Source]) {
        if self.failed.is_none() {
            match self.writer.records(chunks) {
                Ok(()) => {
                    for chunk in chunks {
                        sources[chunk.recorder as usize].written += chunk.records.len() as u64;
                    }
                    return;
                }
                Err(error) => self.failed = Some((error, 0)),
            }
        }
        let taken: u64 = chunks.iter().map(|chunk| chunk.records.len() as u64).sum();
        if let Some((_, unwritten)) = &mut self.failed {
            *unwritten += taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Output, Source, visit};
    use crate::tests::{TaskOf, header, some_records};
    use crate::writer::Writer;
    use crate::{Trace, recorder};
    use aegis_core::Policy;

    /// The ring was full, was visited in part, and took records again: the jump lies inside what the next visit takes.
    #[test]
    fn a_gap_inside_one_visit_is_kept() {
        let header = header(Policy::Fifo, 1, &[TaskOf("camera", &[25], 77, 0)]);
        let (mut recorder, mut tap) = recorder(4);
        for (seq, record) in (0..).zip(some_records(6)) {
            if seq == 5 {
                assert_eq!(tap.take().map(|taken| taken.seq), Some(0));
            }
            recorder.record(record.at, record.body);
        }
        let mut bytes = Vec::new();
        let mut output = Output { writer: Writer::begin(&mut bytes, &header).unwrap(), failed: None };
        let mut sources = [Source { tap, next: 1, written: 0, closed: None }];
        visit(&mut sources, &mut output);
        assert_eq!((sources[0].next, sources[0].written), (6, 4));
        drop(output);
        let trace = Trace::from_bytes(&bytes).unwrap();
        let seqs: Vec<u64> = trace.entries().iter().map(|e| e.seq).collect();
        assert_eq!(seqs, [1, 2, 3, 5]);
        assert_eq!(trace.gaps().iter().map(|g| (g.first, g.last)).collect::<Vec<_>>(), [(0, 0), (4, 4)]);
    }
}
