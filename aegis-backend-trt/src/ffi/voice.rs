//! What TensorRT says while it is called, through its logger and its error recorder, kept by thread.
//!
//! It is heard only inside [`hear`], on the calling thread; what TensorRT says elsewhere or less loudly is dropped
//! before anything is allocated.
use super::shim::{Ears, Raw, Shim};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// `ILogger::Severity::kERROR`; `kINTERNAL_ERROR` is 0, warnings and chatter are above.
const ERROR: i32 = 1;

/// `ILogger::Severity::kWARNING`.
const WARNING: i32 = 2;

/// More errors of one call are dropped: the first ones tell the cause.
const ERRORS_MAX: usize = 8;

/// What was said during a call.
#[derive(Debug, Default)]
pub(super) struct Said {
    errors: Vec<String>,
    /// The last one: before 10 TensorRT warns of what makes it fail.
    warning: Option<String>,
}

impl Said {
    /// Nothing was said to be wrong. Warnings do not count.
    pub(super) fn is_well(&self) -> bool {
        self.errors.is_empty()
    }
}

/// The errors as one sentence; a warning, or a stand-in, when TensorRT failed without one.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.errors.is_empty() {
            return f.write_str(self.warning.as_deref().unwrap_or("TensorRT does not say why"));
        }
        f.write_str(&self.errors.join("; "))
    }
}

thread_local! {
    /// What was said so far on this thread; `None` when nobody listens.
    static HEARD: RefCell<Option<Said>> = const { RefCell::new(None) };
}

/// Makes a call into TensorRT; answers with its result and with what was said meanwhile.
pub(super) fn hear<T>(call: impl FnOnce() -> T) -> (T, Said) {
    HEARD.set(Some(Said::default()));
    let result = call();
    (result, HEARD.take().unwrap_or_default())
}

fn keep(severity: i32, line: &str) {
    // Fails on a thread that is ending, and never because of the borrow: nothing here calls TensorRT.
    let _ = HEARD.try_with(|heard| {
        let Ok(mut heard) = heard.try_borrow_mut() else { return };
        let Some(said) = heard.as_mut() else { return };
        if severity > ERROR {
            said.warning = Some(line.to_owned());
        // The recorder and the logger often say the same, one with more around it.
        } else if said.errors.len() < ERRORS_MAX && !said.errors.iter().any(|known| known.contains(line)) {
            said.errors.push(line.to_owned());
        }
    });
}

extern "C" fn log(severity: i32, text: *const c_char) {
    if severity <= WARNING {
        tell(severity, text);
    }
}

extern "C" fn error(_: i32, text: *const c_char) {
    tell(ERROR, text);
}

fn tell(severity: i32, text: *const c_char) {
    if !text.is_null() {
        // SAFETY: not null, and TensorRT declares it a C string that is valid during the call.
        keep(severity, unsafe { CStr::from_ptr(text) }.to_string_lossy().trim());
    }
}

/// The voice for all runtimes that go through this shim. It is never freed: TensorRT keeps a library's first logger as
/// its global one. `None` without memory.
pub(super) fn of(shim: &'static Shim) -> Option<Raw> {
    static VOICES: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());
    let mut voices = VOICES.lock().unwrap_or_else(PoisonError::into_inner);
    let voice = *voices.entry(std::ptr::from_ref(shim) as usize).or_insert_with(|| {
        // SAFETY: the shim copies the two functions, which are static.
        (unsafe { (shim.voice_new)(Ears { log, error }) }) as usize
    });
    (voice != 0).then_some(voice as Raw)
}

#[cfg(test)]
mod tests {
    use super::{HEARD, error, hear, log};
    use std::ffi::CString;

    #[test]
    fn errors_of_the_call_and_nothing_else() {
        log(1, c"before".as_ptr());
        let (result, said) = hear(|| {
            log(3, c"chatter".as_ptr());
            log(2, c"a warning".as_ptr());
            log(1, c" [E] 1: it broke ".as_ptr());
            log(0, c"inside".as_ptr());
            error(1, c"it broke".as_ptr());
            error(7, std::ptr::null());
            std::thread::spawn(|| log(0, c"elsewhere".as_ptr())).join().unwrap();
            7
        });
        assert_eq!((result, said.to_string().as_str()), (7, "[E] 1: it broke; inside"));
        assert!(!said.is_well());
        log(0, c"after".as_ptr());
        assert!(HEARD.take().is_none());
        let ((), said) = hear(|| {
            for i in 0..20 {
                log(0, CString::new(format!("{i}.")).unwrap().as_ptr());
            }
        });
        assert_eq!(said.to_string(), "0.; 1.; 2.; 3.; 4.; 5.; 6.; 7.");
    }

    #[test]
    fn a_warning_is_better_than_nothing() {
        let ((), said) = hear(|| {
            log(2, c"first".as_ptr());
            log(2, c"CUDA initialization failure with error: 35".as_ptr());
        });
        assert!(said.is_well());
        assert_eq!(said.to_string(), "CUDA initialization failure with error: 35");
        assert_eq!(hear(|| ()).1.to_string(), "TensorRT does not say why");
    }
}
