//! Streams: queues of work that a device takes in order.
#![allow(unsafe_code)]

use crate::error::{checked, ready};
use crate::ffi::Raw;
use crate::{Context, CudaError, DeviceSlice, Event};
use aegis_core::Bytes;
use std::ffi::{c_int, c_void};
use std::sync::Arc;

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
}

impl Stream {
    /// Makes a stream.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn new(context: &Arc<Context>, priority: StreamPriority) -> Result<Arc<Self>, CudaError> {
        const NON_BLOCKING: u32 = 1;
        context.make_current()?;
        let (mut least, mut greatest): (c_int, c_int) = (0, 0);
        // SAFETY: both are valid places for one int, and a context is current.
        let status = unsafe { (context.work.priority_range)(&raw mut least, &raw mut greatest) };
        checked("cuCtxGetStreamPriorityRange", status)?;
        let priority = if priority == StreamPriority::Urgent { greatest } else { least };
        let mut raw: Raw = std::ptr::null_mut();
        // SAFETY: `raw` is a valid place for one handle; the priority is in the range that the driver just gave.
        let status = unsafe { (context.work.stream_create)(&raw mut raw, NON_BLOCKING, priority) };
        checked("cuStreamCreateWithPriority", status)?;
        Ok(Arc::new(Self { context: Arc::clone(context), raw: raw as usize }))
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
        to.usable_on(self)?;
        let bytes = to.size();
        if bytes == 0 {
            return Ok(());
        }
        self.context.make_current()?;
        // SAFETY: the slice lies within memory that lives until the work is done (`usable_on`), and the host has no view
        // of it.
        let status = unsafe { (self.context.work.set_bytes)(to.address(), byte, bytes, self.raw()) };
        checked("cuMemsetD8Async", status)
    }

    /// Copies a part of the device's memory into another of the same size.
    ///
    /// # Errors
    /// [`CudaError::SizesDiffer`], [`CudaError::HostHasIt`], [`CudaError::OtherStream`], [`CudaError::Call`].
    pub fn copy(&self, from: &DeviceSlice, to: &DeviceSlice) -> Result<(), CudaError> {
        same_size(from.len(), to.len())?;
        from.usable_on(self)?;
        to.usable_on(self)?;
        // SAFETY: both slices lie within memory that lives until the work is done (`usable_on`), and the host has no view
        // of it.
        unsafe { self.copy_raw(from.address(), to.address(), to.size()) }
    }

    /// Copies a part of the device's memory to the host and waits for it.
    ///
    /// # Errors
    /// [`CudaError::SizesDiffer`], [`CudaError::Call`].
    pub fn read(&self, from: &DeviceSlice, to: &mut [u8]) -> Result<(), CudaError> {
        same_size(from.len(), Bytes(to.len() as u64))?;
        self.context.make_current()?;
        let to = to.as_mut_ptr().cast();
        // SAFETY: both have that length; `to` is borrowed until the wait below has returned.
        let status = unsafe { (self.context.work.copy_to_host)(to, from.address(), from.size(), self.raw()) };
        checked("cuMemcpyDtoHAsync", status)?;
        self.synchronize()
    }

    /// Copies from the host into a part of the device's memory and waits for it.
    ///
    /// # Errors
    /// [`CudaError::SizesDiffer`], [`CudaError::Call`].
    pub fn write(&self, from: &[u8], to: &DeviceSlice) -> Result<(), CudaError> {
        same_size(Bytes(from.len() as u64), to.len())?;
        self.context.make_current()?;
        let from = from.as_ptr().cast();
        // SAFETY: both have that length; `from` is borrowed until the wait below has returned.
        let status = unsafe { (self.context.work.copy_to_device)(to.address(), from, to.size(), self.raw()) };
        checked("cuMemcpyHtoDAsync", status)?;
        self.synchronize()
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

fn same_size(from: Bytes, to: Bytes) -> Result<(), CudaError> {
    if from == to { Ok(()) } else { Err(CudaError::SizesDiffer { from, to }) }
}

impl Drop for Stream {
    /// The driver finishes what was put on it and then gives it back.
    fn drop(&mut self) {
        let destroyed = self.context.make_current().and_then(|()| {
            // SAFETY: created by `new`, destroyed once.
            checked("cuStreamDestroy", unsafe { (self.context.work.stream_destroy)(self.raw()) })
        });
        self.context.dropped("stream", destroyed);
    }
}
