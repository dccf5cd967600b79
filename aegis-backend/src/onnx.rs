//! What an ONNX file says about itself, read without a runtime: inputs, outputs and the size of its constants.
//!
//! Runtimes do not tell all of it (rten hides that an input is `i64`, ONNX Runtime hides the initialisers), and a file
//! that this small reader refuses never reaches their parsers. Field numbers are those of `onnx.proto3`.
use crate::{Artifact, BackendError, DType, Dim, TensorFacts};
use aegis_core::Bytes;

/// What a file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Inputs that a caller gives, in order; initialisers that are listed as inputs are left out.
    pub inputs: Vec<Port>,
    /// Outputs, in order.
    pub outputs: Vec<Port>,
    /// Bytes of all initialisers and constants, those of nested graphs included.
    pub constants: Bytes,
}

/// An input or output as the file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The number of its element type; 0 when it is not a tensor.
    pub element: u64,
    /// Its shape; `None` when the file does not even say the rank.
    pub shape: Option<Vec<Dim>>,
}

impl Port {
    /// Its element type, where the contract has it.
    #[must_use]
    pub const fn dtype(&self) -> Option<DType> {
        Some(match self.element {
            1 => DType::F32,
            2 => DType::U8,
            3 => DType::I8,
            6 => DType::I32,
            7 => DType::I64,
            9 => DType::Bool,
            10 => DType::F16,
            _ => return None,
        })
    }

    /// Its facts, where the extents that the file leaves open are taken from `inferred`, what a runtime found out;
    /// `which` is `input` or `output`.
    ///
    /// # Errors
    /// A sentence, if the element type is none of the contract's or nobody knows the rank.
    pub fn facts(&self, which: &str, inferred: Option<Vec<Dim>>) -> Result<TensorFacts, String> {
        let Self { name, element, .. } = self;
        let Some(dtype) = self.dtype() else {
            return Err(format!("{which} `{name}` has ONNX element type {element}, which is not supported"));
        };
        let shape = match (self.shape.clone(), inferred) {
            (Some(declared), Some(inferred)) if declared.len() == inferred.len() => {
                let known = |(declared, inferred)| match (&declared, &inferred) {
                    (Dim::Symbol(_), Dim::Fixed(_)) => inferred,
                    _ => declared,
                };
                declared.into_iter().zip(inferred).map(known).collect()
            }
            (Some(declared), _) => declared,
            (None, Some(inferred)) => inferred,
            (None, None) => {
                return Err(format!(
                    "{which} `{name}` has no shape in the file; add it with onnx.shape_inference.infer_shapes"
                ));
            }
        };
        Ok(TensorFacts { name: name.clone(), dtype, shape })
    }
}

/// Graphs nested deeper than this are refused, so that no parser behind this one is led into deep recursion.
const MAX_DEPTH: u32 = 32;

/// Reads the outline of an ONNX file.
///
/// # Errors
/// [`BackendError::Malformed`] if the bytes are not an ONNX model, with the place; [`BackendError::Unsupported`] if
/// weights lie in another file, because only the bytes that were hashed are loaded.
pub fn outline(artifact: &Artifact) -> Result<Outline, BackendError> {
    let reader = Reader { file: artifact.bytes() };
    reader.model().map_err(|stop| match stop {
        Stop::Broken { at, why } => BackendError::Malformed {
            path: artifact.origin().to_path_buf(),
            why: format!("not an ONNX file: {why}, at byte {at}"),
        },
        Stop::External { tensor } => BackendError::Unsupported {
            path: artifact.origin().to_path_buf(),
            why: format!(
                "`{tensor}` keeps its data in another file; save the model with its weights inside \
                 (onnx.save(model, path, save_as_external_data=False))"
            ),
        },
    })
}

enum Stop {
    Broken { at: usize, why: &'static str },
    External { tensor: String },
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

struct Reader<'a> {
    file: &'a [u8],
}

impl<'a> Reader<'a> {
    fn broken<T>(&self, rest: &[u8], why: &'static str) -> Result<T, Stop> {
        // `rest` is a part of `file`, so the difference of their addresses is its offset.
        Err(Stop::Broken { at: rest.as_ptr() as usize - self.file.as_ptr() as usize, why })
    }

    fn varint(&self, rest: &mut &'a [u8]) -> Result<u64, Stop> {
        let start = *rest;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some((byte, tail)) = rest.split_first() else {
                return self.broken(start, "a number is cut off");
            };
            *rest = tail;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        self.broken(start, "a number is longer than 64 bits")
    }

    fn take(&self, rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], Stop> {
        let split = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
        let Some((head, tail)) = split else {
            return self.broken(rest, "a field reaches beyond the end");
        };
        *rest = tail;
        Ok(head)
    }

    /// Calls `each` with every field of a message.
    fn fields(
        &self,
        mut rest: &'a [u8],
        mut each: impl FnMut(u64, Field<'a>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        while !rest.is_empty() {
            let start = rest;
            let tag = self.varint(&mut rest)?;
            let field = match tag & 7 {
                0 => Field::Number(self.varint(&mut rest)?),
                1 => self.take(&mut rest, 8).map(|_| Field::Fixed)?,
                2 => {
                    let len = self.varint(&mut rest)?;
                    Field::Bytes(self.take(&mut rest, len)?)
                }
                5 => self.take(&mut rest, 4).map(|_| Field::Fixed)?,
                _ => return self.broken(start, "a field has an unknown kind"),
            };
            if tag >> 3 == 0 {
                return self.broken(start, "a field has the number 0");
            }
            each(tag >> 3, field)?;
        }
        Ok(())
    }

    fn text(&self, bytes: &'a [u8]) -> Result<String, Stop> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => self.broken(bytes, "a name is not UTF-8"),
        }
    }

    fn model(&self) -> Result<Outline, Stop> {
        let mut graph = None;
        self.fields(self.file, |number, field| {
            if let (7, Field::Bytes(bytes)) = (number, field) {
                graph = Some(bytes);
            }
            Ok(())
        })?;
        let Some(graph) = graph else {
            return self.broken(self.file, "it has no graph");
        };
        let (mut inputs, mut outputs, mut given) = (Vec::new(), Vec::new(), Vec::new());
        let mut constants = 0;
        self.fields(graph, |number, field| {
            match (number, field) {
                (1, Field::Bytes(node)) => self.node(node, 0, &mut constants)?,
                (5, Field::Bytes(tensor)) => given.push(self.tensor(tensor, &mut constants)?),
                (11, Field::Bytes(port)) => inputs.push(self.port(port)?),
                (12, Field::Bytes(port)) => outputs.push(self.port(port)?),
                _ => {}
            }
            Ok(())
        })?;
        given.sort_unstable();
        inputs.retain(|port| given.binary_search(&port.name).is_err());
        Ok(Outline { inputs, outputs, constants: Bytes(constants) })
    }

    fn node(&self, node: &'a [u8], depth: u32, constants: &mut u64) -> Result<(), Stop> {
        self.fields(node, |number, field| match (number, field) {
            (5, Field::Bytes(attribute)) => self.fields(attribute, |number, field| {
                match (number, field) {
                    (5 | 10, Field::Bytes(tensor)) => {
                        self.tensor(tensor, constants)?;
                    }
                    (6 | 11, Field::Bytes(graph)) => self.nested(graph, depth + 1, constants)?,
                    _ => {}
                }
                Ok(())
            }),
            _ => Ok(()),
        })
    }

    fn nested(&self, graph: &'a [u8], depth: u32, constants: &mut u64) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            return self.broken(graph, "graphs are nested deeper than 32");
        }
        self.fields(graph, |number, field| {
            match (number, field) {
                (1, Field::Bytes(node)) => self.node(node, depth, constants)?,
                (5, Field::Bytes(tensor)) => {
                    self.tensor(tensor, constants)?;
                }
                _ => {}
            }
            Ok(())
        })
    }

    /// Adds a tensor's size to `constants`, answers its name.
    fn tensor(&self, tensor: &'a [u8], constants: &mut u64) -> Result<String, Stop> {
        let (mut name, mut elements, mut kind, mut payload, mut external) =
            (String::new(), Some(1u64), 0, 0u64, false);
        self.fields(tensor, |number, field| {
            match (number, field) {
                (1, Field::Number(dim)) => elements = elements.and_then(|n| n.checked_mul(dim)),
                (1, Field::Bytes(mut dims)) => {
                    while !dims.is_empty() {
                        let dim = self.varint(&mut dims)?;
                        elements = elements.and_then(|n| n.checked_mul(dim));
                    }
                }
                (2, Field::Number(n)) => kind = n,
                (8, Field::Bytes(text)) => name = self.text(text)?,
                (14, Field::Number(n)) => external = n == 1,
                (_, Field::Bytes(data)) => payload = payload.saturating_add(data.len() as u64),
                _ => {}
            }
            Ok(())
        })?;
        if external {
            return Err(Stop::External { tensor: name });
        }
        // Types whose elements are not whole bytes, and text, count as what they take in the file.
        let bytes = element_size(kind).map_or(Some(payload), |size| elements?.checked_mul(size));
        match bytes.and_then(|bytes| constants.checked_add(bytes)) {
            Some(sum) => *constants = sum,
            None => return self.broken(tensor, "the size of a tensor does not fit 64 bits"),
        }
        Ok(name)
    }

    fn port(&self, port: &'a [u8]) -> Result<Port, Stop> {
        let mut result = Port { name: String::new(), element: 0, shape: None };
        self.fields(port, |number, field| match (number, field) {
            (1, Field::Bytes(text)) => {
                result.name = self.text(text)?;
                Ok(())
            }
            (2, Field::Bytes(kind)) => self.fields(kind, |number, field| match (number, field) {
                (1, Field::Bytes(tensor)) => self.fields(tensor, |number, field| {
                    match (number, field) {
                        (1, Field::Number(n)) => result.element = n,
                        (2, Field::Bytes(shape)) => result.shape = Some(self.shape(shape)?),
                        _ => {}
                    }
                    Ok(())
                }),
                _ => Ok(()),
            }),
            _ => Ok(()),
        })?;
        Ok(result)
    }

    fn shape(&self, shape: &'a [u8]) -> Result<Vec<Dim>, Stop> {
        let mut dims = Vec::new();
        self.fields(shape, |number, field| {
            if let (1, Field::Bytes(dim)) = (number, field) {
                // A dimension without a value is one that the caller chooses, with or without a name.
                let mut result = Dim::Symbol("?".to_owned());
                self.fields(dim, |number, field| {
                    match (number, field) {
                        (1, Field::Number(n)) if i64::try_from(n).is_ok() => result = Dim::Fixed(n),
                        (2, Field::Bytes(name)) if !name.is_empty() => {
                            result = Dim::Symbol(self.text(name)?);
                        }
                        _ => {}
                    }
                    Ok(())
                })?;
                dims.push(result);
            }
            Ok(())
        })?;
        Ok(dims)
    }
}

/// Bytes of one element, by the number of its type.
const fn element_size(kind: u64) -> Option<u64> {
    match kind {
        2 | 3 | 9 | 17..=20 => Some(1),
        4 | 5 | 10 | 16 => Some(2),
        1 | 6 | 12 => Some(4),
        7 | 11 | 13 | 14 => Some(8),
        15 => Some(16),
        _ => None,
    }
}
