//! Which backends this build has, and opening them by the name that a system file gives.
use aegis_backend::sim::SimBackend;
use aegis_backend::{BackendError, RuntimeBackend};
use aegis_core::{DeviceKind, DeviceSpec};
use aegis_cuda::{Context, CudaError, Stream, StreamPriority, Wait};
use std::collections::BTreeMap;
use std::fmt;
#[cfg(any(feature = "ort", feature = "trt"))]
use std::path::Path;
use std::sync::Arc;

/// Backends that were opened, by name, and the device that they work on; each is opened when it is first asked for.
#[derive(Default)]
pub struct Backends {
    opened: BTreeMap<String, Box<dyn RuntimeBackend>>,
    stream: Option<Arc<Stream>>,
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.opened.keys()).finish()
    }
}

/// A backend that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoBackend {
    /// The name is not one of a backend.
    #[error("unknown backend `{name}`; this build knows {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The names that are known.
        known: Vec<&'static str>,
    },
    /// The backend exists but was left out of this build.
    #[error("backend `{name}` is not in this build; rebuild with `cargo build --features {name}`")]
    NotBuilt {
        /// The name.
        name: String,
    },
    /// It works on a CUDA device, and the system names none.
    #[error(
        "backend `{name}` works on a CUDA device; write kind = \"cuda\" under [device], or use --device cuda"
    )]
    NeedsDevice {
        /// The name.
        name: String,
    },
    /// The device that the system names cannot be used.
    #[error("the device `{kind}` cannot be used: {source}")]
    Device {
        /// The device.
        kind: DeviceKind,
        /// Why not.
        source: CudaError,
    },
    /// The backend is in this build and refuses.
    #[error(transparent)]
    Refused(#[from] BackendError),
}

impl Backends {
    /// Adds a backend under its own name, in place of a built-in one of that name.
    pub fn add(&mut self, backend: Box<dyn RuntimeBackend>) {
        self.opened.insert(backend.name().to_owned(), backend);
    }

    /// The backend of that name; a built-in one is opened on first use.
    ///
    /// # Errors
    /// [`NoBackend`] says why it cannot be used and what to do.
    pub fn get(
        &mut self,
        name: &str,
        device: &DeviceSpec,
        seed: u64,
    ) -> Result<&dyn RuntimeBackend, NoBackend> {
        if !self.opened.contains_key(name) {
            let stream = self.stream(device)?;
            self.opened.insert(name.to_owned(), open(name, device, stream.as_ref(), seed)?);
        }
        Ok(self.opened[name].as_ref())
    }

    /// The stream of the one partition on the device that the system names; `None` on a CPU. The first call opens it.
    ///
    /// # Errors
    /// [`NoBackend::Device`].
    pub fn stream(&mut self, device: &DeviceSpec) -> Result<Option<Arc<Stream>>, NoBackend> {
        let DeviceKind::Cuda(ordinal) = device.kind else { return Ok(None) };
        if self.stream.is_none() {
            let wait = if device.spin { Wait::Spin } else { Wait::Block };
            let stream = Context::open(ordinal, wait)
                .and_then(|context| Stream::new(&context, StreamPriority::Urgent))
                .map_err(|source| NoBackend::Device { kind: device.kind, source })?;
            self.stream = Some(stream);
        }
        Ok(self.stream.clone())
    }
}

/// The names of the built-in backends, in the order of preference.
pub const NAMES: [&str; 5] = ["rten", "ort", "sim", "trt", "tvm"];

fn open(
    name: &str,
    device: &DeviceSpec,
    stream: Option<&Arc<Stream>>,
    seed: u64,
) -> Result<Box<dyn RuntimeBackend>, NoBackend> {
    let _ = (device, stream);
    match name {
        "sim" => Ok(Box::new(SimBackend::new(seed))),
        #[cfg(feature = "rten")]
        "rten" => Ok(Box::new(aegis_backend_rten::RtenBackend::new())),
        #[cfg(feature = "ort")]
        "ort" => {
            let path = device.ort_library.as_deref().map(Path::new);
            let provider = match stream {
                None => aegis_backend_ort::Provider::Cpu,
                Some(stream) => aegis_backend_ort::Provider::Cuda {
                    stream: Arc::clone(stream),
                    cpu_fallback: device.cpu_fallback,
                },
            };
            Ok(Box::new(aegis_backend_ort::OrtBackend::find(path)?.on(provider)?))
        }
        #[cfg(feature = "trt")]
        "trt" => {
            let path = device.trt_library.as_deref().map(Path::new);
            let stream = stream.ok_or_else(|| NoBackend::NeedsDevice { name: name.to_owned() })?;
            Ok(Box::new(aegis_backend_trt::TrtBackend::find(path, stream.context())?))
        }
        #[cfg(feature = "tvm")]
        "tvm" => {
            let backend = aegis_backend_tvm::TvmBackend::find(None)?;
            Ok(Box::new(match stream {
                None => backend,
                Some(stream) => backend.on(Arc::clone(stream.context())),
            }))
        }
        known if NAMES.contains(&known) => Err(NoBackend::NotBuilt { name: known.to_owned() }),
        _ => Err(NoBackend::Unknown { name: name.to_owned(), known: NAMES.to_vec() }),
    }
}
