//! Which placed buffers are live in a given range of sections: an interval tree over all spans, in which placing a
//! buffer switches its spans on. O(n) memory, never a list of conflicts.
use crate::instance::{Instance, Span};

/// Spans sorted by their first section; a node of the implicit tree holds the largest end among the placed spans below.
#[derive(Debug)]
pub(crate) struct PlacedIndex {
    from: Vec<u32>,
    owner: Vec<u32>,
    leaf_of: Vec<u32>,
    first_leaf: Vec<usize>,
    leaves: usize,
    last_end: Vec<u32>,
}

impl PlacedIndex {
    pub fn new(instance: &Instance, members: &[usize]) -> Self {
        let mut spans: Vec<(u32, u32, usize)> = Vec::new();
        let mut first_leaf = vec![0];
        for (member, &b) in members.iter().enumerate() {
            for span in instance.spans(b) {
                spans.push((span.from, index(member), spans.len()));
            }
            first_leaf.push(spans.len());
        }
        spans.sort_unstable();
        let mut leaf_of = vec![0; spans.len()];
        for (leaf, &(_, _, span)) in spans.iter().enumerate() {
            leaf_of[span] = index(leaf);
        }
        let leaves = spans.len().next_power_of_two();
        Self {
            from: spans.iter().map(|s| s.0).collect(),
            owner: spans.iter().map(|s| s.1).collect(),
            leaf_of,
            first_leaf,
            leaves,
            last_end: vec![0; 2 * leaves],
        }
    }

    /// Forgets everything placed.
    pub fn clear(&mut self) {
        self.last_end.fill(0);
    }

    /// Switches on the spans of `member`; `spans` are those of its buffer.
    pub fn place(&mut self, member: usize, spans: &[Span]) {
        for (leaf, span) in self.leaf_of[self.first_leaf[member]..].iter().zip(spans) {
            let mut node = self.leaves + *leaf as usize;
            while node > 0 && self.last_end[node] < span.to {
                self.last_end[node] = span.to;
                node /= 2;
            }
        }
    }

    /// Calls `found` with the member of every placed span that overlaps `span`; a member with several, several times.
    pub fn overlapping(&self, span: Span, mut found: impl FnMut(usize)) {
        let before = self.from.partition_point(|&from| from < span.to);
        self.visit(1, 0, self.leaves, before, span.from, &mut found);
    }

    /// Recursion as deep as the tree, at most 32.
    fn visit(
        &self,
        node: usize,
        low: usize,
        high: usize,
        before: usize,
        after: u32,
        found: &mut impl FnMut(usize),
    ) {
        if low >= before || self.last_end[node] <= after {
            return;
        }
        if node >= self.leaves {
            found(self.owner[low] as usize);
            return;
        }
        let middle = usize::midpoint(low, high);
        self.visit(2 * node, low, middle, before, after, found);
        self.visit(2 * node + 1, middle, high, before, after, found);
    }
}

/// Positions of spans stay below 2^31 (`Problem::MOST_INTERVALS`).
fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
