//! `--tasks FILE`: the whole system model without models to load, in JSON or in POET's YAML.
mod json;
mod poet;
mod yaml;

use crate::Error;
use crate::diagnostic::{SourceError, read_text};
use aegis_core::{Partition, Policy, System, SystemError, TaskSetError};
use std::ops::Range;
use std::path::Path;

/// What is wrong, and where in the text.
type Misplaced = (Range<usize>, String);

/// Reads the system that a file describes: POET's YAML if its name ends in `.yaml` or `.yml`, else JSON as
/// `schema/tasks.schema.json` says. `policy` replaces those in the file.
///
/// # Errors
/// [`SourceError`] with line and column where the text is not what it should be.
pub fn read(path: &Path, policy: Option<Policy>) -> Result<System, SourceError> {
    let text = read_text(path, "task set")?;
    let is_yaml =
        path.extension().is_some_and(|e| e.eq_ignore_ascii_case("yaml") || e.eq_ignore_ascii_case("yml"));
    let parsed = if is_yaml { poet::parse(&text, policy) } else { json::parse(&text, policy) };
    parsed.map_err(|(span, message)| SourceError::placed(path, text.clone(), span, message))
}

/// [`read`] as a stage.
///
/// # Errors
/// [`Error::Source`].
pub fn open(path: &Path, policy: Option<Policy>) -> Result<System, Error> {
    read(path, policy).map_err(Error::Source)
}

/// The position of the task that an error is about, found by its name: whichever tasks its index counts.
fn blamed<'a>(error: &SystemError, mut names: impl Iterator<Item = &'a str>) -> Option<usize> {
    let task = match error {
        SystemError::Task { index, .. } => return Some(*index),
        SystemError::Tasks(TaskSetError::EmptyName { .. }) => "",
        SystemError::Tasks(
            TaskSetError::DuplicateName { task, .. }
            | TaskSetError::Zero { task, .. }
            | TaskSetError::NoSegments { task, .. }
            | TaskSetError::MissingPriority { task, .. }
            | TaskSetError::Overflow { task, .. },
        ) => task,
        _ => return None,
    };
    names.position(|name| name == task)
}

/// The position of the partition whose stalls an error is about.
fn stalled(error: &SystemError, partitions: &[Partition]) -> Option<usize> {
    let SystemError::Tasks(TaskSetError::Stall { length, gap, .. }) = error else { return None };
    partitions.iter().position(|partition| {
        let delays = partition.overheads;
        [delays.recovery, delays.clock_change, delays.reload]
            .iter()
            .any(|stall| stall.length == *length && stall.gap == *gap)
    })
}
