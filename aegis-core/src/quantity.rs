//! Reading a number with a unit, exactly: `"12.5 ms"` becomes 12 500 000 ns or an error, never a rounded value.
use alloc::string::{String, ToString};

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// There is no number at the start of the text.
    #[error("`{text}` is not a quantity; write a number and a unit, as in `{example}`")]
    NotANumber {
        /// The offending text.
        text: String,
        /// What would have been accepted.
        example: &'static str,
    },
    /// The number is there but its unit is not.
    #[error("`{text}` has no unit; write one of {units}, as in `{example}`")]
    MissingUnit {
        /// The offending text.
        text: String,
        /// The accepted units.
        units: &'static str,
        /// What would have been accepted.
        example: &'static str,
    },
    /// The unit is unknown.
    #[error("unknown unit `{unit}` in `{text}`; write one of {units}")]
    UnknownUnit {
        /// The offending text.
        text: String,
        /// The unit that is not known.
        unit: String,
        /// The accepted units.
        units: &'static str,
    },
    /// A negative number, where only sizes and durations make sense.
    #[error("`{text}` is negative; it must be 0 or more")]
    Negative {
        /// The offending text.
        text: String,
    },
    /// More digits than the smallest unit can hold.
    #[error("`{text}` is finer than one {smallest}; write a whole number of {smallest}")]
    TooFine {
        /// The offending text.
        text: String,
        /// Name of the smallest unit.
        smallest: &'static str,
    },
    /// The value does not fit 64 bits of the smallest unit.
    #[error("`{text}` is too large; the most is {most}")]
    TooLarge {
        /// The offending text.
        text: String,
        /// The largest value, for people.
        most: &'static str,
    },
}

/// What a kind of quantity accepts.
pub(crate) struct Kind {
    pub units: &'static [(&'static str, u64)],
    pub names: &'static str,
    pub example: &'static str,
    pub smallest: &'static str,
    pub most: &'static str,
}

/// Parses `text` as a decimal number followed by one of the units of `kind`, in units of the smallest.
pub(crate) fn parse(text: &str, kind: &Kind) -> Result<u64, QuantityError> {
    let owned = || text.to_string();
    let trimmed = text.trim();
    if let Some(rest) = trimmed.strip_prefix('-')
        && rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    {
        return Err(QuantityError::Negative { text: owned() });
    }
    let end = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(trimmed.len());
    let (number, unit) = (&trimmed[..end], trimmed[end..].trim());
    let not_a_number = || QuantityError::NotANumber { text: owned(), example: kind.example };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if !whole.starts_with(|c: char| c.is_ascii_digit()) || fraction.contains('.') {
        return Err(not_a_number());
    }
    if unit.is_empty() {
        return Err(QuantityError::MissingUnit { text: owned(), units: kind.names, example: kind.example });
    }
    let Some(&(_, scale)) = kind.units.iter().find(|(name, _)| *name == unit) else {
        return Err(QuantityError::UnknownUnit { text: owned(), unit: unit.to_string(), units: kind.names });
    };
    // number = numerator / denominator; the quantity is exact only if the denominator divides numerator * scale.
    let too_large = || QuantityError::TooLarge { text: owned(), most: kind.most };
    let fraction = fraction.trim_end_matches(['0', '_']);
    let (mut numerator, mut denominator) = (0u128, 1u128);
    for (digit, in_fraction) in whole
        .bytes()
        .map(|b| (b, false))
        .chain(fraction.bytes().map(|b| (b, true)))
        .filter(|(b, _)| *b != b'_')
    {
        numerator = numerator
            .checked_mul(10)
            .and_then(|n| n.checked_add(u128::from(digit - b'0')))
            .ok_or_else(too_large)?;
        if in_fraction {
            denominator = denominator.checked_mul(10).ok_or_else(too_large)?;
        }
    }
    let scaled = numerator.checked_mul(u128::from(scale)).ok_or_else(too_large)?;
    if scaled % denominator != 0 {
        return Err(QuantityError::TooFine { text: owned(), smallest: kind.smallest });
    }
    u64::try_from(scaled / denominator).map_err(|_| too_large())
}

/// The arithmetic that all quantities share: checked, and a panic where an operator overflows.
macro_rules! arithmetic {
    ($name:ident) => {
        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);

            /// The sum, or `None` when it does not fit.
            #[must_use]
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(v) => Some(Self(v)),
                    None => None,
                }
            }

            /// The difference, or `None` when it would be negative.
            #[must_use]
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(v) => Some(Self(v)),
                    None => None,
                }
            }

            /// The product, or `None` when it does not fit.
            #[must_use]
            pub const fn checked_mul(self, factor: u64) -> Option<Self> {
                match self.0.checked_mul(factor) {
                    Some(v) => Some(Self(v)),
                    None => None,
                }
            }

            /// The sum, or the largest value when it does not fit.
            #[must_use]
            pub const fn saturating_add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// The difference, or zero when it would be negative.
            #[must_use]
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl core::ops::Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                self.checked_add(other).expect("the sum fits 64 bits")
            }
        }

        impl core::ops::AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl core::ops::Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                self.checked_sub(other).expect("the difference is not negative")
            }
        }

        impl core::ops::Mul<u64> for $name {
            type Output = Self;
            fn mul(self, factor: u64) -> Self {
                self.checked_mul(factor).expect("the product fits 64 bits")
            }
        }

        impl core::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::ZERO, core::ops::Add::add)
            }
        }
    };
}
pub(crate) use arithmetic;
