//! The answer of admission for programs, in the shape that `schema/verdict.schema.json` documents.
use super::{Admission, PartitionAnswer, load_ppm, offsets};
use crate::assurance::Statement;
use aegis_analysis::conflict::Conflict;
use aegis_analysis::sensitivity::{Beyond, Edge, Margins, NoEdge};
use aegis_analysis::suspension::{PartBound, Rule};
use aegis_analysis::{ChainBound, ChainVerdict, SystemTaskVerdict, TaskBound, utilisation};
use aegis_core::{Bound, Nanos, PartitionId, Policy, SystemTask, TaskId, TaskSet, Term, Trigger};
use serde_json::{Value, json};

/// The whole answer. Where a task has terms, they add up to its `wcrt_ns`.
pub(crate) fn value(admission: &Admission) -> Value {
    let answers = &admission.partitions;
    let policies = admission.system.partitions().iter().map(|partition| partition.policy);
    let policy = policies.clone().next().filter(|first| policies.clone().all(|policy| policy == *first));
    let would_fit = answers.iter().flat_map(|answer| {
        let remedies = answer.plain.iter().flat_map(|plain| &plain.remedies);
        remedies.map(|remedy| remedy.sentence(&answer.set))
    });
    let statement = admission.statement.as_ref();
    json!({
        "schema_version": 1,
        "policy": policy.map(Policy::name),
        "admitted": admission.verdict.admitted(),
        "tasks": tasks(admission),
        "reasons": reasons(admission),
        "would_fit": would_fit.collect::<Vec<_>>(),
        "confidence": statement.map_or(Value::Null, Statement::value),
        "partitions": answers.iter().map(|answer| partition(admission, answer)).collect::<Vec<_>>(),
        "chains": admission.verdict.chains.iter().map(|chain| of_chain(admission, chain)).collect::<Vec<_>>(),
    })
}

fn partition_name(admission: &Admission, partition: PartitionId) -> &str {
    &admission.system.partitions()[partition.index()].name
}

fn partition(admission: &Admission, answer: &PartitionAnswer) -> Value {
    let stated = &admission.system.partitions()[answer.partition.index()];
    let verdicts = admission.system.on(answer.partition).map(|(id, _)| &admission.verdict.tasks[id.index()]);
    let conflict = answer.plain.as_ref().and_then(|plain| plain.conflict.as_ref());
    json!({
        "name": stated.name,
        "policy": stated.policy.name(),
        "admitted": match &answer.plain {
            Some(plain) => plain.verdict.admitted(),
            None => verdicts.into_iter().all(meets),
        },
        "theorem": answer.theorem.name(),
        "decided_by": answer.plain.as_ref().map(|plain| plain.verdict.decided_by.name()),
        "utilisation_ppm": utilisation::parts_per_million(&answer.set),
        "interference_permille": stated.interference_permille,
        "conflict": conflict.map(|conflict| conflicting(&answer.set, conflict)),
        "offsets": offsets::value(answer),
        "margins": answer.margins.as_ref().map(|margins| of_margins(&answer.set, margins)),
    })
}

fn meets(verdict: &SystemTaskVerdict) -> bool {
    verdict.wcrt.is_some_and(|wcrt| wcrt <= verdict.deadline)
}

fn tasks(admission: &Admission) -> Vec<Value> {
    let verdicts = admission.system.tasks().iter().zip(&admission.verdict.tasks);
    verdicts.map(|(stated, verdict)| task(admission, stated, verdict)).collect()
}

fn task(admission: &Admission, stated: &SystemTask, verdict: &SystemTaskVerdict) -> Value {
    let plain = match &verdict.bound {
        Ok(TaskBound::Plain(bound)) => Some(bound),
        _ => None,
    };
    let slack = verdict.wcrt.map(|wcrt| i128::from(verdict.deadline.0) - i128::from(wcrt.0));
    let mut value = json!({
        "name": stated.name,
        "partition": partition_name(admission, stated.partition),
        "schedulable": meets(verdict),
        "period_ns": stated.arrival.period().map(|period| period.0),
        "deadline_ns": verdict.deadline.0,
        "jitter_ns": stated.jitter.0,
        "wcrt_ns": verdict.wcrt.map(|wcrt| wcrt.0),
        "slack_ns": slack.and_then(|slack| i64::try_from(slack).ok()),
        "busy_period_ns": plain.map(|bound| bound.busy_period.0),
        "job": plain.map(|bound| bound.job),
        "terms": plain.map_or_else(Vec::new, |bound| terms(admission, bound)),
        "critical_gap_ns": gap(admission, verdict.task).map(|gap| gap.0),
    });
    if let Some(offset) = stated.offset {
        value["offset_ns"] = offset.0.into();
    }
    if let Some(bound) = offsets::of_task(admission, verdict.task.index()) {
        value["at_offset"] = json!({ "response_ns_min": bound.best.0, "response_ns_max": bound.worst.0 });
    }
    if let Some((set, task)) = taken(admission, verdict.task) {
        value["wcet_ns"] = task.wcet().0.into();
        value["priority"] = task.priority.0.into();
        value["utilisation_ppm"] = load_ppm(set, task).into();
    }
    match &verdict.bound {
        Ok(TaskBound::Suspending(response)) => {
            value["rule"] = match response.rule {
                Rule::Inherited => "inherited",
                Rule::Oblivious => "oblivious",
            }
            .into();
            value["parts"] = parts(admission, &response.parts);
        }
        Ok(TaskBound::Event(activation)) => {
            value["rule"] = "inherited".into();
            value["parts"] = parts(admission, &activation.parts);
            value["end_ns"] = activation.end.0.into();
        }
        Ok(TaskBound::Modes(modes)) => {
            value["wcrt_low_mode_ns"] = modes.low.as_ref().ok().map(|low| low.wcrt.0).into();
            value["wcrt_high_mode_ns"] = modes.high.and_then(Result::ok).map(|high| high.0).into();
        }
        Ok(TaskBound::Plain(_) | TaskBound::Offsets(_)) | Err(_) => {}
    }
    value
}

/// A task as the theorem of its partition took it.
fn taken(admission: &Admission, id: TaskId) -> Option<(&TaskSet, &aegis_core::Task)> {
    let (answer, at) = answer_of(admission, id)?;
    Some((&answer.set, &answer.set.tasks()[at]))
}

/// How far from its bound the latest known schedule of a task ends.
fn gap(admission: &Admission, id: TaskId) -> Option<Nanos> {
    let (answer, at) = answer_of(admission, id)?;
    answer.plain.as_ref()?.gaps[at]
}

/// The answer of a task's partition, and the task's position in that.
fn answer_of(admission: &Admission, id: TaskId) -> Option<(&PartitionAnswer, usize)> {
    let partition = admission.system.tasks()[id.index()].partition;
    let answer = admission.partitions.iter().find(|answer| answer.partition == partition)?;
    let at = admission.system.on(partition).position(|(other, _)| other == id)?;
    Some((answer, at))
}

fn parts(admission: &Admission, parts: &[PartBound]) -> Value {
    let part = |part: &PartBound| {
        json!({
            "offset_ns": part.offset.0,
            "jitter_ns": part.jitter.0,
            "wcrt_ns": part.bound.wcrt.0,
            "terms": terms(admission, &part.bound),
        })
    };
    parts.iter().map(part).collect()
}

fn terms(admission: &Admission, bound: &Bound) -> Vec<Value> {
    let term = |term: &Term| {
        let mut value = json!({ "kind": term.kind.name(), "ns": term.ns });
        if let Some(by) = term.by.and_then(|by| admission.system.tasks().get(by.index())) {
            value["task"] = by.name.clone().into();
        }
        value
    };
    bound.terms.iter().map(term).collect()
}

/// All reasons: those of plain theorems with their blame, then what only the whole system shows.
fn reasons(admission: &Admission) -> Vec<Value> {
    let of_plain = admission.partitions.iter().flat_map(|answer| {
        let rejections = answer.plain.iter().flat_map(|plain| &plain.verdict.rejections);
        rejections.map(|rejection| {
            json!({
                "code": rejection.code(),
                "message": rejection.sentence(&answer.set),
                "partition": partition_name(admission, answer.partition),
            })
        })
    });
    let of_system = admission.only_in_system().map(|rejection| {
        json!({ "code": rejection.code(), "message": rejection.sentence(&admission.system), "partition": null })
    });
    of_plain.chain(of_system).collect()
}

fn conflicting(set: &TaskSet, conflict: &Conflict) -> Value {
    let name = |task: &TaskId| set.get(*task).map(|task| task.name.as_str());
    json!({
        "tasks": conflict.tasks.iter().filter_map(name).collect::<Vec<_>>(),
        "smallest": conflict.is_smallest(),
        "message": conflict.sentence(set),
    })
}

fn of_chain(admission: &Admission, verdict: &ChainVerdict) -> Value {
    let chain = &admission.system.chains()[verdict.chain];
    let latency = verdict.bound.as_ref().ok().map(ChainBound::latency);
    let age = match &verdict.bound {
        Ok(ChainBound::Time(latency)) => Some(latency.age.0),
        _ => None,
    };
    let within = |deadline: Nanos| latency.is_some_and(|latency| latency <= deadline);
    json!({
        "name": chain.name,
        "trigger": match chain.trigger {
            Trigger::Event => "event",
            Trigger::Time => "time",
        },
        "latency_ns": latency.map(|latency| latency.0),
        "data_age_ns": age,
        "deadline_ns": verdict.deadline.map(|deadline| deadline.0),
        "meets": verdict.deadline.map(within),
    })
}

fn of_margins(set: &TaskSet, margins: &Margins) -> Value {
    let tasks = set.tasks().iter().zip(&margins.tasks).map(|(task, margins)| {
        json!({
            "name": task.name,
            "wcet_ns": edge(&margins.wcet),
            "period_ns": edge(&margins.period),
            "deadline_ns": edge(&margins.deadline),
            "jitter_ns": edge(&margins.jitter),
        })
    });
    json!({ "tasks": tasks.collect::<Vec<_>>(), "all_wcets_ppm": edge(&margins.all_wcets) })
}

/// The last value that fits, and what is known of the next; null where none fits.
fn edge(edge: &Result<Edge, NoEdge>) -> Value {
    match edge {
        Ok(edge) => json!({
            "fits": edge.fits,
            "beyond": match edge.beyond {
                Beyond::Rejected => "rejected",
                Beyond::Unlimited => "unlimited",
                Beyond::Undecided => "undecided",
            },
        }),
        Err(_) => Value::Null,
    }
}
