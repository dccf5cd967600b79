//! Finding TensorRT: driver first, then the library by name, then its version.
use crate::ffi;
use aegis_backend::BackendError;
use std::fmt;
use std::path::PathBuf;

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

/// A version of TensorRT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrtVersion {
    /// One shim is built for each of these.
    pub major: u32,
    /// Second.
    pub minor: u32,
    /// Third.
    pub patch: u32,
}

impl TrtVersion {
    /// From `getInferLibVersion`, which says 8503 for 8.5.3 and, since version 10, 101601 for 10.16.1.
    fn from_number(number: u32) -> Self {
        let (major, rest) = if number >= 100_000 {
            (number / 10_000, number % 10_000)
        } else {
            (number / 1000, number % 1000)
        };
        Self { major, minor: rest / 100, patch: rest % 100 }
    }
}

impl fmt::Display for TrtVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Looks for TensorRT and asks for its version; creates nothing.
///
/// The driver comes first: without one TensorRT still hands out a runtime object, and that object is not usable.
///
/// # Errors
/// [`BackendError::Unavailable`] says whether the driver or the library is missing, and what to do.
pub fn probe() -> Result<TrtLibrary, BackendError> {
    aegis_cuda::probe().map_err(|why| unavailable(why.to_string(), "TensorRT needs a CUDA device"))?;
    let mut broken = Vec::new();
    for name in NAMES {
        match ffi::version_of(name) {
            Ok(number) => {
                return Ok(TrtLibrary {
                    path: loaded_file(name).unwrap_or_else(|| name.into()),
                    version: TrtVersion::from_number(number),
                    lean: name.contains("_lean"),
                });
            }
            Err(ffi::Failure::NotFound) => {}
            Err(ffi::Failure::Broken(why)) => broken.push(format!("{name}: {why}")),
        }
    }
    Err(if broken.is_empty() {
        unavailable(
            format!("none of {} is in the loader's path", NAMES.join(", ")),
            "install TensorRT, and put its folder into LD_LIBRARY_PATH if it is not in the system's",
        )
    } else {
        unavailable(
            format!("found, but cannot be loaded: {}", broken.join("; ")),
            "install what it asks for, or put that into LD_LIBRARY_PATH",
        )
    })
}

fn unavailable(why: String, remedy: &str) -> BackendError {
    BackendError::Unavailable { backend: "trt", why, remedy: remedy.to_string() }
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
    use super::{TrtVersion, mapped_file};
    use std::path::Path;

    #[test]
    fn versions() {
        for (number, shown) in
            [(8503, "8.5.3"), (8601, "8.6.1"), (100_301, "10.3.1"), (101_601, "10.16.1"), (110_400, "11.4.0")]
        {
            assert_eq!(TrtVersion::from_number(number).to_string(), shown);
        }
    }

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
