//! Which task on which partition: first, best and worst fit by decreasing utilisation, and an exact search.
//!
//! Johnson, "Near-optimal bin packing algorithms", MIT 1973, for the fits; Baruah, Fisher: "The partitioned multiprocessor
//! scheduling of sporadic task systems", RTSS 2005, for partitioned scheduling with a schedulability test in place of a
//! capacity.
//!
//! Assumptions:
//! 1. A partition accepts tasks if [`analyse`] admits them there, alone with each other; WCETs are those of the
//!    partition, its interference factor applied.
//! 2. Tasks keep their priorities, stated or derived from deadlines: those that are stated are stated for all tasks.
//! 3. What is accepted stays accepted when tasks are taken away (the tests are sustainable in that respect), so that a
//!    rejected part of an assignment needs no look at what could be added to it. That holds without chains started by
//!    events, which make partitions depend on each other; with them only whole assignments are judged in the exact search,
//!    and the fits place tasks as if they had none.
//! 4. Chains are judged when every task has its place.
//!
//! The exact search goes through tasks by decreasing utilisation and, for each, through the partitions in their order; of
//! empty partitions that are alike only the first is tried.
use super::chain::crossed_by_events;
use super::{SystemRejection, analyse, utilisation};
use aegis_core::{Partition, PartitionId, System, SystemError, SystemTask, TaskId};
use core::cmp::Ordering;

/// Tests that the exact search may make.
pub const TEST_LIMIT: u64 = 50_000;

/// How a partition is chosen for the next task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The first that accepts it.
    FirstFit,
    /// Of those that accept it, the fullest with it.
    BestFit,
    /// Of those that accept it, the emptiest with it.
    WorstFit,
    /// Every way, until one works or none is left.
    Exact,
}

/// A place for every task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The system with its tasks where they are to run; [`analyse`] admits it.
    pub system: System,
    /// How many tests that took.
    pub tests: u64,
}

impl Assignment {
    /// The partition of each task.
    pub fn places(&self) -> impl Iterator<Item = PartitionId> {
        self.system.tasks().iter().map(|task| task.partition)
    }
}

/// Why there is no assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAssignment {
    /// The tasks are no valid set when they share a partition.
    Invalid {
        /// What is wrong.
        why: SystemError,
    },
    /// No place was left for a task. The exact search reports the attempt that placed most tasks.
    Unplaced {
        /// Whether every way was tried.
        proved: bool,
        /// How many tests that took.
        tests: u64,
        /// The task.
        task: TaskId,
        /// The tasks placed before it.
        placed: Vec<(TaskId, PartitionId)>,
        /// What each partition would reject with it.
        why: Vec<(PartitionId, Vec<SystemRejection>)>,
    },
    /// Every task has its place, but a chain does not meet its deadline so.
    Chains {
        /// Whether every way was tried.
        proved: bool,
        /// How many tests that took.
        tests: u64,
        /// What is late.
        why: Vec<SystemRejection>,
    },
    /// The exact search took its limit of tests.
    Undecided {
        /// The limit.
        tests: u64,
    },
}

impl NoAssignment {
    /// The reason for a person, with the names of `system`.
    #[must_use]
    pub fn sentence(&self, system: &System) -> String {
        let list = |why: &[SystemRejection]| {
            why.iter().map(|rejection| rejection.sentence(system)).collect::<Vec<_>>().join(", ")
        };
        let how =
            |proved: bool| if proved { "no assignment fits" } else { "this strategy finds no assignment" };
        match self {
            Self::Invalid { why } => why.to_string(),
            Self::Unplaced { proved, tests, task, why, .. } => {
                let partitions = why.iter().map(|(partition, why)| {
                    format!("on {}: {}", system.partitions()[partition.index()].name, list(why))
                });
                format!(
                    "{} ({tests} tests); {} fits nowhere: {}",
                    how(*proved),
                    system.tasks()[task.index()].name,
                    partitions.collect::<Vec<_>>().join("; ")
                )
            }
            Self::Chains { proved, tests, why } => {
                format!("{} ({tests} tests): {}", how(*proved), list(why))
            }
            Self::Undecided { tests } => format!("not decided within {tests} tests"),
        }
    }
}

/// A place for every task of `system`, wherever they are now.
///
/// # Errors
/// [`NoAssignment`] with the first task that found no place, and why.
pub fn assign(system: &System, strategy: Strategy) -> Result<Assignment, NoAssignment> {
    let mut search = Search {
        system,
        order: by_utilisation(system.tasks()),
        independent: !crossed_by_events(system).contains(&true),
        strategy,
        tests: 0,
        deepest: None,
        late: None,
    };
    let mut placed = Vec::new();
    if let Some(system) = search.place(&mut placed)? {
        return Ok(Assignment { system, tests: search.tests });
    }
    let (proved, tests) = (strategy == Strategy::Exact, search.tests);
    Err(match (search.late, search.deepest) {
        (Some(why), _) => NoAssignment::Chains { proved, tests, why },
        (None, Some(Deepest { task, placed, why })) => {
            NoAssignment::Unplaced { proved, tests, task, placed, why }
        }
        (None, None) => NoAssignment::Undecided { tests },
    })
}

/// Tasks by decreasing ΣC/T, then in their order.
fn by_utilisation(tasks: &[SystemTask]) -> Vec<TaskId> {
    let share = |id: &TaskId| {
        let task = &tasks[id.index()];
        let (jobs, window) = task.arrival.rate();
        let work = task.segments.iter().map(|segment| u128::from(segment.wcet.0)).sum::<u128>();
        (work.saturating_mul(jobs.into()), u128::from(window.0))
    };
    let mut order: Vec<TaskId> = (0..tasks.len()).map(TaskId::from).collect();
    order.sort_by(|a, b| {
        let ((work_a, window_a), (work_b, window_b)) = (share(a), share(b));
        work_b.saturating_mul(window_a).cmp(&work_a.saturating_mul(window_b))
    });
    order
}

/// The attempt that placed most tasks.
struct Deepest {
    task: TaskId,
    placed: Vec<(TaskId, PartitionId)>,
    why: Vec<(PartitionId, Vec<SystemRejection>)>,
}

struct Search<'a> {
    system: &'a System,
    order: Vec<TaskId>,
    /// No event crosses partitions.
    independent: bool,
    strategy: Strategy,
    tests: u64,
    deepest: Option<Deepest>,
    /// What a whole assignment was rejected for.
    late: Option<Vec<SystemRejection>>,
}

impl Search<'_> {
    /// The first whole assignment that continues `placed`.
    fn place(&mut self, placed: &mut Vec<(TaskId, PartitionId)>) -> Result<Option<System>, NoAssignment> {
        let Some(&task) = self.order.get(placed.len()) else { return self.whole(placed) };
        let mut why = Vec::new();
        let mut accepting = Vec::new();
        for partition in self.candidates(placed) {
            placed.push((task, partition));
            let accepted = self.accepts(placed, partition)?;
            let found = match &accepted {
                Ok(_) if self.strategy == Strategy::Exact => self.place(placed)?,
                _ => None,
            };
            placed.pop();
            match accepted {
                _ if found.is_some() => return Ok(found),
                Ok(ppm) => accepting.push((partition, ppm)),
                Err(rejections) => why.push((partition, rejections)),
            }
        }
        if self.strategy == Strategy::Exact {
            let deeper = self.deepest.as_ref().is_none_or(|deepest| placed.len() > deepest.placed.len());
            if deeper && accepting.is_empty() {
                self.deepest = Some(Deepest { task, placed: placed.clone(), why });
            }
            return Ok(None);
        }
        let chosen = match self.strategy {
            Strategy::FirstFit | Strategy::Exact => accepting.first(),
            // Of equals the first.
            Strategy::BestFit => accepting.iter().rev().max_by_key(|(_, ppm)| *ppm),
            Strategy::WorstFit => accepting.iter().min_by_key(|(_, ppm)| *ppm),
        };
        let Some(&(partition, _)) = chosen else {
            self.deepest = Some(Deepest { task, placed: placed.clone(), why });
            return Ok(None);
        };
        placed.push((task, partition));
        self.place(placed)
    }

    /// The partitions worth a try: of empty ones that are alike the first.
    fn candidates(&self, placed: &[(TaskId, PartitionId)]) -> Vec<PartitionId> {
        let partitions = self.system.partitions();
        let empty = |p: usize| placed.iter().all(|(_, on)| on.index() != p);
        let alike = |a: &Partition, b: &Partition| {
            (a.policy, a.overheads, a.interference_permille)
                == (b.policy, b.overheads, b.interference_permille)
        };
        let repeated =
            |p: usize| empty(p) && (0..p).any(|q| empty(q) && alike(&partitions[q], &partitions[p]));
        (0..partitions.len()).filter(|p| !repeated(*p)).map(PartitionId::from).collect()
    }

    /// The load of `partition` in parts per million if it accepts what is placed there.
    fn accepts(
        &mut self,
        placed: &[(TaskId, PartitionId)],
        partition: PartitionId,
    ) -> Result<Result<u64, Vec<SystemRejection>>, NoAssignment> {
        if !self.independent && self.strategy == Strategy::Exact {
            return Ok(Ok(0));
        }
        self.count()?;
        let mut ids: Vec<TaskId> =
            placed.iter().filter(|(_, on)| *on == partition).map(|(task, _)| *task).collect();
        ids.sort_unstable();
        let tasks = ids.iter().map(|id| SystemTask { partition, ..self.system.tasks()[id.index()].clone() });
        let system = System::new(self.system.partitions().to_vec(), tasks.collect(), Vec::new())
            .map_err(|why| NoAssignment::Invalid { why })?;
        let verdict = analyse(&system);
        if verdict.admitted() {
            let set = system.partition_set(partition).and_then(Result::ok);
            return Ok(Ok(set.map_or(0, |set| utilisation::parts_per_million(&set))));
        }
        Ok(Err(verdict.rejections.iter().map(|rejection| rejection.renamed(&ids)).collect()))
    }

    /// The system with every task in its place, if it is admitted.
    fn whole(&mut self, placed: &[(TaskId, PartitionId)]) -> Result<Option<System>, NoAssignment> {
        self.count()?;
        let mut tasks = self.system.tasks().to_vec();
        for (task, partition) in placed {
            tasks[task.index()].partition = *partition;
        }
        let system = System::new(self.system.partitions().to_vec(), tasks, self.system.chains().to_vec())
            .map_err(|why| NoAssignment::Invalid { why })?;
        let verdict = analyse(&system);
        if verdict.admitted() {
            return Ok(Some(system));
        }
        self.late.get_or_insert(verdict.rejections);
        Ok(None)
    }

    fn count(&mut self) -> Result<(), NoAssignment> {
        self.tests += 1;
        match self.tests.cmp(&TEST_LIMIT) {
            Ordering::Greater => Err(NoAssignment::Undecided { tests: TEST_LIMIT }),
            _ => Ok(()),
        }
    }
}
