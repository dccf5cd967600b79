//! A simulated machine around the real scheduler, into which one cause of delay can be put. It writes the records that a
//! real run would, and knows by itself when each job ended.
use aegis_core::{
    Action, ArrivalCurve, ArrivalLaw, Blame, Event, Fault, FaultCode, JobId, Nanos, Outcome, Overheads,
    Policy, Priority, Rng, TaskDraft, TaskId, TaskSet, Usable,
};
use aegis_sched::{State, step};
use aegis_trace::{Body, ClockLimits, Direction, Header, Record};
use std::collections::BTreeMap;

/// What is put into a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    LongExecution,
    ExtraBlocking,
    Burst,
    ReleaseJitter,
    DispatchDelay,
    CompletionDelay,
    SlowCopy,
    ClockChange,
    Contention,
    FaultAndRecovery,
    QueueOverflow,
    RecordingLoss,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::LongExecution,
        Self::ExtraBlocking,
        Self::Burst,
        Self::ReleaseJitter,
        Self::DispatchDelay,
        Self::CompletionDelay,
        Self::SlowCopy,
        Self::ClockChange,
        Self::Contention,
        Self::FaultAndRecovery,
        Self::QueueOverflow,
        Self::RecordingLoss,
    ];
}

/// One cause: of which kind, to which job (by task and arrival), how much.
#[derive(Debug, Clone, Copy)]
pub struct Injected {
    pub kind: Kind,
    pub task: usize,
    /// Which regular arrival of the task.
    pub nth: u64,
    pub size: u64,
}

pub const US: u64 = 1_000;
pub const MS: u64 = 1_000_000;
/// How long jobs arrive.
const HORIZON: u64 = 1_500 * MS;
/// The rare task, always the last.
const RARE: &str = "calibration";

/// Tasks and the machine that they run on.
pub struct World {
    pub set: TaskSet,
    pub queues: Vec<u32>,
    offsets: Vec<u64>,
    pub regular: usize,
    seed: u64,
}

/// What a run leaves: records by recorder (dispatcher, worker, watch), and when each job ended.
pub struct Ran {
    pub records: [Vec<Record>; 3],
    /// By task and arrival: from the arrival to the end, or nothing for a job that gave no result. Extra jobs are not here.
    pub responses: BTreeMap<(usize, u64), Option<u64>>,
    /// The names of these jobs in the trace.
    pub names: BTreeMap<(usize, u64), JobId>,
}

impl World {
    pub fn new(seed: u64, kind: Kind) -> Self {
        let mut rng = Rng::new(seed);
        let policies = match kind {
            // First released, first served: nothing blocks there.
            Kind::ExtraBlocking => &[Policy::Edf, Policy::FixedPriority][..],
            _ => &[Policy::Edf, Policy::FixedPriority, Policy::Fifo],
        };
        let policy = policies[usize::try_from(rng.between(0, policies.len() as u64 - 1)).unwrap()];
        let regular = usize::try_from(rng.between(3, 5)).unwrap();
        let share = rng.between(350, 450) / regular as u64;
        let mut drafts = Vec::new();
        let mut offsets = Vec::new();
        for i in 0..regular {
            let period = rng.between(12, 60) * MS + rng.between(0, 999) * US;
            let segments = if rng.one_in(4) { 2 } else { 1 };
            let wcet = period * share / 1000 / segments;
            // In pairs, for a queue that must hold two.
            let arrival: ArrivalLaw = if kind == Kind::QueueOverflow && i == 0 {
                ArrivalCurve::new(Nanos(period), vec![(Nanos(1), 2)]).unwrap().into()
            } else {
                Nanos(period).into()
            };
            drafts.push(TaskDraft {
                name: ["camera", "lidar", "radar", "imu", "gnss"][i].to_owned(),
                segments: vec![Nanos(wcet); usize::try_from(segments).unwrap()],
                arrival,
                deadline: Some(Nanos(period * 6 / 10)),
                jitter: Nanos(100 * US),
                priority: Some(Priority(u32::try_from(period / US).unwrap())),
            });
            offsets.push(rng.between(0, period));
        }
        drafts.push(TaskDraft {
            name: RARE.to_owned(),
            segments: vec![Nanos(rng.between(10, 16) * MS)],
            arrival: Nanos(10_000 * MS).into(),
            deadline: Some(Nanos(10_000 * MS)),
            jitter: Nanos(100 * US),
            priority: Some(Priority(u32::MAX)),
        });
        let overheads = Overheads {
            release: Nanos(20 * US),
            dispatch: Nanos(60 * US),
            completion: Nanos(60 * US),
            copy: Nanos(120 * US),
            ..Overheads::default()
        };
        let set = TaskSet::new(policy, overheads, drafts).unwrap();
        Self { queues: vec![4; regular + 1], set, offsets, regular, seed }
    }

    /// Numbers for one thing of one job: the same with and without an injection.
    fn rng(&self, task: usize, arrival: u64, what: u64) -> Rng {
        Rng::new(self.seed ^ (task as u64 + 1) << 56 ^ (what + 1) << 48 ^ arrival)
    }

    /// When the regular jobs of a task arrive.
    fn arrivals(&self, task: usize) -> Vec<u64> {
        if task == self.regular {
            return Vec::new();
        }
        let law = &self.set.tasks()[task].arrival;
        let (at_once, period) = (law.arrivals_within(1), law.distance(law.arrivals_within(1)));
        let mut all = Vec::new();
        let mut at = self.offsets[task];
        while at < HORIZON {
            all.extend((0..at_once).map(|k| at + k));
            at += period + if self.rng(task, at, 0).one_in(3) { period / 7 } else { 0 };
        }
        all
    }

    pub fn run(&self, injected: Option<Injected>) -> Ran {
        let is = |kind: Kind| injected.filter(|injected| injected.kind == kind);
        // By told instant, task, arrival; whether it is an extra one.
        let mut coming: Vec<(u64, usize, u64, bool)> = Vec::new();
        let mut targets = BTreeMap::new();
        for task in 0..=self.regular {
            let mut latest = 0;
            let arrivals = self.arrivals(task);
            let mut all: Vec<(u64, bool)> = arrivals.iter().map(|at| (*at, false)).collect();
            if let Some(at) = arrivals.get(usize::try_from(injected.map_or(0, |i| i.nth)).unwrap()) {
                targets.insert(task, *at);
            }
            if let Some(burst) = is(Kind::Burst).filter(|burst| burst.task == task) {
                let wcet = self.set.tasks()[task].wcet().0;
                let extra = burst.size.div_ceil(wcet).clamp(2, 3);
                all.extend((1..=extra).map(|k| (targets[&task] + k * 10 * US, true)));
            }
            if is(Kind::ExtraBlocking).is_some() && task == self.regular {
                let before = targets[&injected.unwrap().task] - 50 * US;
                all.push((before, false));
            }
            all.sort_unstable();
            for (arrival, extra) in all {
                let mut delay = self.rng(task, arrival, 1).between(1, 80) * US;
                if let Some(late) = is(Kind::ReleaseJitter).filter(|late| late.task == task)
                    && arrival == targets[&task]
                {
                    delay += late.size;
                }
                latest = (arrival + delay).max(latest);
                coming.push((latest, task, arrival, extra));
            }
        }
        coming.sort_unstable();
        let clock = is(Kind::ClockChange).map(|slow| {
            let from = targets[&slow.task];
            (from, from + 6 * slow.size)
        });
        let queues: Vec<u32> = match is(Kind::QueueOverflow) {
            Some(full) => (0..=self.regular).map(|task| if task == full.task { 1 } else { 4 }).collect(),
            None => self.queues.clone(),
        };
        let mut machine = Machine {
            world: self,
            injected: injected.map(|i| (i, targets.get(&i.task).copied().unwrap_or(0))),
            clock,
            ran: Ran { records: Default::default(), responses: BTreeMap::new(), names: BTreeMap::new() },
        };
        if let Some((from, to)) = clock {
            for (at, from_khz, to_khz) in [(from, 1_800_000, 900_000), (to, 900_000, 1_800_000)] {
                let body =
                    Body::ClockChanged { from_khz, to_khz, limits: ClockLimits { power: true, heat: false } };
                machine.ran.records[2].push(Record { at: Nanos(at), body });
            }
        }
        machine.play(&queues, &coming);
        machine.ran
    }

    pub fn header(&self, queues: Vec<u32>) -> Header {
        Header {
            created_unix_ns: 0,
            clock: "simulated".to_owned(),
            program: "campaign".to_owned(),
            spec_digest: String::new(),
            seed: Some(self.seed),
            set: self.set.clone(),
            queues,
            models: vec![],
            host: "simulation".to_owned(),
        }
    }
}

struct Machine<'w> {
    world: &'w World,
    /// With the arrival of the job that it is for.
    injected: Option<(Injected, u64)>,
    /// From when to when the clock runs at half its rate.
    clock: Option<(u64, u64)>,
    ran: Ran,
}

impl Machine<'_> {
    fn play(&mut self, queues: &[u32], coming: &[(u64, usize, u64, bool)]) {
        let mut state = State::new(&self.world.set, queues);
        let mut coming = coming.iter().peekable();
        let mut seqs = vec![0u64; self.world.regular + 1];
        let mut arrivals: BTreeMap<JobId, (u64, bool)> = BTreeMap::new();
        let mut running: Option<(u64, JobId, Outcome)> = None;
        loop {
            let next = coming.peek().map(|(told, ..)| *told);
            let Some(now) = next.into_iter().chain(running.map(|(told, ..)| told)).min() else { return };
            if let Some((_, job, outcome)) = running.take_if(|(told, ..)| *told == now) {
                let action = self.tell(&mut state, now, Event::Finish { job, outcome });
                let (arrival, extra) = arrivals[&job];
                if action == Action::Retire && !extra && outcome == Outcome::Completed {
                    self.ran.responses.insert((job.task.index(), arrival), Some(now - arrival));
                }
            }
            while let Some(&(_, task, arrival, extra)) = coming.next_if(|(told, ..)| *told == now) {
                let job = JobId { task: TaskId::from(task), seq: seqs[task] };
                seqs[task] += 1;
                arrivals.insert(job, (arrival, extra));
                self.tell(&mut state, now, Event::Release { job, arrival: Nanos(arrival) });
                if !extra {
                    self.ran.names.insert((task, arrival), job);
                    self.ran.responses.insert((task, arrival), None);
                }
            }
            if let Action::Start { job, segment } = self.tell(&mut state, now, Event::Dispatch) {
                running = Some(self.hold(now, job, segment, arrivals[&job].0));
            }
        }
    }

    fn tell(&mut self, state: &mut State, now: u64, event: Event) -> Action {
        let decision = step(state, Nanos(now), event);
        self.ran.records[0].push(Record { at: Nanos(now), body: Body::Step { event, decision } });
        decision.action
    }

    /// A segment from its choice until the scheduler is told of its end.
    fn hold(&mut self, chosen: u64, job: JobId, segment: u16, arrival: u64) -> (u64, JobId, Outcome) {
        let task = job.task.index();
        let hit = |kind: Kind| {
            let (injected, target) = self.injected?;
            let this = injected.kind == kind && injected.task == task && target == arrival && segment == 0;
            this.then_some(injected.size)
        };
        let mut rng = self.world.rng(task, arrival, 2 + u64::from(segment));
        let wcet = self.world.set.tasks()[task].segments[usize::from(segment)].0;
        let rare = task == self.world.regular;
        let started = chosen + rng.between(5, 50) * US + hit(Kind::DispatchDelay).unwrap_or(0);
        let (inputs, outputs) = (rng.between(10, 50) * US, rng.between(10, 50) * US);
        let inputs = inputs + hit(Kind::SlowCopy).unwrap_or(0);
        let contended = rng.between(0, 20) * US + hit(Kind::Contention).unwrap_or(0);
        let mut pure = if rare { wcet * 9 / 10 } else { rng.between(wcet * 7 / 10, wcet * 9 / 10) };
        if let Some(size) = hit(Kind::LongExecution) {
            pure = wcet + size;
        }
        let computing = started + inputs;
        let ended = self.slowed(computing, pure) + contended + outputs;
        let outcome = match hit(Kind::FaultAndRecovery) {
            Some(_) => Outcome::Faulted,
            None => Outcome::Completed,
        };
        let at = |at: u64, body| Record { at: Nanos(at), body };
        let worker = &mut self.ran.records[1];
        worker.push(at(started, Body::Started { job, segment }));
        worker.push(at(ended, Body::Ended { job, segment, outcome }));
        let mut told = ended + rng.between(5, 50) * US;
        let of = |kind: Kind| {
            self.injected.filter(|(i, target)| i.kind == kind && i.task == task && *target == arrival)
        };
        if let Some((injected, _)) = of(Kind::FaultAndRecovery).filter(|_| outcome == Outcome::Faulted) {
            let fault = Fault { blame: Blame::Backend, code: FaultCode::Panicked, usable: Usable::Model };
            worker.push(at(ended, Body::Fault { task: job.task, job: Some(job), fault }));
            let to = ended + 5 * US + injected.size;
            worker.push(at(ended + 5 * US, Body::Recovering { job }));
            worker.push(at(to, Body::Recovered { job, usable: true }));
            told += 5 * US + injected.size;
        }
        if let Some((injected, _)) = of(Kind::CompletionDelay).filter(|_| segment == 0) {
            told += injected.size;
        }
        for (direction, took) in [(Direction::In, inputs), (Direction::Out, outputs)] {
            worker.push(at(ended, Body::Copied { job, segment, direction, took: Nanos(took) }));
        }
        worker.push(at(ended, Body::Contended { job, segment, waited: Nanos(contended) }));
        (told, job, outcome)
    }

    /// When `work` is done that begins at `from`: at half the speed while the clock is low.
    fn slowed(&self, from: u64, work: u64) -> u64 {
        let Some((low, high)) = self.clock else { return from + work };
        let before = low.saturating_sub(from).min(work);
        let (mut at, mut left) = (from + before, work - before);
        if at >= low && at < high {
            let here = ((high - at) / 2).min(left);
            (at, left) = (at + 2 * here, left - here);
        }
        at + left
    }
}
