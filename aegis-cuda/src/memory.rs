//! Memory that the device can use: its own, or the host's where both can reach it; and parts of it.
#![allow(unsafe_code)]

use crate::error::checked;
use crate::ffi::Raw;
use crate::reservation::Piece;
use crate::{Context, CudaError, MemoryPool, Stream};
use aegis_core::Bytes;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// The device's, taken and given back in the order of the stream.
    Pool { pool: Arc<MemoryPool>, stream: Arc<Stream> },
    /// The device's, mapped into a reservation.
    Reserved { _pieces: Vec<Arc<Piece>> },
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
        match &self.kind {
            _ if self.bytes == 0 => {}
            Kind::Own => self.context.free_idle("device memory", "cuMemFree", || {
                // SAFETY: taken once by `alloc`, freed once here, and no work is left on the device (`free_idle`).
                unsafe { (self.context.work.memory_free)(self.address) }
            }),
            Kind::Pool { pool, stream } => pool.free(stream, self.address),
            Kind::Mapped { .. } | Kind::Reserved { .. } => {} // their fields do it
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
    /// Memory that a pool just gave on that stream.
    pub(crate) fn of_pool(pool: &Arc<MemoryPool>, stream: &Arc<Stream>, address: u64, bytes: usize) -> Self {
        let context = Arc::clone(stream.context());
        let kind = Kind::Pool { pool: Arc::clone(pool), stream: Arc::clone(stream) };
        Self::whole(DeviceMemory { context, address, bytes, kind })
    }

    /// Memory that is mapped in these pieces.
    pub(crate) fn of_pieces(
        context: &Arc<Context>,
        address: u64,
        bytes: usize,
        pieces: Vec<Arc<Piece>>,
    ) -> Self {
        let kind = Kind::Reserved { _pieces: pieces };
        Self::whole(DeviceMemory { context: Arc::clone(context), address, bytes, kind })
    }

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

    fn views(&self) -> Option<&Views> {
        match &self.memory.kind {
            Kind::Mapped { views, .. } => Some(views),
            _ => None,
        }
    }

    fn host_has_it(&self) -> CudaError {
        CudaError::HostHasIt { address: self.address(), bytes: self.len() }
    }
}

/// Puts work on `stream` that uses these slices, if it may: memory of a pool only on its own stream, and mapped memory
/// that the host has a view of only on the stream that the view is lent to.
pub(crate) fn using<T>(
    stream: &Stream,
    slices: &[&DeviceSlice],
    put: impl FnOnce() -> Result<T, CudaError>,
) -> Result<T, CudaError> {
    // First: the lists of views, each once and in one order for all threads.
    let mut lists: Vec<&Views> = slices.iter().filter_map(|slice| slice.views()).collect();
    lists.sort_by_key(|views| std::ptr::from_ref(*views));
    lists.dedup_by_key(|views| std::ptr::from_ref(*views));
    // Then: nobody takes a view back before the work is on the stream.
    let lists: Vec<_> = lists.into_iter().map(|views| (std::ptr::from_ref(views), views.list())).collect();
    for slice in slices {
        let list = lists.iter().find(|list| slice.views().is_some_and(|views| std::ptr::eq(views, list.0)));
        if let Some((_, list)) = list
            && overlapping(list, slice.offset, slice.bytes)
                .any(|view| view.lent_to != Some(stream.raw() as usize))
        {
            return Err(slice.host_has_it());
        }
        if let Kind::Pool { stream: own, .. } = &slice.memory.kind
            && own.raw() != stream.raw()
        {
            return Err(CudaError::OtherStream { address: slice.address(), bytes: slice.len() });
        }
    }
    put()
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
        let Some(views) = slice.views() else { return Ok(None) };
        let id = views.add(slice.offset, slice.bytes).ok_or_else(|| slice.host_has_it())?;
        Ok(Some(Self { slice: slice.clone(), id }))
    }

    /// Where it begins; dangling but aligned when there are no bytes.
    pub(crate) fn address(&self) -> *mut u8 {
        match &self.slice.memory.kind {
            Kind::Mapped { host, .. } if host.bytes > 0 => (host.address + self.slice.offset) as *mut u8,
            _ => std::ptr::dangling_mut(),
        }
    }

    /// Lets work on that stream use the bytes; the host leaves them alone from here on. `None` ends it: no more work is
    /// put there, and the host may have them once what was put there is done.
    pub(crate) fn lend(&self, stream: Option<&Stream>) {
        if let Some(views) = self.slice.views() {
            let lent_to = stream.map(|stream| stream.raw() as usize);
            views.list().iter_mut().filter(|view| view.id == self.id).for_each(|view| view.lent_to = lent_to);
        }
    }
}

impl Drop for HostView {
    fn drop(&mut self) {
        if let Some(views) = self.slice.views() {
            views.list().retain(|view| view.id != self.id);
        }
    }
}

/// Which bytes of a mapped memory the host has views of.
#[derive(Debug, Default)]
struct Views(Mutex<Vec<View>>);

#[derive(Debug)]
struct View {
    begin: usize,
    end: usize,
    id: u64,
    lent_to: Option<usize>,
}

fn overlapping(list: &[View], offset: usize, bytes: usize) -> impl Iterator<Item = &View> {
    list.iter().filter(move |view| view.begin.max(offset) < view.end.min(offset + bytes))
}

impl Views {
    fn list(&self) -> MutexGuard<'_, Vec<View>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, offset: usize, bytes: usize) -> Option<u64> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut list = self.list();
        if overlapping(&list, offset, bytes).next().is_some() {
            return None;
        }
        let id = NEXT.fetch_add(1, Relaxed);
        list.push(View { begin: offset, end: offset + bytes, id, lent_to: None });
        Some(id)
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
        assert!(views.add(0, 10).is_some() && views.add(10, 0).is_some() && views.add(10, 5).is_some());
        for (offset, bytes, free) in
            [(0, 1, false), (9, 1, false), (14, 9, false), (0, 99, false), (3, 0, true), (15, 1, true)]
        {
            let id = views.add(offset, bytes);
            assert_eq!(id.is_some(), free, "{offset} {bytes}");
            views.list().retain(|view| Some(view.id) != id);
        }
    }
}
