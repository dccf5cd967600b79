//! How much memory no plan can do without: the most bytes that are live at one instant, with that instant as witness.
use crate::{Buffer, Problem};
use aegis_core::Bytes;
use std::collections::BTreeMap;
use std::fmt;

/// A lower bound on the peak of every plan, and why it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// No plan needs less.
    pub bytes: Bytes,
    /// The first instant at which the buffers of [`live`](Self::live) are live together.
    pub at: u64,
    /// The ids of the buffers that are live then, in the order of the problem.
    pub live: Vec<String>,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        write!(f, "{} are live at {}", self.bytes, self.at)?;
        for (i, id) in self.live.iter().take(SHOWN).enumerate() {
            write!(f, "{}{id}", if i == 0 { ": " } else { ", " })?;
        }
        match self.live.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The bound of a problem, in O(n log n).
///
/// At one instant the live buffers lie side by side. With `g` the greatest common divisor of all alignments every offset
/// is a multiple of `g`, so each of them keeps `⌈size/g⌉·g` bytes from the others, except the topmost, whose last block
/// may end early. The bound at an instant is therefore the sum of the rounded sizes less the largest rounding among
/// them; with `g = 1` that is the sum of the sizes. Any number of instants proves nothing more than the largest one.
#[must_use]
pub fn lower_bound(problem: &Problem) -> Bound {
    let grain = grain(problem);
    // First, every begin and end; ends sort before begins at the same instant, since lifetimes are half-open.
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (index, buffer) in problem.buffers().iter().enumerate().filter(|(_, b)| b.size > Bytes::ZERO) {
        for interval in buffer.lifetime.intervals() {
            events.push((interval.lower, true, index));
            events.push((interval.upper, false, index));
        }
    }
    events.sort_unstable();
    // Then, walk them with the rounded sum and the multiset of roundings of what is live. Problem::new has checked that
    // the sum of all sizes and alignments fits.
    let (mut live, mut most, mut at) = (0u64, 0u64, 0u64);
    let mut roundings: BTreeMap<u64, usize> = BTreeMap::new();
    for (instant, begins, index) in events {
        let size = problem.buffers()[index].size.0;
        let rounded = size.next_multiple_of(grain);
        if begins {
            live += rounded;
            *roundings.entry(rounded - size).or_insert(0) += 1;
            let largest = roundings.last_key_value().map_or(0, |(rounding, _)| *rounding);
            if live - largest > most {
                (most, at) = (live - largest, instant);
            }
        } else {
            live -= rounded;
            if let Some(count) = roundings.get_mut(&(rounded - size)) {
                *count -= 1;
                if *count == 0 {
                    roundings.remove(&(rounded - size));
                }
            }
        }
    }
    // Finally, name the witnesses.
    let is_live = |b: &&Buffer| {
        b.size > Bytes::ZERO && b.lifetime.intervals().iter().any(|i| i.lower <= at && at < i.upper)
    };
    let live = problem.buffers().iter().filter(is_live).map(|b| b.id.clone()).collect();
    Bound { bytes: Bytes(most), at, live }
}

/// Every offset is a multiple of this.
fn grain(problem: &Problem) -> u64 {
    problem.buffers().iter().filter(|b| b.size > Bytes::ZERO).fold(0, |g, b| gcd(g, b.align.0)).max(1)
}

pub(crate) const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv;

    fn check(text: &str, bytes: u64, at: u64, live: &[&str]) {
        let problem = csv::parse(text, None).unwrap();
        let bound = lower_bound(&problem);
        assert_eq!((bound.bytes, bound.at), (Bytes(bytes), at), "{text}");
        assert_eq!(bound.live, live, "{text}");
    }

    #[test]
    fn the_bound_names_its_witness() {
        check("id,lower,upper,size\na,0,3,4\nb,3,9,4\nc,0,9,4\nd,4,5,0\n", 8, 0, &["a", "c"]);
        check("id,lower,upper,size\na,0,3,4\nb,2,9,5\nc,8,9,5\n", 10, 8, &["b", "c"]);
        check("id,lower,upper,size,gaps\na,0,9,4,2-5\nb,2,5,9,\n", 9, 2, &["b"]);
        check("id,lower,upper,size\na,1,2,0\n", 0, 0, &[]);
        // Offsets are multiples of 4: 5 is rounded to 8 unless it is on top, and 6 on top of it ends at 14.
        check("id,lower,upper,size,alignment\na,0,1,5,4\nb,0,1,6,8\n", 13, 0, &["a", "b"]);
        // 9 is rounded to 12 but ends at 9: no more than the 10 that are live before.
        check("id,lower,upper,size,alignment\na,0,1,10,4\nb,2,3,9,4\n", 10, 0, &["a"]);
        check("id,lower,upper,size,alignment\na,0,1,5,4\nb,0,1,6,9\n", 11, 0, &["a", "b"]);
    }

    #[test]
    fn an_empty_problem_needs_nothing() {
        let bound = lower_bound(&Problem::new(vec![], None).unwrap());
        assert_eq!(bound, Bound { bytes: Bytes::ZERO, at: 0, live: vec![] });
    }
}
