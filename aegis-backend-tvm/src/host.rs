//! A flow of executions on the calling thread: inputs as views, outputs written in place.
use crate::ffi::{Call, Span, Tensor};
use crate::model::{Shared, failed, no_memory, no_scratch};
use aegis_backend::{BackendError, DType, HostSession, Io, SegmentIndex, TensorBuf};
use aegis_core::Bytes;
use std::sync::Arc;

/// TVM's kernels use instructions that need this alignment. Tensors of [`TensorBuf`] have it; others are copied.
const ALIGN: Bytes = TensorBuf::ALIGN;

#[derive(Debug)]
pub(crate) struct TvmHostSession {
    shared: Arc<Shared>,
}

impl TvmHostSession {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl HostSession for TvmHostSession {
    fn run(&mut self, segment: SegmentIndex, io: Io<'_, '_>) -> Result<(), BackendError> {
        let Shared { api, facts, script, claim, .. } = &*self.shared;
        if segment >= facts.segments {
            return Err(BackendError::NoSuchSegment { segment, segments: facts.segments });
        }
        io.check(facts)?;

        let mut region = None;
        if let Some(claim) = claim {
            region = Some(
                claim.region().ok_or_else(|| no_scratch(&format!("the host has no {}", script.scratch())))?,
            );
        }
        let scratch = region.as_mut().map_or(&mut [][..], |region| region.bytes());

        let mut aligned_inputs = Vec::new();
        for (input, facts) in io.inputs.iter().zip(&facts.inputs) {
            aligned_inputs.push(if is_aligned(input.data) {
                None
            } else {
                let mut copy = zeroed("input", facts, input.dtype, input.shape)?;
                copy.data_mut().copy_from_slice(input.data);
                Some(copy)
            });
        }
        let inputs = io.inputs.iter().zip(&aligned_inputs).map(|(input, copy)| {
            let data = copy.as_ref().map_or(input.data, TensorBuf::data);
            Tensor::host(api, data, input.dtype, input.shape)
        });
        let inputs = inputs.collect::<Result<Vec<_>, _>>().map_err(failed)?;

        let mut aligned_outputs = Vec::new();
        for (output, facts) in io.outputs.iter().zip(&facts.outputs) {
            aligned_outputs.push(if is_aligned(output.data) {
                None
            } else {
                Some(zeroed("output", facts, output.dtype, output.shape)?)
            });
        }
        let outputs = io.outputs.iter_mut().zip(&mut aligned_outputs);
        let outputs = outputs
            .map(|(output, copy)| Span::host(copy.as_mut().map_or(&mut *output.data, |c| c.data_mut())));
        let outputs: Vec<_> = outputs.collect();

        let scratch = Span::host(scratch);
        let call =
            Call { script, facts: &facts.outputs, inputs: &inputs, outputs: &outputs, scratch, stream: None };
        self.shared.call(&call)?;
        for (output, copy) in io.outputs.iter_mut().zip(&aligned_outputs) {
            if let Some(copy) = copy {
                output.data.copy_from_slice(copy.data());
            }
        }
        Ok(())
    }
}

fn is_aligned(data: &[u8]) -> bool {
    (data.as_ptr() as u64).is_multiple_of(ALIGN.0)
}

fn zeroed(
    which: &'static str,
    facts: &aegis_backend::TensorFacts,
    dtype: DType,
    shape: &[u64],
) -> Result<TensorBuf, BackendError> {
    TensorBuf::zeroed(dtype, shape).ok_or_else(|| no_memory(which, facts))
}
