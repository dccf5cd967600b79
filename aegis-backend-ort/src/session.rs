//! One flow of executions: inputs as views, a run, outputs copied out.
use crate::host::Engine;
use crate::tensor;
use aegis_backend::{BackendError, HostSession, Io, ModelFacts, SegmentIndex, catch};
use aegis_core::{Blame, Fault, FaultCode, Usable};
use std::sync::{Arc, PoisonError};

pub(crate) struct OrtSession {
    pub(crate) engine: Engine,
    pub(crate) facts: Arc<ModelFacts>,
}

impl HostSession for OrtSession {
    fn run(&mut self, segment: SegmentIndex, io: Io<'_, '_>) -> Result<(), BackendError> {
        let facts = &*self.facts;
        if segment >= facts.segments {
            return Err(BackendError::NoSuchSegment { segment, segments: facts.segments });
        }
        io.check(facts)?;
        // The lock is poisoned only by a panic outside `catch`, with no run in progress.
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        catch(|| {
            let inputs = facts.inputs.iter().zip(io.inputs);
            let inputs = inputs.map(|(facts, input)| tensor::input(facts, input));
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            let values = engine.run(&*inputs).map_err(|error| failed(error.to_string()))?;
            for ((facts, value), output) in
                facts.outputs.iter().zip(values.values()).zip(io.outputs.iter_mut())
            {
                tensor::output(facts, &value, output)?;
            }
            Ok(())
        })
        .unwrap_or_else(|why| {
            let fault = Fault { blame: Blame::Backend, code: FaultCode::Panicked, usable: Usable::Model };
            Err(BackendError::Execution { why, fault })
        })
    }
}

/// ONNX Runtime said no; the session stays usable.
pub(crate) fn failed(why: String) -> BackendError {
    let fault = Fault { blame: Blame::Backend, code: FaultCode::ExecutionFailed, usable: Usable::Session };
    BackendError::Execution { why, fault }
}
