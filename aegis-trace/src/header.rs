//! What a trace says about itself before its first record: the clock, the program, the task set, the models.
use crate::TraceError;
use aegis_core::{JobId, Nanos, TaskDraft, TaskId, TaskSet};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The first block of a trace. With it a trace can be replayed and explained without any other file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Wall clock (UTC, nanoseconds since 1970) at the instant that the trace's clock calls 0; 0 for simulations.
    pub created_unix_ns: u64,
    /// The clock that all instants are read from, for example `CLOCK_MONOTONIC` or `simulated`.
    pub clock: String,
    /// Name and version of the program that recorded.
    pub program: String,
    /// Digest of the system's specification.
    pub spec_digest: String,
    /// Seed of all randomness in the run, where there was any.
    pub seed: Option<u64>,
    /// The tasks, their policy and overheads, as the scheduler had them.
    pub set: TaskSet,
    /// Capacity of each task's queue in unfinished jobs, in the order of the tasks.
    pub queues: Vec<u32>,
    /// The models behind the tasks.
    pub models: Vec<ModelNote>,
    /// The machine, in words.
    pub host: String,
}

/// Which model ran for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelNote {
    /// Name of its task.
    pub task: String,
    /// Name of the backend.
    pub backend: String,
    /// Version of the runtime behind it.
    pub version: String,
    /// Digest of the model's bytes.
    pub digest: String,
    /// The file it came from.
    pub file: String,
}

impl Header {
    /// Checks what a deserialised header cannot promise by its types: the rules of [`TaskSet::new`], one queue of at
    /// least 1 for every task, models only for tasks that exist.
    ///
    /// # Errors
    /// [`TraceError::Tasks`], [`TraceError::Queues`], [`TraceError::EmptyQueue`] or [`TraceError::UnknownTask`].
    pub fn check(&self) -> Result<(), TraceError> {
        let drafts = self.set.tasks().iter().map(|task| TaskDraft {
            name: task.name.clone(),
            segments: task.segments.clone(),
            arrival: task.arrival.clone(),
            deadline: Some(task.deadline),
            jitter: task.jitter,
            priority: Some(task.priority),
        });
        TaskSet::new(self.set.policy(), self.set.overheads(), drafts.collect())?;
        let tasks = self.set.tasks();
        if self.queues.len() != tasks.len() {
            return Err(TraceError::Queues { queues: self.queues.len(), tasks: tasks.len() });
        }
        if let Some(index) = self.queues.iter().position(|capacity| *capacity == 0) {
            return Err(TraceError::EmptyQueue { task: tasks[index].name.clone() });
        }
        self.models.iter().try_for_each(|model| self.task(&model.task).map(drop))
    }

    /// The task of that name.
    ///
    /// # Errors
    /// [`TraceError::UnknownTask`] with the names that exist.
    pub fn task(&self, name: &str) -> Result<TaskId, TraceError> {
        let position = self.set.tasks().iter().position(|task| task.name == name);
        position.map(TaskId::from).ok_or_else(|| TraceError::UnknownTask {
            name: name.to_owned(),
            known: self.set.tasks().iter().map(|task| task.name.clone()).collect(),
        })
    }

    /// The job written as `camera#118`.
    ///
    /// # Errors
    /// [`TraceError::NotAJob`] if it is not of that form, [`TraceError::UnknownTask`] if no task has that name.
    pub fn parse_job(&self, text: &str) -> Result<JobId, TraceError> {
        let parts = text.rsplit_once('#').and_then(|(name, seq)| Some((name, seq.parse().ok()?)));
        let (name, seq) = parts.ok_or_else(|| TraceError::NotAJob { text: text.to_owned() })?;
        Ok(JobId { task: self.task(name)?, seq })
    }

    /// The task's name; its number where the set has no such task.
    #[must_use]
    pub fn task_name(&self, task: TaskId) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| match self.set.get(task) {
            Some(known) => f.write_str(&known.name),
            None => write!(f, "task {}", task.0),
        })
    }

    /// The job with its task's name, as `camera#118`.
    #[must_use]
    pub fn job_name(&self, job: JobId) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| write!(f, "{}#{}", self.task_name(job.task), job.seq))
    }

    /// The time of day of an instant of the trace; the time since the start for simulations.
    #[must_use]
    pub const fn time(&self, at: Nanos) -> crate::WallTime {
        crate::WallTime::new(self.created_unix_ns, at)
    }
}
