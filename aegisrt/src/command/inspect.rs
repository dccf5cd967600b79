//! `aegis inspect`: what a model file needs.
use crate::backends::Backends;
use crate::cli::InspectArgs;
use crate::output::Output;
use crate::{Error, SourceError};
use aegis_backend::{Artifact, BackendError, Limits, ModelFacts, TensorFacts};
use aegis_core::{Bytes, DeviceKind, DeviceSpec};
use serde_json::{Value, json};
use std::fmt::Write;

pub(crate) fn run(args: &InspectArgs, output: &Output) -> Result<u8, Error> {
    let mut backends = Backends::default();
    let kind = args.device.device.unwrap_or(DeviceKind::Cpu);
    let device = DeviceSpec { kind, ..DeviceSpec::default() };
    let backend = backends
        .get(&args.backend, &device, 1)
        .map_err(|source| Error::Backend { task: args.model.display().to_string(), source })?;
    let bad = |error: BackendError| {
        let message = match error {
            BackendError::Unreadable { why, .. } => format!("cannot read the model: {why}"),
            BackendError::Malformed { why, .. } => {
                format!("not a model that `{}` can load: {why}", args.backend)
            }
            BackendError::Unsupported { why, .. } => why,
            other => other.to_string(),
        };
        SourceError::unplaced(&args.model, message)
    };
    let artifact = Artifact::open(&args.model).map_err(bad)?;
    let model = backend.load(&artifact, &Limits::default()).map_err(bad)?;
    let facts = model.facts();
    output.answer(
        || text(&backend.version(), &artifact, facts),
        || {
            json!({
                "schema_version": 1,
                "runtime": backend.version(),
                "digest": artifact.digest().to_string(),
                "inputs": tensors(&facts.inputs),
                "outputs": tensors(&facts.outputs),
                "weights_bytes": facts.weights.0,
                "io_bytes": facts.io_bytes().map(|b| b.0),
                "scratch_bytes": facts.scratch.peak().map(|b| b.0),
                "extra_streams": facts.extra_streams,
                "segments": facts.segments,
            })
        },
    );
    Ok(0)
}

fn tensors(tensors: &[TensorFacts]) -> Vec<Value> {
    tensors.iter().map(|t| json!({ "name": t.name, "type": t.to_string() })).collect()
}

fn text(runtime: &str, artifact: &Artifact, facts: &ModelFacts) -> String {
    let known =
        |bytes: Option<Bytes>| bytes.map_or("-- (the runtime does not say)".to_owned(), |b| b.to_string());
    let mut out = format!("{}\n", artifact.origin().display());
    for (what, list) in [("input", &facts.inputs), ("output", &facts.outputs)] {
        for tensor in list {
            let _ = writeln!(out, "  {what:<8} {} {tensor}", tensor.name);
        }
    }
    let _ = writeln!(out, "  weights  {}", facts.weights);
    let _ = writeln!(out, "  in/out   {}", known(facts.io_bytes()));
    let _ = writeln!(out, "  scratch  {}", known(facts.scratch.peak()));
    let _ = writeln!(out, "  segments {}, streams besides its own {}", facts.segments, facts.extra_streams);
    let _ = writeln!(out, "  runtime  {runtime}");
    let _ = write!(out, "  BLAKE3   {}", artifact.digest());
    out
}
