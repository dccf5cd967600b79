//! Tensors across the border: inputs as views where rten has the type, outputs copied out.
use aegis_backend::{BackendError, DType, TensorFacts, TensorMut, TensorRef};
use aegis_core::{Blame, Fault, FaultCode, Usable};
use bytemuck::{Pod, try_cast_slice, try_cast_slice_mut};
use rten::{Value, ValueOrView, ValueView};
use rten_tensor::prelude::*;
use rten_tensor::{Tensor, TensorView};

/// An input for rten; `tensor` has passed [`aegis_backend::Io::check`].
pub(crate) fn input<'a>(
    facts: &TensorFacts,
    tensor: &TensorRef<'a>,
) -> Result<ValueOrView<'a>, BackendError> {
    let bad = |why: String| BackendError::BadTensor { which: "input", name: facts.name.clone(), why };
    let shape = extents(tensor.shape).ok_or_else(|| bad(format!("shape {:?} does not fit", tensor.shape)))?;
    let (shape, data) = (&*shape, tensor.data);
    match tensor.dtype {
        DType::F32 => view::<f32>(shape, data),
        DType::I32 => view::<i32>(shape, data),
        DType::I8 => view::<i8>(shape, data),
        DType::U8 => view::<u8>(shape, data),
        DType::I64 => elements::<i64>(data).and_then(|values| {
            let narrow = |(i, value): (usize, &i64)| {
                i32::try_from(*value)
                    .map_err(|_| format!("element {i} is {value}; rten computes with 32 bits"))
            };
            let values = values.iter().enumerate().map(narrow).collect::<Result<_, _>>()?;
            owned(shape, values)
        }),
        DType::Bool => owned(shape, data.iter().map(|byte| i32::from(*byte != 0)).collect()),
        other => Err(format!("{other} is not supported")),
    }
    .map_err(bad)
}

fn extents(shape: &[u64]) -> Option<Vec<usize>> {
    shape.iter().map(|extent| usize::try_from(*extent).ok()).collect()
}

fn elements<T: Pod>(data: &[u8]) -> Result<&[T], String> {
    try_cast_slice(data).map_err(|error| error.to_string())
}

fn view<'a, T: Pod>(shape: &[usize], data: &'a [u8]) -> Result<ValueOrView<'a>, String>
where
    ValueView<'a>: From<TensorView<'a, T>>,
{
    let view = ValueView::from_shape(shape, elements::<T>(data)?).map_err(|error| error.to_string())?;
    Ok(view.into())
}

fn owned(shape: &[usize], data: Vec<i32>) -> Result<ValueOrView<'static>, String> {
    Ok(Value::from_shape(shape, data).map_err(|error| error.to_string())?.into())
}

/// Copies what rten computed into the caller's output.
pub(crate) fn output(
    facts: &TensorFacts,
    value: &Value,
    tensor: &mut TensorMut<'_>,
) -> Result<(), BackendError> {
    let shape: Vec<u64> = value.shape().iter().map(|extent| *extent as u64).collect();
    if shape != tensor.shape {
        let why = format!("the model produced shape {shape:?}, given {:?}", tensor.shape);
        return Err(BackendError::BadTensor { which: "output", name: facts.name.clone(), why });
    }
    let copied = match (tensor.dtype, value) {
        (DType::F32, Value::FloatTensor(from)) => copy(from, tensor.data, |v: f32| v),
        (DType::I32, Value::Int32Tensor(from)) => copy(from, tensor.data, |v: i32| v),
        (DType::I8, Value::Int8Tensor(from)) => copy(from, tensor.data, |v: i8| v),
        (DType::U8, Value::UInt8Tensor(from)) => copy(from, tensor.data, |v: u8| v),
        (DType::I64, Value::Int32Tensor(from)) => copy(from, tensor.data, i64::from),
        (DType::Bool, Value::Int32Tensor(from)) => copy(from, tensor.data, |v: i32| u8::from(v != 0)),
        _ => None,
    };
    copied.ok_or_else(|| BackendError::Execution {
        why: format!("output `{}` should be {facts}, rten gave {}", facts.name, value.dtype()),
        fault: Fault { blame: Blame::Backend, code: FaultCode::ExecutionFailed, usable: Usable::Session },
    })
}

fn copy<T: Copy, U: Pod>(from: &Tensor<T>, to: &mut [u8], convert: impl Fn(T) -> U) -> Option<()> {
    let to: &mut [U] = try_cast_slice_mut(to).ok()?;
    if to.len() != from.len() {
        return None;
    }
    match from.data() {
        Some(contiguous) => to.iter_mut().zip(contiguous).for_each(|(to, from)| *to = convert(*from)),
        None => to.iter_mut().zip(from.iter()).for_each(|(to, from)| *to = convert(*from)),
    }
    Some(())
}
