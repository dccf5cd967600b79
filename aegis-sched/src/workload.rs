//! Workloads for the simulator: as specified, random, and adversarial (the release patterns that hurt most).
//!
//! All of them stay inside the model that the analyses assume: arrivals at least `T` apart or within their curve, releases
//! within `J` (and the release overhead) of their arrival, segments no longer than their WCET with overheads, stalls no
//! longer than declared and at least their gap apart.
use crate::simulator::{Arrival, Workload};
use aegis_core::{ArrivalLaw, JobId, Nanos, NextArrival, Rng, Stall, Task, TaskId, TaskSet};
use std::collections::VecDeque;

/// How long segments take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// Always the WCET, overheads included.
    Wcet,
    /// Each the WCET or, as often, anything from 1 ns up to it: early completions are what makes non-preemptive
    /// schedules behave unexpectedly.
    UpToWcet,
}

/// The stalls of a partition, as a simulated segment meets them: each begins as soon as it may while something runs, or,
/// now and then, later or with a later segment.
#[derive(Debug)]
struct Standstill {
    /// Each source with the earliest next beginning.
    sources: Vec<(Stall, Nanos)>,
}

impl Standstill {
    fn new(set: &TaskSet) -> Self {
        let overheads = set.overheads();
        let all = [overheads.recovery, overheads.clock_change, overheads.reload];
        let some = all.into_iter().filter(|stall| stall.length > Nanos::ZERO);
        Self { sources: some.map(|stall| (stall, Nanos::ZERO)).collect() }
    }

    /// After this long without a stall all of them may come.
    fn longest_gap(&self) -> Nanos {
        self.sources.iter().map(|(stall, _)| stall.gap).max().unwrap_or_default()
    }

    /// How long they make a segment wait that starts at `now` and takes `execution`.
    fn during(&mut self, now: Nanos, execution: Nanos, rng: &mut Rng) -> Nanos {
        let mut end = now + execution;
        let mut more = !self.sources.is_empty();
        while more {
            more = false;
            for (stall, next) in &mut self.sources {
                let earliest = now.max(*next);
                if earliest >= end || rng.one_in(8) {
                    continue;
                }
                let late = if rng.one_in(4) { rng.between(0, (end - earliest).0 - 1) } else { 0 };
                *next = earliest + Nanos(late) + stall.gap;
                end += stall.length;
                more = true;
            }
        }
        end - now - execution
    }
}

/// How far an arrival law looks back.
fn reach(law: &ArrivalLaw) -> Nanos {
    match law {
        ArrivalLaw::Sporadic(period) => *period,
        ArrivalLaw::Curve(curve) => curve.horizon(),
    }
}

/// Periodic arrivals from given offsets, as a system file states them; releases at once or at random within the jitter.
#[derive(Debug)]
pub struct Periodic<'a> {
    set: &'a TaskSet,
    next: Vec<Nanos>,
    allowed: Vec<NextArrival<'a>>,
    released: Vec<Nanos>,
    horizon: Nanos,
    gaps: Vec<bool>,
    stalls: Standstill,
    execution: Execution,
    rng: Rng,
}

impl<'a> Periodic<'a> {
    /// Task `i` arrives at `offsets[i]` (0 when absent) and then every period, or as early as its curve allows, up to and
    /// including `horizon`; where `sporadic[i]`, each gap is up to half a period longer, at random.
    #[must_use]
    pub fn new(
        set: &'a TaskSet,
        offsets: &[Nanos],
        sporadic: &[bool],
        horizon: Nanos,
        execution: Execution,
        seed: u64,
    ) -> Self {
        let n = set.tasks().len();
        let at = |i: usize| offsets.get(i).copied().unwrap_or_default();
        Self {
            set,
            next: (0..n).map(at).collect(),
            allowed: set.tasks().iter().map(|task| NextArrival::new(&task.arrival)).collect(),
            released: vec![Nanos::ZERO; n],
            horizon,
            gaps: (0..n).map(|i| sporadic.get(i).copied().unwrap_or_default()).collect(),
            stalls: Standstill::new(set),
            execution,
            rng: Rng::new(seed),
        }
    }
}

impl Workload for Periodic<'_> {
    fn next(&mut self, task: TaskId) -> Option<Arrival> {
        let (i, spec) = (task.index(), &self.set.tasks()[task.index()]);
        let arrival = self.next[i];
        if arrival > self.horizon {
            return None;
        }
        let extra = if self.gaps[i] { self.rng.between(0, spec.arrival.mean_distance().0 / 2) } else { 0 };
        self.allowed[i].arrived(arrival);
        self.next[i] = self.allowed[i].earliest() + Nanos(extra);
        let jitter = spec.jitter + self.set.overheads().release;
        let delay = if jitter == Nanos::ZERO { 0 } else { self.rng.between(0, jitter.0) };
        let release = (arrival + Nanos(delay)).max(self.released[i]);
        self.released[i] = release;
        Some(Arrival { arrival, release })
    }

    fn execution(&mut self, job: JobId, segment: u16) -> Nanos {
        duration(self.set, self.execution, &mut self.rng, job, segment)
    }

    fn stalled(&mut self, now: Nanos, execution: Nanos) -> Nanos {
        self.stalls.during(now, execution, &mut self.rng)
    }
}

/// Jobs of one task in one episode, at most.
const MOST_JOBS: u64 = 10_000;

/// Episodes of adversarial releases, separated by silence: in each, one task is the victim, another has just started,
/// and everybody else is released together, with the jitter and the phase that hurt the victim most. One episode in
/// four is random instead, because the worst pattern is not always the textbook's.
#[derive(Debug)]
pub struct Adversary<'a> {
    set: &'a TaskSet,
    /// How long an episode releases jobs; the longest busy period is a good choice.
    length: Nanos,
    /// The common release of the next episode.
    start: Nanos,
    upcoming: Vec<VecDeque<Arrival>>,
    allowed: Vec<NextArrival<'a>>,
    stalls: Standstill,
    jobs_left: u64,
    execution: Execution,
    rng: Rng,
}

impl<'a> Adversary<'a> {
    /// `jobs` jobs or a few more, in episodes that release for up to `length`; the same seed gives the same jobs.
    #[must_use]
    pub fn new(set: &'a TaskSet, length: Nanos, jobs: u64, execution: Execution, seed: u64) -> Self {
        let mut adversary = Self {
            set,
            length,
            start: Nanos::ZERO,
            upcoming: vec![VecDeque::new(); set.tasks().len()],
            allowed: set.tasks().iter().map(|task| NextArrival::new(&task.arrival)).collect(),
            stalls: Standstill::new(set),
            jobs_left: jobs,
            execution,
            rng: Rng::new(seed),
        };
        adversary.start = adversary.silence();
        adversary
    }

    /// Long enough for everything to finish and for every task to be free to arrive again, early jitter included, and
    /// for every stall to be free to come again.
    fn silence(&self) -> Nanos {
        let reach = |t: &Task| reach(&t.arrival) + t.deadline + self.jitter(t) * 2;
        let quiet = self.set.tasks().iter().map(reach).max().unwrap_or_default();
        self.length + quiet.max(self.stalls.longest_gap()) + Nanos(1)
    }

    fn jitter(&self, task: &Task) -> Nanos {
        task.jitter + self.set.overheads().release
    }

    fn pick(&mut self) -> usize {
        let last = self.set.tasks().len() as u64 - 1;
        usize::try_from(self.rng.between(0, last)).unwrap_or_default()
    }

    /// Releases one more episode and moves `start` behind the silence that follows it.
    fn episode(&mut self) {
        let (victim, blocker, aligned_to) = (self.pick(), self.pick(), self.pick());
        let random = self.rng.one_in(4);
        let jobs_before = self.rng.between(0, 3);
        let until = self.start + Nanos(self.rng.between(0, self.length.0));
        let mut last = until;
        for (i, task) in self.set.tasks().iter().enumerate() {
            let jitter = self.jitter(task);
            // The first arrival, counted from the common release; what arrived before it is released with it.
            let first = if random {
                i128::from(self.rng.between(0, task.arrival.mean_distance().0)) - i128::from(jitter.0)
            } else if i == blocker && i != victim {
                -1
            } else if i == victim {
                // Its deadline falls on a deadline of another task; its own earlier jobs are as dense as they may be.
                let other = &self.set.tasks()[aligned_to];
                let deadline = i128::from(other.arrival.distance(jobs_before)) + i128::from(other.deadline.0)
                    - i128::from(self.jitter(other).0);
                let arrival = deadline - i128::from(task.deadline.0);
                let earliest = -i128::from(jitter.0);
                let later = u64::try_from(arrival - earliest).unwrap_or(0);
                let own_before = task.arrival.arrivals_within(later.saturating_add(1)) - 1;
                earliest + i128::from(later - task.arrival.distance(own_before).min(later))
            } else {
                -i128::from(jitter.0)
            };
            let tight = !random || self.rng.one_in(2);
            let together = if i == blocker { Nanos::ZERO } else { self.start };
            let mut arrival = Nanos(u64::try_from(i128::from(self.start.0) + first).unwrap_or_default());
            let mut released = Nanos::ZERO;
            // However short its period beside the others', a task brings no more jobs than fit in memory.
            for _ in 0..MOST_JOBS {
                let delay = if tight { 0 } else { self.rng.between(0, jitter.0) };
                let release = (arrival + Nanos(delay)).max(released);
                released = if tight { release.max(together) } else { release };
                self.upcoming[i].push_back(Arrival { arrival, release: released });
                self.jobs_left = self.jobs_left.saturating_sub(1);
                last = last.max(arrival);
                let gap = if tight { 0 } else { self.rng.between(0, task.arrival.mean_distance().0) };
                self.allowed[i].arrived(arrival);
                arrival = self.allowed[i].earliest() + Nanos(gap);
                if arrival > until {
                    break;
                }
            }
        }
        self.start = last + self.silence();
    }
}

impl Workload for Adversary<'_> {
    fn next(&mut self, task: TaskId) -> Option<Arrival> {
        if self.upcoming[task.index()].is_empty() && self.jobs_left > 0 {
            self.episode();
        }
        self.upcoming[task.index()].pop_front()
    }

    fn execution(&mut self, job: JobId, segment: u16) -> Nanos {
        duration(self.set, self.execution, &mut self.rng, job, segment)
    }

    fn stalled(&mut self, now: Nanos, execution: Nanos) -> Nanos {
        self.stalls.during(now, execution, &mut self.rng)
    }
}

fn duration(set: &TaskSet, execution: Execution, rng: &mut Rng, job: JobId, segment: u16) -> Nanos {
    let overheads = set.overheads();
    let copy = if segment == 0 { overheads.copy } else { Nanos::ZERO };
    let around = overheads.around_segment().unwrap_or_default();
    let wcet = set.tasks()[job.task.index()].segments[usize::from(segment)] + around + copy;
    match execution {
        Execution::UpToWcet if rng.one_in(2) => Nanos(rng.between(1, wcet.0)),
        Execution::Wcet | Execution::UpToWcet => wcet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_core::{ArrivalCurve, Overheads, Policy, TaskDraft};

    /// Every workload must stay inside the model: otherwise a bound that holds would seem broken, and the reverse.
    fn check(set: &TaskSet, workload: &mut impl Workload) -> usize {
        let mut jobs = 0;
        for (i, task) in set.tasks().iter().enumerate() {
            let jitter = task.jitter + set.overheads().release;
            let mut before: Vec<Arrival> = Vec::new();
            while let Some(now) = workload.next(TaskId::from(i)) {
                jobs += 1;
                assert!(now.arrival <= now.release && now.release <= now.arrival + jitter, "{now:?}");
                for (k, then) in before.iter().rev().take(20).enumerate() {
                    let window = (now.arrival - then.arrival).0 + 1;
                    assert!(k as u64 + 2 <= task.arrival.arrivals_within(window), "{then:?} {now:?}");
                    assert!(now.release >= then.release, "{then:?} {now:?}");
                }
                before.push(now);
            }
            let job = JobId { task: TaskId::from(i), seq: 0 };
            let most = task.segments[0] + set.overheads().around_segment().unwrap() + set.overheads().copy;
            assert!((0..100).all(|_| (1..=most.0).contains(&workload.execution(job, 0).0)));
        }
        jobs
    }

    fn draft(name: &str, c: u64, arrival: impl Into<ArrivalLaw>, d: u64, j: u64) -> TaskDraft {
        TaskDraft {
            name: name.to_owned(),
            segments: vec![Nanos(c)],
            arrival: arrival.into(),
            deadline: Some(Nanos(d)),
            jitter: Nanos(j),
            priority: None,
        }
    }

    #[test]
    fn workloads_stay_inside_the_model() {
        let overheads = Overheads {
            release: Nanos(1),
            dispatch: Nanos(1),
            launch: Nanos(1),
            copy: Nanos(3),
            completion: Nanos(2),
            ..Overheads::default()
        };
        // Bursts of two, and a curve that allows four jobs at the end of a window that holds only one in its half.
        let burst = ArrivalCurve::new(Nanos(30), vec![(Nanos(1), 2), (Nanos(9), 3)]).unwrap();
        let uneven = ArrivalCurve::new(Nanos(20), vec![(Nanos(1), 1), (Nanos(12), 4)]).unwrap();
        let drafts = vec![
            draft("a", 2, Nanos(10), 8, 3),
            draft("b", 3, Nanos(17), 40, 0),
            draft("c", 1, Nanos(4), 4, 9),
            draft("d", 1, burst, 40, 3),
            draft("e", 1, uneven, 30, 0),
        ];
        let set = TaskSet::new(Policy::Edf, overheads, drafts).unwrap();
        for seed in 0..50 {
            let mut adversary = Adversary::new(&set, Nanos(60), 1_000, Execution::UpToWcet, seed);
            assert!(check(&set, &mut adversary) >= 1_000);
            let offsets = [Nanos(3), Nanos(0), Nanos(7)];
            let sporadic = [false, true, false];
            let mut periodic =
                Periodic::new(&set, &offsets, &sporadic, Nanos(500), Execution::UpToWcet, seed);
            assert!(check(&set, &mut periodic) > 100);
        }
    }

    /// In no span of time do stalls take longer than those that can begin in it.
    #[test]
    fn stalls_stay_inside_the_model() {
        let stall = |length, gap| Stall { length: Nanos(length), gap: Nanos(gap) };
        let sources = [stall(3, 10), stall(2, 17)];
        let overheads = Overheads { recovery: sources[0], clock_change: sources[1], ..Overheads::default() };
        let set = TaskSet::new(Policy::Edf, overheads, vec![draft("a", 4, Nanos(20), 20, 0)]).unwrap();
        for seed in 0..50 {
            let mut world = Adversary::new(&set, Nanos(60), 100, Execution::Wcet, seed);
            let mut rng = Rng::new(seed);
            let mut now = Nanos(5);
            let mut spans: Vec<(Nanos, Nanos, u64)> = Vec::new();
            for _ in 0..200 {
                let execution = Nanos(rng.between(1, 12));
                let stalled = world.stalled(now, execution);
                let end = now + execution + stalled;
                spans.push((now, end, stalled.0));
                now = end + Nanos(if rng.one_in(3) { rng.between(0, 20) } else { 0 });
                let mut taken = 0;
                for (from, _, stalled) in spans.iter().rev() {
                    taken += stalled;
                    let most = |stall: &Stall| (end - *from).0.div_ceil(stall.gap.0) * stall.length.0;
                    assert!(taken <= sources.iter().map(most).sum::<u64>(), "seed {seed}: {spans:?}");
                }
            }
            assert!(spans.iter().filter(|(.., stalled)| *stalled > 0).count() > 50, "seed {seed}");
        }
    }
}
