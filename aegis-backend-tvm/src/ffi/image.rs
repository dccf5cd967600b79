//! A module's code: written into memory that nobody can change any more, loaded from there, and unloaded.
//!
//! What is loaded are the bytes that were checked. A path would not do: the file behind it may change between the check
//! and the load. So the bytes go into an anonymous file, which is sealed before the loader sees it.
use super::abi::Any;
use super::api::{Api, Value};
use libloading::os::unix;
use std::ffi::{CString, c_char, c_int, c_uint};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _};

// SAFETY: both are in the C library of Linux, with these signatures.
unsafe extern "C" {
    fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
}

const CLOSE_ON_EXEC_AND_ALLOW_SEALING: c_uint = 1 | 2;
const EXECUTABLE: c_uint = 0x10;
const ADD_SEALS: c_int = 1033;
/// Seal, shrink, grow, write.
const ALL_SEALS: c_int = 1 | 2 | 4 | 8;
const RTLD_NOLOAD: c_int = 4;

/// A loaded module of code, with the file that it was loaded from. The file outlives the module (the order of the
/// fields), as the loader knows modules by their paths and this path is free for another one when the file is closed.
#[derive(Debug)]
pub(crate) struct Library {
    pub(super) module: Value,
    path: String,
    _file: File,
}

impl Library {
    /// Loads code that has passed its check. `name` is what tools such as `perf` show for it.
    pub(crate) fn load(api: &'static Api, code: &[u8], name: &str) -> Result<Self, String> {
        let (file, path) = loop {
            let file =
                sealed(code, name).map_err(|why| format!("its code cannot be put into memory: {why}"))?;
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            if !is_loaded(&path) {
                break (file, path);
            }
            // Something that was loaded from a file of this number is still in use: the loader would answer with it.
            std::mem::forget(file);
        };
        let text = CString::new(path.as_str()).map_err(|why| why.to_string())?;
        let loader = api.global("ffi.Module.load_from_file.so")?;
        let module = api.call(&loader, &[Any::text(&text), Any::text(c"so")])?;
        Ok(Self { module, path, _file: file })
    }

    /// Whether the code has a symbol of that name.
    pub(crate) fn has(&self, symbol: &str) -> bool {
        // SAFETY: the library is loaded already: this runs no initialiser, and closing it again none either.
        let Ok(library) = (unsafe { unix::Library::open(Some(&self.path), RTLD_NOLOAD | unix::RTLD_LAZY) })
        else {
            return false;
        };
        // SAFETY: the symbol is looked up and not used.
        unsafe { library.get::<*const ()>(symbol) }.is_ok()
    }
}

fn is_loaded(path: &str) -> bool {
    // SAFETY: with this flag nothing is loaded, so nothing runs.
    unsafe { unix::Library::open(Some(path), RTLD_NOLOAD | unix::RTLD_LAZY) }.is_ok()
}

/// An anonymous file with these bytes, which nobody can change any more.
fn sealed(code: &[u8], name: &str) -> std::io::Result<File> {
    let name: String = name.chars().filter(char::is_ascii_graphic).take(200).collect();
    let name = CString::new(name).unwrap_or_default();
    let create = |flags| {
        // SAFETY: `name` is a C string that outlives the call.
        unsafe { memfd_create(name.as_ptr(), flags) }
    };
    let mut fd = create(CLOSE_ON_EXEC_AND_ALLOW_SEALING | EXECUTABLE);
    if fd < 0 {
        fd = create(CLOSE_ON_EXEC_AND_ALLOW_SEALING); // a kernel before 6.3 does not know the other flag
    }
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(code)?;
    // SAFETY: the descriptor is open; the command takes one int.
    if unsafe { fcntl(fd, ADD_SEALS, ALL_SEALS) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::sealed;
    use std::fs::OpenOptions;
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;

    #[test]
    fn what_is_sealed_stays_as_it_is() {
        let file = sealed(b"code", "a model \0 of mine").unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let mut again = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        again.write_all(b"evil").unwrap_err();
        again.set_len(0).unwrap_err();
        let mut bytes = Vec::new();
        OpenOptions::new().read(true).open(&path).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"code");
    }
}
