//! Certificates: what an analysis found, in the form in which a checker that shares nothing with it can prove it again.
//!
//! An admission is a cover: ranges of jobs, of deadlines or of releases, each as long as one inequality allows. A
//! rejection is the overload, or a schedule in which a job misses its deadline. `docs/CERTIFICATES.md` has the format.
use super::blocking::Blocking;
use super::busy_period::{NoBound, Steps, busy_period, least_fixed_point, work};
use super::critical::{self, Pattern, Ties};
use super::load::{Load, loads};
use super::stalls::Stalls;
use super::utilisation;
use aegis_core::{ArrivalLaw, Bound, Nanos, Policy, Rejection, TaskId, TaskSet, Verdict};
use core::cmp::Ordering;
use core::fmt;

/// Proof of a verdict; its `Display` is the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    set: TaskSet,
    claim: Claim,
}

/// What is proved, with the numbers that prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// Every task's responses under fixed priorities.
    FixedPriority(Vec<Level>),
    /// Every deadline under EDF.
    Edf {
        /// No busy period is longer.
        busy: Nanos,
        /// Where ranges of deadlines begin, counted from the start of the busy period, and when all that is due in them
        /// has ended. A range ends where the next begins, the last with the busy period.
        ends: Vec<(Nanos, Nanos)>,
    },
    /// Every task's responses under FIFO.
    Fifo {
        /// No busy period is longer.
        busy: Nanos,
        /// Each task's bound; where ranges of releases begin, and when the last job of each has ended.
        tasks: Vec<(Nanos, Vec<(Nanos, Nanos)>)>,
    },
    /// Under FIFO, without jitter, every response is at most this sum of all WCETs.
    FifoSum(Nanos),
    /// The tasks ask for more than all of the time.
    Overload,
    /// A job misses its deadline.
    Miss(Pattern),
}

/// One task under fixed priorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// Its longest busy period.
    pub busy: Nanos,
    /// Its bound.
    pub response: Nanos,
    /// Where a range of releases begins, when the last segment of its last job starts, and when that job ends.
    pub starts: Vec<(Nanos, Nanos, Nanos)>,
}

/// Why a verdict has no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoCertificate {
    /// The rejection is not a proof: nothing is known to miss a deadline, the analysis cannot show that nothing does.
    #[error(
        "the rejection is on the safe side, without a schedule that shows a miss; there is nothing to certify"
    )]
    NotProved,
    /// The certificate would need more ranges or jobs than [`MOST_ENTRIES`], or more steps than the analysis may take.
    #[error("the certificate would hold more than {MOST_ENTRIES} numbers or take too many steps to make")]
    TooLong,
    /// The verdict is not one of this set, or the analysis has a defect: its own inequalities do not hold.
    #[error("the verdict does not hold for task {}; it is of another set, or the analysis is wrong", task.0)]
    Contradiction {
        /// The task whose numbers contradict each other.
        task: TaskId,
    },
}

impl From<NoBound> for NoCertificate {
    fn from(_: NoBound) -> Self {
        Self::TooLong
    }
}

/// No certificate lists more numbers or jobs.
pub const MOST_ENTRIES: usize = 1 << 18;

/// The certificate of `verdict`, which [`admit`](super::admit) gave for `set`.
///
/// # Errors
/// [`NoCertificate`].
pub fn certify(set: &TaskSet, verdict: &Verdict) -> Result<Certificate, NoCertificate> {
    let claim = if verdict.admitted() { admitted(set, verdict)? } else { rejected(set, verdict)? };
    Ok(Certificate { set: set.clone(), claim })
}

impl Certificate {
    /// What it proves.
    #[must_use]
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }
}

fn admitted(set: &TaskSet, verdict: &Verdict) -> Result<Claim, NoCertificate> {
    let (loads, stalls) = (loads(set), Stalls::new(set.overheads()));
    let mut steps = Steps::new(super::STEP_LIMIT);
    let bounds: Vec<&Bound> = verdict.tasks.iter().filter_map(|task| task.bound.as_ref()).collect();
    if bounds.len() != loads.len() {
        return Err(NoCertificate::Contradiction { task: TaskId::from(bounds.len().min(loads.len())) });
    }
    match set.policy() {
        Policy::FixedPriority => {
            let level = |(load, bound)| level(&loads, &stalls, load, bound, &mut steps);
            Ok(Claim::FixedPriority(loads.iter().zip(bounds).map(level).collect::<Result<_, _>>()?))
        }
        Policy::Edf => {
            let busy = busy_period(&loads.iter(), None, &stalls, &mut steps)?;
            Ok(Claim::Edf { busy: Nanos(busy), ends: deadlines(&loads, &stalls, busy, &mut steps)? })
        }
        Policy::Fifo => {
            let smooth = |load: &Load| load.j == 0 && load.arrival.period().is_some();
            if stalls.is_empty() && loads.iter().all(smooth) {
                let sum = work(0, loads.iter(), |_| 1).ok_or(NoCertificate::TooLong)?;
                return Ok(Claim::FifoSum(Nanos(sum)));
            }
            let busy = busy_period(&loads.iter(), None, &stalls, &mut steps)?;
            let of_task = |(load, bound): (&Load, &Bound)| {
                Ok((bound.wcrt, releases(&loads, &stalls, load, bound, busy, &mut steps)?))
            };
            let tasks = loads.iter().zip(bounds).map(of_task).collect::<Result<_, NoCertificate>>()?;
            Ok(Claim::Fifo { busy: Nanos(busy), tasks })
        }
    }
}

/// Ranges of releases of one task, from the last down, each as far as the end of its last job allows for the bound.
fn level(
    loads: &[Load],
    stalls: &Stalls,
    task: &Load,
    bound: &Bound,
    steps: &mut Steps,
) -> Result<Level, NoCertificate> {
    let others = || loads.iter().filter(|other| other.id != task.id);
    let hp: Vec<&Load> = others().filter(|other| other.priority <= task.priority).collect();
    let lp = others().filter(|other| other.priority > task.priority);
    let blocker = lp.map(|other| (other.id, other.longest - 1)).max_by_key(|(_, wait)| *wait);
    let wait = blocker.map_or(0, |(_, wait)| wait);
    let mut starts = Vec::new();
    let mut end = bound.busy_period.0;
    while end > 0 {
        let own = task.own_by(end - 1).checked_mul(task.c).ok_or(NoCertificate::TooLong)?;
        let base = (own - task.last).checked_add(wait).ok_or(NoCertificate::TooLong)?;
        let before = |w| work(base, hp.iter().copied(), |other| other.released_by(w));
        let start = least_fixed_point(base, hp.len() + 1, steps, |w| {
            before(w)?.checked_add(stalls.within(w + 1, blocker)?)
        })?;
        let all = before(start).and_then(|work| work.checked_add(task.last)).ok_or(NoCertificate::TooLong)?;
        let ended = stalls.end_of(all, blocker, 0, steps)?;
        let begin = (task.j + ended).saturating_sub(bound.wcrt.0);
        if begin >= end {
            return Err(NoCertificate::Contradiction { task: task.id });
        }
        starts.push((Nanos(begin), Nanos(start), Nanos(ended)));
        few(&starts)?;
        end = begin;
    }
    starts.reverse();
    Ok(Level { busy: bound.busy_period, response: bound.wcrt, starts })
}

/// Ranges of deadlines, from the last down, each as far as all that is due before its end, and the segment that blocks its
/// beginning, have ended by its beginning.
fn deadlines(
    loads: &[Load],
    stalls: &Stalls,
    busy: u64,
    steps: &mut Steps,
) -> Result<Vec<(Nanos, Nanos)>, NoCertificate> {
    let blocking = Blocking::new(loads);
    let mut ends = Vec::new();
    let mut end = busy;
    while end > 0 {
        let due = |load: &Load| load.due_by(i128::from(end) - 1);
        let demand = work(0, loads.iter(), due).ok_or(NoCertificate::TooLong)?;
        if demand == 0 {
            break;
        }
        // It never rises with the beginning, because the blocking falls: halves find the first that is late enough.
        let mut ended = |begin: u64| {
            let blocker = blocking.at(begin.into());
            let work =
                demand.checked_add(blocker.map_or(0, |(_, wait)| wait)).ok_or(NoCertificate::TooLong)?;
            steps.take(loads.len())?;
            Ok::<_, NoCertificate>(stalls.end_of(work, blocker, 0, steps)?)
        };
        let (mut low, mut high) = (demand.min(end), end);
        while low < high {
            let middle = low + (high - low) / 2;
            if ended(middle)? <= middle {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        if low == end {
            let late = loads.iter().min_by_key(|load| load.first_deadline());
            return Err(NoCertificate::Contradiction { task: late.map_or(TaskId(0), |load| load.id) });
        }
        ends.push((Nanos(low), Nanos(ended(low)?)));
        few(&ends)?;
        end = low;
    }
    ends.reverse();
    Ok(ends)
}

/// Ranges of releases of one task, from the last down, each as far as the end of its last job allows for the bound.
fn releases(
    loads: &[Load],
    stalls: &Stalls,
    task: &Load,
    bound: &Bound,
    busy: u64,
    steps: &mut Steps,
) -> Result<Vec<(Nanos, Nanos)>, NoCertificate> {
    let mut ends = Vec::new();
    let mut end = busy;
    while end > 0 {
        steps.take(loads.len())?;
        let ahead = work(0, loads.iter(), |load| {
            if load.id == task.id { load.own_by(end - 1) } else { load.released_by(end - 1) }
        });
        let ended = stalls.end_of(ahead.ok_or(NoCertificate::TooLong)?, None, 0, steps)?;
        let begin = (task.j + ended).saturating_sub(bound.wcrt.0);
        if begin >= end {
            return Err(NoCertificate::Contradiction { task: task.id });
        }
        ends.push((Nanos(begin), Nanos(ended)));
        few(&ends)?;
        end = begin;
    }
    ends.reverse();
    Ok(ends)
}

fn few<T>(entries: &[T]) -> Result<(), NoCertificate> {
    if entries.len() > MOST_ENTRIES { Err(NoCertificate::TooLong) } else { Ok(()) }
}

/// The overload, or the shortest schedule that the bounds above their deadlines come from.
fn rejected(set: &TaskSet, verdict: &Verdict) -> Result<Claim, NoCertificate> {
    if utilisation::against_one(set) == Ordering::Greater
        && verdict.rejections.iter().any(|reason| matches!(reason, Rejection::Overload { .. }))
    {
        return Ok(Claim::Overload);
    }
    let misses = verdict.tasks.iter().filter(|task| !task.schedulable());
    let patterns = misses.filter_map(|answer| {
        let pattern = critical::of_bound(set, answer.task, answer.bound.as_ref()?, Ties::AsListed).ok()?;
        (pattern.response > answer.deadline).then_some(pattern)
    });
    let shortest = patterns.min_by_key(|pattern| pattern.jobs.len());
    shortest.map(Claim::Miss).ok_or(NoCertificate::NotProved)
}

/// JSON; one line a task and a job.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let overheads = self.set.overheads();
        writeln!(f, "{{\n  \"schema_version\": 1,\n  \"policy\": \"{}\",", self.set.policy())?;
        writeln!(
            f,
            "  \"overheads\": {{\"release_ns\": {}, \"dispatch_ns\": {}, \"launch_ns\": {}, \"copy_ns\": {}, \
             \"completion_ns\": {},",
            overheads.release.0,
            overheads.dispatch.0,
            overheads.launch.0,
            overheads.copy.0,
            overheads.completion.0
        )?;
        let stalls = critical::sources(&overheads);
        for (k, (name, stall)) in ["recovery", "clock_change", "reload"].iter().zip(stalls).enumerate() {
            let after = if k == 2 { "}" } else { "" };
            let (length, gap) = (stall.length.0, stall.gap.0);
            writeln!(f, "    \"{name}\": {{\"length_ns\": {length}, \"gap_ns\": {gap}}}{after},")?;
        }
        write!(f, "  \"tasks\": ")?;
        list(f, self.set.tasks(), "\n    ", |f, task| {
            let arrival = match &task.arrival {
                ArrivalLaw::Sporadic(period) => format!("\"t_ns\": {}", period.0),
                ArrivalLaw::Curve(curve) => {
                    let steps: Vec<String> = curve
                        .steps()
                        .iter()
                        .map(|(window, count)| format!("[{}, {count}]", window.0))
                        .collect();
                    let steps = steps.join(", ");
                    format!("\"arrival\": {{\"horizon_ns\": {}, \"steps\": [{steps}]}}", curve.horizon().0)
                }
            };
            write!(f, "{{\"name\": ")?;
            text(f, &task.name)?;
            write!(f, ", \"segments_ns\": ")?;
            times(f, &task.segments)?;
            let (deadline, jitter, priority) = (task.deadline.0, task.jitter.0, task.priority.0);
            write!(f, ", {arrival}, \"d_ns\": {deadline}, \"j_ns\": {jitter}, \"priority\": {priority}}}")
        })?;
        write!(f, ",\n  \"claim\": ")?;
        self.claim.write(f)?;
        writeln!(f, "\n}}")
    }
}

impl Claim {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FixedPriority(levels) => {
                write!(f, "{{\"fixed_priority\": ")?;
                list(f, levels, "\n    ", |f, level| {
                    let (busy, response) = (level.busy.0, level.response.0);
                    write!(f, "{{\"busy_ns\": {busy}, \"response_ns\": {response}, \"starts\": ")?;
                    list(f, &level.starts, "", |f, (from, start, end)| {
                        write!(f, "[{}, {}, {}]", from.0, start.0, end.0)
                    })?;
                    write!(f, "}}")
                })?;
                write!(f, "}}")
            }
            Self::Edf { busy, ends } => {
                write!(f, "{{\"edf\": {{\"busy_ns\": {}, \"ends\": ", busy.0)?;
                pairs(f, ends)?;
                write!(f, "}}}}")
            }
            Self::Fifo { busy, tasks } => {
                write!(f, "{{\"fifo\": {{\"busy_ns\": {}, \"tasks\": ", busy.0)?;
                list(f, tasks, "\n    ", |f, (response, ends)| {
                    write!(f, "{{\"response_ns\": {}, \"ends\": ", response.0)?;
                    pairs(f, ends)?;
                    write!(f, "}}")
                })?;
                write!(f, "}}}}")
            }
            Self::FifoSum(sum) => write!(f, "{{\"fifo\": {{\"sum_ns\": {}}}}}", sum.0),
            Self::Overload => write!(f, "\"overload\""),
            Self::Miss(pattern) => {
                write!(f, "{{\"miss\": {{\"job\": {}, \"stalls\": ", pattern.job)?;
                list(f, &pattern.stalls, "", |f, stall| {
                    let (source, at, after) = (stall.source, stall.at.0, stall.after_choice);
                    write!(f, "{{\"source\": {source}, \"at_ns\": {at}, \"after_choice\": {after}}}")
                })?;
                write!(f, ", \"jobs\": ")?;
                list(f, &pattern.jobs, "\n    ", |f, job| {
                    let (task, arrival, release) = (job.task.0, job.arrival.0, job.release.0);
                    write!(f, "{{\"task\": {task}, \"arrival_ns\": {arrival}, \"release_ns\": {release}, ")?;
                    write!(f, "\"executions_ns\": ")?;
                    times(f, &job.executions)?;
                    write!(f, "}}")
                })?;
                write!(f, "}}}}")
            }
        }
    }
}

/// A JSON array with `before` in front of each element.
fn list<T>(
    f: &mut fmt::Formatter<'_>,
    elements: &[T],
    before: &str,
    one: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "[")?;
    for (k, element) in elements.iter().enumerate() {
        write!(
            f,
            "{}{before}",
            if k == 0 {
                ""
            } else if before.is_empty() {
                ", "
            } else {
                ","
            }
        )?;
        one(f, element)?;
    }
    write!(f, "]")
}

fn pairs(f: &mut fmt::Formatter<'_>, pairs: &[(Nanos, Nanos)]) -> fmt::Result {
    list(f, pairs, "", |f, (from, end)| write!(f, "[{}, {}]", from.0, end.0))
}

fn times(f: &mut fmt::Formatter<'_>, times: &[Nanos]) -> fmt::Result {
    list(f, times, "", |f, time| write!(f, "{}", time.0))
}

/// A JSON string.
fn text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    write!(f, "\"")
}
