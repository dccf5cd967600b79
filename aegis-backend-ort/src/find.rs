//! Where the ONNX Runtime library is looked for. Nothing is loaded here.
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a Python interpreter may take to say where a package is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints the folder of the package, or nothing, without importing it. The current folder is left out of the search: it
/// may be a checkout of ONNX Runtime.
const WHERE_IS_IT: &str = "\
import sys
sys.path = [p for p in sys.path if p]
from importlib.util import find_spec
spec = find_spec('onnxruntime')
print(list(spec.submodule_search_locations)[0] if spec else '')";

/// What the search depends on.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// The path that the caller gave.
    pub explicit: Option<PathBuf>,
    /// `ORT_DYLIB_PATH`.
    pub named: Option<PathBuf>,
    /// `VIRTUAL_ENV`.
    pub virtual_env: Option<PathBuf>,
    /// `PATH`.
    pub search_path: OsString,
    /// How long a Python interpreter may take.
    pub patience: Duration,
}

impl Places {
    /// Those of this process.
    pub(crate) fn of_process(explicit: Option<&Path>) -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            explicit: explicit.map(Path::to_path_buf),
            named: path("ORT_DYLIB_PATH"),
            virtual_env: path("VIRTUAL_ENV"),
            search_path: std::env::var_os("PATH").unwrap_or_default(),
            patience: PATIENCE,
        }
    }
}

/// The library's file.
///
/// # Errors
/// A sentence: where it was looked for, and what was there.
pub(crate) fn library(places: &Places) -> Result<PathBuf, String> {
    if let Some(path) = &places.explicit {
        return at(path);
    }
    if let Some(path) = &places.named {
        return at(path).map_err(|why| format!("{why} (named by ORT_DYLIB_PATH)"));
    }
    let mut looked = vec!["ORT_DYLIB_PATH is not set".to_owned()];
    for python in pythons(places) {
        let shown = python.display();
        match package(&python, places.patience) {
            Ok(Some(package)) => match at(&package.join("capi")) {
                Ok(library) => return Ok(library),
                Err(why) => looked.push(why),
            },
            Ok(None) => looked.push(format!("{shown} has no package `onnxruntime`")),
            Err(why) => looked.push(format!("{shown} {why}")),
        }
    }
    if looked.len() == 1 {
        looked.push("there is no python3 or python on PATH".to_owned());
    }
    Err(looked.join("; "))
}

/// The library at `path`: the file itself, or the one in that folder.
fn at(path: &Path) -> Result<PathBuf, String> {
    let folder = match std::fs::read_dir(path) {
        Ok(folder) => folder,
        Err(_) if path.is_file() => return Ok(path.to_path_buf()),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let mut found: Vec<PathBuf> =
        folder.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_library(path)).collect();
    found.sort_unstable();
    found.into_iter().next().ok_or_else(|| format!("{} has no ONNX Runtime library", path.display()))
}

/// `libonnxruntime.so`, `libonnxruntime.so.1.32.0`, `libonnxruntime.1.32.0.dylib`, `onnxruntime.dll`; not the
/// providers' libraries beside them.
fn is_library(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let Some(rest) = name.strip_prefix("lib").unwrap_or(name).strip_prefix("onnxruntime.") else {
        return false;
    };
    let is = |extension| Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
    rest == "so" || rest.starts_with("so.") || is("dylib") || is("dll")
}

/// The interpreters to ask: the virtual environment's, then the first `python3` and `python` on `PATH`.
fn pythons(places: &Places) -> Vec<PathBuf> {
    let mut all = Vec::new();
    if let Some(env) = &places.virtual_env {
        all.extend([env.join("bin").join("python"), env.join("Scripts").join("python.exe")]);
        all.retain(|python| python.is_file());
    }
    for name in ["python3", "python"].map(|name| format!("{name}{}", std::env::consts::EXE_SUFFIX)) {
        let first = std::env::split_paths(&places.search_path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&name))
            .find(|python| python.is_file());
        all.extend(first.filter(|python| !all.contains(python)));
    }
    all
}

/// Asks an interpreter for the folder of the package.
fn package(python: &Path, patience: Duration) -> Result<Option<PathBuf>, String> {
    let mut child = Command::new(python)
        .args(["-c", WHERE_IS_IT])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("does not start: {error}"))?;
    let ended = wait(&mut child, patience).map_err(|error| error.to_string())?;
    if !ended {
        // It is ours and did not end in time; whether the kill finds it alive does not matter.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("did not answer in {patience:?}"));
    }
    // A folder's name fits the pipe's buffer, so the answer is whole although nobody read while it was written.
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("failed: {}", output.status));
    }
    let folder = String::from_utf8_lossy(&output.stdout);
    let folder = folder.trim_end_matches(['\r', '\n']);
    Ok((!folder.is_empty()).then(|| PathBuf::from(folder)))
}

/// Whether the child ended within `patience`.
fn wait(child: &mut Child, patience: Duration) -> std::io::Result<bool> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > patience {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(true)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A folder with an interpreter that runs `script`. A shell writes it: a file that this process has open for writing
    /// cannot be executed, and a test on another thread may start a process that holds it open for longer.
    fn python(folder: &Path, name: &str, script: &str) {
        std::fs::create_dir_all(folder).unwrap();
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod 755 "$2""#;
        let written = Command::new("sh").args(["-c", write, "sh", script]).arg(folder.join(name)).status();
        assert!(written.unwrap().success());
    }

    /// A package with a library of the given name.
    fn wheel(folder: &Path, library: &str) -> PathBuf {
        let capi = folder.join("capi");
        std::fs::create_dir_all(&capi).unwrap();
        for file in ["__init__.py", "libonnxruntime_providers_shared.so", library] {
            std::fs::write(capi.join(file), "").unwrap();
        }
        capi.join(library)
    }

    #[test]
    fn the_order_is_explicit_then_named_then_environment_then_path() {
        let root = tempfile::tempdir().unwrap();
        let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(|name| root.path().join(name));
        let says = |package: &Path| format!("echo {}", package.display());
        let libraries = [&a, &b, &c, &d, &e].map(|folder| wheel(folder, "libonnxruntime.so.1.32.0"));
        python(&root.path().join("venv/bin"), "python", &says(&c));
        python(&root.path().join("path1"), "python", &says(&e));
        python(&root.path().join("path2"), "python3", &says(&d));
        let mut places = Places {
            explicit: Some(a.join("capi")),
            named: Some(libraries[1].clone()),
            virtual_env: Some(root.path().join("venv")),
            search_path: std::env::join_paths([root.path().join("path1"), root.path().join("path2")])
                .unwrap(),
            patience: PATIENCE,
        };
        assert_eq!(library(&places).as_ref(), Ok(&libraries[0]));
        places.explicit = None;
        assert_eq!(library(&places).as_ref(), Ok(&libraries[1]));
        places.named = None;
        assert_eq!(library(&places).as_ref(), Ok(&libraries[2]));
        places.virtual_env = None;
        assert_eq!(library(&places).as_ref(), Ok(&libraries[3]));
        places.search_path = root.path().join("path1").into();
        assert_eq!(library(&places).as_ref(), Ok(&libraries[4]));
    }

    #[test]
    fn what_is_named_but_wrong_is_not_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let package = root.path().join("onnxruntime");
        wheel(&package, "libonnxruntime.so");
        python(root.path(), "python3", &format!("echo {}", package.display()));
        let good = || Places { search_path: root.path().into(), patience: PATIENCE, ..Places::default() };
        assert!(library(&good()).is_ok());
        let missing = || Some(root.path().join("no.so"));
        let error = library(&Places { explicit: missing(), ..good() }).unwrap_err();
        assert!(error.contains("no.so: No such file"), "{error}");
        let error = library(&Places { named: missing(), ..good() }).unwrap_err();
        assert!(
            error.contains("no.so: No such file") && error.ends_with("(named by ORT_DYLIB_PATH)"),
            "{error}"
        );
        let empty = root.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let error = library(&Places { explicit: Some(empty), ..good() }).unwrap_err();
        assert!(error.ends_with("empty has no ONNX Runtime library"), "{error}");
    }

    #[test]
    fn interpreters_that_do_not_help_are_named() {
        let root = tempfile::tempdir().unwrap();
        for (script, says) in [
            ("echo", "python3 has no package `onnxruntime`"),
            ("exit 3", "python3 failed: exit status: 3"),
            ("exec sleep 60", "python3 did not answer in 50ms"),
            ("echo /no/such/package", "/no/such/package/capi: No such file"),
        ] {
            python(root.path(), "python3", script);
            let patience =
                if script.contains("sleep") { Duration::from_millis(50) } else { Duration::from_secs(30) };
            let places = Places { search_path: root.path().into(), patience, ..Places::default() };
            let error = library(&places).unwrap_err();
            assert!(error.starts_with("ORT_DYLIB_PATH is not set; "), "{error}");
            assert!(error.contains(says), "{error}\nbut not {says}");
        }
        let error = library(&Places::default()).unwrap_err();
        assert_eq!(error, "ORT_DYLIB_PATH is not set; there is no python3 or python on PATH");
    }

    #[test]
    fn library_names() {
        for (name, expected) in [
            ("libonnxruntime.so", true),
            ("libonnxruntime.so.1.23.2", true),
            ("libonnxruntime.1.23.2.dylib", true),
            ("onnxruntime.dll", true),
            ("libonnxruntime_providers_shared.so", false),
            ("onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so", false),
            ("onnxruntime.lib", false),
            ("libonnxruntime.sooo", false),
        ] {
            assert_eq!(is_library(Path::new(name)), expected, "{name}");
        }
    }
}
