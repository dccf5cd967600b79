//! A simulated model whose tensors lie on a device: it reads and writes them there and computes on the host.
use super::SimSession;
use crate::{
    BackendError, DeviceBinding, DeviceSession, HostSession, Io, SegmentIndex, TensorBuf, TensorFacts,
    TensorMut, TensorRef,
};

/// What scratch is full of after a job: whoever keeps something there finds it gone.
const USED: u8 = 0x5c;

pub(super) struct SimDeviceSession {
    session: SimSession,
    bound: DeviceBinding,
    inputs: Vec<TensorBuf>,
    outputs: Vec<TensorBuf>,
}

impl SimDeviceSession {
    pub(super) fn new(session: SimSession, bound: &DeviceBinding) -> Result<Self, BackendError> {
        let facts = &session.plan.facts;
        let take = |which, tensors: &[TensorFacts]| -> Result<Vec<_>, BackendError> {
            let buffer = |tensor: &TensorFacts| {
                TensorBuf::for_facts(tensor).ok_or_else(|| BackendError::NoMemory {
                    which,
                    name: tensor.name.clone(),
                    tensor: tensor.to_string(),
                })
            };
            tensors.iter().map(buffer).collect()
        };
        let (inputs, outputs) = (take("input", &facts.inputs)?, take("output", &facts.outputs)?);
        Ok(Self { session, bound: bound.clone(), inputs, outputs })
    }
}

impl DeviceSession for SimDeviceSession {
    /// Waits for the copies: a simulated device works when it is told to.
    fn enqueue(&mut self, segment: SegmentIndex) -> Result<(), BackendError> {
        let Self { session, bound, inputs, outputs } = self;
        let part = |slice: &aegis_cuda::DeviceSlice, len: usize| {
            slice
                .part(aegis_core::Bytes::ZERO, aegis_core::Bytes(len as u64))
                .unwrap_or_else(|| slice.clone())
        };
        for (slice, tensor) in bound.inputs.iter().zip(inputs.iter_mut()) {
            bound.stream.read(&part(slice, tensor.data().len()), tensor.data_mut())?;
        }
        let given: Vec<TensorRef<'_>> = inputs.iter().map(TensorBuf::input).collect();
        let mut made: Vec<TensorMut<'_>> = outputs.iter_mut().map(TensorBuf::output).collect();
        session.run(segment, Io { inputs: &given, outputs: &mut made })?;
        if let Some(scratch) = &bound.scratch {
            bound.stream.fill(scratch, USED)?;
        }
        if segment + 1 == session.plan.facts.segments {
            for (slice, tensor) in bound.outputs.iter().zip(outputs.iter()) {
                bound.stream.write(tensor.data(), &part(slice, tensor.data().len()))?;
            }
        }
        Ok(())
    }
}
