//! Tables as CSV (RFC 4180, lines end in `\n`): one row a record, one row a job.
use crate::{ExportError, JobLine, subject};
use aegis_core::{Action, Nanos};
use aegis_trace::{Body, Entry, Header};
use std::io::{self, Write};

/// The columns of [`records_csv`].
pub const RECORD_COLUMNS: [&str; 10] =
    ["at_ns", "recorder", "seq", "kind", "model", "job", "segment", "action", "text", "body"];

/// The columns of [`jobs_csv`]. The last ones, from `late_release_ns` on, sum to `age_ns`.
pub const JOB_COLUMNS: [&str; 22] = [
    "job",
    "model",
    "number",
    "verdict",
    "arrival_ns",
    "release_ns",
    "deadline_ns",
    "started_ns",
    "until_ns",
    "response_ns",
    "age_ns",
    "late_ns",
    "queued_ns",
    "executed_ns",
    "late_release_ns",
    "blocking_ns",
    "interference_ns",
    "earlier_jobs_ns",
    "dispatch_ns",
    "execution_ns",
    "overrun_ns",
    "other_causes_ns",
];

/// The causes with a column of their own; the others are summed in `other_causes_ns`.
pub(crate) const CAUSES: [&str; 7] =
    ["late_release", "blocking", "interference", "earlier_jobs", "dispatch", "execution", "overrun"];

/// Writes the records as a table. `body` is the whole record as JSON: nothing is lost.
///
/// # Errors
/// [`ExportError::Write`].
pub fn records_csv<'e>(
    sink: impl Write,
    header: &Header,
    entries: impl IntoIterator<Item = &'e Entry>,
) -> Result<(), ExportError> {
    let mut row = Row::new(sink);
    row.names(&RECORD_COLUMNS)?;
    for entry in entries {
        let body = &entry.record.body;
        let about = subject(body);
        row.number(Some(entry.record.at.0))?;
        row.number(Some(u64::from(entry.recorder)))?;
        row.number(Some(entry.seq))?;
        row.text(body.kind().name())?;
        row.text(&about.task.map(|task| header.task_name(task).to_string()).unwrap_or_default())?;
        row.text(&about.job.map(|job| header.job_name(job).to_string()).unwrap_or_default())?;
        row.number(about.segment.map(u64::from))?;
        row.text(action(body))?;
        row.text(&header.say(&entry.record).to_string())?;
        row.text(&serde_json::to_string(body).map_err(io::Error::from)?)?;
        row.end()?;
    }
    row.finish()
}

/// Writes the jobs as a table, all times in nanoseconds; a cell is empty where the trace does not say.
///
/// # Errors
/// [`ExportError::Write`], or the error of a job that cannot be explained.
pub fn jobs_csv(
    sink: impl Write,
    header: &Header,
    lines: impl IntoIterator<Item = Result<JobLine, ExportError>>,
) -> Result<(), ExportError> {
    let mut row = Row::new(sink);
    row.names(&JOB_COLUMNS)?;
    for line in lines {
        let line = line?;
        row.text(&header.job_name(line.id).to_string())?;
        row.text(&header.task_name(line.id.task).to_string())?;
        row.number(Some(line.id.seq))?;
        row.text(line.verdict.name())?;
        for number in job_numbers(&line) {
            row.number(number)?;
        }
        row.end()?;
    }
    row.finish()
}

/// The numbers of a job, in the order of [`JOB_COLUMNS`] from `arrival_ns` on.
#[must_use]
pub fn job_numbers(line: &JobLine) -> [Option<u64>; 18] {
    let told = line.explanation.as_ref();
    let ns = |time: Option<Nanos>| time.map(|time| time.0);
    let caused = CAUSES.map(|name| line.caused(name).0);
    let other = line.age().map(|age| age.0.saturating_sub(caused.iter().sum()));
    let caused = caused.map(|ns| told.map(|_| ns));
    let deadline = told.map(|e| e.deadline).filter(|deadline| *deadline < Nanos::MAX);
    [
        ns(told.map(|e| e.arrival)),
        ns(told.and_then(|e| e.release)),
        ns(deadline),
        ns(line.runs.first().map(|run| run.from)),
        ns(told.map(|e| e.until)),
        ns(line.response()),
        ns(line.age()),
        ns(line.late()),
        ns(line.queued()),
        ns(line.executed()),
        caused[0],
        caused[1],
        caused[2],
        caused[3],
        caused[4],
        caused[5],
        caused[6],
        other,
    ]
}

/// What the scheduler did, in a word; nothing for other records.
pub(crate) const fn action(body: &Body) -> &'static str {
    let Body::Step { decision, .. } = body else { return "" };
    match decision.action {
        Action::Enqueue => "enqueue",
        Action::Refuse => "refuse",
        Action::Start { .. } => "start",
        Action::Requeue => "requeue",
        Action::Retire => "retire",
        Action::Continue => "continue",
        Action::Idle => "idle",
    }
}

/// A row being written, cell by cell.
struct Row<W> {
    sink: W,
    begun: bool,
}

impl<W: Write> Row<W> {
    const fn new(sink: W) -> Self {
        Self { sink, begun: false }
    }

    fn names(&mut self, names: &[&str]) -> io::Result<()> {
        names.iter().try_for_each(|name| self.text(name))?;
        self.end()
    }

    fn comma(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) { self.sink.write_all(b",") } else { Ok(()) }
    }

    fn number(&mut self, number: Option<u64>) -> io::Result<()> {
        self.comma()?;
        number.map_or(Ok(()), |number| write!(self.sink, "{number}"))
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        self.comma()?;
        if text.contains(['"', ',', '\n', '\r']) {
            write!(self.sink, "\"{}\"", text.replace('"', "\"\""))
        } else {
            self.sink.write_all(text.as_bytes())
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.begun = false;
        self.sink.write_all(b"\n")
    }

    fn finish(mut self) -> Result<(), ExportError> {
        Ok(self.sink.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::Row;

    #[test]
    fn cells_that_need_quotes() {
        let mut out = Vec::new();
        let mut row = Row::new(&mut out);
        row.names(&["a", "b"]).unwrap();
        for text in ["", "plain", "a,b", "say \"so\"", "two\nlines", "µ#1"] {
            row.text(text).unwrap();
        }
        row.number(None).unwrap();
        row.number(Some(u64::MAX)).unwrap();
        row.end().unwrap();
        row.finish().unwrap();
        let expected = "a,b\n,plain,\"a,b\",\"say \"\"so\"\"\",\"two\nlines\",µ#1,,18446744073709551615\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
