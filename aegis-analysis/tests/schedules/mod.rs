//! Every schedule of a tiny job set, one after the other: all releases, execution times and delays in whole numbers, and
//! all orders of ties. Shares nothing with the analyses.
#![allow(dead_code, reason = "not every test file needs every form")]
use aegis_analysis::jobs::{Edge, Job, JobSet, Span, Ties};
use aegis_core::{Nanos, Rng};

/// Least and most end of each job.
pub type Ends = Vec<(u64, u64)>;

/// How many choices there are.
pub fn choices(jobs: &[Job], edges: &[Edge]) -> u64 {
    let width = |span: &Span| span.max.0 - span.min.0 + 1;
    spans(jobs, edges).iter().map(width).product()
}

fn spans(jobs: &[Job], edges: &[Edge]) -> Vec<Span> {
    let of_jobs = jobs.iter().flat_map(|job| [job.release, job.cost]);
    of_jobs.chain(edges.iter().map(|edge| edge.delay)).collect()
}

/// The ends of each job over all schedules.
pub fn ends(jobs: &[Job], edges: &[Edge], ties: Ties) -> Ends {
    let spans = spans(jobs, edges);
    let mut ends = vec![(u64::MAX, 0); jobs.len()];
    let mut chosen: Vec<u64> = spans.iter().map(|span| span.min.0).collect();
    let depths = depths(jobs, edges);
    loop {
        let case = Case { jobs, edges, ties, depths: &depths, chosen: &chosen };
        case.run(0, &mut vec![None; jobs.len()], &mut ends);
        // The next choice, like counting.
        let Some(digit) = (0..spans.len()).find(|i| chosen[*i] < spans[*i].max.0) else { return ends };
        chosen[digit] += 1;
        for i in 0..digit {
            chosen[i] = spans[i].min.0;
        }
    }
}

/// The longest path of edges to each job.
fn depths(jobs: &[Job], edges: &[Edge]) -> Vec<u32> {
    let mut depths = vec![0; jobs.len()];
    for _ in jobs {
        for edge in edges {
            depths[edge.to] = depths[edge.to].max(depths[edge.from] + 1);
        }
    }
    depths
}

struct Case<'a> {
    jobs: &'a [Job],
    edges: &'a [Edge],
    ties: Ties,
    depths: &'a [u32],
    chosen: &'a [u64],
}

impl Case<'_> {
    fn release(&self, job: usize) -> u64 {
        self.chosen[2 * job]
    }

    fn cost(&self, job: usize) -> u64 {
        self.chosen[2 * job + 1]
    }

    /// When a job is ready, once all that it waits for has ended.
    fn ready(&self, job: usize, ended: &[Option<u64>]) -> Option<u64> {
        let mut ready = self.release(job);
        for (i, edge) in self.edges.iter().enumerate().filter(|(_, edge)| edge.to == job) {
            ready = ready.max(ended[edge.from]? + self.chosen[2 * self.jobs.len() + i]);
        }
        Some(ready)
    }

    /// Whether `a` must be served before `b` when both are ready.
    fn first(&self, a: usize, b: usize) -> bool {
        let key = |i: usize| {
            let job = &self.jobs[i];
            match self.ties {
                Ties::ById => (job.priority, job.task, u64::from(self.depths[i]), job.job),
                Ties::ByRelease => (job.priority, self.release(i), 0, 0),
            }
        };
        let same_task = self.jobs[a].task == self.jobs[b].task;
        key(a) < key(b) || key(a) == key(b) && same_task && self.jobs[a].job < self.jobs[b].job
    }

    fn run(&self, free: u64, ended: &mut Vec<Option<u64>>, ends: &mut Ends) {
        let waiting: Vec<(u64, usize)> = (0..self.jobs.len())
            .filter(|i| ended[*i].is_none())
            .filter_map(|i| Some((self.ready(i, ended)?, i)))
            .collect();
        let Some(soonest) = waiting.iter().map(|(ready, _)| *ready).min() else { return };
        let now = soonest.max(free);
        let ready: Vec<usize> = waiting.iter().filter(|(at, _)| *at <= now).map(|(_, i)| *i).collect();
        for &job in ready.iter().filter(|job| !ready.iter().any(|other| self.first(*other, **job))) {
            let end = now + self.cost(job);
            ends[job] = (ends[job].0.min(end), ends[job].1.max(end));
            ended[job] = Some(end);
            self.run(end, ended, ends);
            ended[job] = None;
        }
    }
}

/// A random tiny set with at most `most` choices.
pub fn random(
    rng: &mut Rng,
    size: u64,
    edges_in_four: u64,
    longest_delay: u64,
    most: u64,
) -> (Vec<Job>, Vec<Edge>) {
    loop {
        let n = rng.between(2, size);
        let mut span = |least: u64, most: u64, width: u64| {
            let min = rng.between(least, most);
            Span::new(Nanos(min), Nanos(min + rng.between(0, width)))
        };
        let mut jobs: Vec<Job> = (0..n)
            .map(|i| Job { task: i, job: 0, release: span(0, 6, 2), cost: span(1, 4, 2), ..Job::default() })
            .collect();
        for (i, job) in jobs.iter_mut().enumerate() {
            job.priority = rng.between(0, n - 1);
            job.deadline = Nanos(rng.between(4, 30));
            // Some tasks have two jobs.
            if i > 0 && rng.one_in(4) {
                (job.task, job.job) = (i as u64 - 1, 1);
            }
        }
        let mut edges = Vec::new();
        for to in 1..jobs.len() {
            for from in 0..to {
                if rng.between(1, 4 * (n - 1)) <= 2 * edges_in_four {
                    let min = rng.between(0, longest_delay);
                    let most = if longest_delay == 0 { 0 } else { rng.between(0, 3) };
                    edges.push(Edge { from, to, delay: Span::new(Nanos(min), Nanos(min + most)) });
                }
            }
        }
        // Edges need not follow the order of the set.
        if rng.one_in(2) {
            jobs.reverse();
            for edge in &mut edges {
                (edge.from, edge.to) = (jobs.len() - 1 - edge.from, jobs.len() - 1 - edge.to);
            }
        }
        if choices(&jobs, &edges) <= most {
            return (jobs, edges);
        }
    }
}

pub fn set(jobs: &[Job], edges: &[Edge], ties: Ties) -> JobSet {
    JobSet::new(jobs.to_vec(), edges.to_vec(), ties).unwrap()
}
