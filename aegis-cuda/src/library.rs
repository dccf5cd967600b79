//! The vendor's libraries beside the driver, found at run time under one of several names.
#![allow(unsafe_code)]

use libloading::Library;

/// Why a library beside the driver cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// None of its names can be loaded.
    #[error("none of {} can be loaded", looked_for.join(", "))]
    NotFound {
        /// The names tried.
        looked_for: Vec<&'static str>,
    },
    /// It lacks a function.
    #[error("{library} has no function {symbol}")]
    SymbolMissing {
        /// The library's name.
        library: &'static str,
        /// The function.
        symbol: &'static str,
    },
    /// A function of it failed.
    #[error("{call} failed with error {code}{}", text.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Call {
        /// The function.
        call: &'static str,
        /// Its answer.
        code: i32,
        /// What the library says of that answer.
        text: Option<String>,
    },
}

/// The first of these libraries that can be loaded, for the life of the process.
pub(crate) fn open(names: &[&'static str]) -> Result<(&'static str, &'static Library), LibraryError> {
    for name in names {
        // SAFETY: these are the vendor's libraries; their initialisers are the vendor's.
        if let Ok(library) = unsafe { Library::new(*name) } {
            return Ok((name, Box::leak(Box::new(library))));
        }
    }
    Err(LibraryError::NotFound { looked_for: names.to_vec() })
}
