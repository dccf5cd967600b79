//! Task sets in one line each, for the tests of admission.
use aegis_core::{ArrivalCurve, Nanos, Overheads, Policy, Priority, TaskDraft, TaskSet};

/// An arrival curve as a file states it: the horizon and the steps of windows and counts.
pub type Curve = (u64, Vec<(u64, u64)>);

/// One task: lengths of its segments, `T` or a curve in its place, `D`, `J` and, where the policy needs it, a priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub segments: Vec<u64>,
    pub t: u64,
    pub d: u64,
    pub j: u64,
    pub priority: Option<u32>,
    pub curve: Option<Curve>,
}

/// A task in one segment without jitter.
#[allow(dead_code, reason = "not every test file needs every form")]
pub fn row(c: u64, t: u64, d: u64) -> Row {
    Row { segments: vec![c], t, d, j: 0, priority: None, curve: None }
}

#[allow(dead_code, reason = "not every test file needs every form")]
impl Row {
    pub fn jitter(self, j: u64) -> Self {
        Self { j, ..self }
    }

    pub fn segments(self, segments: &[u64]) -> Self {
        Self { segments: segments.to_vec(), ..self }
    }

    pub fn curve(self, horizon: u64, steps: &[(u64, u64)]) -> Self {
        Self { curve: Some((horizon, steps.to_vec())), ..self }
    }

    pub fn priority(self, priority: u32) -> Self {
        Self { priority: Some(priority), ..self }
    }

    pub fn c(&self) -> u64 {
        self.segments.iter().sum()
    }
}

/// Tasks `a`, `b`, `c`, ... with overheads.
pub fn set_with(policy: Policy, overheads: Overheads, rows: &[Row]) -> TaskSet {
    let name = |i: usize| char::from_u32('a' as u32 + u32::try_from(i).unwrap()).unwrap().to_string();
    let draft = |(i, row): (usize, &Row)| TaskDraft {
        name: name(i),
        segments: row.segments.iter().copied().map(Nanos).collect(),
        arrival: match &row.curve {
            None => Nanos(row.t).into(),
            Some((horizon, steps)) => {
                let steps = steps.iter().map(|&(window, count)| (Nanos(window), count)).collect();
                ArrivalCurve::new(Nanos(*horizon), steps).unwrap().into()
            }
        },
        deadline: Some(Nanos(row.d)),
        jitter: Nanos(row.j),
        priority: row.priority.map(Priority),
    };
    TaskSet::new(policy, overheads, rows.iter().enumerate().map(draft).collect()).unwrap()
}

/// Tasks `a`, `b`, `c`, ... on an ideal platform.
#[allow(dead_code, reason = "not every test file needs every form")]
pub fn set(policy: Policy, rows: &[Row]) -> TaskSet {
    set_with(policy, Overheads::default(), rows)
}

/// Tasks with names, and their `C`, `T` and `D` in milliseconds.
#[allow(dead_code, reason = "not every test file needs every form")]
pub fn named(policy: Policy, tasks: &[(&str, u64, u64, u64)]) -> TaskSet {
    let draft = |&(name, c, t, d): &(&str, u64, u64, u64)| TaskDraft {
        name: name.to_string(),
        segments: vec![Nanos::from_millis(c)],
        arrival: Nanos::from_millis(t).into(),
        deadline: Some(Nanos::from_millis(d)),
        ..TaskDraft::default()
    };
    TaskSet::new(policy, Overheads::default(), tasks.iter().map(draft).collect()).unwrap()
}

/// The bounds that admission gives, in the order of the set.
#[allow(dead_code, reason = "not every test file needs every form")]
pub fn bounds(set: &TaskSet) -> Vec<Option<u64>> {
    let verdict = aegis_analysis::admit(set);
    verdict.tasks.iter().map(|task| task.bound.as_ref().map(|bound| bound.wcrt.0)).collect()
}
