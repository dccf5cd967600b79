//! Profiles, the pure scheduler, the dispatcher and the simulator.
//!
//! The centre is [`step`], a pure function from (state, now, event) to a decision with its reason. The [`simulator`]
//! feeds it virtual time, the [`dispatcher`] feeds it real events and carries its decisions out, [`replay`] feeds it a
//! recorded run and compares. `aegis_analysis::admit` proves beforehand what all of them may then rely on.
#![forbid(unsafe_code)]

pub mod counterfactual;
pub mod digest;
pub mod dispatcher;
pub mod divergence;
pub mod pattern;
pub mod profile;
pub mod replay;
mod scheduler;
pub mod simulator;
pub mod workload;

pub use scheduler::{State, View, Waiting, step};
