//! Simulates as many decisions as asked for under each policy in turn, steps a second scheduler through the same events,
//! and prints the hash of all decisions: `decisions [N] [SEED]`. The hash is the same in every build profile and on every
//! machine.
use aegis_core::{Nanos, Overheads, Policy, Rng, Stall, TaskDraft, TaskSet};
use aegis_sched::digest::Digest;
use aegis_sched::replay::RecordedStep;
use aegis_sched::simulator::simulate;
use aegis_sched::workload::{Adversary, Execution};
use aegis_sched::{State, step};

/// Jobs of one simulated system: many systems, rather than one for long.
const JOBS: u64 = 5_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: u64| match arguments.next().map(|text| text.parse()) {
        None => otherwise,
        Some(Ok(number)) => number,
        Some(Err(_)) => panic!("decisions [N] [SEED], both whole numbers"),
    };
    let (wanted, first) = (number(10_000_000), number(1));
    let mut digest = Digest::default();
    let mut differences = 0u64;
    let mut seed = first;
    while digest.steps() < wanted {
        let (set, queues) = system(seed);
        let mut again = State::new(&set, &queues);
        let mut world = Adversary::new(&set, Nanos(200_000_000), JOBS, Execution::UpToWcet, seed);
        simulate(&set, &queues, &mut world, |at, event, decision| {
            differences += u64::from(step(&mut again, at, event) != decision);
            if digest.steps() < wanted {
                digest.add(&RecordedStep { at, event, decision });
            }
        });
        seed += 1;
    }
    println!("{} decisions of {} systems, {differences} differ when replayed", digest.steps(), seed - first);
    println!("decisions {}", digest.hash());
    assert_eq!(differences, 0);
}

/// Two to eight tasks with jitter, segments and stalls; every third one is overloaded.
fn system(seed: u64) -> (TaskSet, Vec<u32>) {
    let mut rng = Rng::new(seed);
    let policy =
        [Policy::Edf, Policy::FixedPriority, Policy::Fifo][usize::try_from(seed % 3).unwrap_or_default()];
    let tasks = rng.between(2, 8);
    let load = if rng.one_in(3) { 130 } else { 80 };
    let drafts = (0..tasks).map(|i| {
        let period = rng.between(1_000_000, 50_000_000);
        let segments = rng.between(1, 3);
        TaskDraft {
            name: format!("task{i}"),
            segments: (0..segments).map(|_| Nanos((period * load / 100 / tasks / segments).max(1))).collect(),
            arrival: Nanos(period).into(),
            deadline: Some(Nanos(rng.between(period / 2, period * 2))),
            jitter: Nanos(rng.between(0, period / 10)),
            priority: None,
        }
    });
    let overheads = Overheads {
        dispatch: Nanos(20_000),
        completion: Nanos(30_000),
        recovery: Stall { length: Nanos(100_000), gap: Nanos(90_000_000) },
        ..Overheads::default()
    };
    let queues = (0..tasks).map(|_| u32::try_from(seed % 4 + 1).unwrap_or(1)).collect();
    let set = TaskSet::new(policy, overheads, drafts.collect()).expect("these tasks are valid");
    (set, queues)
}
