//! Sizes of memory as whole bytes, with checked arithmetic and exact text in both directions.
use crate::quantity::{self, Kind, QuantityError, arithmetic};
use core::fmt;
use core::str::FromStr;

/// A size, an offset or an alignment in bytes.
///
/// `+`, `-` and `*` panic on overflow, in release builds too; the `checked_` forms answer instead.
///
/// ```
/// use aegis_core::Bytes;
/// assert_eq!("1.5 MiB".parse::<Bytes>().unwrap(), Bytes(1_572_864));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Bytes(pub u64);

const KIND: Kind = Kind {
    units: &[
        ("B", 1),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ],
    names: "B, kB, MB, GB, KiB, MiB, GiB",
    example: "512 MiB",
    smallest: "byte",
    most: "17179869183 GiB",
};

arithmetic!(Bytes);

impl Bytes {
    /// `mib` binary megabytes.
    ///
    /// # Panics
    /// If the product does not fit 64 bits.
    #[must_use]
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib * (1 << 20))
    }

    /// The next multiple of `align`, or `None` when it does not fit or `align` is zero.
    #[must_use]
    pub const fn checked_align_up(self, align: Self) -> Option<Self> {
        match self.0.checked_next_multiple_of(align.0) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }
}

impl FromStr for Bytes {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        quantity::parse(text, &KIND).map(Self)
    }
}

/// In the largest binary unit that keeps the number at 1 or more, with two decimals unless it is whole; exact in bytes
/// with the alternate form (`{:#}`).
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() || self.0 < 1 << 10 {
            return write!(f, "{} B", self.0);
        }
        let (scale, unit) = match self.0 {
            ..0x10_0000 => (1u64 << 10, "KiB"),
            0x10_0000..0x4000_0000 => (1 << 20, "MiB"),
            _ => (1 << 30, "GiB"),
        };
        if self.0.is_multiple_of(scale) {
            return write!(f, "{} {unit}", self.0 / scale);
        }
        let hundredths = (u128::from(self.0) * 100 + u128::from(scale / 2)) / u128::from(scale);
        write!(f, "{}.{:02} {unit}", hundredths / 100, hundredths % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;
    use alloc::{format, string::ToString};

    #[test]
    fn text_in_both_directions() {
        for (text, bytes, shown) in [
            ("512 MiB", 512 << 20, "512 MiB"),
            ("0.5 KiB", 512, "512 B"),
            ("1.5GiB", 3 << 29, "1.50 GiB"),
            ("64 B", 64, "64 B"),
            ("10 MB", 10_000_000, "9.54 MiB"),
            ("0 B", 0, "0 B"),
        ] {
            let parsed: Bytes = text.parse().unwrap();
            assert_eq!(parsed, Bytes(bytes), "{text}");
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(format!("{parsed:#}"), format!("{bytes} B"));
        }
    }

    #[test]
    fn bad_texts_say_what_is_wrong() {
        for (text, says) in [
            ("512", "has no unit; write one of B, kB, MB, GB, KiB, MiB, GiB, as in `512 MiB`"),
            ("0.3 KiB", "finer than one byte"),
            ("17179869184 GiB", "too large"),
            ("-1 B", "is negative"),
            ("12 ms", "unknown unit `ms`"),
        ] {
            let error = text.parse::<Bytes>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn align_up() {
        assert_eq!(Bytes(257).checked_align_up(Bytes(256)), Some(Bytes(512)));
        assert_eq!(Bytes(256).checked_align_up(Bytes(256)), Some(Bytes(256)));
        assert_eq!(Bytes(u64::MAX).checked_align_up(Bytes(256)), None);
        assert_eq!(Bytes(1).checked_align_up(Bytes(0)), None);
    }
}
