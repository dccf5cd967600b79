//! Graphs on several partitions: no list schedule takes longer than the bound, jobs ending early and others in the way.
mod search;

use aegis_analysis::dag::{NoMakespan, OtherWork, makespan};
use aegis_core::{Nanos, Rng, TaskId};
use search::Reached;
use std::collections::HashSet;

/// How many times the graphs of a normal run: `AEGIS_SCALE`.
fn scale() -> usize {
    std::env::var("AEGIS_SCALE").map_or(1, |scale| scale.parse().expect("AEGIS_SCALE is a whole number"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum At {
    Waits,
    Runs,
    Ended,
}

/// A job on a partition: of the graph by position, or of the other task by age; and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Running {
    Graph(usize, u64),
    Other(u64, u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// Once it is released: for how long, and where its jobs are.
    graph: Option<(u64, Vec<At>)>,
    running: Vec<Option<Running>>,
    since: u64,
    /// Ages of waiting jobs of the other task.
    waiting: Vec<u64>,
}

/// The longest makespan in any list schedule in which the other task (`C`, `T`) responds within `R`.
fn longest(
    wcets: &[u64],
    edges: &[(usize, usize)],
    m: usize,
    other: Option<(u64, u64, u64)>,
    most: usize,
) -> Option<u64> {
    let mut worst = 0;
    let start = State {
        graph: None,
        running: vec![None; m],
        since: other.map_or(0, |(_, t, _)| t),
        waiting: Vec::new(),
    };
    let mut reached = Reached::new(start, most);
    while let Some(state) = reached.next() {
        let mut now = vec![state];
        if now[0].graph.is_none() {
            now.push(State { graph: Some((0, vec![At::Waits; wcets.len()])), ..now[0].clone() });
        }
        if other.is_some_and(|(_, t, _)| now[0].since >= t) {
            for k in 0..now.len() {
                let mut with = now[k].clone();
                with.since = 0;
                with.waiting.push(0);
                now.push(with);
            }
        }
        for state in now.into_iter().flat_map(|state| choices(state, wcets, edges, other)) {
            let mut next = state;
            next.since = other.map_or(0, |(_, t, _)| (next.since + 1).min(t));
            next.waiting.iter_mut().for_each(|age| *age += 1);
            let mut late = false;
            let limit = other.map_or(0, |(_, _, r)| r);
            for place in &mut next.running {
                *place = match *place {
                    Some(Running::Graph(v, 1)) => {
                        next.graph.as_mut().unwrap().1[v] = At::Ended;
                        None
                    }
                    Some(Running::Graph(v, left)) => Some(Running::Graph(v, left - 1)),
                    Some(Running::Other(age, left)) => {
                        late |= age + 1 > limit || (left > 1 && age + 1 == limit);
                        (left > 1).then_some(Running::Other(age + 1, left - 1))
                    }
                    None => None,
                };
            }
            late |= next.waiting.iter().any(|age| *age >= limit);
            if late {
                continue;
            }
            next.running.sort_unstable();
            if let Some((time, jobs)) = &mut next.graph {
                *time += 1;
                if jobs.iter().all(|job| *job == At::Ended) {
                    worst = worst.max(*time);
                    continue;
                }
            }
            reached.add(next)?;
        }
    }
    Some(worst)
}

/// Every way to fill the free partitions; none stays free while a job waits that could run.
fn choices(
    state: State,
    wcets: &[u64],
    edges: &[(usize, usize)],
    other: Option<(u64, u64, u64)>,
) -> Vec<State> {
    let (mut open, mut done) = (vec![state], Vec::new());
    while let Some(state) = open.pop() {
        let free = state.running.iter().position(Option::is_none);
        let mut nexts = Vec::new();
        if let Some(free) = free {
            if let Some((_, jobs)) = &state.graph {
                for v in 0..wcets.len() {
                    let ready = edges.iter().all(|&(from, to)| to != v || jobs[from] == At::Ended);
                    if jobs[v] != At::Waits || !ready {
                        continue;
                    }
                    for left in [1, wcets[v]] {
                        let mut next = state.clone();
                        next.graph.as_mut().unwrap().1[v] = At::Runs;
                        next.running[free] = Some(Running::Graph(v, left));
                        nexts.push(next);
                    }
                }
            }
            for k in 0..state.waiting.len() {
                let mut next = state.clone();
                let age = next.waiting.remove(k);
                next.running[free] = Some(Running::Other(age, other.unwrap().0));
                nexts.push(next);
            }
        }
        if nexts.is_empty() {
            done.push(state);
        } else {
            open.extend(nexts);
        }
    }
    let mut seen = HashSet::new();
    done.retain(|state| seen.insert(state.clone()));
    done
}

fn ids(edges: &[(usize, usize)]) -> Vec<(TaskId, TaskId)> {
    edges.iter().map(|&(from, to)| (TaskId::from(from), TaskId::from(to))).collect()
}

#[test]
fn no_list_schedule_takes_longer() {
    let seed = 1;
    let mut rng = Rng::new(seed);
    let (mut compared, mut attained, mut disturbed) = (0, 0, 0);
    while compared < 150 * scale() {
        let n = usize::try_from(rng.between(2, 5)).unwrap();
        let wcets: Vec<u64> = (0..n).map(|_| rng.between(1, 4)).collect();
        let pairs = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
        let edges: Vec<(usize, usize)> = pairs.filter(|_| rng.one_in(3)).collect();
        let m = rng.between(1, 3);
        let other = rng.one_in(2).then(|| {
            let c = rng.between(1, 2);
            let t = rng.between(c + 1, 6);
            (c, t, rng.between(c, t + 2))
        });
        let others: Vec<OtherWork> = other
            .iter()
            .map(|&(c, t, r)| OtherWork { wcet: Nanos(c), arrival: Nanos(t).into(), response: Nanos(r) })
            .collect();
        let nanos: Vec<Nanos> = wcets.iter().copied().map(Nanos).collect();
        let m32 = u32::try_from(m).unwrap();
        let bound = makespan(&nanos, &ids(&edges), m32, &others).unwrap();
        let places = usize::try_from(m).unwrap();
        let Some(longest) = longest(&wcets, &edges, places, other, 60_000) else { continue };
        compared += 1;
        assert!(
            bound.bound.0 >= longest,
            "seed {seed}: {bound:?} < {longest}: {wcets:?} {edges:?} on {m} beside {other:?}"
        );
        if m == 1 && other.is_none() {
            assert_eq!(bound.bound.0, longest);
        }
        attained += usize::from(bound.bound.0 == longest);
        disturbed += usize::from(other.is_some());
    }
    println!("seed {seed}: {attained} of {compared} attained, {disturbed} beside another task");
    assert!(attained * 4 > compared && disturbed > compared / 4);
}

/// Graham's own example: one more partition, shorter jobs or fewer edges each make the list schedule longer. All are below
/// the bound of the original.
#[test]
fn graham1969_anomalies() {
    let wcets = [3, 2, 2, 2, 4, 4, 4, 4, 9].map(Nanos);
    let edges = ids(&[(0, 8), (3, 4), (3, 5), (3, 6), (3, 7)]);
    let on = |m| makespan(&wcets, &edges, m, &[]).unwrap();
    assert_eq!((on(3).length, on(3).volume), (Nanos(12), Nanos(34)));
    assert_eq!(on(3).bound, Nanos(19));
    // The list schedules in the paper take 12 on three partitions and 15 on four.
    assert_eq!(on(4).bound, Nanos(17));
    let shorter = wcets.map(|c| Nanos(c.0 - 1));
    assert_eq!(makespan(&shorter, &edges, 3, &[]).unwrap().bound, Nanos(15));
}

/// A job that arrived 8 before and has not begun counts too, and so does the next: 4 + 2 + 2.
#[test]
fn work_that_is_carried_in_counts() {
    let other = OtherWork { wcet: Nanos(2), arrival: Nanos(10).into(), response: Nanos(9) };
    let bound = makespan(&[Nanos(4)], &[], 1, &[other]).unwrap();
    assert_eq!((bound.bound, bound.interference), (Nanos(8), Nanos(4)));
}

#[test]
fn what_has_no_bound() {
    let circle = ids(&[(0, 1), (1, 0)]);
    assert_eq!(makespan(&[Nanos(1); 2], &circle, 1, &[]), Err(NoMakespan::Edges { jobs: 2 }));
    assert_eq!(makespan(&[Nanos(1); 2], &ids(&[(0, 2)]), 1, &[]), Err(NoMakespan::Edges { jobs: 2 }));
    assert_eq!(makespan(&[Nanos(1)], &[], 0, &[]), Err(NoMakespan::NoPartition));
    let all = OtherWork { wcet: Nanos(3), arrival: Nanos(3).into(), response: Nanos(3) };
    assert!(matches!(makespan(&[Nanos(1)], &[], 1, &[all]), Err(NoMakespan::Undecided { .. })));
}
