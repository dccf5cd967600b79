//! Memory pools: memory that is taken and given back in the order of a stream, without waiting for the device.
#![allow(unsafe_code)]

use crate::error::checked;
use crate::ffi::{self, PoolProperties, Pools, Raw};
use crate::memory::{device_memory, size_of};
use crate::{Context, CudaError, DeviceSlice, Stream};
use aegis_core::Bytes;
use std::ffi::{c_int, c_uint};
use std::sync::Arc;

/// A pool of a device's memory.
#[derive(Debug)]
pub struct MemoryPool {
    context: Arc<Context>,
    calls: &'static Pools,
    raw: usize,
}

/// What a pool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolUsage {
    /// Taken from the device now.
    pub reserved: Bytes,
    /// The most that was taken from the device.
    pub reserved_max: Bytes,
    /// Given out now.
    pub used: Bytes,
    /// The most that was given out.
    pub used_max: Bytes,
}

/// Attributes of a pool, by the driver's numbers.
const RELEASE_THRESHOLD: c_int = 4;
const RESERVED: c_int = 5;
const RESERVED_MAX: c_int = 6;
const USED: c_int = 7;
const USED_MAX: c_int = 8;

impl MemoryPool {
    /// Makes a pool that keeps up to `keep` when a stream is waited for; the rest goes back to the device.
    ///
    /// # Errors
    /// [`CudaError::Missing`] if the driver has no pools, [`CudaError::Call`] if it refuses.
    pub fn new(context: &Arc<Context>, keep: Bytes) -> Result<Arc<Self>, CudaError> {
        let calls = ffi::pools()?;
        context.make_current()?;
        let properties = PoolProperties::on(context.handle());
        let mut raw: Raw = std::ptr::null_mut();
        // SAFETY: `raw` is a valid place for one handle, and the properties are laid out as the driver reads them.
        checked("cuMemPoolCreate", unsafe { (calls.create)(&raw mut raw, &raw const properties) })?;
        let pool = Self { context: Arc::clone(context), calls, raw: raw as usize };
        let mut keep = keep.0;
        // SAFETY: this attribute is 64 bits, which `keep` is.
        let status = unsafe { (calls.set)(raw, RELEASE_THRESHOLD, (&raw mut keep).cast()) };
        checked("cuMemPoolSetAttribute", status)?;
        Ok(Arc::new(pool))
    }

    /// Takes memory for work on `stream`, for that stream alone. When the last slice of it is dropped it is given back
    /// behind the work that was put there until then, and nobody waits.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`], [`CudaError::Capturing`] on a stream that is being captured, [`CudaError::Call`].
    pub fn alloc(self: &Arc<Self>, stream: &Arc<Stream>, bytes: Bytes) -> Result<DeviceSlice, CudaError> {
        let size = size_of(bytes);
        let mut address = 0u64;
        if size > 0 {
            self.context.make_current()?;
            let mut capturing: c_uint = 0;
            // SAFETY: the stream lives, and `capturing` is a valid place for one int.
            let status = unsafe { (self.calls.capturing)(stream.raw(), &raw mut capturing) };
            checked("cuStreamIsCapturing", status)?;
            if capturing != 0 {
                return Err(CudaError::Capturing);
            }
            // SAFETY: pool and stream live, and `address` is a valid place for one device pointer.
            let status = unsafe { (self.calls.alloc)(&raw mut address, size, self.raw as Raw, stream.raw()) };
            checked("cuMemAllocFromPoolAsync", status)
                .map_err(|error| device_memory(&self.context, error, bytes))?;
        }
        Ok(DeviceSlice::of_pool(self, stream, address, size))
    }

    /// Gives back what [`alloc`](Self::alloc) took.
    pub(crate) fn free(&self, stream: &Stream, address: u64) {
        let freed = self.context.make_current().and_then(|()| {
            // SAFETY: taken once by `alloc` on this stream, freed once; only work on this stream uses it (`using`).
            checked("cuMemFreeAsync", unsafe { (self.calls.free)(address, stream.raw()) })
        });
        self.context.dropped("pool memory", freed);
    }

    /// Gives memory back to the device until no more than `keep` is left or all the rest is given out.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn trim(&self, keep: Bytes) -> Result<(), CudaError> {
        self.context.make_current()?;
        // SAFETY: the pool lives.
        checked("cuMemPoolTrimTo", unsafe { (self.calls.trim)(self.raw as Raw, size_of(keep)) })
    }

    /// What it holds. Memory whose giving back is still on a stream counts as used.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn usage(&self) -> Result<PoolUsage, CudaError> {
        Ok(PoolUsage {
            reserved: self.attribute(RESERVED)?,
            reserved_max: self.attribute(RESERVED_MAX)?,
            used: self.attribute(USED)?,
            used_max: self.attribute(USED_MAX)?,
        })
    }

    fn attribute(&self, which: c_int) -> Result<Bytes, CudaError> {
        self.context.make_current()?;
        let mut value = 0u64;
        // SAFETY: the pool lives, and these attributes are 64 bits, which `value` is.
        let status = unsafe { (self.calls.get)(self.raw as Raw, which, (&raw mut value).cast()) };
        checked("cuMemPoolGetAttribute", status)?;
        Ok(Bytes(value))
    }
}

impl Drop for MemoryPool {
    fn drop(&mut self) {
        let destroyed = self.context.make_current().and_then(|()| {
            // SAFETY: made by `new`, destroyed once; the driver keeps what is still on its way back.
            checked("cuMemPoolDestroy", unsafe { (self.calls.destroy)(self.raw as Raw) })
        });
        self.context.dropped("memory pool", destroyed);
    }
}
