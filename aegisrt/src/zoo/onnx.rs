//! A graph of ONNX operators with the shape of every value, and its bytes as an `.onnx` file.
//!
//! A graph is cheap to build: a weight is only a shape and a bound until [`Graph::bytes`] draws its numbers from the
//! seed. Whoever builds a graph must get the shapes right; a wrong one is an error of this program and panics, in the
//! tests, because nothing here depends on anything but the program. Field numbers are those of onnx.proto.

use aegis_core::Rng;

use super::protobuf::{int, nested, text};
use super::size::Size;

/// The version of the operators, and the oldest version of the file format that has them.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// Element types, in the numbers of `TensorProto.DataType`.
const F32: i64 = 1;
const I64: i64 = 7;

/// A tensor that flows through a [`Graph`]: its input, a result, a weight or a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value(usize);

/// What an operator is told besides its inputs.
#[derive(Debug)]
pub(super) enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
}

#[derive(Debug)]
struct Named {
    name: String,
    shape: Vec<usize>,
    kind: i64,
    source: Source,
}

/// Where a value comes from.
#[derive(Debug)]
enum Source {
    Input,
    Node,
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    /// Drawn uniformly from `[-bound, bound)` when the file is written.
    Uniform(f32),
}

#[derive(Debug)]
struct Node {
    op: &'static str,
    name: String,
    inputs: Vec<Value>,
    attributes: Vec<(&'static str, Attribute)>,
    /// The only output anyone uses, and how many unused ones stand before it.
    output: Value,
    skipped: usize,
}

/// A model under construction. Nodes stand in the order in which they were added, which is a topological one.
#[derive(Debug, Default)]
pub(super) struct Graph {
    values: Vec<Named>,
    nodes: Vec<Node>,
    outputs: Vec<Value>,
    multiply_accumulates: usize,
}

impl Graph {
    fn add(&mut self, name: String, shape: &[usize], kind: i64, source: Source) -> Value {
        assert!(self.values.iter().all(|value| value.name != name), "two values named {name}");
        self.values.push(Named { name, shape: shape.to_vec(), kind, source });
        Value(self.values.len() - 1)
    }

    /// An input of the model.
    pub(super) fn input(&mut self, name: &str, shape: &[usize]) -> Value {
        self.add(name.into(), shape, F32, Source::Input)
    }

    /// Makes the result of a node an output of the model and gives it the name by which callers ask for it.
    pub(super) fn output(&mut self, name: &str, value: Value) {
        assert!(matches!(self.values[value.0].source, Source::Node), "{name} is not the result of a node");
        self.values[value.0].name = name.into();
        self.outputs.push(value);
    }

    /// Learned numbers, uniform in `[-bound, bound)`.
    pub(super) fn weight(&mut self, name: String, shape: &[usize], bound: f32) -> Value {
        self.add(name, shape, F32, Source::Uniform(bound))
    }

    /// Given numbers.
    pub(super) fn floats(&mut self, name: String, shape: &[usize], numbers: Vec<f32>) -> Value {
        assert_eq!(shape.iter().product::<usize>(), numbers.len(), "{name}");
        self.add(name, shape, F32, Source::Floats(numbers))
    }

    /// One given number, without dimensions; the same number is kept only once.
    pub(super) fn scalar(&mut self, number: f32) -> Value {
        let name = format!("constant.{number:?}");
        match self.values.iter().position(|value| value.name == name) {
            Some(index) => Value(index),
            None => self.floats(name, &[], vec![number]),
        }
    }

    /// A list of whole numbers: a shape, axes, indices.
    pub(super) fn ints(&mut self, name: String, numbers: Vec<i64>) -> Value {
        self.add(name, &[numbers.len()], I64, Source::Ints(numbers))
    }

    /// The shape of a value.
    pub(super) fn shape(&self, value: Value) -> &[usize] {
        &self.values[value.0].shape
    }

    /// The name that the next node will have if it is an `op`; its weights are named after it.
    pub(super) fn next_name(&self, op: &str) -> String {
        format!("{}_{}", op.to_ascii_lowercase(), self.nodes.len())
    }

    /// Adds an operator and answers with its first output.
    pub(super) fn op<const N: usize>(
        &mut self,
        op: &'static str,
        inputs: &[Value],
        attributes: [(&'static str, Attribute); N],
        shape: &[usize],
    ) -> Value {
        self.op_with_output(0, op, inputs, attributes, shape)
    }

    /// Adds an operator and answers with its output number `skipped`, of the given shape; those before it are unused.
    pub(super) fn op_with_output<const N: usize>(
        &mut self,
        skipped: usize,
        op: &'static str,
        inputs: &[Value],
        attributes: [(&'static str, Attribute); N],
        shape: &[usize],
    ) -> Value {
        let name = self.next_name(op);
        let output = self.add(name.clone(), shape, F32, Source::Node);
        let (inputs, attributes) = (inputs.to_vec(), attributes.into());
        self.nodes.push(Node { op, name, inputs, attributes, output, skipped });
        output
    }

    /// Adds to the multiply-accumulates of one run.
    pub(super) fn count(&mut self, multiply_accumulates: usize) {
        self.multiply_accumulates += multiply_accumulates;
    }

    /// How large the model is by now.
    pub(super) fn size(&self) -> Size {
        let learned = self.values.iter().filter(|value| matches!(value.source, Source::Uniform(_)));
        let parameters = learned.map(|value| value.shape.iter().product::<usize>()).sum();
        Size { parameters, multiply_accumulates: self.multiply_accumulates }
    }

    /// The model as the bytes of an `.onnx` file; the same graph and seed give the same bytes everywhere.
    pub(super) fn bytes(&self, name: &str, about: &str, seed: u64) -> Vec<u8> {
        let size = self.size();
        let mut out = Vec::with_capacity(4 * size.parameters + (1 << 20));
        int(&mut out, 1, IR_VERSION);
        text(&mut out, 2, "aegisrt");
        text(&mut out, 6, &format!("{about}; {size}"));
        nested(&mut out, 8, |out| {
            text(out, 1, "");
            int(out, 2, OPSET);
        });
        nested(&mut out, 7, |out| self.write_graph(out, name, seed));
        out
    }

    fn write_graph(&self, out: &mut Vec<u8>, name: &str, seed: u64) {
        text(out, 2, name);
        for node in &self.nodes {
            nested(out, 1, |out| self.write_node(out, node));
        }
        let mut rng = Rng::new(seed);
        for (index, value) in self.values.iter().enumerate() {
            let field = match &value.source {
                Source::Input => 11,
                Source::Node if self.outputs.contains(&Value(index)) => continue,
                Source::Node => 13, // value_info: lets a checker compare our shapes with those it infers
                Source::Floats(_) | Source::Ints(_) | Source::Uniform(_) => {
                    nested(out, 5, |out| write_initializer(out, value, &mut rng));
                    continue;
                }
            };
            nested(out, field, |out| write_value_info(out, value));
        }
        for output in &self.outputs {
            nested(out, 12, |out| write_value_info(out, &self.values[output.0]));
        }
    }

    fn write_node(&self, out: &mut Vec<u8>, node: &Node) {
        for input in &node.inputs {
            text(out, 1, &self.values[input.0].name);
        }
        for _ in 0..node.skipped {
            text(out, 2, "");
        }
        text(out, 2, &self.values[node.output.0].name);
        text(out, 3, &node.name);
        text(out, 4, node.op);
        for (name, attribute) in &node.attributes {
            nested(out, 5, |out| write_attribute(out, name, attribute));
        }
    }
}

fn write_attribute(out: &mut Vec<u8>, name: &str, attribute: &Attribute) {
    text(out, 1, name);
    let kind = match attribute {
        Attribute::Int(number) => {
            int(out, 3, *number);
            2
        }
        Attribute::Ints(numbers) => {
            for number in numbers {
                int(out, 8, *number);
            }
            7
        }
    };
    int(out, 20, kind);
}

/// The name, type and shape of an input, an output or an intermediate value.
fn write_value_info(out: &mut Vec<u8>, value: &Named) {
    text(out, 1, &value.name);
    nested(out, 2, |out| {
        nested(out, 1, |out| {
            int(out, 1, value.kind);
            nested(out, 2, |out| {
                value.shape.iter().for_each(|dim| nested(out, 1, |out| int(out, 1, signed(*dim))));
            });
        });
    });
}

/// A constant tensor; numbers are little-endian, whatever the machine.
fn write_initializer(out: &mut Vec<u8>, value: &Named, rng: &mut Rng) {
    value.shape.iter().for_each(|dim| int(out, 1, signed(*dim)));
    int(out, 2, value.kind);
    text(out, 8, &value.name);
    nested(out, 9, |out| match &value.source {
        Source::Input | Source::Node => unreachable!("{} is not a constant", value.name),
        Source::Floats(numbers) => numbers.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes())),
        Source::Ints(numbers) => numbers.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes())),
        Source::Uniform(bound) => {
            let count = value.shape.iter().product::<usize>();
            out.extend((0..count).flat_map(|_| (uniform(rng) * bound).to_le_bytes()));
        }
    });
}

/// Uniform in `[-1, 1)`: 24 random bits, as many as an `f32` holds exactly, so that nothing here is rounded.
#[allow(clippy::cast_possible_truncation)] // 24 bits of 64
fn uniform(rng: &mut Rng) -> f32 {
    (rng.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// A dimension as ONNX stores it.
pub(super) fn signed(dim: usize) -> i64 {
    i64::try_from(dim).expect("a dimension of a model in this program fits in 63 bits")
}
