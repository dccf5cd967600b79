//! Scratch memory of models on the host: one region that they use in turn, as large as the largest of them needs.
//!
//! A region is taken for a job and given back after it, and stays for the next job. So models whose jobs run one at a
//! time hold one region together; jobs that run at the same time, in different partitions, have one each. When a model
//! is dropped, regions larger than the remaining ones need are freed.
use aegis_backend::{DType, TensorBuf};
use aegis_core::Bytes;
use std::sync::{Mutex, PoisonError};

/// The regions that are not in use, and what each loaded model needs.
struct Pool {
    free: Vec<TensorBuf>,
    needs: Vec<u64>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), needs: Vec::new() });

impl Pool {
    fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        // Nothing below panics while the lists are half changed.
        work(&mut POOL.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn largest(&self) -> u64 {
        self.needs.iter().copied().max().unwrap_or(0)
    }
}

/// A model's claim on a region, as long as the model is loaded.
#[derive(Debug)]
pub(crate) struct Claim {
    bytes: u64,
}

impl Claim {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Pool::with(|pool| pool.needs.push(bytes.0));
        Self { bytes: bytes.0 }
    }

    /// A region at least as large as claimed, for one job; `None` when the machine cannot give that much memory.
    pub(crate) fn region(&self) -> Option<Region> {
        let (found, size) = Pool::with(|pool| {
            let fits = pool.free.iter().position(|region| region.data().len() as u64 >= self.bytes);
            // Where none fits, a smaller one makes room for a new one.
            let found = fits.or(if pool.free.is_empty() { None } else { Some(0) });
            (found.map(|at| pool.free.swap_remove(at)), pool.largest().max(self.bytes))
        });
        let memory = match found.filter(|region| region.data().len() as u64 >= self.bytes) {
            Some(memory) => memory,
            None => TensorBuf::zeroed(DType::U8, &[size])?,
        };
        Some(Region { memory: Some(memory) })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        Pool::with(|pool| {
            if let Some(at) = pool.needs.iter().position(|bytes| *bytes == self.bytes) {
                pool.needs.swap_remove(at);
            }
            let largest = pool.largest();
            pool.free.retain(|region| region.data().len() as u64 <= largest);
        });
    }
}

/// A region in use; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Region {
    memory: Option<TensorBuf>,
}

impl Region {
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.memory.as_mut().map_or(&mut [], TensorBuf::data_mut)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        Pool::with(|pool| {
            if memory.data().len() as u64 <= pool.largest() {
                pool.free.push(memory);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, Pool};
    use aegis_core::Bytes;

    /// One test, as there is one pool.
    #[test]
    fn models_share_one_region_of_the_largest_need() {
        let free = || Pool::with(|pool| pool.free.iter().map(|r| r.data().len()).collect::<Vec<_>>());
        let (small, large) = (Claim::new(Bytes(100)), Claim::new(Bytes(1000)));
        assert_eq!(small.region().unwrap().bytes().len(), 1000, "so that the other need not replace it");
        assert_eq!(large.region().unwrap().bytes().len(), 1000);
        assert_eq!(free(), [1000], "one after the other: one region");
        {
            let (mut one, mut two) = (small.region().unwrap(), large.region().unwrap());
            assert_ne!(one.bytes().as_ptr(), two.bytes().as_ptr(), "at the same time: one each");
        }
        assert_eq!(free(), [1000, 1000]);

        drop(large);
        assert_eq!(free(), [0usize; 0], "too large for who is left");
        assert_eq!(small.region().unwrap().bytes().len(), 100);
        assert_eq!(free(), [100]);

        let larger = Claim::new(Bytes(2000));
        assert_eq!(larger.region().unwrap().bytes().len(), 2000);
        assert_eq!(free(), [2000], "the smaller made room");
        let taken = larger.region().unwrap();
        drop((small, larger));
        drop(taken);
        assert_eq!(free(), [0usize; 0]);
        assert!(Claim::new(Bytes(u64::MAX)).region().is_none());
    }
}
