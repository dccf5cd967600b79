//! Where ONNX Runtime computes, and what its provider is asked for.
use crate::{NAME, ffi};
use aegis_backend::{BackendError, catch};
use aegis_core::Bytes;
use aegis_cuda::Stream;
use ort::environment::Environment;
use ort::ep::{self, ArenaExtendStrategy, CUDA, ExecutionProvider, ExecutionProviderDispatch, TensorRT};
use ort::session::builder::SessionBuilder;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where ONNX Runtime computes.
#[derive(Debug, Clone, Default)]
pub enum Provider {
    /// On the calling thread and ONNX Runtime's own.
    #[default]
    Cpu,
    /// On a CUDA device.
    Cuda {
        /// Loading tries each model on this stream, and a session that is opened on it uses what loading made. One that is
        /// opened on another stream of the device gets a copy of the model.
        stream: Arc<Stream>,
        /// Whether nodes that the device has no code for may run on the host, and inputs be read there. Without it such a
        /// model is refused; with it each of its runs waits for the device.
        cpu_fallback: bool,
    },
    /// On a CUDA device: TensorRT where it can, the CUDA provider for the rest.
    TensorRt {
        /// As for [`Cuda`](Self::Cuda).
        stream: Arc<Stream>,
        /// As for [`Cuda`](Self::Cuda).
        cpu_fallback: bool,
        /// A folder in which TensorRT keeps the engines that it builds; none are kept without it, each load builds anew, and
        /// what is built may compute other bytes. An engine serves the device and the TensorRT that built it, and nothing
        /// checks its content: let nobody else write there.
        engine_cache: Option<PathBuf>,
    },
}

impl Provider {
    /// The device's side of it; `None` on the CPU.
    pub(crate) fn target(&self) -> Option<Target> {
        let (stream, cpu_fallback, kind) = match self {
            Self::Cpu => return None,
            Self::Cuda { stream, cpu_fallback } => (stream, *cpu_fallback, Kind::Cuda),
            Self::TensorRt { stream, cpu_fallback, engine_cache } => {
                (stream, *cpu_fallback, Kind::TensorRt { engine_cache: engine_cache.clone() })
            }
        };
        let device = stream.context().device().ordinal;
        Some(Target { kind, device, stream: Some(Arc::clone(stream)), cpu_fallback, limit: None, threads: 1 })
    }
}

/// As in versions: `CPU`, `CUDA`, `TensorRT`.
impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cpu => "CPU",
            Self::Cuda { .. } => Kind::Cuda.name(),
            Self::TensorRt { .. } => Kind::TensorRt { engine_cache: None }.name(),
        })
    }
}

/// Which providers a session on a device gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Cuda,
    TensorRt { engine_cache: Option<PathBuf> },
}

impl Kind {
    const fn name(&self) -> &'static str {
        match self {
            Self::Cuda => "CUDA",
            Self::TensorRt { .. } => "TensorRT",
        }
    }
}

/// What an ONNX Runtime session on a device is made for.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    /// The device's position in the driver's order.
    pub(crate) device: u32,
    /// The stream that takes its work. Only what is asked whether it is there at all has none.
    pub(crate) stream: Option<Arc<Stream>>,
    pub(crate) cpu_fallback: bool,
    /// The most that its arena may hold.
    pub(crate) limit: Option<Bytes>,
    /// Threads for what falls back to the host.
    pub(crate) threads: u32,
}

impl Target {
    /// What can be asked and refused without a device.
    #[cfg(test)]
    pub(crate) const fn without_stream(kind: Kind) -> Self {
        Self { kind, device: 0, stream: None, cpu_fallback: false, limit: None, threads: 1 }
    }

    /// Whether ONNX Runtime has the providers and can load the libraries that they need.
    pub(crate) fn check(&self, environment: &Environment) -> Result<(), BackendError> {
        if let Kind::TensorRt { engine_cache: Some(folder) } = &self.kind
            && folder.to_str().is_none_or(|name| name.is_empty() || name.contains('\0'))
        {
            return Err(BackendError::Unavailable {
                backend: NAME,
                why: format!("{} cannot be the folder of TensorRT's engines", folder.display()),
                remedy: "give a path in UTF-8".to_owned(),
            });
        }
        let built_in = |available: ort::Result<bool>| available.map_err(|error| self.unavailable(&error));
        let there = match self.kind {
            Kind::Cuda => built_in(CUDA::is_available())?,
            Kind::TensorRt { .. } => built_in(TensorRT::is_available())? && built_in(CUDA::is_available())?,
        };
        if !there {
            return Err(BackendError::Unavailable {
                backend: NAME,
                why: format!("this build of ONNX Runtime has no {} provider", self.kind.name()),
                remedy:
                    "install the one that has with `pip install onnxruntime-gpu` (it replaces the package \
                         `onnxruntime`), or set ORT_DYLIB_PATH to its library"
                        .to_owned(),
            });
        }
        catch(|| self.builder(environment))
            .map_err(|why| self.unavailable(&why))?
            .map(|_| ())
            .map_err(|error| self.unavailable(&error))
    }

    /// Options for a session with these providers and no others.
    ///
    /// Convolutions are chosen by cuDNN's heuristics: they take no time and no memory to try, and the same shapes get the
    /// same algorithm in every session, so that outputs are equal bit for bit. TensorFloat-32 is off for the same reason
    /// that it is off on the CPU: a model computes what its file says. The arena grows by what is asked and no more.
    pub(crate) fn builder(&self, environment: &Environment) -> ort::Result<SessionBuilder> {
        let mut builder = ort::session::Session::builder(environment)?
            .with_execution_providers(self.providers())?
            .with_deterministic_compute(true)?
            .with_intra_threads(self.threads.max(1) as usize)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?;
        if !self.cpu_fallback {
            builder = builder.with_disable_cpu_fallback()?;
        }
        Ok(builder)
    }

    fn providers(&self) -> Vec<ExecutionProviderDispatch> {
        let device = i32::try_from(self.device).unwrap_or(i32::MAX);
        let mut cuda = CUDA::default()
            .with_device_id(device)
            .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
            .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
            .with_tf32(false);
        if let Some(limit) = self.limit {
            cuda = cuda.with_memory_limit(usize::try_from(limit.0).unwrap_or(usize::MAX));
        }
        let mut tensorrt = TensorRT::default().with_device_id(device).with_auxiliary_streams(0);
        if let Kind::TensorRt { engine_cache: Some(folder) } = &self.kind {
            tensorrt = tensorrt.with_engine_cache(true).with_engine_cache_path(folder.display());
        }
        if let Some(stream) = &self.stream {
            (cuda, tensorrt) = ffi::stream::compute_on(cuda, tensorrt, stream);
        }
        let cuda = cuda.build().error_on_failure();
        match self.kind {
            Kind::Cuda => vec![cuda],
            Kind::TensorRt { .. } => vec![tensorrt.build().error_on_failure(), cuda],
        }
    }

    pub(crate) fn unavailable(&self, why: &dyn fmt::Display) -> BackendError {
        let needs = match self.kind {
            Kind::Cuda => "the CUDA libraries that it names",
            Kind::TensorRt { .. } => "TensorRT and the CUDA libraries that it names",
        };
        BackendError::Unavailable {
            backend: NAME,
            why: format!("its {} provider does not load: {}", self.kind.name(), said(&why.to_string())),
            remedy: format!(
                "install {needs}, for example with `pip install 'onnxruntime-gpu[cuda,cudnn]'`, and add their folders \
                 to LD_LIBRARY_PATH before the program starts"
            ),
        }
    }
}

/// ONNX Runtime's message without the place in its source that it begins with.
pub(crate) fn said(message: &str) -> &str {
    let message = message.trim();
    let Some((_, rest)) = message.split_once("[ONNXRuntimeError] : ") else { return message };
    // `1 : FAIL : what happened`
    rest.splitn(3, " : ").nth(2).unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    /// What this machine's ONNX Runtime says to each provider. A build for the CPU has none; a build for GPUs lacks
    /// libraries where there is no CUDA; where there is, it loads.
    #[test]
    fn a_provider_loads_or_says_what_is_missing() {
        let Some(runtime) = process::for_tests() else { return };
        for kind in [Kind::Cuda, Kind::TensorRt { engine_cache: Some("cache".into()) }] {
            let name = kind.name();
            let target = Target { limit: Some(Bytes(1 << 20)), ..Target::without_stream(kind) };
            let Err(error) = target.check(&runtime.environment) else {
                // Its library needs the driver's, so this is true of no machine without one.
                aegis_cuda::probe().unwrap_or_else(|error| panic!("{name} loads, and {error}"));
                println!("{name}: loads");
                continue;
            };
            println!("{name}: {error}");
            assert!(matches!(error, BackendError::Unavailable { .. }), "{error:?}");
            let message = error.to_string();
            assert!(message.starts_with("backend `ort` is not available: "), "{message}");
            let not_built = message.contains(&format!("this build of ONNX Runtime has no {name} provider; "))
                && message.contains("`pip install onnxruntime-gpu`");
            let not_loaded = message
                .contains(&format!("its {name} provider does not load: Failed to load library "))
                && message.contains(&format!("libonnxruntime_providers_{}.so", name.to_lowercase()))
                && message.contains("cannot open shared object file")
                && message.contains("LD_LIBRARY_PATH");
            assert!(not_built || not_loaded, "{message}");
        }
    }

    #[test]
    fn a_folder_that_has_no_name_is_refused() {
        let Some(runtime) = process::for_tests() else { return };
        for folder in ["", "a\0b"] {
            let target = Target::without_stream(Kind::TensorRt { engine_cache: Some(folder.into()) });
            let error = target.check(&runtime.environment).unwrap_err().to_string();
            assert!(error.contains("cannot be the folder of TensorRT's engines"), "{error}");
        }
    }

    #[test]
    fn messages_lose_the_place_they_come_from() {
        let long = "/src/bridge.cc:2043 Provider& Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library a.so with \
                    error: b.so : no such file\n";
        assert_eq!(said(long), "Failed to load library a.so with error: b.so : no such file");
        for same in ["CUDA execution provider is not enabled in this build.", "", "a : b : c : d"] {
            assert_eq!(said(same), same);
        }
        assert_eq!(said("x [ONNXRuntimeError] : 1"), "1");
    }
}
