//! One flow of executions: inputs in, a run on the session's threads, outputs out.
use crate::{Loaded, tensor};
use aegis_backend::{BackendError, HostSession, Io, SegmentIndex, catch};
use aegis_core::{Blame, Fault, FaultCode, Usable};
use rten::{RunOptions, ThreadPool};
use std::sync::Arc;

pub(crate) struct RtenSession {
    loaded: Arc<Loaded>,
    options: RunOptions,
}

impl RtenSession {
    pub(crate) fn new(loaded: Arc<Loaded>, threads: Option<u32>) -> Self {
        let pool = threads.map(|n| Arc::new(ThreadPool::with_num_threads(n.max(1) as usize)));
        Self { loaded, options: RunOptions::default().with_thread_pool(pool) }
    }
}

impl HostSession for RtenSession {
    fn run(&mut self, segment: SegmentIndex, io: Io<'_, '_>) -> Result<(), BackendError> {
        let Loaded { model, facts } = &*self.loaded;
        if segment >= facts.segments {
            return Err(BackendError::NoSuchSegment { segment, segments: facts.segments });
        }
        io.check(facts)?;
        let inputs = facts
            .inputs
            .iter()
            .zip(io.inputs)
            .zip(model.input_ids())
            .map(|((facts, input), id)| Ok((*id, tensor::input(facts, input)?)))
            .collect::<Result<Vec<_>, BackendError>>()?;
        let failed = |code, usable| {
            move |why| BackendError::Execution { why, fault: Fault { blame: Blame::Backend, code, usable } }
        };
        let values = catch(|| model.run(inputs, model.output_ids(), Some(self.options.clone())))
            .map_err(failed(FaultCode::Panicked, Usable::Model))?
            .map_err(|error| error.to_string())
            .map_err(failed(FaultCode::ExecutionFailed, Usable::Session))?;
        for ((facts, value), output) in facts.outputs.iter().zip(&values).zip(io.outputs.iter_mut()) {
            tensor::output(facts, value, output)?;
        }
        Ok(())
    }
}
