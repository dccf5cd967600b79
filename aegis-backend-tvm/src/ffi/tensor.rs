//! Tensors that are ours and that TVM works on: borrowed bytes of the host, or parts of a device's memory.
use super::abi::{DlDevice, DlManagedTensor, DlTensor, DlType, index};
use super::api::{Api, Value};
use aegis_backend::{DType, TensorFacts};
use aegis_cuda::DeviceSlice;
use std::ffi::c_void;
use std::marker::PhantomData;

/// Memory that a run writes: exactly these bytes and no others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span<'a> {
    pub(super) address: u64,
    pub(super) bytes: u64,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> Span<'a> {
    /// Bytes of the host.
    pub(crate) fn host(bytes: &'a mut [u8]) -> Self {
        Self { address: bytes.as_mut_ptr() as u64, bytes: bytes.len() as u64, memory: PhantomData }
    }

    /// A part of a device's memory.
    pub(crate) fn device(slice: &'a DeviceSlice) -> Self {
        Self { address: slice.address(), bytes: slice.len().0, memory: PhantomData }
    }
}

/// An input: TVM's view of memory that lives for `'a`. TVM may keep the object longer, and never looks into it then.
#[derive(Debug)]
pub(crate) struct Tensor<'a> {
    pub(super) value: Value,
    memory: PhantomData<&'a [u8]>,
}

/// What TVM's object points to, freed with it.
#[repr(C)]
struct Owned<K> {
    managed: DlManagedTensor,
    shape: Vec<i64>,
    strides: Vec<i64>,
    /// Kept alive.
    keep: K,
    /// Called before it is freed.
    on_drop: Option<fn(&K)>,
}

impl<'a> Tensor<'a> {
    /// A tensor of the host; `data` has passed [`aegis_backend::Io::check`].
    pub(crate) fn host(
        api: &'static Api,
        data: &'a [u8],
        dtype: DType,
        shape: &[u64],
    ) -> Result<Self, String> {
        let shape = extents(shape)?;
        let value = tensor(api, data.as_ptr() as u64, DlDevice::HOST, element(dtype)?, shape, (), None)?;
        Ok(Self { value, memory: PhantomData })
    }
}

impl Tensor<'static> {
    /// A tensor in a device's memory, which lives as long as TVM's object.
    pub(crate) fn device(
        api: &'static Api,
        slice: &DeviceSlice,
        facts: &TensorFacts,
    ) -> Result<Self, String> {
        let (device, shape) = (DlDevice::of(slice.context())?, extents(&facts.concrete_shape())?);
        let dtype = element(facts.dtype)?;
        let value = tensor(api, slice.address(), device, dtype, shape, slice.clone(), None)?;
        Ok(Self { value, memory: PhantomData })
    }
}

/// Makes a tensor object over memory at `address`, which `keep` keeps alive.
pub(super) fn tensor<K: Send + 'static>(
    api: &'static Api,
    address: u64,
    device: DlDevice,
    dtype: DlType,
    shape: Vec<i64>,
    keep: K,
    on_drop: Option<fn(&K)>,
) -> Result<Value, String> {
    let strides = strides(&shape);
    let dimensions = i32::try_from(shape.len()).map_err(|_| "too many dimensions".to_string())?;
    let tensor = DlTensor {
        data: address as *mut c_void,
        device,
        dimensions,
        dtype,
        shape: std::ptr::null_mut(),
        strides: std::ptr::null_mut(),
        offset: 0,
    };
    let managed = DlManagedTensor { tensor, context: std::ptr::null_mut(), deleter: Some(free::<K>) };
    let mut owned = Box::new(Owned { managed, shape, strides, keep, on_drop });
    owned.managed.tensor.shape = owned.shape.as_mut_ptr();
    owned.managed.tensor.strides = owned.strides.as_mut_ptr();
    let owned = Box::into_raw(owned);
    let mut handle = std::ptr::null_mut();
    // SAFETY: `owned` begins with the managed tensor (`repr(C)`), whose pointers are into it and live until `free`.
    let status = unsafe { (api.tensor_of)(owned.cast(), 0, 0, &raw mut handle) };
    if status != 0 {
        // SAFETY: TVM took nothing; `owned` came from `into_raw`.
        drop(unsafe { Box::from_raw(owned) });
        return Err(api.error());
    }
    Ok(Value::object(api, handle, index::TENSOR))
}

/// The deleter of [`tensor`].
// SAFETY: called by TVM alone, once, with what `tensor` gave.
unsafe extern "C" fn free<K>(managed: *mut DlManagedTensor) {
    // SAFETY: TVM calls this once, with the pointer that `tensor` got from `into_raw`.
    let owned = unsafe { Box::from_raw(managed.cast::<Owned<K>>()) };
    if let Some(on_drop) = owned.on_drop {
        on_drop(&owned.keep);
    }
}

pub(super) fn extents(shape: &[u64]) -> Result<Vec<i64>, String> {
    let extents: Option<Vec<i64>> = shape.iter().map(|extent| i64::try_from(*extent).ok()).collect();
    extents.ok_or_else(|| format!("shape {shape:?} does not fit 63 bits"))
}

/// Of a compact row-major tensor.
pub(super) fn strides(shape: &[i64]) -> Vec<i64> {
    let mut strides = vec![1i64; shape.len()];
    for at in (1..shape.len()).rev() {
        strides[at - 1] = strides[at].saturating_mul(shape[at].max(1));
    }
    strides
}

/// The element type as DLPack calls it.
pub(super) fn element(dtype: DType) -> Result<DlType, String> {
    const INT: u8 = 0;
    const UINT: u8 = 1;
    const FLOAT: u8 = 2;
    const BOOL: u8 = 6;
    let (code, bits) = match dtype {
        DType::F32 => (FLOAT, 32),
        DType::F16 => (FLOAT, 16),
        DType::I64 => (INT, 64),
        DType::I32 => (INT, 32),
        DType::I8 => (INT, 8),
        DType::U8 => (UINT, 8),
        DType::Bool => (BOOL, 8),
        other => return Err(format!("elements of type {other} are not known to TVM")),
    };
    Ok(DlType { code, bits, lanes: 1 })
}

/// What TVM's tensor object says of itself, checked against what it must be; where its first element is.
pub(super) fn address_of(value: &Value, facts: &TensorFacts) -> Result<(u64, DlDevice), String> {
    if value.any.index != index::TENSOR {
        return Err(format!("is no tensor but a value of TVM's type {}", value.any.index));
    }
    // SAFETY: a value of this type index is a tensor object, which begins with its header and has its tensor after it.
    let tensor = unsafe { &(*value.any.handle().cast::<super::abi::Object<DlTensor>>()).cell };
    let dimensions = usize::try_from(tensor.dimensions).unwrap_or(0);
    let shape = if dimensions == 0 || tensor.shape.is_null() {
        &[][..]
    } else {
        // SAFETY: the object owns as many extents as it has dimensions.
        unsafe { std::slice::from_raw_parts(tensor.shape, dimensions) }
    };
    let compact = dimensions == 0 || tensor.strides.is_null() || {
        // SAFETY: as for the extents.
        let given = unsafe { std::slice::from_raw_parts(tensor.strides, dimensions) };
        given.iter().zip(strides(shape)).zip(shape).all(|((a, b), extent)| *a == b || *extent <= 1)
    };
    if tensor.dtype != element(facts.dtype)? || shape != extents(&facts.concrete_shape())? || !compact {
        return Err(format!("should be {facts}, is {:?} of shape {shape:?}", tensor.dtype));
    }
    Ok((tensor.address(), tensor.device))
}
