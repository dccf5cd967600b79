//! A whole system: for each partition the theorem that fits what is described, for each chain its end-to-end bound.
//!
//! | a partition with | is analysed by |
//! |---|---|
//! | tasks of chains that are started by events | [`chain::event_triggered`], with all other such partitions |
//! | host parts between segments | [`suspension`] |
//! | low and high tasks under fixed priorities, with high WCETs | [`criticality`] |
//! | high WCETs otherwise | the plain theorem, with high WCETs always |
//! | nothing of that | [`admit`]: the plain theorem of its policy, exact |
//! | offsets, where the row above does not admit and [`analyse_at_offsets`] is asked | [`jobs::at_offsets`] |
//!
//! Each row includes what is above it only as far as its own file says; what a theorem does not look at is taken in the
//! worse way: offsets as unknown in all rows but the last, criticality as a reservation of the high WCETs, BCETs as 0 where only the worst counts.
use super::chain::{self, Activation, ChainProblem, Latency};
use super::criticality::{self, ModeBounds};
use super::holistic::UNDECIDED;
use super::jobs::{self, AtOffsets, Limits, OffsetBound, Undecided};
use super::suspension::{self, Response};
use super::{NoBound, admit, utilisation};
use aegis_core::{
    Bound, Chain, Nanos, PartitionId, Policy, Rejection, Segment, System, SystemTask, TaskId, Trigger,
    Verdict,
};
use core::cmp::Ordering;

/// Which theorem gave the answers of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theorem {
    /// The exact response times of its policy.
    ResponseTimes,
    /// The same, every segment taking its high WCET.
    Reservation,
    /// Host parts between segments.
    Suspension,
    /// Two criticalities.
    MixedCriticality,
    /// Tasks started by the ends of others, on this partition and others.
    Holistic,
    /// Every schedule of strictly periodic tasks at the offsets that they state.
    Offsets,
}

impl Theorem {
    /// A stable name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResponseTimes => "response_times",
            Self::Reservation => "reservation",
            Self::Suspension => "suspension",
            Self::MixedCriticality => "mixed_criticality",
            Self::Holistic => "holistic",
            Self::Offsets => "offsets",
        }
    }
}

/// A response with what is known of how it comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskBound {
    /// By a theorem for plain segments; terms name tasks of the system.
    Plain(Bound),
    /// With host parts.
    Suspending(Response),
    /// In both modes.
    Modes(ModeBounds),
    /// In a system with chains that are started by events, from the nominal arrival.
    Event(Activation),
    /// At its stated offset.
    Offsets(OffsetBound),
}

/// The answer for one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemTaskVerdict {
    /// The task.
    pub task: TaskId,
    /// Its worst-case response, from its (nominal) arrival; of a task that may be dropped, while it is not.
    pub wcrt: Option<Nanos>,
    /// Its relative deadline.
    pub deadline: Nanos,
    /// How the response comes about.
    pub bound: Result<TaskBound, NoBound>,
}

/// The answer for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionVerdict {
    /// The partition.
    pub partition: PartitionId,
    /// Which theorem decided.
    pub theorem: Theorem,
    /// The whole answer of the plain theorem, for arrivals at any time, where that applies; its tasks count within the
    /// partition.
    pub verdict: Option<Verdict>,
    /// What the stated offsets show, where they were asked for, some task states one, and arrivals at any time may make
    /// a job late. Where that admits, it decided.
    pub offsets: Option<Result<AtOffsets, Undecided>>,
}

/// The end-to-end answer for one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainVerdict {
    /// Its position in the system.
    pub chain: usize,
    /// From the first arrival to the last output when events start it; else reaction time and data age.
    pub bound: Result<ChainBound, ChainProblem>,
    /// Its end-to-end deadline, if one is stated.
    pub deadline: Option<Nanos>,
}

/// An end-to-end bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainBound {
    /// From the first arrival to the last output.
    Event(Nanos),
    /// Reaction time and data age; the deadline is compared with the reaction time, the larger.
    Time(Latency),
}

impl ChainBound {
    /// What is compared with the deadline.
    #[must_use]
    pub const fn latency(&self) -> Nanos {
        match self {
            Self::Event(latency) => *latency,
            Self::Time(latency) => latency.reaction,
        }
    }
}

/// Why a system is not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SystemRejection {
    /// The tasks of a partition ask for more than all of its time.
    Overload {
        /// The partition.
        partition: PartitionId,
        /// ΣC/T in parts per million, rounded up.
        utilisation_ppm: u64,
    },
    /// No bound was found for a task.
    NoBound {
        /// The task.
        task: TaskId,
        /// Why.
        why: NoBound,
    },
    /// A worst-case response is above the deadline.
    DeadlineMissed {
        /// The task.
        task: TaskId,
        /// Its bound.
        wcrt: Nanos,
        /// Its deadline.
        deadline: Nanos,
    },
    /// An end-to-end bound is above the chain's deadline.
    ChainLate {
        /// Position of the chain.
        chain: usize,
        /// Its bound.
        latency: Nanos,
        /// Its deadline.
        deadline: Nanos,
    },
    /// A chain has a deadline and no bound.
    ChainWithoutBound {
        /// Position of the chain.
        chain: usize,
        /// Why.
        problem: ChainProblem,
    },
}

impl SystemRejection {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Overload { .. } => "overload",
            Self::NoBound { .. } => "no_bound",
            Self::DeadlineMissed { .. } => "deadline_missed",
            Self::ChainLate { .. } => "chain_late",
            Self::ChainWithoutBound { .. } => "chain_without_bound",
        }
    }

    /// The same about a system in which the `i`-th task is `ids[i]`.
    pub(super) fn renamed(&self, ids: &[TaskId]) -> Self {
        match *self {
            Self::NoBound { task, why } => Self::NoBound { task: ids[task.index()], why },
            Self::DeadlineMissed { task, wcrt, deadline } => {
                Self::DeadlineMissed { task: ids[task.index()], wcrt, deadline }
            }
            Self::Overload { .. } | Self::ChainLate { .. } | Self::ChainWithoutBound { .. } => self.clone(),
        }
    }

    /// The reason for a person, with the names of `system`.
    #[must_use]
    pub fn sentence(&self, system: &System) -> String {
        let task = |id: TaskId| {
            system.tasks().get(id.index()).map_or_else(|| format!("task {}", id.0), |task| task.name.clone())
        };
        let chain = |at: usize| {
            system.chains().get(at).map_or_else(|| format!("chain {at}"), |chain| chain.name.clone())
        };
        match self {
            Self::Overload { partition, utilisation_ppm: ppm } => {
                let name = system.partitions().get(partition.index()).map_or("", |p| p.name.as_str());
                format!(
                    "partition {name}: its tasks ask for {}.{:04} % of the time",
                    ppm / 10_000,
                    ppm % 10_000
                )
            }
            Self::NoBound { task: id, why: NoBound::NoFiniteBusyPeriod } => format!(
                "{}: what is served before it leaves no time to spare; no response is certain",
                task(*id)
            ),
            Self::NoBound { task: id, why: NoBound::Undecided { steps } } => {
                format!("{}: no bound within {steps} steps and 2^62 ns", task(*id))
            }
            Self::DeadlineMissed { task: id, wcrt, deadline } => {
                format!("{}: worst response {wcrt} > deadline {deadline}", task(*id))
            }
            Self::ChainLate { chain: at, latency, deadline } => {
                format!("chain {}: end to end {latency} > deadline {deadline}", chain(*at))
            }
            Self::ChainWithoutBound { chain: at, problem } => format!("chain {}: {problem}", chain(*at)),
        }
    }
}

/// The answer for a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemVerdict {
    /// One answer a partition that has tasks.
    pub partitions: Vec<PartitionVerdict>,
    /// One answer a task, in the order of the system.
    pub tasks: Vec<SystemTaskVerdict>,
    /// One answer a chain, in the order of the system.
    pub chains: Vec<ChainVerdict>,
    /// Empty exactly when the system is admitted.
    pub rejections: Vec<SystemRejection>,
}

impl SystemVerdict {
    /// Whether every task and every chain meets its deadline in every schedule that the model allows.
    #[must_use]
    pub fn admitted(&self) -> bool {
        self.rejections.is_empty()
    }
}

/// Whether every task of every partition and every chain meets its deadline, each by the theorem that fits.
#[must_use]
pub fn analyse(system: &System) -> SystemVerdict {
    whole(system, None)
}

/// [`analyse`]; and where that does not admit the tasks of a partition, although they ask for no more than all of its
/// time, what the offsets that they state show, within `limits`.
///
/// An answer for arrivals at any time is the stronger one, so that offsets are not looked at where it admits. Where they
/// do, it holds only as long as every task of the partition arrives at its offset and then exactly every period.
#[must_use]
pub fn analyse_at_offsets(system: &System, limits: &Limits) -> SystemVerdict {
    whole(system, Some(limits))
}

fn whole(system: &System, at_offsets: Option<&Limits>) -> SystemVerdict {
    let mut rejections = Vec::new();
    let Some(reserving) = reserving(system) else {
        return undecided(system);
    };

    // First, the tasks of chains that events start, and all that share a partition with them.
    let crossed = chain::crossed_by_events(system);
    let events = chain::event_triggered(&reserving);
    let mut bounds: Vec<Result<TaskBound, NoBound>> = match &events {
        Ok(events) => {
            let bound = |event: &Option<Result<Activation, NoBound>>| event.clone().unwrap_or(Err(UNDECIDED));
            events.iter().map(|event| bound(event).map(TaskBound::Event)).collect()
        }
        Err(_) => vec![Err(UNDECIDED); system.tasks().len()],
    };

    // Then, every other partition on its own.
    let mut partitions = Vec::new();
    for partition in (0..system.partitions().len()).map(PartitionId::from) {
        if system.on(partition).next().is_none() {
            continue;
        }
        let verdict = if crossed[partition.index()] {
            PartitionVerdict { partition, theorem: Theorem::Holistic, verdict: None, offsets: None }
        } else {
            let (mut verdict, overload) = alone(system, &reserving, partition, &mut bounds);
            // Nothing helps an overload.
            if let (Some(limits), None) = (at_offsets, &overload) {
                look_at_offsets(&reserving, &mut verdict, &mut bounds, limits);
            }
            rejections.extend(overload);
            verdict
        };
        partitions.push(verdict);
    }
    let overloaded = |partition: PartitionId| {
        let of = |rejection: &SystemRejection| matches!(rejection, SystemRejection::Overload { partition: p, .. } if *p == partition);
        rejections.iter().any(of) && system.partitions()[partition.index()].policy != Policy::FixedPriority
    };
    let mut tasks = Vec::with_capacity(bounds.len());
    let mut late = Vec::new();
    for (i, (task, bound)) in system.tasks().iter().zip(bounds).enumerate() {
        let verdict = task_verdict(TaskId::from(i), task, bound);
        // A chain that cannot be analysed is told as such.
        let told = events.is_err() && crossed[task.partition.index()];
        match (&verdict.bound, verdict.wcrt) {
            (Ok(_), Some(wcrt)) if wcrt > verdict.deadline => late.push(SystemRejection::DeadlineMissed {
                task: verdict.task,
                wcrt,
                deadline: verdict.deadline,
            }),
            // Without fixed priorities an overload starves all of them.
            (Err(why), _) if !told && !overloaded(task.partition) => {
                late.push(SystemRejection::NoBound { task: verdict.task, why: *why });
            }
            _ => {}
        }
        tasks.push(verdict);
    }
    rejections.extend(late);

    // Finally, the chains.
    let wcrts: Vec<Option<Nanos>> = tasks.iter().map(|task| task.wcrt).collect();
    let chains: Vec<ChainVerdict> = (0..system.chains().len())
        .map(|at| {
            let chain = &system.chains()[at];
            let bound = match (chain.trigger, &events) {
                (Trigger::Time, _) => chain::time_triggered(system, chain, &wcrts).map(ChainBound::Time),
                (Trigger::Event, Ok(events)) => event_latency(system, chain, events).map(ChainBound::Event),
                (Trigger::Event, Err(problem)) => Err(problem.clone()),
            };
            ChainVerdict { chain: at, bound, deadline: chain.deadline }
        })
        .collect();
    for verdict in &chains {
        match (&verdict.bound, verdict.deadline) {
            (Ok(bound), Some(deadline)) if bound.latency() > deadline => {
                let (chain, latency) = (verdict.chain, bound.latency());
                rejections.push(SystemRejection::ChainLate { chain, latency, deadline });
            }
            (Err(problem), deadline) if deadline.is_some() || events.is_err() => rejections
                .push(SystemRejection::ChainWithoutBound { chain: verdict.chain, problem: problem.clone() }),
            _ => {}
        }
    }
    SystemVerdict { partitions, tasks, chains, rejections }
}

/// Every segment takes its high WCET, where it has one; `None` where these do not fit.
fn reserving(system: &System) -> Option<System> {
    let mut tasks = system.tasks().to_vec();
    for segment in tasks.iter_mut().flat_map(|task| task.segments.iter_mut()) {
        *segment = Segment { wcet: segment.wcet_hi.unwrap_or(segment.wcet), wcet_hi: None, ..*segment };
    }
    System::new(system.partitions().to_vec(), tasks, system.chains().to_vec()).ok()
}

/// What is left to say when high WCETs do not fit 2^62 ns.
fn undecided(system: &System) -> SystemVerdict {
    let tasks = system.tasks().iter().enumerate();
    let tasks = tasks.map(|(i, task)| task_verdict(TaskId::from(i), task, Err(UNDECIDED))).collect();
    let rejections = (0..system.tasks().len())
        .map(|i| SystemRejection::NoBound { task: TaskId::from(i), why: UNDECIDED })
        .collect();
    SystemVerdict { partitions: Vec::new(), tasks, chains: Vec::new(), rejections }
}

/// A partition that no event crosses; whether it is overloaded.
fn alone(
    system: &System,
    reserving: &System,
    partition: PartitionId,
    bounds: &mut [Result<TaskBound, NoBound>],
) -> (PartitionVerdict, Option<SystemRejection>) {
    let ids: Vec<TaskId> = system.on(partition).map(|(id, _)| id).collect();
    let [low, high] = [system, reserving].map(|system| system.partition_set(partition).and_then(Result::ok));
    let modes = criticality::response_times(system, partition);
    let set = if modes.is_some() { low.clone() } else { high.clone() };
    let overload = set.as_ref().filter(|set| utilisation::against_one(set) == Ordering::Greater).map(|set| {
        let utilisation_ppm = utilisation::parts_per_million(set);
        SystemRejection::Overload { partition, utilisation_ppm }
    });
    let mut plain = None;
    let (theorem, found): (Theorem, Vec<Result<TaskBound, NoBound>>) =
        if system.on(partition).any(|(_, task)| chain::has_host_parts(task)) {
            let found = suspension::response_times(reserving, partition);
            let found = found.into_iter().map(|bound| bound.map(TaskBound::Suspending));
            (Theorem::Suspension, found.collect())
        } else if let Some(modes) = modes {
            let found = modes.into_iter().map(|modes| match (&modes.low, &modes.high) {
                (Err(none), _) | (_, Some(Err(none))) => Err(*none),
                _ => Ok(TaskBound::Modes(modes)),
            });
            (Theorem::MixedCriticality, found.collect())
        } else if let Some(set) = high.as_ref() {
            let verdict = plain.insert(admit(set));
            let found = (0..ids.len()).map(|i| plain_bound(verdict, i, &ids));
            (if low == high { Theorem::ResponseTimes } else { Theorem::Reservation }, found.collect())
        } else {
            (Theorem::ResponseTimes, vec![Err(UNDECIDED); ids.len()])
        };
    for (id, bound) in ids.iter().zip(found) {
        bounds[id.index()] = bound;
    }
    (PartitionVerdict { partition, theorem, verdict: plain, offsets: None }, overload)
}

/// Asks the stated offsets where `bounds` of arrivals at any time do not admit, and takes what they show where they do.
fn look_at_offsets(
    reserving: &System,
    verdict: &mut PartitionVerdict,
    bounds: &mut [Result<TaskBound, NoBound>],
    limits: &Limits,
) {
    let tasks = || reserving.on(verdict.partition);
    let late = |(id, task): (TaskId, &SystemTask)| match &bounds[id.index()] {
        Ok(bound) => wcrt(bound) > chain::deadline(task),
        Err(_) => true,
    };
    let admitted = verdict.verdict.as_ref().is_none_or(Verdict::admitted);
    if tasks().all(|(_, task)| task.offset.is_none()) || (admitted && !tasks().any(late)) {
        return;
    }
    let found = jobs::at_offsets(reserving, verdict.partition, limits);
    if let Ok(AtOffsets { admitted: true, tasks, .. }) = &found {
        verdict.theorem = Theorem::Offsets;
        for bound in tasks {
            bounds[bound.task.index()] = Ok(TaskBound::Offsets(*bound));
        }
    }
    verdict.offsets = Some(found);
}

/// The answer of the plain theorem for one task; terms name tasks of the system.
fn plain_bound(verdict: &Verdict, i: usize, ids: &[TaskId]) -> Result<TaskBound, NoBound> {
    let why = |rejection: &Rejection| match *rejection {
        Rejection::Undecided { task, steps } if task.index() == i => Some(NoBound::Undecided { steps }),
        _ => None,
    };
    let Some(mut bound) = verdict.tasks[i].bound.clone() else {
        return Err(verdict.rejections.iter().find_map(why).unwrap_or(NoBound::NoFiniteBusyPeriod));
    };
    for term in &mut bound.terms {
        term.by = term.by.map(|by| ids[by.index()]);
    }
    Ok(TaskBound::Plain(bound))
}

fn task_verdict(id: TaskId, task: &SystemTask, bound: Result<TaskBound, NoBound>) -> SystemTaskVerdict {
    let wcrt = bound.as_ref().ok().map(wcrt);
    SystemTaskVerdict { task: id, wcrt, deadline: chain::deadline(task), bound }
}

/// What is compared with the deadline.
fn wcrt(bound: &TaskBound) -> Nanos {
    match bound {
        TaskBound::Plain(bound) => bound.wcrt,
        TaskBound::Suspending(response) => response.wcrt,
        TaskBound::Event(activation) => activation.wcrt(),
        TaskBound::Offsets(bound) => bound.worst,
        TaskBound::Modes(modes) => {
            let low = modes.low.as_ref().map_or(Nanos::MAX, |bound| bound.wcrt);
            low.max(modes.high.map_or(Nanos::ZERO, |high| high.unwrap_or(Nanos::MAX)))
        }
    }
}

/// The latest end of the tasks that end `chain`, from the arrival that started it.
fn event_latency(
    system: &System,
    of: &Chain,
    events: &[Option<Result<Activation, NoBound>>],
) -> Result<Nanos, ChainProblem> {
    let end = |task: TaskId| match &events[task.index()] {
        Some(Ok(activation)) => Ok(activation.end),
        _ => Err(ChainProblem::NoBound { task: system.tasks()[task.index()].name.clone() }),
    };
    let mut latest = Nanos::ZERO;
    for task in chain::ends(of) {
        latest = latest.max(end(task)?);
    }
    Ok(latest)
}
