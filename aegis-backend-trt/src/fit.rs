//! A binding that fits a model: the evidence with which memory of the caller's is handed to TensorRT.
use aegis_backend::{BackendError, Binding, ModelFacts};
use aegis_cuda::{Context, DeviceSlice, Stream};
use std::ffi::CString;
use std::sync::Arc;

/// Slices that are as long and as aligned as a model's facts say, and a stream, all on the model's device. Only [`fit`]
/// makes it, and it keeps all of them alive.
pub(crate) struct Fitting {
    stream: Arc<Stream>,
    tensors: Vec<(CString, DeviceSlice)>,
    scratch: Option<DeviceSlice>,
}

/// Checks a binding against a model whose inputs and outputs have these names.
///
/// # Errors
/// [`BackendError::BadBinding`].
pub(crate) fn fit(
    binding: &Binding,
    facts: &ModelFacts,
    inputs: &[CString],
    outputs: &[CString],
    context: &Context,
) -> Result<Fitting, BackendError> {
    let device = binding.device_for(facts)?;
    let slices = || device.inputs.iter().chain(&device.outputs);
    let on = [device.stream.context()]
        .into_iter()
        .chain(slices().chain(&device.scratch).map(DeviceSlice::context));
    for other in on {
        if other.device().ordinal != context.device().ordinal {
            let why = format!("the model is on {}, and its binding on {}", context.device(), other.device());
            return Err(BackendError::BadBinding { why });
        }
    }
    Ok(Fitting {
        stream: Arc::clone(&device.stream),
        tensors: inputs.iter().chain(outputs).cloned().zip(slices().cloned()).collect(),
        scratch: device.scratch.clone(),
    })
}

impl Fitting {
    pub(crate) const fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// All inputs and outputs.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &(CString, DeviceSlice)> {
        self.tensors.iter()
    }

    /// At least as long as the model needs, where it needs any.
    pub(crate) const fn scratch(&self) -> Option<&DeviceSlice> {
        self.scratch.as_ref()
    }
}
