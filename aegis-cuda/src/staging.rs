//! A job's tensors on both sides: the host writes inputs and reads outputs, the device gets and gives copies of them.
#![allow(unsafe_code)]

use crate::error::checked;
use crate::memory::PinnedMemory;
use crate::{Context, CudaError, DeviceSlice, Event, Stream};
use std::sync::Arc;

/// The tensors of one flow of executions. Between [`begin`](Self::begin) and [`wait`](Self::wait) they belong to the
/// device. Where the device's side is [mapped](DeviceSlice::is_mapped) there is nothing to copy.
#[derive(Debug)]
pub struct Staging {
    stream: Arc<Stream>,
    inputs: Vec<Side>,
    outputs: Vec<Side>,
    done: Event,
    in_flight: bool,
}

/// One tensor: the device's part, and the host's where it is another.
#[derive(Debug)]
struct Side {
    device: DeviceSlice,
    host: Option<PinnedMemory>,
}

impl Side {
    fn new(context: &Arc<Context>, device: DeviceSlice) -> Result<Self, CudaError> {
        let host = if device.is_mapped() { None } else { Some(PinnedMemory::alloc(context, device.len())?) };
        Ok(Self { device, host })
    }

    /// Where the host's bytes are; dangling but aligned when there are none.
    fn address(&self) -> *mut u8 {
        let address = match &self.host {
            Some(pinned) => pinned.host as *mut u8,
            None => self.device.host().unwrap_or_default(),
        };
        if self.device.is_empty() { std::ptr::dangling_mut() } else { address }
    }
}

impl Staging {
    /// Takes the host's side of tensors whose device side is given. Inputs and outputs begin as zeros on the host.
    ///
    /// # Errors
    /// [`CudaError`] if the host's side cannot be taken.
    pub fn new(
        stream: &Arc<Stream>,
        inputs: Vec<DeviceSlice>,
        outputs: Vec<DeviceSlice>,
    ) -> Result<Self, CudaError> {
        let context = stream.context();
        let sides = |slices: Vec<DeviceSlice>| -> Result<Vec<_>, CudaError> {
            slices.into_iter().map(|slice| Side::new(context, slice)).collect()
        };
        Ok(Self {
            stream: Arc::clone(stream),
            inputs: sides(inputs)?,
            outputs: sides(outputs)?,
            done: Event::new(context)?,
            in_flight: false,
        })
    }

    /// The stream that carries the copies.
    #[must_use]
    pub const fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// How many inputs and outputs there are.
    #[must_use]
    pub fn tensors(&self) -> (usize, usize) {
        (self.inputs.len(), self.outputs.len())
    }

    /// The host's bytes of an input, to write; `None` if there is no such input. Waits if the device still has it.
    ///
    /// # Errors
    /// [`CudaError::Call`] if the wait fails.
    pub fn input_mut(&mut self, index: usize) -> Result<Option<&mut [u8]>, CudaError> {
        self.settle()?;
        let Some(side) = self.inputs.get(index) else { return Ok(None) };
        // SAFETY: the bytes live as long as `side`, were zeroed when they were taken, are not in flight (`settle`), and
        // are borrowed from here alone: `&mut self`.
        Ok(Some(unsafe { std::slice::from_raw_parts_mut(side.address(), side.device.size()) }))
    }

    /// The host's bytes of an output; `None` if there is no such output, or while the device has it.
    #[must_use]
    pub fn output(&self, index: usize) -> Option<&[u8]> {
        let side = self.outputs.get(index).filter(|_| !self.in_flight)?;
        // SAFETY: the bytes live as long as `side`, were zeroed when they were taken, are not in flight (checked above),
        // and are written only through `begin`, which takes `&mut self`.
        Some(unsafe { std::slice::from_raw_parts(side.address(), side.device.size()) })
    }

    /// Writes `byte` over all outputs on both sides.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn fill_outputs(&mut self, byte: u8) -> Result<(), CudaError> {
        self.settle()?;
        for side in self.outputs.iter().filter(|side| !side.device.is_empty()) {
            self.stream.fill(&side.device, byte)?;
        }
        self.stream.synchronize()?;
        for side in &self.outputs {
            // SAFETY: the bytes live as long as `side`, are not in flight (`settle`), and `self` is borrowed mutably.
            unsafe { side.address().write_bytes(byte, side.device.size()) };
        }
        Ok(())
    }

    /// Puts the copies of all inputs on the stream. From here on the tensors belong to the device, also after an error.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn begin(&mut self) -> Result<(), CudaError> {
        self.settle()?;
        self.in_flight = true;
        let context = self.stream.context();
        context.make_current()?;
        for side in &self.inputs {
            let Some(host) = side.host.as_ref().filter(|host| host.bytes > 0) else { continue };
            // SAFETY: both sides have that length and live until the stream has done the copy: `settle` waits for it
            // before anything else happens to them, and so does `drop`.
            let status = unsafe {
                (context.work.copy_to_device)(
                    side.device.address(),
                    host.host as *const _,
                    host.bytes,
                    self.stream.raw(),
                )
            };
            checked("cuMemcpyHtoDAsync", status)?;
        }
        Ok(())
    }

    /// Puts the copies of all outputs on the stream, and the mark that [`wait`](Self::wait) waits for.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn end(&mut self) -> Result<(), CudaError> {
        self.in_flight = true;
        let context = self.stream.context();
        context.make_current()?;
        for side in &self.outputs {
            let Some(host) = side.host.as_ref().filter(|host| host.bytes > 0) else { continue };
            // SAFETY: as in `begin`.
            let status = unsafe {
                (context.work.copy_to_host)(
                    host.host as *mut _,
                    side.device.address(),
                    host.bytes,
                    self.stream.raw(),
                )
            };
            checked("cuMemcpyDtoHAsync", status)?;
        }
        self.done.record(&self.stream)
    }

    /// Waits for the mark of [`end`](Self::end), in the context's way. The tensors belong to the host again.
    ///
    /// # Errors
    /// [`CudaError::Call`], also for failures of the work before the mark.
    pub fn wait(&mut self) -> Result<(), CudaError> {
        self.done.synchronize()?;
        self.in_flight = false;
        Ok(())
    }

    /// Waits for everything on the stream if the device may still have the tensors.
    ///
    /// # Errors
    /// [`CudaError::Call`]; the tensors then stay the device's.
    pub fn settle(&mut self) -> Result<(), CudaError> {
        if self.in_flight {
            self.stream.synchronize()?;
            self.in_flight = false;
        }
        Ok(())
    }
}

impl Drop for Staging {
    /// Host memory that the device may still write is not given back: it stays until the process ends.
    fn drop(&mut self) {
        if self.settle().is_err() {
            for side in self.inputs.drain(..).chain(self.outputs.drain(..)) {
                std::mem::forget(side);
            }
        }
    }
}
