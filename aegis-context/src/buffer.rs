//! The bytes of one input or output: taken once, zeroed, at an address that every element type and vector unit accepts.
use aegis_backend::{DType, TensorFacts, TensorMut, TensorRef};
use aegis_core::Bytes;

/// Every input and output begins at a multiple of this: a cache line, and the widest vector register.
pub const ALIGN: Bytes = Bytes(64);

/// `ALIGN` as the length of slices.
const ALIGN_LEN: usize = 64;

/// A tensor's type, shape and bytes.
#[derive(Debug)]
pub(crate) struct TensorBuffer {
    dtype: DType,
    shape: Vec<u64>,
    /// Longer than the tensor by up to `ALIGN`, of which the address decides how much comes before it. The heap block
    /// does not move when the struct does, and it never grows.
    block: Vec<u8>,
    start: usize,
    len: usize,
}

impl TensorBuffer {
    /// Takes zeroed memory for a tensor; `None` when there is none, or its size fits no address.
    pub fn zeroed(facts: &TensorFacts) -> Option<Self> {
        let len = usize::try_from(facts.bytes()?.0).ok()?;
        let mut block = Vec::new();
        block.try_reserve_exact(len.checked_add(ALIGN_LEN)?).ok()?;
        block.resize(len + ALIGN_LEN, 0);
        let start = block.as_ptr().addr().next_multiple_of(ALIGN_LEN) - block.as_ptr().addr();
        Some(Self { dtype: facts.dtype, shape: facts.concrete_shape(), block, start, len })
    }

    /// What [`zeroed`](Self::zeroed) takes for a tensor; `None` when that does not fit 64 bits.
    pub fn footprint(facts: &TensorFacts) -> Option<Bytes> {
        facts.bytes()?.checked_add(ALIGN)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.block[self.start..self.start + self.len]
    }

    /// The tensor for a backend to write.
    pub fn view_mut(&mut self) -> TensorMut<'_> {
        let data = &mut self.block[self.start..self.start + self.len];
        TensorMut { dtype: self.dtype, shape: &self.shape, data }
    }

    /// The tensor for a backend to read.
    pub fn view(&self) -> TensorRef<'_> {
        TensorRef { dtype: self.dtype, shape: &self.shape, data: self.bytes() }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.block[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_backend::Dim;

    #[test]
    fn buffers_are_aligned_zeroed_and_as_long_as_the_tensor() {
        for n in [0, 1, 63, 64, 65, 1000, 100_000] {
            let facts = TensorFacts { name: "x".into(), dtype: DType::F32, shape: vec![Dim::Fixed(n)] };
            let mut buffer = TensorBuffer::zeroed(&facts).unwrap();
            assert_eq!(buffer.bytes().len() as u64, 4 * n);
            assert!(buffer.bytes().as_ptr().addr().is_multiple_of(64));
            assert!(buffer.bytes().iter().all(|b| *b == 0));
            let address = buffer.bytes_mut().as_ptr().addr();
            let moved = Box::new(buffer);
            assert_eq!(moved.bytes().as_ptr().addr(), address);
            assert_eq!(TensorBuffer::footprint(&facts).unwrap().0, moved.block.len() as u64);
        }
    }

    #[test]
    fn a_tensor_that_fits_no_memory_is_an_answer() {
        for shape in [vec![u64::MAX], vec![1 << 60], vec![1 << 40, 1 << 40]] {
            let shape = shape.into_iter().map(Dim::Fixed).collect();
            let facts = TensorFacts { name: "x".into(), dtype: DType::F32, shape };
            assert!(TensorBuffer::zeroed(&facts).is_none(), "{facts}");
        }
    }
}
