//! A schedule as rows of boxes: who runs when, released when, due when, who blocks, who is late.
use super::{Axis, Drawing, Px, shortened};
use aegis_core::{Action, Event, JobId, Nanos, TaskSet};
use aegis_sched::simulator::{Workload, simulate};
use std::collections::BTreeMap;

const WIDTH: i64 = 960;
const LEFT: i64 = 150;
const RIGHT: i64 = 940;
const TOP: i64 = 80;
const ROW: i64 = 56;
const BOX: i64 = 24;

/// A picture with more jobs cannot be read.
pub(crate) const MOST_JOBS: usize = 2_000;

/// One job of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub id: JobId,
    pub arrival: Nanos,
    pub release: Nanos,
    /// Absolute.
    pub deadline: Nanos,
    /// When each of its segments ran.
    pub runs: Vec<(Nanos, Nanos)>,
}

impl Job {
    /// When it ended, if it did.
    pub fn end(&self) -> Option<Nanos> {
        self.runs.last().map(|(_, end)| *end)
    }

    /// Whether it ended after its deadline.
    pub fn late(&self) -> bool {
        self.end().is_some_and(|end| end > self.deadline)
    }
}

/// What the simulator makes of `workload`: its jobs in the order of their identifiers.
pub(crate) fn record(set: &TaskSet, workload: &mut impl Workload) -> Vec<Job> {
    let queues = vec![u32::MAX >> 8; set.tasks().len()];
    let mut jobs: BTreeMap<JobId, Job> = BTreeMap::new();
    simulate(set, &queues, workload, |now, event, decision| {
        match event {
            Event::Release { job, arrival } => {
                let deadline = arrival.saturating_add(set.tasks()[job.task.index()].deadline);
                jobs.insert(job, Job { id: job, arrival, release: now, deadline, runs: Vec::new() });
            }
            Event::Finish { job, .. } => {
                if let Some((_, end)) = jobs.get_mut(&job).and_then(|job| job.runs.last_mut()) {
                    *end = now;
                }
            }
            Event::Dispatch => {}
        }
        if let Action::Start { job, .. } = decision.action
            && let Some(job) = jobs.get_mut(&job)
        {
            job.runs.push((now, now));
        }
    });
    jobs.into_values().collect()
}

/// The picture: `analysed` is the job it is about, `blocker` the one that it finds running.
pub(crate) fn picture(
    set: &TaskSet,
    jobs: &[Job],
    analysed: JobId,
    blocker: Option<JobId>,
    title: &str,
    about: &str,
) -> String {
    let from = jobs.iter().map(|job| job.arrival).min().unwrap_or_default();
    let ends = jobs.iter().flat_map(|job| job.end().into_iter().chain([job.deadline]));
    let last = jobs.iter().filter_map(Job::end).max().unwrap_or_default();
    // Deadlines far behind the last run are not drawn.
    let far = last.saturating_add(Nanos(last.saturating_sub(from).0 / 2));
    let until = ends.filter(|end| *end <= far).max().unwrap_or(last).max(from + Nanos(1));
    let across = Axis { from, until, first: Px::of(LEFT), last: Px::of(RIGHT) };
    let rows = i64::try_from(set.tasks().len()).unwrap_or(i64::MAX / (2 * ROW));
    let bottom = TOP + ROW * rows;
    let mut out = Drawing::new(Px::of(WIDTH), Px::of(bottom + 50), title, about);
    out.text("", "start", (Px::of(20), Px::of(28)), title);
    out.text("", "start", (Px::of(20), Px::of(50)), about);
    for tick in across.ticks() {
        let x = across.at(tick);
        out.line("grid", (x, Px::of(TOP)), (x, Px::of(bottom)));
        let since = Nanos(tick.0 - from.0);
        out.text("", "middle", (x, Px::of(bottom + 20)), &since.to_string());
    }
    for (i, task) in set.tasks().iter().enumerate() {
        let base = baseline(i);
        out.line("axis", (Px::of(LEFT), base), (Px::of(RIGHT), base));
        out.text("", "end", (Px::of(LEFT - 10), base + Px::of(-8)), &shortened(&task.name, 18));
    }
    for job in jobs {
        draw(&mut out, set, job, across, class(job, analysed, blocker), until);
    }
    out.finish()
}

/// Where the boxes of a task stand.
fn baseline(row: usize) -> Px {
    Px::of(TOP + ROW * (i64::try_from(row).unwrap_or(0) + 1) - 10)
}

fn class(job: &Job, analysed: JobId, blocker: Option<JobId>) -> &'static str {
    if job.id == analysed {
        if job.late() { "late" } else { "analysed" }
    } else if Some(job.id) == blocker {
        "blocker"
    } else {
        "job"
    }
}

fn draw(out: &mut Drawing, set: &TaskSet, job: &Job, across: Axis, class: &str, until: Nanos) {
    let name = set.get(job.id.task).map_or("", |task| task.name.as_str());
    let base = baseline(job.id.task.index());
    for (k, (start, end)) in job.runs.iter().enumerate() {
        let (x, width) = (across.at(*start), Px((across.at(*end).0 - across.at(*start).0).max(1)));
        let title = format!(
            "{name}#{} segment {}: {} to {}",
            job.id.seq,
            k + 1,
            start.saturating_sub(across.from),
            end.saturating_sub(across.from)
        );
        out.rect(class, (x, base + Px::of(-BOX)), (width, Px::of(BOX)), &title);
    }
    arrow(out, "release", across.at(job.release), base, true);
    if job.arrival != job.release {
        arrow(out, "arrival", across.at(job.arrival), base, true);
    }
    if job.deadline <= until {
        arrow(out, if job.late() { "missed" } else { "deadline" }, across.at(job.deadline), base, false);
    }
}

/// Up for a release, down for a deadline.
fn arrow(out: &mut Drawing, class: &str, x: Px, base: Px, up: bool) {
    let top = base + Px::of(-BOX - 12);
    let (tip, wing) = if up { (top, 5) } else { (base, -5) };
    out.line(class, (x, base), (x, top));
    let wing = tip + Px::of(wing);
    out.path(class, &[(x + Px::of(-3), wing), (x, tip), (x + Px::of(3), wing)]);
}
