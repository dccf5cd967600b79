//! Records in words: one sentence each, with the names of the tasks.
use crate::{Body, Direction, Header, Purpose, Record};
use aegis_core::{Action, Budgeted, Bytes, Decision, Event, Nanos, Outcome, Rejection, Why};
use std::fmt::{self, Formatter};

/// Parts per billion as a percentage with all its digits, and without zeros behind them.
struct Percent(u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:07}", self.0 / 10_000_000, self.0 % 10_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

const fn whose_memory(on_device: bool) -> &'static str {
    if on_device { "device" } else { "host" }
}

impl Header {
    /// What the record says, in one line without its instant: `camera#118 queued: ready, 1 other waiting`.
    #[must_use]
    pub fn say<'a>(&'a self, record: &'a Record) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| self.body(f, record))
    }

    fn body(&self, f: &mut Formatter<'_>, record: &Record) -> fmt::Result {
        match record.body {
            Body::Step { event, decision } => self.step(f, record.at, event, decision),
            Body::Started { job, segment } => write!(f, "{} started (segment {segment})", self.job_name(job)),
            Body::Ended { job, segment, outcome } => {
                let how = match outcome {
                    Outcome::Completed => "completed",
                    Outcome::Faulted => "faulted",
                };
                write!(f, "{} ended (segment {segment}): {how}", self.job_name(job))
            }
            Body::Fault { job: Some(job), fault, .. } => write!(f, "{} faulted: {fault}", self.job_name(job)),
            Body::Fault { task, job: None, fault } => write!(f, "{} faulted: {fault}", self.task_name(task)),
            Body::Loaded { task, weights, io, scratch, took } => {
                let name = self.task_name(task);
                write!(
                    f,
                    "{name} loaded in {took:.1}: weights {weights}, inputs and outputs {io}, scratch "
                )?;
                match scratch {
                    Some(scratch) => write!(f, "{scratch}"),
                    None => write!(f, "unknown"),
                }
            }
            Body::Profiled { task, wcet, runs: 0 } => {
                write!(f, "{}: WCET {wcet}, as stated", self.task_name(task))
            }
            Body::Profiled { task, wcet, runs } => {
                write!(f, "{}: WCET {wcet}, measured over {runs} runs", self.task_name(task))
            }
            Body::Placed { task, purpose, offset, size } => {
                let what = match purpose {
                    Purpose::Weights => "weights",
                    Purpose::Io => "inputs and outputs",
                    Purpose::Scratch => "scratch",
                };
                write!(f, "{}: {what} placed at {offset:#}, {size}", self.task_name(task))
            }
            Body::Admitted { task, wcrt, deadline } => {
                let name = self.task_name(task);
                write!(f, "{name} admitted: worst response {wcrt}, deadline {deadline}")
            }
            Body::Rejected(rejection) => {
                write!(f, "task set rejected: ")?;
                self.rejection(f, rejection)
            }
            Body::Stopping => write!(f, "stopping: later releases are not served, running jobs are finished"),
            ref before_or_beside => self.rare(f, before_or_beside),
        }
    }

    /// What is decided once, before the run, and what happens to the machine during it.
    fn rare(&self, f: &mut Formatter<'_>, body: &Body) -> fmt::Result {
        match *body {
            Body::BoundTerm { task, term } => {
                let (name, sign) = (self.task_name(task), if term.ns < 0 { "-" } else { "" });
                write!(
                    f,
                    "{name}: {} of its bound: {sign}{}",
                    term.kind.name(),
                    Nanos(term.ns.unsigned_abs())
                )?;
                term.by.map_or(Ok(()), |by| write!(f, " by {}", self.task_name(by)))
            }
            Body::Certified { task, bound, samples, exceedance_ppb, confidence_ppb } => write!(
                f,
                "{}: {samples} samples show with {} % confidence that at most {} % of its jobs run longer than {bound}",
                self.task_name(task),
                Percent(confidence_ppb),
                Percent(exceedance_ppb)
            ),
            Body::WithinBudget { task, budget } => {
                let what = match budget {
                    Budgeted::DeviceMemory { limit, asked } => {
                        format!("{} of device memory, of {}", Bytes(asked), Bytes(limit))
                    }
                    Budgeted::HostMemory { limit, asked } => {
                        format!("{} of host memory, of {}", Bytes(asked), Bytes(limit))
                    }
                    Budgeted::Streams { limit, asked } => format!("{asked} streams, of {limit}"),
                    Budgeted::ComputeTime { limit, used } => format!("{used} per job, of {limit}"),
                };
                write!(f, "{} is within its budget: {what}", self.task_name(task))
            }
            Body::Planned { on_device, peak, at_least, limit } => {
                let whose = whose_memory(on_device);
                write!(f, "{whose} memory planned: {peak}, and no plan takes less than {at_least}")?;
                limit.map_or(Ok(()), |limit| write!(f, "; the limit is {limit}"))
            }
            Body::Unplannable { peak, at_least, limit } => write!(
                f,
                "system rejected: the best plan of its memory takes {peak}, every plan takes {at_least} or more, the \
                 limit is {limit}"
            ),
            Body::RecordCost { per_thousand } => {
                write!(f, "a thousand records take their thread {per_thousand}")
            }
            Body::Copied { job, segment, direction, took } => {
                let what = match direction {
                    Direction::In => "inputs",
                    Direction::Out => "outputs",
                };
                write!(f, "{} copied its {what} in {took} (segment {segment})", self.job_name(job))
            }
            Body::Contended { job, segment, waited } => write!(
                f,
                "{} was ready to run and others had the processor for {waited} (segment {segment})",
                self.job_name(job)
            ),
            Body::Recovering { job } => {
                write!(
                    f,
                    "{} is brought back after the fault of {}",
                    self.task_name(job.task),
                    self.job_name(job)
                )
            }
            Body::Recovered { job, usable: true } => {
                write!(f, "{} is usable again", self.task_name(job.task))
            }
            Body::Recovered { job, usable: false } => {
                write!(f, "{} cannot be used again in this run", self.task_name(job.task))
            }
            Body::ClockChanged { from_khz, to_khz, limits } => {
                write!(f, "clock changed from {} to {} MHz", from_khz / 1000, to_khz / 1000)?;
                f.write_str(crate::narrate::limited_by(limits))
            }
            _ => Ok(()),
        }
    }

    /// First who, then what was done, then why: every combination of the three gives a sentence.
    fn step(&self, f: &mut Formatter<'_>, at: Nanos, event: Event, decision: Decision) -> fmt::Result {
        match (event, decision.action) {
            (_, Action::Start { job, segment: 0 }) => write!(f, "{} chosen", self.job_name(job))?,
            (_, Action::Start { job, segment }) => {
                write!(f, "{} chosen (segment {segment})", self.job_name(job))?;
            }
            (Event::Release { job, .. } | Event::Finish { job, .. }, Action::Enqueue) => {
                write!(f, "{} queued", self.job_name(job))?;
            }
            (Event::Release { job, .. }, Action::Refuse) => write!(f, "{} refused", self.job_name(job))?,
            (Event::Finish { job, .. }, Action::Refuse) => {
                write!(f, "end of {} refused", self.job_name(job))?;
            }
            (Event::Dispatch, Action::Refuse) => write!(f, "choice refused")?,
            (Event::Release { job, .. } | Event::Finish { job, .. }, Action::Requeue) => {
                write!(f, "{} queued again", self.job_name(job))?;
            }
            (Event::Release { job, .. } | Event::Finish { job, .. }, Action::Retire) => {
                write!(f, "{} finished", self.job_name(job))?;
            }
            (_, Action::Continue) => {
                if let Why::Busy { running, since } = decision.why {
                    let (name, since) = (self.job_name(running), self.time(since));
                    return write!(f, "{name} goes on: it runs since {since} and cannot be preempted");
                }
                write!(f, "the running job goes on")?;
            }
            (_, Action::Idle) => write!(f, "idle")?,
            (Event::Dispatch, Action::Enqueue) => write!(f, "queued")?,
            (Event::Dispatch, Action::Requeue) => write!(f, "queued again")?,
            (Event::Dispatch, Action::Retire) => write!(f, "finished")?,
        }
        match (event, decision.why) {
            (Event::Release { arrival, .. }, Why::TimeWentBack) if arrival > at => {
                write!(f, ": it arrives at {}, after its own release", self.time(arrival))
            }
            (_, why) => write!(f, ": {}", self.reason(why)),
        }
    }

    /// The scheduler's reason with the names of the tasks.
    #[must_use]
    pub fn reason(&self, why: Why) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| self.why(f, why))
    }

    fn why(&self, f: &mut Formatter<'_>, why: Why) -> fmt::Result {
        match why {
            Why::Ready { waiting: 0 } => write!(f, "ready, nobody else waits"),
            Why::Ready { waiting: 1 } => write!(f, "ready, 1 other waiting"),
            Why::Ready { waiting } => write!(f, "ready, {waiting} others waiting"),
            Why::QueueFull { capacity } => {
                write!(f, "its queue of {capacity} is full, this job is lost")
            }
            Why::UnknownTask => write!(f, "no such task; the set has {}", self.set.tasks().len()),
            Why::NotRunning => write!(f, "it was not running"),
            Why::TimeWentBack => write!(f, "time went back: a later event was told before"),
            Why::OnlyReady => write!(f, "the only ready job"),
            Why::EarliestDeadline { deadline, over } => {
                write!(f, "earliest deadline {}, before {}", self.time(deadline), self.job_name(over))
            }
            Why::HighestPriority { priority, over } => {
                write!(f, "highest priority {}, before {}", priority.0, self.job_name(over))
            }
            Why::FirstReleased { release, over } => {
                write!(f, "released first, at {}, before {}", self.time(release), self.job_name(over))
            }
            Why::Busy { running, since } => {
                let name = self.job_name(running);
                write!(f, "{name} runs since {} and cannot be preempted", self.time(since))
            }
            Why::NothingReady => write!(f, "no job is ready"),
            Why::MoreSegments { left: 1 } => write!(f, "1 segment left"),
            Why::MoreSegments { left } => write!(f, "{left} segments left"),
            Why::DeadlineMet { response, slack } => {
                write!(f, "deadline met, response {response}, slack {slack}")
            }
            Why::DeadlineMissed { response, late } => {
                write!(f, "deadline missed by {late}, response {response}")
            }
            Why::Faulted => write!(f, "faulted, its result is void"),
        }
    }

    fn rejection(&self, f: &mut Formatter<'_>, rejection: Rejection) -> fmt::Result {
        match rejection {
            Rejection::Overload { utilisation_ppm } => {
                let (percent, rest) = (utilisation_ppm / 10_000, utilisation_ppm % 10_000);
                write!(f, "the tasks ask for {percent}.{rest:04} % of all time")
            }
            Rejection::NoFiniteBusyPeriod { task } => {
                write!(f, "{} has no bound: its busy period never ends", self.task_name(task))
            }
            Rejection::DeadlineMissed { task, wcrt, deadline, blocked_by, blocking } => {
                write!(f, "{}: worst response {wcrt} > deadline {deadline}", self.task_name(task))?;
                match blocked_by {
                    Some(by) => write!(
                        f,
                        "; {blocking} of it waits for {}, which cannot be preempted",
                        self.task_name(by)
                    ),
                    None => Ok(()),
                }
            }
            Rejection::Undecided { task, steps } => {
                write!(f, "{}: the analysis gave up after {steps} steps", self.task_name(task))
            }
            other => write!(f, "{other:?}"),
        }
    }
}
