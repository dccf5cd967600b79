//! `aegis admit --tasks FILE.json`: task sets without models, and verdicts as JSON.
use crate::Error;
use crate::diagnostic::{SourceError, in_words, read_text};
use aegis_analysis::remedy::Remedy;
use aegis_core::{Nanos, Overheads, Policy, Priority, TaskDraft, TaskSet, TaskSetError, Verdict};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::ops::Range;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSet<'a> {
    policy: RawPolicy,
    /// The text of each task, so that errors which show later can point at it.
    #[serde(borrow)]
    tasks: Vec<&'a RawValue>,
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
/// [`SourceError`] with line and column where the text is not what it should be.
pub fn read(path: &Path, policy: Option<Policy>) -> Result<TaskSet, SourceError> {
    let text = read_text(path, "task set")?;
    parse(&text, policy).map_err(|(span, message)| SourceError::placed(path, text.clone(), span, message))
}

type Misplaced = (Range<usize>, String);

fn parse(text: &str, policy: Option<Policy>) -> Result<TaskSet, Misplaced> {
    let raw: RawSet<'_> = part(text, text)?;
    let mut drafts = Vec::with_capacity(raw.tasks.len());
    for json in &raw.tasks {
        let task: RawTask = part(text, json.get())?;
        let segments = match (task.c_ns, task.segments_ns) {
            (Some(c), None) => vec![Nanos(c)],
            (None, Some(segments)) => segments.into_iter().map(Nanos).collect(),
            (given, _) => {
                let what = if given.is_some() { "both `c_ns` and" } else { "neither `c_ns` nor" };
                let message = format!("task `{}` states {what} `segments_ns`; state one", task.name);
                return Err((place(text, json.get()), message));
            }
        };
        drafts.push(TaskDraft {
            name: task.name,
            segments,
            arrival: Nanos(task.t_ns).into(),
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
        ..Overheads::default()
    };
    TaskSet::new(policy.unwrap_or(stated), overheads, drafts).map_err(|error| {
        let task = index(&error).and_then(|i| raw.tasks.get(i));
        (task.map_or(0..0, |json| place(text, json.get())), error.to_string())
    })
}

/// Reads `json`, which is a part of `text`.
fn part<'a, T: Deserialize<'a>>(text: &str, json: &'a str) -> Result<T, Misplaced> {
    serde_json::from_str(json).map_err(|error| {
        let message = error.to_string();
        let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
        let start = place(text, json).start;
        let token = token(json, error.line(), error.column());
        (start + token.start..start + token.end, in_words(what, "an object"))
    })
}

/// Where `json`, a part of `text`, stands in it.
fn place(text: &str, json: &str) -> Range<usize> {
    let start = json.as_ptr().addr() - text.as_ptr().addr();
    start..start + json.len()
}

/// The token that ends at a line and column, which `serde_json` counts in bytes from 1.
fn token(text: &str, line: usize, column: usize) -> Range<usize> {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = text.floor_char_boundary(start + column);
    let before = text[start..end].trim_end();
    let length = if let Some(open) = before.strip_suffix('"') {
        open.rfind('"').map_or(1, |quote| before.len() - quote)
    } else {
        let word = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "+-.".contains(c));
        (before.len() - word.len()).max(before.chars().next_back().map_or(0, char::len_utf8))
    };
    let end = start + before.len();
    end - length..end
}

fn index(error: &TaskSetError) -> Option<usize> {
    match error {
        TaskSetError::DuplicateName { index, .. }
        | TaskSetError::EmptyName { index }
        | TaskSetError::Zero { index, .. }
        | TaskSetError::NoSegments { index, .. }
        | TaskSetError::MissingPriority { index, .. }
        | TaskSetError::Overflow { index, .. } => Some(*index),
        _ => None,
    }
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
