//! The commands, one file each. Every command returns its exit code, or the error that has one.
pub(crate) mod admit;
pub(crate) mod admit_jobs;
mod admit_table;
pub(crate) mod audit;
pub(crate) mod blame;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod plan;
pub(crate) mod profile;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod simulate;
pub(crate) mod trace;
mod trace_export;
mod trace_metrics;
mod trace_query;
mod trace_verify;
pub(crate) mod trust;
pub(crate) mod verify_certificate;
pub(crate) mod what_if;
mod worst_schedule;

/// A deadline was missed, or the system is not admitted.
pub(crate) const NOT_ADMITTED: u8 = 3;
/// Something ran and failed.
pub(crate) const FAILED: u8 = 1;
