//! What would fit: the smallest single changes that make a rejected set admitted, each found by the exact test.
//!
//! Every test here is monotone (less work, a longer period or deadline never turns an admitted set into a rejected one),
//! so that bisection finds the exact edge. The number of segments is tried from 2 up: with overheads more of them are
//! not always better.
use super::busy_period::{NoBound, Steps};
use super::load::{LONGEST, Load, loads};
use super::stalls::Stalls;
use super::{demand, fifo, fixed_priority, utilisation};
use aegis_core::{ArrivalLaw, Nanos, Policy, Rejection, TaskId, TaskSet, Verdict};
use core::cmp::Ordering;

/// Most tasks that are considered for a change, of either kind.
const MOST_SUSPECTS: usize = 4;
/// Most segments into which a task is split.
const MOST_SEGMENTS: u64 = 64;
/// A period or deadline that would have to grow by more than this factor is no remedy.
const LONGEST_STRETCH: u64 = 1024;
/// Steps for all remedies together: about as much as the analysis of two tasks may take.
const STEP_LIMIT: u64 = 2 * super::STEP_LIMIT;

/// One change that, alone, makes the set admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// Run every job of the task in this many segments of equal length; fewer are not enough.
    Split {
        /// The task to split.
        task: TaskId,
        /// How many segments.
        segments: u64,
    },
    /// Let no segment of the task take longer than this; any longer is too long.
    ShorterSegments {
        /// The task to shorten.
        task: TaskId,
        /// The longest segment that fits, without overheads.
        at_most: Nanos,
    },
    /// Let the task arrive no more often than this; any shorter period is too short. Its deadline moves with its
    /// period if the two are equal; fixed priorities stay as they are, also where they were derived from deadlines.
    LongerPeriod {
        /// The task to slow down.
        task: TaskId,
        /// The shortest period that fits.
        at_least: Nanos,
    },
    /// Give the jobs of the task this relative deadline; any earlier one is missed. Fixed priorities stay as they are.
    LaterDeadline {
        /// The task that may take longer.
        task: TaskId,
        /// The earliest deadline that fits.
        at_least: Nanos,
    },
    /// Schedule the same set by another policy.
    OtherPolicy {
        /// The policy.
        policy: Policy,
    },
}

impl Remedy {
    /// What to change, with the names of `set`: "`lidar` in 2 segments".
    #[must_use]
    pub fn sentence(&self, set: &TaskSet) -> String {
        let name = |task: TaskId| {
            set.get(task).map_or_else(|| format!("task {}", task.0), |task| format!("`{}`", task.name))
        };
        match *self {
            Self::Split { task, segments } => format!("{} in {segments} segments", name(task)),
            Self::ShorterSegments { task, at_most } => {
                format!("no segment of {} longer than {at_most}", name(task))
            }
            Self::LongerPeriod { task, at_least } => {
                let with_deadline =
                    set.get(task).is_some_and(|task| task.deadline == task.arrival.mean_distance());
                let deadline = if with_deadline { " and a deadline" } else { "" };
                let order = if set.policy() == Policy::FixedPriority {
                    ", with the priorities as they are"
                } else {
                    ""
                };
                format!("a period{deadline} of {at_least} for {}{order}", name(task))
            }
            Self::LaterDeadline { task, at_least } => format!("a deadline of {at_least} for {}", name(task)),
            Self::OtherPolicy { policy } => format!("policy {policy}"),
        }
    }
}

/// What would make `set` admitted, given that `verdict` rejects it; empty when it does not, or when no single change of
/// these kinds is found within the limit of steps.
///
/// Considered are the tasks that block others past their deadlines (without any, the task with the largest share of
/// time), the deadlines and periods of the tasks that miss, and the other policies.
#[must_use]
pub fn remedies(set: &TaskSet, verdict: &Verdict) -> Vec<Remedy> {
    if verdict.admitted() {
        return Vec::new();
    }
    let stalls = Stalls::new(set.overheads());
    let mut search =
        Search { set, loads: loads(set), stalls, steps: Steps::new(STEP_LIMIT), found: Vec::new() };
    // What was found before the steps ran out stays found.
    let _ = search.run(verdict);
    search.found
}

struct Search<'a> {
    set: &'a TaskSet,
    loads: Vec<Load>,
    stalls: Stalls,
    steps: Steps,
    found: Vec<Remedy>,
}

impl Search<'_> {
    fn run(&mut self, verdict: &Verdict) -> Result<(), NoBound> {
        let (mut to_shorten, mut to_slow) = (Vec::new(), Vec::new());
        for rejection in &verdict.rejections {
            match *rejection {
                Rejection::DeadlineMissed { task, blocked_by, .. } => {
                    to_shorten.extend(blocked_by);
                    to_slow.push(task);
                }
                Rejection::NoFiniteBusyPeriod { task } => to_slow.push(task),
                _ => {}
            }
        }
        let largest = self.loads.iter().max_by(|a, b| a.share.compare(&b.share).then(b.id.cmp(&a.id)));
        let largest = largest.map(|load| load.id);
        for suspects in [&mut to_shorten, &mut to_slow] {
            if suspects.is_empty() {
                suspects.extend(largest);
            }
            suspects.sort_unstable();
            suspects.dedup();
            suspects.truncate(MOST_SUSPECTS);
        }
        for policy in [Policy::Edf, Policy::FixedPriority, Policy::Fifo] {
            if policy != verdict.policy && fits(policy, &self.loads, &self.stalls, &mut self.steps)? {
                self.found.push(Remedy::OtherPolicy { policy });
            }
        }
        for &task in &to_shorten {
            if let Some(segments) = self.split(task)? {
                self.found.push(Remedy::Split { task, segments });
            }
            if let Some(at_most) = self.shorter(task)? {
                self.found.push(Remedy::ShorterSegments { task, at_most });
            }
        }
        for &task in &to_slow {
            if let Some(at_least) = self.later(task)? {
                self.found.push(Remedy::LaterDeadline { task, at_least });
            }
            if let Some(at_least) = self.slower(task)? {
                self.found.push(Remedy::LongerPeriod { task, at_least });
            }
        }
        Ok(())
    }

    /// The smallest number of equal segments that fits.
    fn split(&mut self, task: TaskId) -> Result<Option<u64>, NoBound> {
        let now = &self.set.tasks()[task.index()];
        let (wcet, first) = (now.wcet().0, now.segments.len() as u64 + 1);
        for segments in first.max(2)..=MOST_SEGMENTS.min(wcet) {
            // The longer ones first, so that the lengths differ by 1 ns at most.
            let length = |k| Nanos(wcet / segments + u64::from(k < wcet % segments));
            let segments_of = (0..segments).map(length).collect();
            if self.fits_with(task, segments_of, now.arrival.clone(), now.deadline)? {
                return Ok(Some(segments));
            }
        }
        Ok(None)
    }

    /// The largest limit on the segments that fits.
    fn shorter(&mut self, task: TaskId) -> Result<Option<Nanos>, NoBound> {
        let now = &self.set.tasks()[task.index()];
        let mut fits = |at_most: u64| {
            let segments = now.segments.iter().map(|segment| Nanos(segment.0.min(at_most))).collect();
            self.fits_with(task, segments, now.arrival.clone(), now.deadline)
        };
        let longest = now.segments.iter().max().map_or(0, |segment| segment.0);
        if longest <= 1 || !fits(1)? {
            return Ok(None);
        }
        let (mut fitting, mut too_long) = (1, longest);
        while too_long - fitting > 1 {
            let middle = fitting + (too_long - fitting) / 2;
            *(if fits(middle)? { &mut fitting } else { &mut too_long }) = middle;
        }
        Ok(Some(Nanos(fitting)))
    }

    /// The shortest period that fits; none for a curve, which has no period to stretch.
    fn slower(&mut self, task: TaskId) -> Result<Option<Nanos>, NoBound> {
        let now = &self.set.tasks()[task.index()];
        let Some(period) = now.arrival.period() else { return Ok(None) };
        self.stretched(period, |search, longer| {
            let deadline = if now.deadline == period { longer } else { now.deadline };
            search.fits_with(task, now.segments.clone(), longer.into(), deadline)
        })
    }

    /// The earliest deadline that fits.
    fn later(&mut self, task: TaskId) -> Result<Option<Nanos>, NoBound> {
        let now = &self.set.tasks()[task.index()];
        self.stretched(now.deadline, |search, deadline| {
            search.fits_with(task, now.segments.clone(), now.arrival.clone(), deadline)
        })
    }

    /// The shortest time above `now`, which does not fit, that does.
    fn stretched(
        &mut self,
        now: Nanos,
        fits: impl Fn(&mut Self, Nanos) -> Result<bool, NoBound>,
    ) -> Result<Option<Nanos>, NoBound> {
        let most = now.0.saturating_mul(LONGEST_STRETCH).min(LONGEST);
        if !fits(self, Nanos(most))? {
            return Ok(None);
        }
        let (mut too_short, mut fitting) = (now.0, most);
        while fitting - too_short > 1 {
            let middle = too_short + (fitting - too_short) / 2;
            *(if fits(self, Nanos(middle))? { &mut fitting } else { &mut too_short }) = middle;
        }
        Ok(Some(Nanos(fitting)))
    }

    /// Whether the set is admitted with these times for that task.
    fn fits_with(
        &mut self,
        id: TaskId,
        segments: Vec<Nanos>,
        arrival: ArrivalLaw,
        deadline: Nanos,
    ) -> Result<bool, NoBound> {
        let mut task = self.set.tasks()[id.index()].clone();
        (task.segments, task.arrival, task.deadline) = (segments, arrival, deadline);
        let changed = Load::new(id, &task, self.set.overheads());
        let before = core::mem::replace(&mut self.loads[id.index()], changed);
        let fits = fits(self.set.policy(), &self.loads, &self.stalls, &mut self.steps);
        self.loads[id.index()] = before;
        fits
    }
}

/// Whether admission accepts, by the cheapest exact test of the policy.
fn fits(policy: Policy, loads: &[Load], stalls: &Stalls, steps: &mut Steps) -> Result<bool, NoBound> {
    let meets = |bound: Result<aegis_core::Bound, NoBound>, load: &Load| match bound {
        Ok(bound) => Ok(bound.wcrt.0 <= load.d),
        Err(NoBound::NoFiniteBusyPeriod) => Ok(false),
        Err(undecided) => Err(undecided),
    };
    match policy {
        Policy::Edf => {
            let drains = match utilisation::against(loads.iter(), stalls) {
                Ordering::Less => true,
                Ordering::Equal => loads.iter().all(|load| load.j == 0),
                Ordering::Greater => false,
            };
            if !drains {
                return Ok(false);
            }
            match demand::test(loads, stalls, steps) {
                Err(demand::DemandWitness::Undecided { steps }) => Err(NoBound::Undecided { steps }),
                answer => Ok(answer.is_ok()),
            }
        }
        Policy::FixedPriority => {
            for i in 0..loads.len() {
                if !meets(fixed_priority::bound(loads, stalls, i, steps), &loads[i])? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Policy::Fifo => {
            let length = match fifo::searched(loads, stalls, steps) {
                Err(NoBound::NoFiniteBusyPeriod) => return Ok(false),
                length => length?,
            };
            for (i, load) in loads.iter().enumerate() {
                if !meets(fifo::bound(loads, stalls, i, length, steps), load)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}
