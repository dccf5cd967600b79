//! One memory plan for all models of a system, from what they say they need and what was measured.
use crate::load::Loaded;
use crate::{Error, SystemFile};
use aegis_backend::Place;
use aegis_context::memory_of;
use aegis_core::{Bytes, DeviceKind, PartitionId, TaskId};
use aegis_memory::{ModelScratch, Options, SystemPlan, plan_system};

/// The plans of all memories that a system uses: the host's, the device's, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// At most one for each place.
    pub places: Vec<PlacePlan>,
}

/// The plan of one memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacePlan {
    /// Which memory.
    pub place: Place,
    /// The tasks whose models lie in it: the plan's model `i` is that of `tasks[i]`.
    pub tasks: Vec<TaskId>,
    /// What may be taken, where the system states it.
    pub limit: Option<Bytes>,
    /// Where everything is.
    pub plan: SystemPlan,
}

impl MemoryPlan {
    /// What all places need together.
    #[must_use]
    pub fn peak(&self) -> Bytes {
        self.places.iter().map(|p| p.plan.peak).sum()
    }
}

/// Plans the memory of all models together: weights, inputs and outputs stay, scratch is shared because jobs of the one
/// partition run one at a time.
///
/// # Errors
/// [`Error::Memory`] if they do not fit the device, with what would be needed.
pub fn plan_memory(file: &SystemFile, loaded: &[Loaded]) -> Result<MemoryPlan, Error> {
    let mut places = Vec::new();
    for place in [Place::Device, Place::Host] {
        let mut models = Vec::new();
        let mut tasks = Vec::new();
        for (index, model) in loaded.iter().enumerate().filter(|(_, m)| m.facts.place == place) {
            let mut needs = memory_of(&model.task, &model.facts)
                .map_err(|source| Error::Context { task: model.task.clone(), source })?;
            if let (ModelScratch::Unknown, Some(measured)) = (&needs.scratch, model.measured_scratch) {
                needs.scratch = ModelScratch::Block(measured);
            }
            models.push(needs);
            tasks.push(TaskId::from(index));
        }
        if models.is_empty() {
            continue;
        }
        // `[device] memory` is that of the device that the system names.
        let limit = file.spec.device().memory.filter(|_| match file.spec.device().kind {
            DeviceKind::Cpu => place == Place::Host,
            DeviceKind::Cuda(_) => place == Place::Device,
        });
        let plan = plan_system(&models, PartitionId(0), limit, &Options::default()).map_err(Error::Memory)?;
        places.push(PlacePlan { place, tasks, limit, plan });
    }
    Ok(MemoryPlan { places })
}
