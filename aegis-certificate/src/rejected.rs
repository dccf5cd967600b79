//! That a job misses its deadline: more work than time, or a schedule that is played through.
use crate::task::Stalls;
use crate::{CertificateError, LONGEST, Number, Policy, Proved, Steps, Task};
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A schedule of the model in which a job misses its deadline.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Witness {
    /// Position in `jobs` of the one that misses.
    job: usize,
    /// All stalls.
    #[serde(default)]
    stalls: Vec<StallAt>,
    /// All jobs; where the policy leaves a tie, the one listed first is served first. Those of one task are listed in
    /// the order of their arrivals, or in the order of their releases and, at one instant, of their arrivals.
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StallAt {
    /// 0 recovery, 1 change of clocks, 2 reload.
    source: usize,
    at_ns: u64,
    /// If the resource chooses at that instant, it has chosen before the stall begins.
    after_choice: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    /// Position of the task.
    task: usize,
    arrival_ns: u64,
    release_ns: u64,
    /// How long each segment takes, overheads included.
    executions_ns: Vec<u64>,
}

/// `ΣC/T > 1`: the longer the tasks arrive as often as they may, the later some job ends.
pub(crate) fn overload(tasks: &[Task], stalls: &Stalls) -> Result<Proved, CertificateError> {
    let (demand, time) = share(tasks, stalls, Round::Down)?;
    if demand > time {
        return Ok(Proved::Overload { demand, time });
    }
    let claim = "overload: ΣC/T as demand in a time".to_owned();
    Err(CertificateError::False { claim, least: time.saturating_add(1), stated: demand })
}

/// Which way a fraction goes that does not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    Up,
    Down,
}

/// `ΣC/T` as numerator and denominator: exact in lowest terms if that fits, else with each addend rounded to a multiple
/// of 2⁻⁶⁴.
pub(crate) fn share(
    tasks: &[Task],
    stalls: &Stalls,
    round: Round,
) -> Result<(Number, Number), CertificateError> {
    const ONE: Number = 1 << 64;
    let gcd = |mut a: Number, mut b: Number| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let of_tasks = tasks.iter().map(|task| Some((task.rate().0.checked_mul(task.c)?, task.rate().1)));
    let shares = || of_tasks.clone().chain(stalls.sources().map(Some));
    let exact = shares().try_fold((0, 1), |(demand, time): (Number, Number), share| {
        let (work, window) = share?;
        let common = gcd(time, window);
        let work = work.checked_mul(time / common)?;
        let demand = demand.checked_mul(window / common)?.checked_add(work)?;
        let time = time.checked_mul(window / common)?;
        let common = gcd(demand, time);
        Some((demand / common, time / common))
    });
    let rounded = || {
        shares().try_fold(0, |sum: Number, share| {
            let (work, window) = share?;
            let work = work.checked_mul(ONE)?;
            sum.checked_add(if round == Round::Up { work.div_ceil(window) } else { work / window })
        })
    };
    let share = exact.or_else(|| Some((rounded()?, ONE)));
    share.ok_or_else(|| CertificateError::Overflow { claim: "ΣC/T".to_owned() })
}

/// Plays the schedule through and looks at the end of the one job.
pub(crate) fn miss(
    tasks: &[Task],
    stalls: &Stalls,
    policy: Policy,
    witness: &Witness,
    steps: &mut Steps,
) -> Result<Proved, CertificateError> {
    inside_the_model(tasks, &witness.jobs, steps)?;
    let stalls = apart(stalls, &witness.stalls)?;
    let job = witness.jobs.get(witness.job).ok_or_else(|| CertificateError::Incomplete {
        claim: "miss".to_owned(),
        why: "the job that misses is not among the jobs",
    })?;
    let end = end_of(tasks, policy, witness, stalls);
    let response = end - Number::from(job.arrival_ns);
    let task = &tasks[job.task];
    if response <= task.d {
        let claim = format!("job {} of task `{}`, a response above the deadline", witness.job, task.name);
        return Err(CertificateError::False { claim, least: task.d + 1, stated: response });
    }
    Ok(Proved::Miss { task: job.task, response_ns: u64::try_from(response).unwrap_or(u64::MAX) })
}

/// Whether the tasks can arrive, be released and execute like this.
fn inside_the_model(tasks: &[Task], jobs: &[Job], steps: &mut Steps) -> Result<(), CertificateError> {
    let mut of_task = vec![Vec::new(); tasks.len()];
    for (k, job) in jobs.iter().enumerate() {
        let outside = |why| CertificateError::OutsideModel { what: format!("job {k}"), why };
        let task = tasks.get(job.task).ok_or(outside("it is of no task"))?;
        let (arrival, release) = (Number::from(job.arrival_ns), Number::from(job.release_ns));
        if release < arrival || release > arrival + task.j || release > LONGEST.into() {
            return Err(outside("it is not released within the jitter after its arrival"));
        }
        steps.take(task.segments.len())?;
        let within = |(stated, wcet): (&u64, &Number)| *stated > 0 && Number::from(*stated) <= *wcet;
        if job.executions_ns.len() != task.segments.len()
            || !job.executions_ns.iter().zip(&task.segments).all(within)
        {
            return Err(outside("its executions are not one a segment, above 0 and up to its WCET"));
        }
        of_task[job.task].push((arrival, release));
    }
    for (task, listed) in tasks.iter().zip(&mut of_task) {
        let outside =
            |why| CertificateError::OutsideModel { what: format!("jobs of task `{}`", task.name), why };
        let by_release = listed.is_sorted_by_key(|&(arrival, release)| (release, arrival));
        if !by_release && !listed.is_sorted_by_key(|(arrival, _)| *arrival) {
            return Err(outside("they are not listed in an order in which they may be served"));
        }
        listed.sort_unstable();
        for n in 1..listed.len() {
            // What is more jobs apart than arrive in a horizon is a horizon apart and the rest.
            let most = usize::try_from(task.rate().0).map_or(n, |rate| rate.min(n));
            steps.take(most)?;
            for before in 1..=most {
                let apart = listed[n].0 - listed[n - before].0;
                if task.distance(before as Number).is_none_or(|least| apart < least) {
                    return Err(outside("they arrive more often than its law allows"));
                }
            }
        }
    }
    Ok(())
}

/// The stalls in the order of their beginnings, as beginning, length and whether a choice at that instant comes first.
fn apart(stalls: &Stalls, listed: &[StallAt]) -> Result<VecDeque<(Number, Number, bool)>, CertificateError> {
    let mut of_source = [None; 3];
    let mut times = VecDeque::with_capacity(listed.len());
    for (k, stall) in listed.iter().enumerate() {
        let outside = |why| CertificateError::OutsideModel { what: format!("stall {k}"), why };
        let source = stalls.0.get(stall.source).ok_or(outside("it is of no source"))?;
        let (at, gap) = (Number::from(stall.at_ns), Number::from(source.gap_ns));
        if source.length_ns == 0 || of_source[stall.source].is_some_and(|before| at < before + gap) {
            return Err(outside("its source does not stall so often, or the stalls are not listed in order"));
        }
        of_source[stall.source] = Some(at);
        times.push_back((at, Number::from(source.length_ns), stall.after_choice));
    }
    times.make_contiguous().sort_by_key(|(at, ..)| *at);
    Ok(times)
}

/// When the job ends that is said to miss: at the end of each segment, and of the stalls that begin then, the resource
/// takes the job that the policy puts first.
fn end_of(
    tasks: &[Task],
    policy: Policy,
    witness: &Witness,
    mut stalls: VecDeque<(Number, Number, bool)>,
) -> Number {
    let jobs = &witness.jobs;
    let mut upcoming: Vec<usize> = (0..jobs.len()).collect();
    upcoming.sort_by_key(|&k| Reverse((jobs[k].release_ns, k)));
    let mut ready = BinaryHeap::new();
    let (mut now, mut still_until) = (Number::from(0_u8), Number::from(0_u8));
    loop {
        // If nothing is ready the resource waits for the next release; stalls that began by now come before a choice.
        let next = upcoming.last().map(|&k| Number::from(jobs[k].release_ns));
        if let (true, Some(release)) = (ready.is_empty(), next) {
            now = now.max(release);
        }
        while let Some(&(at, length, after_choice)) = stalls.front()
            && (at < now || (at == now && !after_choice))
        {
            stalls.pop_front();
            still_until = still_until.max(at) + length;
            now = now.max(still_until);
        }
        while let Some(&k) = upcoming.last()
            && Number::from(jobs[k].release_ns) <= now
        {
            upcoming.pop();
            let task = &tasks[jobs[k].task];
            let key = match policy {
                Policy::FixedPriority => task.priority.into(),
                Policy::Edf => Number::from(jobs[k].arrival_ns) + task.d,
                Policy::Fifo => jobs[k].release_ns.into(),
            };
            ready.push(Reverse((key, k, 0)));
        }
        let Some(Reverse((key, k, segment))) = ready.pop() else { return now };
        now += Number::from(jobs[k].executions_ns[segment]);
        // It makes no progress while a stall lasts that begins before its end.
        while let Some((_, length, _)) = stalls.pop_front_if(|(at, ..)| *at < now) {
            now += length;
        }
        if segment + 1 < jobs[k].executions_ns.len() {
            ready.push(Reverse((key, k, segment + 1)));
        } else if k == witness.job {
            return now;
        }
    }
}
