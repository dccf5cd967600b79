//! An execution context: its memory is the caller's, its work goes to the caller's stream.
use super::engine::{Engine, NotLoaded, shape};
use super::shim::{Extents, Raw};
use super::voice;
use crate::fit::Fitting;
use aegis_cuda::{CudaError, Stream, StreamPriority};
use std::ffi::CStr;
use std::sync::Arc;

/// One flow of executions. It keeps its engine alive.
pub(crate) struct Flow {
    engine: Arc<Engine>,
    context: Raw,
    bound: Option<Bound>,
}

// SAFETY: an execution context may move between threads as long as one uses it at a time; every method that reaches it
// takes `&mut self`, but for `shape`, which only reads, and `Flow` is not `Sync`.
unsafe impl Send for Flow {}

/// What the device may be using.
struct Bound {
    fitting: Fitting,
    _aux: Vec<Arc<Stream>>,
}

impl Flow {
    /// A context without device memory.
    pub(crate) fn new(engine: &Arc<Engine>) -> Result<Self, NotLoaded> {
        engine.enter().map_err(NotLoaded::Device)?;
        let shim = engine.library().shim;
        let voice = engine.library().voice as Raw;
        let one = engine.contexts();
        engine.refused(); // of an execution that wanted memory, and has failed for it
        // SAFETY: the engine is alive, and this value keeps it so; the voice is never freed.
        let (context, said) = voice::hear(|| unsafe { (shim.context_new)(engine.raw, voice) });
        let refused = engine.refused();
        drop(one);
        if context.is_null() {
            return Err(refused.map_or_else(|| NotLoaded::Refused(said.to_string()), NotLoaded::Memory));
        }
        let flow = Self { engine: Arc::clone(engine), context, bound: None }; // frees the context
        refused.map_or(Ok(flow), |refusal| Err(NotLoaded::Memory(refusal)))
    }

    /// Sets the extents of inputs that the engine leaves open.
    ///
    /// # Errors
    /// What TensorRT said.
    pub(crate) fn set_shapes<'a>(
        &mut self,
        inputs: impl Iterator<Item = (&'a CStr, &'a [i64])>,
    ) -> Result<(), String> {
        let context = self.engine.enter().map_err(|error| error.to_string())?;
        let shim = self.engine.library().shim;
        // SAFETY: the context is alive.
        if unsafe { (shim.context_profile)(self.context) } != 0 {
            let said = |error: CudaError| error.to_string();
            let stream = Stream::new(context, StreamPriority::Usual).map_err(said)?;
            // SAFETY: the context is alive, and so is the stream until the line below has waited for it.
            let set = || unsafe { (shim.context_set_profile)(self.context, stream.raw()) };
            let (done, lines) = voice::hear(set);
            stream.synchronize().map_err(said)?;
            if !done {
                return Err(format!("TensorRT allows no second session of a plan with open shapes: {lines}"));
            }
        }
        for (name, extents) in inputs {
            let mut room: Extents = [0; 8];
            let Some(place) = room.get_mut(..extents.len()) else {
                return Err(format!("{} has {} extents", name.to_string_lossy(), extents.len()));
            };
            place.copy_from_slice(extents);
            let rank = i32::try_from(extents.len()).unwrap_or(i32::MAX);
            // SAFETY: the context is alive, the name is a C string, and `room` has the extents that the shim reads.
            let set =
                || unsafe { (shim.context_set_shape)(self.context, name.as_ptr(), &raw const room, rank) };
            let (done, said) = voice::hear(set);
            if !done {
                return Err(said.to_string());
            }
        }
        Ok(())
    }

    /// A tensor's extents with the inputs' shapes as set; -1 where they depend on the data.
    pub(crate) fn shape(&mut self, name: &CStr) -> Option<Vec<i64>> {
        let mut extents: Extents = [0; 8];
        let shim = self.engine.library().shim;
        // SAFETY: the context is alive, `extents` has the room that the shim fills, the name is a C string.
        let rank = unsafe { (shim.context_shape)(self.context, name.as_ptr(), &raw mut extents) };
        shape(rank, &extents)
    }

    /// Gives it its memory and streams. What was bound before has been [released](Self::release).
    ///
    /// # Errors
    /// What TensorRT said.
    pub(crate) fn bind(&mut self, fitting: Fitting, aux: Vec<Arc<Stream>>) -> Result<(), String> {
        self.release().map_err(|error| error.to_string())?;
        self.engine.enter().map_err(|error| error.to_string())?;
        let shim = self.engine.library().shim;
        let mut raw: Vec<Raw> = aux.iter().map(|stream| stream.raw()).collect();
        let count = i32::try_from(raw.len()).unwrap_or(i32::MAX);
        let (scratch, bytes) = fitting.scratch().map_or((0, 0), |slice| (slice.address(), slice.len().0));
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let bind = || {
            // SAFETY: the context is alive; the streams live as long as `bound`; TensorRT copies the array.
            unsafe { (shim.context_set_aux_streams)(self.context, raw.as_mut_ptr(), count) };
            // SAFETY: the slice is at least as long as the engine asks (`Fitting`), and lives as long as `bound`.
            unsafe { (shim.context_set_scratch)(self.context, scratch as Raw, bytes) };
            fitting.tensors().find(|(name, slice)| {
                // SAFETY: as for the scratch memory; the name is a C string, which TensorRT looks up.
                !unsafe { (shim.context_bind)(self.context, name.as_ptr(), slice.address() as Raw) }
            })
        };
        let (failed, said) = voice::hear(bind);
        match failed {
            Some((name, _)) => Err(format!("{}: {}", name.to_string_lossy(), said)),
            None if !said.is_well() => Err(said.to_string()),
            None => {
                self.bound = Some(Bound { fitting, _aux: aux });
                Ok(())
            }
        }
    }

    /// The stream that is bound.
    pub(crate) fn stream(&self) -> Option<&Arc<Stream>> {
        self.bound.as_ref().map(|bound| bound.fitting.stream())
    }

    /// Puts one execution on the bound stream and returns before the device is done.
    ///
    /// # Errors
    /// What TensorRT said.
    pub(crate) fn enqueue(&mut self) -> Result<(), String> {
        let Some(bound) = &self.bound else { return Err("nothing is bound".to_owned()) };
        self.engine.enter().map_err(|error| error.to_string())?;
        let stream = bound.fitting.stream().raw();
        let shim = self.engine.library().shim;
        // SAFETY: the context is alive; all its tensors, its scratch memory and its streams were bound by `bind` and live
        // until `release` has waited for the stream, or for ever.
        let (done, said) = voice::hear(|| unsafe { (shim.context_enqueue)(self.context, stream) });
        if done { Ok(()) } else { Err(said.to_string()) }
    }

    /// Waits for the stream and lets go of what was bound.
    ///
    /// # Errors
    /// [`CudaError`]; then what was bound stays bound, as the device may still use it.
    pub(crate) fn release(&mut self) -> Result<(), CudaError> {
        if let Some(bound) = &self.bound {
            bound.fitting.stream().synchronize()?;
            self.bound = None;
        }
        Ok(())
    }
}

impl Drop for Flow {
    /// If the stream cannot be waited for, the device is lost or may still be at work: the memory and the context then
    /// stay as they are until the process ends.
    fn drop(&mut self) {
        if self.release().is_err() {
            std::mem::forget(self.bound.take());
            std::mem::forget(Arc::clone(&self.engine));
            return;
        }
        let _ = self.engine.enter();
        let _one = self.engine.contexts();
        // SAFETY: made by `new`, freed once, with nothing on its way to the device; the engine outlives it.
        unsafe { (self.engine.library().shim.context_free)(self.context) };
    }
}
