//! The device's memory for inputs, outputs and scratch of all models: taken once, cut as the plan says.
use crate::Error;
use aegis_backend::{DeviceBinding, ModelFacts};
use aegis_context::{device_footprint, memory_of};
use aegis_core::{Bytes, PartitionId};
use aegis_cuda::{DeviceMemory, DeviceSlice, Stream};
use aegis_memory::{ModelMemory, Options, RegionKind, plan_system, validate};
use std::sync::Arc;

/// Where each model works. Inputs and outputs are each model's own; scratch of different models lies on each other,
/// because `stream` belongs to one partition, whose jobs run one at a time. Weights are the runtimes' own.
///
/// # Errors
/// [`Error::Device`] if the device has not enough, [`Error::Context`] if a model's sizes do not fit 64 bits.
pub fn bindings(stream: &Arc<Stream>, models: &[(&str, &ModelFacts)]) -> Result<Vec<DeviceBinding>, Error> {
    let mut needs = Vec::with_capacity(models.len());
    for (name, facts) in models {
        let memory =
            memory_of(name, facts).map_err(|source| Error::Context { task: (*name).to_owned(), source })?;
        needs.push(ModelMemory { weights: Bytes::ZERO, ..memory });
    }
    let plan = plan_system(&needs, PartitionId(0), None, &Options::default()).map_err(Error::Memory)?;
    validate(plan.problem(), &plan.offsets()).map_err(|invalid| Error::Defect(invalid.to_string()))?;
    // Scratch is memory of its own: on a device that shares the host's memory, tensors lie where both reach them.
    let first = plan.regions.iter().filter(|r| r.kind != RegionKind::Io).map(|r| r.offset).min();
    let first = first.unwrap_or(plan.peak);
    let context = stream.context();
    let tensors = if context.device().integrated {
        DeviceMemory::alloc_mapped(context, plan.persistent)
    } else {
        DeviceMemory::alloc(context, plan.persistent)
    };
    let tensors = tensors.map_err(Error::Device)?;
    let scratch = DeviceMemory::alloc(context, plan.peak.saturating_sub(first)).map_err(Error::Device)?;
    let lost = || Error::Defect("a region of the plan lies outside of it".to_owned());
    let cut = |model: usize, facts: &ModelFacts| -> Option<DeviceBinding> {
        let region = |kind| plan.regions.iter().find(|r| r.model.index() == model && r.kind == kind);
        let mut at = region(RegionKind::Io).map_or(Bytes::ZERO, |r| r.offset);
        let mut next = |tensor| -> Option<DeviceSlice> {
            let size = device_footprint(tensor)?;
            let slice = tensors.part(at, size)?;
            at = at.checked_add(size)?;
            Some(slice)
        };
        let inputs = facts.inputs.iter().map(&mut next).collect::<Option<_>>()?;
        let outputs = facts.outputs.iter().map(&mut next).collect::<Option<_>>()?;
        let scratch = match region(RegionKind::Scratch).filter(|_| facts.placeable().is_some()) {
            Some(region) => Some(scratch.part(region.offset.checked_sub(first)?, region.size)?),
            None => None,
        };
        Some(DeviceBinding { stream: Arc::clone(stream), inputs, outputs, scratch })
    };
    models.iter().enumerate().map(|(i, (_, facts))| cut(i, facts).ok_or_else(lost)).collect()
}
