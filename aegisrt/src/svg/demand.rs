//! Demand bound function and blocking against time, with the line of the time itself.
use super::{Axis, Drawing, Px, shortened};
use aegis_analysis::demand_curve::{Step, curve};
use aegis_core::{Nanos, TaskSet, Verdict};

const WIDTH: i64 = 960;
const HEIGHT: i64 = 600;
const LEFT: i64 = 90;
const RIGHT: i64 = 940;
const TOP: i64 = 70;
const BOTTOM: i64 = 540;

/// How far to look: to the end of the longest busy period and past it by a tenth, else twice past the last first
/// deadline.
fn horizon(set: &TaskSet, verdict: &Verdict) -> (Nanos, Option<Nanos>) {
    let bounds = verdict.tasks.iter().map(|task| task.bound.as_ref().map(|bound| bound.busy_period));
    let busy = bounds.collect::<Option<Vec<_>>>().and_then(|lengths| lengths.into_iter().max());
    let latest = set.tasks().iter().map(|task| task.deadline).max().unwrap_or_default();
    let until = match busy {
        Some(busy) => Nanos(busy.0.saturating_add(busy.0 / 10)).max(latest),
        None => latest.saturating_add(latest),
    };
    (until.max(Nanos(1)), busy)
}

/// The picture for the tasks of one partition.
pub(crate) fn picture(set: &TaskSet, verdict: &Verdict, name: &str) -> String {
    let (until, busy) = horizon(set, verdict);
    let steps = curve(set, until);
    draw(set, &steps, until, busy, name)
}

fn draw(set: &TaskSet, steps: &[Step], until: Nanos, busy: Option<Nanos>, name: &str) -> String {
    let within = |step: &&Step| busy.is_none_or(|busy| step.at <= busy);
    let violations: Vec<&Step> = steps.iter().filter(within).filter(|step| step.too_much()).collect();
    let first = violations.first().copied();
    let most = steps.iter().map(Step::needed).max().unwrap_or_default().max(until);
    let across = Axis { from: Nanos::ZERO, until, first: Px::of(LEFT), last: Px::of(RIGHT) };
    let up = Axis { from: Nanos::ZERO, until: most, first: Px::of(BOTTOM), last: Px::of(TOP) };
    let title = format!("Demand against time: {name}");
    let mut out = Drawing::new(Px::of(WIDTH), Px::of(HEIGHT), &title, &about(set, first));
    out.text("", "start", (Px::of(LEFT), Px::of(28)), &title);
    out.text("", "start", (Px::of(LEFT), Px::of(50)), &about(set, first));

    if let Some(busy) = busy {
        let (from, to) = (across.at(Nanos::ZERO), across.at(busy));
        let size = (Px(to.0 - from.0), Px::of(BOTTOM - TOP));
        out.rect("busy", (from, Px::of(TOP)), size, &format!("longest busy period: {busy}"));
        out.text("", "end", (to, Px::of(TOP + 14)), "busy period");
    }
    for tick in across.ticks() {
        let x = across.at(tick);
        out.line("grid", (x, Px::of(TOP)), (x, Px::of(BOTTOM)));
        out.text("", "middle", (x, Px::of(BOTTOM + 20)), &tick.to_string());
    }
    for tick in up.ticks() {
        let y = up.at(tick);
        out.line("grid", (Px::of(LEFT), y), (Px::of(RIGHT), y));
        out.text("", "end", (Px::of(LEFT - 8), y + Px::of(4)), &tick.to_string());
    }
    out.line("axis", (Px::of(LEFT), Px::of(BOTTOM)), (Px::of(RIGHT), Px::of(BOTTOM)));
    out.line("axis", (Px::of(LEFT), Px::of(BOTTOM)), (Px::of(LEFT), Px::of(TOP)));
    out.text("", "middle", (Px::of(i64::midpoint(LEFT, RIGHT)), Px::of(HEIGHT - 16)), "length of the window");

    out.line("time", (across.at(Nanos::ZERO), up.at(Nanos::ZERO)), (across.at(until), up.at(until)));
    out.path("demand", &staircase(steps, until, |step| step.demand, across, up));
    out.path("needed", &staircase(steps, until, Step::needed, across, up));
    for (i, (class, text)) in [("time", "time"), ("demand", "demand"), ("needed", "with blocking and stalls")]
        .into_iter()
        .enumerate()
    {
        let y = Px::of(TOP + 40 + 20 * i64::try_from(i).unwrap_or(0));
        out.line(class, (Px::of(LEFT + 12), y), (Px::of(LEFT + 42), y));
        out.text("", "start", (Px::of(LEFT + 50), y + Px::of(4)), text);
    }
    for step in &violations {
        let x = across.at(step.at);
        out.line("bad", (x, up.at(step.at)), (x, up.at(step.needed())));
    }
    if let Some(step) = first {
        let x = across.at(step.at);
        let text = format!("{} in {}", step.needed(), step.at);
        out.text("bad-text", "end", (x + Px::of(-6), up.at(step.needed()) + Px::of(4)), &text);
    }
    out.finish()
}

/// What the picture says, in a sentence.
fn about(set: &TaskSet, violation: Option<&Step>) -> String {
    let Some(step) = violation else {
        return "what is needed stays within the time of every window of a busy period".to_owned();
    };
    let blocked = match step.blocked_by.and_then(|by| set.get(by)) {
        Some(by) => format!(", {} of it the rest of a job of {}", step.blocking, shortened(&by.name, 24)),
        None => String::new(),
    };
    let who = if step.demand > step.at { "every policy misses" } else { "EDF misses" };
    format!("a window of {} asks for {}{blocked}: {who} a deadline", step.at, step.needed())
}

/// The corners of a staircase.
fn staircase(
    steps: &[Step],
    until: Nanos,
    height: impl Fn(&Step) -> Nanos,
    across: Axis,
    up: Axis,
) -> Vec<(Px, Px)> {
    let mut corners = Vec::with_capacity(2 * steps.len());
    for (i, step) in steps.iter().enumerate() {
        let end = steps.get(i + 1).map_or(until, |next| next.at);
        corners.push((across.at(step.at), up.at(height(step))));
        corners.push((across.at(end), up.at(height(step))));
    }
    corners.dedup();
    corners
}
