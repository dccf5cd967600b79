//! `aegis profile`: WCETs from measurements of a system's models, or from given samples.
use super::NOT_ADMITTED;
use crate::backends::Backends;
use crate::cli::ProfileArgs;
use crate::diagnostic::read_text;
use crate::load::{Loaded, load};
use crate::measure::{self, Progress, Wcet, conditions};
use crate::output::{Output, table};
use crate::profiles::Profiles;
use crate::{Error, SourceError, SystemFile};
use aegis_core::Nanos;
use aegis_sched::profile::{Certificate, Refusal, certify};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::num::IntErrorKind;
use std::path::Path;

pub(crate) fn run(args: &ProfileArgs, output: &Output) -> Result<u8, Error> {
    match (&args.samples, &args.system) {
        (Some(samples), _) => given(samples, args, output),
        (None, Some(system)) => measured(system, args, output),
        (None, None) => Err(Error::Argument("state a system file or --samples FILE".to_owned())),
    }
}

fn given(path: &Path, args: &ProfileArgs, output: &Output) -> Result<u8, Error> {
    let samples = read_samples(path)?;
    let (exceedance, confidence) = (args.exceedance.unwrap_or(1e-4), args.confidence.unwrap_or(0.95));
    match certify(&samples, exceedance, confidence) {
        Ok(certificate) => {
            output.answer(|| sentence(&certificate), || certificate_json(&certificate));
            Ok(0)
        }
        Err(refusal @ Refusal::NotAProbability { .. }) => Err(Error::Argument(refusal.to_string())),
        Err(refusal) => {
            output.answer(|| format!("refused: {refusal}"), || refusal_json(&refusal));
            Ok(NOT_ADMITTED)
        }
    }
}

/// One execution time in ns per line; blank lines and lines that start with `#` say nothing, and a first line that is
/// not a number is a heading.
fn read_samples(path: &Path) -> Result<Vec<Nanos>, SourceError> {
    let text = read_text(path, "samples")?;
    let mut samples = Vec::new();
    let mut start = 0;
    let mut heading = true;
    for line in text.split_inclusive('\n') {
        let value = line.trim();
        if !value.is_empty() && !value.starts_with('#') {
            match value.parse::<u64>() {
                Ok(ns) => samples.push(Nanos(ns)),
                Err(_) if heading && value.starts_with(|c: char| c.is_alphabetic()) => {}
                Err(error) => {
                    let at = start + (line.len() - line.trim_start().len());
                    let most = if *error.kind() == IntErrorKind::PosOverflow {
                        format!("; the most is {}", u64::MAX)
                    } else {
                        String::new()
                    };
                    let what = format!("`{value}` is not an execution time in whole nanoseconds{most}");
                    return Err(SourceError::placed(path, text.clone(), at..at + value.len(), what));
                }
            }
            heading = false;
        }
        start += line.len();
    }
    Ok(samples)
}

fn measured(system: &Path, args: &ProfileArgs, output: &Output) -> Result<u8, Error> {
    let file = SystemFile::open(system)?.on(args.device.device);
    let mut backends = Backends::default();
    let conditions = conditions(&file, &mut backends, args.seed)?;
    let mut loaded = load(&file, &mut backends, args.seed)?;
    let mut stored = Profiles::open(&file.path);
    let mut bar = ProgressBar::hidden();
    measure::refresh(&file, &mut stored, &mut loaded, &conditions, args.seed, &mut |progress| {
        show(progress, &mut bar, output);
    })?;
    bar.finish_and_clear();
    let claim = file.spec.profile();
    let (p, c) = (args.exceedance.unwrap_or(claim.exceedance), args.confidence.unwrap_or(claim.confidence));
    let mut code = 0;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for profile in file.spec.tasks().iter().filter_map(|t| stored.profiles.iter().find(|p| p.task == t.name))
    {
        match profile.certify(p, c) {
            Ok(certificate) => {
                rows.push(row(&profile.task, &certificate));
                let mut value = certificate_json(&certificate);
                value["task"] = profile.task.clone().into();
                value["condition"] = serde_json::to_value(&profile.condition).unwrap_or_default();
                values.push(value);
            }
            Err(refusal @ Refusal::NotAProbability { .. }) => {
                return Err(Error::Argument(refusal.to_string()));
            }
            Err(refusal) => {
                code = NOT_ADMITTED;
                rows.push(vec![
                    profile.task.clone(),
                    "refused".to_owned(),
                    String::new(),
                    String::new(),
                    String::new(),
                ]);
                output.note(format!("{}: {refusal}", profile.task));
                let mut value = refusal_json(&refusal);
                value["task"] = profile.task.clone().into();
                values.push(value);
            }
        }
    }
    let path = Profiles::path(&file.path);
    output.answer(
        || {
            format!(
                "{}\n\nWith confidence {c}, at most {} % of future jobs under the same conditions exceed the bound.\n\
                 Nothing is claimed about modes rarer than 3/n, other co-runners or other clocks.\n\
                 Samples and conditions: {}",
                wcet_table(rows),
                p * 100.0,
                path.display()
            )
        },
        || json!({ "schema_version": 1, "profiles": values, "file": path.display().to_string() }),
    );
    Ok(code)
}

/// The WCETs of a system, measured under the eyes of the user if they must be.
pub(crate) fn wcets(
    file: &SystemFile,
    backends: &mut Backends,
    loaded: Option<&mut [Loaded]>,
    seed: u64,
    output: &Output,
) -> Result<Vec<Wcet>, Error> {
    let mut bar = ProgressBar::hidden();
    let mut shown = |progress| {
        if let Progress::Begins { runs, models } = progress {
            output.note(format!(
                "no profile under these conditions yet: measuring {runs} executions of each of {models} models"
            ));
        }
        show(progress, &mut bar, output);
    };
    let wcets = measure::wcets(file, backends, loaded, seed, &mut shown);
    bar.finish_and_clear();
    wcets
}

fn show(progress: Progress, bar: &mut ProgressBar, output: &Output) {
    match progress {
        Progress::Begins { .. } => *bar = output.progress(0, "profiling"),
        Progress::Done { done, of } => {
            bar.set_length(of);
            bar.set_position(done);
        }
    }
}

pub(crate) fn wcet_table(rows: Vec<Vec<String>>) -> String {
    table(&["task", "bound", "median", "largest", "evidence"], "lrrrl", rows)
}

pub(crate) fn row(task: &str, certificate: &Certificate) -> Vec<String> {
    let rank = match certificate.rank {
        0 => "the largest".to_owned(),
        rank => format!("number {} from the top", rank + 1),
    };
    vec![
        task.to_owned(),
        format!("{:.2}", certificate.bound),
        format!("{:.2}", certificate.median),
        format!("{:.2}", certificate.largest),
        format!("{rank} of {}", certificate.n),
    ]
}

fn sentence(certificate: &Certificate) -> String {
    format!(
        "bound {} ({} ns): with confidence {}, at most a fraction {} of future jobs under the same conditions takes \
         longer.\nIt is the sample with {} above it, of {}; median {}, largest {}. Attained confidence {:.6}.\n\
         Assumes independent samples of one condition; claims nothing about modes rarer than 3/n, other co-runners or \
         other clocks.",
        certificate.bound,
        certificate.bound.0,
        certificate.confidence,
        certificate.exceedance,
        certificate.rank,
        certificate.n,
        certificate.median,
        certificate.largest,
        certificate.attained_confidence,
    )
}

pub(crate) fn certificate_json(certificate: &Certificate) -> Value {
    json!({
        "schema_version": 1,
        "bound_ns": certificate.bound.0,
        "exceedance": certificate.exceedance,
        "confidence": certificate.confidence,
        "attained_confidence": certificate.attained_confidence,
        "tier": "measured",
        "method": "order-statistic",
        "n": certificate.n,
        "rank": certificate.rank,
        "median_ns": certificate.median.0,
        "largest_ns": certificate.largest.0,
        "assumptions": ["independent samples of one condition"],
        "claims_not_made": ["modes with probability < 3/n", "other co-runners", "other clocks"],
    })
}

fn refusal_json(refusal: &Refusal) -> Value {
    let mut value = json!({ "code": refusal.code(), "message": refusal.to_string() });
    if let Refusal::TooFewSamples { n, needed, .. } = refusal {
        value["n"] = (*n).into();
        value["n_needed"] = (*needed).into();
    }
    json!({ "schema_version": 1, "refusal": value })
}
