//! Modules: compiled code on a device, its kernels, and their launches.
#![allow(unsafe_code)]

use crate::error::checked;
use crate::ffi::{self, Modules, Raw};
use crate::nvrtc::Compiled;
use crate::{Context, CudaError, DeviceSlice, Stream};
use std::ffi::{CStr, c_void};
use std::sync::Arc;

/// Code that a device has loaded.
#[derive(Debug)]
pub struct Module {
    context: Arc<Context>,
    calls: &'static Modules,
    raw: usize,
}

/// A kernel of a module, which it keeps.
#[derive(Debug, Clone)]
pub struct Kernel {
    module: Arc<Module>,
    raw: usize,
}

/// How many threads run a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Blocks in each direction.
    pub blocks: [u32; 3],
    /// Threads of a block in each direction.
    pub threads: [u32; 3],
    /// Bytes of shared memory of a block, besides what the kernel declares.
    pub shared_bytes: u32,
}

impl Grid {
    /// That many blocks of that many threads.
    #[must_use]
    pub const fn line(blocks: u32, threads: u32) -> Self {
        Self { blocks: [blocks, 1, 1], threads: [threads, 1, 1], shared_bytes: 0 }
    }
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Argument {
    /// An address of the device, or any 64 bits.
    U64(u64),
    /// 32 bits.
    U32(u32),
    /// A `float`.
    F32(f32),
}

impl From<&DeviceSlice> for Argument {
    fn from(slice: &DeviceSlice) -> Self {
        Self::U64(slice.address())
    }
}

impl Module {
    /// Loads compiled code.
    ///
    /// # Errors
    /// [`CudaError::Call`], also if the code is for another device.
    pub fn load(context: &Arc<Context>, code: &Compiled) -> Result<Arc<Self>, CudaError> {
        let calls = ffi::modules()?;
        context.make_current()?;
        let mut raw: Raw = std::ptr::null_mut();
        // SAFETY: `raw` is a valid place for one handle; `Compiled` holds what the compiler made, or what its maker
        // promised to be such, with a 0 behind it.
        let status = unsafe { (calls.load)(&raw mut raw, code.image().as_ptr().cast()) };
        checked("cuModuleLoadData", status)?;
        Ok(Arc::new(Self { context: Arc::clone(context), calls, raw: raw as usize }))
    }

    /// The kernel of that name, as the compiled code has it: `extern "C"` keeps it as it is written.
    ///
    /// # Errors
    /// [`CudaError::Call`] if there is none.
    pub fn kernel(self: &Arc<Self>, name: &CStr) -> Result<Kernel, CudaError> {
        self.context.make_current()?;
        let mut raw: Raw = std::ptr::null_mut();
        // SAFETY: `raw` is a valid place for one handle; module and name live.
        let status = unsafe { (self.calls.function)(&raw mut raw, self.raw as Raw, name.as_ptr()) };
        checked("cuModuleGetFunction", status)?;
        Ok(Kernel { module: Arc::clone(self), raw: raw as usize })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.context.free_idle("module", "cuModuleUnload", || {
            // SAFETY: loaded once, unloaded once; its kernels keep it, and none of them runs any more (`free_idle`).
            unsafe { (self.calls.unload)(self.raw as Raw) }
        });
    }
}

impl Kernel {
    /// Puts the kernel on a stream.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    ///
    /// # Safety
    /// The arguments are those that the kernel declares, in number, size and meaning, and what it does with them and with
    /// the grid stays within memory that lives until it is done and that the host has no view of meanwhile.
    pub unsafe fn launch(
        &self,
        stream: &Stream,
        grid: Grid,
        arguments: &[Argument],
    ) -> Result<(), CudaError> {
        self.module.context.make_current()?;
        let places: Vec<*const c_void> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::U64(value) => std::ptr::from_ref(value).cast(),
                Argument::U32(value) => std::ptr::from_ref(value).cast(),
                Argument::F32(value) => std::ptr::from_ref(value).cast(),
            })
            .collect();
        let ([x, y, z], [tx, ty, tz]) = (grid.blocks, grid.threads);
        let (function, stream, extra) = (self.raw as Raw, stream.raw(), std::ptr::null_mut());
        let launch = self.module.calls.launch;
        // SAFETY: kernel and stream live; the driver copies the arguments before it returns; the rest is the caller's
        // promise.
        let status = unsafe {
            launch(function, x, y, z, tx, ty, tz, grid.shared_bytes, stream, places.as_ptr(), extra)
        };
        checked("cuLaunchKernel", status)
    }
}
