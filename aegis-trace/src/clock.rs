//! The clock of a recording: a counter of the processor, scaled to nanoseconds, or the monotonic clock with the reason.
use crate::counter;
use crate::{ClockNote, ClockPair, ClockSource, Counter, WhyMonotonic};
use aegis_core::{Clock, MonotonicClock, Nanos};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the counter's rate is measured at the start, and when it is looked at first.
const CALIBRATION: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(20)];
/// The two measurements may differ by this part of the rate, in millionths: far more than they do, far less than a
/// counter that changes its rate with the processor's.
const RATE_DIFFERS_PPM: u128 = 1_000;

/// A clock that counts from its own start, as cheap to read as the machine allows, and never goes back.
///
/// It is not steered: its rate is measured once, against the monotonic clock, over 20 ms. Beside a monotonic clock that
/// the network steers it drifts by some parts in a million; [`ClockPair`]s in the trace say by how much.
#[derive(Debug, Clone, Copy)]
pub struct TraceClock {
    source: Source,
    monotonic: MonotonicClock,
    resolution_ns: u64,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Counter { counter: Counter, zero: u64, scale: Scale },
    Monotonic { instead: WhyMonotonic },
}

/// `ns = ticks × multiplier / 2^32`, rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    multiplier: u64,
}

const SHIFT: u32 = 32;

impl Scale {
    /// From so many ticks in so many nanoseconds; `None` where that is no rate.
    fn of(ticks: u64, ns: u64) -> Option<Self> {
        let multiplier = (u128::from(ns) << SHIFT).checked_div(u128::from(ticks))?;
        u64::try_from(multiplier).ok().filter(|m| *m > 0).map(|multiplier| Self { multiplier })
    }

    /// Saturates after 584 years.
    #[inline]
    fn ns(self, ticks: u64) -> u64 {
        let ns = (u128::from(ticks) * u128::from(self.multiplier)) >> SHIFT;
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// Whether two measurements of one rate agree.
    fn agrees(self, other: Self) -> bool {
        let (a, b) = (u128::from(self.multiplier), u128::from(other.multiplier));
        a.abs_diff(b) * 1_000_000 <= a.max(b) * RATE_DIFFERS_PPM
    }
}

impl TraceClock {
    /// Starts counting, on a counter of the processor where that is sound. Takes 20 ms.
    #[must_use]
    pub fn start() -> Self {
        match counter::usable().and_then(calibrated) {
            Ok(clock) => clock,
            Err(instead) => Self::on_monotonic(instead),
        }
    }

    /// Starts counting on the system's monotonic clock.
    #[must_use]
    pub fn monotonic() -> Self {
        Self::on_monotonic(WhyMonotonic::Chosen)
    }

    fn on_monotonic(instead: WhyMonotonic) -> Self {
        let monotonic = MonotonicClock::start();
        let reads: Vec<u64> = (0..1000).map(|_| monotonic.now().0).collect();
        let steps = reads.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0);
        let resolution_ns = steps.min().unwrap_or(0);
        Self { source: Source::Monotonic { instead }, monotonic, resolution_ns }
    }

    /// What the header of a trace says of it.
    #[must_use]
    pub fn note(&self) -> ClockNote {
        let source = match self.source {
            Source::Monotonic { instead } => ClockSource::Monotonic { instead },
            Source::Counter { counter, scale, .. } => {
                ClockSource::Counter { counter, multiplier: scale.multiplier, shift: SHIFT }
            }
        };
        ClockNote { source, resolution_ns: self.resolution_ns }
    }

    /// What it and other clocks show now: the pair of readings, of eight, between which least time passed.
    #[must_use]
    pub fn pair(&self) -> ClockPair {
        let unix_ns =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| Nanos::from_std(since).0);
        match self.source {
            Source::Monotonic { .. } => {
                let now = self.now().0;
                ClockPair { raw: now, clock_ns: now, monotonic_ns: now, unix_ns }
            }
            Source::Counter { zero, scale, .. } => {
                let (raw, monotonic_ns) = beside(&self.monotonic);
                ClockPair { raw, clock_ns: scale.ns(raw.saturating_sub(zero)), monotonic_ns, unix_ns }
            }
        }
    }
}

impl Clock for TraceClock {
    #[inline]
    fn now(&self) -> Nanos {
        match self.source {
            // A core whose counter is behind by less than the way to it shows 0 at first, never less than before.
            Source::Counter { zero, scale, .. } => Nanos(scale.ns(counter::read().saturating_sub(zero))),
            Source::Monotonic { .. } => self.monotonic.now(),
        }
    }
}

/// The counter and the monotonic clock at one instant.
fn beside(monotonic: &MonotonicClock) -> (u64, u64) {
    let read = || {
        let before = monotonic.now().0;
        let ticks = counter::read();
        let after = monotonic.now().0;
        (after.saturating_sub(before), ticks, before.midpoint(after))
    };
    let (_, ticks, ns) = (0..8).map(|_| read()).min().unwrap_or_default();
    (ticks, ns)
}

fn calibrated(counter: Counter) -> Result<TraceClock, WhyMonotonic> {
    let monotonic = MonotonicClock::start();
    let (zero, zero_ns) = beside(&monotonic);
    let [early, late] = CALIBRATION.map(|until| {
        std::thread::sleep(until.saturating_sub(monotonic.now().to_std()));
        let (ticks, ns) = beside(&monotonic);
        Scale::of(ticks.saturating_sub(zero), ns.saturating_sub(zero_ns))
    });
    match (early, late) {
        (Some(early), Some(scale)) if early.agrees(scale) => {
            // Both clocks count from the same zero.
            let zero = zero.saturating_sub(ticks_in(zero_ns, scale));
            let resolution_ns = scale.multiplier.div_ceil(1 << SHIFT);
            Ok(TraceClock { source: Source::Counter { counter, zero, scale }, monotonic, resolution_ns })
        }
        _ => Err(WhyMonotonic::RateUnclear),
    }
}

fn ticks_in(ns: u64, scale: Scale) -> u64 {
    let ticks = (u128::from(ns) << SHIFT) / u128::from(scale.multiplier);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Scale, TraceClock};
    use crate::ClockSource;
    use aegis_core::{Clock, Nanos};
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn scales() {
        for (ticks, ns) in [(1, 1), (2_600_000, 1_000_000), (31_250_000, 1_000_000_000), (1_000, 1_000_000)] {
            let scale = Scale::of(ticks, ns).unwrap();
            for n in [0, 1, 1000, 1 << 20] {
                let exact = u128::from(n) * u128::from(ticks) * u128::from(ns) / u128::from(ticks);
                let scaled = u128::from(scale.ns(n * ticks));
                assert!(
                    scaled <= exact && exact - scaled <= 1 + exact / 1_000_000,
                    "{ticks} {ns} {n}: {scaled}"
                );
            }
        }
        assert_eq!((Scale::of(0, 5), Scale::of(5, 0), Scale::of(u64::MAX, 1)), (None, None, None));
        assert_eq!(Scale::of(1, 1_000).unwrap().ns(u64::MAX), u64::MAX, "saturates");
        let [a, near, far] = [1_000_000, 1_001_000, 1_001_100].map(|m| Scale { multiplier: m });
        assert!(a.agrees(near) && near.agrees(a) && !a.agrees(far));
    }

    /// Each thread reads the latest instant that any has seen, then the clock: that is never earlier.
    #[test]
    fn never_goes_back_on_any_thread() {
        for clock in [TraceClock::start(), TraceClock::monotonic()] {
            let latest = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..200_000 {
                            let before = latest.load(Ordering::Acquire);
                            let now = clock.now().0;
                            assert!(now >= before, "{:?}: {now} after {before}", clock.note());
                            latest.fetch_max(now, Ordering::AcqRel);
                        }
                    });
                }
            });
        }
    }

    /// Stands beside the monotonic clock: within a thousandth, which a wrong scale or zero is not.
    #[test]
    fn stands_beside_the_monotonic_clock() {
        for clock in [TraceClock::start(), TraceClock::monotonic()] {
            std::thread::sleep(std::time::Duration::from_millis(30));
            let before = clock.now();
            let pair = clock.pair();
            assert!(pair.clock_ns >= before.0 && clock.now().0 >= pair.clock_ns);
            let apart = pair.clock_ns.abs_diff(pair.monotonic_ns);
            assert!(apart <= 10_000 + pair.monotonic_ns / 1000, "{pair:?}");
            assert!(pair.monotonic_ns >= Nanos::from_std(std::time::Duration::from_millis(30)).0);
            let note = clock.note();
            if let ClockSource::Counter { multiplier, shift, .. } = note.source {
                // Anybody with the file can convert: differences of counts give differences of instants.
                let later = clock.pair();
                let scaled = (u128::from(later.raw - pair.raw) * u128::from(multiplier)) >> shift;
                assert!(u128::from(later.clock_ns - pair.clock_ns).abs_diff(scaled) <= 1);
            }
            assert!(!note.to_string().is_empty());
        }
    }
}
