//! `aegis simulate`: the scheduler in virtual time, admitted or not.
use super::admit::OnePartition;
use super::{NOT_ADMITTED, admit};
use crate::cli::{ExecutionArg, SimulateArgs};
use crate::execute::{PROGRAM, decided};
use crate::output::{Output, table};
use crate::{Error, SystemFile};
use aegis_core::{Nanos, TaskSet};
use aegis_sched::simulator::{TaskOutcome, Workload, simulate};
use aegis_sched::workload::{Adversary, Execution, Periodic};
use aegis_trace::{Body, Header, Record, write_file};
use serde_json::{Value, json};
use std::fmt::Write;

/// Jobs of one task that may wait in a simulation where no system file says otherwise: plenty, so that an overload shows
/// as lateness.
const QUEUE: u32 = 1 << 10;

pub(crate) fn run(args: &SimulateArgs, output: &Output) -> Result<u8, Error> {
    let OnePartition { set, offsets, file } = admit::one_partition(&args.tasks, output)?;
    let verdict = aegis_analysis::admit(&set);
    let queues = queues(&set, file.as_ref());
    let offsets = with(offsets, &set, &args.offset)?;
    let execution = match args.execution {
        ExecutionArg::Wcet => Execution::Wcet,
        ExecutionArg::Random => Execution::UpToWcet,
    };
    let seed = args.tasks.seed;
    let mut records = Vec::new();
    let outcomes = if let Some(jobs) = args.adversarial {
        let longest = verdict.tasks.iter().filter_map(|t| t.bound.as_ref()).map(|b| b.busy_period).max();
        let episode = longest.unwrap_or_else(|| {
            set.tasks().iter().map(|t| t.arrival.mean_distance()).max().unwrap_or_default()
        });
        let n = set.tasks().len() as u64;
        let most = u128::from(jobs.div_ceil(n)) * u128::from(n);
        fits_the_clock(&set, most.saturating_mul(3 * u128::from(episode.0)), most)?;
        let mut world = Adversary::new(&set, episode, jobs, execution, seed);
        observed(&set, &queues, &mut world, args.trace.is_some(), &mut records)
    } else {
        let sporadic: Vec<bool> = file.iter().flat_map(|f| f.spec.tasks()).map(|t| t.sporadic).collect();
        let jobs =
            set.tasks().iter().map(|t| u128::from(args.duration.0 / t.arrival.mean_distance().0) + 1).sum();
        fits_the_clock(&set, args.duration.0.into(), jobs)?;
        let mut world = Periodic::new(&set, &offsets, &sporadic, args.duration, execution, seed);
        observed(&set, &queues, &mut world, args.trace.is_some(), &mut records)
    };
    if let Some(path) = &args.trace {
        let header = Header {
            created_unix_ns: 0,
            clock: "virtual".to_owned(),
            program: PROGRAM.to_owned(),
            spec_digest: file.map_or_else(String::new, |f| f.digest()),
            seed: Some(seed),
            set: set.clone(),
            queues,
            models: vec![],
            host: "simulation".to_owned(),
        };
        let decided = decided(&verdict).into_iter().map(|body| Record { at: Nanos::ZERO, body });
        write_file(path, &header, decided.chain(records))?;
    }
    let failed = outcomes.iter().any(|o| o.missed + o.refused > 0);
    output.answer(
        || text(&set, &verdict, &outcomes, seed),
        || {
            let tasks: Vec<Value> = set
                .tasks()
                .iter()
                .zip(&outcomes)
                .zip(&verdict.tasks)
                .map(|((task, o), answer)| {
                    json!({
                        "name": task.name,
                        "jobs": o.jobs,
                        "missed": o.missed,
                        "refused": o.refused,
                        "response_ns_max": o.worst.0,
                        "bound_ns": answer.bound.as_ref().map(|b| b.wcrt.0),
                        "deadline_ns": task.deadline.0,
                    })
                })
                .collect();
            json!({
                "schema_version": 1,
                "policy": set.policy().name(),
                "admitted": verdict.admitted(),
                "seed": seed,
                "tasks": tasks,
            })
        },
    );
    Ok(if failed { NOT_ADMITTED } else { 0 })
}

/// Refuses a simulation that could run past the end of the clock, under whatever load: `jobs` jobs, each as far after
/// the one before as the longest times of the set together, besides the time in which they are `released`.
fn fits_the_clock(set: &TaskSet, released: u128, jobs: u128) -> Result<(), Error> {
    let overheads = set.overheads();
    let sum = |times: &[Nanos]| times.iter().map(|t| u128::from(t.0)).sum::<u128>();
    let longest = |task: &aegis_core::Task| {
        let segments = task.segments.len() as u128 * sum(&[overheads.dispatch, overheads.completion]);
        let waiting = sum(&[task.arrival.mean_distance(), task.deadline, task.jitter, overheads.release]);
        sum(&task.segments) + segments + 4 * waiting
    };
    let each = set.tasks().iter().map(longest).max().unwrap_or_default();
    match jobs.checked_add(1).and_then(|n| n.checked_mul(each)?.checked_add(released)) {
        Some(end) if end <= u64::MAX.into() => Ok(()),
        _ => Err(Error::Argument(format!(
            "{jobs} jobs of these tasks could take longer than the clock counts (584 years); simulate fewer jobs or \
             a shorter --duration"
        ))),
    }
}

fn observed(
    set: &TaskSet,
    queues: &[u32],
    world: &mut impl Workload,
    keep: bool,
    records: &mut Vec<Record>,
) -> Vec<TaskOutcome> {
    simulate(set, queues, world, |at, event, decision| {
        if keep {
            records.push(Record { at, body: Body::Step { event, decision } });
        }
    })
}

fn queues(set: &TaskSet, file: Option<&SystemFile>) -> Vec<u32> {
    match file {
        Some(file) => file.spec.tasks().iter().map(|t| t.queue).collect(),
        None => vec![QUEUE; set.tasks().len()],
    }
}

/// `offsets` with those that the command line gives.
fn with(mut offsets: Vec<Nanos>, set: &TaskSet, given: &[(String, Nanos)]) -> Result<Vec<Nanos>, Error> {
    for (name, offset) in given {
        let Some(i) = set.tasks().iter().position(|t| t.name == *name) else {
            let known: Vec<&str> = set.tasks().iter().map(|t| t.name.as_str()).collect();
            return Err(Error::Argument(format!(
                "--offset: no task is named `{name}`; there are {}",
                known.join(", ")
            )));
        };
        offsets[i] = *offset;
    }
    Ok(offsets)
}

fn text(set: &TaskSet, verdict: &aegis_core::Verdict, outcomes: &[TaskOutcome], seed: u64) -> String {
    let rows = set.tasks().iter().zip(outcomes).zip(&verdict.tasks).map(|((task, o), answer)| {
        vec![
            task.name.clone(),
            o.jobs.to_string(),
            o.missed.to_string(),
            o.refused.to_string(),
            format!("{:.3}", o.worst),
            answer.bound.as_ref().map_or("none".to_owned(), |b| format!("{:.3}", b.wcrt)),
            task.deadline.to_string(),
        ]
    });
    let header = ["task", "jobs", "missed", "refused", "worst response", "bound", "deadline"];
    let mut out = table(&header, "lrrrrrr", rows);
    let missed: u64 = outcomes.iter().map(|o| o.missed).sum();
    let word = if verdict.admitted() { "admitted" } else { "NOT admitted" };
    let _ =
        write!(out, "\n  {missed} deadlines missed; the set is {word} under {} (seed {seed})", set.policy());
    if missed == 0 && !verdict.admitted() {
        out.push_str("\n  a simulation without a miss proves nothing: other release times may bring one");
    }
    out
}
