//! What a trace says of the machine and of what was admitted: clock rates, the cost of recording, bounds with their terms.
use crate::{Body, ClockLimits, Kind, Trace};
use aegis_core::{Nanos, TaskId, Term};
use std::collections::{BTreeMap, BTreeSet};

/// The bound with which a task was admitted, as the trace has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Admission {
    /// Its worst-case response time.
    pub wcrt: Nanos,
    /// Its relative deadline.
    pub deadline: Nanos,
    /// The addends of `wcrt`; empty where the trace does not have them.
    pub terms: Vec<Term>,
}

impl Admission {
    /// Whether the terms are there and sum to the bound.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let sum: i128 = self.terms.iter().map(|term| i128::from(term.ns)).sum();
        !self.terms.is_empty() && sum == i128::from(self.wcrt.0)
    }
}

/// A rate of the clock from an instant on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    since: Nanos,
    khz: u32,
    limits: ClockLimits,
}

/// What execution lost to a clock that ran slower than when the trace began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slowed {
    pub lost: Nanos,
    pub from_khz: u32,
    /// The lowest rate.
    pub to_khz: u32,
    pub limits: ClockLimits,
}

/// The records of the threads that decide and of those that execute, as far as their cost is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    pub admitted: BTreeMap<TaskId, Admission>,
    rates: Vec<Rate>,
    per_thousand: Nanos,
    /// When records were made, in the order of time.
    by_deciders: Vec<Nanos>,
    by_workers: Vec<Nanos>,
}

impl Machine {
    pub fn of(trace: &Trace) -> Self {
        let mut machine = Self::default();
        let (mut deciders, mut workers) = (BTreeSet::new(), BTreeSet::new());
        for entry in trace.entries() {
            match entry.record.body {
                Body::Step { .. } => drop(deciders.insert(entry.recorder)),
                Body::Started { .. } => drop(workers.insert(entry.recorder)),
                Body::Admitted { task, wcrt, deadline } => {
                    let admitted = machine.admission(task);
                    (admitted.wcrt, admitted.deadline) = (wcrt, deadline);
                }
                Body::BoundTerm { task, term } => machine.admission(task).terms.push(term),
                Body::RecordCost { per_thousand } => machine.per_thousand = per_thousand,
                Body::ClockChanged { from_khz, to_khz, limits } => {
                    if machine.rates.is_empty() {
                        let limits = ClockLimits::default();
                        machine.rates.push(Rate { since: Nanos::ZERO, khz: from_khz, limits });
                    }
                    machine.rates.push(Rate { since: entry.record.at, khz: to_khz, limits });
                }
                _ => {}
            }
        }
        if machine.per_thousand > Nanos::ZERO {
            let times = |recorders: &BTreeSet<u32>| {
                let of = |entry: &&crate::Entry| recorders.contains(&entry.recorder);
                let mut times: Vec<Nanos> = trace.entries().iter().filter(of).map(|e| e.record.at).collect();
                times.sort_unstable();
                times
            };
            (machine.by_deciders, machine.by_workers) = (times(&deciders), times(&workers));
        }
        machine
    }

    fn admission(&mut self, task: TaskId) -> &mut Admission {
        let nothing = Admission { wcrt: Nanos::ZERO, deadline: Nanos::ZERO, terms: Vec::new() };
        self.admitted.entry(task).or_insert(nothing)
    }

    /// What the records took that the thread which records `kind` made from `from` on and before `to`: never more than
    /// that time.
    pub fn recording(&self, kind: Kind, from: Nanos, to: Nanos) -> Nanos {
        let times = if kind == Kind::Step { &self.by_deciders } else { &self.by_workers };
        let before = |at: Nanos| times.partition_point(|time| *time < at);
        let records = before(to).saturating_sub(before(from)) as u128;
        let cost = records * u128::from(self.per_thousand.0) / 1000;
        Nanos(u64::try_from(cost).unwrap_or(u64::MAX)).min(to.saturating_sub(from))
    }

    /// What an execution from `from` to `to` lost to a clock below its rate at the beginning of the trace: of each span
    /// the fraction by which the rate was lower, rounded down.
    pub fn slowed(&self, from: Nanos, to: Nanos) -> Option<Slowed> {
        let normal = self.rates.first()?.khz;
        let mut slowed: Option<Slowed> = None;
        let first = self.rates.partition_point(|rate| rate.since <= from).saturating_sub(1);
        for (index, rate) in self.rates.iter().enumerate().skip(first) {
            if rate.since >= to {
                break;
            }
            let until = self.rates.get(index + 1).map_or(to, |next| next.since.min(to));
            let span = until.saturating_sub(rate.since.max(from));
            let missing = normal.saturating_sub(rate.khz);
            if missing == 0 || span == Nanos::ZERO {
                continue;
            }
            let lost = u128::from(span.0) * u128::from(missing) / u128::from(normal);
            let lost = Nanos(u64::try_from(lost).unwrap_or(u64::MAX));
            let sum = slowed.get_or_insert(Slowed {
                lost: Nanos::ZERO,
                from_khz: normal,
                to_khz: rate.khz,
                limits: rate.limits,
            });
            sum.lost += lost;
            if rate.khz < sum.to_khz {
                (sum.to_khz, sum.limits) = (rate.khz, rate.limits);
            }
        }
        slowed
    }
}
