//! The JSON of `--tasks FILE`, as `schema/tasks.schema.json` documents it, with the place of every mistake.
use super::{Misplaced, blamed, stalled};
use crate::diagnostic::in_words;
use aegis_core::{
    ArrivalCurve, ArrivalLaw, Chain, Criticality, HostPart, Nanos, Overheads, Partition, PartitionId, Policy,
    Priority, Segment, Stall, System, SystemError, SystemTask, TaskId, TaskSetError, Trigger,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::ops::Range;

/// The file. The text of each part is kept, so that errors which show later can point at it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile<'a> {
    policy: Option<RawPolicy>,
    #[serde(borrow)]
    tasks: Vec<&'a RawValue>,
    #[serde(borrow)]
    overheads: Option<&'a RawValue>,
    #[serde(borrow)]
    partitions: Option<Vec<&'a RawValue>>,
    #[serde(default, borrow)]
    chains: Vec<&'a RawValue>,
    #[serde(default)]
    #[expect(dead_code, reason = "accepted so that files may state it")]
    schema_version: Option<u32>,
    #[serde(default, rename = "$schema")]
    #[expect(dead_code, reason = "accepted so that editors find the schema")]
    schema: Option<String>,
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

impl From<RawPolicy> for Policy {
    fn from(raw: RawPolicy) -> Self {
        match raw {
            RawPolicy::Edf => Self::Edf,
            RawPolicy::FixedPriority => Self::FixedPriority,
            RawPolicy::Fifo => Self::Fifo,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawOverheads {
    #[serde(rename = "release_ns")]
    release: u64,
    #[serde(rename = "dispatch_ns")]
    dispatch: u64,
    #[serde(rename = "launch_ns")]
    launch: u64,
    #[serde(rename = "copy_ns")]
    copy: u64,
    #[serde(rename = "completion_ns")]
    completion: u64,
    recovery: RawStall,
    clock_change: RawStall,
    reload: RawStall,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawStall {
    #[serde(rename = "length_ns")]
    length: u64,
    #[serde(rename = "gap_ns")]
    gap: u64,
}

impl From<RawStall> for Stall {
    fn from(raw: RawStall) -> Self {
        Self { length: Nanos(raw.length), gap: Nanos(raw.gap) }
    }
}

impl From<RawOverheads> for Overheads {
    fn from(raw: RawOverheads) -> Self {
        Self {
            release: Nanos(raw.release),
            dispatch: Nanos(raw.dispatch),
            launch: Nanos(raw.launch),
            copy: Nanos(raw.copy),
            completion: Nanos(raw.completion),
            recovery: raw.recovery.into(),
            clock_change: raw.clock_change.into(),
            reload: raw.reload.into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPartition<'a> {
    name: String,
    policy: Option<RawPolicy>,
    #[serde(borrow)]
    overheads: Option<&'a RawValue>,
    interference_permille: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTask<'a> {
    name: String,
    c_ns: Option<u64>,
    segments_ns: Option<Vec<u64>>,
    segments: Option<Vec<RawSegment>>,
    #[serde(default)]
    host: Vec<RawHostPart>,
    t_ns: Option<u64>,
    #[serde(borrow)]
    arrival: Option<&'a RawValue>,
    d_ns: Option<u64>,
    #[serde(default)]
    j_ns: u64,
    offset_ns: Option<u64>,
    priority: Option<u32>,
    #[serde(borrow)]
    partition: Option<&'a RawValue>,
    #[serde(default)]
    criticality: RawCriticality,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSegment {
    #[serde(rename = "wcet_ns")]
    wcet: u64,
    #[serde(default, rename = "bcet_ns")]
    bcet: u64,
    #[serde(rename = "wcet_hi_ns")]
    wcet_hi: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHostPart {
    #[serde(default, rename = "min_ns")]
    min: u64,
    #[serde(rename = "max_ns")]
    max: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArrival {
    #[serde(rename = "horizon_ns")]
    horizon: u64,
    steps: Vec<(u64, u64)>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum RawCriticality {
    Low,
    #[default]
    High,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChain<'a> {
    name: String,
    #[serde(borrow)]
    tasks: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    edges: Option<Vec<(&'a RawValue, &'a RawValue)>>,
    #[serde(default)]
    trigger: RawTrigger,
    deadline_ns: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum RawTrigger {
    #[default]
    Event,
    Time,
}

pub(super) fn parse(text: &str, policy: Option<Policy>) -> Result<System, Misplaced> {
    let file: RawFile<'_> = part(text, text)?;
    let (partitions, overheads): (Vec<Partition>, Vec<_>) =
        partitions(text, &file, policy)?.into_iter().unzip();
    let by_name = |name: &str| partitions.iter().position(|partition| partition.name == name);
    let mut tasks = Vec::with_capacity(file.tasks.len());
    for json in &file.tasks {
        tasks.push(task(text, json, partitions.len(), by_name)?);
    }
    if tasks.is_empty() {
        return Err((0..0, TaskSetError::Empty.to_string()));
    }
    let mut positions = BTreeMap::new();
    for (i, task) in tasks.iter().enumerate() {
        positions.entry(task.name.as_str()).or_insert(TaskId::from(i));
    }
    let chains = file.chains.iter().map(|json| chain(text, json, &positions));
    let chains = chains.collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = tasks.iter().map(|task| task.name.clone()).collect();
    System::new(partitions.clone(), tasks, chains.clone()).map_err(|error| {
        let json = match &error {
            SystemError::Name { what: "chain", name, .. } => {
                last_of(&file.chains, chains.iter().map(|chain| &chain.name), name)
            }
            SystemError::Name { name, .. } => file
                .partitions
                .as_ref()
                .and_then(|jsons| last_of(jsons, partitions.iter().map(|partition| &partition.name), name)),
            _ => blamed(&error, names.iter().map(String::as_str))
                .and_then(|i| file.tasks.get(i).copied())
                .or_else(|| overheads[stalled(&error, &partitions)?]),
        };
        (json.map_or(0..0, |json| place(text, json.get())), error.to_string())
    })
}

/// The part whose name is `name`, the last of several: the one that repeats it.
fn last_of<'a, 'n>(
    jsons: &[&'a RawValue],
    names: impl DoubleEndedIterator<Item = &'n String> + ExactSizeIterator,
    name: &str,
) -> Option<&'a RawValue> {
    jsons.iter().zip(names).rev().find(|(_, given)| *given == name).map(|(json, _)| *json)
}

/// A partition and where its overheads are stated.
type Stated<'a> = (Partition, Option<&'a RawValue>);

/// The partitions, or the one that a file without any describes at its top.
fn partitions<'a>(
    text: &str,
    file: &RawFile<'a>,
    policy: Option<Policy>,
) -> Result<Vec<Stated<'a>>, Misplaced> {
    let overheads = |json: Option<&RawValue>, otherwise: Overheads| {
        json.map_or(Ok(otherwise), |json| part::<RawOverheads>(text, json.get()).map(Overheads::from))
    };
    let common = overheads(file.overheads, Overheads::default())?;
    let stated = file.policy.map(Policy::from);
    let Some(jsons) = &file.partitions else {
        let Some(policy) = policy.or(stated) else {
            return Err((
                end(text),
                "`policy` is missing; add it, for the file or for each partition".to_owned(),
            ));
        };
        let name = "device".to_owned();
        let only = Partition { name, policy, overheads: common, interference_permille: 1000 };
        return Ok(vec![(only, file.overheads)]);
    };
    let mut partitions = Vec::with_capacity(jsons.len());
    for json in jsons {
        let raw: RawPartition<'_> = part(text, json.get())?;
        let Some(policy) = policy.or(raw.policy.map(Policy::from)).or(stated) else {
            let message =
                format!("partition `{}` states no `policy`, and neither does the file; add one", raw.name);
            return Err((place(text, json.get()), message));
        };
        if raw.name.is_empty() {
            return Err((place(text, json.get()), "a partition has an empty name; give it one".to_owned()));
        }
        let partition = Partition {
            name: raw.name,
            policy,
            overheads: overheads(raw.overheads, common)?,
            interference_permille: raw.interference_permille.unwrap_or(1000),
        };
        partitions.push((partition, raw.overheads.or(file.overheads)));
    }
    if partitions.is_empty() {
        return Err((0..0, "`partitions` is empty; state at least one, or leave it out".to_owned()));
    }
    Ok(partitions)
}

fn task(
    text: &str,
    json: &RawValue,
    partitions: usize,
    by_name: impl Fn(&str) -> Option<usize>,
) -> Result<SystemTask, Misplaced> {
    let raw: RawTask<'_> = part(text, json.get())?;
    let wrong = |message: String| (place(text, json.get()), message);
    let segments = match (raw.c_ns, raw.segments_ns, raw.segments) {
        (Some(c), None, None) => vec![Segment::of(Nanos(c))],
        (None, Some(wcets), None) => wcets.into_iter().map(|c| Segment::of(Nanos(c))).collect(),
        (None, None, Some(segments)) => segments
            .into_iter()
            .map(|s| Segment { wcet: Nanos(s.wcet), bcet: Nanos(s.bcet), wcet_hi: s.wcet_hi.map(Nanos) })
            .collect(),
        (None, None, None) => {
            return Err(wrong(format!(
                "task `{}` states none of `c_ns`, `segments_ns` and `segments`; state one",
                raw.name
            )));
        }
        _ => {
            return Err(wrong(format!(
                "task `{}` states more than one of `c_ns`, `segments_ns` and `segments`; keep one",
                raw.name
            )));
        }
    };
    let arrival = match (raw.t_ns, raw.arrival) {
        (Some(t), None) => Nanos(t).into(),
        (None, Some(json)) => arrival(text, json)?,
        (given, _) => {
            let what = if given.is_some() { "both `t_ns` and" } else { "neither `t_ns` nor" };
            return Err(wrong(format!("task `{}` states {what} `arrival`; state one", raw.name)));
        }
    };
    let partition = match raw.partition {
        None if partitions > 1 => {
            return Err(wrong(format!(
                "task `{}` states no `partition`, and there are {partitions}; add one",
                raw.name
            )));
        }
        None => 0,
        Some(json) => {
            let name: String = part(text, json.get())?;
            by_name(&name).ok_or_else(|| {
                (place(text, json.get()), format!("no partition is named `{name}`; add it to `partitions`"))
            })?
        }
    };
    Ok(SystemTask {
        name: raw.name,
        segments,
        host: raw.host.iter().map(|part| HostPart { min: Nanos(part.min), max: Nanos(part.max) }).collect(),
        arrival,
        deadline: raw.d_ns.map(Nanos),
        jitter: Nanos(raw.j_ns),
        offset: raw.offset_ns.map(Nanos),
        priority: raw.priority.map(Priority),
        partition: PartitionId::from(partition),
        criticality: match raw.criticality {
            RawCriticality::Low => Criticality::Low,
            RawCriticality::High => Criticality::High,
        },
    })
}

fn arrival(text: &str, json: &RawValue) -> Result<ArrivalLaw, Misplaced> {
    let raw: RawArrival = part(text, json.get())?;
    let steps = raw.steps.into_iter().map(|(delta, count)| (Nanos(delta), count)).collect();
    let curve = ArrivalCurve::new(Nanos(raw.horizon), steps);
    curve.map(ArrivalLaw::from).map_err(|error| (place(text, json.get()), error.to_string()))
}

fn chain(text: &str, json: &RawValue, positions: &BTreeMap<&str, TaskId>) -> Result<Chain, Misplaced> {
    let raw: RawChain<'_> = part(text, json.get())?;
    let wrong = |message: String| (place(text, json.get()), message);
    let named = |json: &RawValue| {
        let name: String = part(text, json.get())?;
        let unknown =
            || (place(text, json.get()), format!("chain `{}`: no task is named `{name}`", raw.name));
        positions.get(name.as_str()).copied().ok_or_else(unknown)
    };
    if raw.name.is_empty() {
        return Err(wrong("a chain has an empty name; give it one".to_owned()));
    }
    let edges = match (raw.tasks, raw.edges) {
        (Some(tasks), None) => {
            let tasks = tasks.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
            if tasks.len() < 2 {
                return Err(wrong(format!("chain `{}` needs at least two tasks", raw.name)));
            }
            tasks.windows(2).map(|pair| (pair[0], pair[1])).collect()
        }
        (None, Some(edges)) => {
            let pairs = edges.into_iter().map(|(from, to)| Ok((named(from)?, named(to)?)));
            pairs.collect::<Result<Vec<_>, Misplaced>>()?
        }
        (given, _) => {
            let what = if given.is_some() { "both `tasks` and" } else { "neither `tasks` nor" };
            return Err(wrong(format!("chain `{}` states {what} `edges`; state one", raw.name)));
        }
    };
    let trigger = match raw.trigger {
        RawTrigger::Event => Trigger::Event,
        RawTrigger::Time => Trigger::Time,
    };
    Ok(Chain { name: raw.name, edges, trigger, deadline: raw.deadline_ns.map(Nanos) })
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

/// The last bracket of `text`: where something is missing.
fn end(text: &str) -> Range<usize> {
    let end = text.trim_end().len();
    end.saturating_sub(1)..end
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
