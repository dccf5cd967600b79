//! Loading: from the system file to opened models with their facts, each inside its budget.
use crate::backends::{Backends, NoBackend};
use crate::execute::run_job;
use crate::heap::peak_of;
use crate::{Error, SystemFile};
use aegis_backend::{Artifact, BackendError, Binding, Digest, ModelFacts, Scratch};
use aegis_context::{ContextError, ExecutionContext};
use aegis_core::{Budgeted, Bytes, Clock, MonotonicClock, Nanos, TaskSpec};
use std::path::PathBuf;

/// A model that is ready to run.
#[derive(Debug)]
pub struct Loaded {
    /// Name of its task.
    pub task: String,
    /// Name of its backend.
    pub backend: &'static str,
    /// Name and version of the runtime behind it.
    pub runtime: String,
    /// Its file, or a description of where it came from.
    pub file: PathBuf,
    /// Digest of its bytes.
    pub digest: Digest,
    /// What it needs.
    pub facts: ModelFacts,
    /// Its session, its buffers and its budget.
    pub context: ExecutionContext,
    /// The most heap that a job took, for models that take their scratch from there; `None` where nobody counts.
    pub measured_scratch: Option<Bytes>,
    /// How long loading and opening took.
    pub took: Nanos,
}

impl Loaded {
    /// The memory that a running job needs besides weights, inputs and outputs, as far as it is known.
    #[must_use]
    pub fn scratch(&self) -> Option<Bytes> {
        self.facts.scratch.peak().or(self.measured_scratch)
    }
}

/// The bytes of the model of task `index`.
///
/// # Errors
/// [`Error::Source`] that points at the model's line in the system file.
pub fn artifact(file: &SystemFile, index: usize) -> Result<Artifact, Error> {
    let task = &file.spec.tasks()[index];
    if task.model_is_text {
        let origin = format!("{} (simulated model of `{}`)", file.path.display(), task.name);
        return Ok(Artifact::from_bytes(origin, task.model.clone().into_bytes()));
    }
    Artifact::open(&file.folder().join(&task.model))
        .map_err(|error| file.model_error(index, format!("task `{}`: {error}", task.name)).into())
}

/// Loads and opens every model of the system, in the order of the file.
///
/// # Errors
/// The first [`Error`]; a model's file that cannot be loaded points at its line in the system file.
pub fn load(file: &SystemFile, backends: &mut Backends, seed: u64) -> Result<Vec<Loaded>, Error> {
    (0..file.spec.tasks().len()).map(|index| one(file, backends, seed, index)).collect()
}

fn one(file: &SystemFile, backends: &mut Backends, seed: u64, index: usize) -> Result<Loaded, Error> {
    let task = &file.spec.tasks()[index];
    let artifact = artifact(file, index)?;
    let clock = MonotonicClock::start();
    let backend = opened(file, backends, seed, index)?;
    let model = backend.load(&artifact).map_err(|error| refused(file, index, task, error))?;
    let facts = model.facts().clone();
    let binding = Binding { threads: file.spec.device().threads };
    let failed = |source| Error::Context { task: task.name.clone(), source };
    let mut context = ExecutionContext::open(&task.name, model, &task.budget, &binding).map_err(failed)?;
    let took = clock.now();
    let measured_scratch =
        if facts.scratch == Scratch::Heap { measure_scratch(&mut context).map_err(failed)? } else { None };
    Ok(Loaded {
        task: task.name.clone(),
        backend: backend.name(),
        runtime: backend.version(),
        file: artifact.origin().to_path_buf(),
        digest: artifact.digest(),
        facts,
        context,
        measured_scratch,
        took,
    })
}

/// The most heap that a job takes, seen over three jobs after a first one that fills the runtime's caches; charged
/// against the budget like memory that the model had stated.
fn measure_scratch(context: &mut ExecutionContext) -> Result<Option<Bytes>, ContextError> {
    run_job(context)?;
    let mut most = None;
    for _ in 0..3 {
        let (result, seen) = peak_of(|| run_job(context));
        result?;
        most = most.max(seen);
    }
    let asked = context.accounting().known.checked_add(most.unwrap_or_default());
    if let (Some(limit), Some(asked)) = (context.budget().host_memory, asked)
        && asked > limit
    {
        let over = Budgeted::HostMemory { limit: limit.0, asked: asked.0 };
        return Err(ContextError::OverBudget { name: context.name().to_owned(), over });
    }
    Ok(most)
}

/// The backend of task `index`.
///
/// # Errors
/// [`Error::Source`] for a name that no backend has, [`Error::Backend`] for one that cannot be used here.
pub fn opened<'a>(
    file: &SystemFile,
    backends: &'a mut Backends,
    seed: u64,
    index: usize,
) -> Result<&'a dyn aegis_backend::RuntimeBackend, Error> {
    let task = &file.spec.tasks()[index];
    backends.get(&task.backend, file.spec.device(), seed).map_err(|source| match source {
        NoBackend::Unknown { .. } => {
            file.backend_error(index, format!("task `{}`: {source}", task.name)).into()
        }
        source => Error::Backend { task: task.name.clone(), source },
    })
}

fn refused(file: &SystemFile, index: usize, task: &TaskSpec, error: BackendError) -> Error {
    match error {
        BackendError::Unavailable { .. } => {
            Error::Backend { task: task.name.clone(), source: NoBackend::Refused(error) }
        }
        // The place in the text of a `sim` table is not its place in the system file.
        BackendError::Malformed { why, .. } if task.model_is_text => {
            let why = why.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':').trim_start();
            file.model_error(index, format!("task `{}`: its simulated model: {why}", task.name)).into()
        }
        error => file.model_error(index, format!("task `{}`: {error}", task.name)).into(),
    }
}
