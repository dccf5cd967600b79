//! Memory that the device can use: its own, or the host's where both can reach it; and parts of it.
#![allow(unsafe_code)]

use crate::error::checked;
use crate::ffi::Raw;
use crate::{Context, CudaError};
use aegis_core::Bytes;
use std::sync::Arc;

/// Memory in one piece, freed when the last slice of it is dropped; freeing waits for the device.
#[derive(Debug)]
pub struct DeviceMemory {
    context: Arc<Context>,
    address: u64,
    bytes: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The device's.
    Own,
    /// The host's, page-locked, at this address of the host; the device reads and writes it in place.
    Mapped { host: usize },
}

impl DeviceMemory {
    /// Takes memory of the device; its content is not defined. A length of 0 takes nothing.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`] with what is free, [`CudaError::Call`].
    pub fn alloc(context: &Arc<Context>, bytes: Bytes) -> Result<DeviceSlice, CudaError> {
        let size = usize::try_from(bytes.0).map_err(|_| out_of_memory(context, bytes))?;
        let mut address = 0u64;
        if size > 0 {
            context.make_current()?;
            // SAFETY: `address` is a valid place for one device pointer, and a context is current.
            let status = unsafe { (context.work.memory_alloc)(&raw mut address, size) };
            checked("cuMemAlloc", status).map_err(|error| told(context, error, bytes))?;
        }
        Ok(DeviceSlice::whole(Self { context: Arc::clone(context), address, bytes: size, kind: Kind::Own }))
    }

    /// Takes page-locked memory of the host, zeroed, that the device reads and writes in place. On a device that shares
    /// the host's memory this costs no copy; on another every access goes over the bus.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc).
    pub fn alloc_mapped(context: &Arc<Context>, bytes: Bytes) -> Result<DeviceSlice, CudaError> {
        let pinned = PinnedMemory::alloc(context, bytes)?;
        let mut address = 0u64;
        if pinned.bytes > 0 {
            // SAFETY: `pinned.host` came from cuMemHostAlloc with the flag that maps it.
            let status = unsafe { (context.work.host_address)(&raw mut address, pinned.host as Raw, 0) };
            checked("cuMemHostGetDevicePointer", status)?;
        }
        let (host, bytes) = (pinned.host, pinned.bytes);
        std::mem::forget(pinned.without_context()); // freed by this value's drop from here on
        let kind = Kind::Mapped { host };
        Ok(DeviceSlice::whole(Self { context: Arc::clone(context), address, bytes, kind }))
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.bytes == 0 || self.context.make_current().is_err() {
            return;
        }
        let work = self.context.work;
        let _ = match self.kind {
            // SAFETY: taken once by `alloc`, freed once here; the call waits for the device's work.
            Kind::Own => unsafe { (work.memory_free)(self.address) },
            // SAFETY: taken once by `alloc_mapped`, freed once here; the call waits for the device's work.
            Kind::Mapped { host } => unsafe { (work.host_free)(host as Raw) },
        };
    }
}

/// A part of a [`DeviceMemory`], which it keeps alive. Clones are the same part.
#[derive(Debug, Clone)]
pub struct DeviceSlice {
    memory: Arc<DeviceMemory>,
    offset: usize,
    bytes: usize,
}

impl DeviceSlice {
    fn whole(memory: DeviceMemory) -> Self {
        let bytes = memory.bytes;
        Self { memory: Arc::new(memory), offset: 0, bytes }
    }

    /// The part of it from `offset` that is `bytes` long; `None` if it is not within.
    #[must_use]
    pub fn part(&self, offset: Bytes, bytes: Bytes) -> Option<Self> {
        let (offset, bytes) = (usize::try_from(offset.0).ok()?, usize::try_from(bytes.0).ok()?);
        if offset.checked_add(bytes)? > self.bytes {
            return None;
        }
        Some(Self { memory: Arc::clone(&self.memory), offset: self.offset + offset, bytes })
    }

    /// Its address on the device; a driver's allocation begins at a multiple of 256.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.memory.address + self.offset as u64
    }

    /// Its length.
    #[must_use]
    pub const fn len(&self) -> Bytes {
        Bytes(self.bytes as u64)
    }

    pub(crate) const fn size(&self) -> usize {
        self.bytes
    }

    /// Whether it has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The device it lies on.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.memory.context
    }

    /// Whether host and device use it in place.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        matches!(self.memory.kind, Kind::Mapped { .. })
    }

    /// Its address on the host, where it is mapped.
    pub(crate) fn host(&self) -> Option<*mut u8> {
        match self.memory.kind {
            Kind::Own => None,
            Kind::Mapped { host } => Some((host + self.offset) as *mut u8),
        }
    }
}

/// Page-locked memory of the host, zeroed.
#[derive(Debug)]
pub(crate) struct PinnedMemory {
    context: Option<Arc<Context>>,
    pub(crate) host: usize,
    pub(crate) bytes: usize,
}

impl PinnedMemory {
    pub(crate) fn alloc(context: &Arc<Context>, bytes: Bytes) -> Result<Self, CudaError> {
        const PORTABLE_AND_MAPPED: u32 = 1 | 2;
        let size = usize::try_from(bytes.0).map_err(|_| out_of_memory(context, bytes))?;
        let mut host: Raw = std::ptr::null_mut();
        if size > 0 {
            context.make_current()?;
            // SAFETY: `host` is a valid place for one pointer, and a context is current.
            let status = unsafe { (context.work.host_alloc)(&raw mut host, size, PORTABLE_AND_MAPPED) };
            checked("cuMemHostAlloc", status).map_err(|error| told(context, error, bytes))?;
            // SAFETY: the driver just gave `size` bytes at `host`, and nobody else knows them yet.
            unsafe { host.cast::<u8>().write_bytes(0, size) };
        }
        Ok(Self { context: Some(Arc::clone(context)), host: host as usize, bytes: size })
    }

    /// The same memory without its owner: dropping it frees nothing.
    fn without_context(mut self) -> Self {
        self.context = None;
        self
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        if let Some(context) = self.context.take()
            && self.bytes > 0
            && context.make_current().is_ok()
        {
            // SAFETY: taken once by `alloc`, freed once here. Whoever started copies has waited for them (staging.rs).
            let _ = unsafe { (context.work.host_free)(self.host as Raw) };
        }
    }
}

fn told(context: &Arc<Context>, error: CudaError, asked: Bytes) -> CudaError {
    const OUT_OF_MEMORY: i32 = 2;
    match error {
        CudaError::Call { code: OUT_OF_MEMORY, .. } => out_of_memory(context, asked),
        other => other,
    }
}

fn out_of_memory(context: &Arc<Context>, asked: Bytes) -> CudaError {
    let (free, total) = context.memory().unwrap_or_default();
    CudaError::OutOfMemory { asked, free, total }
}
