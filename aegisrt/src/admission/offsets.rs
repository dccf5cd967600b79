//! What known offsets show, in words and for programs: who decided, what it rests on, and what they do not help with.
use super::bounds::milliseconds;
use super::{Admission, PartitionAnswer};
use aegis_analysis::Theorem;
use aegis_analysis::jobs::{AtOffsets, Method, OffsetBound, Undecided};
use aegis_core::Nanos;
use serde_json::{Value, json};

/// What every answer at offsets rests on.
const ASSUMES: &str = "every task arrives at its offset and then exactly every period. The dispatcher releases so what states \
                       `period`, not `min_inter_arrival`; but `aegis run` starts only what fits at any time";

/// What decided, and how much was looked at.
pub(super) fn decided_by(found: &AtOffsets) -> String {
    let jobs = found.jobs.set.jobs().len();
    let bounds = match (found.answer.method, found.answer.exact) {
        (Method::Schedules, true) => "each worst response is attained",
        (Method::Schedules, false) => "responses are bounds, not all attained",
        (Method::Hull, _) => "too many to look at each: responses are safe bounds from states taken together",
        _ => "too many to look at each: responses are safe bounds from busy windows",
    };
    let states = found.answer.exploration.states;
    format!("every schedule at the stated offsets ({jobs} jobs, {states} states; {bounds})")
}

/// `camera: responds in 5 to 12.5 ms`
pub(super) fn responses(task: &str, bound: &OffsetBound) -> String {
    format!("{task}: responds in {} to {} ms", milliseconds(bound.best), milliseconds(bound.worst))
}

/// What the reader has to know besides the verdict: one line each, without indentation.
pub(super) fn notes(admission: &Admission, answer: &PartitionAnswer) -> Vec<String> {
    match &answer.offsets {
        None => Vec::new(),
        Some(Err(why)) => vec![format!("the stated offsets do not decide otherwise: {why}")],
        Some(Ok(found)) if found.admitted => {
            let reason = answer.at_any_time.as_ref().and_then(|verdict| verdict.rejections.first());
            let because =
                reason.map_or_else(String::new, |reason| format!(": {}", reason.sentence(&answer.set)));
            vec![
                format!("assumes that {ASSUMES}"),
                format!("arrivals at any other time may miss a deadline{because}"),
            ]
        }
        Some(Ok(found)) => {
            let mut lines = vec![at_the_offsets_too(admission, found)];
            lines.extend(found.tasks.iter().map(|bound| {
                let mark = if bound.worst <= bound.deadline { "meets" } else { "MISSES" };
                let name = &admission.system.tasks()[bound.task.index()].name;
                format!("  {} {mark}", responses(name, bound))
            }));
            lines
        }
    }
}

/// The job that misses although the offsets are kept to.
fn at_the_offsets_too(admission: &Admission, found: &AtOffsets) -> String {
    let told = found.late().map(|job| {
        let (origin, end) = (&found.jobs.origins[job], found.answer.completions.get(job));
        let name = &admission.system.tasks()[origin.task.index()].name;
        let deadline = found.jobs.set.jobs()[job].deadline;
        let ends = end.map_or_else(String::new, |end| {
            format!(" ends {} ms after its deadline", milliseconds(end.worst.saturating_sub(deadline)))
        });
        format!(
            ": in some schedule the job of {name} that arrives at {} ms{ends}",
            milliseconds(origin.arrival)
        )
    });
    format!("rejected at the stated offsets too{}", told.unwrap_or_default())
}

/// The same for programs; null where offsets were not looked at.
pub(super) fn value(answer: &PartitionAnswer) -> Value {
    match &answer.offsets {
        None => Value::Null,
        Some(Err(why)) => json!({ "outcome": "undecided", "why": why.to_string(), "code": code(why) }),
        Some(Ok(found)) => {
            let (jobs, explored) = (&found.jobs, &found.answer.exploration);
            json!({
                "outcome": if found.admitted { "meets" } else { "misses" },
                "assumes": ASSUMES,
                "hyperperiod_ns": jobs.hyperperiod.0,
                "jobs": jobs.set.jobs().len(),
                "states": explored.states,
                "bounds": found.answer.method.code(),
                "exact": found.answer.exact,
                "late": late(found),
            })
        }
    }
}

fn late(found: &AtOffsets) -> Value {
    found.late().map_or(Value::Null, |job| {
        json!({
            "arrival_ns": found.jobs.origins[job].arrival.0,
            "deadline_ns": found.jobs.set.jobs()[job].deadline.0,
            "worst_completion_ns": found.answer.completions.get(job).map(|end| end.worst.0),
        })
    })
}

const fn code(why: &Undecided) -> &'static str {
    match why {
        Undecided::NotPeriodic(_) => "not_periodic",
        Undecided::GaveUp { .. } => "gave_up",
        Undecided::NoCut { .. } => "no_cut",
        _ => "not_attained",
    }
}

/// The responses of a task at the stated offsets, whatever decided.
pub(super) fn of_task(admission: &Admission, task: usize) -> Option<&OffsetBound> {
    let partition = admission.system.tasks()[task].partition;
    let answer = admission.partitions.iter().find(|answer| answer.partition == partition)?;
    let found = answer.offsets.as_ref()?.as_ref().ok()?;
    found.tasks.iter().find(|bound| bound.task.index() == task)
}

/// The column of offsets, where they decided.
pub(super) fn column(admission: &Admission, answer: &PartitionAnswer) -> Option<Vec<Nanos>> {
    let stated = admission.system.on(answer.partition).map(|(_, task)| task.offset.unwrap_or_default());
    (answer.theorem == Theorem::Offsets).then(|| stated.collect())
}
