//! A model on a device: its engine, and the sessions that are bound to it.
use crate::engine::{self, Engine, Tried};
use crate::ffi::arena::ArenaStats;
use crate::ffi::bound::Bound;
use crate::host;
use crate::provider::{Target, said};
use crate::session::failed;
use aegis_backend::onnx::Outline;
use aegis_backend::{
    Artifact, BackendError, Binding, DeviceSession, Limits, ModelFacts, SegmentIndex, Session,
};
use ort::environment::Environment;
use ort::session::{NoSelectedOutputs, RunOptions};
use std::sync::Arc;

pub(crate) struct DeviceModel {
    environment: Environment,
    artifact: Artifact,
    outline: Outline,
    target: Target,
    facts: ModelFacts,
    /// Made on the provider's stream when the model was loaded; sessions on this stream share it.
    engine: Arc<Engine>,
    /// As in [`Tried`].
    waits: bool,
}

impl DeviceModel {
    pub(crate) fn load(
        environment: &Environment,
        artifact: &Artifact,
        mut target: Target,
        limits: &Limits,
    ) -> Result<Self, BackendError> {
        let outline = aegis_backend::onnx::outline(artifact)?;
        if let Some(limit) = limits.device_memory.filter(|limit| outline.constants > *limit) {
            let path = artifact.origin().to_path_buf();
            return Err(BackendError::OverLimit { path, asked: outline.constants, limit });
        }
        host::check(environment, artifact)?;
        target.limit = limits.device_memory;
        let Tried { engine, facts, waits } = engine::make(environment, artifact, &outline, &target)?;
        let (environment, artifact) = (environment.clone(), artifact.clone());
        Ok(Self { environment, artifact, outline, target, facts, engine, waits })
    }

    pub(crate) const fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    pub(crate) fn arena(&self) -> Result<ArenaStats, BackendError> {
        self.engine.arena().map_err(failed)
    }

    pub(crate) fn open(&self, binding: &Binding) -> Result<Session, BackendError> {
        let device = binding.device_for(&self.facts)?;
        for slice in device.inputs.iter().chain(&device.outputs) {
            let (lies, works) = (slice.context().device().ordinal, device.stream.context().device().ordinal);
            if lies != works || works != self.target.device {
                let why = format!(
                    "the model is on device {}, given a stream of device {works} and a tensor on device {lies}",
                    self.target.device
                );
                return Err(BackendError::BadBinding { why });
            }
        }
        // Threads matter only where nodes may run on the host.
        let threads = binding.threads.filter(|_| self.target.cpu_fallback).unwrap_or(self.target.threads);
        let shared = device.stream.raw() == self.engine.stream().raw() && threads == self.target.threads;
        let (engine, waits) = if shared {
            (Arc::clone(&self.engine), self.waits)
        } else {
            let stream = Some(Arc::clone(&device.stream));
            let target = Target { stream, threads, ..self.target.clone() };
            let tried = engine::make(&self.environment, &self.artifact, &self.outline, &target)?;
            (tried.engine, tried.waits)
        };
        let refused =
            |error: ort::Error| BackendError::BadBinding { why: said(&error.to_string()).to_owned() };
        let bound = Bound::new(&engine, &self.facts.inputs, &self.facts.outputs, device).map_err(refused)?;
        let mut options = RunOptions::new().map_err(refused)?;
        if !waits {
            // The run returns when everything is on the stream; whoever called waits for the stream.
            options.disable_device_sync().map_err(refused)?;
        }
        Ok(Session::Device(Box::new(Flow { bound, options, waits, segments: self.facts.segments })))
    }
}

/// One flow of executions on the engine's stream.
struct Flow {
    bound: Bound,
    options: RunOptions<NoSelectedOutputs>,
    waits: bool,
    segments: u16,
}

impl DeviceSession for Flow {
    fn enqueue(&mut self, segment: SegmentIndex) -> Result<(), BackendError> {
        if segment >= self.segments {
            return Err(BackendError::NoSuchSegment { segment, segments: self.segments });
        }
        let ran = self.bound.run(&self.options);
        let stream = self.bound.engine().stream();
        // ONNX Runtime does not promise to wait after it has put the return of its buffers on the stream.
        let waited = if self.waits { stream.synchronize() } else { Ok(()) };
        ran.map_err(|error| {
            // The device's own error says whether anything can still be used.
            match waited.clone().and_then(|()| stream.is_done()) {
                Err(device) => device.into(),
                Ok(_) => failed(said(&error.to_string()).to_owned()),
            }
        })?;
        Ok(waited?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;
    use crate::provider::Kind;
    use aegis_backend::conformance::onnx;
    use aegis_core::Bytes;

    /// Loads for a device that is not there: what is refused without one is refused before one is asked for.
    fn load(bytes: Vec<u8>, limit: Option<Bytes>) -> Option<BackendError> {
        let runtime = process::for_tests()?;
        let artifact = Artifact::from_bytes("hand.onnx", bytes);
        let limits = Limits { device_memory: limit };
        let target = Target::without_stream(Kind::Cuda);
        DeviceModel::load(&runtime.environment, &artifact, target, &limits).err()
    }

    #[test]
    fn corrupt_files_do_not_reach_the_device() {
        let unknown = onnx::model(
            &[onnx::node("Teleport", &["x"], "y")],
            &[],
            &[onnx::port("x", onnx::F32, &["1"])],
            &[onnx::port("y", onnx::F32, &["1"])],
        );
        let mut cut = onnx::dense();
        cut.truncate(cut.len() / 2);
        for bytes in [unknown, cut, b"shopping list".to_vec()] {
            let Some(error) = load(bytes, None) else { return };
            assert!(matches!(error, BackendError::Malformed { .. }), "{error:?}");
            assert!(error.to_string().contains("hand.onnx"), "{error}");
        }
    }

    #[test]
    fn constants_beyond_the_limit_do_not_reach_the_device() {
        let Some(error) = load(onnx::dense(), Some(Bytes(543))) else { return };
        let BackendError::OverLimit { asked, limit, .. } = error else { panic!("{error:?}") };
        assert_eq!((asked, limit), (Bytes(544), Bytes(543)));
    }

    #[test]
    fn a_sound_file_within_its_limit_reaches_the_device() {
        for limit in [None, Some(Bytes(544))] {
            let Some(error) = load(onnx::dense(), limit) else { return };
            assert_eq!(error.to_string(), "cannot bind the model: the provider has no stream");
        }
    }

    /// What only the host lacks code for is not refused there: here, of a type that it hardly computes with.
    #[test]
    fn a_model_that_only_the_device_has_code_for_reaches_it() {
        const BF16: u64 = 16;
        let halves = onnx::model(
            &[onnx::node("Relu", &["x"], "y")],
            &[],
            &[onnx::port("x", BF16, &["1"])],
            &[onnx::port("y", BF16, &["1"])],
        );
        let Some(error) = load(halves, None) else { return };
        assert_eq!(error.to_string(), "cannot bind the model: the provider has no stream");
    }
}
