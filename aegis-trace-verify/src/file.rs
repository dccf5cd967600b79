//! A trace in the file system: its file, and the parts that follow it.
use crate::walk::{After, Report, State, verify};
use crate::{Problem, PublicKey, VerifyError};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// What was found out about a trace: a report for each file, in the order of the parts.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The files with their reports.
    pub files: Vec<(PathBuf, Report)>,
}

impl Verified {
    /// Whether every file is intact, and the last one ends the recording.
    #[must_use]
    pub fn intact(&self) -> bool {
        self.files.iter().all(|(_, report)| report.intact())
            && self.files.last().is_some_and(|(_, report)| report.state == State::Whole)
    }
}

/// Checks a trace from this file on: it, and every part that follows.
///
/// # Errors
/// [`VerifyError`] where there is nothing that could be checked.
pub fn verify_file(path: &Path, key: Option<&PublicKey>) -> Result<Verified, VerifyError> {
    let unread = |path: &Path, source| VerifyError::Read { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(|source| unread(path, source))?;
    let mut files = vec![(path.to_path_buf(), verify(BufReader::new(file), path, key, None)?)];
    while let Some((path, report)) = files.last_mut().filter(|(_, report)| report.state == State::Continued) {
        let next = following(path, report.part);
        match File::open(&next) {
            Ok(file) => {
                let after = After(report);
                let next_report = verify(BufReader::new(file), &next, key, Some(&after))?;
                files.push((next, next_report));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                report.find(report.bytes, Problem::NextPart { path: next.display().to_string() });
                break;
            }
            Err(source) => return Err(unread(&next, source)),
        }
    }
    Ok(Verified { files })
}

/// Behind `run.aegistrace`, part 1, comes `run.2.aegistrace`; behind that `run.3.aegistrace`.
fn following(path: &Path, part: u32) -> PathBuf {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let own = format!(".{part}");
    let first = if part > 1 { stem.strip_suffix(&own).unwrap_or(&stem) } else { &stem };
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    let next = u64::from(part) + 1;
    path.with_file_name(format!("{first}.{next}{}", extension.unwrap_or_default()))
}
