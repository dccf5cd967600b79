//! `aegis admit --svg-schedule`: the critical instant of the task with the least slack, played by the simulator and drawn.
use crate::{Error, svg};
use aegis_analysis::critical::{Pattern, critical_instant};
use aegis_core::{JobId, Nanos, Overheads, TaskId, TaskSet, TaskVerdict, Verdict};
use aegis_sched::pattern::{Listed, ListedJob};
use aegis_sched::simulator::{Arrival, Workload};

/// The picture for the tasks of a partition of that name.
///
/// # Errors
/// [`Error::Argument`] if no task has a bound, or if the schedule has too many jobs to be drawn.
pub(super) fn picture(set: &TaskSet, verdict: &Verdict, name: &str) -> Result<String, Error> {
    let cannot = |why: String| Error::Argument(format!("--svg-schedule: {why}"));
    let slack = |task: &&TaskVerdict| {
        task.bound.as_ref().map(|bound| i128::from(task.deadline.0) - i128::from(bound.wcrt.0))
    };
    let with_bound = verdict.tasks.iter().filter(|task| task.bound.is_some());
    let tightest = with_bound.min_by_key(slack).ok_or_else(|| {
        cannot(
            "no task has a bound; the load is all of the time or more, and no schedule is the worst"
                .to_owned(),
        )
    })?;
    let pattern = critical_instant(set, tightest.task).map_err(|why| cannot(why.to_string()))?;
    let (jobs, most) = (pattern.jobs.len(), svg::schedule::MOST_JOBS);
    if jobs > most {
        return Err(cannot(format!("the worst schedule has {jobs} jobs; at most {most} can be drawn")));
    }
    let mut played = Played::new(set, &pattern);
    let (analysed, blocker) = (played.id(pattern.job), pattern.blocker.map(|blocker| played.id(blocker)));
    let jobs = svg::schedule::record(set, &mut played);
    let task = set.get(tightest.task).map_or("", |task| task.name.as_str());
    let title = format!("The worst schedule for {task} on {name}, under {}", set.policy());
    let about = about(set, &pattern, &jobs, analysed);
    Ok(svg::schedule::picture(set, &jobs, analysed, blocker, &title, &about))
}

/// What the picture says, in a sentence.
fn about(set: &TaskSet, pattern: &Pattern, jobs: &[svg::schedule::Job], analysed: JobId) -> String {
    let drawn = jobs.iter().find(|job| job.id == analysed);
    let response = drawn.and_then(|job| Some(job.end()? - job.arrival)).unwrap_or_default();
    let name = |task: TaskId| set.get(task).map_or("", |task| task.name.as_str());
    let close = match pattern.bound.saturating_sub(response) {
        Nanos::ZERO => "its bound".to_owned(),
        gap => format!("{gap} less than its bound"),
    };
    let late = if drawn.is_some_and(svg::schedule::Job::late) { ", after its deadline" } else { "" };
    let blocked = pattern.blocker.map_or_else(String::new, |blocker| {
        format!("; {} had started 1 ns before", name(pattern.jobs[blocker].task))
    });
    format!("{} takes {response}, {close}{late}{blocked}", name(analysed.task))
}

/// The jobs of a pattern, and its stalls: each delays the segment during which it begins, or before which it began.
struct Played<'a> {
    listed: Listed,
    overheads: Overheads,
    pattern: &'a Pattern,
    /// The first stall that has not delayed anybody yet.
    next: usize,
}

impl<'a> Played<'a> {
    fn new(set: &TaskSet, pattern: &'a Pattern) -> Self {
        let listed = pattern.jobs.iter().map(|job| ListedJob {
            task: job.task,
            times: Arrival { arrival: job.arrival, release: job.release },
            executions: job.executions.clone(),
        });
        let listed = Listed::new(set.tasks().len(), &listed.collect::<Vec<_>>());
        Self { listed, overheads: set.overheads(), pattern, next: 0 }
    }

    /// What the scheduler calls a job of the pattern.
    fn id(&self, job: usize) -> JobId {
        self.listed.jobs()[job]
    }
}

impl Workload for Played<'_> {
    fn next(&mut self, task: TaskId) -> Option<Arrival> {
        self.listed.next(task)
    }

    fn execution(&mut self, job: JobId, segment: u16) -> Nanos {
        self.listed.execution(job, segment)
    }

    fn stalled(&mut self, now: Nanos, execution: Nanos) -> Nanos {
        let lengths = [self.overheads.recovery, self.overheads.clock_change, self.overheads.reload];
        let mut stalled = Nanos::ZERO;
        while let Some(stall) = self.pattern.stalls.get(self.next) {
            if stall.at >= now.saturating_add(execution).saturating_add(stalled) {
                break;
            }
            stalled =
                stalled.saturating_add(lengths.get(stall.source).map_or(Nanos::ZERO, |stall| stall.length));
            self.next += 1;
        }
        stalled
    }

    fn turn(&self, task: TaskId) -> usize {
        self.listed.turn(task)
    }
}
