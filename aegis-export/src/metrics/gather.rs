//! Computing metrics from a trace, in one pass over its records and one over its jobs.
use super::{Family, Histogram, MetricKind, Metrics, Number, Sample, Value, sharing};
use crate::timeline::{Mark, Memory, Sink, memory};
use crate::{ExportError, JobLine, JobVerdict, job_lines};
use aegis_core::{Bytes, Nanos, TaskId};
use aegis_trace::{Body, Jobs, Kind, Trace};
use std::collections::BTreeMap;
use std::fmt;

/// Outcomes that a request can have; the others are no outcome yet.
const OUTCOMES: [JobVerdict; 4] =
    [JobVerdict::Met, JobVerdict::Missed, JobVerdict::Faulted, JobVerdict::Refused];

impl Metrics {
    /// Computes the metrics of a trace.
    ///
    /// # Errors
    /// [`ExportError::Trace`] if a job cannot be explained, which would be a bug.
    pub fn of(trace: &Trace) -> Result<Self, ExportError> {
        let header = trace.header();
        let until = trace.entries().iter().map(|e| e.record.at).max().unwrap_or_default();
        let mut families = vec![Family {
            name: "aegisrt_build",
            help: "What recorded, and under which policy.",
            kind: MetricKind::Info,
            unit: None,
            samples: vec![Sample {
                labels: vec![
                    ("program", header.program.clone()),
                    ("policy", header.set.policy().name().to_owned()),
                    ("host", header.host.clone()),
                    ("clock", header.clock.clone()),
                ],
                value: Value::Number(Number::Whole(1)),
            }],
        }];
        families.extend(of_jobs(trace)?);
        families.extend(of_records(trace)?);
        Ok(Self { families, began_unix_ns: header.created_unix_ns, until, program: header.program.clone() })
    }
}

/// What the jobs of one task add up to.
#[derive(Debug, Default)]
struct OfTask {
    requests: BTreeMap<JobVerdict, u64>,
    /// Response, queueing, time on the partition.
    times: BTreeMap<JobVerdict, [Histogram; 3]>,
    unfinished: u64,
    causes: BTreeMap<&'static str, u128>,
    /// Waiting for jobs of each task.
    waited: BTreeMap<TaskId, u128>,
    responses: u128,
}

impl OfTask {
    fn add(&mut self, line: &JobLine) {
        if OUTCOMES.contains(&line.verdict) {
            *self.requests.entry(line.verdict).or_default() += 1;
        } else {
            self.unfinished += 1;
        }
        if let Some(response) = line.response() {
            let times = self.times.entry(line.verdict).or_default();
            let all = [Some(response), line.queued(), line.executed()];
            for (histogram, time) in times.iter_mut().zip(all) {
                if let Some(time) = time {
                    histogram.add(time);
                }
            }
        }
        for cause in line.explanation.iter().flat_map(|e| &e.causes) {
            let ns = u128::from(cause.ns.0);
            *self.causes.entry(cause.kind.name()).or_default() += ns;
            self.responses += ns;
            if let Some(by) = cause.by {
                *self.waited.entry(by.task).or_default() += ns;
            }
        }
    }
}

fn of_jobs(trace: &Trace) -> Result<Vec<Family>, ExportError> {
    let header = trace.header();
    let name = |task: TaskId| header.task_name(task).to_string();
    let mut tasks: BTreeMap<TaskId, OfTask> = BTreeMap::new();
    for index in 0..header.set.tasks().len() {
        tasks.insert(TaskId::from(index), OfTask::default());
    }
    let jobs = Jobs::of(trace);
    for line in job_lines(&jobs) {
        let line = line?;
        tasks.entry(line.id.task).or_default().add(&line);
    }
    let with_outcome = |task: TaskId, outcome: JobVerdict| {
        vec![("model", name(task)), ("outcome", outcome.name().to_owned())]
    };
    let mut families: Vec<Family> = DURATIONS
        .iter()
        .enumerate()
        .map(|(i, (name, help))| {
            let samples = tasks.iter().flat_map(|(task, of)| {
                of.times.iter().map(move |(outcome, times)| Sample {
                    labels: with_outcome(*task, *outcome),
                    value: Value::Histogram(times[i].clone()),
                })
            });
            family(name, help, MetricKind::Histogram, Some("seconds"), samples)
        })
        .collect();
    let requests = tasks.iter().flat_map(|(task, of)| {
        OUTCOMES.map(|outcome| {
            sample(
                with_outcome(*task, outcome),
                Number::Whole(of.requests.get(&outcome).copied().unwrap_or(0)),
            )
        })
    });
    families.push(family(
        "aegisrt_requests",
        "Jobs that ended, by how: by their deadline, after it, by a fault, refused.",
        MetricKind::Counter,
        None,
        requests,
    ));
    let missed = tasks.iter().map(|(task, of)| {
        let missed = of.requests.get(&JobVerdict::Missed).copied().unwrap_or(0);
        sample(vec![("model", name(*task))], Number::Whole(missed))
    });
    families.push(family(
        "aegisrt_deadline_misses",
        "Jobs that completed after their deadline.",
        MetricKind::Counter,
        None,
        missed,
    ));
    let unfinished =
        tasks.iter().map(|(task, of)| sample(vec![("model", name(*task))], Number::Whole(of.unfinished)));
    families.push(family(
        "aegisrt_requests_unfinished",
        "Jobs that had not left when the trace ended, or of whose end records are missing.",
        MetricKind::Gauge,
        None,
        unfinished,
    ));
    let causes = tasks.iter().flat_map(|(task, of)| {
        of.causes.iter().map(|(cause, ns)| {
            sample(vec![("model", name(*task)), ("cause", (*cause).to_owned())], Number::Seconds(*ns))
        })
    });
    families.push(family(
        "aegisrt_response_time_seconds",
        "Time of all jobs from arrival to end, by its cause.",
        MetricKind::Counter,
        Some("seconds"),
        causes,
    ));
    let ratios = tasks.iter().flat_map(|(victim, of)| {
        of.waited.iter().map(|(aggressor, ns)| {
            let ppm = (ns * 1_000_000).div_ceil(of.responses.max(1));
            let labels = vec![("victim", name(*victim)), ("aggressor", name(*aggressor))];
            sample(labels, Number::Millionths(u64::try_from(ppm).unwrap_or(u64::MAX)))
        })
    });
    families.push(family(
        "aegisrt_interference_ratio",
        "Share of the victim's response times that its jobs waited for jobs of the aggressor.",
        MetricKind::Gauge,
        Some("ratio"),
        ratios,
    ));
    Ok(families)
}

/// Names and meanings of the histograms, in the order of [`OfTask::times`].
const DURATIONS: [(&str, &str); 3] = [
    ("aegisrt_request_duration_seconds", "Response time: from a job's arrival to its end."),
    ("aegisrt_request_queue_seconds", "From a job's arrival to the beginning of its first segment."),
    ("aegisrt_request_gpu_seconds", "Time of a job's segments on its partition, whichever device that is."),
];

fn of_records(trace: &Trace) -> Result<Vec<Family>, ExportError> {
    let header = trace.header();
    let of_model = |task: TaskId| vec![("model", header.task_name(task).to_string())];
    let mut kinds: BTreeMap<Kind, u64> = Kind::ALL.iter().map(|kind| (*kind, 0)).collect();
    let mut rejections: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut faults: BTreeMap<(TaskId, String, String), u64> = BTreeMap::new();
    let [mut loads, mut wcets, mut bounds] = [const { BTreeMap::<TaskId, Nanos>::new() }; 3];
    for entry in trace.entries() {
        let body = entry.record.body;
        *kinds.entry(body.kind()).or_default() += 1;
        match body {
            Body::Loaded { task, took, .. } => drop(loads.insert(task, took)),
            Body::Profiled { task, wcet, .. } => drop(wcets.insert(task, wcet)),
            Body::Admitted { task, wcrt, .. } => drop(bounds.insert(task, wcrt)),
            Body::Rejected(rejection) => *rejections.entry(rejection.code()).or_default() += 1,
            Body::Fault { task, fault, .. } => {
                *faults.entry((task, label(&fault.blame), label(&fault.code))).or_default() += 1;
            }
            _ => {}
        }
    }
    let deadlines = header.set.tasks().iter().enumerate();
    let deadlines = deadlines.map(|(i, task)| (TaskId::from(i), task.deadline)).collect();
    let mut families: Vec<Family> = [
        ("aegisrt_deadline_seconds", "Relative deadline.", deadlines),
        ("aegisrt_response_bound_seconds", "Worst-case response time that admission proved.", bounds),
        ("aegisrt_wcet_seconds", "Worst-case execution time that admission used.", wcets),
        ("aegisrt_model_load_seconds", "How long loading the model took.", loads),
    ]
    .into_iter()
    .map(|(name, help, times): (_, _, BTreeMap<TaskId, Nanos>)| {
        let samples =
            times.iter().map(|(task, ns)| sample(of_model(*task), Number::Seconds(u128::from(ns.0))));
        family(name, help, MetricKind::Gauge, Some("seconds"), samples)
    })
    .collect();
    families.push(family(
        "aegisrt_model_memory_bytes",
        "Memory of a model by kind: measured when it was loaded, planned as it was placed.",
        MetricKind::Gauge,
        Some("bytes"),
        held(trace)?.into_iter().map(|(memory, bytes)| {
            let mut labels = of_model(memory.task);
            labels.push(("kind", memory.kind.name().to_owned()));
            labels.push(("source", memory.source().to_owned()));
            sample(labels, Number::Whole(bytes.0))
        }),
    ));
    families.push(family(
        "aegisrt_memory_saved_by_sharing_bytes",
        "Planned memory that several models use in turn: what their sizes sum to, less what they lie on.",
        MetricKind::Gauge,
        Some("bytes"),
        sharing::saved(trace).map(|bytes| sample(Vec::new(), Number::Whole(bytes.0))),
    ));
    families.push(family(
        "aegisrt_admission_rejections",
        "Reasons for which the set of tasks was rejected.",
        MetricKind::Counter,
        None,
        rejections
            .iter()
            .map(|(reason, n)| sample(vec![("reason", (*reason).to_owned())], Number::Whole(*n))),
    ));
    families.push(family(
        "aegisrt_faults",
        "Faults by who is to blame and what went wrong.",
        MetricKind::Counter,
        None,
        faults.iter().map(|((task, blame, code), n)| {
            let mut labels = of_model(*task);
            labels.push(("blame", blame.clone()));
            labels.push(("code", code.clone()));
            sample(labels, Number::Whole(*n))
        }),
    ));
    families.push(family(
        "aegisrt_trace_records",
        "Records in the trace.",
        MetricKind::Counter,
        None,
        kinds.iter().map(|(kind, n)| sample(vec![("kind", kind.name().to_owned())], Number::Whole(*n))),
    ));
    let missing = trace.gaps().iter().fold(0u64, |sum, gap| sum.saturating_add(gap.missing()));
    families.push(family(
        "aegisrt_trace_records_missing",
        "Records that the trace says are missing.",
        MetricKind::Counter,
        None,
        [sample(Vec::new(), Number::Whole(missing))],
    ));
    Ok(families)
}

/// The name of a variant and of the variant in it, as a label: `budget_compute_time`.
fn label(variant: &impl fmt::Debug) -> String {
    let mut label = String::new();
    for c in format!("{variant:?}").chars().take_while(|c| c.is_alphanumeric() || *c == '(') {
        if (c.is_uppercase() || c == '(') && !label.is_empty() && !label.ends_with('_') {
            label.push('_');
        }
        label.extend(c.to_lowercase().filter(|c| *c != '('));
    }
    label
}

/// The last that the trace says of every task's memory.
fn held(trace: &Trace) -> Result<BTreeMap<Memory, Bytes>, ExportError> {
    #[derive(Default)]
    struct Last(BTreeMap<Memory, Bytes>);
    impl Sink for Last {
        fn draw(&mut self, mark: Mark<'_>) -> Result<(), ExportError> {
            if let Mark::Counter { memory, bytes, .. } = mark {
                self.0.insert(memory, bytes);
            }
            Ok(())
        }
    }
    let mut last = Last::default();
    memory(trace, &mut last)?;
    Ok(last.0)
}

fn sample(labels: Vec<(&'static str, String)>, number: Number) -> Sample {
    Sample { labels, value: Value::Number(number) }
}

fn family(
    name: &'static str,
    help: &'static str,
    kind: MetricKind,
    unit: Option<&'static str>,
    samples: impl IntoIterator<Item = Sample>,
) -> Family {
    Family { name, help, kind, unit, samples: samples.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::label;
    use aegis_core::{Blame, Budgeted, FaultCode};

    #[test]
    fn labels() {
        let budget = FaultCode::Budget(Budgeted::DeviceMemory { limit: 1, asked: 2 });
        for (label, expected) in [
            (label(&Blame::Host), "host"),
            (label(&FaultCode::ExecutionFailed), "execution_failed"),
            (label(&budget), "budget_device_memory"),
            (label(&Some(FaultCode::Panicked)), "some_panicked"),
        ] {
            assert_eq!(label, expected);
        }
    }
}
