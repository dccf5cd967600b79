//! ONNX Runtime's profile of a session merged into a trace: which operator ran when inside which execution.
//!
//! The profile counts microseconds from a moment that the trace does not know. What is known: each run in the profile
//! happened inside one execution of the task. The trace's executions are taken to be the last runs of the profile (those
//! before them loaded, warmed up and measured the model), and the n-th of them is inside the n-th execution. So each pair allows
//! an interval of shifts between the two clocks; the shift is the middle of what all of them allow, and half of its width is
//! how far it can be off. Where no shift fits all pairs the profile is refused: it is of another session, or cut off.
use crate::{ExportError, job_lines};
use aegis_core::{JobId, Nanos, TaskId};
use aegis_trace::{Jobs, Trace};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Operators of executions, on the trace's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operators {
    of: BTreeMap<(JobId, u16), Vec<Operator>>,
}

/// An operator of a model while it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The node's name in the model.
    pub name: String,
    /// Its kind, as `Conv`; empty where the profile does not say.
    pub op: String,
    /// The execution provider that ran it; empty where the profile does not say.
    pub provider: String,
    /// The thread, counted from 0 in the order of their first operators; 0 is the one that ran the model.
    pub thread: u32,
    /// When it began.
    pub from: Nanos,
    /// When it ended.
    pub to: Nanos,
}

/// How the clocks of a profile and a trace were brought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alignment {
    /// Executions in the trace, each with its run in the profile.
    pub executions: usize,
    /// Runs in the profile before them.
    pub earlier_runs: usize,
    /// Operators that were merged.
    pub operators: usize,
    /// How far their times can be off, either way.
    pub error: Nanos,
}

/// Why a profile cannot be merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrtError {
    /// It is not the list of events that ONNX Runtime writes.
    #[error("not a profile of ONNX Runtime: {0}; it is complete only when its session has ended")]
    Syntax(#[from] serde_json::Error),
    /// It has fewer runs than the trace has executions.
    #[error(
        "{runs} runs in the profile for {executions} executions in the trace: it is of another session, or cut off"
    )]
    TooFewRuns {
        /// In the profile.
        runs: usize,
        /// In the trace.
        executions: usize,
    },
    /// The trace has no execution of the task.
    #[error("the trace has no execution of this task that a worker recorded")]
    NoExecutions,
    /// No shift of its clock puts every run inside its execution.
    #[error(
        "the profile is not of this run: whatever the shift between the clocks, one of its last {executions} runs is {by} or \
         more outside of its execution"
    )]
    DoesNotFit {
        /// Executions in the trace.
        executions: usize,
        /// At least so far.
        by: Nanos,
    },
}

#[derive(Debug, Deserialize)]
struct Event {
    cat: String,
    name: String,
    #[serde(default)]
    ts: u64,
    #[serde(default)]
    dur: u64,
    #[serde(default)]
    tid: i64,
    #[serde(default)]
    args: Args,
}

#[derive(Debug, Default, Deserialize)]
struct Args {
    #[serde(default)]
    op_name: String,
    #[serde(default)]
    provider: String,
}

/// A run of the session in the profile, in nanoseconds of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    from: i128,
    to: i128,
    tid: i64,
}

/// The profile cuts times off to microseconds: what it says began at `from` began less than this later.
const RESOLUTION: i128 = 1000;

impl Operators {
    /// The operators of one execution, by thread and beginning; the outer ones first.
    #[must_use]
    pub fn of(&self, job: JobId, segment: u16) -> &[Operator] {
        self.of.get(&(job, segment)).map_or(&[], Vec::as_slice)
    }

    /// Adds the operators in `profile`, the text of the file that ONNX Runtime wrote for the session of `task`.
    ///
    /// # Errors
    /// [`ExportError::Ort`] says why the profile is not of this run.
    pub fn merge_ort(
        &mut self,
        trace: &Trace,
        task: TaskId,
        profile: &str,
    ) -> Result<Alignment, ExportError> {
        let events: Vec<Event> = serde_json::from_str(profile).map_err(OrtError::from)?;
        let (runs, nodes) = split(events);
        let mut executions = Vec::new();
        let jobs = Jobs::of(trace);
        for line in job_lines(&jobs).filter(|line| line.as_ref().map_or(true, |line| line.id.task == task)) {
            let line = line?;
            let job = jobs.get(line.id);
            let recorded = |index: u16| {
                let segment = job.and_then(|job| job.segments.iter().find(|s| s.index == index));
                segment.is_some_and(|s| s.started.is_some() && s.ended.is_some())
            };
            executions
                .extend(line.runs.iter().filter(|run| recorded(run.segment)).map(|run| (line.id, *run)));
        }
        executions.sort_by_key(|(job, run)| (run.from, *job, run.segment));
        if executions.is_empty() {
            return Err(OrtError::NoExecutions.into());
        }
        let Some(earlier) = runs.len().checked_sub(executions.len()) else {
            return Err(OrtError::TooFewRuns { runs: runs.len(), executions: executions.len() }.into());
        };
        let pairs = || runs[earlier..].iter().zip(&executions);
        let (least, most) = pairs().fold((i128::MIN, i128::MAX), |(least, most), (run, (_, execution))| {
            let (from, to) = (i128::from(execution.from.0), i128::from(execution.to.0));
            (least.max(from - run.from - (RESOLUTION - 1)), most.min(to - run.to))
        });
        if least > most {
            let by = u64::try_from((least - most + 1) / 2).unwrap_or(u64::MAX);
            return Err(OrtError::DoesNotFit { executions: executions.len(), by: Nanos(by) }.into());
        }
        let shift = least + (most - least) / 2;
        let error = u64::try_from((most - least + 1) / 2).unwrap_or(u64::MAX);
        let mut merged = 0;
        for (run, (job, execution)) in pairs() {
            let first = nodes.partition_point(|node| node.from < run.from);
            let inside = nodes[first..].iter().take_while(|node| node.from <= run.to);
            let mut threads = vec![run.tid];
            let mut operators: Vec<Operator> = inside
                .map(|node| {
                    let thread = threads.iter().position(|tid| *tid == node.tid).unwrap_or_else(|| {
                        threads.push(node.tid);
                        threads.len() - 1
                    });
                    node.on(shift, thread, execution)
                })
                .collect();
            operators.sort_by_key(|o| (o.thread, o.from, std::cmp::Reverse(o.to)));
            merged += operators.len();
            self.of.insert((*job, execution.segment), operators);
        }
        Ok(Alignment {
            executions: executions.len(),
            earlier_runs: earlier,
            operators: merged,
            error: Nanos(error),
        })
    }
}

/// A node of the model in the profile.
#[derive(Debug)]
struct Node {
    from: i128,
    to: i128,
    tid: i64,
    name: String,
    args: Args,
}

impl Node {
    /// On the trace's clock, inside the execution.
    fn on(&self, shift: i128, thread: usize, execution: &crate::Run) -> Operator {
        let at = |time: i128| {
            let at = u64::try_from((time + shift).max(0)).unwrap_or(u64::MAX);
            Nanos(at.clamp(execution.from.0, execution.to.0))
        };
        Operator {
            name: self.name.clone(),
            op: self.args.op_name.clone(),
            provider: self.args.provider.clone(),
            thread: u32::try_from(thread).unwrap_or(u32::MAX),
            from: at(self.from),
            to: at(self.to),
        }
    }
}

/// The runs and the nodes, each in the order of their beginnings.
fn split(events: Vec<Event>) -> (Vec<Run>, Vec<Node>) {
    let (mut runs, mut nodes) = (Vec::new(), Vec::new());
    for event in events {
        let from = i128::from(event.ts) * RESOLUTION;
        let (to, tid) = (from + i128::from(event.dur) * RESOLUTION, event.tid);
        if event.cat == "Session" && event.name == "model_run" {
            runs.push(Run { from, to, tid });
        } else if event.cat == "Node" {
            let name = event.name.strip_suffix("_kernel_time").map(str::to_owned).unwrap_or(event.name);
            nodes.push(Node { from, to, tid, name, args: event.args });
        }
    }
    runs.sort_by_key(|run| (run.from, run.to));
    nodes.sort_by_key(|node| (node.from, std::cmp::Reverse(node.to)));
    (runs, nodes)
}
