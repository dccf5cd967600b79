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
