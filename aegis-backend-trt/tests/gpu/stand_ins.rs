//! The tests of `device` and the odd plans on stand-ins, each version of TensorRT in a process of its own: the driver and
//! TensorRT are found by the loader's path, which a process has for life.
use crate::device::{Found, found};
use aegis_backend::{Artifact, BackendError, Binding, DeviceBinding, Limits, Model, Runner, RuntimeBackend};
use aegis_backend_trt::{TrtBackend, TrtVersion, built_with};
use aegis_core::{Bytes, Fault, FaultCode, Usable};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the processes that run on stand-ins: names the folder of the one for TensorRT.
const FAKE: &str = "AEGIS_TRT_STAND_IN";

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

#[test]
fn everything_on_stand_ins() {
    if built_with().is_empty() {
        println!(
            "skipped: this crate was built without TensorRT's headers; AEGIS_TENSORRT_INCLUDE names their folders"
        );
        return;
    }
    let Some(named) = std::env::var_os("AEGIS_TENSORRT_INCLUDE") else {
        println!("skipped: AEGIS_TENSORRT_INCLUDE names no folders with TensorRT's headers");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let driver = folder.path().join("driver");
    std::fs::create_dir(&driver).unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.args(["--edition=2024", "--crate-type=cdylib", "-O", "-Anon_snake_case", "-o"]);
    run(rustc.arg(driver.join("libcuda.so")).arg(data("../../../aegis-cuda/tests/data/fake_driver.rs")));
    for headers in std::env::split_paths(&named).filter(|folder| !folder.as_os_str().is_empty()) {
        let home = folder.path().join(headers.to_string_lossy().replace('/', "_"));
        std::fs::create_dir(&home).unwrap();
        on_stand_in(&headers, &home, &driver);
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
}

/// Builds TensorRT's stand-in from `headers` and runs this program's other tests on it.
fn on_stand_in(headers: &Path, home: &Path, driver: &Path) {
    let interfaces = std::fs::read_to_string(headers.join("NvInferImpl.h")).unwrap();
    std::fs::write(home.join("stubs.h"), stubs(&interfaces)).unwrap();
    let version = version(headers);
    let library = home.join(format!("libnvinfer.so.{}", version.major));
    let mut compiler = Command::new(std::env::var_os("CXX").unwrap_or("c++".into()));
    compiler.args(["-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-isystem"]).arg(headers);
    compiler
        .arg("-I")
        .arg(home)
        .arg("-idirafter")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/cuda"));
    run(compiler.arg(data("fake_tensorrt.cpp")).arg("-o").arg(&library));
    let plan = home.join("model.plan");
    std::fs::write(&plan, fake_plan(version, "3000 1000 4096 2 plain")).unwrap();
    let path = std::env::join_paths([home, driver]).unwrap();
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.args(["--nocapture", "--test-threads=1", "--skip", "everything_on_stand_ins"]);
    tests
        .env("LD_LIBRARY_PATH", path)
        .env(FAKE, home)
        .env("AEGIS_TRT_PLAN", plan)
        .env("AEGIS_REQUIRE_TRT", "1");
    let report = home.join("report");
    tests.env("FAKE_CUDA_REPORT", &report).env("FAKE_CUDA_DEFER", "1").env("FAKE_CUDA_MEMORY", "1000000000");
    println!("TensorRT {version}");
    run(&mut tests);
    let report = std::fs::read_to_string(report).unwrap();
    let misused: Vec<_> = report.lines().filter(|line| line.starts_with("wrong")).collect();
    assert!(misused.is_empty(), "{misused:#?}");
    // The tests keep their context, and TensorRT's stand-in its kernel.
    let alive: Vec<_> = report
        .lines()
        .filter(|line| line.starts_with("live") && !line.contains("context") && !line.contains("module"))
        .collect();
    assert!(alive.is_empty(), "{alive:#?}");
}

fn version(headers: &Path) -> TrtVersion {
    let text = std::fs::read_to_string(headers.join("NvInferVersion.h")).unwrap();
    let value = |name: &str| -> Option<&str> {
        text.lines()
            .find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name)?.split_whitespace().next())
    };
    let part = |name: &str| {
        let direct = value(&format!("NV_TENSORRT_{name} ")).unwrap();
        direct.parse().unwrap_or_else(|_| value(&format!("{direct} ")).unwrap().parse().unwrap())
    };
    TrtVersion { major: part("MAJOR"), minor: part("MINOR"), patch: part("PATCH") }
}

/// For each interface that TensorRT implements, a class whose methods are all unexpected.
fn stubs(interfaces: &str) -> String {
    let mut text = String::new();
    for name in ["VRuntime", "VCudaEngine", "VExecutionContext"] {
        let (_, class) = interfaces.split_once(&format!("class {name} : public VRoot\n")).unwrap();
        let (class, _) = class.split_once("\n};").unwrap();
        let code: String =
            class.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + " ").collect();
        writeln!(text, "struct Stub{name} : apiv::{name} {{").unwrap();
        for method in code.split("virtual ").skip(1) {
            let (signature, _) = method.split_once("= 0").unwrap();
            let called =
                signature.split('(').next().unwrap_or_default().split_whitespace().last().unwrap_or_default();
            writeln!(text, "{signature} override {{ unexpected(\"{called}\"); }}").unwrap();
        }
        writeln!(text, "}};").unwrap();
    }
    text
}

fn fake_plan(version: TrtVersion, line: &str) -> Vec<u8> {
    let body = format!("{line}\n{:9000}", "weights");
    let mut plan;
    if (version.major, version.minor) < (8, 6) {
        plan = b"ptrt\0\0\0\0".to_vec();
        plan.extend(232u32.to_le_bytes());
        plan.extend([0; 4]);
        plan.extend((body.len() as u64).to_le_bytes());
    } else {
        plan = b"ftrt\0\0\0\0".to_vec();
        plan.extend([0; 16]);
        plan.extend([version.major, version.minor, version.patch, 0].map(|part| u8::try_from(part).unwrap()));
        plan.extend([0; 4]);
    }
    plan.extend(body.bytes());
    plan
}

/// The stand-in in use, in a process that runs on one.
fn stand_in() -> Option<&'static Found> {
    std::env::var_os(FAKE)?;
    found()
}

fn load(found: &Found, line: &str, limit: Option<Bytes>) -> Result<Box<dyn Model>, BackendError> {
    let artifact = Artifact::from_bytes("odd.plan", fake_plan(found.backend.library().version, line));
    found.backend.clone().trust_unhashed().load(&artifact, &Limits { device_memory: limit })
}

/// What the stand-in has counted: mistakes, and objects that are alive.
fn counted(found: &Found) -> (i32, i32) {
    // SAFETY: the stand-in is loaded already.
    let library = unsafe { libloading::Library::new(&found.backend.library().path) }.unwrap();
    let call = |name: &str| {
        // SAFETY: the stand-in exports both with this signature.
        unsafe { library.get::<unsafe extern "C" fn() -> i32>(name).unwrap()() }
    };
    (call("fake_violations"), call("fake_alive"))
}

fn open(found: &Found, model: &dyn Model) -> Result<Runner, BackendError> {
    let device = DeviceBinding::alone(&found.stream(), model.facts()).unwrap();
    Runner::open(model, &Binding { threads: None, device: Some(device) })
}

#[test]
fn odd_plans_are_refused_by_name() {
    let Some(found) = stand_in() else { return };
    for (odd, says) in [
        ("range", "odd.plan: input `x` may have shapes from [1, 16] to [8, 16]; shapes must be fixed here"),
        ("host", "odd.plan: input `x` holds shapes"),
        ("shape", "odd.plan: output `y` holds shapes"),
        ("chw4", "odd.plan: input `x` is not row-major"),
        ("bf16", "odd.plan: output `y` has elements of type bf16"),
        ("data", "odd.plan: output `y` has a shape that depends on the data"),
        ("mute", "odd.plan: TensorRT does not tell its tensors"),
        (
            "misaligned",
            "odd.plan: TensorRT asks for memory at a multiple of 48 bytes, which is no power of two",
        ),
        ("refused", "refuses it: 1: Serialization assertion failed"),
        ("contextless", "refuses it: 1: no context today"),
    ] {
        let error = load(found, &format!("3000 0 4096 0 {odd}"), None).err().unwrap();
        assert!(error.to_string().contains(says), "{error}\nbut not {says}");
        assert_eq!(counted(found), (0, 0), "{odd}");
    }
    let error = load(found, &format!("{} 0 0 0 plain", 3u64 << 30), None).err().unwrap();
    assert!(
        matches!(error, BackendError::Device(_)) && error.to_string().contains("no 3 GiB left"),
        "{error}"
    );
    let model = load(found, "3000 0 4096 0 unbindable", None).unwrap();
    let error = open(found, &*model).err().unwrap();
    assert!(matches!(error, BackendError::BadBinding { .. }), "{error:?}");
    drop(model);
    assert_eq!(counted(found), (0, 0));
}

#[test]
fn plans_of_other_shapes_and_sizes_run() {
    let Some(found) = stand_in() else { return };
    for (line, weights) in [
        ("3000 0 4096 0 plain", 3000),
        ("3000 500 0 0 plain", 3500),
        ("10 0 100 0 profile", 10),
        ("3000 0 4096 0 aligned", 3000 + 4096),
        ("10 7 100 0 profile", 17),
    ] {
        let model = load(found, line, Some(Bytes(weights))).unwrap();
        assert_eq!(model.facts().weights, Bytes(weights), "{line}");
        let shown: Vec<_> =
            model.facts().inputs.iter().chain(&model.facts().outputs).map(ToString::to_string).collect();
        assert_eq!(shown, ["f32[1,16]", "f32[1,16]"], "{line}");
        let mut runner = open(found, &*model).unwrap();
        runner.input_mut(0).unwrap().unwrap()[..4].copy_from_slice(&1000u32.to_le_bytes());
        runner.run(0).unwrap();
        assert_eq!(
            runner.output(0).unwrap()[..8],
            [1007u32.to_le_bytes(), 7u32.to_le_bytes()].concat(),
            "{line}"
        );
    }
    assert_eq!(counted(found), (0, 0));
}

#[test]
fn what_is_over_the_limit_is_told_in_figures() {
    let Some(found) = stand_in() else { return };
    // The weights do not fit; the context does not; the second session's does not.
    for (limit, asked) in [(2999, 3000), (3999, 4000)] {
        let error = load(found, "3000 1000 0 0 plain", Some(Bytes(limit))).err().unwrap();
        assert!(
            matches!(error, BackendError::OverLimit { asked: a, limit: l, .. } if (a.0, l.0) == (asked, limit)),
            "{error:?}"
        );
        assert_eq!(counted(found), (0, 0));
    }
    let model = load(found, "3000 1000 0 0 plain", Some(Bytes(4999))).unwrap();
    let first = open(found, &*model).unwrap();
    for _ in 0..2 {
        let error = open(found, &*model).err().unwrap();
        assert!(matches!(error, BackendError::OverLimit { asked: Bytes(5000), .. }), "{error:?}");
    }
    drop(first);
    open(found, &*model).unwrap().run(0).unwrap();
    drop(model);
    assert_eq!(counted(found), (0, 0));
}

#[test]
fn a_failed_execution_closes_its_session_only() {
    let Some(found) = stand_in() else { return };
    // What the context that failed held is there for the next one.
    let model = load(found, "3000 1000 4096 0 fails", Some(Bytes(4000))).unwrap();
    let mut runner = open(found, &*model).unwrap();
    runner.run(0).unwrap();
    let error = runner.run(0).unwrap_err();
    assert_eq!(error.to_string(), "execution failed: 1: the kernel did not start");
    let Fault { code, usable, .. } = error.fault();
    assert_eq!((code, usable), (FaultCode::ExecutionFailed, Usable::Model));
    drop(runner);
    // The execution context that failed is not used again: the next session's first run is its context's first.
    open(found, &*model).unwrap().run(0).unwrap();
    drop(model);
    assert_eq!(counted(found), (0, 0));
}

#[test]
fn an_execution_that_wants_memory_hurts_itself_only() {
    let Some(found) = stand_in() else { return };
    let model = load(found, "3000 1000 4096 0 hungry", Some(Bytes(4000))).unwrap();
    for _ in 0..2 {
        let error = open(found, &*model).unwrap().run(0).unwrap_err();
        assert_eq!(error.to_string(), "execution failed: 1: out of memory");
    }
    drop(model);
    assert_eq!(counted(found), (0, 0));
}

#[test]
fn a_runtime_that_is_made_with_an_error_is_not_touched() {
    let Some(found) = stand_in() else { return };
    let name = "AEGIS_STAND_IN_WITHOUT_DRIVER";
    // SAFETY: this process runs one test at a time, and the stand-ins start no threads.
    unsafe { std::env::set_var(name, "1") };
    let error = TrtBackend::find(None, &found.context).unwrap_err();
    let load = load(found, "3000 0 0 0 plain", None).err().unwrap();
    // SAFETY: as above.
    unsafe { std::env::remove_var(name) };
    for error in [error, load] {
        assert!(error.to_string().contains("makes no runtime: CUDA initialization failure"), "{error}");
    }
    assert_eq!(counted(found), (0, 0));
}

#[test]
fn zz_nothing_is_left_and_nothing_was_done_wrong() {
    let Some(found) = stand_in() else { return };
    assert_eq!(counted(found), (0, 0));
}
