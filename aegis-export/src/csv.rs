//! Tables as CSV (RFC 4180, lines end in `\n`): one row a record, one row a job.
use crate::table::{Cell, Column, JOB_COLUMNS, RECORD_COLUMNS, job_row, record_row};
use crate::{ExportError, JobLine};
use aegis_trace::{Entry, Header};
use std::io::{self, Write};

/// Writes the records as a table.
///
/// # Errors
/// [`ExportError::Write`].
pub fn records_csv<'e>(
    mut sink: impl Write,
    header: &Header,
    entries: impl IntoIterator<Item = &'e Entry>,
) -> Result<(), ExportError> {
    names(&mut sink, &RECORD_COLUMNS)?;
    for entry in entries {
        row(&mut sink, &record_row(header, entry))?;
    }
    Ok(sink.flush()?)
}

/// Writes the jobs as a table, all times in nanoseconds; a cell is empty where the trace does not say.
///
/// # Errors
/// [`ExportError::Write`], or the error of a job that cannot be explained.
pub fn jobs_csv(
    mut sink: impl Write,
    header: &Header,
    lines: impl IntoIterator<Item = Result<JobLine, ExportError>>,
) -> Result<(), ExportError> {
    names(&mut sink, &JOB_COLUMNS)?;
    for line in lines {
        row(&mut sink, &job_row(header, &line?))?;
    }
    Ok(sink.flush()?)
}

fn names(sink: &mut impl Write, columns: &[Column]) -> io::Result<()> {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    writeln!(sink, "{}", names.join(","))
}

fn row(sink: &mut impl Write, cells: &[Cell]) -> io::Result<()> {
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            sink.write_all(b",")?;
        }
        match cell {
            Cell::Nothing => {}
            Cell::Number(number) => write!(sink, "{number}")?,
            Cell::Text(text) if text.contains(['"', ',', '\n', '\r']) => {
                write!(sink, "\"{}\"", text.replace('"', "\"\""))?;
            }
            Cell::Text(text) => sink.write_all(text.as_bytes())?,
        }
    }
    sink.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::row;
    use crate::table::Cell;

    #[test]
    fn cells_that_need_quotes() {
        let texts = ["", "plain", "a,b", "say \"so\"", "two\nlines", "old\rmac", "µ#1"];
        let mut cells: Vec<Cell> = texts.iter().map(|text| Cell::Text((*text).to_owned())).collect();
        cells.extend([Cell::Nothing, Cell::Number(u64::MAX)]);
        let mut out = Vec::new();
        row(&mut out, &cells).unwrap();
        let expected =
            ",plain,\"a,b\",\"say \"\"so\"\"\",\"two\nlines\",\"old\rmac\",µ#1,,18446744073709551615\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
