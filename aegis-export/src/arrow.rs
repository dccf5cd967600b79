//! Tables as Arrow IPC files, which pandas, polars, DuckDB and R read without parsing: the columns of the CSV, with types.
use crate::table::{Cell, Column, ColumnKind, JOB_COLUMNS, RECORD_COLUMNS, job_row, record_row};
use crate::{ExportError, JobLine};
use aegis_trace::{Entry, Header};
use arrow_array::builder::{ArrayBuilder, StringBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

/// Rows that are written together; so many are held in memory.
const ROWS_PER_BATCH: usize = 8192;

/// Writes the records as an Arrow IPC file.
///
/// # Errors
/// [`ExportError::Write`].
pub fn records_arrow<'e>(
    sink: impl Write,
    header: &Header,
    entries: impl IntoIterator<Item = &'e Entry>,
) -> Result<(), ExportError> {
    let mut table = Table::begin(sink, header, &RECORD_COLUMNS)?;
    for entry in entries {
        table.row(record_row(header, entry))?;
    }
    table.end()
}

/// Writes the jobs as an Arrow IPC file.
///
/// # Errors
/// [`ExportError::Write`], or the error of a job that cannot be explained.
pub fn jobs_arrow(
    sink: impl Write,
    header: &Header,
    lines: impl IntoIterator<Item = Result<JobLine, ExportError>>,
) -> Result<(), ExportError> {
    let mut table = Table::begin(sink, header, &JOB_COLUMNS)?;
    for line in lines {
        table.row(job_row(header, &line?))?;
    }
    table.end()
}

/// A column while its rows are collected.
#[derive(Debug)]
enum Cells {
    Numbers(UInt64Builder),
    Text(StringBuilder),
}

impl Cells {
    fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Numbers => Self::Numbers(UInt64Builder::new()),
            ColumnKind::Text => Self::Text(StringBuilder::new()),
        }
    }

    /// A cell of the other kind is none: the columns say what their rows hold.
    fn push(&mut self, cell: Cell) {
        match (self, cell) {
            (Self::Numbers(numbers), Cell::Number(number)) => numbers.append_value(number),
            (Self::Text(texts), Cell::Text(text)) => texts.append_value(text),
            (Self::Numbers(numbers), _) => numbers.append_null(),
            (Self::Text(texts), _) => texts.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Numbers(numbers) => Arc::new(numbers.finish()),
            Self::Text(texts) => Arc::new(texts.finish()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Text(texts) => texts.len(),
        }
    }
}

struct Table<W: Write> {
    file: FileWriter<W>,
    schema: Arc<Schema>,
    columns: Vec<Cells>,
}

impl<W: Write> Table<W> {
    fn begin(sink: W, header: &Header, columns: &[Column]) -> Result<Self, ExportError> {
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| {
                let kind = match column.kind {
                    ColumnKind::Numbers => DataType::UInt64,
                    ColumnKind::Text => DataType::Utf8,
                };
                Field::new(column.name, kind, true)
            })
            .collect();
        let about = [
            ("schema_version", "1".to_owned()),
            ("program", header.program.clone()),
            ("host", header.host.clone()),
            ("created_unix_ns", header.created_unix_ns.to_string()),
        ];
        let about: HashMap<String, String> =
            about.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, about));
        Ok(Self {
            file: FileWriter::try_new(sink, &schema).map_err(not_written)?,
            schema,
            columns: columns.iter().map(|column| Cells::new(column.kind)).collect(),
        })
    }

    fn row(&mut self, cells: impl IntoIterator<Item = Cell>) -> Result<(), ExportError> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell);
        }
        if self.columns.first().is_some_and(|column| column.len() >= ROWS_PER_BATCH) {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), ExportError> {
        let columns = self.columns.iter_mut().map(Cells::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(not_written)?;
        self.file.write(&batch).map_err(not_written)
    }

    fn end(mut self) -> Result<(), ExportError> {
        self.write()?;
        let mut sink = self.file.into_inner().map_err(not_written)?;
        Ok(sink.flush()?)
    }
}

fn not_written(error: ArrowError) -> ExportError {
    match error {
        ArrowError::IoError(_, source) => source.into(),
        error => io::Error::other(error).into(),
    }
}
