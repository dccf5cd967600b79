//! Small ONNX models written by hand, so that the tests of the backends that load ONNX need no file.
//!
//! A [`Message`] writes the protobuf wire format; field numbers are those of `onnx.proto3`.

/// A protobuf message in the making.
#[derive(Debug, Clone, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// An empty message.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    /// Adds text, bytes, or a finished message.
    #[must_use]
    pub fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// The finished message.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Element type number of `f32`.
pub const F32: u64 = 1;
/// Element type number of `i64`.
pub const I64: u64 = 7;
/// Element type number of `bool`.
pub const BOOL: u64 = 9;

/// A graph's input or output; an extent is a number or a name.
#[must_use]
pub fn port(name: &str, element: u64, shape: &[&str]) -> Message {
    let shape = shape.iter().fold(Message::new(), |all, extent| {
        let dim = match extent.parse() {
            Ok(value) => Message::new().number(1, value),
            Err(_) => Message::new().bytes(2, extent),
        };
        all.bytes(1, dim)
    });
    let tensor = Message::new().number(1, element).bytes(2, shape);
    Message::new().bytes(1, name).bytes(2, Message::new().bytes(1, tensor))
}

/// A named constant; `data` is little-endian.
#[must_use]
pub fn initializer(name: &str, element: u64, shape: &[u64], data: &[u8]) -> Message {
    let tensor = shape.iter().fold(Message::new(), |all, extent| all.number(1, *extent));
    tensor.number(2, element).bytes(8, name).bytes(9, data)
}

/// A node without attributes.
#[must_use]
pub fn node(operator: &str, inputs: &[&str], output: &str) -> Message {
    let node = inputs.iter().fold(Message::new(), |all, input| all.bytes(1, input));
    node.bytes(2, output).bytes(3, output).bytes(4, operator)
}

/// A model of opset 17: nodes, constants, inputs, outputs.
#[must_use]
pub fn model(nodes: &[Message], constants: &[Message], inputs: &[Message], outputs: &[Message]) -> Vec<u8> {
    let add = |field: u64, parts: &[Message], graph: Message| {
        parts.iter().fold(graph, |graph, part| graph.bytes(field, part))
    };
    let graph = add(1, nodes, Message::new()).bytes(2, "graph");
    let graph = add(12, outputs, add(11, inputs, add(5, constants, graph)));
    let opset = Message::new().bytes(1, "").number(2, 17);
    Message::new().number(1, 8).bytes(8, opset).bytes(7, graph).finish()
}

/// `len` values between -1 and 1, little-endian.
#[must_use]
pub fn weights(len: u8) -> Vec<u8> {
    (0..len).flat_map(|i| (f32::from(i.wrapping_mul(37)) / 128.0 - 1.0).to_le_bytes()).collect()
}

/// One dense layer: `y = relu(x · w + b)` with `x: f32[2,16]`, `y: f32[2,8]`; 544 bytes of constants.
#[must_use]
pub fn dense() -> Vec<u8> {
    model(
        &[
            node("MatMul", &["x", "w"], "product"),
            node("Add", &["product", "b"], "sum"),
            node("Relu", &["sum"], "y"),
        ],
        &[initializer("w", F32, &[16, 8], &weights(128)), initializer("b", F32, &[8], &weights(8))],
        &[port("x", F32, &["2", "16"])],
        &[port("y", F32, &["2", "8"])],
    )
}

/// All element types that ONNX models commonly have besides `f32`, a symbolic extent, two inputs and four outputs:
/// `row = table[index]`, `next = index + 1`, `high = row > 0`, `inverse = not flag`; 60 bytes of constants.
#[must_use]
pub fn mixed() -> Vec<u8> {
    model(
        &[
            node("Gather", &["table", "index"], "row"),
            node("Add", &["index", "one"], "next"),
            node("Greater", &["row", "zero"], "high"),
            node("Not", &["flag"], "inverse"),
        ],
        &[
            initializer("table", F32, &[4, 3], &weights(12)),
            initializer("one", I64, &[1], &1i64.to_le_bytes()),
            initializer("zero", F32, &[], &0f32.to_le_bytes()),
        ],
        &[port("index", I64, &["n"]), port("flag", BOOL, &["64"])],
        &[
            port("row", F32, &["n", "3"]),
            port("next", I64, &["n"]),
            port("high", BOOL, &["n", "3"]),
            port("inverse", BOOL, &["64"]),
        ],
    )
}
