//! Profiles, analyses, admission, the pure scheduler, the dispatcher and the simulator.
#![forbid(unsafe_code)]

pub mod analysis;
