//! An opened session with its buffers, on the host or on a device: inputs in, one job, outputs out.
use crate::{
    BackendError, Binding, DType, DeviceSession, HostSession, Io, Model, ModelFacts, Place, SegmentIndex,
    Session, TensorBuf, TensorFacts, TensorMut, TensorRef,
};
use aegis_core::{Blame, Bytes, Fault, FaultCode, Nanos, Usable};
use aegis_cuda::{CudaError, Event, Staging, Stream};
use std::fmt;

/// The most inputs, and the most outputs, that a model may have. A run lists them on the stack.
pub const MOST_TENSORS: usize = 256;

/// A session that is ready to run. Inputs begin as zeros and stay as they are from run to run.
pub struct Runner(Flow);

enum Flow {
    Host {
        session: Box<dyn HostSession>,
        inputs: Vec<TensorBuf>,
        outputs: Vec<TensorBuf>,
    },
    /// The session is dropped first: it waits until the device has let go of the tensors.
    Device {
        session: Box<dyn DeviceSession>,
        staging: Staging,
        marks: Marks,
    },
}

/// What the copies of one segment took, as the device counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copies {
    /// Of its inputs.
    pub inputs: Nanos,
    /// Of its outputs.
    pub outputs: Nanos,
}

/// Marks on the stream around the copies of a segment. What they show is told beside the run and never makes it fail.
struct Marks {
    /// Before the inputs, behind them, before the outputs, behind them.
    events: [Event; 4],
    /// Whether all of them were put on the stream by the last run.
    set: bool,
}

impl Marks {
    fn new(stream: &Stream) -> Result<Self, CudaError> {
        let event = || Event::timed(stream.context());
        Ok(Self { events: [event()?, event()?, event()?, event()?], set: false })
    }

    /// Puts the next two marks around the work of `enqueue`.
    fn around<T>(
        &mut self,
        first: usize,
        staging: &mut Staging,
        enqueue: impl FnOnce(&mut Staging) -> Result<T, CudaError>,
    ) -> Result<T, CudaError> {
        let before = self.events[first].record(staging.stream()).is_ok();
        let done = enqueue(staging)?;
        self.set &= before && self.events[first + 1].record(staging.stream()).is_ok();
        Ok(done)
    }

    fn copies(&self) -> Option<Copies> {
        let [a, b, c, d] = self.set.then_some(&self.events)?;
        // The last mark is behind the one that the run waited for, with nothing between them.
        d.synchronize().ok()?;
        Some(Copies { inputs: b.since(a).ok()?, outputs: d.since(c).ok()? })
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Flow::Host { .. } => "Runner(host)",
            Flow::Device { .. } => "Runner(device)",
        })
    }
}

impl Runner {
    /// Takes the host's buffers and opens a session. A symbolic dimension counts as 1.
    ///
    /// # Errors
    /// [`BackendError`]; nothing stays taken.
    pub fn open(model: &dyn Model, binding: &Binding) -> Result<Self, BackendError> {
        let facts = model.facts();
        for (which, tensors) in [("inputs", &facts.inputs), ("outputs", &facts.outputs)] {
            if tensors.len() > MOST_TENSORS {
                let why =
                    format!("the model has {} {which}; at most {MOST_TENSORS} are allowed", tensors.len());
                return Err(BackendError::BadBinding { why });
            }
        }
        match facts.place {
            Place::Host => {
                let (inputs, outputs) = (take("input", &facts.inputs)?, take("output", &facts.outputs)?);
                match model.open(binding)? {
                    Session::Host(session) => Ok(Self(Flow::Host { session, inputs, outputs })),
                    Session::Device(_) => Err(other_kind(facts)),
                }
            }
            Place::Device => {
                let device = binding.device_for(facts)?;
                let part = |(slice, tensor): (&aegis_cuda::DeviceSlice, &TensorFacts)| {
                    slice.part(Bytes::ZERO, tensor.bytes()?)
                };
                let exact = |slices: &[_], tensors: &[_]| -> Option<Vec<_>> {
                    slices.iter().zip(tensors).map(part).collect()
                };
                let inputs = exact(&device.inputs, &facts.inputs).ok_or_else(|| other_kind(facts))?;
                let outputs = exact(&device.outputs, &facts.outputs).ok_or_else(|| other_kind(facts))?;
                let staging = Staging::new(&device.stream, inputs, outputs)?;
                let marks = Marks::new(&device.stream)?;
                match model.open(binding)? {
                    Session::Device(session) => Ok(Self(Flow::Device { session, staging, marks })),
                    Session::Host(_) => Err(other_kind(facts)),
                }
            }
        }
    }

    /// The bytes of an input, row-major, for writing; `None` if there is no such input.
    ///
    /// # Errors
    /// [`BackendError::Device`] if the device cannot give them back.
    pub fn input_mut(&mut self, index: usize) -> Result<Option<&mut [u8]>, BackendError> {
        match &mut self.0 {
            Flow::Host { inputs, .. } => Ok(inputs.get_mut(index).map(TensorBuf::data_mut)),
            Flow::Device { staging, .. } => Ok(staging.input_mut(index)?),
        }
    }

    /// The bytes of an output, row-major; `None` if there is no such output, or if the device has not given it back. They
    /// are void before the first run and after one that failed.
    #[must_use]
    pub fn output(&self, index: usize) -> Option<&[u8]> {
        match &self.0 {
            Flow::Host { outputs, .. } => outputs.get(index).map(TensorBuf::data),
            Flow::Device { staging, .. } => staging.output(index),
        }
    }

    /// Writes `byte` over all outputs, on the device as well, so that one that nobody writes shows.
    ///
    /// # Errors
    /// [`BackendError::Device`].
    pub fn fill_outputs(&mut self, byte: u8) -> Result<(), BackendError> {
        match &mut self.0 {
            Flow::Host { outputs, .. } => outputs.iter_mut().for_each(|output| output.data_mut().fill(byte)),
            Flow::Device { staging, .. } => staging.fill_outputs(byte)?,
        }
        Ok(())
    }

    /// Executes one segment and waits for it. On a device the inputs are copied before it and the outputs after it, on the
    /// session's stream. Takes no memory unless it fails.
    ///
    /// # Errors
    /// [`BackendError`]; the outputs are void then.
    pub fn run(&mut self, segment: SegmentIndex) -> Result<(), BackendError> {
        match &mut self.0 {
            Flow::Host { session, inputs, outputs } => match inputs.len().max(outputs.len()) {
                0..=4 => execute::<4>(&mut **session, segment, inputs, outputs),
                5..=32 => execute::<32>(&mut **session, segment, inputs, outputs),
                _ => execute::<MOST_TENSORS>(&mut **session, segment, inputs, outputs),
            },
            Flow::Device { session, staging, marks } => {
                marks.set = true;
                marks.around(0, staging, Staging::begin)?;
                // Whatever is on the stream is waited for, also after an error. The first error is the one to tell, unless
                // the device is lost: then nothing else matters.
                let enqueued = session.enqueue(segment);
                let copied = marks.around(2, staging, Staging::end);
                let device = staging.wait().and(copied);
                match device {
                    Err(error) if error.is_sticky() => Err(error.into()),
                    device => {
                        enqueued?;
                        Ok(device?)
                    }
                }
            }
        }
    }

    /// What the copies of the last run took; `None` on the host, which copies nothing, and where the device did not count.
    #[must_use]
    pub fn copies(&self) -> Option<Copies> {
        match &self.0 {
            Flow::Host { .. } => None,
            Flow::Device { marks, .. } => marks.copies(),
        }
    }

    /// Runs all `segments` of one job.
    ///
    /// # Errors
    /// The first [`BackendError`]; the outputs are void then.
    pub fn run_job(&mut self, segments: u16) -> Result<(), BackendError> {
        (0..segments).try_for_each(|segment| self.run(segment))
    }
}

/// Runs with lists of `N` tensors on the stack; `N` is at least the number of inputs and of outputs.
fn execute<const N: usize>(
    session: &mut dyn HostSession,
    segment: SegmentIndex,
    inputs: &[TensorBuf],
    outputs: &mut [TensorBuf],
) -> Result<(), BackendError> {
    let (given_inputs, given_outputs) = (inputs.len(), outputs.len());
    let mut inputs = inputs.iter();
    let inputs: [TensorRef<'_>; N] = std::array::from_fn(|_| match inputs.next() {
        Some(buffer) => buffer.input(),
        None => TensorRef { dtype: DType::U8, shape: &[], data: &[] },
    });
    let mut outputs = outputs.iter_mut();
    let mut outputs: [TensorMut<'_>; N] = std::array::from_fn(|_| match outputs.next() {
        Some(buffer) => buffer.output(),
        None => TensorMut { dtype: DType::U8, shape: &[], data: &mut [] },
    });
    session.run(segment, Io { inputs: &inputs[..given_inputs], outputs: &mut outputs[..given_outputs] })
}

/// Takes the buffers of all inputs or outputs.
fn take(which: &'static str, facts: &[TensorFacts]) -> Result<Vec<TensorBuf>, BackendError> {
    let buffer = |facts: &TensorFacts| {
        TensorBuf::for_facts(facts).ok_or_else(|| BackendError::NoMemory {
            which,
            name: facts.name.clone(),
            tensor: facts.to_string(),
        })
    };
    facts.iter().map(buffer).collect()
}

/// A backend whose sessions are not what its facts say.
fn other_kind(facts: &ModelFacts) -> BackendError {
    let why = format!(
        "the backend says that the model lives on the {:?} and opens a session of another kind",
        facts.place
    );
    BackendError::Execution {
        why,
        fault: Fault { blame: Blame::Backend, code: FaultCode::ExecutionFailed, usable: Usable::Model },
    }
}
