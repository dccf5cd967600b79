//! Random sets with our bounds, one JSON object a line, for peers that are not written in Rust: `scripts/peers/compare.py`.
//!
//! `cargo run --release -p aegis-analysis --example bounds -- SETS SEED`
use aegis_analysis::admit;
use aegis_core::{Nanos, Overheads, Policy, Priority, Rng, TaskDraft, TaskSet};
use serde_json::{Value, json};

/// Tasks in one segment without jitter, of a utilisation that is mostly below 1.
fn random(rng: &mut Rng) -> Vec<TaskDraft> {
    let n = rng.between(1, 6);
    let longest = if rng.one_in(2) { 12 } else { 200 };
    let task = |i| {
        let period = rng.between(1, longest);
        TaskDraft {
            name: format!("t{i}"),
            segments: vec![Nanos(rng.between(1, (2 * period * 8 / (10 * n)).clamp(1, period)))],
            arrival: Nanos(period).into(),
            deadline: Some(Nanos(rng.between(1, 2 * period))),
            priority: Some(Priority(u32::try_from(rng.between(0, n - 1)).expect("a small number"))),
            ..TaskDraft::default()
        }
    };
    let mut drafts: Vec<TaskDraft> = (0..n).map(task).collect();
    // Copies of one model, now and then.
    if n > 1 && rng.one_in(5) {
        drafts[1] = TaskDraft { name: "twin".to_string(), ..drafts[0].clone() };
    }
    drafts
}

fn line(policy: Policy, drafts: Vec<TaskDraft>) -> Option<Value> {
    let set = TaskSet::new(policy, Overheads::default(), drafts).expect("the generator makes valid sets");
    let tasks = set.tasks().iter().map(|task| {
        json!({ "C": task.wcet().0, "T": task.arrival.mean_distance().0, "D": task.deadline.0, "P": task.priority.0 })
    });
    let tasks: Vec<Value> = tasks.collect();
    let verdict = admit(&set);
    let bounds: Option<Vec<u64>> =
        verdict.tasks.iter().map(|task| task.bound.as_ref().map(|bound| bound.wcrt.0)).collect();
    bounds.map(|bounds| json!({ "policy": policy.name(), "tasks": tasks, "R": bounds }))
}

fn main() {
    let argument = |i, default| {
        std::env::args().nth(i).map_or(default, |text| text.parse().expect("a number of sets and a seed"))
    };
    let (sets, seed): (u64, u64) = (argument(1, 1_000), argument(2, 1));
    let mut rng = Rng::new(seed);
    let mut printed = 0;
    while printed < sets {
        let drafts = random(&mut rng);
        // Sets without a bound for every task are left out: peers search for one up to their limits.
        for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
            if let Some(line) = line(policy, drafts.clone()) {
                println!("{line}");
                printed += 1;
            }
        }
    }
}
