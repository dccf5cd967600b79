//! One bounded ring per recording thread: writing never blocks, locks, allocates or calls the system; a record that
//! does not fit is dropped and counted.
//!
//! Every record offered takes the next sequence number, whether it fits or not. A reader therefore sees exactly which
//! ones are missing, and `offered = taken + dropped` holds at every moment at which the recorder stands still.
use crate::{Body, Kind, Record};
use aegis_core::Nanos;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A ring that holds `capacity` records; at least one. All its memory is taken here: 104 bytes a record.
///
/// No record is lost while `capacity ≥ rate × longest time between two visits of the reader`.
///
/// ```
/// use aegis_core::Nanos;
/// use aegis_trace::{Body, recorder};
/// let (mut recorder, mut tap) = recorder(1);
/// recorder.record(Nanos(5), Body::Stopping);
/// recorder.record(Nanos(6), Body::Stopping); // does not fit
/// assert_eq!((recorder.offered(), recorder.dropped()), (2, 1));
/// assert_eq!(tap.take().map(|taken| (taken.seq, taken.record.at)), Some((0, Nanos(5))));
/// ```
#[must_use]
pub fn recorder(capacity: usize) -> (Recorder, Tap) {
    let (producer, consumer) = rtrb::RingBuffer::new(capacity.max(1));
    let counters = Arc::new(Counters::default());
    let recorder = Recorder { ring: producer, offered: 0, counters: Arc::clone(&counters) };
    (recorder, Tap { ring: consumer, counters })
}

/// Written by the recorder's thread alone, so that plain loads and stores suffice to count.
#[derive(Debug, Default)]
struct Counters {
    dropped: [AtomicU64; Kind::ALL.len()],
    /// Valid once `closed`.
    offered: AtomicU64,
    closed: AtomicBool,
}

/// The writing end of a ring; belongs to one thread.
#[derive(Debug)]
pub struct Recorder {
    ring: rtrb::Producer<Taken>,
    offered: u64,
    counters: Arc<Counters>,
}

impl Recorder {
    /// Records that `body` happened at `at`, or drops it and counts that when the ring is full.
    #[inline]
    pub fn record(&mut self, at: Nanos, body: Body) {
        let seq = self.offered;
        self.offered += 1;
        if self.ring.push(Taken { seq, record: Record { at, body } }).is_err() {
            self.count_drop(body.kind());
        }
    }

    #[cold]
    fn count_drop(&self, kind: Kind) {
        let counter = &self.counters.dropped[kind as usize];
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// How many records were offered so far.
    #[must_use]
    pub const fn offered(&self) -> u64 {
        self.offered
    }

    /// How many of them were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counters.dropped.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.counters.offered.store(self.offered, Ordering::Relaxed);
        self.counters.closed.store(true, Ordering::Release);
    }
}

/// A record as it leaves the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Its position among the records offered, from 0; a jump means that the ones between were dropped.
    pub seq: u64,
    /// The record.
    pub record: Record,
}

/// The reading end of a ring.
#[derive(Debug)]
pub struct Tap {
    ring: rtrb::Consumer<Taken>,
    counters: Arc<Counters>,
}

impl Tap {
    /// The oldest record, if there is one. Wait-free.
    #[inline]
    pub fn take(&mut self) -> Option<Taken> {
        self.ring.pop().ok()
    }

    /// How many records can be taken now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.ring.slots()
    }

    /// How many records were offered in all, once the recorder is gone; whatever still waits can be taken.
    #[must_use]
    pub fn closed(&self) -> Option<u64> {
        // Acquire: pairs with the Release in the recorder's `drop`, so that all its pushes and counts are visible.
        let closed = self.counters.closed.load(Ordering::Acquire);
        closed.then(|| self.counters.offered.load(Ordering::Relaxed))
    }

    /// How many records were dropped so far, by kind; kinds without drops are left out.
    #[must_use]
    pub fn dropped(&self) -> BTreeMap<Kind, u64> {
        let counts = Kind::ALL.into_iter().zip(&self.counters.dropped);
        counts.map(|(kind, n)| (kind, n.load(Ordering::Relaxed))).filter(|(_, n)| *n > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Tap, recorder};
    use crate::{Body, Kind};
    use aegis_core::{JobId, Nanos, Rng, TaskId};
    use std::collections::BTreeMap;

    fn body(seq: u64) -> Body {
        let job = JobId { task: TaskId(1), seq };
        match seq % 3 {
            0 => Body::Started { job, segment: 0 },
            1 => Body::Stopping,
            _ => Body::Profiled { task: TaskId(0), wcet: Nanos(seq), runs: seq },
        }
    }

    /// Takes what waits; checks that every survivor is what was offered under its number, and counts what is missing.
    fn drain(tap: &mut Tap, next: &mut u64, missing: &mut BTreeMap<Kind, u64>) -> u64 {
        let mut taken = 0;
        while let Some(t) = tap.take() {
            assert!(t.seq >= *next, "{} after {next}", t.seq);
            assert_eq!((t.record.at, t.record.body), (Nanos(t.seq), body(t.seq)));
            (*next..t.seq).for_each(|seq| *missing.entry(body(seq).kind()).or_default() += 1);
            *next = t.seq + 1;
            taken += 1;
        }
        taken
    }

    /// `offered = taken + dropped`, in all and by kind, whatever the sizes and speeds.
    fn conserved(capacity: usize, offered: u64, pause_every: u64) {
        let (mut recorder, mut tap) = recorder(capacity);
        let writer = std::thread::spawn(move || {
            for seq in 0..offered {
                recorder.record(Nanos(seq), body(seq));
                if pause_every != 0 && seq % pause_every == 0 {
                    std::thread::yield_now();
                }
            }
            recorder.dropped()
        });
        let (mut next, mut missing, mut taken) = (0, BTreeMap::new(), 0);
        while tap.closed().is_none() {
            taken += drain(&mut tap, &mut next, &mut missing);
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
        let said = tap.closed().unwrap();
        taken += drain(&mut tap, &mut next, &mut missing);
        (next..said).for_each(|seq| *missing.entry(body(seq).kind()).or_default() += 1);
        assert_eq!(said, offered);
        assert_eq!(missing, tap.dropped());
        let dropped: u64 = missing.values().sum();
        assert_eq!(writer.join().unwrap(), dropped);
        assert_eq!(taken + dropped, offered);
    }

    #[test]
    fn conserved_with_a_slow_drain() {
        conserved(1, 20_000, 64);
        conserved(1000, 500_000, 0);
        conserved(1 << 14, 100_000, 100);
        let seed = 7;
        let mut rng = Rng::new(seed);
        for _ in 0..20 {
            let capacity = usize::try_from(rng.between(1, 300)).unwrap();
            conserved(capacity, rng.between(0, 20_000), rng.between(0, 50));
        }
    }

    #[test]
    fn a_record_takes_what_the_documentation_says() {
        assert_eq!(size_of::<super::Taken>(), 104);
    }

    #[test]
    fn nothing_is_dropped_while_it_fits() {
        let (mut recorder, mut tap) = recorder(8);
        for round in 0..5u64 {
            (0..8).for_each(|i| recorder.record(Nanos(round * 8 + i), body(round * 8 + i)));
            assert_eq!(tap.waiting(), 8);
            assert_eq!(tap.closed(), None);
            let taken: Vec<u64> = std::iter::from_fn(|| tap.take()).map(|t| t.seq).collect();
            assert_eq!(taken, (round * 8..round * 8 + 8).collect::<Vec<_>>());
        }
        assert_eq!((recorder.offered(), recorder.dropped()), (40, 0));
        assert!(tap.dropped().is_empty());
    }
}
