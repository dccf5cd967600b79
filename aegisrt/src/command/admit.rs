//! `aegis admit`: the verdict with its bounds and terms, or the witnesses and what would fit.
use super::{NOT_ADMITTED, profile};
use crate::admission::{self, Admission};
use crate::backends::Backends;
use crate::cli::{AdmitArgs, TasksArgs};
use crate::output::Output;
use crate::{Error, SystemFile, runtime, tasks_file};
use aegis_core::{PartitionId, System, TaskSet};

pub(crate) fn run(args: &AdmitArgs, output: &Output) -> Result<u8, Error> {
    let (system, _) = system(&args.tasks, output)?;
    let admission = Admission::of(system)?;
    output.answer(|| admission::whole(&admission), || admission::value(&admission));
    Ok(if admission.admitted() { 0 } else { NOT_ADMITTED })
}

/// What the arguments name, with its WCETs, and the system file if it comes from one.
fn system(args: &TasksArgs, output: &Output) -> Result<(System, Option<SystemFile>), Error> {
    let policy = args.policy.map(Into::into);
    if let Some(path) = &args.tasks {
        return Ok((tasks_file::open(path, policy)?, None));
    }
    let path = args
        .system
        .as_ref()
        .ok_or_else(|| Error::Argument("state a system file or --tasks FILE".to_owned()))?;
    let file = SystemFile::open(path)?.on(args.device.device);
    let wcets = profile::wcets(&file, &mut Backends::default(), None, args.seed, output)?;
    let set = runtime::task_set(&file, &wcets)?;
    let set = policy.map_or_else(|| set.clone(), |policy| set.with_policy(policy));
    Ok((System::of_set(&set), Some(file)))
}

/// The tasks that the arguments name as one partition runs them, and the system file if they come from one.
pub(crate) fn task_set(args: &TasksArgs, output: &Output) -> Result<(TaskSet, Option<SystemFile>), Error> {
    let (system, file) = system(args, output)?;
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
