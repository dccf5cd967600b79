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
        let Tried { engine, facts } = engine::make(environment, artifact, &outline, &target)?;
        let (environment, artifact) = (environment.clone(), artifact.clone());
        Ok(Self { environment, artifact, outline, target, facts, engine })
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
        let engine = if shared {
            Arc::clone(&self.engine)
        } else {
            let stream = Some(Arc::clone(&device.stream));
            let target = Target { stream, threads, ..self.target.clone() };
            engine::make(&self.environment, &self.artifact, &self.outline, &target)?.engine
        };
        let refused =
            |error: ort::Error| BackendError::BadBinding { why: said(&error.to_string()).to_owned() };
        let bound = Bound::new(&engine, &self.facts.inputs, &self.facts.outputs, device).map_err(refused)?;
        let mut options = RunOptions::new().map_err(refused)?;
        // The run returns when everything is on the stream; whoever called waits for the stream.
        options.disable_device_sync().map_err(refused)?;
        Ok(Session::Device(Box::new(Flow { bound, options, segments: self.facts.segments })))
    }
}

/// One flow of executions on the engine's stream.
struct Flow {
    bound: Bound,
    options: RunOptions<NoSelectedOutputs>,
    segments: u16,
}

impl DeviceSession for Flow {
    fn enqueue(&mut self, segment: SegmentIndex) -> Result<(), BackendError> {
        if segment >= self.segments {
            return Err(BackendError::NoSuchSegment { segment, segments: self.segments });
        }
        self.bound.run(&self.options).map_err(|error| {
            // The device's own error says whether anything can still be used.
            match self.bound.engine().stream().is_done() {
                Err(device) => device.into(),
                Ok(_) => failed(said(&error.to_string()).to_owned()),
            }
        })
    }
}
