//! Reading the processor's own counter: the one place with unsafe code in this crate.
#![allow(unsafe_code)]
use crate::{Counter, WhyMonotonic};

/// The counter that can be read as a clock, or why none can.
#[cfg(target_arch = "x86_64")]
pub fn usable() -> Result<Counter, WhyMonotonic> {
    use std::arch::x86_64::__cpuid;
    const POWER: u32 = 0x8000_0007;
    const INVARIANT: u32 = 1 << 8;
    if __cpuid(0x8000_0000).eax < POWER || __cpuid(POWER).edx & INVARIANT == 0 {
        return Err(WhyMonotonic::NotInvariant);
    }
    // The kernel takes a counter that it has seen to go wrong, or to differ between cores, off this list.
    let listed =
        std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/available_clocksource");
    match listed {
        Ok(sources) if sources.split_whitespace().any(|source| source == "tsc") => Ok(Counter::Tsc),
        _ => Err(WhyMonotonic::NotTrusted),
    }
}

/// The count now. No load or store of the program that comes before is carried out after it.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn read() -> u64 {
    // SAFETY: every x86-64 processor has both instructions, and neither touches memory. Where a system forbids `rdtsc` to
    // user space it ends the process, as it does for any other instruction; Linux lists no `tsc` then.
    unsafe {
        std::arch::x86_64::_mm_lfence();
        std::arch::x86_64::_rdtsc()
    }
}

/// The counter that can be read as a clock: the architecture promises that it runs at one rate, the same on every core.
#[cfg(target_arch = "aarch64")]
pub fn usable() -> Result<Counter, WhyMonotonic> {
    if cfg!(target_os = "linux") { Ok(Counter::VirtualCount) } else { Err(WhyMonotonic::NotTrusted) }
}

/// The count now. No instruction of the program that comes before is carried out after it.
#[cfg(target_arch = "aarch64")]
#[inline]
pub fn read() -> u64 {
    let count: u64;
    // SAFETY: reads one register, which Linux lets user space read, behind a barrier; touches neither memory nor flags.
    unsafe {
        std::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) count, options(nostack, preserves_flags));
    }
    count
}

/// There is none that this program knows.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn usable() -> Result<Counter, WhyMonotonic> {
    Err(WhyMonotonic::NoCounter)
}

/// Never called: [`usable`] names no counter.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn read() -> u64 {
    0
}
