//! A TensorRT library: loaded, asked for its version, and tried out.
use super::shim::{Create, Raw, Shim, serving};
use super::voice;
use crate::TrtVersion;
use std::error::Error;
use std::ffi::OsStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why a library does not answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The loader knows no file of this name.
    NotFound,
    /// There is a file, but it cannot be used.
    Broken(String),
}

/// A library that has told its version. It stays loaded.
#[derive(Debug)]
pub(crate) struct Opened {
    library: &'static libloading::Library,
    pub(crate) version: TrtVersion,
}

impl Opened {
    /// Loads the library of this name or path.
    pub(crate) fn open(name: &OsStr) -> Result<Self, Failure> {
        // SAFETY: loading runs the library's initialisers; the name is one of NVIDIA's for TensorRT or a path that the
        // user gave, and the file is trusted as the user's programs are.
        let library = unsafe { libloading::Library::new(name) }.map_err(|error| {
            let said = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            // glibc begins with the name of the file it could not find: this one, or one that this one needs.
            if said.starts_with(&format!("{}: cannot open shared object file", name.to_string_lossy())) {
                Failure::NotFound
            } else {
                Failure::Broken(said)
            }
        })?;
        // Never unloaded: CUDA libraries register handlers that would run after their code is gone.
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        // SAFETY: the signature is that of `getInferLibVersion` in NvInferRuntime.h, the same in versions 8 to 11.
        let version = unsafe { library.get::<unsafe extern "C" fn() -> i32>("getInferLibVersion") }
            .map_err(|_| Failure::Broken("it has no function getInferLibVersion".to_owned()))?;
        // SAFETY: it takes nothing and returns a constant.
        let number = unsafe { version() };
        let number =
            u32::try_from(number).map_err(|_| Failure::Broken(format!("its version is {number}")))?;
        Ok(Self { library, version: TrtVersion::from_number(number) })
    }
}

/// Held while a runtime is made or freed: TensorRT has a global logger that the first one sets, and does not say that
/// several threads may.
pub(super) fn runtimes() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A library that can make runtimes, with the shim and the voice for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Library {
    pub(super) shim: &'static Shim,
    pub(super) voice: usize,
    create: Create,
    pub(crate) version: TrtVersion,
}

impl Library {
    /// Finds the shim for a library and makes a runtime once, to see that it works. Without a driver TensorRT logs an
    /// error and hands out a pointer that is not null and not usable.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn start(opened: &Opened) -> Result<Self, String> {
        let version = opened.version;
        let shim = serving(version).ok_or_else(|| {
            let built: Vec<String> = super::versions().iter().map(ToString::to_string).collect();
            if built.is_empty() {
                format!("the library is TensorRT {version}, and this program was built without TensorRT's headers")
            } else {
                format!(
                    "the library is TensorRT {version}, and this program was built with the headers of {}, which serve \
                     libraries of the same major that are not older",
                    built.join(", ")
                )
            }
        })?;
        let create = "createInferRuntime_INTERNAL";
        // SAFETY: the signature is that of NvInferRuntime.h, the same in versions 8 to 11.
        let create = *unsafe { opened.library.get::<Create>(create) }
            .map_err(|_| format!("the library has no function {create}"))?;
        let voice = voice::of(shim).ok_or("there is no memory for a logger")? as usize;
        let library = Self { shim, voice, create, version };
        let runtime = library.runtime()?;
        let _one = runtimes();
        // SAFETY: made in the line above and used by nobody.
        unsafe { (shim.runtime_free)(runtime) };
        Ok(library)
    }

    /// A new runtime, without allocator.
    ///
    /// # Errors
    /// What TensorRT said. An error line refuses the runtime also when there is a pointer, and nobody touches that.
    pub(super) fn runtime(&self) -> Result<Raw, String> {
        let _one = runtimes();
        // SAFETY: `create` is the library's, which stays loaded, and `shim` was chosen for its version (`start`); the
        // voice is never freed.
        let (runtime, said) =
            voice::hear(|| unsafe { (self.shim.runtime_new)(self.create, self.voice as Raw) });
        if runtime.is_null() || !said.is_well() {
            return Err(format!("TensorRT {} makes no runtime: {said}", self.version));
        }
        Ok(runtime)
    }
}

impl std::fmt::Debug for Shim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shim({})", self.version())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{Failure, Library, Opened};
    use std::ffi::OsStr;

    /// Libraries that the environment names (as `PATH` does) tell their versions, and without a driver none of them gets
    /// as far as a runtime that somebody might use.
    #[test]
    fn named_libraries() {
        let Some(named) = std::env::var_os("AEGIS_TRT_LIBRARY") else {
            println!("skipped: AEGIS_TRT_LIBRARY names no library of TensorRT");
            return;
        };
        for path in std::env::split_paths(&named) {
            let opened = Opened::open(path.as_os_str()).unwrap();
            println!("{}: TensorRT {}", path.display(), opened.version);
            let served = super::serving(opened.version).is_some();
            match Library::start(&opened) {
                Ok(library) => assert!(served && library.version == opened.version),
                Err(why) if !served => assert!(why.contains("headers"), "{why}"),
                Err(why) => {
                    println!("{why}");
                    assert!(aegis_cuda::probe().is_err(), "there is a driver: {why}");
                    let says = format!("TensorRT {} makes no runtime: ", opened.version);
                    assert!(why.starts_with(&says) && why.len() > says.len() + 20, "{why}");
                }
            }
        }
    }

    #[test]
    fn no_library() {
        let gone = Opened::open(OsStr::new("/no/such/libnvinfer.so.10"));
        assert_eq!(gone.unwrap_err(), Failure::NotFound);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("libnvinfer.so.10");
        std::fs::write(&file, "no library").unwrap();
        assert!(matches!(Opened::open(file.as_os_str()), Err(Failure::Broken(_))));
    }
}
