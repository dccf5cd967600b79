//! A deserialised plan: its runtime, allocator and engine, and what the engine tells of its tensors.
use super::budget::{Budget, Refusal};
use super::library::{self, Library};
use super::shim::{Extents, Raw, Tensor};
use super::voice;
use aegis_core::Bytes;
use aegis_cuda::{Context, CudaError};
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An engine with a runtime and an allocator of its own, so that its memory is counted by itself.
pub(crate) struct Engine {
    library: Library,
    context: Arc<Context>,
    budget: Arc<Budget>,
    allocator: Raw,
    runtime: Raw,
    pub(super) raw: Raw,
    /// Execution contexts are made and freed one at a time.
    contexts: Mutex<()>,
}

// SAFETY: nothing here belongs to a thread: TensorRT finds the device by the calling thread's current context, which
// every call sets first (`enter`).
unsafe impl Send for Engine {}
// SAFETY: what is reachable through `&Engine` reads what does not change once the engine is there, or makes and frees
// execution contexts, one at a time (`contexts`); the budget has its own lock. That contexts of one engine execute at the
// same time is what TensorRT has them for.
unsafe impl Sync for Engine {}

/// Why a plan was not loaded.
#[derive(Debug)]
pub(crate) enum NotLoaded {
    /// The device cannot be used.
    Device(CudaError),
    /// It did not get the memory that it asked for.
    Memory(Refusal),
    /// TensorRT does not work here any more, in its words.
    NoRuntime(String),
    /// TensorRT refused the plan, in its words.
    Refused(String),
}

/// An input or output as TensorRT tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    /// Its name.
    pub(crate) name: CString,
    /// Or an output.
    pub(crate) is_input: bool,
    /// `nvinfer1::DataType`.
    pub(crate) dtype: i32,
    /// Where and how its elements lie.
    pub(crate) layout: Layout,
    /// Extents, -1 where open; `None` when even their number is open.
    pub(crate) shape: Option<Vec<i64>>,
}

/// Where and how a tensor's elements lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// On the device, row-major without padding.
    Linear,
    /// On the device in another order, or padded.
    Other,
    /// On the host, or on the device with a copy there: its values decide shapes.
    Shapes,
}

impl Engine {
    /// Deserialises a plan. Its bytes have been compared with a digest that the user trusts: TensorRT does not notice
    /// most damage, and a plan is code that the device executes.
    pub(crate) fn load(
        library: Library,
        context: &Arc<Context>,
        limit: Option<Bytes>,
        plan: &[u8],
    ) -> Result<Self, NotLoaded> {
        context.make_current().map_err(NotLoaded::Device)?;
        let budget = Budget::new(context, limit);
        let null = ptr::null_mut();
        // From here on `drop` frees what is there.
        let mut loaded = Self {
            library,
            context: Arc::clone(context),
            budget,
            allocator: null,
            runtime: null,
            raw: null,
            contexts: Mutex::default(),
        };
        let shim = library.shim;
        let voice = library.voice as Raw;
        // SAFETY: the hooks use `loaded.budget`, which `drop` gives up after the allocator.
        loaded.allocator = unsafe { (shim.allocator_new)(loaded.budget.hooks()) };
        if loaded.allocator.is_null() {
            return Err(NotLoaded::NoRuntime("there is no memory for an allocator".to_owned()));
        }
        loaded.runtime = library.runtime().map_err(NotLoaded::NoRuntime)?;
        // SAFETY: all three are alive; the allocator outlives the runtime (`drop`), the voice is never freed.
        unsafe { (shim.runtime_use)(loaded.runtime, voice, loaded.allocator) };
        // SAFETY: `plan` is valid for its length during the call, after which TensorRT no longer needs it.
        let (engine, said) = voice::hear(|| unsafe {
            (shim.engine_new)(loaded.runtime, plan.as_ptr(), plan.len() as u64, voice)
        });
        loaded.raw = engine;
        if let Some(refusal) = loaded.budget.refused() {
            return Err(NotLoaded::Memory(refusal));
        }
        if engine.is_null() {
            return Err(NotLoaded::Refused(said.to_string()));
        }
        Ok(loaded)
    }

    /// The library that it came from.
    pub(crate) const fn library(&self) -> &Library {
        &self.library
    }

    /// The device it lies on, made current for the calling thread.
    pub(super) fn enter(&self) -> Result<&Arc<Context>, CudaError> {
        self.context.make_current().map(|()| &self.context)
    }

    /// Held while an execution context is made or freed.
    pub(super) fn contexts(&self) -> MutexGuard<'_, ()> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Device memory that TensorRT holds for it and its execution contexts.
    pub(crate) fn held(&self) -> Bytes {
        self.budget.used()
    }

    /// The first refusal of memory since this was asked last.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.budget.refused()
    }

    /// Device memory that one execution needs; `None` if TensorRT gives a negative size.
    pub(crate) fn scratch(&self) -> Option<Bytes> {
        // SAFETY: the engine is alive.
        u64::try_from(unsafe { (self.library.shim.engine_scratch)(self.raw) }).ok().map(Bytes)
    }

    /// Streams that it uses besides the one it is given.
    pub(crate) fn aux_streams(&self) -> u32 {
        // SAFETY: the engine is alive.
        u32::try_from(unsafe { (self.library.shim.engine_aux_streams)(self.raw) }).unwrap_or(0)
    }

    /// Its inputs and outputs, in the engine's order; `None` if it does not tell one that it has.
    pub(crate) fn ports(&self) -> Option<Vec<Port>> {
        // SAFETY: the engine is alive.
        let count = unsafe { (self.library.shim.engine_tensors)(self.raw) };
        (0..count).map(|index| self.port(index)).collect()
    }

    fn port(&self, index: i32) -> Option<Port> {
        let mut told = Tensor {
            name: ptr::null(),
            is_input: 0,
            dtype: 0,
            on_host: 0,
            is_shape: 0,
            linear: 0,
            rank: 0,
            extents: [0; 8],
        };
        // SAFETY: the engine is alive, `told` is a valid place for one tensor, and the index is below the count.
        if !unsafe { (self.library.shim.engine_tensor)(self.raw, index, &raw mut told) } {
            return None;
        }
        // SAFETY: the shim answers `true` only with a name, a C string that lives as long as the engine.
        let name = unsafe { CStr::from_ptr(told.name) }.to_owned();
        Some(Port {
            name,
            is_input: told.is_input != 0,
            dtype: told.dtype,
            layout: match told {
                Tensor { on_host: 0, is_shape: 0, linear: 0, .. } => Layout::Other,
                Tensor { on_host: 0, is_shape: 0, .. } => Layout::Linear,
                _ => Layout::Shapes,
            },
            shape: shape(told.rank, &told.extents),
        })
    }

    /// The least and the greatest shape that an input may have; `None` without an optimisation profile.
    pub(crate) fn range(&self, input: &CStr) -> Option<(Vec<i64>, Vec<i64>)> {
        let ask = |question: unsafe extern "C" fn(Raw, *const c_char, *mut Extents) -> i32| {
            let mut extents = [0; 8];
            // SAFETY: the engine is alive, `extents` has the room that the shim fills, the name is a C string.
            let rank = unsafe { question(self.raw, input.as_ptr(), &raw mut extents) };
            shape(rank, &extents)
        };
        Some((ask(self.library.shim.engine_least)?, ask(self.library.shim.engine_greatest)?))
    }
}

/// The extents that were filled in; `None` for a rank that is unknown.
pub(super) fn shape(rank: i32, extents: &Extents) -> Option<Vec<i64>> {
    Some(extents.get(..usize::try_from(rank).ok()?)?.to_vec())
}

impl Drop for Engine {
    /// The engine uses the runtime, and both use the allocator. Where the device is lost its context cannot be made
    /// current; the objects are freed all the same, as TensorRT's destructors only report what fails then.
    fn drop(&mut self) {
        let _ = self.enter();
        let shim = self.library.shim;
        if !self.raw.is_null() {
            // SAFETY: made by `load`, freed once; no execution context is left, as each keeps this value alive.
            unsafe { (shim.engine_free)(self.raw) };
        }
        if !self.runtime.is_null() {
            let _one = library::runtimes();
            // SAFETY: made by `load`, freed once, after its only engine.
            unsafe { (shim.runtime_free)(self.runtime) };
        }
        if !self.allocator.is_null() {
            // SAFETY: made by `load`, freed once, after everything that takes memory from it.
            unsafe { (shim.allocator_free)(self.allocator) };
        }
    }
}
