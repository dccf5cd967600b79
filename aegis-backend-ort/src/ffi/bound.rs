//! A session's tensors bound once, and its runs: no tensor is made, found or copied again.
#![allow(unsafe_code)]

use crate::engine::Engine;
use aegis_backend::{DType, DeviceBinding, TensorFacts};
use aegis_cuda::DeviceSlice;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{NoSelectedOutputs, RunOptions, Session};
use ort::sys::{ONNXTensorElementDataType as Element, OrtIoBinding, OrtMemoryInfo, OrtStatusPtr, OrtValue};
use ort::{AsPointer, api};
use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::sync::Arc;

/// An engine's inputs and outputs at fixed addresses of the device.
pub(crate) struct Bound {
    binding: NonNull<OrtIoBinding>,
    /// Inputs that the session reads on the host. ONNX Runtime copies such a one when it is bound and never again.
    copied: Vec<(CString, Value)>,
    engine: Arc<Engine>,
    /// What is bound; it lives until the stream has let go of it, see `drop`.
    _slices: Vec<DeviceSlice>,
}

// SAFETY: an OrtIoBinding has no tie to a thread; it is used by one at a time, because `run` takes `&mut self`.
unsafe impl Send for Bound {}

impl Bound {
    /// Binds slices that have passed `Binding::device_for` and lie on the engine's device.
    ///
    /// # Errors
    /// ONNX Runtime's words.
    pub(crate) fn new(
        engine: &Arc<Engine>,
        inputs: &[TensorFacts],
        outputs: &[TensorFacts],
        device: &DeviceBinding,
    ) -> ort::Result<Self> {
        let mut binding = std::ptr::null_mut();
        // SAFETY: the session lives, `binding` is a valid place for one pointer.
        told(unsafe { (api().CreateIoBinding)(engine.session().ptr().cast_mut(), &raw mut binding) })?;
        let binding = NonNull::new(binding).ok_or_else(|| ort::Error::new("gave no binding"))?;
        let slices = device.inputs.iter().chain(&device.outputs).cloned().collect();
        // From here on `drop` releases the binding.
        let mut bound = Self { binding, copied: Vec::new(), engine: Arc::clone(engine), _slices: slices };
        let place = place(engine.device(), AllocatorType::Device)?;
        let stay = stay_on_device(engine.session(), engine.device(), inputs.len())?;
        for ((tensor, slice), stays) in inputs.iter().zip(&device.inputs).zip(stay) {
            let (name, value) = (name(tensor)?, Value::new(&place, tensor, slice)?);
            bind_input(bound.binding, &name, &value)?;
            if !stays {
                bound.copied.push((name, value));
            }
        }
        for (tensor, slice) in outputs.iter().zip(&device.outputs) {
            let (name, value) = (name(tensor)?, Value::new(&place, tensor, slice)?);
            // SAFETY: all three live; the binding keeps what it needs of the value.
            told(unsafe { (api().BindOutput)(bound.binding.as_ptr(), name.as_ptr(), value.0.as_ptr()) })?;
        }
        Ok(bound)
    }

    /// Runs the model once on what is bound. Where the session reads an input on the host, the stream is waited for first
    /// and the input copied. The C function is called, because ort's own asks for the values of all bound
    /// outputs after each run: they would be allocated, and they are ours already.
    ///
    /// # Errors
    /// ONNX Runtime's words. What it put on the stream before may still run.
    pub(crate) fn run(&mut self, options: &RunOptions<NoSelectedOutputs>) -> ort::Result<()> {
        let turn = self.engine.turn();
        if !self.copied.is_empty() {
            let waited = self.engine.stream().synchronize();
            waited.map_err(|error| ort::Error::new(error.to_string()))?;
            for (name, value) in &self.copied {
                bind_input(self.binding, name, value)?;
            }
        }
        // SAFETY: the session, the options and the binding live; the binding was made for this session, what is bound
        // lives as long as `self`, and `turn` keeps other runs of this session away.
        let status = unsafe {
            (api().RunWithBinding)(
                self.engine.session().ptr().cast_mut(),
                options.ptr(),
                self.binding.as_ptr(),
            )
        };
        drop(turn);
        told(status)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for Bound {
    /// The stream is waited for first: what it still runs reads and writes the slices and the session's arena. A wait that
    /// fails means that nothing runs on the device any more.
    fn drop(&mut self) {
        let _ = self.engine.stream().synchronize();
        // SAFETY: made by `new`, released once; the session that it belongs to is dropped after it, with `engine`.
        unsafe { (api().ReleaseIoBinding)(self.binding.as_ptr()) };
    }
}

fn bind_input(binding: NonNull<OrtIoBinding>, name: &CStr, value: &Value) -> ort::Result<()> {
    // SAFETY: all three live; the binding keeps what it needs of the value, and puts it in place of one of that name.
    told(unsafe { (api().BindInput)(binding.as_ptr(), name.as_ptr(), value.0.as_ptr()) })
}

/// For each input, whether the session reads it where the device's tensors are. A node that runs on the host does not, nor
/// one that reads a shape.
pub(crate) fn stay_on_device(session: &Session, device: u32, count: usize) -> ort::Result<Vec<bool>> {
    let here = place(device, AllocatorType::Device)?;
    let mut places: Vec<*const OrtMemoryInfo> = vec![std::ptr::null(); count];
    if session.inputs().len() != count {
        return Err(ort::Error::new(format!("has {} inputs, not {count}", session.inputs().len())));
    }
    // SAFETY: the session lives, and `places` has room for as many as it has inputs, checked above.
    told(unsafe { (api().SessionGetMemoryInfoForInputs)(session.ptr(), places.as_mut_ptr(), count) })?;
    let name = |info: *const OrtMemoryInfo| -> ort::Result<&CStr> {
        let mut name = std::ptr::null();
        // SAFETY: `info` is `here`, which lives, or one of the session's; `name` is a valid place for one pointer.
        told(unsafe { (api().MemoryInfoGetName)(info, &raw mut name) })?;
        // SAFETY: the name is a text that ends in zero and lives as long as `info`, which outlives this function.
        Ok(if name.is_null() { c"" } else { unsafe { CStr::from_ptr(name) } })
    };
    let wanted = name(here.ptr())?;
    places.into_iter().map(|info| Ok(!info.is_null() && name(info)? == wanted)).collect()
}

/// A tensor over memory that it does not own.
struct Value(NonNull<OrtValue>);

impl Value {
    fn new(place: &MemoryInfo<'_>, tensor: &TensorFacts, slice: &DeviceSlice) -> ort::Result<Self> {
        let wrong = || ort::Error::new(format!("`{}` is {tensor}, which does not fit", tensor.name));
        let shape: Option<Vec<i64>> =
            tensor.concrete_shape().iter().map(|extent| i64::try_from(*extent).ok()).collect();
        let shape = shape.ok_or_else(wrong)?;
        let bytes = tensor.bytes().filter(|bytes| *bytes <= slice.len()).ok_or_else(wrong)?;
        let bytes = usize::try_from(bytes.0).map_err(|_| wrong())?;
        let address = usize::try_from(slice.address()).map_err(|_| wrong())?;
        let element = element(tensor.dtype).ok_or_else(wrong)?;
        let mut value = std::ptr::null_mut();
        // SAFETY: `address` is that of device memory with at least `bytes` bytes, checked above, which whoever binds the
        // value keeps alive (`Bound::_slices`); the shape's length is given, and `value` is a valid place.
        let status = unsafe {
            (api().CreateTensorWithDataAsOrtValue)(
                place.ptr(),
                std::ptr::with_exposed_provenance_mut(address),
                bytes,
                shape.as_ptr(),
                shape.len(),
                element,
                &raw mut value,
            )
        };
        told(status)?;
        NonNull::new(value).map(Self).ok_or_else(|| ort::Error::new("gave no tensor"))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: made by `new`, released once.
        unsafe { (api().ReleaseValue)(self.0.as_ptr()) };
    }
}

/// Memory of a device, as ONNX Runtime names it.
pub(crate) fn place(device: u32, allocator: AllocatorType) -> ort::Result<MemoryInfo<'static>> {
    let device = i32::try_from(device).map_err(|_| ort::Error::new("no such device"))?;
    MemoryInfo::new(AllocationDevice::CUDA, device, allocator, MemoryType::Default)
}

/// Memory of the host from which a device copies, as ONNX Runtime names it.
pub(crate) fn pinned(device: u32) -> ort::Result<MemoryInfo<'static>> {
    let device = i32::try_from(device).map_err(|_| ort::Error::new("no such device"))?;
    MemoryInfo::new(AllocationDevice::CUDA_PINNED, device, AllocatorType::Arena, MemoryType::CPUOutput)
}

fn name(tensor: &TensorFacts) -> ort::Result<CString> {
    CString::new(&*tensor.name)
        .map_err(|_| ort::Error::new(format!("the name {:?} holds a zero", tensor.name)))
}

const fn element(dtype: DType) -> Option<Element> {
    Some(match dtype {
        DType::F32 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        DType::F16 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        DType::I64 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        DType::I32 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        DType::I8 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        DType::U8 => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        DType::Bool => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        _ => return None,
    })
}

/// A call's answer as a value.
fn told(status: OrtStatusPtr) -> ort::Result<()> {
    // SAFETY: `status` is the answer of the call that was the argument, and is given up here.
    unsafe { ort::Error::result_from_status(status) }
}
