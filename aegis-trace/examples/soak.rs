//! Records at a rate into a file that stalls, and counts: `soak [--seconds N] [--rate R] [--ring BYTES] [--stall MS]`.
//!
//! One thread offers steps of the scheduler, one after the other as the rate has them due. The sink takes every byte, and once a
//! second does nothing for the length of the stall. At the end offered = written + dropped, in all and by kind, or the exit code
//! is 1; it is 3 where records were dropped. `cargo xtask soak` runs it in the release profile.
use aegis_core::{
    Action, Clock, Decision, Event, JobId, Nanos, Overheads, Policy, TaskDraft, TaskId, TaskSet, Why,
};
use aegis_trace::{Body, Collector, Header, Options, TraceClock, recorder, ring_slots};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

struct Asked {
    seconds: u64,
    rate: u64,
    ring_bytes: u64,
    stall_ms: u64,
}

fn asked() -> Result<Asked, Box<dyn Error>> {
    let mut asked = Asked { seconds: 10, rate: 1_000_000, ring_bytes: 8 << 20, stall_ms: 100 };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
        let number: u64 = value.replace('_', "").parse()?;
        match name.as_str() {
            "--seconds" => asked.seconds = number,
            "--rate" => asked.rate = number.clamp(1, 100_000_000),
            "--ring" => asked.ring_bytes = number,
            "--stall" => asked.stall_ms = number,
            _ => {
                return Err(
                    format!("{name} is not known; there are --seconds, --rate, --ring and --stall").into()
                );
            }
        }
    }
    Ok(asked)
}

/// Takes everything, and once a second nothing for a while.
struct Stalling {
    every: Duration,
    stall: Duration,
    next: Instant,
    stalls: u64,
    bytes: u64,
}

impl Write for Stalling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if Instant::now() >= self.next {
            std::thread::sleep(self.stall);
            self.next = Instant::now() + self.every;
            self.stalls += 1;
        }
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        println!("{} stalls of {} ms, {} bytes", self.stalls, self.stall.as_millis(), self.bytes);
    }
}

fn header(rate: u64) -> Result<Header, Box<dyn Error>> {
    let task = TaskDraft {
        name: "soak".to_owned(),
        segments: vec![Nanos(1)],
        arrival: Nanos((1_000_000_000 / rate).max(1)).into(),
        deadline: None,
        jitter: Nanos::ZERO,
        priority: None,
    };
    Ok(Header {
        created_unix_ns: 0,
        clock: String::new(),
        program: "soak".to_owned(),
        spec_digest: String::new(),
        seed: None,
        set: TaskSet::new(Policy::Edf, Overheads::default(), vec![task])?,
        queues: vec![1],
        models: vec![],
        host: String::new(),
    })
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Asked { seconds, rate, ring_bytes, stall_ms } = asked()?;
    let slots = usize::try_from(ring_bytes / 64)?;
    let needed = ring_slots(rate.saturating_mul(stall_ms) / 1000, 0);
    println!(
        "{rate} records a second for {seconds} s; a ring of {slots} slots, a stall alone fills {needed}"
    );
    let clock = TraceClock::start();
    let (mut recorder, tap) = recorder(slots);
    let stall = Duration::from_millis(stall_ms);
    let sink = Stalling { every: Duration::from_secs(1), stall, next: Instant::now(), stalls: 0, bytes: 0 };
    let options = Options { clock: Some(clock), ..Options::default() };
    let collector = Collector::start(sink, &header(rate)?, vec![tap], &options)?;

    // What is due is offered; where this thread did not run for more than a millisecond, the time is left out: a burst at
    // ten times the rate would be another experiment.
    let (begin, mut offered, mut left_out, mut latest) = (clock.now(), 0u64, 0u64, clock.now());
    loop {
        let now = clock.now();
        let elapsed = now.saturating_sub(begin).0;
        if elapsed >= seconds.saturating_mul(1_000_000_000) {
            break;
        }
        let pause = now.saturating_sub(latest).0;
        latest = now;
        if pause > 1_000_000 {
            left_out += pause - 1_000_000;
        }
        let counted = elapsed - left_out.min(elapsed);
        let due = u64::try_from(u128::from(counted) * u128::from(rate) / 1_000_000_000)?;
        for seq in offered..due {
            let (job, over) = (JobId { task: TaskId(0), seq }, JobId { task: TaskId(1), seq });
            let why = Why::EarliestDeadline { deadline: now, over };
            let decision = Decision { action: Action::Start { job, segment: 0 }, why };
            recorder.record(clock.now(), Body::Step { event: Event::Dispatch, decision });
        }
        offered = offered.max(due);
    }
    let (said, dropped) = (recorder.offered(), recorder.dropped());
    drop(recorder);
    let totals = collector.finish()?;
    println!("offered {}, written {}, dropped {}", totals.offered(), totals.written(), totals.dropped());
    println!("{:.0} records a second; {:.3} s left out", said as f64 / seconds as f64, left_out as f64 / 1e9);
    let adds_up = totals.recorders.iter().all(aegis_trace::Balance::adds_up)
        && (totals.offered(), totals.dropped()) == (said, dropped);
    println!("{}", if adds_up { "offered = written + dropped" } else { "DOES NOT ADD UP" });
    Ok(ExitCode::from(if !adds_up {
        1
    } else if dropped > 0 {
        3
    } else {
        0
    }))
}
