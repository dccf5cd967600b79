//! How a bound comes about, in words: one function for each kind of theorem.
use aegis_analysis::TaskBound;
use aegis_analysis::chain::Activation;
use aegis_analysis::criticality::ModeBounds;
use aegis_analysis::suspension::{PartBound, Response, Rule};
use aegis_core::{Bound, Nanos, TaskId, Term, TermKind};
use std::fmt::Write;

/// The name of a task, where it has one.
pub(super) type Name<'a> = &'a dyn Fn(TaskId) -> Option<&'a str>;

/// One line for a bound of its own, more where it has parts.
pub(super) fn derivation(task: &str, bound: &TaskBound, name: Name<'_>) -> Vec<String> {
    match bound {
        TaskBound::Plain(bound) => vec![plain(task, bound, name)],
        TaskBound::Suspending(response) => suspending(task, response, name),
        TaskBound::Modes(modes) => in_modes(task, modes, name),
        TaskBound::Event(activation) => started(task, activation, name),
        TaskBound::Offsets(bound) => vec![super::offsets::responses(task, bound)],
    }
}

/// `camera: 45.2 ms = 29.999999 blocked by lidar + 15.2 own`
pub(super) fn plain(task: &str, bound: &Bound, name: Name<'_>) -> String {
    format!("{task}: {} ms = {}", milliseconds(bound.wcrt), terms(&bound.terms, name))
}

/// A job with parts on the host between its parts on the device.
fn suspending(task: &str, response: &Response, name: Name<'_>) -> Vec<String> {
    let wcrt = milliseconds(response.wcrt);
    match response.rule {
        Rule::Oblivious => vec![format!("{task}: {wcrt} ms, its host parts counted as execution")],
        Rule::Inherited => {
            let mut lines = vec![format!("{task}: {wcrt} ms, part by part")];
            lines.extend(parts(&response.parts, name));
            lines
        }
    }
}

/// A job that the end of other jobs starts.
fn started(task: &str, activation: &Activation, name: Name<'_>) -> Vec<String> {
    let Activation { arrival, end, parts: of } = activation;
    let mut lines = vec![format!(
        "{task}: {} ms; starts {} ms after its chain at the earliest and ends {} ms after it at the latest",
        milliseconds(activation.wcrt()),
        milliseconds(*arrival),
        milliseconds(*end)
    )];
    lines.extend(parts(of, name));
    lines
}

fn parts(parts: &[PartBound], name: Name<'_>) -> Vec<String> {
    let line = |(k, part): (usize, &PartBound)| {
        let bound = &part.bound;
        format!(
            "  part {} from {} ms: {} ms = {}",
            k + 1,
            milliseconds(part.offset),
            milliseconds(bound.wcrt),
            terms(&bound.terms, name)
        )
    };
    parts.iter().enumerate().map(line).collect()
}

/// A job of a task in a set with low and high tasks.
fn in_modes(task: &str, modes: &ModeBounds, name: Name<'_>) -> Vec<String> {
    let high = match &modes.high {
        None => "dropped in the high mode".to_owned(),
        Some(Ok(high)) => format!("{} ms in the high mode and across the change", milliseconds(*high)),
        Some(Err(_)) => "no bound in the high mode".to_owned(),
    };
    let low = match &modes.low {
        Ok(low) => format!("{} ms = {} in the low mode", milliseconds(low.wcrt), terms(&low.terms, name)),
        Err(_) => "no bound in the low mode".to_owned(),
    };
    vec![format!("{task}: {low}; {high}")]
}

/// Exact milliseconds, so that a person can add them up.
pub(crate) fn milliseconds(time: Nanos) -> String {
    let exact = format!("{}.{:06}", time.0 / 1_000_000, time.0 % 1_000_000);
    exact.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn terms(terms: &[Term], name: Name<'_>) -> String {
    let mut out = String::new();
    for term in terms {
        let amount = milliseconds(Nanos(term.ns.unsigned_abs()));
        let sign = match (term.ns < 0, out.is_empty()) {
            (true, _) => " - ",
            (false, true) => "",
            (false, false) => " + ",
        };
        let what = match (term.kind, term.by.and_then(name)) {
            (TermKind::Blocking, Some(by)) => format!("blocked by {by}"),
            (TermKind::Interference, Some(by)) => format!("behind {by}"),
            (TermKind::EarlierJobs, _) => "own earlier jobs".to_owned(),
            (TermKind::Execution, _) => "own".to_owned(),
            (TermKind::ArrivedLater, _) => "arrived later".to_owned(),
            (TermKind::ClockChange, _) => "clock change".to_owned(),
            (kind, _) => kind.name().to_owned(),
        };
        let _ = write!(out, "{sign}{amount} {what}");
    }
    out
}
