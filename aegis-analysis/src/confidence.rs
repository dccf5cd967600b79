//! From measured execution times to misses: how often, at most, a job takes longer than admission charged for it.
//!
//! Admission proves that every deadline is met while no job takes longer than its WCET. A WCET from a profile is
//! exceeded by a fraction of the jobs; the union bound carries that fraction through to the whole set.
//!
//! Assumptions:
//! 1. Jobs of task i arrive within its arrival law: at most `α_i(h)` of them in any time `h`.
//! 2. The profile of task i claims, with confidence `1 − δ_i`, that a job takes longer than is charged with probability at
//!    most `p_i`. Executions in operation are drawn like the measured ones; they may depend on each other in any way.
//! 3. For the average over profiles: of task i, the measured executions and each one in operation are exchangeable, and
//!    the charge is at least the (j_i + 1)-th largest of `n_i` measured ones.
//!
//! First, of the jobs that arrive in a time `h` an expected number of at most `X = Σ_i α_i(h) · p_i` takes longer than is
//! charged, by linearity of expectation. By Markov's inequality (Boole's, job by job) none does with probability at
//! least `1 − X`, and all claims hold at once with confidence `1 − Σ_i δ_i`. No independence is needed for any of these.
//!
//! Then, a deadline can be missed only in a busy period in which some job took longer: the expected number of busy periods
//! with a miss is at most `X` an hour. It is not a bound on the number of misses: one job that takes very long may make
//! many others late.
//!
//! Finally, without any claim of confidence: a new execution exceeds the (j + 1)-th largest of `n` with probability at
//! most `(j + 1) / (n + 1)`, if profile and operation are taken together (each of the `n + 1` ranks is equally likely, ties
//! only help). `Σ_i α_i(h) · (j_i + 1) / (n_i + 1)` is what to expect before measuring.
//!
//! All sums are exact, in parts of 10^18, each addend rounded up.
use aegis_core::TaskSet;
use core::fmt;

/// One hour, in nanoseconds.
const HOUR: u64 = 3_600_000_000_000;

/// A probability, or a sum of them, in parts of 10^18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Parts(pub u128);

impl Parts {
    /// Certainty: 10^18 parts.
    pub const ONE: Self = Self(1_000_000_000_000_000_000);

    /// `part / of`, rounded up; certainty if `of` is 0.
    #[must_use]
    pub fn ratio(part: u64, of: u64) -> Self {
        if of == 0 {
            return Self::ONE;
        }
        Self((u128::from(part) * Self::ONE.0).div_ceil(u128::from(of)))
    }

    /// A decimal number such as `0.0001`, rounded up; `None` if it is none, is negative or above 1.
    #[must_use]
    pub fn at_least(decimal: &str) -> Option<Self> {
        let (down, exact) = Self::digits(decimal)?;
        let up = Self(down.0 + u128::from(!exact));
        (up <= Self::ONE).then_some(up)
    }

    /// A decimal number such as `0.95`, rounded down; `None` if it is none, is negative or above 1.
    #[must_use]
    pub fn at_most(decimal: &str) -> Option<Self> {
        let (down, exact) = Self::digits(decimal)?;
        (down < Self::ONE || (down == Self::ONE && exact)).then_some(down)
    }

    /// The first 18 digits behind the point, and whether the others are all 0.
    fn digits(decimal: &str) -> Option<(Self, bool)> {
        let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let (near, far) = fraction.split_at(fraction.len().min(18));
        let parts: u128 = format!("{near:0<18}").parse().ok()?;
        let whole: u128 = whole.parse().ok().filter(|whole| *whole <= 1)?;
        Some((Self(whole * Self::ONE.0 + parts), far.bytes().all(|digit| digit == b'0')))
    }

    /// As a decimal number of six digits behind the point, rounded down: for what must not be claimed too large.
    #[must_use]
    pub fn rounded_down(self) -> String {
        let millionths = self.0 / (Self::ONE.0 / 1_000_000);
        let exact = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
        exact.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// What is missing to certainty; 0 where that is nothing.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(Self::ONE.0.saturating_sub(self.0))
    }
}

/// As a decimal number of six significant digits at most, rounded up.
impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: u32 = 6;
        let digits = self.0.checked_ilog10().map_or(0, |log| log + 1);
        let step = 10_u128.pow(digits.saturating_sub(DIGITS));
        let rounded = self.0.div_ceil(step) * step;
        let (whole, rest) = (rounded / Self::ONE.0, rounded % Self::ONE.0);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{rest:018}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

/// What the profile of one task claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// `p`: at most this fraction of its jobs takes longer than is charged.
    pub exceedance: Parts,
    /// `δ`: how likely, at most, it is that the claim is wrong.
    pub doubt: Parts,
    /// `n`: measured executions.
    pub samples: u64,
    /// `j`: how many of them may be longer than what is charged.
    pub rank: u64,
}

/// How much of what admission proves is left when WCETs are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assurance {
    /// The expected number of jobs an hour that take longer than is charged, at most, if all claims hold. Above 1 it is
    /// no probability any more.
    pub overruns_per_hour: Parts,
    /// How likely it is, at most, that some claim does not hold; above 1 it says nothing.
    pub doubt: Parts,
    /// The expected number an hour over profiles and operation taken together, whatever the claims.
    pub mean_overruns_per_hour: Parts,
}

/// The union bound over `claims`, one for each task of `set` in its order; `None` if there are not as many.
#[must_use]
pub fn assurance(set: &TaskSet, claims: &[Claim]) -> Option<Assurance> {
    if claims.len() != set.tasks().len() {
        return None;
    }
    let sum = |addend: &dyn Fn(u128, &Claim) -> u128| {
        let addends = set.tasks().iter().zip(claims).map(|(task, claim)| {
            let jobs = u128::from(task.arrival.arrivals_within(HOUR));
            addend(jobs, claim)
        });
        Parts(addends.fold(0, u128::saturating_add))
    };
    Some(Assurance {
        overruns_per_hour: sum(&|jobs, claim| jobs.saturating_mul(claim.exceedance.0)),
        doubt: sum(&|_, claim| claim.doubt.0),
        mean_overruns_per_hour: sum(&|jobs, claim| {
            let above = claim.rank.saturating_add(1).min(claim.samples.saturating_add(1));
            jobs.saturating_mul(Parts::ratio(above, claim.samples.saturating_add(1)).0)
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_core::{ArrivalCurve, Nanos, Overheads, Policy, Rng, TaskDraft};

    fn set(arrivals: Vec<aegis_core::ArrivalLaw>) -> TaskSet {
        let drafts = arrivals.into_iter().enumerate().map(|(i, arrival)| TaskDraft {
            name: format!("t{i}"),
            segments: vec![Nanos(1)],
            arrival,
            ..TaskDraft::default()
        });
        TaskSet::new(Policy::Edf, Overheads::default(), drafts.collect()).unwrap()
    }

    fn claim(exceedance: &str, doubt: &str, samples: u64, rank: u64) -> Claim {
        let parts = |text| Parts::at_least(text).unwrap();
        Claim { exceedance: parts(exceedance), doubt: parts(doubt), samples, rank }
    }

    /// By hand: a frame every 16.666 666 ms is 216 001 in an hour, a hundredth of them; 10 Hz is 36 000, a thousandth.
    #[test]
    fn two_cameras() {
        let set = set(vec![Nanos(16_666_666).into(), Nanos(100_000_000).into()]);
        let (a, b) = (
            Claim { exceedance: Parts::ratio(1, 100), doubt: Parts::ratio(1, 20), samples: 299, rank: 0 },
            Claim { exceedance: Parts::ratio(1, 1000), doubt: Parts::ratio(1, 100), samples: 4_742, rank: 1 },
        );
        let assurance = assurance(&set, &[a, b]).unwrap();
        let frames = 3_600_000_000_000_u64.div_ceil(16_666_666);
        assert_eq!(frames, 216_001);
        assert_eq!(assurance.overruns_per_hour.to_string(), "2196.01");
        assert_eq!(assurance.doubt.to_string(), "0.06");
        let mean = u128::from(frames) * Parts::ratio(1, 300).0 + 36_000 * Parts::ratio(2, 4_743).0;
        assert_eq!(assurance.mean_overruns_per_hour, Parts(mean));
        assert_eq!(assurance.mean_overruns_per_hour.to_string(), "735.184");
    }

    #[test]
    fn a_curve_counts_its_bursts() {
        let curve = ArrivalCurve::new(Nanos(1_000_000_000), vec![(Nanos(1), 5)]).unwrap();
        let set = set(vec![curve.into()]);
        let assurance = assurance(&set, &[claim("0.5", "0.5", 1, 0)]).unwrap();
        assert_eq!(assurance.overruns_per_hour, Parts(3600 * 5 * Parts::ONE.0 / 2));
        assert_eq!(assurance.doubt, Parts(Parts::ONE.0 / 2));
    }

    #[test]
    fn one_claim_a_task_or_none() {
        let set = set(vec![Nanos(5).into()]);
        assert_eq!(assurance(&set, &[]), None);
        assert_eq!(assurance(&set, &[claim("0.5", "0.5", 1, 0); 2]), None);
    }

    /// The product and the sum of the largest numbers stay in 128 bits.
    #[test]
    fn the_largest_numbers_fit() {
        let set = set(vec![Nanos(1).into(); usize::from(u16::MAX)]);
        let claims = vec![claim("1", "1", 0, u64::MAX); usize::from(u16::MAX)];
        let assurance = assurance(&set, &claims).unwrap();
        let jobs = u128::from(HOUR) * u128::from(u16::MAX);
        assert_eq!(assurance.overruns_per_hour, Parts(jobs * Parts::ONE.0));
        assert_eq!(assurance.mean_overruns_per_hour, Parts(jobs * Parts::ONE.0));
        assert_eq!(assurance.doubt, Parts(u128::from(u16::MAX) * Parts::ONE.0));
    }

    #[test]
    fn probabilities_round_up() {
        let tiny = format!("{}", 1e-300);
        for (text, up, down) in [
            ("0", 0, 0),
            ("1", 1_000_000_000_000_000_000, 1_000_000_000_000_000_000),
            ("1.000", 1_000_000_000_000_000_000, 1_000_000_000_000_000_000),
            ("0.95", 950_000_000_000_000_000, 950_000_000_000_000_000),
            ("0.0001", 100_000_000_000_000, 100_000_000_000_000),
            ("0.0000000000000000010", 1, 1),
            ("0.3333333333333333333", 333_333_333_333_333_334, 333_333_333_333_333_333),
            ("0.9999999999999999999", 1_000_000_000_000_000_000, 999_999_999_999_999_999),
            (&tiny, 1, 0),
        ] {
            assert_eq!(
                (Parts::at_least(text), Parts::at_most(text)),
                (Some(Parts(up)), Some(Parts(down))),
                "{text}"
            );
        }
        for text in
            ["", "-0.5", "NaN", "inf", "1.1", "2", "1.0000000000000000001", "0.", ".5", "1e-4", "+1", "0.5 "]
        {
            assert_eq!((Parts::at_least(text), Parts::at_most(text)), (None, None), "{text}");
        }
        assert_eq!(Parts::ratio(1, 3), Parts(333_333_333_333_333_334));
        assert_eq!(Parts::ratio(u64::MAX, u64::MAX), Parts::ONE);
        assert_eq!(Parts::ratio(0, 0), Parts::ONE);
        assert_eq!(Parts(1).complement(), Parts(999_999_999_999_999_999));
        assert_eq!(Parts(2 * Parts::ONE.0).complement(), Parts(0));
    }

    #[test]
    fn text_is_short_and_never_too_small() {
        for (parts, text) in [
            (0, "0"),
            (1, "0.000000000000000001"),
            (1_000_000_000_000_000_000, "1"),
            (1_234_567_000_000_000_000, "1.23457"),
            (1_234_560_000_000_000_000, "1.23456"),
            (1_234_560_000_000_000_001, "1.23457"),
            (999_999_900_000_000_000, "1"),
            (123_456_789_000_000_000_000_000_000, "123457000"),
        ] {
            assert_eq!(Parts(parts).to_string(), text);
        }
        assert_eq!(Parts(949_999_999_999_999_999).rounded_down(), "0.949999");
        assert_eq!(Parts(950_000_000_000_000_000).rounded_down(), "0.95");
        assert_eq!((Parts(0).rounded_down(), Parts::ONE.rounded_down()), ("0".to_owned(), "1".to_owned()));
    }

    /// Over many profiles, the share of new executions above the charge is what assumption 3 says, and one rank lower
    /// would be too little.
    #[test]
    fn the_mean_exceedance_is_the_rank_s() {
        let (n, rank, profiles) = (40_u64, 2_usize, 40_000_u64);
        let mut rng = Rng::new(20_261_123);
        let mut above = 0_u64;
        for _ in 0..profiles {
            let mut samples: Vec<u64> = (0..n).map(|_| rng.bits()).collect();
            samples.sort_unstable_by_key(|sample| core::cmp::Reverse(*sample));
            above += u64::from(rng.bits() > samples[rank]);
        }
        let expected = profiles * (rank as u64 + 1) / (n + 1);
        assert!(above.abs_diff(expected) < 5 * expected.isqrt(), "{above} of {profiles}, not {expected}");
    }

    /// The union bound against a simulated hour: jobs that exceed their charge together, the worst dependence there is.
    #[test]
    fn no_dependence_breaks_the_union_bound() {
        let set = set(vec![Nanos(HOUR / 10).into(), Nanos(HOUR / 20).into()]);
        let claims = [claim("0.02", "0.05", 100, 0), claim("0.01", "0.05", 100, 0)];
        let assurance = assurance(&set, &claims).unwrap();
        let (hours, mut rng) = (100_000_u64, Rng::new(7));
        let (mut overruns, mut bad_hours) = (0_u64, 0_u64);
        for hour in 0..hours {
            // Even hours: all jobs share one draw. Odd hours: each has its own.
            let common = rng.between(1, 100);
            let mut bad = 0;
            for (jobs, percent) in [(10, 2), (20, 1)] {
                for _ in 0..jobs {
                    let draw = if hour % 2 == 0 { common } else { rng.between(1, 100) };
                    bad += u64::from(draw <= percent);
                }
            }
            overruns += bad;
            bad_hours += u64::from(bad > 0);
        }
        let expected = Parts(assurance.overruns_per_hour.0 * u128::from(hours)).0 / Parts::ONE.0;
        let expected = u64::try_from(expected).unwrap();
        assert!(overruns.abs_diff(expected) < expected / 20, "{overruns} of {expected}");
        assert!(bad_hours <= expected);
    }
}
