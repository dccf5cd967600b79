//! What could not be given back. A failing destroy has no caller to answer to, so it is kept here under its object's name.
use crate::CudaError;
use std::sync::{Mutex, PoisonError};

/// One thing that the driver would not take back: it is lost until the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedDrop {
    /// What it was: `"stream"`, `"device memory"`.
    pub object: &'static str,
    /// Why.
    pub error: CudaError,
}

/// All of them in this process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FailedDrops {
    /// How many there were.
    pub count: u64,
    /// The first of them, at most [`FailedDrops::KEPT`].
    pub first: Vec<FailedDrop>,
}

impl FailedDrops {
    /// How many are kept with their reasons; the others are counted.
    pub const KEPT: usize = 16;
}

static FAILED: Mutex<FailedDrops> = Mutex::new(FailedDrops { count: 0, first: Vec::new() });

/// What this process could not give back until now. After a sticky error everything on the device is listed here as it
/// is dropped.
#[must_use]
pub fn failed_drops() -> FailedDrops {
    FAILED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Keeps the answer of a destroy.
pub(crate) fn dropped(object: &'static str, answer: Result<(), CudaError>) {
    if let Err(error) = answer {
        let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
        failed.count = failed.count.saturating_add(1);
        if failed.first.len() < FailedDrops::KEPT {
            failed.first.push(FailedDrop { object, error });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FailedDrops, dropped, failed_drops};
    use crate::CudaError;

    #[test]
    fn counted_all_kept_some() {
        dropped("stream", Ok(()));
        assert_eq!(failed_drops(), FailedDrops::default());
        for code in 0..40 {
            dropped("stream", Err(CudaError::Call { call: "f", code, name: None, sticky: false }));
        }
        let failed = failed_drops();
        assert_eq!((failed.count, failed.first.len()), (40, FailedDrops::KEPT));
        assert!(matches!(failed.first[3].error, CudaError::Call { code: 3, .. }));
    }
}
