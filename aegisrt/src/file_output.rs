//! Writing a file of the user's choice: whole or not at all.
use crate::Error;
use crate::export::ExportError;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Standard output, by its name on a command line.
pub(crate) const STDOUT: &str = "-";

/// Writes to standard output where `path` is absent or `-`; else into a file beside it, which takes its name when it is
/// complete. So a reader of the file never sees a part of it. A pipe or a device is written into as it is.
pub(crate) fn write_to(
    path: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ExportError>,
) -> Result<(), Error> {
    let Some(path) = path.filter(|path| *path != Path::new(STDOUT)) else {
        return match write(&mut BufWriter::new(io::stdout().lock())) {
            // A reader that went away has seen enough.
            Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| named(Path::new("standard output"), error)),
        };
    };
    let as_it_is = fs::metadata(path).is_ok_and(|about| !about.is_file());
    let part = if as_it_is { path.to_path_buf() } else { beside(path) };
    let file = File::create(&part).map_err(|source| Error::Write { path: path.to_path_buf(), source })?;
    let written = write(&mut BufWriter::new(file)).map_err(|error| named(path, error));
    let named = written.and_then(|()| {
        if as_it_is {
            return Ok(());
        }
        fs::rename(&part, path).map_err(|source| Error::Write { path: path.to_path_buf(), source })
    });
    if named.is_err() && !as_it_is {
        // What could not be completed is of no use, and its removal cannot fail worse than the writing did.
        let _ = fs::remove_file(&part);
    }
    named
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

fn named(path: &Path, error: ExportError) -> Error {
    match error {
        ExportError::Write(source) => Error::Write { path: path.to_path_buf(), source },
        ExportError::Trace(error) => error.into(),
        error => Error::Defect(error.to_string()),
    }
}
