//! ONNX Runtime used without the backend: the C interface alone, with the same options, as a program without AegisRT would.
use aegis_backend::{DType, DeviceBinding, ModelFacts, TensorFacts};
use aegis_cuda::{DeviceSlice, Stream};
use ort::sys::{
    ONNXTensorElementDataType as Element, OrtAllocator, OrtAllocatorType, OrtEnv, OrtIoBinding,
    OrtLoggingLevel, OrtMemType, OrtMemoryInfo, OrtRunOptions, OrtSession, OrtStatusPtr,
};
use std::ffi::{CStr, CString};
use std::ptr::null_mut;
use std::sync::Arc;

/// A session with bound tensors. The slices of `device` must outlive it.
pub struct Bare {
    env: *mut OrtEnv,
    session: *mut OrtSession,
    options: *mut OrtRunOptions,
    binding: *mut OrtIoBinding,
    /// The session's pinned arena: where the stream's call is the last to hold it, the process ends.
    pinned: *mut OrtAllocator,
    stream: Arc<Stream>,
}

fn ok(status: OrtStatusPtr) {
    // SAFETY: the status comes from the call that was the argument.
    unsafe { ort::Error::result_from_status(status) }.unwrap();
}

const OPTIONS: [(&CStr, &CStr); 5] = [
    (c"arena_extend_strategy", c"kSameAsRequested"),
    (c"cudnn_conv_algo_search", c"HEURISTIC"),
    (c"use_tf32", c"0"),
    (c"device_id", c"0"),
    (c"has_user_compute_stream", c"1"),
];

impl Bare {
    /// Whether a run returns before the device is done is `asynchronous`.
    pub fn new(model: &[u8], facts: &ModelFacts, device: &DeviceBinding, asynchronous: bool) -> Self {
        let api = ort::api();
        let mut bare = Self {
            env: null_mut(),
            session: null_mut(),
            options: null_mut(),
            binding: null_mut(),
            pinned: null_mut(),
            stream: Arc::clone(&device.stream),
        };
        let stream = CString::new((device.stream.raw() as usize).to_string()).unwrap();
        let (mut keys, mut values): (Vec<_>, Vec<_>) =
            OPTIONS.iter().map(|(key, value)| (key.as_ptr(), value.as_ptr())).unzip();
        keys.push(c"user_compute_stream".as_ptr());
        values.push(stream.as_ptr());
        // SAFETY: every call gets handles that the calls before it made, texts that end in zero and live, and places for
        // one pointer; what is made here is released here or in `drop`.
        unsafe {
            ok((api.CreateEnv)(
                OrtLoggingLevel::ORT_LOGGING_LEVEL_FATAL,
                c"bare".as_ptr(),
                &raw mut bare.env,
            ));
            let mut options = null_mut();
            ok((api.CreateSessionOptions)(&raw mut options));
            let mut cuda = null_mut();
            ok((api.CreateCUDAProviderOptions)(&raw mut cuda));
            ok((api.UpdateCUDAProviderOptions)(cuda, keys.as_ptr(), values.as_ptr(), keys.len()));
            ok((api.SessionOptionsAppendExecutionProvider_CUDA_V2)(options, cuda));
            (api.ReleaseCUDAProviderOptions)(cuda);
            ok((api.SetDeterministicCompute)(options, true));
            ok((api.SetIntraOpNumThreads)(options, 1));
            let (data, len) = (model.as_ptr().cast(), model.len());
            ok((api.CreateSessionFromArray)(bare.env, data, len, options, &raw mut bare.session));
            (api.ReleaseSessionOptions)(options);
            ok((api.CreateRunOptions)(&raw mut bare.options));
            if asynchronous {
                let key = c"disable_synchronize_execution_providers";
                ok((api.AddRunConfigEntry)(bare.options, key.as_ptr(), c"1".as_ptr()));
            }
            ok((api.CreateIoBinding)(bare.session, &raw mut bare.binding));
            let mut place = null_mut();
            let (kind, memory) = (OrtAllocatorType::OrtDeviceAllocator, OrtMemType::OrtMemTypeDefault);
            ok((api.CreateMemoryInfo)(c"Cuda".as_ptr(), kind, 0, memory, &raw mut place));
            for (tensor, slice) in facts.inputs.iter().zip(&device.inputs) {
                bare.bind(place, tensor, slice, api.BindInput);
            }
            for (tensor, slice) in facts.outputs.iter().zip(&device.outputs) {
                bare.bind(place, tensor, slice, api.BindOutput);
            }
            (api.ReleaseMemoryInfo)(place);
            let mut place = null_mut();
            let (kind, memory) = (OrtAllocatorType::OrtArenaAllocator, OrtMemType::OrtMemTypeCPUOutput);
            ok((api.CreateMemoryInfo)(c"CudaPinned".as_ptr(), kind, 0, memory, &raw mut place));
            ok((api.CreateAllocator)(bare.session, place, &raw mut bare.pinned));
            (api.ReleaseMemoryInfo)(place);
        }
        bare
    }

    fn bind(
        &self,
        place: *const OrtMemoryInfo,
        tensor: &TensorFacts,
        slice: &DeviceSlice,
        bind: unsafe extern "system" fn(
            *mut OrtIoBinding,
            *const std::ffi::c_char,
            *const ort::sys::OrtValue,
        ) -> OrtStatusPtr,
    ) {
        let element = match tensor.dtype {
            DType::F32 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            DType::I64 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
            DType::Bool => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
            other => panic!("no test has {other}"),
        };
        let name = CString::new(&*tensor.name).unwrap();
        let shape: Vec<i64> = tensor.concrete_shape().iter().map(|e| i64::try_from(*e).unwrap()).collect();
        let bytes = usize::try_from(tensor.bytes().unwrap().0).unwrap();
        let address = std::ptr::with_exposed_provenance_mut(usize::try_from(slice.address()).unwrap());
        let mut value = null_mut();
        // SAFETY: the slice has that many bytes on that device, and all handles live.
        unsafe {
            ok((ort::api().CreateTensorWithDataAsOrtValue)(
                place,
                address,
                bytes,
                shape.as_ptr(),
                shape.len(),
                element,
                &raw mut value,
            ));
            ok(bind(self.binding, name.as_ptr(), value));
            (ort::api().ReleaseValue)(value);
        }
    }

    /// One job.
    pub fn run(&mut self) {
        // SAFETY: all three live.
        ok(unsafe { (ort::api().RunWithBinding)(self.session, self.options, self.binding) });
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let api = ort::api();
        // SAFETY: made by `new`, released once, in the reverse order.
        unsafe {
            (api.ReleaseIoBinding)(self.binding);
            (api.ReleaseRunOptions)(self.options);
            (api.ReleaseSession)(self.session);
            // What the session put on the stream when it was released is over before the arena is.
            let _ = self.stream.synchronize();
            (api.ReleaseAllocator)(self.pinned);
            (api.ReleaseEnv)(self.env);
        }
    }
}
