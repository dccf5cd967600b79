//! Memory that the device can use: its own, or the host's where both can reach it; and parts of it.
#![allow(unsafe_code)]

use crate::error::checked;
use crate::ffi::Raw;
use crate::{Context, CudaError, Stream};
use aegis_core::Bytes;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Memory in one piece, freed when the last slice of it is dropped.
///
/// Freeing waits for the device, and what cannot be waited for is kept: memory that the device may still use is never
/// given to someone else.
#[derive(Debug)]
pub struct DeviceMemory {
    context: Arc<Context>,
    address: u64,
    bytes: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The device's.
    Own,
    /// The host's; the device reads and writes it in place.
    Mapped { host: PinnedMemory, views: Views },
}

impl DeviceMemory {
    /// Takes memory of the device; its content is not defined. A length of 0 takes nothing.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`] with what is free, [`CudaError::Call`].
    pub fn alloc(context: &Arc<Context>, bytes: Bytes) -> Result<DeviceSlice, CudaError> {
        let size = size_of(bytes);
        let mut address = 0u64;
        if size > 0 {
            context.make_current()?;
            // SAFETY: `address` is a valid place for one device pointer, and a context is current.
            let status = unsafe { (context.work.memory_alloc)(&raw mut address, size) };
            checked("cuMemAlloc", status).map_err(|error| device_memory(context, error, bytes))?;
        }
        Ok(DeviceSlice::whole(Self { context: Arc::clone(context), address, bytes: size, kind: Kind::Own }))
    }

    /// Takes page-locked memory of the host, zeroed, that the device reads and writes in place. On a device that shares
    /// the host's memory this costs no copy; on another every access goes over the bus.
    ///
    /// # Errors
    /// [`CudaError::HostOutOfMemory`], [`CudaError::Call`].
    pub fn alloc_mapped(context: &Arc<Context>, bytes: Bytes) -> Result<DeviceSlice, CudaError> {
        let host = PinnedMemory::alloc(context, bytes)?;
        let mut address = 0u64;
        if host.bytes > 0 {
            // SAFETY: `host.address` came from cuMemHostAlloc with the flag that maps it.
            let status = unsafe { (context.work.host_address)(&raw mut address, host.address as Raw, 0) };
            checked("cuMemHostGetDevicePointer", status)?;
        }
        let bytes = host.bytes;
        let kind = Kind::Mapped { host, views: Views::default() };
        Ok(DeviceSlice::whole(Self { context: Arc::clone(context), address, bytes, kind }))
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if let Kind::Own = self.kind
            && self.bytes > 0
        {
            self.context.free_idle("device memory", "cuMemFree", || {
                // SAFETY: taken once by `alloc`, freed once here, and no work is left on the device (`free_idle`).
                unsafe { (self.context.work.memory_free)(self.address) }
            });
        }
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

    /// Whether work on `stream` may use it now: the host must have no view of it.
    pub(crate) fn usable_on(&self, _stream: &Stream) -> Result<(), CudaError> {
        match &self.memory.kind {
            Kind::Mapped { views, .. } if views.overlap(self.offset, self.bytes) => Err(self.host_has_it()),
            Kind::Own | Kind::Mapped { .. } => Ok(()),
        }
    }

    fn host_has_it(&self) -> CudaError {
        CudaError::HostHasIt { address: self.address(), bytes: self.len() }
    }
}

/// The host's bytes of a mapped slice. There is one view of a byte at a time, so that who has it has the byte alone as
/// far as the host goes.
#[derive(Debug)]
pub(crate) struct HostView {
    slice: DeviceSlice,
    id: u64,
}

impl HostView {
    /// The view of `slice`, `None` where it is not mapped.
    pub(crate) fn new(slice: &DeviceSlice) -> Result<Option<Self>, CudaError> {
        let Kind::Mapped { views, .. } = &slice.memory.kind else { return Ok(None) };
        let id = views.add(slice.offset, slice.bytes).ok_or_else(|| slice.host_has_it())?;
        Ok(Some(Self { slice: slice.clone(), id }))
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> *mut u8 {
        match &self.slice.memory.kind {
            Kind::Mapped { host, .. } if host.bytes > 0 => (host.address + self.slice.offset) as *mut u8,
            _ => std::ptr::dangling_mut(), // there are no bytes
        }
    }
}

impl Drop for HostView {
    fn drop(&mut self) {
        if let Kind::Mapped { views, .. } = &self.slice.memory.kind {
            views.remove(self.id);
        }
    }
}

/// Which bytes of a mapped memory the host has views of: begin, end, and the view's number.
#[derive(Debug, Default)]
struct Views(Mutex<Vec<(usize, usize, u64)>>);

impl Views {
    fn list(&self) -> std::sync::MutexGuard<'_, Vec<(usize, usize, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn overlap(&self, offset: usize, bytes: usize) -> bool {
        self.list().iter().any(|&(begin, end, _)| begin.max(offset) < end.min(offset + bytes))
    }

    fn add(&self, offset: usize, bytes: usize) -> Option<u64> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut list = self.list();
        if list.iter().any(|&(begin, end, _)| begin.max(offset) < end.min(offset + bytes)) {
            return None;
        }
        let id = NEXT.fetch_add(1, Relaxed);
        list.push((offset, offset + bytes, id));
        Some(id)
    }

    fn remove(&self, id: u64) {
        self.list().retain(|view| view.2 != id);
    }
}

/// Page-locked memory of the host, zeroed.
#[derive(Debug)]
pub(crate) struct PinnedMemory {
    context: Arc<Context>,
    address: usize,
    pub(crate) bytes: usize,
}

impl PinnedMemory {
    pub(crate) fn alloc(context: &Arc<Context>, bytes: Bytes) -> Result<Self, CudaError> {
        const PORTABLE_AND_MAPPED: u32 = 1 | 2;
        let size = size_of(bytes);
        let mut host: Raw = std::ptr::null_mut();
        if size > 0 {
            context.make_current()?;
            // SAFETY: `host` is a valid place for one pointer, and a context is current.
            let status = unsafe { (context.work.host_alloc)(&raw mut host, size, PORTABLE_AND_MAPPED) };
            checked("cuMemHostAlloc", status).map_err(|error| match error {
                CudaError::Call { code: OUT_OF_MEMORY, .. } => CudaError::HostOutOfMemory { asked: bytes },
                other => other,
            })?;
            // SAFETY: the driver just gave `size` bytes at `host`, and nobody else knows them yet.
            unsafe { host.cast::<u8>().write_bytes(0, size) };
        }
        Ok(Self { context: Arc::clone(context), address: host as usize, bytes: size })
    }

    /// Where it begins; dangling but aligned when there are no bytes.
    pub(crate) fn address(&self) -> *mut u8 {
        if self.bytes == 0 { std::ptr::dangling_mut() } else { self.address as *mut u8 }
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.context.free_idle("page-locked memory", "cuMemFreeHost", || {
                // SAFETY: taken once by `alloc`, freed once here, and no work is left on the device (`free_idle`).
                unsafe { (self.context.work.host_free)(self.address as Raw) }
            });
        }
    }
}

/// The driver's answer when memory is short, its own or the host's.
const OUT_OF_MEMORY: i32 = 2;

/// A size for the driver. Where it does not fit, no driver can give it, and the greatest size gets that answer.
pub(crate) fn size_of(bytes: Bytes) -> usize {
    usize::try_from(bytes.0).unwrap_or(usize::MAX)
}

/// Says what is free, where the driver says that memory is short and can tell.
pub(crate) fn device_memory(context: &Context, error: CudaError, asked: Bytes) -> CudaError {
    match (&error, context.memory()) {
        (CudaError::Call { code: OUT_OF_MEMORY, .. }, Ok((free, total))) => {
            CudaError::OutOfMemory { asked, free, total }
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::Views;

    #[test]
    fn a_byte_has_one_view() {
        let views = Views::default();
        let first = views.add(0, 10).unwrap();
        let empty = views.add(10, 0).unwrap();
        let second = views.add(10, 5).unwrap();
        for (offset, bytes, taken) in [
            (0, 1, true),
            (9, 1, true),
            (14, 9, true),
            (3, 0, false),
            (15, 1, false),
            (15, 0, false),
            (0, 0, false),
        ] {
            assert_eq!(views.overlap(offset, bytes), taken, "{offset} {bytes}");
            assert_eq!(
                views.add(offset, bytes).map(|id| views.remove(id)).is_none(),
                taken,
                "{offset} {bytes}"
            );
        }
        views.remove(first);
        assert!(!views.overlap(0, 10) && views.overlap(0, 11));
        views.remove(second);
        views.remove(empty);
        assert!(!views.overlap(0, usize::MAX));
    }
}
