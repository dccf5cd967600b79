//! An owned tensor, for callers that have no buffer of their own, and one job run with such tensors.
use crate::{BackendError, DType, HostSession, Io, TensorFacts, TensorMut, TensorRef};
use aegis_core::{Bytes, Rng};

/// Alignment of the data: a cache line, and enough for every vector instruction in use.
const ALIGN: usize = 64;

/// A tensor that owns its data: row-major, aligned to 64 bytes.
#[derive(Debug)]
pub struct TensorBuf {
    dtype: DType,
    shape: Vec<u64>,
    storage: Vec<u8>,
    start: usize,
    len: usize,
}

impl TensorBuf {
    /// Every tensor's data begins at a multiple of this.
    pub const ALIGN: Bytes = Bytes(ALIGN as u64);

    /// All zeros; `None` when the machine cannot give that much memory.
    #[must_use]
    pub fn zeroed(dtype: DType, shape: &[u64]) -> Option<Self> {
        let bytes = shape.iter().try_fold(dtype.size(), |n, d| n.checked_mul(*d))?;
        let len = usize::try_from(bytes).ok()?;
        let mut storage = Vec::new();
        storage.try_reserve_exact(len.checked_add(ALIGN)?).ok()?;
        storage.resize(len + ALIGN, 0);
        let start = (storage.as_ptr() as usize).next_multiple_of(ALIGN) - storage.as_ptr() as usize;
        Some(Self { dtype, shape: shape.to_vec(), storage, start, len })
    }

    /// All zeros, of the concrete shape that `facts` name; `None` when the machine cannot give that much memory.
    #[must_use]
    pub fn for_facts(facts: &TensorFacts) -> Option<Self> {
        Self::zeroed(facts.dtype, &facts.concrete_shape())
    }

    /// The bytes that [`for_facts`](Self::for_facts) takes, the room for alignment included; `None` when they do not fit 64
    /// bits.
    #[must_use]
    pub fn footprint(facts: &TensorFacts) -> Option<Bytes> {
        facts.bytes()?.checked_add(Self::ALIGN)
    }

    /// Fills it with values that suit a model's input: floats in `[-1, 1)`, bytes of the whole range, 0 and 1 for wider
    /// integers (which are often indices) and for booleans. The same generator gives the same values.
    pub fn fill_random(&mut self, rng: &mut Rng) {
        let dtype = self.dtype;
        fill_random(dtype, self.data_mut(), rng);
    }

    /// Element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }

    /// The data, to write.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }

    /// Borrowed as an input.
    #[must_use]
    pub fn input(&self) -> TensorRef<'_> {
        TensorRef { dtype: self.dtype, shape: &self.shape, data: self.data() }
    }

    /// Borrowed as an output.
    pub fn output(&mut self) -> TensorMut<'_> {
        let data = &mut self.storage[self.start..self.start + self.len];
        TensorMut { dtype: self.dtype, shape: &self.shape, data }
    }
}

/// A clone has its own data, aligned as well.
impl Clone for TensorBuf {
    fn clone(&self) -> Self {
        let mut storage = vec![0; self.len + ALIGN];
        let start = (storage.as_ptr() as usize).next_multiple_of(ALIGN) - storage.as_ptr() as usize;
        storage[start..start + self.len].copy_from_slice(self.data());
        Self { dtype: self.dtype, shape: self.shape.clone(), storage, start, len: self.len }
    }
}

/// Fills `data` with elements of type `dtype`; see [`TensorBuf::fill_random`]. Every element is a valid value: floats
/// are finite, booleans are 0 or 1.
pub fn fill_random(dtype: DType, data: &mut [u8], rng: &mut Rng) {
    match dtype {
        DType::F32 => fill(data, || {
            // Two halves of 12 bits, both exact.
            let (high, low) = (f32::from(small(rng, 0, 4095)), f32::from(small(rng, 0, 4095)));
            ((high - 2048.0) / 2048.0 + low / (2048.0 * 4096.0)).to_ne_bytes()
        }),
        // Sign, an exponent that keeps the value below 1, and the mantissa.
        DType::F16 => fill(data, || {
            let sign = u16::from(rng.one_in(2)) << 15;
            (sign | small(rng, 8 << 10, (15 << 10) - 1)).to_ne_bytes()
        }),
        DType::I64 => fill(data, || i64::from(small(rng, 0, 1)).to_ne_bytes()),
        DType::I32 => fill(data, || i32::from(small(rng, 0, 1)).to_ne_bytes()),
        DType::I8 | DType::U8 => fill(data, || [small(rng, 0, 255).to_le_bytes()[0]]),
        DType::Bool => fill(data, || [small(rng, 0, 1).to_le_bytes()[0]]),
    }
}

fn small(rng: &mut Rng, low: u16, high: u16) -> u16 {
    u16::try_from(rng.between(low.into(), high.into())).unwrap_or(high)
}

fn fill<const N: usize>(data: &mut [u8], mut next: impl FnMut() -> [u8; N]) {
    for element in data.as_chunks_mut::<N>().0 {
        *element = next();
    }
}

/// Runs all `segments` of one job with tensors of the caller's.
///
/// # Errors
/// The first [`BackendError`]; the outputs are void then.
pub fn run_job(
    session: &mut dyn HostSession,
    segments: u16,
    inputs: &[TensorBuf],
    outputs: &mut [TensorBuf],
) -> Result<(), BackendError> {
    let inputs: Vec<TensorRef<'_>> = inputs.iter().map(TensorBuf::input).collect();
    let mut outputs: Vec<TensorMut<'_>> = outputs.iter_mut().map(TensorBuf::output).collect();
    (0..segments).try_for_each(|segment| session.run(segment, Io { inputs: &inputs, outputs: &mut outputs }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dim;

    #[test]
    fn data_is_aligned_and_a_clone_has_its_own() {
        for len in [0u64, 1, 63, 64, 65, 1000] {
            let mut a = TensorBuf::zeroed(DType::U8, &[len]).unwrap();
            a.fill_random(&mut Rng::new(len));
            let b = a.clone();
            assert_eq!(a.data(), b.data());
            assert_eq!(a.data().as_ptr() as usize % ALIGN, 0);
            assert_eq!(b.data().as_ptr() as usize % ALIGN, 0);
            assert_eq!(a.data().len() as u64, len);
        }
    }

    #[test]
    fn data_is_zeroed_as_long_as_the_tensor_and_stays_where_it_is() {
        for n in [0, 1, 63, 64, 65, 1000, 100_000] {
            let facts = TensorFacts { name: "x".into(), dtype: DType::F32, shape: vec![Dim::Fixed(n)] };
            let mut tensor = TensorBuf::for_facts(&facts).unwrap();
            assert_eq!(tensor.data().len() as u64, 4 * n);
            assert!(tensor.data().as_ptr().addr().is_multiple_of(64));
            assert!(tensor.data().iter().all(|b| *b == 0));
            let address = tensor.data_mut().as_ptr().addr();
            let moved = Box::new(tensor);
            assert_eq!(moved.data().as_ptr().addr(), address);
            assert_eq!(TensorBuf::footprint(&facts).unwrap().0, moved.storage.len() as u64);
        }
    }

    #[test]
    fn facts_that_fit_no_memory_are_answered() {
        for shape in [vec![u64::MAX], vec![1 << 60], vec![1 << 40, 1 << 40]] {
            let shape = shape.into_iter().map(Dim::Fixed).collect();
            let facts = TensorFacts { name: "x".into(), dtype: DType::F32, shape };
            assert!(TensorBuf::for_facts(&facts).is_none(), "{facts}");
        }
    }

    #[test]
    fn a_size_that_does_not_fit_is_an_answer() {
        assert!(TensorBuf::zeroed(DType::F32, &[u64::MAX, 2]).is_none());
        assert!(TensorBuf::zeroed(DType::U8, &[u64::MAX - 8]).is_none());
        assert!(TensorBuf::zeroed(DType::U8, &[1 << 60]).is_none());
    }

    #[test]
    fn random_values_are_valid_and_repeat() {
        let filled = |dtype| {
            let mut tensor = TensorBuf::zeroed(dtype, &[3, 100]).unwrap();
            tensor.fill_random(&mut Rng::new(7));
            tensor
        };
        for dtype in [DType::F32, DType::F16, DType::I64, DType::I32, DType::I8, DType::U8, DType::Bool] {
            assert_eq!(filled(dtype).data(), filled(dtype).data(), "{dtype}");
            assert!(filled(dtype).data().iter().any(|b| *b != filled(dtype).data()[0]), "{dtype}");
        }
        for value in filled(DType::F32).data().as_chunks::<4>().0 {
            assert!((-1.0..1.0).contains(&f32::from_ne_bytes(*value)));
        }
        for value in filled(DType::F16).data().as_chunks::<2>().0 {
            let exponent = u16::from_ne_bytes(*value) >> 10 & 31;
            assert!((8..15).contains(&exponent), "finite and below 1");
        }
        assert!(filled(DType::Bool).data().iter().all(|b| *b <= 1));
    }
}
