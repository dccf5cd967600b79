//! A version of TensorRT, and the ways in which TensorRT writes it.
use std::fmt;

/// A version of TensorRT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrtVersion {
    /// One shim is built for each of these.
    pub major: u32,
    /// Second.
    pub minor: u32,
    /// Third.
    pub patch: u32,
}

impl TrtVersion {
    /// From `getInferLibVersion`, which says 8503 for 8.5.3 and, since version 10, 101601 for 10.16.1.
    pub(crate) const fn from_number(number: u32) -> Self {
        let (major, rest) = if number >= 100_000 {
            (number / 10_000, number % 10_000)
        } else {
            (number / 1000, number % 1000)
        };
        Self { major, minor: rest / 100, patch: rest % 100 }
    }
}

impl fmt::Display for TrtVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::TrtVersion;

    #[test]
    fn numbers() {
        for (number, shown) in
            [(8503, "8.5.3"), (8601, "8.6.1"), (100_301, "10.3.1"), (101_601, "10.16.1"), (110_400, "11.4.0")]
        {
            assert_eq!(TrtVersion::from_number(number).to_string(), shown);
        }
    }
}
