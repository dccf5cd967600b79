//! Loading: from the system file to opened models with their facts, each inside its budget.
use crate::backends::{Backends, NoBackend};
use crate::heap::peak_of;
use crate::{Error, SystemFile, arena};
use aegis_backend::{
    Artifact, BackendError, Binding, DeviceBinding, Digest, Limits, Model, ModelFacts, Place, Scratch,
};
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

/// A model that is loaded and not opened yet.
struct Closed {
    backend: &'static str,
    runtime: String,
    artifact: Artifact,
    model: Box<dyn Model>,
    took: Nanos,
}

/// Loads every model of the system, plans where those on a device work, and opens all of them, in the order of the file.
/// All of it is over before any job is released: loading may stop a device for longer than any deadline.
///
/// # Errors
/// The first [`Error`]; a model's file that cannot be loaded points at its line in the system file.
pub fn load(file: &SystemFile, backends: &mut Backends, seed: u64) -> Result<Vec<Loaded>, Error> {
    let tasks = file.spec.tasks();
    let closed =
        (0..tasks.len()).map(|index| closed(file, backends, seed, index)).collect::<Result<Vec<_>, _>>()?;
    let mut bindings = on_device(file, backends, &closed)?.into_iter();
    let mut loaded = Vec::with_capacity(closed.len());
    for (task, closed) in tasks.iter().zip(closed) {
        let device = match closed.model.facts().place {
            Place::Host => None,
            Place::Device => bindings.next(),
        };
        loaded.push(open(file, task, closed, device)?);
    }
    Ok(loaded)
}

fn closed(file: &SystemFile, backends: &mut Backends, seed: u64, index: usize) -> Result<Closed, Error> {
    let task = &file.spec.tasks()[index];
    let artifact = artifact(file, index)?;
    let clock = MonotonicClock::start();
    let backend = opened(file, backends, seed, index)?;
    let limits = Limits { device_memory: task.budget.device_memory };
    let model = backend.load(&artifact, &limits).map_err(|error| refused(file, index, task, error))?;
    let (backend, runtime) = (backend.name(), backend.version());
    Ok(Closed { backend, runtime, artifact, model, took: clock.now() })
}

/// Where the models that live on a device work, in their order.
fn on_device(
    file: &SystemFile,
    backends: &mut Backends,
    closed: &[Closed],
) -> Result<Vec<DeviceBinding>, Error> {
    let tasks = file.spec.tasks().iter().zip(closed);
    let models: Vec<(&TaskSpec, &ModelFacts)> = tasks
        .map(|(task, closed)| (task, closed.model.facts()))
        .filter(|(_, facts)| facts.place == Place::Device)
        .collect();
    let Some((first, _)) = models.first() else { return Ok(Vec::new()) };
    let no_device = |source| Error::Backend { task: first.name.clone(), source };
    let stream = backends.stream(file.spec.device()).map_err(no_device)?;
    let stream = stream.ok_or_else(|| no_device(NoBackend::NeedsDevice { name: first.backend.clone() }))?;
    let models: Vec<(&str, &ModelFacts)> =
        models.iter().map(|(task, facts)| (task.name.as_str(), *facts)).collect();
    arena::bindings(&stream, &models)
}

fn open(
    file: &SystemFile,
    task: &TaskSpec,
    closed: Closed,
    device: Option<DeviceBinding>,
) -> Result<Loaded, Error> {
    let Closed { backend, runtime, artifact, model, took } = closed;
    let facts = model.facts().clone();
    let binding = Binding { threads: file.spec.device().threads, device };
    let failed = |source| Error::Context { task: task.name.clone(), source };
    let clock = MonotonicClock::start();
    let mut context = ExecutionContext::open(&task.name, model, &task.budget, &binding).map_err(failed)?;
    let took = took.saturating_add(clock.now());
    let measured_scratch =
        if facts.scratch == Scratch::Heap { measure_scratch(&mut context).map_err(failed)? } else { None };
    Ok(Loaded {
        task: task.name.clone(),
        backend,
        runtime,
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
    context.run_job()?;
    let mut most = None;
    for _ in 0..3 {
        let (result, seen) = peak_of(|| context.run_job());
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
