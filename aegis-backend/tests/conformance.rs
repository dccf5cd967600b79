//! The conformance suite finds what it is for: each check fails on a backend that is broken in the way it looks for.
use aegis_backend::conformance::{self, Case};
use aegis_backend::sim::SimBackend;
use aegis_backend::{
    Artifact, BackendError, Binding, HostSession, Io, Limits, Model, ModelFacts, RuntimeBackend,
    SegmentIndex, Session, TensorMut, catch,
};
use aegis_core::{Blame, Bytes, Fault, FaultCode, Usable};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};

/// How a backend is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    None,
    HasNoWeights,
    CountsExecutions,
    IgnoresInput,
    AcceptsAnyTensor,
    AcceptsAnyLength,
    IsHurtByBadTensors,
    AcceptsAnySegment,
    PanicsOnCorruptFiles,
    FailsWithoutTheFilesName,
    LoadsAnything,
    ModelsShareTheirLife,
    SessionsShareData,
    SessionsNeedTheirModel,
    DroppedSessionsBreakOthers,
}

#[derive(Default)]
struct Shared {
    broken: AtomicBool,
    last: AtomicU8,
}

struct Broken {
    sound: SimBackend,
    defect: Defect,
    shared: Arc<Shared>,
}

struct BrokenModel {
    sound: Box<dyn Model>,
    facts: ModelFacts,
    defect: Defect,
    shared: Arc<Shared>,
}

struct BrokenSession {
    sound: Box<dyn HostSession>,
    facts: ModelFacts,
    defect: Defect,
    shared: Arc<Shared>,
    executions: u8,
    hurt: bool,
}

fn plain() -> Artifact {
    Artifact::from_bytes("plain.toml", b"weights = '1 MiB'\nsegments = 2".to_vec())
}

impl RuntimeBackend for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn version(&self) -> String {
        "1".to_owned()
    }

    fn load(&self, artifact: &Artifact, limits: &Limits) -> Result<Box<dyn Model>, BackendError> {
        let loaded = self.sound.load(artifact, limits);
        let sound = match self.defect {
            Defect::PanicsOnCorruptFiles => loaded.unwrap(),
            Defect::FailsWithoutTheFilesName => loaded
                .map_err(|_| BackendError::Malformed { path: "?".into(), why: "it is wrong".to_owned() })?,
            Defect::LoadsAnything => loaded.or_else(|_| self.sound.load(&plain(), limits))?,
            _ => loaded?,
        };
        let mut facts = sound.facts().clone();
        if self.defect == Defect::HasNoWeights {
            facts.weights = Bytes::ZERO;
        }
        if self.defect == Defect::ModelsShareTheirLife {
            self.shared.broken.store(false, SeqCst);
        }
        Ok(Box::new(BrokenModel { sound, facts, defect: self.defect, shared: Arc::clone(&self.shared) }))
    }
}

impl Model for BrokenModel {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn open(&self, binding: &Binding) -> Result<Session, BackendError> {
        let Session::Host(sound) = self.sound.open(binding)? else { panic!("it works on the host") };
        Ok(Session::Host(Box::new(BrokenSession {
            sound,
            facts: self.facts.clone(),
            defect: self.defect,
            shared: Arc::clone(&self.shared),
            executions: 0,
            hurt: false,
        })))
    }
}

impl Drop for BrokenModel {
    fn drop(&mut self) {
        if matches!(self.defect, Defect::ModelsShareTheirLife | Defect::SessionsNeedTheirModel) {
            self.shared.broken.store(true, SeqCst);
        }
    }
}

impl Drop for BrokenSession {
    fn drop(&mut self) {
        // Two segments make a job: an odd count is one in flight.
        if self.defect == Defect::DroppedSessionsBreakOthers && self.executions % 2 == 1 {
            self.shared.broken.store(true, SeqCst);
        }
    }
}

impl HostSession for BrokenSession {
    fn run(&mut self, segment: SegmentIndex, io: Io<'_, '_>) -> Result<(), BackendError> {
        let failure = || BackendError::Execution {
            why: "broken".to_owned(),
            fault: Fault { blame: Blame::Backend, code: FaultCode::ExecutionFailed, usable: Usable::Session },
        };
        if self.hurt || self.shared.broken.load(SeqCst) {
            return Err(failure());
        }
        let first_byte = io.inputs.first().and_then(|t| t.data.first()).copied();
        let bad = io.check(&self.facts).is_err();
        let Io { inputs, outputs } = io;
        let short = inputs.iter().any(|t| t.shape == [1, 3, 8, 8] && t.data.len() != 768);
        match self.defect {
            Defect::AcceptsAnyTensor if bad => return Ok(()),
            Defect::AcceptsAnyLength if short => return Ok(()),
            Defect::IsHurtByBadTensors if bad => self.hurt = true,
            Defect::AcceptsAnySegment if segment >= self.facts.segments => return Ok(()),
            _ => {}
        }
        self.sound.run(segment, Io { inputs, outputs: &mut *outputs })?;
        self.executions = self.executions.wrapping_add(1);
        let mark = |outputs: &mut [TensorMut<'_>], mark: u8| outputs[0].data[0] = mark;
        match self.defect {
            Defect::CountsExecutions => mark(outputs, self.executions),
            Defect::IgnoresInput => outputs[0].data.fill(0),
            Defect::SessionsShareData => mark(outputs, self.shared.last.load(SeqCst)),
            _ => {}
        }
        if segment + 1 == self.facts.segments {
            self.shared.last.store(first_byte.unwrap_or(0), SeqCst);
        }
        Ok(())
    }
}

fn case(defect: Defect) -> Case {
    let sound = SimBackend::without_waiting(1);
    Case { backend: Box::new(Broken { sound, defect, shared: Arc::default() }), model: plain(), stream: None }
}

mod sound {
    aegis_backend::conformance!(Some(super::case(super::Defect::None)));
}

#[test]
fn every_defect_is_found() {
    type Check = fn(&Case);
    let checks: [(Defect, Check); 15] = [
        (Defect::HasNoWeights, conformance::facts_are_plausible),
        (Defect::CountsExecutions, conformance::same_input_same_output),
        (Defect::CountsExecutions, conformance::other_input_other_output),
        (Defect::IgnoresInput, conformance::other_input_other_output),
        (Defect::AcceptsAnyTensor, conformance::bad_tensors_are_refused_and_harmless),
        (Defect::AcceptsAnyLength, conformance::bad_tensors_are_refused_and_harmless),
        (Defect::IsHurtByBadTensors, conformance::bad_tensors_are_refused_and_harmless),
        (Defect::AcceptsAnySegment, conformance::segments_out_of_range_are_refused),
        (Defect::PanicsOnCorruptFiles, conformance::corrupt_files_never_panic),
        (Defect::FailsWithoutTheFilesName, conformance::corrupt_files_never_panic),
        (Defect::LoadsAnything, conformance::text_is_not_a_model),
        (Defect::ModelsShareTheirLife, conformance::models_loaded_twice_are_independent),
        (Defect::SessionsShareData, conformance::sessions_of_one_model_do_not_mix),
        (Defect::SessionsNeedTheirModel, conformance::a_session_outlives_its_model_on_another_thread),
        (Defect::DroppedSessionsBreakOthers, conformance::a_session_can_be_dropped_in_flight),
    ];
    for (defect, check) in checks {
        assert!(catch(|| check(&case(defect))).is_err(), "{defect:?} passes");
    }
}
