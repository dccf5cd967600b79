//! A model whose every behaviour a test chooses.
use aegis_backend::{
    BackendError, Binding, DType, Dim, Io, Model, ModelFacts, Progress, Scratch, SegmentIndex, Session,
    Stream, TensorFacts,
};
use aegis_core::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What a call of the session does next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Adds 1 to every input byte, into the outputs; `Pending` until `wait`.
    Increment(Progress),
    /// Fails in `enqueue`.
    Fail(BackendError),
    /// Fails in `wait`.
    FailInWait(BackendError),
    /// Panics in `enqueue`.
    Panic,
    /// Panics in `wait`.
    PanicInWait,
}

#[derive(Debug, Default)]
pub struct Log {
    pub opened: u32,
    pub enqueued: u32,
    pub waited: u32,
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

    fn open(&self, _: &Binding) -> Result<Box<dyn Session>, BackendError> {
        assert!(!self.panic_in_open, "boom in open");
        self.log.lock().unwrap().opened += 1;
        Ok(Box::new(FakeSession {
            facts: self.facts.clone(),
            steps: Arc::clone(&self.steps),
            log: Arc::clone(&self.log),
            panic_in_drop: self.panic_in_drop,
            pending: Ok(()),
            panic_in_wait: false,
        }))
    }
}

struct FakeSession {
    facts: ModelFacts,
    steps: Arc<Mutex<VecDeque<Step>>>,
    log: Arc<Mutex<Log>>,
    panic_in_drop: bool,
    pending: Result<(), BackendError>,
    panic_in_wait: bool,
}

impl Session for FakeSession {
    fn enqueue(
        &mut self,
        segment: SegmentIndex,
        _: &Stream,
        io: Io<'_, '_>,
    ) -> Result<Progress, BackendError> {
        self.log.lock().unwrap().enqueued += 1;
        io.check(&self.facts)?;
        if segment >= self.facts.segments {
            return Err(BackendError::NoSuchSegment { segment, segments: self.facts.segments });
        }
        let step = self.steps.lock().unwrap().pop_front().unwrap_or(Step::Increment(Progress::Done));
        match step {
            Step::Increment(progress) => {
                for (input, output) in io.inputs.iter().zip(io.outputs) {
                    output.data.iter_mut().zip(input.data).for_each(|(o, i)| *o = i + 1);
                }
                Ok(progress)
            }
            Step::Fail(error) => Err(error),
            Step::FailInWait(error) => {
                self.pending = Err(error);
                Ok(Progress::Pending)
            }
            Step::Panic => panic!("boom {}", 7),
            Step::PanicInWait => {
                self.panic_in_wait = true;
                Ok(Progress::Pending)
            }
        }
    }

    fn wait(&mut self) -> Result<(), BackendError> {
        self.log.lock().unwrap().waited += 1;
        assert!(!self.panic_in_wait, "boom in wait");
        std::mem::replace(&mut self.pending, Ok(()))
    }
}

impl Drop for FakeSession {
    fn drop(&mut self) {
        self.log.lock().unwrap().dropped += 1;
        assert!(!self.panic_in_drop, "boom in drop");
    }
}
