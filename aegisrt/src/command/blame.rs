//! `aegis blame`: for each model which other model cost it how much, and what would change that.
use super::trace::{instant, open};
use crate::Error;
use crate::cli::BlameArgs;
use crate::output::{Output, table};
use crate::svg::blame::{draw, name, sources};
use aegis_analysis::admit;
use aegis_core::{Nanos, TaskDraft, TaskId, TaskSet};
use aegis_trace::{BlameRow, Cost, Jobs, Source, Trace};
use serde_json::{Value, json};
use std::fmt::Write;

pub(crate) fn run(args: &BlameArgs, output: &Output) -> Result<u8, Error> {
    let trace = open(&args.trace)?;
    let from = instant(args.window.from.as_deref(), trace.header(), "--from")?.unwrap_or(Nanos::ZERO);
    let to = instant(args.window.to.as_deref(), trace.header(), "--to")?.unwrap_or(Nanos::MAX);
    let rows = Jobs::of(&trace).blame(from..to);
    let set = &trace.header().set;
    if let Some(path) = &args.svg {
        std::fs::write(path, draw(set, &rows))
            .map_err(|source| Error::Write { path: path.clone(), source })?;
    }
    let advice = advice(set, &rows);
    output.answer(
        || text(&trace, &rows, advice.as_ref()),
        || {
            json!({
                "schema_version": 1,
                "tasks": rows.iter().map(|row| row_value(row, &trace)).collect::<Vec<_>>(),
                "largest": advice.as_ref().map(|advice| json!({
                    "task": name(Source::Task(advice.victim), set),
                    "by": name(Source::Task(advice.by), set),
                    "sentence": advice.sentence(set),
                    "bound_ns": advice.bounds.map(|(now, _)| now.0),
                    "bound_ns_with_two_segments": advice.bounds.map(|(_, split)| split.0),
                })),
            })
        },
    );
    Ok(0)
}

fn row_value(row: &BlameRow, trace: &Trace) -> Value {
    let set = &trace.header().set;
    let costs = row.costs.iter().map(|(source, cost)| {
        json!({
            "source": name(*source, set),
            "is_model": matches!(source, Source::Task(_)),
            "ns": cost.ns.0,
            "blocking_ns": cost.blocking.0,
            "worst_ns": cost.worst.0,
            "worst_job": trace.header().job_name(cost.worst_job).to_string(),
        })
    });
    json!({
        "name": name(Source::Task(row.task), set),
        "jobs": row.jobs,
        "response_ns_sum": row.responses.0,
        "costs": costs.collect::<Vec<_>>(),
    })
}

fn text(trace: &Trace, rows: &[BlameRow], advice: Option<&Advice>) -> String {
    let set = &trace.header().set;
    let sources = sources(rows);
    let names: Vec<String> = sources.iter().map(|source| name(*source, set)).collect();
    let header: Vec<&str> =
        ["model", "jobs", "all"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let align = "l".to_owned() + &"r".repeat(header.len() - 1);
    let cells = rows.iter().map(|row| {
        let costs = sources.iter().map(|source| match row.costs.get(source) {
            Some(cost) => format!("{:.2}", cost.ns),
            None => "-".to_owned(),
        });
        let first =
            [name(Source::Task(row.task), set), row.jobs.to_string(), format!("{:.2}", row.responses)];
        first.into_iter().chain(costs).collect()
    });
    let mut out = table(&header, &align, cells);
    out.push_str("\n  a row says where the response times of a model's jobs went; a model's own column: its earlier jobs");
    if let Some(advice) = advice {
        let job = trace.header().job_name(advice.cost.worst_job);
        let _ = write!(
            out,
            "\n  {}; the most for one job is {:.3} ({job})",
            advice.sentence(set),
            advice.cost.worst
        );
    }
    out
}

/// The largest that one model cost another, and what would make it less.
struct Advice {
    victim: TaskId,
    by: TaskId,
    cost: Cost,
    /// The victim's bound, and what it would be if `by` ran in two segments where it runs in one.
    bounds: Option<(Nanos, Nanos)>,
}

impl Advice {
    fn sentence(&self, set: &TaskSet) -> String {
        let [victim, by] = [self.victim, self.by].map(|task| name(Source::Task(task), set));
        let share = u128::from(self.cost.blocking.0) * 100 / u128::from(self.cost.ns.0.max(1));
        let most = format!(
            "most of all {victim} waits for {by}: {:.3}, {share} % of it because {by} cannot be preempted",
            self.cost.ns
        );
        match self.bounds {
            Some((now, split)) if split < now => format!(
                "{most}; with each segment of {by} cut in two the bound of {victim} falls from {now:.3} to {split:.3}"
            ),
            Some((now, _)) => format!(
                "{most}; cutting {by} in two would not lower the bound of {victim} ({now:.3}): a longer period or a faster \
                 {by} would"
            ),
            None => format!("{most}; a longer period or a faster {by} would change that"),
        }
    }
}

fn advice(set: &TaskSet, rows: &[BlameRow]) -> Option<Advice> {
    let between = rows.iter().flat_map(|row| {
        row.costs.iter().filter_map(move |(source, cost)| match source {
            Source::Task(by) if *by != row.task => Some((row.task, *by, *cost)),
            _ => None,
        })
    });
    let (victim, by, cost) = between.max_by_key(|(victim, by, cost)| (cost.ns, *victim, *by))?;
    let bound = |set: &TaskSet| {
        let verdict = admit(set);
        verdict
            .tasks
            .iter()
            .find(|answer| answer.task == victim)
            .and_then(|answer| Some(answer.bound.as_ref()?.wcrt))
    };
    let split = halved(set, by);
    let bounds = bound(set).zip(split.as_ref().and_then(bound));
    Some(Advice { victim, by, cost, bounds })
}

/// The same tasks with each segment of one of them in two halves.
fn halved(set: &TaskSet, task: TaskId) -> Option<TaskSet> {
    let halves = |whole: Nanos| {
        let first = Nanos(whole.0.div_ceil(2));
        [first, whole.saturating_sub(first)].into_iter().filter(|half| *half > Nanos::ZERO)
    };
    let drafts = set.tasks().iter().enumerate().map(|(i, spec)| TaskDraft {
        name: spec.name.clone(),
        segments: if TaskId::from(i) == task {
            spec.segments.iter().copied().flat_map(halves).collect()
        } else {
            spec.segments.clone()
        },
        arrival: spec.arrival.clone(),
        deadline: Some(spec.deadline),
        jitter: spec.jitter,
        priority: Some(spec.priority),
    });
    TaskSet::new(set.policy(), set.overheads(), drafts.collect()).ok()
}
