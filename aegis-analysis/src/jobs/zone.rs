//! Sets of instants that differences bound, exactly: difference-bound matrices over whole numbers.
//!
//! Dill: "Timing assumptions and verification of finite-state concurrent systems", CAV 1989; Bengtsson, Yi: "Timed
//! automata: semantics, algorithms and tools", 2004. With whole bounds every operation here is exact over the whole
//! numbers: a shortest-path closed matrix has whole vertices.

/// `x_i − x_j ≤ bound(i, j)` for all `i`, `j`, where `x_0` is 0. Not empty, and closed: no bound follows from others
/// more tightly than it is stated. Every bound is finite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    variables: usize,
    bounds: Vec<i64>,
}

impl Zone {
    /// One variable next to zero, in `[least, most]`.
    pub(super) fn interval(least: i64, most: i64) -> Self {
        Self { variables: 2, bounds: vec![0, -least, most, 0] }
    }

    /// How many there are, zero included.
    pub(super) const fn variables(&self) -> usize {
        self.variables
    }

    pub(super) fn bound(&self, i: usize, j: usize) -> i64 {
        self.bounds[i * self.variables + j]
    }

    fn set(&mut self, i: usize, j: usize, bound: i64) {
        self.bounds[i * self.variables + j] = bound;
    }

    /// The least value of a variable.
    pub(super) fn least(&self, i: usize) -> i64 {
        -self.bound(0, i)
    }

    /// The largest value of a variable.
    pub(super) fn most(&self, i: usize) -> i64 {
        self.bound(i, 0)
    }

    /// The points with `x_i − x_j ≤ bound`; `None` if there are none.
    pub(super) fn with(mut self, i: usize, j: usize, bound: i64) -> Option<Self> {
        if bound >= self.bound(i, j) {
            return Some(self);
        }
        if bound + self.bound(j, i) < 0 {
            return None;
        }
        // Every path that gets shorter goes once through the new edge.
        for a in 0..self.variables {
            let to = self.bound(a, i) + bound;
            for b in 0..self.variables {
                let through = to + self.bound(j, b);
                if through < self.bound(a, b) {
                    self.set(a, b, through);
                }
            }
        }
        Some(self)
    }

    /// With a last variable that is at least variable `after`, and otherwise anything up to `most`.
    pub(super) fn extended(&self, after: usize, most: i64) -> Self {
        let n = self.variables + 1;
        let new = n - 1;
        let mut zone = Self { variables: n, bounds: vec![0; n * n] };
        for i in 0..new {
            for j in 0..new {
                zone.set(i, j, self.bound(i, j));
            }
        }
        for i in 0..new {
            // x_i − new ≤ x_i − after, and new − x_i ≤ most − x_i.
            zone.set(i, new, self.bound(i, after));
            zone.set(new, i, most + self.bound(0, i));
        }
        zone
    }

    /// Adds an independent amount in `[least, most]` to a variable.
    pub(super) fn shift(&mut self, i: usize, least: i64, most: i64) {
        for j in (0..self.variables).filter(|j| *j != i) {
            self.set(i, j, self.bound(i, j) + most);
            self.set(j, i, self.bound(j, i) - least);
        }
    }

    /// Only the variables listed, in that order; the others may be anything that fits.
    pub(super) fn select(&self, variables: &[usize]) -> Self {
        let bounds = variables.iter().flat_map(|i| variables.iter().map(|j| self.bound(*i, *j)));
        Self { variables: variables.len(), bounds: bounds.collect() }
    }

    /// Whether every point of `other` is one of this zone.
    pub(super) fn includes(&self, other: &Self) -> bool {
        self.bounds.iter().zip(&other.bounds).all(|(mine, theirs)| theirs <= mine)
    }

    /// The least zone that includes both. Closed because both are: a path in the hull is at least as long as in each.
    pub(super) fn hull(&self, other: &Self) -> Self {
        let bounds = self.bounds.iter().zip(&other.bounds).map(|(a, b)| *a.max(b));
        Self { variables: self.variables, bounds: bounds.collect() }
    }

    /// The hull of both where it holds nothing but the points of the two.
    pub(super) fn union(&self, other: &Self) -> Option<Self> {
        let hull = self.hull(other);
        let n = self.variables;
        // What the hull has beyond this zone lies, for some bound, on the other side of it.
        for i in 0..n {
            for j in (0..n).filter(|j| *j != i) {
                let bound = self.bound(i, j);
                if bound < hull.bound(i, j)
                    && let Some(beyond) = hull.clone().with(j, i, -bound - 1)
                    && !other.includes(&beyond)
                {
                    return None;
                }
            }
        }
        Some(hull)
    }
}

/// Adds a zone to a union of zones, joining those that together are one.
pub(super) fn join(zones: &mut Vec<Zone>, mut new: Zone) -> usize {
    let mut joined = 0;
    let mut i = 0;
    while i < zones.len() {
        if zones[i].includes(&new) {
            return joined + 1;
        }
        let whole = if new.includes(&zones[i]) { Some(new.clone()) } else { zones[i].union(&new) };
        match whole {
            None => i += 1,
            Some(whole) => {
                zones.swap_remove(i);
                joined += 1;
                new = whole;
                i = 0;
            }
        }
    }
    zones.push(new);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_core::Rng;
    use std::collections::BTreeSet;

    const SIDE: i64 = 7;

    /// The points of a zone over two variables.
    fn points(zone: &Zone) -> BTreeSet<(i64, i64)> {
        let inside = |x: i64, y: i64| {
            let at = [0, x, y];
            (0..3).all(|i| (0..3).all(|j| at[i] - at[j] <= zone.bound(i, j)))
        };
        let all = (-1..=SIDE + 1).flat_map(|x| (-1..=SIDE + 1).map(move |y| (x, y)));
        all.filter(|(x, y)| inside(*x, *y)).collect()
    }

    fn random(rng: &mut Rng) -> Option<Zone> {
        let mut zone = Zone { variables: 3, bounds: vec![0, 0, 0, SIDE, 0, SIDE, SIDE, SIDE, 0] };
        for _ in 0..rng.between(1, 4) {
            let i = usize::try_from(rng.between(0, 2)).unwrap();
            let j = (i + usize::try_from(rng.between(1, 2)).unwrap()) % 3;
            zone = zone.with(i, j, rng.between(0, 12).cast_signed() - 6)?;
        }
        Some(zone)
    }

    /// Every operation is what it says on the points: what is joined is the union and no more.
    #[test]
    fn zones_are_sets_of_points() {
        let (mut unions, mut apart) = (0, 0);
        for seed in 0..20_000 {
            let mut rng = Rng::new(seed);
            let (Some(a), Some(b)) = (random(&mut rng), random(&mut rng)) else { continue };
            let (in_a, in_b) = (points(&a), points(&b));
            assert!(!in_a.is_empty() && !in_b.is_empty(), "seed {seed}");
            let both: BTreeSet<(i64, i64)> = in_a.union(&in_b).copied().collect();
            assert_eq!(a.includes(&b), in_b.is_subset(&in_a), "seed {seed}");
            assert!(points(&a.hull(&b)).is_superset(&both), "seed {seed}");
            if let Some(union) = a.union(&b) {
                assert_eq!(points(&union), both, "seed {seed}");
                unions += 1;
            } else {
                assert_ne!(points(&a.hull(&b)), both, "seed {seed}");
                apart += 1;
            }
            let least = in_a.iter().map(|point| point.0).min();
            let most = in_a.iter().map(|point| point.1).max();
            assert_eq!((Some(a.least(1)), Some(a.most(2))), (least, most), "seed {seed}");
        }
        assert!(unions > 100 && apart > 100, "{unions} {apart}");
    }
}
