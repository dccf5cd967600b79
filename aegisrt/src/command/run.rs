//! `aegis run`: the whole job on a system file.
use super::{FAILED, NOT_ADMITTED, plan, profile, replay, trace_metrics};
use crate::admission;
use crate::backends::Backends;
use crate::cli::RunArgs;
use crate::execute::{Grounds, RunOptions, execute, record_rejection, record_unplannable};
use crate::load::{Loaded, load};
use crate::measure::{Evidence, Wcet};
use crate::memory::plan_memory;
use crate::output::{Format, Output, table};
use crate::profiles::{host, same_host};
use crate::report::Report;
use crate::{Error, SourceError, SystemFile, runtime, trace_path};
use aegis_core::{Nanos, Overheads, TaskSet};
use aegis_sched::replay::Replay;
use aegis_trace::{Jobs, Trace, TraceError, TraceKey};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;

pub(crate) fn run(args: &RunArgs, output: &Output) -> Result<u8, Error> {
    let file = SystemFile::open(&args.system)?.on(args.device.device);
    let trace = args.trace.clone().unwrap_or_else(|| trace_path(&file.path));
    let key = args.trace_key.as_deref().map(trace_key).transpose()?;
    let host = host();
    let mut backends = Backends::default();
    let mut loaded = load(&file, &mut backends, args.seed)?;
    let wcets = profile::wcets(&file, &mut backends, Some(&mut loaded), args.seed, output)?;
    let options = RunOptions {
        duration: args.duration,
        trace: &trace,
        seed: args.seed,
        stop: &AtomicBool::new(false),
        key,
        part_bytes: args.trace_size.map(|size| size.0),
    };
    let ran = admitted_run(&file, loaded, &wcets, &options, output);
    // A rejected system has metrics too: the reasons for it.
    if let (Some(metrics), Ok(_) | Err(Error::NotAdmitted { .. })) = (&args.metrics, &ran) {
        trace_metrics::write(&Trace::open(&trace)?, metrics, Format::Openmetrics)?;
    }
    let ran = ran?;
    same_host(&host)?;
    output.answer(String::new, || ran.value());
    Ok(ran.exit_code())
}

/// The key that signs a trace; every error names the file.
fn trace_key(path: &Path) -> Result<TraceKey, Error> {
    TraceKey::open(path).map_err(|error| match error {
        TraceError::Read { source, .. } => {
            SourceError::unplaced(path, format!("cannot read the key: {source}")).into()
        }
        error => error.into(),
    })
}

/// What a run leaves.
pub(crate) struct Ran {
    report: Report,
    trace: Trace,
    replayed: Replay,
    declared: Overheads,
    path: String,
}

/// From WCETs to a finished run: admit, plan, run, report, explain, replay. Says for people what it does as it goes.
pub(crate) fn admitted_run(
    file: &SystemFile,
    loaded: Vec<Loaded>,
    wcets: &[Wcet],
    options: &RunOptions<'_>,
    output: &Output,
) -> Result<Ran, Error> {
    let set = runtime::task_set(file, wcets)?;
    let verdict = aegis_analysis::admit(&set);
    if !verdict.admitted() {
        let remedies = aegis_analysis::remedy::remedies(&set, &verdict);
        output.line(admission::of_partition(&set, &verdict, &remedies));
        record_rejection(file, &loaded, &set, wcets, &verdict, options)?;
        return Err(Error::NotAdmitted { set: Box::new(set), verdict: Box::new(verdict) });
    }
    output.line(admission::of_partition(&set, &verdict, &[]));
    let memory = match plan_memory(file, &loaded) {
        Err(Error::Memory(why)) => {
            record_unplannable(file, &loaded, (&set, wcets, &verdict), &why, options)?;
            return Err(Error::Memory(why));
        }
        memory => memory?,
    };
    let names: Vec<String> = loaded.iter().map(|m| m.task.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    output.line(format!("\nMEMORY\n{}", plan::text(&names, &memory)));
    let (duration, trace) = (options.duration, options.trace);
    output.line(format!("\nRUN for {duration} under {} (trace: {})", set.policy(), trace.display()));
    let grounds = Grounds { set: &set, wcets, verdict: &verdict, plan: &memory };
    let bar = output.busy("running");
    execute(file, loaded, &grounds, options)?;
    bar.finish_and_clear();
    let recorded = Trace::open(trace)?;
    let report = Report::of(&recorded);
    output.line(text(&report, set.overheads(), &set, wcets));
    output.line("\nEXPLAIN the job that came closest to its deadline");
    for explanation in Jobs::of(&recorded).worst(1, Nanos::ZERO..Nanos::MAX) {
        output.line(format!("  {}", recorded.header().narrate(&explanation)));
    }
    let replayed = replay::of(&recorded);
    output.line(format!("\nREPLAY\n  {}", replay::text(&replayed, &recorded)));
    let path = trace.display().to_string();
    Ok(Ran { report, trace: recorded, replayed, declared: set.overheads(), path })
}

/// The report for people.
fn text(report: &Report, declared: Overheads, set: &TaskSet, wcets: &[Wcet]) -> String {
    let rows = report.tasks.iter().map(|t| {
        vec![
            t.name.clone(),
            t.jobs.to_string(),
            t.met.to_string(),
            (t.missed + t.refused).to_string(),
            format!("{:.2}", t.median),
            format!("{:.2}", t.worst),
            t.bound.map_or("-".to_owned(), |b| format!("{b:.2}")),
            t.deadline.to_string(),
            format!("{:.2}", t.longest_execution),
            format!("{:.2}", t.wcet),
        ]
    });
    let header =
        ["task", "jobs", "met", "missed", "median", "worst", "bound", "deadline", "longest run", "WCET"];
    let mut out = table(&header, "lrrrrrrrrr", rows);
    let total = report.jobs();
    let met: u64 = report.tasks.iter().map(|t| t.met).sum();
    let _ = write!(out, "\n  {met} of {total} deadlines met");
    for task in report.tasks.iter().filter(|t| t.refused + t.faulted + t.unfinished > 0) {
        let _ = write!(
            out,
            "\n  {}: {} refused (queue full), {} faulted, {} unfinished",
            task.name, task.refused, task.faulted, task.unfinished
        );
    }
    for (task, wcet) in report.tasks.iter().zip(wcets).filter(|(t, _)| t.overran > 0) {
        let allowed = match &wcet.evidence {
            Evidence::Stated => "its WCET is stated, not measured".to_owned(),
            Evidence::Measured(c) => format!(
                "its certificate lets {:.1} % of the jobs exceed {:.2}, the bound without margin",
                c.exceedance * 100.0,
                c.bound
            ),
        };
        let _ = write!(
            out,
            "\n  {}: {} of {} jobs ran longer than the {:.2} that admission charged ({allowed})",
            task.name, task.overran, task.jobs, task.wcet
        );
    }
    for task in report.tasks.iter().filter(|t| t.bound.is_some_and(|b| t.worst > b)) {
        let _ = write!(
            out,
            "\n  {}: its worst response is above its bound, because an assumption was broken: see above and below",
            task.name
        );
    }
    for (what, seen, declared) in delays(report, declared) {
        let above = if seen > declared { "ABOVE what" } else { "within what" };
        let _ = write!(out, "\n  longest {what} delay {seen:.3}, {above} [overhead] declares ({declared})");
    }
    let lost = match report.lost {
        0 => "none lost".to_owned(),
        n => format!("{n} LOST"),
    };
    let _ = write!(out, "\n  {} decisions of {} recorded, {lost}", report.decisions, set.policy());
    out
}

fn delays(report: &Report, declared: Overheads) -> [(&'static str, Nanos, Nanos); 3] {
    [
        ("release", report.seen.release, declared.release),
        ("dispatch", report.seen.dispatch, declared.dispatch),
        ("completion", report.seen.completion, declared.completion),
    ]
}

impl Ran {
    /// 3 if a deadline was missed or a job refused, 1 if a job faulted or the replay differs, 0 otherwise.
    pub fn exit_code(&self) -> u8 {
        let any = |count: fn(&crate::TaskReport) -> u64| self.report.tasks.iter().any(|t| count(t) > 0);
        let differs = self.replayed.differences > 0;
        match (any(|t| t.missed + t.refused), differs || any(|t| t.faulted + t.unfinished)) {
            (true, _) => NOT_ADMITTED,
            (false, true) => FAILED,
            (false, false) => 0,
        }
    }

    /// The report for programs.
    pub fn value(&self) -> Value {
        let tasks: Vec<Value> = self
            .report
            .tasks
            .iter()
            .map(|t| {
                json!({
                    "name": t.name,
                    "jobs": t.jobs,
                    "met": t.met,
                    "missed": t.missed,
                    "refused": t.refused,
                    "faulted": t.faulted,
                    "overran": t.overran,
                    "unfinished": t.unfinished,
                    "deadline_ns": t.deadline.0,
                    "bound_ns": t.bound.map(|b| b.0),
                    "response_ns_max": t.worst.0,
                    "response_ns_p50": t.median.0,
                    "response_ns_p99": t.p99.0,
                    "wcet_ns": t.wcet.0,
                    "execution_ns_max": t.longest_execution.0,
                })
            })
            .collect();
        let delays: serde_json::Map<String, Value> = delays(&self.report, self.declared)
            .into_iter()
            .map(|(what, seen, declared)| {
                (what.to_owned(), json!({ "seen_ns_max": seen.0, "declared_ns": declared.0 }))
            })
            .collect();
        json!({
            "schema_version": 1,
            "policy": self.report.policy.name(),
            "tasks": tasks,
            "delays": delays,
            "decisions": self.report.decisions,
            "records_lost": self.report.lost,
            "complete": self.trace.complete(),
            "replayed_decisions": self.replayed.compared,
            "replay_differences": self.replayed.differences,
            "trace": self.path,
        })
    }
}
