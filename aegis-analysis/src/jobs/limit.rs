//! How much an exploration may take, and what it took.
use super::{Completion, Exploration};
use aegis_core::Bytes;

/// Bounds on an exploration. They count, so that the same set ends the same way on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// States made, all in all.
    pub states: u64,
    /// Memory of the states that are alive at one time, table included.
    pub memory: Bytes,
}

impl Default for Limits {
    /// 20 million states (seconds) and 1 GiB.
    fn default() -> Self {
        Self { states: 20_000_000, memory: Bytes(1 << 30) }
    }
}

/// How an exploration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Every schedule was looked at.
    Complete,
    /// The limit on states.
    StateLimit,
    /// The limit on memory.
    MemoryLimit,
    /// A job that may start early and one that may wait long lie more than 8,000 jobs apart.
    TooSpread,
}

impl End {
    /// A stable name for programs: `complete`, `state_limit`, `memory_limit`, `too_spread`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::StateLimit => "state_limit",
            Self::MemoryLimit => "memory_limit",
            Self::TooSpread => "too_spread",
        }
    }
}

/// What is counted on the way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    states: u64,
    merged: u64,
    transitions: u64,
}

#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    count: Count,
    widest: usize,
    memory: usize,
}

impl Budget {
    pub(super) const fn new(limits: &Limits) -> Self {
        let count = Count { states: 0, merged: 0, transitions: 0 };
        Self { limits: *limits, count, widest: 1, memory: 0 }
    }

    pub(super) const fn state(&mut self) {
        self.count.states += 1;
    }

    pub(super) const fn merged(&mut self, states: u64) {
        self.count.merged += states;
    }

    pub(super) const fn transition(&mut self) {
        self.count.transitions += 1;
    }

    pub(super) fn width(&mut self, states: usize) {
        self.widest = self.widest.max(states);
    }

    /// What is counted so far, to go back to when a layer is begun again.
    pub(super) const fn mark(&self) -> Count {
        self.count
    }

    pub(super) const fn back_to(&mut self, mark: Count) {
        self.count = mark;
    }

    /// Whether the limits still hold, with so many bytes in use.
    pub(super) fn check(&mut self, bytes: usize) -> Result<(), End> {
        self.memory = self.memory.max(bytes);
        if self.count.states > self.limits.states {
            Err(End::StateLimit)
        } else if bytes as u64 > self.limits.memory.0 {
            Err(End::MemoryLimit)
        } else {
            Ok(())
        }
    }

    pub(super) fn exploration(self, completions: Vec<Option<Completion>>, end: End) -> Exploration {
        Exploration {
            completions,
            end,
            states: self.count.states,
            merged: self.count.merged,
            transitions: self.count.transitions,
            widest: self.widest,
            memory: Bytes(self.memory as u64),
        }
    }
}
