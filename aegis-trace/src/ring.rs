//! One bounded ring per recording thread: writing never blocks, locks, allocates or calls the system; a record that
//! does not fit is dropped and counted.
//!
//! Every record offered takes the next sequence number, whether it fits or not. A reader therefore sees exactly which
//! ones are missing, and `offered = taken + dropped` holds at every moment at which the recorder stands still.
use crate::counters::Counters;
use crate::slot::{self, MOST_SLOTS, Slot};
use crate::{Body, Kind, Record};
use aegis_core::Nanos;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Slots that a ring needs so that nothing is lost: those of `records` that are recorded between two visits of the
/// drain thread at worst, and of `others` that are recorded at once and may be of any kind, such as what is recorded
/// before a run. Steps, starts and ends take one slot of 64 bytes; every other kind takes at most [`most_slots`].
///
/// ```
/// // A million records a second over a stall of 131 ms fit 8 MiB.
/// assert!(aegis_trace::ring_slots(131_000, 20) * 64 <= 8 << 20);
/// ```
#[must_use]
pub fn ring_slots(records: u64, others: u64) -> usize {
    let slots = others.saturating_mul(MOST_SLOTS as u64).saturating_add(records);
    usize::try_from(slots).unwrap_or(usize::MAX)
}

/// The most slots that one record of any kind takes.
#[must_use]
pub const fn most_slots() -> usize {
    MOST_SLOTS
}

/// A ring of `slots` slots; at least one. All its memory is taken here: 64 bytes a slot. [`ring_slots`] says how many
/// are enough. A record that takes more slots than the ring has never fits, and is counted like every other.
///
/// ```
/// use aegis_core::{JobId, Nanos, TaskId};
/// use aegis_trace::{Body, recorder};
/// let (mut recorder, mut tap) = recorder(1);
/// let started = Body::Started { job: JobId { task: TaskId(0), seq: 0 }, segment: 0 };
/// recorder.record(Nanos(5), started);
/// recorder.record(Nanos(6), started); // does not fit
/// assert_eq!((recorder.offered(), recorder.dropped()), (2, 1));
/// assert_eq!(tap.take().map(|taken| (taken.seq, taken.record.at)), Some((0, Nanos(5))));
/// ```
#[must_use]
pub fn recorder(slots: usize) -> (Recorder, Tap) {
    let (producer, consumer) = rtrb::RingBuffer::new(slots.max(1));
    let counters = Arc::new(Counters::new());
    let recorder = Recorder { to: Some((producer, Arc::clone(&counters))), offered: 0 };
    (recorder, Tap { ring: consumer, counters })
}

/// The writing end of a ring; belongs to one thread.
#[derive(Debug)]
pub struct Recorder {
    to: Option<(rtrb::Producer<Slot>, Arc<Counters>)>,
    offered: u64,
}

impl Recorder {
    /// A recorder that records nothing: for runs without a trace. It has no ring and counts nothing, and a call of
    /// [`Recorder::record`] is one comparison.
    #[must_use]
    pub const fn disabled() -> Self {
        Self { to: None, offered: 0 }
    }

    /// Records that `body` happened at `at`, or drops it and counts that when the ring is full.
    #[allow(clippy::inline_always, reason = "where it is disabled the body is not even put together")]
    #[inline(always)]
    pub fn record(&mut self, at: Nanos, body: Body) {
        if self.to.is_some() {
            self.offer(at, body);
        }
    }

    #[inline]
    fn offer(&mut self, at: Nanos, body: Body) {
        let Some((ring, counters)) = &mut self.to else { return };
        let seq = self.offered;
        self.offered += 1;
        let kept = match slot::pack(at, seq, &body) {
            Some(slot) => ring.push(slot).is_ok(),
            None => record_encoded(ring, at, seq, &body),
        };
        if !kept {
            counters.drop_one(body.kind());
        }
    }

    /// How many records were offered so far.
    #[must_use]
    pub const fn offered(&self) -> u64 {
        self.offered
    }

    /// How many of them were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let Some((_, counters)) = &self.to else { return 0 };
        counters.dropped_in_all()
    }
}

/// Whether it fits. All its slots become visible at once.
#[cold]
fn record_encoded(ring: &mut rtrb::Producer<Slot>, at: Nanos, seq: u64, body: &Body) -> bool {
    let mut slots = [Slot::default(); MOST_SLOTS];
    let Some(count) = slot::encode(at, seq, body, &mut slots) else { return false };
    let Ok(mut chunk) = ring.write_chunk(count) else { return false };
    let (first, second) = chunk.as_mut_slices();
    let (to_first, to_second) = slots[..count].split_at(first.len());
    first.copy_from_slice(to_first);
    second.copy_from_slice(to_second);
    chunk.commit_all();
    true
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some((_, counters)) = &self.to {
            counters.close(self.offered);
        }
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
    ring: rtrb::Consumer<Slot>,
    counters: Arc<Counters>,
}

impl Tap {
    /// The oldest record, if there is one. Wait-free.
    #[inline]
    pub fn take(&mut self) -> Option<Taken> {
        self.take_within(usize::MAX).map(|(taken, _)| taken)
    }

    /// The oldest record and the slots that it took, if it lies within the oldest `most` slots.
    pub(crate) fn take_within(&mut self, most: usize) -> Option<(Taken, usize)> {
        let count = slot::length(self.ring.peek().ok()?);
        if count > most {
            return None;
        }
        let chunk = self.ring.read_chunk(count).ok()?;
        // What a recorder put there can be read: the round trip of every body is tested.
        let (seq, record) = slot::decode(chunk.into_iter())?;
        Some((Taken { seq, record }, count))
    }

    /// How many slots can be taken now; a record takes at least one.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.ring.slots()
    }

    /// How many records were offered in all, once the recorder is gone; whatever still waits can be taken.
    #[must_use]
    pub fn closed(&self) -> Option<u64> {
        self.counters.closed()
    }

    /// How many records were dropped so far, by kind; kinds without drops are left out.
    #[must_use]
    pub fn dropped(&self) -> BTreeMap<Kind, u64> {
        self.counters.dropped()
    }
}

#[cfg(test)]
mod tests {
    use super::{Recorder, Tap, recorder, ring_slots};
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

    /// A ring of the stated size holds the records that it was sized for, whatever their kinds.
    #[test]
    fn a_ring_of_the_stated_size_holds_them() {
        for (records, others) in [(0, 1), (5, 0), (100, 7)] {
            let (mut recorder, mut tap) = recorder(ring_slots(records, others));
            let job = JobId { task: TaskId(u32::MAX), seq: u64::MAX };
            let missed = aegis_core::Rejection::DeadlineMissed {
                task: TaskId(u32::MAX),
                wcrt: Nanos::MAX,
                deadline: Nanos::MAX,
                blocked_by: Some(TaskId(u32::MAX)),
                blocking: Nanos::MAX,
            };
            (0..records).for_each(|_| recorder.record(Nanos(1), Body::Started { job, segment: 1 }));
            (0..others).for_each(|_| recorder.record(Nanos(1), Body::Rejected(missed)));
            assert_eq!(recorder.dropped(), 0);
            assert_eq!(std::iter::from_fn(|| tap.take()).count() as u64, records + others);
        }
        assert_eq!(ring_slots(u64::MAX, 1), usize::MAX);
    }

    #[test]
    fn a_disabled_recorder_records_nothing() {
        let mut recorder = Recorder::disabled();
        recorder.record(Nanos(1), Body::Stopping);
        assert_eq!((recorder.offered(), recorder.dropped()), (0, 0));
    }
}
