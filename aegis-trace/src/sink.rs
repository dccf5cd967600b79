//! Where the parts of a trace go: files beside each other, or one stream.
use crate::TraceError;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Takes the blocks of a trace, one whole block a call.
pub trait Sink {
    /// Takes a block.
    fn write(&mut self, block: &[u8]) -> io::Result<()>;
    /// Returns when everything taken survives a loss of power, where the sink can promise that.
    fn sync(&mut self) -> io::Result<()>;
    /// What comes from now on belongs to that part.
    fn next_part(&mut self, part: u32) -> io::Result<()>;
}

/// A stream: one part.
#[derive(Debug)]
pub struct Stream<W>(pub W);

impl<W: Write> Sink for Stream<W> {
    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        self.0.write_all(block)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn next_part(&mut self, _: u32) -> io::Result<()> {
        Err(io::Error::other("a stream holds one part"))
    }
}

/// Files beside each other.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    file: File,
}

impl Files {
    /// Makes the file of the first part, over one that may be there.
    pub fn create(path: &Path) -> Result<Self, TraceError> {
        match File::create(path) {
            Ok(file) => {
                sync_folder(path);
                Ok(Self { path: path.to_path_buf(), file })
            }
            Err(source) => Err(TraceError::Create { path: path.to_path_buf(), source }),
        }
    }
}

impl Sink for Files {
    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        self.file.write_all(block)
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.file.sync_data() {
            // A pipe or a device has nothing to keep.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            result => result,
        }
    }

    fn next_part(&mut self, part: u32) -> io::Result<()> {
        self.file = File::create(part_path(&self.path, part))?;
        sync_folder(&self.path);
        Ok(())
    }
}

/// That the file is there survives a loss of power, too, where folders can be synchronised; where they cannot nothing is
/// lost by trying.
fn sync_folder(of: &Path) {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Where a part of a trace lies: `run.aegistrace`, `run.2.aegistrace`, `run.3.aegistrace` …
///
/// ```
/// # use std::path::Path;
/// assert_eq!(aegis_trace::part_path(Path::new("a/run.aegistrace"), 2), Path::new("a/run.2.aegistrace"));
/// assert_eq!(aegis_trace::part_path(Path::new("run"), 3), Path::new("run.3"));
/// ```
#[must_use]
pub fn part_path(first: &Path, part: u32) -> PathBuf {
    if part < 2 {
        return first.to_path_buf();
    }
    let mut name = first.file_stem().unwrap_or_default().to_os_string();
    name.push(format!(".{part}"));
    if let Some(extension) = first.extension() {
        name.push(".");
        name.push(extension);
    }
    first.with_file_name(name)
}
