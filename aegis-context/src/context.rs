//! One model's session with its buffers, its budget and the boundary that its faults do not cross.
use crate::{Accounting, ContextError, account};
use aegis_backend::{
    BackendError, Binding, Copies, MOST_TENSORS, Model, ModelFacts, Place, Runner, SegmentIndex, TensorFacts,
    catch,
};
use aegis_core::{Blame, Budget, Budgeted, Fault, FaultCode, Nanos, Usable};
use std::fmt;

/// A model that is ready to run: charged against its budget, with its session open and its buffers taken.
pub struct ExecutionContext {
    name: String,
    /// `None` once it was closed.
    runner: Option<Runner>,
    model: Box<dyn Model>,
    budget: Budget,
    accounting: Accounting,
    /// How its session was opened.
    binding: Binding,
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
    /// Charges the model against its budget, then takes its buffers (inputs zeroed) and opens its session: nothing is
    /// taken for a model that exceeds its budget. A symbolic dimension counts as 1.
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
        few(&name, "input", &facts.inputs)?;
        few(&name, "output", &facts.outputs)?;
        let runner = guarded(&name, "open", || Runner::open(&*model, binding))?;
        let (runner, budget, broken) = (Some(runner), *budget, None);
        Ok(Self { name, runner, model, budget, accounting, binding: binding.clone(), broken })
    }

    /// Whether a fault has left its session unusable and [`reopen`](Self::reopen) may bring it back: the model lives on
    /// the host, and the process can go on.
    #[must_use]
    pub fn can_reopen(&self) -> bool {
        self.broken.is_some_and(|fault| fault.usable == Usable::Model) && self.facts().place == Place::Host
    }

    /// Closes the session that a fault left unusable and opens it again, inputs zeroed: it takes what it took at first, so
    /// that its budget holds. Not for models on a device, where nothing is taken after the first job.
    ///
    /// # Errors
    /// [`ContextError::Unusable`] where [`can_reopen`](Self::can_reopen) is false, or what opening says; the session stays
    /// unusable then.
    pub fn reopen(&mut self) -> Result<(), ContextError> {
        if let Some(fault) = self.broken.filter(|_| !self.can_reopen()) {
            return Err(ContextError::Unusable { name: self.name.clone(), fault });
        }
        self.drop_session()?;
        let Self { name, model, binding, .. } = self;
        self.runner = Some(guarded(name, "open", || Runner::open(&**model, binding))?);
        self.broken = None;
        Ok(())
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
        let Self { name, runner, model, .. } = self;
        let bytes = match runner {
            Some(runner) => guarded(name, "input", || runner.input_mut(index))?,
            None => None,
        };
        bytes.ok_or_else(|| ContextError::NoSuchTensor {
            name: name.clone(),
            which: "input",
            index,
            tensors: model.facts().inputs.len(),
        })
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
    ///
    /// # Errors
    /// [`ContextError::Backend`] if a device does not give them back.
    pub fn fill_inputs(&mut self, byte: u8) -> Result<(), ContextError> {
        for index in 0..self.facts().inputs.len() {
            self.input_mut(index)?.fill(byte);
        }
        Ok(())
    }

    /// The bytes of an output, row-major. They are void before the first run and after one that failed.
    ///
    /// # Errors
    /// [`ContextError::NoSuchTensor`].
    pub fn output(&self, index: usize) -> Result<&[u8], ContextError> {
        self.runner.as_ref().and_then(|runner| runner.output(index)).ok_or_else(|| {
            ContextError::NoSuchTensor {
                name: self.name.clone(),
                which: "output",
                index,
                tensors: self.facts().outputs.len(),
            }
        })
    }

    /// Executes one segment and waits for it. Takes no memory unless it fails.
    ///
    /// # Errors
    /// [`ContextError::Backend`] or [`ContextError::Panicked`]; when their [`fault`](ContextError::fault) leaves the
    /// session unusable, every later run is [`ContextError::Unusable`].
    pub fn run(&mut self, segment: SegmentIndex) -> Result<(), ContextError> {
        let Self { name, runner, broken, .. } = self;
        if let Some(fault) = *broken {
            return Err(ContextError::Unusable { name: name.clone(), fault });
        }
        let Some(runner) = runner else {
            let fault =
                Fault { blame: Blame::Caller, code: FaultCode::ExecutionFailed, usable: Usable::Model };
            return Err(ContextError::Unusable { name: name.clone(), fault });
        };
        let result = guarded(name, "run", || runner.run(segment));
        if let Err(error) = &result {
            let fault = error.fault();
            *broken = (fault.usable != Usable::Session).then_some(fault);
        }
        result
    }

    /// What the copies of the last segment took, where a device counted.
    #[must_use]
    pub fn copies(&self) -> Option<Copies> {
        self.runner.as_ref().and_then(Runner::copies)
    }

    /// Executes all segments of one job, one after the other.
    ///
    /// # Errors
    /// Of the first segment that fails, as [`run`](Self::run).
    pub fn run_job(&mut self) -> Result<(), ContextError> {
        (0..self.facts().segments).try_for_each(|segment| self.run(segment))
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
        let runner = self.runner.take();
        guarded(&self.name, "drop", || {
            drop(runner);
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

/// Whether a run can list all inputs or outputs on the stack.
fn few(name: &str, which: &'static str, facts: &[TensorFacts]) -> Result<(), ContextError> {
    let (tensors, most) = (facts.len(), MOST_TENSORS);
    if tensors > most {
        return Err(ContextError::TooManyTensors { name: name.to_owned(), which, tensors, most });
    }
    Ok(())
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
