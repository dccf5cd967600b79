//! NVML: a device's clocks, power, temperature, memory and processes, where the vendor's library is there to tell.
#![allow(unsafe_code)]

use crate::ffi::{Raw, functions};
use crate::{LibraryError, library};
use aegis_core::Bytes;
use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::sync::{Mutex, PoisonError};

const NAME: &str = "libnvidia-ml.so.1";

functions! {
    /// Of nvml.h: what every version has.
    Calls {
    init: "nvmlInit_v2"();
    shutdown: "nvmlShutdown"();
    driver: "nvmlSystemGetDriverVersion"(*mut c_char, c_uint);
    by_pci: "nvmlDeviceGetHandleByPciBusId_v2"(*const c_char, *mut Raw);
    }
}

/// The library, in use.
pub struct Nvml {
    library: &'static libloading::Library,
    calls: Calls,
    /// Given by the library for a code; it may be missing.
    error_string: Option<unsafe extern "C" fn(c_int) -> *const c_char>,
}

/// A device as the library knows it.
#[derive(Debug)]
pub struct NvmlDevice<'a> {
    nvml: &'a Nvml,
    raw: usize,
}

/// Something of a device that has a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The multiprocessors.
    Multiprocessors,
    /// The memory.
    Memory,
}

impl Clock {
    const fn number(self) -> c_uint {
        match self {
            Self::Multiprocessors => 1,
            Self::Memory => 2,
        }
    }
}

impl Nvml {
    /// Looks for the library and starts it.
    ///
    /// # Errors
    /// [`LibraryError`] if it is not there or does not start.
    pub fn open() -> Result<Self, LibraryError> {
        static FOUND: Mutex<Option<&'static libloading::Library>> = Mutex::new(None);
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        let library = match *found {
            Some(library) => library,
            None => *found.insert(library::open(&[NAME])?.1),
        };
        drop(found);
        let calls = Calls::look_up(library)
            .map_err(|symbol| LibraryError::SymbolMissing { library: NAME, symbol })?;
        // SAFETY: the type is the C signature in nvml.h. `library` is static.
        let error_string = unsafe { library.get("nvmlErrorString") }.ok().map(|found| *found);
        let check = |code| check("nvmlInit", code, error_string);
        // SAFETY: may be called again; each success is undone by one shutdown.
        check(unsafe { (calls.init)() })?;
        Ok(Self { library, calls, error_string })
    }

    /// The driver's version, as in `580.159`.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn driver_version(&self) -> Result<String, LibraryError> {
        let mut version = [0u8; 96];
        // SAFETY: the library writes at most the length given.
        let status = unsafe { (self.calls.driver)(version.as_mut_ptr().cast(), 96) };
        self.check("nvmlSystemGetDriverVersion", status)?;
        let length = version.iter().position(|&byte| byte == 0).unwrap_or(version.len());
        Ok(String::from_utf8_lossy(&version[..length]).into_owned())
    }

    /// The device at that place on the PCI bus, see [`Device::pci`](crate::Device::pci).
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn device(&self, pci: &str) -> Result<NvmlDevice<'_>, LibraryError> {
        const CALL: &str = "nvmlDeviceGetHandleByPciBusId";
        const INVALID_ARGUMENT: c_int = 2;
        let mut raw: Raw = std::ptr::null_mut();
        let status = match CString::new(pci) {
            // SAFETY: a C string and a valid place for one handle.
            Ok(pci) => unsafe { (self.calls.by_pci)(pci.as_ptr(), &raw mut raw) },
            Err(_) => INVALID_ARGUMENT,
        };
        self.check(CALL, status)?;
        Ok(NvmlDevice { nvml: self, raw: raw as usize })
    }

    fn check(&self, call: &'static str, code: c_int) -> Result<(), LibraryError> {
        check(call, code, self.error_string)
    }
}

impl std::fmt::Debug for Nvml {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nvml")
    }
}

impl Drop for Nvml {
    fn drop(&mut self) {
        // SAFETY: undoes the one init of `open`; the library counts them. It gives nothing of the device back.
        unsafe { (self.calls.shutdown)() };
    }
}

fn check(
    call: &'static str,
    code: c_int,
    error_string: Option<unsafe extern "C" fn(c_int) -> *const c_char>,
) -> Result<(), LibraryError> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: takes any number; answers null or a C string that lives as long as the library.
    let text = error_string.map(|error_string| unsafe { error_string(code) });
    let text = text.filter(|text| !text.is_null());
    // SAFETY: not null, see above.
    let text = text.map(|text| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned());
    Err(LibraryError::Call { call, code, text })
}

/// A function of the library that older ones, or those of other devices, may lack.
type OneNumber<T> = unsafe extern "C" fn(Raw, *mut T) -> c_int;
type NumberOf<T> = unsafe extern "C" fn(Raw, c_uint, *mut T) -> c_int;

impl NvmlDevice<'_> {
    /// The most power that it may draw, in milliwatts.
    ///
    /// # Errors
    /// [`LibraryError`]; here and below also where the device does not tell.
    pub fn power_limit_mw(&self) -> Result<u32, LibraryError> {
        self.one("nvmlDeviceGetEnforcedPowerLimit")
    }

    /// The power that it draws now, in milliwatts.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn power_mw(&self) -> Result<u32, LibraryError> {
        self.one("nvmlDeviceGetPowerUsage")
    }

    /// A clock's rate now, in MHz.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn clock_mhz(&self, clock: Clock) -> Result<u32, LibraryError> {
        self.of("nvmlDeviceGetClockInfo", clock.number())
    }

    /// A clock's highest rate, in MHz.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn clock_mhz_max(&self, clock: Clock) -> Result<u32, LibraryError> {
        self.of("nvmlDeviceGetMaxClockInfo", clock.number())
    }

    /// Its temperature, in degrees Celsius.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn temperature_c(&self) -> Result<u32, LibraryError> {
        const OF_THE_CHIP: c_uint = 0;
        self.of("nvmlDeviceGetTemperature", OF_THE_CHIP)
    }

    /// Whether the driver keeps it ready while no process uses it.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn is_persistent(&self) -> Result<bool, LibraryError> {
        self.one::<c_uint>("nvmlDeviceGetPersistenceMode").map(|mode| mode != 0)
    }

    /// Why its clocks are lower than they could be now, as the driver's bits; 0 is no reason.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn throttle_reasons(&self) -> Result<u64, LibraryError> {
        self.one("nvmlDeviceGetCurrentClocksThrottleReasons")
    }

    /// Its memory in use by all processes and by the driver, and all of it.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn memory(&self) -> Result<(Bytes, Bytes), LibraryError> {
        /// An `nvmlMemory_t`.
        #[repr(C)]
        #[derive(Default)]
        struct Memory {
            total: u64,
            free: u64,
            used: u64,
        }
        let memory: Memory = self.one("nvmlDeviceGetMemoryInfo")?;
        Ok((Bytes(memory.used), Bytes(memory.total)))
    }

    /// How many processes compute on it, as far as this container sees them.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn processes(&self) -> Result<u32, LibraryError> {
        const CALL: &str = "nvmlDeviceGetComputeRunningProcesses_v3";
        const TOO_SMALL: c_int = 7; // the count says how many there are
        type Processes = unsafe extern "C" fn(Raw, *mut c_uint, Raw) -> c_int;
        let processes: Processes = self.function(CALL)?;
        let mut count: c_uint = 0;
        // SAFETY: there is room for as many as `count` says: none.
        let status = unsafe { processes(self.raw as Raw, &raw mut count, std::ptr::null_mut()) };
        if status != TOO_SMALL {
            self.nvml.check(CALL, status)?;
        }
        Ok(count)
    }

    fn function<F: Copy>(&self, call: &'static str) -> Result<F, LibraryError> {
        // SAFETY: the callers' types are the C signatures in nvml.h. The library is static.
        let found = unsafe { self.nvml.library.get::<F>(call) };
        found.map(|found| *found).map_err(|_| LibraryError::SymbolMissing { library: NAME, symbol: call })
    }

    fn one<T: Default>(&self, call: &'static str) -> Result<T, LibraryError> {
        let function: OneNumber<T> = self.function(call)?;
        let mut value = T::default();
        // SAFETY: a valid place for what the function writes: its type is the one in nvml.h.
        self.nvml.check(call, unsafe { function(self.raw as Raw, &raw mut value) })?;
        Ok(value)
    }

    fn of(&self, call: &'static str, which: c_uint) -> Result<u32, LibraryError> {
        let function: NumberOf<u32> = self.function(call)?;
        let mut value = 0;
        // SAFETY: a valid place for one unsigned int, which the function writes.
        self.nvml.check(call, unsafe { function(self.raw as Raw, which, &raw mut value) })?;
        Ok(value)
    }
}
