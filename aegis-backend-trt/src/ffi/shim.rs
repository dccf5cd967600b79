//! The shim's table of functions, as `shim/shim.cpp` declares it, and which one serves which library.
use crate::TrtVersion;
use std::ffi::{c_char, c_void};

/// A C++ object of TensorRT's or the shim's.
pub(super) type Raw = *mut c_void;

/// A library's `createInferRuntime_INTERNAL`.
pub(super) type Create = unsafe extern "C" fn(logger: Raw, version: i32) -> Raw;

/// Room for the extents of a shape: `nvinfer1::Dims::MAX_DIMS`.
pub(super) type Extents = [i64; 8];

/// `AegisTrtEars`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Ears {
    pub(super) log: extern "C" fn(severity: i32, text: *const c_char),
    pub(super) error: extern "C" fn(code: i32, text: *const c_char),
}

/// `AegisTrtMemory`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Memory {
    pub(super) owner: Raw,
    pub(super) take: unsafe extern "C" fn(owner: Raw, bytes: u64, align: u64) -> Raw,
    pub(super) give_back: unsafe extern "C" fn(owner: Raw, memory: Raw) -> bool,
}

/// `AegisTrtTensor`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Tensor {
    pub(super) name: *const c_char,
    pub(super) is_input: i32,
    pub(super) dtype: i32,
    pub(super) on_host: i32,
    pub(super) is_shape: i32,
    pub(super) linear: i32,
    pub(super) rank: i32,
    pub(super) extents: Extents,
}

/// `AegisTrtShim`: what each function does is written there.
#[repr(C)]
pub(super) struct Shim {
    bytes: i64,
    version: i64,
    pub(super) voice_new: unsafe extern "C" fn(Ears) -> Raw,
    pub(super) allocator_new: unsafe extern "C" fn(Memory) -> Raw,
    pub(super) allocator_free: unsafe extern "C" fn(Raw),
    pub(super) runtime_new: unsafe extern "C" fn(create: Create, voice: Raw) -> Raw,
    pub(super) runtime_use: unsafe extern "C" fn(runtime: Raw, voice: Raw, allocator: Raw),
    pub(super) runtime_free: unsafe extern "C" fn(Raw),
    pub(super) engine_new: unsafe extern "C" fn(runtime: Raw, *const u8, bytes: u64, voice: Raw) -> Raw,
    pub(super) engine_free: unsafe extern "C" fn(Raw),
    pub(super) engine_scratch: unsafe extern "C" fn(Raw) -> i64,
    pub(super) engine_aux_streams: unsafe extern "C" fn(Raw) -> i32,
    pub(super) engine_tensors: unsafe extern "C" fn(Raw) -> i32,
    pub(super) engine_tensor: unsafe extern "C" fn(Raw, index: i32, *mut Tensor) -> bool,
    pub(super) engine_least: unsafe extern "C" fn(Raw, name: *const c_char, *mut Extents) -> i32,
    pub(super) engine_greatest: unsafe extern "C" fn(Raw, name: *const c_char, *mut Extents) -> i32,
    pub(super) context_new: unsafe extern "C" fn(engine: Raw, voice: Raw) -> Raw,
    pub(super) context_free: unsafe extern "C" fn(Raw),
    pub(super) context_profile: unsafe extern "C" fn(Raw) -> i32,
    pub(super) context_set_profile: unsafe extern "C" fn(Raw, stream: Raw) -> bool,
    pub(super) context_set_shape: unsafe extern "C" fn(Raw, *const c_char, *const Extents, rank: i32) -> bool,
    pub(super) context_shape: unsafe extern "C" fn(Raw, name: *const c_char, *mut Extents) -> i32,
    pub(super) context_set_scratch: unsafe extern "C" fn(Raw, memory: Raw, bytes: i64),
    pub(super) context_set_aux_streams: unsafe extern "C" fn(Raw, *mut Raw, count: i32),
    pub(super) context_bind: unsafe extern "C" fn(Raw, name: *const c_char, address: Raw) -> bool,
    pub(super) context_enqueue: unsafe extern "C" fn(Raw, stream: Raw) -> bool,
}

// `ENTRIES`: one function for each shim that build.rs has compiled, which gives its table.
include!(concat!(env!("OUT_DIR"), "/shims.rs"));

fn all() -> impl Iterator<Item = &'static Shim> {
    // SAFETY: each entry is the shim's function of that name, takes nothing and returns the address of a constant.
    ENTRIES.iter().map(|entry| unsafe { &*entry() })
}

impl Shim {
    /// The version of the headers that it was compiled with.
    pub(super) fn version(&self) -> TrtVersion {
        TrtVersion::from_number(u32::try_from(self.version).unwrap_or(0))
    }
}

/// The versions of the headers that this program was built with.
pub(crate) fn versions() -> Vec<TrtVersion> {
    all().map(Shim::version).collect()
}

/// The shim for a library: the newest of the library's major that is not newer than the library, as a library has all
/// entries of the older ones of its major and none of the newer.
pub(super) fn serving(library: TrtVersion) -> Option<&'static Shim> {
    all().filter(|shim| serves(shim.version(), library)).max_by_key(|shim| shim.version)
}

fn serves(shim: TrtVersion, library: TrtVersion) -> bool {
    shim.major == library.major && shim <= library
}

#[cfg(test)]
mod tests {
    use super::{Shim, TrtVersion, all, serves, serving};

    #[test]
    fn both_sides_agree_on_the_table() {
        println!("shims: {:?}", super::versions());
        for shim in all() {
            assert_eq!(usize::try_from(shim.bytes), Ok(size_of::<Shim>()), "{}", shim.version());
            assert_eq!(serving(shim.version()).map(Shim::version), Some(shim.version()));
        }
    }

    #[test]
    fn a_shim_serves_its_major_and_nothing_older() {
        for (shim, library, expected) in [
            (8503, 8503, true),
            (8503, 8601, true),
            (8601, 8503, false),
            (8601, 101_601, false),
            (100_300, 101_601, true),
            (101_601, 100_300, false),
            (101_601, 110_400, false),
        ] {
            let [shim, library] = [shim, library].map(TrtVersion::from_number);
            assert_eq!(serves(shim, library), expected, "{shim} {library}");
        }
    }
}
