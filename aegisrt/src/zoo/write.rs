//! Puts the demo models into a folder: complete files only, and none twice.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{MODELS, ZooModel, bytes};

/// Writes every demo model that `folder` does not yet hold, and answers the paths of all of them in the order of
/// [`MODELS`]. A missing folder is created; a file with other bytes is replaced.
///
/// A file appears under its name only when it is complete, so several processes may do this at once and a reader never
/// sees a part of a model. The files are not forced to the disk: one that a power failure tore is found by its digest
/// and written again.
///
/// # Errors
/// What the file system says, with the path.
pub fn write_all(folder: &Path) -> io::Result<Vec<PathBuf>> {
    write(folder, &MODELS)
}

fn write(folder: &Path, models: &[ZooModel]) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).map_err(|error| about(folder, "create the folder", &error))?;
    let path_of = |model: &ZooModel| {
        let path = folder.join(model.file);
        if !holds(&path, model.digest).map_err(|error| about(&path, "read the demo model", &error))? {
            replace(&path, &bytes(model)).map_err(|error| about(&path, "write the demo model", &error))?;
        }
        Ok(path)
    };
    models.iter().map(path_of).collect()
}

/// Whether the file is there and has this digest.
fn holds(path: &Path, digest: &str) -> io::Result<bool> {
    match fs::read(path) {
        Ok(bytes) => Ok(blake3::hash(&bytes).to_hex().as_str() == digest),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Puts a file in place in one step: written beside it under a name of our own, then renamed.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (part, mut file) = part_beside(path)?;
    let written = file.write_all(bytes);
    drop(file);
    let result = written.and_then(|()| fs::rename(&part, path));
    if result.is_err() {
        // The first error is the one to tell; a part that cannot be removed either is only litter.
        let _ = fs::remove_file(&part);
    }
    result
}

/// A new, empty file beside `path` that nobody else writes. The process id alone does not promise that: containers
/// that share a folder have the same ids, and a killed process leaves its part behind.
fn part_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let part = path.with_extension(format!("{}-{number}.part", process::id()));
        match File::create_new(&part) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => return result.map(|file| (part, file)),
        }
    }
}

fn about(path: &Path, doing: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: cannot {doing}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::path::Path;
    use std::thread;
    use std::time::{Duration, SystemTime};

    use super::super::{MODELS, bytes};
    use super::{part_beside, replace, write, write_all};

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn writes_every_model_once_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("missing/too");
        let paths = write_all(&folder).unwrap();
        assert_eq!(names(&folder), ["classifier", "detector", "planner", "predictor", "segmenter"].map(onnx));
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for (path, model) in paths.iter().zip(&MODELS) {
            assert_eq!(*path, folder.join(model.file));
            assert!(fs::read(path).unwrap() == bytes(model), "{}", model.name);
            fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        }
        assert_eq!(write_all(&folder).unwrap(), paths);
        for path in paths {
            assert_eq!(
                fs::metadata(&path).unwrap().modified().unwrap(),
                old,
                "{} was written again",
                path.display()
            );
        }
    }

    fn onnx(name: &str) -> String {
        format!("{name}.onnx")
    }

    #[test]
    fn a_file_that_is_torn_or_changed_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let planner = MODELS[4];
        let good = bytes(&planner);
        let mut changed = good.clone();
        changed[good.len() / 2] ^= 1;
        for bad in [&[], &good[..good.len() / 2], &changed] {
            fs::write(folder.path().join(planner.file), bad).unwrap();
            let paths = write(folder.path(), &[planner]).unwrap();
            assert!(fs::read(&paths[0]).unwrap() == good, "{} bytes stayed", bad.len());
        }
        assert_eq!(names(folder.path()), [planner.file]);
    }

    /// A file is replaced, never written over: who reads the old one goes on reading the old one.
    #[test]
    fn a_reader_never_sees_a_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MODELS[4].file);
        fs::write(&path, "old").unwrap();
        let mut reader = fs::File::open(&path).unwrap();
        write(folder.path(), &MODELS[4..]).unwrap();
        let mut seen = String::new();
        reader.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "old");
    }

    /// Many writers at once: whoever comes back finds complete files, and no parts are left.
    #[test]
    fn many_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, small) = (folder.path(), &MODELS[3..]);
        let expected: Vec<_> = small.iter().map(bytes).collect();
        for _ in 0..5 {
            thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        for (path, expected) in write(folder, small).unwrap().iter().zip(&expected) {
                            assert!(fs::read(path).unwrap() == *expected, "a part of {}", path.display());
                        }
                    });
                }
            });
            assert_eq!(names(folder), ["planner", "predictor"].map(onnx));
            for model in small {
                fs::remove_file(folder.join(model.file)).unwrap();
            }
        }
    }

    #[test]
    fn a_part_that_someone_left_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("planner.onnx");
        let (first, _) = part_beside(&path).unwrap();
        let number: u64 = first.to_str().unwrap().rsplit(['-', '.']).nth(1).unwrap().parse().unwrap();
        let next = |n: u64| path.with_extension(format!("{}-{}.part", std::process::id(), number + n));
        // Other tests draw numbers too: take a few.
        (1..50).for_each(|n| fs::write(next(n), "theirs").unwrap());
        let (second, _) = part_beside(&path).unwrap();
        assert!(fs::read(&second).unwrap().is_empty());
        (1..50).for_each(|n| assert_eq!(fs::read_to_string(next(n)).unwrap(), "theirs"));
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("planner.onnx");
        fs::create_dir(&taken).unwrap();
        replace(&taken, b"model").unwrap_err();
        assert_eq!(names(folder.path()), ["planner.onnx"]);
    }

    #[test]
    fn an_error_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let message = write_all(&file).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{}: cannot create the folder: ", file.display())), "{message}");

        // A folder under the model's name can be neither read as a file nor replaced.
        fs::create_dir(folder.path().join(MODELS[4].file)).unwrap();
        let message = write(folder.path(), &MODELS[4..]).unwrap_err().to_string();
        assert!(message.contains("planner.onnx: cannot read the demo model: "), "{message}");
    }
}
