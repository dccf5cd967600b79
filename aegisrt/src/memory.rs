//! One memory plan for all models of a system, from what they say they need and what was measured.
use crate::load::Loaded;
use crate::{Error, SystemFile};
use aegis_context::memory_of;
use aegis_core::PartitionId;
use aegis_memory::{ModelScratch, Options, SystemPlan, plan_system};

/// Plans the memory of all models together: weights, inputs and outputs stay, scratch is shared because jobs of the one
/// partition run one at a time.
///
/// # Errors
/// [`Error::Memory`] if they do not fit the device, with what would be needed.
pub fn plan_memory(file: &SystemFile, loaded: &[Loaded]) -> Result<SystemPlan, Error> {
    let mut models = Vec::with_capacity(loaded.len());
    for model in loaded {
        let mut needs = memory_of(&model.task, &model.facts)
            .map_err(|source| Error::Context { task: model.task.clone(), source })?;
        if let (ModelScratch::Unknown, Some(measured)) = (&needs.scratch, model.measured_scratch) {
            needs.scratch = ModelScratch::Block(measured);
        }
        models.push(needs);
    }
    plan_system(&models, PartitionId(0), file.spec.device().memory, &Options::default())
        .map_err(Error::Memory)
}
