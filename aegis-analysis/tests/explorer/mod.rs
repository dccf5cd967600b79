//! Every schedule that the model of the analyses allows, tick by tick, for tiny sets: the largest response of each task.
//!
//! It shares nothing with the analyses but the model: arrivals at least `T` apart, a release anywhere in `[a, a + J]`
//! (of one task in any order), work-conserving choice at the end of each segment, ties between tasks in any order,
//! within a task the job that arrived first (under fixed priorities, where nothing else orders them, also the one that
//! was released first); each segment takes its WCET or, if asked for, anything from 1 up to it.
use crate::common::Row;
use aegis_core::Policy;
use std::collections::HashSet;

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
    /// Ticks since the last arrival of each task, at most `T`.
    since: Vec<u16>,
    /// Jobs that neither run nor ended, of each task in the order of their arrivals.
    pending: Vec<Vec<Job>>,
    /// Whose job occupies the resource, the job, and what is left of its segment.
    running: Option<(usize, Job, u16)>,
}

/// The largest response of each task, from arrival; `None` if there are more than `most` states.
pub fn largest_responses(rows: &[Row], policy: Policy, shorter: bool, most: usize) -> Option<Vec<u64>> {
    let small = |x: u64| u16::try_from(x).unwrap();
    let n = rows.len();
    let mut worst = vec![0; n];
    let start = State {
        since: rows.iter().map(|row| small(row.t)).collect(),
        pending: vec![Vec::new(); n],
        running: None,
    };
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some(state) = open.pop() {
        for arrived in arrivals(&state, rows) {
            for released in releases(&arrived, rows) {
                for served in choices(&released, rows, policy, shorter) {
                    let next = tick(served, rows, policy, &mut worst);
                    if !seen.contains(&next) {
                        if seen.len() == most {
                            return None;
                        }
                        seen.insert(next.clone());
                        open.push(next);
                    }
                }
            }
        }
    }
    Some(worst)
}

/// Each subset of the tasks whose last arrival is at least `T` ago.
fn arrivals(state: &State, rows: &[Row]) -> Vec<State> {
    let mut all = vec![state.clone()];
    for (i, row) in rows.iter().enumerate() {
        if u64::from(state.since[i]) >= row.t {
            for k in 0..all.len() {
                let mut with = all[k].clone();
                with.since[i] = 0;
                with.pending[i].push(Job { age: 0, released: None, segment: 0 });
                all.push(with);
            }
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

/// Each choice of the resource, if it is free.
fn choices(state: &State, rows: &[Row], policy: Policy, shorter: bool) -> Vec<State> {
    if state.running.is_some() {
        return vec![state.clone()];
    }
    let mut ready = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let of_task = state.pending[i].iter().enumerate().filter_map(|(k, job)| {
            let released = job.released?;
            let key = match policy {
                Policy::FixedPriority => i64::from(row.priority.unwrap()),
                Policy::Edf => i64::try_from(row.d).unwrap() - i64::from(job.age),
                Policy::Fifo => -i64::from(released),
            };
            Some((key, k))
        });
        ready.extend(of_task.min().map(|(key, k)| (key, i, k)));
        if policy == Policy::FixedPriority {
            let released =
                |&(k, job): &(usize, &Job)| job.released.map(|ticks| (ticks, core::cmp::Reverse(k)));
            let first = state.pending[i]
                .iter()
                .enumerate()
                .filter(|(_, job)| job.released.is_some())
                .max_by_key(released);
            ready.extend(first.map(|(k, _)| (i64::from(row.priority.unwrap()), i, k)));
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
        let wcet = u16::try_from(rows[i].segments[usize::from(job.segment)]).unwrap();
        for ticks in if shorter { 1 } else { wcet }..=wcet {
            all.push(State { running: Some((i, job.clone(), ticks)), ..next.clone() });
        }
    }
    all
}

fn tick(mut state: State, rows: &[Row], policy: Policy, worst: &mut [u64]) -> State {
    let overtaking = rows.iter().any(|row| row.j > row.t);
    let older = |job: &mut Job| {
        job.age += 1;
        if policy == Policy::Fifo || (policy == Policy::FixedPriority && overtaking) {
            job.released = job.released.map(|ticks| ticks + 1);
        }
    };
    for (since, row) in state.since.iter_mut().zip(rows) {
        *since = (*since + 1).min(u16::try_from(row.t).unwrap());
    }
    state.pending.iter_mut().flatten().for_each(older);
    if let Some((i, mut job, left)) = state.running.take() {
        older(&mut job);
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
