//! Arrow files read back by Arrow's own reader: the cells of the CSV, with types.
#![cfg(feature = "arrow")]
mod common;
use aegis_export::{
    Cell, JOB_COLUMNS, RECORD_COLUMNS, job_lines, job_row, jobs_arrow, record_row, records_arrow,
};
use aegis_trace::{Jobs, Trace};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::FileReader;
use common::{everything, nonsense};
use std::io::Cursor;

fn read(bytes: Vec<u8>, names: &[&str]) -> Vec<Vec<Cell>> {
    let file = FileReader::try_new(Cursor::new(bytes), None).unwrap();
    assert_eq!(file.schema().metadata()["schema_version"], "1");
    let batches: Vec<RecordBatch> = file.map(Result::unwrap).collect();
    let mut rows = Vec::new();
    for batch in batches {
        assert_eq!(batch.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), names);
        rows.extend((0..batch.num_rows()).map(|row| batch.columns().iter().map(|c| cell(c, row)).collect()));
    }
    rows
}

fn cell(column: &dyn Array, row: usize) -> Cell {
    if column.is_null(row) {
        return Cell::Nothing;
    }
    match column.as_primitive_opt::<UInt64Type>() {
        Some(numbers) => Cell::Number(numbers.value(row)),
        None => Cell::Text(column.as_string::<i32>().value(row).to_owned()),
    }
}

fn check(trace: &Trace) {
    let header = trace.header();
    let mut out = Vec::new();
    records_arrow(&mut out, header, trace.entries()).unwrap();
    let expected: Vec<Vec<Cell>> = trace.entries().iter().map(|e| record_row(header, e).to_vec()).collect();
    assert_eq!(read(out, &RECORD_COLUMNS.map(|column| column.name)), expected);
    let jobs = Jobs::of(trace);
    let mut out = Vec::new();
    jobs_arrow(&mut out, header, job_lines(&jobs)).unwrap();
    let expected: Vec<Vec<Cell>> =
        job_lines(&jobs).map(|line| job_row(header, &line.unwrap()).to_vec()).collect();
    assert_eq!(read(out, &JOB_COLUMNS.map(|column| column.name)), expected);
}

#[test]
fn what_is_written_is_read() {
    check(&everything());
    // More rows than one batch holds.
    check(&nonsense(1, 9000));
}
