//! A model on the host: its facts, and the ONNX Runtime session that its sessions share.
use crate::profiling::profiled;
use crate::session::OrtSession;
use aegis_backend::onnx::{Outline, Port};
use aegis_backend::{
    Artifact, BackendError, Binding, DType, Dim, ModelFacts, Place, Scratch, Session, TensorFacts, catch,
};
use aegis_core::Bytes;
use ort::environment::Environment;
use ort::ep::CPU;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Outlet;
use std::sync::{Arc, Mutex, PoisonError};

/// An ONNX Runtime session: ort runs one job at a time in it.
pub(crate) type Engine = Arc<Mutex<ort::session::Session>>;

pub(crate) struct HostModel {
    environment: Environment,
    artifact: Artifact,
    facts: Arc<ModelFacts>,
    /// The session that was made last, with its number of threads; all that open with this number share it.
    engine: Mutex<(Option<u32>, Engine)>,
}

impl HostModel {
    pub(crate) fn load(environment: &Environment, artifact: &Artifact) -> Result<Self, BackendError> {
        let outline = aegis_backend::onnx::outline(artifact)?;
        let session = commit(environment, artifact, None)?;
        let facts = facts(&outline, artifact, &session)
            .map_err(|why| BackendError::Unsupported { path: artifact.origin().to_path_buf(), why })?;
        Ok(Self {
            environment: environment.clone(),
            artifact: artifact.clone(),
            facts: Arc::new(facts),
            engine: Mutex::new((None, Arc::new(Mutex::new(session)))),
        })
    }

    pub(crate) fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    pub(crate) fn open(&self, binding: &Binding) -> Result<Session, BackendError> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if engine.0 != binding.threads {
            let session = commit(&self.environment, &self.artifact, binding.threads)?;
            *engine = (binding.threads, Arc::new(Mutex::new(session)));
        }
        Ok(Session::Host(Box::new(OrtSession {
            engine: Arc::clone(&engine.1),
            facts: Arc::clone(&self.facts),
        })))
    }
}

/// Makes an ONNX Runtime session of the artifact's bytes.
fn commit(
    environment: &Environment,
    artifact: &Artifact,
    threads: Option<u32>,
) -> Result<ort::session::Session, BackendError> {
    let path = || artifact.origin().to_path_buf();
    catch(|| -> ort::Result<_> {
        let mut builder = ort::session::Session::builder(environment)?
            .with_execution_providers([CPU::default()
                .with_arena_allocator(false)
                .build()
                .error_on_failure()])?
            .with_memory_pattern(false)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?;
        if let Some(threads) = threads {
            builder = builder.with_intra_threads(threads.max(1) as usize)?;
        }
        profiled(builder, artifact)?.commit_from_memory(artifact.bytes())
    })
    .map_err(|why| BackendError::Panicked { path: path(), why })?
    .map_err(|error| match error.code() {
        ort::ErrorCode::NotImplemented => BackendError::Unsupported { path: path(), why: error.to_string() },
        _ => BackendError::Malformed { path: path(), why: error.to_string() },
    })
}

/// Whether ONNX Runtime takes the file for a model, found out on the host alone: what is corrupt never reaches a device.
/// A model that only a device has code for passes.
pub(crate) fn check(environment: &Environment, artifact: &Artifact) -> Result<(), BackendError> {
    let path = || artifact.origin().to_path_buf();
    let made = catch(|| -> ort::Result<_> {
        ort::session::Session::builder(environment)?
            .with_execution_providers([CPU::default()
                .with_arena_allocator(false)
                .build()
                .error_on_failure()])?
            .with_optimization_level(GraphOptimizationLevel::Disable)?
            .with_prepacking(false)?
            .with_intra_threads(1)?
            .commit_from_memory(artifact.bytes())
    });
    match made.map_err(|why| BackendError::Panicked { path: path(), why })? {
        Err(error) if error.code() != ort::ErrorCode::NotImplemented => {
            Err(BackendError::Malformed { path: path(), why: error.to_string() })
        }
        _ => Ok(()),
    }
}

fn facts(
    outline: &Outline,
    artifact: &Artifact,
    session: &ort::session::Session,
) -> Result<ModelFacts, String> {
    let file = Bytes(artifact.bytes().len() as u64);
    let without_halves =
        |which, tensors: Vec<TensorFacts>| match tensors.iter().find(|t| t.dtype == DType::F16) {
            Some(half) => Err(format!(
                "{which} `{}` is f16, which this backend does not take yet on the CPU",
                half.name
            )),
            None => Ok(tensors),
        };
    Ok(ModelFacts {
        place: Place::Host,
        inputs: without_halves("input", tensors("input", &outline.inputs, session.inputs())?)?,
        outputs: without_halves("output", tensors("output", &outline.outputs, session.outputs())?)?,
        weights: outline
            .constants
            .checked_add(file)
            .ok_or("the size of its constants does not fit 64 bits")?,
        scratch: Scratch::Opaque { at_most: None },
        extra_streams: 0,
        segments: 1,
    })
}

/// The facts of inputs or outputs: what the file declares, completed by what ONNX Runtime infers.
pub(crate) fn tensors(which: &str, ports: &[Port], outlets: &[Outlet]) -> Result<Vec<TensorFacts>, String> {
    let names = |given: Vec<&str>| given.join(", ");
    let (listed, seen) = (
        names(ports.iter().map(|port| &*port.name).collect()),
        names(outlets.iter().map(Outlet::name).collect()),
    );
    if listed != seen {
        return Err(format!("its {which}s are {listed}, ONNX Runtime sees {seen}"));
    }
    let facts = |(port, outlet): (&Port, &Outlet)| {
        // A negative extent is one that ONNX Runtime does not know.
        let extent = |extent: &i64| u64::try_from(*extent).map_or(Dim::Symbol("?".to_owned()), Dim::Fixed);
        let inferred = outlet.dtype().tensor_shape().map(|shape| shape.iter().map(extent).collect());
        port.facts(which, inferred)
    };
    ports.iter().zip(outlets).map(facts).collect()
}
