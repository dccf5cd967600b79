//! An ONNX Runtime session on a device's stream, tried out, and what it holds.
use crate::ffi::arena::{self, ArenaStats};
use crate::ffi::bound::{Bound, pinned, place, stay_on_device};
use crate::host::tensors;
use crate::profiling::profiled;
use crate::provider::{Kind, Target, said};
use aegis_backend::onnx::Outline;
use aegis_backend::{Artifact, BackendError, DeviceBinding, ModelFacts, Place, Scratch, TensorFacts, catch};
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
    outlives: Outlives,
}

/// What lives longer than the session.
///
/// Kernels copy small tables to the device from pinned buffers, which go back to the session's pinned arena in a function
/// that the stream calls on a thread of the driver. A session that is released puts such a call on the stream for what its
/// runs left, and the call holds the arena: if it is the last that does, it frees the arena's memory, which CUDA refuses
/// there, ONNX Runtime throws, and the process ends. So the arena is held until the stream has made its calls.
struct Outlives {
    stream: Arc<Stream>,
    /// `None` where ONNX Runtime does not give it out: then all runs wait, so that none leaves anything.
    _pinned: Option<arena::Kept>,
}

impl Drop for Outlives {
    /// A wait that fails means that the stream calls nothing any more.
    fn drop(&mut self) {
        let _ = self.stream.synchronize();
    }
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
        &self.outlives.stream
    }

    /// What its arena on the device holds.
    pub(crate) fn arena(&self) -> Result<ArenaStats, String> {
        let place = place(self.device, AllocatorType::Arena).map_err(|error| error.to_string())?;
        arena::stats(&self.session, place)
    }

    /// What is handed out of its pinned arena on the host.
    fn pinned_in_use(&self) -> Result<Bytes, String> {
        let place = pinned(self.device).map_err(|error| error.to_string())?;
        arena::stats(&self.session, place).map(|stats| stats.in_use)
    }
}

/// An engine that has run, and what its model is.
pub(crate) struct Tried {
    pub(crate) engine: Arc<Engine>,
    pub(crate) facts: ModelFacts,
    /// Whether each run must wait for the device: something of it is on the host, or it leaves buffers behind.
    pub(crate) waits: bool,
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
        None => unsupported(with_remedy(said(&error.to_string()), target.cpu_fallback)),
    };
    let commit = |target: &Target| {
        catch(|| profiled(target.builder(environment)?, artifact)?.commit_from_memory(artifact.bytes()))
            .map_err(|why| BackendError::Panicked { path: path(), why })
    };
    // Only what does not do without the host pays for it.
    let strict = commit(&Target { cpu_fallback: false, ..target.clone() })?;
    let (session, all_on_device) = match strict {
        Err(_) if target.cpu_fallback => (commit(target)?.map_err(|error| failed(&error))?, false),
        strict => (strict.map_err(|error| failed(&error))?, true),
    };
    let mut facts = ModelFacts {
        place: Place::Device,
        inputs: tensors("input", &outline.inputs, session.inputs()).map_err(unsupported)?,
        outputs: tensors("output", &outline.outputs, session.outputs()).map_err(unsupported)?,
        weights: Bytes::ZERO,
        scratch: Scratch::None,
        extra_streams: 0,
        segments: 1,
    };
    let stay = stay_on_device(&session, target.device, facts.inputs.len()).map_err(|error| failed(&error))?;
    let on_host = read_on_host(&facts.inputs, &stay);
    if let Some(why) = on_host.as_ref().filter(|_| !target.cpu_fallback) {
        return Err(unsupported(why.clone()));
    }
    let pinned = pinned(target.device).and_then(|place| arena::keep(&session, place)).ok();
    let on_device = all_on_device && on_host.is_none() && pinned.is_some();
    let outlives = Outlives { stream, _pinned: pinned };
    let engine = Arc::new(Engine { session, turn: Mutex::new(()), device: target.device, outlives });
    let tried = |error| match error {
        Trial::Ort(error) => failed(&error),
        Trial::Arena(why) => unsupported(why),
        // After such an error the file is of no interest.
        Trial::Backend(BackendError::Device(error)) if !error.is_sticky() => {
            unsupported(format!("it cannot be tried on the device: {error}"))
        }
        Trial::Backend(other) => other,
    };
    let (arena, leaves) = warm(&engine, &facts, target, on_device).map_err(tried)?;
    facts.weights = match target.kind {
        Kind::Cuda => arena.total,
        // TensorRT takes the memory of its engines by itself. The difference is all that says how much; whoever else
        // takes or gives back memory of the device meanwhile is in it.
        Kind::TensorRt { .. } => arena.total.max(before.saturating_sub(free(engine.stream())?)),
    };
    if let Some(limit) = target.limit.filter(|limit| facts.weights > *limit) {
        return Err(BackendError::OverLimit { path: path(), asked: facts.weights, limit });
    }
    Ok(Tried { engine, facts, waits: !on_device || leaves })
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
///
/// The second answer is whether a run that does not wait leaves pinned buffers behind; asked only of a model that is all
/// `on_device`.
fn warm(
    engine: &Arc<Engine>,
    facts: &ModelFacts,
    target: &Target,
    on_device: bool,
) -> Result<(ArenaStats, bool), Trial> {
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
    // ONNX Runtime gives such buffers back after a run that waits, or when the session is released; until then they become
    // more with each run. Where it does not count them, some are taken to be left.
    let mut leaves = false;
    if on_device {
        let mut asynchronous = RunOptions::new()?;
        asynchronous.disable_device_sync()?;
        let before = engine.pinned_in_use();
        run(&asynchronous)?;
        leaves = match (before, engine.pinned_in_use()) {
            (Ok(before), Ok(after)) => after > before,
            _ => true,
        };
    }
    for _ in 2..TRIALS {
        run(&plain)?;
        let now = engine.arena().map_err(Trial::Arena)?;
        if now.total == held.total {
            return Ok((now, leaves));
        }
        held = now;
    }
    Err(Trial::Arena(format!("its memory still grows after {TRIALS} runs on the same input: {held:?}")))
}

/// What `cpu_fallback` allows, in the user's words.
const REMEDY: &str = "`cpu_fallback = true` under [device] allows it, and then each run waits for the device";

/// Why a model is refused whose inputs do not all `stay` on the device; `None` if they do.
fn read_on_host(inputs: &[TensorFacts], stay: &[bool]) -> Option<String> {
    let names: Vec<String> = inputs
        .iter()
        .zip(stay)
        .filter(|(_, stays)| !**stays)
        .map(|(input, _)| format!("`{}`", input.name))
        .collect();
    (!names.is_empty())
        .then(|| format!("ONNX Runtime reads its input {} on the host; {REMEDY}", names.join(", ")))
}

/// ONNX Runtime's message, and how to allow what it refuses if it is about a node on the host.
fn with_remedy(message: &str, cpu_fallback: bool) -> String {
    let refuses_host = !cpu_fallback && message.contains("fallback to CPU EP has been explicitly disabled");
    let remedy = if refuses_host { format!(" {REMEDY}") } else { String::new() };
    format!("{}{remedy}", message.trim_end())
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

    /// Without a provider for a device ONNX Runtime reads all inputs, and runs all nodes, on the host.
    #[test]
    fn what_is_on_the_host_is_named_with_its_remedy() {
        use aegis_backend::conformance::onnx;
        let Some(runtime) = crate::process::for_tests() else { return };
        let artifact = Artifact::from_bytes("hand.onnx", onnx::mixed());
        let outline = aegis_backend::onnx::outline(&artifact).unwrap();
        let session =
            Session::builder(&runtime.environment).unwrap().commit_from_memory(artifact.bytes()).unwrap();
        let inputs = tensors("input", &outline.inputs, session.inputs()).unwrap();
        let stay = stay_on_device(&session, 0, inputs.len()).unwrap();
        assert_eq!(stay, [false, false]);
        let why = read_on_host(&inputs, &stay).unwrap();
        let names: Vec<String> = inputs.iter().map(|input| format!("`{}`", input.name)).collect();
        assert_eq!(why, format!("ONNX Runtime reads its input {} on the host; {REMEDY}", names.join(", ")));
        let why = read_on_host(&inputs, &[true, false]).unwrap();
        assert!(!why.contains(&names[0]) && why.contains(&names[1]), "{why}");
        assert_eq!(read_on_host(&inputs, &[true, true]), None);
        assert!(stay_on_device(&session, 0, 3).is_err(), "it has two");

        let refused = Session::builder(&runtime.environment)
            .unwrap()
            .with_disable_cpu_fallback()
            .unwrap()
            .commit_from_memory(artifact.bytes());
        let message = refused.unwrap_err().to_string();
        assert!(with_remedy(said(&message), false).ends_with(REMEDY), "{message}");
        assert!(!with_remedy(said(&message), true).contains(REMEDY), "{message}");
        assert_eq!(with_remedy("another matter", false), "another matter");
    }

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
