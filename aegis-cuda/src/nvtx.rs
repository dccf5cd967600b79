//! NVTX: named ranges of a thread's time, for Nsight Systems; they cost nothing and do nothing where the library is absent.
#![allow(unsafe_code)]

use crate::ffi::functions;
use crate::{LibraryError, library};
use std::ffi::{CStr, c_char};
use std::marker::PhantomData;
use std::sync::OnceLock;

/// NVTX 2, and the interface of NVTX 3 for other languages than C.
const NAMES: &[&str] = &["libnvToolsExt.so.1", "libnvtx3interop.so", "libnvtx3interop.so.1"];

functions! {
    /// Of nvToolsExt.h.
    Calls {
    push: "nvtxRangePushA"(*const c_char);
    pop: "nvtxRangePop"();
    }
}

fn calls() -> Result<&'static (&'static str, Calls), LibraryError> {
    static FOUND: OnceLock<Result<(&'static str, Calls), LibraryError>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let (name, library) = library::open(NAMES)?;
        let missing = |symbol| LibraryError::SymbolMissing { library: name, symbol };
        Ok((name, Calls::look_up(library).map_err(missing)?))
    });
    found.as_ref().map_err(Clone::clone)
}

/// The library that ranges go to.
///
/// # Errors
/// [`LibraryError`] if there is none: then ranges do nothing.
pub fn found() -> Result<&'static str, LibraryError> {
    calls().map(|found| found.0)
}

/// A range of this thread's time, from [`range`] until it is dropped. Ranges of a thread lie within each other: drop the
/// last one first.
#[derive(Debug)]
#[must_use = "the range ends when it is dropped"]
pub struct Range {
    pushed: bool,
    /// It ends on the thread that began it.
    of_this_thread: PhantomData<*const ()>,
}

/// Begins a range.
pub fn range(name: &CStr) -> Range {
    let found = calls();
    if let Ok((_, calls)) = found {
        // SAFETY: the name is a C string, which the library copies.
        unsafe { (calls.push)(name.as_ptr()) };
    }
    Range { pushed: found.is_ok(), of_this_thread: PhantomData }
}

impl Drop for Range {
    fn drop(&mut self) {
        if let (true, Ok((_, calls))) = (self.pushed, calls()) {
            // SAFETY: `range` has pushed one on this thread.
            unsafe { (calls.pop)() };
        }
    }
}
