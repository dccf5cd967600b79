//! Task sets in the shape of POET's YAML files (Maida, Bozhko, Brandenburg, ECRTS 2022; its README describes them):
//! `scheduling policy`, `preemption model`, `task set` of `id`, `worst-case execution time`, `arrival curve` or `period` or
//! `min interarrival`, `deadline`, `priority`.
//!
//! Its times have no unit: one is read as one nanosecond. Its priorities are the more urgent the larger they are.
//! Tasks get the names that POET gives them, `tsk01` for `id: 1`.
use super::yaml::{Node, Value, read};
use super::{Misplaced, blamed};
use aegis_core::{
    ArrivalCurve, ArrivalLaw, Nanos, Overheads, Partition, Policy, Priority, Segment, System, SystemTask,
};
use std::ops::Range;

/// A task whose priority is POET's.
struct Stated {
    place: Range<usize>,
    task: SystemTask,
    priority: Option<i64>,
}

pub(super) fn parse(text: &str, policy: Option<Policy>) -> Result<System, Misplaced> {
    let file = read(text)?;
    let [stated, preemption, tasks] =
        fields(&file, "the file", &["scheduling policy", "preemption model", "task set"])?;
    let stated_policy = scheduling_policy(required(&file, stated, "scheduling policy")?)?;
    non_preemptive(required(&file, preemption, "preemption model")?)?;
    let tasks = list(required(&file, tasks, "task set")?)?;
    let policy = policy.unwrap_or(stated_policy);
    let tasks = tasks.iter().map(task).collect::<Result<Vec<_>, _>>()?;
    if let (Policy::FixedPriority, Some(without)) =
        (stated_policy, tasks.iter().find(|task| task.priority.is_none()))
    {
        let message = format!("task `{}` states no `priority`, which FP needs; add it", without.task.name);
        return Err((without.place.clone(), message));
    }
    system(policy, &tasks)
}

fn system(policy: Policy, tasks: &[Stated]) -> Result<System, Misplaced> {
    // The largest priority there becomes 0 here, the next 1; only if all state one, as POET's EDF files need not.
    let mut levels: Vec<i64> = tasks.iter().filter_map(|task| task.priority).collect();
    let all = levels.len() == tasks.len();
    levels.sort_unstable_by_key(|level| core::cmp::Reverse(*level));
    levels.dedup();
    let rank = |level: i64| levels.iter().position(|other| *other == level);
    let ranked = tasks.iter().map(|task| SystemTask {
        priority: task
            .priority
            .filter(|_| all)
            .and_then(rank)
            .and_then(|rank| u32::try_from(rank).ok())
            .map(Priority),
        ..task.task.clone()
    });
    let partition = Partition {
        name: "device".to_owned(),
        policy,
        overheads: Overheads::default(),
        interference_permille: 1000,
    };
    if tasks.is_empty() {
        return Err((0..0, aegis_core::TaskSetError::Empty.to_string()));
    }
    System::new(vec![partition], ranked.collect(), vec![]).map_err(|error| {
        let at = blamed(&error, tasks.iter().map(|task| task.task.name.as_str()));
        (at.and_then(|i| tasks.get(i)).map_or(0..0, |task| task.place.clone()), error.to_string())
    })
}

fn scheduling_policy(node: &Node) -> Result<Policy, Misplaced> {
    match word(node)? {
        "FP" | "fixed-priority" => Ok(Policy::FixedPriority),
        "EDF" | "earliest-deadline-first" => Ok(Policy::Edf),
        other => Err((
            node.place.clone(),
            format!(
                "`{other}` is not known here; write one of: `FP`, `fixed-priority`, `EDF`, `earliest-deadline-first`"
            ),
        )),
    }
}

fn non_preemptive(node: &Node) -> Result<(), Misplaced> {
    let message = match word(node)? {
        "NP" | "non-preemptive" => return Ok(()),
        "FP" | "fully-preemptive" => {
            "this task set is preemptive; jobs on a device are not: bounds hold for `NP` only".to_owned()
        }
        other => format!("`{other}` is not known here; write one of: `NP`, `non-preemptive`"),
    };
    Err((node.place.clone(), message))
}

fn task(node: &Node) -> Result<Stated, Misplaced> {
    let keys = [
        "id",
        "worst-case execution time",
        "arrival curve",
        "period",
        "min interarrival",
        "deadline",
        "priority",
    ];
    let [id, wcet, curve, period, gap, deadline, priority] = fields(node, "a task", &keys)?;
    let name = format!("tsk{:02}", number::<u64>(required(node, id, "id")?)?);
    let wcet = Nanos(number(required(node, wcet, "worst-case execution time")?)?);
    let deadline = Nanos(number(required(node, deadline, "deadline")?)?);
    let arrival = match (curve, period, gap) {
        (Some(curve), None, None) => arrival_curve(curve)?,
        (None, Some(time), None) | (None, None, Some(time)) => Nanos(number(time)?).into(),
        (given, ..) => {
            let stated = [curve, period, gap].iter().flatten().count();
            let what = if given.is_none() && stated == 0 { "none" } else { "more than one" };
            let message = format!(
                "task `{name}` states {what} of `period`, `min interarrival` and `arrival curve`; state one"
            );
            return Err((node.place.clone(), message));
        }
    };
    let priority = priority.map(number::<i64>).transpose()?;
    let task = SystemTask {
        name,
        segments: vec![Segment::of(wcet)],
        arrival,
        deadline: Some(deadline),
        ..SystemTask::default()
    };
    Ok(Stated { place: node.place.clone(), task, priority })
}

/// `[horizon, [[window, jobs], …]]`.
fn arrival_curve(node: &Node) -> Result<ArrivalLaw, Misplaced> {
    let [horizon, steps] = pair(node, "[horizon, list of steps]")?;
    let mut read = Vec::new();
    for step in list(steps)? {
        let [window, jobs] = pair(step, "[window, jobs]")?;
        read.push((Nanos(number(window)?), number(jobs)?));
    }
    let curve = ArrivalCurve::new(Nanos(number(horizon)?), read);
    curve.map(ArrivalLaw::from).map_err(|error| (node.place.clone(), error.to_string()))
}

/// The values of `keys` in a map, in their order; every other key and every repetition is refused.
fn fields<'a, const N: usize>(
    node: &'a Node,
    what: &str,
    keys: &[&str; N],
) -> Result<[Option<&'a Node>; N], Misplaced> {
    let Value::Map(entries) = &node.value else {
        return Err((
            node.place.clone(),
            format!("expected {what} as `key: value` lines, found {}", kind(node)),
        ));
    };
    let mut found = [None; N];
    for (key, value) in entries {
        let name = word(key)?;
        let Some(i) = keys.iter().position(|known| *known == name) else {
            let known = keys.map(|key| format!("`{key}`")).join(", ");
            return Err((key.place.clone(), format!("unknown key `{name}`; known here: {known}")));
        };
        if found[i].replace(value).is_some() {
            return Err((key.place.clone(), format!("`{name}` is stated twice; keep one")));
        }
    }
    Ok(found)
}

fn required<'a>(node: &Node, field: Option<&'a Node>, key: &str) -> Result<&'a Node, Misplaced> {
    field.ok_or_else(|| (node.place.clone(), format!("`{key}` is missing; add it")))
}

fn list(node: &Node) -> Result<&[Node], Misplaced> {
    match &node.value {
        Value::List(items) => Ok(items),
        _ => Err((node.place.clone(), format!("expected a list, found {}", kind(node)))),
    }
}

fn pair<'a>(node: &'a Node, what: &str) -> Result<[&'a Node; 2], Misplaced> {
    match list(node)? {
        [first, second] => Ok([first, second]),
        items => {
            Err((node.place.clone(), format!("expected {what}, found a list of {} values", items.len())))
        }
    }
}

fn word(node: &Node) -> Result<&str, Misplaced> {
    match &node.value {
        Value::Scalar { text, .. } => Ok(text),
        _ => Err((node.place.clone(), format!("expected a word, found {}", kind(node)))),
    }
}

/// A whole number that `T` holds.
fn number<T: std::str::FromStr>(node: &Node) -> Result<T, Misplaced> {
    match &node.value {
        Value::Scalar { text, quoted: false } => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| (node.place.clone(), format!("expected a whole number, found {}", kind(node))))
}

fn kind(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, .. } if text.is_empty() => "nothing".to_owned(),
        Value::Scalar { text, .. } => format!("`{text}`"),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "`key: value` lines".to_owned(),
    }
}
