//! A time table for one hyperperiod of periodic tasks with known offsets, to be repeated for ever.
//!
//! Assumptions: those of [`super::periodic`] for the jobs and of [`super::table`] for the table. The table begins at a
//! phase `x`, at or after the largest offset, and holds the jobs that arrive in `[x, x + H)`. Deadlines beyond `x + H` are
//! taken as `x + H`, so that one round is over before the next begins; each phase at which a task arrives is tried.
//! Before `x` the same table holds, moved back by multiples of `H`: slots of jobs that do not arrive yet stay empty.
use super::periodic::{PeriodicError, PeriodicJobs, Rhythm};
use super::set::{Job, JobSet};
use super::table::{NoTable, Table, TableOptions, table};
use aegis_core::{Nanos, PartitionId, System};

/// A table that repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CyclicTable {
    /// The jobs of one round, in time since its beginning.
    pub jobs: PeriodicJobs,
    /// When a round begins, counted from the start of the system; others begin every hyperperiod before and after it.
    pub phase: Nanos,
    /// Their windows, in time since the beginning of the round.
    pub table: Table,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoCyclicTable {
    /// The partition is not strictly periodic, or its hyperperiod does not fit.
    #[error(transparent)]
    NotPeriodic(#[from] PeriodicError),
    /// No phase has a table that is over before the next round.
    #[error("no round of {hyperperiod}, at any of {phases} phases: {why}")]
    NoTable {
        /// The hyperperiod.
        hyperperiod: Nanos,
        /// Phases tried.
        phases: usize,
        /// Why not, at the first phase that leaves the most open: given up, else every order tried, else not even with
        /// preemption.
        why: NoTable,
    },
}

/// Looks for a table of one hyperperiod.
///
/// # Errors
/// [`NoCyclicTable`].
pub fn cyclic_table(
    system: &System,
    partition: PartitionId,
    options: &TableOptions,
) -> Result<CyclicTable, NoCyclicTable> {
    let rhythm = Rhythm::of(system, partition)?;
    let mut phases: Vec<u64> = rhythm
        .tasks
        .iter()
        .map(|beat| {
            rhythm
                .start
                .saturating_add((beat.period - (rhythm.start - beat.offset) % beat.period) % beat.period)
        })
        .collect();
    phases.sort_unstable();
    phases.dedup();
    let mut closest: Option<NoTable> = None;
    for phase in &phases {
        let mut jobs = rhythm.jobs(*phase, phase.saturating_add(rhythm.hyperperiod))?;
        let within = |job: &Job| Job { deadline: job.deadline.min(jobs.hyperperiod), ..*job };
        let capped = jobs.set.jobs().iter().map(within).collect();
        jobs.set =
            JobSet::new(capped, jobs.set.edges().to_vec(), jobs.set.ties()).map_err(PeriodicError::Jobs)?;
        match table(&jobs.set, options) {
            Ok(table) => return Ok(CyclicTable { jobs, phase: Nanos(*phase), table }),
            Err(why) => {
                let why = named(system, &jobs, why);
                if closest.as_ref().is_none_or(|closest| open(&why) > open(closest)) {
                    closest = Some(why);
                }
            }
        }
    }
    let (hyperperiod, phases) = (Nanos(rhythm.hyperperiod), phases.len());
    let why = closest.unwrap_or(NoTable::GaveUp { steps: 0 });
    Err(NoCyclicTable::NoTable { hyperperiod, phases, why })
}

/// How much a refusal leaves open.
const fn open(why: &NoTable) -> u8 {
    match why {
        NoTable::Overload { .. } => 0,
        NoTable::Infeasible { .. } => 1,
        NoTable::GaveUp { .. } => 2,
    }
}

/// The refusal with the name of the task.
fn named(system: &System, jobs: &PeriodicJobs, why: NoTable) -> NoTable {
    match why {
        NoTable::Overload { job, .. } => {
            let origin = &jobs.origins[job];
            let name = format!("{} of `{}`", origin.seq, system.tasks()[origin.task.index()].name);
            NoTable::Overload { job, name }
        }
        other => other,
    }
}
