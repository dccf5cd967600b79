//! The traits of the contract, and what is passed between them.
use crate::{Artifact, BackendError, Io, ModelFacts};
use aegis_core::Bytes;
use aegis_cuda::{DeviceMemory, DeviceSlice, Stream};
use std::fmt;
use std::sync::Arc;

/// Which non-preemptive segment of a model to execute, from 0; below [`ModelFacts::segments`].
pub type SegmentIndex = u16;

/// A runtime that can load and execute models.
pub trait RuntimeBackend: Send + Sync {
    /// Its name in specs, for example `rten`.
    fn name(&self) -> &'static str;

    /// Name and version of the runtime behind it, for traces and profiles, for example `rten 0.27`.
    fn version(&self) -> String;

    /// Loads a model within `limits`. Loading the same artifact twice gives two models that know nothing of each other.
    ///
    /// # Errors
    /// [`BackendError`] says which file, what is wrong with it and what to do.
    fn load(&self, artifact: &Artifact, limits: &Limits) -> Result<Box<dyn Model>, BackendError>;
}

/// What a load may take. A runtime that takes memory through an allocator of ours is refused more than that; for the
/// others whoever loads compares afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Memory of the device.
    pub device_memory: Option<Bytes>,
}

/// A loaded model: immutable, shareable, says what it needs before it runs.
pub trait Model: Send + Sync {
    /// Inputs, outputs, memory, streams and segments.
    fn facts(&self) -> &ModelFacts;

    /// Opens a flow of executions. The session keeps what it needs of the model alive by itself. Where the model lives is
    /// in [`ModelFacts::place`], and the session is of that kind.
    ///
    /// # Errors
    /// [`BackendError`] if the runtime refuses, or if `binding` lacks what [`ModelFacts`] asked for
    /// ([`Binding::device_for`] checks it for you).
    fn open(&self, binding: &Binding) -> Result<Session, BackendError>;
}

/// One flow of executions, of the kind that its model's [`Place`](crate::Place) says.
pub enum Session {
    /// Works on the calling thread.
    Host(Box<dyn HostSession>),
    /// Works on a device's stream.
    Device(Box<dyn DeviceSession>),
}

impl Session {
    /// The session, if it works on the calling thread.
    #[must_use]
    pub fn into_host(self) -> Option<Box<dyn HostSession>> {
        match self {
            Self::Host(session) => Some(session),
            Self::Device(_) => None,
        }
    }

    /// The session, if it works on a device.
    #[must_use]
    pub fn into_device(self) -> Option<Box<dyn DeviceSession>> {
        match self {
            Self::Host(_) => None,
            Self::Device(session) => Some(session),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host(_) => "Session::Host",
            Self::Device(_) => "Session::Device",
        })
    }
}

/// A flow of executions on the calling thread.
pub trait HostSession: Send {
    /// Executes one segment to its end.
    ///
    /// # Errors
    /// [`BackendError`]; the job's result is void, and [`BackendError::fault`] says what stays usable.
    fn run(&mut self, segment: SegmentIndex, io: Io<'_, '_>) -> Result<(), BackendError>;
}

/// A flow of executions on the stream and the tensors that it was given when it was opened. Dropping it is safe at any
/// time and returns after the device has let go of the session's memory.
pub trait DeviceSession: Send {
    /// Puts one segment on the stream and returns before the device is done, where the runtime allows it. Whoever calls
    /// waits for the stream.
    ///
    /// # Errors
    /// [`BackendError`]; the job's result is void, and [`BackendError::fault`] says what stays usable. What of the job is
    /// on the stream already still has to be waited for.
    fn enqueue(&mut self, segment: SegmentIndex) -> Result<(), BackendError>;
}

/// What the orchestrator gives a session.
#[derive(Debug, Clone, Default)]
pub struct Binding {
    /// Threads of the host that the runtime may use for one job; its own choice when absent.
    pub threads: Option<u32>,
    /// What a session on a device works with; it needs this.
    pub device: Option<DeviceBinding>,
}

/// Where a session on a device works: all of it stays bound as long as the session lives.
#[derive(Debug, Clone)]
pub struct DeviceBinding {
    /// The stream that takes its work.
    pub stream: Arc<Stream>,
    /// Where the inputs lie, in the model's order, each at least as long as the tensor.
    pub inputs: Vec<DeviceSlice>,
    /// Where the outputs go, likewise.
    pub outputs: Vec<DeviceSlice>,
    /// The scratch memory of a model that lets it be placed. Others may use it between this session's jobs.
    pub scratch: Option<DeviceSlice>,
}

/// Everything on a device begins at a multiple of this: what the driver's own allocations do.
pub const DEVICE_ALIGN: Bytes = Bytes(256);

impl DeviceBinding {
    /// Takes memory for one session alone.
    ///
    /// # Errors
    /// [`BackendError::Device`] if the device has not enough.
    pub fn alone(stream: &Arc<Stream>, facts: &ModelFacts) -> Result<Self, BackendError> {
        let context = stream.context();
        let take =
            |bytes: Option<Bytes>| Ok(DeviceMemory::alloc(context, bytes.ok_or_else(|| too_large(facts))?)?);
        let inputs = facts.inputs.iter().map(|t| take(t.bytes())).collect::<Result<_, BackendError>>()?;
        let outputs = facts.outputs.iter().map(|t| take(t.bytes())).collect::<Result<_, BackendError>>()?;
        let scratch = facts.placeable().map(|bytes| take(Some(bytes))).transpose()?;
        Ok(Self { stream: Arc::clone(stream), inputs, outputs, scratch })
    }
}

fn too_large(facts: &ModelFacts) -> BackendError {
    BackendError::BadBinding {
        why: format!("tensors of unbounded size: {:?}, {:?}", facts.inputs, facts.outputs),
    }
}

impl Binding {
    /// The part of it for a device, checked against what `facts` ask for.
    ///
    /// # Errors
    /// [`BackendError::BadBinding`] says what is missing, too small or not aligned. Nothing smaller than asked for may
    /// ever reach a runtime: one that is given too little scratch writes past its end.
    pub fn device_for(&self, facts: &ModelFacts) -> Result<&DeviceBinding, BackendError> {
        let bad = |why: String| BackendError::BadBinding { why };
        let device = self.device.as_ref().ok_or_else(|| {
            bad("the model works on a device, and no stream and tensors there are given".into())
        })?;
        for (which, slices, tensors) in
            [("input", &device.inputs, &facts.inputs), ("output", &device.outputs, &facts.outputs)]
        {
            if slices.len() != tensors.len() {
                let (needed, given) = (tensors.len(), slices.len());
                return Err(bad(format!("the model has {needed} {which}s, {given} given")));
            }
            for (slice, tensor) in slices.iter().zip(tensors) {
                let needed = tensor.bytes().ok_or_else(|| too_large(facts))?;
                fits(slice, needed, &format!("{which} `{}`", tensor.name)).map_err(bad)?;
            }
        }
        if let Some(needed) = facts.placeable().filter(|bytes| *bytes > Bytes::ZERO) {
            let scratch = device
                .scratch
                .as_ref()
                .ok_or_else(|| bad(format!("the model needs {needed} of scratch, none is given")))?;
            fits(scratch, needed, "scratch").map_err(bad)?;
        }
        Ok(device)
    }
}

fn fits(slice: &DeviceSlice, needed: Bytes, what: &str) -> Result<(), String> {
    if slice.len() < needed {
        return Err(format!("{what} needs {needed}, given {}", slice.len()));
    }
    if !slice.address().is_multiple_of(DEVICE_ALIGN.0) {
        return Err(format!(
            "{what} begins at {:#x}, which is no multiple of {DEVICE_ALIGN}",
            slice.address()
        ));
    }
    Ok(())
}
