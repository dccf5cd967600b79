//! The driver's version and the devices it shows, read without creating a context.
use crate::{ProbeError, ffi};
use aegis_core::Bytes;
use std::fmt;

/// A CUDA version as the driver counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CudaVersion {
    /// Before the dot.
    pub major: u32,
    /// After the dot.
    pub minor: u32,
}

/// The oldest driver that will do: the bindings are those of this version.
pub const OLDEST_DRIVER: CudaVersion = CudaVersion { major: 12, minor: 0 };

impl CudaVersion {
    /// From the driver's number: `12040` is 12.4.
    pub(crate) fn from_number(number: u32) -> Self {
        Self { major: number / 1000, minor: number % 1000 / 10 }
    }
}

impl fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A working driver and its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Driver {
    /// The newest CUDA version that the driver supports.
    pub version: CudaVersion,
    /// At least one, in the driver's order.
    pub devices: Vec<Device>,
}

/// What a device is. Its state (free memory, present clocks, temperature) is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Its position in the driver's order, which CUDA_VISIBLE_DEVICES changes.
    pub ordinal: u32,
    /// The vendor's name for it.
    pub name: String,
    /// Compute capability, major and minor: `(9, 0)` is `sm_90`.
    pub compute_capability: (u32, u32),
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// All of its memory; on an integrated device, the machine's memory.
    pub memory: Bytes,
    /// Whether it shares the machine's memory, as Jetson devices do.
    pub integrated: bool,
    /// The peak clock of the multiprocessors, where the driver says it.
    pub clock_khz: Option<u32>,
    /// The peak clock of the memory, where the driver says it.
    pub memory_clock_khz: Option<u32>,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.compute_capability;
        write!(
            f,
            "device {}: {} (sm_{major}{minor}, {} multiprocessors, {}{})",
            self.ordinal,
            self.name,
            self.multiprocessors,
            self.memory,
            if self.integrated { " shared with the host" } else { "" }
        )
    }
}

/// Looks for a CUDA driver and lists its devices. Creates no context and takes no device memory. A machine without a
/// driver gets [`ProbeError::NoDriver`], never a panic.
///
/// # Errors
/// [`ProbeError`] says what is missing, in which version, or which call failed and how.
///
/// # Example
/// ```
/// match aegis_cuda::probe() {
///     Ok(driver) => println!("CUDA {}: {}", driver.version, driver.devices[0]),
///     Err(why) => println!("{why}"),
/// }
/// ```
pub fn probe() -> Result<Driver, ProbeError> {
    let driver = ffi::driver()?;
    let version = CudaVersion::from_number(driver.version()?);
    if version < OLDEST_DRIVER {
        return Err(ProbeError::DriverTooOld { found: version, needed: OLDEST_DRIVER });
    }
    driver.init()?;
    let devices =
        (0..driver.device_count()?).map(|ordinal| read(driver, ordinal)).collect::<Result<Vec<_>, _>>()?;
    if devices.is_empty() {
        return Err(ProbeError::NoDevice);
    }
    Ok(Driver { version, devices })
}

fn read(driver: &ffi::Calls, ordinal: u32) -> Result<Device, ProbeError> {
    use ffi::Attribute;
    let device = driver.device(ordinal)?;
    let attribute = |which| driver.attribute(device, which);
    let known = |khz| (khz > 0).then_some(khz);
    Ok(Device {
        ordinal,
        name: driver.name(device)?,
        compute_capability: (
            attribute(Attribute::ComputeCapabilityMajor)?,
            attribute(Attribute::ComputeCapabilityMinor)?,
        ),
        multiprocessors: attribute(Attribute::Multiprocessors)?,
        memory: driver.total_memory(device)?,
        integrated: attribute(Attribute::Integrated)? != 0,
        clock_khz: known(attribute(Attribute::ClockKhz)?),
        memory_clock_khz: known(attribute(Attribute::MemoryClockKhz)?),
    })
}

#[cfg(test)]
mod tests {
    use super::CudaVersion;

    #[test]
    fn version_numbers() {
        for (number, shown) in
            [(12000, "12.0"), (12040, "12.4"), (13000, "13.0"), (11080, "11.8"), (0, "0.0")]
        {
            assert_eq!(CudaVersion::from_number(number).to_string(), shown);
        }
        assert!(CudaVersion::from_number(11080) < CudaVersion::from_number(12000));
    }
}
