//! The simulated backend: conformance, its model file, its times and its faults.
use aegis_backend::sim::SimBackend;
use aegis_backend::{Artifact, BackendError, Binding, Limits, Model, Runner, RuntimeBackend, Scratch, catch};
use aegis_core::{Blame, Bytes, FaultCode, Nanos, Usable};
use std::sync::{Arc, Mutex};

fn file(text: &str) -> Artifact {
    Artifact::from_bytes("model.toml", text.into())
}

fn load(backend: &SimBackend, text: &str) -> Box<dyn Model> {
    backend.load(&file(text), &Limits::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// Runs one job; the conformance suite looks at the data.
fn execute(model: &dyn Model, session: &mut Runner) -> Result<(), BackendError> {
    session.run_job(model.facts().segments)
}

fn open(model: &dyn Model) -> Runner {
    Runner::open(model, &Binding::default()).unwrap()
}

/// The times that `jobs` jobs of one session take.
fn times(seed: u64, text: &str, jobs: usize) -> Vec<u64> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::clone(&seen);
    let backend = SimBackend::with_wait(seed, move |time| recorder.lock().unwrap().push(time.0));
    let model = load(&backend, text);
    let mut session = open(&*model);
    for _ in 0..jobs {
        execute(&*model, &mut session).unwrap();
    }
    drop((session, model, backend));
    Arc::into_inner(seen).unwrap().into_inner().unwrap()
}

mod plain {
    use super::*;
    use aegis_backend::conformance::Case;

    fn case() -> Case {
        let model = file("weights = '1 MiB'\n[time]\nlaw = 'constant'\nvalue = '1 ms'");
        Case { backend: Box::new(SimBackend::without_waiting(1)), model, stream: None }
    }
    aegis_backend::conformance!(Some(case()));
}

mod many_tensors_and_segments {
    use super::*;
    use aegis_backend::conformance::Case;

    fn case() -> Case {
        let model = file(
            "weights = '1 B'\nsegments = 3\nscratch = '2 MiB'
            inputs = [{ name = 'a', dtype = 'i64', shape = ['n', 70] }, { name = 'b', dtype = 'u8', shape = [7] }]
            outputs = [{ name = 'x', dtype = 'f16', shape = [9] }, { name = 'y', dtype = 'bool', shape = [64] }]",
        );
        Case { backend: Box::new(SimBackend::new(1)), model, stream: None }
    }
    aegis_backend::conformance!(Some(case()));
}

#[test]
fn facts_come_from_the_file() {
    let model = load(
        &SimBackend::new(1),
        "weights = '10 MiB'\nscratch = '4 MiB'\nsegments = 2
        inputs = [{ name = 'image', dtype = 'u8', shape = ['batch', 3, 8] }]",
    );
    let facts = model.facts();
    assert_eq!((facts.weights, facts.segments), (Bytes::from_mib(10), 2));
    assert_eq!(facts.scratch, Scratch::Placeable { bytes: Bytes::from_mib(4), align: Bytes(256) });
    assert_eq!(facts.inputs[0].to_string(), "u8[batch,3,8]");
    assert_eq!(facts.outputs[0].to_string(), "f32[1,10]");

    let least = load(&SimBackend::new(1), "time = { law = 'constant', value = '1 ms' }");
    assert_eq!((least.facts().weights, least.facts().segments), (Bytes::ZERO, 1));
    assert_eq!(least.facts().scratch, Scratch::None);
}

#[test]
fn mistakes_in_the_file_say_where() {
    let tensor = |t: &str| format!("weights = '1 B'\ninputs = [{{ name = 'a', {t} }}]");
    let time = |t: &str| format!("weights = '1 B'\n[time]\n{t}");
    for (text, says) in [
        (String::new(), "it is blank; write at least how long it takes"),
        ("weights = '1 B'\nwieghts = 3".into(), "2:1: unknown field `wieghts`, expected one of `place`"),
        ("weights = 12".into(), "1:11: invalid type: integer `12`, expected a string"),
        ("weights = '12'".into(), "1:11: `12` has no unit; write one of B, kB"),
        ("weights = '1 B'\nsegments = 0".into(), "2:12: invalid value: integer `0`"),
        ("weights = '1 B'\nsegments = 65536".into(), "2:12: invalid value: integer `65536`"),
        ("weights = ".into(), "1:11: "),
        (tensor("dtype = 'f33', shape = [1]"), "2:33: `f33` is not an element type"),
        (tensor("dtype = 'f32', shape = [0]"), "expected an extent of 1 or more"),
        (tensor("dtype = 'f32', shape = [-1]"), "expected an extent of 1 or more"),
        (tensor("dtype = 'f32'"), "missing field `shape`"),
        (
            tensor("dtype = 'f32', shape = [4294967296, 4294967296]"),
            "the size of its inputs and outputs does not fit 64 bits",
        ),
        (time("law = 'pareto'"), "unknown variant `pareto`, expected one of `constant`"),
        (time("law = 'constant'"), "missing field `value`"),
        (time("law = 'constant'\nvalue = '1 ms'\nlow = '1 ms'"), "unknown field `low`"),
        (time("law = 'uniform'\nlow = '2 ms'\nhigh = '1 ms'"), "[time]: low = 2 ms is above high = 1 ms"),
        (time("law = 'bimodal'\nusual = '1 ms'\nrare = '2 ms'\none_in = 0"), "expected a nonzero u64"),
        (time("law = 'cycle'\nvalues = []"), "write at least one time"),
        ("weights = '1 B'\n[faults]\nfail_every = 0".into(), "3:14: invalid value: integer `0`"),
        ("weights = '1 B'\n[faults]\nfail_evry = 1".into(), "3:1: unknown field `fail_evry`"),
    ] {
        let error = SimBackend::new(1).load(&file(&text), &Limits::default()).map(|_| ()).unwrap_err();
        assert!(matches!(error, BackendError::Malformed { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.starts_with("model.toml is not a model"), "{text}: {message}");
        assert!(message.contains(says), "{text}\n says {message}\nbut not {says}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn times_repeat_by_seed_and_model() {
    let text = "weights = '1 B'\nsegments = 2\n[time]\nlaw = 'uniform'\nlow = '1 ms'\nhigh = '2 ms'";
    let first = times(7, text, 20);
    assert_eq!(first.len(), 40);
    assert!(first.iter().all(|t| (1_000_000..=2_000_000).contains(t)), "{first:?}");
    assert_eq!(first, times(7, text, 20));
    assert_ne!(first, times(8, text, 20), "another seed");
    assert_ne!(first, times(7, &format!("{text} # other"), 20), "another file");
}

#[test]
fn an_execution_takes_at_least_its_time() {
    let backend = SimBackend::new(1);
    let model = load(&backend, "weights = '1 B'\n[time]\nlaw = 'constant'\nvalue = '3 ms'");
    let mut session = open(&*model);
    let start = std::time::Instant::now();
    execute(&*model, &mut session).unwrap();
    assert!(Nanos::from_std(start.elapsed()) >= Nanos::from_millis(3));
}

#[test]
fn overruns_come_when_asked() {
    let text =
        "weights = '1 B'\n[time]\nlaw = 'cycle'\nvalues = ['1 ns', '10 ns']\n[faults]\noverrun_every = 3";
    assert_eq!(times(1, text, 6), [1, 10, 2, 10, 1, 20]);
    assert_eq!(times(1, &format!("{text}\noverrun_factor = 5"), 3), [1, 10, 5]);
}

#[test]
fn failures_come_when_asked_and_pass() {
    let backend = SimBackend::without_waiting(1);
    let model = load(&backend, "weights = '1 B'\n[faults]\nfail_every = 3");
    let mut session = open(&*model);
    let failed: Vec<bool> = (0..6).map(|_| execute(&*model, &mut session).is_err()).collect();
    assert_eq!(failed, [false, false, true, false, false, true]);
    let mut session = open(&*model);
    let error = (0..3).find_map(|_| execute(&*model, &mut session).err()).unwrap();
    assert_eq!(error.fault().usable, Usable::Session);
    assert_eq!(error.to_string(), "execution failed: simulated failure of execution 3");
}

#[test]
fn panics_come_when_asked() {
    let backend = SimBackend::without_waiting(1);
    let model = load(&backend, "weights = '1 B'\n[faults]\npanic_every = 2");
    let mut session = open(&*model);
    execute(&*model, &mut session).unwrap();
    let panic = catch(|| execute(&*model, &mut session)).unwrap_err();
    assert_eq!(panic, "simulated panic in execution 2");
}

#[test]
fn a_lost_device_is_lost_for_all() {
    let backend = SimBackend::without_waiting(1);
    let fragile = load(&backend, "weights = '1 B'\n[faults]\ndevice_lost_after = 2");
    let sound = load(&backend, "weights = '1 B'");
    let mut bystander = open(&*sound);
    let mut session = open(&*fragile);
    execute(&*fragile, &mut session).unwrap();
    execute(&*sound, &mut bystander).unwrap();
    let error = execute(&*fragile, &mut session).unwrap_err();
    assert_eq!((error.fault().code, error.fault().usable), (FaultCode::DeviceLost, Usable::Nothing));
    assert_eq!(execute(&*sound, &mut bystander).unwrap_err().fault().blame, Blame::Device);
    let other = SimBackend::without_waiting(1);
    let model = load(&other, "weights = '1 B'");
    execute(&*model, &mut open(&*model)).unwrap();
}

#[test]
fn a_hanging_execution_does_not_return() {
    let backend = SimBackend::without_waiting(1);
    let model = load(&backend, "weights = '1 B'\n[faults]\nhang_after = 2");
    let mut session = open(&*model);
    execute(&*model, &mut session).unwrap();
    let (done, returned) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = execute(&*model, &mut session);
        let _ = done.send(());
    });
    let waited = returned.recv_timeout(std::time::Duration::from_millis(50));
    assert_eq!(waited, Err(std::sync::mpsc::RecvTimeoutError::Timeout));
}
