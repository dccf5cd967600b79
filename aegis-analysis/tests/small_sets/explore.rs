//! Every schedule of a tiny set, tick by tick, fast enough for a million sets: the largest response of each task.
//!
//! It shares the model with the analyses and nothing else. In each tick every task whose last arrival is at least `T` ago
//! may arrive or not; every job that has arrived may be released or not, and must be when its jitter has passed; a free
//! resource serves a released job that the policy allows, ties between tasks in any order; a segment that runs
//! may end after any whole number of ticks up to its WCET.
//!
//! A state is 32 bytes: where every task stands with its arrivals, and all unfinished jobs in one canonical order, so that
//! equal situations are equal bytes. States live in one arena that is never freed between sets; a table of
//! indices with open addressing finds them. Nothing is allocated for a set once the arena has grown.
use aegis_core::Policy;

/// Tasks of a set, at most.
pub const TASKS: usize = 4;
/// Unfinished jobs at a time, at most; a set that needs more is too large.
const JOBS: usize = 8;
/// Ticks a job may wait; a set that needs more is too large.
const OLDEST: u8 = 250;

/// A task of whole ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiny {
    /// WCET of each segment.
    pub segments: Vec<u8>,
    /// Least distance of arrivals.
    pub t: u8,
    /// Relative deadline.
    pub d: u8,
    /// Release jitter.
    pub j: u8,
    /// Smaller is more urgent.
    pub priority: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct Job {
    task: u8,
    /// Ticks since arrival.
    age: u8,
    /// 0 before the release, then 1; where the order of releases matters, one more each tick.
    released: u8,
}

const NOBODY: Job = Job { task: u8::MAX, age: 0, released: 0 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// Ticks since the last arrival of each task, at most `T`.
    since: [u8; TASKS],
    /// The job that occupies the resource comes first, if one does; the others are in the order of their task, then the
    /// oldest first. Behind the last one stand `NOBODY`s.
    jobs: [Job; JOBS],
    unfinished: u8,
    /// Ticks that the running segment has had, the present one included; 0 if the resource is free.
    served: u8,
    /// The next segments of the jobs, two bits each, in the order of `jobs`.
    segments: u16,
}

impl State {
    fn waiting(&self) -> std::ops::Range<usize> {
        usize::from(self.served > 0)..usize::from(self.unfinished)
    }

    fn segment(&self, k: usize) -> usize {
        usize::from(self.segments >> (2 * k) & 3)
    }

    /// Adds a waiting job at its place. `false` if there are too many.
    fn insert(&mut self, job: Job, segment: usize) -> bool {
        let len = usize::from(self.unfinished);
        if len == JOBS {
            return false;
        }
        let comes_before = |k: &usize| {
            let other = self.jobs[*k];
            other.task < job.task || (other.task == job.task && other.age >= job.age)
        };
        let at = self.waiting().take_while(comes_before).last().map_or(self.waiting().start, |k| k + 1);
        self.jobs.copy_within(at..len, at + 1);
        self.jobs[at] = job;
        let low = (1 << (2 * at)) - 1;
        let bits = u32::from(self.segments);
        let bits = (bits & low) | (bits & !low) << 2 | u32::try_from(segment << (2 * at)).unwrap();
        self.segments = u16::try_from(bits).unwrap();
        self.unfinished += 1;
        true
    }

    /// Takes a job out, with its segment.
    fn remove(&mut self, k: usize) -> (Job, usize) {
        let (job, segment) = (self.jobs[k], self.segment(k));
        let len = usize::from(self.unfinished);
        self.jobs.copy_within(k + 1..len, k);
        self.jobs[len - 1] = NOBODY;
        let low = (1 << (2 * k)) - 1;
        self.segments = (self.segments & low) | (self.segments >> 2 & !low);
        self.unfinished -= 1;
        (job, segment)
    }

    /// Starts a waiting job: it becomes the first.
    fn serve(&mut self, k: usize) {
        let (job, segment) = self.remove(k);
        self.jobs.copy_within(0..JOBS - 1, 1);
        self.jobs[0] = job;
        self.segments = self.segments << 2 | u16::try_from(segment).unwrap();
        self.unfinished += 1;
        self.served = 1;
    }

    fn hash(&self) -> u64 {
        let mut hash = u64::from(u32::from_le_bytes(self.since)) << 32
            | u64::from(self.segments) << 16
            | u64::from(self.served) << 8
            | u64::from(self.unfinished);
        for jobs in self.jobs[..usize::from(self.unfinished)].chunks(2) {
            let word = jobs.iter().fold(0, |word, job| {
                word << 24 | u64::from(job.task) << 16 | u64::from(job.age) << 8 | u64::from(job.released)
            });
            hash = (hash.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^ hash >> 29
    }
}

/// Why a set was not explored to its end: too many states, jobs or ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

/// The memory of the exploration, kept from set to set.
#[derive(Debug)]
pub struct Explorer {
    states: Vec<State>,
    /// Index + 1 into `states` where the round is this set's; a power of two long.
    table: Vec<(u32, u32)>,
    round: u32,
    most: usize,
    forks: [Vec<State>; 2],
    /// States of all sets.
    pub visited: u64,
    /// Steps from state to state of all sets.
    pub steps: u64,
}

impl Explorer {
    /// Explores sets of up to `most` states.
    pub fn new(most: usize) -> Self {
        Self {
            states: Vec::new(),
            table: vec![(0, 0); (most * 2).next_power_of_two()],
            round: 0,
            most,
            forks: [Vec::new(), Vec::new()],
            visited: 0,
            steps: 0,
        }
    }

    /// The largest response of each task, from arrival.
    pub fn largest_responses(&mut self, tasks: &[Tiny], policy: Policy) -> Result<[u8; TASKS], TooLarge> {
        assert!(tasks.len() <= TASKS && tasks.iter().all(|task| task.segments.len() <= 3));
        self.states.clear();
        self.round += 1;
        let mut worst = [0; TASKS];
        let mut since = [0; TASKS];
        for (since, task) in since.iter_mut().zip(tasks) {
            *since = task.t;
        }
        let start = State { since, jobs: [NOBODY; JOBS], unfinished: 0, served: 0, segments: 0 };
        self.visit(start)?;
        let mut open = 0;
        while let Some(&state) = self.states.get(open) {
            open += 1;
            self.expand(state, tasks, policy, &mut worst)?;
        }
        self.visited += self.states.len() as u64;
        Ok(worst)
    }

    fn visit(&mut self, state: State) -> Result<(), TooLarge> {
        self.steps += 1;
        let mask = self.table.len() - 1;
        let mut at = usize::try_from(state.hash()).unwrap() & mask;
        loop {
            let (round, index) = self.table[at];
            if round != self.round {
                if self.states.len() == self.most {
                    return Err(TooLarge);
                }
                self.table[at] = (self.round, u32::try_from(self.states.len()).unwrap());
                self.states.push(state);
                return Ok(());
            }
            if self.states[index as usize] == state {
                return Ok(());
            }
            at = (at + 1) & mask;
        }
    }

    /// All that may happen in one tick.
    fn expand(
        &mut self,
        state: State,
        tasks: &[Tiny],
        policy: Policy,
        worst: &mut [u8; TASKS],
    ) -> Result<(), TooLarge> {
        let [mut now, mut forked] = std::mem::take(&mut self.forks);
        now.clear();
        now.push(state);

        // First, arrivals: each subset of the tasks that may.
        for (i, task) in tasks.iter().enumerate() {
            if state.since[i] < task.t {
                continue;
            }
            for k in 0..now.len() {
                let mut with = now[k];
                with.since[i] = 0;
                let job = Job { task: u8::try_from(i).unwrap(), age: 0, released: u8::from(task.j == 0) };
                if !with.insert(job, 0) {
                    return Err(TooLarge);
                }
                now.push(with);
            }
        }

        // Then releases: each subset of the jobs that may, with all that must.
        if tasks.iter().any(|task| task.j > 0) {
            forked.clear();
            for &arrived in &now {
                let from = forked.len();
                forked.push(arrived);
                for k in arrived.waiting().filter(|&k| arrived.jobs[k].released == 0) {
                    let job = arrived.jobs[k];
                    let must = job.age >= tasks[usize::from(job.task)].j;
                    for f in from..forked.len() {
                        let mut with = forked[f];
                        with.jobs[k].released = 1;
                        if must {
                            forked[f] = with;
                        } else {
                            forked.push(with);
                        }
                    }
                }
            }
            std::mem::swap(&mut now, &mut forked);
        }

        // Finally, whom a free resource serves, and whether its segment ends with this tick.
        for released in &now {
            if released.served > 0 {
                self.tick(State { served: released.served + 1, ..*released }, tasks, policy, worst)?;
                continue;
            }
            let mut chosen = 0_u32;
            let mut first = i32::MAX;
            for k in released.waiting().filter(|&k| released.jobs[k].released > 0) {
                let job = released.jobs[k];
                let task = &tasks[usize::from(job.task)];
                let key = match policy {
                    Policy::FixedPriority => i32::from(task.priority),
                    Policy::Edf => i32::from(task.d) - i32::from(job.age),
                    Policy::Fifo => -i32::from(job.released),
                };
                if key < first {
                    (first, chosen) = (key, 0);
                }
                // Within a task the one that arrived first; where nothing else orders them, also the one that was released
                // first.
                let earlier =
                    |other: usize| chosen >> other & 1 == 1 && released.jobs[other].task == job.task;
                let released_first = || {
                    let age = |other: usize| (released.jobs[other].released, JOBS - other);
                    let mut rivals =
                        released.waiting().filter(|&other| released.jobs[other].task == job.task);
                    policy == Policy::FixedPriority && rivals.all(|other| age(other) <= age(k))
                };
                if key == first && (!(0..k).any(earlier) || released_first()) {
                    chosen |= 1 << k;
                }
            }
            if chosen == 0 {
                self.tick(*released, tasks, policy, worst)?;
            }
            for k in (0..JOBS).filter(|k| chosen >> k & 1 == 1) {
                let mut served = *released;
                served.serve(k);
                self.tick(served, tasks, policy, worst)?;
            }
        }
        self.forks = [now, forked];
        Ok(())
    }

    fn tick(
        &mut self,
        mut state: State,
        tasks: &[Tiny],
        policy: Policy,
        worst: &mut [u8; TASKS],
    ) -> Result<(), TooLarge> {
        for (since, task) in state.since.iter_mut().zip(tasks) {
            *since += u8::from(*since < task.t);
        }
        let overtaking = tasks.iter().any(|task| task.j > task.t);
        let order_of_release = policy == Policy::Fifo || (policy == Policy::FixedPriority && overtaking);
        for job in &mut state.jobs[..usize::from(state.unfinished)] {
            job.age += 1;
            if job.age > OLDEST {
                return Err(TooLarge);
            }
            job.released += u8::from(order_of_release && job.released > 0);
        }
        if state.served == 0 {
            return self.visit(state);
        }
        let job = state.jobs[0];
        let task = usize::from(job.task);
        let segment = state.segment(0);
        let lengths = &tasks[task].segments;
        if state.served < lengths[segment] {
            self.visit(state)?;
        }
        state.remove(0);
        state.served = 0;
        if segment + 1 < lengths.len() {
            state.insert(job, segment + 1);
        } else {
            worst[task] = worst[task].max(job.age);
        }
        self.visit(state)
    }
}
