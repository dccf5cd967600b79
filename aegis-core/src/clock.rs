//! Where time comes from: a trait, a clock for simulations that moves only when told, and the monotonic clock.
use crate::Nanos;
use core::sync::atomic::{AtomicU64, Ordering};

/// A source of time that never goes backwards. Instants count from the clock's own start.
pub trait Clock: Send + Sync {
    /// The current instant.
    fn now(&self) -> Nanos;
}

/// Virtual time: stands still until it is set.
#[derive(Debug, Default)]
pub struct SimClock(AtomicU64);

impl SimClock {
    /// A clock at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Moves to `instant`; an earlier instant than the current one leaves the clock where it is.
    pub fn advance_to(&self, instant: Nanos) {
        self.0.fetch_max(instant.0, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Ordering::Relaxed))
    }
}

/// The operating system's monotonic clock, counted from the moment of creation.
#[cfg(feature = "std")]
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock(std::time::Instant);

#[cfg(feature = "std")]
impl MonotonicClock {
    /// Starts counting now.
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }
}

#[cfg(feature = "std")]
impl Clock for MonotonicClock {
    fn now(&self) -> Nanos {
        Nanos::from_std(self.0.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, SimClock};
    use crate::Nanos;

    #[test]
    fn virtual_time_never_goes_back() {
        let clock = SimClock::new();
        clock.advance_to(Nanos(5));
        clock.advance_to(Nanos(3));
        assert_eq!(clock.now(), Nanos(5));
    }
}
