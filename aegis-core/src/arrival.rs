//! When jobs of a task may arrive: at least a period apart, or within an arrival curve.
use crate::Nanos;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// How often a task's jobs arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ArrivalLaw {
    /// At least this far apart: a period or minimum inter-arrival time, not zero.
    Sporadic(Nanos),
    /// In bursts that a curve bounds.
    Curve(ArrivalCurve),
}

impl From<Nanos> for ArrivalLaw {
    fn from(period: Nanos) -> Self {
        Self::Sporadic(period)
    }
}

impl From<ArrivalCurve> for ArrivalLaw {
    fn from(curve: ArrivalCurve) -> Self {
        Self::Curve(curve)
    }
}

impl Default for ArrivalLaw {
    /// A period of 0, which is not valid: it has to be stated.
    fn default() -> Self {
        Self::Sporadic(Nanos::ZERO)
    }
}

impl ArrivalLaw {
    /// The period, if that is all there is to say.
    #[must_use]
    pub const fn period(&self) -> Option<Nanos> {
        match self {
            Self::Sporadic(period) => Some(*period),
            Self::Curve(_) => None,
        }
    }

    /// The long-run rate: so many jobs in so long, at most. `(1, T)` for a period.
    ///
    /// For a curve the least `α(x) / x`: no sequence of windows of that `x` holds more (Fekete's lemma). It is
    /// `n_last / H` unless the curve allows more in a whole horizon than in the parts of it.
    #[must_use]
    pub fn rate(&self) -> (u64, Nanos) {
        match self {
            Self::Sporadic(period) => (1, *period),
            Self::Curve(curve) => curve.rate(),
        }
    }

    /// The average time between two jobs at the long-run rate, rounded down but at least 1 ns (unless the period is 0):
    /// the period where there is one.
    ///
    /// Bursts are denser: no bound may be computed with this.
    #[must_use]
    pub fn mean_distance(&self) -> Nanos {
        match self {
            Self::Sporadic(period) => *period,
            Self::Curve(curve) => {
                let (jobs, window) = curve.rate();
                Nanos((window.0 / jobs).max(1))
            }
        }
    }

    /// `α(x)`: the most jobs that arrive in any half-open window `[t, t + x)`. `u64::MAX` stands for all that is more.
    #[must_use]
    #[inline]
    pub fn arrivals_within(&self, window: u64) -> u64 {
        match self {
            Self::Sporadic(period) => window.div_ceil(period.0),
            Self::Curve(curve) => curve.arrivals_within(window),
        }
    }

    /// How long after some job the `n`-th job after it can arrive at the earliest: the least `x` with
    /// `α(x + 1) ≥ n + 1`. `u64::MAX` stands for all that is more.
    #[must_use]
    #[inline]
    pub fn distance(&self, n: u64) -> u64 {
        match self {
            Self::Sporadic(period) => period.0.saturating_mul(n),
            Self::Curve(curve) => curve.distance(n),
        }
    }
}

/// The most arrivals that a curve may allow in its horizon: no queue holds more jobs than that.
const MOST_ARRIVALS: u64 = 1 << 20;

/// An upper bound on arrivals: `α(x) = ⌊x / H⌋ · n_last + n(x mod H)`, where `n(x)` is the count of the last step at or
/// before `x`, and `n(0) = 0`.
///
/// Any such curve is a sound bound; bounds that are computed with it are attained where it is subadditive
/// (`α(x + y) ≤ α(x) + α(y)`), so that jobs can in fact arrive as densely as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(try_from = "Stated"))]
pub struct ArrivalCurve {
    horizon: Nanos,
    steps: Vec<(Nanos, u64)>,
}

/// A curve as a file states it; what is read is checked like everything else.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
struct Stated {
    horizon: Nanos,
    steps: Vec<(Nanos, u64)>,
}

#[cfg(feature = "serde")]
impl TryFrom<Stated> for ArrivalCurve {
    type Error = ArrivalCurveError;

    fn try_from(stated: Stated) -> Result<Self, ArrivalCurveError> {
        Self::new(stated.horizon, stated.steps)
    }
}

/// Why steps are no arrival curve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArrivalCurveError {
    /// Nothing ever arrives.
    #[error("an arrival curve needs at least one step [delta_ns, count]")]
    Empty,
    /// A window of length 0 holds nothing.
    #[error(
        "step {step} starts at a window of 0 ns, which holds no arrival; a window of 1 ns is the shortest"
    )]
    ZeroStep {
        /// Its position.
        step: usize,
    },
    /// No window of 1 ns may hold an arrival, so that none ever happens.
    #[error(
        "the first step starts at a window of {window}, which allows no arrival at all: a job that arrives is in a window of 1 ns; begin with the step [1, most jobs at one instant]"
    )]
    LateFirstStep {
        /// The window of the first step.
        window: Nanos,
    },
    /// More arrivals than any queue holds.
    #[error("step {step} allows {count} arrivals; the most is {MOST_ARRIVALS}")]
    TooMany {
        /// Its position.
        step: usize,
        /// Its count.
        count: u64,
    },
    /// Windows or counts do not grow.
    #[error(
        "step {step} does not grow: windows and counts must both be larger than in the step before, and counts at least 1"
    )]
    NotGrowing {
        /// Its position.
        step: usize,
    },
    /// The horizon is before the last step.
    #[error("the horizon of {horizon} is shorter than the window {last} of the last step")]
    ShortHorizon {
        /// The horizon.
        horizon: Nanos,
        /// The window of the last step.
        last: Nanos,
    },
}

impl ArrivalCurve {
    /// `steps` are `(window, most arrivals in it)`, both growing, the first window 1 ns, the last not beyond the horizon.
    ///
    /// # Errors
    /// [`ArrivalCurveError`] with the step that breaks the rule.
    pub fn new(horizon: Nanos, steps: Vec<(Nanos, u64)>) -> Result<Self, ArrivalCurveError> {
        let mut before = (Nanos::ZERO, 0);
        for (i, &(window, count)) in steps.iter().enumerate() {
            if window == Nanos::ZERO {
                return Err(ArrivalCurveError::ZeroStep { step: i });
            }
            if window <= before.0 || count <= before.1 {
                return Err(ArrivalCurveError::NotGrowing { step: i });
            }
            if i == 0 && window > Nanos(1) {
                return Err(ArrivalCurveError::LateFirstStep { window });
            }
            if count > MOST_ARRIVALS {
                return Err(ArrivalCurveError::TooMany { step: i, count });
            }
            before = (window, count);
        }
        if steps.is_empty() {
            return Err(ArrivalCurveError::Empty);
        }
        if before.0 > horizon {
            return Err(ArrivalCurveError::ShortHorizon { horizon, last: before.0 });
        }
        Ok(Self { horizon, steps })
    }

    /// `H`: the window after which the steps repeat.
    #[must_use]
    pub const fn horizon(&self) -> Nanos {
        self.horizon
    }

    /// Windows with the most arrivals in them, growing.
    #[must_use]
    pub fn steps(&self) -> &[(Nanos, u64)] {
        &self.steps
    }

    /// `α(x) / x` is least just before a step, or after whole horizons.
    fn rate(&self) -> (u64, Nanos) {
        let before = self.steps.windows(2).map(|pair| (pair[0].1, pair[1].0 - Nanos(1)));
        let ratio = |a: &(u64, Nanos), b: &(u64, Nanos)| {
            (u128::from(a.0) * u128::from(b.1.0)).cmp(&(u128::from(b.0) * u128::from(a.1.0)))
        };
        before.fold(
            (self.last(), self.horizon),
            |least, next| {
                if ratio(&next, &least).is_lt() { next } else { least }
            },
        )
    }

    fn last(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.1)
    }

    fn arrivals_within(&self, window: u64) -> u64 {
        let (whole, rest) = (window / self.horizon.0, window % self.horizon.0);
        let steps = self.steps.partition_point(|step| step.0.0 <= rest);
        let in_rest = steps.checked_sub(1).map_or(0, |i| self.steps[i].1);
        whole.saturating_mul(self.last()).saturating_add(in_rest)
    }

    fn distance(&self, n: u64) -> u64 {
        // The last step may lie on the horizon itself, where α already counts it as a whole round.
        let (rounds, rest) = (n / self.last(), n % self.last());
        let step = self.steps.partition_point(|step| step.1 <= rest);
        let window = self.steps.get(step).map_or(self.horizon.0, |step| step.0.0);
        rounds.saturating_mul(self.horizon.0).saturating_add(window - 1)
    }
}

/// The earliest next arrival of one task: what its law still remembers of the arrivals so far.
///
/// Takes all its memory when it is made: one time, or as many as the curve allows in its horizon.
#[derive(Debug, Clone)]
pub struct NextArrival<'a> {
    law: &'a ArrivalLaw,
    /// The last arrivals, in order; those further back than the horizon's count constrain nothing that these do not.
    recent: VecDeque<Nanos>,
    remembered: usize,
}

impl<'a> NextArrival<'a> {
    /// Nothing has arrived yet.
    #[must_use]
    pub fn new(law: &'a ArrivalLaw) -> Self {
        let remembered = match law {
            ArrivalLaw::Sporadic(_) => 1,
            ArrivalLaw::Curve(curve) => usize::try_from(curve.last()).unwrap_or(usize::MAX),
        };
        Self { law, recent: VecDeque::with_capacity(remembered), remembered }
    }

    /// Before this moment the law allows no further arrival; 0 before the first.
    #[must_use]
    pub fn earliest(&self) -> Nanos {
        let after = |n: u64, distance: u64| {
            let back = usize::try_from(n).ok().and_then(|n| self.recent.len().checked_sub(n));
            back.and_then(|i| self.recent.get(i)).map(|at| at.saturating_add(Nanos(distance)))
        };
        let last = self.recent.back().copied().unwrap_or_default();
        match self.law {
            ArrivalLaw::Sporadic(period) => after(1, period.0).unwrap_or_default(),
            // So many jobs ago one arrived, and the window of the next step may not hold it and the next one.
            ArrivalLaw::Curve(curve) => {
                let full = curve.steps.iter().map(|step| step.1);
                full.filter_map(|n| after(n, curve.distance(n))).max().unwrap_or_default().max(last)
            }
        }
    }

    /// A job arrives at `at`, not before [`earliest`](Self::earliest).
    pub fn arrived(&mut self, at: Nanos) {
        if self.recent.len() == self.remembered {
            self.recent.pop_front();
        }
        self.recent.push_back(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn curve(horizon: u64, steps: &[(u64, u64)]) -> Result<ArrivalCurve, ArrivalCurveError> {
        ArrivalCurve::new(Nanos(horizon), steps.iter().map(|&(x, n)| (Nanos(x), n)).collect())
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(curve(10, &[]), Err(ArrivalCurveError::Empty));
        assert_eq!(curve(10, &[(0, 1)]), Err(ArrivalCurveError::ZeroStep { step: 0 }));
        assert_eq!(curve(10, &[(2, 1)]), Err(ArrivalCurveError::LateFirstStep { window: Nanos(2) }));
        let many = MOST_ARRIVALS + 1;
        assert_eq!(curve(10, &[(1, many)]), Err(ArrivalCurveError::TooMany { step: 0, count: many }));
        assert_eq!(curve(10, &[(1, 0)]), Err(ArrivalCurveError::NotGrowing { step: 0 }));
        assert_eq!(curve(10, &[(1, 1), (1, 2)]), Err(ArrivalCurveError::NotGrowing { step: 1 }));
        assert_eq!(curve(10, &[(1, 1), (2, 1)]), Err(ArrivalCurveError::NotGrowing { step: 1 }));
        let short = ArrivalCurveError::ShortHorizon { horizon: Nanos(4), last: Nanos(5) };
        assert_eq!(curve(4, &[(1, 1), (5, 2)]), Err(short));
    }

    #[test]
    fn counts_and_distances() {
        let law = ArrivalLaw::from(curve(20, &[(1, 2), (8, 3)]).unwrap());
        let counts: Vec<u64> = [0, 1, 7, 8, 19, 20, 21, 28, 41].map(|x| law.arrivals_within(x)).to_vec();
        assert_eq!(counts, [0, 2, 2, 3, 3, 3, 5, 6, 8]);
        assert_eq!((0..7).map(|n| law.distance(n)).collect::<Vec<_>>(), [0, 0, 7, 20, 20, 27, 40]);
        assert_eq!(law.rate(), (3, Nanos(20)));
        assert_eq!(law.mean_distance(), Nanos(6));
        // Six jobs in any 9 ns, but only one in any 4 ns.
        let law = ArrivalLaw::from(curve(9, &[(1, 1), (5, 6)]).unwrap());
        assert_eq!(law.rate(), (1, Nanos(4)));
    }

    /// The two forms are one function, and `distance` is the inverse that the analyses take it for.
    #[test]
    fn distance_is_the_inverse_of_the_count() {
        let laws = [
            ArrivalLaw::Sporadic(Nanos(7)),
            curve(7, &[(1, 1)]).unwrap().into(),
            curve(10, &[(1, 1), (10, 2)]).unwrap().into(),
            curve(30, &[(1, 3), (2, 4), (17, 9)]).unwrap().into(),
            curve(9, &[(1, 1), (5, 6)]).unwrap().into(),
        ];
        for law in &laws {
            for n in 0..50 {
                let x = law.distance(n);
                assert!(law.arrivals_within(x + 1) > n, "{law:?}, job {n}");
                assert!(x == 0 || law.arrivals_within(x) <= n, "{law:?}, job {n}");
            }
        }
        for x in 0..100 {
            assert_eq!(laws[0].arrivals_within(x), laws[1].arrivals_within(x));
        }
        assert_eq!(laws[0].arrivals_within(u64::MAX), u64::MAX.div_ceil(7));
        assert_eq!(vec![laws[0].distance(u64::MAX); 2], [u64::MAX; 2]);
    }
    /// Every window of arrivals that come as early as they may is within the curve, and some cannot hold one more.
    #[test]
    fn the_earliest_next_arrival_is_the_first_that_the_curve_allows() {
        let laws = [
            ArrivalLaw::Sporadic(Nanos(7)),
            curve(7, &[(1, 1)]).unwrap().into(),
            curve(20, &[(1, 2), (8, 3)]).unwrap().into(),
            curve(30, &[(1, 3), (2, 4), (17, 9)]).unwrap().into(),
            // Not subadditive: five jobs are allowed at once as soon as a window is 9 ns long, but only one in 4 ns.
            curve(9, &[(1, 1), (5, 6)]).unwrap().into(),
        ];
        for law in &laws {
            let mut next = NextArrival::new(law);
            let mut arrived: Vec<u64> = Vec::new();
            for k in 0..60 {
                let allowed = |at: u64| {
                    let within = |i: usize| law.arrivals_within(at - arrived[i] + 1);
                    (0..arrived.len()).all(|i| (arrived.len() - i + 1) as u64 <= within(i))
                };
                let last = arrived.last().copied().unwrap_or(0);
                let first = (last..last + 100).find(|&at| allowed(at));
                assert_eq!(Some(next.earliest().0), first, "{law:?} after {arrived:?}");
                // Now and then later than it may.
                let at = next.earliest() + Nanos(if k % 7 == 3 { k % 5 } else { 0 });
                next.arrived(at);
                arrived.push(at.0);
            }
        }
    }
}
