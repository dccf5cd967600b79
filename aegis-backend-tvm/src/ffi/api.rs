//! The functions of TVM's two libraries, values that give themselves back, and errors as text.
use super::abi::{Any, ByteArray, DlManagedTensor, DlTensor, DlType, ErrorCell, Handle, Object, index};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_void};
use std::fmt;
use std::path::Path;

/// The version of TVM's FFI, which decides the layout of everything that passes through it. `TVMFFIVersion` in C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(C)]
pub struct FfiVersion {
    /// First.
    pub major: u32,
    /// Second.
    pub minor: u32,
    /// Third.
    pub patch: u32,
}

impl fmt::Display for FfiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

pub(super) type SafeCall = unsafe extern "C" fn(Handle, *const Any, i32, *mut Any) -> i32;
pub(super) type Deleter = unsafe extern "C" fn(*mut c_void);
pub(super) type AllocWorkspace = unsafe extern "C" fn(i32, i32, u64, i32, i32) -> *mut c_void;
pub(super) type FreeWorkspace = unsafe extern "C" fn(i32, i32, *mut c_void) -> i32;

/// What is used of the two libraries, valid for the life of the process: they are never unloaded, as TVM's objects hold
/// pointers into them.
pub(crate) struct Api {
    get_global: unsafe extern "C" fn(*const ByteArray, *mut Handle) -> i32,
    set_global: unsafe extern "C" fn(*const ByteArray, Handle, i32) -> i32,
    pub(super) call: unsafe extern "C" fn(Handle, *const Any, i32, *mut Any) -> i32,
    create: unsafe extern "C" fn(*mut c_void, SafeCall, Option<Deleter>, *mut Handle) -> i32,
    take_error: unsafe extern "C" fn(*mut Handle),
    raise: unsafe extern "C" fn(*const c_char, *const c_char),
    release: unsafe extern "C" fn(Handle) -> i32,
    parse_type: unsafe extern "C" fn(*const ByteArray, *mut DlType) -> i32,
    pub(super) tensor_of: unsafe extern "C" fn(*mut DlManagedTensor, i32, i32, *mut Handle) -> i32,
    pub(super) view_of: unsafe extern "C" fn(Handle, *const DlTensor, *mut Handle) -> i32,
    pub(super) set_stream: unsafe extern "C" fn(i32, i32, *mut c_void, *mut *mut c_void) -> i32,
    pub(super) set_context_symbol: unsafe extern "C" fn(*const c_char, *mut c_void) -> i32,
    pub(super) alloc_workspace: AllocWorkspace,
    pub(super) free_workspace: FreeWorkspace,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Api")
    }
}

/// Both libraries, in this process for its life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Libraries {
    ffi: &'static Library,
    runtime: &'static Library,
    pub(crate) version: FfiVersion,
}

/// Loads both libraries and asks the first for its version. The error is what the loader said, which names the file that
/// it could not find or use.
pub(crate) fn load(ffi: &Path, runtime: &Path) -> Result<Libraries, String> {
    let ffi = open(ffi)?;
    let runtime = open(runtime)?; // it needs the first, and registers the loaders of modules
    // SAFETY: the signature is that of `TVMFFIGetVersion` in tvm/ffi/c_api.h, and `ffi` is never unloaded.
    let get = unsafe { ffi.get::<unsafe extern "C" fn(*mut FfiVersion)>("TVMFFIGetVersion") }
        .map_err(|_| "libtvm_ffi has no function TVMFFIGetVersion".to_string())?;
    let mut version = FfiVersion::default();
    // SAFETY: `version` has the C layout of the struct that the function fills.
    unsafe { get(&raw mut version) };
    Ok(Libraries { ffi, runtime, version })
}

impl Libraries {
    /// Looks the functions up and puts ours in front of those that give memory. For versions whose layouts are those of
    /// `abi`, once in a process.
    pub(crate) fn api(self) -> Result<&'static Api, String> {
        let Self { ffi, runtime, .. } = self;
        macro_rules! function {
            ($library:ident, $symbol:literal) => {
                // SAFETY: the field's type is the function's signature in the headers of the tested version
                // (tvm/ffi/c_api.h, tvm/ffi/extra/c_env_api.h, tvm/runtime/c_backend_api.h), and the library is static.
                *unsafe { $library.get($symbol) }
                    .map_err(|_| concat!("TVM's libraries have no function ", $symbol).to_string())?
            };
        }
        let api = Api {
            get_global: function!(ffi, "TVMFFIFunctionGetGlobal"),
            set_global: function!(ffi, "TVMFFIFunctionSetGlobal"),
            call: function!(ffi, "TVMFFIFunctionCall"),
            create: function!(ffi, "TVMFFIFunctionCreate"),
            take_error: function!(ffi, "TVMFFIErrorMoveFromRaised"),
            raise: function!(ffi, "TVMFFIErrorSetRaisedFromCStr"),
            release: function!(ffi, "TVMFFIObjectDecRef"),
            parse_type: function!(ffi, "TVMFFIDataTypeFromString"),
            tensor_of: function!(ffi, "TVMFFITensorFromDLPack"),
            view_of: function!(ffi, "TVMFFITensorCreateUnsafeView"),
            set_stream: function!(ffi, "TVMFFIEnvSetStream"),
            set_context_symbol: function!(ffi, "TVMFFIEnvModRegisterContextSymbol"),
            alloc_workspace: function!(runtime, "TVMBackendAllocWorkspace"),
            free_workspace: function!(runtime, "TVMBackendFreeWorkspace"),
        };
        let api = Box::leak(Box::new(api));
        super::requests::answer(api)?;
        // The first error of a process takes TVM up to a second, in which it reads the debug information of every library
        // for a backtrace. Here it delays a load and not a job.
        let _ = api.call(&api.global("ffi.ModuleGetFunction")?, &[]);
        Ok(api)
    }
}

/// Makes the library's symbols global, as compiled modules are resolved against them, and keeps it for ever.
fn open(path: &Path) -> Result<&'static Library, String> {
    // SAFETY: loading runs the library's initialisers; the file's name is TVM's or NVIDIA's, and the user's environment
    // led to it.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string))?;
    Ok(Box::leak(Box::new(library)))
}

/// Loads one more library that TVM needs, for the life of the process.
pub(crate) fn add(path: &Path) -> Result<(), String> {
    open(path).map(|_| ())
}

impl Api {
    /// A function of TVM's registry.
    pub(super) fn global(&'static self, name: &str) -> Result<Value, String> {
        let key = ByteArray { data: name.as_ptr(), size: name.len() };
        let mut function = std::ptr::null_mut();
        // SAFETY: `key` and `function` are valid for the call; `name` outlives it.
        match unsafe { (self.get_global)(&raw const key, &raw mut function) } {
            0 if function.is_null() => Err(format!("this TVM has no function {name}")),
            0 => Ok(Value { api: self, any: Any::object(function, index::FUNCTION) }),
            _ => Err(self.error()),
        }
    }

    /// Puts a function into TVM's registry in place of the one of that name.
    pub(super) fn replace(&'static self, name: &str, function: &Value) -> Result<(), String> {
        let key = ByteArray { data: name.as_ptr(), size: name.len() };
        // SAFETY: `key` is valid for the call; the registry takes a reference of its own.
        let status = unsafe { (self.set_global)(&raw const key, function.any.handle(), 1) };
        if status == 0 { Ok(()) } else { Err(self.error()) }
    }

    /// A function of TVM that calls `call` with `context`, and `deleter` with it when nobody needs it any more.
    ///
    /// # Safety
    /// `call` and `deleter` may be called with `context` on any thread until then.
    pub(super) unsafe fn function(
        &'static self,
        context: *mut c_void,
        call: SafeCall,
        deleter: Option<Deleter>,
    ) -> Result<Value, String> {
        let mut function = std::ptr::null_mut();
        // SAFETY: `function` is a valid place for one handle; the rest is the caller's promise.
        let status = unsafe { (self.create)(context, call, deleter, &raw mut function) };
        if status == 0 {
            Ok(Value { api: self, any: Any::object(function, index::FUNCTION) })
        } else {
            Err(self.error())
        }
    }

    /// Calls a function. The pointers in `arguments` must be valid for the call, which those who make them see to.
    pub(super) fn call(&'static self, function: &Value, arguments: &[Any]) -> Result<Value, String> {
        let count = i32::try_from(arguments.len()).map_err(|_| "too many arguments".to_string())?;
        let mut result = Any::NONE;
        // SAFETY: `function` is a function object (`global`, `function`, `method`); `result` enters as none, as the
        // interface asks; each of `arguments` was made from a value that its owner still borrows.
        let status =
            unsafe { (self.call)(function.any.handle(), arguments.as_ptr(), count, &raw mut result) };
        if status == 0 { Ok(Value { api: self, any: result }) } else { Err(self.error()) }
    }

    /// The function of that name in a module or what it imports.
    pub(super) fn method(&'static self, module: &Value, name: &CStr) -> Result<Value, String> {
        let get = self.global("ffi.ModuleGetFunction")?;
        let found = self.call(&get, &[module.any, Any::text(name), Any::boolean(true)])?;
        if found.any.index == index::FUNCTION {
            Ok(found)
        } else {
            Err(format!("the module has no function {}", name.to_string_lossy()))
        }
    }

    /// The element type that an argument is, or names: while a program is observed, TVM passes names.
    pub(super) fn element(&self, argument: &Any) -> Option<DlType> {
        match argument.index {
            index::DATA_TYPE => Some(DlType::from_any(argument.value)),
            index::C_STRING => {
                // SAFETY: by its type index a C string, alive during the call that it is an argument of.
                let text = unsafe { CStr::from_ptr(argument.value as *const c_char) };
                let text = ByteArray { data: text.as_ptr().cast(), size: text.count_bytes() };
                let mut element = DlType { code: 0, bits: 0, lanes: 0 };
                // SAFETY: both are valid for the call.
                let status = unsafe { (self.parse_type)(&raw const text, &raw mut element) };
                if status == 0 {
                    return Some(element);
                }
                self.error(); // taken, so that it is not another's
                None
            }
            _ => None,
        }
    }

    /// The error that the last call on this thread raised.
    pub(super) fn error(&self) -> String {
        let mut error: Handle = std::ptr::null_mut();
        // SAFETY: `error` is a valid place for one handle, which is ours from here on.
        unsafe { (self.take_error)(&raw mut error) };
        if error.is_null() {
            return "TVM failed without saying why".to_string();
        }
        // SAFETY: a raised error is an error object; it lives until `release` below.
        let cell = unsafe { &(*error.cast::<Object<ErrorCell>>()).cell };
        let text = |bytes: &ByteArray| {
            if bytes.data.is_null() {
                return String::new();
            }
            // SAFETY: the object owns both texts, and they have these lengths.
            let bytes = unsafe { std::slice::from_raw_parts(bytes.data, bytes.size) };
            String::from_utf8_lossy(bytes).trim().to_string()
        };
        let text = format!("{}: {}", text(&cell.kind), text(&cell.message));
        // SAFETY: ours, and not used after this.
        unsafe { (self.release)(error) };
        text
    }

    /// Raises an error for TVM, from within a function that it called.
    pub(super) fn raise(&self, why: &str) {
        let why = CString::new(why.replace('\0', "")).unwrap_or_default();
        // SAFETY: both are C strings that outlive the call, which copies them.
        unsafe { (self.raise)(c"MemoryError".as_ptr(), why.as_ptr()) };
    }
}

/// A value that TVM gave: an object among them is ours and is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) api: &'static Api,
    pub(super) any: Any,
}

impl Value {
    /// An object that was given out with a reference of ours.
    pub(super) fn object(api: &'static Api, handle: Handle, index: i32) -> Self {
        Self { api, any: Any::object(handle, index) }
    }

    /// Gives the reference to whoever takes the value: TVM, as a result.
    pub(super) fn into_any(self) -> Any {
        let any = self.any;
        std::mem::forget(self);
        any
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        if self.any.is_object() && self.any.value != 0 {
            // SAFETY: the reference is ours (`object`, and results of calls), and is given back once.
            unsafe { (self.api.release)(self.any.handle()) };
        }
    }
}
