//! What TensorRT says while it is called: error lines of its logger and its error recorder, kept by thread.
//!
//! Lines are heard only inside [`hear`], on the calling thread; what TensorRT says elsewhere or less loudly is dropped
//! before anything is allocated.
use super::shim::{Ears, Raw, Shim};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::sync::{Mutex, PoisonError};

/// `ILogger::Severity::kERROR`; `kINTERNAL_ERROR` is 0, warnings and chatter are above.
const ERROR: i32 = 1;

/// More lines of one call are dropped: the first ones tell the cause.
const LINES_MAX: usize = 8;

thread_local! {
    /// The lines heard so far on this thread; `None` when nobody listens.
    static HEARD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Makes a call into TensorRT; answers with its result and the errors that were said meanwhile.
pub(super) fn hear<T>(call: impl FnOnce() -> T) -> (T, Vec<String>) {
    HEARD.set(Some(Vec::new()));
    let result = call();
    (result, HEARD.take().unwrap_or_default())
}

/// Error lines as one sentence; a stand-in when TensorRT failed silently.
pub(super) fn sentence(lines: &[String]) -> String {
    if lines.is_empty() { "TensorRT does not say why".to_owned() } else { lines.join("; ") }
}

fn keep(line: &str) {
    // A thread that is ending has no storage left, and a borrow is impossible: nothing here calls TensorRT.
    let _ = HEARD.try_with(|heard| {
        if let Ok(mut heard) = heard.try_borrow_mut()
            && let Some(lines) = heard.as_mut()
            && lines.len() < LINES_MAX
            // The recorder and the logger often say the same, one with more around it.
            && !lines.iter().any(|known| known.contains(line))
        {
            lines.push(line.to_owned());
        }
    });
}

extern "C" fn log(severity: i32, text: *const c_char) {
    if severity <= ERROR {
        tell(text);
    }
}

extern "C" fn error(_: i32, text: *const c_char) {
    tell(text);
}

fn tell(text: *const c_char) {
    if !text.is_null() {
        // SAFETY: not null, and TensorRT declares it a C string that is valid during the call.
        keep(unsafe { CStr::from_ptr(text) }.to_string_lossy().trim());
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
    use super::{HEARD, error, hear, log, sentence};

    #[test]
    fn errors_of_the_call_and_nothing_else() {
        log(1, c"before".as_ptr());
        let (result, lines) = hear(|| {
            log(3, c"chatter".as_ptr());
            log(2, c"a warning".as_ptr());
            log(1, c" [E] 1: it broke ".as_ptr());
            log(0, c"inside".as_ptr());
            error(1, c"it broke".as_ptr());
            error(7, std::ptr::null());
            std::thread::spawn(|| log(0, c"elsewhere".as_ptr())).join().unwrap();
            7
        });
        assert_eq!((result, sentence(&lines).as_str()), (7, "[E] 1: it broke; inside"));
        log(0, c"after".as_ptr());
        let (_, lines) =
            hear(|| (0..20).for_each(|i| log(0, std::ffi::CString::new(format!("{i}.")).unwrap().as_ptr())));
        assert_eq!(lines.len(), 8);
        assert!(HEARD.take().is_none());
        assert_eq!(sentence(&[]), "TensorRT does not say why");
    }
}
