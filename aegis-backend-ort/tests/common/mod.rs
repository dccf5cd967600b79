//! What the tests need that may not be on this machine: ONNX Runtime and the folder of models.
use aegis_backend::BackendError;
use aegis_backend_ort::OrtBackend;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The backend; `None`, with a notice, where ONNX Runtime is not installed and `AEGIS_REQUIRE_ORT=1` is not set.
pub fn ort() -> Option<OrtBackend> {
    // Looked for once: where it is missing, each search asks all interpreters again.
    static FOUND: OnceLock<Result<OrtBackend, BackendError>> = OnceLock::new();
    match FOUND.get_or_init(|| OrtBackend::find(None)) {
        Ok(backend) => Some(backend.clone()),
        Err(error) if std::env::var_os("AEGIS_REQUIRE_ORT").is_some_and(|v| v == "1") => panic!("{error}"),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

/// The folder of models; `None`, with a notice, where it is not there and `AEGIS_REQUIRE_MODELS=1` is not set.
pub fn models() -> Option<PathBuf> {
    let beside_the_repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/models");
    let folder: PathBuf =
        std::env::var_os("AEGIS_MODELS").unwrap_or_else(|| beside_the_repository.into()).into();
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var_os("AEGIS_REQUIRE_MODELS").is_some_and(|v| v == "1");
    assert!(!required, "there is no folder {}; AEGIS_MODELS names another", folder.display());
    println!("skipped: there is no folder {}; AEGIS_MODELS names another", folder.display());
    None
}
