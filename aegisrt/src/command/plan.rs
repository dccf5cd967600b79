//! `aegis plan`: one memory plan for a system's models, or offsets for given buffers.
use super::NOT_ADMITTED;
use crate::backends::Backends;
use crate::cli::PlanArgs;
use crate::diagnostic::read_text;
use crate::load::load;
use crate::memory::{MemoryPlan, PlacePlan, plan_memory};
use crate::output::{Output, table};
use crate::{Error, SourceError, SystemFile};
use aegis_backend::Place;
use aegis_core::{Bytes, DeviceKind};
use aegis_memory::{Options, PlanError, RegionKind, SystemPlan, csv, plan, validate};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

pub(crate) fn run(args: &PlanArgs, output: &Output) -> Result<u8, Error> {
    match (&args.buffers, &args.system) {
        (Some(path), _) => buffers(path, args.capacity, output),
        (None, Some(path)) => system(path, args.device.device, output),
        (None, None) => Err(Error::Argument("state a system file or --buffers FILE".to_owned())),
    }
}

fn buffers(path: &Path, capacity: Option<Bytes>, output: &Output) -> Result<u8, Error> {
    let text = read_text(path, "buffers")?;
    let problem = csv::parse(&text, capacity).map_err(|error| misplaced(path, &text, &error))?;
    let found = match plan(&problem, &Options::default()) {
        Ok(found) => found,
        Err(error @ PlanError::OverCapacity { .. }) => {
            output.answer(|| format!("does not fit: {error}"), || refusal(&error));
            return Ok(NOT_ADMITTED);
        }
        Err(error) => return Err(Error::Memory(error.into())),
    };
    validate(&problem, &found.offsets).map_err(|invalid| Error::Defect(invalid.to_string()))?;
    output.note(format!(
        "peak {:#}, lower bound {:#}{}",
        found.peak,
        found.bound.bytes,
        if found.optimal { ": optimal" } else { ": not proven optimal" }
    ));
    output.answer(
        || with_offsets(&text, &found.offsets),
        || {
            let rows = problem.buffers().iter().zip(&found.offsets);
            let rows: Vec<Value> =
                rows.map(|(b, offset)| json!({ "id": b.id, "offset": offset.0, "size": b.size.0 })).collect();
            let mut value = json!({
                "schema_version": 1,
                "peak_bytes": found.peak.0,
                "lower_bound_bytes": found.bound.bytes.0,
                "optimal": found.optimal,
                "method": found.method.to_string(),
                "buffers": rows,
            });
            if let Some(capacity) = capacity {
                value["capacity_bytes"] = capacity.0.into();
            }
            value
        },
    );
    Ok(0)
}

/// The rows as they were given, with the column `offset` at the end.
fn with_offsets(text: &str, offsets: &[Bytes]) -> String {
    let mut rows = text.lines().filter(|line| !line.trim().is_empty());
    let mut out = format!("{},offset\n", rows.next().unwrap_or_default().trim_end());
    for (row, offset) in rows.zip(offsets) {
        let _ = writeln!(out, "{},{}", row.trim_end(), offset.0);
    }
    out
}

fn misplaced(path: &Path, text: &str, error: &csv::CsvError) -> SourceError {
    match error.line() {
        Some(line) => {
            let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
            let length = text[start..].lines().next().unwrap_or_default().len();
            SourceError::placed(path, text.to_owned(), start..start + length, error.to_string())
        }
        None => SourceError::unplaced(path, error.to_string()),
    }
}

fn refusal(error: &PlanError) -> Value {
    let mut value = json!({
        "schema_version": 1,
        "refusal": { "code": "OVER_CAPACITY", "message": error.to_string() },
    });
    if let PlanError::OverCapacity { peak, capacity, bound, impossible } = error {
        value["peak_bytes"] = peak.0.into();
        value["lower_bound_bytes"] = bound.bytes.0.into();
        value["capacity_bytes"] = capacity.0.into();
        value["refusal"]["impossible"] = (*impossible).into();
    }
    value
}

fn system(path: &Path, device: Option<DeviceKind>, output: &Output) -> Result<u8, Error> {
    let file = SystemFile::open(path)?.on(device);
    let loaded = load(&file, &mut Backends::default(), 1)?;
    let plan = plan_memory(&file, &loaded)?;
    let names: Vec<&str> = loaded.iter().map(|m| m.task.as_str()).collect();
    output.answer(|| text(&names, &plan), || value(&names, &plan));
    Ok(0)
}

/// The plans for people, one memory after the other.
pub(crate) fn text(names: &[&str], memory: &MemoryPlan) -> String {
    let one = |place: &PlacePlan| place_text(&names_of(names, place), &place.plan);
    match &*memory.places {
        [only] => one(only),
        several => several
            .iter()
            .map(|place| format!("  in {}\n{}", where_it_is(place.place), one(place)))
            .collect::<Vec<_>>()
            .join("\n\n"),
    }
}

const fn where_it_is(place: Place) -> &'static str {
    match place {
        Place::Host => "the host's memory",
        Place::Device => "the device's memory",
    }
}

fn names_of<'a>(names: &[&'a str], place: &PlacePlan) -> Vec<&'a str> {
    place.tasks.iter().filter_map(|task| names.get(task.index()).copied()).collect()
}

/// The plan of one memory: where everything is, and what sharing saves.
fn place_text(names: &[&str], plan: &SystemPlan) -> String {
    let rows = names.iter().enumerate().map(|(i, name)| {
        let sum = |keep: fn(RegionKind) -> bool| -> Bytes {
            plan.regions.iter().filter(|r| r.model.index() == i && keep(r.kind)).map(|r| r.size).sum()
        };
        let scratch = plan.regions.iter().filter(|r| r.model.index() == i && is_scratch(r.kind));
        let range = scratch.fold(None, |range: Option<(u64, u64)>, r| {
            let (low, high) = (r.offset.0, r.offset.0 + r.size.0);
            Some(range.map_or((low, high), |(l, h)| (l.min(low), h.max(high))))
        });
        let at = match range {
            Some((low, high)) => format!("{} at {}", Bytes(high - low), Bytes(low)),
            None if plan.unknown.iter().any(|n| n == name) => "not known".to_owned(),
            None => "none".to_owned(),
        };
        vec![
            (*name).to_owned(),
            sum(|k| k == RegionKind::Weights).to_string(),
            sum(|k| k == RegionKind::Io).to_string(),
            at,
        ]
    });
    let mut out = table(&["model", "weights", "in/out", "scratch (shared region)"], "lrrl", rows);
    let percent = |s: aegis_memory::Saving| f64::from(s.basis_points()) / 100.0;
    let (separate, one) = (plan.saving_to_separate(), plan.saving_to_one_scratch());
    let scratch_alone = separate.instead_of.saturating_sub(plan.persistent);
    let scratch_here = plan.peak.saturating_sub(plan.persistent);
    let _ = write!(
        out,
        "\n  all models together {}, allocated separately {}: {} saved ({:.1} %)",
        plan.peak,
        separate.instead_of,
        separate.bytes,
        percent(separate),
    );
    if scratch_alone > Bytes::ZERO {
        let _ = write!(
            out,
            "\n  scratch {scratch_here} instead of {scratch_alone}, because jobs of one partition run one at a time\n  \
             against one scratch block as large as the largest ({}): {} saved",
            one.instead_of, one.bytes,
        );
    }
    let _ = write!(
        out,
        "\n  lower bound {:#}, plan {:#}: {}",
        plan.bound.bytes,
        plan.peak,
        if plan.peak == plan.bound.bytes { "no plan needs less" } else { "the rest is alignment" },
    );
    if !plan.unknown.is_empty() {
        let _ = write!(out, "\n  scratch not known and not in these figures: {}", plan.unknown.join(", "));
    }
    out
}

fn is_scratch(kind: RegionKind) -> bool {
    matches!(kind, RegionKind::Scratch | RegionKind::ScratchTensor(_))
}

pub(crate) fn value(names: &[&str], memory: &MemoryPlan) -> Value {
    let places: Vec<Value> = memory.places.iter().map(|p| place_value(&names_of(names, p), p)).collect();
    json!({ "schema_version": 1, "peak_bytes": memory.peak().0, "places": places })
}

fn place_value(names: &[&str], place: &PlacePlan) -> Value {
    let plan = &place.plan;
    let regions: Vec<Value> = plan
        .regions
        .iter()
        .map(|r| {
            let kind = match r.kind {
                RegionKind::Weights => "weights",
                RegionKind::Io => "io",
                RegionKind::Scratch | RegionKind::ScratchTensor(_) => "scratch",
            };
            json!({ "model": names.get(r.model.index()), "kind": kind, "offset": r.offset.0, "size": r.size.0 })
        })
        .collect();
    json!({
        "place": if place.place == Place::Host { "host" } else { "device" },
        "peak_bytes": plan.peak.0,
        "lower_bound_bytes": plan.bound.bytes.0,
        "optimal": plan.peak == plan.bound.bytes,
        "separate_bytes": plan.separate.0,
        "one_scratch_bytes": plan.one_scratch.0,
        "because": "jobs of one partition run one at a time",
        "unknown_scratch": plan.unknown,
        "regions": regions,
    })
}
