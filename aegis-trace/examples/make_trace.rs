//! Writes traces to try things on: `make_trace FILE MEGABYTES` one of about that size, of 20 tasks that run as a scheduler
//! would have them; `make_trace --find FILE JOB` times what it takes to answer for one job of it, from opening the file on;
//! `make_trace --corpus FOLDER` writes the small ones that fuzzing starts from.
use aegis_core::{
    Action, Decision, Event, JobId, Nanos, Outcome, Overheads, Policy, Rng, TaskDraft, TaskId, TaskSet, Why,
};
use aegis_trace::{
    Body, Collector, Header, Jobs, Options, Query, Record, Selection, TraceFile, recorder, write_all,
    write_file,
};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

const TASKS: u32 = 20;
/// Bytes that a record takes in the file, about.
const BYTES_PER_RECORD: u64 = 18;

fn header(tasks: u32) -> Header {
    let drafts = (0..tasks).map(|i| TaskDraft {
        name: format!("task{i}"),
        segments: vec![Nanos::from_micros(20)],
        arrival: Nanos::from_millis(1).into(),
        deadline: None,
        jitter: Nanos::ZERO,
        priority: None,
    });
    Header {
        created_unix_ns: 0,
        clock: "simulated".to_owned(),
        program: "make_trace".to_owned(),
        spec_digest: String::new(),
        seed: Some(1),
        set: TaskSet::new(Policy::Edf, Overheads::default(), drafts.collect()).expect("a valid set"),
        queues: vec![2; tasks as usize],
        models: vec![],
        host: "simulation".to_owned(),
    }
}

/// What a job leaves in a trace: released, chosen, started, ended, retired, each a little later.
fn job(id: JobId, from: Nanos, runs: Nanos) -> [Record; 6] {
    let over = JobId { task: TaskId(id.task.0 ^ 1), seq: id.seq };
    let step = |at, event, action, why| Record {
        at,
        body: Body::Step { event, decision: Decision { action, why } },
    };
    let (begin, end) = (from + Nanos(2_000), from + Nanos(2_000) + runs);
    let chosen = Why::EarliestDeadline { deadline: from + Nanos::from_millis(1), over };
    let met = Why::DeadlineMet { response: end + Nanos(1_500) - from, slack: Nanos(500_000) };
    [
        step(from, Event::Release { job: id, arrival: from }, Action::Enqueue, Why::Ready { waiting: 1 }),
        step(from, Event::Dispatch, Action::Start { job: id, segment: 0 }, chosen),
        Record { at: begin, body: Body::Started { job: id, segment: 0 } },
        Record { at: end, body: Body::Ended { job: id, segment: 0, outcome: Outcome::Completed } },
        step(end + Nanos(1_500), Event::Finish { job: id, outcome: Outcome::Completed }, Action::Retire, met),
        step(end + Nanos(1_500), Event::Dispatch, Action::Idle, Why::NothingReady),
    ]
}

/// Job after job of task after task.
fn records(tasks: u32) -> impl Iterator<Item = Record> {
    let mut rng = Rng::new(1);
    let mut now = Nanos::ZERO;
    (0u64..).flat_map(move |seq| (0..tasks).map(move |task| JobId { task: TaskId(task), seq })).flat_map(
        move |id| {
            let runs = Nanos(rng.between(10_000, 40_000));
            let records = job(id, now, runs);
            now = records[5].at + Nanos(rng.between(100, 20_000));
            records
        },
    )
}

fn corpus(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let mut whole = Vec::new();
    write_all(&mut whole, &header(2), records(2).take(30))?;
    std::fs::write(folder.join("whole"), &whole)?;
    std::fs::write(folder.join("cut_off"), &whole[..whole.len() - 300])?;
    let mut empty = Vec::new();
    write_all(&mut empty, &header(1), [])?;
    std::fs::write(folder.join("empty"), empty)?;
    let cold = [Body::Stopping, Body::Admitted { task: TaskId(0), wcrt: Nanos(5), deadline: Nanos(9) }];
    let mut kinds = Vec::new();
    write_all(&mut kinds, &header(1), cold.map(|body| Record { at: Nanos(1), body }))?;
    std::fs::write(folder.join("cold_kinds"), kinds)?;
    // Two recorders, drops, several blocks.
    let path = folder.join("lossy");
    let (mut first, first_tap) = recorder(16);
    let (mut second, second_tap) = recorder(4);
    let collector = Collector::create(&path, &header(2), vec![first_tap, second_tap], &Options::default())?;
    for (i, record) in records(2).take(60).enumerate() {
        if i % 20 == 19 {
            std::thread::sleep(std::time::Duration::from_millis(70));
        }
        let to = if matches!(record.body, Body::Step { .. }) { &mut first } else { &mut second };
        to.record(record.at, record.body);
    }
    drop((first, second));
    collector.finish()?;
    Ok(())
}

/// How long it takes to list the records of a job, and to explain it.
fn find(path: &Path, job: &str) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let file = TraceFile::open(path)?;
    let id = file.header().parse_job(job)?;
    let opened = begun.elapsed();
    let selection = Selection { job: Some(id), ..Selection::default() };
    let part = file.read(&selection)?;
    let found = part.query(&Query { job: Some(id), ..Query::default() }).count();
    let listed = begun.elapsed();
    let blocks = file.blocks_for(&selection).count();
    println!("{} bytes, {} blocks of records", std::fs::metadata(path)?.len(), file.blocks().len());
    println!("opened after {opened:.1?}; {found} records of {job} in {blocks} blocks after {listed:.1?}");
    let begun = Instant::now();
    let around = TraceFile::open(path)?.around(id)?;
    let explained = Jobs::of(&around).explain(id)?;
    println!("explained after {:.1?} from {} records", begun.elapsed(), around.entries().len());
    println!("{}", around.header().narrate(&explained));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [option, folder] if option == "--corpus" => corpus(Path::new(folder)),
        [option, file, job] if option == "--find" => find(Path::new(file), job),
        [file, megabytes] => {
            let records = records(TASKS)
                .take(usize::try_from(megabytes.parse::<u64>()? * 1_000_000 / BYTES_PER_RECORD)?);
            let totals = write_file(Path::new(file), &header(TASKS), records)?;
            println!("{} records, {} bytes", totals.written(), std::fs::metadata(file)?.len());
            Ok(())
        }
        _ => {
            Err("usage: make_trace FILE MEGABYTES, make_trace --find FILE JOB, or make_trace --corpus FOLDER"
                .into())
        }
    }
}
