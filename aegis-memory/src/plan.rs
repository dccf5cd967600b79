//! Offsets for a problem: greedy passes first, then exact search between the bound and the best of them.
use crate::greedy::{Fit, Greedy, Order, Placement, conflicts, sorted};
use crate::instance::Instance;
use crate::search::{Component, Outcome, Rank};
use crate::sweep::sweep;
use crate::{Bound, Problem, lower_bound};
use aegis_core::Bytes;
use std::cmp::Reverse;
use std::fmt;

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Steps of the exact search, which begins where no greedy pass reaches the bound; 0 for greedy passes alone. A step
    /// is one buffer looked at: some nanoseconds, the same on every machine in number and never in time.
    pub steps: u64,
}

/// Two hundred million steps: about a second, and seldom used up.
impl Default for Options {
    fn default() -> Self {
        Self { steps: 200_000_000 }
    }
}

/// What found a placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// There was nothing to place.
    Trivial,
    /// A greedy pass.
    Greedy {
        /// In which order it took the buffers.
        order: Order,
        /// Into which hole it put them.
        fit: Fit,
    },
    /// A sweep through time, where too many buffers overlap for a greedy pass.
    Sweep,
    /// The exact search.
    Search {
        /// What it tried first.
        rank: Rank,
    },
}

/// Conflicts that all greedy passes over one group look at together: a second or two.
const MOST_CONFLICTS: u64 = 1 << 27;

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trivial => write!(f, "nothing to place"),
            Self::Greedy { order, fit } => write!(f, "greedy by {order}, {fit}"),
            Self::Sweep => write!(f, "sweep"),
            Self::Search { rank } => write!(f, "search by {rank}"),
        }
    }
}

/// Offsets for every buffer of a problem, with what is known about how good they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One offset a buffer, in the order of the problem.
    pub offsets: Vec<Bytes>,
    /// The largest end of a buffer.
    pub peak: Bytes,
    /// Why no plan can need less than that.
    pub bound: Bound,
    /// Proven that no plan has a lower peak: it equals the bound, or the search below it was exhausted.
    pub optimal: bool,
    /// What placed the buffers that end highest.
    pub method: Method,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The best plan found is larger than the capacity.
    #[error(
        "the best plan needs {peak:#}, the capacity is {capacity:#}; {}",
        if *.impossible {
            format!("no plan fits: at least {bound}")
        } else {
            format!("whether another plan fits is open: {bound}; allow more steps, or {} more", Bytes(peak.0 - capacity.0))
        }
    )]
    OverCapacity {
        /// What the best plan found needs.
        peak: Bytes,
        /// The problem's capacity.
        capacity: Bytes,
        /// What no plan can do without.
        bound: Bound,
        /// Proven that no plan fits; otherwise none was found.
        impossible: bool,
    },
}

/// Places the buffers of `problem` so that the largest end is low, and proves how low it can be.
///
/// Buffers whose lifetimes never touch, directly or through others, are placed apart from each other. In each such group
/// greedy passes ([`Order`] × [`Fit`]) are tried until one reaches the bound of the whole problem; then the exact search,
/// at the bound, at the capacity, and by bisection between what is excluded and what is found. Groups with very many
/// conflicts (8 million) are left to the greedy passes, which need memory only in proportion to the buffers.
///
/// # Errors
/// [`PlanError::OverCapacity`] if the problem has a capacity and no plan within it was found.
pub fn plan(problem: &Problem, options: &Options) -> Result<Plan, PlanError> {
    let bound = lower_bound(problem);
    let instance = Instance::new(problem);
    let mut components: Vec<Planned> = Vec::new();
    for members in instance.components() {
        components.push(greedy(&instance, members, bound.bytes.0.div_ceil(instance.unit)));
    }
    // The highest group first: what it cannot go below is all that the others have to reach.
    components.sort_by_key(|c| Reverse(c.best.peak));
    let capacity = problem.capacity().map(|c| c.0 / instance.unit);
    let mut goal = bound.bytes.0.div_ceil(instance.unit);
    let mut steps = options.steps;
    for component in &mut components {
        if component.best.peak > goal {
            improve(&instance, component, goal, capacity, &mut steps);
        }
        goal = goal.max(component.best.peak);
    }
    let mut offsets = vec![Bytes::ZERO; problem.buffers().len()];
    for component in &components {
        for (&b, offset) in component.members.iter().zip(&component.best.offsets) {
            offsets[instance.origin[b]] = Bytes(offset * instance.unit);
        }
    }
    let highest = components.iter().max_by_key(|c| (c.best.peak, c.optimal()));
    let peak = highest.map_or(Bytes::ZERO, |c| Bytes(c.best.peak * instance.unit));
    let optimal = peak == bound.bytes || highest.is_some_and(Planned::optimal);
    if let Some(capacity) = problem.capacity().filter(|c| peak > *c) {
        let searched = |c: &Planned| c.excluded.is_some_and(|height| height >= capacity.0 / instance.unit);
        let impossible = bound.bytes > capacity || components.iter().any(searched);
        return Err(PlanError::OverCapacity { peak, capacity, bound, impossible });
    }
    let method = highest.map_or(Method::Trivial, |c| c.method);
    Ok(Plan { offsets, peak, bound, optimal, method })
}

/// One group of buffers with the best placement found for it; heights are in units.
#[derive(Debug)]
struct Planned {
    members: Vec<usize>,
    best: Placement,
    method: Method,
    /// No placement is at most this high: proven by exhausting the search.
    excluded: Option<u64>,
}

impl Planned {
    fn optimal(&self) -> bool {
        self.excluded.is_some_and(|height| height + 1 == self.best.peak)
    }
}

/// The best greedy pass; the first that reaches `goal` ends them. A pass looks at every conflict, so that many conflicts
/// leave time for few passes, and more of them for a sweep only.
fn greedy(instance: &Instance, members: Vec<usize>, goal: u64) -> Planned {
    let conflicts: u64 = conflicts(instance, &members).iter().sum();
    if conflicts > MOST_CONFLICTS {
        let best = sweep(instance, &members);
        return Planned { members, best, method: Method::Sweep, excluded: None };
    }
    let most_passes = usize::try_from(MOST_CONFLICTS / conflicts.max(1)).unwrap_or(usize::MAX);
    let mut passes = Greedy::new(instance, &members);
    let mut best: Option<(Placement, Method)> = None;
    'passes: for (turn, order) in Order::ALL.into_iter().enumerate() {
        let sequence = sorted(instance, &members, order);
        for (half, fit) in Fit::ALL.into_iter().enumerate() {
            if Fit::ALL.len() * turn + half >= most_passes {
                break 'passes;
            }
            let limit = best.as_ref().map_or(u64::MAX, |(b, _)| b.peak - 1);
            if let Some(placement) = passes.place(&sequence, fit, limit) {
                let reached = placement.peak <= goal;
                best = Some((placement, Method::Greedy { order, fit }));
                if reached {
                    break 'passes;
                }
            }
        }
    }
    let (best, method) = best.expect("the first pass has no limit");
    Planned { members, best, method, excluded: None }
}

/// Searches below the best placement of a group, down to `goal`.
fn improve(instance: &Instance, planned: &mut Planned, goal: u64, capacity: Option<u64>, steps: &mut u64) {
    let members = std::mem::take(&mut planned.members);
    if let Some(component) = Component::new(instance, &members) {
        let ranks = Rank::ALL.map(|rank| (rank, component.ranks(rank)));
        // No height up to this is worth another try.
        let mut tried = goal - 1;
        while tried + 1 < planned.best.peak && *steps > 0 {
            let (height, allowance) = if tried < goal {
                (goal, *steps / 2)
            } else if let Some(capacity) = capacity.filter(|c| tried < *c && *c < planned.best.peak) {
                (capacity, *steps / 2)
            } else {
                (u64::midpoint(tried, planned.best.peak), *steps / 6 + 1)
            };
            let before = *steps - allowance;
            let mut left = allowance;
            match race(&component, &ranks, height, &mut left) {
                Some((rank, Outcome::Found(placement))) => {
                    planned.best = placement;
                    planned.method = Method::Search { rank };
                }
                Some((_, Outcome::Impossible)) => {
                    tried = height;
                    planned.excluded = Some(height);
                }
                _ => tried = height,
            }
            *steps = before + left;
        }
    }
    planned.members = members;
}

/// Runs the search under each rank in turn, with limits that double, until one of them knows the answer.
fn race(
    component: &Component,
    ranks: &[(Rank, Vec<u32>)],
    height: u64,
    steps: &mut u64,
) -> Option<(Rank, Outcome)> {
    let mut limit = (*steps / 64).max(4 * component.preparation()).max(1);
    while *steps > 0 {
        for (rank, positions) in ranks {
            let turn = limit.min(*steps);
            let mut left = turn;
            let outcome = component.search(height, positions, &mut left);
            *steps -= turn - left;
            if outcome != Outcome::GaveUp {
                return Some((*rank, outcome));
            }
        }
        limit *= 2;
    }
    None
}
