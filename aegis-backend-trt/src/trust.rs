//! The digest beside a plan. TensorRT loads a damaged plan without an error, and a plan is code that the device executes.
use crate::plan;
use aegis_backend::{Artifact, BackendError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where the digest of a plan is looked for: `model.plan.blake3` for `model.plan`.
#[must_use]
pub fn digest_file(plan: &Path) -> PathBuf {
    let mut name = plan.as_os_str().to_owned();
    name.push(".blake3");
    name.into()
}

/// Says that a plan is the one that was built: writes its digest beside it, as `b3sum model.plan > model.plan.blake3`
/// does, and answers with the file that was written. Do this where the plan is built, before it travels.
///
/// # Errors
/// [`BackendError::Unreadable`] if the plan cannot be read, [`BackendError::Malformed`] if the file is no plan,
/// [`BackendError::Unsupported`] if there is no room for the digest beside it.
pub fn trust(plan: &Path) -> Result<PathBuf, BackendError> {
    let artifact = Artifact::open(plan)?;
    plan::recognise(artifact.bytes()).map_err(|why| malformed(plan, why))?;
    let file = digest_file(plan);
    let name = plan.file_name().unwrap_or_default().to_string_lossy();
    let text = format!("{}  {name}\n", artifact.digest());
    // Whole or not at all, also for whoever loads the plan meanwhile.
    let draft = file.with_extension(format!("blake3.{}", std::process::id()));
    match std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &file)) {
        Ok(()) => Ok(file),
        Err(why) => {
            // The draft may be there or not.
            let _ = std::fs::remove_file(&draft);
            let why = format!("its digest cannot be written to {}: {why}", file.display());
            Err(BackendError::Unsupported { path: plan.to_path_buf(), why })
        }
    }
}

/// Compares a plan's digest with the one beside it.
///
/// # Errors
/// [`BackendError::Malformed`] if they differ, [`BackendError::Unsupported`] if there is none and `unhashed` is false.
pub(crate) fn check(artifact: &Artifact, unhashed: bool) -> Result<(), BackendError> {
    let plan = artifact.origin();
    let file = digest_file(plan);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && unhashed => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(BackendError::Unsupported {
                path: plan.to_path_buf(),
                why: format!(
                    "there is no {file}: a plan is code that the device executes, and TensorRT loads a damaged one \
                     without an error, so its digest must be there; if this is the plan as it was built, run \
                     `aegis trust {plan}`, or `b3sum {plan} > {file}`",
                    file = file.display(),
                    plan = plan.display()
                ),
            });
        }
        Err(error) => return Err(BackendError::Unreadable { path: file, why: error.to_string() }),
    };
    let expected = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    if expected.len() != 64 || !expected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(malformed(
            &file,
            "it does not begin with the 64 hexadecimal digits of a BLAKE3 digest".into(),
        ));
    }
    let found = artifact.digest().to_string();
    if found != expected {
        return Err(malformed(
            plan,
            format!(
                "its BLAKE3 digest is {found}, and {} says {expected}: it was damaged or changed; fetch it or build it \
                 again",
                file.display()
            ),
        ));
    }
    Ok(())
}

fn malformed(path: &Path, why: String) -> BackendError {
    BackendError::Malformed { path: path.to_path_buf(), why }
}

#[cfg(test)]
mod tests {
    use super::{check, digest_file, trust};
    use aegis_backend::{Artifact, BackendError};
    use std::path::Path;

    const PLAN: &[u8] = b"ftrt\0\0\0\0----------------\x0a\x10\x01\x0b\0\0\0\0and so on";

    #[track_caller]
    fn refused(plan: &Path, unhashed: bool, says: &str) {
        let error = check(&Artifact::open(plan).unwrap(), unhashed).unwrap_err();
        assert!(error.to_string().contains(says), "{error}\nbut not {says}");
        assert!(error.to_string().contains("model.plan"), "{error}");
    }

    #[test]
    fn a_plan_is_loaded_with_its_digest_only() {
        let folder = tempfile::tempdir().unwrap();
        let plan = folder.path().join("model.plan");
        std::fs::write(&plan, PLAN).unwrap();
        let digest = digest_file(&plan);
        assert_eq!(digest, folder.path().join("model.plan.blake3"));
        refused(
            &plan,
            false,
            &format!("run `aegis trust {0}`, or `b3sum {0} > {1}`", plan.display(), digest.display()),
        );
        check(&Artifact::open(&plan).unwrap(), true).unwrap();

        assert_eq!(trust(&plan).unwrap(), digest);
        check(&Artifact::open(&plan).unwrap(), false).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "a draft is left");
        let written = std::fs::read_to_string(&digest).unwrap();
        assert_eq!(written, format!("{}  model.plan\n", Artifact::open(&plan).unwrap().digest()));
        // Other spellings of the same.
        for text in [written.to_uppercase(), written[..64].to_owned(), format!("{}\r\n", &written[..64])] {
            std::fs::write(&digest, text).unwrap();
            check(&Artifact::open(&plan).unwrap(), false).unwrap();
        }

        // One bit anywhere is enough, also for whoever trusts plans without a digest.
        for at in [0, PLAN.len() / 2, PLAN.len() - 1] {
            let mut damaged = PLAN.to_vec();
            damaged[at] ^= 1;
            std::fs::write(&plan, damaged).unwrap();
            refused(&plan, false, "it was damaged or changed");
            refused(&plan, true, &written[..64]);
        }
        std::fs::write(&plan, PLAN).unwrap();
        for text in ["", "\n", "abc  model.plan", &written[1..], &written.replacen(&written[..1], "g", 1)] {
            std::fs::write(&digest, text).unwrap();
            refused(&plan, true, "does not begin with the 64 hexadecimal digits");
        }
        std::fs::remove_file(&digest).unwrap();
        std::fs::create_dir(&digest).unwrap();
        let error = check(&Artifact::open(&plan).unwrap(), true).unwrap_err();
        assert!(matches!(error, BackendError::Unreadable { .. }), "{error:?}");
        let error = trust(&plan).unwrap_err();
        assert!(error.to_string().contains("model.plan: its digest cannot be written to "), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "a draft is left");
    }

    #[test]
    fn what_is_no_plan_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.onnx");
        std::fs::write(&file, "ONNX").unwrap();
        assert!(matches!(trust(&file), Err(BackendError::Malformed { .. })));
        assert!(!digest_file(&file).exists());
        assert!(matches!(trust(&folder.path().join("gone")), Err(BackendError::Unreadable { .. })));
    }
}
