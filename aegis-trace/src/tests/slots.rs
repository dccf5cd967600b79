//! Every body comes out of a ring as it went in, whatever its kind and its numbers.
use crate::slot::{LONGEST_BODY, MOST_SLOTS, Slot, decode, encode, length, pack};
use crate::{Body, Kind, Record, recorder};
use aegis_core::{Nanos, Rng};
use std::collections::BTreeMap;

/// A body of this kind with random content: what random bytes mean in postcard, if they mean anything. A new kind needs
/// no code here.
fn random(rng: &mut Rng, kind: Kind) -> Option<Body> {
    let mut bytes = vec![kind as u8];
    for _ in 0..24 {
        match rng.between(0, 4) {
            // Tags and small numbers, numbers of any length, the largest u64, u32 and u16.
            0 | 1 => {
                let most = if rng.one_in(4) { 15 } else { 3 };
                bytes.push(u8::try_from(rng.between(0, most)).unwrap());
            }
            2 => {
                bytes.extend((0..rng.between(0, 8)).map(|_| rng.bits().to_le_bytes()[0] | 0x80));
                bytes.push(1);
            }
            3 => bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            _ if rng.one_in(2) => bytes.extend([0xff, 0xff, 0xff, 0xff, 0x0f]),
            _ => bytes.extend([0xff, 0xff, 3]),
        }
    }
    postcard::take_from_bytes(&bytes).ok().map(|(body, _)| body)
}

#[test]
fn what_goes_into_a_ring_comes_out() {
    let seed = 5;
    let mut rng = Rng::new(seed);
    let (mut seen, mut packed, mut longest) = (BTreeMap::new(), BTreeMap::new(), 0);
    let (mut recorder, mut tap) = recorder(MOST_SLOTS + 1);
    let mut seq = 0;
    for kind in Kind::ALL {
        for _ in 0..20_000 {
            let Some(body) = random(&mut rng, kind) else { continue };
            assert_eq!(body.kind(), kind);
            *seen.entry(kind).or_insert(0) += 1;
            let at = Nanos(rng.bits() >> rng.between(0, 63));
            let mut slots = [Slot::default(); MOST_SLOTS];
            if let Some(slot) = pack(at, seq, &body) {
                *packed.entry(kind).or_insert(0) += 1;
                assert_eq!(length(&slot), 1);
                assert_eq!(decode([slot].into_iter()), Some((seq, Record { at, body })), "seed {seed}");
            }
            // Either form holds every body.
            let count = encode(at, seq, &body, &mut slots).unwrap();
            assert_eq!(length(&slots[0]), count);
            let read = decode(slots[..count].iter().copied());
            assert_eq!(read, Some((seq, Record { at, body })), "seed {seed}");
            longest = longest.max(postcard::to_allocvec(&body).unwrap().len());
            // Around the end of the ring, too.
            recorder.record(at, body);
            let taken = tap.take().unwrap();
            assert_eq!((taken.seq, taken.record), (seq, Record { at, body }));
            seq += 1;
        }
    }
    assert_eq!((recorder.dropped(), tap.waiting()), (0, 0));
    for kind in Kind::ALL {
        assert!(seen.get(&kind).is_some_and(|n| *n > 0), "no {kind:?}");
    }
    let hot: Vec<Kind> = packed.into_keys().collect();
    assert_eq!(hot, [Kind::Step, Kind::Started, Kind::Ended]);
    assert!(longest <= LONGEST_BODY);
}

/// All slots of a record are there, or it is not: a reader never sees the first without the others.
#[test]
fn a_record_of_several_slots_is_dropped_whole() {
    let body = Body::Profiled { task: aegis_core::TaskId(0), wcet: Nanos::MAX, runs: u64::MAX };
    let long = Body::Loaded {
        task: aegis_core::TaskId(u32::MAX),
        weights: aegis_core::Bytes(u64::MAX),
        io: aegis_core::Bytes(u64::MAX),
        scratch: Some(aegis_core::Bytes(u64::MAX)),
        took: Nanos::MAX,
    };
    let (mut recorder, mut tap) = recorder(3);
    for body in [body, long, body, long] {
        recorder.record(Nanos(1), body);
    }
    // 1 + 2 slots; then one and two again do not fit.
    assert_eq!((recorder.dropped(), tap.waiting()), (2, 3));
    let taken: Vec<Body> = std::iter::from_fn(|| tap.take()).map(|taken| taken.record.body).collect();
    assert_eq!(taken, [body, long]);
}

/// What no recorder puts there is no record, and no panic.
#[test]
fn slots_that_hold_nothing() {
    let seed = 9;
    let mut rng = Rng::new(seed);
    for _ in 0..20_000 {
        let mut slot = Slot::default();
        slot.0.iter_mut().for_each(|word| *word = rng.bits() >> rng.between(0, 63));
        let _ = decode([slot].into_iter());
        slot.0[2] &= 0xff_ff_ff_ff_ff_ff_ff_00;
        let _ = decode([slot; 3].into_iter());
    }
    assert_eq!(decode(std::iter::empty()), None);
}
