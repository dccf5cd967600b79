//! The tasks of a certificate: what is stated, what follows from it, and how many jobs can arrive in a window.
use crate::{CertificateError, LONGEST, Number};
use serde::Deserialize;

/// Delays of the platform, in nanoseconds.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Overheads {
    release_ns: u64,
    dispatch_ns: u64,
    launch_ns: u64,
    copy_ns: u64,
    completion_ns: u64,
    recovery: Stall,
    clock_change: Stall,
    reload: Stall,
}

/// The partition stands still for `length_ns`, at most once every `gap_ns`; nothing when the length is 0.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stall {
    pub(crate) length_ns: u64,
    pub(crate) gap_ns: u64,
}

/// The three sources of stalls. Those of different sources that come together follow each other.
pub(crate) struct Stalls(pub(crate) [Stall; 3]);

/// A task as the certificate states it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stated {
    name: String,
    segments_ns: Vec<u64>,
    t_ns: Option<u64>,
    arrival: Option<Curve>,
    d_ns: u64,
    #[serde(default)]
    j_ns: u64,
    #[serde(default)]
    priority: u32,
}

/// An arrival curve: `α(x) = ⌊x / H⌋ · n_last + n(x mod H)`, `n(x)` being the count of the last step at or before `x`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Curve {
    horizon_ns: u64,
    steps: Vec<(u64, u64)>,
}

/// A task with its overheads.
pub(crate) struct Task {
    pub(crate) name: String,
    /// Each with dispatch, launch and completion; the first with the copies.
    pub(crate) segments: Vec<Number>,
    /// `C`: all of them.
    pub(crate) c: Number,
    /// What others wait at most for a segment of it that started one tick before: the longest, less that tick.
    pub(crate) wait: Number,
    pub(crate) last: Number,
    /// `D`.
    pub(crate) d: Number,
    pub(crate) stated_deadline: u64,
    /// `J`, with the release overhead.
    pub(crate) j: Number,
    pub(crate) priority: u32,
    /// `H` and the steps; `(T, [(1, 1)])` for a period.
    horizon: Number,
    steps: Vec<(Number, Number)>,
}

impl Stalls {
    pub(crate) fn new(overheads: &Overheads) -> Result<Self, CertificateError> {
        let stalls = [overheads.recovery, overheads.clock_change, overheads.reload];
        let possible = |stall: &Stall| stall.length_ns <= stall.gap_ns && stall.gap_ns <= LONGEST;
        if !stalls.iter().all(possible) {
            let why = "a stall is longer than the gap to the next, or the gap than 2^62 ns";
            return Err(CertificateError::OutsideModel { what: "the overheads".to_owned(), why });
        }
        Ok(Self(stalls))
    }

    /// Those that take any time, as length and gap.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (Number, Number)> {
        let longer = self.0.iter().filter(|stall| stall.length_ns > 0);
        longer.map(|stall| (stall.length_ns.into(), stall.gap_ns.into()))
    }

    /// How long the stalls take that begin in `[0, window)`, if none goes on at 0 that began earlier.
    pub(crate) fn within(&self, window: Number) -> Option<Number> {
        self.sources().try_fold(0, |sum: Number, (length, gap)| {
            sum.checked_add(window.div_ceil(gap).checked_mul(length)?)
        })
    }
}

/// Puts the overheads where they belong and refuses what is outside the model.
pub(crate) fn tasks(stated: Vec<Stated>, overheads: &Overheads) -> Result<Vec<Task>, CertificateError> {
    if stated.is_empty() {
        return Err(CertificateError::OutsideModel { what: "the task set".to_owned(), why: "it is empty" });
    }
    stated.into_iter().map(|task| with_overheads(task, overheads)).collect()
}

fn with_overheads(task: Stated, overheads: &Overheads) -> Result<Task, CertificateError> {
    let outside = |why| CertificateError::OutsideModel { what: format!("task `{}`", task.name), why };
    let (horizon, steps) = match (task.t_ns, &task.arrival) {
        (Some(period), None) => (period, vec![(1, 1)]),
        (None, Some(curve)) => (curve.horizon_ns, curve.steps.clone()),
        _ => return Err(outside("it states neither `t_ns` nor `arrival`, or both")),
    };
    let growing = steps.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
    let (first, last) =
        (steps.first().copied().unwrap_or_default(), steps.last().copied().unwrap_or_default());
    if !growing || first.0 != 1 || first.1 == 0 || last.0 > horizon {
        return Err(outside(
            "its arrivals are no curve: steps that begin at 1 ns and grow up to the horizon",
        ));
    }
    let around = [overheads.dispatch_ns, overheads.launch_ns, overheads.completion_ns];
    let times = [horizon, last.1, task.d_ns, task.j_ns, overheads.release_ns, overheads.copy_ns];
    if times.iter().chain(&around).chain(&task.segments_ns).any(|time| *time > LONGEST) {
        return Err(outside("a time is above 2^62 ns"));
    }
    if task.d_ns == 0 || task.segments_ns.is_empty() || task.segments_ns.contains(&0) {
        return Err(outside("it has a deadline or a segment of 0 ns, or no segment"));
    }
    let around: Number = around.map(Number::from).iter().sum();
    let mut segments: Vec<Number> = task.segments_ns.iter().map(|c| Number::from(*c) + around).collect();
    segments[0] += Number::from(overheads.copy_ns);
    Ok(Task {
        c: segments.iter().sum(),
        wait: segments.iter().max().map_or(0, |longest| longest - 1),
        last: segments[segments.len() - 1],
        segments,
        d: task.d_ns.into(),
        stated_deadline: task.d_ns,
        j: Number::from(task.j_ns) + Number::from(overheads.release_ns),
        priority: task.priority,
        horizon: horizon.into(),
        steps: steps.iter().map(|&(window, count)| (window.into(), count.into())).collect(),
        name: task.name,
    })
}

impl Task {
    /// `α(x)`: the most jobs that arrive in a half-open window of this length.
    pub(crate) fn arrivals(&self, window: Number) -> Option<Number> {
        let (whole, rest) = (window / self.horizon, window % self.horizon);
        let passed = self.steps.partition_point(|step| step.0 <= rest);
        let in_rest = passed.checked_sub(1).map_or(0, |k| self.steps[k].1);
        whole.checked_mul(self.rate().0)?.checked_add(in_rest)
    }

    /// How long after a job the `n`-th job after it arrives at the earliest: the least `x` with `α(x + 1) > n`.
    pub(crate) fn distance(&self, n: Number) -> Option<Number> {
        let (last, rest) = (self.rate().0, n % self.rate().0);
        let step = self.steps.partition_point(|step| step.1 <= rest);
        let window = self.steps.get(step).map_or(self.horizon, |step| step.0);
        (n / last).checked_mul(self.horizon)?.checked_add(window - 1)
    }

    /// Jobs that can arrive after another of the same task and be released before it; 0 without jitter. They arrive with
    /// it in a window of length `J`.
    pub(crate) fn overtaking(&self) -> Option<Number> {
        Some(self.arrivals(self.j)?.saturating_sub(1))
    }

    /// Jobs of the task that can be served up to the one that arrives at `at − J`, itself included.
    ///
    /// Those before it arrived in `[−J, at − J]`. Those that overtake it arrived before its release: all of them in
    /// `[−J, at)`, and there are none if there is no jitter or if it is released when the busy period starts.
    pub(crate) fn own(&self, at: Number) -> Option<Number> {
        let before = self.arrivals(at + 1)?;
        if at == 0 || self.j == 0 {
            return Some(before);
        }
        Some(before.checked_add(self.overtaking()?)?.min(self.arrivals(at + self.j)?))
    }

    /// The long-run rate: so many jobs in so long.
    pub(crate) fn rate(&self) -> (Number, Number) {
        (self.steps[self.steps.len() - 1].1, self.horizon)
    }
}
