//! The three traits of the contract, and what is passed between them.
use crate::{Artifact, BackendError, Io, ModelFacts};

/// Which non-preemptive segment of a model to execute, from 0; below [`ModelFacts::segments`].
pub type SegmentIndex = u16;

/// A runtime that can load and execute models.
pub trait RuntimeBackend: Send + Sync {
    /// Its name in specs, for example `rten`.
    fn name(&self) -> &'static str;

    /// Name and version of the runtime behind it, for traces and profiles, for example `rten 0.27`.
    fn version(&self) -> String;

    /// Loads a model. Loading the same artifact twice gives two models that know nothing of each other.
    ///
    /// # Errors
    /// [`BackendError`] says which file, what is wrong with it and what to do.
    fn load(&self, artifact: &Artifact) -> Result<Box<dyn Model>, BackendError>;
}

/// A loaded model: immutable, shareable, says what it needs before it runs.
pub trait Model: Send + Sync {
    /// Inputs, outputs, memory, streams and segments.
    fn facts(&self) -> &ModelFacts;

    /// Opens a flow of executions. The session keeps what it needs of the model alive by itself.
    ///
    /// # Errors
    /// [`BackendError`] if the runtime refuses, or if `binding` lacks what [`ModelFacts`] asked for.
    fn open(&self, binding: &Binding) -> Result<Box<dyn Session>, BackendError>;
}

/// One flow of executions. Dropping it, even between [`enqueue`](Session::enqueue) and [`wait`](Session::wait), is safe
/// and returns after the device has let go of the session's memory.
pub trait Session: Send {
    /// Starts one segment on `stream`. Where the device works on its own this returns before it is done
    /// ([`Progress::Pending`]); a backend that works on the calling thread returns [`Progress::Done`].
    ///
    /// # Errors
    /// [`BackendError`]; the job's result is void, and [`BackendError::fault`] says what stays usable.
    fn enqueue(
        &mut self,
        segment: SegmentIndex,
        stream: &Stream,
        io: Io<'_, '_>,
    ) -> Result<Progress, BackendError>;

    /// Blocks until everything enqueued is done. Returns at once after [`Progress::Done`].
    ///
    /// # Errors
    /// As [`enqueue`](Session::enqueue), for failures that show only then.
    fn wait(&mut self) -> Result<(), BackendError>;
}

/// How far an [`enqueue`](Session::enqueue) has come when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The outputs are complete.
    Done,
    /// The device works; [`Session::wait`] says when it is done.
    Pending,
}

/// Where a session's work is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stream {
    /// The calling thread.
    Host,
}

/// What the orchestrator gives a session besides inputs and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Binding {
    /// Threads that the runtime may use for one job; its own choice when absent.
    pub threads: Option<u32>,
}
