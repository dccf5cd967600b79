//! What a trace file says of its own making: which recording and which part of it, who built the writer, which clock.
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a trace came to be. Of a trace in several parts it is that of the first part that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The clock behind all instants.
    pub clock: ClockNote,
    /// The writer.
    pub build: Build,
}

/// Which clock gave the instants of a trace, and how fine it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockNote {
    /// Where the instants come from.
    pub source: ClockSource,
    /// The smallest difference between two instants that was seen at the start, in nanoseconds; 0 where nobody looked.
    pub resolution_ns: u64,
}

/// Where instants come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ClockSource {
    /// Nothing is known of it, as in simulations and in traces that were written at once.
    Unstated,
    /// The operating system's monotonic clock.
    Monotonic {
        /// Why no counter of the processor is used.
        instead: WhyMonotonic,
    },
    /// A counter of the processor, scaled: `ns = ticks × multiplier / 2^shift`.
    Counter {
        /// Which counter.
        counter: Counter,
        /// The multiplier.
        multiplier: u64,
        /// The shift.
        shift: u32,
    },
}

/// A counter of the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Counter {
    /// The time-stamp counter of x86-64.
    Tsc,
    /// The virtual count register of aarch64, `CNTVCT_EL0`.
    VirtualCount,
}

/// Why the monotonic clock is read, and no counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WhyMonotonic {
    /// It was asked for.
    Chosen,
    /// This program knows no counter of this architecture.
    NoCounter,
    /// The processor does not say that its counter runs at one rate.
    NotInvariant,
    /// The system does not use the counter, or has found it unstable.
    NotTrusted,
    /// Two measurements of its rate differ by more than a thousandth.
    RateUnclear,
}

/// Who wrote a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Version of the crate that wrote the file.
    pub version: String,
    /// `release`, or `debug` where debug assertions were on.
    pub profile: String,
    /// Architecture and operating system, as in `x86_64-linux`.
    pub target: String,
}

/// One instant as several clocks show it, from which drift can be judged. Nanoseconds, but for `raw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockPair {
    /// The counter behind the trace's clock, in ticks; the trace's clock itself where there is no counter.
    pub raw: u64,
    /// The trace's clock.
    pub clock_ns: u64,
    /// The monotonic clock, from the same zero.
    pub monotonic_ns: u64,
    /// The wall clock (UTC, since 1970).
    pub unix_ns: u64,
}

impl ClockNote {
    /// Of a clock of which nothing is known.
    #[must_use]
    pub const fn unstated() -> Self {
        Self { source: ClockSource::Unstated, resolution_ns: 0 }
    }
}

impl Build {
    /// This program.
    #[must_use]
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        }
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.version, self.profile, self.target)
    }
}

impl fmt::Display for ClockNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            ClockSource::Unstated => return f.write_str("nothing is known of its source"),
            ClockSource::Monotonic { instead } => write!(f, "the system's monotonic clock ({instead})")?,
            ClockSource::Counter { counter, .. } => write!(f, "{counter}")?,
        }
        write!(f, ", steps of {} ns", self.resolution_ns)
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tsc => "the processor's time-stamp counter",
            Self::VirtualCount => "the processor's virtual counter",
        })
    }
}

impl fmt::Display for WhyMonotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chosen => "as was asked for",
            Self::NoCounter => "no counter of this architecture is known",
            Self::NotInvariant => "the processor does not say that its counter runs at one rate",
            Self::NotTrusted => "the system does not trust the processor's counter",
            Self::RateUnclear => "two measurements of the counter's rate differ",
        })
    }
}
