//! A whole system as its user states it: device, policy, tasks with their models and budgets; valid by construction.
use crate::{Bytes, Nanos, Overheads, Policy, Priority, TaskDraft, TaskSet, TaskSetError};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// How fixed priorities are given to tasks that state none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PriorityOrder {
    /// The shorter the deadline, the more urgent (ties by period, then order in the file).
    #[default]
    DeadlineMonotonic,
    /// The shorter the period, the more urgent (ties by deadline, then order in the file).
    RateMonotonic,
}

/// Which device executes the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceKind {
    /// The host's processor.
    #[default]
    Cpu,
    /// The CUDA device of that position; models of backends that only know the host still run there.
    Cuda(u32),
}

/// `cpu`, `cuda:0`
impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

/// A text that names no kind of device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no device; write cpu, cuda, or cuda:1 for the second CUDA device")]
pub struct NoDeviceKind(pub String);

impl FromStr for DeviceKind {
    type Err = NoDeviceKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no = || NoDeviceKind(text.into());
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", ordinal)) if ordinal.bytes().all(|b| b.is_ascii_digit()) => {
                ordinal.parse().map(Self::Cuda).map_err(|_| no())
            }
            _ => Err(no()),
        }
    }
}

/// What the device offers to all models together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceSpec {
    /// Which one.
    pub kind: DeviceKind,
    /// Whether a thread that waits for the device polls it and burns a core, to notice completions sooner.
    pub spin: bool,
    /// Whether an operator that the device's runtime does not have may run on the host instead.
    pub cpu_fallback: bool,
    /// Memory that all models together may hold; unlimited when absent.
    pub memory: Option<Bytes>,
    /// Threads that a CPU backend may use for one job; the backend's choice when absent.
    pub threads: Option<u32>,
    /// Path of the ONNX Runtime library, where the backend `ort` is used and should not search for it.
    pub ort_library: Option<String>,
    /// Path of the TensorRT library, where the backend `trt` is used and should not search for it.
    pub trt_library: Option<String>,
}

/// What a measured WCET must claim: with `confidence`, at most a fraction `exceedance` of future jobs takes longer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProfileSpec {
    /// The fraction of jobs that may exceed the bound, in (0, 1).
    pub exceedance: f64,
    /// The confidence of that claim, in (0, 1).
    pub confidence: f64,
    /// Measured executions per model; the least number that supports the claim when absent.
    pub runs: Option<u64>,
    /// Executions before the first measured one.
    pub warm_up: u64,
    /// Added to the measured bound before it is used as WCET, in percent of it.
    pub margin_percent: u32,
}

impl Default for ProfileSpec {
    fn default() -> Self {
        Self { exceedance: 1e-2, confidence: 0.95, runs: None, warm_up: 5, margin_percent: 0 }
    }
}

/// What one model may hold and take. A limit that is absent is not enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Device memory.
    pub device_memory: Option<Bytes>,
    /// Host memory.
    pub host_memory: Option<Bytes>,
    /// Streams.
    pub streams: Option<u32>,
    /// Compute time per job. Admission charges exactly this; a job that takes more is reported as a fault of its model.
    pub compute: Option<Nanos>,
}

/// One task: a model and how often it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// Unique name.
    pub name: String,
    /// Path of the model's file, or the text of a simulated model.
    pub model: String,
    /// True when `model` is the text itself and not a path.
    pub model_is_text: bool,
    /// Name of the backend that executes it.
    pub backend: String,
    /// Period or minimum inter-arrival time.
    pub period: Nanos,
    /// True when `period` is only a minimum: arrivals may come later than that.
    pub sporadic: bool,
    /// First arrival after the start. Admission uses it only where its answer for every offset is no, and then only of
    /// tasks that are not sporadic.
    pub offset: Nanos,
    /// Release jitter.
    pub jitter: Nanos,
    /// Relative deadline; the period when absent.
    pub deadline: Option<Nanos>,
    /// Fixed priority, smaller is more urgent.
    pub priority: Option<Priority>,
    /// Stated WCET. When absent it is measured.
    pub wcet: Option<Nanos>,
    /// What the model may hold and take.
    pub budget: Budget,
    /// Unfinished jobs that may wait at a time; a release above that is refused, recorded and counted as a miss.
    pub queue: u32,
}

/// A system; its fields were checked when it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemSpec {
    device: DeviceSpec,
    policy: Policy,
    overheads: Overheads,
    profile: ProfileSpec,
    tasks: Vec<TaskSpec>,
}

/// Why a system is not valid. `index` is the position of the task in the file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A task's times, names or priorities are not valid.
    #[error(transparent)]
    Tasks(#[from] TaskSetError),
    /// The stated WCET cannot fit the budget.
    #[error("task `{task}`: wcet {wcet} is longer than its compute budget {budget}; raise the budget")]
    WcetAboveBudget {
        /// Position of the task.
        index: usize,
        /// Its name.
        task: String,
        /// The stated WCET.
        wcet: Nanos,
        /// The stated budget.
        budget: Nanos,
    },
    /// A queue that holds nothing.
    #[error("task `{task}`: queue is 0; it must hold at least 1 job")]
    EmptyQueue {
        /// Position of the task.
        index: usize,
        /// Its name.
        task: String,
    },
    /// A probability outside (0, 1).
    #[error("{field} is {value}; it must be above 0 and below 1")]
    NotAProbability {
        /// Which field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
}

impl SystemSpec {
    /// Checks and completes a system; with [`PriorityOrder::RateMonotonic`] priorities are assigned by period where no
    /// task states one.
    ///
    /// # Errors
    /// The first [`SpecError`] in the order of the tasks.
    pub fn new(
        device: DeviceSpec,
        policy: Policy,
        order: PriorityOrder,
        overheads: Overheads,
        profile: ProfileSpec,
        mut tasks: Vec<TaskSpec>,
    ) -> Result<Self, SpecError> {
        for (field, value) in [("exceedance", profile.exceedance), ("confidence", profile.confidence)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(SpecError::NotAProbability { field, value });
            }
        }
        for (index, task) in tasks.iter().enumerate() {
            if let (Some(wcet), Some(budget)) = (task.wcet, task.budget.compute)
                && wcet > budget
            {
                return Err(SpecError::WcetAboveBudget { index, task: task.name.clone(), wcet, budget });
            }
            if task.queue == 0 {
                return Err(SpecError::EmptyQueue { index, task: task.name.clone() });
            }
        }
        if order == PriorityOrder::RateMonotonic && tasks.iter().all(|t| t.priority.is_none()) {
            let mut by_period: Vec<usize> = (0..tasks.len()).collect();
            by_period.sort_by_key(|&i| (tasks[i].period, tasks[i].deadline.unwrap_or(tasks[i].period), i));
            for (priority, i) in (0..).zip(by_period) {
                tasks[i].priority = Some(Priority(priority));
            }
        }
        let spec = Self { device, policy, overheads, profile, tasks };
        // Every WCET that is not known yet is checked as 1 ns here and again with its measured value.
        spec.task_set(|_, task| task.budget.compute.or(task.wcet).unwrap_or(Nanos(1)))?;
        Ok(spec)
    }

    /// The task set for analysis and scheduling, with the WCET of each task as `wcet` gives it.
    ///
    /// # Errors
    /// [`TaskSetError`] if a WCET is zero or does not fit.
    pub fn task_set(&self, wcet: impl Fn(usize, &TaskSpec) -> Nanos) -> Result<TaskSet, TaskSetError> {
        let drafts = self.tasks.iter().enumerate().map(|(i, task)| TaskDraft {
            name: task.name.clone(),
            segments: alloc::vec![wcet(i, task)],
            arrival: task.period.into(),
            deadline: task.deadline,
            jitter: task.jitter,
            priority: task.priority,
        });
        TaskSet::new(self.policy, self.overheads, drafts.collect())
    }

    /// What the device offers.
    #[must_use]
    pub const fn device(&self) -> &DeviceSpec {
        &self.device
    }

    /// The policy of its one partition.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// The platform's delays.
    #[must_use]
    pub const fn overheads(&self) -> Overheads {
        self.overheads
    }

    /// What measured WCETs must claim.
    #[must_use]
    pub const fn profile(&self) -> &ProfileSpec {
        &self.profile
    }

    /// The tasks, in the order of the file.
    #[must_use]
    pub fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    /// The same system on another device.
    #[must_use]
    pub fn with_device(mut self, kind: DeviceKind) -> Self {
        self.device.kind = kind;
        self
    }

    /// The same system under another policy.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceKind;
    use alloc::string::ToString;

    #[test]
    fn device_kinds() {
        for (text, kind) in [
            ("cpu", Some(DeviceKind::Cpu)),
            ("cuda", Some(DeviceKind::Cuda(0))),
            ("cuda:0", Some(DeviceKind::Cuda(0))),
            ("cuda:12", Some(DeviceKind::Cuda(12))),
            ("", None),
            ("cuda:", None),
            ("cuda:-1", None),
            ("cuda:+1", None),
            ("cuda:99999999999", None),
            ("cpu:0", None),
            ("gpu", None),
        ] {
            assert_eq!(text.parse().ok(), kind, "{text}");
        }
        assert_eq!(DeviceKind::Cuda(3).to_string().parse(), Ok(DeviceKind::Cuda(3)));
    }
}
