//! `system.toml`: reading it into a valid [`SystemSpec`], with errors that point at the offending text.
use crate::diagnostic::{SourceError, in_words, read_text};
use aegis_core::{
    Budget, Bytes, DeviceKind, DeviceSpec, Nanos, NoDeviceKind, Overheads, Policy, Priority, PriorityOrder,
    ProfileSpec, SpecError, Stall, SystemSpec, TaskSetError, TaskSpec,
};
use aegis_sched::profile::samples_needed;
use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use toml::Spanned;

/// A system file: the valid specification, and where it came from.
#[derive(Debug, Clone)]
pub struct SystemFile {
    /// The path as given; relative paths inside are relative to its folder.
    pub path: PathBuf,
    /// The text.
    pub text: String,
    /// What it says.
    pub spec: SystemSpec,
    places: Vec<Places>,
}

impl SystemFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`SourceError`] with line and column of the first mistake, or without a place if the file cannot be read.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        if !path.exists() {
            let what = "there is no such system file; `aegis init` writes one to start from".to_owned();
            return Err(SourceError::unplaced(path, what));
        }
        let text = read_text(path, "system file")?;
        Self::parse(path, text)
    }

    /// Checks a text as if it were the content of `path`.
    ///
    /// # Errors
    /// [`SourceError`] with line and column of the first mistake.
    pub fn parse(path: &Path, text: String) -> Result<Self, SourceError> {
        match parse(&text) {
            Ok((spec, places)) => Ok(Self { path: path.to_path_buf(), text, spec, places }),
            Err((span, message)) => Err(SourceError::placed(path, text, span, message)),
        }
    }

    /// The same system on another device, if one is given.
    #[must_use]
    pub fn on(mut self, device: Option<DeviceKind>) -> Self {
        if let Some(kind) = device {
            self.spec = self.spec.with_device(kind);
        }
        self
    }

    /// BLAKE3 of the text, in hexadecimal: names the specification in traces.
    #[must_use]
    pub fn digest(&self) -> String {
        blake3::hash(self.text.as_bytes()).to_hex().to_string()
    }

    /// The folder that relative paths count from.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// An error about the model of the task at `index`, pointing at its line.
    #[must_use]
    pub fn model_error(&self, index: usize, message: impl Into<String>) -> SourceError {
        self.task_error(index, |places| &places.model, message)
    }

    /// An error about the backend of the task at `index`, pointing at its line.
    #[must_use]
    pub fn backend_error(&self, index: usize, message: impl Into<String>) -> SourceError {
        self.task_error(index, |places| &places.backend, message)
    }

    fn task_error(
        &self,
        index: usize,
        field: fn(&Places) -> &Range<usize>,
        message: impl Into<String>,
    ) -> SourceError {
        let span = self.places.get(index).map_or(0..0, |places| field(places).clone());
        SourceError::placed(&self.path, self.text.clone(), span, message.into())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    device: RawDevice,
    #[serde(default)]
    policy: RawPolicy,
    #[serde(default)]
    overhead: RawOverheads,
    #[serde(default)]
    profile: RawProfile,
    #[serde(default)]
    task: Vec<Spanned<RawTask>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    memory: Option<Quantity<Bytes>>,
    threads: Option<u32>,
    ort_library: Option<String>,
    trt_library: Option<String>,
    kind: Option<Spanned<String>>,
    wait: Option<RawWait>,
    cpu_fallback: Option<bool>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum RawWait {
    Block,
    Spin,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    kind: Option<RawKind>,
    order: Option<Spanned<RawOrder>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum RawKind {
    #[serde(alias = "np-edf")]
    Edf,
    #[serde(alias = "np-fp")]
    FixedPriority,
    Fifo,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum RawOrder {
    DeadlineMonotonic,
    RateMonotonic,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawOverheads {
    release: Option<Quantity<Nanos>>,
    dispatch: Option<Quantity<Nanos>>,
    launch: Option<Quantity<Nanos>>,
    copy: Option<Quantity<Nanos>>,
    completion: Option<Quantity<Nanos>>,
    recovery: Option<Spanned<RawStall>>,
    clock_change: Option<Spanned<RawStall>>,
    reload: Option<Spanned<RawStall>>,
}

/// The partition stands still for `length`, and again after `gap` at the earliest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStall {
    length: Quantity<Nanos>,
    gap: Quantity<Nanos>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    exceedance: Option<Spanned<f64>>,
    confidence: Option<Spanned<f64>>,
    runs: Option<Spanned<u64>>,
    warm_up: Option<u64>,
    margin_percent: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTask {
    name: Spanned<String>,
    model: Option<Spanned<String>>,
    sim: Option<Spanned<toml::Table>>,
    backend: Option<Spanned<String>>,
    period: Option<Spanned<Quantity<Nanos>>>,
    min_inter_arrival: Option<Spanned<Quantity<Nanos>>>,
    offset: Option<Quantity<Nanos>>,
    jitter: Option<Spanned<Quantity<Nanos>>>,
    deadline: Option<Spanned<Quantity<Nanos>>>,
    priority: Option<Spanned<u32>>,
    wcet: Option<Spanned<Quantity<Nanos>>>,
    budget: Option<Spanned<Quantity<Nanos>>>,
    memory_limit: Option<Quantity<Bytes>>,
    streams: Option<u32>,
    queue: Option<Spanned<u32>>,
}

/// A quantity with a unit, as a TOML string; a bare number is refused with the advice to write a unit.
struct Quantity<T>(T);

/// What can be written as a quantity.
trait Unit: FromStr<Err = aegis_core::QuantityError> {
    const EXAMPLE: &str;
}

impl Unit for Nanos {
    const EXAMPLE: &str = "a time in quotes, as in \"20 ms\"";
}

impl Unit for Bytes {
    const EXAMPLE: &str = "a size in quotes, as in \"512 MiB\"";
}

impl<'de, T: Unit> Deserialize<'de> for Quantity<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<T: Unit> de::Visitor<'_> for Visitor<T> {
            type Value = Quantity<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXAMPLE)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map(Quantity).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                self.visit_str(&value.to_string())
            }
        }
        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

type Misplaced = (Range<usize>, String);

/// Places for waiting jobs are taken before the run.
const LONGEST_QUEUE: u32 = 10_000;

fn parse(text: &str) -> Result<(SystemSpec, Vec<Places>), Misplaced> {
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let message = match error.message() {
            "invalid type: map, expected a sequence" => {
                "tasks are a list; write [[task]] with two brackets".to_owned()
            }
            other => in_words(other, "a table"),
        };
        (span, message)
    })?;
    if raw.task.is_empty() {
        return Err((0..0, "the file has no [[task]]; state at least one".to_owned()));
    }
    let policy = match raw.policy.kind.unwrap_or(RawKind::Edf) {
        RawKind::Edf => Policy::Edf,
        RawKind::FixedPriority => Policy::FixedPriority,
        RawKind::Fifo => Policy::Fifo,
    };
    if let (Some(order), false) = (&raw.policy.order, policy == Policy::FixedPriority) {
        return Err((
            order.span(),
            format!("`order` means something only with kind = \"fixed-priority\", not {policy}"),
        ));
    }
    let order = match raw.policy.order.as_ref().map(Spanned::get_ref) {
        Some(RawOrder::RateMonotonic) => PriorityOrder::RateMonotonic,
        Some(RawOrder::DeadlineMonotonic) | None => PriorityOrder::DeadlineMonotonic,
    };
    let stalls_at: Vec<(&str, Range<usize>)> = [
        ("recovery", &raw.overhead.recovery),
        ("clock_change", &raw.overhead.clock_change),
        ("reload", &raw.overhead.reload),
    ]
    .into_iter()
    .filter_map(|(name, stall)| Some((name, stall.as_ref()?.span())))
    .collect();
    let overheads = Overheads {
        release: value(raw.overhead.release),
        dispatch: value(raw.overhead.dispatch),
        launch: value(raw.overhead.launch),
        copy: value(raw.overhead.copy),
        completion: value(raw.overhead.completion),
        recovery: stall(raw.overhead.recovery),
        clock_change: stall(raw.overhead.clock_change),
        reload: stall(raw.overhead.reload),
    };
    let defaults = ProfileSpec::default();
    let spans: Vec<Range<usize>> = [&raw.profile.exceedance, &raw.profile.confidence]
        .map(|f| f.as_ref().map_or(0..0, Spanned::span))
        .into();
    let runs_at = raw.profile.runs.as_ref().map_or(0..0, Spanned::span);
    let profile = ProfileSpec {
        exceedance: raw.profile.exceedance.map_or(defaults.exceedance, Spanned::into_inner),
        confidence: raw.profile.confidence.map_or(defaults.confidence, Spanned::into_inner),
        runs: raw.profile.runs.map(Spanned::into_inner),
        warm_up: raw.profile.warm_up.unwrap_or(defaults.warm_up),
        margin_percent: raw.profile.margin_percent.unwrap_or(defaults.margin_percent),
    };
    let kind = match raw.device.kind {
        None => DeviceKind::Cpu,
        Some(text) => {
            text.get_ref().parse().map_err(|error: NoDeviceKind| (text.span(), error.to_string()))?
        }
    };
    let device = DeviceSpec {
        kind,
        spin: raw.device.wait == Some(RawWait::Spin),
        cpu_fallback: raw.device.cpu_fallback.unwrap_or(false),
        trt_library: raw.device.trt_library,
        memory: raw.device.memory.map(|q| q.0),
        threads: raw.device.threads,
        ort_library: raw.device.ort_library,
    };
    let places: Vec<Places> = raw.task.iter().map(Places::of).collect();
    let tasks = raw.task.into_iter().map(task).collect::<Result<Vec<_>, _>>()?;
    let spec = SystemSpec::new(device, policy, order, overheads, profile, tasks)
        .map_err(|error| (place(&error, &places, &spans, &stalls_at), error.to_string()))?;
    enough_runs(&spec).map_err(|why| (runs_at, why))?;
    Ok((spec, places))
}

/// So that nobody measures for minutes what cannot support the claim.
fn enough_runs(spec: &SystemSpec) -> Result<(), String> {
    let claim = spec.profile();
    let (Some(runs), true) = (claim.runs, spec.tasks().iter().any(|t| t.wcet.is_none())) else {
        return Ok(());
    };
    match samples_needed(claim.exceedance, claim.confidence) {
        Ok(needed) if runs < needed => Err(format!(
            "{runs} runs cannot show that at most {} of the jobs exceed a bound with confidence {}: {needed} are \
             needed; raise `runs` or leave it out",
            claim.exceedance, claim.confidence
        )),
        _ => Ok(()),
    }
}

fn value<T: Default>(quantity: Option<Quantity<T>>) -> T {
    quantity.map_or_else(T::default, |q| q.0)
}

fn stall(raw: Option<Spanned<RawStall>>) -> Stall {
    raw.map(Spanned::into_inner)
        .map_or_else(Stall::default, |stall| Stall { length: stall.length.0, gap: stall.gap.0 })
}

fn task(raw: Spanned<RawTask>) -> Result<TaskSpec, Misplaced> {
    let whole = raw.span();
    let raw = raw.into_inner();
    let name = raw.name.into_inner();
    let (period, sporadic) = match (raw.period, raw.min_inter_arrival) {
        (Some(period), None) => (period.into_inner().0, false),
        (None, Some(gap)) => (gap.into_inner().0, true),
        (Some(_), Some(gap)) => {
            return Err((
                gap.span(),
                format!("task `{name}` states both `period` and `min_inter_arrival`; keep one"),
            ));
        }
        (None, None) => {
            return Err((
                whole,
                format!("task `{name}` states neither `period` nor `min_inter_arrival`; add one"),
            ));
        }
    };
    let (model, model_is_text, backend) = match (raw.model, raw.sim) {
        (Some(path), None) => (path.into_inner(), false, "rten"),
        (None, Some(sim)) => (sim.get_ref().to_string(), true, "sim"),
        (Some(_), Some(sim)) => {
            return Err((sim.span(), format!("task `{name}` states both `model` and `sim`; keep one")));
        }
        (None, None) => {
            return Err((
                whole,
                format!("task `{name}` has no model; add `model = \"file.onnx\"` or a `sim` table"),
            ));
        }
    };
    if let Some(budget) = raw.budget.as_ref().filter(|b| b.get_ref().0 == Nanos::ZERO) {
        return Err((budget.span(), format!("task `{name}`: budget is 0; it must be at least 1 ns")));
    }
    if let Some(queue) = raw.queue.as_ref().filter(|q| *q.get_ref() > LONGEST_QUEUE) {
        let message = format!("task `{name}`: queue is {}; the most is {LONGEST_QUEUE}", queue.get_ref());
        return Err((queue.span(), message));
    }
    let limit = raw.memory_limit.map(|q| q.0);
    Ok(TaskSpec {
        name,
        model,
        model_is_text,
        backend: raw.backend.map_or_else(|| backend.to_owned(), Spanned::into_inner),
        period,
        sporadic,
        offset: value(raw.offset),
        jitter: value(raw.jitter.map(Spanned::into_inner)),
        deadline: raw.deadline.map(|q| q.into_inner().0),
        priority: raw.priority.map(|p| Priority(p.into_inner())),
        wcet: raw.wcet.map(|q| q.into_inner().0),
        budget: Budget {
            device_memory: limit,
            host_memory: limit,
            streams: raw.streams,
            compute: raw.budget.map(|q| q.into_inner().0),
        },
        queue: raw.queue.map_or(2, Spanned::into_inner),
    })
}

/// Where the fields of one task stand, for errors that are found later.
#[derive(Debug, Clone)]
struct Places {
    whole: Range<usize>,
    backend: Range<usize>,
    name: Range<usize>,
    model: Range<usize>,
    period: Range<usize>,
    deadline: Range<usize>,
    jitter: Range<usize>,
    wcet: Range<usize>,
    queue: Range<usize>,
}

impl Places {
    fn of(task: &Spanned<RawTask>) -> Self {
        fn span<T>(field: Option<&Spanned<T>>, whole: &Range<usize>) -> Range<usize> {
            field.map_or_else(|| whole.clone(), Spanned::span)
        }
        let (whole, raw) = (task.span(), task.get_ref());
        Self {
            name: raw.name.span(),
            model: raw.model.as_ref().map_or_else(|| span(raw.sim.as_ref(), &whole), Spanned::span),
            backend: span(raw.backend.as_ref(), &whole),
            period: span(raw.period.as_ref().or(raw.min_inter_arrival.as_ref()), &whole),
            deadline: span(raw.deadline.as_ref(), &whole),
            jitter: span(raw.jitter.as_ref(), &whole),
            wcet: span(raw.wcet.as_ref(), &whole),
            queue: span(raw.queue.as_ref(), &whole),
            whole,
        }
    }
}

fn place(
    error: &SpecError,
    tasks: &[Places],
    profile: &[Range<usize>],
    stalls: &[(&str, Range<usize>)],
) -> Range<usize> {
    let at = |index: usize, field: fn(&Places) -> &Range<usize>| {
        tasks.get(index).map_or(0..0, |p| field(p).clone())
    };
    match error {
        SpecError::NotAProbability { field, .. } => profile[usize::from(*field == "confidence")].clone(),
        SpecError::WcetAboveBudget { index, .. } => at(*index, |p| &p.wcet),
        SpecError::EmptyQueue { index, .. } => at(*index, |p| &p.queue),
        SpecError::Tasks(error) => match error {
            TaskSetError::DuplicateName { index, .. } | TaskSetError::EmptyName { index } => {
                at(*index, |p| &p.name)
            }
            TaskSetError::Zero { index, field, .. } | TaskSetError::Overflow { index, field, .. } => {
                match *field {
                    "period" => at(*index, |p| &p.period),
                    "deadline" => at(*index, |p| &p.deadline),
                    "jitter with the release overhead" => at(*index, |p| &p.jitter),
                    _ => at(*index, |p| &p.wcet),
                }
            }
            TaskSetError::MissingPriority { index, .. } => at(*index, |p| &p.whole),
            TaskSetError::Stall { stall, .. } => {
                stalls.iter().find(|(name, _)| name == stall).map_or(0..0, |(_, span)| span.clone())
            }
            _ => 0..0,
        },
        _ => 0..0,
    }
}
