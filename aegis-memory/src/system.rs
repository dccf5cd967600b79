//! The memory of all models of one partition together: what stays, and one region of scratch that all of them share.
//!
//! # Why scratch may be shared
//! 1. The schedule runs the jobs of one partition one at a time; a job is not preempted inside a segment, and a job
//!    between two segments keeps nothing in scratch ([`ModelMemory::scratch`] lives only while one segment runs).
//! 2. So at every instant at most one model of the partition has live scratch.
//! 3. So scratch of different models never conflicts, and one region as large as the largest serves all of them.
//!
//! Step 1 is a promise of the scheduler, not of this crate; the plan carries it as [`Exclusion`], so that whoever breaks
//! it can see what depended on it. Weights, inputs and outputs are always live: they keep their content between jobs.
use crate::{
    Bound, Buffer, Lifetime, LifetimeError, Options, PlanError, Problem, ProblemError, lower_bound, plan,
};
use aegis_core::{Bytes, ModelId, PartitionId};

/// One tensor of a model's scratch: live in the steps `from ≤ s < to` of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepLife {
    /// Its size.
    pub bytes: Bytes,
    /// First step that writes it.
    pub from: u32,
    /// First step that no longer needs it.
    pub to: u32,
}

/// What a model needs only while one of its segments runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelScratch {
    /// The runtime does not say. Nothing is planned for it, and the plan names the model.
    Unknown,
    /// One region; zero for none.
    Block(Bytes),
    /// Single tensors.
    Tensors(Vec<StepLife>),
}

/// What one model needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelMemory {
    /// Its name, unique in the partition.
    pub name: String,
    /// What it holds as long as it is loaded.
    pub weights: Bytes,
    /// Its inputs and outputs together.
    pub io: Bytes,
    /// What it holds while it runs.
    pub scratch: ModelScratch,
    /// The alignment of all its regions; a power of two.
    pub align: Bytes,
}

/// What a region is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegionKind {
    /// A model's weights.
    Weights,
    /// A model's inputs and outputs.
    Io,
    /// A model's scratch as one block.
    Scratch,
    /// One tensor of a model's scratch.
    ScratchTensor(usize),
}

/// Where one region is. Regions of size 0 are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Whose it is: a position in the list of models.
    pub model: ModelId,
    /// What it is for.
    pub kind: RegionKind,
    /// Where it begins.
    pub offset: Bytes,
    /// Its size.
    pub size: Bytes,
}

/// Why regions of different models may lie on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exclusion {
    /// The jobs of this partition run one at a time.
    OneAtATime {
        /// The partition.
        partition: PartitionId,
    },
}

/// How much less one plan needs than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saving {
    /// What the other needs.
    pub instead_of: Bytes,
    /// How much less this is.
    pub bytes: Bytes,
}

impl Saving {
    /// The saving in hundredths of a percent of what the other needs, rounded down; 0 when that is nothing.
    #[must_use]
    pub fn basis_points(&self) -> u32 {
        let part = u128::from(self.bytes.0) * 10_000;
        // At most 10 000, since a part is not larger than its whole.
        part.checked_div(u128::from(self.instead_of.0)).map_or(0, |bp| u32::try_from(bp).unwrap_or(10_000))
    }
}

/// Where everything in a partition is, and what that saves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemPlan {
    /// Weights and inputs and outputs first, then the shared scratch; by model within each.
    pub regions: Vec<Region>,
    /// The size of the whole.
    pub peak: Bytes,
    /// The part of it that is always live: everything below this offset.
    pub persistent: Bytes,
    /// Why no plan can need less, weights, inputs and outputs included.
    pub bound: Bound,
    /// What the shared scratch rests on.
    pub because: Exclusion,
    /// Every model with memory of its own, its scratch planned alone: what separate runtimes hold.
    pub separate: Bytes,
    /// Weights, inputs and outputs, and one scratch block as large as the largest.
    pub one_scratch: Bytes,
    /// Models whose runtime does not say how much scratch it takes. It is in none of the figures.
    pub unknown: Vec<String>,
    problem: Problem,
}

impl SystemPlan {
    /// The problem that the regions solve, one buffer a region in the same order: what [`validate`](crate::validate)
    /// wants. Time is one slot a model, one after the other.
    #[must_use]
    pub const fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The offsets of the regions.
    #[must_use]
    pub fn offsets(&self) -> Vec<Bytes> {
        self.regions.iter().map(|r| r.offset).collect()
    }

    /// Against memory of its own for every model.
    #[must_use]
    pub fn saving_to_separate(&self) -> Saving {
        Saving { instead_of: self.separate, bytes: self.separate.saturating_sub(self.peak) }
    }

    /// Against one scratch block for all models.
    #[must_use]
    pub fn saving_to_one_scratch(&self) -> Saving {
        Saving { instead_of: self.one_scratch, bytes: self.one_scratch.saturating_sub(self.peak) }
    }
}

/// Why the models of a partition cannot be planned together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// A tensor's steps are not a lifetime.
    #[error("model `{model}`, scratch tensor {tensor}: {why}")]
    BadTensor {
        /// The model.
        model: String,
        /// Position of the tensor.
        tensor: usize,
        /// What is wrong.
        why: LifetimeError,
    },
    /// An alignment that is not a power of two: what lies above could not be aligned for all.
    #[error("model `{model}`: alignment {align:#} is not a power of two")]
    BadAlignment {
        /// The model.
        model: String,
        /// Its alignment.
        align: Bytes,
    },
    /// Names or sizes are not a problem that can be planned.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// The models do not fit the partition's memory together.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Plans the memory of the models of one partition. `capacity` is what the partition may hold.
///
/// # Errors
/// [`SystemError`] if a model's description is not sound, or if all of them need more than `capacity`.
pub fn plan_system(
    models: &[ModelMemory],
    partition: PartitionId,
    capacity: Option<Bytes>,
    options: &Options,
) -> Result<SystemPlan, SystemError> {
    let drafts = drafts(models)?;
    // Problem::new checks that everything fits side by side, so the sums below cannot overflow.
    let problem = Problem::new(drafts.iter().map(|d| d.buffer.clone()).collect(), capacity)?;
    let is_scratch = |d: &&Draft| d.kind >= RegionKind::Scratch;

    // First, what is always live: one after the other from 0, and the same for each model alone.
    let mut regions: Vec<Region> = Vec::with_capacity(drafts.len());
    let mut alone = vec![Bytes::ZERO; models.len()];
    let mut persistent = Bytes::ZERO;
    for draft in drafts.iter().filter(|d| !is_scratch(d)) {
        let (size, align) = (draft.buffer.size, draft.buffer.align);
        let offset = align_up(persistent, align);
        persistent = offset + size;
        let own = &mut alone[draft.model.index()];
        *own = align_up(*own, align) + size;
        regions.push(Region { model: draft.model, kind: draft.kind, offset, size });
    }

    // Then, scratch. Slots have no instant in common, so each model is placed as if it were alone, from 0.
    let scratch: Vec<&Draft> = drafts.iter().filter(is_scratch).collect();
    let placed = plan(&Problem::new(scratch.iter().map(|d| d.buffer.clone()).collect(), None)?, options)?;
    let mut needs = vec![Bytes::ZERO; models.len()];
    for (draft, offset) in scratch.iter().zip(&placed.offsets) {
        let need = &mut needs[draft.model.index()];
        *need = (*need).max(*offset + draft.buffer.size);
    }
    for ((own, need), model) in alone.iter_mut().zip(&needs).zip(models) {
        if *need > Bytes::ZERO {
            *own = align_up(*own, model.align) + *need;
        }
    }

    // Finally, the scratch region on top of what is always live, aligned for all who use it.
    let widest = scratch.iter().map(|d| d.buffer.align).max().unwrap_or(Bytes(1));
    let base = align_up(persistent, widest);
    for (draft, offset) in scratch.iter().zip(&placed.offsets) {
        let size = draft.buffer.size;
        regions.push(Region { model: draft.model, kind: draft.kind, offset: base + *offset, size });
    }
    let largest = needs.iter().copied().max().unwrap_or(Bytes::ZERO);
    let peak = if scratch.is_empty() { persistent } else { base + placed.peak };
    let bound = lower_bound(&problem);
    if let Some(capacity) = capacity.filter(|c| peak > *c) {
        let impossible = bound.bytes > capacity;
        return Err(PlanError::OverCapacity { peak, capacity, bound, impossible }.into());
    }
    let unknown = models.iter().filter(|m| m.scratch == ModelScratch::Unknown).map(|m| m.name.clone());
    Ok(SystemPlan {
        regions,
        peak,
        persistent,
        bound,
        because: Exclusion::OneAtATime { partition },
        separate: alone.into_iter().sum(),
        one_scratch: if scratch.is_empty() { persistent } else { base + largest },
        unknown: unknown.collect(),
        problem,
    })
}

/// A region before it has an offset.
#[derive(Debug)]
struct Draft {
    model: ModelId,
    kind: RegionKind,
    buffer: Buffer,
}

/// Every region that takes space: weights and inputs and outputs of all models, then scratch of all models.
fn drafts(models: &[ModelMemory]) -> Result<Vec<Draft>, SystemError> {
    if let Some(model) = models.iter().find(|m| !m.align.0.is_power_of_two()) {
        return Err(SystemError::BadAlignment { model: model.name.clone(), align: model.align });
    }
    let slots: Vec<u64> = models.iter().map(|m| slot(&m.scratch)).collect();
    let end = slots.iter().sum::<u64>().max(1);
    let always = Lifetime::interval(0, end).map_err(|_| ProblemError::TooMany { n: models.len() })?;
    let (mut persistent, mut scratch) = (Vec::new(), Vec::new());
    let mut begin = 0;
    for (index, model) in models.iter().enumerate() {
        let draft = |kind, part: &str, lifetime: &Lifetime, size| Draft {
            model: ModelId::from(index),
            kind,
            buffer: Buffer {
                id: format!("{}.{part}", model.name),
                lifetime: lifetime.clone(),
                size,
                align: model.align,
            },
        };
        persistent.push(draft(RegionKind::Weights, "weights", &always, model.weights));
        persistent.push(draft(RegionKind::Io, "io", &always, model.io));
        let bad = |tensor, why| SystemError::BadTensor { model: model.name.clone(), tensor, why };
        let in_slot = |from: u32, to: u32| Lifetime::interval(begin + u64::from(from), begin + u64::from(to));
        match &model.scratch {
            ModelScratch::Unknown => {}
            ModelScratch::Block(bytes) => {
                let lifetime = in_slot(0, 1).map_err(|why| bad(0, why))?;
                scratch.push(draft(RegionKind::Scratch, "scratch", &lifetime, *bytes));
            }
            ModelScratch::Tensors(lives) => {
                for (tensor, life) in lives.iter().enumerate() {
                    let lifetime = in_slot(life.from, life.to).map_err(|why| bad(tensor, why))?;
                    let part = format!("scratch[{tensor}]");
                    scratch.push(draft(RegionKind::ScratchTensor(tensor), &part, &lifetime, life.bytes));
                }
            }
        }
        begin += slots[index];
    }
    persistent.append(&mut scratch);
    persistent.retain(|d| d.buffer.size > Bytes::ZERO);
    Ok(persistent)
}

/// How many instants a model's slot has.
fn slot(scratch: &ModelScratch) -> u64 {
    match scratch {
        ModelScratch::Unknown | ModelScratch::Block(_) => 1,
        ModelScratch::Tensors(lives) => lives.iter().map(|l| u64::from(l.to)).max().unwrap_or(0),
    }
}

/// `align` is a power of two, checked in [`drafts`].
fn align_up(offset: Bytes, align: Bytes) -> Bytes {
    Bytes(offset.0.next_multiple_of(align.0))
}
