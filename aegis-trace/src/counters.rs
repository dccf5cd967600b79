//! What a recorder and the drain thread share besides the ring: drops by kind, and whether the recorder is gone.
//!
//! Two promises hold whatever the threads do, and let every record be accounted for. A drop is counted before any record behind
//! it can be taken. And whoever sees that the recorder is gone sees all of its records and drops.
use crate::Kind;
#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::BTreeMap;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Written by the recorder's thread alone, so that plain loads and stores suffice to count.
#[derive(Debug)]
pub struct Counters {
    dropped: [AtomicU64; Kind::ALL.len()],
    /// Valid once `closed`.
    offered: AtomicU64,
    closed: AtomicBool,
}

impl Counters {
    pub fn new() -> Self {
        Self {
            dropped: std::array::from_fn(|_| AtomicU64::new(0)),
            offered: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Counts a drop. Relaxed: the next record's Release in the ring makes it visible to whoever takes that record.
    #[cold]
    pub fn drop_one(&self, kind: Kind) {
        let counter = &self.dropped[kind as usize];
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// How many were dropped so far, by kind; kinds without drops are left out.
    pub fn dropped(&self) -> BTreeMap<Kind, u64> {
        let counts = Kind::ALL.into_iter().zip(&self.dropped);
        counts.map(|(kind, n)| (kind, n.load(Ordering::Relaxed))).filter(|(_, n)| *n > 0).collect()
    }

    /// How many were dropped in all.
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }

    /// The recorder offered so many, and is gone.
    pub fn close(&self, offered: u64) {
        self.offered.store(offered, Ordering::Relaxed);
        // Release: pairs with the Acquire in `closed`.
        self.closed.store(true, Ordering::Release);
    }

    /// How many were offered, once the recorder is gone.
    pub fn closed(&self) -> Option<u64> {
        // Acquire: pairs with the Release in `close`, so that all pushes and counts before it are visible.
        let closed = self.closed.load(Ordering::Acquire);
        closed.then(|| self.offered.load(Ordering::Relaxed))
    }
}

/// Every interleaving and every order of memory that loom knows, with a ring that synchronises as rtrb's does: a Release of
/// the tail behind a push, a Release of the head behind a pop. rtrb itself is not what is tested.
///
/// `RUSTFLAGS="--cfg loom" cargo test --release -p aegis-trace --lib counters`
#[cfg(all(test, loom))]
mod tests {
    use super::Counters;
    use crate::Kind;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering};
    use loom::thread;

    struct Ring<const N: usize> {
        slots: [AtomicU64; N],
        head: AtomicU64,
        tail: AtomicU64,
    }

    impl<const N: usize> Ring<N> {
        fn new() -> Self {
            let zero = || AtomicU64::new(0);
            Self { slots: std::array::from_fn(|_| zero()), head: zero(), tail: zero() }
        }

        fn slot(&self, at: u64) -> &AtomicU64 {
            &self.slots[usize::try_from(at).unwrap() % N]
        }

        fn push(&self, seq: u64) -> bool {
            let tail = self.tail.load(Ordering::Relaxed);
            if tail - self.head.load(Ordering::Acquire) == N as u64 {
                return false;
            }
            self.slot(tail).store(seq, Ordering::Relaxed);
            self.tail.store(tail + 1, Ordering::Release);
            true
        }

        fn pop(&self) -> Option<u64> {
            let head = self.head.load(Ordering::Relaxed);
            if self.tail.load(Ordering::Acquire) == head {
                return None;
            }
            let seq = self.slot(head).load(Ordering::Relaxed);
            self.head.store(head + 1, Ordering::Release);
            Some(seq)
        }
    }

    #[derive(Default)]
    struct Taken {
        records: u64,
        missing: u64,
        next: u64,
    }

    /// As the collector does: whether it is closed is read before the ring is emptied, drops after.
    fn visit<const N: usize>(ring: &Ring<N>, counters: &Counters, taken: &mut Taken) -> bool {
        let closed = counters.closed();
        while let Some(seq) = ring.pop() {
            assert!(seq >= taken.next);
            taken.missing += seq - taken.next;
            taken.next = seq + 1;
            taken.records += 1;
        }
        let dropped: u64 = counters.dropped().values().sum();
        assert!(taken.missing <= dropped, "a gap whose drops are not counted");
        let Some(offered) = closed else { return false };
        assert_eq!(offered, taken.records + dropped, "offered = written + dropped");
        assert_eq!(offered - taken.next, dropped - taken.missing, "and the rest is the gap at the end");
        true
    }

    fn conserved<const N: usize>(offered: u64) {
        loom::model(move || {
            let (ring, counters) = (Arc::new(Ring::<N>::new()), Arc::new(Counters::new()));
            let writer = thread::spawn({
                let (ring, counters) = (Arc::clone(&ring), Arc::clone(&counters));
                move || {
                    for seq in 0..offered {
                        if !ring.push(seq) {
                            counters.drop_one(if seq % 2 == 0 { Kind::Step } else { Kind::Started });
                        }
                    }
                    counters.close(offered);
                }
            });
            let mut taken = Taken::default();
            let mut whole = false;
            for _ in 0..2 {
                whole = whole || visit(&ring, &counters, &mut taken);
            }
            writer.join().unwrap();
            assert!(whole || visit(&ring, &counters, &mut taken));
        });
    }

    #[test]
    fn everything_is_accounted_for_whatever_the_threads_do() {
        conserved::<1>(3);
        conserved::<2>(3);
        conserved::<2>(4);
    }
}
