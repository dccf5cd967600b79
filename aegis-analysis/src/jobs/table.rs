//! Time tables: every job gets a window in which it starts, for sets that no online rule serves but offsets make
//! feasible. Complete: where the search ends by itself without a table, there is none.
//!
//! Bratley, Florian, Robillard, "Scheduling with earliest start and due date constraints", Naval Res. Log. Quart. 18(4),
//! 1971, for the search; Baker, "Introduction to sequencing and scheduling", 1974, §2.4, for active schedules; Jackson,
//! 1955, for the test that cuts it.
//!
//! Assumptions:
//! 1. A job may start when it is certainly released, `s ≥ r_max`, takes `c_max` at the most, and ends by its deadline.
//! 2. An edge `p → i` asks for `s_i ≥ out_p + delay max`, where `out_p` is when the output of `p` is there: at the end of
//!    its window and execution, or at its deadline ([`Output`]).
//! 3. One job at a time. The table is fixed: nothing depends on how early jobs end, hence no anomalies.
//!
//! First, heads and tails: the edges raise earliest starts and lower deadlines. Then a depth-first search over active
//! schedules: next is only a job that starts before any other could have both started and ended; the earliest deadline
//! first. Waiting for an urgent job that comes soon (idle insertion) is one of these choices. A branch is left when the
//! jobs that remain miss a deadline even if they could be preempted: then no order saves them. Finally, each start
//! gets a window: as late as the next job, the deadline and the edges allow.
use super::set::{Edge, JobSet};
use aegis_core::Nanos;
use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// When the output of a job is there for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// When its slot ends, however early the job does.
    #[default]
    AtEnd,
    /// At its deadline: logical execution time. Data never moves, whatever the table looks like.
    AtDeadline,
}

/// What a table should be like, and how long to look for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableOptions {
    /// When outputs are there.
    pub output: Output,
    /// How many times a job may be placed before the search gives up.
    pub steps: u64,
}

impl Default for TableOptions {
    /// Output at the end of a slot, 100,000 placements.
    fn default() -> Self {
        Self { output: Output::AtEnd, steps: 100_000 }
    }
}

/// One job of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Position of the job in its set.
    pub job: usize,
    /// The earliest and the latest start: anything between leaves every other window as it is.
    pub start: Nanos,
    /// See `start`.
    pub latest: Nanos,
    /// When its output is there.
    pub output: Nanos,
}

/// A window for every job of a set, in the order of starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The windows.
    pub slots: Vec<Slot>,
    /// How often a job was placed to find it.
    pub steps: u64,
}

/// Why there is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoTable {
    /// Even with preemption this job would end after its deadline: no table exists.
    #[error(
        "job {name}: it and what is due before it need more time than there is, even with preemption; no table exists"
    )]
    Overload {
        /// Position of the job.
        job: usize,
        /// Its name.
        name: String,
    },
    /// Every order was tried: no table exists.
    #[error("no table exists: every order of the jobs misses a deadline ({steps} placements)")]
    Infeasible {
        /// Placements.
        steps: u64,
    },
    /// The limit was reached.
    #[error("no table found in {steps} placements; one may exist: raise the limit, or move an offset")]
    GaveUp {
        /// The limit.
        steps: u64,
    },
}

/// Looks for a table.
///
/// # Errors
/// [`NoTable`]: proven, or given up.
pub fn table(set: &JobSet, options: &TableOptions) -> Result<Table, NoTable> {
    let mut search = Search::new(set, options);
    if let Some(job) = search.late_even_if_preempted(0) {
        return Err(NoTable::Overload { job, name: set.jobs()[job].name() });
    }
    let starts = search.run()?;
    Ok(Table { slots: windows(set, &starts, options.output), steps: search.steps })
}

#[derive(Debug)]
struct Search {
    /// `c_max`, and the least deadline that the edges leave.
    cost: Vec<u64>,
    due: Vec<u64>,
    /// The earliest start of each job, given what is placed.
    heads: Vec<u64>,
    /// Jobs that each still waits for.
    open: Vec<usize>,
    /// The edges from each job, with the time between its start and the earliest start of the other.
    behind: Vec<Vec<(usize, After)>>,
    starts: Vec<Option<u64>>,
    limit: u64,
    steps: u64,
}

/// From when on an edge lets the other job start.
#[derive(Debug, Clone, Copy)]
enum After {
    /// So long after the start.
    Start(u64),
    /// From this instant on.
    Fixed(u64),
}

impl After {
    const fn from(self, start: u64) -> u64 {
        match self {
            Self::Start(delay) => start + delay,
            Self::Fixed(instant) => instant,
        }
    }
}

/// What to undo when a placement is taken back.
struct Frame {
    /// Where the resource was free.
    free: u64,
    /// What can be placed, least promising first.
    choices: Vec<usize>,
    /// The job placed, and the heads that it raised.
    placed: Option<(usize, Vec<(usize, u64)>)>,
}

impl Search {
    fn new(set: &JobSet, options: &TableOptions) -> Self {
        let n = set.jobs().len();
        let cost: Vec<u64> = set.jobs().iter().map(|job| job.cost.max.0).collect();
        let mut due: Vec<u64> = set.jobs().iter().map(|job| job.deadline.0).collect();
        let mut heads: Vec<u64> = set.jobs().iter().map(|job| job.release.max.0).collect();
        let mut open = vec![0; n];
        let mut behind = vec![Vec::new(); n];
        let after = |edge: &Edge| match options.output {
            Output::AtEnd => After::Start(cost[edge.from] + edge.delay.max.0),
            Output::AtDeadline => {
                After::Fixed(set.jobs()[edge.from].deadline.0.saturating_add(edge.delay.max.0))
            }
        };
        for edge in set.edges() {
            open[edge.to] += 1;
            behind[edge.from].push((edge.to, after(edge)));
        }
        for &job in set.topological() {
            for (to, after) in &behind[job] {
                heads[*to] = heads[*to].max(after.from(heads[job]));
            }
        }
        for &job in set.topological().iter().rev() {
            for (to, after) in &behind[job] {
                if let After::Start(delay) = after {
                    // The other starts by `due − c`, so this one ends by that less the delay.
                    let latest = due[*to].saturating_sub(cost[*to]).saturating_sub(delay - cost[job]);
                    due[job] = due[job].min(latest);
                }
            }
        }
        Self { cost, due, heads, open, behind, starts: vec![None; n], limit: options.steps, steps: 0 }
    }

    fn run(&mut self) -> Result<Vec<u64>, NoTable> {
        let mut stack = vec![Frame { free: 0, choices: self.choices(0), placed: None }];
        loop {
            if stack.len() > self.cost.len() {
                return Ok(self.starts.iter().copied().flatten().collect());
            }
            let Some(frame) = stack.last_mut() else {
                return Err(NoTable::Infeasible { steps: self.steps });
            };
            if let Some((job, raised)) = frame.placed.take() {
                self.take_back(job, raised);
            }
            let Some(job) = frame.choices.pop() else {
                stack.pop();
                continue;
            };
            if self.steps == self.limit {
                return Err(NoTable::GaveUp { steps: self.limit });
            }
            self.steps += 1;
            let start = frame.free.max(self.heads[job]);
            let free = start + self.cost[job];
            frame.placed = Some((job, self.place(job, start)));
            if free <= self.due[job] && self.late_even_if_preempted(free).is_none() {
                let choices = self.choices(free);
                stack.push(Frame { free, choices, placed: None });
            }
        }
    }

    fn place(&mut self, job: usize, start: u64) -> Vec<(usize, u64)> {
        self.starts[job] = Some(start);
        let mut raised = Vec::new();
        for (to, after) in &self.behind[job] {
            self.open[*to] -= 1;
            let head = after.from(start);
            if head > self.heads[*to] {
                raised.push((*to, self.heads[*to]));
                self.heads[*to] = head;
            }
        }
        raised
    }

    fn take_back(&mut self, job: usize, raised: Vec<(usize, u64)>) {
        self.starts[job] = None;
        for (to, _) in &self.behind[job] {
            self.open[*to] += 1;
        }
        for (to, head) in raised.into_iter().rev() {
            self.heads[to] = head;
        }
    }

    /// The jobs that can be next in an active schedule, the most promising last.
    fn choices(&self, free: u64) -> Vec<usize> {
        let waiting =
            || (0..self.cost.len()).filter(|job| self.starts[*job].is_none() && self.open[*job] == 0);
        let start = |job: usize| free.max(self.heads[job]);
        let Some(ends) = waiting().map(|job| start(job) + self.cost[job]).min() else { return Vec::new() };
        // A job without execution ends when it starts: it is next, and nothing is lost.
        let mut choices: Vec<usize> =
            waiting().filter(|job| start(*job) < ends || start(*job) + self.cost[*job] == ends).collect();
        choices.sort_by_key(|job| Reverse((self.due[*job], start(*job), *job)));
        choices
    }

    /// A job that would end too late if what is not placed could be preempted, from `free` on: earliest deadline first.
    fn late_even_if_preempted(&self, free: u64) -> Option<usize> {
        let remaining = (0..self.cost.len()).filter(|job| self.starts[*job].is_none());
        let mut coming: Vec<(u64, usize)> = remaining.map(|job| (free.max(self.heads[job]), job)).collect();
        coming.sort_unstable();
        let mut coming = coming.into_iter().peekable();
        // Deadline, job, what is left of it.
        let mut ready: BinaryHeap<Reverse<(u64, usize, u64)>> = BinaryHeap::new();
        let mut now = free;
        loop {
            while let Some((_, job)) = coming.next_if(|(at, _)| *at <= now) {
                ready.push(Reverse((self.due[job], job, self.cost[job])));
            }
            let next = coming.peek().map(|(at, _)| *at);
            match (ready.pop(), next) {
                (None, None) => return None,
                (None, Some(next)) => now = next,
                (Some(Reverse((due, job, left))), next) => {
                    let run = next.map_or(left, |next| left.min(next - now));
                    now += run;
                    if run < left {
                        ready.push(Reverse((due, job, left - run)));
                    } else if now > due {
                        return Some(job);
                    }
                }
            }
        }
    }
}

/// Slots with windows around the starts that were found.
fn windows(set: &JobSet, starts: &[u64], output: Output) -> Vec<Slot> {
    let mut order: Vec<usize> = (0..starts.len()).collect();
    order.sort_by_key(|job| (starts[*job], set.jobs()[*job].cost.max, *job));
    let mut ends: Vec<u64> = set.jobs().iter().map(|job| job.deadline.0).collect();
    for pair in order.windows(2) {
        ends[pair[0]] = ends[pair[0]].min(starts[pair[1]]);
    }
    if output == Output::AtEnd {
        for edge in set.edges() {
            ends[edge.from] = ends[edge.from].min(starts[edge.to] - edge.delay.max.0);
        }
    }
    let slot = |job: usize| Slot {
        job,
        start: Nanos(starts[job]),
        latest: Nanos(ends[job] - set.jobs()[job].cost.max.0),
        output: match output {
            Output::AtEnd => Nanos(ends[job]),
            Output::AtDeadline => set.jobs()[job].deadline,
        },
    };
    order.into_iter().map(slot).collect()
}

/// What is wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableFault {
    /// A job has no slot, or more than one.
    #[error("job {name} has {slots} slots; every job of the set needs one, and no other")]
    Slots {
        /// Its name.
        name: String,
        /// How many it has.
        slots: usize,
    },
    /// A window is empty, or begins before the job is certainly released.
    #[error(
        "job {name}: its window begins at {start} ns and ends at {latest} ns, but it may be released as late as {release} ns"
    )]
    Early {
        /// Its name.
        name: String,
        /// The earliest start.
        start: u64,
        /// The latest start.
        latest: u64,
        /// The latest release.
        release: u64,
    },
    /// A job may end after its deadline, or after its output should be there.
    #[error("job {name} may end at {end} ns, after {limit} ns, its deadline or the time of its output")]
    Late {
        /// Its name.
        name: String,
        /// The latest end.
        end: u128,
        /// What it must not exceed.
        limit: u64,
    },
    /// Two jobs may run at one time.
    #[error("job {first} may still run at {at} ns, when {second} may start")]
    Overlap {
        /// The one that starts first.
        first: String,
        /// The other.
        second: String,
        /// The earliest start of the other.
        at: u64,
    },
    /// A job may start before what it waits for is there.
    #[error("job {second} may start at {at} ns, but the output of {first} may be there only at {there} ns")]
    Precedence {
        /// The one that comes first.
        first: String,
        /// The one that waits.
        second: String,
        /// The earliest start of the other.
        at: u64,
        /// When the output and the longest delay are over.
        there: u128,
    },
}

/// Checks a table against its set, by its definition alone.
///
/// # Errors
/// The first [`TableFault`].
pub fn check(set: &JobSet, slots: &[Slot]) -> Result<(), TableFault> {
    let name = |job: usize| set.jobs().get(job).map_or_else(|| format!("number {job}"), super::Job::name);
    let mut slots_of: Vec<Vec<&Slot>> = vec![Vec::new(); set.jobs().len()];
    for slot in slots {
        let Some(of) = slots_of.get_mut(slot.job) else {
            return Err(TableFault::Slots { name: name(slot.job), slots: 1 });
        };
        of.push(slot);
    }
    if let Some(job) = slots_of.iter().position(|slots| slots.len() != 1) {
        return Err(TableFault::Slots { name: name(job), slots: slots_of[job].len() });
    }
    let end = |slot: &Slot| u128::from(slot.latest.0) + u128::from(set.jobs()[slot.job].cost.max.0);
    for slot in slots {
        let job = &set.jobs()[slot.job];
        let name = job.name();
        if slot.start < job.release.max || slot.latest < slot.start {
            let (start, latest, release) = (slot.start.0, slot.latest.0, job.release.max.0);
            return Err(TableFault::Early { name, start, latest, release });
        }
        let limit = job.deadline.min(slot.output).0;
        if end(slot) > u128::from(limit) {
            return Err(TableFault::Late { name, end: end(slot), limit });
        }
    }
    for pair in slots.windows(2) {
        if end(&pair[0]) > u128::from(pair[1].start.0) {
            let at = pair[1].start.0;
            return Err(TableFault::Overlap { first: name(pair[0].job), second: name(pair[1].job), at });
        }
    }
    for edge in set.edges() {
        let (from, to) = (slots_of[edge.from][0], slots_of[edge.to][0]);
        let there = u128::from(from.output.0) + u128::from(edge.delay.max.0);
        if there > u128::from(to.start.0) {
            let (first, second) = (name(edge.from), name(edge.to));
            return Err(TableFault::Precedence { first, second, at: to.start.0, there });
        }
    }
    Ok(())
}
