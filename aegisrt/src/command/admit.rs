//! `aegis admit`: the verdict with its bounds and terms, or the witnesses and what would fit.
use super::{NOT_ADMITTED, profile};
use crate::admission::{self, Admission};
use crate::assurance::{self, Statement};
use crate::backends::Backends;
use crate::cli::{AdmitArgs, TasksArgs};
use crate::output::Output;
use crate::{Error, SystemFile, runtime, svg, tasks_file};
use aegis_core::{PartitionId, System, TaskSet};
use std::path::Path;

pub(crate) fn run(args: &AdmitArgs, output: &Output) -> Result<u8, Error> {
    let Asked { system, statement, .. } = asked(&args.tasks, output)?;
    let admission = Admission::of(system, statement)?;
    draw(args, &admission)?;
    output.answer(|| admission::whole(&admission), || admission::value(&admission));
    Ok(if admission.admitted() { 0 } else { NOT_ADMITTED })
}

/// Writes the pictures that the arguments ask for.
fn draw(args: &AdmitArgs, admission: &Admission) -> Result<(), Error> {
    let answer = admission.partition(args.partition.as_deref()).ok_or_else(|| {
        let names = admission.partitions.iter().map(|a| &*admission.system.partitions()[a.partition.index()].name);
        let names: Vec<&str> = names.collect();
        let name = args.partition.as_deref().unwrap_or_default();
        Error::Argument(format!(
            "--partition: no partition with tasks is named `{name}`; there are {}",
            names.join(", ")
        ))
    })?;
    let name = &admission.system.partitions()[answer.partition.index()].name;
    if let Some(path) = &args.svg_demand {
        write(path, &svg::demand::picture(&answer.set, &answer.verdict, name))?;
    }
    Ok(())
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

/// The tasks that the arguments name as one partition runs them, and the system file if they come from one.
pub(crate) fn task_set(args: &TasksArgs, output: &Output) -> Result<(TaskSet, Option<SystemFile>), Error> {
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
    match system.partition_set(PartitionId(0)) {
        Some(Ok(set)) => Ok((set, file)),
        Some(Err(error)) => Err(Error::Argument(error.to_string())),
        None => Err(Error::Argument("the file has no tasks".to_owned())),
    }
}
