//! Finding TVM's run-time libraries: where the user says, in Python's packages, where the system's loader looks.
use crate::NAME;
use crate::ffi::{self, FfiVersion};
use aegis_backend::BackendError;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

const FFI: &str = "libtvm_ffi.so";
const RUNTIME: &str = "libtvm_runtime.so";
pub(crate) const CUDA: &str = "libtvm_runtime_cuda.so";
/// What [`CUDA`] needs and TVM's package does not hold.
pub(crate) const CUDART: &str = "libcudart.so.13";

/// Versions of the FFI whose layouts this crate was tested with: those of the package apache-tvm-ffi 0.1.15.post2.
pub(crate) const TESTED: &[FfiVersion] = &[FfiVersion { major: 0, minor: 1, patch: 16 }];

/// How the tested version is installed.
pub(crate) const INSTALL: &str = "`pip install apache-tvm==0.27.0.post1 apache-tvm-ffi==0.1.15.post2`";

/// Prints the library folders of the packages `tvm_ffi`, `tvm` and NVIDIA's, if Python knows them, without importing them.
/// The present folder (an empty entry) is no place to look: a stray `tvm.py` would answer.
const FOLDERS_OF_WHEELS: &str = "\
import glob, importlib.util as u, sys
sys.path = [folder for folder in sys.path if folder]
for name, below in ('tvm_ffi', '/lib'), ('tvm', '/lib'), ('nvidia', '/*/lib'):
    spec = u.find_spec(name)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        print(*glob.glob(glob.escape(folder) + below), sep='\\n')
";

/// TVM's libraries, as loaded into this process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TvmLibrary {
    /// `libtvm_ffi.so`; without a folder where the system's loader found it.
    pub ffi: PathBuf,
    /// `libtvm_runtime.so`; likewise.
    pub runtime: PathBuf,
    /// The version that `libtvm_ffi.so` says.
    pub version: FfiVersion,
}

/// Looks for TVM's run-time libraries in the folders that `TVM_LIBRARY_PATH` lists; if that is not set, in the packages
/// of `python3`, and then where the system's loader looks. Loads them and asks for the version.
///
/// # Errors
/// [`BackendError::Unavailable`] says what was looked for and what to do.
pub fn probe() -> Result<TvmLibrary, BackendError> {
    Places::of_process(None).load().map(|(library, _)| library)
}

/// Where to look.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) folders: Vec<PathBuf>,
    /// What names the folders, if they are all there is: then the system's loader is not asked.
    told: Option<&'static str>,
}

impl Places {
    /// The folders given, or those that the environment tells, or those of Python's packages.
    pub(crate) fn of_process(given: Option<&[PathBuf]>) -> Self {
        if let Some(folders) = given {
            return Self { folders: folders.to_vec(), told: Some("those given") };
        }
        match env::var_os("TVM_LIBRARY_PATH") {
            Some(list) => Self { folders: env::split_paths(&list).collect(), told: Some("TVM_LIBRARY_PATH") },
            None => Self { folders: folders_of_wheels(OsStr::new("python3")), told: None },
        }
    }

    /// The paths of both libraries.
    pub(crate) fn libraries(&self) -> Result<(PathBuf, PathBuf), BackendError> {
        match (find(&self.folders, FFI), find(&self.folders, RUNTIME), self.told) {
            (Some(ffi), Some(runtime), _) => Ok((ffi, runtime)),
            (_, _, None) => Ok((FFI.into(), RUNTIME.into())),
            (ffi, _, Some(told)) => {
                let missing = if ffi.is_none() { FFI } else { RUNTIME };
                Err(unavailable(format!("no folder of {told} holds {missing}")))
            }
        }
    }

    /// Loads both libraries.
    pub(crate) fn load(&self) -> Result<(TvmLibrary, ffi::Libraries), BackendError> {
        let (ffi, runtime) = self.libraries()?;
        let libraries = ffi::load(&ffi, &runtime).map_err(|why| {
            let before = if ffi.is_absolute() { "" } else { "not among the packages of python3, and " };
            unavailable(format!("{before}the loader says: {why}"))
        })?;
        Ok((TvmLibrary { ffi, runtime, version: libraries.version }, libraries))
    }
}

pub(crate) fn unavailable(why: String) -> BackendError {
    BackendError::Unavailable {
        backend: NAME,
        why,
        remedy: format!(
            "{INSTALL}, or set TVM_LIBRARY_PATH to the folders of {FFI} and {RUNTIME}, separated by `:`"
        ),
    }
}

/// The file of that name in the first folder that holds it.
pub(crate) fn find(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Empty where there is no Python, or no such package in it.
fn folders_of_wheels(python: &OsStr) -> Vec<PathBuf> {
    match Command::new(python).args(["-c", FOLDERS_OF_WHEELS]).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| Path::new(line).to_path_buf())
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{find, folders_of_wheels};
    use std::ffi::OsStr;
    use std::path::PathBuf;

    #[test]
    fn no_python_no_folders() {
        assert_eq!(folders_of_wheels(OsStr::new("no-such-python-here")), Vec::<PathBuf>::new());
        assert_eq!(folders_of_wheels(OsStr::new("false")), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_first_folder_that_holds_the_file() {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let folders = [here.join("no-such-folder"), here.join("src"), here.clone()];
        assert_eq!(find(&folders, "probe.rs"), Some(here.join("src/probe.rs")));
        assert_eq!(find(&folders, "Cargo.toml"), Some(here.join("Cargo.toml")));
        assert_eq!(find(&folders, "src"), None, "a folder is no library");
    }
}
