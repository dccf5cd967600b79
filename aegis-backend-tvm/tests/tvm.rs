//! The TVM backend on the host: conformance, agreement with ONNX Runtime, memory, operators, sharing and refusals. Where
//! TVM or the modules are missing, each test says that it was skipped; `AEGIS_REQUIRE_TVM=1` makes that a failure.
#![cfg(target_os = "linux")]
mod common;

use aegis_backend::conformance::Case;
use aegis_backend::{
    Artifact, BackendError, Binding, DType, Io, Limits, Model, Place, Runner, RuntimeBackend, Scratch,
    TensorBuf, TensorMut, TensorRef,
};
use aegis_backend_tvm::TvmBackend;
use aegis_core::{Bytes, Nanos, Rng};
use std::process::Command;

fn case(name: &str) -> Option<Case> {
    Some(Case { backend: Box::new(common::tvm()?), model: common::module(name)?, stream: None })
}

mod mlp {
    aegis_backend::conformance!(super::case("mlp"));
}

mod mixed {
    aegis_backend::conformance!(super::case("mixed"));
}

mod branches {
    aegis_backend::conformance!(super::case("branches"));
}

fn load(backend: &TvmBackend, artifact: &Artifact) -> Box<dyn Model> {
    backend.load(artifact, &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn outputs_are_those_of_onnx_runtime() {
    let (Some(backend), Some(folder)) = (common::tvm(), common::modules()) else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "tvm") {
            continue;
        }
        let artifact = Artifact::open(&path).unwrap();
        let model = load(&backend, &artifact);
        let mut runner = Runner::open(&*model, &Binding::default()).unwrap();
        let apart = common::compare(model.facts(), &mut runner, &artifact, 1e-4);
        let start = std::time::Instant::now();
        runner.run(0).unwrap();
        let facts = model.facts();
        println!(
            "{}: differs by {apart:.1e}, runs in {:.2?}, weights {}, scratch {:?}",
            path.display(),
            start.elapsed(),
            facts.weights,
            facts.scratch
        );
        seen += 1;
    }
    assert!(seen >= 3, "{seen} modules");
}

#[test]
fn facts_are_those_of_the_manifest_and_of_a_recorded_run() {
    let (Some(backend), Some(artifact)) = (common::tvm(), common::module("branches")) else { return };
    assert_eq!(backend.version(), format!("tvm-ffi {}", backend.library().version));
    let model = load(&backend, &artifact);
    let facts = model.facts();
    let shown: Vec<String> = facts.inputs.iter().chain(&facts.outputs).map(ToString::to_string).collect();
    assert_eq!(shown, ["f32[1,3,24,24]", "f32[1,8,12,12]", "f32[1,8,1,1]", "f32[1,3,24,24]"]);
    assert_eq!((facts.place, facts.segments), (Place::Host, 1));
    assert!(facts.weights.0 > artifact.bytes().len() as u64, "code and constants: {}", facts.weights);
    // Two intermediate images of 8 channels live at the same time, and some padding around them.
    let image = 8 * 24 * 24 * 4;
    let Scratch::Opaque { at_most: Some(scratch) } = facts.scratch else { panic!("{:?}", facts.scratch) };
    assert!((2 * image..6 * image).contains(&scratch.0), "{scratch}");
}

#[test]
fn tensors_that_are_not_aligned_for_kernels_are_copied() {
    let (Some(backend), Some(artifact)) = (common::tvm(), common::module("branches")) else { return };
    let model = load(&backend, &artifact);
    let facts = model.facts();
    let mut session = model.open(&Binding::default()).unwrap().into_host().unwrap();
    let mut job = |shift: usize| -> Vec<Vec<u8>> {
        let mut rng = Rng::new(5);
        let mut input = TensorBuf::for_facts(&facts.inputs[0]).unwrap();
        input.fill_random(&mut rng);
        let room = |bytes: usize| TensorBuf::zeroed(DType::U8, &[(bytes + shift) as u64]).unwrap();
        let mut shifted = room(input.data().len());
        shifted.data_mut()[shift..].copy_from_slice(input.data());
        let shapes: Vec<_> = facts.outputs.iter().map(aegis_backend::TensorFacts::concrete_shape).collect();
        let sizes = facts.outputs.iter().map(|f| usize::try_from(f.bytes().unwrap().0).unwrap());
        let mut buffers: Vec<_> = sizes.map(room).collect();
        let data = &shifted.data()[shift..];
        let inputs = [TensorRef { dtype: DType::F32, shape: input.shape(), data }];
        let outputs = buffers.iter_mut().zip(&shapes);
        let outputs = outputs.map(|(b, shape)| TensorMut {
            dtype: DType::F32,
            shape,
            data: &mut b.data_mut()[shift..],
        });
        let mut outputs: Vec<_> = outputs.collect();
        session.run(0, Io { inputs: &inputs, outputs: &mut outputs }).unwrap();
        buffers.iter().map(|b| b.data()[shift..].to_vec()).collect()
    };
    let expected = job(0);
    assert!(expected.iter().all(|output| output.iter().any(|byte| *byte != 0)));
    for shift in [4, 16, 32, 60] {
        assert_eq!(job(shift), expected, "shifted by {shift}");
    }
}

/// A program that asks for other memory than in its first run gets none: it could be memory that is still in use.
#[test]
fn a_job_that_strays_from_the_recorded_run_fails_and_the_next_one_works() {
    let (Some(backend), Some(artifact)) = (common::tvm(), common::module("choice")) else { return };
    let model = load(&backend, &artifact);
    let mut runner = Runner::open(&*model, &Binding::default()).unwrap();
    let mut job = |which: u8| {
        runner.input_mut(0).unwrap().unwrap()[0] = which;
        runner.input_mut(1).unwrap().unwrap().fill(0x3f);
        let ran = runner.run(0);
        ran.map(|()| runner.output(0).unwrap().to_vec())
    };
    let plain = job(0).unwrap();
    for _ in 0..3 {
        let error = job(1).unwrap_err();
        assert!(matches!(error, BackendError::Execution { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("B as its memory event") && message.contains("first run"), "{message}");
        assert_eq!(job(0).unwrap(), plain);
    }
}

#[test]
fn models_run_at_the_same_time_on_several_threads() {
    let Some(backend) = common::tvm() else { return };
    let names = ["mlp", "mixed", "branches"];
    let Some(artifacts) = names.map(common::module).into_iter().collect::<Option<Vec<_>>>() else { return };
    std::thread::scope(|scope| {
        for artifact in artifacts.iter().chain(&artifacts) {
            scope.spawn(|| {
                let model = load(&backend, artifact);
                let mut runner = Runner::open(&*model, &Binding::default()).unwrap();
                for _ in 0..50 {
                    common::compare(model.facts(), &mut runner, artifact, 1e-4);
                }
            });
        }
    });
}

#[test]
fn operators_are_timed_one_by_one() {
    let (Some(backend), Some(artifact)) = (common::tvm(), common::module("branches")) else { return };
    let times = backend.profile(&artifact, 5, 1).unwrap();
    let calls = |name: &str| times.iter().filter(|t| t.name.contains(name)).map(|t| t.calls).sum::<u64>();
    assert_eq!(calls("conv2d"), 3, "{times:?}");
    assert!(calls("vm.builtin.alloc_storage") > 0, "{times:?}");
    let slowest = times.iter().max_by_key(|t| t.time).unwrap();
    assert!(slowest.time > Nanos(0) && slowest.name.contains("conv2d"), "{times:?}");
}

fn refused(backend: &TvmBackend, artifact: &Artifact, says: &str) -> BackendError {
    let error = backend.load(artifact, &Limits::default()).map(|_| ()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("other.tvm") && message.contains(says), "{message}\nbut not {says}");
    error
}

#[test]
fn what_cannot_be_run_is_refused_at_load() {
    let (Some(backend), Some(mlp)) = (common::tvm(), common::module("mlp")) else { return };
    let with = |from: &str, to: &str| common::repacked(&mlp, |text| text.replacen(from, to, 1), None);
    let abi = "\"abi\": [\n  0,\n  1,\n  16\n ]";
    for (artifact, says) in [
        (with(abi, "\"abi\": [0, 2, 0]"), "for FFI 0.2.0, and this process has FFI 0.1.16; compile it again"),
        (
            with(&format!("\"{}\"", std::env::consts::ARCH), "\"z80\""),
            "it is compiled for z80, this process runs on",
        ),
    ] {
        let error = refused(&backend, &artifact, says);
        assert!(matches!(error, BackendError::Unsupported { .. }), "{error:?}");
    }
    for (artifact, says) in [
        (with("\"dtype\": \"f32\"", "\"dtype\": \"i32\""), "its first run failed: "),
        (with("2,\n    16", "2,\n    17"), "its first run failed: "),
        (with("2,\n    8", "4,\n    4"), "its first run failed: output `y` should be f32[4,4]"),
        (
            with("\"name\": \"y\"", "\"name\": \"y\", \"dtype\": \"f32\", \"shape\": [1]}, {\"name\": \"z\""),
            "its first run failed: the program gave 1 outputs, its manifest lists 2",
        ),
        (common::repacked(&mlp, |text| text, Some(b"no code")), "compiled by TVM 0.27.0.post1 for generic: "),
        (common::repacked(&mlp, |text| text, Some(b"")), "compiled by TVM"),
    ] {
        let error = refused(&backend, &artifact, says);
        assert!(matches!(error, BackendError::Malformed { .. }), "{error:?}");
    }
}

/// Libraries that are sound and no programs, or that start threads.
#[test]
fn other_libraries_are_refused() {
    let (Some(backend), Some(mlp)) = (common::tvm(), common::module("mlp")) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (source, says) in [
        ("int nothing;", "the module has no function vm_load_executable"),
        ("void *__TVMBackendParallelLaunch;", "start threads of TVM's own"),
        ("extern int nowhere(void); int (*f)(void) = nowhere;", "undefined symbol: nowhere"),
    ] {
        let (code, library) = (folder.path().join("code.c"), folder.path().join("code.so"));
        std::fs::write(&code, source).unwrap();
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&code).status();
        assert!(built.expect("cc, which Rust links with").success());
        let bytes = std::fs::read(&library).unwrap();
        refused(&backend, &common::repacked(&mlp, |text| text, Some(&bytes)), says);
    }
    load(&backend, &mlp);
}

#[test]
fn a_module_for_a_device_needs_one() {
    let (Some(backend), Some(mlp)) = (common::tvm(), common::module("mlp")) else { return };
    if aegis_cuda::probe().is_ok() {
        println!("skipped: there is a device");
        return;
    }
    let other = common::repacked(&mlp, |text| text.replacen("\"cpu\"", "\"cuda\"", 1), None);
    let error = refused(&backend, &other, "it is compiled for a CUDA device (generic), and no CUDA driver");
    assert!(matches!(error, BackendError::Unsupported { .. }), "{error:?}");
}

#[test]
fn the_process_has_one_tvm() {
    let (Some(first), Some(mlp)) = (common::tvm(), common::module("mlp")) else { return };
    let folders =
        [&first.library().ffi, &first.library().runtime].map(|file| file.parent().unwrap().to_path_buf());
    assert_eq!(TvmBackend::find(Some(&folders)).unwrap().library(), first.library());

    let other = tempfile::tempdir().unwrap();
    for file in [&first.library().ffi, &first.library().runtime] {
        std::fs::copy(file, other.path().join(file.file_name().unwrap())).unwrap();
    }
    let error = TvmBackend::find(Some(&[other.path().to_path_buf()])).unwrap_err();
    assert!(matches!(error, BackendError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("besides; use one TVM in a process"), "{error}");
    let error = TvmBackend::find(Some(&[])).unwrap_err().to_string();
    assert!(error.contains("no folder of those given holds libtvm_ffi.so"), "{error}");
    load(&first, &mlp);
}

/// Limits are of the device's memory, of which a model on the host takes none.
#[test]
fn a_limit_of_device_memory_does_not_bind_the_host() {
    let (Some(backend), Some(mlp)) = (common::tvm(), common::module("mlp")) else { return };
    backend.load(&mlp, &Limits { device_memory: Some(Bytes(1)) }).unwrap();
}
