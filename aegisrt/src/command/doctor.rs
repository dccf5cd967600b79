//! `aegis doctor`: what this machine can do, and what cannot be used or measured on it and why.
mod device;
mod fact;
mod jetson;

use crate::backends::{Backends, NAMES};
use crate::output::Output;
use crate::profiles::host;
use aegis_core::{DeviceKind, DeviceSpec};
use aegis_cuda::nvml::Nvml;
use aegis_cuda::nvrtc::Nvrtc;
use aegis_cuda::{Jetson, LibraryError, nvtx};
use fact::{Fact, lines, object};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// Something that is there in a version, or is not, and why.
struct Part {
    name: &'static str,
    version: Result<String, String>,
}

impl Part {
    fn line(&self) -> String {
        match &self.version {
            Ok(version) => format!("{:<9} {version}\n", self.name),
            Err(why) => format!("{:<9} -- {}\n", self.name, why.replace('\n', " ")),
        }
    }

    fn value(&self) -> Value {
        match &self.version {
            Ok(version) => json!({ "name": self.name, "available": true, "version": version }),
            Err(why) => json!({ "name": self.name, "available": false, "why": why }),
        }
    }
}

/// What a backend says of itself: on the first CUDA device where there is one, and always there for TensorRT, which works
/// nowhere else.
fn version(name: &str) -> Result<String, String> {
    let on = |kind| {
        let device = DeviceSpec { kind, ..DeviceSpec::default() };
        let mut backends = Backends::default();
        let backend = backends.get(name, &device, 1);
        backend.map(aegis_backend::RuntimeBackend::version).map_err(|error| error.to_string())
    };
    let on_device = on(DeviceKind::Cuda(0));
    if on_device.is_ok() || name == "trt" { on_device } else { on(DeviceKind::Cpu) }
}

pub(crate) fn run(output: &Output) -> u8 {
    let nvml = Nvml::open();
    let libraries = beside(&nvml);
    let cuda = aegis_cuda::probe().map_err(|error| error.to_string());
    let devices: Vec<(u32, &str, Vec<Fact>)> = cuda
        .iter()
        .flat_map(|driver| &driver.devices)
        .map(|device| (device.ordinal, device.name.as_str(), device::facts(device, nvml.as_ref())))
        .collect();
    let backends: Vec<Part> = NAMES.iter().map(|name| Part { name, version: version(name) }).collect();
    let driver = Part {
        name: "cuda",
        version: cuda.as_ref().map(|driver| driver.version.to_string()).map_err(Clone::clone),
    };
    let jetson = Jetson::read(Path::new("/")).ok_or("this machine is no Jetson");
    let module = Part {
        name: "jetson",
        version: match &jetson {
            Ok(jetson) => Ok(jetson.module.clone().unwrap_or_else(|| "its module is not told".to_owned())),
            Err(why) => Err((*why).to_owned()),
        },
    };
    let jetson = jetson.map(|jetson| jetson::facts(&jetson)).unwrap_or_default();
    output.answer(
        || {
            let mut out = format!("host      {}\n{}{}", host(), module.line(), lines(&jetson));
            out.extend(backends.iter().map(Part::line));
            out += &driver.line();
            out.extend(libraries.iter().map(Part::line));
            for (ordinal, name, facts) in &devices {
                let _ = write!(out, "\ndevice {ordinal}  {name}\n{}", lines(facts));
            }
            out
        },
        || {
            let mut cuda = driver.value();
            cuda["libraries"] = libraries.iter().map(Part::value).collect();
            cuda["devices"] = devices
                .iter()
                .map(|(ordinal, name, facts)| {
                    let mut device = object(facts);
                    device.insert("ordinal".to_owned(), (*ordinal).into());
                    device.insert("name".to_owned(), (*name).into());
                    Value::from(device)
                })
                .collect();
            let backends: Value = backends.iter().map(Part::value).collect();
            let jetson = match &module.version {
                Ok(name) => {
                    let mut facts = object(&jetson);
                    facts.insert("available".to_owned(), true.into());
                    facts.insert("module".to_owned(), name.as_str().into());
                    Value::from(facts)
                }
                Err(why) => json!({ "available": false, "why": why }),
            };
            json!({ "schema_version": 1, "host": host(), "jetson": jetson, "backends": backends, "cuda": cuda })
        },
    );
    0
}

/// The vendor's libraries beside the driver.
fn beside(nvml: &Result<Nvml, LibraryError>) -> Vec<Part> {
    let nvml = nvml.as_ref().map_err(ToString::to_string);
    let nvml = nvml.and_then(|nvml| nvml.driver_version().map_err(|error| error.to_string()));
    let nvrtc = Nvrtc::find().and_then(Nvrtc::version).map(|(major, minor)| format!("{major}.{minor}"));
    vec![
        Part { name: "nvml", version: nvml.map(|version| format!("driver {version}")) },
        Part { name: "nvrtc", version: nvrtc.map_err(|error| error.to_string()) },
        Part { name: "nvtx", version: nvtx::found().map(str::to_owned).map_err(|error| error.to_string()) },
    ]
}
