//! The chain of decisions behind every job, link by link, and which links are missing.
//!
//! A job whose model is in the header was loaded, profiled, placed and admitted before it was released; then each of its
//! segments was chosen, started, ended, and told to the scheduler; then it retired. A refused job ends with its refusal.
//! In a simulation nothing is loaded and no worker records: there the chain has the decisions alone. A fault has its
//! record, an admission the terms of its bound, and no link is earlier than the one before it.
use crate::{Body, Jobs, Trace};
use aegis_core::{Action, Event, JobId, Nanos, Outcome, TaskId};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A link in the chain of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[allow(missing_docs, reason = "each is the record of its name")]
pub enum Link {
    Loaded,
    Profiled,
    Placed,
    /// Admitted, or rejected and simulated all the same.
    Admitted,
    /// The terms of the bound, which sum to it.
    Terms,
    Released,
    Refused,
    Chosen {
        segment: u16,
    },
    Started {
        segment: u16,
    },
    Ended {
        segment: u16,
    },
    /// The scheduler was told of the segment's end.
    Told {
        segment: u16,
    },
    Fault,
    Retired,
}

impl Link {
    /// The name in JSON and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Profiled => "profiled",
            Self::Placed => "placed",
            Self::Admitted => "admitted",
            Self::Terms => "terms of the bound",
            Self::Released => "released",
            Self::Refused => "refused",
            Self::Chosen { .. } => "chosen",
            Self::Started { .. } => "started",
            Self::Ended { .. } => "ended",
            Self::Told { .. } => "told",
            Self::Fault => "fault",
            Self::Retired => "retired",
        }
    }

    /// Which segment of the job it is about.
    #[must_use]
    pub const fn segment(self) -> Option<u16> {
        match self {
            Self::Chosen { segment }
            | Self::Started { segment }
            | Self::Ended { segment }
            | Self::Told { segment } => Some(segment),
            _ => None,
        }
    }
}

/// What is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Flaw {
    /// This link is missing.
    Missing(Link),
    /// This link is earlier than the one that must come before it.
    OutOfOrder(Link),
}

/// The chain of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The job.
    pub job: JobId,
    /// Its links in their order, with the positions of their records in [`Trace::entries`].
    pub links: Vec<(Link, usize)>,
    /// What is wrong; empty for a whole chain.
    pub flaws: Vec<Flaw>,
}

/// The chains of all jobs, by task and number.
#[must_use]
pub fn audit(trace: &Trace) -> Vec<Chain> {
    let mut found = Found::default();
    for (entry, e) in trace.entries().iter().enumerate() {
        found.add(entry, &e.record.body);
    }
    let admitted = Jobs::of(trace);
    let modelled: BTreeSet<TaskId> =
        trace.header().models.iter().filter_map(|model| trace.header().task(&model.task).ok()).collect();
    let Found { tasks, rejected, jobs } = found;
    jobs.into_iter()
        .map(|(job, of_job)| {
            let modelled = modelled.contains(&job.task);
            let mut chain = Checked { trace, latest: Nanos::ZERO, links: Vec::new(), flaws: Vec::new() };
            let of_task = tasks.get(&job.task);
            for link in [Link::Loaded, Link::Profiled, Link::Placed].into_iter().filter(|_| modelled) {
                chain.want(link, of_task.and_then(|of_task| of_task.get(&link)).copied());
            }
            let admission = of_task.and_then(|of_task| of_task.get(&Link::Admitted)).copied();
            chain.want(Link::Admitted, admission.or(rejected));
            if admission.is_some() && !admitted.admission(job.task).is_some_and(crate::Admission::adds_up) {
                chain.flaws.push(Flaw::Missing(Link::Terms));
            }
            let segments = trace.header().set.get(job.task).map_or(1, |task| task.segments.len());
            chain.job(&of_job, u16::try_from(segments).unwrap_or(u16::MAX), modelled);
            Chain { job, links: chain.links, flaws: chain.flaws }
        })
        .collect()
}

#[derive(Default)]
struct Found {
    tasks: BTreeMap<TaskId, BTreeMap<Link, usize>>,
    rejected: Option<usize>,
    jobs: BTreeMap<JobId, OfJob>,
}

#[derive(Default)]
struct OfJob {
    links: BTreeMap<Link, usize>,
    /// Segments of whose ends the scheduler was told.
    told: u16,
    chosen: Option<u16>,
    outcome: Option<Outcome>,
}

impl Found {
    fn add(&mut self, entry: usize, body: &Body) {
        let mut of_task = |task: TaskId, link| {
            self.tasks.entry(task).or_default().entry(link).or_insert(entry);
        };
        match *body {
            Body::Loaded { task, .. } => of_task(task, Link::Loaded),
            Body::Profiled { task, .. } => of_task(task, Link::Profiled),
            Body::Placed { task, .. } => of_task(task, Link::Placed),
            Body::Admitted { task, .. } => of_task(task, Link::Admitted),
            Body::Rejected(_) => drop(self.rejected.get_or_insert(entry)),
            Body::Started { job, segment } => self.link(job, Link::Started { segment }, entry),
            Body::Ended { job, segment, .. } => self.link(job, Link::Ended { segment }, entry),
            Body::Fault { job: Some(job), .. } => self.link(job, Link::Fault, entry),
            Body::Step { event, decision } => match (event, decision.action) {
                (Event::Release { job, .. }, Action::Enqueue) => self.link(job, Link::Released, entry),
                (Event::Release { job, .. }, Action::Refuse) => self.link(job, Link::Refused, entry),
                (_, Action::Start { job, segment }) => {
                    self.link(job, Link::Chosen { segment }, entry);
                    self.jobs.entry(job).or_default().chosen = Some(segment);
                }
                (Event::Finish { job, outcome }, Action::Requeue | Action::Retire) => {
                    let of_job = self.jobs.entry(job).or_default();
                    let segment = of_job.chosen.take().unwrap_or(of_job.told);
                    of_job.told = segment.saturating_add(1);
                    self.link(job, Link::Told { segment }, entry);
                    if decision.action == Action::Retire {
                        self.jobs.entry(job).or_default().outcome = Some(outcome);
                        self.link(job, Link::Retired, entry);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn link(&mut self, job: JobId, link: Link, entry: usize) {
        self.jobs.entry(job).or_default().links.entry(link).or_insert(entry);
    }
}

struct Checked<'t> {
    trace: &'t Trace,
    latest: Nanos,
    links: Vec<(Link, usize)>,
    flaws: Vec<Flaw>,
}

impl Checked<'_> {
    fn want(&mut self, link: Link, entry: Option<usize>) {
        let Some(entry) = entry else {
            self.flaws.push(Flaw::Missing(link));
            return;
        };
        let at = self.trace.entries()[entry].record.at;
        // What was decided before the run has its own order; from the release on time goes forward.
        if at < self.latest && link >= Link::Released {
            self.flaws.push(Flaw::OutOfOrder(link));
        }
        self.latest = self.latest.max(at);
        self.links.push((link, entry));
    }

    fn job(&mut self, job: &OfJob, segments: u16, modelled: bool) {
        let of = |link| job.links.get(&link).copied();
        if let Some(refused) = of(Link::Refused).filter(|_| of(Link::Released).is_none()) {
            self.want(Link::Refused, Some(refused));
            return;
        }
        self.want(Link::Released, of(Link::Released));
        let faulted = job.outcome == Some(Outcome::Faulted);
        for segment in 0..segments {
            // Behind a fault the other segments are not run.
            if faulted && segment >= job.told {
                break;
            }
            self.want(Link::Chosen { segment }, of(Link::Chosen { segment }));
            if modelled {
                self.want(Link::Started { segment }, of(Link::Started { segment }));
                self.want(Link::Ended { segment }, of(Link::Ended { segment }));
            }
            // A fault that does not void the result, such as an overrun, stands beside the chain.
            if faulted && modelled && segment + 1 == job.told {
                self.want(Link::Fault, of(Link::Fault));
            }
            self.want(Link::Told { segment }, of(Link::Told { segment }));
        }
        self.want(Link::Retired, of(Link::Retired));
    }
}
