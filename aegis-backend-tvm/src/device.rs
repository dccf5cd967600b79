//! A flow of executions on a device: bound to a stream, to tensors there, and to the scratch that was placed for it.
use crate::ffi::{Call, Span, Tensor};
use crate::model::{Shared, failed};
use aegis_backend::{BackendError, DeviceBinding, DeviceSession, SegmentIndex};
use aegis_core::Bytes;
use aegis_cuda::{DeviceMemory, DeviceSlice, Stream};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct TvmDeviceSession {
    shared: Arc<Shared>,
    stream: Arc<Stream>,
    inputs: Vec<Tensor<'static>>,
    outputs: Vec<DeviceSlice>,
    scratch: DeviceSlice,
}

impl TvmDeviceSession {
    /// `binding` has passed [`aegis_backend::Binding::device_for`].
    pub(crate) fn new(shared: Arc<Shared>, binding: &DeviceBinding) -> Result<Self, BackendError> {
        let facts = &shared.facts;
        let context = binding.stream.context();
        let theirs = |slices: &[DeviceSlice]| {
            slices.iter().all(|slice| slice.context().device().ordinal == context.device().ordinal)
        };
        let there =
            shared.context.as_ref().is_some_and(|own| own.device().ordinal == context.device().ordinal);
        if !there
            || !theirs(&binding.inputs)
            || !theirs(&binding.outputs)
            || !theirs(binding.scratch.as_slice())
        {
            let why = "the model, the stream and the tensors are not all on one device".to_owned();
            return Err(BackendError::BadBinding { why });
        }
        let inputs = binding.inputs.iter().zip(&facts.inputs);
        let inputs = inputs.map(|(slice, facts)| Tensor::device(shared.api, slice, facts));
        let inputs = inputs.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let scratch = match &binding.scratch {
            Some(scratch) => scratch.clone(),
            None => DeviceMemory::alloc(context, Bytes::ZERO)?,
        };
        let (stream, outputs) = (Arc::clone(&binding.stream), binding.outputs.clone());
        Ok(Self { shared, stream, inputs, outputs, scratch })
    }
}

impl DeviceSession for TvmDeviceSession {
    fn enqueue(&mut self, segment: SegmentIndex) -> Result<(), BackendError> {
        let Shared { facts, script, .. } = &*self.shared;
        if segment >= facts.segments {
            return Err(BackendError::NoSuchSegment { segment, segments: facts.segments });
        }
        let outputs: Vec<_> = self.outputs.iter().map(Span::device).collect();
        let call = Call {
            script,
            facts: &facts.outputs,
            inputs: &self.inputs,
            outputs: &outputs,
            scratch: Span::device(&self.scratch),
            stream: Some(&self.stream),
        };
        self.shared.call(&call)
    }
}

impl Drop for TvmDeviceSession {
    fn drop(&mut self) {
        // Whether it waits well or badly: after an error the device does nothing more.
        let _ = self.stream.synchronize();
    }
}
