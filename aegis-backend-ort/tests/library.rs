//! Libraries that cannot be used: each is an error that says which file, what is wrong and what to do. None of these
//! tests starts ONNX Runtime, so none hides another's error.
#![cfg(target_os = "linux")]

use aegis_backend::BackendError;
use aegis_backend_ort::OrtBackend;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A library that says it is ONNX Runtime of some version, made by the compiler that Rust links with.
fn fake(folder: &Path, source: &str) -> PathBuf {
    let (code, library) = (folder.join("fake.c"), folder.join("libonnxruntime.so"));
    std::fs::write(&code, source).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&code).status();
    assert!(built.expect("cc, which Rust links with").success());
    library
}

fn refused(path: &Path, says: &str) {
    let error = OrtBackend::find(Some(path)).unwrap_err();
    assert!(matches!(error, BackendError::Unavailable { .. }), "{error:?}");
    let message = error.to_string();
    for part in [says, &path.display().to_string(), "pip install onnxruntime", "ORT_DYLIB_PATH"] {
        assert!(message.contains(part), "{message}\nbut not {part}");
    }
}

#[test]
fn a_library_that_is_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let library = fake(
        folder.path(),
        r#"static const char *version(void) { return "1.22.1"; }
        static const struct { const void *(*api)(unsigned); const char *(*version)(void); } base = { 0, version };
        const void *OrtGetApiBase(void) { return &base; }"#,
    );
    refused(&library, "is ONNX Runtime 1.22.1; 1.23 or a newer 1.x is needed");
}

#[test]
fn a_library_without_interface_or_version() {
    for (source, says) in [
        ("int nothing;", "is not ONNX Runtime: it has no OrtGetApiBase"),
        ("void *OrtGetApiBase(void) { return 0; }", "gives no interface"),
        (
            "static const char *version(void) { return 0; }
            static const struct { void *api; const char *(*version)(void); } base = { 0, version };
            const void *OrtGetApiBase(void) { return &base; }",
            "gives no version",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        refused(&fake(folder.path(), source), says);
    }
}

#[test]
fn a_file_that_is_no_library() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libonnxruntime.so");
    std::fs::write(&text, "shopping list").unwrap();
    refused(&text, "does not load");
    refused(&folder.path().join("nowhere.so"), "No such file");
}
