//! One memory plan for all models of a system, from what they say they need.
use crate::load::Loaded;
use crate::{Error, SystemFile};
use aegis_backend::{ModelFacts, Scratch};
use aegis_core::{Bytes, PartitionId};
use aegis_memory::{ModelMemory, ModelScratch, Options, StepLife, SystemPlan, plan_system};

/// Alignment of every region: the widest that CPU caches and CUDA allocations ask for.
const ALIGN: Bytes = Bytes(256);

/// Plans the memory of all models together: weights, inputs and outputs stay, scratch is shared because jobs of the one
/// partition run one at a time.
///
/// # Errors
/// [`Error::Memory`] if they do not fit the device, with what would be needed.
pub fn plan_memory(file: &SystemFile, loaded: &[Loaded]) -> Result<SystemPlan, Error> {
    let models: Vec<ModelMemory> = loaded.iter().map(|m| needs(&m.task, &m.facts)).collect();
    plan_system(&models, PartitionId(0), file.spec.device().memory, &Options::default())
        .map_err(Error::Memory)
}

fn needs(name: &str, facts: &ModelFacts) -> ModelMemory {
    let scratch = match &facts.scratch {
        Scratch::None => ModelScratch::Block(Bytes::ZERO),
        Scratch::Placeable { bytes, .. } | Scratch::Opaque { at_most: Some(bytes) } => {
            ModelScratch::Block(*bytes)
        }
        Scratch::PerTensor(lives) => ModelScratch::Tensors(
            lives.iter().map(|l| StepLife { bytes: l.bytes, from: l.from, to: l.to }).collect(),
        ),
        _ => ModelScratch::Unknown,
    };
    // The context has allocated these tensors already, so their size is known to fit.
    let io = facts.io_bytes().unwrap_or(Bytes::ZERO);
    ModelMemory { name: name.to_owned(), weights: facts.weights, io, scratch, align: ALIGN }
}
