//! Every schedule of a job set without delays between jobs, by reachability: best and worst completion times. Exact.
//!
//! Nasri, Brandenburg: "An exact and sustainable analysis of non-preemptive scheduling", RTSS 2017 (the schedule-
//! abstraction graph, SAG). Eligibility is that paper's §IV; the representation and the search are ours.
//!
//! Assumptions:
//! 1. Time is whole nanoseconds. A job is released at any instant of its release interval and executes for any time of
//!    its cost interval; all of these choices are independent.
//! 2. One resource, never idle while a job is ready, idle at 0. It chooses when it is free: a ready job that no other
//!    ready job beats. A job released at the very instant of the choice takes part in it.
//! 3. A job with edges into it is ready when it is released and all that it waits for has ended. All delays are zero
//!    here; [`super::delays`] is for the others.
//! 4. Every job executes for at least 1 ns. With 0 the answer is still sound, but may contain a completion time that no
//!    schedule has: a job that beats another could be released at the very instant at which that one began and ended.
//!
//! What may follow depends only on the set of jobs that have been started and on the instant at which the resource is
//! free again. All schedules that started the same jobs are therefore looked at together, as intervals of that instant:
//! two that overlap or touch are one, for every instant in an interval is reached by some schedule.
//!
//! First, a job `j` can start at `s` from `[e, l]` when `s ≥ e`, `s ≥ r_min(j)`, no job certainly ready earlier is left
//! waiting, `s ≤ max(l, min r_max)`, and no job that beats it is certainly ready, `s < min r_max` over those. Then the
//! resource is free again in `[s_min + c_min, s_max + c_max]`. Finally the least and the most of these are the
//! completion times of `j`.
use super::layer::{Layer, NONE, State};
use super::limit::{Budget, End, Limits};
use super::set::{JobSet, first_released};
use super::{Completion, Exploration};
use aegis_core::{Nanos, Rng};
use core::mem::{swap, take};

/// All completion times of every schedule of `set`, or what was found before a limit. `hull` joins all intervals of
/// one set of started jobs into one: fewer states, still sound, no longer exact.
pub(super) fn explore(set: &JobSet, limits: &Limits, hull: bool) -> Exploration {
    let mut search = Search::new(set, limits, hull);
    let end = search.run();
    search.finish(set, end)
}

/// A job at its position in the order of earliest releases.
#[derive(Debug, Clone, Copy)]
struct Timed {
    release: (u64, u64),
    cost: (u64, u64),
    rank: u32,
    /// The jobs that it waits for: a range of `Search::before`.
    before: (u32, u32),
    hash: u64,
}

#[derive(Debug)]
struct Search {
    jobs: Vec<Timed>,
    /// Position in the set of each job of `jobs`.
    index: Vec<usize>,
    before: Vec<u32>,
    /// The jobs again, where ties have to be resolved by release.
    tied: Vec<super::Job>,
    best: Vec<u64>,
    worst: Vec<u64>,
    hull: bool,
    budget: Budget,
    started: usize,
}

/// Why a run of layers ended: all jobs, a limit, or a state that needs more words; then with the layer to go on from.
enum Stop<const W: usize> {
    End(End),
    Wider(Vec<State<W>>),
}

impl Search {
    fn new(set: &JobSet, limits: &Limits, hull: bool) -> Self {
        let n = set.jobs().len();
        let mut index: Vec<usize> = (0..n).collect();
        index.sort_by_key(|i| (set.jobs()[*i].release.min, set.jobs()[*i].release.max, set.rank(*i), *i));
        let mut position = vec![0_u32; n];
        for (p, i) in (0_u32..).zip(&index) {
            position[*i] = p;
        }
        let into = set.edges_into();
        let mut before: Vec<u32> = Vec::new();
        let mut rng = Rng::new(0x5eed);
        let jobs = index.iter().map(|&i| {
            let job = &set.jobs()[i];
            let from = length(&before);
            before.extend(into[i].iter().map(|edge| position[edge.from]));
            Timed {
                release: (job.release.min.0, job.release.max.0),
                cost: (job.cost.min.0, job.cost.max.0),
                rank: set.rank(i),
                before: (from, length(&before)),
                hash: rng.bits(),
            }
        });
        let jobs = jobs.collect();
        let unique = (0..n).map(|i| set.rank(i)).max().is_some_and(|most| most as usize == n - 1);
        let tied = if unique { Vec::new() } else { index.iter().map(|i| set.jobs()[*i]).collect() };
        Self {
            jobs,
            index,
            before,
            tied,
            best: vec![u64::MAX; n],
            worst: vec![0; n],
            hull,
            budget: Budget::new(limits),
            started: 0,
        }
    }

    /// Layer by layer, with as few words a state as suffice.
    fn run(&mut self) -> End {
        let start = State { started: [0], hash: 0, first: 0, next: NONE, earliest: 0, latest: 0 };
        self.budget.state();
        let front = match self.layers::<1>(vec![start]) {
            Stop::End(end) => return end,
            Stop::Wider(front) => widen::<1, 4>(&front),
        };
        let front = match self.layers::<4>(front) {
            Stop::End(end) => return end,
            Stop::Wider(front) => widen::<4, 16>(&front),
        };
        let front = match self.layers::<16>(front) {
            Stop::End(end) => return end,
            Stop::Wider(front) => widen::<16, 128>(&front),
        };
        match self.layers::<128>(front) {
            Stop::End(end) => end,
            Stop::Wider(_) => End::TooSpread,
        }
    }

    fn layers<const W: usize>(&mut self, mut front: Vec<State<W>>) -> Stop<W> {
        let mut layer = Layer::<W>::default();
        let mut waiting = Vec::new();
        while self.started < self.jobs.len() {
            layer.clear(front.len());
            let mark = self.budget.mark();
            for state in front.iter().filter(|state| !state.gone()) {
                if self.expand(state, &mut waiting, &mut layer).is_err() {
                    self.budget.back_to(mark);
                    return Stop::Wider(take(&mut front));
                }
                if layer.full()
                    && let Err(end) = self.settle(&mut layer)
                {
                    return Stop::End(end);
                }
            }
            if let Err(end) = self.settle(&mut layer) {
                return Stop::End(end);
            }
            self.budget.width(layer.states.len());
            swap(&mut front, &mut layer.states);
            self.started += 1;
        }
        Stop::End(End::Complete)
    }

    /// All jobs that can be the next one after `state`.
    fn expand<const W: usize>(
        &mut self,
        state: &State<W>,
        waiting: &mut Vec<(u32, u32)>,
        layer: &mut Layer<W>,
    ) -> Result<(), TooNarrow> {
        // First, who may be ready by the time at which someone certainly is.
        waiting.clear();
        let mut soonest = u64::MAX;
        for position in state.first..length(&self.jobs) {
            let job = &self.jobs[position as usize];
            if job.release.0 > soonest.max(state.latest) && soonest != u64::MAX {
                break;
            }
            let before = &self.before[job.before.0 as usize..job.before.1 as usize];
            if state.has(position) || !before.iter().all(|p| state.has(*p)) {
                continue;
            }
            soonest = soonest.min(job.release.1);
            // In the order of ranks; the most urgent are often the last to be found, and there are few.
            let place = waiting.iter().rposition(|(rank, _)| *rank <= job.rank).map_or(0, |i| i + 1);
            waiting.insert(place, (job.rank, position));
        }
        let bound = soonest.max(state.latest);

        // Then, when each of them can start.
        let mut beaten = u64::MAX;
        let mut group = 0;
        for (i, &(rank, position)) in waiting.iter().enumerate() {
            if rank != waiting[group].0 {
                let rivals = &waiting[group..i];
                beaten =
                    rivals.iter().fold(beaten, |least, (_, p)| least.min(self.jobs[*p as usize].release.1));
                group = i;
            }
            if beaten <= state.earliest {
                break;
            }
            let job = self.jobs[position as usize];
            let before_rivals = if self.tied.is_empty() {
                beaten
            } else {
                self.beaten_by_tie(waiting, rank, position, beaten)
            };
            // No job that beats this one may be ready; none at all can be before 0, where there is no earlier instant.
            let Some(last) = before_rivals.checked_sub(1) else { continue };
            let (from, to) = (state.earliest.max(job.release.0), bound.min(last));
            if from > to {
                continue;
            }

            // Finally, when the resource is free again.
            let (earliest, latest) = (from + job.cost.0, to + job.cost.1);
            let p = position as usize;
            self.best[p] = self.best[p].min(earliest);
            self.worst[p] = self.worst[p].max(latest);
            self.budget.transition();
            layer.offer(state.after(position, job.hash, earliest, latest).ok_or(TooNarrow)?);
        }
        Ok(())
    }

    /// Takes the new states in, and looks at the limits.
    fn settle<const W: usize>(&mut self, layer: &mut Layer<W>) -> Result<(), End> {
        layer.settle(self.hull, &mut self.budget)?;
        self.budget.check(layer.bytes())
    }

    /// The earliest instant at which a job that beats the one at `position`, by rank or by release, is certainly ready.
    fn beaten_by_tie(&self, waiting: &[(u32, u32)], rank: u32, position: u32, beaten: u64) -> u64 {
        let job = &self.tied[position as usize];
        let equals = waiting.iter().filter(|(other, p)| *other == rank && *p != position);
        equals
            .map(|(_, p)| &self.tied[*p as usize])
            .filter(|other| first_released(other, job))
            .fold(beaten, |least, other| least.min(other.release.max.0))
    }

    fn finish(self, set: &JobSet, end: End) -> Exploration {
        let mut completions = vec![None; set.jobs().len()];
        for ((index, best), worst) in self.index.iter().zip(&self.best).zip(&self.worst) {
            if best <= worst {
                completions[*index] = Some(Completion { best: Nanos(*best), worst: Nanos(*worst) });
            }
        }
        self.budget.exploration(completions, end)
    }
}

/// A job lies further behind the first one that has not been started than a state has bits.
struct TooNarrow;

fn widen<const A: usize, const B: usize>(front: &[State<A>]) -> Vec<State<B>> {
    let wide = |state: &State<A>| {
        let mut started = [0; B];
        started[..A].copy_from_slice(&state.started);
        let State { hash, first, next, earliest, latest, .. } = *state;
        State { started, hash, first, next, earliest, latest }
    };
    front.iter().map(wide).collect()
}

/// A length that [`JobSet`] has checked to fit.
fn length<T>(of: &[T]) -> u32 {
    u32::try_from(of.len()).unwrap_or(NONE)
}
