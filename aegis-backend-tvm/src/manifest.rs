//! What a compiled module cannot say of itself: names, types and shapes of its tensors, and what it was compiled for.
use crate::FfiVersion;
use aegis_backend::{DType, Dim, TensorFacts};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The manifest, valid by construction.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// The version of TVM that compiled it.
    pub(crate) tvm: String,
    /// The FFI that it was compiled for.
    pub(crate) abi: FfiVersion,
    /// The processor's architecture, as Rust calls it.
    pub(crate) machine: String,
    pub(crate) device: Device,
    /// What exactly it was compiled for, for people.
    pub(crate) arch: String,
    pub(crate) constants: Constants,
    pub(crate) inputs: Vec<TensorFacts>,
    pub(crate) outputs: Vec<TensorFacts>,
}

/// Where a module's operators run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Device {
    Cpu,
    Cuda,
}

#[derive(Deserialize)]
struct File {
    tvm: String,
    abi: [u32; 3],
    machine: String,
    device: Device,
    arch: String,
    constants: Constants,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

/// The tensors that a program holds as long as it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Constants {
    /// How many.
    pub(crate) tensors: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    dtype: String,
    shape: Vec<u64>,
}

impl Manifest {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(text).map_err(|why| format!("its manifest: {why}"))?;
        let [major, minor, patch] = file.abi;
        Ok(Self {
            tvm: file.tvm,
            abi: FfiVersion { major, minor, patch },
            machine: file.machine,
            device: file.device,
            arch: file.arch,
            constants: file.constants,
            inputs: tensors("input", file.inputs)?,
            outputs: tensors("output", file.outputs)?,
        })
    }
}

fn tensors(which: &str, listed: Vec<Tensor>) -> Result<Vec<TensorFacts>, String> {
    let mut names = BTreeSet::new();
    let mut facts = Vec::with_capacity(listed.len());
    for Tensor { name, dtype, shape } in listed {
        let bad = |why: &str| Err(format!("its manifest: {which} `{name}` {why}"));
        let Some(dtype) = DType::from_name(&dtype) else {
            return bad(&format!("has no known type: `{dtype}`"));
        };
        if name.is_empty() || !names.insert(name.clone()) {
            return bad("has a name that is empty or used twice");
        }
        let tensor = TensorFacts { name, dtype, shape: shape.into_iter().map(Dim::Fixed).collect() };
        if tensor.bytes().is_none_or(|bytes| i64::try_from(bytes.0).is_err()) {
            return Err(format!("its manifest: {which} {tensor} does not fit 63 bits"));
        }
        facts.push(tensor);
    }
    if facts.is_empty() {
        return Err(format!("its manifest lists no {which}s"));
    }
    Ok(facts)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Constants, Device, Manifest};

    pub(crate) const MLP: &str = r#"{"model": "mlp.onnx", "tvm": "0.27.0.post1", "abi": [0, 1, 16], "machine": "x86_64",
        "device": "cpu", "arch": "generic", "constants": {"tensors": 2, "bytes": 1000},
        "inputs": [{"name": "x", "dtype": "f32", "shape": [2, 16]}],
        "outputs": [{"name": "y", "dtype": "i64", "shape": []}]}"#;

    #[test]
    fn a_manifest_is_read() {
        let manifest = Manifest::parse(MLP.as_bytes()).unwrap();
        assert_eq!(
            (manifest.device, manifest.constants),
            (Device::Cpu, Constants { tensors: 2, bytes: 1000 })
        );
        assert_eq!(manifest.abi.to_string(), "0.1.16");
        let shown = [&manifest.inputs[0], &manifest.outputs[0]].map(ToString::to_string);
        assert_eq!(shown, ["f32[2,16]", "i64[]"]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (from, to, says) in [
            ("\"f32\"", "\"f64\"", "input `x` has no known type: `f64`"),
            ("\"cpu\"", "\"tpu\"", "unknown variant `tpu`"),
            ("[2, 16]", "[4294967296, 4294967296]", "does not fit 63 bits"),
            ("[2, 16]", "[1152921504606846976, 2]", "does not fit 63 bits"),
            ("[2, 16]", "[-1]", "invalid value"),
            ("\"y\"", "\"\"", "output `` has a name that is empty"),
            (r#"[{"name": "x", "dtype": "f32", "shape": [2, 16]}]"#, "[]", "lists no inputs"),
            ("\"abi\"", "\"abbey\"", "missing field `abi`"),
            (
                r#"{"name": "x", "dtype": "f32", "shape": [2, 16]}"#,
                r#"{"name": "x", "dtype": "f32", "shape": [2]}, {"name": "x", "dtype": "f32", "shape": [2]}"#,
                "input `x` has a name that is empty or used twice",
            ),
        ] {
            let text = MLP.replacen(from, to, 1);
            let why = Manifest::parse(text.as_bytes()).unwrap_err();
            assert!(why.contains(says), "{why}, not {says}");
        }
    }
}
