//! Admission of one task after another: the same answers as from scratch, from what is already known.
//!
//! A set that is admitted stays so when a task leaves: less work never makes a job late in these models. When one
//! comes, only what it can delay is looked at again:
//! - FIFO: ΣC against the smallest deadline, which are kept;
//! - fixed priorities: tasks of its priority and below, and those above that it blocks for longer than any did before;
//! - EDF: deadlines from its own first one on, and earlier ones that it blocks for longer than any did before.
//!
//! An [`Admission`] is a value: a scheduler can go on with one while a clone of it is asked, and take the clone when it
//! answers. After [`Admission::reserve`] nothing is allocated while tasks come and go, except where ΣC/T cannot be told
//! from 1 in 63 bits, and for arrival curves, stalls and times above 2^60 ns, which the general analyses answer.
use crate::quick::entry::{Entry, Rank, Sums};
use crate::quick::{self, Changed, Line, QuickVerdict};
use crate::utilisation;
use aegis_core::{
    Decided, Nanos, Overheads, Policy, Priority, PriorityOrder, Rejection, Task, TaskDraft, TaskId, TaskSet,
    TaskSetError,
};
use core::cmp::Ordering;

/// The tasks of one partition, all of them certain to meet their deadlines.
///
/// ```
/// use aegis_analysis::Admission;
/// use aegis_core::{Nanos, Overheads, Policy, Priority, Task};
/// let task = |name: &str, wcet, period| Task {
///     name: name.into(),
///     segments: vec![Nanos::from_millis(wcet)],
///     arrival: Nanos::from_millis(period).into(),
///     deadline: Nanos::from_millis(period),
///     jitter: Nanos::ZERO,
///     priority: Priority::default(),
/// };
/// let mut admission = Admission::new(Policy::Edf, Overheads::default(), None);
/// let camera = admission.try_add(task("camera", 12, 33)).unwrap().task;
/// let why = admission.try_add(task("planner", 40, 500)).unwrap_err();
/// assert_eq!(
///     admission.sentence(&why, "planner"),
///     "12 ms of work are due within 33 ms, after 39.999999 ms of planner, which cannot be preempted"
/// );
/// assert!(admission.remove(camera).is_some());
/// assert!(admission.try_add(task("planner", 40, 500)).is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct Admission {
    policy: Policy,
    overheads: Overheads,
    order: Option<PriorityOrder>,
    /// A task stands at its identifier.
    slots: Vec<Option<Slot>>,
    sums: Sums,
    /// Tasks that only the general analyses take.
    general: usize,
    /// The others in order; `None` while the general analyses answer.
    line: Option<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    task: Task,
    entry: Option<Entry>,
}

/// A task is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// What it is called from now on.
    pub task: TaskId,
    /// Which test decided.
    pub by: Decided,
}

/// Why a task is not taken in, or not changed; the set is as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is no valid task, or its name is taken; its position is the identifier it would have.
    #[error(transparent)]
    Invalid(#[from] TaskSetError),
    /// There is no task of that identifier.
    #[error("there is no task {}", task.0)]
    Unknown {
        /// The identifier.
        task: TaskId,
    },
    /// With it, some job can miss its deadline.
    #[error("{}", witness.sentence_with(|_| None))]
    Rejected {
        /// What it would be called.
        task: TaskId,
        /// Which test decided.
        by: Decided,
        /// The reason found first.
        witness: Rejection,
    },
}

/// The same tasks under the same identifiers, on the same platform.
impl PartialEq for Admission {
    fn eq(&self, other: &Self) -> bool {
        (self.policy, self.overheads, self.order) == (other.policy, other.overheads, other.order)
            && self.slots == other.slots
    }
}

impl Eq for Admission {}

impl Admission {
    /// No task yet. Under fixed priorities, tasks have the priorities that they state, or follow `order`.
    #[must_use]
    pub fn new(policy: Policy, overheads: Overheads, order: Option<PriorityOrder>) -> Self {
        let sums = Sums::default();
        let line = (!quick::stands_still(&overheads)).then(|| Line::new(policy, Vec::new(), &sums));
        Self { policy, overheads, order, slots: Vec::new(), sums, general: 0, line }
    }

    /// All tasks of `set` at once, with their identifiers and priorities.
    ///
    /// # Errors
    /// [`Refusal::Rejected`] with the last task if `set` is not admitted.
    pub fn of(set: &TaskSet) -> Result<Self, Refusal> {
        if let QuickVerdict::Rejected { by, witness } = quick::decide(set) {
            return Err(Refusal::Rejected { task: TaskId::from(set.tasks().len() - 1), by, witness });
        }
        let mut all = Self::new(set.policy(), set.overheads(), None);
        for (i, task) in set.tasks().iter().enumerate() {
            let entry = all.entry(TaskId::from(i), task);
            all.count(entry.as_ref());
            all.slots.push(Some(Slot { task: task.clone(), entry }));
        }
        all.line = None;
        all.line_up();
        if let Some(line @ Line::FixedPriority(_)) = &mut all.line {
            // For the points that it keeps; the answer is known.
            let _ = line.test(Changed::All, &all.sums);
        }
        Ok(all)
    }

    /// Makes room for that many more tasks.
    pub fn reserve(&mut self, tasks: usize) {
        self.slots.reserve(tasks);
        if let Some(line) = &mut self.line {
            line.reserve(tasks);
        }
    }

    /// The task of that identifier.
    #[must_use]
    pub fn get(&self, task: TaskId) -> Option<&Task> {
        self.slots.get(task.index())?.as_ref().map(|slot| &slot.task)
    }

    /// All tasks, in the order of their identifiers.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(i, slot)| slot.as_ref().map(|slot| (TaskId::from(i), &slot.task)))
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Whether there is no task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// The tasks as a set, in the order of their identifiers, without the gaps; `None` if there is none.
    #[must_use]
    pub fn set(&self) -> Option<TaskSet> {
        self.set_with(None)
    }

    /// Takes in a task if all tasks then meet all deadlines.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed.
    pub fn try_add(&mut self, task: Task) -> Result<Accepted, Refusal> {
        let free = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        let id = TaskId::from(free);
        self.check(id, &task)?;
        let by = self.put(id, task)?;
        Ok(Accepted { task: id, by })
    }

    /// Puts another task in the place of one, under the same identifier, if all tasks then meet all deadlines.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed.
    pub fn change(&mut self, id: TaskId, task: Task) -> Result<Accepted, Refusal> {
        self.get(id).ok_or(Refusal::Unknown { task: id })?;
        self.check(id, &task)?;
        let Some(before) = self.take(id) else { return Err(Refusal::Unknown { task: id }) };
        match self.put(id, task) {
            Ok(by) => Ok(Accepted { task: id, by }),
            Err(refusal) => {
                self.place(id, before);
                Err(refusal)
            }
        }
    }

    /// Lets a task go, and returns it; `None` if there is none of that identifier, which may be given again.
    pub fn remove(&mut self, id: TaskId) -> Option<Task> {
        self.take(id).map(|slot| slot.task)
    }

    /// The reason for a person; `candidate` names the task that was refused.
    #[must_use]
    pub fn sentence(&self, refusal: &Refusal, candidate: &str) -> String {
        match refusal {
            Refusal::Rejected { task, witness, .. } => witness.sentence_with(|id| {
                if id == *task { Some(candidate) } else { self.get(id).map(|task| task.name.as_str()) }
            }),
            Refusal::Invalid(_) | Refusal::Unknown { .. } => refusal.to_string(),
        }
    }

    /// What [`TaskSet::new`] would say of it; `id` is free or the task that it replaces.
    fn check(&self, id: TaskId, task: &Task) -> Result<(), TaskSetError> {
        const LONGEST: Nanos = Nanos(1 << 62);
        let (index, name) = (id.index(), || task.name.clone());
        if index >= usize::from(u16::MAX) {
            return Err(TaskSetError::TooMany { n: index + 1 });
        }
        if task.name.is_empty() {
            return Err(TaskSetError::EmptyName { index });
        }
        if self.tasks().any(|(other, known)| other != id && known.name == task.name) {
            return Err(TaskSetError::DuplicateName { index, task: name() });
        }
        if task.segments.is_empty() {
            return Err(TaskSetError::NoSegments { index, task: name() });
        }
        let period = task.arrival.rate().1;
        let times = [("period", period), ("deadline", task.deadline)];
        for (field, value) in times.into_iter().chain(task.segments.iter().map(|c| ("WCET", *c))) {
            if value == Nanos::ZERO {
                return Err(TaskSetError::Zero { index, task: name(), field });
            }
        }
        let around = self.overheads.around_segment();
        let wcet = task
            .segments
            .iter()
            .try_fold(self.overheads.copy, |sum, c| sum.checked_add(*c)?.checked_add(around?));
        for (field, value) in [
            ("WCET with overheads", wcet),
            ("jitter with the release overhead", task.jitter.checked_add(self.overheads.release)),
            ("period", Some(period)),
            ("deadline", Some(task.deadline)),
        ] {
            if value.is_none_or(|value| value > LONGEST) {
                return Err(TaskSetError::Overflow { index, task: name(), field });
            }
        }
        Ok(())
    }

    /// Takes in a valid task at a free identifier, if all tasks then meet all deadlines.
    fn put(&mut self, id: TaskId, task: Task) -> Result<Decided, Refusal> {
        let entry = self.entry(id, &task);
        match entry.and_then(|entry| self.put_quickly(id, &task, entry)) {
            Some(QuickVerdict::Admitted { by }) => {
                self.store(id, Slot { task, entry });
                return Ok(by);
            }
            Some(QuickVerdict::Rejected { by, witness }) => {
                return Err(Refusal::Rejected { task: id, by, witness });
            }
            None => {}
        }
        // From scratch, by whatever decides.
        match self.set_with(Some((id, &task))).map(|set| quick::decide(&set)) {
            Some(QuickVerdict::Admitted { by }) => {
                self.place(id, Slot { task, entry });
                Ok(by)
            }
            Some(QuickVerdict::Rejected { by, witness }) => {
                let ids: Vec<TaskId> = self.with(Some((id, &task))).map(|(id, _)| id).collect();
                let witness = witness.renamed(|position| ids[position.index()]);
                Err(Refusal::Rejected { task: id, by, witness })
            }
            None => Err(Refusal::Unknown { task: id }),
        }
    }

    /// The quick verdict with `entry`, which is in the line afterwards if it is admitted; `None` where it is not for
    /// the quick tests to decide.
    fn put_quickly(&mut self, id: TaskId, task: &Task, entry: Entry) -> Option<QuickVerdict> {
        self.line.as_ref()?;
        let mut sums = self.sums;
        sums.add(&entry);
        sums.fits()?;
        let exact = || {
            self.set_with(Some((id, task))).map_or(Ordering::Greater, |set| utilisation::against_one(&set))
        };
        let share = sums.against_one(exact);
        let entries = self.slots.iter().flatten().filter_map(|slot| slot.entry.as_ref());
        if let Some(rejected) = quick::over_utilised(entries.chain([&entry]), share) {
            return Some(rejected);
        }
        let answer = if let Some(late) = quick::too_late(self.policy, [&entry]) {
            Err(late)
        } else {
            let line = self.line.as_mut()?;
            let changed = line.insert(entry, &sums);
            let answer = line.test(changed, &sums);
            if answer.is_err() {
                line.remove(&entry, &self.sums);
            }
            answer
        };
        if let Err(Rejection::Undecided { .. }) = answer {
            return None;
        }
        let verdict = QuickVerdict::of(self.policy, &sums, answer);
        if verdict.admitted() {
            self.sums = sums;
        }
        Some(verdict)
    }

    /// Takes in a task that is known to be admitted.
    fn place(&mut self, id: TaskId, slot: Slot) {
        self.count(slot.entry.as_ref());
        match (&mut self.line, &slot.entry) {
            (Some(line), Some(entry)) if self.sums.fits().is_some() => {
                line.insert(*entry, &self.sums);
            }
            _ => self.line = None,
        }
        self.store(id, slot);
    }

    fn count(&mut self, entry: Option<&Entry>) {
        match entry {
            Some(entry) => self.sums.add(entry),
            None => self.general += 1,
        }
    }

    fn store(&mut self, id: TaskId, slot: Slot) {
        if self.slots.len() <= id.index() {
            self.slots.resize(id.index() + 1, None);
        }
        self.slots[id.index()] = Some(slot);
    }

    fn take(&mut self, id: TaskId) -> Option<Slot> {
        let slot = self.slots.get_mut(id.index())?.take()?;
        while self.slots.pop_if(|slot| slot.is_none()).is_some() {}
        match &slot.entry {
            None => self.general -= 1,
            Some(entry) => {
                self.sums.remove(entry);
                if let Some(line) = &mut self.line {
                    line.remove(entry, &self.sums);
                }
            }
        }
        self.line_up();
        Some(slot)
    }

    /// Goes back to the quick tests when the last task is gone that they do not take.
    fn line_up(&mut self) {
        let quick = self.general == 0 && !quick::stands_still(&self.overheads) && self.sums.fits().is_some();
        if self.line.is_none() && quick {
            let entries = self.slots.iter().flatten().filter_map(|slot| slot.entry).collect();
            self.line = Some(Line::new(self.policy, entries, &self.sums));
        }
    }

    fn entry(&self, id: TaskId, task: &Task) -> Option<Entry> {
        Entry::new(id, task, &self.overheads, self.rank(id, task))
    }

    fn rank(&self, id: TaskId, task: &Task) -> Rank {
        let (deadline, period, id) = (task.deadline.0, task.arrival.mean_distance().0, u64::from(id.0));
        match self.order {
            None => (u64::from(task.priority.0), 0, 0),
            Some(PriorityOrder::DeadlineMonotonic) => (deadline, period, id),
            Some(PriorityOrder::RateMonotonic) => (period, deadline, id),
        }
    }

    /// All tasks in the order of their identifiers, with another at a free one.
    fn with<'a>(&'a self, other: Option<(TaskId, &'a Task)>) -> impl Iterator<Item = (TaskId, &'a Task)> {
        let at = other.map_or(self.slots.len(), |(id, _)| id.index());
        let before = self.tasks().take_while(move |(id, _)| id.index() < at);
        before.chain(other).chain(self.tasks().skip_while(move |(id, _)| id.index() < at))
    }

    fn set_with(&self, other: Option<(TaskId, &Task)>) -> Option<TaskSet> {
        let tasks: Vec<(TaskId, &Task)> = self.with(other).collect();
        let mut ranks: Vec<Rank> = tasks.iter().map(|(id, task)| self.rank(*id, task)).collect();
        ranks.sort_unstable();
        let priority = |id: TaskId, task: &Task| {
            if self.order.is_none() {
                return task.priority;
            }
            let rank = self.rank(id, task);
            Priority(u32::try_from(ranks.partition_point(|other| *other < rank)).unwrap_or(u32::MAX))
        };
        let draft = |&(id, task): &(TaskId, &Task)| TaskDraft {
            name: task.name.clone(),
            segments: task.segments.clone(),
            arrival: task.arrival.clone(),
            deadline: Some(task.deadline),
            jitter: task.jitter,
            priority: Some(priority(id, task)),
        };
        TaskSet::new(self.policy, self.overheads, tasks.iter().map(draft).collect()).ok()
    }
}
