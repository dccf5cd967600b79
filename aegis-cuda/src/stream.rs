//! Streams: queues of work that a device takes in order.
#![allow(unsafe_code)]

use crate::error::{checked, ready};
use crate::ffi::Raw;
use crate::memory::{PinnedMemory, using};
use crate::{Context, CudaError, DeviceSlice, Event, GreenContext};
use std::ffi::c_void;
use std::sync::{Arc, Mutex};

/// It does not wait for the default stream, and that one not for it.
pub(crate) const NON_BLOCKING: u32 = 1;

/// Which streams the device prefers when it has a choice; it is a hint between kernels, never preemption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamPriority {
    /// The least that the device has.
    #[default]
    Usual,
    /// The greatest that the device has.
    Urgent,
}

/// A stream of its own, which does not wait for the default stream.
#[derive(Debug)]
pub struct Stream {
    context: Arc<Context>,
    raw: usize,
    /// What it runs on, where that is a part of the device.
    part: Option<Arc<GreenContext>>,
    /// What [`read`](Self::read) and [`write`](Self::write) copy through.
    pub(crate) bounce: Mutex<Option<PinnedMemory>>,
}

impl Stream {
    /// Makes a stream.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn new(context: &Arc<Context>, priority: StreamPriority) -> Result<Arc<Self>, CudaError> {
        let priority = context.stream_priority(priority)?;
        let mut raw: Raw = std::ptr::null_mut();
        // SAFETY: `raw` is a valid place for one handle; the priority is in the range that the driver just gave.
        let status = unsafe { (context.work.stream_create)(&raw mut raw, NON_BLOCKING, priority) };
        checked("cuStreamCreateWithPriority", status)?;
        Ok(Self::adopt(context, raw, None))
    }

    /// A stream that the driver just made, on a part of the device or on all of it.
    pub(crate) fn adopt(context: &Arc<Context>, raw: Raw, part: Option<Arc<GreenContext>>) -> Arc<Self> {
        let (context, raw) = (Arc::clone(context), raw as usize);
        Arc::new(Self { context, raw, part, bounce: Mutex::new(None) })
    }

    /// The device that it belongs to.
    #[must_use]
    pub const fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The driver's handle, a `CUstream`, which is the same as the runtime's `cudaStream_t`. It is valid as long as this
    /// value lives.
    #[must_use]
    pub const fn raw(&self) -> *mut c_void {
        self.raw as Raw
    }

    /// Waits for everything that was put on it.
    ///
    /// # Errors
    /// [`CudaError::Call`], also for failures of that work.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.context.make_current()?;
        // SAFETY: the stream lives as long as this value.
        checked("cuStreamSynchronize", unsafe { (self.context.work.stream_synchronize)(self.raw()) })
    }

    /// Whether everything that was put on it is done.
    ///
    /// # Errors
    /// [`CudaError::Call`], also for failures of that work.
    pub fn is_done(&self) -> Result<bool, CudaError> {
        self.context.make_current()?;
        // SAFETY: the stream lives as long as this value.
        ready("cuStreamQuery", unsafe { (self.context.work.stream_query)(self.raw()) })
    }

    /// What is put on it from now on waits for `event`.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn wait_for(&self, event: &Event) -> Result<(), CudaError> {
        self.context.make_current()?;
        // SAFETY: both live; the driver keeps what it needs of the event.
        checked("cuStreamWaitEvent", unsafe { (self.context.work.stream_wait)(self.raw(), event.raw(), 0) })
    }

    /// Writes `byte` over a part of the device's memory.
    ///
    /// # Errors
    /// [`CudaError::HostHasIt`], [`CudaError::OtherStream`], [`CudaError::Call`].
    pub fn fill(&self, to: &DeviceSlice, byte: u8) -> Result<(), CudaError> {
        let bytes = to.size();
        if bytes == 0 {
            return Ok(());
        }
        self.context.make_current()?;
        using(self, &[to], || {
            // SAFETY: the slice lies within memory that lives until the work is done and that the host has no view of
            // (`using`).
            let status = unsafe { (self.context.work.set_bytes)(to.address(), byte, bytes, self.raw()) };
            checked("cuMemsetD8Async", status)
        })
    }

    /// Copies a part of the device's memory into another of the same size.
    ///
    /// # Errors
    /// [`CudaError::SizesDiffer`], [`CudaError::HostHasIt`], [`CudaError::OtherStream`], [`CudaError::Call`].
    pub fn copy(&self, from: &DeviceSlice, to: &DeviceSlice) -> Result<(), CudaError> {
        if from.len() != to.len() {
            return Err(CudaError::SizesDiffer { from: from.len(), to: to.len() });
        }
        // SAFETY: both slices lie within memory that lives until the work is done and that the host has no view of
        // (`using`).
        using(self, &[from, to], || unsafe { self.copy_raw(from.address(), to.address(), to.size()) })
    }

    /// Copies between addresses of the device, for memory that another library owns.
    ///
    /// # Safety
    /// Both ranges of `bytes` bytes are memory of this device and stay so until the stream has done the copy, and the host
    /// has no view of them meanwhile.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub unsafe fn copy_raw(&self, from: u64, to: u64, bytes: usize) -> Result<(), CudaError> {
        if bytes == 0 {
            return Ok(());
        }
        self.context.make_current()?;
        // SAFETY: the caller's promise.
        let status = unsafe { (self.context.work.copy_on_device)(to, from, bytes, self.raw()) };
        checked("cuMemcpyDtoDAsync", status)
    }
}

impl Drop for Stream {
    /// The driver finishes what was put on it and then gives it back.
    fn drop(&mut self) {
        let destroyed = self.context.make_current().and_then(|()| {
            // SAFETY: created by `new`, destroyed once.
            checked("cuStreamDestroy", unsafe { (self.context.work.stream_destroy)(self.raw()) })
        });
        if destroyed.is_err() {
            std::mem::forget(self.part.take()); // a part is not given back while it may have a stream
        }
        self.context.dropped("stream", destroyed);
    }
}
