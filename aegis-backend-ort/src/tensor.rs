//! Tensors across the border: inputs as views, outputs copied out.
use crate::session::failed;
use aegis_backend::{BackendError, DType, TensorFacts, TensorMut, TensorRef};
use bytemuck::{CheckedBitPattern, NoUninit};
use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType};
use std::fmt::Debug;

/// An input for ONNX Runtime; `tensor` has passed [`aegis_backend::Io::check`].
pub(crate) fn input<'a>(
    facts: &TensorFacts,
    tensor: &TensorRef<'a>,
) -> Result<SessionInputValue<'a>, BackendError> {
    match tensor.dtype {
        DType::F32 => view::<f32>(tensor),
        DType::I64 => view::<i64>(tensor),
        DType::I32 => view::<i32>(tensor),
        DType::I8 => view::<i8>(tensor),
        DType::U8 => view::<u8>(tensor),
        DType::Bool => view::<bool>(tensor),
        other => Err(format!("{other} is not supported")),
    }
    .map_err(|why| BackendError::BadTensor { which: "input", name: facts.name.clone(), why })
}

fn view<'a, T>(tensor: &TensorRef<'a>) -> Result<SessionInputValue<'a>, String>
where
    T: PrimitiveTensorElementType + CheckedBitPattern + Clone + Debug + 'static,
{
    let shape: Option<Vec<i64>> = tensor.shape.iter().map(|extent| i64::try_from(*extent).ok()).collect();
    let shape = shape.ok_or_else(|| format!("shape {:?} does not fit", tensor.shape))?;
    // Checked because a byte is a boolean only if it is 0 or 1.
    let data: &'a [T] =
        bytemuck::checked::try_cast_slice(tensor.data).map_err(|error| format!("its data: {error}"))?;
    let view = ort::value::TensorRef::from_array_view((shape, data)).map_err(|error| error.to_string())?;
    Ok(view.into())
}

/// Copies what ONNX Runtime computed into the caller's output.
pub(crate) fn output(
    facts: &TensorFacts,
    value: &DynValue,
    tensor: &mut TensorMut<'_>,
) -> Result<(), BackendError> {
    match tensor.dtype {
        DType::F32 => copy::<f32>(facts, value, tensor),
        DType::I64 => copy::<i64>(facts, value, tensor),
        DType::I32 => copy::<i32>(facts, value, tensor),
        DType::I8 => copy::<i8>(facts, value, tensor),
        DType::U8 => copy::<u8>(facts, value, tensor),
        DType::Bool => copy::<bool>(facts, value, tensor),
        other => Err(failed(format!("output `{}`: {other} is not supported", facts.name))),
    }
}

fn copy<T: PrimitiveTensorElementType + NoUninit>(
    facts: &TensorFacts,
    value: &DynValue,
    tensor: &mut TensorMut<'_>,
) -> Result<(), BackendError> {
    let (shape, data) = value
        .try_extract_tensor::<T>()
        .map_err(|error| failed(format!("output `{}` should be {facts}: {error}", facts.name)))?;
    let same = shape.len() == tensor.shape.len()
        && shape.iter().zip(tensor.shape).all(|(got, given)| u64::try_from(*got) == Ok(*given));
    if !same {
        let why = format!("the model produced shape {:?}, given {:?}", &**shape, tensor.shape);
        return Err(BackendError::BadTensor { which: "output", name: facts.name.clone(), why });
    }
    // The lengths agree: the types and shapes do, and `tensor` has the length that they ask for.
    tensor.data.copy_from_slice(bytemuck::cast_slice(data));
    Ok(())
}
