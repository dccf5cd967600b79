//! `aegis trust`: says that a TensorRT plan is the one that was built, by its digest beside it.
use crate::cli::TrustArgs;
use crate::output::Output;
use crate::{Error, SourceError};

#[cfg(feature = "trt")]
pub(crate) fn run(args: &TrustArgs, output: &Output) -> Result<u8, Error> {
    let written = aegis_backend_trt::trust(&args.plan)
        .map_err(|error| SourceError::unplaced(&args.plan, error.to_string()))?;
    output.answer(
        || {
            format!(
                "{}: this plan is loaded as it is now, and not when a byte of it changes",
                written.display()
            )
        },
        || serde_json::json!({ "schema_version": 1, "digest_file": written.display().to_string() }),
    );
    Ok(0)
}

#[cfg(not(feature = "trt"))]
pub(crate) fn run(args: &TrustArgs, _: &Output) -> Result<u8, Error> {
    let why = "this build has no TensorRT backend; rebuild with `cargo build --features trt`";
    Err(SourceError::unplaced(&args.plan, why.to_owned()).into())
}
