//! Graphs: work that is recorded once and put on a stream as one.
#![allow(unsafe_code)]

use crate::error::checked;
use crate::ffi::{self, Graphs, Raw};
use crate::{Context, CudaError, Stream};
use std::sync::Arc;

/// Recorded work, ready to be launched.
#[derive(Debug)]
pub struct Graph {
    context: Arc<Context>,
    calls: &'static Graphs,
    raw: usize,
}

impl Graph {
    /// Records what `record` puts on `stream`, which does not run meanwhile. Waiting for the stream in there fails, and
    /// fails the recording.
    ///
    /// # Errors
    /// What `record` answers; [`CudaError::Missing`], [`CudaError::Call`].
    ///
    /// # Safety
    /// All that the recorded work uses (memory, kernels, handles of libraries) stays valid and where it is until this value
    /// is dropped and the last launch is done, and the host has no view of such memory while a launch runs.
    pub unsafe fn capture<E: From<CudaError>>(
        stream: &Arc<Stream>,
        record: impl FnOnce(&Arc<Stream>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let calls = ffi::graphs()?;
        let mut capture = Capture::begin(calls, stream)?;
        let recorded = record(stream);
        let template = capture.end();
        recorded?;
        let template = template?;
        let context = stream.context();
        let mut raw: Raw = std::ptr::null_mut();
        // SAFETY: `raw` is a valid place for one handle, and the template lives.
        let status = unsafe { (calls.instantiate)(&raw mut raw, template.raw, 0) };
        checked("cuGraphInstantiateWithFlags", status)?;
        Ok(Self { context: Arc::clone(context), calls, raw: raw as usize })
    }

    /// Moves to the device what the first launch would move otherwise.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn upload(&mut self, stream: &Stream) -> Result<(), CudaError> {
        self.context.make_current()?;
        // SAFETY: both live; `&mut self` keeps other threads from the graph.
        checked("cuGraphUpload", unsafe { (self.calls.upload)(self.raw as Raw, stream.raw()) })
    }

    /// Puts the recorded work on a stream.
    ///
    /// # Errors
    /// [`CudaError::Call`].
    pub fn launch(&mut self, stream: &Stream) -> Result<(), CudaError> {
        self.context.make_current()?;
        // SAFETY: both live; `&mut self` keeps other threads from the graph; what it uses is valid (`capture`).
        checked("cuGraphLaunch", unsafe { (self.calls.launch)(self.raw as Raw, stream.raw()) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let destroyed = self.context.make_current().and_then(|()| {
            // SAFETY: made by `capture`, destroyed once; the driver keeps it until its last launch is done.
            checked("cuGraphExecDestroy", unsafe { (self.calls.exec_destroy)(self.raw as Raw) })
        });
        self.context.dropped("graph", destroyed);
    }
}

/// A stream that records; it ends with this value, also when the recording panics.
struct Capture<'a> {
    calls: &'static Graphs,
    stream: &'a Stream,
    running: bool,
}

/// What was recorded.
struct Template {
    context: Arc<Context>,
    calls: &'static Graphs,
    raw: Raw,
}

impl<'a> Capture<'a> {
    fn begin(calls: &'static Graphs, stream: &'a Stream) -> Result<Self, CudaError> {
        const THIS_THREAD: u32 = 1; // others may do what a recording thread must not
        stream.context().make_current()?;
        // SAFETY: the stream lives.
        let status = unsafe { (calls.begin)(stream.raw(), THIS_THREAD) };
        checked("cuStreamBeginCapture", status)?;
        Ok(Self { calls, stream, running: true })
    }

    fn end(&mut self) -> Result<Template, CudaError> {
        self.running = false;
        let context = self.stream.context();
        context.make_current()?;
        let mut raw: Raw = std::ptr::null_mut();
        // SAFETY: `raw` is a valid place for one handle, and the stream lives.
        let status = unsafe { (self.calls.end)(self.stream.raw(), &raw mut raw) };
        let template = Template { context: Arc::clone(context), calls: self.calls, raw };
        checked("cuStreamEndCapture", status).map(|()| template)
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if self.running {
            let ended = self.end().map(drop);
            self.stream.context().dropped("capture", ended);
        }
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        if self.raw.is_null() {
            return;
        }
        let destroyed = self.context.make_current().and_then(|()| {
            // SAFETY: given by the driver at the end of a recording, destroyed once; graphs made of it do not need it.
            checked("cuGraphDestroy", unsafe { (self.calls.destroy)(self.raw) })
        });
        self.context.dropped("recorded graph", destroyed);
    }
}
