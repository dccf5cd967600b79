//! The thread that carries records from the rings to the file. It wakes by a timer; recorders never wake it.
use crate::sink::{Files, Sink, Stream};
use crate::write::identity;
use crate::writer::{BLOCK, Start, Writer};
use crate::{Balance, ClockNote, ClockPair, Header, Tap, Totals, TraceClock, TraceError, TraceKey};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time between two visits to the rings.
const EVERY: Duration = Duration::from_millis(5);
/// Records wait at most about this long for others that go into the same block; a crash loses them.
const WAIT: Duration = Duration::from_millis(50);
/// Time between two checkpoints while records come.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// How a trace is recorded.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The clock that the recorders read: its source goes into the header, and what other clocks show beside it into every
    /// checkpoint.
    pub clock: Option<TraceClock>,
    /// Signs every checkpoint; without it the header says that nothing is signed.
    pub key: Option<TraceKey>,
    /// A part that has this many bytes is ended and the next one begun, in a file beside it: see
    /// [`part_path`](crate::part_path). Without it there is one part.
    pub part_bytes: Option<u64>,
}

/// A trace that is being recorded.
#[derive(Debug)]
pub struct Collector {
    thread: Option<JoinHandle<Result<Totals, TraceError>>>,
    stop: Arc<AtomicBool>,
}

impl Collector {
    /// Writes the header and starts the thread that empties `taps` into `sink`. Recorders are numbered by the position
    /// of their taps. The sink is given one whole block a call and needs no buffer of its own. There is one part, whatever
    /// the options say.
    ///
    /// # Errors
    /// [`TraceError::Write`] if the header cannot be written, [`TraceError::Thread`] if the thread cannot be started,
    /// or what [`Header::check`] says.
    pub fn start(
        sink: impl Write + Send + 'static,
        header: &Header,
        taps: Vec<Tap>,
        options: &Options,
    ) -> Result<Self, TraceError> {
        Self::into(Stream(sink), header, taps, &Options { part_bytes: None, ..options.clone() })
    }

    /// As [`Collector::start`], into new files: one, or one a part. Checkpoints, which come about once a second, are
    /// on the disk before recording goes on to fill the next one (`fdatasync`).
    ///
    /// # Errors
    /// [`TraceError::Create`], or as [`Collector::start`].
    pub fn create(
        path: &Path,
        header: &Header,
        taps: Vec<Tap>,
        options: &Options,
    ) -> Result<Self, TraceError> {
        Self::into(Files::create(path)?, header, taps, options)
    }

    fn into(
        sink: impl Sink + Send + 'static,
        header: &Header,
        taps: Vec<Tap>,
        options: &Options,
    ) -> Result<Self, TraceError> {
        let clock = options.clock;
        let start = Start {
            header,
            clock: clock.as_ref().map_or_else(ClockNote::unstated, TraceClock::note),
            recorders: taps.len(),
            key: options.key.clone(),
            identity: identity(header, &unique()),
            block: BLOCK,
        };
        let output = Output {
            writer: Writer::begin(sink, start)?,
            clock,
            part_bytes: options.part_bytes,
            failed: None,
            block_since: Instant::now(),
            checkpoint_at: Instant::now(),
            fresh: false,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sources: Vec<Source> = taps.into_iter().map(|tap| Source { tap, closed: None }).collect();
        let thread = std::thread::Builder::new()
            .name("aegis-trace".to_owned())
            .spawn(move || {
                let (mut sources, mut output) = (sources, output);
                drain(&mut sources, &mut output, &stopped);
                output.end(&sources)
            })
            .map_err(|source| TraceError::Thread { source })?;
        Ok(Self { thread: Some(thread), stop })
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

/// Differs between two recordings, even of one process at one instant.
fn unique() -> [u64; 3] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let random = RandomState::new().build_hasher().finish();
    [random, now.as_secs(), u64::from(now.subsec_nanos()) << 32 | u64::from(std::process::id())]
}

/// One ring.
struct Source {
    tap: Tap,
    /// Read before each visit: what was offered before the recorder was gone is seen by that visit.
    closed: Option<u64>,
}

fn drain<S: Sink>(sources: &mut [Source], output: &mut Output<S>, stop: &AtomicBool) {
    loop {
        // Read before the rings are: what was offered before the stop is seen by the visit behind it.
        let last = stop.load(Ordering::Acquire);
        visit(sources, output);
        output.tend(sources);
        if last {
            return;
        }
        std::thread::park_timeout(EVERY);
    }
}

/// Takes from every ring what waits in it now, so that a visit ends even where recorders are faster.
fn visit<S: Sink>(sources: &mut [Source], output: &mut Output<S>) {
    for source in &mut *sources {
        source.closed = source.tap.closed();
    }
    for (recorder, source) in (0..).zip(sources) {
        let mut left = source.tap.waiting();
        while let Some((taken, slots)) = source.tap.take_within(left) {
            left -= slots;
            output.put(recorder, taken.seq, &taken.record);
        }
    }
}

/// The file, until a write fails: a block that is half there cannot be followed by others.
struct Output<S> {
    writer: Writer<S>,
    clock: Option<TraceClock>,
    part_bytes: Option<u64>,
    /// The first failure, and records that were taken and are not in the file.
    failed: Option<(io::Error, u64)>,
    /// When the oldest record that waits began to; when the last checkpoint was.
    block_since: Instant,
    checkpoint_at: Instant,
    /// Whether a record came since then.
    fresh: bool,
}

impl<S: Sink> Output<S> {
    fn put(&mut self, recorder: u32, seq: u64, record: &crate::Record) {
        if let Some((_, unwritten)) = &mut self.failed {
            *unwritten += 1;
            return;
        }
        if self.writer.waiting() == 0 {
            self.block_since = Instant::now();
        }
        self.fresh = true;
        let written = self.writer.record(recorder, seq, record);
        self.note(written);
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.failed.get_or_insert((error, self.writer.waiting()));
        }
    }

    /// Writes what is due: a block that waited long enough, a checkpoint, the next part.
    fn tend(&mut self, sources: &[Source]) {
        if self.failed.is_none() && self.writer.waiting() > 0 && self.block_since.elapsed() >= WAIT {
            let flushed = self.writer.flush();
            self.note(flushed);
        }
        let checkpoint = self.fresh && self.checkpoint_at.elapsed() >= CHECKPOINT_EVERY;
        let next_part = self.part_bytes.is_some_and(|most| self.writer.part_bytes() >= most);
        if self.failed.is_some() || !checkpoint && !next_part {
            return;
        }
        (self.checkpoint_at, self.fresh) = (Instant::now(), false);
        let clocks = self.clocks();
        let flushed = self.writer.flush();
        let totals = self.totals(sources);
        let written = flushed.and_then(|()| {
            if next_part {
                self.writer.next_part(&totals, clocks)
            } else {
                self.writer.checkpoint(&totals, clocks)
            }
        });
        self.note(written);
    }

    fn clocks(&self) -> ClockPair {
        self.clock.as_ref().map(TraceClock::pair).unwrap_or_default()
    }

    /// What is known now; nothing waits.
    fn totals(&self, sources: &[Source]) -> Totals {
        let balances = sources.iter().enumerate().map(|(recorder, source)| {
            // Read after the last record was taken: a drop is counted before any record behind it.
            let dropped = source.tap.dropped();
            let written = self.writer.written(recorder);
            let balance = Balance { offered: 0, written, dropped, still_recording: source.closed.is_none() };
            let known = balance.written.saturating_add(balance.dropped_in_all());
            Balance { offered: source.closed.unwrap_or(known), ..balance }
        });
        Totals { recorders: balances.collect() }
    }

    fn end(mut self, sources: &[Source]) -> Result<Totals, TraceError> {
        let flushed = if self.failed.is_none() { self.writer.flush() } else { Ok(()) };
        self.note(flushed);
        if let Some((source, unwritten)) = self.failed {
            return Err(TraceError::Write { source, unwritten });
        }
        let (totals, clocks) = (self.totals(sources), self.clocks());
        match self.writer.end(&totals, clocks) {
            Ok(()) => Ok(totals),
            Err(source) => Err(TraceError::Write { source, unwritten: 0 }),
        }
    }
}
