//! What is to be placed: buffers with sizes, alignments and lifetimes; valid by construction.
use aegis_core::Bytes;
use std::collections::HashMap;

/// Instants `lower ≤ t < upper` at which a buffer must keep its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    /// First instant.
    pub lower: u64,
    /// First instant after it.
    pub upper: u64,
}

/// When a buffer is live: a union of intervals, sorted, non-empty, with dead time between any two.
///
/// A union and not one interval, because a model's buffer keeps its offset in every job (captured graphs hold raw
/// addresses) while between the jobs others may use the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime(Vec<Interval>);

/// Why intervals are not a lifetime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifetimeError {
    /// There is no interval.
    #[error("a lifetime needs at least one interval")]
    NeverLive,
    /// An interval holds no instant.
    #[error("the interval [{lower}, {upper}) is empty; its upper end must be above its lower end")]
    EmptyInterval {
        /// Its lower end.
        lower: u64,
        /// Its upper end.
        upper: u64,
    },
    /// An interval begins before the one listed before it has ended.
    #[error(
        "the interval that begins at {lower} is listed after one that ends at {previous_upper}; sort them and join those that overlap"
    )]
    NotSorted {
        /// Where it begins.
        lower: u64,
        /// Where the one before it ends.
        previous_upper: u64,
    },
}

impl Lifetime {
    /// One interval `[lower, upper)`.
    ///
    /// # Errors
    /// [`LifetimeError::EmptyInterval`] unless `lower < upper`.
    pub fn interval(lower: u64, upper: u64) -> Result<Self, LifetimeError> {
        Self::union([Interval { lower, upper }])
    }

    /// Several intervals, sorted and disjoint; intervals that touch are joined.
    ///
    /// # Errors
    /// The first [`LifetimeError`] in the order given.
    pub fn union(intervals: impl IntoIterator<Item = Interval>) -> Result<Self, LifetimeError> {
        let mut joined: Vec<Interval> = Vec::new();
        for Interval { lower, upper } in intervals {
            if lower >= upper {
                return Err(LifetimeError::EmptyInterval { lower, upper });
            }
            match joined.last_mut() {
                Some(last) if lower < last.upper => {
                    return Err(LifetimeError::NotSorted { lower, previous_upper: last.upper });
                }
                Some(last) if lower == last.upper => last.upper = upper,
                _ => joined.push(Interval { lower, upper }),
            }
        }
        if joined.is_empty() { Err(LifetimeError::NeverLive) } else { Ok(Self(joined)) }
    }

    /// The intervals: sorted, with dead time between any two.
    #[must_use]
    pub fn intervals(&self) -> &[Interval] {
        &self.0
    }

    /// Number of instants at which it is live.
    #[must_use]
    pub fn length(&self) -> u64 {
        // Disjoint intervals of u64 instants: the sum cannot exceed u64::MAX.
        self.0.iter().map(|i| i.upper - i.lower).sum()
    }

    /// The first instant at which both are live, or `None`.
    #[must_use]
    pub fn meets(&self, other: &Self) -> Option<u64> {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let from = x.lower.max(y.lower);
            if from < x.upper.min(y.upper) {
                return Some(from);
            }
            if x.upper <= y.upper {
                a.next()
            } else {
                b.next()
            };
        }
        None
    }
}

/// One buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// Its name, unique in its problem.
    pub id: String,
    /// When it is live.
    pub lifetime: Lifetime,
    /// Its size. A buffer of 0 bytes conflicts with nothing and is placed at 0.
    pub size: Bytes,
    /// Its offset must be a multiple of this; not 0, 1 for anywhere.
    pub align: Bytes,
}

/// Buffers to place in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    buffers: Vec<Buffer>,
    capacity: Option<Bytes>,
}

/// Why buffers are not a problem that can be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemError {
    /// Two buffers have one id.
    #[error("buffers {first} and {second} are both named `{id}`; ids must be unique")]
    DuplicateId {
        /// Position of the one that came first.
        first: usize,
        /// Position of the other.
        second: usize,
        /// The id.
        id: String,
    },
    /// An alignment of zero.
    #[error("buffer `{id}`: alignment is 0; write 1 for a buffer that may start anywhere")]
    ZeroAlignment {
        /// Position of the buffer.
        index: usize,
        /// Its id.
        id: String,
    },
    /// All buffers side by side exceed [`Problem::MOST_BYTES`], so offsets could overflow.
    #[error(
        "up to buffer `{id}` the sizes with their alignments sum to more than 2^62 bytes; offsets would not fit"
    )]
    TooLarge {
        /// Position of the buffer at which the sum overflows.
        index: usize,
        /// Its id.
        id: String,
    },
    /// More buffers or intervals than 32 bits count.
    #[error("{n} intervals are too many; the most is {}", Problem::MOST_INTERVALS)]
    TooMany {
        /// How many there are.
        n: usize,
    },
}

impl Problem {
    /// The most intervals that all lifetimes of a problem may have together.
    pub const MOST_INTERVALS: usize = 1 << 30;

    /// The most that all buffers side by side may need: 4 EiB, so that no sum of a few offsets overflows.
    pub const MOST_BYTES: Bytes = Bytes(1 << 62);

    /// Checks the buffers. `capacity` is the size of the region; without one the plan only tries to be small.
    ///
    /// # Errors
    /// The first [`ProblemError`] in the order of the buffers.
    pub fn new(buffers: Vec<Buffer>, capacity: Option<Bytes>) -> Result<Self, ProblemError> {
        let n: usize = buffers.iter().map(|b| b.lifetime.intervals().len()).sum();
        if n > Self::MOST_INTERVALS {
            return Err(ProblemError::TooMany { n });
        }
        let mut position: HashMap<&str, usize> = HashMap::with_capacity(buffers.len());
        let mut side_by_side = 0u64;
        for (index, buffer) in buffers.iter().enumerate() {
            let id = || buffer.id.clone();
            if let Some(first) = position.insert(&buffer.id, index) {
                return Err(ProblemError::DuplicateId { first, second: index, id: id() });
            }
            if buffer.align == Bytes::ZERO {
                return Err(ProblemError::ZeroAlignment { index, id: id() });
            }
            side_by_side = side_by_side
                .checked_add(buffer.size.0)
                .and_then(|sum| sum.checked_add(buffer.align.0))
                .filter(|&sum| sum <= Self::MOST_BYTES.0)
                .ok_or_else(|| ProblemError::TooLarge { index, id: id() })?;
        }
        Ok(Self { buffers, capacity })
    }

    /// The buffers; offsets of a plan are in this order.
    #[must_use]
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// The size of the region.
    #[must_use]
    pub const fn capacity(&self) -> Option<Bytes> {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn union(spans: &[(u64, u64)]) -> Result<Lifetime, LifetimeError> {
        Lifetime::union(spans.iter().map(|&(lower, upper)| Interval { lower, upper }))
    }

    #[test]
    fn lifetimes_are_sorted_disjoint_and_joined() {
        assert_eq!(union(&[(0, 2), (2, 4)]), Lifetime::interval(0, 4));
        assert_eq!(union(&[(0, 2), (3, 4)]).unwrap().length(), 3);
        assert_eq!(union(&[]), Err(LifetimeError::NeverLive));
        assert_eq!(union(&[(3, 3)]), Err(LifetimeError::EmptyInterval { lower: 3, upper: 3 }));
        assert_eq!(union(&[(4, 3)]), Err(LifetimeError::EmptyInterval { lower: 4, upper: 3 }));
        assert_eq!(union(&[(0, 3), (2, 4)]), Err(LifetimeError::NotSorted { lower: 2, previous_upper: 3 }));
        assert_eq!(union(&[(5, 6), (0, 1)]), Err(LifetimeError::NotSorted { lower: 0, previous_upper: 6 }));
        assert_eq!(Lifetime::interval(0, u64::MAX).unwrap().length(), u64::MAX);
    }

    #[test]
    fn lifetimes_meet_at_the_first_common_instant() {
        let check = |a: &[(u64, u64)], b: &[(u64, u64)], at: Option<u64>| {
            let (a, b) = (union(a).unwrap(), union(b).unwrap());
            assert_eq!(a.meets(&b), at, "{a:?} {b:?}");
            assert_eq!(b.meets(&a), at, "{b:?} {a:?}");
        };
        check(&[(0, 3)], &[(3, 5)], None);
        check(&[(0, 4)], &[(3, 5)], Some(3));
        check(&[(0, 1), (4, 6), (9, 10)], &[(1, 4), (6, 9)], None);
        check(&[(0, 1), (4, 6), (9, 10)], &[(1, 4), (6, 9), (9, 20)], Some(9));
        check(&[(0, 100)], &[(7, 8), (50, 60)], Some(7));
    }

    #[test]
    fn bad_problems_are_refused_with_the_reason() {
        let buffer = |id: &str, size, align| Buffer {
            id: id.into(),
            lifetime: Lifetime::interval(0, 1).unwrap(),
            size: Bytes(size),
            align: Bytes(align),
        };
        let check = |buffers: Vec<Buffer>, says: &str| {
            let error = Problem::new(buffers, None).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        check(
            vec![buffer("a", 1, 1), buffer("b", 1, 1), buffer("a", 2, 1)],
            "buffers 0 and 2 are both named `a`",
        );
        check(vec![buffer("a", 1, 0)], "`a`: alignment is 0");
        const MOST: u64 = Problem::MOST_BYTES.0;
        check(vec![buffer("a", MOST - 1, 1), buffer("b", 0, 1)], "up to buffer `b`");
        check(vec![buffer("a", 1, u64::MAX)], "up to buffer `a`");
        assert!(Problem::new(vec![buffer("a", MOST - 1, 1)], None).is_ok());
        assert!(Problem::new(vec![], None).is_ok());
    }
}
