//! What is to be known of a CUDA device: from the driver, from a context that is opened for a moment, and from NVML.
use super::fact::{Fact, Known, known, told};
use aegis_core::Bytes;
use aegis_cuda::nvml::{Clock, Nvml, NvmlDevice};
use aegis_cuda::{Context, Device, GreenContext, LibraryError, MemoryPool, Reservation, Wait, bandwidth};
use serde_json::json;

/// The facts of one device, in the order in which they are shown.
pub(super) fn facts(device: &Device, nvml: Result<&Nvml, &LibraryError>) -> Vec<Fact> {
    let context = Context::open(device.ordinal, Wait::Block).map_err(|error| error.to_string());
    let monitor = nvml.map_err(ToString::to_string).and_then(|nvml| {
        let pci =
            device.pci.as_deref().ok_or("the driver does not tell the device's place on the PCI bus")?;
        nvml.device(pci).map_err(|error| error.to_string())
    });
    let context = context.as_ref().map_err(Clone::clone);
    let monitor = monitor.as_ref().map_err(Clone::clone);
    let mut facts = of_the_chip(device, &monitor);
    facts.extend(in_use(device, &context));
    facts.extend(now(&monitor));
    facts
}

type Asked<'a, T> = Result<&'a T, String>;

/// Asks somebody who may be absent.
fn ask<T, V, E: ToString>(
    whom: &Asked<'_, T>,
    what: impl FnOnce(&T) -> Result<V, E>,
    show: impl FnOnce(V) -> Known,
) -> Result<Known, String> {
    let answer = what(whom.as_ref().map_err(Clone::clone)?).map_err(|error| error.to_string())?;
    Ok(show(answer))
}

/// What does not change.
fn of_the_chip(device: &Device, monitor: &Asked<'_, NvmlDevice<'_>>) -> Vec<Fact> {
    const UNTOLD: &str = "the driver does not tell it";
    let (major, minor) = device.compute_capability;
    let highest = |clock| {
        let monitor = monitor.as_ref().map_err(Clone::clone)?;
        monitor.clock_mhz_max(clock).map_err(|error| error.to_string())
    };
    let khz = |from_driver: Option<u32>, clock| match from_driver {
        Some(khz) => Ok(khz),
        None => highest(clock)
            .and_then(|mhz| {
                mhz.checked_mul(1000).filter(|khz| *khz > 0).ok_or_else(|| "NVML says 0".to_owned())
            })
            .map_err(|why| format!("{UNTOLD}; {why}")),
    };
    let memory_khz = khz(device.memory_clock_khz, Clock::Memory);
    let fastest = memory_khz.clone().and_then(|khz| {
        let bits = device.memory_bus_bits.ok_or("the driver does not tell the width of the memory's bus")?;
        bandwidth(khz, bits).ok_or_else(|| format!("{khz} kHz at {bits} bits do not fit 64 bits"))
    });
    vec![
        Fact::new("architecture", "architecture", Ok(known(format!("sm_{major}{minor}")))),
        Fact::new("pci", "PCI place", told(device.pci.clone(), UNTOLD).map(known)),
        Fact::new("multiprocessors", "multiprocessors", Ok(known(device.multiprocessors))),
        Fact::new(
            "clock_khz_max",
            "clock, at most",
            khz(device.clock_khz, Clock::Multiprocessors).map(megahertz),
        ),
        Fact::new("memory_bytes", "memory", Ok(bytes(device.memory))),
        Fact::new("memory_shared_with_host", "memory shared with host", Ok(yes_or_no(device.integrated))),
        Fact::new("memory_ecc", "memory corrects errors", Ok(yes_or_no(device.ecc))),
        Fact::new("memory_clock_khz_max", "memory clock, at most", memory_khz.map(megahertz)),
        Fact::new("memory_bandwidth_bytes_per_s", "memory bandwidth, at most", fastest.map(rate)),
        Fact::new("l2_bytes", "L2 cache", told(device.l2, UNTOLD).map(bytes)),
        Fact::new("copy_engines", "copy engines", told(device.copy_engines, UNTOLD).map(known)),
    ]
}

/// What a context of the device says.
fn in_use(device: &Device, context: &Asked<'_, std::sync::Arc<Context>>) -> Vec<Fact> {
    let only_if = |has: bool, what: &str| if has { Ok(()) } else { Err(format!("the device has no {what}")) };
    vec![
        Fact::new(
            "memory_free_bytes",
            "memory free now",
            ask(context, |context| context.memory(), |(free, _)| bytes(free)),
        ),
        Fact::new(
            "stream_priorities",
            "stream priorities",
            ask(
                context,
                |context| context.stream_priorities(),
                |(least, greatest)| Known {
                    text: format!("{} ({least} to {greatest})", (least - greatest).unsigned_abs() + 1),
                    json: json!({ "least": least, "greatest": greatest }),
                },
            ),
        ),
        Fact::new(
            "memory_pools",
            "memory pools",
            only_if(device.memory_pools, "memory pools").and_then(|()| {
                ask(context, |context| MemoryPool::new(context, Bytes(0)), |_| yes_or_no(true))
            }),
        ),
        Fact::new(
            "virtual_memory_step_bytes",
            "virtual memory in steps of",
            only_if(device.virtual_memory, "virtual memory")
                .and_then(|()| ask(context, |context| Reservation::granularity(context), bytes)),
        ),
        Fact::new(
            "green_contexts",
            "green contexts",
            ask(
                context,
                |context| GreenContext::parts(context),
                |parts| Known {
                    text: format!(
                        "from {} of {} multiprocessors{}",
                        parts.least,
                        parts.multiprocessors,
                        parts.step.map(|step| format!(" in steps of {step}")).unwrap_or_default()
                    ),
                    json: json!({
                        "multiprocessors": parts.multiprocessors,
                        "least": parts.least,
                        "step": parts.step,
                    }),
                },
            ),
        ),
    ]
}

/// What changes, as NVML tells it.
fn now(monitor: &Asked<'_, NvmlDevice<'_>>) -> Vec<Fact> {
    let watts = |mw: u32| Known { text: format!("{}.{} W", mw / 1000, mw % 1000 / 100), json: json!(mw) };
    let mhz = |mhz: u32| Known { text: format!("{mhz} MHz"), json: json!(mhz) };
    vec![
        Fact::new("power_mw", "power now", ask(monitor, NvmlDevice::power_mw, watts)),
        Fact::new("power_limit_mw", "power, at most", ask(monitor, NvmlDevice::power_limit_mw, watts)),
        Fact::new("clock_mhz", "clock now", ask(monitor, |m| m.clock_mhz(Clock::Multiprocessors), mhz)),
        Fact::new("memory_clock_mhz", "memory clock now", ask(monitor, |m| m.clock_mhz(Clock::Memory), mhz)),
        Fact::new(
            "clock_limits",
            "clocks held down by",
            ask(monitor, NvmlDevice::throttle_reasons, |bits| Known {
                text: throttling(bits),
                json: json!(bits),
            }),
        ),
        Fact::new(
            "temperature_c",
            "temperature",
            ask(monitor, NvmlDevice::temperature_c, |c| Known { text: format!("{c} °C"), json: json!(c) }),
        ),
        Fact::new(
            "memory_used_bytes",
            "memory used by all",
            ask(monitor, NvmlDevice::memory, |(used, _)| bytes(used)),
        ),
        Fact::new("processes", "processes that compute", ask(monitor, NvmlDevice::processes, known)),
        Fact::new("persistent", "ready while unused", ask(monitor, NvmlDevice::is_persistent, yes_or_no)),
    ]
}

/// The reasons that NVML counts as bits, in its words.
fn throttling(bits: u64) -> String {
    const REASONS: [&str; 9] = [
        "idleness",
        "a setting of the clocks",
        "the power limit",
        "a hardware slowdown",
        "a group that keeps step",
        "heat (software)",
        "heat (hardware)",
        "the power brake",
        "the display's clocks",
    ];
    let named = REASONS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, reason)| *reason);
    let mut named: Vec<String> = named.map(str::to_owned).collect();
    if bits >> REASONS.len() != 0 {
        named.push(format!("other reasons ({bits:#x})"));
    }
    if named.is_empty() { "nothing".to_owned() } else { named.join(", ") }
}

fn bytes(bytes: Bytes) -> Known {
    Known { text: bytes.to_string(), json: json!(bytes.0) }
}

fn megahertz(khz: u32) -> Known {
    Known { text: format!("{} MHz", khz / 1000), json: json!(khz) }
}

fn rate(bytes_per_s: u64) -> Known {
    Known { text: format!("{:.1} GB/s", bytes_per_s as f64 / 1e9), json: json!(bytes_per_s) }
}

fn yes_or_no(is: bool) -> Known {
    Known { text: if is { "yes" } else { "no" }.to_owned(), json: json!(is) }
}

#[cfg(test)]
mod tests {
    use super::throttling;

    #[test]
    fn reasons_of_the_clocks() {
        for (bits, says) in [
            (0, "nothing"),
            (1, "idleness"),
            (0x44, "the power limit, heat (hardware)"),
            (0x201, "idleness, other reasons (0x201)"),
        ] {
            assert_eq!(throttling(bits), says);
        }
    }
}
