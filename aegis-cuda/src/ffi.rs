//! The driver's functions, looked up in the library that cudarc finds, and the calls of a probe.
//!
//! Results are read as plain integers. cudarc declares them as a Rust enum, and a driver newer than those bindings may
//! answer with a code that the enum does not have, which would be undefined behaviour. The lookup is ours for a second
//! reason: cudarc panics when a function is missing, and here that is [`ProbeError::SymbolMissing`].
#![allow(unsafe_code)]

use crate::{CudaError, ProbeError, error::is_sticky};
use aegis_core::Bytes;
use cudarc::driver::sys;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

/// A `CUresult`: 0 is success.
pub(crate) type Status = c_int;

/// A handle of the driver's: a context, a stream, an event; or an address of the host's.
pub(crate) type Raw = *mut c_void;

const NO_DEVICE: Status = 100;
const STUB_LIBRARY: Status = 34;

/// Declares a table of functions and how it is filled from a library that is never unloaded; the error is the name of
/// the first function that it lacks.
macro_rules! functions {
    ($(#[$about:meta])* $table:ident { $($field:ident: $symbol:literal($($argument:ty),*);)* }) => {
        $(#[$about])*
        #[derive(Debug)]
        pub(crate) struct $table {
            $(pub(crate) $field: unsafe extern "C" fn($($argument),*) -> std::ffi::c_int,)*
        }

        impl $table {
            pub(crate) fn look_up(library: &'static libloading::Library) -> Result<Self, &'static str> {
                Ok(Self {
                    // SAFETY: the field's type is the C signature in the vendor's header. `library` is static.
                    $($field: *unsafe { library.get($symbol) }.map_err(|_| $symbol)?,)*
                })
            }
        }
    };
}
pub(crate) use functions;

functions! {
    /// What a probe calls. Valid for the life of the process: cudarc never unloads the library.
    Calls {
    init: "cuInit"(c_uint);
    driver_version: "cuDriverGetVersion"(*mut c_int);
    device_count: "cuDeviceGetCount"(*mut c_int);
    device_get: "cuDeviceGet"(*mut c_int, c_int);
    device_name: "cuDeviceGetName"(*mut c_char, c_int, c_int);
    device_memory: "cuDeviceTotalMem_v2"(*mut usize, c_int);
    device_attribute: "cuDeviceGetAttribute"(*mut c_int, c_int, c_int);
    device_pci: "cuDeviceGetPCIBusId"(*mut c_char, c_int, c_int);
    error_name: "cuGetErrorName"(Status, *mut *const c_char);
    }
}

functions! {
    /// What is called once a device is used.
    Work {
    context_retain: "cuDevicePrimaryCtxRetain"(*mut Raw, c_int);
    context_release: "cuDevicePrimaryCtxRelease_v2"(c_int);
    context_flags: "cuDevicePrimaryCtxSetFlags_v2"(c_int, c_uint);
    context_set: "cuCtxSetCurrent"(Raw);
    context_synchronize: "cuCtxSynchronize"();
    priority_range: "cuCtxGetStreamPriorityRange"(*mut c_int, *mut c_int);
    memory_info: "cuMemGetInfo_v2"(*mut usize, *mut usize);
    memory_alloc: "cuMemAlloc_v2"(*mut u64, usize);
    memory_free: "cuMemFree_v2"(u64);
    host_alloc: "cuMemHostAlloc"(*mut Raw, usize, c_uint);
    host_free: "cuMemFreeHost"(Raw);
    host_address: "cuMemHostGetDevicePointer_v2"(*mut u64, Raw, c_uint);
    copy_to_device: "cuMemcpyHtoDAsync_v2"(u64, *const c_void, usize, Raw);
    copy_to_host: "cuMemcpyDtoHAsync_v2"(*mut c_void, u64, usize, Raw);
    copy_on_device: "cuMemcpyDtoDAsync_v2"(u64, u64, usize, Raw);
    set_bytes: "cuMemsetD8Async"(u64, u8, usize, Raw);
    stream_create: "cuStreamCreateWithPriority"(*mut Raw, c_uint, c_int);
    stream_destroy: "cuStreamDestroy_v2"(Raw);
    stream_synchronize: "cuStreamSynchronize"(Raw);
    stream_query: "cuStreamQuery"(Raw);
    stream_wait: "cuStreamWaitEvent"(Raw, Raw, c_uint);
    event_create: "cuEventCreate"(*mut Raw, c_uint);
    event_destroy: "cuEventDestroy_v2"(Raw);
    event_record: "cuEventRecord"(Raw, Raw);
    event_synchronize: "cuEventSynchronize"(Raw);
    event_query: "cuEventQuery"(Raw);
    event_elapsed: "cuEventElapsedTime"(*mut f32, Raw, Raw);
    }
}

functions! {
    /// Memory in the order of streams, since CUDA 11.2.
    Pools {
    create: "cuMemPoolCreate"(*mut Raw, *const PoolProperties);
    destroy: "cuMemPoolDestroy"(Raw);
    trim: "cuMemPoolTrimTo"(Raw, usize);
    get: "cuMemPoolGetAttribute"(Raw, c_int, *mut c_void);
    set: "cuMemPoolSetAttribute"(Raw, c_int, *mut c_void);
    alloc: "cuMemAllocFromPoolAsync"(*mut u64, usize, Raw, Raw);
    free: "cuMemFreeAsync"(u64, Raw);
    capturing: "cuStreamIsCapturing"(Raw, *mut c_uint);
    }
}

functions! {
    /// Addresses apart from memory, since CUDA 10.2.
    Virtual {
    granularity: "cuMemGetAllocationGranularity"(*mut usize, *const MemoryProperties, c_uint);
    reserve: "cuMemAddressReserve"(*mut u64, usize, usize, u64, u64);
    unreserve: "cuMemAddressFree"(u64, usize);
    create: "cuMemCreate"(*mut u64, usize, *const MemoryProperties, u64);
    release: "cuMemRelease"(u64);
    map: "cuMemMap"(u64, usize, usize, u64, u64);
    unmap: "cuMemUnmap"(u64, usize);
    access: "cuMemSetAccess"(u64, usize, *const Access, usize);
    }
}

functions! {
    /// Graphs, since CUDA 11.4.
    Graphs {
    begin: "cuStreamBeginCapture_v2"(Raw, c_uint);
    end: "cuStreamEndCapture"(Raw, *mut Raw);
    instantiate: "cuGraphInstantiateWithFlags"(*mut Raw, Raw, u64);
    destroy: "cuGraphDestroy"(Raw);
    exec_destroy: "cuGraphExecDestroy"(Raw);
    upload: "cuGraphUpload"(Raw, Raw);
    launch: "cuGraphLaunch"(Raw, Raw);
    }
}

functions! {
    /// Code on the device.
    Modules {
    load: "cuModuleLoadData"(*mut Raw, *const c_void);
    unload: "cuModuleUnload"(Raw);
    function: "cuModuleGetFunction"(*mut Raw, Raw, *const c_char);
    launch: "cuLaunchKernel"(
        Raw, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Raw, *const *const c_void, *mut *mut c_void
    );
    }
}

functions! {
    /// Parts of a device's multiprocessors, since CUDA 12.5.
    Greens {
    resource: "cuDeviceGetDevResource"(c_int, *mut Resource, c_uint);
    split: "cuDevSmResourceSplitByCount"(*mut Resource, *mut c_uint, *const Resource, *mut Resource, c_uint, c_uint);
    describe: "cuDevResourceGenerateDesc"(*mut Raw, *mut Resource, c_uint);
    create: "cuGreenCtxCreate"(*mut Raw, Raw, c_int, c_uint);
    destroy: "cuGreenCtxDestroy"(Raw);
    stream: "cuGreenCtxStreamCreate"(*mut Raw, Raw, c_uint, c_int);
    }
}

/// A `CUmemLocation`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Location {
    kind: c_uint,
    id: c_int,
}

impl Location {
    /// On that device.
    pub(crate) const fn device(handle: c_int) -> Self {
        const DEVICE: c_uint = 1;
        Self { kind: DEVICE, id: handle }
    }
}

/// Memory that does not move: `CU_MEM_ALLOCATION_TYPE_PINNED`.
const PINNED: c_uint = 1;

/// A `CUmemPoolProps`; newer drivers read more of it, where 0 means what older ones do.
#[repr(C)]
pub(crate) struct PoolProperties {
    kind: c_uint,
    handles: c_uint,
    location: Location,
    security: usize,
    rest: [u64; 8],
}

impl PoolProperties {
    pub(crate) const fn on(device: c_int) -> Self {
        Self { kind: PINNED, handles: 0, location: Location::device(device), security: 0, rest: [0; 8] }
    }
}

/// A `CUmemAllocationProp`.
#[repr(C)]
pub(crate) struct MemoryProperties {
    kind: c_uint,
    handles: c_uint,
    location: Location,
    metadata: usize,
    flags: [u8; 8],
}

impl MemoryProperties {
    pub(crate) const fn on(device: c_int) -> Self {
        Self { kind: PINNED, handles: 0, location: Location::device(device), metadata: 0, flags: [0; 8] }
    }
}

/// A `CUmemAccessDesc`.
#[repr(C)]
pub(crate) struct Access {
    location: Location,
    flags: c_uint,
}

impl Access {
    pub(crate) const fn read_and_write(device: c_int) -> Self {
        const READ_WRITE: c_uint = 3;
        Self { location: Location::device(device), flags: READ_WRITE }
    }
}

/// A `CUdevResource`, which cudarc does not have at the version that it is used in: its kind, 92 bytes of the driver's,
/// then 48 bytes of which the first words describe multiprocessors.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default)]
pub(crate) struct Resource {
    pub(crate) kind: c_uint,
    internal: [c_uint; 23],
    /// How many multiprocessors it has.
    pub(crate) count: c_uint,
    rest: [c_uint; 11],
}

const _: () = {
    assert!(size_of::<PoolProperties>() == size_of::<sys::CUmemPoolProps>());
    assert!(size_of::<MemoryProperties>() == size_of::<sys::CUmemAllocationProp>());
    assert!(size_of::<Access>() == size_of::<sys::CUmemAccessDesc>());
    assert!(size_of::<Resource>() == 144 && std::mem::offset_of!(Resource, count) == 96);
};

/// A device handle that this driver gave out.
#[derive(Clone, Copy)]
pub(crate) struct Handle(pub(crate) c_int);

/// The attributes that a probe reads.
#[derive(Clone, Copy)]
pub(crate) enum Attribute {
    ClockKhz = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_CLOCK_RATE as isize,
    Multiprocessors = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as isize,
    Integrated = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_INTEGRATED as isize,
    MemoryClockKhz = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE as isize,
    MemoryBusBits = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH as isize,
    L2Bytes = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE as isize,
    Ecc = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_ECC_ENABLED as isize,
    CopyEngines = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT as isize,
    VirtualMemory =
        sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_VIRTUAL_ADDRESS_MANAGEMENT_SUPPORTED as isize,
    MemoryPools = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED as isize,
    ComputeCapabilityMajor =
        sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as isize,
    ComputeCapabilityMinor =
        sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as isize,
}

/// The driver's library.
fn library() -> Result<&'static libloading::Library, ProbeError> {
    // SAFETY: this only tries to load libraries that have the driver's name; their initialisers are the vendor's.
    if !unsafe { sys::is_culib_present() } {
        let mut looked_for = cudarc::get_lib_name_candidates("cuda");
        looked_for.sort(); // the list is cudarc's, with some names twice
        looked_for.dedup();
        return Err(ProbeError::NoDriver { looked_for });
    }
    // SAFETY: as above; the line before has loaded the same library, so this does not panic.
    Ok(unsafe { sys::culib() })
}

/// The driver's functions for a probe, looked up once.
pub(crate) fn driver() -> Result<&'static Calls, ProbeError> {
    static CALLS: OnceLock<Result<Calls, ProbeError>> = OnceLock::new();
    CALLS.get_or_init(|| needed(Calls::look_up)).as_ref().map_err(Clone::clone)
}

/// The driver's functions for work, looked up once.
pub(crate) fn work() -> Result<&'static Work, ProbeError> {
    static WORK: OnceLock<Result<Work, ProbeError>> = OnceLock::new();
    WORK.get_or_init(|| needed(Work::look_up)).as_ref().map_err(Clone::clone)
}

type LookUp<T> = fn(&'static libloading::Library) -> Result<T, &'static str>;

/// Functions that every supported driver has.
fn needed<T>(look_up: LookUp<T>) -> Result<T, ProbeError> {
    look_up(library()?).map_err(|symbol| ProbeError::SymbolMissing { symbol })
}

/// Defines how a table is found whose absence leaves the rest as it is.
macro_rules! newer {
    ($($name:ident: $table:ident, $needs:literal;)*) => {$(
        pub(crate) fn $name() -> Result<&'static $table, CudaError> {
            static TABLE: OnceLock<Result<$table, &'static str>> = OnceLock::new();
            let library = library()?;
            let table = TABLE.get_or_init(|| $table::look_up(library)).as_ref();
            table.map_err(|symbol| CudaError::Missing { symbol, needs: $needs })
        }
    )*};
}

newer! {
    pools: Pools, "memory pools need a driver of CUDA 11.2 or newer";
    virtual_memory: Virtual, "virtual memory needs a driver of CUDA 10.2 or newer";
    graphs: Graphs, "graphs need a driver of CUDA 11.4 or newer";
    modules: Modules, "every driver should have it";
    greens: Greens, "green contexts need a driver of CUDA 12.5 or newer";
}

impl Calls {
    /// The newest CUDA version that the driver supports, for example 12040. Allowed before [`init`](Self::init).
    pub(crate) fn version(&self) -> Result<u32, ProbeError> {
        let mut version = 0;
        // SAFETY: `version` is a valid place for one int, and this call needs no initialisation.
        let status = unsafe { (self.driver_version)(&raw mut version) };
        self.check("cuDriverGetVersion", status)?;
        Ok(unsigned(version))
    }

    /// Must precede the calls below.
    pub(crate) fn init(&self) -> Result<(), ProbeError> {
        // SAFETY: 0 is the only flag that the driver allows; the call may be repeated.
        let status = unsafe { (self.init)(0) };
        self.check("cuInit", status)
    }

    pub(crate) fn device_count(&self) -> Result<u32, ProbeError> {
        let mut count = 0;
        // SAFETY: `count` is a valid place for one int; before `init` the driver answers with an error code.
        let status = unsafe { (self.device_count)(&raw mut count) };
        self.check("cuDeviceGetCount", status)?;
        Ok(unsigned(count))
    }

    pub(crate) fn device(&self, ordinal: u32) -> Result<Handle, ProbeError> {
        let mut device = 0;
        let ordinal = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
        // SAFETY: `device` is a valid place for one int; an ordinal that does not exist is answered with an error code.
        let status = unsafe { (self.device_get)(&raw mut device, ordinal) };
        self.check("cuDeviceGet", status)?;
        Ok(Handle(device))
    }

    pub(crate) fn name(&self, device: Handle) -> Result<String, ProbeError> {
        let mut name = [0u8; 256];
        // SAFETY: the driver writes at most the length given.
        let status = unsafe { (self.device_name)(name.as_mut_ptr().cast(), 256, device.0) };
        self.check("cuDeviceGetName", status)?;
        Ok(text(&name))
    }

    /// Its place on the PCI bus, as in `0000:17:00.0`.
    pub(crate) fn pci(&self, device: Handle) -> Result<String, ProbeError> {
        let mut address = [0u8; 32];
        // SAFETY: the driver writes at most the length given.
        let status = unsafe { (self.device_pci)(address.as_mut_ptr().cast(), 32, device.0) };
        self.check("cuDeviceGetPCIBusId", status)?;
        Ok(text(&address))
    }

    pub(crate) fn total_memory(&self, device: Handle) -> Result<Bytes, ProbeError> {
        let mut bytes = 0;
        // SAFETY: `bytes` is a valid place for one size_t; `device` came from `device()`.
        let status = unsafe { (self.device_memory)(&raw mut bytes, device.0) };
        self.check("cuDeviceTotalMem", status)?;
        Ok(Bytes(bytes as u64))
    }

    pub(crate) fn attribute(&self, device: Handle, which: Attribute) -> Result<u32, ProbeError> {
        let mut value = 0;
        // SAFETY: `value` is a valid place for one int; `device` came from `device()`.
        let status = unsafe { (self.device_attribute)(&raw mut value, which as c_int, device.0) };
        self.check("cuDeviceGetAttribute", status)?;
        Ok(unsigned(value))
    }

    /// An attribute that not every driver knows or tells: `None` where it does not, also where it says 0.
    pub(crate) fn told(&self, device: Handle, which: Attribute) -> Result<Option<u32>, ProbeError> {
        const INVALID_VALUE: Status = 1;
        match self.attribute(device, which) {
            Ok(value) => Ok((value > 0).then_some(value)),
            Err(ProbeError::Call { code: INVALID_VALUE, .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    fn check(&self, call: &'static str, code: Status) -> Result<(), ProbeError> {
        match code {
            0 => Ok(()),
            NO_DEVICE => Err(ProbeError::NoDevice),
            STUB_LIBRARY => Err(ProbeError::StubDriver),
            _ => Err(ProbeError::Call { call, code, name: self.name_of(code), sticky: is_sticky(code) }),
        }
    }

    pub(crate) fn name_of(&self, code: Status) -> Option<String> {
        let mut text = std::ptr::null();
        // SAFETY: `text` is a valid place for one pointer; an unknown code is answered with an error code.
        let status = unsafe { (self.error_name)(code, &raw mut text) };
        if status != 0 || text.is_null() {
            return None;
        }
        // SAFETY: on success the driver gives a C string that lives as long as the library, which is never unloaded.
        Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }
}

/// What stands before the first 0, which the driver puts there.
fn text(bytes: &[u8]) -> String {
    let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// Counts and sizes that the driver declares as int; a negative one would be a driver's bug and counts as 0.
fn unsigned(value: c_int) -> u32 {
    u32::try_from(value).unwrap_or(0)
}
