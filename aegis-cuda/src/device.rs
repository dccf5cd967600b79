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

/// The oldest driver that will do: every function that is always called is as old as this or older. It is that of
/// JetPack 5.
pub const OLDEST_DRIVER: CudaVersion = CudaVersion { major: 11, minor: 4 };

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
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
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
    /// Bits that the memory's bus carries at once, where the driver says it.
    pub memory_bus_bits: Option<u32>,
    /// The last level of its cache, where the driver says it.
    pub l2: Option<Bytes>,
    /// Whether its memory corrects errors.
    pub ecc: bool,
    /// How many copies can run beside kernels, where the driver says it.
    pub copy_engines: Option<u32>,
    /// Whether addresses can be reserved apart from memory.
    pub virtual_memory: bool,
    /// Whether memory can be taken and given back in the order of a stream.
    pub memory_pools: bool,
    /// Its place on the PCI bus, by which NVML knows it; `None` where the driver does not say it.
    pub pci: Option<String>,
}

impl Device {
    /// The most bytes a second that its memory can move: two in each cycle of its clock for each byte of its bus, as all
    /// memory since DDR does. `None` where the driver does not say the clock, as newer ones do.
    #[must_use]
    pub fn bandwidth(&self) -> Option<u64> {
        bandwidth(self.memory_clock_khz?, self.memory_bus_bits?)
    }
}

/// The most bytes a second at that clock and that width, see [`Device::bandwidth`].
#[must_use]
pub fn bandwidth(memory_clock_khz: u32, memory_bus_bits: u32) -> Option<u64> {
    (u64::from(memory_clock_khz) * 1000 * 2).checked_mul(u64::from(memory_bus_bits / 8))
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
    let told = |which| driver.told(device, which);
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
        clock_khz: told(Attribute::ClockKhz)?,
        memory_clock_khz: told(Attribute::MemoryClockKhz)?,
        memory_bus_bits: told(Attribute::MemoryBusBits)?,
        l2: told(Attribute::L2Bytes)?.map(|bytes| Bytes(bytes.into())),
        ecc: told(Attribute::Ecc)?.is_some(),
        copy_engines: told(Attribute::CopyEngines)?,
        virtual_memory: told(Attribute::VirtualMemory)?.is_some(),
        memory_pools: told(Attribute::MemoryPools)?.is_some(),
        pci: driver.pci(device).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::{CudaVersion, bandwidth};

    #[test]
    fn version_numbers() {
        for (number, shown) in
            [(12000, "12.0"), (12040, "12.4"), (13000, "13.0"), (11080, "11.8"), (0, "0.0")]
        {
            assert_eq!(CudaVersion::from_number(number).to_string(), shown);
        }
        assert!(CudaVersion::from_number(11080) < CudaVersion::from_number(12000));
    }

    #[test]
    fn bandwidths() {
        assert_eq!(bandwidth(3_201_000, 6144), Some(4_916_736_000_000)); // an H200, as NVML tells its clock
        assert_eq!(bandwidth(3_199_000, 256), Some(204_736_000_000)); // an AGX Orin: 204.8 GB/s
        assert_eq!(bandwidth(u32::MAX, u32::MAX), None);
    }
}
