//! What a model says about itself: types from the file, because rten shows `i64` and `bool` as `i32`; shapes from the
//! file, completed by what rten inferred.
use aegis_backend::onnx::{Outline, Port};
use aegis_backend::{DType, Dim, ModelFacts, Place, Scratch, TensorFacts};
use rten::{Dimension, Model, NodeId};

/// The facts of a loaded model, or why it cannot be used.
pub(crate) fn facts(outline: &Outline, model: &Model) -> Result<ModelFacts, String> {
    Ok(ModelFacts {
        place: Place::Host,
        inputs: tensors("input", &outline.inputs, model.input_ids(), model)?,
        outputs: tensors("output", &outline.outputs, model.output_ids(), model)?,
        weights: outline.constants,
        scratch: Scratch::Heap,
        extra_streams: 0,
        segments: 1,
    })
}

fn tensors(which: &str, ports: &[Port], ids: &[NodeId], model: &Model) -> Result<Vec<TensorFacts>, String> {
    if ports.len() != ids.len() {
        return Err(format!("it lists {} {which}s, rten sees {}", ports.len(), ids.len()));
    }
    let extent = |dim| match dim {
        Dimension::Fixed(extent) => Dim::Fixed(extent as u64),
        Dimension::Symbolic(name) => Dim::Symbol(name),
    };
    let facts = |(port, id): (&Port, &NodeId)| {
        let inferred = model.node_info(*id).and_then(|info| info.shape());
        let facts = port.facts(which, inferred.map(|dims| dims.into_iter().map(extent).collect()))?;
        if facts.dtype == DType::F16 {
            return Err(format!("{which} `{}` is f16, which rten does not take", facts.name));
        }
        Ok(facts)
    };
    ports.iter().zip(ids).map(facts).collect()
}
