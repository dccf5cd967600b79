//! NVRTC: CUDA C compiled at run time, by a library that may be there.
#![allow(unsafe_code)]

use crate::LibraryError;
use crate::ffi::{Raw, functions};
use crate::library;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::OnceLock;

const NAMES: &[&str] = &["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"];

functions! {
    /// Of nvrtc.h.
    Calls {
    version: "nvrtcVersion"(*mut c_int, *mut c_int);
    create: "nvrtcCreateProgram"(
        *mut Raw, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char
    );
    destroy: "nvrtcDestroyProgram"(*mut Raw);
    compile: "nvrtcCompileProgram"(Raw, c_int, *const *const c_char);
    log_size: "nvrtcGetProgramLogSize"(Raw, *mut usize);
    log: "nvrtcGetProgramLog"(Raw, *mut c_char);
    ptx_size: "nvrtcGetPTXSize"(Raw, *mut usize);
    ptx: "nvrtcGetPTX"(Raw, *mut c_char);
    cubin_size: "nvrtcGetCUBINSize"(Raw, *mut usize);
    cubin: "nvrtcGetCUBIN"(Raw, *mut c_char);
    }
}

/// The compiler.
pub struct Nvrtc {
    calls: Calls,
    error_string: unsafe extern "C" fn(c_int) -> *const c_char,
}

/// What to compile into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The device's own code: needs nothing of the driver, and runs on that architecture alone.
    Cubin,
    /// Code that the driver compiles for its device; the driver must be as new as the compiler.
    Ptx,
}

/// Compiled code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    image: Vec<u8>,
}

/// Why there is no compiled code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NvrtcError {
    /// The compiler is not there or failed.
    #[error("NVRTC: {0}")]
    Library(#[from] LibraryError),
    /// The source is wrong.
    #[error("the CUDA source does not compile:\n{log}")]
    Source {
        /// What the compiler says.
        log: String,
    },
    /// The source or an option holds a character 0.
    #[error("the CUDA source or an option of its compilation holds a character 0")]
    HoldsNul,
}

impl Compiled {
    /// Code that was compiled before.
    ///
    /// # Safety
    /// `image` is a whole cubin, fatbin or PTX text: the driver is not told its length.
    #[must_use]
    pub unsafe fn from_image(mut image: Vec<u8>) -> Self {
        image.push(0);
        Self { image }
    }

    /// The code with a 0 behind it.
    pub(crate) fn image(&self) -> &[u8] {
        &self.image
    }
}

impl Nvrtc {
    /// The compiler, looked for once.
    ///
    /// # Errors
    /// [`NvrtcError::Library`] if it is not there.
    pub fn find() -> Result<&'static Self, NvrtcError> {
        static FOUND: OnceLock<Result<Nvrtc, LibraryError>> = OnceLock::new();
        FOUND.get_or_init(Self::open).as_ref().map_err(|why| NvrtcError::Library(why.clone()))
    }

    fn open() -> Result<Self, LibraryError> {
        const ERROR_STRING: &str = "nvrtcGetErrorString";
        let (name, library) = library::open(NAMES)?;
        let missing = |symbol| LibraryError::SymbolMissing { library: name, symbol };
        let calls = Calls::look_up(library).map_err(missing)?;
        // SAFETY: the field's type is the C signature in nvrtc.h. `library` is static.
        let error_string = *unsafe { library.get(ERROR_STRING) }.map_err(|_| missing(ERROR_STRING))?;
        Ok(Self { calls, error_string })
    }

    /// Its version, major and minor.
    ///
    /// # Errors
    /// [`NvrtcError::Library`].
    pub fn version(&self) -> Result<(u32, u32), NvrtcError> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both are valid places for one int.
        self.check("nvrtcVersion", unsafe { (self.calls.version)(&raw mut major, &raw mut minor) })?;
        Ok((u32::try_from(major).unwrap_or(0), u32::try_from(minor).unwrap_or(0)))
    }

    /// Compiles CUDA C for an architecture, `(9, 0)` for `sm_90`.
    ///
    /// # Errors
    /// [`NvrtcError::Source`] with what the compiler says, [`NvrtcError::HoldsNul`], [`NvrtcError::Library`].
    pub fn compile(
        &self,
        source: &str,
        architecture: (u32, u32),
        form: Form,
    ) -> Result<Compiled, NvrtcError> {
        let (major, minor) = architecture;
        let kind = if form == Form::Cubin { "sm" } else { "compute" };
        let source = CString::new(source).map_err(|_| NvrtcError::HoldsNul)?;
        let option = CString::new(format!("--gpu-architecture={kind}_{major}{minor}"))
            .map_err(|_| NvrtcError::HoldsNul)?;
        let mut program = Program { calls: &self.calls, raw: std::ptr::null_mut() };
        let (place, none) = (&raw mut program.raw, std::ptr::null());
        // SAFETY: `place` is a valid place for one handle; the source lives; there are no headers.
        let status =
            unsafe { (self.calls.create)(place, source.as_ptr(), none, 0, none.cast(), none.cast()) };
        self.check("nvrtcCreateProgram", status)?;
        let options = [option.as_ptr()];
        // SAFETY: the program lives, and so does the one option.
        let compiled = unsafe { (self.calls.compile)(program.raw, 1, options.as_ptr()) };
        if compiled == COMPILATION {
            let log = self.bytes(
                &program,
                ["nvrtcGetProgramLogSize", "nvrtcGetProgramLog"],
                self.calls.log_size,
                self.calls.log,
            )?;
            let log = String::from_utf8_lossy(&log).trim_end_matches(['\0', '\n']).to_string();
            return Err(NvrtcError::Source { log });
        }
        self.check("nvrtcCompileProgram", compiled)?;
        let image = match form {
            Form::Cubin => self.bytes(
                &program,
                ["nvrtcGetCUBINSize", "nvrtcGetCUBIN"],
                self.calls.cubin_size,
                self.calls.cubin,
            ),
            Form::Ptx => {
                self.bytes(&program, ["nvrtcGetPTXSize", "nvrtcGetPTX"], self.calls.ptx_size, self.calls.ptx)
            }
        }?;
        // SAFETY: the compiler made it.
        Ok(unsafe { Compiled::from_image(image) })
    }

    fn bytes(
        &self,
        program: &Program<'_>,
        names: [&'static str; 2],
        size: unsafe extern "C" fn(Raw, *mut usize) -> c_int,
        get: unsafe extern "C" fn(Raw, *mut c_char) -> c_int,
    ) -> Result<Vec<u8>, NvrtcError> {
        let mut length = 0usize;
        // SAFETY: the program lives, and `length` is a valid place for one size_t.
        self.check(names[0], unsafe { size(program.raw, &raw mut length) })?;
        let mut bytes = vec![0u8; length];
        // SAFETY: there is room for as many bytes as the library just said.
        self.check(names[1], unsafe { get(program.raw, bytes.as_mut_ptr().cast()) })?;
        Ok(bytes)
    }

    fn check(&self, call: &'static str, code: c_int) -> Result<(), LibraryError> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: takes any number; answers null or a C string that lives as long as the library.
        let text = unsafe { (self.error_string)(code) };
        // SAFETY: not null, see above.
        let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned());
        Err(LibraryError::Call { call, code, text })
    }
}

impl std::fmt::Debug for Nvrtc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nvrtc")
    }
}

/// The answer of a compilation whose source is wrong.
const COMPILATION: c_int = 6;

struct Program<'a> {
    calls: &'a Calls,
    raw: *mut c_void,
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: made by nvrtcCreateProgram, destroyed once. It is memory of the host, so its answer says nothing.
            unsafe { (self.calls.destroy)(&raw mut self.raw) };
        }
    }
}
