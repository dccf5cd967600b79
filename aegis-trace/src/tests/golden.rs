//! A small file, byte by byte as `docs/TRACE_FORMAT.md` draws it. It fails when the format changes: then version and page do too.
use super::{TaskOf, header, job, start};
use crate::sink::Stream;
use crate::writer::Writer;
use crate::{Balance, Body, ClockPair, Kind, Record, Totals};
use aegis_core::{Nanos, Outcome, Policy};

/// What has not been looked at yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    /// The payload of the next block, after its head and with its hash.
    fn block(&mut self, kind: u8, number: u64, hash: &mut blake3::Hash) -> Rest<'a> {
        let whole = self.0;
        assert_eq!(self.take(4), [kind, 0, 0, 0]);
        let length = self.u32() as usize;
        assert_eq!(self.u64(), number);
        let payload = self.take(length);
        *hash = blake3::Hasher::new().update(hash.as_bytes()).update(&whole[..16 + length]).finalize();
        assert_eq!(self.take(32), hash.as_bytes());
        Rest(payload)
    }
}

#[test]
fn as_the_page_draws_it() {
    let header = header(Policy::Fifo, 1, &[TaskOf("camera", &[25], 77, 0)]);
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(Stream(&mut bytes), start(&header, 2)).unwrap();
    let ended = Body::Ended { job: job(0, 300), segment: 2, outcome: Outcome::Faulted };
    for (recorder, seq, at, body) in [
        (0, 0, 1000, Body::Started { job: job(0, 7), segment: 0 }),
        (0, 3, 1200, ended),
        (0, 4, 1199, Body::Stopping),
        (1, 0, 5, Body::Stopping),
    ] {
        writer.record(recorder, seq, &Record { at: Nanos(at), body }).unwrap();
    }
    let balances = [
        Balance { offered: 5, written: 3, dropped: [(Kind::Fault, 2)].into(), still_recording: false },
        Balance { offered: 1, written: 1, still_recording: true, ..Balance::default() },
    ];
    let clocks = ClockPair { raw: 10, clock_ns: 20, monotonic_ns: 30, unix_ns: 40 };
    writer.flush().unwrap();
    writer.checkpoint(&Totals { recorders: balances.to_vec() }, clocks).unwrap();
    writer.end(&Totals { recorders: balances.to_vec() }, clocks).unwrap();

    let length = bytes.len() as u64;
    let mut file = Rest(&bytes);
    let mut hash = blake3::hash(&bytes[..16]);
    assert_eq!(file.take(8), b"AEGISTRC");
    assert_eq!(file.take(8), [3, 0, 0, 0, 0, 0, 0, 0]);

    let mut block = file.block(1, 0, &mut hash);
    assert_eq!(block.take(16), [7; 16]);
    assert_eq!((block.u32(), block.u32()), (1, 0));
    assert_eq!((block.take(32), block.take(32)), (&[0; 32][..], &[0; 32][..]));
    assert_eq!(block.u32(), 2);
    for _ in 0..2 {
        assert_eq!((block.u64(), block.u64(), block.take(2)), (0, 0, &[1, 0][..]));
    }
    assert_eq!((block.u64(), block.u64()), (0, 0));
    let origin = block.u32() as usize;
    block.take(origin);
    let encoded = block.u32() as usize;
    assert_eq!(postcard::from_bytes::<crate::Header>(block.take(encoded)).unwrap(), header);
    assert!(block.0.is_empty());

    let records_at = length - file.0.len() as u64;
    let mut block = file.block(2, 1, &mut hash);
    let records = block.0;
    assert_eq!((block.u64(), block.u64()), (5, 1200));
    assert_eq!(block.u64(), 1 << 1 | 1 << 2 | 1 << 9);
    assert_eq!((block.u32(), block.u32(), block.u32()), (0, 2, 1));
    assert_eq!((block.u32(), block.u64(), block.u64()), (0, 0, 4));
    assert_eq!((block.u32(), block.u64(), block.u64()), (1, 0, 0));
    assert_eq!((block.u32(), block.u64(), block.u64()), (0, 7, 300));
    let summary = &records[..records.len() - block.0.len()];
    assert_eq!(block.take(1), [0]);
    assert_eq!((block.u32(), block.u64(), block.u64(), block.u32(), block.u32()), (0, 0, 1000, 1, 6));
    // Length 4, step 0, kind 1: task 0, job 7, segment 0.
    assert_eq!(block.take(6), [4, 0, 1, 0, 7, 0]);
    assert_eq!((block.take(1), block.u32(), block.u64(), block.u64()), (&[1][..], 0, 1, 2));
    assert_eq!(block.take(1), [0]);
    assert_eq!((block.u32(), block.u64(), block.u64(), block.u32(), block.u32()), (0, 3, 1200, 2, 11));
    // Length 6, step 0, kind 2: task 0, job 300, segment 2, faulted; then length 1, one back, kind 9.
    assert_eq!(block.take(11), [6, 0, 2, 0, 0xac, 2, 2, 1, 1, 1, 9]);
    assert_eq!(block.take(1), [0]);
    assert_eq!((block.u32(), block.u64(), block.u64(), block.u32(), block.u32()), (1, 0, 5, 1, 3));
    assert_eq!(block.0, [1, 0, 9]);

    let mut balance = |file: &mut Rest<'_>, kind: u8, number: u64, index: u64| {
        let at = length - file.0.len() as u64;
        let mut block = file.block(kind, number, &mut hash);
        assert_eq!((block.u32(), block.u32()), (0, 0));
        assert_eq!((block.u64(), block.u64(), block.u64(), block.u64()), (10, 20, 30, 40));
        assert_eq!(block.u32(), 2);
        assert_eq!((block.u64(), block.u64(), block.take(2)), (5, 3, &[0, 1][..]));
        assert_eq!((block.take(1), block.u64()), (&[3][..], 2));
        assert_eq!((block.u64(), block.u64(), block.take(2)), (1, 1, &[1, 0][..]));
        assert_eq!((block.u64(), block.u64()), (index, at));
        assert_eq!(block.0, [0; 64]);
    };
    balance(&mut file, 3, 2, 0);
    let index_at = length - file.0.len() as u64;
    let mut block = file.block(4, 3, &mut hash);
    assert_eq!((block.u64(), block.u32()), (0, 1));
    assert_eq!((block.u64(), block.u32()), (records_at, u32::try_from(records.len()).unwrap()));
    assert_eq!(block.0, summary);
    let end_at = length - file.0.len() as u64;
    let mut block = file.block(5, 4, &mut hash);
    let payload = block.0;
    assert_eq!(block.take(4), [0; 4]);
    assert!(file.0.is_empty());
    // The last bytes lead back to it.
    let from_end = |n: usize| u64::from_le_bytes(bytes[bytes.len() - n..][..8].try_into().unwrap());
    assert_eq!((from_end(112), from_end(104)), (index_at, end_at));
    assert_eq!(payload.len(), 40 + 4 + 18 + 9 + 18 + 16 + 64);
}

/// The kind of a record is the first byte of its body, so that it can be counted without being decoded.
#[test]
fn a_body_begins_with_its_kind() {
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, number, "{kind:?}");
    }
    assert!(Kind::ALL.len() <= 64, "a summary has a bit for each");
}
