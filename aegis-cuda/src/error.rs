//! Why there is no usable CUDA driver, and which driver errors end the process's use of the device.
use crate::{CudaVersion, ffi};
use aegis_core::Bytes;

/// Why [`probe`](crate::probe) found nothing usable. All of these are facts about the machine, none is a caller's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// No library with the driver's name can be loaded.
    #[error(
        "no CUDA driver on this machine: none of {} can be loaded; install the NVIDIA driver (in a container, start \
         it with the NVIDIA runtime), or use a backend that runs on the CPU",
        looked_for.join(", ")
    )]
    NoDriver {
        /// The file names tried.
        looked_for: Vec<String>,
    },
    /// The library found is the toolkit's link-time stub.
    #[error(
        "the libcuda found is the CUDA toolkit's link-time stub, not a driver; remove its folder (it ends in `stubs`) \
         from LD_LIBRARY_PATH"
    )]
    StubDriver,
    /// A library with the driver's name lacks a function that every supported driver has.
    #[error(
        "the libcuda found has no function {symbol}: it is not a driver of CUDA {} or newer",
        crate::OLDEST_DRIVER
    )]
    SymbolMissing {
        /// The function.
        symbol: &'static str,
    },
    /// The driver is older than the oldest supported.
    #[error(
        "the driver supports CUDA {found}, but CUDA {needed} or newer is needed; update the NVIDIA driver"
    )]
    DriverTooOld {
        /// What the driver supports.
        found: CudaVersion,
        /// The oldest that will do.
        needed: CudaVersion,
    },
    /// The driver works but shows no device.
    #[error("the CUDA driver shows no device; see CUDA_VISIBLE_DEVICES and `nvidia-smi`")]
    NoDevice,
    /// The driver shows fewer devices than that.
    #[error("there is no CUDA device {ordinal}; the driver shows {devices}, counted from 0")]
    NoSuchDevice {
        /// The position asked for.
        ordinal: u32,
        /// How many there are.
        devices: usize,
    },
    /// A driver call failed.
    #[error("{}", failed(call, *code, name.as_deref(), *sticky))]
    Call {
        /// The driver function.
        call: &'static str,
        /// Its answer, a `CUresult`.
        code: i32,
        /// The driver's name for it, where the driver has one.
        name: Option<String>,
        /// Whether every later call of this process on the device fails as well.
        sticky: bool,
    },
}

/// What can go wrong with a device in use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// There is no usable driver or device.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The memory is not there.
    #[error("the device has no {asked} left: {free} of {total} are free")]
    OutOfMemory {
        /// Asked for.
        asked: Bytes,
        /// Free on the device, for all processes.
        free: Bytes,
        /// All of its memory.
        total: Bytes,
    },
    /// The host cannot lock that much memory into place.
    #[error(
        "the host cannot give {asked} of page-locked memory; take less, or see `ulimit -l` and the memory's use"
    )]
    HostOutOfMemory {
        /// Asked for.
        asked: Bytes,
    },
    /// The host reads and writes this memory in place, through a [`Staging`](crate::Staging).
    #[error(
        "{bytes} at {address:#x} are mapped and a Staging has them for the host; take other memory, or drop it first"
    )]
    HostHasIt {
        /// Where they begin on the device.
        address: u64,
        /// How many.
        bytes: Bytes,
    },
    /// Memory of a pool is given back in the order of its own stream, so only that stream may use it.
    #[error("{bytes} at {address:#x} were taken from a pool on another stream; use them on that stream")]
    OtherStream {
        /// Where they begin on the device.
        address: u64,
        /// How many.
        bytes: Bytes,
    },
    /// A stream that is being recorded cannot do that.
    #[error("the stream is being captured into a graph; take memory from pools before or after")]
    Capturing,
    /// More than what was reserved.
    #[error("{asked} are more than the reservation's {most}")]
    OutOfReservation {
        /// Asked for.
        asked: Bytes,
        /// What it can have.
        most: Bytes,
    },
    /// Memory of a reservation that a slice still holds.
    #[error(
        "cannot shrink the reservation to {wanted}: a slice holds its last piece, and it has {held}; drop the slice first"
    )]
    InUse {
        /// Asked for.
        wanted: Bytes,
        /// What it has.
        held: Bytes,
    },
    /// A copy between parts of different sizes.
    #[error("cannot copy {from} into {to}; both must have the same size")]
    SizesDiffer {
        /// Size of the source.
        from: Bytes,
        /// Size of the target.
        to: Bytes,
    },
    /// The driver lacks a function that only newer drivers have.
    #[error("the driver has no function {symbol}: {needs}")]
    Missing {
        /// The function.
        symbol: &'static str,
        /// What would have it.
        needs: &'static str,
    },
    /// A driver call failed, or work that was started before it.
    #[error("{}", failed(call, *code, name.as_deref(), *sticky))]
    Call {
        /// The driver function.
        call: &'static str,
        /// Its answer, a `CUresult`.
        code: i32,
        /// The driver's name for it, where the driver has one.
        name: Option<String>,
        /// Whether every later call of this process on the device fails as well.
        sticky: bool,
    },
}

impl CudaError {
    /// Whether nothing on this device can be used by this process any more: results are void, and only a new process
    /// helps.
    #[must_use]
    pub const fn is_sticky(&self) -> bool {
        matches!(self, Self::Call { sticky: true, .. } | Self::Probe(ProbeError::Call { sticky: true, .. }))
    }
}

/// What is said of a driver call that failed.
fn failed(call: &str, code: i32, name: Option<&str>, sticky: bool) -> String {
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    let lost = if sticky { "; nothing on this device can be used by this process any more" } else { "" };
    format!("{call} failed with CUDA error {code}{name}{lost}")
}

/// A driver call's answer as a value.
pub(crate) fn checked(call: &'static str, code: ffi::Status) -> Result<(), CudaError> {
    if code == 0 {
        return Ok(());
    }
    let name = ffi::driver().ok().and_then(|driver| driver.name_of(code));
    Err(CudaError::Call { call, code, name, sticky: is_sticky(code) })
}

/// The answer of a driver call that asks whether something is done.
pub(crate) fn ready(call: &'static str, code: ffi::Status) -> Result<bool, CudaError> {
    const NOT_READY: i32 = 600;
    if code == NOT_READY { Ok(false) } else { checked(call, code).map(|()| true) }
}

/// Whether a `CUresult` voids the process's use of the device.
///
/// The driver's documentation says of 700, 702, 714 to 719 and the newer 226 and 721 that the process "must be
/// terminated and relaunched", and of 710 that the context cannot be used any more. 214 and 220 (uncorrectable errors
/// of memory and of NVLink) are counted too, although the documentation is silent: results after them cannot be trusted.
pub(crate) const fn is_sticky(code: i32) -> bool {
    matches!(code, 214 | 220 | 226 | 700 | 702 | 710 | 714..=719 | 721)
}

#[cfg(test)]
mod tests {
    use super::{ProbeError, is_sticky};

    #[test]
    fn sticky_codes() {
        for code in [214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721] {
            assert!(is_sticky(code), "{code}");
        }
        for code in [0, 1, 2, 3, 100, 101, 201, 209, 400, 600, 701, 703, 704, 713, 720, 801, 999] {
            assert!(!is_sticky(code), "{code}");
        }
    }

    #[test]
    fn messages_name_the_call_and_what_follows() {
        let error = |code, name: Option<&str>| ProbeError::Call {
            call: "cuInit",
            code,
            name: name.map(str::to_string),
            sticky: is_sticky(code),
        };
        for (error, says) in [
            (
                error(802, Some("CUDA_ERROR_SYSTEM_NOT_READY")),
                "cuInit failed with CUDA error 802 (CUDA_ERROR_SYSTEM_NOT_READY)",
            ),
            (
                error(719, None),
                "cuInit failed with CUDA error 719; nothing on this device can be used by this process any more",
            ),
        ] {
            assert_eq!(error.to_string(), says);
        }
    }
}
