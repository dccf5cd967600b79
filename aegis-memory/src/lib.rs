//! Where every buffer goes: lifetimes in, one offset per buffer out, with a lower bound and a check that stand alone.
//!
//! A [`Problem`] is a list of [`Buffer`]s with their [`Lifetime`]s. [`lower_bound`] says how much memory no plan can do
//! without, and names the buffers that prove it. [`plan`] looks for offsets that need no more. [`validate`] checks any
//! offsets by comparing every pair, and shares no code with the planner. [`plan_system`] applies them to the models of
//! one partition, whose jobs run one at a time.
//!
//! ```
//! use aegis_core::Bytes;
//! use aegis_memory::{Options, csv, lower_bound, plan, validate};
//!
//! let problem = csv::parse("id,lower,upper,size\na,0,2,6\nb,1,4,2\nc,3,5,6\n", None)?;
//! let plan = plan(&problem, &Options::default())?;
//! assert_eq!((plan.peak, plan.optimal), (Bytes(8), true));
//! assert_eq!(lower_bound(&problem).live, ["a", "b"]);
//! validate(&problem, &plan.offsets)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **What is not here.** No device memory is taken, no clock is read, nothing is random: the same problem gives the same
//! plan on every machine, in whatever order its buffers are listed. Effort is limited by counted steps, never by time.
#![forbid(unsafe_code)]

mod bound;
pub mod csv;
mod greedy;
mod index;
mod instance;
mod plan;
mod problem;
mod search;
mod sweep;
mod system;
mod validate;

pub use bound::{Bound, lower_bound};
pub use greedy::{Fit, Order};
pub use plan::{Method, Options, Plan, PlanError, plan};
pub use problem::{Buffer, Interval, Lifetime, LifetimeError, Problem, ProblemError};
pub use search::Rank;
pub use system::{
    Exclusion, ModelMemory, ModelScratch, Region, RegionKind, Saving, StepLife, SystemError, SystemPlan,
    plan_system,
};
pub use validate::{Invalid, validate};
