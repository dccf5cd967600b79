//! A workload that is a list of jobs: a critical instant, a witness of a miss, or what a trace recorded.
use crate::simulator::{Arrival, Workload};
use aegis_core::{JobId, Nanos, TaskId};
use std::collections::VecDeque;

/// A job of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedJob {
    /// Its task.
    pub task: TaskId,
    /// When it arrives and when it is released.
    pub times: Arrival,
    /// How long each segment takes.
    pub executions: Vec<Nanos>,
}

/// The jobs of a list and no others. Of those that are released at one instant, the one that is listed first is told
/// first.
#[derive(Debug)]
pub struct Listed {
    /// Of each task, its jobs that are still to come, with their places in the list.
    upcoming: Vec<VecDeque<(usize, Arrival)>>,
    /// Of each task, the place of the job that comes next.
    places: Vec<usize>,
    /// Of each task, the executions of its jobs in the order of their releases.
    executions: Vec<Vec<Vec<Nanos>>>,
    jobs: Vec<JobId>,
}

impl Listed {
    /// Of `tasks` tasks. A job of a task that the set does not have is left out.
    #[must_use]
    pub fn new(tasks: usize, jobs: &[ListedJob]) -> Self {
        let mut order: Vec<usize> = (0..jobs.len()).filter(|&k| jobs[k].task.index() < tasks).collect();
        order.sort_by_key(|&k| (jobs[k].times.release, k));
        let mut listed = Self {
            upcoming: vec![VecDeque::new(); tasks],
            places: vec![usize::MAX; tasks],
            executions: vec![Vec::new(); tasks],
            jobs: jobs.iter().map(|job| JobId { task: job.task, seq: 0 }).collect(),
        };
        for k in order {
            let (job, i) = (&jobs[k], jobs[k].task.index());
            listed.jobs[k].seq = listed.executions[i].len() as u64;
            listed.upcoming[i].push_back((k, job.times));
            listed.executions[i].push(job.executions.clone());
        }
        listed
    }

    /// What the scheduler calls each job of the list, in its order.
    #[must_use]
    pub fn jobs(&self) -> &[JobId] {
        &self.jobs
    }
}

impl Workload for Listed {
    fn next(&mut self, task: TaskId) -> Option<Arrival> {
        let (place, times) = self.upcoming[task.index()].pop_front()?;
        self.places[task.index()] = place;
        Some(times)
    }

    fn execution(&mut self, job: JobId, segment: u16) -> Nanos {
        let of_task = &self.executions[job.task.index()];
        let of_job = usize::try_from(job.seq).ok().and_then(|seq| of_task.get(seq));
        of_job.and_then(|of_job| of_job.get(usize::from(segment))).copied().unwrap_or_default()
    }

    fn turn(&self, task: TaskId) -> usize {
        self.places[task.index()]
    }
}
