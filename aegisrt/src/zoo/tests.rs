//! What every demo model must be: the bytes that are pinned, a well-formed file, and what its description says.
//!
//! The files are read back by a small reader that knows only the wire format and the field numbers of onnx.proto.

use std::collections::BTreeMap;

use super::{MODELS, ZooModel, bytes, size};

/// The fields of one message, by number.
struct Message<'a>(BTreeMap<u32, Vec<Field<'a>>>);

#[derive(Debug, Clone, Copy)]
enum Field<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("the message ends inside a number");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

impl<'a> Message<'a> {
    fn read(mut bytes: &'a [u8]) -> Self {
        let mut fields: BTreeMap<u32, Vec<Field<'_>>> = BTreeMap::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Int(varint(&mut bytes).cast_signed()),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)).unwrap();
                    let (content, rest) = bytes.split_at(length);
                    bytes = rest;
                    Field::Bytes(content)
                }
                other => panic!("wire type {other}"),
            };
            fields.entry(u32::try_from(key >> 3).unwrap()).or_default().push(field);
        }
        Self(fields)
    }

    fn all(&self, number: u32) -> impl Iterator<Item = Field<'a>> {
        self.0.get(&number).into_iter().flatten().copied()
    }

    fn ints(&self, number: u32) -> Vec<i64> {
        let int =
            |field| if let Field::Int(value) = field { value } else { panic!("{field:?} is not a number") };
        self.all(number).map(int).collect()
    }

    fn bytes(&self, number: u32) -> Vec<&'a [u8]> {
        let some =
            |field| if let Field::Bytes(value) = field { value } else { panic!("{field:?} is not bytes") };
        self.all(number).map(some).collect()
    }

    fn texts(&self, number: u32) -> Vec<&'a str> {
        self.bytes(number).into_iter().map(|bytes| str::from_utf8(bytes).unwrap()).collect()
    }

    fn messages(&self, number: u32) -> Vec<Self> {
        self.bytes(number).into_iter().map(Self::read).collect()
    }

    fn message(&self, number: u32) -> Self {
        let mut all = self.messages(number);
        assert_eq!(all.len(), 1, "field {number}");
        all.remove(0)
    }
}

/// The name and shape in a `ValueInfoProto`.
fn name_and_shape<'a>(value: &Message<'a>) -> (&'a str, Vec<i64>) {
    let tensor = value.message(2).message(1);
    assert_eq!(tensor.ints(1), [1], "values are f32");
    (value.texts(1)[0], tensor.message(2).messages(1).iter().map(|dim| dim.ints(1)[0]).collect())
}

/// When a model changes on purpose, this says its new digest. Every profile taken of the old one is then void.
#[test]
fn the_bytes_are_pinned() {
    for model in MODELS {
        let digest = blake3::hash(&bytes(&model)).to_hex();
        assert_eq!(digest.as_str(), model.digest, "{} came out differently", model.name);
    }
}

#[test]
fn names_files_and_seeds_are_unique() {
    let distinct = |of: fn(&ZooModel) -> String| {
        let all: std::collections::BTreeSet<_> = MODELS.iter().map(of).collect();
        assert_eq!(all.len(), MODELS.len(), "{all:?}");
    };
    distinct(|model| model.name.into());
    distinct(|model| model.file.into());
    distinct(|model| model.seed.to_string());
    distinct(|model| model.digest.into());
}

/// Every value is defined once and before its use, every weight is as long as its shape says, and everything is used.
#[test]
fn the_files_are_well_formed() {
    for model in MODELS {
        let name = model.name;
        let bytes = bytes(&model);
        let file = Message::read(&bytes);
        assert_eq!(file.ints(1), [8], "{name}: ir_version");
        assert_eq!(file.texts(2), ["aegisrt"], "{name}: producer");
        assert_eq!(file.texts(6), [format!("{}; {}", model.about, size(&model))], "{name}: doc_string");
        let opset = file.message(8);
        assert_eq!((opset.texts(1), opset.ints(2)), (vec![""], vec![17]), "{name}: opset");
        let graph = file.message(7);
        assert_eq!(graph.texts(2), [name]);

        let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
        let define = |uses: &mut BTreeMap<_, _>, value| {
            assert!(uses.insert(value, 0).is_none(), "{name}: {value} is defined twice");
        };
        let inputs: Vec<_> = graph.messages(11).iter().map(name_and_shape).collect();
        assert_eq!(inputs.len(), 1, "{name}: inputs");
        assert_eq!(inputs[0].0, "input", "{name}");
        define(&mut uses, "input");

        let mut parameters = 0;
        for tensor in graph.messages(5) {
            let value = tensor.texts(8)[0];
            define(&mut uses, value);
            let count = usize::try_from(tensor.ints(1).iter().product::<i64>()).unwrap();
            let data = tensor.bytes(9)[0];
            match tensor.ints(2)[0] {
                1 => assert_eq!(data.len(), 4 * count, "{name}: {value}"),
                7 => assert_eq!(data.len(), 8 * count, "{name}: {value}"),
                other => panic!("{name}: {value} has type {other}"),
            }
            let given = ["constant.", "anchors."].iter().any(|prefix| value.starts_with(prefix));
            if tensor.ints(2) == [1] && !given {
                parameters += count;
                check_weights(name, value, data);
            }
        }
        assert_eq!(parameters, size(&model).parameters, "{name}");

        for node in graph.messages(1) {
            for value in node.texts(1) {
                *uses
                    .get_mut(value)
                    .unwrap_or_else(|| panic!("{name}: {value} is used before it is defined")) += 1;
            }
            for value in node.texts(2).into_iter().filter(|value| !value.is_empty()) {
                define(&mut uses, value);
            }
        }
        let mut shapes: BTreeMap<_, _> = graph.messages(13).iter().map(name_and_shape).collect();
        for (value, shape) in graph.messages(12).iter().map(name_and_shape) {
            *uses.get_mut(value).unwrap_or_else(|| panic!("{name}: output {value} is not defined")) += 1;
            assert!(shapes.insert(value, shape).is_none(), "{name}: {value} has two shapes");
        }
        let unused: Vec<_> = uses.iter().filter(|(_, uses)| **uses == 0).collect();
        assert!(unused.is_empty(), "{name}: nobody uses {unused:?}");
        assert_eq!(shapes.len(), graph.messages(1).len(), "{name}: each node's result has a shape");
    }
}

/// The numbers fill an interval around zero evenly: not constant, not skewed, finite.
fn check_weights(model: &str, name: &str, data: &[u8]) {
    let numbers = data.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
    let count = numbers.clone().count() as f64;
    let bound = numbers.clone().fold(0.0, |most: f64, x| most.max(x.abs()));
    let mean = numbers.clone().sum::<f64>() / count;
    let variance = numbers.map(|x| x * x).sum::<f64>() / count;
    assert!(bound > 0.0 && bound < 2.0, "{model}: {name} reaches {bound}");
    // Five standard deviations of the mean of uniform numbers, and twice the one of their variance.
    assert!(mean.abs() < 5.0 * bound / (3.0 * count).sqrt(), "{model}: {name} has mean {mean}");
    assert!(
        (variance * 3.0 / (bound * bound) - 1.0).abs() < 10.0 / count.sqrt(),
        "{model}: {name} is not even"
    );
}

/// `about` names the input and every output with its shape.
#[test]
fn descriptions_say_the_shapes_of_the_file() {
    for model in MODELS {
        let bytes = bytes(&model);
        let graph = Message::read(&bytes).message(7);
        for (name, shape) in graph.messages(11).iter().chain(&graph.messages(12)).map(name_and_shape) {
            let dims: Vec<_> = shape.iter().map(i64::to_string).collect();
            let phrase = format!("{name} ({})", dims.join(", "));
            assert!(model.about.contains(&phrase), "{}: {phrase} is not in {:?}", model.name, model.about);
        }
    }
}
