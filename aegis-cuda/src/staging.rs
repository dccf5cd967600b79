//! A job's tensors on both sides: the host writes inputs and reads outputs, the device gets and gives copies of them.
#![allow(unsafe_code)]

use crate::error::checked;
use crate::memory::{HostView, PinnedMemory, using};
use crate::{Context, CudaError, DeviceSlice, Event, Stream};
use std::sync::Arc;

/// The tensors of one flow of executions. Between [`begin`](Self::begin) and [`wait`](Self::wait) they belong to the
/// device. Where the device's side is [mapped](DeviceSlice::is_mapped) there is nothing to copy, and while this value
/// lives nothing else on the host has those bytes.
///
/// Work that uses mapped tensors is put on the stream after [`begin`](Self::begin) and before [`end`](Self::end):
/// elsewhere this crate refuses it, and for other libraries it is part of the promise of the unsafe call that starts it.
#[derive(Debug)]
pub struct Staging {
    stream: Arc<Stream>,
    inputs: Vec<Side>,
    outputs: Vec<Side>,
    done: Event,
    phase: Phase,
}

/// Whose the tensors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The host's.
    Host,
    /// The device's, and no mark says until when.
    Device,
    /// The device's until it reaches the mark.
    Marked,
}

/// One tensor: the device's part, and the host's bytes.
#[derive(Debug)]
struct Side {
    device: DeviceSlice,
    host: Host,
}

#[derive(Debug)]
enum Host {
    /// Copied from or to the device.
    Copy(PinnedMemory),
    /// The device's bytes themselves.
    View(HostView),
}

impl Side {
    fn new(stream: &Stream, context: &Arc<Context>, device: DeviceSlice) -> Result<Self, CudaError> {
        using(stream, &[&device], || Ok(()))?;
        let host = match HostView::new(&device)? {
            Some(view) => Host::View(view),
            None => Host::Copy(PinnedMemory::alloc(context, device.len())?),
        };
        Ok(Self { device, host })
    }

    fn address(&self) -> *mut u8 {
        match &self.host {
            Host::Copy(pinned) => pinned.address(),
            Host::View(view) => view.address(),
        }
    }

    /// Lets work on that stream use the host's bytes in place, or no work any more.
    fn lend(&self, stream: Option<&Stream>) {
        if let Host::View(view) = &self.host {
            view.lend(stream);
        }
    }

    /// What is to be copied: the host's bytes, if there are any.
    fn copied(&self) -> Option<&PinnedMemory> {
        match &self.host {
            Host::Copy(pinned) if pinned.bytes > 0 => Some(pinned),
            _ => None,
        }
    }
}

impl Staging {
    /// Takes the host's side of tensors whose device side is given. Copied tensors begin as zeros on the host.
    ///
    /// # Errors
    /// [`CudaError::HostOutOfMemory`] or [`CudaError::Call`] if the host's side cannot be taken,
    /// [`CudaError::HostHasIt`] if another tensor has the same mapped bytes, [`CudaError::OtherStream`].
    pub fn new(
        stream: &Arc<Stream>,
        inputs: Vec<DeviceSlice>,
        outputs: Vec<DeviceSlice>,
    ) -> Result<Self, CudaError> {
        let context = stream.context();
        let sides = |slices: Vec<DeviceSlice>| -> Result<Vec<_>, CudaError> {
            slices.into_iter().map(|slice| Side::new(stream, context, slice)).collect()
        };
        Ok(Self {
            stream: Arc::clone(stream),
            inputs: sides(inputs)?,
            outputs: sides(outputs)?,
            done: Event::new(context)?,
            phase: Phase::Host,
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
        let side = self.outputs.get(index).filter(|_| self.phase == Phase::Host)?;
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
        for side in self.outputs.iter().filter(|side| side.copied().is_some()) {
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
        self.phase = Phase::Device;
        self.inputs.iter().chain(&self.outputs).for_each(|side| side.lend(Some(&self.stream)));
        let context = self.stream.context();
        context.make_current()?;
        for side in &self.inputs {
            let Some(host) = side.copied() else { continue };
            // SAFETY: both sides have that length and live until the stream has done the copy: `settle` waits for it
            // before anything else happens to them, and so does `drop`.
            let status = unsafe {
                (context.work.copy_to_device)(
                    side.device.address(),
                    host.address().cast_const().cast(),
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
        self.phase = Phase::Device;
        self.take_back();
        let context = self.stream.context();
        context.make_current()?;
        for side in &self.outputs {
            let Some(host) = side.copied() else { continue };
            // SAFETY: as in `begin`.
            let status = unsafe {
                (context.work.copy_to_host)(
                    host.address().cast(),
                    side.device.address(),
                    host.bytes,
                    self.stream.raw(),
                )
            };
            checked("cuMemcpyDtoHAsync", status)?;
        }
        self.done.record(&self.stream)?;
        self.phase = Phase::Marked;
        Ok(())
    }

    /// Waits for the mark of [`end`](Self::end), in the context's way; without a mark, for everything on the stream. The
    /// tensors belong to the host again.
    ///
    /// # Errors
    /// [`CudaError::Call`], also for failures of the work before the mark; the tensors then stay the device's.
    pub fn wait(&mut self) -> Result<(), CudaError> {
        if self.phase == Phase::Marked {
            self.done.synchronize()?;
            self.phase = Phase::Host;
        }
        self.settle()
    }

    /// Waits for everything on the stream if the device may still have the tensors.
    ///
    /// # Errors
    /// [`CudaError::Call`]; the tensors then stay the device's.
    pub fn settle(&mut self) -> Result<(), CudaError> {
        if self.phase != Phase::Host {
            self.take_back();
            self.stream.synchronize()?;
            self.phase = Phase::Host;
        }
        Ok(())
    }

    /// No work is put on the stream that uses the host's bytes in place from here on.
    fn take_back(&self) {
        self.inputs.iter().chain(&self.outputs).for_each(|side| side.lend(None));
    }
}

impl Drop for Staging {
    /// Host memory that the device may still write is not given back: it stays until the process ends.
    fn drop(&mut self) {
        let settled = self.settle();
        if settled.is_err() {
            for side in self.inputs.drain(..).chain(self.outputs.drain(..)) {
                std::mem::forget(side);
            }
        }
        self.stream.context().dropped("staging", settled);
    }
}
