//! A loaded model: its facts, and the ONNX Runtime session that its sessions share.
use crate::session::OrtSession;
use aegis_backend::onnx::{Outline, Port};
use aegis_backend::{
    Artifact, BackendError, Binding, DType, Dim, Model, ModelFacts, Place, Scratch, Session, TensorFacts,
    catch,
};
use aegis_core::Bytes;
use ort::environment::Environment;
use ort::ep::CPU;
use ort::value::Outlet;
use std::sync::{Arc, Mutex, PoisonError};

/// An ONNX Runtime session: ort runs one job at a time in it.
pub(crate) type Engine = Arc<Mutex<ort::session::Session>>;

pub(crate) struct OrtModel {
    environment: Environment,
    artifact: Artifact,
    facts: Arc<ModelFacts>,
    /// The session that was made last, with its number of threads; all that open with this number share it.
    engine: Mutex<(Option<u32>, Engine)>,
}

impl OrtModel {
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
}

impl Model for OrtModel {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn open(&self, binding: &Binding) -> Result<Session, BackendError> {
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
        builder.commit_from_memory(artifact.bytes())
    })
    .map_err(|why| BackendError::Panicked { path: path(), why })?
    .map_err(|error| match error.code() {
        ort::ErrorCode::NotImplemented => BackendError::Unsupported { path: path(), why: error.to_string() },
        _ => BackendError::Malformed { path: path(), why: error.to_string() },
    })
}

fn facts(
    outline: &Outline,
    artifact: &Artifact,
    session: &ort::session::Session,
) -> Result<ModelFacts, String> {
    let file = Bytes(artifact.bytes().len() as u64);
    Ok(ModelFacts {
        place: Place::Host,
        inputs: tensors("input", &outline.inputs, session.inputs())?,
        outputs: tensors("output", &outline.outputs, session.outputs())?,
        weights: outline
            .constants
            .checked_add(file)
            .ok_or("the size of its constants does not fit 64 bits")?,
        scratch: Scratch::Opaque { at_most: None },
        extra_streams: 0,
        segments: 1,
    })
}

fn tensors(which: &str, ports: &[Port], outlets: &[Outlet]) -> Result<Vec<TensorFacts>, String> {
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
        let facts = port.facts(which, inferred)?;
        if facts.dtype == DType::F16 {
            return Err(format!("{which} `{}` is f16, which this backend does not take yet", facts.name));
        }
        Ok(facts)
    };
    ports.iter().zip(outlets).map(facts).collect()
}
