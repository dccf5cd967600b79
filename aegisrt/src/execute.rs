//! Running an admitted system: contexts behind the worker, every decision into the trace.
use crate::load::Loaded;
use crate::measure::Wcet;
use crate::memory::MemoryPlan;
use crate::{Error, SystemFile};
use aegis_backend::Place;
use aegis_context::ExecutionContext;
use aegis_core::{
    Blame, Budgeted, Bytes, Clock, DeviceKind, Fault, FaultCode, JobId, Nanos, TaskId, TaskSet, Usable,
    Verdict,
};
use aegis_memory::RegionKind;
use aegis_sched::dispatcher::{self, Executor, Law, Run};
use aegis_trace::{
    Body, Collector, Header, ModelNote, Options, Purpose, Record, TraceClock, TraceKey, recorder, ring_slots,
    write_signed,
};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

/// What writes traces.
pub(crate) const PROGRAM: &str = concat!("aegis ", env!("CARGO_PKG_VERSION"));

/// The longest time between two visits to the rings that costs no record: the collector visits every few milliseconds,
/// unless the system does not let it run or the disk takes that long.
const STALL: Nanos = Nanos::from_secs(1);
/// The most slots of a ring: 64 MiB of memory, whatever rate a system file states.
const MOST_SLOTS: usize = 1 << 20;

/// What one run does, besides what the system file says.
#[derive(Debug)]
pub struct RunOptions<'a> {
    /// How long jobs are released.
    pub duration: Nanos,
    /// Where the trace is written.
    pub trace: &'a Path,
    /// Seed of the sporadic gaps and of simulated models.
    pub seed: u64,
    /// Set from another thread to stop early; what was released is finished.
    pub stop: &'a AtomicBool,
    /// Signs the trace; without it the trace says that it is not signed.
    pub key: Option<TraceKey>,
    /// A file of the trace that has this many bytes is ended, and the next one begun beside it; without it there is one.
    pub part_bytes: Option<u64>,
}

/// What the run stands on: computed before it, recorded into its trace.
#[derive(Debug)]
pub struct Grounds<'a> {
    /// The admitted tasks.
    pub set: &'a TaskSet,
    /// Their WCETs, with evidence.
    pub wcets: &'a [Wcet],
    /// Their bounds.
    pub verdict: &'a Verdict,
    /// The memory plan.
    pub plan: &'a MemoryPlan,
}

struct Contexts {
    contexts: Vec<ExecutionContext>,
    charged: Vec<Nanos>,
}

impl Executor for Contexts {
    /// A thread's first work on a device takes far longer than any later one: 11.5 ms instead of 1.3 were seen. So every
    /// model that lies on a device is executed once on this thread, on the inputs that it has.
    fn prime(&mut self, failed: &mut dyn FnMut(TaskId, Fault)) {
        for (index, context) in self.contexts.iter_mut().enumerate() {
            if context.facts().place == Place::Device
                && let Err(error) = context.run_job()
            {
                failed(TaskId::from(index), error.fault());
            }
        }
    }

    fn execute(&mut self, job: JobId, _segment: u16) -> Result<(), Fault> {
        self.contexts[job.task.index()].run_job().map_err(|error| error.fault())
    }

    fn judge(&mut self, job: JobId, used: Nanos) -> Result<(), Fault> {
        let limit = self.charged[job.task.index()];
        if used <= limit {
            return Ok(());
        }
        let code = FaultCode::Budget(Budgeted::ComputeTime { limit, used });
        Err(Fault { blame: Blame::Model, code, usable: Usable::Session })
    }
}

/// Runs the system and writes its trace; returns when everything released has finished.
///
/// # Errors
/// [`Error::Trace`] if the trace cannot be written.
pub fn execute(
    file: &SystemFile,
    loaded: Vec<Loaded>,
    grounds: &Grounds<'_>,
    options: &RunOptions<'_>,
) -> Result<aegis_trace::Totals, Error> {
    let tasks = file.spec.tasks();
    let laws: Vec<Law> =
        tasks.iter().map(|t| Law { offset: t.offset, sporadic: t.sporadic, queue: t.queue }).collect();
    let clock = TraceClock::start();
    let mut header = header(file, &loaded, grounds.set, options.seed);
    let now = clock.pair();
    header.created_unix_ns = now.unix_ns.saturating_sub(now.clock_ns);
    header.clock = clock.note().to_string();
    let preamble = preamble(&loaded, grounds.wcets, grounds.verdict, Some(grounds.plan));
    let [dispatchers, workers] = rings(grounds.set, &laws, preamble.len() as u64);
    let (mut first, first_tap) = recorder(dispatchers);
    let (second, second_tap) = recorder(workers);
    let recording = Options { clock: Some(clock), key: options.key.clone(), part_bytes: options.part_bytes };
    let collector = Collector::create(options.trace, &header, vec![first_tap, second_tap], &recording)?;
    for body in preamble {
        first.record(clock.now(), body);
    }
    let contexts = Contexts {
        contexts: loaded.into_iter().map(|m| m.context).collect(),
        charged: grounds.wcets.iter().map(|w| w.charged).collect(),
    };
    let run = Run {
        set: grounds.set,
        laws: &laws,
        until: options.duration,
        seed: options.seed,
        stop: options.stop,
    };
    let (contexts, first, second) = dispatcher::run(&run, &clock, contexts, first, second);
    drop((first, second));
    let totals = collector.finish()?;
    drop(contexts);
    Ok(totals)
}

/// Writes a trace that says what was loaded and profiled and why the system was rejected, so that a decision against a
/// run is on record like every other.
///
/// # Errors
/// [`Error::Trace`] if it cannot be written.
pub fn record_rejection(
    file: &SystemFile,
    loaded: &[Loaded],
    set: &TaskSet,
    wcets: &[Wcet],
    verdict: &Verdict,
    options: &RunOptions<'_>,
) -> Result<(), Error> {
    let bodies = preamble(loaded, wcets, verdict, None);
    let records = bodies.into_iter().map(|body| Record { at: Nanos::ZERO, body });
    write_signed(options.trace, &header(file, loaded, set, options.seed), options.key.clone(), records)?;
    Ok(())
}

/// The slots of the dispatcher's ring and of the worker's, so that a stall of [`STALL`] costs no record: for every job
/// that can be released in it, or was waiting when it began, what the dispatcher is told and what it answers, and on the
/// worker's side starts, ends and two faults.
fn rings(set: &TaskSet, laws: &[Law], before: u64) -> [usize; 2] {
    let (mut steps, mut runs, mut faults) = (0u64, 0u64, 0u64);
    for (task, law) in set.tasks().iter().zip(laws) {
        let window = STALL.saturating_add(task.jitter);
        let jobs = task.arrival.arrivals_within(window.0).saturating_add(u64::from(law.queue));
        let segments = task.segments.len() as u64;
        steps = steps.saturating_add(jobs.saturating_mul(2 + 2 * segments));
        runs = runs.saturating_add(jobs.saturating_mul(2 * segments));
        faults = faults.saturating_add(jobs.saturating_mul(2));
    }
    // Besides the steps there is the record that the run stops; before the first job every task's priming can fail.
    let primed = laws.len() as u64;
    [ring_slots(steps, before.saturating_add(1)), ring_slots(runs, faults.saturating_add(primed))]
        .map(|slots| slots.min(MOST_SLOTS))
}

fn header(file: &SystemFile, loaded: &[Loaded], set: &TaskSet, seed: u64) -> Header {
    let notes = loaded.iter().map(|m| ModelNote {
        task: m.task.clone(),
        backend: m.backend.to_owned(),
        version: m.runtime.clone(),
        digest: m.digest.to_string(),
        file: m.file.display().to_string(),
    });
    Header {
        created_unix_ns: unix_now(),
        clock: "monotonic".to_owned(),
        program: PROGRAM.to_owned(),
        spec_digest: file.digest(),
        seed: Some(seed),
        set: set.clone(),
        queues: file.spec.tasks().iter().map(|t| t.queue).collect(),
        models: notes.collect(),
        host: machine(file.spec.device().kind),
    }
}

/// The host, and the device that the system names.
fn machine(kind: DeviceKind) -> String {
    let host = crate::profiles::host();
    let DeviceKind::Cuda(ordinal) = kind else { return host };
    match aegis_cuda::probe().ok().and_then(|d| d.devices.into_iter().find(|d| d.ordinal == ordinal)) {
        Some(device) => format!("{host}; {device}"),
        None => format!("{host}; {kind}"),
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| Nanos::from_std(d).0)
}

/// What was decided before the run, in the order in which it was decided.
fn preamble(loaded: &[Loaded], wcets: &[Wcet], verdict: &Verdict, plan: Option<&MemoryPlan>) -> Vec<Body> {
    let mut bodies = Vec::new();
    for (i, model) in loaded.iter().enumerate() {
        bodies.push(Body::Loaded {
            task: TaskId::from(i),
            weights: model.facts.weights,
            io: model.facts.io_bytes().unwrap_or(Bytes::ZERO),
            scratch: model.scratch(),
            took: model.took,
        });
    }
    for (i, wcet) in wcets.iter().enumerate() {
        let runs = match &wcet.evidence {
            crate::measure::Evidence::Stated => 0,
            crate::measure::Evidence::Measured(certificate) => certificate.n,
        };
        bodies.push(Body::Profiled { task: TaskId::from(i), wcet: wcet.charged, runs });
    }
    for task in verdict.tasks.iter().filter(|_| verdict.admitted()) {
        if let Some(bound) = &task.bound {
            bodies.push(Body::Admitted { task: task.task, wcrt: bound.wcrt, deadline: task.deadline });
        }
    }
    bodies.extend(verdict.rejections.iter().copied().map(Body::Rejected));
    let places = plan.iter().flat_map(|plan| &plan.places);
    for (place, region) in places.flat_map(|place| place.plan.regions.iter().map(move |r| (place, r))) {
        let purpose = match region.kind {
            RegionKind::Weights => Purpose::Weights,
            RegionKind::Io => Purpose::Io,
            RegionKind::Scratch | RegionKind::ScratchTensor(_) => Purpose::Scratch,
        };
        let task = place.tasks[region.model.index()];
        bodies.push(Body::Placed { task, purpose, offset: region.offset, size: region.size });
    }
    bodies
}
