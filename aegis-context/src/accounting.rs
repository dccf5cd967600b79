//! What a model holds, from its facts: for its budget, and for the memory planner.
use crate::ContextError;
use aegis_backend::{DEVICE_ALIGN, ModelFacts, Place, Scratch, TensorBuf, TensorFacts};
use aegis_core::{Budget, Budgeted, Bytes, PartitionId};
use aegis_memory::{ModelMemory, ModelScratch, Options, StepLife, plan_system};

/// What a context holds, and what of it nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accounting {
    /// In whose memory all of it lies, except for `staging`.
    pub place: Place,
    /// The model's weights.
    pub weights: Bytes,
    /// Its inputs and outputs as they are taken: each with the room that its alignment may cost.
    pub io: Bytes,
    /// The most that it holds while it runs; `None` when its runtime does not say.
    pub scratch: Option<Bytes>,
    /// The host's copies of inputs and outputs that lie on a device.
    pub staging: Bytes,
    /// The sum of what is known in its place. This is what its budget there is charged with.
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

    /// Known bytes of the device's memory.
    #[must_use]
    pub const fn device_memory(&self) -> Bytes {
        match self.place {
            Place::Host => Bytes::ZERO,
            Place::Device => self.known,
        }
    }

    /// Known bytes of the host's memory.
    #[must_use]
    pub const fn host_memory(&self) -> Bytes {
        match self.place {
            Place::Host => self.known,
            Place::Device => self.staging,
        }
    }

    /// Compares with a budget, memory first.
    ///
    /// # Errors
    /// The first limit that is exceeded.
    pub fn check(&self, budget: &Budget) -> Result<(), Budgeted> {
        let asked = self.device_memory();
        if let Some(limit) = budget.device_memory.filter(|limit| asked > *limit) {
            return Err(Budgeted::DeviceMemory { limit: limit.0, asked: asked.0 });
        }
        let asked = self.host_memory();
        if let Some(limit) = budget.host_memory.filter(|limit| asked > *limit) {
            return Err(Budgeted::HostMemory { limit: limit.0, asked: asked.0 });
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
        place: facts.place,
        staging: match facts.place {
            Place::Host => Bytes::ZERO,
            Place::Device => facts.io_bytes().ok_or_else(too_large)?,
        },
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
    let (footprint, least): (fn(&TensorFacts) -> Option<Bytes>, Bytes) = match facts.place {
        Place::Host => (TensorBuf::footprint, TensorBuf::ALIGN),
        Place::Device => (device_footprint, DEVICE_ALIGN),
    };
    let io = tensors.map(footprint).try_fold(Bytes::ZERO, |sum, bytes| sum.checked_add(bytes?));
    let align = match facts.scratch {
        Scratch::Placeable { align, .. } => align.max(least),
        _ => least,
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

/// What a tensor takes of a device's memory: its bytes up to the next multiple of the alignment.
#[must_use]
pub fn device_footprint(tensor: &TensorFacts) -> Option<Bytes> {
    tensor.bytes()?.0.checked_next_multiple_of(DEVICE_ALIGN.0).map(Bytes)
}
