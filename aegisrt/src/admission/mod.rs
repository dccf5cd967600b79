//! The answer of admission for a whole system: a verdict for each partition, and everything that hangs on it.
mod json;
mod text;

pub(crate) use json::value;
pub(crate) use text::{headline, of_partition, reasons, whole};

use crate::Error;
use crate::assurance::Statement;
use aegis_analysis::remedy::{Remedy, remedies};
use aegis_core::{PartitionId, System, Task, TaskSet, Verdict};

/// The answer for a system.
#[derive(Debug)]
pub(crate) struct Admission {
    /// What was asked.
    pub system: System,
    /// One answer for each partition that has tasks, in their order.
    pub partitions: Vec<PartitionAnswer>,
    /// What measured WCETs leave of the proof; nothing for tasks without models.
    pub statement: Option<Statement>,
}

/// The answer for the tasks of one partition.
#[derive(Debug)]
pub(crate) struct PartitionAnswer {
    /// Which partition.
    pub partition: PartitionId,
    /// Its tasks, their WCETs multiplied by its interference factor.
    pub set: TaskSet,
    /// Whether they fit, and why.
    pub verdict: Verdict,
    /// What would fit, where they do not.
    pub remedies: Vec<Remedy>,
}

impl Admission {
    /// Analyses every partition of `system`; `statement` is passed on.
    ///
    /// # Errors
    /// [`Error::Argument`] if the system has parts that no analysis here looks at: an answer without them would be too
    /// good. [`Error::Defect`] if a checked system holds a task set that is none.
    pub fn of(system: System, statement: Option<Statement>) -> Result<Self, Error> {
        if let Some(task) = system.tasks().iter().find(|task| !task.host.is_empty()) {
            return Err(Error::Argument(format!(
                "task `{}` has host parts between its segments, which are not analysed; leave them out, or count them as \
                 execution",
                task.name
            )));
        }
        if let Some(chain) = system.chains().iter().find(|chain| chain.deadline.is_some()) {
            return Err(Error::Argument(format!(
                "chain `{}` has a deadline, and chains are not analysed; leave it out",
                chain.name
            )));
        }
        let mut partitions = Vec::new();
        for p in 0..system.partitions().len() {
            let partition = PartitionId::from(p);
            let Some(set) = system.partition_set(partition) else { continue };
            let set = set.map_err(|error| Error::Defect(error.to_string()))?;
            let verdict = aegis_analysis::admit(&set);
            let remedies = remedies(&set, &verdict);
            partitions.push(PartitionAnswer { partition, set, verdict, remedies });
        }
        Ok(Self { system, partitions, statement })
    }

    /// The answer for the partition of that name, or for the first.
    pub fn partition(&self, name: Option<&str>) -> Option<&PartitionAnswer> {
        let named = |answer: &&PartitionAnswer| {
            name.is_none_or(|name| self.system.partitions()[answer.partition.index()].name == name)
        };
        self.partitions.iter().find(named)
    }

    /// Whether everything that was asked for holds.
    pub fn admitted(&self) -> bool {
        self.partitions.iter().all(|answer| answer.verdict.admitted())
    }
}

/// The share of time that a task asks for, overheads included, in parts per million, rounded up.
fn load_ppm(set: &TaskSet, task: &Task) -> u64 {
    let overheads = set.overheads();
    let around = overheads.around_segment().unwrap_or_default();
    let segments = task.segments.len() as u128;
    let work = u128::from(task.wcet().0) + u128::from(around.0) * segments + u128::from(overheads.copy.0);
    let (jobs, window) = task.arrival.rate();
    // Work is below 2^63, so that its product with a million fits; with the jobs of a curve it may not.
    let per_window = work.saturating_mul(u128::from(jobs));
    let ppm = per_window.saturating_mul(1_000_000).div_ceil(u128::from(window.0.max(1)));
    u64::try_from(ppm).unwrap_or(u64::MAX)
}
