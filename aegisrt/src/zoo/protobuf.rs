//! Writes the protobuf wire format, as much of it as an ONNX file needs.
//!
//! Repeated numbers are written one field each, not packed: that is what the schema of ONNX (proto2) asks for, and
//! every reader takes it. Reference: <https://protobuf.dev/programming-guides/encoding/>.

/// Wire types: the low three bits of a field's key.
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// Appends a number, seven bits to a byte, lowest first.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn key(out: &mut Vec<u8>, field: u32, wire: u64) {
    varint(out, u64::from(field) << 3 | wire);
}

/// An integer field; negative numbers take ten bytes, as the format wants for `int64`.
pub(super) fn int(out: &mut Vec<u8>, field: u32, value: i64) {
    key(out, field, VARINT);
    varint(out, value.cast_unsigned());
}

/// A `string` field.
pub(super) fn text(out: &mut Vec<u8>, field: u32, value: &str) {
    nested(out, field, |out| out.extend_from_slice(value.as_bytes()));
}

/// A length-delimited field (a message, or bytes) whose content is what `body` appends.
pub(super) fn nested(out: &mut Vec<u8>, field: u32, body: impl FnOnce(&mut Vec<u8>)) {
    key(out, field, LENGTH_DELIMITED);
    let start = out.len();
    body(out);
    // The length stands before the content but is known only after it: append it, then rotate it to the front. So a
    // file of weights is written into one buffer, without a copy for each level of nesting.
    let end = out.len();
    varint(out, (end - start) as u64);
    let prefix = out.len() - end;
    out[start..].rotate_right(prefix);
}

#[cfg(test)]
mod tests {
    use super::{int, nested, text};

    #[track_caller]
    fn check(what: &str, write: impl FnOnce(&mut Vec<u8>), expected: &[u8]) {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(out, expected, "{what}");
    }

    /// The examples of the encoding guide at protobuf.dev, then the edges of the varint.
    #[test]
    fn published_vectors() {
        check("Test1 { a: 150 }", |out| int(out, 1, 150), &[0x08, 0x96, 0x01]);
        check("Test2 { b: \"testing\" }", |out| text(out, 2, "testing"), b"\x12\x07testing");
        check(
            "Test3 { c: { a: 150 } }",
            |out| nested(out, 3, |out| int(out, 1, 150)),
            b"\x1a\x03\x08\x96\x01",
        );
        check("-2", |out| int(out, 1, -2), b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        check("zero is written", |out| int(out, 1, 0), &[0x08, 0x00]);
        check("the last number of one byte", |out| int(out, 1, 127), &[0x08, 0x7f]);
        check("the first number of two bytes", |out| int(out, 1, 128), &[0x08, 0x80, 0x01]);
        check("the largest", |out| int(out, 1, i64::MAX), b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
        check("a key of two bytes", |out| int(out, 20, 1), &[0xa0, 0x01, 0x01]);
        check("empty", |out| nested(out, 1, |_| ()), &[0x0a, 0x00]);
    }

    #[test]
    fn a_long_content_gets_a_longer_length_and_keeps_its_order() {
        let content: Vec<u8> = (0..=255).cycle().take(20_000).collect();
        let mut out = vec![0xee];
        nested(&mut out, 9, |out| nested(out, 1, |out| out.extend_from_slice(&content)));
        // 20 000 is 0b1_0011100_0100000; the outer length is four bytes more.
        assert_eq!(out[..9], [0xee, 0x4a, 0xa4, 0x9c, 0x01, 0x0a, 0xa0, 0x9c, 0x01]);
        assert_eq!(out[9..], content);
    }
}
