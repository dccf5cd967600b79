//! The one ONNX Runtime of this process: its library and its environment, started once.
use crate::{NAME, ffi, find, unavailable};
use aegis_backend::{BackendError, catch};
use ort::environment::Environment;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// ONNX Runtime, started.
#[derive(Clone)]
pub(crate) struct Runtime {
    pub(crate) library: PathBuf,
    pub(crate) version: String,
    pub(crate) environment: Environment,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("library", &self.library)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// ort loads one library and makes one environment in a process's life.
static STARTED: Mutex<Option<Runtime>> = Mutex::new(None);

/// Starts ONNX Runtime, or shares the one that runs.
pub(crate) fn start(path: Option<&Path>) -> Result<Runtime, BackendError> {
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    match (&*started, path) {
        (Some(runtime), None) => return Ok(runtime.clone()),
        (Some(runtime), Some(_)) => {
            let library = find::library(&find::Places::of_process(path)).map_err(unavailable)?;
            return if same_file(&library, &runtime.library) {
                Ok(runtime.clone())
            } else {
                Err(BackendError::Unavailable {
                    backend: NAME,
                    why: format!(
                        "this process runs ONNX Runtime {} from {} and cannot load {} besides",
                        runtime.version,
                        runtime.library.display(),
                        library.display()
                    ),
                    remedy: "use one library in a process".to_owned(),
                })
            };
        }
        (None, _) => {}
    }
    let library = find::library(&find::Places::of_process(path)).map_err(unavailable)?;
    let version = ffi::version(&library).map_err(unavailable)?;
    check(&version).map_err(|why| unavailable(format!("{} {why}", library.display())))?;
    let failed = |why: String| unavailable(format!("{} does not start: {why}", library.display()));
    let environment = catch(|| {
        let builder = ort::init_from(&library).map_err(|error| error.to_string())?;
        builder.with_name("aegis").with_telemetry(false).build().map_err(|error| error.to_string())
    })
    .and_then(|built| built)
    .map_err(failed)?;
    // Whatever ONNX Runtime would print comes back as an error value, unless the user asks for its log.
    if std::env::var_os("ORT_LOG").is_none() {
        environment.set_log_level(ort::logging::LogLevel::Fatal);
    }
    let runtime = Runtime { library, version, environment };
    *started = Some(runtime.clone());
    Ok(runtime)
}

/// Whether this version has the interface that this crate is compiled for.
fn check(version: &str) -> Result<(), String> {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(1)), Some(Ok(minor))) if minor >= ort::MINOR_VERSION => Ok(()),
        _ => Err(format!("is ONNX Runtime {version}; 1.{} or a newer 1.x is needed", ort::MINOR_VERSION)),
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// The runtime for unit tests; `None`, with a notice, where it is not installed and `AEGIS_REQUIRE_ORT=1` is not set.
#[cfg(test)]
pub(crate) fn for_tests() -> Option<Runtime> {
    let required = std::env::var_os("AEGIS_REQUIRE_ORT").is_some_and(|v| v == "1");
    let started = start(None).map_err(|error| {
        assert!(!required, "{error}");
        println!("skipped: {error}");
    });
    started.ok()
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn versions() {
        for version in ["1.23.0", "1.32.0", "1.100.1-dev"] {
            assert_eq!(check(version), Ok(()), "{version}");
        }
        for version in ["1.22.9", "0.24.0", "2.30.0", "", "1", "one.two"] {
            let error = check(version).unwrap_err();
            assert_eq!(error, format!("is ONNX Runtime {version}; 1.23 or a newer 1.x is needed"));
        }
    }
}
