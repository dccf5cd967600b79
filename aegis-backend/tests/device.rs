//! The conformance suite on a device: simulated models whose tensors lie there, on the stand-in for the CUDA driver that
//! aegis-cuda's tests have. The tests of this file run in a process of their own that finds the stand-in.
#![cfg(target_os = "linux")]
#[path = "../../aegis-cuda/tests/common/stand_ins.rs"]
#[allow(dead_code, reason = "the libraries beside the driver are not needed here")]
mod stand_ins;

use aegis_backend::conformance::{self, Case};
use aegis_backend::sim::SimBackend;
use aegis_backend::{
    Artifact, BackendError, Binding, DeviceBinding, DeviceSession, Limits, Model, ModelFacts, Runner,
    RuntimeBackend, SegmentIndex, Session, catch,
};
use aegis_core::{Blame, Bytes, Fault, FaultCode, Usable};
use aegis_cuda::{Context, DeviceSlice, Stream, StreamPriority, Wait};
use std::process::Command;
use std::sync::Arc;

/// Set in the process that runs on the stand-in.
const CHILD: &str = "AEGIS_BACKEND_ON_A_STAND_IN";

fn stream() -> Option<Arc<Stream>> {
    if std::env::var_os(CHILD).is_none() {
        println!("left to `the_suite_passes_on_a_stand_in_driver`");
        return None;
    }
    let context = Context::open(0, Wait::Block).unwrap_or_else(|e| panic!("{e}"));
    Some(Stream::new(&context, StreamPriority::Usual).unwrap_or_else(|e| panic!("{e}")))
}

fn model() -> Artifact {
    let text = b"place = 'device'\nweights = '1 MiB'\nscratch = '1 MiB'\nsegments = 2";
    Artifact::from_bytes("plain.toml", text.to_vec())
}

fn case() -> Option<Case> {
    let stream = Some(stream()?);
    Some(Case { backend: Box::new(SimBackend::without_waiting(1)), model: model(), stream })
}

mod suite {
    aegis_backend::conformance!(super::case());
}

/// Takes whatever it is given for its tensors and scratch.
struct BindsAnything(SimBackend);

struct Unchecked {
    sound: Box<dyn Model>,
    stream: Arc<Stream>,
}

impl RuntimeBackend for BindsAnything {
    fn name(&self) -> &'static str {
        "binds-anything"
    }

    fn version(&self) -> String {
        "1".to_owned()
    }

    fn load(&self, artifact: &Artifact, limits: &Limits) -> Result<Box<dyn Model>, BackendError> {
        let stream = stream().expect("only run where there is a device");
        Ok(Box::new(Unchecked { sound: self.0.load(artifact, limits)?, stream }))
    }
}

impl Model for Unchecked {
    fn facts(&self) -> &ModelFacts {
        self.sound.facts()
    }

    fn open(&self, binding: &Binding) -> Result<Session, BackendError> {
        let given = binding.device.as_ref().filter(|_| binding.device_for(self.facts()).is_ok());
        let own = DeviceBinding::alone(&self.stream, self.facts())?;
        let device = Some(given.cloned().unwrap_or(own));
        self.sound.open(&Binding { threads: None, device })
    }
}

#[test]
fn a_backend_that_binds_anything_is_found() {
    let Some(stream) = stream() else { return };
    let backend = Box::new(BindsAnything(SimBackend::without_waiting(1)));
    let case = Case { backend, model: model(), stream: Some(stream) };
    let found = catch(|| conformance::bad_bindings_are_refused_and_harmless(&case)).unwrap_err();
    assert!(found.contains("expected a bad binding"), "{found}");
}

#[test]
fn what_is_wrong_with_a_binding_is_said() {
    let Some(stream) = stream() else { return };
    let sim = SimBackend::without_waiting(1);
    let model = sim.load(&model(), &Limits::default()).unwrap();
    let refused = |change: &dyn Fn(&mut DeviceBinding), says: &str| {
        let mut device = DeviceBinding::alone(&stream, model.facts()).unwrap();
        change(&mut device);
        let error = model.open(&Binding { threads: None, device: Some(device) }).unwrap_err().to_string();
        assert!(error.contains(says), "{error}\nbut not {says}");
    };
    let cut = |slice: &DeviceSlice, from: u64, to: u64| slice.part(Bytes(from), Bytes(to - from)).unwrap();
    refused(&|d| d.inputs.clear(), "the model has 1 inputs, 0 given");
    refused(&|d| d.outputs[0] = cut(&d.outputs[0], 0, 39), "output `output` needs 40 B, given 39 B");
    refused(&|d| d.scratch = None, "the model needs 1 MiB of scratch, none is given");
    let scratch = |d: &DeviceBinding| d.scratch.clone().unwrap();
    refused(&|d| d.scratch = Some(cut(&scratch(d), 0, (1 << 20) - 1)), "scratch needs 1 MiB, given");
    refused(&|d| d.inputs[0] = cut(&scratch(d), 4, 4 + 768), "which is no multiple of 256 B");
    let none = model.open(&Binding::default()).unwrap_err().to_string();
    assert!(none.contains("no stream and tensors there are given"), "{none}");
}

/// Says no to every job, whatever the device says.
struct SaysNo;

impl DeviceSession for SaysNo {
    fn enqueue(&mut self, _: SegmentIndex) -> Result<(), BackendError> {
        let fault =
            Fault { blame: Blame::Backend, code: FaultCode::ExecutionFailed, usable: Usable::Session };
        Err(BackendError::Execution { why: "no".to_owned(), fault })
    }
}

struct Refusing(Box<dyn Model>);

impl Model for Refusing {
    fn facts(&self) -> &ModelFacts {
        self.0.facts()
    }

    fn open(&self, _: &Binding) -> Result<Session, BackendError> {
        Ok(Session::Device(Box::new(SaysNo)))
    }
}

#[test]
fn a_lost_device_is_told_before_anything_else() {
    let Some(stream) = stream() else { return };
    let sound = SimBackend::without_waiting(1).load(&model(), &Limits::default()).unwrap();
    let model = Refusing(sound);
    let device = Some(DeviceBinding::alone(&stream, model.facts()).unwrap());
    let mut runner = Runner::open(&model, &Binding { threads: None, device }).unwrap();
    let usable = runner.run(0).unwrap_err().fault().usable;
    let lost = std::env::var_os("FAKE_CUDA_FAIL").is_some();
    assert_eq!(usable, if lost { Usable::Nothing } else { Usable::Session });
}

/// Runs the test of that name, or all, on the stand-in told by `environment`; answers what it printed.
fn on_a_stand_in(name: Option<&str>, environment: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(name.iter().flat_map(|name| ["--exact", name]))
        .env(CHILD, "1")
        .env("LD_LIBRARY_PATH", stand_ins::stand_in(&[]))
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn a_lost_device_is_found_on_a_stand_in_driver() {
    if std::env::var_os(CHILD).is_none() {
        // The first work on the stream ends the device: 700 is an illegal address.
        on_a_stand_in(
            Some("a_lost_device_is_told_before_anything_else"),
            &[("FAKE_CUDA_FAIL", "work:1:700")],
        );
    }
}

#[test]
fn the_suite_passes_on_a_stand_in_driver() {
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    for defer in ["0", "1"] {
        let report = std::env::temp_dir().join(format!("aegis-report-{}-{defer}", std::process::id()));
        let told = [("FAKE_CUDA_DEFER", defer), ("FAKE_CUDA_REPORT", report.to_str().unwrap())];
        let text = on_a_stand_in(None, &told);
        assert!(text.contains("18 passed"), "{text}");
        let lines = std::fs::read_to_string(&report).unwrap();
        std::fs::remove_file(&report).unwrap();
        let left: Vec<&str> =
            lines.lines().filter(|line| line.starts_with("live") || line.starts_with("wrong")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
