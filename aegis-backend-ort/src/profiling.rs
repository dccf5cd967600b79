//! ONNX Runtime's own profile of each session, where the environment asks for one.
use aegis_backend::Artifact;
use ort::session::builder::SessionBuilder;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// The variable that asks for profiles: what their paths begin with.
const PREFIX: &str = "AEGIS_ORT_PROFILE";

/// Sessions so far, so that no two write into one file.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// The builder, with a profile if [`PREFIX`] is set and not empty. ONNX Runtime adds the time to the file's name and
/// completes it when the session ends.
pub(crate) fn profiled(builder: SessionBuilder, artifact: &Artifact) -> ort::Result<SessionBuilder> {
    match std::env::var_os(PREFIX).filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => {
            let session = SESSIONS.fetch_add(1, Ordering::Relaxed);
            Ok(builder.with_profiling(path(&prefix, artifact, session))?)
        }
        None => Ok(builder),
    }
}

/// `PREFIX.MODEL.3`: the prefix, the model's file without its folder and extension, the session's number.
fn path(prefix: &OsStr, artifact: &Artifact, session: u64) -> PathBuf {
    let mut path = prefix.to_owned();
    path.push(".");
    path.push(artifact.origin().file_stem().unwrap_or_default());
    path.push(format!(".{session}"));
    path.into()
}
