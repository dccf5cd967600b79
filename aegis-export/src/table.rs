//! Records and jobs as rows of cells: the same columns in CSV, Arrow and JSON.
use crate::{JobLine, subject};
use aegis_core::{Action, Nanos};
use aegis_trace::{Body, Entry, Header};

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name; that of times ends in `_ns`.
    pub name: &'static str,
    /// What its cells hold.
    pub kind: ColumnKind,
}

/// What the cells of a column hold, where they hold anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// [`Cell::Number`].
    Numbers,
    /// [`Cell::Text`].
    Text,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// The trace does not say, or it means nothing for this row.
    Nothing,
    /// A whole number.
    Number(u64),
    /// Words.
    Text(String),
}

const fn numbers(name: &'static str) -> Column {
    Column { name, kind: ColumnKind::Numbers }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: ColumnKind::Text }
}

/// The columns of [`record_row`].
pub const RECORD_COLUMNS: [Column; 10] = [
    numbers("at_ns"),
    numbers("recorder"),
    numbers("seq"),
    text("kind"),
    text("model"),
    text("job"),
    numbers("segment"),
    text("action"),
    text("text"),
    text("body"),
];

/// The columns of [`job_row`]. The last ones, from `late_release_ns` on, sum to `age_ns`.
pub const JOB_COLUMNS: [Column; OWN + CAUSES.len() + 1] = [
    text("job"),
    text("model"),
    numbers("number"),
    text("verdict"),
    numbers("arrival_ns"),
    numbers("release_ns"),
    numbers("deadline_ns"),
    numbers("started_ns"),
    numbers("until_ns"),
    numbers("response_ns"),
    numbers("age_ns"),
    numbers("late_ns"),
    numbers("queued_ns"),
    numbers("executed_ns"),
    numbers("late_release_ns"),
    numbers("blocking_ns"),
    numbers("interference_ns"),
    numbers("earlier_jobs_ns"),
    numbers("dispatch_ns"),
    numbers("completion_ns"),
    numbers("copy_ns"),
    numbers("execution_ns"),
    numbers("overrun_ns"),
    numbers("contention_ns"),
    numbers("slow_clock_ns"),
    numbers("recovery_ns"),
    numbers("recording_ns"),
    numbers("unexplained_ns"),
    numbers("other_causes_ns"),
];

/// Columns of a job before those of its causes.
const OWN: usize = 14;

/// The causes with a column of their own, in the order of the columns; the others are summed in `other_causes_ns`.
const CAUSES: [&str; 14] = [
    "late_release",
    "blocking",
    "interference",
    "earlier_jobs",
    "dispatch",
    "completion",
    "copy",
    "execution",
    "overrun",
    "contention",
    "slow_clock",
    "recovery",
    "recording",
    "unexplained",
];

/// A record as a row. `body` is the whole record as JSON: nothing is lost.
#[must_use]
pub fn record_row(header: &Header, entry: &Entry) -> [Cell; RECORD_COLUMNS.len()] {
    let body = &entry.record.body;
    let about = subject(body);
    [
        Cell::Number(entry.record.at.0),
        Cell::Number(entry.recorder.into()),
        Cell::Number(entry.seq),
        Cell::Text(body.kind().name().to_owned()),
        some(about.task.map(|task| header.task_name(task).to_string())),
        some(about.job.map(|job| header.job_name(job).to_string())),
        number(about.segment.map(u64::from)),
        some(action(body).map(str::to_owned)),
        Cell::Text(header.say(&entry.record).to_string()),
        some(serde_json::to_string(body).ok()),
    ]
}

/// A job as a row.
#[must_use]
pub fn job_row(header: &Header, line: &JobLine) -> [Cell; JOB_COLUMNS.len()] {
    let told = line.explanation.as_ref();
    let time = |time: Option<Nanos>| number(time.map(|time| time.0));
    let own: [Cell; OWN] = [
        Cell::Text(header.job_name(line.id).to_string()),
        Cell::Text(header.task_name(line.id.task).to_string()),
        Cell::Number(line.id.seq),
        Cell::Text(line.verdict.name().to_owned()),
        time(told.map(|e| e.arrival)),
        time(told.and_then(|e| e.release)),
        time(told.map(|e| e.deadline).filter(|deadline| *deadline < Nanos::MAX)),
        time(line.runs.first().map(|run| run.from)),
        time(told.map(|e| e.until)),
        time(line.response()),
        time(line.age()),
        time(line.late()),
        time(line.queued()),
        time(line.executed()),
    ];
    let caused = CAUSES.map(|name| line.caused(name).0);
    let other = line.age().map(|age| age.0.saturating_sub(caused.iter().sum()));
    let mut row = [const { Cell::Nothing }; JOB_COLUMNS.len()];
    let cells = own.into_iter().chain(caused.map(|ns| number(told.map(|_| ns)))).chain([number(other)]);
    for (place, cell) in row.iter_mut().zip(cells) {
        *place = cell;
    }
    row
}

fn number(number: Option<u64>) -> Cell {
    number.map_or(Cell::Nothing, Cell::Number)
}

fn some(text: Option<String>) -> Cell {
    text.map_or(Cell::Nothing, Cell::Text)
}

/// What the scheduler did, in a word; nothing for other records.
pub(crate) const fn action(body: &Body) -> Option<&'static str> {
    let Body::Step { decision, .. } = body else { return None };
    Some(match decision.action {
        Action::Enqueue => "enqueue",
        Action::Refuse => "refuse",
        Action::Start { .. } => "start",
        Action::Requeue => "requeue",
        Action::Retire => "retire",
        Action::Continue => "continue",
        Action::Idle => "idle",
    })
}

#[cfg(test)]
mod tests {
    use super::{CAUSES, JOB_COLUMNS, OWN};

    #[test]
    fn columns_of_causes_are_named_after_them() {
        for (column, cause) in JOB_COLUMNS[OWN..].iter().zip(CAUSES) {
            assert_eq!(column.name, format!("{cause}_ns"));
        }
    }
}
