//! One pass through time: each buffer into the tightest hole when it begins, its place free again when it ends. Takes
//! O(n log n) whatever overlaps, and no account of gaps: a buffer keeps its place from its first to its last section.
use crate::greedy::Placement;
use crate::instance::Instance;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// The free ranges below the top, by where they begin and by how long they are.
#[derive(Debug, Default)]
struct Holes {
    ends: BTreeMap<u64, u64>,
    lengths: BTreeSet<(u64, u64)>,
    top: u64,
}

impl Holes {
    fn add(&mut self, from: u64, to: u64) {
        if from < to {
            self.ends.insert(from, to);
            self.lengths.insert((to - from, from));
        }
    }

    fn remove(&mut self, from: u64, to: u64) {
        self.ends.remove(&from);
        self.lengths.remove(&(to - from, from));
    }

    /// A range of `size` for a multiple of `align`: in the shortest hole that is sure to hold one, else on top.
    fn take(&mut self, size: u64, align: u64) -> u64 {
        let hole = self.lengths.range((size + align - 1, 0)..).next().copied();
        let (from, to) = if let Some((length, from)) = hole {
            self.remove(from, from + length);
            (from, from + length)
        } else {
            // The hole below the top grows with it.
            let (from, to) =
                self.ends.last_key_value().map_or((self.top, self.top), |(&from, &to)| (from, to));
            let from = if to == self.top { from } else { self.top };
            self.remove(from, self.top);
            self.top = self.top.max(from.next_multiple_of(align) + size);
            (from, self.top)
        };
        let offset = from.next_multiple_of(align);
        self.add(from, offset);
        self.add(offset + size, to);
        offset
    }

    /// Frees a range, together with the holes that it touches.
    fn free(&mut self, offset: u64, size: u64) {
        let (mut from, mut to) = (offset, offset + size);
        if let Some((&before, _)) = self.ends.range(..offset).next_back().filter(|&(_, &end)| end == offset) {
            self.remove(before, offset);
            from = before;
        }
        if let Some(&end) = self.ends.get(&to) {
            self.remove(to, end);
            to = end;
        }
        self.add(from, to);
    }
}

/// Places the members of one group, the largest of those that begin together first.
pub(crate) fn sweep(instance: &Instance, members: &[usize]) -> Placement {
    let size = |i: usize| instance.size[members[i]];
    let mut sequence: Vec<usize> = (0..members.len()).collect();
    sequence.sort_by_key(|&i| (instance.hull(members[i]).from, Reverse(size(i))));
    let mut offsets = vec![0; members.len()];
    let mut holes = Holes::default();
    let mut ends: BinaryHeap<Reverse<(u32, usize)>> = BinaryHeap::new();
    for i in sequence {
        let hull = instance.hull(members[i]);
        while let Some(&Reverse((end, ended))) = ends.peek()
            && end <= hull.from
        {
            ends.pop();
            holes.free(offsets[ended], size(ended));
        }
        offsets[i] = holes.take(size(i), instance.align[members[i]]);
        ends.push(Reverse((hull.to, i)));
    }
    Placement { offsets, peak: holes.top }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, Options, csv, plan, validate};
    use aegis_core::{Bytes, Rng};
    use std::fmt::Write;

    /// Greedy passes over 100 000 buffers that overlap took minutes.
    #[test]
    fn too_many_conflicts_for_a_greedy_pass() {
        let mut text = "id,lower,upper,size\n".to_owned();
        for id in 0..12_000 {
            let _ = writeln!(text, "{id},0,{},{}", 1 + id % 7, 1 + id % 5);
        }
        let problem = csv::parse(&text, None).unwrap();
        let plan = plan(&problem, &Options::default()).unwrap();
        assert_eq!((plan.method, plan.optimal), (Method::Sweep, true));
        validate(&problem, &plan.offsets).unwrap();
    }

    #[test]
    fn every_sweep_is_valid() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let mut text = "id,lower,upper,size,alignment,gaps\n".to_owned();
            for id in 0..rng.between(1, 60) {
                let lower = rng.between(0, 40);
                let upper = lower + rng.between(3, 30);
                let (size, align) = (rng.between(1, 50), rng.between(1, 9));
                let (from, to) = (lower + 1, lower + 2);
                let _ = writeln!(text, "{id},{lower},{upper},{size},{align},{from}-{to}");
            }
            let problem = csv::parse(&text, None).unwrap();
            let instance = Instance::new(&problem);
            let members: Vec<usize> = (0..instance.len()).collect();
            let placement = sweep(&instance, &members);
            let mut offsets = vec![Bytes::ZERO; members.len()];
            for (b, offset) in placement.offsets.iter().enumerate() {
                offsets[instance.origin[b]] = Bytes(offset * instance.unit);
            }
            validate(&problem, &offsets).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let ends = members.iter().map(|&b| placement.offsets[b] + instance.size[b]);
            assert_eq!(ends.max(), Some(placement.peak), "seed {seed}");
        }
    }
}
