//! The model file of the simulated backend: TOML, with unknown keys refused.
use super::{Faults, Law};
use crate::{Artifact, BackendError, DType, Dim, ModelFacts, Place, Scratch, TensorFacts};
use aegis_core::{Bytes, Nanos};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::fmt::Display;
use std::num::{NonZeroU16, NonZeroU64};
use std::str::FromStr;

/// Alignment of the simulated scratch memory: that of a device allocation.
const SCRATCH_ALIGN: Bytes = Bytes(256);

/// A model file, valid.
pub(super) struct SimFile {
    pub(super) facts: ModelFacts,
    pub(super) time: Law,
    pub(super) faults: Faults,
}

/// A value that is written as text, such as `"10 MiB"`.
struct Written<T>(T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    place: PlaceText,
    weights: Option<Written<Bytes>>,
    scratch: Option<Written<Bytes>>,
    segments: Option<NonZeroU16>,
    inputs: Option<Vec<TensorText>>,
    outputs: Option<Vec<TensorText>>,
    #[serde(default)]
    time: LawText,
    #[serde(default)]
    faults: Faults,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum PlaceText {
    #[default]
    Host,
    Device,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorText {
    name: String,
    dtype: DTypeText,
    shape: Vec<DimText>,
}

struct DTypeText(DType);

impl<'de> Deserialize<'de> for DTypeText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let known = DType::from_name(&name).map(Self);
        known.ok_or_else(|| {
            D::Error::custom(format!("`{name}` is not an element type; write f32, for example"))
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected an extent of 1 or more, or the name of a symbolic one")]
enum DimText {
    Fixed(NonZeroU64),
    Symbol(String),
}

#[derive(Deserialize)]
#[serde(tag = "law", rename_all = "lowercase", deny_unknown_fields)]
enum LawText {
    Constant { value: Written<Nanos> },
    Uniform { low: Written<Nanos>, high: Written<Nanos> },
    Normal { mean: Written<Nanos>, deviation: Written<Nanos>, cap: Option<Written<Nanos>> },
    Bimodal { usual: Written<Nanos>, rare: Written<Nanos>, one_in: NonZeroU64 },
    Cycle { values: Vec<Written<Nanos>> },
}

impl Default for LawText {
    fn default() -> Self {
        Self::Constant { value: Written(Nanos::ZERO) }
    }
}

/// Reads a model file.
pub(super) fn read(artifact: &Artifact) -> Result<SimFile, BackendError> {
    let malformed = |why| BackendError::Malformed { path: artifact.origin().to_path_buf(), why };
    let text = std::str::from_utf8(artifact.bytes())
        .map_err(|error| malformed(format!("not text: no UTF-8 from byte {}", error.valid_up_to())))?;
    if text.trim().is_empty() {
        return Err(malformed("it is blank; write at least how long it takes, as `time`".to_owned()));
    }
    let file: FileText = toml::from_str(text).map_err(|error| malformed(located(text, &error)))?;
    let facts = ModelFacts {
        place: match file.place {
            PlaceText::Host => Place::Host,
            PlaceText::Device => Place::Device,
        },
        inputs: tensors(file.inputs, "input", &[1, 3, 8, 8]),
        outputs: tensors(file.outputs, "output", &[1, 10]),
        weights: file.weights.map_or(Bytes::ZERO, |w| w.0),
        scratch: match file.scratch {
            None | Some(Written(Bytes::ZERO)) => Scratch::None,
            Some(Written(bytes)) => Scratch::Placeable { bytes, align: SCRATCH_ALIGN },
        },
        extra_streams: 0,
        segments: file.segments.map_or(1, NonZeroU16::get),
    };
    if facts.io_bytes().is_none() {
        return Err(malformed("the size of its inputs and outputs does not fit 64 bits".to_owned()));
    }
    Ok(SimFile { facts, time: law(file.time).map_err(malformed)?, faults: file.faults })
}

/// `line:column: what is wrong`, on one line.
fn located(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', ", ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return message };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    format!("{line}:{column}: {message}")
}

fn tensors(written: Option<Vec<TensorText>>, name: &str, shape: &[u64]) -> Vec<TensorFacts> {
    let Some(written) = written else {
        let shape = shape.iter().map(|extent| Dim::Fixed(*extent)).collect();
        return vec![TensorFacts { name: name.to_owned(), dtype: DType::F32, shape }];
    };
    let dim = |dim| match dim {
        DimText::Fixed(extent) => Dim::Fixed(extent.get()),
        DimText::Symbol(name) => Dim::Symbol(name),
    };
    written
        .into_iter()
        .map(|t| TensorFacts {
            name: t.name,
            dtype: t.dtype.0,
            shape: t.shape.into_iter().map(dim).collect(),
        })
        .collect()
}

fn law(written: LawText) -> Result<Law, String> {
    Ok(match written {
        LawText::Constant { value } => Law::Constant(value.0),
        LawText::Uniform { low: Written(low), high: Written(high) } => {
            if low > high {
                return Err(format!("[time]: low = {low} is above high = {high}"));
            }
            Law::Uniform { low, high }
        }
        LawText::Normal { mean, deviation, cap } => {
            Law::Normal { mean: mean.0, deviation: deviation.0, cap: cap.map_or(Nanos::MAX, |c| c.0) }
        }
        LawText::Bimodal { usual, rare, one_in } => {
            Law::Bimodal { usual: usual.0, rare: rare.0, one_in: one_in.get() }
        }
        LawText::Cycle { values } => {
            if values.is_empty() {
                return Err("[time]: values is empty; write at least one time".to_owned());
            }
            Law::Cycle(values.into_iter().map(|v| v.0).collect())
        }
    })
}
