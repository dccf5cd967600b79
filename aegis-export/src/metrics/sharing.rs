//! How much memory the plan saves by letting models use the same bytes in turn.
use aegis_core::Bytes;
use aegis_trace::{Body, Purpose, Trace};

/// The sizes of all placed regions less the bytes that they lie on. `None` where nothing was placed, and where regions
/// overlap that are held all the time: then the records speak of several memories, which they do not tell apart.
pub(super) fn saved(trace: &Trace) -> Option<Bytes> {
    let mut regions: Vec<Region> = Vec::new();
    for entry in trace.entries() {
        if let Body::Placed { purpose, offset, size, .. } = entry.record.body {
            let to = offset.0.checked_add(size.0)?;
            regions.push(Region { from: offset.0, to, held: purpose != Purpose::Scratch });
        }
    }
    of(regions).map(Bytes)
}

#[derive(Debug, Clone, Copy)]
struct Region {
    from: u64,
    to: u64,
    /// While the model is loaded, not only while it runs.
    held: bool,
}

fn of(mut regions: Vec<Region>) -> Option<u64> {
    if regions.is_empty() {
        return None;
    }
    regions.sort_by_key(|region| (region.from, region.to));
    // The ends of what lies before: of anything, and of what is held.
    let (mut end, mut held_end) = (0, 0);
    let mut shared = 0u64;
    for region in regions.iter().filter(|region| region.from < region.to) {
        if region.from < held_end || (region.held && region.from < end) {
            return None;
        }
        shared = shared.checked_add(region.to.min(end).saturating_sub(region.from))?;
        end = end.max(region.to);
        if region.held {
            held_end = held_end.max(region.to);
        }
    }
    Some(shared)
}

#[cfg(test)]
mod tests {
    use super::{Region, of};

    #[test]
    fn shared_bytes_are_sizes_less_what_they_cover() {
        let region = |(from, to, held)| Region { from, to, held };
        for (regions, saved) in [
            (&[][..], None),
            (&[(0, 10, true), (10, 30, false)], Some(0)),
            (&[(10, 30, false), (0, 10, true), (10, 25, false)], Some(15)),
            (&[(0, 20, false), (5, 10, false), (8, 30, false)], Some(5 + 12)),
            // Weights under another's scratch: two memories.
            (&[(0, 10, true), (5, 20, false)], None),
            (&[(0, 10, false), (5, 20, true)], None),
            (&[(0, 10, true), (0, 10, true)], None),
            (&[(5, 5, true), (0, 10, false)], Some(0)),
        ] {
            assert_eq!(of(regions.iter().copied().map(region).collect()), saved, "{regions:?}");
        }
    }

    /// Byte by byte: sizes less the bytes that are covered.
    #[test]
    fn as_counted_byte_by_byte() {
        for seed in 0..500 {
            let mut rng = aegis_core::Rng::new(seed);
            let regions: Vec<Region> = (0..rng.between(1, 6))
                .map(|_| {
                    let from = rng.between(0, 20);
                    Region { from, to: from + rng.between(0, 12), held: false }
                })
                .collect();
            let sizes: u64 = regions.iter().map(|r| r.to - r.from).sum();
            let covered =
                (0..64).filter(|byte| regions.iter().any(|r| (r.from..r.to).contains(byte))).count();
            assert_eq!(of(regions), Some(sizes - covered as u64), "seed {seed}");
        }
    }
}
