//! Job sets as text: SAG's CSV, one job a line, and its list of precedence edges.
//!
//! Jobs: `task, job, release min, release max, cost min, cost max, deadline, priority`, whole numbers in ns, the smaller
//! priority first. Edges: `from task, from job, to task, to job[, delay min, delay max]`. A first line that does not begin
//! with a number is a header. What SAG also reads (kinds of jobs other than 0, edges from the start of a job, several
//! cores) is refused, never ignored. Ties are SAG's: task, place in the graph, job.
use crate::diagnostic::{SourceError, read_text};
use aegis_analysis::jobs::{Edge, Job, JobSet, JobSetError, Span, Ties};
use aegis_core::Nanos;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

const JOB: [&str; 8] =
    ["task", "job", "release min", "release max", "cost min", "cost max", "deadline", "priority"];
const EDGE: [&str; 6] = ["from task", "from job", "to task", "to job", "delay min", "delay max"];

/// The jobs of one file, with the edges of another.
///
/// # Errors
/// [`SourceError`] with the place of the first mistake.
pub(crate) fn open(jobs: &Path, edges: Option<&Path>) -> Result<JobSet, SourceError> {
    let text = read_text(jobs, "job set")?;
    let in_jobs = |mistake: Mistake| SourceError::placed(jobs, text.clone(), mistake.at, mistake.message);
    let (list, lines) = read_jobs(&text).map_err(in_jobs)?;
    let edge_text = edges.map(|path| read_text(path, "list of edges")).transpose()?.unwrap_or_default();
    let edge_path = edges.unwrap_or(jobs);
    let in_edges =
        |mistake: Mistake| SourceError::placed(edge_path, edge_text.clone(), mistake.at, mistake.message);
    let (edge_list, edge_lines) = read_edges(&edge_text, &list).map_err(in_edges)?;
    JobSet::new(list, edge_list, Ties::ById).map_err(|error| {
        let message = error.to_string();
        let line = |lines: &[Range<usize>], i: usize| lines.get(i).cloned().unwrap_or(0..0);
        match error {
            JobSetError::Order { index, .. }
            | JobSetError::Twice { index, .. }
            | JobSetError::TooLong { index, .. }
            | JobSetError::Cycle { index, .. } => in_jobs(Mistake { at: line(&lines, index), message }),
            JobSetError::EdgeOrder { edge, .. } => in_edges(Mistake { at: line(&edge_lines, edge), message }),
            _ => SourceError::unplaced(jobs, message),
        }
    })
}

/// What is wrong, and the bytes that are.
struct Mistake {
    at: Range<usize>,
    message: String,
}

type Read<T> = Result<(Vec<T>, Vec<Range<usize>>), Mistake>;

fn read_jobs(text: &str) -> Read<Job> {
    let (mut jobs, mut lines) = (Vec::new(), Vec::new());
    for row in rows(text) {
        let row = row.numbers(&JOB, JOB.len(), |extra| match extra {
            "0" => None,
            _ => Some(
                "more than 8 columns: kinds of jobs other than 0 and jobs on several cores are not supported",
            ),
        })?;
        let [task, job, release_min, release_max, cost_min, cost_max, deadline, priority] = row.first();
        jobs.push(Job {
            task,
            job,
            release: Span::new(Nanos(release_min), Nanos(release_max)),
            cost: Span::new(Nanos(cost_min), Nanos(cost_max)),
            deadline: Nanos(deadline),
            priority,
        });
        lines.push(row.at);
    }
    Ok((jobs, lines))
}

fn read_edges(text: &str, jobs: &[Job]) -> Read<Edge> {
    let position: BTreeMap<(u64, u64), usize> =
        jobs.iter().enumerate().map(|(i, job)| ((job.task, job.job), i)).collect();
    let (mut edges, mut lines) = (Vec::new(), Vec::new());
    for row in rows(text) {
        let row = row.numbers(&EDGE, 4, |kind| match kind {
            "f" | "F" => None,
            "s" | "S" => Some("edges from the start of a job are not supported; only from its end, `f`"),
            _ => Some("more than 6 columns; after the delays only the kind `f` may follow"),
        })?;
        let [from_task, from_job, to_task, to_job, min, max] = row.first();
        let find = |task, job| {
            position.get(&(task, job)).copied().ok_or_else(|| Mistake {
                at: row.at.clone(),
                message: format!("there is no job T{task}J{job} in the job set"),
            })
        };
        let (from, to) = (find(from_task, from_job)?, find(to_task, to_job)?);
        edges.push(Edge { from, to, delay: Span::new(Nanos(min), Nanos(max)) });
        lines.push(row.at);
    }
    Ok((edges, lines))
}

/// A line with its fields, trimmed, and where each stands.
struct Row<'a> {
    at: Range<usize>,
    fields: Vec<(Range<usize>, &'a str)>,
}

/// The lines that say something, without the header.
fn rows(text: &str) -> impl Iterator<Item = Row<'_>> {
    let mut next = 0;
    let lines = text.split_inclusive('\n').map(move |line| {
        let start = next;
        next += line.len();
        let mut field_start = start;
        let fields = line.split(',').map(|field| {
            let trimmed = field.trim();
            let from = field_start + (field.len() - field.trim_start().len());
            field_start += field.len() + 1;
            (from..from + trimmed.len(), trimmed)
        });
        Row { at: start..start + line.trim_end().len(), fields: fields.collect() }
    });
    let says_something = |row: &Row| row.fields.iter().any(|(_, field)| !field.is_empty());
    let is_header =
        |row: &Row| !row.fields[0].1.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
    lines
        .filter(says_something)
        .enumerate()
        .filter(move |(i, row)| *i > 0 || !is_header(row))
        .map(|(_, row)| row)
}

/// A line as numbers; what was not stated is 0.
struct Numbers {
    at: Range<usize>,
    values: Vec<u64>,
}

impl Numbers {
    fn first<const N: usize>(&self) -> [u64; N] {
        std::array::from_fn(|i| self.values.get(i).copied().unwrap_or(0))
    }
}

impl Row<'_> {
    /// The columns as numbers; at least `needed`, and columns behind them all only where `refuse` finds nothing wrong.
    fn numbers(
        mut self,
        columns: &[&str],
        needed: usize,
        refuse: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Numbers, Mistake> {
        // A comma at the end of a line says nothing.
        while self.fields.len() > needed && self.fields.last().is_some_and(|(_, field)| field.is_empty()) {
            self.fields.pop();
        }
        let given = self.fields.len();
        if given < needed || given > needed && given < columns.len() {
            let message = format!("{given} columns; expected {}", columns.join(", "));
            return Err(Mistake { at: self.at, message });
        }
        for (at, field) in self.fields.iter().skip(columns.len()) {
            if let Some(why) = refuse(field) {
                return Err(Mistake { at: at.clone(), message: why.to_owned() });
            }
        }
        let number = |((at, field), column): (&(Range<usize>, &str), &&str)| {
            let why = match field.parse::<u64>() {
                Ok(number) => return Ok(number),
                Err(_) if field.is_empty() => "is empty".to_owned(),
                Err(_) if field.starts_with('-') => format!("`{field}` is negative; it must be 0 or more"),
                Err(_) if field.bytes().all(|b| b.is_ascii_digit()) => {
                    format!("`{field}` is too large; the most is {}", u64::MAX)
                }
                Err(_) => format!("`{field}` is not a whole number; times are whole ns"),
            };
            Err(Mistake { at: at.clone(), message: format!("column `{column}`: {why}") })
        };
        let values = self.fields.iter().zip(columns).map(number).collect::<Result<_, _>>()?;
        Ok(Numbers { at: self.at, values })
    }
}
