//! Events: marks on a stream that a thread can wait for.
#![allow(unsafe_code)]

use crate::error::{checked, ready};
use crate::ffi::Raw;
use crate::{Context, CudaError, Stream, Wait};
use aegis_core::Nanos;
use std::sync::Arc;

/// A mark on a stream.
#[derive(Debug)]
pub struct Event {
    context: Arc<Context>,
    raw: usize,
}

impl Event {
    /// An event that threads wait for in the context's way.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn new(context: &Arc<Context>) -> Result<Self, CudaError> {
        const NO_TIMES: u32 = 2;
        Self::with(context, NO_TIMES)
    }

    /// An event that remembers when the device reached it.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn timed(context: &Arc<Context>) -> Result<Self, CudaError> {
        Self::with(context, 0)
    }

    fn with(context: &Arc<Context>, flags: u32) -> Result<Self, CudaError> {
        const BLOCK: u32 = 1;
        context.make_current()?;
        let flags = flags | if context.wait() == Wait::Block { BLOCK } else { 0 };
        let mut raw: Raw = std::ptr::null_mut();
        // SAFETY: `raw` is a valid place for one handle; the flags are the driver's.
        checked("cuEventCreate", unsafe { (context.work.event_create)(&raw mut raw, flags) })?;
        Ok(Self { context: Arc::clone(context), raw: raw as usize })
    }

    pub(crate) const fn raw(&self) -> Raw {
        self.raw as Raw
    }

    /// Marks the present end of `stream`.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        self.context.make_current()?;
        // SAFETY: both live.
        checked("cuEventRecord", unsafe { (self.context.work.event_record)(self.raw(), stream.raw()) })
    }

    /// Waits until the device has reached the mark; returns at once for an event that was never recorded.
    ///
    /// # Errors
    /// [`CudaError::Call`], also for failures of the work before the mark.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.context.make_current()?;
        // SAFETY: the event lives as long as this value.
        checked("cuEventSynchronize", unsafe { (self.context.work.event_synchronize)(self.raw()) })
    }

    /// Whether the device has reached the mark.
    ///
    /// # Errors
    /// [`CudaError::Call`], also for failures of the work before the mark.
    pub fn is_reached(&self) -> Result<bool, CudaError> {
        self.context.make_current()?;
        // SAFETY: the event lives as long as this value.
        ready("cuEventQuery", unsafe { (self.context.work.event_query)(self.raw()) })
    }

    /// The time between two marks that the device has reached, both [timed](Self::timed); the device counts it in steps
    /// of about half a microsecond.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn since(&self, earlier: &Self) -> Result<Nanos, CudaError> {
        self.context.make_current()?;
        let mut milliseconds = 0f32;
        // SAFETY: a valid place for one float, and both events live.
        let status =
            unsafe { (self.context.work.event_elapsed)(&raw mut milliseconds, earlier.raw(), self.raw()) };
        checked("cuEventElapsedTime", status)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped, rounded up")]
        Ok(Nanos((f64::from(milliseconds.max(0.0)) * 1e6).ceil() as u64)) // NaN is 0, infinity the greatest
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let destroyed = self.context.make_current().and_then(|()| {
            // SAFETY: created by `with`, destroyed once; the driver waits for nothing and frees it when it is reached.
            checked("cuEventDestroy", unsafe { (self.context.work.event_destroy)(self.raw()) })
        });
        self.context.dropped("event", destroyed);
    }
}
