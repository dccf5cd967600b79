//! The law of a simulated execution time. Integers only, so that a seed gives the same times on every machine.
use aegis_core::{Nanos, Rng};

/// How long one segment takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Law {
    /// Always the same.
    Constant(Nanos),
    /// Uniform in `[low, high]`.
    Uniform { low: Nanos, high: Nanos },
    /// A sum of twelve uniforms: normal to the eye, never farther than six deviations, cut to `[0, cap]`.
    Normal { mean: Nanos, deviation: Nanos, cap: Nanos },
    /// `rare` once in `one_in` on average, else `usual`.
    Bimodal { usual: Nanos, rare: Nanos, one_in: u64 },
    /// One value after the other, again and again.
    Cycle(Vec<Nanos>),
}

impl Law {
    /// The time of the `nth` segment of a session, counted from 0.
    pub(super) fn sample(&self, rng: &mut Rng, nth: u64) -> Nanos {
        match self {
            Self::Constant(value) => *value,
            Self::Uniform { low, high } => Nanos(rng.between(low.0, high.0)),
            Self::Normal { mean, deviation, cap } => {
                let sum: i128 = (0..12).map(|_| i128::from(rng.between(0, deviation.0))).sum();
                let time = i128::from(mean.0) + sum - 6 * i128::from(deviation.0);
                Nanos(u64::try_from(time.clamp(0, cap.0.into())).unwrap_or(cap.0))
            }
            Self::Bimodal { usual, rare, one_in } => {
                if rng.one_in(*one_in) {
                    *rare
                } else {
                    *usual
                }
            }
            Self::Cycle(values) => {
                let position = nth.checked_rem(values.len() as u64).unwrap_or(0);
                usize::try_from(position).ok().and_then(|i| values.get(i)).copied().unwrap_or(Nanos::ZERO)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Law;
    use aegis_core::{Nanos, Rng};

    fn samples(law: &Law, seed: u64) -> Vec<u64> {
        let mut rng = Rng::new(seed);
        (0..10_000).map(|nth| law.sample(&mut rng, nth).0).collect()
    }

    #[test]
    fn laws_keep_their_range_and_reach_it() {
        let n = Nanos;
        for (law, least, most) in [
            (Law::Constant(n(5)), 5, 5),
            (Law::Uniform { low: n(10), high: n(20) }, 10, 20),
            (Law::Normal { mean: n(1000), deviation: n(500), cap: n(1700) }, 0, 1700),
            (Law::Bimodal { usual: n(2), rare: n(9), one_in: 50 }, 2, 9),
            (Law::Cycle(vec![n(3), n(1), n(2)]), 1, 3),
        ] {
            let times = samples(&law, 42);
            assert_eq!(times.iter().min(), Some(&least), "{law:?}");
            assert_eq!(times.iter().max(), Some(&most), "{law:?}");
            assert_eq!(times, samples(&law, 42));
        }
    }

    #[test]
    fn normal_has_its_mean_and_deviation() {
        let law = Law::Normal { mean: Nanos(1_000_000), deviation: Nanos(50_000), cap: Nanos::MAX };
        let times: Vec<f64> = samples(&law, 7).into_iter().map(|t| t as f64).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let variance = times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / times.len() as f64;
        assert!((mean - 1e6).abs() < 3e3, "mean {mean}");
        assert!((variance.sqrt() - 5e4).abs() < 2e3, "deviation {}", variance.sqrt());
    }

    #[test]
    fn rare_is_as_rare_as_said() {
        let law = Law::Bimodal { usual: Nanos(0), rare: Nanos(1), one_in: 50 };
        let rare: u64 = samples(&law, 3).into_iter().sum();
        assert!((150..250).contains(&rare), "{rare} of 10000, 200 expected");
    }

    #[test]
    fn extremes_do_not_overflow() {
        let law = Law::Normal { mean: Nanos::MAX, deviation: Nanos::MAX, cap: Nanos::MAX };
        samples(&law, 1);
    }
}
