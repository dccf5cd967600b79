//! What a model holds, from its facts: for its budget, and for the memory planner.
use crate::ContextError;
use aegis_backend::{ModelFacts, Scratch, TensorBuf};
use aegis_core::{Budget, Budgeted, Bytes, PartitionId};
use aegis_memory::{ModelMemory, ModelScratch, Options, StepLife, plan_system};

/// What a context holds, and what of it nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accounting {
    /// The model's weights.
    pub weights: Bytes,
    /// Its inputs and outputs as they are taken: each with the room that its alignment may cost.
    pub io: Bytes,
    /// The most that it holds while it runs; `None` when its runtime does not say.
    pub scratch: Option<Bytes>,
    /// The sum of what is known. This is what its budget is charged with.
    pub known: Bytes,
    /// Streams: its own and those that it uses besides.
    pub streams: u32,
}

impl Accounting {
    /// Whether nothing is unknown: only then does a budget that is met bound what the model really holds.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.scratch.is_some()
    }

    /// Compares with a budget, memory first. The backends that exist work in host memory, so all of it is charged there;
    /// of device memory they hold none, and any limit on it is met.
    ///
    /// # Errors
    /// The first limit that is exceeded.
    pub fn check(&self, budget: &Budget) -> Result<(), Budgeted> {
        if let Some(limit) = budget.host_memory.filter(|limit| self.known > *limit) {
            return Err(Budgeted::HostMemory { limit: limit.0, asked: self.known.0 });
        }
        if let Some(limit) = budget.streams.filter(|limit| self.streams > *limit) {
            return Err(Budgeted::Streams { limit, asked: self.streams });
        }
        Ok(())
    }
}

/// What the model `name` will hold.
///
/// # Errors
/// [`ContextError::TooLarge`] when its sizes do not fit 64 bits, [`ContextError::Memory`] when the lifetimes of its
/// scratch are not sound.
pub fn account(name: &str, facts: &ModelFacts) -> Result<Accounting, ContextError> {
    let too_large = || ContextError::TooLarge { name: name.to_owned() };
    let memory = memory_of(name, facts)?;
    let scratch = match &memory.scratch {
        ModelScratch::Block(bytes) => Some(*bytes),
        ModelScratch::Tensors(_) => {
            // What a placement of the tensors really takes, which can be more than what is live at once.
            let alone = ModelMemory { weights: Bytes::ZERO, io: Bytes::ZERO, ..memory.clone() };
            let plan = plan_system(&[alone], PartitionId(0), None, &Options::default());
            Some(plan.map_err(|source| ContextError::Memory { name: name.to_owned(), source })?.peak)
        }
        _ => None,
    };
    let known =
        memory.weights.checked_add(memory.io).and_then(|sum| sum.checked_add(scratch.unwrap_or_default()));
    Ok(Accounting {
        weights: memory.weights,
        io: memory.io,
        scratch,
        known: known.ok_or_else(too_large)?,
        streams: facts.extra_streams.saturating_add(1),
    })
}

/// What the model `name` needs, for [`plan_system`].
///
/// # Errors
/// [`ContextError::TooLarge`] when its inputs and outputs do not fit 64 bits.
pub fn memory_of(name: &str, facts: &ModelFacts) -> Result<ModelMemory, ContextError> {
    let tensors = facts.inputs.iter().chain(&facts.outputs);
    let io = tensors.map(TensorBuf::footprint).try_fold(Bytes::ZERO, |sum, bytes| sum.checked_add(bytes?));
    let align = match facts.scratch {
        Scratch::Placeable { align, .. } => align.max(TensorBuf::ALIGN),
        _ => TensorBuf::ALIGN,
    };
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
    Ok(ModelMemory {
        name: name.to_owned(),
        weights: facts.weights,
        io: io.ok_or_else(|| ContextError::TooLarge { name: name.to_owned() })?,
        scratch,
        align,
    })
}
