//! Finding TVM's run-time libraries: where the user says, in Python's packages, where the system's loader looks.
use crate::ffi::{self, FfiVersion};
use aegis_backend::BackendError;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

const FFI: &str = "libtvm_ffi.so";
const RUNTIME: &str = "libtvm_runtime.so";

/// Prints the library folders of the packages `tvm_ffi` and `tvm`, if Python knows them, without importing them. The
/// present folder (an empty entry) is no place to look: a stray `tvm.py` would answer.
const FOLDERS_OF_WHEELS: &str = "\
import importlib.util as u, sys
sys.path = [folder for folder in sys.path if folder]
for name in ('tvm_ffi', 'tvm'):
    spec = u.find_spec(name)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        print(folder + '/lib')
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
    let told = env::var_os("TVM_LIBRARY_PATH");
    let folders = match &told {
        Some(list) => env::split_paths(list).collect(),
        None => folders_of_wheels(OsStr::new("python3")),
    };
    let (ffi, runtime) = match (find(&folders, FFI), find(&folders, RUNTIME)) {
        (Some(ffi), Some(runtime)) => (ffi, runtime),
        _ if told.is_none() => (FFI.into(), RUNTIME.into()),
        (ffi, _) => {
            let missing = if ffi.is_none() { FFI } else { RUNTIME };
            return Err(unavailable(format!("no folder of TVM_LIBRARY_PATH holds {missing}")));
        }
    };
    let version = ffi::load(&ffi, &runtime).map_err(|why| {
        let before = if ffi.is_absolute() { "" } else { "not among the packages of python3, and " };
        unavailable(format!("{before}the loader says: {why}"))
    })?;
    Ok(TvmLibrary { ffi, runtime, version })
}

fn unavailable(why: String) -> BackendError {
    BackendError::Unavailable {
        backend: "tvm",
        why,
        remedy: format!(
            "`pip install apache-tvm`, or set TVM_LIBRARY_PATH to the folders of {FFI} and {RUNTIME}, separated by `:`"
        ),
    }
}

fn find(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Empty where there is no Python, or no such package in it.
fn folders_of_wheels(python: &OsStr) -> Vec<PathBuf> {
    match Command::new(python).args(["-c", FOLDERS_OF_WHEELS]).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
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
