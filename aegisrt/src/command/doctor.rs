//! `aegis doctor`: what this machine can do, and what cannot be used on it and why.
use crate::backends::{Backends, NAMES};
use crate::output::Output;
use crate::profiles::host;
use aegis_core::DeviceSpec;
use serde_json::{Value, json};
use std::fmt::Write;

pub(crate) fn run(output: &Output) -> u8 {
    let mut backends = Backends::default();
    let answers: Vec<(&str, Result<String, String>)> = NAMES
        .iter()
        .map(|name| {
            let backend = backends.get(name, &DeviceSpec::default(), 1);
            (*name, backend.map(aegis_backend::RuntimeBackend::version).map_err(|error| error.to_string()))
        })
        .collect();
    let cuda = aegis_cuda::probe();
    output.answer(
        || {
            let mut out = format!("host      {}\n", host());
            for (name, answer) in &answers {
                let _ = match answer {
                    Ok(version) => writeln!(out, "{name:<9} {version}"),
                    Err(why) => writeln!(out, "{name:<9} -- {why}"),
                };
            }
            let _ = match &cuda {
                Ok(driver) => driver
                    .devices
                    .iter()
                    .try_for_each(|device| writeln!(out, "cuda      {} driver, {device}", driver.version)),
                Err(why) => writeln!(out, "cuda      -- {why}"),
            };
            out
        },
        || {
            let backends: Vec<Value> = answers
                .iter()
                .map(|(name, answer)| match answer {
                    Ok(version) => json!({ "name": name, "available": true, "version": version }),
                    Err(why) => json!({ "name": name, "available": false, "why": why }),
                })
                .collect();
            let cuda = match &cuda {
                Ok(driver) => json!({
                    "available": true,
                    "version": driver.version.to_string(),
                    "devices": driver.devices.iter().map(ToString::to_string).collect::<Vec<_>>(),
                }),
                Err(why) => json!({ "available": false, "why": why.to_string() }),
            };
            json!({ "schema_version": 1, "host": host(), "backends": backends, "cuda": cuda })
        },
    );
    0
}
