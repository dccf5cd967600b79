//! The conformance suite that every backend instantiates, the simulated one included.
//!
//! A backend's tests say how to make a [`Case`], a backend with one sound model, and
//! [`conformance!`](crate::conformance!) turns every check below into a test of its own:
//!
//! ```
//! use aegis_backend::{Artifact, conformance::Case, sim::SimBackend};
//! fn sim() -> Option<Case> {
//!     let model = Artifact::from_bytes("plain.toml", b"weights = '1 MiB'".to_vec());
//!     Some(Case { backend: Box::new(SimBackend::without_waiting(1)), model, stream: None })
//! }
//! aegis_backend::conformance!(sim());
//! ```
//!
//! `None` passes: what the case needs is not on this machine, and whoever made it has said so. The checks panic with
//! what they found, as tests do.
use crate::{
    Artifact, BackendError, Binding, DType, DeviceBinding, DeviceSession, Dim, HostSession, Io, Limits,
    Model, Place, Runner, RuntimeBackend, Session, TensorBuf, TensorMut, TensorRef, catch, fill_random,
    run_job,
};
use aegis_core::{Bytes, Rng};
use aegis_cuda::Stream;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

pub mod onnx;

/// A backend and a sound model for it, small enough to be loaded some hundred times.
#[expect(missing_debug_implementations, reason = "a backend need not be printable")]
pub struct Case {
    /// The backend.
    pub backend: Box<dyn RuntimeBackend>,
    /// A model that it can load and run, with at least one input that matters.
    pub model: Artifact,
    /// The stream for models that live on a device.
    pub stream: Option<Arc<Stream>>,
}

/// Makes a `#[test]` of each check of the suite; the argument is an expression that gives an `Option<Case>`.
#[macro_export]
macro_rules! conformance {
    ($case:expr) => {
        $crate::conformance! { @each $case;
            facts_are_plausible
            same_input_same_output
            other_input_other_output
            bad_tensors_are_refused_and_harmless
            bad_bindings_are_refused_and_harmless
            segments_out_of_range_are_refused
            corrupt_files_never_panic
            text_is_not_a_model
            a_missing_file_is_an_error
            models_loaded_twice_are_independent
            sessions_of_one_model_do_not_mix
            a_session_outlives_its_model_on_another_thread
            a_session_can_be_dropped_in_flight
        }
    };
    (@each $case:expr; $($check:ident)*) => {
        $(#[test]
        fn $check() {
            if let Some(case) = $case {
                $crate::conformance::$check(&case);
            }
        })*
    };
}

/// Models whose inputs and outputs take more than this are loaded but not run: a flipped bit can ask for anything.
const RUN_AT_MOST: Bytes = Bytes(64 << 20);

fn load(case: &Case) -> Box<dyn Model> {
    let loaded = case.backend.load(&case.model, &Limits::default());
    loaded.unwrap_or_else(|e| panic!("the case's own model does not load: {e}"))
}

/// What a session of `model` needs, all of it for itself alone.
fn binding(case: &Case, model: &dyn Model) -> Result<Binding, BackendError> {
    let device = match (model.facts().place, &case.stream) {
        (Place::Host, _) => None,
        (Place::Device, Some(stream)) => Some(DeviceBinding::alone(stream, model.facts())?),
        (Place::Device, None) => panic!("the model lives on a device, and the case has no stream"),
    };
    Ok(Binding { threads: None, device })
}

fn try_open(case: &Case, model: &dyn Model) -> Result<Runner, BackendError> {
    Runner::open(model, &binding(case, model)?)
}

fn open(case: &Case, model: &dyn Model) -> Runner {
    try_open(case, model).unwrap_or_else(|e| panic!("a session does not open: {e}"))
}

fn session(case: &Case, model: &dyn Model) -> Session {
    let opened = binding(case, model).and_then(|binding| model.open(&binding));
    opened.unwrap_or_else(|e| panic!("a session does not open: {e}"))
}

/// Random inputs from a seed, and outputs full of a value that no check expects.
fn tensors(model: &dyn Model, seed: u64) -> (Vec<TensorBuf>, Vec<TensorBuf>) {
    let facts = model.facts();
    let zeroed = |facts: &Vec<_>| -> Vec<TensorBuf> {
        facts.iter().map(|t| TensorBuf::for_facts(t).expect("a tensor of the case fits memory")).collect()
    };
    let (mut inputs, mut outputs) = (zeroed(&facts.inputs), zeroed(&facts.outputs));
    let mut rng = Rng::new(seed);
    for input in &mut inputs {
        input.fill_random(&mut rng);
    }
    for output in &mut outputs {
        output.data_mut().fill(POISON);
    }
    (inputs, outputs)
}

/// What outputs are full of before a job, so that one that nobody wrote shows.
const POISON: u8 = 0xa5;

/// Runs one job on random inputs from `seed`; answers the outputs' bytes.
fn run(model: &dyn Model, runner: &mut Runner, seed: u64) -> Result<Vec<Vec<u8>>, BackendError> {
    let facts = model.facts();
    let mut rng = Rng::new(seed);
    for (index, input) in facts.inputs.iter().enumerate() {
        fill_random(input.dtype, runner.input_mut(index)?.expect("as many as the facts say"), &mut rng);
    }
    runner.fill_outputs(POISON)?;
    runner.run_job(facts.segments)?;
    let output = |index| runner.output(index).expect("as many as the facts say").to_vec();
    Ok((0..facts.outputs.len()).map(output).collect())
}

fn expect_run(model: &dyn Model, runner: &mut Runner, seed: u64) -> Vec<Vec<u8>> {
    run(model, runner, seed).unwrap_or_else(|e| panic!("a sound job failed: {e}"))
}

/// What every error must be: a sentence.
fn check_error(error: &BackendError) {
    assert!(!error.to_string().trim().is_empty(), "an error without words: {error:?}");
}

/// Inputs, outputs, weights and segments are there, names are distinct, two loads agree.
///
/// # Panics
/// If not.
pub fn facts_are_plausible(case: &Case) {
    assert!(!case.backend.name().is_empty() && !case.backend.version().is_empty());
    let model = load(case);
    let facts = model.facts();
    assert!(facts.weights > Bytes::ZERO, "the model has no weights: {facts:?}");
    assert!(facts.segments >= 1);
    assert!(facts.io_bytes().is_some(), "tensors of unbounded size: {facts:?}");
    for tensors in [&facts.inputs, &facts.outputs] {
        assert!(!tensors.is_empty(), "no inputs or no outputs: {facts:?}");
        let names: BTreeSet<_> = tensors.iter().map(|t| &t.name).collect();
        assert!(names.len() == tensors.len() && names.iter().all(|n| !n.is_empty()), "names: {names:?}");
    }
    assert_eq!(facts, load(case).facts(), "two loads of one artifact disagree");
}

/// The same input gives the same bytes: again, and in a second session.
///
/// # Panics
/// If not.
pub fn same_input_same_output(case: &Case) {
    let model = load(case);
    let mut runner = open(case, &*model);
    let first = expect_run(&*model, &mut runner, 1);
    assert_eq!(first, expect_run(&*model, &mut runner, 1));
    assert_eq!(first, expect_run(&*model, &mut open(case, &*model), 1), "in a second session");
}

/// Another input gives another output, and the first input still gives the first output.
///
/// # Panics
/// If not.
pub fn other_input_other_output(case: &Case) {
    let model = load(case);
    let mut runner = open(case, &*model);
    let [a, b, again] = [1, 2, 1].map(|seed| expect_run(&*model, &mut runner, seed));
    assert_ne!(a, b, "the input does not reach the output");
    assert_eq!(a, again);
}

/// Wrong counts, types, shapes, lengths and alignments of inputs and outputs are [`BackendError::BadTensor`], and the
/// session works after each. A session on a device takes no tensors when it runs and has nothing to refuse here.
///
/// # Panics
/// If not.
pub fn bad_tensors_are_refused_and_harmless(case: &Case) {
    let model = load(case);
    let Some(mut session) = session(case, &*model).into_host() else { return };
    let segments = model.facts().segments;
    let job = |session: &mut dyn HostSession| -> Vec<Vec<u8>> {
        let (inputs, mut outputs) = tensors(&*model, 1);
        run_job(session, segments, &inputs, &mut outputs)
            .unwrap_or_else(|e| panic!("a sound job failed: {e}"));
        outputs.iter().map(|t| t.data().to_vec()).collect()
    };
    let sound = job(&mut *session);
    let (inputs, mut outputs) = tensors(&*model, 1);
    let (first_in, first_out) = (inputs[0].clone(), outputs[0].clone());
    let mut refused = |what: &str, io: Io<'_, '_>| {
        match session.run(0, io) {
            Err(error @ BackendError::BadTensor { .. }) => check_error(&error),
            other => panic!("{what}: expected a bad tensor, got {other:?}"),
        }
        assert_eq!(sound, job(&mut *session), "the session is hurt by {what}");
    };

    let rest: Vec<_> = inputs[1..].iter().map(TensorBuf::input).collect();
    let other_type = if first_in.dtype() == DType::F32 { DType::I32 } else { DType::F32 };
    let (shape, data) = (first_in.shape(), first_in.data());
    let longer: Vec<u64> = [shape, &[1]].concat();
    let typed = first_in.dtype();
    for (what, dtype, shape, data) in [
        ("an input of another type", other_type, shape, data),
        ("an input of another rank", typed, &*longer, data),
        ("a short input", typed, shape, &data[..data.len() - 1]),
        ("an empty input", typed, shape, &data[..0]),
    ] {
        let bad = [&[TensorRef { dtype, shape, data }], &*rest].concat();
        let mut outputs: Vec<_> = outputs.iter_mut().map(TensorBuf::output).collect();
        refused(what, Io { inputs: &bad, outputs: &mut outputs });
    }
    // Data that fit the wrong shape, so that it is the shape that is refused.
    for (position, dim) in model.facts().inputs[0].shape.iter().enumerate() {
        let Dim::Fixed(extent @ 1..) = dim else { continue };
        for extent in [extent + 1, extent - 1] {
            let mut shape = shape.to_vec();
            shape[position] = extent;
            let other = TensorBuf::zeroed(typed, &shape).expect("fits");
            let mut outputs: Vec<_> = outputs.iter_mut().map(TensorBuf::output).collect();
            let io = Io { inputs: &[&[other.input()], &*rest].concat(), outputs: &mut outputs };
            refused("an input of another shape", io);
        }
    }
    if typed.size() > 1 {
        let mut bytes = TensorBuf::zeroed(DType::U8, &[data.len() as u64 + 1]).expect("fits");
        bytes.data_mut()[1..].copy_from_slice(data);
        let misaligned = TensorRef { dtype: typed, shape, data: &bytes.data()[1..] };
        let mut outputs: Vec<_> = outputs.iter_mut().map(TensorBuf::output).collect();
        refused(
            "a misaligned input",
            Io { inputs: &[&[misaligned], &*rest].concat(), outputs: &mut outputs },
        );
    }
    let all: Vec<_> = inputs.iter().map(TensorBuf::input).collect();
    {
        let mut outputs: Vec<_> = outputs.iter_mut().map(TensorBuf::output).collect();
        refused("a missing input", Io { inputs: &all[1..], outputs: &mut outputs });
        refused("an input too many", Io { inputs: &[&all[..1], &*all].concat(), outputs: &mut outputs });
    }
    {
        let mut fewer: Vec<_> = outputs[1..].iter_mut().map(TensorBuf::output).collect();
        refused("a missing output", Io { inputs: &all, outputs: &mut fewer });
    }
    let mut extra = first_out.clone();
    {
        let mut more: Vec<_> = outputs.iter_mut().map(TensorBuf::output).collect();
        more.push(extra.output());
        refused("an output too many", Io { inputs: &all, outputs: &mut more });
    }
    let (_, rest) = outputs.split_at_mut(1);
    let mut short = first_out;
    let len = short.data().len();
    let (dtype, shape) = (short.dtype(), short.shape().to_vec());
    let mut bad = vec![TensorMut { dtype, shape: &shape, data: &mut short.data_mut()[..len - 1] }];
    bad.extend(rest.iter_mut().map(TensorBuf::output));
    refused("a short output", Io { inputs: &all, outputs: &mut bad });
}

/// What is missing, too short or misaligned in the binding of a session on a device is [`BackendError::BadBinding`], and
/// the model works after each. A session on the host is bound to nothing and has nothing to refuse here.
///
/// # Panics
/// If not.
pub fn bad_bindings_are_refused_and_harmless(case: &Case) {
    let model = load(case);
    let facts = model.facts();
    let Some(stream) = case.stream.as_ref().filter(|_| facts.place == Place::Device) else { return };
    let sound = expect_run(&*model, &mut open(case, &*model), 1);
    let refused = |what: &str, device: Option<DeviceBinding>| {
        match model.open(&Binding { threads: None, device }) {
            Err(error @ BackendError::BadBinding { .. }) => check_error(&error),
            other => panic!("{what}: expected a bad binding, got {other:?}"),
        }
        assert_eq!(sound, expect_run(&*model, &mut open(case, &*model), 1), "the model is hurt by {what}");
    };
    let alone = || DeviceBinding::alone(stream, facts).unwrap_or_else(|e| panic!("{e}"));
    refused("no stream and no tensors", None);
    for (which, tensors) in [("input", 0), ("output", 1)] {
        let with = |change: &dyn Fn(&mut Vec<aegis_cuda::DeviceSlice>)| {
            let mut device = alone();
            change(if tensors == 0 { &mut device.inputs } else { &mut device.outputs });
            Some(device)
        };
        refused(&format!("a missing {which}"), with(&|list| drop(list.pop())));
        refused(&format!("an {which} too many"), with(&|list| list.push(list[0].clone())));
        let shorter = |list: &mut Vec<aegis_cuda::DeviceSlice>| {
            list[0] = list[0].part(Bytes::ZERO, list[0].len() - Bytes(1)).expect("it has a byte");
        };
        refused(&format!("a short {which}"), with(&shorter));
    }
    if let Some(bytes) = facts.placeable().filter(|bytes| *bytes > Bytes::ZERO) {
        let mut without = alone();
        let scratch = without.scratch.take().expect("it was asked for");
        refused("no scratch", Some(without.clone()));
        without.scratch = scratch.part(Bytes::ZERO, bytes - Bytes(1));
        refused("a scratch one byte short", Some(without));
    }
}

/// A segment that does not exist is [`BackendError::NoSuchSegment`], and the session works after it.
///
/// # Panics
/// If not.
pub fn segments_out_of_range_are_refused(case: &Case) {
    let model = load(case);
    let mut runner = open(case, &*model);
    for segment in [model.facts().segments, u16::MAX] {
        match runner.run(segment) {
            Err(error @ BackendError::NoSuchSegment { .. }) => check_error(&error),
            other => panic!("segment {segment}: expected that it does not exist, got {other:?}"),
        }
    }
    expect_run(&*model, &mut runner, 1);
}

/// Cut, flipped, random and empty files give an error that names the file, or a model that runs or says why not.
///
/// # Panics
/// If the backend does, or if it fails without words.
pub fn corrupt_files_never_panic(case: &Case) {
    const SEED: u64 = 20;
    let sound = case.model.bytes();
    let mut rng = Rng::new(SEED);
    // Fewer trials for larger models, so that the check takes about as long for all.
    let trials = (8usize << 20).checked_div(sound.len()).unwrap_or(0).clamp(8, 400);
    let position = |rng: &mut Rng, end: usize| {
        usize::try_from(rng.between(0, end.saturating_sub(1) as u64)).unwrap_or(0)
    };

    let mut files = vec![("nothing".to_owned(), Vec::new())];
    for len in [1, 2, 16, sound.len() / 2, sound.len().saturating_sub(1)] {
        files.push((format!("the first {len} bytes"), sound[..len.min(sound.len())].to_vec()));
    }
    for trial in 0..trials {
        let cut = position(&mut rng, sound.len());
        files.push((format!("the first {cut} bytes"), sound[..cut].to_vec()));

        // Most of a model is weights; its structure is mostly at its ends.
        let end = if trial % 2 == 0 { sound.len().min(512) } else { sound.len() };
        let (at, bit) = (position(&mut rng, end), rng.between(0, 7));
        let at = if trial % 4 < 2 { at } else { sound.len() - 1 - at };
        let mut flipped = sound.to_vec();
        flipped[at] ^= 1 << bit;
        files.push((format!("bit {bit} of byte {at} flipped"), flipped));

        let len = position(&mut rng, 2048);
        let noise: Vec<u8> = (0..len).map(|_| rng.bits().to_le_bytes()[0]).collect();
        files.push((format!("{len} random bytes"), noise.clone()));
        let mut zeroed = sound.to_vec();
        zeroed[cut..].fill(0);
        files.push((format!("zeros from byte {cut}"), zeroed));
    }
    for (what, bytes) in files {
        let what = format!("{what} (seed {SEED})");
        load_and_run(case, &what, &Artifact::from_bytes("corrupt.model", bytes));
    }
}

fn load_and_run(case: &Case, what: &str, artifact: &Artifact) {
    let outcome = catch(|| {
        let model = match case.backend.load(artifact, &Limits::default()) {
            Ok(model) => model,
            Err(error) => {
                check_error(&error);
                assert!(error.to_string().contains("corrupt.model"), "does not name the file: {error}");
                return;
            }
        };
        if model.facts().io_bytes().is_none_or(|bytes| bytes > RUN_AT_MOST) {
            return;
        }
        let ran = try_open(case, &*model).and_then(|mut runner| run(&*model, &mut runner, 1));
        if let Err(error) = ran {
            check_error(&error);
        }
    });
    if let Err(panic) = outcome {
        panic!("{what}: {panic}");
    }
}

/// A text that nobody would take for a model gives an error that names the file.
///
/// # Panics
/// If not.
pub fn text_is_not_a_model(case: &Case) {
    for text in ["Shopping list: eggs, flour.\n", "{\"weights\": 3}", "<html></html>", "\u{0}", "\n\n\n"] {
        let artifact = Artifact::from_bytes("list.txt", text.as_bytes().to_vec());
        match case.backend.load(&artifact, &Limits::default()) {
            Ok(_) => panic!("{text:?} was loaded as a model"),
            Err(error) => {
                assert!(error.to_string().contains("list.txt"), "does not name the file: {error}");
            }
        }
    }
}

/// A file that is not there gives an error that names it.
///
/// # Panics
/// If not.
pub fn a_missing_file_is_an_error(case: &Case) {
    let path = Path::new("no/such/file.model");
    let loaded = Artifact::open(path)
        .and_then(|artifact| case.backend.load(&artifact, &Limits::default()).map(|_| ()));
    let error = loaded.expect_err("there is no such file");
    assert!(matches!(error, BackendError::Unreadable { .. }), "{error:?}");
    assert!(error.to_string().contains("no/such/file.model"), "{error}");
}

/// Two models of one artifact both run, and dropping one leaves the other as it was.
///
/// # Panics
/// If not.
pub fn models_loaded_twice_are_independent(case: &Case) {
    let (one, two) = (load(case), load(case));
    let (mut first, mut second) = (open(case, &*one), open(case, &*two));
    let expected = expect_run(&*one, &mut first, 3);
    assert_eq!(expected, expect_run(&*two, &mut second, 3));
    drop(first);
    drop(one);
    assert_eq!(expected, expect_run(&*two, &mut second, 3));
}

/// Two sessions of one model, used in turn, do not see each other's data.
///
/// # Panics
/// If not.
pub fn sessions_of_one_model_do_not_mix(case: &Case) {
    let model = load(case);
    let (mut one, mut two) = (open(case, &*model), open(case, &*model));
    let (a, b) = (expect_run(&*model, &mut one, 4), expect_run(&*model, &mut two, 5));
    for _ in 0..3 {
        assert_eq!(a, expect_run(&*model, &mut one, 4));
        assert_eq!(b, expect_run(&*model, &mut two, 5));
    }
    drop(one);
    assert_eq!(b, expect_run(&*model, &mut two, 5));
}

/// A session works on another thread while its model is dropped, and after.
///
/// # Panics
/// If not.
pub fn a_session_outlives_its_model_on_another_thread(case: &Case) {
    let model = load(case);
    let (segments, outputs) = (model.facts().segments, model.facts().outputs.len());
    let mut runner = open(case, &*model);
    let expected = expect_run(&*model, &mut runner, 6);
    let (dropped, model_is_dropped) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let mut job = || {
                runner.fill_outputs(POISON).expect("the tensors are there");
                runner.run_job(segments).expect("a sound job");
                let bytes: Vec<_> =
                    (0..outputs).map(|i| runner.output(i).expect("it exists").to_vec()).collect();
                assert_eq!(bytes, expected);
            };
            for _ in 0..3 {
                job();
            }
            model_is_dropped.recv().expect("the other thread drops it");
            for _ in 0..3 {
                job();
            }
        });
        drop(model);
        // Fails only when the worker has ended, and then it says why.
        let _ = dropped.send(());
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// A session that is dropped right after its work was put on the stream, with its tensors, harms nobody else.
///
/// # Panics
/// If not.
pub fn a_session_can_be_dropped_in_flight(case: &Case) {
    let model = load(case);
    let expected = expect_run(&*model, &mut open(case, &*model), 7);
    let binding = binding(case, &*model).unwrap_or_else(|e| panic!("nothing to bind: {e}"));
    // Whatever lies in memory that was just taken may be no valid input: an index beyond its table, for one.
    if let Some(device) = &binding.device {
        for input in &device.inputs {
            device.stream.fill(input, 0).unwrap_or_else(|e| panic!("an input cannot be zeroed: {e}"));
        }
    }
    match model.open(&binding).unwrap_or_else(|e| panic!("a session does not open: {e}")) {
        Session::Host(mut session) => {
            let (inputs, mut outputs) = tensors(&*model, 7);
            run_job(&mut *session, 1, &inputs, &mut outputs)
                .unwrap_or_else(|e| panic!("a sound job failed: {e}"));
            drop(session);
        }
        Session::Device(mut session) => {
            let enqueued = DeviceSession::enqueue(&mut *session, 0);
            enqueued.unwrap_or_else(|e| panic!("a sound job failed: {e}"));
            drop(session);
        }
    }
    assert_eq!(expected, expect_run(&*model, &mut open(case, &*model), 7));
}
