//! How fast every schedule of a job set is looked at, and in how much memory: `cargo bench -p aegis-analysis --bench jobs`.
//!
//! Periodic tasks with release jitter and varying execution times, one hyperperiod, from a few thousand states to
//! millions; and the same with a host part in the middle of every job. Times are wall-clock, of one thread.
use aegis_analysis::jobs::{Edge, End, Job, JobSet, Limits, Span, Ties, explore};
use aegis_core::{Bytes, Clock, MonotonicClock, Nanos, Rng};

const PERIODS: [u64; 6] = [10, 20, 25, 40, 50, 100];
const HYPERPERIOD: u64 = 200;

/// `n` tasks that use about `percent` of the time; release jitter of `jitter` percent of the period, execution times
/// that vary by `vary` percent. Thousandths of the unit of the periods.
fn set(n: u64, percent: u64, jitter: u64, vary: u64, host: bool) -> JobSet {
    let mut rng = Rng::new(n * 100 + percent);
    let (mut jobs, mut edges) = (Vec::new(), Vec::new());
    for task in 0..n {
        let period = PERIODS[usize::try_from(rng.between(0, 5)).expect("a position")] * 1_000;
        let most = (period * percent / 100 / n * rng.between(40, 160) / 100).max(2);
        for seq in 0..HYPERPERIOD * 1_000 / period {
            let arrival = seq * period;
            let parts: &[u64] = if host { &[most / 2, most - most / 2] } else { &[most] };
            for (part, most) in (0..).zip(parts) {
                let cost = Span::new(Nanos((most - most * vary / 100).max(1)), Nanos(*most));
                if part > 0 {
                    let delay = Span::new(Nanos(most / 4), Nanos(most / 2));
                    edges.push(Edge { from: jobs.len() - 1, to: jobs.len(), delay });
                }
                jobs.push(Job {
                    task,
                    job: seq * 2 + part,
                    release: Span::new(Nanos(arrival), Nanos(arrival + period * jitter / 100)),
                    cost,
                    deadline: Nanos(arrival + period),
                    priority: arrival + period,
                });
            }
        }
    }
    JobSet::new(jobs, edges, Ties::ById).expect("a valid set")
}

fn main() {
    // Asked for by `cargo test`: only that it runs.
    let quick = !std::env::args().any(|arg| arg == "--bench");
    let clock = MonotonicClock::start();
    println!("tasks  use  jitter  jobs      states  merged  seconds  states/s  bytes/state  widest");
    for (n, percent, jitter, vary, host) in [
        (10, 60, 2, 30, false),
        (20, 50, 5, 40, false),
        (24, 50, 8, 40, false),
        (30, 50, 10, 40, false),
        (30, 40, 15, 50, false),
        (5, 40, 2, 20, true),
        (8, 40, 2, 20, true),
        (10, 40, 5, 20, true),
    ] {
        let set = set(n, percent, jitter, vary, host);
        let limits = Limits { states: if quick { 1_000 } else { 8_000_000 }, memory: Bytes(4 << 30) };
        let before = clock.now();
        let found = explore(&set, &limits);
        let seconds = (clock.now() - before).as_secs_f64();
        assert!(quick || matches!(found.end, End::Complete | End::StateLimit), "{:?}", found.end);
        println!(
            "{n:5} {percent:3} % {jitter:5} % {:5} {:>11}{} {:>7} {seconds:8.3} {:9.0} {:12.1} {:7}{}",
            set.jobs().len(),
            found.states,
            if found.end == End::Complete { " " } else { "+" },
            found.merged,
            found.states as f64 / seconds,
            found.memory.0 as f64 / found.widest as f64,
            found.widest,
            if host { "  host parts" } else { "" },
        );
    }
}
