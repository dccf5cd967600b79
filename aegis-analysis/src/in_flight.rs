//! Gated launches: how many launches of a model may be in flight before the scheduler gets control back.
//!
//! A model runs as a sequence of launches of known WCET. With a window of `w`, the host calls launch `k` once launch
//! `k − w` is seen to have ended, so that up to `w` launches are queued on the device, which runs them in order. A larger
//! window hides what the host needs between two launches behind those that are queued; but nothing else runs before the
//! queue is empty.
//!
//! Assumptions:
//! 1. Calls are made one after the other; a call takes at most dispatch + launch until its launch can start, and the end
//!    of a launch is seen within the completion overhead ([`aegis_core::Overheads`]). The first launch copies.
//! 2. The scheduler chooses when a job ends, and, while one runs, whenever it has seen a launch end. If another job is more
//!    urgent, it calls no further launch of the running job, and the other job's first launch once it has seen the
//!    queue empty. At its start, and when it goes on, a job calls `w` launches without a look in between.
//! 3. A launch takes at most its WCET.
//!
//! Alone, launch k is called at `call_k = max(call_{k−1}, seen_{k−w}) + dispatch + launch`, ends at
//! `end_k = max(end_{k−1}, call_k) + c_k` and is seen at `seen_k = end_k + completion`; all of these never fall as any `c`
//! grows, so that shorter launches end no later. Then
//!
//! - the job takes `C(w) = seen_n`: every launch pays its overheads for `w = 1`, fewer for a larger window;
//! - another job waits at most for `w` launches from their calls on, less one tick: the longest such burst over all `w`
//!   consecutive launches. It is at least the largest sum of `w` consecutive WCETs plus the overheads of one launch;
//! - a job that was interrupted goes on with an empty queue: it loses at most the completion that it had hidden and
//!   `(w − 1) · (dispatch + launch)` of calls that it had made ahead. Every interruption begins with another job, whose `C` it
//!   is charged to: the largest such loss of any other task;
//! - from the call of the last launch on nothing delays a job: its overheads and `c_n`, or the whole job if `n ≤ w`.
//!
//! With these, a set of gated models is a set of tasks for the analyses. Sound; for `w = 1` it is exactly the analysis of
//! segments, for larger windows the charge for interruptions is more than most schedules need.
use super::busy_period::{NoBound, Steps};
use super::fits::fits;
use super::load::{LONGEST, Load, OVERHEADS, loads};
use super::stalls::Stalls;
use super::utilisation::Share;
use aegis_core::{Nanos, Overheads, TaskId, TaskSet, TermKind};

/// Steps for one question to the exact test.
const PROBE_STEPS: u64 = 1 << 22;

/// A sequence of launches behind a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gated {
    /// How many launches may be in flight.
    pub window: usize,
    /// `C(w)`: the whole job alone, overheads included.
    pub execution: Nanos,
    /// The longest burst: what others wait for, at most.
    pub region: Nanos,
    /// From the call of the last launch to its end being seen, at least.
    pub last: Nanos,
    /// What an interruption may cost the job, at most.
    pub resume: Nanos,
}

/// What a window does to a sequence of launches; `None` if there are none, the window is 0, or a time is above 2^62 ns.
#[must_use]
pub fn gated(launches: &[Nanos], window: usize, overheads: Overheads) -> Option<Gated> {
    let window = window.min(launches.len());
    let (pre, completion) = (overheads.dispatch.checked_add(overheads.launch)?.0, overheads.completion.0);
    if window == 0 {
        return None;
    }
    // From the first call of `launches` to the last of them being seen.
    let seen = |launches: &[Nanos], copy: Nanos| -> Option<u64> {
        let (mut call, mut ends) = (0_u64, Vec::with_capacity(launches.len()));
        for (k, launch) in launches.iter().enumerate() {
            let before = k.checked_sub(window).map_or(0, |k| ends[k]);
            call = call.max(before).checked_add(pre)?;
            let free = k.checked_sub(1).map_or(0, |k| ends[k] - completion);
            let copy = if k == 0 { copy.0 } else { 0 };
            let end = call.max(free).checked_add(launch.0)?.checked_add(copy)?;
            ends.push(end.checked_add(completion).filter(|seen| *seen <= LONGEST)?);
        }
        ends.last().copied()
    };
    let execution = seen(launches, overheads.copy)?;
    let bursts = launches.windows(window).enumerate();
    let bursts = bursts.map(|(k, burst)| seen(burst, if k == 0 { overheads.copy } else { Nanos::ZERO }));
    let region = bursts.collect::<Option<Vec<u64>>>()?.into_iter().max()?;
    let last = if window == launches.len() {
        execution
    } else {
        pre.checked_add(launches.last()?.0)?.checked_add(completion)?
    };
    let resume = if window == 1 || window == launches.len() {
        0
    } else {
        pre.checked_mul(window as u64 - 1)?.checked_add(completion)?
    };
    let [execution, region, last, resume] = [execution, region, last, resume].map(Nanos);
    Some(Gated { window, execution, region, last, resume })
}

/// Why windows have no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoWindows {
    /// There must be one window a task.
    #[error("{given} windows for {tasks} tasks; state one for each")]
    Entries {
        /// How many there are.
        given: usize,
        /// How many tasks there are.
        tasks: usize,
    },
    /// A window is 0, or the times of the task do not fit.
    #[error("task {}: a window must be at least 1, and all its times below 2^62 ns", task.0)]
    Invalid {
        /// The task.
        task: TaskId,
    },
    /// The gated set does not fit with any of the windows that were tried: 1, 2, 4, ... for all tasks at once.
    #[error("the set does not fit with 1, 2, 4, ... launches in flight")]
    NothingFits,
    /// The exact test took its limit of steps.
    #[error("not decided within {steps} steps")]
    Undecided {
        /// The limit on steps.
        steps: u64,
    },
}

/// Whether `set`, whose segments are launches, fits with these windows, one a task.
///
/// # Errors
/// [`NoWindows`] where the windows are not valid or the test does not decide.
pub fn fits_with(set: &TaskSet, windows: &[usize]) -> Result<bool, NoWindows> {
    let loads = gated_loads(set, windows)?;
    let stalls = Stalls::new(set.overheads());
    match fits(set.policy(), &loads, &stalls, &mut Steps::new(PROBE_STEPS)) {
        Ok(fits) => Ok(fits),
        Err(NoBound::Undecided { steps }) => Err(NoWindows::Undecided { steps }),
        Err(NoBound::NoFiniteBusyPeriod) => Ok(false),
    }
}

/// Windows with which `set`, whose segments are launches, fits, none of which can be made larger alone.
///
/// Larger windows take less time and block for longer, so that no choice is the best for all models. Tried first are
/// 1, 2, 4, ... for all of them at once; from the first that fits, the window of each task in the order of `set` is made
/// as large as it can be, the others staying, until none can.
///
/// # Errors
/// [`NoWindows`] where none of the first choices fits.
pub fn largest(set: &TaskSet) -> Result<Vec<Gated>, NoWindows> {
    let most: Vec<usize> = set.tasks().iter().map(|task| task.segments.len()).collect();
    let longest = most.iter().copied().max().unwrap_or(1);
    let starts = core::iter::successors(Some(1_usize), |w| w.checked_mul(2).filter(|_| *w < longest));
    let mut found = None;
    let mut undecided = None;
    for start in starts {
        let windows: Vec<usize> = most.iter().map(|most| start.min(*most)).collect();
        match fits_with(set, &windows) {
            Ok(true) => {
                found = Some(windows);
                break;
            }
            Err(NoWindows::Undecided { steps }) => undecided = Some(NoWindows::Undecided { steps }),
            other => {
                other?;
            }
        }
    }
    let mut windows = found.ok_or(undecided.unwrap_or(NoWindows::NothingFits))?;
    loop {
        let mut grew = false;
        for k in 0..windows.len() {
            for window in (windows[k] + 1..=most[k]).rev() {
                let with: Vec<usize> =
                    windows.iter().enumerate().map(|(i, w)| if i == k { window } else { *w }).collect();
                if matches!(fits_with(set, &with), Ok(true)) {
                    windows = with;
                    grew = true;
                    break;
                }
            }
        }
        if !grew {
            break;
        }
    }
    let gate = |(k, task): (usize, &aegis_core::Task)| {
        gated(&task.segments, windows[k], set.overheads()).ok_or(NoWindows::Invalid { task: TaskId::from(k) })
    };
    set.tasks().iter().enumerate().map(gate).collect()
}

/// The tasks as the analyses see them, behind their gates.
fn gated_loads(set: &TaskSet, windows: &[usize]) -> Result<Vec<Load>, NoWindows> {
    if windows.len() != set.tasks().len() {
        return Err(NoWindows::Entries { given: windows.len(), tasks: set.tasks().len() });
    }
    let gate = |(k, task): (usize, &aegis_core::Task)| {
        gated(&task.segments, windows[k], set.overheads()).ok_or(NoWindows::Invalid { task: TaskId::from(k) })
    };
    let gates = set.tasks().iter().enumerate().map(gate).collect::<Result<Vec<Gated>, _>>()?;
    let mut loads = loads(set);
    for (k, load) in loads.iter_mut().enumerate() {
        let others = gates.iter().enumerate().filter(|(i, _)| *i != k);
        let interrupts = others.map(|(_, gate)| gate.resume.0).max().unwrap_or(0);
        let gate = gates[k];
        load.c = gate.execution.0 + interrupts;
        load.longest = gate.region.0;
        load.last = gate.last.0;
        if load.c > LONGEST {
            return Err(NoWindows::Invalid { task: TaskId::from(k) });
        }
        // What is not execution is what the host needs between and around the launches.
        let host = load.c - load.execution;
        load.overheads = OVERHEADS.map(|kind| if kind == TermKind::Launch { host } else { 0 });
        let (jobs, window) = load.arrival.rate();
        load.share = Share::new(u128::from(load.c) * u128::from(jobs), window.0);
    }
    Ok(loads)
}
