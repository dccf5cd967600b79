//! From the first arrival to the last output: chains started by events, and chains that read what was written last.
//!
//! Started by events: `holistic.rs`, over the tasks of all partitions. Started by time: Davare, Zhu, Di Natale,
//! Pinello, Kanajan, Sangiovanni-Vincentelli, DAC 2007; Dürr, von der Brüggen, Chen, Chen: "End-to-end timing analysis
//! of sporadic cause-effect chains in distributed systems", ACM TECS 18(5s), 2019, for the idea that a task that is
//! served before the next one costs no response of its own.
//!
//! Assumptions for chains started by time:
//! 1. Every task arrives strictly periodically, in any phase to the others, and responds within `R`, from arrival.
//! 2. A job reads what was written last when it starts, and writes when it ends; under logical execution time it reads at
//!    its arrival and writes at its deadline, which `R` does not exceed. A read sees a write of the same instant.
//! 3. Jobs of one task write in the order of their arrivals: `R ≤ T`, or jitter is at most `T` and there are no host parts.
//!
//! **Reaction time**: from an event in the world to the end of the first job that has read of it, through every task. A
//! job that misses the event started before it, so that the next arrives within `T_1 − 1` of it. From the arrival of a
//! job to that of the first job of the next task that reads its output, or output that is newer:
//!
//! `h(i, i+1) = R_i + T_{i+1} − 1`, or `T_{i+1} − 1` if jobs of i that arrived no later are served before those of i+1,
//! or `T_{i+1}` if that is certain only of those that arrived earlier.
//!
//! Reaction ≤ `T_1 − 1 + Σ h + R_n`. **Data age**: from the arrival of the job that read of the world to the end of the
//! job of the last task that used it, when that was still the newest. Backwards, the job whose output is read arrived
//! less than `R_i + T_i` before the reader, and `T_i` where i is served before: age ≤ `Σ g + R_n`, `g` being `h` with
//! `T_i` in place of `T_{i+1}`. In a graph both are longest paths.
//!
//! i is served before i+1 on one partition without jitter and host parts in between, under fixed priorities if it is more
//! urgent, under EDF if its relative deadline is shorter, under FIFO if it arrived earlier. Safe; attained where phases
//! drift through all values.
use super::busy_period::NoBound;
use super::holistic::{After, Stage, solve};
use super::suspension::{PartBound, end_to_end, push_job};
use aegis_core::{
    ArrivalLaw, Chain, Nanos, Policy, System, SystemTask, TaskId, TaskSet, Trigger, topological,
};

/// Why there is no end-to-end bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainProblem {
    /// A chain started by time passes a task without a period.
    #[error("`{task}` arrives by a curve; a chain started by time needs a period of every task in it")]
    NoPeriod {
        /// The task's name.
        task: String,
    },
    /// A task has no bound, or one beyond its deadline where that has to hold.
    #[error("`{task}` has no response that could be relied on")]
    NoBound {
        /// The task's name.
        task: String,
    },
    /// A chain started by time passes a task that events start.
    #[error(
        "`{task}` is started by the end of other tasks; a chain started by time needs tasks that start by their own periods"
    )]
    StartedByEvents {
        /// The task's name.
        task: String,
    },
    /// A later job of a task may write before an earlier one.
    #[error(
        "jobs of `{task}` may overtake each other: they respond in up to {wcrt}, more than the period of {period}"
    )]
    OutOfOrder {
        /// The task's name.
        task: String,
        /// Its response.
        wcrt: Nanos,
        /// Its period.
        period: Nanos,
    },
    /// Tasks that start one chain by events do not arrive together.
    #[error(
        "`{first}` and `{second}` start what waits for both, but arrive by different laws; state the same, or one task before both"
    )]
    StartsDiffer {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// Chains started by events wait for each other.
    #[error("chains started by events wait for each other in a circle through `{task}`")]
    Circle {
        /// A task on it.
        task: String,
    },
    /// A sum does not fit.
    #[error("the sum of its times does not fit 2^62 ns")]
    Overflow,
}

/// When a job of a task in a chain started by events begins and ends, from the arrival that started the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// The earliest that the task is started: its nominal arrival, from which its deadline counts.
    pub arrival: Nanos,
    /// The latest that it ends.
    pub end: Nanos,
    /// Its parts between host parts; their offsets count from the arrival that started the chain.
    pub parts: Vec<PartBound>,
}

impl Activation {
    /// The response from the nominal arrival.
    #[must_use]
    pub fn wcrt(&self) -> Nanos {
        Nanos(self.end.0.saturating_sub(self.arrival.0))
    }
}

/// The tasks of `chain` that no other one starts.
pub fn starts(chain: &Chain) -> impl Iterator<Item = TaskId> {
    chain.edges.iter().map(|(from, _)| *from).filter(|from| chain.edges.iter().all(|(_, to)| to != from))
}

/// The tasks of `chain` that start no other one.
pub fn ends(chain: &Chain) -> impl Iterator<Item = TaskId> {
    chain.edges.iter().map(|(_, to)| *to).filter(|to| chain.edges.iter().all(|(from, _)| from != to))
}

/// For each partition whether a job there starts another by its end, or is started so.
#[must_use]
pub fn crossed_by_events(system: &System) -> Vec<bool> {
    let mut crossed = vec![false; system.partitions().len()];
    let events = system.chains().iter().filter(|chain| chain.trigger == Trigger::Event);
    for task in events.flat_map(|chain| chain.edges.iter().flat_map(|(from, to)| [*from, *to])) {
        crossed[system.tasks()[task.index()].partition.index()] = true;
    }
    crossed
}

/// One answer a task of the system on the partitions that chains started by events cross, `None` for the others. A task
/// that nothing starts arrives by
/// its own law, the others by that of the task that starts their chain, whatever they state. Offsets and criticality
/// are not looked at. A task with several predecessors waits for all of them.
///
/// # Errors
/// [`ChainProblem`] when the chains cannot be analysed at all.
pub fn event_triggered(system: &System) -> Result<Vec<Option<Result<Activation, NoBound>>>, ChainProblem> {
    // First, the tasks in an order in which each is after those that start it.
    let events = system.chains().iter().filter(|chain| chain.trigger == Trigger::Event);
    let mut edges: Vec<(TaskId, TaskId)> = events.flat_map(|chain| chain.edges.iter().copied()).collect();
    edges.sort_unstable();
    edges.dedup();
    let tasks = system.tasks();
    let name = |task: TaskId| tasks[task.index()].name.clone();
    let mut order = topological(tasks.len(), &edges)
        .ok_or_else(|| ChainProblem::Circle { task: name(edges.first().map_or(TaskId(0), |edge| edge.0)) })?;
    let mut named = vec![false; tasks.len()];
    edges.iter().flat_map(|(from, to)| [from, to]).for_each(|task| named[task.index()] = true);
    let crossed = crossed_by_events(system);
    let beside = |i: &usize| !named[*i] && crossed[tasks[*i].partition.index()];
    order.extend((0..tasks.len()).filter(beside).map(TaskId::from));

    // Then, the law by which each is started.
    let laws = laws(system, &order, &edges)?;

    // Finally, the fixed point over the stages of all of them.
    let sets: Vec<Option<TaskSet>> =
        (0..system.partitions().len()).map(|p| system.partition_set(p.into()).and_then(Result::ok)).collect();
    let mut stages: Vec<Stage> = Vec::new();
    let mut of_task = vec![0..0; tasks.len()];
    for &id in &order {
        let system_task = &tasks[id.index()];
        let place = system.on(system_task.partition).position(|(on, _)| on == id);
        let set = sets[system_task.partition.index()].as_ref().zip(place);
        let (set, place) = set.ok_or(ChainProblem::Overflow)?;
        let mut task = set.tasks()[place].clone();
        task.arrival = laws[id.index()].clone();
        let before = edges.iter().filter(|(_, to)| *to == id);
        let after: Vec<After> = before
            .map(|(from, _)| After { stage: last(&of_task[from.index()]), min: 0, max: task.jitter.0 })
            .collect();
        if !after.is_empty() {
            task.jitter = Nanos::ZERO;
        }
        let first = stages.len();
        push_job(&mut stages, id, system_task, &task, set.overheads().copy, &after);
        of_task[id.index()] = first..stages.len();
    }
    let bounds = solve(system.partitions(), &stages);
    let answer = |stages: core::ops::Range<usize>| {
        let (end, parts) = end_to_end(&bounds[stages])?;
        let arrival = parts.first().map_or(Nanos::ZERO, |part| part.offset);
        Ok(Activation { arrival, end, parts })
    };
    let answer = |stages: core::ops::Range<usize>| (!stages.is_empty()).then(|| answer(stages));
    Ok(of_task.into_iter().map(answer).collect())
}

const fn last(stages: &core::ops::Range<usize>) -> usize {
    stages.end - 1
}

/// The law of the task that starts each task, which is the same for all that start one graph.
fn laws(
    system: &System,
    order: &[TaskId],
    edges: &[(TaskId, TaskId)],
) -> Result<Vec<ArrivalLaw>, ChainProblem> {
    let tasks = system.tasks();
    let mut start: Vec<usize> = (0..tasks.len()).collect();
    for &id in order {
        for (from, _) in edges.iter().filter(|(_, to)| *to == id) {
            let (a, b) = (start[from.index()], start[id.index()]);
            let own = b == id.index();
            if !own && tasks[a].arrival != tasks[b].arrival {
                let [first, second] = [b, a].map(|i| tasks[i].name.clone());
                return Err(ChainProblem::StartsDiffer { first, second });
            }
            if own {
                start[id.index()] = a;
            }
        }
    }
    Ok(start.into_iter().map(|i| tasks[i].arrival.clone()).collect())
}

/// What a chain started by time guarantees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// From an event in the world to the first output that knows of it.
    pub reaction: Nanos,
    /// From the arrival of the job that read of the world to the output that it led to.
    pub age: Nanos,
}

/// Reaction time and data age of `chain`, given the worst-case response of each task of the system.
///
/// # Errors
/// [`ChainProblem`] with the task that stands in the way.
pub fn time_triggered(
    system: &System,
    chain: &Chain,
    wcrts: &[Option<Nanos>],
) -> Result<Latency, ChainProblem> {
    let response = |task: TaskId| wcrts.get(task.index()).copied().flatten();
    for task in chain.edges.iter().flat_map(|(from, to)| [*from, *to]) {
        let of = &system.tasks()[task.index()];
        let late = system.partitions()[of.partition.index()].overheads.release.0.saturating_add(of.jitter.0);
        if let (Some(period), Some(wcrt)) = (of.arrival.period(), response(task))
            && wcrt > period
            && (late > period.0 || has_host_parts(of))
        {
            return Err(ChainProblem::OutOfOrder { task: of.name.clone(), wcrt, period });
        }
    }
    not_started_by_events(system, chain)?;
    longest_paths(system, chain, response, |from, to| order(system, from, to))
}

/// The same under logical execution time: every job reads at its arrival and writes at its deadline.
///
/// # Errors
/// [`ChainProblem::NoBound`] too where a response is beyond the deadline.
pub fn logical_execution_time(
    system: &System,
    chain: &Chain,
    wcrts: &[Option<Nanos>],
) -> Result<Latency, ChainProblem> {
    let response = |task: TaskId| {
        let deadline = deadline(&system.tasks()[task.index()]);
        wcrts.get(task.index()).copied().flatten().filter(|wcrt| *wcrt <= deadline).map(|_| deadline)
    };
    not_started_by_events(system, chain)?;
    longest_paths(system, chain, response, |_, _| Order::Unknown)
}

fn not_started_by_events(system: &System, chain: &Chain) -> Result<(), ChainProblem> {
    let events = system.chains().iter().filter(|chain| chain.trigger == Trigger::Event);
    let mut started = events.flat_map(|chain| chain.edges.iter().map(|(_, to)| *to));
    match started.find(|task| chain.edges.iter().any(|(from, to)| from == task || to == task)) {
        Some(task) => Err(ChainProblem::StartedByEvents { task: system.tasks()[task.index()].name.clone() }),
        None => Ok(()),
    }
}

/// The relative deadline, stated or not.
pub(super) fn deadline(task: &SystemTask) -> Nanos {
    task.deadline.unwrap_or_else(|| task.arrival.mean_distance())
}

/// Whether a job may leave the partition to others between its segments.
pub(super) fn has_host_parts(task: &SystemTask) -> bool {
    task.host.iter().any(|part| part.max > Nanos::ZERO)
}

/// Whether jobs of one task are served before those of another that arrive no earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Also those that arrived at the same instant.
    Always,
    /// Those that arrived strictly earlier.
    IfEarlier,
    /// Not known.
    Unknown,
}

fn order(system: &System, from: TaskId, to: TaskId) -> Order {
    let tasks = [from, to].map(|id| &system.tasks()[id.index()]);
    let [a, b] = tasks;
    let partition = &system.partitions()[a.partition.index()];
    let waits =
        |task: &SystemTask| task.jitter > Nanos::ZERO || task.host.iter().any(|part| part.max > Nanos::ZERO);
    let released_late = partition.overheads.release > Nanos::ZERO;
    if a.partition != b.partition || released_late || waits(a) {
        return Order::Unknown;
    }
    let priority = |id: TaskId| {
        let set = system.partition_set(a.partition)?.ok()?;
        let place = system.on(a.partition).position(|(on, _)| on == id)?;
        Some(set.tasks()[place].priority)
    };
    match partition.policy {
        Policy::FixedPriority if priority(from) < priority(to) => Order::Always,
        Policy::Edf if deadline(a) < deadline(b) => Order::Always,
        Policy::Fifo => Order::IfEarlier,
        Policy::FixedPriority | Policy::Edf => Order::Unknown,
    }
}

/// Longest paths of both kinds from the tasks that start `chain` to those that end it.
fn longest_paths(
    system: &System,
    chain: &Chain,
    response: impl Fn(TaskId) -> Option<Nanos>,
    order: impl Fn(TaskId, TaskId) -> Order,
) -> Result<Latency, ChainProblem> {
    let tasks = system.tasks();
    let name = |task: TaskId| tasks[task.index()].name.clone();
    let period = |task: TaskId| {
        let period = tasks[task.index()].arrival.period();
        period.map(|period| period.0).ok_or_else(|| ChainProblem::NoPeriod { task: name(task) })
    };
    let bound =
        |task: TaskId| response(task).map(|r| r.0).ok_or_else(|| ChainProblem::NoBound { task: name(task) });
    let topological = topological(tasks.len(), &chain.edges)
        .ok_or_else(|| ChainProblem::Circle { task: name(chain.edges[0].0) })?;

    // First, the tasks that start it: an event waits for the next arrival; the age counts from one.
    let mut reaction: Vec<Option<u64>> = vec![None; tasks.len()];
    let mut age: Vec<Option<u64>> = vec![None; tasks.len()];
    for start in starts(chain) {
        reaction[start.index()] = Some(period(start)? - 1);
        age[start.index()] = Some(0);
    }

    // Then, from arrival to arrival along every edge.
    for &from in &topological {
        for &(_, to) in chain.edges.iter().filter(|edge| edge.0 == from) {
            let hop = |period: u64| match order(from, to) {
                Order::Always => Ok(period - 1),
                Order::IfEarlier => Ok(period),
                Order::Unknown => bound(from)?.checked_add(period - 1).ok_or(ChainProblem::Overflow),
            };
            for (at, hop) in [(&mut reaction, hop(period(to)?)?), (&mut age, hop(period(from)?)?)] {
                let sum = at[from.index()].and_then(|sum| sum.checked_add(hop));
                at[to.index()] = at[to.index()].max(Some(sum.ok_or(ChainProblem::Overflow)?));
            }
        }
    }

    // Finally, to the end of the last job.
    let mut latency = Latency { reaction: Nanos::ZERO, age: Nanos::ZERO };
    for end in ends(chain) {
        let with = |at: &[Option<u64>]| {
            let sum = at[end.index()].and_then(|sum| sum.checked_add(bound(end).ok()?));
            sum.filter(|sum| *sum <= super::load::LONGEST).map(Nanos).ok_or(ChainProblem::Overflow)
        };
        bound(end)?;
        latency.reaction = latency.reaction.max(with(&reaction)?);
        latency.age = latency.age.max(with(&age)?);
    }
    Ok(latency)
}
