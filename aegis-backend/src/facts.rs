//! What a model says about itself before it runs: tensors, memory, streams, segments.
use aegis_core::Bytes;
use std::fmt;

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 8-bit signed integer.
    I8,
    /// 8-bit unsigned integer.
    U8,
    /// Boolean, one byte.
    Bool,
}

impl DType {
    /// Bytes of one element.
    #[must_use]
    pub const fn size(self) -> u64 {
        match self {
            Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The type of this name, as in specs.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::F32, Self::F16, Self::I64, Self::I32, Self::I8, Self::U8, Self::Bool]
            .into_iter()
            .find(|dtype| dtype.name() == name)
    }

    /// The name in specs and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One dimension of a tensor's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// A fixed extent.
    Fixed(u64),
    /// An extent that the caller chooses, by its name in the file.
    Symbol(String),
}

/// Name, type and shape of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorFacts {
    /// Its name in the model.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<Dim>,
}

impl TensorFacts {
    /// The shape when every extent is fixed; a symbolic one counts as 1, as is usual for a batch.
    #[must_use]
    pub fn concrete_shape(&self) -> Vec<u64> {
        self.shape.iter().map(|d| if let Dim::Fixed(n) = d { *n } else { 1 }).collect()
    }

    /// Bytes of the tensor with its concrete shape; `None` when they do not fit 64 bits.
    #[must_use]
    pub fn bytes(&self) -> Option<Bytes> {
        let elements = self.concrete_shape().iter().try_fold(1u64, |n, d| n.checked_mul(*d))?;
        elements.checked_mul(self.dtype.size()).map(Bytes)
    }
}

/// `f32[1,3,224,224]`
impl fmt::Display for TensorFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (i, dim) in self.shape.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match dim {
                Dim::Fixed(n) => write!(f, "{comma}{n}")?,
                Dim::Symbol(s) => write!(f, "{comma}{s}")?,
            }
        }
        write!(f, "]")
    }
}

/// One intermediate tensor and the steps of an execution between which it must keep its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorLife {
    /// Its size.
    pub bytes: Bytes,
    /// First step that writes it.
    pub from: u32,
    /// First step that no longer needs it.
    pub to: u32,
}

/// Memory that a model needs only while one of its segments runs. What can be done with it is data, so that nobody
/// asks which backend it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scratch {
    /// None.
    None,
    /// One region that the orchestrator places.
    Placeable {
        /// Its size; never give less.
        bytes: Bytes,
        /// Its alignment.
        align: Bytes,
    },
    /// Single tensors that the orchestrator may place.
    PerTensor(Vec<TensorLife>),
    /// The runtime takes it from this program's allocator while a job runs and gives all of it back: whoever counts
    /// allocations can measure it.
    Heap,
    /// The runtime takes it by itself and gives it back after each job.
    Opaque {
        /// The most it takes; `None` when the runtime does not say.
        at_most: Option<Bytes>,
    },
}

impl Scratch {
    /// The most that one execution needs; `None` when unknown.
    #[must_use]
    pub fn peak(&self) -> Option<Bytes> {
        match self {
            Self::None => Some(Bytes::ZERO),
            Self::Placeable { bytes, .. } => Some(*bytes),
            Self::Heap => None,
            Self::Opaque { at_most } => *at_most,
            Self::PerTensor(lives) => lives
                .iter()
                .map(|probe| {
                    lives
                        .iter()
                        .filter(|l| l.from <= probe.from && probe.from < l.to)
                        .try_fold(Bytes::ZERO, |sum, l| sum.checked_add(l.bytes))
                })
                .try_fold(Bytes::ZERO, |most, live| live.map(|l| most.max(l))),
        }
    }
}

/// Where a model reads its inputs, writes its outputs, and holds its weights and scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// In the host's memory; it executes on the calling thread.
    #[default]
    Host,
    /// In the device's memory; it executes on a stream.
    Device,
}

/// What a model needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// Where it lives.
    pub place: Place,
    /// Inputs, in the model's order.
    pub inputs: Vec<TensorFacts>,
    /// Outputs, in the model's order.
    pub outputs: Vec<TensorFacts>,
    /// Memory that it holds as long as it is loaded.
    pub weights: Bytes,
    /// Memory that it holds while it runs.
    pub scratch: Scratch,
    /// Streams that it uses besides the one it is given.
    pub extra_streams: u32,
    /// Non-preemptive segments of one job; at least 1.
    pub segments: u16,
}

impl ModelFacts {
    /// The scratch that the orchestrator must place, if it is of that kind.
    #[must_use]
    pub const fn placeable(&self) -> Option<Bytes> {
        match self.scratch {
            Scratch::Placeable { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// Bytes of all inputs and outputs together; `None` when they do not fit 64 bits.
    #[must_use]
    pub fn io_bytes(&self) -> Option<Bytes> {
        self.inputs.iter().chain(&self.outputs).try_fold(Bytes::ZERO, |sum, t| sum.checked_add(t.bytes()?))
    }
}
