//! `aegis init`: a system file with five models, to start from.
use crate::cli::InitArgs;
use crate::output::Output;
use crate::{Error, zoo};
use serde_json::json;
use std::path::Path;

pub(crate) fn run(args: &InitArgs, output: &Output) -> Result<u8, Error> {
    let folder = &args.folder;
    let system = folder.join("system.toml");
    if system.exists() {
        return Err(Error::Argument(format!(
            "{} exists already and is not overwritten; name another folder",
            system.display()
        )));
    }
    models(&folder.join("models"))?;
    write(&system, TEMPLATE)?;
    output.answer(
        || {
            format!(
                "wrote {} and {} models; next: aegis run {}",
                system.display(),
                zoo::MODELS.len(),
                system.display()
            )
        },
        || json!({ "schema_version": 1, "system": system.display().to_string() }),
    );
    Ok(0)
}

/// Writes the demo models into `folder`.
pub(crate) fn models(folder: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write { path: folder.to_path_buf(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    zoo::write_all(folder).map_err(failed)?;
    Ok(())
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

const TEMPLATE: &str = include_str!("init.toml");
