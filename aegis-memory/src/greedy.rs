//! One pass over the buffers in a fixed order, each into the first or the tightest hole between those already placed.
use crate::index::PlacedIndex;
use crate::instance::Instance;
use std::cmp::Reverse;
use std::fmt;

/// In which order a greedy pass takes the buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// Largest size first.
    Size,
    /// Longest lifetime first.
    Life,
    /// Largest size × lifetime first.
    Area,
    /// Most overlapping lifetimes first.
    Conflicts,
    /// Earliest first.
    Lower,
}

impl Order {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 5] = [Self::Size, Self::Area, Self::Life, Self::Conflicts, Self::Lower];
}

/// Which hole a greedy pass takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fit {
    /// The smallest that is large enough; the lowest of equals.
    Best,
    /// The lowest that is large enough.
    First,
}

impl Fit {
    /// Both, in the order in which they are tried.
    pub const ALL: [Self; 2] = [Self::Best, Self::First];
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Size => "size",
            Self::Life => "lifetime",
            Self::Area => "area",
            Self::Conflicts => "conflicts",
            Self::Lower => "begin",
        })
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Best => "best fit",
            Self::First => "first fit",
        })
    }
}

/// Offsets for the members of one component, and the largest end among them; all in units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    pub offsets: Vec<u64>,
    pub peak: u64,
}

/// The members' positions in `order`; equals stay in the order of the instance.
pub(crate) fn sorted(instance: &Instance, members: &[usize], order: Order) -> Vec<usize> {
    let mut sequence: Vec<usize> = (0..members.len()).collect();
    let size = |i: usize| instance.size[members[i]];
    let length = |i: usize| instance.length[members[i]];
    let area = |i: usize| u128::from(size(i)) * u128::from(length(i));
    match order {
        Order::Size => sequence.sort_by_key(|&i| Reverse((size(i), length(i)))),
        Order::Life => sequence.sort_by_key(|&i| Reverse((length(i), size(i)))),
        Order::Area => sequence.sort_by_key(|&i| Reverse((area(i), size(i)))),
        Order::Conflicts => {
            let conflicts = conflicts(instance, members);
            sequence.sort_by_key(|&i| Reverse((conflicts[i], size(i), length(i))));
        }
        Order::Lower => sequence.sort_by_key(|&i| (instance.hull(members[i]).from, Reverse(size(i)))),
    }
    sequence
}

/// How many spans of the component overlap the spans of each member, its own included: counted by two binary searches a
/// span, without looking at pairs.
pub(crate) fn conflicts(instance: &Instance, members: &[usize]) -> Vec<u64> {
    let spans = || members.iter().flat_map(|&b| instance.spans(b));
    let (mut begins, mut ends): (Vec<u32>, Vec<u32>) = spans().map(|s| (s.from, s.to)).unzip();
    begins.sort_unstable();
    ends.sort_unstable();
    members
        .iter()
        .map(|&b| {
            let overlapping = |s: &crate::instance::Span| {
                begins.partition_point(|&t| t < s.to) - ends.partition_point(|&t| t <= s.from)
            };
            instance.spans(b).iter().map(overlapping).sum::<usize>() as u64
        })
        .collect()
}

/// Room for greedy passes over one component, made once and used for every order.
#[derive(Debug)]
pub(crate) struct Greedy<'a> {
    instance: &'a Instance,
    members: &'a [usize],
    index: PlacedIndex,
    seen: Vec<u32>,
    holes: Vec<(u64, u64)>,
}

impl<'a> Greedy<'a> {
    pub fn new(instance: &'a Instance, members: &'a [usize]) -> Self {
        let index = PlacedIndex::new(instance, members);
        Self { instance, members, index, seen: vec![0; members.len()], holes: Vec::new() }
    }

    /// Places the members in `sequence`; `None` as soon as one ends above `limit`.
    pub fn place(&mut self, sequence: &[usize], fit: Fit, limit: u64) -> Option<Placement> {
        self.index.clear();
        self.seen.fill(0);
        let mut offsets = vec![0; self.members.len()];
        let mut peak = 0;
        for (turn, &member) in (1u32..).zip(sequence) {
            let b = self.members[member];
            let (size, spans) = (self.instance.size[b], self.instance.spans(b));
            let (seen, taken) = (&mut self.seen, &mut self.holes);
            taken.clear();
            for span in spans {
                self.index.overlapping(*span, |other| {
                    if seen[other] != turn {
                        seen[other] = turn;
                        taken
                            .push((offsets[other], offsets[other] + self.instance.size[self.members[other]]));
                    }
                });
            }
            taken.sort_unstable();
            let offset = hole(taken, size, self.instance.align[b], fit);
            // Problem::new checked that all buffers fit side by side, and greedy offsets are at most that.
            peak = peak.max(offset + size);
            if peak > limit {
                return None;
            }
            offsets[member] = offset;
            self.index.place(member, spans);
        }
        Some(Placement { offsets, peak })
    }
}

/// The offset that `fit` chooses for `size` units between the `taken` ranges, which are sorted and may overlap.
fn hole(taken: &[(u64, u64)], size: u64, align: u64, fit: Fit) -> u64 {
    let mut tightest: Option<(u64, u64)> = None;
    let mut top = 0u64;
    for &(from, to) in taken {
        let start = top.next_multiple_of(align);
        if from >= start && from - start >= size {
            if fit == Fit::First {
                return start;
            }
            let spare = from - top - size;
            if tightest.is_none_or(|(least, _)| spare < least) {
                tightest = Some((spare, start));
            }
        }
        top = top.max(to);
    }
    tightest.map_or(top.next_multiple_of(align), |(_, start)| start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv;

    #[test]
    fn holes() {
        let check = |taken: &[(u64, u64)], size, align, best, first| {
            assert_eq!(hole(taken, size, align, Fit::Best), best, "best {taken:?} {size} {align}");
            assert_eq!(hole(taken, size, align, Fit::First), first, "first {taken:?} {size} {align}");
        };
        check(&[], 5, 4, 0, 0);
        check(&[(0, 3)], 5, 4, 4, 4);
        check(&[(5, 6), (8, 9)], 2, 1, 6, 0);
        check(&[(2, 3), (5, 6)], 2, 1, 0, 0);
        check(&[(0, 1), (4, 9)], 3, 2, 10, 10);
        check(&[(0, 9), (2, 3), (12, 13)], 3, 1, 9, 9);
        check(&[(0, 9), (2, 3), (12, 13)], 4, 1, 13, 13);
    }

    #[test]
    fn conflicts_are_counted_as_pairs_would_be() {
        let text = "id,lower,upper,size,gaps\na,0,9,1,3-6\nb,3,6,1,\nc,2,4,1,\nd,8,9,1,\ne,9,10,1,\n";
        let instance = Instance::new(&csv::parse(text, None).unwrap());
        let all: Vec<usize> = (0..instance.len()).collect();
        let by_pairs = |a: usize| {
            let overlap =
                |x: &crate::instance::Span, y: &crate::instance::Span| x.from < y.to && y.from < x.to;
            let pairs = |&b: &usize| {
                instance
                    .spans(a)
                    .iter()
                    .map(|x| instance.spans(b).iter().filter(|y| overlap(x, y)).count())
                    .sum::<usize>()
            };
            all.iter().map(pairs).sum::<usize>() as u64
        };
        assert_eq!(conflicts(&instance, &all), all.iter().map(|&b| by_pairs(b)).collect::<Vec<_>>());
    }
}
