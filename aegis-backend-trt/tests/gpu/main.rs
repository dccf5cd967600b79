//! Plans on a device: what `AEGIS_TRT_PLAN` names, on this machine's GPU; without it the same on stand-ins for the driver
//! and for TensorRT, of every version that the crate was built with.
//!
//! `AEGIS_REQUIRE_TRT=1` makes a missing plan a failure of the tests of module `device`.
mod device;
#[cfg(target_os = "linux")]
mod stand_ins;
