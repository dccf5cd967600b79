//! States with equally many jobs started, found by the set of these jobs.
use super::limit::{Budget, End};

/// No position.
pub(super) const NONE: u32 = u32::MAX;

/// How many states are looked up together.
const BATCH: usize = 128;

/// Jobs that have been started, and when the resource is free again. `next` links the intervals of one set of jobs.
#[derive(Debug, Clone, Copy)]
pub(super) struct State<const W: usize> {
    /// Bit `b`: job `first + b` has been started. All before `first` have been, `first` itself has not.
    pub(super) started: [u64; W],
    pub(super) hash: u64,
    pub(super) first: u32,
    pub(super) next: u32,
    /// Above `latest` when another state has absorbed this one.
    pub(super) earliest: u64,
    pub(super) latest: u64,
}

impl<const W: usize> State<W> {
    pub(super) fn has(&self, position: u32) -> bool {
        let Some(bit) = position.checked_sub(self.first) else { return true };
        let word = (bit / 64) as usize;
        word < W && self.started[word] >> (bit % 64) & 1 == 1
    }

    /// Whether another state took this one in.
    pub(super) const fn gone(&self) -> bool {
        self.earliest > self.latest
    }

    fn leave(&mut self) {
        (self.earliest, self.latest) = (1, 0);
    }

    fn same_jobs(&self, other: &Self) -> bool {
        self.hash == other.hash && self.first == other.first && self.started == other.started
    }

    /// This state and the job at `position`; `None` where that needs more words.
    pub(super) fn after(&self, position: u32, hash: u64, earliest: u64, latest: u64) -> Option<Self> {
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

/// The states with one more job started, found by the set of jobs: open addressing over the first interval of each set.
#[derive(Debug)]
pub(super) struct Layer<const W: usize> {
    pub(super) states: Vec<State<W>>,
    /// High half of the hash and position in `states`; only the first `mask + 1` are in use.
    slots: Vec<(u32, u32)>,
    mask: usize,
    sets: usize,
    /// States of the layer before, which is alive meanwhile.
    before: usize,
    /// New states that have not been looked up yet, and where in `states` each may find its set of jobs.
    offered: Vec<State<W>>,
    homes: Vec<u32>,
}

impl<const W: usize> Default for Layer<W> {
    fn default() -> Self {
        Self {
            states: Vec::new(),
            slots: Vec::new(),
            mask: 0,
            sets: 0,
            before: 0,
            offered: Vec::with_capacity(BATCH * 2),
            homes: Vec::with_capacity(BATCH * 2),
        }
    }
}

impl<const W: usize> Layer<W> {
    /// Makes room for the layer behind one of `before` states.
    pub(super) fn clear(&mut self, before: usize) {
        self.states.clear();
        self.offered.clear();
        self.sets = 0;
        self.before = before;
        self.table((before * 2).next_power_of_two().max(64));
    }

    fn table(&mut self, size: usize) {
        if self.slots.len() < size {
            self.slots.resize(size, (0, NONE));
        }
        self.slots[..size].fill((0, NONE));
        self.mask = size - 1;
    }

    /// What the states of this layer and of the one before take.
    pub(super) fn bytes(&self) -> usize {
        (self.states.len() + self.before) * size_of::<State<W>>() + self.slots.len() * size_of::<(u32, u32)>()
    }

    /// Keeps a new state until there are enough of them to be looked up together.
    pub(super) fn offer(&mut self, new: State<W>) {
        self.offered.push(new);
    }

    /// Whether there are enough.
    pub(super) fn full(&self) -> bool {
        self.offered.len() >= BATCH
    }

    /// Takes in all that were offered, in their order. Memory is what this waits for in a wide layer: the first two
    /// rounds only read, each of its own, so that the processor has many reads under way at a time.
    pub(super) fn settle(&mut self, hull: bool, budget: &mut Budget) -> Result<(), End> {
        self.homes.clear();
        for new in &self.offered {
            let (other, at) = self.slots[self.first_slot(new.hash)];
            self.homes.push(if other == tag(new.hash) { at } else { NONE });
        }
        for (new, home) in self.offered.iter().zip(&mut self.homes) {
            if *home != NONE && !self.states[*home as usize].same_jobs(new) {
                *home = NONE;
            }
        }
        for i in 0..self.offered.len() {
            let (new, home) = (self.offered[i], self.homes[i]);
            if home != NONE {
                self.merge(home, new, hull, budget)?;
                continue;
            }
            let slot = self.slot(&new);
            match self.slots[slot].1 {
                NONE => {
                    let at = self.push(new, budget)?;
                    self.slots[slot] = (tag(new.hash), at);
                    self.sets += 1;
                    if self.sets > self.mask / 8 * 5 {
                        self.grow();
                    }
                }
                head => self.merge(head, new, hull, budget)?,
            }
        }
        self.offered.clear();
        Ok(())
    }

    fn first_slot(&self, hash: u64) -> usize {
        usize::try_from(hash & self.mask as u64).unwrap_or(0)
    }

    /// The slot of a set of jobs: taken by its first interval, or free.
    fn slot(&self, state: &State<W>) -> usize {
        let mut slot = self.first_slot(state.hash);
        loop {
            let (other, at) = self.slots[slot];
            if at == NONE || other == tag(state.hash) && self.states[at as usize].same_jobs(state) {
                return slot;
            }
            slot = (slot + 1) & self.mask;
        }
    }

    /// Adds an interval to those of its set of jobs, of which `head` is the first. They neither overlap nor touch: the
    /// first that the new one meets takes it in, and with it what lies behind in the list and now meets the two.
    fn merge(&mut self, head: u32, new: State<W>, hull: bool, budget: &mut Budget) -> Result<(), End> {
        let meets = |there: &State<W>, new: &State<W>| {
            hull || new.earliest <= there.latest + 1 && there.earliest <= new.latest + 1
        };
        let mut at = head;
        while !meets(&self.states[at as usize], &new) {
            match self.states[at as usize].next {
                NONE => {
                    let end = self.push(new, budget)?;
                    self.states[at as usize].next = end;
                    return Ok(());
                }
                next => at = next,
            }
        }
        budget.merged(1);
        let mut whole = self.states[at as usize];
        whole.earliest = whole.earliest.min(new.earliest);
        whole.latest = whole.latest.max(new.latest);
        self.states[at as usize] = whole;
        let mut behind = at;
        loop {
            let link = self.states[behind as usize].next;
            if link == NONE {
                return Ok(());
            }
            let other = self.states[link as usize];
            if !meets(&other, &whole) {
                behind = link;
                continue;
            }
            budget.merged(1);
            whole.earliest = whole.earliest.min(other.earliest);
            whole.latest = whole.latest.max(other.latest);
            self.states[link as usize].leave();
            self.states[behind as usize].next = other.next;
            let there = &mut self.states[at as usize];
            (there.earliest, there.latest) = (whole.earliest, whole.latest);
        }
    }

    fn push(&mut self, state: State<W>, budget: &mut Budget) -> Result<u32, End> {
        let at = u32::try_from(self.states.len()).ok().filter(|at| *at != NONE).ok_or(End::MemoryLimit)?;
        budget.state();
        self.states.push(state);
        Ok(at)
    }

    fn grow(&mut self) {
        let heads: Vec<u32> =
            self.slots[..=self.mask].iter().map(|slot| slot.1).filter(|at| *at != NONE).collect();
        self.table((self.mask + 1) * 2);
        for at in heads {
            let hash = self.states[at as usize].hash;
            let mut slot = self.first_slot(hash);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Limits;
    use aegis_core::Rng;
    use std::collections::BTreeSet;

    fn start<const W: usize>() -> State<W> {
        State { started: [0; W], hash: 0, first: 0, next: NONE, earliest: 0, latest: 0 }
    }

    /// Jobs started in any order, near and far: the window over them says the same as the set of their positions.
    #[test]
    fn a_window_is_a_set() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let (mut state, mut set) = (start::<4>(), BTreeSet::new());
            while set.len() < 600 {
                let first = (0..=600).find(|p| !set.contains(p)).unwrap();
                let position =
                    if rng.one_in(4) { first } else { first + u32::try_from(rng.between(0, 255)).unwrap() };
                if set.insert(position) {
                    state = state.after(position, 0, 0, 0).unwrap();
                }
                assert!((0..first + 300).all(|p| state.has(p) == set.contains(&p)), "seed {seed}");
            }
            let far = state.first + 4 * 64;
            assert!(state.after(far, 0, 0, 0).is_none() && state.after(far - 1, 0, 0, 0).is_some());
        }
    }

    /// Intervals of one set of jobs: the instants they hold are those that were put in, and none touch.
    #[test]
    fn intervals_hold_what_was_put_in() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut layer = Layer::<1>::default();
            layer.clear(1);
            let mut budget = Budget::new(&Limits::default());
            let mut instants = BTreeSet::new();
            for _ in 0..rng.between(1, 12) {
                let earliest = rng.between(0, 40);
                let latest = earliest + rng.between(0, 3);
                instants.extend(earliest..=latest);
                layer.offer(start().after(0, 7, earliest, latest).unwrap());
                assert_eq!(layer.settle(false, &mut budget), Ok(()));
            }
            let mut held: Vec<(u64, u64)> =
                layer.states.iter().filter(|s| !s.gone()).map(|s| (s.earliest, s.latest)).collect();
            held.sort_unstable();
            assert!(held.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "seed {seed}: {held:?}");
            let held: BTreeSet<u64> = held.into_iter().flat_map(|(from, to)| from..=to).collect();
            assert_eq!(held, instants, "seed {seed}");
        }
    }
}
