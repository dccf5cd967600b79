//! Green contexts: parts of a device's multiprocessors whose streams run on them alone.
//!
//! What the driver and the device can is asked at run time: the functions may be missing, the device may refuse, and how
//! many multiprocessors a part has is what the driver answers.
//!
//! Make them once: a driver was seen (580.159, CUDA 13.0) that keeps about 4 MiB of each green context that was destroyed
//! until the process ends, although every call succeeds (`cargo test -p aegis-cuda --test gpu nothing_grows`).
#![allow(unsafe_code)]

use crate::error::checked;
use crate::ffi::{self, Greens, Raw, Resource};
use crate::stream::NON_BLOCKING;
use crate::{Context, CudaError, Stream, StreamPriority};
use std::sync::Arc;

const MULTIPROCESSORS: u32 = 1;

/// Into what parts a device can be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parts {
    /// Multiprocessors of the whole device.
    pub multiprocessors: u32,
    /// Those of the smallest part.
    pub least: u32,
    /// The smallest part that is greater, less the smallest.
    pub step: Option<u32>,
}

/// A part of a device.
#[derive(Debug)]
pub struct GreenContext {
    context: Arc<Context>,
    calls: &'static Greens,
    raw: usize,
    multiprocessors: u32,
}

/// A device in two parts.
#[derive(Debug)]
#[non_exhaustive]
pub struct Split {
    /// At least what was asked for.
    pub part: Arc<GreenContext>,
    /// All the others, if there are any.
    pub rest: Option<Arc<GreenContext>>,
}

impl GreenContext {
    /// Into what parts the device can be split. Nothing is split yet.
    ///
    /// # Errors
    /// [`CudaError::Missing`] if the driver has no green contexts, [`CudaError::Call`] if the device has none.
    pub fn parts(context: &Context) -> Result<Parts, CudaError> {
        let calls = ffi::greens()?;
        let whole = whole(calls, context)?;
        let least = split(calls, &whole, 1)?.0.count;
        // The greatest part has no greater one.
        let next = if least < whole.count { Some(split(calls, &whole, least + 1)?.0.count) } else { None };
        let step = next.and_then(|next| next.checked_sub(least));
        Ok(Parts { multiprocessors: whole.count, least, step })
    }

    /// Splits the device into a part with at least that many multiprocessors, and the rest. The driver rounds up.
    ///
    /// # Errors
    /// [`CudaError::Missing`] if the driver has no green contexts, [`CudaError::Call`] if the device has none or not that
    /// many multiprocessors.
    pub fn split(context: &Arc<Context>, multiprocessors: u32) -> Result<Split, CudaError> {
        let calls = ffi::greens()?;
        let (part, rest) = split(calls, &whole(calls, context)?, multiprocessors)?;
        let part = Self::new(context, calls, part)?;
        let rest = if rest.count > 0 { Some(Self::new(context, calls, rest)?) } else { None };
        Ok(Split { part, rest })
    }

    fn new(context: &Arc<Context>, calls: &'static Greens, part: Resource) -> Result<Arc<Self>, CudaError> {
        const DEFAULT_STREAM: u32 = 1; // the driver insists on it
        context.make_current()?;
        let mut resource = part;
        let mut description: Raw = std::ptr::null_mut();
        // SAFETY: a valid place for one handle, and `resource` is one resource that the driver gave.
        let status = unsafe { (calls.describe)(&raw mut description, &raw mut resource, 1) };
        checked("cuDevResourceGenerateDesc", status)?;
        let mut raw: Raw = std::ptr::null_mut();
        // SAFETY: a valid place for one handle, and the description was just made for this device.
        let status = unsafe { (calls.create)(&raw mut raw, description, context.handle(), DEFAULT_STREAM) };
        checked("cuGreenCtxCreate", status)?;
        let (context, multiprocessors) = (Arc::clone(context), part.count);
        Ok(Arc::new(Self { context, calls, raw: raw as usize, multiprocessors }))
    }

    /// How many multiprocessors it has.
    #[must_use]
    pub const fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// A stream whose work runs on this part alone; the stream keeps the part.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn stream(self: &Arc<Self>, priority: StreamPriority) -> Result<Arc<Stream>, CudaError> {
        let priority = self.context.stream_priority(priority)?;
        let mut raw: Raw = std::ptr::null_mut();
        // SAFETY: a valid place for one handle; the part lives; the priority is in the driver's range.
        let status = unsafe { (self.calls.stream)(&raw mut raw, self.raw as Raw, NON_BLOCKING, priority) };
        checked("cuGreenCtxStreamCreate", status)?;
        Ok(Stream::adopt(&self.context, raw, Some(Arc::clone(self))))
    }
}

impl Drop for GreenContext {
    fn drop(&mut self) {
        self.context.free_idle("green context", "cuGreenCtxDestroy", || {
            // SAFETY: made by `new`, destroyed once; its streams keep it, and none of their work runs any more
            // (`free_idle`: the primary context's wait covers its green contexts).
            unsafe { (self.calls.destroy)(self.raw as Raw) }
        });
    }
}

/// All multiprocessors of the device.
fn whole(calls: &Greens, context: &Context) -> Result<Resource, CudaError> {
    let mut whole = Resource::default();
    // SAFETY: a valid place for one resource as the driver lays it out (`ffi::Resource`).
    let status = unsafe { (calls.resource)(context.handle(), &raw mut whole, MULTIPROCESSORS) };
    checked("cuDeviceGetDevResource", status)?;
    Ok(whole)
}

/// A part with at least that many multiprocessors, and what is left.
fn split(calls: &Greens, whole: &Resource, least: u32) -> Result<(Resource, Resource), CudaError> {
    let (mut part, mut rest, mut groups) = (Resource::default(), Resource::default(), 1u32);
    // SAFETY: there is room for the one group that is asked for and for the rest; `whole` came from the driver.
    let status = unsafe { (calls.split)(&raw mut part, &raw mut groups, whole, &raw mut rest, 0, least) };
    checked("cuDevSmResourceSplitByCount", status)?;
    Ok((part, rest))
}
