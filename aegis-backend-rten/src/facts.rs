//! What a model says about itself: types from the file, because rten shows `i64` and `bool` as `i32`; shapes from the
//! file, completed by what rten inferred.
use aegis_backend::onnx::{Outline, Port};
use aegis_backend::{Artifact, BackendError, DType, Dim, ModelFacts, Scratch, TensorFacts};
use rten::{Dimension, Model, NodeId};

/// The facts of a loaded model.
pub(crate) fn facts(
    artifact: &Artifact,
    outline: Outline,
    model: &Model,
) -> Result<ModelFacts, BackendError> {
    let constants = outline.constants;
    let all = |which, ports, ids| {
        tensors(which, ports, ids, model)
            .map_err(|why| BackendError::Unsupported { path: artifact.origin().to_path_buf(), why })
    };
    Ok(ModelFacts {
        inputs: all("input", outline.inputs, model.input_ids())?,
        outputs: all("output", outline.outputs, model.output_ids())?,
        weights: constants,
        scratch: Scratch::Opaque { at_most: None },
        extra_streams: 0,
        segments: 1,
    })
}

fn tensors(which: &str, ports: Vec<Port>, ids: &[NodeId], model: &Model) -> Result<Vec<TensorFacts>, String> {
    if ports.len() != ids.len() {
        return Err(format!("it lists {} {which}s, rten sees {}", ports.len(), ids.len()));
    }
    ports.into_iter().zip(ids).map(|(port, id)| tensor(which, port, *id, model)).collect()
}

fn tensor(which: &str, port: Port, id: NodeId, model: &Model) -> Result<TensorFacts, String> {
    let name = port.name.clone();
    let dtype = match port.dtype() {
        Some(DType::F16) => return Err(format!("{which} `{name}` is f16, which rten does not take")),
        Some(dtype) => dtype,
        None => {
            let element = port.element;
            return Err(format!("{which} `{name}` has ONNX element type {element}, which is not supported"));
        }
    };
    let inferred = model.node_info(id).and_then(|info| info.shape());
    let shape = match (port.shape, inferred) {
        (Some(declared), inferred) => {
            let known = |position: usize| match inferred.as_ref()?.get(position)? {
                Dimension::Fixed(extent) => u64::try_from(*extent).ok(),
                Dimension::Symbolic(_) => None,
            };
            let complete = |(position, dim)| match dim {
                Dim::Symbol(name) => known(position).map_or(Dim::Symbol(name), Dim::Fixed),
                Dim::Fixed(extent) => Dim::Fixed(extent),
            };
            declared.into_iter().enumerate().map(complete).collect()
        }
        (None, Some(inferred)) => inferred
            .into_iter()
            .map(|dim| match dim {
                Dimension::Fixed(extent) => Dim::Fixed(extent as u64),
                Dimension::Symbolic(name) => Dim::Symbol(name),
            })
            .collect(),
        (None, None) => {
            return Err(format!(
                "{which} `{name}` has no shape in the file; add it with onnx.shape_inference.infer_shapes"
            ));
        }
    };
    Ok(TensorFacts { name, dtype, shape })
}
