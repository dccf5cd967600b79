//! Running an admitted system: contexts behind the worker, every decision into the trace.
use crate::contention::Contention;
use crate::load::Loaded;
use crate::measure::Wcet;
use crate::memory::MemoryPlan;
use crate::watch::watch;
use crate::{Error, SystemFile};
use aegis_backend::Place;
use aegis_context::ExecutionContext;
use aegis_core::{
    Blame, Budgeted, Bytes, Clock, DeviceKind, Fault, FaultCode, JobId, Nanos, Stall, TaskId, TaskSet,
    Usable, Verdict,
};
use aegis_memory::{PlanError, RegionKind, SystemError};
use aegis_sched::dispatcher::{self, Executor, Law, Run};
use aegis_trace::{
    Body, Collector, Direction, Header, ModelNote, Options, Purpose, Record, TraceClock, TraceKey, recorder,
    ring_slots, write_signed,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// What writes traces.
pub(crate) const PROGRAM: &str = concat!("aegis ", env!("CARGO_PKG_VERSION"));

/// The longest time between two visits to the rings that costs no record: the collector visits every few milliseconds,
/// unless the system does not let it run or the disk takes that long.
const STALL: Nanos = Nanos::from_secs(1);
/// The most slots of a ring: 64 MiB of memory, whatever rate a system file states.
const MOST_SLOTS: usize = 1 << 20;

/// Changes of the device's clock that fit their ring between two visits of its reader: far more than are looked for.
const CLOCK_CHANGES: u64 = 64;

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
    of_tasks: Vec<ExecutionContext>,
    charged: Vec<Nanos>,
    contention: Contention,
    /// Models are brought back only where admission charges for it: so long, so often.
    recovery: Stall,
    recovered: Option<Nanos>,
}

impl Executor for Contexts {
    /// A thread's first work on a device takes far longer than any later one: 11.5 ms instead of 1.3 were seen. So every
    /// model that lies on a device is executed once on this thread, on the inputs that it has.
    fn prime(&mut self, failed: &mut dyn FnMut(TaskId, Fault)) {
        self.contention = Contention::of_this_thread();
        for (index, context) in self.of_tasks.iter_mut().enumerate() {
            if context.facts().place == Place::Device
                && let Err(error) = context.run_job()
            {
                failed(TaskId::from(index), error.fault());
            }
        }
    }

    fn begin(&mut self, _job: JobId, _segment: u16) {
        self.contention.begin();
    }

    fn execute(&mut self, job: JobId, _segment: u16) -> Result<(), Fault> {
        self.of_tasks[job.task.index()].run_job().map_err(|error| error.fault())
    }

    fn judge(&mut self, job: JobId, used: Nanos) -> Result<(), Fault> {
        let limit = self.charged[job.task.index()];
        if used <= limit {
            return Ok(());
        }
        let code = FaultCode::Budget(Budgeted::ComputeTime { limit, used });
        Err(Fault { blame: Blame::Model, code, usable: Usable::Session })
    }

    fn may_recover(&self, job: JobId, now: Nanos) -> bool {
        self.recovery.length > Nanos::ZERO
            && self.recovered.is_none_or(|last| now.saturating_sub(last) >= self.recovery.gap)
            && self.of_tasks[job.task.index()].can_reopen()
    }

    fn recover(&mut self, job: JobId, now: Nanos) -> Result<(), Fault> {
        self.recovered = Some(now);
        self.of_tasks[job.task.index()].reopen().map_err(|error| error.fault())
    }

    fn noticed(&mut self, job: JobId, segment: u16, record: &mut dyn FnMut(Body)) {
        if let Some(waited) = self.contention.since().filter(|waited| *waited > Nanos::ZERO) {
            record(Body::Contended { job, segment, waited });
        }
        // A model of several segments has the copies of its last one here.
        let Some(copies) = self.of_tasks[job.task.index()].copies() else { return };
        for (direction, took) in [(Direction::In, copies.inputs), (Direction::Out, copies.outputs)] {
            if took > Nanos::ZERO {
                record(Body::Copied { job, segment, direction, took });
            }
        }
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
    let [dispatchers, workers] = rings(grounds.set, &laws, preamble.len() as u64 + 1);
    let (mut first, first_tap) = recorder(dispatchers);
    let (second, second_tap) = recorder(workers);
    let (third, third_tap) = recorder(ring_slots(0, CLOCK_CHANGES));
    let recording = Options { clock: Some(clock), key: options.key.clone(), part_bytes: options.part_bytes };
    let collector =
        Collector::create(options.trace, &header, vec![first_tap, second_tap, third_tap], &recording)?;
    first.record(clock.now(), Body::RecordCost { per_thousand: record_cost(&clock) });
    for body in preamble {
        first.record(clock.now(), body);
    }
    let contexts = Contexts {
        of_tasks: loaded.into_iter().map(|m| m.context).collect(),
        charged: grounds.wcets.iter().map(|w| w.charged).collect(),
        contention: Contention::default(),
        recovery: grounds.set.overheads().recovery,
        recovered: None,
    };
    let run = Run {
        set: grounds.set,
        laws: &laws,
        until: options.duration,
        seed: options.seed,
        stop: options.stop,
    };
    let ended = AtomicBool::new(false);
    let (contexts, first, second) = thread::scope(|scope| {
        // A run without this thread says nothing of the clock, and is none the worse.
        let _ = thread::Builder::new()
            .name("aegis-watch".to_owned())
            .spawn_scoped(scope, || watch(file.spec.device().kind, &clock, third, &ended));
        let _ended = Ended(&ended);
        dispatcher::run(&run, &clock, contexts, first, second)
    });
    drop((first, second));
    let totals = collector.finish()?;
    drop(contexts);
    Ok(totals)
}

/// Ends the watch when the run ends, however it does.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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
/// worker's side starts and ends, what is noticed of each execution, faults and recovery.
fn rings(set: &TaskSet, laws: &[Law], before: u64) -> [usize; 2] {
    let (mut steps, mut runs, mut others) = (0u64, 0u64, 0u64);
    for (task, law) in set.tasks().iter().zip(laws) {
        let window = STALL.saturating_add(task.jitter);
        let jobs = task.arrival.arrivals_within(window.0).saturating_add(u64::from(law.queue));
        let segments = task.segments.len() as u64;
        steps = steps.saturating_add(jobs.saturating_mul(2 + 2 * segments));
        runs = runs.saturating_add(jobs.saturating_mul(2 * segments));
        others = others.saturating_add(jobs.saturating_mul(4 * segments + 5));
    }
    // Besides the steps there are what a record costs and that the run stops; before the first job every task's priming can
    // fail.
    let primed = laws.len() as u64;
    [ring_slots(steps, before.saturating_add(2)), ring_slots(runs, others.saturating_add(primed))]
        .map(|slots| slots.min(MOST_SLOTS))
}

/// As [`record_rejection`], of a system that is admitted and whose models do not fit the memory together.
///
/// # Errors
/// [`Error::Trace`] if it cannot be written.
pub fn record_unplannable(
    file: &SystemFile,
    loaded: &[Loaded],
    grounds: (&TaskSet, &[Wcet], &Verdict),
    why: &SystemError,
    options: &RunOptions<'_>,
) -> Result<(), Error> {
    let (set, wcets, verdict) = grounds;
    let mut bodies = preamble(loaded, wcets, verdict, None);
    if let SystemError::Plan(PlanError::OverCapacity { peak, capacity, bound, .. }) = why {
        bodies.push(Body::Unplannable { peak: *peak, at_least: bound.bytes, limit: *capacity });
    }
    let records = bodies.into_iter().map(|body| Record { at: Nanos::ZERO, body });
    write_signed(options.trace, &header(file, loaded, set, options.seed), options.key.clone(), records)?;
    Ok(())
}

/// What a thousand records take the thread that records them: the least of many tries, so that an explanation never
/// blames recording for what something else took.
fn record_cost(clock: &impl Clock) -> Nanos {
    let body = Body::Started { job: JobId { task: TaskId(0), seq: 0 }, segment: 0 };
    let once = |_| {
        let (mut recorder, tap) = recorder(1000);
        let from = clock.now();
        (0..1000).for_each(|_| recorder.record(from, body));
        let took = clock.now().saturating_sub(from);
        drop(tap);
        took
    };
    (0..32).map(once).min().unwrap_or_default()
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
        let (task, held, budget) = (TaskId::from(i), model.context.accounting(), model.context.budget());
        let asked = [
            budget.device_memory.map(|limit| (limit, held.device_memory())),
            budget.host_memory.map(|limit| (limit, held.host_memory())),
        ];
        let [device, host] = asked.map(|both| both.map(|(limit, asked)| (limit.0, asked.0)));
        let within = [
            device.map(|(limit, asked)| Budgeted::DeviceMemory { limit, asked }),
            host.map(|(limit, asked)| Budgeted::HostMemory { limit, asked }),
            budget.streams.map(|limit| Budgeted::Streams { limit, asked: held.streams }),
        ];
        bodies.extend(within.into_iter().flatten().map(|budget| Body::WithinBudget { task, budget }));
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
        let task = TaskId::from(i);
        bodies.push(Body::Profiled { task, wcet: wcet.charged, runs });
        if let crate::measure::Evidence::Measured(certificate) = &wcet.evidence {
            bodies.push(Body::Certified {
                task,
                bound: certificate.bound,
                samples: certificate.n,
                exceedance_ppb: ppb((certificate.exceedance * 1e9).ceil()),
                confidence_ppb: ppb((certificate.attained_confidence * 1e9).floor()),
            });
            if let Some(limit) = loaded.get(i).and_then(|model| model.context.budget().compute) {
                let budget = Budgeted::ComputeTime { limit, used: certificate.bound };
                bodies.push(Body::WithinBudget { task, budget });
            }
        }
    }
    bodies.extend(decided(verdict));
    bodies.extend(plan.iter().flat_map(|plan| &plan.places).map(|place| Body::Planned {
        on_device: place.place == Place::Device,
        peak: place.plan.peak,
        at_least: place.plan.bound.bytes,
        limit: place.limit,
    }));
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

/// What admission said: every bound with its terms, or every reason against.
pub(crate) fn decided(verdict: &Verdict) -> Vec<Body> {
    let mut bodies = Vec::new();
    for answer in verdict.tasks.iter().filter(|_| verdict.admitted()) {
        if let Some(bound) = &answer.bound {
            let task = answer.task;
            bodies.push(Body::Admitted { task, wcrt: bound.wcrt, deadline: answer.deadline });
            bodies.extend(bound.terms.iter().map(|&term| Body::BoundTerm { task, term }));
        }
    }
    bodies.extend(verdict.rejections.iter().copied().map(Body::Rejected));
    bodies
}

/// A whole number of parts per billion, of a probability.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1e9")]
fn ppb(parts: f64) -> u32 {
    parts.clamp(0.0, 1e9) as u32
}
