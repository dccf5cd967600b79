//! Taking little-endian numbers from the front of a slice.

/// What has not been taken yet.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    pub left: &'a [u8],
}

impl<'a> Input<'a> {
    pub const fn new(left: &'a [u8]) -> Self {
        Self { left }
    }

    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        if n > self.left.len() {
            return None;
        }
        let (taken, left) = self.left.split_at(n);
        self.left = left;
        Some(taken)
    }

    pub fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.bytes(bytes)?;
        Some(taken.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.number(4).and_then(|n| u32::try_from(n).ok())
    }

    /// A number in groups of seven bits, the lowest first, in the fewest bytes that hold it.
    pub fn varint(&mut self) -> Option<u64> {
        let mut sum: u128 = 0;
        for group in 0..10 {
            let byte = self.number(1)?;
            sum |= u128::from(byte & 127) << (7 * group);
            if byte < 128 {
                let shortest = group == 0 || byte > 0;
                return u64::try_from(sum).ok().filter(|_| shortest);
            }
        }
        None
    }
}
