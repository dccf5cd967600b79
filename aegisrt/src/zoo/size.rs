//! How large a demo model is, counted from its graph.

use std::fmt;

/// What a model holds and what one run of it computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Learned numbers: weights and biases.
    pub parameters: usize,
    /// Multiply-accumulates of one run, in convolutions, matrix products and recurrent cells.
    pub multiply_accumulates: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parameters, multiply_accumulates } = *self;
        write!(
            f,
            "{} parameters, {} multiply-accumulates a run",
            short(parameters),
            short(multiply_accumulates)
        )
    }
}

/// Three digits and a decimal prefix.
fn short(count: usize) -> String {
    let (mut count, mut prefixes) = (count as f64, ["", " k", " M", " G"].iter());
    let mut prefix = prefixes.next();
    while count >= 999.5 && prefixes.len() > 0 {
        count /= 1000.0;
        prefix = prefixes.next();
    }
    let prefix = prefix.unwrap_or(&"");
    let decimals = if prefix.is_empty() || count >= 99.95 { 0 } else { 1 + usize::from(count < 9.995) };
    format!("{count:.decimals$}{prefix}")
}

#[cfg(test)]
mod tests {
    use super::{Size, short};

    #[test]
    fn three_digits() {
        for (count, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00 k"),
            (9_995, "10.0 k"),
            (99_940, "99.9 k"),
            (99_960, "100 k"),
            (999_499, "999 k"),
            (999_500, "1.00 M"),
            (1_814_073_344, "1.81 G"),
            (4_000_000_000_000, "4000 G"),
        ] {
            assert_eq!(short(count), expected, "{count}");
        }
    }

    #[test]
    fn reads_as_a_phrase() {
        let size = Size { parameters: 11_684_712, multiply_accumulates: 1_814_073_344 };
        assert_eq!(size.to_string(), "11.7 M parameters, 1.81 G multiply-accumulates a run");
    }
}
