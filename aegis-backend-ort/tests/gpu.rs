//! ONNX Runtime on a CUDA device: conformance, the same numbers as on the CPU, the same bytes as without the backend,
//! limits and refusals. Where the device or the provider is missing, each test says that it was skipped;
//! `AEGIS_REQUIRE_GPU=1` makes that a failure. `AEGIS_ORT_GPU_MODEL` names another real model than SqueezeNet.
#[path = "common/bare.rs"]
mod bare;
mod common;

use aegis_backend::conformance::{Case, onnx};
use aegis_backend::{
    Artifact, BackendError, Binding, DType, DeviceBinding, Limits, Model, ModelFacts, Place, Runner,
    RuntimeBackend, Scratch, fill_random,
};
use aegis_backend_ort::{OrtBackend, OrtModel};
use aegis_core::{Bytes, Rng};
use aegis_cuda::{Stream, StreamPriority};
use bare::Bare;
use std::sync::Arc;

const SEED: u64 = 20_261_122;

/// The most by which a device's outputs may differ from the CPU's: `max |a - b|` over `max |b|`.
const TOLERANCE: f64 = 1e-4;

fn case(artifact: Option<Artifact>, cpu_fallback: bool) -> Option<Case> {
    let ((backend, stream), model) = (common::cuda(cpu_fallback)?, artifact?);
    Some(Case { backend: Box::new(backend), model, stream: Some(stream) })
}

fn hand(bytes: Vec<u8>) -> Artifact {
    Artifact::from_bytes("hand.onnx", bytes)
}

fn real() -> Option<Artifact> {
    Some(Artifact::open(&common::gpu_model()?).unwrap_or_else(|error| panic!("{error}")))
}

mod dense {
    aegis_backend::conformance!(super::case(Some(super::hand(super::onnx::dense())), false));
}

mod mixed {
    aegis_backend::conformance!(super::case(Some(super::hand(super::onnx::mixed())), true));
}

mod squeezenet {
    aegis_backend::conformance!(super::case(super::real(), false));
}

fn load(backend: &OrtBackend, artifact: &Artifact) -> OrtModel {
    backend.load_model(artifact, &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn bound(stream: &Arc<Stream>, facts: &ModelFacts) -> DeviceBinding {
    DeviceBinding::alone(stream, facts).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs one job on random inputs; answers the outputs.
fn run(model: &dyn Model, binding: &Binding) -> Vec<Vec<u8>> {
    let facts = model.facts();
    let mut runner = Runner::open(model, binding).unwrap_or_else(|error| panic!("{error}"));
    let mut rng = Rng::new(SEED);
    for (index, input) in facts.inputs.iter().enumerate() {
        fill_random(input.dtype, runner.input_mut(index).unwrap().unwrap(), &mut rng);
    }
    runner.fill_outputs(0xa5).unwrap();
    runner.run_job(facts.segments).unwrap_or_else(|error| panic!("{error}"));
    (0..facts.outputs.len()).map(|index| runner.output(index).unwrap().to_vec()).collect()
}

fn on_device(model: &dyn Model, stream: &Arc<Stream>) -> Vec<Vec<u8>> {
    run(model, &Binding { threads: None, device: Some(bound(stream, model.facts())) })
}

fn floats(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_ne_bytes(*bytes))).collect()
}

/// All models there are: those written by hand, and the real ones.
fn artifacts() -> Vec<Artifact> {
    let mut all: Vec<_> = [onnx::dense(), onnx::mixed()].map(hand).into();
    let mut files: Vec<_> = common::models()
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "onnx"))
        .chain(std::env::var_os("AEGIS_ORT_GPU_MODEL").map(Into::into))
        .collect();
    files.sort();
    files.dedup();
    all.extend(files.iter().map(|file| Artifact::open(file).unwrap()));
    all
}

#[test]
fn facts_are_those_of_the_device() {
    let Some((backend, _)) = common::cuda(false) else { return };
    assert!(backend.version().ends_with(", CUDA"), "{}", backend.version());
    for artifact in artifacts() {
        let name = artifact.origin().display().to_string();
        let model = match backend.load_model(&artifact, &Limits::default()) {
            Ok(model) => model,
            Err(error) => {
                println!("{name}: {error}");
                continue;
            }
        };
        let (facts, arena) = (model.facts(), model.arena().unwrap().expect("on a device"));
        println!("{}: {name}: {:?}, {arena:?}", backend.version(), facts.weights);
        assert_eq!((facts.place, &facts.scratch, facts.segments), (Place::Device, &Scratch::None, 1));
        assert_eq!(facts.weights, arena.total);
        assert!(arena.in_use <= arena.total && arena.max_in_use >= arena.in_use, "{arena:?}");
        assert_eq!(arena.limit, None);
        // What is optimised away or stays on the host is little.
        let constants = aegis_backend::onnx::outline(&artifact).unwrap().constants;
        assert!(facts.weights.0 > constants.0 / 10 * 9, "{name} has {constants} of constants: {arena:?}");
    }
}

#[test]
fn the_device_computes_what_the_cpu_computes() {
    let Some((backend, stream)) = common::cuda(true) else { return };
    let cpu = common::ort().expect("the device's test found it");
    for artifact in artifacts() {
        let name = artifact.origin().display();
        let (a, b) = (load(&backend, &artifact), load(&cpu, &artifact));
        assert_eq!(
            (&a.facts().inputs, &a.facts().outputs),
            (&b.facts().inputs, &b.facts().outputs),
            "{name}"
        );
        let (got, expected) = (on_device(&a, &stream), run(&b, &Binding::default()));
        for ((got, expected), facts) in got.iter().zip(&expected).zip(&a.facts().outputs) {
            if facts.dtype != DType::F32 {
                assert_eq!(got, expected, "{name}: output `{}`, seed {SEED}", facts.name);
                continue;
            }
            let (got, expected) = (floats(got), floats(expected));
            assert!(got.iter().chain(&expected).all(|v| v.is_finite()), "{name}: output `{}`", facts.name);
            let largest = expected.iter().fold(1e-30f64, |most, v| most.max(v.abs()));
            let apart = got.iter().zip(&expected).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
            println!(
                "{name}: output `{}`: differs by {apart:.2e}, {:.2e} of the largest",
                facts.name,
                apart / largest
            );
            assert!(apart <= TOLERANCE * largest, "{name}: output `{}`, seed {SEED}", facts.name);
        }
    }
}

#[test]
fn the_backend_changes_no_bit() {
    let Some((backend, stream)) = common::cuda(true) else { return };
    for artifact in artifacts() {
        let model = load(&backend, &artifact);
        let facts = model.facts();
        let expected = on_device(&model, &stream);
        for asynchronous in [false, true] {
            let device = bound(&stream, facts);
            let mut rng = Rng::new(SEED);
            for (input, slice) in facts.inputs.iter().zip(&device.inputs) {
                let mut bytes = vec![0; usize::try_from(slice.len().0).unwrap()];
                fill_random(input.dtype, &mut bytes, &mut rng);
                stream.write(&bytes, slice).unwrap();
            }
            let mut bare = Bare::new(artifact.bytes(), facts, &device, asynchronous);
            for _ in 0..3 {
                bare.run();
            }
            for ((slice, expected), output) in device.outputs.iter().zip(&expected).zip(&facts.outputs) {
                let mut got = vec![0; expected.len()];
                stream.read(slice, &mut got).unwrap();
                let name = artifact.origin().display();
                assert_eq!(got, *expected, "{name}: output `{}`, asynchronous: {asynchronous}", output.name);
            }
            stream.synchronize().unwrap();
        }
    }
}

#[test]
fn a_session_on_another_stream_computes_the_same() {
    let Some((backend, stream)) = common::cuda(false) else { return };
    for artifact in std::iter::once(hand(onnx::dense())).chain(real()) {
        let model = load(&backend, &artifact);
        let expected = on_device(&model, &stream);
        let other = Stream::new(stream.context(), StreamPriority::Urgent).unwrap();
        assert_eq!(expected, on_device(&model, &other));
        assert_eq!(expected, on_device(&model, &stream), "the first stream's session is as it was");
    }
}

#[test]
fn sessions_on_two_streams_do_not_mix_when_they_run_at_once() {
    let Some((backend, stream)) = common::cuda(false) else { return };
    let Some(artifact) = real() else { return };
    let model = load(&backend, &artifact);
    let expected = on_device(&model, &stream);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let stream = Stream::new(stream.context(), StreamPriority::Usual).unwrap();
                let binding = Binding { threads: None, device: Some(bound(&stream, model.facts())) };
                for _ in 0..20 {
                    assert_eq!(expected, run(&model, &binding));
                }
            });
        }
    });
}

#[test]
fn more_memory_than_the_limit_is_refused_with_figures() {
    let Some((backend, stream)) = common::cuda(false) else { return };
    let Some(artifact) = real() else { return };
    let model = load(&backend, &artifact);
    let (needed, expected) = (model.facts().weights, on_device(&model, &stream));
    drop(model);
    let within = |limit: Bytes| backend.load_model(&artifact, &Limits { device_memory: Some(limit) });
    let constants = aegis_backend::onnx::outline(&artifact).unwrap().constants;
    for limit in
        [Bytes::ZERO, Bytes(1), constants - Bytes(1), constants, constants + Bytes(4096), needed - Bytes(1)]
    {
        match within(limit) {
            Err(BackendError::OverLimit { asked, limit: said, .. }) => {
                println!("limit {limit}: asked for {asked}");
                assert!(said == limit && asked > limit, "asked {asked}, limit {said}");
            }
            other => panic!("limit {limit} of {needed}: {other:?}"),
        }
    }
    // The first runs take more than what is held in the end: how much, nobody says.
    let model = within(Bytes(needed.0 * 4)).unwrap_or_else(|error| panic!("{error}"));
    let arena = model.arena().unwrap().expect("on a device");
    assert_eq!((arena.limit, arena.total), (Some(Bytes(needed.0 * 4)), needed));
    assert_eq!(expected, on_device(&model, &stream));
}

#[test]
fn what_the_device_has_no_code_for_is_refused_or_runs_on_the_host() {
    let (Some((strict, _)), Some((lenient, stream))) = (common::cuda(false), common::cuda(true)) else {
        return;
    };
    let cpu = common::ort().expect("the device's test found it");
    let mut refused = 0;
    // The first reads the model's input on the host, the second writes its output there.
    for (operator, nodes) in ["Asinh", "Cosh", "Sinh", "Tan"]
        .into_iter()
        .flat_map(|operator| [[operator, "Relu"], ["Relu", operator]].map(|nodes| (operator, nodes)))
    {
        let model = onnx::model(
            &[onnx::node(nodes[0], &["x"], "middle"), onnx::node(nodes[1], &["middle"], "y")],
            &[],
            &[onnx::port("x", onnx::F32, &["2", "8"])],
            &[onnx::port("y", onnx::F32, &["2", "8"])],
        );
        let artifact = Artifact::from_bytes(format!("{operator}.onnx"), model);
        let Err(error) = strict.load_model(&artifact, &Limits::default()) else { continue };
        println!("{error}");
        let message = error.to_string();
        assert!(message.contains(&format!("{operator}.onnx")) && message.contains("CPU"), "{message}");
        assert!(message.contains("cpu_fallback = true"), "{message}");
        refused += 1;
        let model = load(&lenient, &artifact);
        let expected = run(&load(&cpu, &artifact), &Binding::default());
        assert_eq!(expected, on_device(&model, &stream), "{nodes:?}");
        assert_eq!(expected, on_device(&model, &stream), "{nodes:?}, in a second session");
        let case =
            Case { backend: Box::new(lenient.clone()), model: artifact, stream: Some(Arc::clone(&stream)) };
        aegis_backend::conformance::other_input_other_output(&case);
        aegis_backend::conformance::sessions_of_one_model_do_not_mix(&case);
    }
    assert!(refused > 0, "the device has code for all of them; choose others");
}

/// An axis is read on the host although its node runs on the device. ONNX Runtime copies an input that it reads there when
/// it is bound, and a later value never arrived.
#[test]
fn an_input_that_is_read_on_the_host_arrives_each_time() {
    let (Some((strict, _)), Some((backend, stream))) = (common::cuda(false), common::cuda(true)) else {
        return;
    };
    let cpu = common::ort().expect("the device's test found it");
    let model = onnx::model(
        &[onnx::node("CumSum", &["x", "axis"], "y")],
        &[],
        &[onnx::port("x", onnx::F32, &["2", "8"]), onnx::port("axis", onnx::I64, &["1"])],
        &[onnx::port("y", onnx::F32, &["2", "8"])],
    );
    let artifact = Artifact::from_bytes("sums.onnx", model);
    let error = strict.load_model(&artifact, &Limits::default()).unwrap_err();
    assert!(matches!(error, BackendError::Unsupported { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains("sums.onnx")
            && message.contains("`axis`")
            && message.contains("cpu_fallback = true"),
        "{message}"
    );
    assert!(!message.contains("`x`"), "{message}");
    let sums = |model: &dyn Model, binding: &Binding| -> Vec<Vec<u8>> {
        let mut runner = Runner::open(model, binding).unwrap_or_else(|error| panic!("{error}"));
        let numbers: Vec<u8> = (1..=16u8).flat_map(|n| f32::from(n).to_ne_bytes()).collect();
        runner.input_mut(0).unwrap().unwrap().copy_from_slice(&numbers);
        let sum = |axis: i64| {
            runner.input_mut(1).unwrap().unwrap().copy_from_slice(&axis.to_ne_bytes());
            runner.run_job(1).unwrap_or_else(|error| panic!("{error}"));
            runner.output(0).unwrap().to_vec()
        };
        [1, 0, 1, -1].map(sum).into()
    };
    let (there, here) = (load(&backend, &artifact), load(&cpu, &artifact));
    let expected = sums(&here, &Binding::default());
    assert_ne!(expected[0], expected[1], "the axis matters");
    let device = Some(bound(&stream, there.facts()));
    assert_eq!(expected, sums(&there, &Binding { threads: None, device }));
}

/// So many inputs go to the device as a table in a pinned buffer, which the stream gives back. Sessions are released with
/// work on the stream, from several threads: where the stream's call was the last to hold the arena, the process ended.
#[test]
fn buffers_that_a_run_leaves_are_given_back_when_sessions_end() {
    let Some((backend, stream)) = common::cuda(false) else { return };
    let concat = onnx::node("Concat", &["x"; 64], "y")
        .bytes(5, onnx::Message::new().bytes(1, "axis").number(3, 0).number(20, 2));
    let model = onnx::model(
        &[concat],
        &[],
        &[onnx::port("x", onnx::F32, &["2", "8"])],
        &[onnx::port("y", onnx::F32, &["128", "8"])],
    );
    let artifact = Artifact::from_bytes("many.onnx", model);
    let expected =
        run(&load(&common::ort().expect("the device's test found it"), &artifact), &Binding::default());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let model = load(&backend, &artifact);
                for _ in 0..25 {
                    let stream = Stream::new(stream.context(), StreamPriority::Usual).unwrap();
                    assert_eq!(expected, on_device(&model, &stream));
                    let binding = Binding { threads: None, device: Some(bound(&stream, model.facts())) };
                    let mut session = model.open(&binding).unwrap().into_device().expect("on the device");
                    for _ in 0..5 {
                        session.enqueue(0).unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn a_binding_of_another_kind_is_refused() {
    let Some((backend, _)) = common::cuda(false) else { return };
    let model = load(&backend, &hand(onnx::dense()));
    let error = model.open(&Binding::default()).unwrap_err();
    assert!(matches!(error, BackendError::BadBinding { .. }), "{error:?}");
    assert!(error.to_string().contains("works on a device"), "{error}");
}
