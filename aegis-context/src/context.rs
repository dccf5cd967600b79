//! One model's session with its buffers, its budget and the boundary that its faults do not cross.
use crate::{Accounting, ContextError, account};
use aegis_backend::{
    BackendError, Binding, DType, Io, Model, ModelFacts, Progress, SegmentIndex, Session, Stream, TensorBuf,
    TensorFacts, TensorMut, TensorRef, catch,
};
use aegis_core::{Blame, Budget, Budgeted, Fault, FaultCode, Nanos, Usable};
use std::fmt;

/// The most inputs, and the most outputs, that a model may have. A run lists them on the stack.
pub const MOST_TENSORS: usize = 256;

/// A model that is ready to run: charged against its budget, with its session open and its buffers taken.
pub struct ExecutionContext {
    name: String,
    /// Dropped before the buffers that a device may still be reading; `None` once it was closed.
    session: Option<Box<dyn Session>>,
    inputs: Vec<TensorBuf>,
    outputs: Vec<TensorBuf>,
    model: Box<dyn Model>,
    budget: Budget,
    accounting: Accounting,
    /// The fault after which this session is not used any more.
    broken: Option<Fault>,
}

impl fmt::Debug for ExecutionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutionContext")
            .field("name", &self.name)
            .field("budget", &self.budget)
            .field("accounting", &self.accounting)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl ExecutionContext {
    /// Charges the model against its budget, takes its buffers (inputs zeroed) and opens its session, in this order:
    /// nothing is taken for a model that exceeds its budget. A symbolic dimension counts as 1.
    ///
    /// Scratch that the runtime does not state is not charged, since there is nothing to charge; [`Self::accounting`]
    /// says so, also where a memory limit is set.
    ///
    /// # Errors
    /// [`ContextError`]; nothing stays taken.
    pub fn open(
        name: impl Into<String>,
        model: Box<dyn Model>,
        budget: &Budget,
        binding: &Binding,
    ) -> Result<Self, ContextError> {
        let name = name.into();
        let facts = model.facts();
        let accounting = account(&name, facts)?;
        if let Err(over) = accounting.check(budget) {
            return Err(ContextError::OverBudget { name, over });
        }
        let inputs = take(&name, "input", &facts.inputs)?;
        let outputs = take(&name, "output", &facts.outputs)?;
        let session = guarded(&name, "open", || model.open(binding))?;
        let (session, budget, broken) = (Some(session), *budget, None);
        Ok(Self { name, session, inputs, outputs, model, budget, accounting, broken })
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its model says about itself.
    #[must_use]
    pub fn facts(&self) -> &ModelFacts {
        self.model.facts()
    }

    /// What it may hold and take.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What it holds.
    #[must_use]
    pub const fn accounting(&self) -> &Accounting {
        &self.accounting
    }

    /// The fault after which it refuses to run, if there was one.
    #[must_use]
    pub const fn broken(&self) -> Option<Fault> {
        self.broken
    }

    /// The bytes of an input, row-major, for writing. They stay as they are from run to run.
    ///
    /// # Errors
    /// [`ContextError::NoSuchTensor`].
    pub fn input_mut(&mut self, index: usize) -> Result<&mut [u8], ContextError> {
        let tensors = self.inputs.len();
        match self.inputs.get_mut(index) {
            Some(buffer) => Ok(buffer.data_mut()),
            None => {
                Err(ContextError::NoSuchTensor { name: self.name.clone(), which: "input", index, tensors })
            }
        }
    }

    /// Copies `bytes` into an input.
    ///
    /// # Errors
    /// [`ContextError::NoSuchTensor`], or [`ContextError::WrongLength`] unless `bytes` is exactly as long as the input.
    pub fn set_input(&mut self, index: usize, bytes: &[u8]) -> Result<(), ContextError> {
        let input = self.input_mut(index)?;
        let (expected, given) = (input.len(), bytes.len());
        if expected != given {
            return Err(ContextError::WrongLength { name: self.name.clone(), index, expected, given });
        }
        input.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes `byte` over all inputs.
    pub fn fill_inputs(&mut self, byte: u8) {
        for input in &mut self.inputs {
            input.data_mut().fill(byte);
        }
    }

    /// The bytes of an output, row-major. They are void before the first run and after one that failed.
    ///
    /// # Errors
    /// [`ContextError::NoSuchTensor`].
    pub fn output(&self, index: usize) -> Result<&[u8], ContextError> {
        match self.outputs.get(index) {
            Some(buffer) => Ok(buffer.data()),
            None => Err(ContextError::NoSuchTensor {
                name: self.name.clone(),
                which: "output",
                index,
                tensors: self.outputs.len(),
            }),
        }
    }

    /// Executes one segment and waits for it. Takes no memory unless it fails.
    ///
    /// # Errors
    /// [`ContextError::Backend`] or [`ContextError::Panicked`]; when their [`fault`](ContextError::fault) leaves the
    /// session unusable, every later run is [`ContextError::Unusable`].
    pub fn run(&mut self, segment: SegmentIndex, stream: &Stream) -> Result<(), ContextError> {
        if let Some(fault) = self.broken {
            return Err(ContextError::Unusable { name: self.name.clone(), fault });
        }
        let result = match self.inputs.len().max(self.outputs.len()) {
            0..=4 => self.execute::<4>(segment, *stream),
            5..=32 => self.execute::<32>(segment, *stream),
            _ => self.execute::<MOST_TENSORS>(segment, *stream),
        };
        if let Err(error) = &result {
            let fault = error.fault();
            self.broken = (fault.usable != Usable::Session).then_some(fault);
        }
        result
    }

    /// Runs with lists of `N` tensors on the stack; `N` is at least the number of inputs and of outputs.
    fn execute<const N: usize>(&mut self, segment: SegmentIndex, stream: Stream) -> Result<(), ContextError> {
        let Self { name, session, inputs, outputs, .. } = self;
        let Some(session) = session else {
            let fault =
                Fault { blame: Blame::Caller, code: FaultCode::ExecutionFailed, usable: Usable::Model };
            return Err(ContextError::Unusable { name: name.clone(), fault });
        };
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
        let io = Io { inputs: &inputs[..given_inputs], outputs: &mut outputs[..given_outputs] };
        match guarded(name, "enqueue", || session.enqueue(segment, &stream, io))? {
            Progress::Done => Ok(()),
            Progress::Pending => guarded(name, "wait", || session.wait()),
        }
    }

    /// Compares the compute time of one job with its budget. It is known only when the job has ended, since a running
    /// segment cannot be preempted; the session stays usable.
    ///
    /// # Errors
    /// The fault for the trace.
    pub fn check_compute(&self, used: Nanos) -> Result<(), Fault> {
        match self.budget.compute.filter(|limit| used > *limit) {
            Some(limit) => Err(Fault {
                blame: Blame::Model,
                code: FaultCode::Budget(Budgeted::ComputeTime { limit, used }),
                usable: Usable::Session,
            }),
            None => Ok(()),
        }
    }

    /// Closes the session and gives everything back.
    ///
    /// # Errors
    /// [`ContextError::Panicked`] if the session panics while it is dropped. Dropping the context does the same, but has
    /// nobody to tell.
    pub fn close(mut self) -> Result<(), ContextError> {
        self.drop_session()
    }

    fn drop_session(&mut self) -> Result<(), ContextError> {
        let session = self.session.take();
        guarded(&self.name, "drop", || {
            drop(session);
            Ok(())
        })
    }
}

/// A panic of the session does not leave the context, so that the others can go on.
impl Drop for ExecutionContext {
    fn drop(&mut self) {
        let _ = self.drop_session();
    }
}

/// Takes the buffers of all inputs or outputs.
fn take(name: &str, which: &'static str, facts: &[TensorFacts]) -> Result<Vec<TensorBuf>, ContextError> {
    let (name, tensors, most) = (|| name.to_owned(), facts.len(), MOST_TENSORS);
    if tensors > most {
        return Err(ContextError::TooManyTensors { name: name(), which, tensors, most });
    }
    let buffers = facts.iter().enumerate().map(|(index, facts)| {
        TensorBuf::for_facts(facts).ok_or_else(|| ContextError::OutOfMemory { name: name(), which, index })
    });
    buffers.collect()
}

/// Calls into a backend; its errors and panics come back as values. What a panic leaves half-done is the backend's own
/// session, which is not used again, and output bytes, which are void: nothing here can observe a broken invariant.
fn guarded<T>(
    name: &str,
    during: &'static str,
    call: impl FnOnce() -> Result<T, BackendError>,
) -> Result<T, ContextError> {
    match catch(call) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(ContextError::Backend { name: name.to_owned(), source }),
        Err(message) => Err(ContextError::Panicked { name: name.to_owned(), during, message }),
    }
}
