//! An ONNX Runtime session on a device's stream, tried out, and what it holds.
use crate::ffi::arena::{self, ArenaStats};
use crate::ffi::bound::{Bound, place};
use crate::host::tensors;
use crate::provider::{Kind, Target, said};
use aegis_backend::onnx::Outline;
use aegis_backend::{Artifact, BackendError, DeviceBinding, ModelFacts, Place, Scratch, catch};
use aegis_core::Bytes;
use aegis_cuda::{CudaError, Stream};
use ort::environment::Environment;
use ort::memory::AllocatorType;
use ort::session::{NoSelectedOutputs, RunOptions, Session};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A session of ONNX Runtime. It is dropped before the stream that it works on.
pub(crate) struct Engine {
    session: Session,
    /// Held while the session runs: ort considers concurrent runs of one session unsafe.
    turn: Mutex<()>,
    device: u32,
    stream: Arc<Stream>,
}

impl Engine {
    pub(crate) const fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that a panic could leave half done.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) const fn device(&self) -> u32 {
        self.device
    }

    pub(crate) const fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// What its arena on the device holds.
    pub(crate) fn arena(&self) -> Result<ArenaStats, String> {
        let place = place(self.device, AllocatorType::Arena).map_err(|error| error.to_string())?;
        arena::stats(&self.session, place)
    }
}

/// An engine that has run, and what its model is.
pub(crate) struct Tried {
    pub(crate) engine: Arc<Engine>,
    pub(crate) facts: ModelFacts,
}

/// The most runs that a trial takes until the arena stops growing.
const TRIALS: usize = 6;

/// Makes a session for `target` and runs it on zeros until its arena holds what it will hold: kernels are chosen, code is
/// on the device and memory is taken before the first job. Waits for all of this process's work on the device.
///
/// # Errors
/// [`BackendError`] names the file and says what ONNX Runtime said.
pub(crate) fn make(
    environment: &Environment,
    artifact: &Artifact,
    outline: &Outline,
    target: &Target,
) -> Result<Tried, BackendError> {
    let path = || artifact.origin().to_path_buf();
    let unsupported = |why: String| BackendError::Unsupported { path: path(), why };
    let Some(stream) = target.stream.clone() else {
        return Err(BackendError::BadBinding { why: "the provider has no stream".into() });
    };
    let free = |stream: &Stream| stream.context().memory().map(|(free, _)| free);
    let before = free(&stream)?;
    let failed = |error: &ort::Error| match over_limit(target.limit, &error.to_string()) {
        Some((limit, asked)) => BackendError::OverLimit { path: path(), asked, limit },
        None => unsupported(said(&error.to_string()).to_owned()),
    };
    let session = catch(|| target.builder(environment)?.commit_from_memory(artifact.bytes()))
        .map_err(|why| BackendError::Panicked { path: path(), why })?
        .map_err(|error| failed(&error))?;
    let mut facts = ModelFacts {
        place: Place::Device,
        inputs: tensors("input", &outline.inputs, session.inputs()).map_err(unsupported)?,
        outputs: tensors("output", &outline.outputs, session.outputs()).map_err(unsupported)?,
        weights: Bytes::ZERO,
        scratch: Scratch::None,
        extra_streams: 0,
        segments: 1,
    };
    let engine = Arc::new(Engine { session, turn: Mutex::new(()), device: target.device, stream });
    let arena = warm(&engine, &facts, target).map_err(|error| match error {
        Trial::Ort(error) => failed(&error),
        Trial::Arena(why) => unsupported(why),
        // After such an error the file is of no interest.
        Trial::Backend(BackendError::Device(error)) if !error.is_sticky() => {
            unsupported(format!("it cannot be tried on the device: {error}"))
        }
        Trial::Backend(other) => other,
    })?;
    facts.weights = match target.kind {
        Kind::Cuda => arena.total,
        // TensorRT takes the memory of its engines by itself. The difference is all that says how much; whoever else
        // takes or gives back memory of the device meanwhile is in it.
        Kind::TensorRt { .. } => arena.total.max(before.saturating_sub(free(&engine.stream)?)),
    };
    if let Some(limit) = target.limit.filter(|limit| facts.weights > *limit) {
        return Err(BackendError::OverLimit { path: path(), asked: facts.weights, limit });
    }
    Ok(Tried { engine, facts })
}

/// Why a trial failed.
enum Trial {
    Ort(ort::Error),
    Arena(String),
    Backend(BackendError),
}

impl From<ort::Error> for Trial {
    fn from(error: ort::Error) -> Self {
        Self::Ort(error)
    }
}

impl From<BackendError> for Trial {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<CudaError> for Trial {
    fn from(error: CudaError) -> Self {
        Self::Backend(error.into())
    }
}

/// Runs on zeros. The first run takes each tensor by itself and learns how they can share one block; the second takes the
/// block and gives everything else back; from the third on nothing should change any more.
fn warm(engine: &Arc<Engine>, facts: &ModelFacts, target: &Target) -> Result<ArenaStats, Trial> {
    let device = DeviceBinding::alone(engine.stream(), facts)?;
    for slice in device.inputs.iter().filter(|slice| !slice.is_empty()) {
        engine.stream().fill(slice, 0)?;
    }
    let mut bound = Bound::new(engine, &facts.inputs, &facts.outputs, &device)?;
    let mut run = |options: &RunOptions<NoSelectedOutputs>| -> Result<(), Trial> {
        let ran = bound.run(options);
        // The device's own words come first: after a sticky error nothing else matters.
        engine.stream().synchronize()?;
        Ok(ran?)
    };
    let plain = RunOptions::new()?;
    run(&plain)?;
    let mut shrinking = RunOptions::new()?;
    shrinking.set("memory.enable_memory_arena_shrinkage", format!("gpu:{}", target.device))?;
    run(&shrinking)?;
    let mut held = engine.arena().map_err(Trial::Arena)?;
    for _ in 2..TRIALS {
        run(&plain)?;
        let now = engine.arena().map_err(Trial::Arena)?;
        if now.total == held.total {
            return Ok(now);
        }
        held = now;
    }
    Err(Trial::Arena(format!("its memory still grows after {TRIALS} runs on the same input: {held:?}")))
}

/// What ONNX Runtime's arena says when it is refused more: the limit, and what it held and asked for together.
fn over_limit(limit: Option<Bytes>, message: &str) -> Option<(Bytes, Bytes)> {
    let limit = limit?;
    let (_, rest) = message.split_once("Available memory of ")?;
    let (available, rest) = rest.split_once(" is smaller than requested bytes of ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let (available, asked) = (Bytes(available.trim().parse().ok()?), Bytes(digits.parse().ok()?));
    Some((limit, limit.saturating_sub(available).checked_add(asked)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_arena_is_understood() {
        let said = "Non-zero status code returned while running Conv node. Name:'c' Status Message: \
                    /src/bfc_arena.cc:378 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool) Available \
                    memory of 96000 is smaller than requested bytes of 196608\n";
        let limit = Bytes(1_000_000);
        assert_eq!(over_limit(Some(limit), said), Some((limit, Bytes(904_000 + 196_608))));
        assert_eq!(over_limit(None, said), None);
        for other in ["", "Available memory of", "Available memory of x is smaller than requested bytes of 3"]
        {
            assert_eq!(over_limit(Some(limit), other), None, "{other}");
        }
    }
}
