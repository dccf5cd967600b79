//! Finding TensorRT: driver first, then the library by name, then its version.
use crate::ffi::{Failure, Opened};
use crate::{NAME, TrtVersion};
use aegis_backend::BackendError;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Looked for in this order: the full runtime before the lean one (which runs version-compatible engines only), newer
/// before older.
const NAMES: [&str; 6] = [
    "libnvinfer.so.11",
    "libnvinfer.so.10",
    "libnvinfer.so.8",
    "libnvinfer_lean.so.11",
    "libnvinfer_lean.so.10",
    "libnvinfer_lean.so.8",
];

/// A TensorRT library that can be loaded on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrtLibrary {
    /// The file, or the name it was loaded by where the system does not tell the file.
    pub path: PathBuf,
    /// What it says of itself.
    pub version: TrtVersion,
    /// Whether it is the lean runtime.
    pub lean: bool,
}

/// Looks for TensorRT and asks for its version; creates nothing.
///
/// The driver comes first: without one TensorRT still hands out a runtime object, and that object is not usable.
///
/// # Errors
/// [`BackendError::Unavailable`] says whether the driver or the library is missing, and what to do.
pub fn probe() -> Result<TrtLibrary, BackendError> {
    aegis_cuda::probe().map_err(|why| unavailable(why.to_string(), "TensorRT needs a CUDA device".into()))?;
    search().map(|(_, about)| about)
}

/// The first library of [`NAMES`] that answers.
pub(crate) fn search() -> Result<(Opened, TrtLibrary), BackendError> {
    let mut broken = Vec::new();
    for name in NAMES {
        match Opened::open(OsStr::new(name)) {
            Ok(opened) => {
                let about = about(&opened, loaded_file(name).unwrap_or_else(|| name.into()));
                return Ok((opened, about));
            }
            Err(Failure::NotFound) => {}
            Err(Failure::Broken(why)) => broken.push(format!("{name}: {why}")),
        }
    }
    Err(if broken.is_empty() {
        unavailable(
            format!("none of {} is in the loader's path", NAMES.join(", ")),
            "install TensorRT, and put its folder into LD_LIBRARY_PATH if it is not in the system's".into(),
        )
    } else {
        unavailable(
            format!("found, but cannot be loaded: {}", broken.join("; ")),
            "install what it asks for, or put that into LD_LIBRARY_PATH".into(),
        )
    })
}

/// The library at that path.
pub(crate) fn at(path: &Path) -> Result<(Opened, TrtLibrary), BackendError> {
    match Opened::open(path.as_os_str()) {
        Ok(opened) => {
            let about = about(&opened, path.to_path_buf());
            Ok((opened, about))
        }
        Err(Failure::NotFound) => Err(unavailable(
            format!("there is no {}", path.display()),
            "name the file of TensorRT's library, for example libnvinfer.so.10, or none to look for it"
                .into(),
        )),
        Err(Failure::Broken(why)) => Err(unavailable(
            format!("{} cannot be loaded: {why}", path.display()),
            "install what it asks for, or name another library".into(),
        )),
    }
}

fn about(opened: &Opened, path: PathBuf) -> TrtLibrary {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    TrtLibrary { lean: name.contains("_lean"), version: opened.version, path }
}

/// A library that is there and does not serve.
pub(crate) fn unusable(library: &TrtLibrary, why: &str) -> BackendError {
    let TrtVersion { major, minor, .. } = library.version;
    unavailable(
        format!("{}: {why}", library.path.display()),
        format!(
            "if it is the version that is wrong, name another library, or build this program with \
             AEGIS_TENSORRT_INCLUDE naming the folder with the headers of TensorRT {major}.{minor} or older of that major"
        ),
    )
}

pub(crate) fn unavailable(why: String, remedy: String) -> BackendError {
    BackendError::Unavailable { backend: NAME, why, remedy }
}

/// Where the loader found a library, from the process's own map of its memory.
fn loaded_file(name: &str) -> Option<PathBuf> {
    mapped_file(&std::fs::read_to_string("/proc/self/maps").ok()?, name)
}

/// The mapped file whose name is `name`, or `name` and a longer version (`libnvinfer.so.11.4.0` for `libnvinfer.so.11`).
fn mapped_file(maps: &str, name: &str) -> Option<PathBuf> {
    maps.lines().find_map(|line| {
        let path = &line[line.find('/')?..];
        let rest = path.rsplit('/').next()?.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| path.into())
    })
}

#[cfg(test)]
mod tests {
    use super::mapped_file;
    use std::path::Path;

    #[test]
    fn the_file_behind_a_name() {
        let maps = "\
7f00-7f10 r-xp 00000000 08:01 1 /opt/my libs/libnvinfer.so.110\n\
7f00-7f10 r-xp 00000000 08:01 1 /opt/libnvinfer.so.11/other.so\n\
7f10-7f20 r-xp 00000000 08:01 1 /opt/my libs/libnvinfer.so.11.4.0\n\
7f20-7f30 rw-p 00000000 00:00 0 [heap]\n\
7f30-7f40 r-xp 00000000 08:01 1 /usr/lib/libnvinfer_lean.so.10\n";
        for (name, file) in [
            ("libnvinfer.so.11", Some("/opt/my libs/libnvinfer.so.11.4.0")),
            ("libnvinfer_lean.so.10", Some("/usr/lib/libnvinfer_lean.so.10")),
            ("libnvinfer.so.8", None),
        ] {
            assert_eq!(mapped_file(maps, name).as_deref(), file.map(Path::new), "{name}");
        }
    }
}
