//! The device's clock during a run, looked at every few milliseconds from a thread of its own: only changes are recorded.
use aegis_core::{Clock, DeviceKind};
use aegis_cuda::nvml::{self, Nvml, NvmlDevice};
use aegis_trace::{Body, ClockLimits, Recorder};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the clock is looked at. One look takes the driver some microseconds, and none of the run's threads waits.
const EVERY: Duration = Duration::from_millis(10);

/// Changes below a fiftieth are not told: the clock of an idle device is never quite still.
const LEAST_CHANGE: u32 = 50;

/// Records every change of the clock of `device` until `stop` is set; says nothing where the device does not tell.
pub(crate) fn watch(device: DeviceKind, clock: &impl Clock, mut recorder: Recorder, stop: &AtomicBool) {
    let DeviceKind::Cuda(ordinal) = device else { return };
    let found = aegis_cuda::probe().ok();
    let device = found.and_then(|found| found.devices.into_iter().find(|device| device.ordinal == ordinal));
    let Some(pci) = device.and_then(|device| device.pci) else { return };
    let Ok(nvml) = Nvml::open() else { return };
    let Ok(device) = nvml.device(&pci) else { return };
    let mut known: Option<u32> = None;
    while !stop.load(Ordering::Relaxed) {
        if let Some((khz, limits)) = look(&device) {
            let from_khz = *known.get_or_insert(khz);
            if changed(from_khz, khz) {
                recorder.record(clock.now(), Body::ClockChanged { from_khz, to_khz: khz, limits });
                known = Some(khz);
            }
        }
        std::thread::sleep(EVERY);
    }
}

fn changed(from_khz: u32, to_khz: u32) -> bool {
    from_khz.abs_diff(to_khz) >= from_khz / LEAST_CHANGE && from_khz != to_khz
}

/// The rate of the multiprocessors in kHz, and what the driver says keeps it low.
fn look(device: &NvmlDevice<'_>) -> Option<(u32, ClockLimits)> {
    let mhz = device.clock_mhz(nvml::Clock::Multiprocessors).ok()?;
    Some((mhz.checked_mul(1000)?, limits(device.throttle_reasons().unwrap_or_default())))
}

/// The bits of nvml.h: power cap, hardware slowdown by power brake; thermal slowdown by software and hardware.
const fn limits(reasons: u64) -> ClockLimits {
    const POWER: u64 = 0x4 | 0x80;
    const HEAT: u64 = 0x20 | 0x40;
    ClockLimits { power: reasons & POWER != 0, heat: reasons & HEAT != 0 }
}

#[cfg(test)]
mod tests {
    use super::{changed, limits};
    use aegis_trace::ClockLimits;

    #[test]
    fn what_counts_as_a_change() {
        for (from, to, told) in [
            (1_980_000, 1_980_000, false),
            (1_980_000, 1_965_000, false),
            (1_980_000, 1_940_400, true),
            (1_200_000, 1_980_000, true),
            (0, 0, false),
            (0, 300_000, true),
        ] {
            assert_eq!(changed(from, to), told, "{from} {to}");
        }
    }

    #[test]
    fn what_keeps_it_low() {
        for (bits, power, heat) in
            [(0, false, false), (1, false, false), (4, true, false), (0x20, false, true), (0xc4, true, true)]
        {
            assert_eq!(limits(bits), ClockLimits { power, heat }, "{bits:#x}");
        }
    }
}
