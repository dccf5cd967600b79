//! Runs with one cause of delay put into each: explanations must name it first.
//!
//! What is put in is known to the world alone, and who suffered from it is found without any explanation: each run is
//! played twice from the same seed, with and without, and the job whose response grew most is the one to be explained.
//! `AEGIS_RUNS` says how many runs, `AEGIS_SEED` where the seeds begin.
mod world;

use aegis_core::{Event, JobId, Nanos, Rng, TaskId};
use aegis_trace::{
    Body, Collector, Ending, Header, Jobs, Options, Record, Root, Suspect, Trace, recorder, ring_slots,
};
use std::collections::BTreeMap;
use world::{Injected, Kind, MS, Ran, World};

/// Runs where nothing else is said; a campaign asks for more.
const RUNS: u64 = 48;

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// The trace of these records; of the dispatcher's as many as fit its ring, if that is stated.
fn trace_of(header: &Header, records: &[Vec<Record>; 3], ring: Option<usize>) -> Trace {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let mut taps = Vec::new();
    for (i, records) in records.iter().enumerate() {
        // Steps take one slot each.
        let capacity = ring.filter(|_| i == 0).unwrap_or_else(|| ring_slots(0, records.len() as u64));
        let (mut recorder, tap) = recorder(capacity);
        for record in records {
            recorder.record(record.at, record.body);
        }
        taps.push(tap);
    }
    Collector::create(&path, header, taps, &Options::default()).unwrap().finish().unwrap();
    Trace::open(&path).unwrap()
}

/// What the first suspect must be, and of which task where it is one's.
fn expected(injected: Injected, world: &World) -> (Root, Option<TaskId>) {
    let task = Some(TaskId::from(injected.task));
    match injected.kind {
        Kind::LongExecution => (Root::Overrun, task),
        Kind::ExtraBlocking => (Root::Blocking, Some(TaskId::from(world.regular))),
        Kind::Burst => (Root::Burst, task),
        Kind::ReleaseJitter => (Root::LateRelease, task),
        Kind::DispatchDelay => (Root::Dispatch, task),
        Kind::CompletionDelay => (Root::Completion, task),
        Kind::SlowCopy => (Root::Copy, task),
        Kind::ClockChange => (Root::SlowClock, None),
        Kind::Contention => (Root::Contention, task),
        Kind::FaultAndRecovery => (Root::Recovery, task),
        Kind::QueueOverflow => (Root::QueueFull, task),
        Kind::RecordingLoss => (Root::LostRecords, None),
    }
}

/// Who suffered: whose response grew most, or who gave no result, without any explanation.
fn victim(kind: Kind, without: &Ran, with: &Ran) -> Option<JobId> {
    let grown = with.responses.iter().filter_map(|(key, response)| {
        let (before, now) = (without.responses.get(key).copied().flatten()?, (*response)?);
        Some((now.saturating_sub(before), *key))
    });
    let (most, key) = grown.max()?;
    let void = with.responses.iter().find(|(_, response)| response.is_none()).map(|(key, _)| with.names[key]);
    match kind {
        Kind::QueueOverflow => void,
        // Whoever is there when the records end.
        Kind::RecordingLoss => with.names.values().nth(with.names.len() / 2).copied(),
        _ if most >= MS => Some(with.names[&key]),
        Kind::FaultAndRecovery => void,
        _ => None,
    }
}

/// What one run showed.
struct Outcome {
    right: bool,
    said: String,
    responses: u128,
    unexplained: u128,
    missed: u64,
    missed_explained: u64,
}

/// `None` where what was put in makes nobody wait, wherever it is put.
fn one(seed: u64) -> Option<(Kind, Outcome)> {
    let kind = Kind::ALL[usize::try_from(seed % Kind::ALL.len() as u64).unwrap()];
    let world = World::new(seed, kind);
    let mut rng = Rng::new(seed ^ 0x5eed);
    let task = match kind {
        Kind::QueueOverflow => 0,
        _ => usize::try_from(rng.between(0, world.regular as u64 - 1)).unwrap(),
    };
    let size = rng.between(5, 12) * MS;
    let first = rng.between(5, 15);
    let without = world.run(None);
    // The first job of the task for which it matters: a burst into an idle partition makes nobody wait.
    let (injected, with, victim) = (0..18).map(|k| 3 + (first + k) % 18).find_map(|nth| {
        let injected = Injected { kind, task, nth, size };
        let with = world.run(Some(injected));
        let victim = victim(kind, &without, &with)?;
        Some((injected, with, victim))
    })?;
    let queues = match kind {
        Kind::QueueOverflow => (0..=world.regular).map(|i| if i == task { 1 } else { 4 }).collect(),
        _ => world.queues.clone(),
    };
    let header = world.header(queues);
    // The ring is full right after this job's release was recorded.
    let ring = (kind == Kind::RecordingLoss).then(|| {
        let released = |record: &Record| {
            matches!(record.body, Body::Step { event: Event::Release { job, .. }, .. } if job == victim)
        };
        with.records[0].iter().position(released).unwrap() + 1
    });
    let trace = trace_of(&header, &with.records, ring);
    let jobs = Jobs::of(&trace);

    let explained = jobs.explain(victim).unwrap();
    let suspects = jobs.suspects(&explained);
    let (what, of) = expected(injected, &world);
    let first = suspects.first();
    let right =
        first.is_some_and(|s: &Suspect| s.what == what && of.is_none_or(|t| s.by.map(|j| j.task) == Some(t)));
    let said = format!(
        "seed {seed}: {injected:?} under {}: {}\n  expected {what:?} of {of:?}, said {:?}",
        world.set.policy(),
        trace.header().narrate(&explained),
        suspects.iter().take(3).map(|s| trace.header().suspect(s).to_string()).collect::<Vec<_>>()
    );

    let mut outcome = Outcome { right, said, responses: 0, unexplained: 0, missed: 0, missed_explained: 0 };
    for job in jobs.iter() {
        let Ok(explained) = jobs.explain(job.id) else { continue };
        assert!(explained.adds_up(), "seed {seed}: {explained:?}");
        outcome.responses += u128::from(explained.response().0);
        outcome.unexplained += u128::from(explained.unexplained().0);
        if explained.ending == Ending::Missed {
            outcome.missed += 1;
            let whole = explained.unexplained() == Nanos::ZERO;
            outcome.missed_explained += u64::from(whole && !jobs.suspects(&explained).is_empty());
        }
    }
    Some((kind, outcome))
}

#[test]
fn the_cause_that_was_put_in_is_named_first() {
    let (runs, first) = (number("AEGIS_RUNS", RUNS), number("AEGIS_SEED", 1));
    println!("{runs} runs, seeds from {first}");
    let mut by_kind: BTreeMap<Kind, (u64, u64)> = BTreeMap::new();
    let (mut responses, mut unexplained, mut missed, mut missed_explained) = (0, 0, 0, 0);
    let mut seeds = first..;
    for (kind, outcome) in seeds.by_ref().filter_map(one).take(usize::try_from(runs).unwrap()) {
        let (right, all) = by_kind.entry(kind).or_default();
        (*right, *all) = (*right + u64::from(outcome.right), *all + 1);
        if !outcome.right {
            println!("{}", outcome.said);
        }
        // What is lost on purpose is not to be explained.
        if kind != Kind::RecordingLoss {
            responses += outcome.responses;
            unexplained += outcome.unexplained;
        }
        missed += outcome.missed;
        missed_explained += outcome.missed_explained;
    }
    let right: u64 = by_kind.values().map(|(right, _)| right).sum();
    for (kind, (right, all)) in &by_kind {
        println!("{kind:?}: {right} of {all}");
    }
    let drawn = seeds.start - first;
    println!("named first: {right} of {runs}; {} more made nobody wait", drawn - runs);
    println!("missed deadlines explained: {missed_explained} of {missed}");
    println!("unexplained: {unexplained} of {responses} ns");
    assert!(right * 100 >= runs * 99, "{right} of {runs}");
    assert!(missed > 0 && missed == missed_explained, "{missed_explained} of {missed}");
    assert!(unexplained * 100 <= responses, "{unexplained} of {responses}");
}
