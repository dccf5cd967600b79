//! Protocol buffers, the few wire types that a Perfetto trace needs, written into one buffer that is used again.

/// A message being written.
#[derive(Debug, Default)]
pub(super) struct Proto {
    bytes: Vec<u8>,
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
/// The longest that 64 bits can be as a varint.
const LONGEST: usize = 10;

impl Proto {
    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was written and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    pub fn uint(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    pub fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.bytes.extend(value.to_le_bytes());
    }

    pub fn text(&mut self, field: u32, text: &str) {
        self.tag(field, BYTES);
        self.varint(text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }

    /// A message inside this one. Its length stands before it and is known after it, so what it holds is moved.
    pub fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) {
        self.tag(field, BYTES);
        let begin = self.bytes.len();
        fill(self);
        let (digits, used) = varint((self.bytes.len() - begin) as u64);
        self.bytes.splice(begin..begin, digits.into_iter().take(used));
    }

    fn tag(&mut self, field: u32, wire: u64) {
        self.varint(u64::from(field) << 3 | wire);
    }

    fn varint(&mut self, value: u64) {
        let (digits, used) = varint(value);
        self.bytes.extend(&digits[..used]);
    }
}

/// Seven bits a byte, the lowest first; every byte but the last has its highest bit set.
fn varint(mut value: u64) -> ([u8; LONGEST], usize) {
    let mut digits = [0; LONGEST];
    let mut used = 0;
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        digits[used] = if value == 0 { low } else { low | 0x80 };
        used += 1;
        if value == 0 {
            return (digits, used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Proto, varint};

    /// Values and bytes of the encoding's specification, and the ends of its range.
    #[test]
    fn varints() {
        for (value, bytes) in [
            (0, &[0][..]),
            (1, &[1]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (150, &[0x96, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 0x01]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            let (digits, used) = varint(value);
            assert_eq!(&digits[..used], bytes, "{value}");
        }
    }

    #[test]
    fn fields() {
        let mut proto = Proto::default();
        proto.uint(1, 150);
        proto.text(2, "testing");
        proto.message(3, |inner| inner.uint(1, 150));
        proto.message(4, |_| {});
        proto.fixed64(47, 0x0102_0304_0506_0708);
        let expected: &[u8] = &[
            0x08, 0x96, 0x01, 0x12, 0x07, b't', b'e', b's', b't', b'i', b'n', b'g', 0x1a, 0x03, 0x08, 0x96,
            0x01, 0x22, 0x00, 0xf9, 0x02, 8, 7, 6, 5, 4, 3, 2, 1,
        ];
        assert_eq!(proto.as_bytes(), expected);
        proto.clear();
        // 127 and 128 bytes: one digit more for the length.
        for (length, before) in [(127, 2), (128, 3)] {
            proto.clear();
            proto.message(1, |outer| outer.message(2, |inner| inner.text(3, &"x".repeat(length - 4))));
            assert_eq!(proto.as_bytes().len(), length + before, "{length}");
        }
    }
}
