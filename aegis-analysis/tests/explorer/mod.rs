//! Every schedule that the model of the analyses allows, tick by tick, for tiny sets: the largest response of each task.
//!
//! It shares nothing with the analyses but the model: arrivals at least `T` apart or within a curve in every window, a
//! release anywhere in `[a, a + J]` (of one task in any order), work-conserving choice at the end of each segment, ties
//! between tasks in any order, within a task the job that arrived first (under fixed priorities, where nothing else
//! orders them, also the one that was released first), of jobs that arrived at one instant any; each segment takes its
//! WCET or, if asked for, anything from 1 up to it. Stalls begin at any tick, before or after the choice, each source's at
//! least its gap apart; while one lasts nothing starts and nothing moves, and those that come together follow each other.
#[path = "../search/mod.rs"]
mod search;

use crate::common::Row;
use aegis_core::Policy;
use search::Reached;

/// What is explored.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    pub rows: &'a [Row],
    pub policy: Policy,
    /// Whether segments may take less than their WCET.
    pub shorter: bool,
    /// Length and gap of each source of stalls.
    pub stalls: &'a [(u64, u64)],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Job {
    /// Ticks since arrival.
    age: u16,
    /// Ticks since release where that matters, else 0.
    released: Option<u16>,
    /// Next segment.
    segment: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// Ticks since the arrivals of each task that its law still looks back at, the last first.
    recent: Vec<Vec<u16>>,
    /// Jobs that neither run nor ended, of each task in the order of their arrivals.
    pending: Vec<Vec<Job>>,
    /// Whose job occupies the resource, the job, and what is left of its segment.
    running: Option<(usize, Job, u16)>,
    /// Ticks since the last stall of each source began, at most its gap.
    quiet: Vec<u16>,
    /// What is left of the stalls that began.
    stalled: u16,
}

/// The largest response of each task, from arrival; `None` if there are more than `most` states.
pub fn largest_responses(world: World, most: usize) -> Option<Vec<u64>> {
    let n = world.rows.len();
    let mut worst = vec![0; n];
    let start = State {
        recent: vec![Vec::new(); n],
        pending: vec![Vec::new(); n],
        running: None,
        quiet: world.stalls.iter().map(|&(_, gap)| small(gap)).collect(),
        stalled: 0,
    };
    let mut reached = Reached::new(start, most);
    while let Some(state) = reached.next() {
        for arrived in arrivals(&state, world.rows) {
            for released in releases(&arrived, world.rows) {
                for before in stalls(&released, world.stalls) {
                    for chosen in choices(&before, world) {
                        for after in stalls(&chosen, world.stalls) {
                            let next = tick(after, world, &mut worst);
                            reached.add(next)?;
                        }
                    }
                }
            }
        }
    }
    Some(worst)
}

fn small(x: u64) -> u16 {
    u16::try_from(x).unwrap()
}

/// The most arrivals in a window, as the law defines it.
fn most_arrivals(row: &Row, window: u64) -> u64 {
    let Some((horizon, steps)) = &row.curve else {
        return window / row.t + u64::from(!window.is_multiple_of(row.t));
    };
    let last = steps.last().unwrap().1;
    let in_rest = steps.iter().filter(|(start, _)| *start <= window % horizon).map(|(_, count)| *count);
    window / horizon * last + in_rest.max().unwrap_or(0)
}

/// How far a law looks back: what happened before constrains nothing that later arrivals do not.
fn memory(row: &Row) -> u64 {
    row.curve.as_ref().map_or(row.t, |(horizon, _)| *horizon)
}

/// Each number of arrivals now of each task that no window forbids.
fn arrivals(state: &State, rows: &[Row]) -> Vec<State> {
    let mut all = vec![state.clone()];
    for (i, row) in rows.iter().enumerate() {
        let mut s = 0;
        while s < all.len() {
            let recent = &all[s].recent[i];
            let one_more = |(k, age): (usize, &u16)| k as u64 + 2 <= most_arrivals(row, u64::from(*age) + 1);
            if recent.iter().enumerate().all(one_more) {
                let mut with = all[s].clone();
                with.recent[i].insert(0, 0);
                with.pending[i].push(Job { age: 0, released: None, segment: 0 });
                all.push(with);
            }
            s += 1;
        }
    }
    all
}

/// Each subset of the jobs that may be released now, with all that must be.
fn releases(state: &State, rows: &[Row]) -> Vec<State> {
    let mut all = vec![state.clone()];
    for (i, row) in rows.iter().enumerate() {
        for k in 0..state.pending[i].len() {
            let job = &state.pending[i][k];
            if job.released.is_some() {
                continue;
            }
            let must = u64::from(job.age) >= row.j;
            for s in 0..all.len() {
                let mut with = all[s].clone();
                with.pending[i][k].released = Some(0);
                if must {
                    all[s] = with;
                } else {
                    all.push(with);
                }
            }
        }
    }
    all
}

/// Each subset of the stalls that may begin now.
fn stalls(state: &State, sources: &[(u64, u64)]) -> Vec<State> {
    let mut all = vec![state.clone()];
    for (k, &(length, gap)) in sources.iter().enumerate() {
        if u64::from(state.quiet[k]) >= gap {
            for s in 0..all.len() {
                let mut with = all[s].clone();
                with.quiet[k] = 0;
                with.stalled += small(length);
                all.push(with);
            }
        }
    }
    all
}

/// Each choice of the resource, if it is free and does not stand still.
fn choices(state: &State, world: World) -> Vec<State> {
    if state.running.is_some() || state.stalled > 0 {
        return vec![state.clone()];
    }
    let mut ready = Vec::new();
    for (i, row) in world.rows.iter().enumerate() {
        let priority = i64::from(row.priority.unwrap_or(0));
        let key = |job: &Job, released: u16| match world.policy {
            Policy::FixedPriority => priority,
            Policy::Edf => i64::try_from(row.d).unwrap() - i64::from(job.age),
            Policy::Fifo => -i64::from(released),
        };
        let jobs = || {
            let released =
                |(k, job): (usize, &Job)| job.released.map(|ticks| (k, job.age, key(job, ticks), ticks));
            state.pending[i].iter().enumerate().filter_map(released)
        };
        // The first of the task in its order, and those that arrived with it.
        let first = jobs().min_by_key(|&(_, age, key, _)| (key, core::cmp::Reverse(age)));
        ready.extend(first.into_iter().flat_map(|(_, first_age, first_key, _)| {
            let equal =
                move |&(_, age, key, _): &(usize, u16, i64, u16)| (age, key) == (first_age, first_key);
            jobs().filter(equal).map(move |(k, _, key, _)| (key, i, k))
        }));
        if world.policy == Policy::FixedPriority {
            let first = jobs().max_by_key(|&(_, age, _, ticks)| (ticks, age));
            ready.extend(first.into_iter().flat_map(|(_, first_age, _, first_ticks)| {
                let equal = move |&(_, age, _, ticks): &(usize, u16, i64, u16)| {
                    (age, ticks) == (first_age, first_ticks)
                };
                jobs().filter(equal).map(move |(k, _, key, _)| (key, i, k))
            }));
        }
    }
    let Some(first) = ready.iter().map(|&(key, ..)| key).min() else {
        return vec![state.clone()];
    };
    ready.sort_unstable();
    ready.dedup();
    let mut all = Vec::new();
    for &(_, i, k) in ready.iter().filter(|&&(key, ..)| key == first) {
        let mut next = state.clone();
        let job = next.pending[i].remove(k);
        let wcet = small(world.rows[i].segments[usize::from(job.segment)]);
        for ticks in if world.shorter { 1 } else { wcet }..=wcet {
            all.push(State { running: Some((i, job.clone(), ticks)), ..next.clone() });
        }
    }
    all
}

fn tick(mut state: State, world: World, worst: &mut [u64]) -> State {
    let (rows, policy) = (world.rows, world.policy);
    let overtaking = rows.iter().any(|row| most_arrivals(row, row.j) > 1);
    let older = |job: &mut Job| {
        job.age += 1;
        if policy == Policy::Fifo || (policy == Policy::FixedPriority && overtaking) {
            job.released = job.released.map(|ticks| ticks + 1);
        }
    };
    for (recent, row) in state.recent.iter_mut().zip(rows) {
        for age in recent.iter_mut() {
            *age += 1;
        }
        recent.retain(|age| u64::from(*age) < memory(row));
    }
    for (quiet, (_, gap)) in state.quiet.iter_mut().zip(world.stalls) {
        *quiet = (*quiet + 1).min(small(*gap));
    }
    state.pending.iter_mut().flatten().for_each(older);
    if let Some((_, job, _)) = &mut state.running {
        older(job);
    }
    if state.stalled > 0 {
        state.stalled -= 1;
        return state;
    }
    if let Some((i, mut job, left)) = state.running.take() {
        job.segment += u8::from(left == 1);
        if left > 1 {
            state.running = Some((i, job, left - 1));
        } else if usize::from(job.segment) < rows[i].segments.len() {
            let place = state.pending[i].partition_point(|other| other.age > job.age);
            state.pending[i].insert(place, job);
        } else {
            worst[i] = worst[i].max(u64::from(job.age));
        }
    }
    state
}
