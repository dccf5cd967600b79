//! Reservations: addresses that stay the same while the memory behind them grows and shrinks.
#![allow(unsafe_code)]

use crate::error::checked;
use crate::ffi::{self, Access, MemoryProperties, Virtual};
use crate::memory::{device_memory, size_of};
use crate::{Context, CudaError, DeviceSlice};
use aegis_core::Bytes;
use std::sync::Arc;

/// A range of a device's addresses, with memory behind its first part. The memory comes and goes in pieces of one size.
#[derive(Debug)]
pub struct Reservation {
    space: Arc<Space>,
    piece: usize,
    pieces: Vec<Arc<Piece>>,
}

/// Addresses without memory.
#[derive(Debug)]
struct Space {
    context: Arc<Context>,
    calls: &'static Virtual,
    address: u64,
    bytes: usize,
}

/// Memory at its place in a reservation.
#[derive(Debug)]
pub(crate) struct Piece {
    space: Arc<Space>,
    address: u64,
    bytes: usize,
    memory: u64,
    /// What of it is still to be given back.
    mapped: bool,
    owned: bool,
}

impl Reservation {
    /// The smallest piece, of which all sizes are multiples.
    ///
    /// # Errors
    /// [`CudaError::Missing`] if the driver has no virtual memory, [`CudaError::Call`] if the device has none.
    pub fn granularity(context: &Context) -> Result<Bytes, CudaError> {
        const MINIMUM: u32 = 0;
        let calls = ffi::virtual_memory()?;
        let properties = MemoryProperties::on(context.handle());
        let mut granularity = 0usize;
        // SAFETY: a valid place for one size_t, and the properties are laid out as the driver reads them.
        let status = unsafe { (calls.granularity)(&raw mut granularity, &raw const properties, MINIMUM) };
        checked("cuMemGetAllocationGranularity", status)?;
        Ok(Bytes(granularity as u64))
    }

    /// Reserves addresses for `most` bytes, whose memory will come in pieces of `piece`. Both are rounded up to the
    /// [granularity](Self::granularity); no memory is taken yet.
    ///
    /// # Errors
    /// [`CudaError::Missing`], [`CudaError::OutOfMemory`] if there are no such addresses, [`CudaError::Call`].
    pub fn new(context: &Arc<Context>, most: Bytes, piece: Bytes) -> Result<Self, CudaError> {
        let calls = ffi::virtual_memory()?;
        let granularity = Self::granularity(context)?;
        let rounded =
            |bytes: Bytes, step| Bytes(bytes.0.max(1)).checked_align_up(step).map_or(usize::MAX, size_of);
        let piece = rounded(piece, granularity);
        let bytes = rounded(most, Bytes(piece as u64));
        context.make_current()?;
        let mut address = 0u64;
        // SAFETY: `address` is a valid place for one device pointer; 0 lets the driver choose alignment and place.
        let status = unsafe { (calls.reserve)(&raw mut address, bytes, 0, 0, 0) };
        checked("cuMemAddressReserve", status).map_err(|error| device_memory(context, error, most))?;
        let space = Arc::new(Space { context: Arc::clone(context), calls, address, bytes });
        Ok(Self { space, piece, pieces: Vec::new() })
    }

    /// Where it begins on the device.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.space.address
    }

    /// How much memory it has now.
    #[must_use]
    pub fn len(&self) -> Bytes {
        Bytes((self.pieces.len() * self.piece) as u64)
    }

    /// Whether it has no memory now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How much memory it can have.
    #[must_use]
    pub fn most(&self) -> Bytes {
        Bytes(self.space.bytes as u64)
    }

    /// The size of a piece.
    #[must_use]
    pub fn piece(&self) -> Bytes {
        Bytes(self.piece as u64)
    }

    /// Gives it memory for `bytes`, rounded up to whole pieces, or takes what is more than that from its end. What stays
    /// keeps its content. Taking waits for the device. After an error it has what was reached until then; a piece whose
    /// taking failed may be left without memory, and taking it again goes on from there.
    ///
    /// # Errors
    /// [`CudaError::OutOfReservation`], [`CudaError::InUse`] if a slice holds what should be taken,
    /// [`CudaError::OutOfMemory`], [`CudaError::Call`].
    pub fn resize(&mut self, bytes: Bytes) -> Result<(), CudaError> {
        if bytes > self.most() {
            return Err(CudaError::OutOfReservation { asked: bytes, most: self.most() });
        }
        let wanted = size_of(bytes).div_ceil(self.piece);
        while self.pieces.len() > wanted {
            let held = self.len();
            match self.pieces.last_mut().map(Arc::get_mut) {
                Some(Some(piece)) => piece.give_back()?,
                _ => return Err(CudaError::InUse { wanted: bytes, held }),
            }
            self.pieces.pop();
        }
        while self.pieces.len() < wanted {
            let address = self.space.address + (self.pieces.len() * self.piece) as u64;
            self.pieces.push(Arc::new(Piece::new(&self.space, address, self.piece)?));
        }
        Ok(())
    }

    /// The part of it from `offset` that is `bytes` long; `None` if there is no memory for all of it. The memory stays
    /// while the slice does.
    #[must_use]
    pub fn part(&self, offset: Bytes, bytes: Bytes) -> Option<DeviceSlice> {
        let (offset, bytes) = (usize::try_from(offset.0).ok()?, usize::try_from(bytes.0).ok()?);
        let end = offset.checked_add(bytes)?;
        let pieces = self.pieces.get(offset / self.piece..end.div_ceil(self.piece)).unwrap_or_default();
        if end > self.pieces.len() * self.piece {
            return None;
        }
        let address = self.space.address + offset as u64;
        Some(DeviceSlice::of_pieces(&self.space.context, address, bytes, pieces.to_vec()))
    }
}

impl Piece {
    fn new(space: &Arc<Space>, address: u64, bytes: usize) -> Result<Self, CudaError> {
        let (context, calls) = (&space.context, space.calls);
        context.make_current()?;
        let properties = MemoryProperties::on(context.handle());
        let mut memory = 0u64;
        // SAFETY: a valid place for one handle, and the properties are laid out as the driver reads them.
        let status = unsafe { (calls.create)(&raw mut memory, bytes, &raw const properties, 0) };
        checked("cuMemCreate", status).map_err(|error| device_memory(context, error, Bytes(bytes as u64)))?;
        // What is done is undone by its drop from here on.
        let mut piece = Self { space: Arc::clone(space), address, bytes, memory, mapped: false, owned: true };
        // SAFETY: the range lies within the reservation and has no memory: `resize` counts the pieces.
        checked("cuMemMap", unsafe { (calls.map)(address, bytes, 0, memory, 0) })?;
        piece.mapped = true;
        let access = Access::read_and_write(context.handle());
        // SAFETY: the range was just mapped, and `access` is one of what the count says.
        let status = unsafe { (calls.access)(address, bytes, &raw const access, 1) };
        checked("cuMemSetAccess", status)?;
        Ok(piece)
    }
}

impl Piece {
    /// Waits for the device and gives the memory back; what fails can be tried again.
    fn give_back(&mut self) -> Result<(), CudaError> {
        let calls = self.space.calls;
        self.space.context.synchronize()?;
        if self.mapped {
            // SAFETY: mapped by `new`, unmapped once, and no work is left on the device.
            checked("cuMemUnmap", unsafe { (calls.unmap)(self.address, self.bytes) })?;
            self.mapped = false;
        }
        if self.owned {
            // SAFETY: created by `new`, released once, mapped nowhere.
            checked("cuMemRelease", unsafe { (calls.release)(self.memory) })?;
            self.owned = false;
        }
        Ok(())
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.mapped || self.owned {
            let freed = self.give_back();
            if self.mapped {
                std::mem::forget(Arc::clone(&self.space)); // addresses with memory behind them are not given back
            }
            self.space.context.dropped("memory of a reservation", freed);
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let freed = self.context.make_current().and_then(|()| {
            // SAFETY: reserved by `Reservation::new`, freed once; its pieces keep it, so none is mapped any more.
            checked("cuMemAddressFree", unsafe { (self.calls.unreserve)(self.address, self.bytes) })
        });
        self.context.dropped("reservation", freed);
    }
}
