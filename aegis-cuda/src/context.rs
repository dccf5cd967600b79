//! A device's primary context: the one that the CUDA runtime of TensorRT, ONNX Runtime and TVM uses as well.
#![allow(unsafe_code)]

use crate::drops::dropped;
use crate::error::checked;
use crate::ffi::{self, Raw, Status, Work};
use crate::{CudaError, Device, ProbeError, StreamPriority, probe};
use aegis_core::Bytes;
use std::ffi::c_int;
use std::fmt;
use std::sync::Arc;

/// How a thread waits for the device, in this crate and inside the runtimes. The primary context is one for the whole
/// process: who opens it last decides for all waits but those for events, which keep what they were made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wait {
    /// It sleeps until an interrupt wakes it: no core is burnt, and the completion is noticed some microseconds later.
    #[default]
    Block,
    /// It polls: the completion is noticed at once, and the core does nothing else meanwhile.
    Spin,
}

/// A device in use. Everything that is made on it keeps it alive; when the last of it is gone the driver gives the
/// device's resources back.
pub struct Context {
    pub(crate) work: &'static Work,
    device: Device,
    handle: c_int,
    raw: usize,
    wait: Wait,
}

impl Context {
    /// Takes the device of that position into use.
    ///
    /// # Errors
    /// [`CudaError::Probe`] if there is no driver or no such device, [`CudaError::Call`] if the driver refuses.
    pub fn open(ordinal: u32, wait: Wait) -> Result<Arc<Self>, CudaError> {
        const SPIN: u32 = 1;
        const BLOCK: u32 = 4;
        let found = probe()?;
        let devices = found.devices.len();
        let device = found.devices.into_iter().find(|d| d.ordinal == ordinal);
        let device = device.ok_or(ProbeError::NoSuchDevice { ordinal, devices })?;
        let work = ffi::work()?;
        let handle = ffi::driver()?.device(ordinal)?.0;
        let flags = if wait == Wait::Spin { SPIN } else { BLOCK };
        // SAFETY: `handle` came from cuDeviceGet; the flags are two of those that the driver defines.
        checked("cuDevicePrimaryCtxSetFlags", unsafe { (work.context_flags)(handle, flags) })?;
        let mut raw: Raw = std::ptr::null_mut();
        // SAFETY: `raw` is a valid place for one handle; `handle` came from cuDeviceGet.
        checked("cuDevicePrimaryCtxRetain", unsafe { (work.context_retain)(&raw mut raw, handle) })?;
        Ok(Arc::new(Self { work, device, handle, raw: raw as usize, wait }))
    }

    /// What the device is.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// How threads wait for it.
    #[must_use]
    pub const fn wait(&self) -> Wait {
        self.wait
    }

    /// Makes it the calling thread's current context. Everything in this crate does so by itself, dropping included, and
    /// leaves it so; runtimes that are called on another thread than the one that loaded them need it.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn make_current(&self) -> Result<(), CudaError> {
        // SAFETY: `raw` is the primary context, which is retained as long as this value lives.
        checked("cuCtxSetCurrent", unsafe { (self.work.context_set)(self.raw as Raw) })
    }

    /// Memory of the device, as the driver counts it for all processes: free, and all.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn memory(&self) -> Result<(Bytes, Bytes), CudaError> {
        self.make_current()?;
        let (mut free, mut total) = (0usize, 0usize);
        // SAFETY: both are valid places for one size_t, and a context is current.
        checked("cuMemGetInfo", unsafe { (self.work.memory_info)(&raw mut free, &raw mut total) })?;
        Ok((Bytes(free as u64), Bytes(total as u64)))
    }

    /// The driver's numbers for the least and the greatest priority of a stream: the smaller number is the greater
    /// priority, and both are 0 where the device knows none.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn stream_priorities(&self) -> Result<(i32, i32), CudaError> {
        self.make_current()?;
        let (mut least, mut greatest): (c_int, c_int) = (0, 0);
        // SAFETY: both are valid places for one int, and a context is current.
        let status = unsafe { (self.work.priority_range)(&raw mut least, &raw mut greatest) };
        checked("cuCtxGetStreamPriorityRange", status)?;
        Ok((least, greatest))
    }

    /// The driver's number for a priority.
    pub(crate) fn stream_priority(&self, priority: StreamPriority) -> Result<c_int, CudaError> {
        let (least, greatest) = self.stream_priorities()?;
        Ok(if priority == StreamPriority::Urgent { greatest } else { least })
    }

    /// The driver's handle of the device.
    pub(crate) const fn handle(&self) -> c_int {
        self.handle
    }

    /// Keeps the answer of a destroy, see [`failed_drops`](crate::failed_drops). After a failure the context is never
    /// released: releasing it would take what was not given back from under the work that may still use it.
    pub(crate) fn dropped(self: &Arc<Self>, object: &'static str, answer: Result<(), CudaError>) {
        if answer.is_err() {
            std::mem::forget(Arc::clone(self));
        }
        dropped(object, answer);
    }

    /// Runs `free` once nothing of this process runs on the device any more; does not run it if that cannot be known,
    /// because then the device may still use what would be freed.
    pub(crate) fn free_idle(
        self: &Arc<Self>,
        object: &'static str,
        call: &'static str,
        free: impl FnOnce() -> Status,
    ) {
        self.dropped(object, self.synchronize().and_then(|()| checked(call, free())));
    }

    /// Waits for all work of this process on the device.
    ///
    /// # Errors
    /// [`CudaError::Call`], also for failures of that work.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.make_current()?;
        // SAFETY: a context is current.
        checked("cuCtxSynchronize", unsafe { (self.work.context_synchronize)() })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({})", self.device)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once by `open`, released once here; what was made on it has kept it alive until now.
        let status = unsafe { (self.work.context_release)(self.handle) };
        dropped("context", checked("cuDevicePrimaryCtxRelease", status));
    }
}
