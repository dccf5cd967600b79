//! Every schedule of a job set with host delays between jobs, by reachability: best and worst completion times. Exact.
//!
//! Nasri, Nelissen, Brandenburg: "Response-time analysis of limited-preemptive parallel DAG tasks under global
//! scheduling", ECRTS 2019, and Srinivasan, Nelissen, Ernst: "Schedule-abstraction graph for self-suspending tasks"
//! keep an interval of finish times for each job that others wait for, which is sufficient. Here the state keeps the
//! whole relation between these finish times, as unions of zones, so that nothing is lost.
//!
//! Assumptions: those of [`super::explore`], and
//! 5. An edge `p → i` has a delay in `[min, max]`, chosen freely for each edge. Job `i` is ready at
//!    `max(r_i, f_p + delay over all edges p → i)`, where `f_p` is the end of `p`.
//!
//! What may follow depends only on the jobs started, on the instant `A` at which the resource is free again, and on the
//! ends `f_p` of jobs that others still wait for: releases and delays are chosen independently, and having seen that a
//! job was not ready at some instant says no more than that it is ready later. (For this, jobs must take 1 ns or more.)
//! The vectors `(A, f_p, …)` that schedules reach are a finite union of zones, since every condition below is a bound on
//! a difference, or a choice between such bounds.
//!
//! First, `j` starts at `s ≥ A` when it is ready: `s ≥ r_min(j)` and `s ≥ f_p + min` for each `p → j`. No job `i` that
//! beats `j` is ready by `s`: `s < r_max(i)`, or `s < f_p + max` for some `p → i`. If the resource has idled, `s > A`,
//! nobody is ready before `s`: the same with `≤` for all `i`.
//! Then `A' = s + c`. An end `f_p` is kept while an edge from `p` may still hold somebody back.
//! Finally, the least and the most of `A'` over all zones are the completion times of `j`.
use super::limit::{Budget, End, Limits};
use super::set::{HORIZON, JobSet, Span};
use super::zone::{Zone, join};
use super::{Completion, Exploration};
use aegis_core::Nanos;
use std::collections::BTreeMap;

/// All completion times of every schedule of `set`, or what was found before a limit. `hull` keeps one zone for each
/// set of started jobs: fewer states, still sound, no longer exact.
pub(super) fn explore(set: &JobSet, limits: &Limits, hull: bool) -> Exploration {
    let mut search = Search::new(set, limits, hull);
    let end = search.run();
    let mut completions = vec![None; set.jobs().len()];
    for (job, found) in search.jobs.iter().zip(&search.found) {
        let completion = found.map(|(best, worst)| Completion { best: nanos(best), worst: nanos(worst) });
        completions[job.index] = completion;
    }
    search.budget.exploration(completions, end)
}

/// What has been started, and whose ends are variables of the zones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Bit `i`: job `i` has been started.
    started: Vec<u64>,
    /// The job that ran last, where others wait for it: its end is variable 1, the instant at which the resource is free.
    last: Option<u32>,
    /// Other jobs that others wait for: their ends are the variables from 2 on.
    ended: Vec<u32>,
}

impl Key {
    fn has(&self, job: usize) -> bool {
        self.started[job / 64] >> (job % 64) & 1 == 1
    }

    /// How many jobs from the first on have been started.
    fn all_before(&self) -> usize {
        let full = self.started.iter().take_while(|word| **word == u64::MAX).count();
        full * 64 + self.started.get(full).map_or(0, |word| word.trailing_ones() as usize)
    }

    /// The variable that is the end of `job`, where that is one.
    fn variable(&self, job: u32) -> Option<usize> {
        if self.last == Some(job) {
            return Some(FREE);
        }
        self.ended.iter().position(|ended| *ended == job).map(|i| i + 2)
    }
}

/// An edge as seen from one of its ends.
#[derive(Debug, Clone, Copy)]
struct Link {
    job: u32,
    delay: (i64, i64),
}

#[derive(Debug)]
struct Timed {
    /// Its position in the set.
    index: usize,
    release: (i64, i64),
    cost: (i64, i64),
    before: Vec<Link>,
    behind: Vec<Link>,
}

/// A job that may be next, and the edges that may still hold it back: variable and delays.
#[derive(Debug)]
struct Waiting {
    job: usize,
    edges: Vec<(usize, (i64, i64))>,
}

#[derive(Debug)]
struct Search<'a> {
    set: &'a JobSet,
    /// In the order of earliest releases; everything here names jobs by their position in it.
    jobs: Vec<Timed>,
    found: Vec<Option<(i64, i64)>>,
    hull: bool,
    budget: Budget,
}

/// The variable that is the instant at which the resource is free.
const FREE: usize = 1;

/// Above every instant of every schedule.
const NEVER: i64 = HORIZON.cast_signed();

type Layer = BTreeMap<Key, Vec<Zone>>;

impl<'a> Search<'a> {
    fn new(set: &'a JobSet, limits: &Limits, hull: bool) -> Self {
        let n = set.jobs().len();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|i| (set.jobs()[*i].release.min, set.jobs()[*i].release.max, *i));
        let mut position = vec![0_u32; n];
        for (p, i) in (0_u32..).zip(&order) {
            position[*i] = p;
        }
        let timed = |&index: &usize| {
            let job = &set.jobs()[index];
            Timed {
                index,
                release: span(job.release),
                cost: span(job.cost),
                before: Vec::new(),
                behind: Vec::new(),
            }
        };
        let mut jobs: Vec<Timed> = order.iter().map(timed).collect();
        for edge in set.edges() {
            let (from, to) = (position[edge.from], position[edge.to]);
            let delay = span(edge.delay);
            jobs[to as usize].before.push(Link { job: from, delay });
            jobs[from as usize].behind.push(Link { job: to, delay });
        }
        Self { set, jobs, found: vec![None; n], hull, budget: Budget::new(limits) }
    }

    fn run(&mut self) -> End {
        let words = self.jobs.len().div_ceil(64);
        let start = Key { started: vec![0; words], last: None, ended: Vec::new() };
        let mut front: Layer = [(start, vec![Zone::interval(0, 0)])].into();
        self.budget.state();
        for _ in 0..self.jobs.len() {
            let mut layer = Layer::new();
            let mut bytes = size(&front);
            for (key, zones) in &front {
                let waiting = self.waiting(key, zones);
                for zone in zones {
                    for next in &waiting {
                        for start in self.starts(zone, next, &waiting) {
                            self.budget.transition();
                            self.follow(key, start, next.job, &mut layer, &mut bytes);
                        }
                    }
                    if let Err(end) = self.budget.check(bytes) {
                        return end;
                    }
                }
            }
            self.budget.width(layer.values().map(Vec::len).sum());
            front = layer;
        }
        End::Complete
    }

    /// The jobs that may be ready by the time at which someone certainly is, in some of the zones.
    fn waiting(&self, key: &Key, zones: &[Zone]) -> Vec<Waiting> {
        let most = |x: usize| zones.iter().map(|zone| zone.most(x)).max().unwrap_or(0);
        let free = most(FREE);
        let mut soonest = NEVER;
        let mut waiting = Vec::new();
        for (position, job) in self.jobs.iter().enumerate().skip(key.all_before()) {
            if job.release.0 > soonest.max(free) && soonest < NEVER {
                break;
            }
            if key.has(position) || !job.before.iter().all(|p| key.has(p.job as usize)) {
                continue;
            }
            let edges = job.before.iter().filter_map(|edge| Some((key.variable(edge.job)?, edge.delay)));
            let edges: Vec<_> = edges.collect();
            let ready = edges.iter().map(|(x, delay)| most(*x) + delay.1).fold(job.release.1, i64::max);
            soonest = soonest.min(ready);
            waiting.push(Waiting { job: position, edges });
        }
        waiting
    }

    /// When `next` can start: the zone with the start as its last variable, as a union.
    fn starts(&self, zone: &Zone, next: &Waiting, waiting: &[Waiting]) -> Vec<Zone> {
        // First, it is ready. A job that is certainly ready too late is not worth a zone.
        let release = self.jobs[next.job].release.0;
        let s = zone.variables();
        if waiting.iter().any(|w| w.job != next.job && self.certainly_ready_before(zone, w, release)) {
            return Vec::new();
        }
        let mut ready = zone.extended(FREE, NEVER).with(0, s, -release);
        for (variable, delay) in &next.edges {
            ready = ready.and_then(|zone| zone.with(*variable, s, -delay.0));
        }
        let mut zones: Vec<Zone> = ready.into_iter().collect();

        // Then, no job that beats it is.
        for other in waiting.iter().filter(|other| self.beats(other.job, next.job)) {
            zones = zones.into_iter().flat_map(|zone| self.not_ready(zone, s, other, 1)).collect();
        }

        // Finally, either the resource has just become free or nobody was ready before.
        let mut found = Vec::new();
        for zone in zones {
            let held = |zone: Zone| {
                waiting.iter().fold(vec![zone], |zones, other| {
                    zones.into_iter().flat_map(|zone| self.not_ready(zone, s, other, 0)).collect()
                })
            };
            let idled = held(zone.clone());
            if idled.first().is_some_and(|idled| *idled == zone) {
                found.push(zone);
                continue;
            }
            for idled in idled {
                join(&mut found, idled);
            }
            if let Some(at_once) = zone.with(s, FREE, 0) {
                join(&mut found, at_once);
            }
        }
        found
    }

    fn beats(&self, job: usize, other: usize) -> bool {
        self.set.beats(self.jobs[job].index, self.jobs[other].index)
    }

    /// Whether `job` is ready, in every point of the zone, before `release` and when the resource is free.
    fn certainly_ready_before(&self, zone: &Zone, job: &Waiting, release: i64) -> bool {
        let ready = job.edges.iter().map(|(variable, delay)| zone.most(*variable) + delay.1);
        let ready = ready.fold(self.jobs[job.job].release.1, i64::max);
        ready.max(zone.most(FREE)) < release
    }

    /// The points at which `job` may become ready only `later` or more after `s`.
    fn not_ready(&self, zone: Zone, s: usize, job: &Waiting, later: i64) -> Vec<Zone> {
        let release = (0, self.jobs[job.job].release.1);
        let edges = job.edges.iter().map(|(variable, delay)| (*variable, delay.1));
        let bounds: Vec<(usize, i64)> = [release].into_iter().chain(edges).collect();
        // s − x ≤ delay − later for one of them; often one holds everywhere.
        if bounds.iter().any(|(x, delay)| zone.bound(s, *x) <= delay - later) {
            return vec![zone];
        }
        let mut found = Vec::new();
        for (x, delay) in bounds {
            if let Some(part) = zone.clone().with(s, x, delay - later) {
                join(&mut found, part);
            }
        }
        found
    }

    /// Starts `job` at the last variable of `zone`.
    fn follow(&mut self, key: &Key, mut zone: Zone, job: usize, layer: &mut Layer, bytes: &mut usize) {
        let s = zone.variables() - 1;
        let (shortest, longest) = self.jobs[job].cost;
        zone.shift(s, shortest, longest);
        let (best, worst) = (zone.least(s), zone.most(s));
        let found = self.found[job].get_or_insert((best, worst));
        *found = (found.0.min(best), found.1.max(worst));

        let mut started = key.started.clone();
        started[job / 64] |= 1 << (job % 64);
        let mut next = Key { started, last: None, ended: Vec::new() };
        let id = u32::try_from(job).unwrap_or(u32::MAX);
        if self.awaited(&next, id, &zone, s, s) {
            next.last = Some(id);
        }
        let ended = key.last.iter().chain(&key.ended).copied();
        let variables = ended.filter_map(|p| Some((p, key.variable(p)?)));
        let mut kept: Vec<(u32, usize)> =
            variables.filter(|(p, x)| self.awaited(&next, *p, &zone, *x, s)).collect();
        kept.sort_unstable();
        next.ended = kept.iter().map(|(p, _)| *p).collect();
        let selected: Vec<usize> = [0, s].into_iter().chain(kept.iter().map(|(_, x)| *x)).collect();
        let zone = zone.select(&selected);

        let new = size_of_state(&next, &zone);
        let zones = layer.entry(next).or_default();
        if self.hull
            && let Some(there) = zones.first_mut()
        {
            *there = there.hull(&zone);
            self.budget.merged(1);
            return;
        }
        let before = zones.len();
        let joined = join(zones, zone);
        self.budget.merged(joined as u64);
        if zones.len() > before {
            self.budget.state();
            *bytes += new;
        }
    }

    /// Whether the end of `job`, variable `x`, may still hold somebody back when the resource is free, variable `free`.
    fn awaited(&self, key: &Key, job: u32, zone: &Zone, x: usize, free: usize) -> bool {
        self.jobs[job as usize].behind.iter().any(|edge| {
            let behind = edge.job as usize;
            !key.has(behind)
                && zone.bound(x, free) > -edge.delay.1
                && zone.most(x) + edge.delay.1 > self.jobs[behind].release.0
        })
    }
}

fn size(layer: &Layer) -> usize {
    layer.iter().map(|(key, zones)| zones.iter().map(|zone| size_of_state(key, zone)).sum::<usize>()).sum()
}

/// About what a state takes: its zone, and its share of the key.
fn size_of_state(key: &Key, zone: &Zone) -> usize {
    let words = key.started.len() + zone.variables() * zone.variables();
    words * size_of::<u64>() + key.ended.len() * size_of::<u32>() + size_of::<(Key, Vec<Zone>, Zone)>()
}

fn span(of: Span) -> (i64, i64) {
    (of.min.0.cast_signed(), of.max.0.cast_signed())
}

fn nanos(of: i64) -> Nanos {
    Nanos(of.unsigned_abs())
}
