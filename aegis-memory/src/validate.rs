//! The check of a plan: every buffer and every pair, with no index and no algorithm that could share a mistake with the
//! planner.
use crate::Problem;
use aegis_core::Bytes;

/// What is wrong with offsets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Not one offset a buffer.
    #[error("{offsets} offsets for {buffers} buffers")]
    WrongNumber {
        /// How many offsets.
        offsets: usize,
        /// How many buffers.
        buffers: usize,
    },
    /// A buffer is not where its alignment wants it.
    #[error("`{id}` is at {offset:#}, which is not a multiple of its alignment {align:#}")]
    Misaligned {
        /// Its id.
        id: String,
        /// Its offset.
        offset: Bytes,
        /// Its alignment.
        align: Bytes,
    },
    /// A buffer ends above the capacity, or above 64 bits.
    #[error("`{id}` at {offset:#} with {size:#} ends beyond the capacity of {capacity:#}")]
    BeyondCapacity {
        /// Its id.
        id: String,
        /// Its offset.
        offset: Bytes,
        /// Its size.
        size: Bytes,
        /// The problem's capacity; 2^64 − 1 bytes when it has none.
        capacity: Bytes,
    },
    /// Two buffers share bytes while both are live.
    #[error("`{first}` at {first_offset:#} and `{second}` at {second_offset:#} overlap at instant {at}")]
    Overlap {
        /// The one that comes first in the problem.
        first: String,
        /// Its offset.
        first_offset: Bytes,
        /// The other.
        second: String,
        /// Its offset.
        second_offset: Bytes,
        /// The first instant at which both are live.
        at: u64,
    },
}

/// Checks `offsets` (one a buffer, in the order of the problem) in O(n²): alignment, capacity, and that no two buffers
/// share a byte at an instant at which both are live.
///
/// # Errors
/// The first [`Invalid`] in the order of the buffers.
pub fn validate(problem: &Problem, offsets: &[Bytes]) -> Result<(), Invalid> {
    let buffers = problem.buffers();
    if offsets.len() != buffers.len() {
        return Err(Invalid::WrongNumber { offsets: offsets.len(), buffers: buffers.len() });
    }
    let capacity = problem.capacity().unwrap_or(Bytes(u64::MAX));
    let mut ends = Vec::with_capacity(buffers.len());
    for (buffer, &offset) in buffers.iter().zip(offsets) {
        if !offset.0.is_multiple_of(buffer.align.0) {
            return Err(Invalid::Misaligned { id: buffer.id.clone(), offset, align: buffer.align });
        }
        match offset.checked_add(buffer.size) {
            Some(end) if end <= capacity => ends.push(end),
            _ => {
                let (id, size) = (buffer.id.clone(), buffer.size);
                return Err(Invalid::BeyondCapacity { id, offset, size, capacity });
            }
        }
    }
    for (j, second) in buffers.iter().enumerate() {
        for (i, first) in buffers[..j].iter().enumerate() {
            let common = offsets[i].max(offsets[j]) < ends[i].min(ends[j]);
            if common && let Some(at) = first.lifetime.meets(&second.lifetime) {
                return Err(Invalid::Overlap {
                    first: first.id.clone(),
                    first_offset: offsets[i],
                    second: second.id.clone(),
                    second_offset: offsets[j],
                    at,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csv;

    #[test]
    fn every_kind_of_mistake_is_named() {
        let text = "id,lower,upper,size,alignment,gaps\na,0,9,4,1,3-6\nb,2,7,4,1,\nc,3,6,4,8,\nz,0,9,0,1,\n";
        let check = |capacity: Option<u64>, offsets: &[u64], says: &str| {
            let problem = csv::parse(text, capacity.map(Bytes)).unwrap();
            let offsets: Vec<Bytes> = offsets.iter().copied().map(Bytes).collect();
            let result = validate(&problem, &offsets).map_or_else(|e| e.to_string(), |()| "sound".to_owned());
            assert_eq!(result, says, "{offsets:?}");
        };
        check(Some(8), &[0, 4, 0, 8], "sound");
        check(None, &[4, 0, 8, 2], "sound");
        check(None, &[0, 4, 0], "3 offsets for 4 buffers");
        check(None, &[0, 4, 4, 0], "`c` is at 4 B, which is not a multiple of its alignment 8 B");
        check(Some(8), &[0, 5, 0, 0], "`b` at 5 B with 4 B ends beyond the capacity of 8 B");
        check(Some(7), &[0, 3, 0, 0], "`a` at 0 B and `b` at 3 B overlap at instant 2");
        check(None, &[3, 6, 8, 0], "`a` at 3 B and `b` at 6 B overlap at instant 2");
        check(None, &[3, 7, 8, 0], "`b` at 7 B and `c` at 8 B overlap at instant 3");
        check(
            None,
            &[u64::MAX - 3, 4, 0, 0],
            "`a` at 18446744073709551612 B with 4 B ends beyond the capacity of 18446744073709551615 B",
        );
    }
}
