//! What exports say of one job: its instants, how it ended, how long it waited and ran.
use crate::ExportError;
use aegis_core::{JobId, Nanos};
use aegis_trace::{CauseKind, Ending, Explanation, Job, Jobs};

/// How a job ended, as people ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobVerdict {
    /// Completed by its deadline.
    Met,
    /// Completed after its deadline.
    Missed,
    /// Ended by a fault, its result void.
    Faulted,
    /// Never served: its queue was full, or the scheduler was stopping.
    Refused,
    /// It had not left when the trace ended.
    Unfinished,
    /// Records of it are missing, so that nobody can say.
    Unknown,
}

impl JobVerdict {
    /// Every verdict.
    pub const ALL: [Self; 6] =
        [Self::Met, Self::Missed, Self::Faulted, Self::Refused, Self::Unfinished, Self::Unknown];

    /// The name in tables, labels and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Faulted => "faulted",
            Self::Refused => "refused",
            Self::Unfinished => "unfinished",
            Self::Unknown => "unknown",
        }
    }

    const fn of(ending: Ending) -> Self {
        match ending {
            Ending::Met => Self::Met,
            Ending::Missed => Self::Missed,
            Ending::Faulted => Self::Faulted,
            Ending::Refused(_) => Self::Refused,
            Ending::Unfinished { .. } => Self::Unfinished,
            Ending::Unknown => Self::Unknown,
        }
    }
}

/// One segment's time on the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The segment.
    pub segment: u16,
    /// When the scheduler chose it.
    pub chosen: Option<Nanos>,
    /// From when it ran: its start by a worker; the choice where no worker's record says.
    pub from: Nanos,
    /// Until when it ran: its end there; when the scheduler was told where no worker's record says, and the last that is
    /// known of the job where neither does.
    pub to: Nanos,
    /// When the scheduler was told of the end.
    pub told: Option<Nanos>,
}

impl Run {
    /// How long it ran.
    #[must_use]
    pub const fn length(&self) -> Nanos {
        self.to.saturating_sub(self.from)
    }
}

/// One job with everything that exports say of it. What the trace does not say is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobLine {
    /// The job.
    pub id: JobId,
    /// How it ended.
    pub verdict: JobVerdict,
    /// Where its time went; absent when its arrival is not known.
    pub explanation: Option<Explanation>,
    /// Its segments' times on the partition, in their order.
    pub runs: Vec<Run>,
}

impl JobLine {
    fn of(jobs: &Jobs<'_>, job: &Job) -> Result<Self, ExportError> {
        let explanation = job.arrival.map(|_| jobs.explain(job.id)).transpose()?;
        let last = explanation.as_ref().map(|e| e.until);
        let runs = job.segments.iter().filter_map(|segment| {
            let (chosen, told) = (segment.chosen.map(|m| m.at), segment.finished.map(|m| m.at));
            let from = segment.started.or(chosen)?;
            let to = segment.ended.or(told).or(last).unwrap_or(from).max(from);
            Some(Run { segment: segment.index, chosen, from, to, told })
        });
        Ok(Self {
            id: job.id,
            verdict: explanation.as_ref().map_or(JobVerdict::Unknown, |e| JobVerdict::of(e.ending)),
            runs: runs.collect(),
            explanation,
        })
    }

    /// From its arrival to its end; `None` unless it ended, and for refused jobs.
    #[must_use]
    pub fn response(&self) -> Option<Nanos> {
        let explanation = self.explanation.as_ref()?;
        explanation.finish().map(|_| explanation.response())
    }

    /// From its arrival to its end or to the last that is known of it: what `slower than` compares.
    #[must_use]
    pub fn age(&self) -> Option<Nanos> {
        self.explanation.as_ref().map(Explanation::response)
    }

    /// How long after its deadline it left, or was last seen; zero if before.
    #[must_use]
    pub fn late(&self) -> Option<Nanos> {
        self.explanation.as_ref().map(|e| e.until.saturating_sub(e.deadline))
    }

    /// From its arrival to the beginning of its first segment.
    #[must_use]
    pub fn queued(&self) -> Option<Nanos> {
        let arrival = self.explanation.as_ref()?.arrival;
        self.runs.first().map(|run| run.from.saturating_sub(arrival))
    }

    /// All of its segments' time on the partition.
    #[must_use]
    pub fn executed(&self) -> Option<Nanos> {
        let all = self.runs.iter().fold(Nanos::ZERO, |sum, run| sum.saturating_add(run.length()));
        (!self.runs.is_empty()).then_some(all)
    }

    /// The part of its response time that has a cause of this name; see [`CauseKind::name`].
    #[must_use]
    pub fn caused(&self, name: &str) -> Nanos {
        let causes = self.explanation.iter().flat_map(|e| &e.causes);
        causes.filter(|cause| CauseKind::name(cause.kind) == name).map(|cause| cause.ns).sum()
    }
}

/// Every job of the trace, by task and number.
pub fn job_lines<'j>(jobs: &'j Jobs<'_>) -> impl Iterator<Item = Result<JobLine, ExportError>> + 'j {
    jobs.iter().map(|job| JobLine::of(jobs, job))
}
