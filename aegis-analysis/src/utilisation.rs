//! ΣC/T, stalls included, against 1, without floating point: exact wherever the fractions fit 128 bits, otherwise on the safe side.
//!
//! First, each share is enclosed between two multiples of 2⁻⁶⁴; the sums of the lower and of the upper ends decide
//! unless 1 lies between them. Then the exact fraction is summed over the least common denominator. Only where that
//! fraction does not fit 128 bits and the sum is within `n · 2⁻⁶⁴` of 1, the answer is "above 1": a set that close to
//! the edge has no busy period that an analysis could walk through anyway.
use super::load::{Load, loads};
use super::stalls::Stalls;
use aegis_core::TaskSet;
use core::cmp::Ordering;

/// `C / T` as a fraction and between two multiples of 2⁻⁶⁴.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    c: u128,
    t: u64,
    low: u128,
    high: u128,
}

impl Share {
    /// So much work in so long; `t` is not zero.
    pub(super) fn new(c: u128, t: u64) -> Self {
        let (whole, rest) = (c / u128::from(t), (c % u128::from(t)) << 64);
        // More than 2^32 times all of the time there is: how much more does not matter.
        let whole = whole.min(1 << 32) << 64;
        let (low, high) = (rest / u128::from(t), rest.div_ceil(u128::from(t)));
        Self { c, t, low: whole + low, high: whole + high }
    }

    /// Orders by `C / T`, exactly while the products fit.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let crossed = |a: &Self, b: &Self| a.c.saturating_mul(u128::from(b.t));
        crossed(self, other).cmp(&crossed(other, self))
    }
}

const ONE: u128 = 1 << 64;

/// Compares ΣC/T of `set`, overheads and stalls included, with 1. `Greater` also stands for a sum that cannot be told
/// from 1.
#[must_use]
pub fn against_one(set: &TaskSet) -> Ordering {
    against(loads(set).iter(), &Stalls::new(set.overheads()))
}

/// ΣC/T of `set`, overheads and stalls included, in parts per million, rounded up.
#[must_use]
pub fn parts_per_million(set: &TaskSet) -> u64 {
    in_ppm(loads(set).iter(), &Stalls::new(set.overheads()))
}

pub(super) fn against<'a>(loads: impl Iterator<Item = &'a Load> + Clone, stalls: &Stalls) -> Ordering {
    sum_against_one(loads.map(|load| &load.share).chain(stalls.shares()))
}

pub(super) fn in_ppm<'a>(loads: impl Iterator<Item = &'a Load> + Clone, stalls: &Stalls) -> u64 {
    sum_parts_per_million(loads.map(|load| &load.share).chain(stalls.shares()))
}

fn sum_against_one<'a>(shares: impl Iterator<Item = &'a Share> + Clone) -> Ordering {
    let (low, high) = enclosure(shares.clone());
    if high < ONE {
        Ordering::Less
    } else if low > ONE {
        Ordering::Greater
    } else {
        fraction(shares).map_or(Ordering::Greater, |(sum, of)| sum.cmp(&of))
    }
}

fn sum_parts_per_million<'a>(shares: impl Iterator<Item = &'a Share> + Clone) -> u64 {
    const MILLION: u128 = 1_000_000;
    let exact = fraction(shares.clone()).and_then(|(sum, of)| Some(sum.checked_mul(MILLION)?.div_ceil(of)));
    let ppm = exact.unwrap_or_else(|| {
        let (_, high) = enclosure(shares);
        (high >> 64) * MILLION + ((high % ONE) * MILLION).div_ceil(ONE)
    });
    u64::try_from(ppm).unwrap_or(u64::MAX)
}

/// Two multiples of 2⁻⁶⁴ with ΣC/T between them.
fn enclosure<'a>(shares: impl Iterator<Item = &'a Share>) -> (u128, u128) {
    shares.fold((0, 0), |(low, high): (u128, u128), share| {
        (low.saturating_add(share.low), high.saturating_add(share.high))
    })
}

/// ΣC/T as numerator and denominator in lowest terms, if every partial sum fits.
fn fraction<'a>(mut shares: impl Iterator<Item = &'a Share>) -> Option<(u128, u128)> {
    shares.try_fold((0u128, 1u128), |(sum, of), share| {
        let (c, t) = (share.c, u128::from(share.t));
        let shared = gcd(of, t);
        let sum = sum.checked_mul(t / shared)?.checked_add(c.checked_mul(of / shared)?)?;
        let of = of.checked_mul(t / shared)?;
        let shared = gcd(sum, of);
        Some((sum / shared, of / shared))
    })
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_core::{Nanos, Overheads, Policy, TaskDraft};

    fn set(shares: &[(u64, u64)]) -> TaskSet {
        let drafts = shares.iter().enumerate().map(|(i, &(c, t))| TaskDraft {
            name: format!("t{i}"),
            segments: vec![Nanos(c)],
            arrival: Nanos(t).into(),
            deadline: None,
            jitter: Nanos::ZERO,
            priority: None,
        });
        TaskSet::new(Policy::Edf, Overheads::default(), drafts.collect()).unwrap()
    }

    #[track_caller]
    fn check(shares: &[(u64, u64)], expect: Ordering, ppm: u64) {
        let set = set(shares);
        assert_eq!((against_one(&set), parts_per_million(&set)), (expect, ppm), "{shares:?}");
    }

    #[test]
    fn exact_at_the_edge() {
        check(&[(1, 3), (1, 3), (1, 3)], Ordering::Equal, 1_000_000);
        check(&[(1, 10); 10], Ordering::Equal, 1_000_000);
        check(&[(1, 2), (1, 3), (1, 7), (1, 42)], Ordering::Equal, 1_000_000);
        check(&[(1, 2), (1, 3), (1, 7), (1, 43)], Ordering::Less, 999_447);
        check(&[(1, 2), (1, 3), (1, 7), (1, 41)], Ordering::Greater, 1_000_581);
        check(&[((1 << 62) - 1, 1 << 62)], Ordering::Less, 1_000_000);
        check(&[((1 << 62) - 1, 1 << 62), (1, 1 << 62)], Ordering::Equal, 1_000_000);
        check(&[((1 << 62) - 1, 1 << 62), (1, (1 << 62) - 1)], Ordering::Greater, 1_000_001);
        check(&[(7, 2)], Ordering::Greater, 3_500_000);
    }

    /// Denominators that share nothing do not fit 128 bits; the enclosure still decides away from the edge.
    #[test]
    fn large_coprime_periods() {
        let primes = [999_999_937_u64, 999_999_929, 999_999_893, 999_999_883, 999_999_797, 999_999_761];
        let with = |c: u64| primes.map(|p| (c, p));
        check(&with(166_666_600), Ordering::Less, 1_000_000);
        check(&with(166_666_700), Ordering::Greater, 1_000_001);
    }

    /// Pairs over 6 primes that sum to exactly 1, in an order that outgrows 128 bits: not known to be at most 1,
    /// hence above it.
    #[test]
    fn a_sum_that_cannot_be_told_from_one_counts_as_above() {
        let primes = [999_999_937_u64, 999_999_929, 999_999_893, 999_999_883, 999_999_797, 999_999_761];
        let mut shares: Vec<(u64, u64)> = primes.iter().map(|&p| (1, 8 * p)).collect();
        shares.extend(primes.iter().map(|&p| (p - 1, 8 * p)));
        shares.push((1, 4));
        let ordered = set(&shares);
        assert_eq!(against_one(&ordered), Ordering::Greater);
        let mut paired: Vec<(u64, u64)> = primes.iter().flat_map(|&p| [(1, 8 * p), (p - 1, 8 * p)]).collect();
        paired.push((1, 4));
        assert_eq!(against_one(&set(&paired)), Ordering::Equal);
    }
}
