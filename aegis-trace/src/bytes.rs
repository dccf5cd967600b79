//! Little-endian numbers and varints: written to a `Vec`, read from a slice that may end too early.

/// What is left of a payload; every read says whether it was there.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Seven bits a byte, the lowest first; the last byte is below 128. Only the shortest form is a number.
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return (byte != 0 || shift == 0).then_some(value);
            }
        }
        None
    }
}

pub fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    to.push(value.to_le_bytes()[0]);
}

/// From one instant to the next, modulo 2⁶⁴, as a number that is small where the two are near.
pub const fn step(from: u64, to: u64) -> u64 {
    let by = to.wrapping_sub(from).cast_signed();
    (by << 1 ^ by >> 63).cast_unsigned()
}

/// The instant that lies `step` behind `from`; undoes [`step`].
pub const fn stepped(from: u64, step: u64) -> u64 {
    from.wrapping_add(step >> 1 ^ (step & 1).wrapping_neg())
}

#[cfg(test)]
mod tests {
    use super::{Cursor, put_varint, step, stepped};

    #[test]
    fn varints_and_steps_come_back() {
        let edges = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]).chain([u64::MAX]);
        for value in edges {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut cursor = Cursor(&bytes);
            assert_eq!((cursor.varint(), cursor.0), (Some(value), &[][..]), "{value}");
            for from in [0, 1, 77, u64::MAX / 2, u64::MAX] {
                assert_eq!(stepped(from, step(from, value)), value, "{from} {value}");
            }
        }
        assert_eq!((step(5, 6), step(6, 5), step(5, 5)), (2, 1, 0));
    }

    #[test]
    fn what_is_no_varint() {
        for bytes in [&[][..], &[0x80], &[0x80, 0], &[0xff; 9], &[0xff; 11]] {
            assert_eq!(Cursor(bytes).varint(), None, "{bytes:?}");
        }
        let too_long = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(Cursor(&too_long).varint(), None);
        let mut short = Cursor(&[1, 2, 3]);
        assert_eq!((short.u32(), short.take(4), short.array::<2>()), (None, None, Some([1, 2])));
    }
}
