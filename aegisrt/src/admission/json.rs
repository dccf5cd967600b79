//! The answer of admission for programs, in the shape that `schema/verdict.schema.json` documents.
use super::{Admission, PartitionAnswer, load_ppm};
use crate::assurance::Statement;
use aegis_analysis::utilisation;
use aegis_core::{SystemTask, TaskId, TaskVerdict, Term};
use serde_json::{Value, json};

/// The whole answer. The terms of a task add up to its `wcrt_ns`.
pub(crate) fn value(admission: &Admission) -> Value {
    let answers = &admission.partitions;
    let policies = answers.iter().map(|answer| answer.verdict.policy);
    let policy = policies.clone().next().filter(|first| policies.clone().all(|policy| policy == *first));
    let mut tasks: Vec<Value> = vec![Value::Null; admission.system.tasks().len()];
    for answer in answers {
        let ids = admission.system.on(answer.partition);
        for ((id, stated), verdict) in ids.zip(&answer.verdict.tasks) {
            tasks[id.index()] = task(admission, answer, stated, verdict);
        }
    }
    let reasons = answers.iter().flat_map(|answer| reasons(admission, answer));
    let would_fit = answers.iter().flat_map(|answer| answer.remedies.iter().map(|r| r.sentence(&answer.set)));
    let statement = admission.statement.as_ref();
    json!({
        "schema_version": 1,
        "policy": policy.map(|policy| policy.name()),
        "admitted": admission.admitted(),
        "tasks": tasks,
        "reasons": reasons.collect::<Vec<_>>(),
        "would_fit": would_fit.collect::<Vec<_>>(),
        "confidence": statement.map_or(Value::Null, Statement::value),
        "partitions": answers.iter().map(|answer| partition(admission, answer)).collect::<Vec<_>>(),
    })
}

fn partition_name<'a>(admission: &'a Admission, answer: &PartitionAnswer) -> &'a str {
    &admission.system.partitions()[answer.partition.index()].name
}

fn partition(admission: &Admission, answer: &PartitionAnswer) -> Value {
    let stated = &admission.system.partitions()[answer.partition.index()];
    json!({
        "name": stated.name,
        "policy": answer.verdict.policy.name(),
        "admitted": answer.verdict.admitted(),
        "decided_by": answer.verdict.decided_by.name(),
        "utilisation_ppm": utilisation::parts_per_million(&answer.set),
        "interference_permille": stated.interference_permille,
    })
}

fn task(
    admission: &Admission,
    answer: &PartitionAnswer,
    stated: &SystemTask,
    verdict: &TaskVerdict,
) -> Value {
    let task = &answer.set.tasks()[verdict.task.index()];
    let bound = verdict.bound.as_ref();
    let slack = bound.map(|b| i128::from(task.deadline.0) - i128::from(b.wcrt.0));
    json!({
        "name": stated.name,
        "partition": partition_name(admission, answer),
        "schedulable": verdict.schedulable(),
        "wcet_ns": task.wcet().0,
        "period_ns": task.arrival.period().map(|period| period.0),
        "deadline_ns": task.deadline.0,
        "jitter_ns": task.jitter.0,
        "priority": task.priority.0,
        "utilisation_ppm": load_ppm(&answer.set, task),
        "wcrt_ns": bound.map(|b| b.wcrt.0),
        "slack_ns": slack.and_then(|s| i64::try_from(s).ok()),
        "busy_period_ns": bound.map(|b| b.busy_period.0),
        "job": bound.map(|b| b.job),
        "terms": bound.into_iter().flat_map(|b| &b.terms).map(|t| term(answer, t)).collect::<Vec<_>>(),
    })
}

fn term(answer: &PartitionAnswer, term: &Term) -> Value {
    let mut value = json!({ "kind": term.kind.name(), "ns": term.ns });
    if let Some(by) = term.by.and_then(|by| name(answer, by)) {
        value["task"] = by.into();
    }
    value
}

fn reasons(admission: &Admission, answer: &PartitionAnswer) -> Vec<Value> {
    let rejections = answer.verdict.rejections.iter();
    let value = |rejection: &aegis_core::Rejection| {
        json!({
            "code": rejection.code(),
            "message": rejection.sentence(&answer.set),
            "partition": partition_name(admission, answer),
        })
    };
    rejections.map(value).collect()
}

fn name(answer: &PartitionAnswer, task: TaskId) -> Option<String> {
    answer.set.get(task).map(|task| task.name.clone())
}
