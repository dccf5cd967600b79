//! Inputs and outputs of one execution: borrowed bytes with type and shape, checked against the model's facts.
use crate::{BackendError, DType, Dim, ModelFacts, TensorFacts};

/// A borrowed input. `data` is row-major and starts at an address aligned for its type.
#[derive(Debug, Clone, Copy)]
pub struct TensorRef<'a> {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: &'a [u64],
    /// `dtype.size() × product(shape)` bytes.
    pub data: &'a [u8],
}

/// A borrowed output to write into. `data` is row-major and starts at an address aligned for its type.
#[derive(Debug)]
pub struct TensorMut<'a> {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: &'a [u64],
    /// `dtype.size() × product(shape)` bytes.
    pub data: &'a mut [u8],
}

/// The tensors of one execution, in the model's order: tables of length `'t` over data of length `'d`, so that a table
/// that is made once serves many executions.
#[derive(Debug)]
pub struct Io<'t, 'd> {
    /// All inputs.
    pub inputs: &'t [TensorRef<'d>],
    /// All outputs.
    pub outputs: &'t mut [TensorMut<'d>],
}

impl Io<'_, '_> {
    /// Checks number, type, shape and length of every tensor against `facts`.
    ///
    /// # Errors
    /// [`BackendError::BadTensor`] for the first that does not fit, with what was expected and what was given.
    pub fn check(&self, facts: &ModelFacts) -> Result<(), BackendError> {
        count("input", self.inputs.len(), facts.inputs.len())?;
        count("output", self.outputs.len(), facts.outputs.len())?;
        for (tensor, facts) in self.inputs.iter().zip(&facts.inputs) {
            one("input", facts, tensor.dtype, tensor.shape, tensor.data)?;
        }
        for (tensor, facts) in self.outputs.iter().zip(&facts.outputs) {
            one("output", facts, tensor.dtype, tensor.shape, tensor.data)?;
        }
        Ok(())
    }
}

fn count(which: &'static str, given: usize, expected: usize) -> Result<(), BackendError> {
    if given == expected {
        return Ok(());
    }
    let why = format!("the model has {expected} {which}s, {given} given");
    Err(BackendError::BadTensor { which, name: "*".to_owned(), why })
}

fn one(
    which: &'static str,
    facts: &TensorFacts,
    dtype: DType,
    shape: &[u64],
    data: &[u8],
) -> Result<(), BackendError> {
    let bad = |why| Err(BackendError::BadTensor { which, name: facts.name.clone(), why });
    if dtype != facts.dtype {
        return bad(format!("expected {facts}, given elements of type {dtype}"));
    }
    let fits = shape.len() == facts.shape.len()
        && shape.iter().zip(&facts.shape).all(|(given, dim)| match dim {
            Dim::Fixed(n) => given == n,
            Dim::Symbol(_) => true,
        });
    if !fits {
        return bad(format!("expected {facts}, given shape {shape:?}"));
    }
    let bytes = shape.iter().try_fold(dtype.size(), |n, d| n.checked_mul(*d));
    if bytes != u64::try_from(data.len()).ok() {
        return bad(format!("shape {shape:?} of {dtype} needs {bytes:?} bytes, given {}", data.len()));
    }
    if !(data.as_ptr() as usize).is_multiple_of(usize::try_from(dtype.size()).unwrap_or(1)) {
        return bad(format!("its data is not aligned to {} bytes", dtype.size()));
    }
    Ok(())
}
