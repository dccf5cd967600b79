//! The libraries beside the driver, played by stand-ins: there, not there, and not telling everything.
#![cfg(target_os = "linux")]
mod common;

use aegis_cuda::nvml::{Clock, Nvml};
use aegis_cuda::nvrtc::{Form, Nvrtc, NvrtcError};
use aegis_cuda::{Context, CudaError, GreenContext, LibraryError, Module, Wait, nvtx};
use common::run;
use common::stand_ins::{stand_in, stand_ins};

/// Each is run by the test below as a process of its own.
fn asked(what: &str) -> bool {
    std::env::var("ASK").is_ok_and(|asked| asked == what)
}

#[test]
fn tell_nvrtc() {
    if !asked("nvrtc") {
        return;
    }
    let nvrtc = match Nvrtc::find() {
        Ok(nvrtc) => nvrtc,
        Err(why) => return println!("TOLD {why}"),
    };
    let source = r#"extern "C" __global__ void delay(unsigned long long ns) {}"#;
    let code = nvrtc.compile(source, (9, 0), Form::Cubin).unwrap();
    assert_eq!(nvrtc.compile(source, (9, 0), Form::Ptx), Ok(code.clone()));
    assert_eq!(nvrtc.compile("a\0b", (9, 0), Form::Ptx), Err(NvrtcError::HoldsNul));
    let context = Context::open(0, Wait::Block).unwrap();
    let kernel = Module::load(&context, &code).unwrap().kernel(c"delay");
    assert!(kernel.is_ok(), "a kernel keeps its module");
    let bad = nvrtc.compile("no kernel", (9, 0), Form::Cubin).unwrap();
    let refused = Module::load(&context, &bad).map(drop);
    assert!(
        matches!(refused, Err(CudaError::Call { call: "cuModuleLoadData", code: 200, .. })),
        "{refused:?}"
    );
    println!(
        "TOLD {:?}; {}; {}",
        nvrtc.version().unwrap(),
        nvrtc.compile("#error", (9, 0), Form::Cubin).unwrap_err().to_string().replace('\n', " "),
        nvrtc.compile(source, (9, 9), Form::Cubin).unwrap_err(),
    );
}

#[test]
fn tell_nvml() {
    if !asked("nvml") {
        return;
    }
    let nvml = match Nvml::open() {
        Ok(nvml) => nvml,
        Err(why) => return println!("TOLD {why}"),
    };
    let second = Nvml::open().unwrap();
    drop(second); // the first is still in use
    for (pci, code) in [("0000:41:00.0", 6), ("a\0b", 2)] {
        let none = nvml.device(pci).map(drop);
        assert!(matches!(none, Err(LibraryError::Call { code: c, .. }) if c == code), "{none:?}");
    }
    let device = nvml.device("0000:40:00.0").unwrap();
    println!(
        "TOLD {:?}",
        (
            (nvml.driver_version().unwrap(), device.memory().unwrap(), device.processes()),
            (device.power_limit_mw(), device.power_mw(), device.throttle_reasons()),
            [Clock::Multiprocessors, Clock::Memory]
                .map(|clock| (device.clock_mhz(clock).unwrap(), device.clock_mhz_max(clock).unwrap())),
            device.temperature_c().unwrap_err().to_string(),
            device.is_persistent().unwrap_err().to_string(),
        )
    );
}

#[test]
fn tell_green() {
    if asked("green") {
        let context = Context::open(0, Wait::Block).unwrap();
        println!("TOLD {:?}", GreenContext::parts(&context).map_err(|why| why.to_string()));
    }
}

#[test]
fn there_and_not_there() {
    let (all, alone, old) = (stand_ins(), stand_in(&[]), stand_in(&["--cfg=old"]));
    for (test, ask, folders, environment, says) in [
        (
            "tell_nvrtc",
            "nvrtc",
            &all,
            ("", ""),
            "(13, 0); the CUDA source does not compile: default_program(1): error: #error; NVRTC: nvrtcCompileProgram \
             failed with error 5 (NVRTC_ERROR_INVALID_OPTION)",
        ),
        (
            "tell_nvrtc",
            "nvrtc",
            &alone,
            ("", ""),
            "NVRTC: none of libnvrtc.so, libnvrtc.so.13, libnvrtc.so.12, libnvrtc.so.11.2 can be loaded",
        ),
        (
            "tell_nvml",
            "nvml",
            &all,
            ("", ""),
            "((\"580.00\", (Bytes(1073741824), Bytes(8589934592)), Ok(2)), (Ok(700000), Ok(75500), Ok(1)), \
             [(345, 1980), (2619, 3201)], \"nvmlDeviceGetTemperature failed with error 3 (Not Supported)\", \
             \"libnvidia-ml.so.1 has no function nvmlDeviceGetPersistenceMode\")",
        ),
        (
            "tell_nvml",
            "nvml",
            &all,
            ("FAKE_NVML_INIT", "9"),
            "nvmlInit failed with error 9 (Driver Not Loaded)",
        ),
        ("tell_nvml", "nvml", &alone, ("", ""), "none of libnvidia-ml.so.1 can be loaded"),
        ("tell_green", "green", &all, ("", ""), "Ok(Parts { multiprocessors: 16, least: 4, step: Some(2) })"),
        (
            "tell_green",
            "green",
            &old,
            ("", ""),
            "Err(\"the driver has no function cuDeviceGetDevResource: green contexts need a driver of CUDA 12.5 or \
             newer\")",
        ),
        (
            "tell_green",
            "green",
            &all,
            ("FAKE_CUDA_FAIL", "cuDeviceGetDevResource:1:801"),
            "Err(\"cuDeviceGetDevResource failed with CUDA error 801 (CUDA_ERROR_NOT_SUPPORTED)\")",
        ),
    ] {
        let environment: Vec<_> =
            [("ASK", ask), environment].into_iter().filter(|e| !e.0.is_empty()).collect();
        let answer = run(folders, test, &environment);
        assert_eq!(answer.told, says, "{test} {environment:?}");
        assert!(answer.live.is_empty() && answer.wrong.is_empty(), "{answer:?}");
    }
}

/// A driver of JetPack 5 lacks green contexts, and nothing else depends on them.
#[test]
fn an_old_driver() {
    let old = stand_in(&["--cfg=old"]);
    let environment = [("ASK", "green"), ("FAKE_CUDA_VERSION", "11040")];
    let answer = run(&old, "tell_green", &environment);
    assert!(answer.told.contains("no function cuDeviceGetDevResource"), "{answer:?}");
}

#[test]
fn ranges_do_nothing_without_a_library() {
    let range = nvtx::range(c"outer");
    drop(nvtx::range(c"inner"));
    drop(range);
    match nvtx::found() {
        Ok(library) => println!("ranges go to {library}"),
        Err(LibraryError::NotFound { looked_for }) => assert!(looked_for.contains(&"libnvToolsExt.so.1")),
        Err(other) => panic!("{other}"),
    }
}
