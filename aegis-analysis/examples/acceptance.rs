//! How many random sets each policy admits, against the utilisation of the device: comma-separated values for a plot.
//!
//! The sets are GCAPS's (Wang, Liu, Wong, Kim, ECRTS 2024, its `taskset_gen.py`), of which the device sees the parts that run
//! on it: 4 CPUs with 3 to 6 tasks each, 40 to 60 % of them with work for the device, periods from 30 to 500 ms in whole
//! milliseconds, deadlines at the periods, 1 to 3 segments a job. Utilisation is divided among tasks, and a job among
//! its segments, by UUniFast (Bini, Buttazzo, Real-Time Systems 30, 2005). Only the sum of utilisations is not theirs: it is
//! what the plot varies.
//!
//! Offsets show something only where hyperperiods can be explored. For them each period is taken down to the next one that
//! divides 1.8 s, and each WCET with it; EDF of those sets, without offsets, stands beside.
//!
//! `cargo run --release -p aegis-analysis --example acceptance -- SETS SEED`
use aegis_analysis::jobs::{Limits, at_offsets};
use aegis_analysis::{assignment, quick};
use aegis_core::{Bytes, Nanos, Overheads, PartitionId, Policy, Rng, System, SystemTask, TaskDraft, TaskSet};

/// Shares of a whole, uniform among all divisions into `n`.
fn uunifast(rng: &mut Rng, n: u32) -> Vec<f64> {
    let mut left = 1.0;
    let mut shares: Vec<f64> = (1..n)
        .map(|i| {
            let rest = left * rng.unit().powf(1.0 / f64::from(n - i));
            let share = left - rest;
            left = rest;
            share
        })
        .collect();
    shares.push(left);
    shares
}

fn nanos(time: f64) -> Nanos {
    // Below a day of nanoseconds, and not negative.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is known")]
    Nanos((time as u64).max(1))
}

/// The tasks of one set on the device.
fn random(rng: &mut Rng, utilisation: f64) -> Vec<TaskDraft> {
    let with_device_part = |rng: &mut Rng| {
        let tasks: u64 = (0..4).map(|_| rng.between(3, 6)).sum();
        (0..tasks).filter(|_| rng.unit() < 0.4 + 0.2 * rng.unit()).count()
    };
    let n = with_device_part(rng).max(1);
    let shares = uunifast(rng, u32::try_from(n).expect("at most 24"));
    let task = |(i, share): (usize, f64)| {
        let period = Nanos::from_millis(rng.between(30, 500));
        let wcet = utilisation * share * period.0 as f64;
        let segments = u32::try_from(rng.between(1, 3)).expect("at most 3");
        TaskDraft {
            name: format!("t{i}"),
            segments: uunifast(rng, segments).into_iter().map(|share| nanos(share * wcet)).collect(),
            arrival: period.into(),
            ..TaskDraft::default()
        }
    };
    shares.into_iter().enumerate().map(task).collect()
}

/// The same tasks with every job in `k` segments of one length, rounded up.
fn split(drafts: &[TaskDraft], k: u64) -> Vec<TaskDraft> {
    let one = |draft: &TaskDraft| {
        let wcet: u64 = draft.segments.iter().map(|segment| segment.0).sum();
        let k = k.min(wcet);
        TaskDraft { segments: (0..k).map(|_| Nanos(wcet.div_ceil(k))).collect(), ..draft.clone() }
    };
    drafts.iter().map(one).collect()
}

fn set(policy: Policy, drafts: Vec<TaskDraft>) -> TaskSet {
    TaskSet::new(policy, Overheads::default(), drafts).expect("the generator makes valid sets")
}

fn fits(policy: Policy, drafts: Vec<TaskDraft>) -> bool {
    quick::decide(&set(policy, drafts)).admitted()
}

/// Whether any fixed priorities fit.
fn some_order_fits(drafts: Vec<TaskDraft>) -> bool {
    assignment::optimal(&set(Policy::FixedPriority, drafts)).is_ok()
}

/// What divides it: the periods of sets with offsets, in milliseconds.
const HYPERPERIOD: u64 = 1800;

/// The same tasks in one segment each, with periods that divide the hyperperiod and the same utilisation.
fn in_rhythm(drafts: &[TaskDraft]) -> Vec<TaskDraft> {
    let one = |draft: &TaskDraft| {
        let period = draft.arrival.mean_distance().0;
        let fitting = (1..=period / 1_000_000).rev().find(|ms| HYPERPERIOD.is_multiple_of(*ms));
        let slower = Nanos::from_millis(fitting.unwrap_or(1));
        let wcet = draft.segments.iter().map(|segment| segment.0).sum::<u64>();
        let wcet = u128::from(wcet) * u128::from(slower.0) / u128::from(period);
        let wcet = Nanos(u64::try_from(wcet).unwrap_or(u64::MAX).max(1));
        TaskDraft { segments: vec![wcet], arrival: slower.into(), ..draft.clone() }
    };
    drafts.iter().map(one).collect()
}

/// Whether arrivals at any time fit, or each task arriving where those of shorter deadlines would be done, were they to run
/// one after the other.
fn fits_at_offsets(drafts: Vec<TaskDraft>) -> bool {
    let set = set(Policy::Edf, drafts);
    if quick::decide(&set).admitted() {
        return true;
    }
    let mut order: Vec<usize> = (0..set.tasks().len()).collect();
    order.sort_by_key(|&i| (set.tasks()[i].deadline, i));
    let sporadic = System::of_set(&set);
    let mut tasks = sporadic.tasks().to_vec();
    let mut done = 0;
    for i in order {
        let task = &set.tasks()[i];
        tasks[i] = SystemTask { offset: Some(Nanos(done % task.deadline.0)), ..tasks[i].clone() };
        done += task.wcet().0;
    }
    let system =
        System::new(sporadic.partitions().to_vec(), tasks, Vec::new()).expect("offsets below the periods");
    let limits = Limits { states: 50_000, memory: Bytes(1 << 28) };
    at_offsets(&system, PartitionId(0), &limits).is_ok_and(|found| found.admitted)
}

/// What a column counts.
type Test = fn(&[TaskDraft]) -> bool;

const COLUMNS: &[(&str, Test)] = &[
    ("FIFO", |tasks| fits(Policy::Fifo, split(tasks, 1))),
    ("deadline monotonic", |tasks| fits(Policy::FixedPriority, split(tasks, 1))),
    ("optimal priorities", |tasks| some_order_fits(split(tasks, 1))),
    ("EDF", |tasks| fits(Policy::Edf, split(tasks, 1))),
    ("deadline monotonic in 1 to 3 segments", |tasks| fits(Policy::FixedPriority, tasks.to_vec())),
    ("EDF in 1 to 3 segments", |tasks| fits(Policy::Edf, tasks.to_vec())),
    ("optimal priorities in 8 segments", |tasks| some_order_fits(split(tasks, 8))),
    ("EDF in 8 segments", |tasks| fits(Policy::Edf, split(tasks, 8))),
    ("EDF in 32 segments", |tasks| fits(Policy::Edf, split(tasks, 32))),
    ("EDF with periods that divide 1.8 s", |tasks| fits(Policy::Edf, in_rhythm(tasks))),
    ("EDF at offsets with the same periods", |tasks| fits_at_offsets(in_rhythm(tasks))),
];

fn main() {
    let argument = |i, default| {
        std::env::args().nth(i).map_or(default, |text| text.parse().expect("a number of sets and a seed"))
    };
    let (sets, seed): (u64, u64) = (argument(1, 1_000), argument(2, 1));
    let mut rng = Rng::new(seed);
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    println!("utilisation of the device in %,{}", names.join(","));
    for percent in (5..100).step_by(5) {
        let mut admitted = vec![0_u64; COLUMNS.len()];
        for _ in 0..sets {
            let tasks = random(&mut rng, f64::from(percent) / 100.0);
            for (admitted, (_, test)) in admitted.iter_mut().zip(COLUMNS) {
                *admitted += u64::from(test(&tasks));
            }
        }
        let shares: Vec<String> =
            admitted.iter().map(|n| format!("{:.1}", *n as f64 * 100.0 / sets as f64)).collect();
        println!("{percent},{}", shares.join(","));
    }
}
