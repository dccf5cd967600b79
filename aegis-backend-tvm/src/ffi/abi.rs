//! The layouts of TVM's FFI in the versions of [`TESTED`](crate::probe::TESTED): `tvm/ffi/c_api.h` and `dlpack.h`.
use aegis_cuda::Context;
use std::ffi::{CStr, c_void};

/// An object of TVM.
pub(super) type Handle = *mut c_void;

/// Type indices: what an [`Any`] holds. From [`OBJECT`] on they are objects with a count of references.
pub(super) mod index {
    pub(crate) const NONE: i32 = 0;
    pub(crate) const INT: i32 = 1;
    pub(crate) const BOOL: i32 = 2;
    pub(crate) const DATA_TYPE: i32 = 5;
    pub(crate) const C_STRING: i32 = 8;
    pub(crate) const OBJECT: i32 = 64;
    pub(crate) const FUNCTION: i32 = 68;
    pub(crate) const SHAPE: i32 = 69;
    pub(crate) const TENSOR: i32 = 70;
    pub(crate) const ARRAY: i32 = 71;
}

/// `TVMFFIAny`: a value with its type, owned or borrowed as the call says.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Any {
    pub(super) index: i32,
    /// 0 for everything but short strings.
    pub(super) small: u32,
    pub(super) value: u64,
}

impl Any {
    pub(super) const NONE: Self = Self { index: index::NONE, small: 0, value: 0 };

    pub(super) const fn int(value: i64) -> Self {
        Self { index: index::INT, small: 0, value: value.cast_unsigned() }
    }

    pub(super) const fn boolean(value: bool) -> Self {
        Self { index: index::BOOL, small: 0, value: value as u64 }
    }

    pub(super) fn text(text: &CStr) -> Self {
        Self { index: index::C_STRING, small: 0, value: text.as_ptr() as u64 }
    }

    pub(super) fn object(handle: Handle, index: i32) -> Self {
        Self { index, small: 0, value: handle as u64 }
    }

    pub(super) const fn is_object(&self) -> bool {
        self.index >= index::OBJECT
    }

    pub(super) const fn handle(&self) -> Handle {
        self.value as Handle
    }
}

/// `TVMFFIObject`: how every object begins.
#[repr(C)]
pub(super) struct Header {
    references: u64,
    index: i32,
    padding: u32,
    deleter: *const c_void,
}

/// An object and the cell that follows its header.
#[repr(C)]
pub(super) struct Object<C> {
    header: Header,
    pub(super) cell: C,
}

/// `TVMFFIByteArray`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct ByteArray {
    pub(super) data: *const u8,
    pub(super) size: usize,
}

/// `TVMFFIShapeCell`.
#[repr(C)]
pub(super) struct ShapeCell {
    pub(super) data: *const i64,
    pub(super) size: usize,
}

/// `TVMFFISeqCell`, as far as it is read.
#[repr(C)]
pub(super) struct SequenceCell {
    pub(super) data: *const Any,
    pub(super) size: i64,
}

/// `TVMFFIErrorCell`, as far as it is read.
#[repr(C)]
pub(super) struct ErrorCell {
    pub(super) kind: ByteArray,
    pub(super) message: ByteArray,
}

/// `DLDataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct DlType {
    pub(super) code: u8,
    pub(super) bits: u8,
    pub(super) lanes: u16,
}

impl DlType {
    /// Bytes of one element.
    pub(super) fn size(self) -> u64 {
        (u64::from(self.bits) * u64::from(self.lanes)).div_ceil(8)
    }

    /// As it stands in an [`Any`].
    pub(super) fn from_any(value: u64) -> Self {
        let [code, bits, low, high, ..] = value.to_ne_bytes();
        Self { code, bits, lanes: u16::from_ne_bytes([low, high]) }
    }
}

/// `DLDevice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct DlDevice {
    pub(super) kind: i32,
    pub(super) ordinal: i32,
}

impl DlDevice {
    const CPU: i32 = 1;
    const CUDA: i32 = 2;

    pub(super) const HOST: Self = Self { kind: Self::CPU, ordinal: 0 };

    pub(super) fn of(context: &Context) -> Result<Self, String> {
        let ordinal = i32::try_from(context.device().ordinal).map_err(|why| why.to_string())?;
        Ok(Self { kind: Self::CUDA, ordinal })
    }
}

/// `DLTensor`.
#[repr(C)]
pub(super) struct DlTensor {
    pub(super) data: *mut c_void,
    pub(super) device: DlDevice,
    pub(super) dimensions: i32,
    pub(super) dtype: DlType,
    pub(super) shape: *mut i64,
    pub(super) strides: *mut i64,
    pub(super) offset: u64,
}

impl DlTensor {
    /// Where its first element is.
    pub(super) fn address(&self) -> u64 {
        self.data as u64 + self.offset
    }
}

/// `DLManagedTensor`.
#[repr(C)]
pub(super) struct DlManagedTensor {
    pub(super) tensor: DlTensor,
    pub(super) context: *mut c_void,
    pub(super) deleter: Option<unsafe extern "C" fn(*mut Self)>,
}

const _: () = assert!(size_of::<Any>() == 16 && size_of::<Header>() == 24 && size_of::<DlTensor>() == 48);
