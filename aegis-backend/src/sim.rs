//! The simulated backend: models are small TOML files that say how long an execution takes and how it goes wrong.
//!
//! It stands in for a device wherever the machinery around a runtime is tested or shown, and obeys the same contract as
//! the real ones. An execution really takes its time on the calling thread unless another way to wait is given. Times
//! come from [`aegis_core::Rng`], seeded by the backend's seed and the model's digest: the same file under the same seed
//! takes the same times in each session, on every machine. Outputs are a function of the inputs, so that a mixed-up
//! buffer shows.
//!
//! ```
//! use aegis_backend::{Artifact, Binding, Limits, RuntimeBackend, sim::SimBackend};
//! let camera = r#"
//!     place = "host"                     # or "device": tensors in the device's memory
//!     weights = "10 MiB"                 # like everything here, optional: none when absent
//!     scratch = "4 MiB"
//!     segments = 2                       # each takes its own time
//!     inputs = [{ name = "image", dtype = "f32", shape = ["batch", 3, 8, 8] }]
//!     outputs = [{ name = "boxes", dtype = "f32", shape = [10, 4] }]
//!
//!     [time]                             # of one segment; without it, no time passes
//!     law = "bimodal"                    # constant { value }, uniform { low, high },
//!     usual = "2 ms"                     # normal { mean, deviation, cap }, cycle { values }
//!     rare = "9 ms"
//!     one_in = 50
//!
//!     [faults]                           # of the n-th, 2n-th, ... segment of each session
//!     fail_every = 100
//!     overrun_every = 40
//!     overrun_factor = 3
//!     panic_every = 5000
//!     hang_after = 90000                 # from here on, a segment never returns
//!     device_lost_after = 100000         # from here on, no session of this backend works
//! "#;
//! let artifact = Artifact::from_bytes("camera.toml", camera.into());
//! let model = SimBackend::new(1).load(&artifact, &Limits::default())?;
//! assert_eq!(model.facts().segments, 2);
//! let session = model.open(&Binding::default())?;
//! # Ok::<(), aegis_backend::BackendError>(())
//! ```
mod device;
mod faults;
mod file;
mod law;

use crate::tensor::fill_random;
use crate::{
    Artifact, BackendError, Binding, HostSession, Io, Limits, Model, ModelFacts, Place, RuntimeBackend,
    SegmentIndex, Session, TensorRef,
};
use aegis_core::{Blame, Fault, FaultCode, Nanos, Rng, Usable};
use faults::{Faults, Mishap};
use law::Law;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The backend `sim`.
pub struct SimBackend {
    seed: u64,
    device: Arc<Device>,
}

/// What all models of one backend share.
struct Device {
    wait: Box<dyn Fn(Nanos) + Send + Sync>,
    lost: AtomicBool,
}

impl SimBackend {
    /// Executions take their time on the calling thread.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_wait(seed, wait_exactly)
    }

    /// Executions return at once.
    #[must_use]
    pub fn without_waiting(seed: u64) -> Self {
        Self::with_wait(seed, |_| {})
    }

    /// Executions call `wait` with the time that they take: to record it, or to move a clock of one's own.
    #[must_use]
    pub fn with_wait(seed: u64, wait: impl Fn(Nanos) + Send + Sync + 'static) -> Self {
        Self { seed, device: Arc::new(Device { wait: Box::new(wait), lost: AtomicBool::new(false) }) }
    }

    /// The seed, to print: with it the same run can be had again.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }
}

impl fmt::Debug for SimBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBackend").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// Sleeps, then spins for the last 100 µs, because a sleeping thread wakes late.
fn wait_exactly(time: Nanos) {
    const SPIN: Duration = Duration::from_micros(100);
    let start = Instant::now();
    let time = time.to_std();
    if let Some(asleep) = time.checked_sub(SPIN) {
        std::thread::sleep(asleep);
    }
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

impl RuntimeBackend for SimBackend {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn version(&self) -> String {
        format!("sim {}, seed {}", env!("CARGO_PKG_VERSION"), self.seed)
    }

    fn load(&self, artifact: &Artifact, _: &Limits) -> Result<Box<dyn Model>, BackendError> {
        let file = file::read(artifact)?;
        let [a, b, c, d, e, f, g, h, ..] = artifact.digest().0;
        let seed = Rng::new(self.seed).bits() ^ u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let plan = Plan { facts: file.facts, time: file.time, faults: file.faults, seed };
        Ok(Box::new(SimModel { plan: Arc::new(plan), device: Arc::clone(&self.device) }))
    }
}

/// What a model file says, and the seed of its times.
struct Plan {
    facts: ModelFacts,
    time: Law,
    faults: Faults,
    seed: u64,
}

struct SimModel {
    plan: Arc<Plan>,
    device: Arc<Device>,
}

impl Model for SimModel {
    fn facts(&self) -> &ModelFacts {
        &self.plan.facts
    }

    fn open(&self, binding: &Binding) -> Result<Session, BackendError> {
        let session = SimSession {
            plan: Arc::clone(&self.plan),
            device: Arc::clone(&self.device),
            rng: Rng::new(self.plan.seed),
            executed: 0,
        };
        Ok(match self.plan.facts.place {
            Place::Host => Session::Host(Box::new(session)),
            Place::Device => {
                let bound = binding.device_for(&self.plan.facts)?;
                Session::Device(Box::new(device::SimDeviceSession::new(session, bound)?))
            }
        })
    }
}

struct SimSession {
    plan: Arc<Plan>,
    device: Arc<Device>,
    rng: Rng,
    executed: u64,
}

impl HostSession for SimSession {
    fn run(&mut self, segment: SegmentIndex, io: Io<'_, '_>) -> Result<(), BackendError> {
        let facts = &self.plan.facts;
        if segment >= facts.segments {
            return Err(BackendError::NoSuchSegment { segment, segments: facts.segments });
        }
        io.check(facts)?;
        if self.device.lost.load(Ordering::Acquire) {
            return Err(device_lost());
        }
        let mut time = self.plan.time.sample(&mut self.rng, self.executed);
        self.executed += 1;
        let mishap = self.plan.faults.at(self.executed);
        match mishap {
            Some(Mishap::DeviceLost) => {
                self.device.lost.store(true, Ordering::Release);
                return Err(device_lost());
            }
            Some(Mishap::Hang) => loop {
                std::thread::park();
            },
            Some(Mishap::Overrun { factor }) => time = Nanos(time.0.saturating_mul(factor)),
            Some(Mishap::Panic | Mishap::Fail) | None => {}
        }
        if segment + 1 == facts.segments {
            let mut values = Rng::new(checksum(self.plan.seed, io.inputs));
            for output in io.outputs.iter_mut() {
                fill_random(output.dtype, output.data, &mut values);
            }
        }
        (self.device.wait)(time);
        match mishap {
            Some(Mishap::Panic) => panic!("simulated panic in execution {}", self.executed),
            Some(Mishap::Fail) => Err(BackendError::Execution {
                why: format!("simulated failure of execution {}", self.executed),
                fault: Fault {
                    blame: Blame::Backend,
                    code: FaultCode::ExecutionFailed,
                    usable: Usable::Session,
                },
            }),
            _ => Ok(()),
        }
    }
}

fn device_lost() -> BackendError {
    BackendError::Execution {
        why: "the simulated device is lost".to_owned(),
        fault: Fault { blame: Blame::Device, code: FaultCode::DeviceLost, usable: Usable::Nothing },
    }
}

/// Mixes the inputs' bytes and their shapes into one number.
fn checksum(seed: u64, inputs: &[TensorRef<'_>]) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    inputs.iter().fold(seed, |sum, input| {
        let sum = input.shape.iter().fold(sum, |sum, extent| mix(sum, *extent));
        let (words, rest) = input.data.as_chunks::<8>();
        let sum = words.iter().fold(sum, |sum, word| mix(sum, u64::from_le_bytes(*word)));
        rest.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
    })
}
