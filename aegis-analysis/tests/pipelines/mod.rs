//! Every schedule of jobs that go through stages, with host parts between them, on one partition or several, tick by tick:
//! the latest end of each stage after the arrival of its job.
//!
//! It shares nothing with the analyses but the model: arrivals at least `T` apart, the first stage released anywhere in
//! `[a, a + J]`, any host part in `[min, max]`, any execution in `[BCET, WCET]`, partitions that are never idle while a
//! stage is ready for them, ties in any order, except that the older job of a task goes first in one part (stages with no
//! host part between), and on a preemptive partition in all of them.
#[path = "../search/mod.rs"]
mod search;

use aegis_core::Policy;
use search::Reached;

/// One segment of a job and the host part before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub partition: usize,
    pub bcet: u64,
    pub wcet: u64,
    pub priority: u32,
    /// From the arrival of the job.
    pub deadline: u64,
    pub host: (u64, u64),
    /// It is one part with the stage before it, to which no host part is between: under FIFO it keeps its place.
    pub goes_on: bool,
}

/// A partition: how it chooses, and whether at every tick or only at the ends of stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    pub policy: Policy,
    pub preemptive: bool,
    /// Length and gap of stalls, which may begin at any moment, before a choice or after it.
    pub stall: Option<(u64, u64)>,
}

impl Server {
    /// One that never stalls.
    pub fn new(policy: Policy, preemptive: bool) -> Self {
        Self { policy, preemptive, stall: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    pub t: u64,
    pub jitter: u64,
    pub stages: Vec<Stage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum At {
    /// Arrived, not released.
    Arrived,
    /// On the host for so many ticks more.
    Host(u16),
    /// Ready for so many ticks, where that matters.
    Ready(u16),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Job {
    age: u16,
    stage: u8,
    at: At,
    /// Of a stage that was preempted; else 0.
    left: u16,
}

/// Whose job, its age and stage, what is left, ticks since it was ready where that matters.
type Running = (usize, u16, u8, u16, u16);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    since: Vec<u16>,
    /// Of each pipeline, older jobs first.
    jobs: Vec<Vec<Job>>,
    /// Of each partition.
    running: Vec<Option<Running>>,
    /// Of each partition that stalls: ticks since the last began, at most the gap, and what is left of it.
    stalls: Vec<(u16, u16)>,
}

fn small(x: u64) -> u16 {
    u16::try_from(x).unwrap()
}

/// The latest end of each stage of each pipeline; `None` if there are more than `most` states or more than 5 jobs of
/// one pipeline at once.
pub fn latest_ends(pipelines: &[Pipeline], servers: &[Server], most: usize) -> Option<Vec<Vec<u64>>> {
    let mut worst: Vec<Vec<u64>> = pipelines.iter().map(|p| vec![0; p.stages.len()]).collect();
    let start = State {
        since: pipelines.iter().map(|p| small(p.t)).collect(),
        jobs: vec![Vec::new(); pipelines.len()],
        running: vec![None; servers.len()],
        stalls: servers.iter().map(|server| (server.stall.map_or(0, |(_, gap)| small(gap)), 0)).collect(),
    };
    let mut reached = Reached::new(start, most);
    while let Some(state) = reached.next() {
        for arrived in released(arrivals(&state, pipelines), pipelines) {
            let mut chosen = vec![arrived];
            for (p, server) in servers.iter().enumerate() {
                let before = with_stall(&chosen, p, *server);
                chosen = before.iter().flat_map(|s| choices(s, pipelines, p, *server)).collect();
                let after = with_stall(&chosen, p, *server);
                chosen.extend(after.into_iter().skip(chosen.len()));
            }
            for served in chosen {
                for next in tick(served, pipelines, servers, &mut worst) {
                    if next.jobs.iter().any(|jobs| jobs.len() > 5) {
                        return None;
                    }
                    reached.add(next)?;
                }
            }
        }
    }
    Some(worst)
}

fn arrivals(state: &State, pipelines: &[Pipeline]) -> Vec<State> {
    let mut all = vec![state.clone()];
    for (i, pipeline) in pipelines.iter().enumerate() {
        if u64::from(state.since[i]) >= pipeline.t {
            for k in 0..all.len() {
                let mut with = all[k].clone();
                with.since[i] = 0;
                with.jobs[i].push(Job { age: 0, stage: 0, at: At::Arrived, left: 0 });
                all.push(with);
            }
        }
    }
    all
}

fn released(states: Vec<State>, pipelines: &[Pipeline]) -> Vec<State> {
    let mut all = states;
    for (i, pipeline) in pipelines.iter().enumerate() {
        let mut next = Vec::new();
        for state in all {
            let mut of_state = vec![state];
            for k in 0..of_state[0].jobs[i].len() {
                let job = &of_state[0].jobs[i][k];
                if job.at != At::Arrived {
                    continue;
                }
                let must = u64::from(job.age) >= pipeline.jitter;
                let mut with = of_state.clone();
                for s in &mut with {
                    s.jobs[i][k].at = At::Ready(0);
                }
                if must {
                    of_state = with;
                } else {
                    of_state.extend(with);
                }
            }
            next.extend(of_state);
        }
        all = next;
    }
    all
}

/// All of `states`, then those in which a stall begins now.
fn with_stall(states: &[State], partition: usize, server: Server) -> Vec<State> {
    let mut all = states.to_vec();
    let Some((length, gap)) = server.stall else { return all };
    for state in states.iter().filter(|state| state.stalls[partition] == (small(gap), 0)) {
        let mut with = state.clone();
        with.stalls[partition] = (0, small(length));
        all.push(with);
    }
    all
}

fn choices(state: &State, pipelines: &[Pipeline], partition: usize, server: Server) -> Vec<State> {
    if state.running[partition].is_some() || state.stalls[partition].1 > 0 {
        return vec![state.clone()];
    }
    let mut ready = Vec::new();
    for (i, pipeline) in pipelines.iter().enumerate() {
        for (k, job) in state.jobs[i].iter().enumerate() {
            let stage = &pipeline.stages[usize::from(job.stage)];
            let At::Ready(ticks) = job.at else { continue };
            if stage.partition != partition {
                continue;
            }
            let key = match server.policy {
                Policy::FixedPriority => i64::from(stage.priority),
                Policy::Edf => i64::try_from(stage.deadline).unwrap() - i64::from(job.age),
                Policy::Fifo => -i64::from(ticks),
            };
            let part = |s: u8| (0..=usize::from(s)).rev().find(|s| !pipeline.stages[*s].goes_on);
            let same = |s: u8| part(s) == part(job.stage) || server.preemptive;
            let older = ready.iter().any(|&(other, j, _, s)| (other, j) == (key, i) && same(s));
            if !older {
                ready.push((key, i, k, job.stage));
            }
        }
    }
    let Some(first) = ready.iter().map(|r| r.0).min() else { return vec![state.clone()] };
    let mut all = Vec::new();
    for &(_, i, k, s) in ready.iter().filter(|r| r.0 == first) {
        let stage = &pipelines[i].stages[usize::from(s)];
        let mut next = state.clone();
        let job = next.jobs[i].remove(k);
        let At::Ready(since) = job.at else { unreachable!() };
        let lengths =
            if job.left > 0 { job.left..=job.left } else { small(stage.bcet.max(1))..=small(stage.wcet) };
        for ticks in lengths {
            let mut with = next.clone();
            with.running[partition] = Some((i, job.age, s, ticks, since));
            all.push(with);
        }
    }
    all
}

fn tick(mut state: State, pipelines: &[Pipeline], servers: &[Server], worst: &mut [Vec<u64>]) -> Vec<State> {
    for (since, pipeline) in state.since.iter_mut().zip(pipelines) {
        *since = (*since + 1).min(small(pipeline.t));
    }
    for (i, jobs) in state.jobs.iter_mut().enumerate() {
        for job in jobs {
            job.age += 1;
            let of = pipelines[i].stages[usize::from(job.stage)].partition;
            job.at = match job.at {
                At::Host(0 | 1) => At::Ready(0),
                At::Host(left) => At::Host(left - 1),
                At::Ready(ticks) if servers[of].policy == Policy::Fifo => At::Ready(ticks + 1),
                ref at => at.clone(),
            };
        }
    }
    let stalled: Vec<bool> = state.stalls.iter().map(|stall| stall.1 > 0).collect();
    for ((since, left), server) in state.stalls.iter_mut().zip(servers) {
        *since = (*since + 1).min(server.stall.map_or(0, |(_, gap)| small(gap)));
        *left = left.saturating_sub(1);
    }
    let mut all = vec![state];
    for p in 0..servers.len() {
        let Some((i, age, s, left, since)) = all[0].running[p] else { continue };
        let age = age + 1;
        let since = since + u16::from(servers[p].policy == Policy::Fifo);
        if stalled[p] {
            for state in &mut all {
                state.running[p] = Some((i, age, s, left, since));
            }
            continue;
        }
        if left > 1 && servers[p].preemptive {
            for state in &mut all {
                state.running[p] = None;
                let place = state.jobs[i].partition_point(|other| other.age > age);
                let at = At::Ready(0);
                state.jobs[i].insert(place, Job { age, stage: s, at, left: left - 1 });
            }
            continue;
        }
        if left > 1 {
            for state in &mut all {
                state.running[p] = Some((i, age, s, left - 1, since));
            }
            continue;
        }
        let at = usize::from(s);
        worst[i][at] = worst[i][at].max(u64::from(age));
        for state in &mut all {
            state.running[p] = None;
        }
        let Some(next) = pipelines[i].stages.get(at + 1) else { continue };
        let mut with_host = Vec::new();
        for state in &all {
            for host in next.host.0..=next.host.1 {
                let mut with = state.clone();
                let ready = At::Ready(if next.goes_on { since } else { 0 });
                let at = if host == 0 { ready } else { At::Host(small(host)) };
                let place = with.jobs[i].partition_point(|other| other.age > age);
                with.jobs[i].insert(place, Job { age, stage: s + 1, at, left: 0 });
                with_host.push(with);
            }
        }
        all = with_host;
    }
    all
}
