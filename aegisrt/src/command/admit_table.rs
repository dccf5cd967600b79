//! `aegis admit --table`: a window for the start of every job, for tasks at stated offsets or for a job set.
use super::NOT_ADMITTED;
use super::admit::no_partition;
use crate::admission::{milliseconds, reserving};
use crate::cli::{OutputAt, TableArgs};
use crate::output::{Output, table as columns};
use crate::{Error, jobs_csv};
use aegis_analysis::jobs::table::{self, NoTable, Slot, Table, TableOptions, check};
use aegis_analysis::jobs::{CyclicTable, JobSet, NoCyclicTable, cyclic_table};
use aegis_core::{Nanos, PartitionId, System};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// Jobs times placements that a search may take: a few seconds.
const MOST_WORK: usize = 1_000_000_000;

/// A table of one partition, or of a job set, or why there is none.
struct Found {
    /// The partition; none for a job set.
    partition: Option<String>,
    /// What repeats; none for a job set.
    round: Option<Round>,
    outcome: Result<Vec<Line>, Refusal>,
    /// How often a job was placed.
    placements: Option<u64>,
}

struct Round {
    hyperperiod: Nanos,
    phase: Nanos,
}

/// A slot with the names of its job.
struct Line {
    task: String,
    job: u64,
    segment: usize,
    arrival: Nanos,
    deadline: Nanos,
    slot: Slot,
}

struct Refusal {
    code: &'static str,
    message: String,
}

/// A table for each partition of `system` that has tasks, or for the one of that name.
pub(super) fn of_system(
    system: &System,
    partition: Option<&str>,
    args: &TableArgs,
    output: &Output,
) -> Result<u8, Error> {
    let system = reserving(system)?;
    let named = |at: &PartitionId| partition.is_none_or(|name| system.partitions()[at.index()].name == name);
    let partitions = (0..system.partitions().len()).map(PartitionId::from);
    let asked: Vec<PartitionId> =
        partitions.filter(|at| system.on(*at).next().is_some()).filter(named).collect();
    if asked.is_empty() {
        return Err(no_partition(&system, partition));
    }
    let found = asked.into_iter().map(|at| of_partition(&system, at, args)).collect::<Result<Vec<_>, _>>()?;
    answer(&found, args, output, |time| format!("{} ms", milliseconds(time)))
}

/// A table for a job set.
pub(super) fn of_jobs(
    jobs: &Path,
    edges: Option<&Path>,
    args: &TableArgs,
    output: &Output,
) -> Result<u8, Error> {
    let set = jobs_csv::open(jobs, edges)?;
    let (outcome, placements) = match table::table(&set, &options(args, set.jobs().len())) {
        Ok(found) => {
            let line = |slot: &Slot| {
                let job = &set.jobs()[slot.job];
                let (task, arrival) = (job.task.to_string(), job.release.min);
                Line { task, job: job.job, segment: 0, arrival, deadline: job.deadline, slot: *slot }
            };
            (Ok(checked(&set, &found)?.slots.iter().map(line).collect()), Some(found.steps))
        }
        Err(why) => (Err(refusal(&why, why.to_string())), None),
    };
    let found = [Found { partition: None, round: None, outcome, placements }];
    answer(&found, args, output, |time| time.0.to_string())
}

fn of_partition(system: &System, partition: PartitionId, args: &TableArgs) -> Result<Found, Error> {
    let name = Some(system.partitions()[partition.index()].name.clone());
    let jobs = aegis_analysis::jobs::periodic(system, partition).map_or(0, |jobs| jobs.set.jobs().len() / 2);
    match cyclic_table(system, partition, &options(args, jobs)) {
        Ok(CyclicTable { jobs, phase, table }) => {
            let line = |slot: &Slot| {
                let origin = &jobs.origins[slot.job];
                Line {
                    task: system.tasks()[origin.task.index()].name.clone(),
                    job: origin.seq,
                    segment: origin.segment,
                    arrival: origin.arrival,
                    deadline: jobs.set.jobs()[slot.job].deadline,
                    slot: *slot,
                }
            };
            let lines = checked(&jobs.set, &table)?.slots.iter().map(line).collect();
            let round = Some(Round { hyperperiod: jobs.hyperperiod, phase });
            Ok(Found { partition: name, round, outcome: Ok(lines), placements: Some(table.steps) })
        }
        Err(why) => {
            let refusal = match &why {
                NoCyclicTable::NoTable { why: of, .. } => refusal(of, why.to_string()),
                _ => Refusal { code: "not_periodic", message: why.to_string() },
            };
            Ok(Found { partition: name, round: None, outcome: Err(refusal), placements: None })
        }
    }
}

/// The search looks at all jobs each time that it places one.
fn options(args: &TableArgs, jobs: usize) -> TableOptions {
    let output = match args.output_at {
        Some(OutputAt::Deadline) => table::Output::AtDeadline,
        Some(OutputAt::End) | None => table::Output::AtEnd,
    };
    let defaults = TableOptions::default();
    let afforded = u64::try_from(MOST_WORK / jobs.max(1)).unwrap_or(u64::MAX);
    TableOptions { output, steps: defaults.steps.min(afforded) }
}

/// The table, after its own definition has accepted it.
fn checked<'a>(set: &JobSet, table: &'a Table) -> Result<&'a Table, Error> {
    check(set, &table.slots)
        .map_err(|fault| Error::Defect(format!("the table that was found is none: {fault}")))?;
    Ok(table)
}

fn refusal(why: &NoTable, message: String) -> Refusal {
    let code = match why {
        NoTable::Overload { .. } => "overload",
        NoTable::Infeasible { .. } => "infeasible",
        _ => "gave_up",
    };
    Refusal { code, message }
}

fn answer(
    found: &[Found],
    args: &TableArgs,
    output: &Output,
    time: impl Fn(Nanos) -> String,
) -> Result<u8, Error> {
    if let Some(path) = &args.table_csv {
        std::fs::write(path, csv(found)).map_err(|source| Error::Write { path: path.clone(), source })?;
    }
    output.answer(|| text(found, args, &time), || value(found, args));
    Ok(if found.iter().all(|found| found.outcome.is_ok()) { 0 } else { NOT_ADMITTED })
}

fn text(found: &[Found], args: &TableArgs, time: &impl Fn(Nanos) -> String) -> String {
    let parts = found.iter().map(|found| {
        let of = found.partition.as_ref().map_or_else(String::new, |name| format!(" for partition {name}"));
        match &found.outcome {
            Ok(lines) => format!("{}\n{}", headline(found, &of), rows(found, lines, time)),
            Err(refusal) => format!("NO TABLE{of}: {}", refusal.message),
        }
    });
    let mut out = parts.collect::<Vec<_>>().join("\n\n");
    if found.iter().any(|found| found.outcome.is_ok()) {
        let output = match args.output_at {
            Some(OutputAt::Deadline) => "at its deadline, however early it ends (logical execution time)",
            Some(OutputAt::End) | None => "when its window and its longest execution are over",
        };
        let _ = write!(out, "\n  a job may start anywhere in its window; its output is there {output}");
        out.push_str("\n  holds where jobs are started by this table; `aegis run` starts them by a policy");
    }
    out
}

fn headline(found: &Found, of: &str) -> String {
    let placed = found.placements.unwrap_or(0);
    match &found.round {
        None => format!("TABLE{of}: every job meets its deadline ({placed} placements)"),
        Some(Round { hyperperiod, phase }) => {
            let from = match phase.0 {
                0 => "from the start".to_owned(),
                _ => format!("beginning {} ms after the start", milliseconds(*phase)),
            };
            format!(
                "TABLE{of}: every job meets its deadline in a round of {} ms, {from}, repeated for ever ({placed} placements)",
                milliseconds(*hyperperiod)
            )
        }
    }
}

fn rows(found: &Found, lines: &[Line], time: &impl Fn(Nanos) -> String) -> String {
    let segments = lines.iter().any(|line| line.segment > 0);
    let rows = lines.iter().map(|line| {
        let job = match (&found.partition, segments) {
            (None, _) => format!("T{}J{}", line.task, line.job),
            (Some(_), false) => format!("{} {}", line.task, line.job),
            (Some(_), true) => format!("{} {} part {}", line.task, line.job, line.segment + 1),
        };
        let times = [line.arrival, line.slot.start, line.slot.latest, line.slot.output, line.deadline];
        let mut row = vec![job];
        row.extend(times.map(time));
        row
    });
    let arrives = if found.partition.is_some() { "arrives" } else { "released (ns)" };
    columns(&["job", arrives, "starts from", "to", "output", "deadline"], "lrrrrr", rows)
}

fn csv(found: &[Found]) -> String {
    let header = "partition,task,job,segment,arrival_ns,start_ns,latest_start_ns,output_ns,deadline_ns\n";
    let mut out = header.to_owned();
    for (found, line) in
        found.iter().flat_map(|found| found.outcome.iter().flatten().map(move |line| (found, line)))
    {
        let partition = quoted(found.partition.as_deref().unwrap_or_default());
        let Line { job, segment, arrival, deadline, slot, .. } = line;
        let _ = writeln!(
            out,
            "{partition},{},{job},{segment},{},{},{},{},{}",
            quoted(&line.task),
            arrival.0,
            slot.start.0,
            slot.latest.0,
            slot.output.0,
            deadline.0
        );
    }
    out
}

/// A name as a field of CSV (RFC 4180).
fn quoted(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

fn value(found: &[Found], args: &TableArgs) -> Value {
    let tables = found.iter().map(|found| {
        json!({
            "partition": found.partition,
            "hyperperiod_ns": found.round.as_ref().map(|round| round.hyperperiod.0),
            "phase_ns": found.round.as_ref().map(|round| round.phase.0),
            "placements": found.placements,
            "slots": found.outcome.iter().flatten().map(slot).collect::<Vec<Value>>(),
            "refusal": found.outcome.as_ref().err().map(|why| json!({ "code": why.code, "message": why.message })),
        })
    });
    json!({
        "schema_version": 1,
        "admitted": found.iter().all(|found| found.outcome.is_ok()),
        "output_at": match args.output_at {
            Some(OutputAt::Deadline) => "deadline",
            Some(OutputAt::End) | None => "end",
        },
        "tables": tables.collect::<Vec<Value>>(),
    })
}

fn slot(line: &Line) -> Value {
    json!({
        "task": line.task,
        "job": line.job,
        "segment": line.segment,
        "arrival_ns": line.arrival.0,
        "start_ns": line.slot.start.0,
        "latest_start_ns": line.slot.latest.0,
        "output_ns": line.slot.output.0,
        "deadline_ns": line.deadline.0,
    })
}
