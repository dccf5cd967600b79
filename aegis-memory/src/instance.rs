//! A problem as the algorithms want it: compressed time, one common unit, buffers in an order that does not depend on
//! how they were listed.
use crate::bound::gcd;
use crate::{Buffer, Problem};

/// A range `[from, to)` of sections. A section is the time between two consecutive begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub from: u32,
    pub to: u32,
}

/// The buffers of a problem that take space. `b` of these arrays is a position in the instance, not in the problem.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Position in the problem of each buffer.
    pub origin: Vec<usize>,
    /// Sizes in units.
    pub size: Vec<u64>,
    /// Alignments in units; 1 where every multiple of the unit will do.
    pub align: Vec<u64>,
    /// Instants at which each buffer is live.
    pub length: Vec<u64>,
    /// Bytes in a unit: every size, and every offset that a planner here can choose, is a multiple of it.
    pub unit: u64,
    spans: Vec<Span>,
    first_span: Vec<usize>,
}

impl Instance {
    pub fn new(problem: &Problem) -> Self {
        let buffers = problem.buffers();
        let mut origin: Vec<usize> = (0..buffers.len()).filter(|&i| buffers[i].size.0 > 0).collect();
        // Ids are unique, so this order is total: a permuted problem becomes the same instance.
        let key = |b: &Buffer| (b.size, b.align);
        origin.sort_unstable_by(|&i, &j| {
            let (a, b) = (&buffers[i], &buffers[j]);
            a.lifetime.cmp(&b.lifetime).then(key(b).cmp(&key(a))).then_with(|| a.id.cmp(&b.id))
        });
        let mut instants: Vec<u64> = Vec::new();
        for &i in &origin {
            instants.extend(buffers[i].lifetime.intervals().iter().flat_map(|v| [v.lower, v.upper]));
        }
        instants.sort_unstable();
        instants.dedup();
        // Problem::MOST_INTERVALS keeps positions below 2^31.
        let section =
            |instant: u64| u32::try_from(instants.partition_point(|&t| t < instant)).unwrap_or(u32::MAX);
        let (mut spans, mut first_span) = (Vec::new(), vec![0]);
        for &i in &origin {
            let intervals = buffers[i].lifetime.intervals();
            spans.extend(intervals.iter().map(|v| Span { from: section(v.lower), to: section(v.upper) }));
            first_span.push(spans.len());
        }
        let unit = unit(origin.iter().map(|&i| &buffers[i]));
        Self {
            size: origin.iter().map(|&i| buffers[i].size.0 / unit).collect(),
            align: origin
                .iter()
                .map(|&i| (buffers[i].align.0 / gcd(buffers[i].align.0, unit)).max(1))
                .collect(),
            length: origin.iter().map(|&i| buffers[i].lifetime.length()).collect(),
            unit,
            spans,
            first_span,
            origin,
        }
    }

    pub fn len(&self) -> usize {
        self.size.len()
    }

    /// When `b` is live: sorted, disjoint, at least one.
    pub fn spans(&self, b: usize) -> &[Span] {
        &self.spans[self.first_span[b]..self.first_span[b + 1]]
    }

    /// From the first to the last section in which `b` is live.
    pub fn hull(&self, b: usize) -> Span {
        Span { from: self.spans[self.first_span[b]].from, to: self.spans[self.first_span[b + 1] - 1].to }
    }

    /// Groups of buffers whose hulls overlap, directly or through others: each can be placed as if it were alone.
    /// Buffers are sorted by their first section already.
    pub fn components(&self) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut end = 0;
        for b in 0..self.len() {
            let hull = self.hull(b);
            match groups.last_mut() {
                Some(group) if hull.from < end => group.push(b),
                _ => groups.push(vec![b]),
            }
            end = end.max(hull.to);
        }
        groups
    }
}

/// The largest unit that divides every size and, if that is not enough for offsets to be aligned, every alignment.
fn unit<'a>(buffers: impl Iterator<Item = &'a Buffer> + Clone) -> u64 {
    let sizes = buffers.clone().fold(0, |g, b| gcd(g, b.size.0));
    let aligned = buffers.clone().all(|b| sizes.is_multiple_of(b.align.0));
    let unit = if aligned { sizes } else { buffers.fold(sizes, |g, b| gcd(g, b.align.0)) };
    unit.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv;

    #[test]
    fn units_divide_sizes_and_alignments_only_where_they_must() {
        let check = |rows: &str, unit: u64, size: &[u64], align: &[u64]| {
            let problem = csv::parse(&format!("id,lower,upper,size,alignment\n{rows}"), None).unwrap();
            let instance = Instance::new(&problem);
            assert_eq!((instance.unit, &*instance.size, &*instance.align), (unit, size, align), "{rows}");
        };
        check("a,0,1,512,256\nb,1,2,768,128\n", 256, &[2, 3], &[1, 1]);
        check("a,0,1,512,1\nb,1,2,768,512\n", 1, &[512, 768], &[1, 512]);
        check("a,0,1,512,64\nb,1,2,768,512\n", 64, &[8, 12], &[1, 8]);
        check("a,0,1,5,1\nb,1,2,0,512\n", 5, &[1], &[1]);
    }

    #[test]
    fn components_split_where_nothing_is_live() {
        let text = "id,lower,upper,size,gaps\na,0,3,1,\nb,2,5,1,\nc,5,9,1,\nd,10,20,1,12-15\ne,13,14,1,\n";
        let instance = Instance::new(&csv::parse(text, None).unwrap());
        let ids: Vec<Vec<usize>> = instance.components();
        assert_eq!(ids, [vec![0, 1], vec![2], vec![3, 4]]);
    }
}
