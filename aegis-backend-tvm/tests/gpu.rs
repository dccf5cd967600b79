//! The TVM backend on a CUDA device, with the modules of `test_modules.py FOLDER --target cuda`: conformance, agreement
//! with ONNX Runtime, memory, operators. `AEGIS_TVM_CUDA_MODULES` names the folder. Where a device, TVM or the folder is
//! missing, each test says so; `AEGIS_REQUIRE_TVM_CUDA=1` makes that a failure.
//!
//! Where there is no device, the last test does as much of this as can be done on one that is made of host memory.
#![cfg(target_os = "linux")]
mod common;

use aegis_backend::conformance::Case;
use aegis_backend::{
    Artifact, BackendError, Binding, DeviceBinding, Limits, Model, Place, Runner, RuntimeBackend, Scratch,
};
use aegis_backend_tvm::TvmBackend;
use aegis_core::Bytes;
use aegis_cuda::{Context, Stream, StreamPriority, Wait};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

struct Gpu {
    backend: TvmBackend,
    context: Arc<Context>,
    modules: PathBuf,
}

fn gpu() -> Option<&'static Gpu> {
    static FOUND: OnceLock<Result<Gpu, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let context = Context::open(0, Wait::Block).map_err(|why| why.to_string())?;
        let modules = std::env::var_os("AEGIS_TVM_CUDA_MODULES").map(PathBuf::from);
        let modules =
            modules.filter(|folder| folder.is_dir()).ok_or("AEGIS_TVM_CUDA_MODULES names no folder")?;
        let backend = TvmBackend::find(None).map_err(|why| why.to_string())?.on(Arc::clone(&context));
        Ok(Gpu { backend, context, modules })
    });
    match found {
        Ok(gpu) => Some(gpu),
        Err(why) => {
            let required = std::env::var_os("AEGIS_REQUIRE_TVM_CUDA").is_some_and(|v| v == "1");
            assert!(!required, "{why}");
            println!("skipped: {why}");
            None
        }
    }
}

impl Gpu {
    fn module(&self, name: &str) -> Artifact {
        Artifact::open(&self.modules.join(format!("{name}.tvm"))).unwrap_or_else(|error| panic!("{error}"))
    }

    fn load(&self, artifact: &Artifact) -> Box<dyn Model> {
        self.backend.load(artifact, &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn stream(&self) -> Arc<Stream> {
        Stream::new(&self.context, StreamPriority::Usual).unwrap()
    }

    fn runner(&self, model: &dyn Model) -> Runner {
        let device = DeviceBinding::alone(&self.stream(), model.facts()).unwrap();
        Runner::open(model, &Binding { threads: None, device: Some(device) }).unwrap()
    }

    /// What is in use on the device, by everybody.
    fn in_use(&self) -> u64 {
        let (free, total) = self.context.memory().unwrap();
        total.0 - free.0
    }
}

fn case(name: &str) -> Option<Case> {
    let gpu = gpu()?;
    let (backend, stream) = (Box::new(gpu.backend.clone()), Some(gpu.stream()));
    Some(Case { backend, model: gpu.module(name), stream })
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

#[test]
fn outputs_are_those_of_onnx_runtime() {
    let Some(gpu) = gpu() else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(&gpu.modules).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "tvm") {
            continue;
        }
        let artifact = Artifact::open(&path).unwrap();
        let start = Instant::now();
        let model = gpu.load(&artifact);
        let loaded = start.elapsed();
        let facts = model.facts();
        assert_eq!(facts.place, Place::Device);
        let mut runner = gpu.runner(&*model);
        let apart = common::compare(facts, &mut runner, &artifact, 1e-3);
        let mut times: Vec<_> = (0..200)
            .map(|_| {
                let start = Instant::now();
                runner.run(0).unwrap();
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!(
            "{}: differs by {apart:.1e}, loads in {loaded:.1?}, runs in p50 {:.1?}, p99 {:.1?}, weights {}, scratch {:?}",
            path.display(),
            times[100],
            times[198],
            facts.weights,
            facts.scratch
        );
        seen += 1;
    }
    assert!(seen >= 3, "{seen} modules");
}

/// Jobs of two models, and of two sessions of one, are on two streams at the same time.
#[test]
fn streams_do_not_mix() {
    let Some(gpu) = gpu() else { return };
    let names = ["branches", "mixed", "branches"];
    let artifacts = names.map(|name| gpu.module(name));
    let models = [gpu.load(&artifacts[0]), gpu.load(&artifacts[1])];
    let of = [&models[0], &models[1], &models[0]];
    std::thread::scope(|scope| {
        for (artifact, model) in artifacts.iter().zip(of) {
            scope.spawn(move || {
                let mut runner = gpu.runner(&**model);
                for _ in 0..200 {
                    common::compare(model.facts(), &mut runner, artifact, 1e-3);
                }
            });
        }
    });
}

/// Scratch belongs to others between jobs: what they leave there does no harm.
#[test]
fn scratch_may_hold_anything_before_a_job() {
    let Some(gpu) = gpu() else { return };
    let artifact = gpu.module("branches");
    let model = gpu.load(&artifact);
    assert!(matches!(model.facts().scratch, Scratch::Placeable { .. }), "{:?}", model.facts().scratch);
    let stream = gpu.stream();
    let device = DeviceBinding::alone(&stream, model.facts()).unwrap();
    let scratch = device.scratch.clone().unwrap();
    let mut runner = Runner::open(&*model, &Binding { threads: None, device: Some(device) }).unwrap();
    for byte in [0, 0x7f, 0xff] {
        stream.fill(&scratch, byte).unwrap();
        common::compare(model.facts(), &mut runner, &artifact, 1e-3);
    }
}

#[test]
fn a_limit_is_kept() {
    let Some(gpu) = gpu() else { return };
    let artifact = gpu.module("branches");
    let facts = gpu.load(&artifact).facts().clone();
    let known = facts.weights.0 + facts.io_bytes().unwrap().0;
    for limit in [1, known - 1, known, known + facts.placeable().unwrap().0 - 1] {
        let refused = gpu.backend.load(&artifact, &Limits { device_memory: Some(Bytes(limit)) }).map(|_| ());
        let error = refused.unwrap_err();
        assert!(matches!(error, BackendError::OverLimit { .. }), "{limit}: {error}");
        assert!(error.to_string().contains("branches.tvm"), "{error}");
    }
    gpu.backend.load(&artifact, &Limits { device_memory: Some(Bytes(known + (64 << 20))) }).unwrap();
}

#[test]
fn operators_are_timed_one_by_one() {
    let Some(gpu) = gpu() else { return };
    let times = gpu.backend.profile(&gpu.module("branches"), 20, 1).unwrap();
    assert!(times.iter().any(|t| t.name.contains("conv2d") && t.time.0 > 0), "{times:?}");
    for time in times.iter().filter(|time| !time.name.starts_with("vm.")) {
        println!("{:<40} {} × {}", time.name, time.calls, time.time);
    }
}

/// Jobs take nothing on the device, and what a model held is there again when it is dropped. `AEGIS_CYCLES` says how often;
/// 40 times without it.
#[test]
fn jobs_take_nothing_and_drops_leave_nothing_behind() {
    let Some(gpu) = gpu() else { return };
    let artifact = gpu.module("branches");
    let cycles = std::env::var("AEGIS_CYCLES").map_or(40, |n| n.parse().expect("AEGIS_CYCLES is a number"));
    let cycle = || {
        let model = gpu.load(&artifact);
        let mut runner = gpu.runner(&*model);
        common::compare(model.facts(), &mut runner, &artifact, 1e-3);
        let before = gpu.in_use();
        (0..20).for_each(|_| runner.run(0).unwrap());
        let after = gpu.in_use();
        drop(model);
        runner.run(0).unwrap();
        (before, after)
    };
    for _ in 0..10 {
        cycle();
    }
    let before = gpu.in_use();
    let mut grown = 0;
    for _ in 0..cycles {
        let (before, after) = cycle();
        grown += u64::from(after > before);
    }
    let after = gpu.in_use();
    println!("{cycles} cycles: {} before, {} after on the device", Bytes(before), Bytes(after));
    // The driver gives memory out in blocks of 2 MiB; other tests of this process may run at the same time.
    let alone = std::env::var_os("AEGIS_CYCLES").is_some();
    if alone {
        assert_eq!(grown, 0, "jobs took memory of the device");
        assert!(after <= before + (2 << 20), "{} before, {} after", Bytes(before), Bytes(after));
    }
}

/// The path for devices, from the load of TVM's part for CUDA to the last thing given back, on stand-ins for the driver and
/// the runtime: work is done when something waits for it, and memory or streams that are not live are reported. What is not
/// there is computing. Needs the module of `test_modules.py FOLDER --target stand-in`; `AEGIS_TVM_STAND_IN_MODULES` names
/// the folder.
#[test]
fn on_a_stand_in_for_a_device() {
    const CHECKS: &[&str] = &["branches::", "a_limit_is_kept", "operators_are_timed_one_by_one"];
    let Some(backend) = common::tvm() else { return };
    let Some(modules) = common::folder("AEGIS_TVM_STAND_IN_MODULES") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (driver, runtime) = (folder.path().join("libcuda.so.1"), folder.path().join("libcudart.so.13"));
    let built = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    built(
        Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
            .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=cuda", "-Anon_snake_case"])
            .arg("-Clink-arg=-Wl,-soname,libcuda.so.1")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../aegis-cuda/tests/data/fake_driver.rs"))
            .arg("-o")
            .arg(&driver),
    );
    std::os::unix::fs::symlink("libcuda.so.1", folder.path().join("libcuda.so")).unwrap();
    let versions = folder.path().join("versions");
    std::fs::write(&versions, "libcudart.so.13 { global: cuda*; };").unwrap();
    built(
        Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wl,-soname,libcudart.so.13", "-Wl,--version-script"])
            .arg(format!("-Wl,{}", versions.display()))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fake_cudart.c"))
            .arg(&driver)
            .arg("-o")
            .arg(&runtime),
    );

    let library = backend.library();
    let places = [library.ffi.parent().unwrap(), library.runtime.parent().unwrap(), folder.path()];
    let report = folder.path().join("report");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(CHECKS)
        .args(["--test-threads=1"])
        .env("LD_LIBRARY_PATH", folder.path())
        .env("TVM_LIBRARY_PATH", std::env::join_paths(places).unwrap())
        .env("AEGIS_TVM_CUDA_MODULES", modules)
        .env("AEGIS_REQUIRE_TVM_CUDA", "1")
        .env("FAKE_CUDA_DEFER", "1")
        .env("FAKE_CUDA_REPORT", &report)
        .output()
        .unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("15 passed"), "{told}");
    let report = std::fs::read_to_string(report).unwrap();
    let bad =
        |line: &&str| line.starts_with("wrong") || line.starts_with("live") && !line.contains("context");
    // What the stand-in for the runtime holds itself is one stream.
    let bad: Vec<_> = report.lines().filter(bad).filter(|line| *line != "live stream 1").collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
