//! A WCET from measurements: the distribution-free order-statistic bound, with what it proves and what it does not.
//!
//! From `n` executions drawn independently under one condition, the (j+1)-th largest exceeds the (1 − p)-quantile of the
//! execution time unless at most `j` of the samples lie above it, which has probability `P(Bin(n, p) ≤ j)`. So with
//! confidence `1 − P(Bin(n, p) ≤ j)` at most a fraction `p` of future executions under that condition takes longer.
//! No shape of the distribution is assumed (Wilks 1941; David and Nagaraja, *Order Statistics*, 2003, section 7.2); ties
//! only make it conservative. The rank `j` depends on `n` alone, never on the samples.
use aegis_core::Nanos;
use statrs::function::factorial::ln_binomial;

/// A bound on execution time and exactly what is claimed for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// At most a fraction `exceedance` of future executions takes longer than this, with confidence `confidence`.
    pub bound: Nanos,
    /// The claimed fraction.
    pub exceedance: f64,
    /// The claimed confidence.
    pub confidence: f64,
    /// The confidence that this many samples really give; at least `confidence`.
    pub attained_confidence: f64,
    /// Samples.
    pub n: u64,
    /// Samples above the bound's rank: the bound is the (rank + 1)-th largest.
    pub rank: u64,
    /// The median sample.
    pub median: Nanos,
    /// The largest sample.
    pub largest: Nanos,
}

/// Why no certificate is given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// So few samples cannot support the claim, whatever their values.
    #[error(
        "{n} samples cannot show that at most {exceedance} of the jobs exceed a bound with confidence {confidence}: \
         {needed} are needed; or claim an exceedance of {reachable:.3e}"
    )]
    TooFewSamples {
        /// Samples given.
        n: u64,
        /// Samples needed.
        needed: u64,
        /// The claimed fraction.
        exceedance: f64,
        /// The claimed confidence.
        confidence: f64,
        /// The smallest fraction that so many samples can support at this confidence; 1 when there are none.
        reachable: f64,
    },
    /// The claim itself makes no sense.
    #[error("{field} is {value}; it must be above 0 and below 1")]
    NotAProbability {
        /// Which.
        field: &'static str,
        /// Its value.
        value: f64,
    },
}

impl Refusal {
    /// The stable code in JSON.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooFewSamples { .. } => "TOO_FEW_SAMPLES",
            Self::NotAProbability { .. } => "NOT_A_PROBABILITY",
        }
    }
}

/// The certificate for `samples`, or why there is none.
///
/// # Errors
/// [`Refusal`].
pub fn certify(samples: &[Nanos], exceedance: f64, confidence: f64) -> Result<Certificate, Refusal> {
    let needed = samples_needed(exceedance, confidence)?;
    let n = samples.len() as u64;
    if n < needed {
        let reachable = if n == 0 { 1.0 } else { 1.0 - (1.0 - confidence).powf(1.0 / n as f64) };
        return Err(Refusal::TooFewSamples { n, needed, exceedance, confidence, reachable });
    }
    // The largest rank that still supports the claim; P(Bin(n, p) <= j) grows with j.
    let (mut rank, mut above) = (0, n);
    while above - rank > 1 {
        let middle = rank + (above - rank) / 2;
        if supports(n, middle, exceedance, confidence) { rank = middle } else { above = middle }
    }
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let at = |from_top: u64| sorted[usize::try_from(n - 1 - from_top).unwrap_or(0)];
    Ok(Certificate {
        bound: at(rank),
        exceedance,
        confidence,
        attained_confidence: 1.0 - at_most(n, rank, exceedance),
        n,
        rank,
        median: at(n / 2),
        largest: at(0),
    })
}

/// The least number of samples that supports the claim: the least `n` with `(1 − p)^n ≤ 1 − confidence`; `u64::MAX` also
/// stands for more than that.
///
/// # Errors
/// [`Refusal::NotAProbability`].
pub fn samples_needed(exceedance: f64, confidence: f64) -> Result<u64, Refusal> {
    for (field, value) in [("exceedance", exceedance), ("confidence", confidence)] {
        if !(value > 0.0 && value < 1.0) {
            return Err(Refusal::NotAProbability { field, value });
        }
    }
    let estimate = (-confidence).ln_1p() / (-exceedance).ln_1p();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rounded positive estimate"
    )]
    let mut enough = (estimate.floor() as u64).saturating_sub(1).max(1);
    let (mut short, mut step) = (enough - 1, 1u64);
    while enough < u64::MAX && !supports(enough, 0, exceedance, confidence) {
        short = enough;
        enough = enough.saturating_add(step);
        step = step.saturating_mul(2);
    }
    while enough - short > 1 {
        let middle = short + (enough - short) / 2;
        if supports(middle, 0, exceedance, confidence) { enough = middle } else { short = middle }
    }
    Ok(enough)
}

/// Whether the (rank + 1)-th largest of `n` samples supports the claim; a rounding error of the probability counts
/// against it. That error grows with the logarithms of factorials in it: some n · 10⁻¹⁵.
fn supports(n: u64, rank: u64, exceedance: f64, confidence: f64) -> bool {
    let rounding = if rank == 0 { 1e-9 } else { 1e-9 + n as f64 * 1e-14 };
    at_most(n, rank, exceedance) * (1.0 + rounding) <= 1.0 - confidence
}

/// `P(Bin(n, p) ≤ j)`.
fn at_most(n: u64, j: u64, p: f64) -> f64 {
    if j >= n {
        return 1.0;
    }
    if j == 0 {
        return (n as f64 * (-p).ln_1p()).exp();
    }
    if (j as f64) < n as f64 * p { tail(n, j, p) } else { 1.0 - tail(n, n - j - 1, 1.0 - p) }
}

/// `P(Bin(n, p) ≤ j)` for `j` below the mean, from the largest addend to those too small to matter: some multiple of
/// the standard deviation. (The continued fraction of the beta function needs more terms than libraries grant it when n
/// is in the millions, and errs by per cent.)
fn tail(n: u64, j: u64, p: f64) -> f64 {
    let largest = ln_binomial(n, j) + j as f64 * p.ln() + (n - j) as f64 * (-p).ln_1p();
    let (mut sum, mut addend) = (0.0, 1.0);
    for k in (0..=j).rev() {
        sum += addend;
        addend *= k as f64 / (n - k + 1) as f64 * ((1.0 - p) / p);
        if addend < sum * 1e-17 {
            break;
        }
    }
    largest.exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_core::Rng;

    /// Published numbers of runs (Wilks), by exceedance, confidence and rank.
    #[test]
    fn wilks_table() {
        for (p, c, rank, n) in [
            (1e-2, 0.90, 0, 230),
            (1e-2, 0.95, 0, 299),
            (1e-2, 0.99, 0, 459),
            (1e-3, 0.95, 0, 2_995),
            (1e-3, 0.99, 0, 4_603),
            (1e-4, 0.95, 0, 29_956),
            (1e-4, 0.999, 0, 69_075),
            (1e-6, 0.95, 0, 2_995_731),
            (1e-3, 0.95, 1, 4_742),
            (1e-3, 0.95, 10, 16_959),
            (1e-4, 0.95, 1, 47_437),
            (1e-4, 0.95, 5, 105_128),
        ] {
            assert!(supports(n, rank, p, c), "{p} {c} {rank} {n}");
            assert!(!supports(n - 1, rank, p, c), "{p} {c} {rank} {}", n - 1);
            if rank == 0 {
                assert_eq!(samples_needed(p, c).unwrap(), n);
            }
        }
    }

    /// Ranks from `scipy.stats.binom`. With the incomplete beta function of a library the first was 1 500 023: unsafe.
    #[test]
    fn ranks_of_millions_of_samples() {
        for (p, c, rank) in
            [(0.5, 0.5, 1_499_999), (0.1, 0.5, 299_999), (1e-3, 0.95, 2_909), (1e-4, 0.95, 271)]
        {
            assert!(
                supports(3_000_000, rank, p, c) && !supports(3_000_000, rank + 1, p, c),
                "{p} {c} {rank}"
            );
        }
    }

    #[test]
    fn the_bound_is_the_right_order_statistic() {
        let samples: Vec<Nanos> = (1..=4_742).rev().map(Nanos).collect();
        let one = certify(&samples, 1e-3, 0.95).unwrap();
        assert_eq!((one.rank, one.bound, one.largest), (1, Nanos(4_741), Nanos(4_742)));
        let zero = certify(&samples[1..], 1e-3, 0.95).unwrap();
        assert_eq!((zero.rank, zero.bound, zero.n), (0, Nanos(4_741), 4_741));
        assert!(one.attained_confidence >= 0.95 && zero.attained_confidence > one.attained_confidence);
    }

    #[test]
    fn too_few_samples_are_refused_with_the_number_needed() {
        let refusal = certify(&[Nanos(5); 100], 1e-4, 0.95).unwrap_err();
        assert_eq!(refusal.code(), "TOO_FEW_SAMPLES");
        assert!(refusal.to_string().contains("29956 are needed"), "{refusal}");
        assert!(certify(&[], 0.5, 0.5).is_err());
        assert!(certify(&[Nanos(1)], 0.5, 0.49).is_ok());
        assert_eq!(certify(&[Nanos(1)], 0.0, 0.5).unwrap_err().code(), "NOT_A_PROBABILITY");
        assert_eq!(certify(&[Nanos(1)], 0.5, f64::NAN).unwrap_err().code(), "NOT_A_PROBABILITY");
    }

    /// A claim of 1e-19 needs more samples than 64 bits count, and the guard against rounding moves 1e-17 by 10^8.
    #[test]
    fn claims_out_of_reach_are_answered_at_once() {
        let needed = |p| samples_needed(p, 0.95).unwrap();
        assert_eq!((needed(1e-19), needed(1e-300)), (u64::MAX, u64::MAX));
        assert!((299_573_227..299_573_229).contains(&(needed(1e-17) / 1_000_000_000)), "{}", needed(1e-17));
        assert_eq!(certify(&[Nanos(5); 10], 1e-19, 0.95).unwrap_err().code(), "TOO_FEW_SAMPLES");
    }

    /// Over 2 000 campaigns on a heavy-tailed law with a known quantile, the claim holds in at least the claimed share
    /// (less five standard errors), and a bound one rank lower does not.
    #[test]
    fn coverage_is_what_is_claimed() {
        let (p, c, campaigns) = (0.02, 0.9, 2_000u32);
        let n = 400;
        let mut rng = Rng::new(20_261_122);
        let (mut held, mut lower_held) = (0u32, 0u32);
        for _ in 0..campaigns {
            let samples: Vec<Nanos> = (0..n).map(|_| Nanos(rng.bits())).collect();
            let certificate = certify(&samples, p, c).unwrap();
            let mut sorted = samples;
            sorted.sort_unstable();
            let lower = sorted[sorted.len() - 2 - usize::try_from(certificate.rank).unwrap()];
            // Uniform on 64 bits: the exceedance probability of x is 1 - x / 2^64.
            let exceeds = |x: Nanos| 1.0 - x.0 as f64 / 2f64.powi(64);
            held += u32::from(exceeds(certificate.bound) <= p);
            lower_held += u32::from(exceeds(lower) <= p);
        }
        let error = 5.0 * (c * (1.0 - c) / f64::from(campaigns)).sqrt();
        assert!(f64::from(held) / f64::from(campaigns) >= c - error, "{held}");
        assert!(f64::from(lower_held) / f64::from(campaigns) < c, "{lower_held}");
    }
}
