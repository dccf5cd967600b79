//! The whole job for programs: one builder from a system file to a finished, traced run.
use crate::backends::Backends;
use crate::execute::{Grounds, RunOptions, execute, record_rejection, record_unplannable};
use crate::load::load;
use crate::measure::{Wcet, wcets};
use crate::memory::{MemoryPlan, plan_memory};
use crate::profiles::{host, same_host};
use crate::report::Report;
use crate::{Error, SystemFile};
use aegis_analysis::admit;
use aegis_backend::RuntimeBackend;
use aegis_core::{DeviceKind, Nanos, TaskSet, Verdict};
use aegis_trace::{Trace, TraceKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Everything that runs a system: load, profile, admit, plan, run, report.
///
/// ```no_run
/// use aegisrt::{Nanos, Runtime};
///
/// let finished = Runtime::builder().system("system.toml").duration(Nanos::from_secs(5)).run()?;
/// for task in &finished.report.tasks {
///     println!("{}: worst {} of at most {:?}", task.name, task.worst, task.bound);
/// }
/// # Ok::<(), aegisrt::Error>(())
/// ```
#[derive(Debug)]
pub struct Runtime {
    system: Option<SystemSource>,
    backends: Backends,
    duration: Nanos,
    trace: Option<PathBuf>,
    seed: u64,
    device: Option<DeviceKind>,
    stop: Arc<AtomicBool>,
    key: Option<TraceKey>,
    part_bytes: Option<u64>,
}

#[derive(Debug)]
enum SystemSource {
    Path(PathBuf),
    File(Box<SystemFile>),
}

/// A finished run and what it stood on.
#[derive(Debug)]
pub struct Finished {
    /// The admitted tasks with their WCETs.
    pub set: TaskSet,
    /// Where the WCETs come from.
    pub wcets: Vec<Wcet>,
    /// The bounds with their terms.
    pub verdict: Verdict,
    /// The memory plan.
    pub plan: MemoryPlan,
    /// The complete trace.
    pub trace: Trace,
    /// Where it was written.
    pub trace_path: PathBuf,
    /// What happened.
    pub report: Report,
}

impl Runtime {
    /// Starts from the defaults: five seconds, seed 1, the trace beside the system file.
    #[must_use]
    pub fn builder() -> Self {
        Self {
            system: None,
            backends: Backends::default(),
            duration: Nanos::from_secs(5),
            trace: None,
            seed: 1,
            device: None,
            stop: Arc::default(),
            key: None,
            part_bytes: None,
        }
    }

    /// Reads the system from this file.
    #[must_use]
    pub fn system(mut self, path: impl Into<PathBuf>) -> Self {
        self.system = Some(SystemSource::Path(path.into()));
        self
    }

    /// Takes a system that is read already.
    #[must_use]
    pub fn system_file(mut self, file: SystemFile) -> Self {
        self.system = Some(SystemSource::File(Box::new(file)));
        self
    }

    /// Adds a backend of your own, or replaces a built-in one of the same name.
    #[must_use]
    pub fn backend(mut self, backend: Box<dyn RuntimeBackend>) -> Self {
        self.backends.add(backend);
        self
    }

    /// How long jobs are released.
    #[must_use]
    pub fn duration(mut self, duration: Nanos) -> Self {
        self.duration = duration;
        self
    }

    /// Where the trace is written.
    #[must_use]
    pub fn trace(mut self, path: impl Into<PathBuf>) -> Self {
        self.trace = Some(path.into());
        self
    }

    /// Signs the trace.
    #[must_use]
    pub fn trace_key(mut self, key: TraceKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Ends a file of the trace that has this many bytes, and begins the next one beside it.
    #[must_use]
    pub fn trace_part(mut self, bytes: u64) -> Self {
        self.part_bytes = Some(bytes);
        self
    }

    /// Seed of everything random: sporadic gaps, the order of profiling, simulated models.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Another device than the system file names.
    #[must_use]
    pub fn device(mut self, device: DeviceKind) -> Self {
        self.device = Some(device);
        self
    }

    /// A handle that stops the run early when it is set; what was released is finished.
    #[must_use]
    pub fn stop_handle(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Does the whole job.
    ///
    /// # Errors
    /// [`Error`]; a system that is not admitted is not run ([`Error::NotAdmitted`] carries the verdict). If the power mode or
    /// the clocks changed under the run, that is [`Error::HostChanged`], and the trace is there.
    pub fn run(mut self) -> Result<Finished, Error> {
        let file = match self.system.take() {
            Some(SystemSource::File(file)) => *file,
            Some(SystemSource::Path(path)) => SystemFile::open(&path)?,
            None => return Err(Error::Argument("no system given; call `system(path)` first".to_owned())),
        };
        let file = file.on(self.device);
        let host = host();
        let mut loaded = load(&file, &mut self.backends, self.seed)?;
        let wcets = wcets(&file, &mut self.backends, Some(&mut loaded), self.seed, &mut |_| {})?;
        let set = task_set(&file, &wcets)?;
        let verdict = admit(&set);
        let trace_path = self.trace.unwrap_or_else(|| trace_path(&file.path));
        let options = RunOptions {
            duration: self.duration,
            trace: &trace_path,
            seed: self.seed,
            stop: &self.stop,
            key: self.key,
            part_bytes: self.part_bytes,
        };
        if !verdict.admitted() {
            record_rejection(&file, &loaded, &set, &wcets, &verdict, &options)?;
            return Err(Error::NotAdmitted { set: Box::new(set), verdict: Box::new(verdict) });
        }
        let plan = match plan_memory(&file, &loaded) {
            Err(Error::Memory(why)) => {
                let grounds = (&set, wcets.as_slice(), &verdict);
                record_unplannable(&file, &loaded, grounds, &why, &options)?;
                return Err(Error::Memory(why));
            }
            plan => plan?,
        };
        let grounds = Grounds { set: &set, wcets: &wcets, verdict: &verdict, plan: &plan };
        execute(&file, loaded, &grounds, &options)?;
        let trace = Trace::open(&trace_path)?;
        let report = Report::of(&trace);
        same_host(&host)?;
        Ok(Finished { set, wcets, verdict, plan, trace, trace_path, report })
    }
}

/// The task set of `file` with these WCETs.
///
/// # Errors
/// [`Error::Argument`] if a WCET does not fit, which measured ones always do.
pub fn task_set(file: &SystemFile, wcets: &[Wcet]) -> Result<TaskSet, Error> {
    file.spec
        .task_set(|i, _| wcets.get(i).map_or(Nanos::ZERO, |w| w.charged))
        .map_err(|error| Error::Argument(error.to_string()))
}

/// Where the trace of a system is written unless said otherwise: `system.aegis-trace` beside `system.toml`.
#[must_use]
pub fn trace_path(system: &Path) -> PathBuf {
    system.with_extension("aegis-trace")
}
