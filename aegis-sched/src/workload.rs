//! Workloads for the simulator: as specified, random, and adversarial (the release patterns that hurt most).
//!
//! All of them stay inside the model that the analyses assume: arrivals at least `T` apart, releases within `J` (and
//! the release overhead) of their arrival, segments no longer than their WCET with overheads.
use crate::simulator::{Arrival, Workload};
use aegis_core::{JobId, Nanos, Rng, Task, TaskId, TaskSet};
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

/// Periodic arrivals from given offsets, as a system file states them; releases at once or at random within the jitter.
#[derive(Debug)]
pub struct Periodic<'a> {
    set: &'a TaskSet,
    next: Vec<Nanos>,
    released: Vec<Nanos>,
    horizon: Nanos,
    gaps: Vec<bool>,
    execution: Execution,
    rng: Rng,
}

impl<'a> Periodic<'a> {
    /// Task `i` arrives at `offsets[i]` (0 when absent) and then every period, up to and including `horizon`; where
    /// `sporadic[i]`, each gap is up to half a period longer, at random.
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
            released: vec![Nanos::ZERO; n],
            horizon,
            gaps: (0..n).map(|i| sporadic.get(i).copied().unwrap_or_default()).collect(),
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
        self.next[i] = arrival + spec.arrival.mean_distance() + Nanos(extra);
        let jitter = spec.jitter + self.set.overheads().release;
        let delay = if jitter == Nanos::ZERO { 0 } else { self.rng.between(0, jitter.0) };
        let release = (arrival + Nanos(delay)).max(self.released[i]);
        self.released[i] = release;
        Some(Arrival { arrival, release })
    }

    fn execution(&mut self, job: JobId, segment: u16) -> Nanos {
        duration(self.set, self.execution, &mut self.rng, job, segment)
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
            jobs_left: jobs,
            execution,
            rng: Rng::new(seed),
        };
        adversary.start = adversary.silence();
        adversary
    }

    /// Long enough for everything to finish and for every task to be free to arrive again, early jitter included.
    fn silence(&self) -> Nanos {
        let reach = |t: &Task| t.arrival.mean_distance() + t.deadline + self.jitter(t) * 2;
        self.length + self.set.tasks().iter().map(reach).max().unwrap_or_default() + Nanos(1)
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
                let deadline = i128::from(jobs_before) * i128::from(other.arrival.mean_distance().0)
                    + i128::from(other.deadline.0)
                    - i128::from(self.jitter(other).0);
                let arrival = deadline - i128::from(task.deadline.0);
                let earliest = -i128::from(jitter.0);
                earliest + (arrival - earliest).max(0).rem_euclid(i128::from(task.arrival.mean_distance().0))
            } else {
                -i128::from(jitter.0)
            };
            let tight = !random || self.rng.one_in(2);
            let together = if i == blocker { Nanos::ZERO } else { self.start };
            let mut arrival = Nanos(u64::try_from(i128::from(self.start.0) + first).unwrap_or_default());
            let mut released = Nanos::ZERO;
            // However short its period beside the others', a task brings no more jobs than fit in memory.
            let until = until.min(
                self.start.saturating_add(Nanos(task.arrival.mean_distance().0.saturating_mul(MOST_JOBS))),
            );
            loop {
                let delay = if tight { 0 } else { self.rng.between(0, jitter.0) };
                let release = (arrival + Nanos(delay)).max(released);
                released = if tight { release.max(together) } else { release };
                self.upcoming[i].push_back(Arrival { arrival, release: released });
                self.jobs_left = self.jobs_left.saturating_sub(1);
                last = last.max(arrival);
                let gap = if tight { 0 } else { self.rng.between(0, task.arrival.mean_distance().0) };
                arrival = arrival + task.arrival.mean_distance() + Nanos(gap);
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
    use aegis_core::{Overheads, Policy, TaskDraft};

    /// Every workload must stay inside the model: otherwise a bound that holds would seem broken, and the reverse.
    fn check(set: &TaskSet, workload: &mut impl Workload) -> usize {
        let mut jobs = 0;
        for (i, task) in set.tasks().iter().enumerate() {
            let jitter = task.jitter + set.overheads().release;
            let mut before: Option<Arrival> = None;
            while let Some(now) = workload.next(TaskId::from(i)) {
                jobs += 1;
                assert!(now.arrival <= now.release && now.release <= now.arrival + jitter, "{now:?}");
                if let Some(before) = before {
                    assert!(
                        now.arrival >= before.arrival + task.arrival.mean_distance(),
                        "{before:?} {now:?}"
                    );
                    assert!(now.release >= before.release, "{before:?} {now:?}");
                }
                before = Some(now);
            }
            let job = JobId { task: TaskId::from(i), seq: 0 };
            let most = task.segments[0] + set.overheads().around_segment().unwrap() + set.overheads().copy;
            assert!((0..100).all(|_| (1..=most.0).contains(&workload.execution(job, 0).0)));
        }
        jobs
    }

    #[test]
    fn workloads_stay_inside_the_model() {
        let draft = |name: &str, c, t, d, j| TaskDraft {
            name: name.to_owned(),
            segments: vec![Nanos(c)],
            arrival: Nanos(t).into(),
            deadline: Some(Nanos(d)),
            jitter: Nanos(j),
            priority: None,
        };
        let overheads = Overheads {
            release: Nanos(1),
            dispatch: Nanos(1),
            launch: Nanos(1),
            copy: Nanos(3),
            completion: Nanos(2),
            ..Overheads::default()
        };
        let drafts = vec![draft("a", 2, 10, 8, 3), draft("b", 3, 17, 40, 0), draft("c", 1, 4, 4, 9)];
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
}
