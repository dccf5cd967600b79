//! Durations and instants as whole nanoseconds, with checked arithmetic and exact text in both directions.
use crate::quantity::{self, Kind, QuantityError, arithmetic};
use core::fmt;
use core::str::FromStr;

/// A duration, or an instant counted from the start of a clock, in nanoseconds.
///
/// `+`, `-` and `*` panic on overflow, in release builds too; use the `checked_` and `saturating_` forms where an
/// overflow is an expected answer.
///
/// ```
/// use aegis_core::Nanos;
/// let frame: Nanos = "33.3 ms".parse().unwrap();
/// assert_eq!(frame, Nanos(33_300_000));
/// assert_eq!(frame.to_string(), "33.3 ms");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Nanos(pub u64);

const KIND: Kind = Kind {
    units: &[("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)],
    names: "ns, us, ms, s",
    example: "20 ms",
    smallest: "nanosecond",
    most: "18446744073 s",
};

arithmetic!(Nanos);

impl Nanos {
    /// The largest representable time; used as "never".
    pub const MAX: Self = Self(u64::MAX);

    /// `micros` microseconds.
    ///
    /// # Panics
    /// If the product does not fit 64 bits.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros * 1_000)
    }

    /// `millis` milliseconds.
    ///
    /// # Panics
    /// If the product does not fit 64 bits.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// `secs` seconds.
    ///
    /// # Panics
    /// If the product does not fit 64 bits.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// Milliseconds as a float, for figures shown to people; never for a decision.
    #[must_use]
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Seconds as a float, for figures shown to people; never for a decision.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The same time for the standard library's timers.
    #[must_use]
    pub const fn to_std(self) -> core::time::Duration {
        core::time::Duration::from_nanos(self.0)
    }

    /// A standard duration in nanoseconds; [`Nanos::MAX`] when it does not fit (584 years).
    #[must_use]
    pub fn from_std(duration: core::time::Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl FromStr for Nanos {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        quantity::parse(text, &KIND).map(Self)
    }
}

/// Exact, in the largest unit that keeps the number at 1 or more; honours a precision (`{:.1}`), rounding half up.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scale, unit) = match self.0 {
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            0 | 1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        decimal(f, self.0, scale)?;
        write!(f, " {unit}")
    }
}

/// Writes `value / scale` exactly, or with the formatter's precision.
pub(crate) fn decimal(f: &mut fmt::Formatter<'_>, value: u64, scale: u64) -> fmt::Result {
    let (whole, rest) = (value / scale, value % scale);
    let digits = scale.ilog10() as usize;
    if let Some(precision) = f.precision()
        && precision < digits
    {
        let step = scale / 10u64.pow(u32::try_from(precision).unwrap_or(0));
        let rounded = rest / step + u64::from(rest % step >= step.div_ceil(2));
        let (whole, rounded) =
            if rounded * step >= scale { (whole.saturating_add(1), 0) } else { (whole, rounded) };
        return if precision == 0 {
            write!(f, "{whole}")
        } else {
            write!(f, "{whole}.{rounded:0precision$}")
        };
    }
    if rest == 0 {
        return write!(f, "{whole}");
    }
    let (mut rest, mut digits) = (rest, digits);
    while rest % 10 == 0 {
        rest /= 10;
        digits -= 1;
    }
    write!(f, "{whole}.{rest:0digits$}")
}

#[cfg(test)]
mod tests {
    use super::Nanos;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn text_in_both_directions() {
        for (text, nanos, shown) in [
            ("20 ms", 20_000_000, "20 ms"),
            ("1.5us", 1_500, "1.5 us"),
            ("0 ms", 0, "0 ms"),
            ("999ns", 999, "999 ns"),
            ("64.999999 ms", 64_999_999, "64.999999 ms"),
            ("2 s", 2_000_000_000, "2 s"),
            ("1_000 µs", 1_000_000, "1 ms"),
        ] {
            let parsed: Nanos = text.parse().unwrap();
            assert_eq!(parsed, Nanos(nanos), "{text}");
            assert_eq!(parsed.to_string(), shown);
        }
    }

    #[test]
    fn bad_texts_say_what_is_wrong() {
        for (text, says) in [
            ("20", "`20` has no unit; write one of ns, us, ms, s, as in `20 ms`"),
            ("fast", "`fast` is not a quantity"),
            ("", "is not a quantity"),
            ("-3 ms", "is negative"),
            ("3 hours", "unknown unit `hours`"),
            ("0.5 ns", "finer than one nanosecond"),
            ("1.0000001 us", "finer than one nanosecond"),
            ("99999999999999999999 s", "too large"),
            ("18446744074 s", "too large"),
            ("1.2.3 ms", "is not a quantity"),
        ] {
            let error = text.parse::<Nanos>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn precision_rounds_half_up_and_carries() {
        assert_eq!(alloc::format!("{:.1}", Nanos(64_999_999)), "65.0 ms");
        assert_eq!(alloc::format!("{:.1}", Nanos(45_150_000)), "45.2 ms");
        assert_eq!(alloc::format!("{:.0}", Nanos(1_500)), "2 us");
        assert_eq!(alloc::format!("{:.2}", Nanos(25_000_000)), "25.00 ms");
    }

    #[test]
    #[should_panic(expected = "fits 64 bits")]
    fn overflow_is_not_silent() {
        let _ = Nanos::MAX + Nanos(1);
    }

    proptest! {
        #[test]
        fn display_parses_back(ns in any::<u64>()) {
            prop_assert_eq!(Nanos(ns).to_string().parse::<Nanos>().unwrap(), Nanos(ns));
        }
    }
}
