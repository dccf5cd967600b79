//! Instants as people read them: UTC time of day, or time since the start where there is no wall clock.
use aegis_core::Nanos;
use std::fmt;

/// An instant of a trace, shown as `14:23:45.123`. A precision (`{:.6}`) gives 1 to 9 digits of the second, cut off
/// and not rounded, so that an instant is never shown in a later second. The time since the start goes on counting
/// hours after 24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallTime {
    seconds: u64,
    nanos: u64,
}

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 24 * 60 * 60;

impl WallTime {
    /// The instant `at` of a clock whose zero is `created_unix_ns`; 0 where that is unknown.
    #[must_use]
    pub const fn new(created_unix_ns: u64, at: Nanos) -> Self {
        if created_unix_ns == 0 {
            return Self { seconds: at.0 / SECOND, nanos: at.0 % SECOND };
        }
        let nanos = created_unix_ns % SECOND + at.0 % SECOND;
        let seconds = created_unix_ns / SECOND + at.0 / SECOND + nanos / SECOND;
        Self { seconds: seconds % DAY, nanos: nanos % SECOND }
    }

    /// The same instant, without what it has in common with `known`: only `.200` in the same second.
    #[must_use]
    pub fn beside(self, known: Self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            if self.seconds == known.seconds { self.fraction(f) } else { fmt::Display::fmt(&self, f) }
        })
    }

    fn fraction(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(3).clamp(1, 9);
        let unit = 10u64.pow(9 - u32::try_from(digits).unwrap_or(9));
        write!(f, ".{:0digits$}", self.nanos / unit)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, seconds) = (self.seconds / 60, self.seconds % 60);
        write!(f, "{:02}:{:02}:{seconds:02}", minutes / 60, minutes % 60)?;
        self.fraction(f)
    }
}

#[cfg(test)]
mod tests {
    use super::WallTime;
    use aegis_core::Nanos;

    #[test]
    fn times_of_day_and_since_the_start() {
        // 2026-11-22 14:23:45 UTC
        let noon = 1_795_357_425 * 1_000_000_000;
        for (zero, at, digits, shown) in [
            (0, 123_456_789, 3, "00:00:00.123"),
            (0, 0, 3, "00:00:00.000"),
            (0, 999_999_999, 1, "00:00:00.9"),
            (0, 90_061_000_000_000, 3, "25:01:01.000"),
            (noon, 123_456_789, 6, "14:23:45.123456"),
            (noon + 999_999_999, 1, 9, "14:23:46.000000000"),
            (noon, 9 * 3_600_000_000_000 + 36 * 60_000_000_000 + 15_000_000_000, 3, "00:00:00.000"),
            (0, u64::MAX, 3, "5124095:34:33.709"),
            (u64::MAX, u64::MAX, 9, "23:09:07.419103230"),
        ] {
            assert_eq!(format!("{:.digits$}", WallTime::new(zero, Nanos(at))), shown, "{zero} + {at}");
        }
    }

    #[test]
    fn beside_a_known_instant_only_the_difference_is_shown() {
        let [a, b, c] =
            [45_123_000_000, 45_200_999_999, 46_001_000_000].map(|at| WallTime::new(0, Nanos(at)));
        assert_eq!(b.beside(a).to_string(), ".200");
        assert_eq!(format!("{:.6}", b.beside(a)), ".200999");
        assert_eq!(c.beside(a).to_string(), "00:00:46.001");
    }
}
