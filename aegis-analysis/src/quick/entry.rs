//! A task in the numbers that quick tests use: division by its period is a multiplication, its share a binary fraction.
//!
//! Fractions are whole multiples of 2⁻⁶³, rounded outward: [`ONE`] is 1. Every time of an entry is at most [`MOST`], and
//! so is ΣC of the entries that are tested together: with ΣC/T ≤ 1, everything that the tests compute stays below 2⁶³.
use crate::load::Load;
use aegis_core::{ArrivalLaw, Overheads, Task, TaskId};
use core::cmp::Ordering;

/// 1 as a fraction.
pub(crate) const ONE: u64 = 1 << 63;

/// The longest time of an entry, 36 years; the general analyses take longer ones.
pub(crate) const MOST: u64 = 1 << 60;

/// The order in which tasks stand in a line; equal ranks are equally urgent.
pub(crate) type Rank = (u64, u64, u64);

/// One sporadic task, overheads included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub id: TaskId,
    /// `C` with all overheads.
    pub c: u64,
    /// The longest segment.
    pub longest: u64,
    /// The last segment.
    pub last: u64,
    /// `T`.
    pub t: u64,
    /// `⌊(2⁶⁴ − 1) / T⌋`.
    pub inverse: u64,
    /// `D`.
    pub d: u64,
    /// `J`, the release overhead included.
    pub j: u64,
    /// `⌊(J − 1) / T⌋`, 0 without jitter: jobs that can be released after a later one of the task.
    pub overtaken: u64,
    /// Where fixed priorities place it.
    pub rank: Rank,
    /// `C / T` from below and from above; above 1 both only say so.
    pub low: u64,
    pub high: u64,
}

impl Entry {
    /// `None` for arrival curves and for times above [`MOST`], which are left to the general analyses.
    pub(crate) fn new(id: TaskId, task: &Task, overheads: &Overheads, rank: Rank) -> Option<Self> {
        let &ArrivalLaw::Sporadic(period) = &task.arrival else { return None };
        let around = overheads.around_segment()?.0;
        let (mut c, mut longest, mut last) = (0u64, 0, 0);
        let mut extra = overheads.copy.0;
        for segment in &task.segments {
            last = segment.0.checked_add(around)?.checked_add(extra)?;
            extra = 0;
            longest = longest.max(last);
            c = c.checked_add(last)?;
        }
        let j = task.jitter.0.checked_add(overheads.release.0)?;
        Self { id, c, longest, last, t: period.0, d: task.deadline.0, j, rank, ..Self::EMPTY }.complete()
    }

    /// The same of a task as the general analyses see it.
    pub(crate) fn of(load: &Load, rank: Rank) -> Option<Self> {
        let &ArrivalLaw::Sporadic(period) = &load.arrival else { return None };
        let &Load { id, c, longest, last, d, j, .. } = load;
        Self { id, c, longest, last, t: period.0, d, j, rank, ..Self::EMPTY }.complete()
    }

    const EMPTY: Self = Self {
        id: TaskId(0),
        c: 0,
        longest: 0,
        last: 0,
        t: 0,
        inverse: 0,
        d: 0,
        j: 0,
        overtaken: 0,
        rank: (0, 0, 0),
        low: 0,
        high: 0,
    };

    /// With what follows from its times.
    fn complete(self) -> Option<Self> {
        let Self { c, t, d, j, .. } = self;
        if c.max(t).max(d).max(j) > MOST || c.min(t).min(d) == 0 {
            return None;
        }
        let inverse = u64::MAX / t;
        let (low, high) = share(c, t, inverse);
        let overtaken = if j > t { (j - 1) / t } else { 0 };
        Some(Self { inverse, overtaken, low, high, ..self })
    }

    /// `⌊x / T⌋`.
    pub(crate) fn periods_in(&self, x: u64) -> u64 {
        quotient(x, self.t, self.inverse)
    }

    /// `D − J`: the first deadline of a job that is released at 0 or later. `None` before it can end.
    pub(crate) fn first_deadline(&self) -> Option<u64> {
        self.d.checked_sub(self.j).filter(|due| *due >= self.c)
    }

    /// `⌈J · C / T⌉`, at least.
    pub(crate) fn jitter_work(&self) -> u64 {
        if self.j == 0 { 0 } else { part(self.high, self.j) + 1 }
    }

    /// `⌊J · C / T⌋`, at most.
    pub(crate) fn least_jitter_work(&self) -> u64 {
        if self.j == 0 { 0 } else { part(self.low, self.j) }
    }
}

/// `C / T` from below and from above.
fn share(c: u64, t: u64, inverse: u64) -> (u64, u64) {
    if c > t {
        return (ONE + 1, u64::MAX);
    }
    // 2⁶⁴ / T is between `inverse` and `inverse + 1`, which has fewer digits the longer the period.
    if t < 1 << 32 {
        let low = c * inverse;
        return (low >> 1, (low >> 1) + (c >> 1) + 1);
    }
    let low = (u128::from(c) << 63) / u128::from(t);
    let low = u64::try_from(low).unwrap_or(ONE);
    (low, low + 1)
}

/// A fraction that is at least `c / of`, for `c ≤ of`.
pub(crate) fn share_up(c: u64, of: u64) -> u64 {
    share(c, of, u64::MAX / of).1
}

/// `⌊x · fraction⌋`, for a fraction up to 2.
pub(crate) fn part(fraction: u64, x: u64) -> u64 {
    let (low, high) = fraction.carrying_mul(x, 0);
    (high << 1) | (low >> 63)
}

/// The largest integer up to `x / fraction`; the whole range of integers for a fraction of 0.
pub(crate) fn over(x: u64, fraction: u64) -> u64 {
    let quotient = (u128::from(x) << 63).checked_div(u128::from(fraction));
    quotient.and_then(|q| u64::try_from(q).ok()).unwrap_or(u64::MAX)
}

/// `⌊x / t⌋` for `x < 2⁶³`, where `inverse` is `⌊(2⁶⁴ − 1) / t⌋`.
///
/// `x / t − x · inverse / 2⁶⁴ ≤ x / 2⁶⁴ < 1 / 2`: the high half of the product is the quotient or one below it.
#[inline]
pub(crate) fn quotient(x: u64, t: u64, inverse: u64) -> u64 {
    let (_, near) = x.carrying_mul(inverse, 0);
    near + u64::from(x - near * t >= t)
}

/// ΣC/T in parts per million, rounded up.
pub(crate) fn parts_per_million<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> u64 {
    // In multiples of 2⁻⁴⁰, so that the product with a million fits.
    let share = |entry: &Entry| {
        let high = u128::from(entry.c) * (u128::from(entry.inverse) + 1);
        (high >> 24) + 1
    };
    let sum: u128 = entries.into_iter().map(share).sum();
    u64::try_from((sum * 1_000_000) >> 40).unwrap_or(u64::MAX).saturating_add(1)
}

/// What a set asks for: sums that are kept up to date as tasks come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    /// ΣC.
    pub c: u128,
    /// ΣC/T from below and from above.
    low: u128,
    high: u128,
    /// Tasks with jitter, and those of whom a later job can be released first.
    pub jittery: usize,
    pub overtaking: usize,
}

impl Sums {
    pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut sums = Self::default();
        entries.into_iter().for_each(|entry| sums.add(entry));
        sums
    }

    pub(crate) fn add(&mut self, entry: &Entry) {
        self.c += u128::from(entry.c);
        self.low += u128::from(entry.low);
        self.high += u128::from(entry.high);
        self.jittery += usize::from(entry.j > 0);
        self.overtaking += usize::from(entry.overtaken > 0);
    }

    /// Undoes [`Sums::add`].
    pub(crate) fn remove(&mut self, entry: &Entry) {
        self.c -= u128::from(entry.c);
        self.low -= u128::from(entry.low);
        self.high -= u128::from(entry.high);
        self.jittery -= usize::from(entry.j > 0);
        self.overtaking -= usize::from(entry.overtaken > 0);
    }

    /// `None` where ΣC is too large for the tests.
    pub(crate) fn fits(&self) -> Option<&Self> {
        (self.c <= u128::from(MOST)).then_some(self)
    }

    /// ΣC/T against 1; `exact` is asked where the fractions cannot tell.
    pub(crate) fn against_one(&self, exact: impl FnOnce() -> Ordering) -> Ordering {
        if self.high < u128::from(ONE) {
            Ordering::Less
        } else if self.low > u128::from(ONE) {
            Ordering::Greater
        } else {
            exact()
        }
    }

    /// At least ΣC/T, which is known to be at most 1.
    pub(crate) fn share(&self) -> u64 {
        u64::try_from(self.high).unwrap_or(ONE).min(ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_core::{Nanos, Rng};

    /// Numbers of all sizes from 1, and those beside powers of two.
    fn number(rng: &mut Rng, most: u64) -> u64 {
        let power = 1_u64 << rng.between(0, u64::from(most.ilog2()));
        let number = match rng.between(0, 3) {
            0 => power - 1,
            1 => power,
            2 => power + 1,
            _ => rng.between(power, power + (power - 1)),
        };
        number.clamp(1, most)
    }

    #[test]
    fn quotients_are_floors() {
        for t in 1..200 {
            for x in 0..1_000 {
                assert_eq!(quotient(x, t, u64::MAX / t), x / t, "{x} / {t}");
            }
        }
        let seed = 41;
        let mut rng = Rng::new(seed);
        for _ in 0..100_000 {
            let t = number(&mut rng, MOST);
            // Around multiples, where an error of one part in 2⁶⁴ shows.
            let multiple = number(&mut rng, (ONE - 1) / t) * t;
            for x in [multiple.saturating_sub(1), multiple, multiple + 1, number(&mut rng, ONE - 1)] {
                let x = x.min(ONE - 1);
                assert_eq!(quotient(x, t, u64::MAX / t), x / t, "seed {seed}: {x} / {t}");
            }
        }
    }

    /// Below and above the true share by no more than periods below 2³² cost: half of `C` and 2 in units of 2⁻⁶³.
    #[test]
    fn shares_are_rounded_outward() {
        let seed = 42;
        let mut rng = Rng::new(seed);
        for _ in 0..100_000 {
            let t = number(&mut rng, MOST);
            let c = number(&mut rng, t);
            let at = format!("seed {seed}: {c} / {t}");
            let (low, high) = share(c, t, u64::MAX / t);
            let (c, t) = (u128::from(c), u128::from(t));
            assert!(u128::from(low) * t <= c << 63 && c << 63 <= u128::from(high) * t, "{at}: {low} {high}");
            assert!(u128::from(high - low) <= c / 2 + 2, "{at}: {low} {high}");
            assert_eq!(u128::from(share_up(c as u64, t as u64)), u128::from(high), "{at}");
        }
        assert_eq!(share(2, 1, u64::MAX), (ONE + 1, u64::MAX), "above 1");
    }

    #[test]
    fn parts_are_floors_and_overs_are_ceilings_of_none() {
        let seed = 43;
        let mut rng = Rng::new(seed);
        for _ in 0..100_000 {
            let (fraction, x) = (number(&mut rng, ONE), number(&mut rng, ONE - 1));
            let at = format!("seed {seed}: {fraction} {x}");
            let product = u128::from(fraction) * u128::from(x);
            assert_eq!(u128::from(part(fraction, x)), product >> 63, "{at}");
            let quotient = (u128::from(x) << 63) / u128::from(fraction);
            assert_eq!(u128::from(over(x, fraction)), quotient.min(u64::MAX.into()), "{at}");
        }
        assert_eq!(over(5, 0), u64::MAX);
    }

    fn entry(c: u64, t: u64, j: u64) -> Entry {
        let load = Load::new(TaskId(0), &task(c, t, j), Overheads::default());
        Entry::of(&load, (0, 0, 0)).expect("it is within the quick tests' times")
    }

    fn task(c: u64, t: u64, j: u64) -> Task {
        Task {
            name: "a".into(),
            segments: vec![Nanos(c)],
            arrival: Nanos(t).into(),
            deadline: Nanos(MOST),
            jitter: Nanos(j),
            priority: aegis_core::Priority(0),
        }
    }

    /// `J · C / T` from below and from above, and the jobs that overtake: those `k ≥ 1` with `k · T < J`.
    #[test]
    fn jitter_is_rounded_outward() {
        for t in 1..12 {
            for c in 1..=t {
                for j in 0..40 {
                    let entry = entry(c, t, j);
                    let at = format!("C {c}, T {t}, J {j}");
                    assert_eq!(entry.overtaken, (1..=j).filter(|k| k * t < j).count() as u64, "{at}");
                    let (least, most) = (entry.least_jitter_work(), entry.jitter_work());
                    assert!(least * t <= j * c && j * c <= most * t, "{at}: {least} {most}");
                    assert!(most - least <= 2, "{at}: {least} {most}");
                }
            }
        }
    }

    /// ΣC/T in parts per million from above, by at most one.
    #[test]
    fn parts_per_million_are_rounded_up() {
        let seed = 44;
        let mut rng = Rng::new(seed);
        for _ in 0..10_000 {
            let entries: Vec<Entry> = (0..rng.between(1, 20))
                .map(|_| {
                    let t = rng.between(1, 1 << 40);
                    entry(rng.between(1, t), t, 0)
                })
                .collect();
            // Below by less than 20 parts in 2⁸⁰.
            let share = |entry: &Entry| (u128::from(entry.c) << 80) / u128::from(entry.t);
            let exact = (entries.iter().map(share).sum::<u128>() * 1_000_000) >> 80;
            let told = u128::from(parts_per_million(&entries));
            assert!((exact + 1..=exact + 2).contains(&told), "seed {seed}: {told} for {exact}: {entries:?}");
        }
    }

    /// What the sums cannot tell from 1 is asked, and nothing else.
    #[test]
    fn sums_ask_where_they_cannot_tell() {
        let compare = |rows: &[(u64, u64)]| {
            let entries: Vec<Entry> = rows.iter().map(|&(c, t)| entry(c, t, 0)).collect();
            let mut asked = false;
            let answer = Sums::of(&entries).against_one(|| {
                asked = true;
                Ordering::Equal
            });
            (answer, asked)
        };
        assert_eq!(compare(&[(1, 3), (1, 3)]), (Ordering::Less, false));
        assert_eq!(compare(&[(1, 3), (1, 3), (1, 3)]), (Ordering::Equal, true));
        assert_eq!(compare(&[(1, 3), (1, 3), (2, 5)]), (Ordering::Greater, false));
    }
}
