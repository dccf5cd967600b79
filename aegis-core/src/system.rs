//! Everything that an analysis can be told about a device's tasks: partitions, host parts, offsets, chains, criticality.
//!
//! A [`TaskSet`] is what the scheduler of one partition runs. A [`System`] says more, and [`System::partition_set`] makes
//! the task set of each partition from it.
use crate::{
    ArrivalLaw, Nanos, Overheads, PartitionId, Policy, Priority, TaskDraft, TaskId, TaskSet, TaskSetError,
};
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// One non-preemptive part of a task on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// WCET.
    pub wcet: Nanos,
    /// BCET; 0 when nothing is known.
    pub bcet: Nanos,
    /// WCET in the high-criticality mode; the WCET where it is not stated. Not below the WCET.
    pub wcet_hi: Option<Nanos>,
}

impl Segment {
    /// A segment of which only the WCET is known.
    #[must_use]
    pub const fn of(wcet: Nanos) -> Self {
        Self { wcet, bcet: Nanos::ZERO, wcet_hi: None }
    }
}

/// A part of a job on the host between two of its segments: the device is free for others meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostPart {
    /// The shortest.
    pub min: Nanos,
    /// The longest, response of the host included.
    pub max: Nanos,
}

/// How much is lost when a task misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Criticality {
    /// May be dropped when a more critical task takes longer than it usually does.
    Low,
    /// Must meet its deadlines in every mode.
    #[default]
    High,
}

/// A task of a system. Times are from arrival.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SystemTask {
    /// Unique name.
    pub name: String,
    /// At least one.
    pub segments: Vec<Segment>,
    /// Between the segments, so one fewer than they are; empty when there are none.
    pub host: Vec<HostPart>,
    /// How often jobs arrive.
    pub arrival: ArrivalLaw,
    /// Relative deadline; the period when absent.
    pub deadline: Option<Nanos>,
    /// A job that arrives at `a` is released in `[a, a + J]`.
    pub jitter: Nanos,
    /// The first arrival, where arrivals are strictly periodic and their phases are known.
    pub offset: Option<Nanos>,
    /// Fixed priority; stated for all tasks of a partition or for none.
    pub priority: Option<Priority>,
    /// Where it runs; the first partition unless stated.
    pub partition: PartitionId,
    /// How much is lost when it misses.
    pub criticality: Criticality,
}

/// A share of the device on which jobs run one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Unique name.
    pub name: String,
    /// How its next job is chosen.
    pub policy: Policy,
    /// Its platform's delays.
    pub overheads: Overheads,
    /// What every WCET here is multiplied by for the worst mix of jobs on the other partitions, in thousandths: 1000 is
    /// no interference. At least 1000.
    pub interference_permille: u32,
}

/// What starts the next task of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trigger {
    /// The end of the jobs before it.
    #[default]
    Event,
    /// Its own period: it reads whatever was written last.
    Time,
}

/// Tasks that pass data on, as a directed acyclic graph: perception → prediction → planning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Unique name.
    pub name: String,
    /// From, to.
    pub edges: Vec<(TaskId, TaskId)>,
    /// What starts the tasks behind the first ones.
    pub trigger: Trigger,
    /// End-to-end deadline: from the first arrival to the last output.
    pub deadline: Option<Nanos>,
}

/// A whole device as the analyses see it; valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    partitions: Vec<Partition>,
    tasks: Vec<SystemTask>,
    chains: Vec<Chain>,
}

/// Why a system is not valid input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// There is no partition.
    #[error("a system needs at least one partition")]
    NoPartition,
    /// The tasks of a partition are not a valid task set. The index of a task error counts all tasks of the system.
    #[error("{0}")]
    Tasks(#[source] TaskSetError),
    /// A partition or chain that does not exist, or a name that is used twice.
    #[error("{what} `{name}`: {why}")]
    Name {
        /// `partition` or `chain`.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A task's parts contradict each other.
    #[error("task `{task}`: {why}")]
    Task {
        /// Position of the task.
        index: usize,
        /// Its name.
        task: String,
        /// What is wrong and what would be right.
        why: &'static str,
    },
}

impl System {
    /// Checks the whole system.
    ///
    /// # Errors
    /// The first [`SystemError`]: partitions, then tasks in their order, then chains.
    pub fn new(
        partitions: Vec<Partition>,
        tasks: Vec<SystemTask>,
        chains: Vec<Chain>,
    ) -> Result<Self, SystemError> {
        if partitions.is_empty() {
            return Err(SystemError::NoPartition);
        }
        let mut names = BTreeSet::new();
        for partition in &partitions {
            let wrong = |why| SystemError::Name { what: "partition", name: partition.name.clone(), why };
            if !names.insert(partition.name.as_str()) {
                return Err(wrong("two partitions have this name"));
            }
            if partition.interference_permille < 1000 {
                return Err(wrong(
                    "an interference factor below 1 would shorten WCETs; state at least 1000 ‰",
                ));
            }
        }
        let mut task_names = BTreeSet::new();
        for (index, task) in tasks.iter().enumerate() {
            let wrong = |why| SystemError::Task { index, task: task.name.clone(), why };
            if !task_names.insert(task.name.as_str()) {
                return Err(wrong("two tasks have this name; names must be unique"));
            }
            if task.partition.index() >= partitions.len() {
                return Err(wrong("it runs on a partition that does not exist"));
            }
            if !task.host.is_empty() && task.host.len() + 1 != task.segments.len() {
                return Err(wrong(
                    "host parts stand between segments: state one fewer than segments, or none",
                ));
            }
            if task.host.iter().any(|part| part.min > part.max) {
                return Err(wrong("a host part's least time is above its longest"));
            }
            if task.segments.iter().any(|s| s.bcet > s.wcet || s.wcet_hi.is_some_and(|hi| hi < s.wcet)) {
                return Err(wrong(
                    "times of a segment must be in the order BCET, WCET, WCET of the high mode",
                ));
            }
            if task.offset.is_some() && task.arrival.period().is_none() {
                return Err(wrong("an offset needs a period; with an arrival curve there is none"));
            }
        }
        let mut names = BTreeSet::new();
        for chain in &chains {
            let wrong = |why| SystemError::Name { what: "chain", name: chain.name.clone(), why };
            if !names.insert(chain.name.as_str()) {
                return Err(wrong("two chains have this name"));
            }
            if chain.edges.is_empty() {
                return Err(wrong("it has no edges; state at least one pair of tasks"));
            }
            if chain.edges.iter().any(|(from, to)| from.index().max(to.index()) >= tasks.len()) {
                return Err(wrong("it names a task that does not exist"));
            }
            if topological(tasks.len(), &chain.edges).is_none() {
                return Err(wrong("its edges form a cycle"));
            }
        }
        let system = Self { partitions, tasks, chains };
        for p in 0..system.partitions.len() {
            system.partition_set(PartitionId::from(p)).transpose().map_err(SystemError::Tasks)?;
        }
        Ok(system)
    }

    /// One partition under one policy with nothing but sporadic tasks: what a [`TaskSet`] says.
    #[must_use]
    pub fn of_set(set: &TaskSet) -> Self {
        let partition = Partition {
            name: "device".to_string(),
            policy: set.policy(),
            overheads: set.overheads(),
            interference_permille: 1000,
        };
        let tasks = set.tasks().iter().map(|task| SystemTask {
            name: task.name.clone(),
            segments: task.segments.iter().map(|c| Segment::of(*c)).collect(),
            arrival: task.arrival.clone(),
            deadline: Some(task.deadline),
            jitter: task.jitter,
            priority: Some(task.priority),
            ..SystemTask::default()
        });
        Self { partitions: vec![partition], tasks: tasks.collect(), chains: Vec::new() }
    }

    /// The partitions; [`PartitionId`]s are positions in this slice.
    #[must_use]
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The tasks of all partitions; [`TaskId`]s are positions in this slice.
    #[must_use]
    pub fn tasks(&self) -> &[SystemTask] {
        &self.tasks
    }

    /// The chains.
    #[must_use]
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }

    /// The tasks of `partition`, in the order of its task set.
    pub fn on(&self, partition: PartitionId) -> impl Iterator<Item = (TaskId, &SystemTask)> {
        let tasks = self.tasks.iter().enumerate().filter(move |(_, task)| task.partition == partition);
        tasks.map(|(i, task)| (TaskId::from(i), task))
    }

    /// What the scheduler of one partition runs: WCETs multiplied by the interference factor (rounded up); host parts,
    /// offsets, BCETs and criticality left out. `None` for a partition without tasks or one that does not exist.
    ///
    /// # Errors
    /// As [`TaskSet::new`]; the index counts the tasks of this partition.
    pub fn partition_set(&self, partition: PartitionId) -> Option<Result<TaskSet, TaskSetError>> {
        let of = self.partitions.get(partition.index())?;
        let inflate = |c: Nanos| {
            let inflated = (u128::from(c.0) * u128::from(of.interference_permille)).div_ceil(1000);
            Nanos(u64::try_from(inflated).unwrap_or(u64::MAX))
        };
        let drafts: Vec<TaskDraft> = self
            .on(partition)
            .map(|(_, task)| TaskDraft {
                name: task.name.clone(),
                segments: task.segments.iter().map(|segment| inflate(segment.wcet)).collect(),
                arrival: task.arrival.clone(),
                deadline: task.deadline,
                jitter: task.jitter,
                priority: task.priority,
            })
            .collect();
        (!drafts.is_empty()).then(|| TaskSet::new(of.policy, of.overheads, drafts))
    }
}

/// The vertices that have edges, each after all that it depends on; `None` if there is a cycle.
#[must_use]
pub fn topological(vertices: usize, edges: &[(TaskId, TaskId)]) -> Option<Vec<TaskId>> {
    let mut open = vec![0_usize; vertices];
    let mut named = vec![false; vertices];
    for (from, to) in edges {
        open[to.index()] += 1;
        named[from.index()] = true;
        named[to.index()] = true;
    }
    let mut order: Vec<TaskId> =
        (0..vertices).filter(|&i| named[i] && open[i] == 0).map(TaskId::from).collect();
    let mut done = 0;
    while let Some(&from) = order.get(done) {
        done += 1;
        for (_, to) in edges.iter().filter(|(f, _)| *f == from) {
            open[to.index()] -= 1;
            if open[to.index()] == 0 {
                order.push(*to);
            }
        }
    }
    (order.len() == named.iter().filter(|named| **named).count()).then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, wcets: &[u64]) -> SystemTask {
        SystemTask {
            name: name.to_string(),
            segments: wcets.iter().map(|c| Segment::of(Nanos(*c))).collect(),
            arrival: Nanos(100).into(),
            ..SystemTask::default()
        }
    }

    fn partition(name: &str, interference_permille: u32) -> Partition {
        Partition {
            name: name.to_string(),
            policy: Policy::Edf,
            overheads: Overheads::default(),
            interference_permille,
        }
    }

    #[track_caller]
    fn refused(tasks: Vec<SystemTask>, chains: Vec<Chain>, says: &str) {
        let error = System::new(vec![partition("gpu", 1000)], tasks, chains).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn what_is_refused() {
        refused(vec![task("a", &[1]), task("a", &[1])], vec![], "two tasks have this name");
        refused(vec![SystemTask { partition: PartitionId(1), ..task("a", &[1]) }], vec![], "partition");
        refused(vec![SystemTask { host: vec![HostPart::default()], ..task("a", &[1]) }], vec![], "between");
        let part = HostPart { min: Nanos(2), max: Nanos(1) };
        refused(vec![SystemTask { host: vec![part], ..task("a", &[1, 1]) }], vec![], "least time");
        let segment = Segment { bcet: Nanos(2), ..Segment::of(Nanos(1)) };
        refused(vec![SystemTask { segments: vec![segment], ..task("a", &[]) }], vec![], "order BCET");
        refused(vec![task("a", &[0])], vec![], "WCET is 0");
        let chain = |edges: &[(u32, u32)]| Chain {
            name: "c".to_string(),
            edges: edges.iter().map(|&(a, b)| (TaskId(a), TaskId(b))).collect(),
            trigger: Trigger::Event,
            deadline: None,
        };
        let tasks = || vec![task("a", &[1]), task("b", &[1])];
        refused(tasks(), vec![chain(&[])], "no edges");
        refused(tasks(), vec![chain(&[(0, 2)])], "does not exist");
        refused(tasks(), vec![chain(&[(0, 1), (1, 0)])], "cycle");
        refused(tasks(), vec![chain(&[(0, 1)]), chain(&[(0, 1)])], "two chains");
        assert_eq!(System::new(vec![], tasks(), vec![]).unwrap_err(), SystemError::NoPartition);
        let low = System::new(vec![partition("p", 999)], tasks(), vec![]).unwrap_err();
        assert!(low.to_string().contains("at least 1000"), "{low}");
    }

    #[test]
    fn a_partition_s_set_holds_inflated_wcets() {
        let tasks = vec![task("a", &[3, 10]), SystemTask { partition: PartitionId(1), ..task("b", &[7]) }];
        let system = System::new(vec![partition("p", 1000), partition("q", 1150)], tasks, vec![]).unwrap();
        let set = |p| system.partition_set(PartitionId(p)).unwrap().unwrap();
        assert_eq!(set(0).tasks()[0].segments, [Nanos(3), Nanos(10)]);
        assert_eq!(set(1).tasks()[0].segments, [Nanos(9)]);
        assert!(system.partition_set(PartitionId(2)).is_none());
        assert_eq!(System::of_set(&set(1)).partition_set(PartitionId(0)).unwrap().unwrap(), set(1));
    }

    #[test]
    fn topological_order() {
        let edges = [(3, 1), (1, 0), (3, 0)].map(|(a, b)| (TaskId(a), TaskId(b)));
        assert_eq!(topological(5, &edges), Some(vec![TaskId(3), TaskId(1), TaskId(0)]));
    }
}
