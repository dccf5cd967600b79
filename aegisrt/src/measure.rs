//! Profiling: executions of every model, measured one at a time and in turn, as the scheduler will run them.
use crate::backends::Backends;
use crate::load::{self, Loaded};
use crate::profiles::{Condition, Profiles, Stored, host, same_host};
use crate::{Error, SystemFile};
use aegis_core::{Clock, MonotonicClock, Nanos, Rng, TaskSpec};
use aegis_sched::profile::{Certificate, samples_needed};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the WCET of a task comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// The system file states it; nothing is proven.
    Stated,
    /// It was measured.
    Measured(Certificate),
}

/// The WCET that admission charges for a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Wcet {
    /// Execution time charged per job: the compute budget where one is stated, the bound with its margin otherwise.
    pub charged: Nanos,
    /// Why that is enough.
    pub evidence: Evidence,
}

/// The conditions under which the models of `file` run on this machine, one a task.
///
/// # Errors
/// [`Error`] if a model cannot be read or a backend not opened.
pub fn conditions(file: &SystemFile, backends: &mut Backends, seed: u64) -> Result<Vec<Condition>, Error> {
    let mut all = blake3::Hasher::new();
    let mut conditions = Vec::new();
    let device = device(file, backends)?;
    for index in 0..file.spec.tasks().len() {
        let artifact = load::artifact(file, index)?;
        let runtime = load::opened(file, backends, seed, index)?.version();
        all.update(&artifact.digest().0);
        conditions.push(Condition {
            model: artifact.digest().to_string(),
            runtime,
            threads: file.spec.device().threads,
            host: host(),
            device: device.clone(),
            neighbours: String::new(),
            optimised: !cfg!(debug_assertions),
        });
    }
    let neighbours = all.finalize().to_hex().as_str()[..16].to_owned();
    for condition in &mut conditions {
        condition.neighbours.clone_from(&neighbours);
    }
    Ok(conditions)
}

/// The device that the system names and how threads wait for it, as far as execution times depend on it.
fn device(file: &SystemFile, backends: &mut Backends) -> Result<Option<String>, Error> {
    let stream = backends
        .stream(file.spec.device())
        .map_err(|source| Error::Backend { task: "*".to_owned(), source })?;
    Ok(stream.map(|stream| format!("{}, {:?}", stream.context().device(), stream.context().wait())))
}

/// The WCETs of all tasks from what the file states and what is stored; `None` if one must be measured first.
///
/// # Errors
/// [`Error::NoWcet`] if stored samples do not support the claim, [`Error::BudgetTooSmall`] if a bound is above its
/// budget.
pub fn known(
    file: &SystemFile,
    stored: &Profiles,
    conditions: &[Condition],
) -> Result<Option<Vec<Wcet>>, Error> {
    let mut wcets = Vec::new();
    for (task, condition) in file.spec.tasks().iter().zip(conditions) {
        if let Some(wcet) = stated(task) {
            wcets.push(wcet);
            continue;
        }
        let Some(profile) = stored.matching(&task.name, condition) else { return Ok(None) };
        let wanted = runs(file)?;
        if (profile.samples_ns.len() as u64) < wanted {
            return Ok(None);
        }
        wcets.push(from_samples(file, &task.name, task.budget.compute, profile)?);
    }
    Ok(Some(wcets))
}

/// What is charged for a task whose WCET the file states.
fn stated(task: &TaskSpec) -> Option<Wcet> {
    let charged = task.budget.compute.or(task.wcet)?;
    task.wcet.map(|_| Wcet { charged, evidence: Evidence::Stated })
}

fn from_samples(
    file: &SystemFile,
    task: &str,
    budget: Option<Nanos>,
    profile: &Stored,
) -> Result<Wcet, Error> {
    let claim = file.spec.profile();
    let certificate = profile
        .certify(claim.exceedance, claim.confidence)
        .map_err(|source| Error::NoWcet { task: task.to_owned(), source })?;
    let margin = u128::from(certificate.bound.0) * u128::from(claim.margin_percent);
    let margin = u64::try_from(margin.div_ceil(100)).unwrap_or(u64::MAX);
    let wcet = certificate.bound.saturating_add(Nanos(margin)).max(Nanos(1));
    if let Some(budget) = budget
        && wcet > budget
    {
        return Err(Error::BudgetTooSmall { task: task.to_owned(), wcet, budget });
    }
    Ok(Wcet { charged: budget.unwrap_or(wcet), evidence: Evidence::Measured(certificate) })
}

/// Measured executions per model: as stated, or the least that supports the claim.
///
/// # Errors
/// [`Error::NoWcet`] if the claim makes no sense; a checked system file has none such.
pub fn runs(file: &SystemFile) -> Result<u64, Error> {
    let claim = file.spec.profile();
    match claim.runs {
        Some(runs) => Ok(runs),
        None => samples_needed(claim.exceedance, claim.confidence)
            .map_err(|source| Error::NoWcet { task: "*".to_owned(), source }),
    }
}

/// What profiling tells whoever waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many executions of each of so many models are about to be measured.
    Begins {
        /// Executions of each model.
        runs: u64,
        /// Models.
        models: usize,
    },
    /// So many executions of so many are done, warm-up included.
    Done {
        /// Executions done.
        done: u64,
        /// Executions in all.
        of: u64,
    },
}

/// The WCETs of a system: stated, stored, or measured now and stored beside the system file. Loads the models only if one
/// must be measured and they are not given.
///
/// # Errors
/// [`Error`] if a model cannot be loaded or measured, or if its samples do not support the claim or the budget.
pub fn wcets(
    file: &SystemFile,
    backends: &mut Backends,
    loaded: Option<&mut [Loaded]>,
    seed: u64,
    progress: &mut impl FnMut(Progress),
) -> Result<Vec<Wcet>, Error> {
    if let Some(wcets) = file.spec.tasks().iter().map(stated).collect() {
        return Ok(wcets);
    }
    let conditions = conditions(file, backends, seed)?;
    let mut stored = Profiles::open(&file.path);
    if let Some(wcets) = known(file, &stored, &conditions)? {
        return Ok(wcets);
    }
    let mut own;
    let loaded = if let Some(loaded) = loaded {
        loaded
    } else {
        own = load::load(file, backends, seed)?;
        &mut own
    };
    refresh(file, &mut stored, loaded, &conditions, seed, progress)?;
    known(file, &stored, &conditions)?
        .ok_or_else(|| Error::Defect("a fresh profile does not match its own conditions".to_owned()))
}

/// Measures all models and stores the samples beside the system file.
///
/// # Errors
/// [`Error::Context`] if an execution fails, [`Error::HostChanged`] if the conditions did not last, [`Error::Write`] if the
/// samples cannot be stored.
pub fn refresh(
    file: &SystemFile,
    stored: &mut Profiles,
    loaded: &mut [Loaded],
    conditions: &[Condition],
    seed: u64,
    progress: &mut impl FnMut(Progress),
) -> Result<(), Error> {
    progress(Progress::Begins { runs: runs(file)?, models: loaded.len() });
    let fresh = measure(file, loaded, conditions, seed, |done, of| progress(Progress::Done { done, of }))?;
    conditions.iter().try_for_each(|condition| same_host(&condition.host))?;
    stored
        .keep(&file.path, fresh)
        .map_err(|source| Error::Write { path: Profiles::path(&file.path), source })?;
    Ok(())
}

/// Executes every model `runs` times after its warm-up: one at a time, in rounds, in an order drawn from `seed`, so that
/// each execution finds the caches as its neighbours left them. `progress` is told after every execution how many of how
/// many are done.
///
/// # Errors
/// [`Error::Context`] if an execution fails.
pub fn measure(
    file: &SystemFile,
    loaded: &mut [Loaded],
    conditions: &[Condition],
    seed: u64,
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<Stored>, Error> {
    let (warm_up, runs) = (file.spec.profile().warm_up, runs(file)?);
    let total = (warm_up + runs) * loaded.len() as u64;
    let mut samples: Vec<Vec<u64>> = loaded.iter().map(|_| Vec::new()).collect();
    let mut order: Vec<usize> = (0..loaded.len()).collect();
    let mut rng = Rng::new(seed);
    let clock = MonotonicClock::start();
    let mut done = 0;
    for round in 0..warm_up + runs {
        for last in (1..order.len()).rev() {
            order.swap(last, usize::try_from(rng.between(0, last as u64)).unwrap_or(last));
        }
        for &i in &order {
            let start = clock.now();
            loaded[i]
                .context
                .run_job()
                .map_err(|source| Error::Context { task: loaded[i].task.clone(), source })?;
            let took = clock.now() - start;
            if round >= warm_up {
                samples[i].push(took.0);
            }
            done += 1;
            progress(done, total);
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let stored = loaded.iter().zip(conditions).zip(samples).map(|((model, condition), samples_ns)| Stored {
        task: model.task.clone(),
        measured_unix_s: now,
        condition: condition.clone(),
        samples_ns,
    });
    Ok(stored.collect())
}
