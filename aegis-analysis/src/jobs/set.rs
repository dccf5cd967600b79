//! A finite set of jobs on one partition: release and execution times as intervals, precedence with host delays.
use crate::load::LONGEST;
use aegis_core::Nanos;
use std::collections::BTreeMap;

/// The latest instant that a schedule of a set may reach: half of 2^62 ns (73 years), so that differences of two instants
/// and a delay add up in 63 bits.
pub(super) const HORIZON: u64 = LONGEST / 2;

/// All whole numbers from `min` to `max`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The least.
    pub min: Nanos,
    /// The most; not below the least.
    pub max: Nanos,
}

impl Span {
    /// Exactly `value`.
    #[must_use]
    pub const fn exactly(value: Nanos) -> Self {
        Self { min: value, max: value }
    }

    /// From `min` to `max`.
    #[must_use]
    pub const fn new(min: Nanos, max: Nanos) -> Self {
        Self { min, max }
    }
}

/// One job, executed once and without preemption. Instants count from the start of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Job {
    /// Number of its task.
    pub task: u64,
    /// Its own number; unique within the task.
    pub job: u64,
    /// When it is released.
    pub release: Span,
    /// How long it executes.
    pub cost: Span,
    /// Its absolute deadline.
    pub deadline: Nanos,
    /// The smaller number is served first: a fixed priority, or the deadline for EDF.
    pub priority: u64,
}

impl Job {
    /// `T1J2`: how job sets name their jobs.
    #[must_use]
    pub fn name(&self) -> String {
        format!("T{}J{}", self.task, self.job)
    }
}

/// `to` is ready only a delay after `from` has ended: the part of a job on the host between two segments, or an edge of
/// a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Position of the job that comes first.
    pub from: usize,
    /// Position of the job that waits.
    pub to: usize,
    /// Time between the end of `from` and the moment from which `to` may start.
    pub delay: Span,
}

/// Who is served first among ready jobs of equal priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ties {
    /// The smaller task number, then the job that has fewer jobs before it on its longest path of edges, then the smaller
    /// job number: a total order, the one of SAG.
    #[default]
    ById,
    /// The job that was released first, as the dispatcher does; at one instant in any order, but jobs of one task in
    /// theirs. Where release intervals overlap either is looked at as the first. That is exact for different tasks of one
    /// priority, hence for first come, first served; with more priorities, or where jobs of one task may overtake each
    /// other, the answer is safe.
    ByRelease,
}

/// Why jobs are not a set. Jobs and edges are named by their position, from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobSetError {
    /// There is nothing to analyse.
    #[error("the job set is empty; state at least one job")]
    Empty,
    /// More jobs than identifiers.
    #[error("{n} jobs are too many; the most is {}", u32::MAX / 2)]
    TooMany {
        /// How many there are.
        n: usize,
    },
    /// The least of an interval is above its most.
    #[error("job {name}: the least {what} ({min} ns) is above the most ({max} ns)")]
    Order {
        /// Position of the job.
        index: usize,
        /// Its name.
        name: String,
        /// Which interval.
        what: &'static str,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Two jobs have one task and job number.
    #[error("job {name} is stated twice; task and job numbers together must be unique")]
    Twice {
        /// Position of the second.
        index: usize,
        /// Its name.
        name: String,
    },
    /// A schedule of the set may reach beyond what the analysis counts in.
    #[error(
        "up to job {name} the latest release, all execution times and all delays sum to more than 2^61 ns (73 years)"
    )]
    TooLong {
        /// Position of the job at which the sum no longer fits.
        index: usize,
        /// Its name.
        name: String,
    },
    /// An edge names a job that does not exist.
    #[error("edge {edge} names job {job}, but there are only {jobs} jobs, counted from 0")]
    NoSuchJob {
        /// Position of the edge.
        edge: usize,
        /// What it names.
        job: usize,
        /// How many jobs there are.
        jobs: usize,
    },
    /// The least delay of an edge is above its most.
    #[error("edge {edge}: the least delay ({min} ns) is above the most ({max} ns)")]
    EdgeOrder {
        /// Position of the edge.
        edge: usize,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Edges that lead back: no job on the cycle can ever start.
    #[error("job {name} waits for itself through the precedence edges; remove an edge of the cycle")]
    Cycle {
        /// Position of a job on it.
        index: usize,
        /// Its name.
        name: String,
    },
}

/// Jobs with their precedence; valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSet {
    jobs: Vec<Job>,
    edges: Vec<Edge>,
    ties: Ties,
    ranks: Vec<u32>,
    order: Vec<usize>,
}

impl JobSet {
    /// Checks jobs and edges.
    ///
    /// # Errors
    /// The first [`JobSetError`]: jobs in their order, then edges in theirs.
    pub fn new(jobs: Vec<Job>, edges: Vec<Edge>, ties: Ties) -> Result<Self, JobSetError> {
        if jobs.is_empty() {
            return Err(JobSetError::Empty);
        }
        if jobs.len() > u32::MAX as usize / 2 {
            return Err(JobSetError::TooMany { n: jobs.len() });
        }
        let mut names = BTreeMap::new();
        let (mut released, mut work) = (0_u64, 0_u64);
        for (index, job) in jobs.iter().enumerate() {
            for (what, span) in [("release", job.release), ("execution time", job.cost)] {
                if span.min > span.max {
                    let (min, max) = (span.min.0, span.max.0);
                    return Err(JobSetError::Order { index, name: job.name(), what, min, max });
                }
            }
            if names.insert((job.task, job.job), index).is_some() {
                return Err(JobSetError::Twice { index, name: job.name() });
            }
            released = released.max(job.release.max.0);
            work = work.saturating_add(job.cost.max.0);
            if released.saturating_add(work) > HORIZON {
                return Err(JobSetError::TooLong { index, name: job.name() });
            }
        }
        for (edge, Edge { from, to, delay }) in edges.iter().copied().enumerate() {
            if let Some(job) = [from, to].into_iter().find(|job| *job >= jobs.len()) {
                return Err(JobSetError::NoSuchJob { edge, job, jobs: jobs.len() });
            }
            if delay.min > delay.max {
                return Err(JobSetError::EdgeOrder { edge, min: delay.min.0, max: delay.max.0 });
            }
            work = work.saturating_add(delay.max.0);
            if released.saturating_add(work) > HORIZON {
                return Err(JobSetError::TooLong { index: to, name: jobs[to].name() });
            }
        }
        let (order, depths) = topological(jobs.len(), &edges)
            .map_err(|index| JobSetError::Cycle { index, name: jobs[index].name() })?;
        let ranks = match ties {
            Ties::ById => ranks(jobs.len(), |i| {
                let job = &jobs[i];
                (job.priority, job.task, depths[i], job.job)
            }),
            Ties::ByRelease => ranks(jobs.len(), |i| (jobs[i].priority, 0, 0, 0)),
        };
        Ok(Self { jobs, edges, ties, ranks, order })
    }

    /// The jobs; everything here names them by their position in this slice.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// The precedence edges.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Who is first among equals.
    #[must_use]
    pub const fn ties(&self) -> Ties {
        self.ties
    }

    /// The jobs in an order in which each comes after all that it waits for.
    pub(super) fn topological(&self) -> &[usize] {
        &self.order
    }

    /// Position in the order of priorities: the smaller is served first. Equal ranks are ties; under [`Ties::ById`]
    /// there are none.
    pub(super) fn rank(&self, job: usize) -> u32 {
        self.ranks[job]
    }

    /// Whether `other` never starts while `job` is ready.
    pub(super) fn beats(&self, job: usize, other: usize) -> bool {
        self.ranks[job] < self.ranks[other]
            || self.ranks[job] == self.ranks[other] && first_released(&self.jobs[job], &self.jobs[other])
    }

    /// Whether every choice that the explorations allow is one that some schedule makes, so that their bounds are
    /// attained: no job executes for 0 ns, and ties by release are among instants or among one priority.
    pub(super) fn every_choice_is_a_schedule(&self) -> bool {
        self.jobs.iter().all(|job| job.cost.min > Nanos::ZERO)
            && (self.ties == Ties::ById || self.ties_are_resolved())
    }

    fn ties_are_resolved(&self) -> bool {
        let mut sorted: Vec<usize> = (0..self.jobs.len()).collect();
        sorted.sort_by_key(|i| (self.ranks[*i], self.jobs[*i].release.min));
        let one_priority = self.ranks.iter().all(|rank| *rank == 0) && self.edges.is_empty();
        // The latest end of a release interval of this rank so far, and of one that is more than an instant.
        let (mut rank, mut latest, mut wide) = (0, None, None);
        let mut last_of_task: BTreeMap<u64, Nanos> = BTreeMap::new();
        sorted.into_iter().all(|i| {
            let Span { min, max } = self.jobs[i].release;
            if rank != self.ranks[i] {
                (rank, latest, wide) = (self.ranks[i], None, None);
            }
            let overlaps = if min == max { wide >= Some(min) } else { latest >= Some(min) };
            latest = latest.max(Some(max));
            wide = wide.max((min < max).then_some(max));
            let own = last_of_task.entry(self.jobs[i].task).or_default();
            let overtakes = *own > min || *own == min && max > min && *own > Nanos::ZERO;
            *own = max.max(*own);
            !overlaps || one_priority && !overtakes
        })
    }

    /// The edges into each job.
    pub(super) fn edges_into(&self) -> Vec<Vec<Edge>> {
        let mut into = vec![Vec::new(); self.jobs.len()];
        for edge in &self.edges {
            into[edge.to].push(*edge);
        }
        into
    }
}

/// Whether `job` is certainly released before `other`, or no later and first in the order of their task.
pub(super) fn first_released(job: &Job, other: &Job) -> bool {
    job.release.max < other.release.min
        || job.release.max == other.release.min && job.task == other.task && job.job < other.job
}

/// Dense ranks: equal keys have equal ranks.
fn ranks<K: Ord>(n: usize, key: impl Fn(usize) -> K) -> Vec<u32> {
    let mut sorted: Vec<usize> = (0..n).collect();
    sorted.sort_by_key(|i| key(*i));
    let mut ranks = vec![0; n];
    let mut rank = 0;
    for pair in sorted.windows(2) {
        rank += u32::from(key(pair[0]) != key(pair[1]));
        ranks[pair[1]] = rank;
    }
    ranks
}

/// An order that follows the edges, and the number of jobs on the longest path to each; or a job on a cycle.
fn topological(n: usize, edges: &[Edge]) -> Result<(Vec<usize>, Vec<u32>), usize> {
    let mut open = vec![0_usize; n];
    let mut from: Vec<Vec<usize>> = vec![Vec::new(); n];
    for edge in edges {
        open[edge.to] += 1;
        from[edge.from].push(edge.to);
    }
    let mut order: Vec<usize> = (0..n).filter(|i| open[*i] == 0).collect();
    let mut depths = vec![0; n];
    let mut next = 0;
    while let Some(&job) = order.get(next) {
        next += 1;
        for &to in &from[job] {
            depths[to] = depths[to].max(depths[job] + 1);
            open[to] -= 1;
            if open[to] == 0 {
                order.push(to);
            }
        }
    }
    match open.iter().position(|open| *open > 0) {
        None => Ok((order, depths)),
        Some(mut job) => {
            // A job that is still open waits for another such job: n steps back end on a cycle.
            for _ in 0..n {
                let before = edges.iter().find(|edge| edge.to == job && open[edge.from] > 0);
                job = before.map_or(job, |edge| edge.from);
            }
            Err(job)
        }
    }
}
