//! `aegis admit`: the verdict with its bounds and terms, or the witnesses and what would fit.
use super::{NOT_ADMITTED, admit_jobs, admit_table, profile, worst_schedule};
use crate::admission::{self, Admission};
use crate::assurance::{self, Statement};
use crate::backends::Backends;
use crate::cli::{AdmitArgs, TasksArgs};
use crate::output::Output;
use crate::{Error, SystemFile, runtime, svg, tasks_file};
use aegis_analysis::{Theorem, certify};
use aegis_core::{Nanos, PartitionId, System, SystemTask, TaskSet, Verdict};
use std::path::Path;

pub(crate) fn run(args: &AdmitArgs, output: &Output) -> Result<u8, Error> {
    if let Some(jobs) = &args.jobs.jobs {
        return if args.table.table {
            admit_table::of_jobs(jobs, args.jobs.prec.as_deref(), &args.table, output)
        } else {
            admit_jobs::run(jobs, &args.jobs, output)
        };
    }
    if args.tasks.system.is_none() && args.tasks.tasks.is_none() {
        return Err(Error::Argument("state a system file, --tasks FILE or --jobs FILE".to_owned()));
    }
    let Asked { system, statement, file } = asked(&args.tasks, output)?;
    let system = match &file {
        Some(file) => at_offsets(file, &system, args.table.table)?,
        None => system,
    };
    if args.table.table {
        return admit_table::of_system(&system, args.partition.as_deref(), &args.table, output);
    }
    let admission = Admission::of(system, statement, args.margins)?;
    write_what_is_asked(args, &admission, output)?;
    output.answer(|| admission::whole(&admission), || admission::value(&admission));
    Ok(if admission.verdict.admitted() { 0 } else { NOT_ADMITTED })
}

/// That no partition with tasks has that name.
pub(super) fn no_partition(system: &System, name: Option<&str>) -> Error {
    let with_tasks = |at: &usize| system.on(PartitionId::from(*at)).next().is_some();
    let partitions = (0..system.partitions().len()).filter(with_tasks);
    let names: Vec<&str> = partitions.map(|at| &*system.partitions()[at].name).collect();
    let name = name.unwrap_or_default();
    Error::Argument(format!(
        "--partition: no partition with tasks is named `{name}`; there are {}",
        names.join(", ")
    ))
}

/// Writes the pictures and the proof that the arguments ask for.
fn write_what_is_asked(args: &AdmitArgs, admission: &Admission, output: &Output) -> Result<(), Error> {
    let answer = admission
        .partition(args.partition.as_deref())
        .ok_or_else(|| no_partition(&admission.system, args.partition.as_deref()))?;
    let name = &admission.system.partitions()[answer.partition.index()].name;
    let plain = || {
        answer.plain.as_ref().map(|plain| &plain.verdict).ok_or_else(|| {
            let is = not_plain(answer.theorem);
            Error::Argument(format!(
                "partition `{name}` {is}: there is no picture or certificate of that; leave the option out, or choose another \
                 --partition"
            ))
        })
    };
    if let Some(path) = &args.svg_demand {
        write(path, &svg::demand::picture(&answer.set, plain()?, name))?;
    }
    if let Some(path) = &args.svg_schedule {
        write(path, &worst_schedule::picture(&answer.set, plain()?, name)?)?;
    }
    if let Some(path) = &args.certificate {
        write_certificate(path, &answer.set, plain()?, output)?;
    }
    Ok(())
}

/// What a partition is whose answer no plain theorem gave.
const fn not_plain(theorem: Theorem) -> &'static str {
    match theorem {
        Theorem::Suspension => "has host parts between segments",
        Theorem::MixedCriticality => "has tasks of two criticalities",
        Theorem::Holistic => "has tasks that the end of others starts",
        Theorem::Offsets => "is admitted by its stated offsets",
        Theorem::ResponseTimes | Theorem::Reservation => "has times that do not fit 2^62 ns",
    }
}

/// Writes the proof of `verdict`, after the checker has accepted it. A rejection may have none: that is a note.
fn write_certificate(path: &Path, set: &TaskSet, verdict: &Verdict, output: &Output) -> Result<(), Error> {
    let certificate = match certify(set, verdict) {
        Err(why) if !verdict.admitted() => {
            output.note(format!("no certificate is written: {why}"));
            return Ok(());
        }
        certificate => certificate?.to_string(),
    };
    aegis_certificate::check(&certificate)
        .map_err(|why| Error::Defect(format!("the certificate of this answer does not check: {why}")))?;
    write(path, &certificate)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// What the arguments name.
struct Asked {
    system: System,
    /// The system file, if it comes from one.
    file: Option<SystemFile>,
    /// What its measured WCETs leave of a proof, if it comes from a system file.
    statement: Option<Statement>,
}

fn asked(args: &TasksArgs, output: &Output) -> Result<Asked, Error> {
    let policy = args.policy.map(Into::into);
    if let Some(path) = &args.tasks {
        return Ok(Asked { system: tasks_file::open(path, policy)?, file: None, statement: None });
    }
    let path = args
        .system
        .as_ref()
        .ok_or_else(|| Error::Argument("state a system file or --tasks FILE".to_owned()))?;
    let file = SystemFile::open(path)?.on(args.device.device);
    let wcets = profile::wcets(&file, &mut Backends::default(), None, args.seed, output)?;
    let set = runtime::task_set(&file, &wcets)?;
    let set = policy.map_or_else(|| set.clone(), |policy| set.with_policy(policy));
    let statement = Some(assurance::statement(&set, &wcets));
    Ok(Asked { system: System::of_set(&set), file: Some(file), statement })
}

/// The system of `file` with its first arrivals. A file that states an offset speaks of when tasks arrive: what is periodic
/// and states none starts at 0, as the dispatcher has it. A file that states none promises nothing, unless `always`.
fn at_offsets(file: &SystemFile, system: &System, always: bool) -> Result<System, Error> {
    if !always && file.spec.tasks().iter().all(|task| task.offset == Nanos::ZERO) {
        return Ok(system.clone());
    }
    let tasks = system.tasks().iter().zip(file.spec.tasks()).map(|(task, stated)| SystemTask {
        offset: (!stated.sporadic).then_some(stated.offset),
        ..task.clone()
    });
    System::new(system.partitions().to_vec(), tasks.collect(), system.chains().to_vec())
        .map_err(|error| Error::Argument(error.to_string()))
}

/// The tasks of one partition, as a simulation runs them.
pub(crate) struct OnePartition {
    /// The tasks with their WCETs.
    pub set: TaskSet,
    /// The first arrival of each, where it is stated, else 0.
    pub offsets: Vec<Nanos>,
    /// The system file, if they come from one.
    pub file: Option<SystemFile>,
}

/// The tasks that the arguments name, if one partition without host parts runs them.
pub(crate) fn one_partition(args: &TasksArgs, output: &Output) -> Result<OnePartition, Error> {
    let Asked { system, file, .. } = asked(args, output)?;
    let [_] = system.partitions() else {
        let partitions = system.partitions().len();
        return Err(Error::Argument(format!(
            "the file has {partitions} partitions; a simulation runs one: leave the tasks of the others out"
        )));
    };
    if let Some(task) = system.tasks().iter().find(|task| !task.host.is_empty()) {
        return Err(Error::Argument(format!(
            "task `{}` has host parts between its segments, which a simulation does not execute; leave them out",
            task.name
        )));
    }
    let offsets = match &file {
        Some(file) => file.spec.tasks().iter().map(|task| task.offset).collect(),
        None => system.tasks().iter().map(|task| task.offset.unwrap_or_default()).collect(),
    };
    match system.partition_set(PartitionId(0)) {
        Some(Ok(set)) => Ok(OnePartition { set, offsets, file }),
        Some(Err(error)) => Err(Error::Argument(error.to_string())),
        None => Err(Error::Argument("the file has no tasks".to_owned())),
    }
}
