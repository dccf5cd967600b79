//! Choosing records and jobs: by model, job, time and kind, and by how jobs ended and how long they took.
use crate::{ExportError, JobLine, JobVerdict, job_lines, subject};
use aegis_core::{JobId, Nanos};
use aegis_trace::{Entry, Jobs, Kind, Query, Trace};
use std::collections::BTreeSet;

/// Which records or jobs to find; what is absent or empty does not restrict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The task, the job and the time. Records: those that concern them. Jobs: those that are of them, and arrived then.
    pub query: Query,
    /// Only records of these kinds; nothing for jobs.
    pub kinds: Vec<Kind>,
    /// Only jobs that ended so; of records those about such jobs.
    pub verdicts: Vec<JobVerdict>,
    /// Only jobs that took longer than this, from arrival to their end or the last that is known of them; of records those
    /// about such jobs.
    pub slower_than: Option<Nanos>,
}

impl Filter {
    /// The records, in the order of [`Trace::entries`].
    ///
    /// # Errors
    /// [`ExportError::Trace`] if a job cannot be explained, which would be a bug.
    pub fn records<'t>(&self, trace: &'t Trace) -> Result<Vec<&'t Entry>, ExportError> {
        let about: Option<BTreeSet<JobId>> = if self.asks_of_jobs() {
            let jobs = Jobs::of(trace);
            let mut about = BTreeSet::new();
            for line in job_lines(&jobs) {
                let line = line?;
                if self.admits_end(&line) {
                    about.insert(line.id);
                }
            }
            Some(about)
        } else {
            None
        };
        let admitted = trace.query(&self.query).filter(|entry| {
            let body = &entry.record.body;
            let of_kind = self.kinds.is_empty() || self.kinds.contains(&body.kind());
            of_kind
                && about
                    .as_ref()
                    .is_none_or(|about| subject(body).job.is_some_and(|job| about.contains(&job)))
        });
        Ok(admitted.collect())
    }

    /// The jobs, by task and number.
    ///
    /// # Errors
    /// As [`Filter::records`].
    pub fn jobs(&self, jobs: &Jobs<'_>) -> Result<Vec<JobLine>, ExportError> {
        let admitted = job_lines(jobs).filter(|line| line.as_ref().map_or(true, |line| self.admits(line)));
        admitted.collect()
    }

    fn asks_of_jobs(&self) -> bool {
        !self.verdicts.is_empty() || self.slower_than.is_some()
    }

    fn admits(&self, line: &JobLine) -> bool {
        let Query { task, job, from, to } = self.query;
        let arrival = line.explanation.as_ref().map(|e| e.arrival);
        task.is_none_or(|task| line.id.task == task)
            && job.is_none_or(|job| line.id == job)
            && from.is_none_or(|from| arrival.is_some_and(|at| from <= at))
            && to.is_none_or(|to| arrival.is_some_and(|at| at < to))
            && self.admits_end(line)
    }

    fn admits_end(&self, line: &JobLine) -> bool {
        (self.verdicts.is_empty() || self.verdicts.contains(&line.verdict))
            && self.slower_than.is_none_or(|most| line.age().is_some_and(|age| age > most))
    }
}
