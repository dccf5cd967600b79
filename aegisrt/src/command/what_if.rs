//! `aegis replay --policy`: what another policy would have done with a recorded run.
use super::NOT_ADMITTED;
use crate::output::{Output, table};
use aegis_core::{Nanos, Policy, TaskId};
use aegis_sched::counterfactual::{Compared, Counterfactual, End, counterfactual};
use aegis_sched::digest::hash;
use aegis_trace::{Jobs, Trace};
use serde_json::{Value, json};
use std::fmt::Write;

/// Jobs that are shown, of those that are worst under either policy.
const WORST: usize = 5;

/// What the answer rests on.
const ASSUMES: [&str; 4] = [
    "jobs arrive when they did: nobody waits for an output before sending the next input",
    "a segment takes as long as it did, whatever runs before it",
    "queues hold as many jobs, and what faulted faults again",
    "deadlines and priorities are those of the system",
];

/// The jobs of one task under one policy.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    completed: u64,
    missed: u64,
    refused: u64,
    worst: Nanos,
    total: u128,
}

impl Sum {
    fn of(ends: impl Iterator<Item = End>, deadline: Nanos) -> Self {
        let mut sum = Self::default();
        for end in ends {
            match end {
                End::Completed(response) => {
                    sum.completed += 1;
                    sum.missed += u64::from(response > deadline);
                    sum.worst = sum.worst.max(response);
                    sum.total += u128::from(response.0);
                }
                End::Refused => sum.refused += 1,
                End::Faulted(_) | End::Unfinished => {}
            }
        }
        sum
    }

    fn mean(&self) -> Nanos {
        let mean = self.total.checked_div(u128::from(self.completed)).unwrap_or_default();
        Nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    fn value(&self) -> Value {
        json!({
            "completed": self.completed,
            "missed": self.missed,
            "refused": self.refused,
            "response_ns_max": self.worst.0,
            "response_ns_mean": self.mean().0,
        })
    }
}

/// Exit code 3 if the other policy would have missed a deadline or refused a job.
pub(crate) fn run(trace: &Trace, policy: Policy, output: &Output) -> u8 {
    let jobs = Jobs::of(trace);
    let other = counterfactual(trace, &jobs, policy);
    let set = &trace.header().set;
    let sums: Vec<(Sum, Sum)> = set
        .tasks()
        .iter()
        .enumerate()
        .map(|(i, task)| {
            let of = || other.jobs.iter().filter(move |one| one.job.task == TaskId::from(i));
            (
                Sum::of(of().map(|one| one.recorded), task.deadline),
                Sum::of(of().map(|one| one.other), task.deadline),
            )
        })
        .collect();
    let worst = worst(&other, trace);
    output.answer(
        || text(trace, &other, &sums, &worst),
        || {
            let name = |one: &Compared| trace.header().job_name(one.job).to_string();
            let end = |end: End| end.response().map(|response| response.0);
            json!({
                "schema_version": 1,
                "recorded_policy": set.policy().name(),
                "policy": policy.name(),
                "assumes": ASSUMES,
                "segments_with_assumed_wcet": other.assumed,
                "decisions_blake3": hash(other.steps.iter().copied()).to_string(),
                "tasks": set.tasks().iter().zip(&sums).map(|(task, (recorded, other))| json!({
                    "name": task.name,
                    "deadline_ns": task.deadline.0,
                    "recorded": recorded.value(),
                    "other": other.value(),
                })).collect::<Vec<_>>(),
                "worst_jobs": worst.iter().map(|one| json!({
                    "job": name(one),
                    "recorded_response_ns": end(one.recorded),
                    "other_response_ns": end(one.other),
                })).collect::<Vec<_>>(),
            })
        },
    );
    if sums.iter().any(|(_, other)| other.missed + other.refused > 0) { NOT_ADMITTED } else { 0 }
}

/// The jobs that come closest to their deadline under either policy, the worst first.
fn worst(other: &Counterfactual, trace: &Trace) -> Vec<Compared> {
    let set = &trace.header().set;
    // In millionths of the deadline.
    let part = |one: &Compared| {
        let deadline = set.get(one.job.task).map_or(1, |task| task.deadline.0.max(1));
        let longest = one.recorded.response().max(one.other.response()).unwrap_or_default();
        u128::from(longest.0) * 1_000_000 / u128::from(deadline)
    };
    let mut worst = other.jobs.clone();
    worst.sort_by_key(|one| (std::cmp::Reverse(part(one)), one.job));
    worst.truncate(WORST);
    worst
}

fn text(trace: &Trace, other: &Counterfactual, sums: &[(Sum, Sum)], worst: &[Compared]) -> String {
    let set = &trace.header().set;
    let (was, would) = (set.policy(), other.policy);
    let rows = set.tasks().iter().zip(sums).map(|(task, (a, b))| {
        vec![
            task.name.clone(),
            task.deadline.to_string(),
            format!("{:.3}", a.mean()),
            format!("{:.3}", b.mean()),
            format!("{:.3}", a.worst),
            format!("{:.3}", b.worst),
            format!("{}", a.missed + a.refused),
            format!("{}", b.missed + b.refused),
        ]
    });
    let [mean, mean_other] = [was, would].map(|policy| format!("mean {policy}"));
    let [worst_was, worst_other] = [was, would].map(|policy| format!("worst {policy}"));
    let [missed, missed_other] = [was, would].map(|policy| format!("missed {policy}"));
    let header = ["task", "deadline", &mean, &mean_other, &worst_was, &worst_other, &missed, &missed_other];
    let mut out = format!("recorded under {was}; what {would} would have done:\n");
    out.push_str(&table(&header, "lrrrrrrr", rows));
    out.push_str("\n  the jobs closest to their deadlines:\n");
    let rows = worst
        .iter()
        .map(|one| vec![trace.header().job_name(one.job).to_string(), ended(one.recorded), ended(one.other)]);
    let [was, would] = [was, would].map(|policy| policy.to_string());
    out.push_str(&table(&["job", &was, &would], "lrr", rows));
    out.push_str("\n  this assumes that\n");
    for assumption in ASSUMES {
        let _ = writeln!(out, "  - {assumption}");
    }
    if other.assumed > 0 {
        let _ = writeln!(out, "  {} segments are not on record: their WCET stands for them", other.assumed);
    }
    out
}

fn ended(end: End) -> String {
    match end {
        End::Completed(response) => format!("{response:.3}"),
        End::Faulted(response) => format!("faulted after {response:.3}"),
        End::Refused => "refused".to_owned(),
        End::Unfinished => "unfinished".to_owned(),
    }
}
