//! The states of a search through all schedules: each is looked at once, and no more than a limit of them.
use std::collections::HashSet;
use std::hash::Hash;

pub struct Reached<S> {
    seen: HashSet<S>,
    open: Vec<S>,
    most: usize,
}

impl<S: Clone + Eq + Hash> Reached<S> {
    pub fn new(start: S, most: usize) -> Self {
        Self { seen: HashSet::from([start.clone()]), open: vec![start], most }
    }

    /// One that has not been looked at.
    pub fn next(&mut self) -> Option<S> {
        self.open.pop()
    }

    /// A state that comes after another; `None` where it is one more than the limit.
    pub fn add(&mut self, state: S) -> Option<()> {
        if !self.seen.contains(&state) {
            if self.seen.len() == self.most {
                return None;
            }
            self.seen.insert(state.clone());
            self.open.push(state);
        }
        Some(())
    }
}
