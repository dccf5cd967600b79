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
use super::limit::{Budget, End, Limits};
use super::set::{JobSet, first_released};
use super::{Completion, Exploration};
use aegis_core::{Nanos, Rng};
use core::mem::{size_of, swap, take};

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

/// Jobs that have been started, and when the resource is free again. `next` links the intervals of one set of jobs.
#[derive(Debug, Clone, Copy)]
struct State<const W: usize> {
    /// Bit `b`: job `first + b` has been started. All before `first` have been, `first` itself has not.
    started: [u64; W],
    hash: u64,
    first: u32,
    next: u32,
    /// Above `latest` when another state has absorbed this one.
    earliest: u64,
    latest: u64,
}

const NONE: u32 = u32::MAX;

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
            for state in front.iter().filter(|state| state.earliest <= state.latest) {
                match self.expand(state, &mut waiting, &mut layer) {
                    Ok(()) => {}
                    Err(Halt::Wider) => {
                        self.budget.back_to(mark);
                        return Stop::Wider(take(&mut front));
                    }
                    Err(Halt::Limit(end)) => return Stop::End(end),
                }
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
    ) -> Result<(), Halt> {
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
            let next = state.after(position, job.hash, earliest, latest).ok_or(Halt::Wider)?;
            match layer.insert(next, self.hull) {
                Ok(Inserted::New) => self.budget.state(),
                Ok(Inserted::Merged) => self.budget.merged(1),
                Ok(Inserted::Joined(states)) => self.budget.merged(states),
                Err(Full) => return Err(Halt::Limit(End::MemoryLimit)),
            }
        }
        let bytes = layer.bytes() + layer.before * size_of::<State<W>>();
        self.budget.check(bytes).map_err(Halt::Limit)
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

enum Halt {
    /// A job lies further behind the first one that has not been started than a state has bits.
    Wider,
    Limit(End),
}

impl<const W: usize> State<W> {
    fn has(&self, position: u32) -> bool {
        let Some(bit) = position.checked_sub(self.first) else { return true };
        let word = (bit / 64) as usize;
        word < W && self.started[word] >> (bit % 64) & 1 == 1
    }

    /// This state and the job at `position`; `None` where that needs more words.
    fn after(&self, position: u32, hash: u64, earliest: u64, latest: u64) -> Option<Self> {
        let bit = position - self.first;
        let mut next = Self { hash: self.hash ^ hash, next: NONE, earliest, latest, ..*self };
        *next.started.get_mut((bit / 64) as usize)? |= 1 << (bit % 64);
        while next.started[0] & 1 == 1 {
            let run = next.started[0].trailing_ones();
            next.first += run;
            if run == 64 {
                next.started.copy_within(1.., 0);
                next.started[W - 1] = 0;
                continue;
            }
            for word in 0..W {
                let above = if word + 1 < W { next.started[word + 1] << (64 - run) } else { 0 };
                next.started[word] = next.started[word] >> run | above;
            }
        }
        Some(next)
    }
}

fn widen<const A: usize, const B: usize>(front: &[State<A>]) -> Vec<State<B>> {
    let wide = |state: &State<A>| {
        let mut started = [0; B];
        started[..A].copy_from_slice(&state.started);
        let State { hash, first, next, earliest, latest, .. } = *state;
        State { started, hash, first, next, earliest, latest }
    };
    front.iter().map(wide).collect()
}

/// The states with one more job started, found by the set of jobs: open addressing over the first interval of each set.
#[derive(Debug)]
struct Layer<const W: usize> {
    states: Vec<State<W>>,
    /// High half of the hash and position in `states`; only the first `mask + 1` are in use.
    slots: Vec<(u32, u32)>,
    mask: usize,
    sets: usize,
    /// States of the layer before, which is alive meanwhile.
    before: usize,
}

enum Inserted {
    New,
    /// It lies inside or beside an interval that was there.
    Merged,
    /// It closed gaps: so many states are one fewer each.
    Joined(u64),
}

/// More states than positions.
struct Full;

impl<const W: usize> Default for Layer<W> {
    fn default() -> Self {
        Self { states: Vec::new(), slots: Vec::new(), mask: 0, sets: 0, before: 0 }
    }
}

impl<const W: usize> Layer<W> {
    fn clear(&mut self, expected: usize) {
        self.states.clear();
        self.sets = 0;
        self.before = expected;
        self.table((expected * 4).next_power_of_two().max(64));
    }

    fn table(&mut self, size: usize) {
        if self.slots.len() < size {
            self.slots.resize(size, (0, NONE));
        }
        self.slots[..size].fill((0, NONE));
        self.mask = size - 1;
    }

    fn bytes(&self) -> usize {
        self.states.len() * size_of::<State<W>>() + self.slots.len() * size_of::<(u32, u32)>()
    }

    /// The slot of a set of jobs: taken by its first interval, or free.
    fn slot(&self, state: &State<W>) -> usize {
        let tag = tag(state.hash);
        let mut slot = state.hash as usize & self.mask;
        loop {
            let (other, at) = self.slots[slot];
            if at == NONE {
                return slot;
            }
            if other == tag {
                let there = &self.states[at as usize];
                if there.hash == state.hash && there.first == state.first && there.started == state.started {
                    return slot;
                }
            }
            slot = (slot + 1) & self.mask;
        }
    }

    fn insert(&mut self, new: State<W>, hull: bool) -> Result<Inserted, Full> {
        let slot = self.slot(&new);
        let head = self.slots[slot].1;
        if head == NONE {
            let at = self.push(new)?;
            self.slots[slot] = (tag(new.hash), at);
            self.sets += 1;
            if self.sets * 2 > self.mask {
                self.grow();
            }
            return Ok(Inserted::New);
        }
        // The intervals of one set neither overlap nor touch. The first that the new one meets takes it in, and with it
        // what lies behind in the list and now meets the two.
        let touches = |there: &State<W>, new: &State<W>| {
            hull || new.earliest <= there.latest + 1 && there.earliest <= new.latest + 1
        };
        let mut at = head;
        while !touches(&self.states[at as usize], &new) {
            match self.states[at as usize].next {
                NONE => {
                    let end = self.push(new)?;
                    self.states[at as usize].next = end;
                    return Ok(Inserted::New);
                }
                next => at = next,
            }
        }
        let mut whole = self.states[at as usize];
        whole.earliest = whole.earliest.min(new.earliest);
        whole.latest = whole.latest.max(new.latest);
        let (mut behind, mut joined) = (at, 0);
        loop {
            let link = if behind == at { whole.next } else { self.states[behind as usize].next };
            if link == NONE {
                break;
            }
            let other = self.states[link as usize];
            if !touches(&other, &whole) {
                behind = link;
                continue;
            }
            whole.earliest = whole.earliest.min(other.earliest);
            whole.latest = whole.latest.max(other.latest);
            if behind == at {
                whole.next = other.next;
            } else {
                self.states[behind as usize].next = other.next;
            }
            self.states[link as usize].latest = 0;
            self.states[link as usize].earliest = u64::MAX;
            joined += 1;
        }
        self.states[at as usize] = whole;
        Ok(if joined == 0 { Inserted::Merged } else { Inserted::Joined(joined + 1) })
    }

    fn push(&mut self, state: State<W>) -> Result<u32, Full> {
        let at = u32::try_from(self.states.len()).ok().filter(|at| *at != NONE).ok_or(Full)?;
        self.states.push(state);
        Ok(at)
    }

    fn grow(&mut self) {
        let heads: Vec<u32> =
            self.slots[..=self.mask].iter().map(|slot| slot.1).filter(|at| *at != NONE).collect();
        self.table((self.mask + 1) * 4);
        for at in heads {
            let hash = self.states[at as usize].hash;
            let mut slot = hash as usize & self.mask;
            while self.slots[slot].1 != NONE {
                slot = (slot + 1) & self.mask;
            }
            self.slots[slot] = (tag(hash), at);
        }
    }
}

/// The half of a hash that the table does not address with.
const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// A length that [`JobSet`] has checked to fit.
fn length<T>(of: &[T]) -> u32 {
    u32::try_from(of.len()).unwrap_or(NONE)
}
