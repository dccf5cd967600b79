//! A model whose every behaviour a test chooses.
use aegis_backend::{
    BackendError, Binding, DType, Dim, HostSession, Io, Model, ModelFacts, Place, Scratch, SegmentIndex,
    Session, TensorFacts,
};
use aegis_core::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What a call of the session does next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Adds 1 to every input byte, into the outputs.
    Increment,
    /// Fails.
    Fail(BackendError),
    /// Panics.
    Panic,
}

#[derive(Debug, Default)]
pub struct Log {
    pub opened: u32,
    pub ran: u32,
    pub dropped: u32,
}

/// The model; `steps` are shared with the test, and without any left it increments.
#[derive(Debug)]
pub struct Fake {
    pub facts: ModelFacts,
    pub steps: Arc<Mutex<VecDeque<Step>>>,
    pub log: Arc<Mutex<Log>>,
    pub panic_in_open: bool,
    pub panic_in_drop: bool,
}

impl Fake {
    pub fn new(facts: ModelFacts) -> Self {
        let (steps, log) = (Arc::default(), Arc::default());
        Self { facts, steps, log, panic_in_open: false, panic_in_drop: false }
    }
}

/// `n` inputs and outputs of 10 bytes, 1000 bytes of weights.
pub fn facts(n: usize, scratch: Scratch, extra_streams: u32) -> ModelFacts {
    let tensor = |i| TensorFacts { name: format!("t{i}"), dtype: DType::U8, shape: vec![Dim::Fixed(10)] };
    let tensors: Vec<TensorFacts> = (0..n).map(tensor).collect();
    ModelFacts {
        place: Place::Host,
        inputs: tensors.clone(),
        outputs: tensors,
        weights: Bytes(1000),
        scratch,
        extra_streams,
        segments: 2,
    }
}

impl Model for Fake {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn open(&self, _: &Binding) -> Result<Session, BackendError> {
        assert!(!self.panic_in_open, "boom in open");
        self.log.lock().unwrap().opened += 1;
        Ok(Session::Host(Box::new(FakeSession {
            facts: self.facts.clone(),
            steps: Arc::clone(&self.steps),
            log: Arc::clone(&self.log),
            panic_in_drop: self.panic_in_drop,
        })))
    }
}

struct FakeSession {
    facts: ModelFacts,
    steps: Arc<Mutex<VecDeque<Step>>>,
    log: Arc<Mutex<Log>>,
    panic_in_drop: bool,
}

impl HostSession for FakeSession {
    fn run(&mut self, segment: SegmentIndex, io: Io<'_, '_>) -> Result<(), BackendError> {
        self.log.lock().unwrap().ran += 1;
        io.check(&self.facts)?;
        if segment >= self.facts.segments {
            return Err(BackendError::NoSuchSegment { segment, segments: self.facts.segments });
        }
        let step = self.steps.lock().unwrap().pop_front().unwrap_or(Step::Increment);
        match step {
            Step::Increment => {
                for (input, output) in io.inputs.iter().zip(io.outputs) {
                    output.data.iter_mut().zip(input.data).for_each(|(o, i)| *o = i + 1);
                }
                Ok(())
            }
            Step::Fail(error) => Err(error),
            Step::Panic => panic!("boom {}", 7),
        }
    }
}

impl Drop for FakeSession {
    fn drop(&mut self) {
        self.log.lock().unwrap().dropped += 1;
        assert!(!self.panic_in_drop, "boom in drop");
    }
}
