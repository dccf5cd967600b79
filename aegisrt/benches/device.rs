//! What AegisRT costs beside the bare runtime, and what shared memory saves, on the device that a system file names.
//!
//! `cargo bench -p aegisrt --bench device -- overhead SYSTEM.toml [JOBS]` runs each model of the file two ways in turn:
//! the bare loop (copy in, the runtime's own call, copy out, wait for an event) and the same session behind context,
//! dispatcher and recorder. `... -- memory SYSTEM.toml` loads the models three ways and asks the driver what is gone.
//! Prints a table and one line of JSON for each model.
use aegis_sched::dispatcher::{self, Executor, Law, Run};
use aegisrt::backend::{
    Artifact, Binding, DeviceBinding, Limits, Model, Place, RuntimeBackend, Session, fill_random,
};
use aegisrt::backends::Backends;
use aegisrt::context::ExecutionContext;
use aegisrt::core::{
    Budget, Clock, Fault, JobId, MonotonicClock, Overheads, Policy, Rng, TaskDraft, TaskSet,
};
use aegisrt::cuda::{DeviceMemory, Staging, Stream};
use aegisrt::load::{artifact, load, opened};
use aegisrt::{Bytes, Nanos, SystemFile};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const ROUNDS: usize = 6;

/// Of the inputs, the same in both ways.
const SEED: u64 = 1;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["overhead", system] => overhead(system, 1000),
        ["overhead", system, jobs] => {
            jobs.parse().map_err(Into::into).and_then(|jobs| overhead(system, jobs))
        }
        ["memory", system] => memory(system),
        _ => {
            println!("skipped: state `overhead SYSTEM.toml [JOBS]` or `memory SYSTEM.toml`");
            Ok(())
        }
    };
    if let Err(error) = done {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// Times of one way of running a model.
#[derive(Default)]
struct Times(Vec<u64>);

impl Times {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn mean(&self) -> f64 {
        self.0.iter().sum::<u64>() as f64 / self.0.len().max(1) as f64 / 1000.0
    }

    /// In ns.
    fn median(&mut self) -> u64 {
        self.0.sort_unstable();
        self.0.get(self.0.len() / 2).copied().unwrap_or(1)
    }

    /// In µs; `part` in thousandths.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn quantile(&mut self, part: usize) -> f64 {
        self.0.sort_unstable();
        self.0
            .get((self.0.len() * part / 1000).min(self.0.len().saturating_sub(1)))
            .map_or(0.0, |t| *t as f64 / 1000.0)
    }
}

fn overhead(system: &str, jobs: u64) -> Result<(), Box<dyn Error>> {
    let file = SystemFile::open(Path::new(system))?;
    let mut backends = Backends::default();
    let stream = backends.stream(file.spec.device())?.ok_or("the system names no CUDA device")?;
    println!(
        "{:<14} {:<26} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8}",
        "model", "runtime", "bare mean", "aegis", "bare p99", "aegis p99", "cost", "submit"
    );
    for (index, task) in file.spec.tasks().iter().enumerate() {
        let artifact = artifact(&file, index)?;
        let backend = opened(&file, &mut backends, 1, index)?;
        let runtime = backend.version();
        let mut bare = Bare::open(backend, &artifact, &stream)?;
        let mut own = behind(backend, &artifact, &stream)?;
        let (mut plain, mut ours, mut submit) = (Times::default(), Times::default(), Times::default());
        bare.run(200, &mut Times::default(), &mut Times::default())?;
        let mut period = Times::default();
        bare.run(200, &mut period, &mut Times::default())?;
        let period = Nanos(period.median());
        for round in 0..ROUNDS {
            // In turn, and each of them first in every other round.
            for turn in 0..2 {
                if (round + turn) % 2 == 0 {
                    bare.run(jobs, &mut plain, &mut submit)?;
                } else {
                    own = dispatched(own, period, jobs, &mut ours);
                }
            }
        }
        let same = bare.outputs() == outputs(&own);
        let cost = ours.mean() - plain.mean();
        println!(
            "{:<14} {:<26} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>8.2} {:>8.2}  outputs {}",
            task.name,
            runtime,
            plain.mean(),
            ours.mean(),
            plain.quantile(990),
            ours.quantile(990),
            cost,
            submit.mean(),
            if same { "bit-equal" } else { "DIFFER" }
        );
        println!(
            "{{\"model\":\"{}\",\"runtime\":\"{runtime}\",\"jobs\":{},\"bare_mean_us\":{:.3},\"aegis_mean_us\":{:.3},\"bare_p50_us\":{:.3},\"aegis_p50_us\":{:.3},\"bare_p99_us\":{:.3},\"aegis_p99_us\":{:.3},\"cost_percent\":{:.3},\"submit_mean_us\":{:.3},\"bit_equal\":{same}}}",
            task.name,
            ours.0.len(),
            plain.mean(),
            ours.mean(),
            plain.quantile(500),
            ours.quantile(500),
            plain.quantile(990),
            ours.quantile(990),
            cost / plain.mean() * 100.0,
            submit.mean()
        );
        if !same {
            return Err("the outputs differ".into());
        }
    }
    Ok(())
}

/// The bare loop: what a program without AegisRT writes.
struct Bare {
    session: Box<dyn aegisrt::backend::DeviceSession>,
    staging: Staging,
    _model: Box<dyn Model>,
}

impl Bare {
    fn open(
        backend: &dyn RuntimeBackend,
        artifact: &Artifact,
        stream: &Arc<Stream>,
    ) -> Result<Self, Box<dyn Error>> {
        let model = backend.load(artifact, &Limits::default())?;
        let device = DeviceBinding::alone(stream, model.facts())?;
        let mut staging = Staging::new(stream, device.inputs.clone(), device.outputs.clone())?;
        let mut rng = Rng::new(SEED);
        for (i, input) in model.facts().inputs.iter().enumerate() {
            fill_random(input.dtype, staging.input_mut(i)?.unwrap_or_default(), &mut rng);
        }
        match model.open(&Binding { threads: None, device: Some(device) })? {
            Session::Device(session) => Ok(Self { session, staging, _model: model }),
            Session::Host(_) => Err("this model works on the host".into()),
        }
    }

    fn run(&mut self, jobs: u64, times: &mut Times, submit: &mut Times) -> Result<(), Box<dyn Error>> {
        let clock = MonotonicClock::start();
        for _ in 0..jobs {
            let start = clock.now();
            self.staging.begin()?;
            let before = clock.now();
            self.session.enqueue(0)?;
            submit.0.push((clock.now() - before).0);
            self.staging.end()?;
            self.staging.wait()?;
            times.0.push((clock.now() - start).0);
        }
        Ok(())
    }

    fn outputs(&self) -> Vec<Vec<u8>> {
        (0..self.staging.tensors().1).filter_map(|i| self.staging.output(i)).map(<[u8]>::to_vec).collect()
    }
}

/// The same behind an execution context.
fn behind(
    backend: &dyn RuntimeBackend,
    artifact: &Artifact,
    stream: &Arc<Stream>,
) -> Result<ExecutionContext, Box<dyn Error>> {
    let model = backend.load(artifact, &Limits::default())?;
    let device = DeviceBinding::alone(stream, model.facts())?;
    let binding = Binding { threads: None, device: Some(device) };
    let facts = model.facts().clone();
    let mut context = ExecutionContext::open("bench", model, &Budget::default(), &binding)?;
    let mut rng = Rng::new(SEED);
    for (i, input) in facts.inputs.iter().enumerate() {
        fill_random(input.dtype, context.input_mut(i)?, &mut rng);
    }
    Ok(context)
}

fn outputs(context: &ExecutionContext) -> Vec<Vec<u8>> {
    (0..context.facts().outputs.len()).filter_map(|i| context.output(i).ok()).map(<[u8]>::to_vec).collect()
}

struct One<'a> {
    context: ExecutionContext,
    times: &'a mut Times,
}

impl Executor for One<'_> {
    fn execute(&mut self, _: JobId, _: u16) -> Result<(), Fault> {
        self.context.run_job().map_err(|error| error.fault())
    }

    fn judge(&mut self, _: JobId, used: Nanos) -> Result<(), Fault> {
        self.times.0.push(used.0);
        Ok(())
    }
}

/// Jobs come as fast as they are done; those that find the queue full are refused and do not count.
fn dispatched(context: ExecutionContext, period: Nanos, jobs: u64, times: &mut Times) -> ExecutionContext {
    let draft = TaskDraft {
        name: "bench".to_owned(),
        segments: vec![period],
        arrival: period.into(),
        deadline: None,
        jitter: Nanos::ZERO,
        priority: None,
    };
    let set = TaskSet::new(Policy::Edf, Overheads::default(), vec![draft]).expect("one sound task");
    let clock = MonotonicClock::start();
    let law = Law { offset: Nanos::ZERO, sporadic: false, queue: 2 };
    let until = Nanos(period.0 * jobs);
    times.0.reserve(usize::try_from(jobs).unwrap_or(0) + 1);
    let stop = AtomicBool::new(false);
    let run = Run { set: &set, laws: &[law], until, seed: 1, stop: &stop };
    // Large enough for all of it, so that nothing has to be written out meanwhile: at most eight records a job.
    let ring = || aegisrt::trace::recorder(usize::try_from(jobs * 8).unwrap_or(1 << 20));
    let ((first, _one), (second, _two)) = (ring(), ring());
    let (one, ..) = dispatcher::run(&run, &clock, One { context, times }, first, second);
    one.context
}

/// Device memory that the driver says is gone after loading all models of the file: each with memory of its own, with
/// one scratch as large as the largest, and as AegisRT binds them.
fn memory(system: &str) -> Result<(), Box<dyn Error>> {
    let file = SystemFile::open(Path::new(system))?;
    let mut backends = Backends::default();
    let stream = backends.stream(file.spec.device())?.ok_or("the system names no CUDA device")?;
    let context = Arc::clone(stream.context());
    let tasks = file.spec.tasks().len();
    let artifacts = (0..tasks).map(|index| artifact(&file, index)).collect::<Result<Vec<_>, _>>()?;
    // The first load of a process takes memory for the runtime itself.
    for (index, artifact) in artifacts.iter().enumerate() {
        let backend = opened(&file, &mut backends, 1, index)?;
        Bare::open(backend, artifact, &stream)?.run(3, &mut Times::default(), &mut Times::default())?;
    }
    let free = || context.memory().map(|(free, _)| free);
    let mut alone = Vec::new();
    let before = free()?;
    for (index, artifact) in artifacts.iter().enumerate() {
        let backend = opened(&file, &mut backends, 1, index)?;
        alone.push(Bare::open(backend, artifact, &stream)?);
    }
    let separate = before.saturating_sub(free()?);
    drop(alone);

    let before = free()?;
    let mut models = Vec::new();
    for (index, artifact) in artifacts.iter().enumerate() {
        let backend = opened(&file, &mut backends, 1, index)?;
        models.push(backend.load(artifact, &Limits::default())?);
    }
    let weights = before.saturating_sub(free()?);
    let largest = models.iter().filter_map(|m| m.facts().placeable()).max().unwrap_or(Bytes::ZERO);
    let sum: Bytes = models.iter().filter_map(|m| m.facts().placeable()).sum();
    let scratch = DeviceMemory::alloc(&context, largest)?;
    let mut sessions = Vec::new();
    for model in models.iter().filter(|m| m.facts().place == Place::Device) {
        let facts = model.facts();
        let bound = |bytes: Option<Bytes>| DeviceMemory::alloc(&context, bytes.unwrap_or_default());
        let inputs = facts.inputs.iter().map(|t| bound(t.bytes())).collect::<Result<_, _>>()?;
        let outputs = facts.outputs.iter().map(|t| bound(t.bytes())).collect::<Result<_, _>>()?;
        let device =
            DeviceBinding { stream: Arc::clone(&stream), inputs, outputs, scratch: Some(scratch.clone()) };
        sessions.push(model.open(&Binding { threads: None, device: Some(device) })?);
    }
    let by_hand = before.saturating_sub(free()?);
    drop((sessions, models, scratch));

    let before = free()?;
    let loaded = load(&file, &mut backends, 1)?;
    let ours = before.saturating_sub(free()?);
    println!("{tasks} models; scratch {sum} in all, the largest {largest}");
    for (what, bytes) in [
        ("separate contexts", separate),
        ("one shared scratch by hand", by_hand),
        ("AegisRT", ours),
        ("weights alone", weights),
    ] {
        println!("{what:<28} {bytes:#}");
    }
    println!(
        "{{\"models\":{tasks},\"separate_bytes\":{},\"one_scratch_bytes\":{},\"aegis_bytes\":{},\"weights_bytes\":{},\"scratch_sum_bytes\":{},\"scratch_largest_bytes\":{}}}",
        separate.0, by_hand.0, ours.0, weights.0, sum.0, largest.0
    );
    drop(loaded);
    Ok(())
}
