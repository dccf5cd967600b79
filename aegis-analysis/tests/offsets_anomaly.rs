//! Proven offsets against every schedule of tiny sets, all execution times included: a job that ends early lets another one
//! in that should have waited, so that a set may fit as long as all take their WCETs and miss when one does not.
mod common;
mod schedules;

use aegis_analysis::admit;
use aegis_analysis::jobs::{Job, Span, Ties};
use aegis_analysis::offsets::proven_offsets;
use aegis_core::{Nanos, Policy, Rng};
use common::{Row, row, set};
use schedules::{choices, ends};

/// More choices than these are not played.
const MOST_CHOICES: u64 = 6_000;

/// The jobs of strictly periodic tasks that arrive before `until`.
fn jobs(rows: &[Row], policy: Policy, offsets: &[Nanos], until: u64) -> Vec<Job> {
    let of_task = |(i, (row, offset)): (usize, (&Row, &Nanos))| {
        let arrivals = (0..).map(move |k| (k, offset.0 + k * row.t)).take_while(move |job| job.1 < until);
        let job = |(k, arrival): (u64, u64)| Job {
            task: i as u64,
            job: k,
            release: Span::new(Nanos(arrival), Nanos(arrival + row.j)),
            cost: Span::new(Nanos(1), Nanos(row.c())),
            deadline: Nanos(arrival + row.d),
            priority: match policy {
                Policy::FixedPriority => u64::from(row.priority.unwrap()),
                Policy::Edf => arrival + row.d,
                Policy::Fifo => 0,
            },
        };
        arrivals.map(job).collect::<Vec<Job>>()
    };
    rows.iter().zip(offsets).enumerate().flat_map(of_task).collect()
}

#[test]
fn no_job_is_late_however_short_others_are() {
    let seed = 72;
    let mut rng = Rng::new(seed);
    let (mut proven, mut anomalies) = (0, 0);
    for k in 0..400 {
        let rows: Vec<Row> = (0..rng.between(3, 4))
            .map(|i| {
                let t = if rng.one_in(2) { 6 } else { 12 };
                let c = rng.between(1, t / 3);
                let jitter = u64::from(rng.one_in(4));
                row(c, t, rng.between(c + jitter, t)).jitter(jitter).priority(u32::try_from(i).unwrap())
            })
            .collect();
        for policy in [Policy::FixedPriority, Policy::Edf, Policy::Fifo] {
            let sporadic = set(policy, &rows);
            if admit(&sporadic).admitted() {
                continue;
            }
            let Some(offsets) = proven_offsets(&sporadic) else { continue };
            let until = 12 + offsets.iter().max().unwrap().0;
            let jobs = jobs(&rows, policy, &offsets, until);
            if choices(&jobs, &[]) > MOST_CHOICES {
                continue;
            }
            proven += 1;
            // What arrives later has no part in a miss before.
            for (job, (_, end)) in jobs.iter().zip(ends(&jobs, &[], Ties::ByRelease)) {
                let late = end > job.deadline.0 && job.deadline.0 <= until;
                assert!(
                    !late,
                    "seed {seed}, set {k}, {policy}: {job:?} ends at {end}: {rows:?} at {offsets:?}"
                );
            }
            // Whether the WCETs alone say less.
            let longest: Vec<Job> =
                jobs.iter().map(|job| Job { cost: Span::new(job.cost.max, job.cost.max), ..*job }).collect();
            let with_longest = ends(&longest, &[], Ties::ByRelease);
            let all = ends(&jobs, &[], Ties::ByRelease);
            anomalies += usize::from(all.iter().zip(with_longest).any(|(all, longest)| all.1 > longest.1));
        }
    }
    println!(
        "seed {seed}: {proven} sets proven, in {anomalies} of them a shorter job makes another one later"
    );
    assert!(proven > 40 && anomalies > 4, "{proven} {anomalies}");
}
