//! Single blocks of a trace file: the index finds what reading everything finds.
use super::twin::simulate;
use super::{job, start};
use crate::sink::Files;
use crate::summary::names;
use crate::writer::{Start, Writer};
use crate::{
    Balance, ClockPair, Entry, Header, Jobs, Record, Selection, Totals, Trace, TraceError, TraceFile,
};
use aegis_core::{Nanos, Rng, TaskId};
use std::path::{Path, PathBuf};

/// Writes what the recorders offered, in turns and blocks of a few hundred bytes; without its end where it is `cut`.
fn write(path: &Path, header: &Header, offered: &[Vec<Record>], cut: bool) {
    let few = Start { block: 300, ..start(header, offered.len()) };
    let mut writer = Writer::begin(Files::create(path).unwrap(), few).unwrap();
    let mut next = vec![0usize; offered.len()];
    // By time, as a collector that visits often would.
    while let Some(recorder) =
        (0..offered.len()).filter(|r| next[*r] < offered[*r].len()).min_by_key(|r| offered[*r][next[*r]].at)
    {
        let record = &offered[recorder][next[recorder]];
        writer.record(u32::try_from(recorder).unwrap(), next[recorder] as u64, record).unwrap();
        next[recorder] += 1;
    }
    writer.flush().unwrap();
    if !cut {
        let balance = |records: &Vec<Record>| {
            let n = records.len() as u64;
            Balance { offered: n, written: n, ..Balance::default() }
        };
        let totals = Totals { recorders: offered.iter().map(balance).collect() };
        writer.end(&totals, ClockPair::default()).unwrap();
    }
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.aegis-trace");
    (folder, path)
}

fn admits(entry: &Entry, selection: &Selection) -> bool {
    let all = names(&entry.record.body);
    let named = || all.iter().flatten().flatten();
    let at = entry.record.at;
    selection.from.is_none_or(|from| from <= at)
        && selection.to.is_none_or(|to| at < to)
        && (all.is_none() || selection.task.is_none_or(|task| named().any(|(t, _)| *t == task)))
        && (all.is_none()
            || selection.job.is_none_or(|job| named().any(|named| *named == (job.task, Some(job.seq)))))
}

#[test]
fn a_part_holds_every_record_that_is_looked_for() {
    let (_folder, path) = scratch();
    let (mut skipped, mut read) = (0, 0);
    for seed in 0..60 {
        let truth = simulate(seed);
        write(&path, &truth.header, &[truth.scheduler.clone(), truth.worker.clone()], seed % 3 == 0);
        let whole = Trace::open(&path).unwrap();
        let file = TraceFile::open(&path).unwrap();
        assert_eq!(file.header(), whole.header());
        assert_eq!(file.totals(), whole.totals());
        let mut rng = Rng::new(seed);
        for _ in 0..20 {
            let end = whole.entries().last().map_or(0, |e| e.record.at.0);
            let from = Nanos(rng.between(0, end));
            let selection = Selection {
                task: rng.one_in(3).then(|| TaskId(u32::try_from(rng.between(0, 3)).unwrap())),
                job: rng
                    .one_in(2)
                    .then(|| job(u32::try_from(rng.between(0, 3)).unwrap(), rng.between(0, 12))),
                from: rng.one_in(2).then_some(from),
                to: rng.one_in(2).then(|| from + Nanos(rng.between(0, 50))),
            };
            let part = file.read(&selection).unwrap();
            let found = |trace: &Trace| -> Vec<Entry> {
                trace.entries().iter().filter(|e| admits(e, &selection)).copied().collect()
            };
            assert_eq!(found(&part), found(&whole), "seed {seed}: {selection:?}");
            assert!(part.entries().iter().all(|e| whole.entries().contains(e)));
            let chosen = file.blocks_for(&selection).count();
            (read, skipped) = (read + chosen, skipped + file.blocks().len() - chosen);
        }
        assert_eq!(file.read(&Selection::default()).unwrap().entries(), whole.entries());
    }
    assert!(skipped > read, "{skipped} blocks skipped, {read} read: the index is of no use");
}

/// The explanation from what bears on a job is the one from the whole trace.
#[test]
fn what_is_around_a_job_explains_it() {
    let (_folder, path) = scratch();
    let (mut fewer, mut jobs_seen) = (0, 0);
    for seed in 0..60 {
        let truth = simulate(seed);
        write(&path, &truth.header, &[truth.scheduler.clone(), truth.worker.clone()], false);
        let whole = Trace::open(&path).unwrap();
        let file = TraceFile::open(&path).unwrap();
        let jobs = Jobs::of(&whole);
        for job in jobs.iter() {
            let part = file.around(job.id).unwrap();
            let explained = Jobs::of(&part).explain(job.id);
            assert_eq!(
                format!("{explained:?}"),
                format!("{:?}", jobs.explain(job.id)),
                "seed {seed}, job {}",
                job.id
            );
            jobs_seen += 1;
            fewer += u32::from(part.entries().len() < whole.entries().len());
        }
    }
    assert!(fewer * 3 > jobs_seen, "{fewer} of {jobs_seen} jobs took less than the whole trace");
}

#[test]
fn damage_is_found_in_the_blocks_that_are_read() {
    let (_folder, path) = scratch();
    let truth = simulate(3);
    let offered = [truth.scheduler.clone(), truth.worker.clone()];
    write(&path, &truth.header, &offered, false);
    let good = std::fs::read(&path).unwrap();
    let file = TraceFile::open(&path).unwrap();
    let [first, second, ..] = file.blocks() else { panic!("one block") };
    let mut bad = good.clone();
    bad[usize::try_from(second.offset).unwrap() + 60] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    let file = TraceFile::open(&path).unwrap();
    let only = |at: usize| (0..file.blocks().len()).map(|i| i == at).collect::<Vec<_>>();
    assert!(!file.read_blocks(&only(0)).unwrap().entries().is_empty());
    let error = file.read_blocks(&only(1)).unwrap_err();
    assert!(matches!(error, TraceError::Damaged { offset, .. } if offset == second.offset), "{error}");
    // Every cut: as much of it as reading from the front gives.
    for cut in (usize::try_from(first.offset).unwrap()..good.len()).step_by(7) {
        std::fs::write(&path, &good[..cut]).unwrap();
        let file = TraceFile::open(&path).unwrap();
        let whole = Trace::open(&path).unwrap();
        assert!(file.totals().is_none());
        assert_eq!(file.read(&Selection::default()).unwrap().entries(), whole.entries());
    }
    // Any byte of index and end changed: an error, or the blocks themselves are walked.
    for at in usize::try_from(file.blocks().last().unwrap().offset).unwrap()..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        if let Ok(file) = TraceFile::open(&path) {
            assert!(file.totals().is_none() || file.read(&Selection::default()).is_err(), "byte {at}");
        }
    }
}
