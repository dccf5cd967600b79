//! Copies between the device's memory and any bytes of the host, waited for: for what is not in a hurry.
#![allow(unsafe_code)]

use crate::error::checked;
use crate::memory::{PinnedMemory, using};
use crate::{CudaError, DeviceSlice, Stream};
use aegis_core::Bytes;
use std::sync::PoisonError;

/// How much is copied at once. The driver never sees the caller's memory: the copies go through page-locked memory of the
/// stream's, which is kept if a wait fails, as the device may then still use it.
const STEP: usize = 1 << 20;

impl Stream {
    /// Copies a part of the device's memory to the host and waits for it.
    ///
    /// # Errors
    /// [`CudaError::SizesDiffer`], [`CudaError::HostHasIt`], [`CudaError::OtherStream`], [`CudaError::HostOutOfMemory`],
    /// [`CudaError::Call`].
    pub fn read(&self, from: &DeviceSlice, to: &mut [u8]) -> Result<(), CudaError> {
        same_size(from.len(), Bytes(to.len() as u64))?;
        let copy = self.context().work.copy_to_host;
        self.step_by_step(from, |bounce, address, range| {
            // SAFETY: both sides have that length; `bounce` lives until the wait has returned, or for ever.
            let status = unsafe { copy(bounce.address().cast(), address, range.len(), self.raw()) };
            checked("cuMemcpyDtoHAsync", status)?;
            self.synchronize()?;
            // SAFETY: the device has written that many bytes and is done; `bounce` is nobody else's.
            let bytes = unsafe { std::slice::from_raw_parts(bounce.address(), range.len()) };
            to[range].copy_from_slice(bytes);
            Ok(())
        })
    }

    /// Copies from the host into a part of the device's memory and waits for it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(&self, from: &[u8], to: &DeviceSlice) -> Result<(), CudaError> {
        same_size(Bytes(from.len() as u64), to.len())?;
        let copy = self.context().work.copy_to_device;
        self.step_by_step(to, |bounce, address, range| {
            // SAFETY: it has room for a step and is nobody else's; the device was waited for after the step before.
            unsafe { std::slice::from_raw_parts_mut(bounce.address(), range.len()) }
                .copy_from_slice(&from[range.clone()]);
            // SAFETY: both sides have that length; `bounce` lives until the wait has returned, or for ever.
            let status =
                unsafe { copy(address, bounce.address().cast_const().cast(), range.len(), self.raw()) };
            checked("cuMemcpyHtoDAsync", status)?;
            self.synchronize()
        })
    }

    /// Calls `step` for each part of the slice with memory to copy through, the part's address, and its range.
    fn step_by_step(
        &self,
        slice: &DeviceSlice,
        mut step: impl FnMut(&PinnedMemory, u64, std::ops::Range<usize>) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let size = slice.size();
        if size == 0 {
            return Ok(());
        }
        let mut kept = self.bounce.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = size.min(STEP);
        let bounce = match kept.take().filter(|bounce| bounce.bytes >= wanted) {
            Some(bounce) => bounce,
            None => PinnedMemory::alloc(self.context(), Bytes(wanted as u64))?,
        };
        self.context().make_current()?;
        for begin in (0..size).step_by(STEP) {
            let range = begin..size.min(begin + STEP);
            let done = using(self, &[slice], || step(&bounce, slice.address() + begin as u64, range));
            if done.is_err() {
                // Only a wait shows that the device has left the memory alone.
                match self.synchronize() {
                    Ok(()) => *kept = Some(bounce),
                    failed => {
                        std::mem::forget(bounce);
                        self.context().dropped("page-locked memory", failed);
                    }
                }
                return done;
            }
        }
        *kept = Some(bounce);
        Ok(())
    }
}

fn same_size(from: Bytes, to: Bytes) -> Result<(), CudaError> {
    if from == to { Ok(()) } else { Err(CudaError::SizesDiffer { from, to }) }
}
