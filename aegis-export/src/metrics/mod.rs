//! Metrics as values: families of counters, gauges and histograms, in integers until they are written.
mod gather;
mod openmetrics;
mod otlp;
mod sharing;

use aegis_core::Nanos;
pub(crate) use otlp::attribute;
use std::fmt;

/// The metrics of one trace: everything between its first and its last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// In the order in which they are written.
    pub families: Vec<Family>,
    /// Wall clock (nanoseconds since 1970) of the trace's zero; 0 for simulations.
    pub began_unix_ns: u64,
    /// The last instant of the trace.
    pub until: Nanos,
    /// Name and version of the program that recorded.
    pub program: String,
}

/// Metrics of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Its name; samples of a counter add `_total`, those of an info `_info`, those of a histogram `_bucket`, `_count` and
    /// `_sum`.
    pub name: &'static str,
    /// What it counts, in a sentence.
    pub help: &'static str,
    /// How its samples are to be read.
    pub kind: MetricKind,
    /// The unit, which the name ends in.
    pub unit: Option<&'static str>,
    /// One a set of labels.
    pub samples: Vec<Sample>,
}

/// How samples are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A sum that only grows while the system runs.
    Counter,
    /// A value that may go up and down.
    Gauge,
    /// Counts by size.
    Histogram,
    /// A constant 1 whose labels say something.
    Info,
}

/// One value with its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Name and value of each label.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A counter's or a gauge's.
    Number(Number),
    /// A histogram's.
    Histogram(Histogram),
}

/// A number that is written exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// A count, or bytes.
    Whole(u64),
    /// Nanoseconds, written as seconds.
    Seconds(u128),
    /// Millionths, rounded up.
    Millionths(u64),
}

/// Upper bounds of the buckets of every histogram, in nanoseconds; one more bucket takes the rest.
pub const BUCKETS_NS: [u64; 16] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Times by length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// How many fell into each of [`BUCKETS_NS`] and no smaller one, and into the last.
    pub counts: [u64; BUCKETS_NS.len() + 1],
    /// Their sum in nanoseconds.
    pub sum_ns: u128,
}

impl Histogram {
    pub(crate) fn add(&mut self, time: Nanos) {
        let bucket = BUCKETS_NS.partition_point(|bound| *bound < time.0);
        self.counts[bucket] += 1;
        self.sum_ns += u128::from(time.0);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// As a decimal number, without rounding.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest, digits) = match *self {
            Self::Whole(number) => return write!(f, "{number}"),
            Self::Seconds(ns) => (ns / 1_000_000_000, ns % 1_000_000_000, 9),
            Self::Millionths(n) => (u128::from(n / 1_000_000), u128::from(n % 1_000_000), 6),
        };
        let rest = format!("{rest:0digits$}");
        let rest = rest.trim_end_matches('0');
        write!(f, "{whole}.{}", if rest.is_empty() { "0" } else { rest })
    }
}

#[cfg(test)]
mod tests {
    use super::{Histogram, Number};
    use aegis_core::Nanos;

    #[test]
    fn numbers_are_exact() {
        for (number, shown) in [
            (Number::Whole(0), "0"),
            (Number::Whole(u64::MAX), "18446744073709551615"),
            (Number::Seconds(0), "0.0"),
            (Number::Seconds(1), "0.000000001"),
            (Number::Seconds(100_000), "0.0001"),
            (Number::Seconds(1_000_000_000), "1.0"),
            (Number::Seconds(u128::from(u64::MAX) * 10), "184467440737.09551615"),
            (Number::Millionths(1), "0.000001"),
            (Number::Millionths(1_250_000), "1.25"),
        ] {
            assert_eq!(number.to_string(), shown);
        }
    }

    /// A bound belongs to its bucket, as `le` says.
    #[test]
    fn buckets() {
        let mut histogram = Histogram::default();
        for (ns, bucket) in [(0, 0), (100_000, 0), (100_001, 1), (10_000_000_000, 15), (10_000_000_001, 16)] {
            let before = histogram.counts[bucket];
            histogram.add(Nanos(ns));
            assert_eq!(histogram.counts[bucket], before + 1, "{ns}");
        }
        histogram.add(Nanos(u64::MAX));
        assert_eq!(histogram.count(), 6);
        assert_eq!(histogram.sum_ns, 100_000 + 100_001 + 20_000_000_001 + u128::from(u64::MAX));
    }
}
