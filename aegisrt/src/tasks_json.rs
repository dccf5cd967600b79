//! `aegis admit --tasks FILE.json`: task sets without models, and verdicts as JSON.
use crate::Error;
use crate::diagnostic::SourceError;
use aegis_core::{Nanos, Overheads, Policy, Priority, TaskDraft, TaskSet, Verdict};
use aegis_sched::analysis::remedy::Remedy;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSet {
    policy: RawPolicy,
    tasks: Vec<RawTask>,
    #[serde(default)]
    overheads: RawOverheads,
    #[serde(default)]
    #[expect(dead_code, reason = "accepted so that files may state it")]
    schema_version: Option<u32>,
}

#[derive(Deserialize, Clone, Copy)]
enum RawPolicy {
    #[serde(rename = "np-edf", alias = "edf")]
    Edf,
    #[serde(rename = "np-fp", alias = "fixed-priority")]
    FixedPriority,
    #[serde(rename = "fifo", alias = "np-fifo")]
    Fifo,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawOverheads {
    #[serde(default, rename = "release_ns")]
    release: u64,
    #[serde(default, rename = "dispatch_ns")]
    dispatch: u64,
    #[serde(default, rename = "completion_ns")]
    completion: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTask {
    name: String,
    c_ns: Option<u64>,
    segments_ns: Option<Vec<u64>>,
    t_ns: u64,
    d_ns: Option<u64>,
    #[serde(default)]
    j_ns: u64,
    priority: Option<u32>,
}

/// Reads a task set; `policy` overrides the one in the file.
///
/// # Errors
/// [`SourceError`] with line and column where the text is not what it should be, or with the task's name.
pub fn read(path: &Path, policy: Option<Policy>) -> Result<TaskSet, SourceError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| SourceError::unplaced(path, format!("cannot read the task set: {error}")))?;
    let raw: RawSet = serde_json::from_str(&text).map_err(|error| {
        let at = offset(&text, error.line(), error.column());
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what).to_owned();
        SourceError::placed(path, text.clone(), at..at, message)
    })?;
    let mut drafts = Vec::with_capacity(raw.tasks.len());
    for task in raw.tasks {
        let segments = match (task.c_ns, task.segments_ns) {
            (Some(c), None) => vec![Nanos(c)],
            (None, Some(segments)) => segments.into_iter().map(Nanos).collect(),
            (given, _) => {
                let what = if given.is_some() { "both `c_ns` and" } else { "neither `c_ns` nor" };
                let name = task.name;
                return Err(SourceError::unplaced(
                    path,
                    format!("task `{name}` states {what} `segments_ns`; state one"),
                ));
            }
        };
        drafts.push(TaskDraft {
            name: task.name,
            segments,
            period: Nanos(task.t_ns),
            deadline: task.d_ns.map(Nanos),
            jitter: Nanos(task.j_ns),
            priority: task.priority.map(Priority),
        });
    }
    let stated = match raw.policy {
        RawPolicy::Edf => Policy::Edf,
        RawPolicy::FixedPriority => Policy::FixedPriority,
        RawPolicy::Fifo => Policy::Fifo,
    };
    let overheads = Overheads {
        release: Nanos(raw.overheads.release),
        dispatch: Nanos(raw.overheads.dispatch),
        completion: Nanos(raw.overheads.completion),
    };
    TaskSet::new(policy.unwrap_or(stated), overheads, drafts)
        .map_err(|error| SourceError::unplaced(path, error.to_string()))
}

/// Byte offset of a line and column counted from 1, in bytes as `serde_json` counts them.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut at = (start + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The verdict in the documented JSON shape. The terms of a task add up to its `wcrt_ns`.
#[must_use]
pub fn verdict(set: &TaskSet, verdict: &Verdict, remedies: &[Remedy]) -> Value {
    let name = |id: aegis_core::TaskId| set.get(id).map(|t| t.name.clone());
    let tasks: Vec<Value> = verdict
        .tasks
        .iter()
        .map(|task| {
            let bound = task.bound.as_ref();
            let terms: Vec<Value> = bound
                .into_iter()
                .flat_map(|b| &b.terms)
                .map(|term| {
                    let mut value = json!({ "kind": term.kind.name(), "ns": term.ns });
                    if let Some(by) = term.by.and_then(name) {
                        value["task"] = by.into();
                    }
                    value
                })
                .collect();
            let slack = bound.map(|b| i128::from(task.deadline.0) - i128::from(b.wcrt.0));
            json!({
                "name": name(task.task),
                "schedulable": task.schedulable(),
                "wcrt_ns": bound.map(|b| b.wcrt.0),
                "deadline_ns": task.deadline.0,
                "slack_ns": slack.and_then(|s| i64::try_from(s).ok()),
                "busy_period_ns": bound.map(|b| b.busy_period.0),
                "job": bound.map(|b| b.job),
                "terms": terms,
            })
        })
        .collect();
    let reasons: Vec<Value> =
        verdict.rejections.iter().map(|r| json!({ "code": r.code(), "message": r.sentence(set) })).collect();
    let remedies: Vec<String> = remedies.iter().map(|r| r.sentence(set)).collect();
    json!({
        "schema_version": 1,
        "policy": verdict.policy.name(),
        "admitted": verdict.admitted(),
        "tasks": tasks,
        "reasons": reasons,
        "would_fit": remedies,
    })
}

/// [`read`] as a stage.
///
/// # Errors
/// [`Error::Source`].
pub fn open(path: &Path, policy: Option<Policy>) -> Result<TaskSet, Error> {
    read(path, policy).map_err(Error::Source)
}
