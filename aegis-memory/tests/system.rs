//! Several models on one partition: one shared scratch region, and what it saves.
use aegis_core::{Bytes, ModelId, PartitionId, Rng};
use aegis_memory::{
    Exclusion, ModelMemory, ModelScratch, Options, PlanError, RegionKind, StepLife, SystemError, SystemPlan,
    plan_system, validate,
};

const PARTITION: PartitionId = PartitionId(3);

fn model(name: &str, weights: u64, io: u64, scratch: ModelScratch, align: u64) -> ModelMemory {
    let (weights, io, align) = (Bytes(weights), Bytes(io), Bytes(align));
    ModelMemory { name: name.into(), weights, io, scratch, align }
}

fn block(bytes: u64) -> ModelScratch {
    ModelScratch::Block(Bytes(bytes))
}

fn tensors(lives: &[(u64, u32, u32)]) -> ModelScratch {
    let life = |&(bytes, from, to)| StepLife { bytes: Bytes(bytes), from, to };
    ModelScratch::Tensors(lives.iter().map(life).collect())
}

fn planned(models: &[ModelMemory], capacity: Option<u64>) -> Result<SystemPlan, SystemError> {
    plan_system(models, PARTITION, capacity.map(Bytes), &Options::default())
}

#[test]
fn scratch_is_shared_and_the_rest_is_not() {
    let models = [
        model("camera", 1000, 100, block(500), 4),
        model("lidar", 2000, 200, tensors(&[(300, 0, 2), (300, 1, 3), (300, 2, 4)]), 4),
        model("radar", 10, 0, ModelScratch::Unknown, 4),
        model("imu", 0, 10, block(0), 4),
    ];
    let plan = planned(&models, Some(3920 + 4)).unwrap();
    validate(plan.problem(), &plan.offsets()).unwrap();
    let where_is = |model: u32, kind| {
        let found = plan.regions.iter().find(|r| (r.model, r.kind) == (ModelId(model), kind));
        found.map(|r| (r.offset.0, r.size.0))
    };
    assert_eq!(where_is(0, RegionKind::Weights), Some((0, 1000)));
    assert_eq!(where_is(0, RegionKind::Io), Some((1000, 100)));
    assert_eq!(where_is(1, RegionKind::Weights), Some((1100, 2000)));
    assert_eq!(where_is(2, RegionKind::Weights), Some((3300, 10)));
    assert_eq!(where_is(2, RegionKind::Io), None);
    assert_eq!(where_is(3, RegionKind::Io), Some((3312, 10)));
    assert_eq!(where_is(0, RegionKind::Scratch), Some((3324, 500)));
    let lidar: Vec<u64> = (0..3).map(|t| where_is(1, RegionKind::ScratchTensor(t)).unwrap().0).collect();
    assert_eq!((lidar[0], lidar[2]), (lidar[2], lidar[0]), "the first and the last are never live together");
    assert_eq!(plan.regions.len(), 10);
    assert_eq!((plan.persistent, plan.peak, plan.one_scratch), (Bytes(3322), Bytes(3924), Bytes(3924)));
    assert_eq!(plan.separate, Bytes((1000 + 100 + 500) + (2000 + 200 + 600) + 10 + 10));
    assert_eq!(plan.because, Exclusion::OneAtATime { partition: PARTITION });
    assert_eq!(plan.unknown, ["radar"]);
    assert_eq!(plan.bound.live.len(), 8, "{:?}", plan.bound);
    assert_eq!(plan.saving_to_separate().bytes, Bytes(4420 - 3924));
    assert_eq!(plan.saving_to_separate().basis_points(), 1122);
    assert_eq!(plan.saving_to_one_scratch().basis_points(), 0);
}

#[test]
fn errors_name_the_model() {
    let check = |models: &[ModelMemory], says: &str| {
        let error = planned(models, Some(100)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    check(
        &[model("a", 1, 1, tensors(&[(1, 0, 1), (1, 3, 3)]), 1)],
        "model `a`, scratch tensor 1: the interval",
    );
    check(&[model("a", 1, 1, block(1), 3)], "model `a`: alignment 3 B is not a power of two");
    check(&[model("a", 1, 1, block(1), 0)], "model `a`: alignment 0 B is not a power of two");
    check(&[model("a", 1, 1, block(1), 1), model("a", 1, 1, block(1), 1)], "`a.weights`");
    check(&[model("a", u64::MAX, 1, block(1), 1)], "`a.weights`");
    check(
        &[model("a", 60, 1, block(40), 1)],
        "the best plan needs 101 B, the capacity is 100 B; no plan fits",
    );
    let error = planned(&[model("a", 60, 1, block(40), 1)], Some(100)).unwrap_err();
    let SystemError::Plan(PlanError::OverCapacity { bound, .. }) = error else { panic!("{error}") };
    assert_eq!(bound.live, ["a.weights", "a.io", "a.scratch"]);
}

#[test]
fn nothing_to_place_needs_nothing() {
    for models in [vec![], vec![model("a", 0, 0, block(0), 1)], vec![model("a", 0, 0, tensors(&[]), 1)]] {
        let plan = planned(&models, Some(0)).unwrap();
        assert_eq!((plan.peak, plan.separate, plan.regions.len()), (Bytes::ZERO, Bytes::ZERO, 0));
        assert_eq!(plan.saving_to_separate().basis_points(), 0);
    }
}

/// On random systems: sound, never above one scratch block for all, never above memory of its own for each (with one
/// alignment), never below the bound.
#[test]
fn never_worse_than_the_coarse_plans() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let align = 1 << rng.between(0, 6);
        let models: Vec<ModelMemory> = (0..rng.between(1, 6))
            .map(|i| {
                let scratch = match rng.between(0, 3) {
                    0 => ModelScratch::Unknown,
                    1 => block(rng.between(0, 900)),
                    _ => ModelScratch::Tensors(
                        (0..rng.between(0, 9))
                            .map(|_| {
                                let from = u32::try_from(rng.between(0, 9)).unwrap();
                                let to = from + u32::try_from(rng.between(1, 4)).unwrap();
                                StepLife { bytes: Bytes(rng.between(0, 300)), from, to }
                            })
                            .collect(),
                    ),
                };
                model(&format!("m{i}"), rng.between(0, 2000), rng.between(0, 200), scratch, align)
            })
            .collect();
        let plan = planned(&models, None).unwrap();
        validate(plan.problem(), &plan.offsets()).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let ends = plan.regions.iter().map(|r| r.offset + r.size);
        assert_eq!(plan.peak, ends.max().unwrap_or(Bytes::ZERO), "seed {seed}");
        assert!(plan.bound.bytes <= plan.peak && plan.peak <= plan.one_scratch, "seed {seed}: {plan:?}");
        assert!(plan.persistent <= plan.peak, "seed {seed}");
        let padding = align * models.len() as u64;
        assert!(plan.peak.0 <= plan.separate.0 + padding, "seed {seed}: {plan:?}");
    }
}
