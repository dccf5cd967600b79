//! The one TVM of this process: its libraries, checked and started once.
use crate::NAME;
use crate::ffi::{self, Api};
use crate::probe::{self, CUDA, CUDART, INSTALL, Places, TESTED, TvmLibrary, unavailable};
use aegis_backend::BackendError;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// TVM, started.
#[derive(Debug, Clone)]
pub(crate) struct Runtime {
    pub(crate) api: &'static Api,
    pub(crate) library: TvmLibrary,
    /// Where more of TVM's libraries may be.
    folders: Vec<PathBuf>,
}

/// TVM's registry is one for the process, so is TVM.
static STARTED: Mutex<Option<Runtime>> = Mutex::new(None);

/// Starts TVM, or shares the one that runs.
pub(crate) fn start(folders: Option<&[PathBuf]>) -> Result<Runtime, BackendError> {
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(runtime), None) = (&*started, folders) {
        return Ok(runtime.clone());
    }
    let places = Places::of_process(folders);
    if let Some(runtime) = &*started {
        let (ffi, core) = places.libraries()?;
        return if same_file(&ffi, &runtime.library.ffi) && same_file(&core, &runtime.library.runtime) {
            Ok(runtime.clone())
        } else {
            Err(BackendError::Unavailable {
                backend: NAME,
                why: format!(
                    "this process runs TVM from {} and cannot load {} besides",
                    runtime.library.runtime.display(),
                    core.display()
                ),
                remedy: "use one TVM in a process".to_owned(),
            })
        };
    }
    let (library, libraries) = places.load()?;
    if !TESTED.contains(&library.version) {
        let tested: Vec<String> = TESTED.iter().map(ToString::to_string).collect();
        return Err(unavailable(format!(
            "{} has version {} of TVM's FFI, and its layouts were tested in {} only",
            library.ffi.display(),
            library.version,
            tested.join(", ")
        )));
    }
    let api = libraries
        .api()
        .map_err(|why| unavailable(format!("{} does not start: {why}", library.runtime.display())))?;
    let runtime = Runtime { api, library, folders: places.folders };
    *started = Some(runtime.clone());
    Ok(runtime)
}

impl Runtime {
    /// Loads the part of TVM that runs modules on CUDA devices, once.
    pub(crate) fn with_cuda(&self) -> Result<(), BackendError> {
        static LOADED: Mutex<bool> = Mutex::new(false);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if !*loaded {
            if let Some(cudart) = probe::find(&self.folders, CUDART) {
                // Where this fails the next says what is missing.
                let _ = ffi::add(&cudart);
            }
            let beside = self.library.runtime.with_file_name(CUDA);
            ffi::add(&beside).map_err(|why| BackendError::Unavailable {
                backend: NAME,
                why: format!("the part of TVM for CUDA devices does not load: {why}"),
                remedy: format!(
                    "{INSTALL} and, for {CUDART}, `pip install nvidia-cuda-runtime`, or add its folder to \
                     TVM_LIBRARY_PATH"
                ),
            })?;
            *loaded = true;
        }
        Ok(())
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}
