//! A loaded model: its code, its machine, and what a recorded run said about its memory.
use crate::container::{self, Container};
use crate::device::TvmDeviceSession;
use crate::ffi::{Api, Call, Library, Recording, Refused, Source, Tensor, Times, Unrecorded, Vm};
use crate::host::TvmHostSession;
use crate::manifest::{Constants, Device, Manifest};
use crate::pool::Claim;
use crate::process::Runtime;
use crate::script::Script;
use aegis_backend::{
    Artifact, BackendError, Binding, DEVICE_ALIGN, DeviceBinding, Limits, Model, ModelFacts, Place, Runner,
    Scratch, Session, TensorBuf, TensorFacts,
};
use aegis_core::{Blame, Bytes, Fault, FaultCode, Usable};
use aegis_cuda::{Context, CudaError, DeviceMemory, Stream, StreamPriority, Wait};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A model as its sessions share it. They take turns in the machine; its memory is theirs, not the machine's.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) api: &'static Api,
    pub(crate) facts: ModelFacts,
    pub(crate) script: Arc<Script>,
    vm: Mutex<Vm>,
    /// Where it runs, if that is a device.
    pub(crate) context: Option<Arc<Context>>,
    /// On the host, a claim on scratch.
    pub(crate) claim: Option<Claim>,
}

impl Shared {
    /// Runs one job, or puts it on its stream.
    pub(crate) fn call(&self, call: &Call<'_>) -> Result<(), BackendError> {
        // A run that panicked would have left nothing half done: the machine's state is TVM's.
        self.vm.lock().unwrap_or_else(PoisonError::into_inner).run(call).map_err(failed)
    }
}

/// TVM said no; the session stays usable.
pub(crate) fn failed(why: String) -> BackendError {
    let fault = Fault { blame: Blame::Backend, code: FaultCode::ExecutionFailed, usable: Usable::Session };
    BackendError::Execution { why, fault }
}

/// A loaded model.
#[derive(Debug)]
pub(crate) struct TvmModel(Arc<Shared>);

impl Model for TvmModel {
    fn facts(&self) -> &ModelFacts {
        &self.0.facts
    }

    fn open(&self, binding: &Binding) -> Result<Session, BackendError> {
        match self.0.facts.place {
            Place::Host => Ok(Session::Host(Box::new(TvmHostSession::new(Arc::clone(&self.0))))),
            Place::Device => {
                let session = TvmDeviceSession::new(Arc::clone(&self.0), binding.device_for(&self.0.facts)?)?;
                Ok(Session::Device(Box::new(session)))
            }
        }
    }
}

/// Code that has passed every check and is loaded, with where it runs.
pub(crate) struct Loaded<'a> {
    pub(crate) manifest: Manifest,
    pub(crate) library: Arc<Library>,
    pub(crate) context: Option<Arc<Context>>,
    code: &'a [u8],
    path: &'a Path,
}

/// An allocation on a device takes this much at least.
const DEVICE_ALLOCATION: u64 = 512;

/// Symbols of code that works on threads of TVM's own.
const PARALLEL: &str = "__TVMBackendParallelLaunch";

impl<'a> Loaded<'a> {
    /// Checks a file and loads its code. `context` is the device for a module that needs one; without it the first.
    pub(crate) fn new(
        runtime: &Runtime,
        context: Option<&Arc<Context>>,
        artifact: &'a Artifact,
    ) -> Result<Self, BackendError> {
        let path = artifact.origin();
        let Container { manifest, code } = container::open(artifact)?;
        let unsupported = |why| BackendError::Unsupported { path: path.to_path_buf(), why };
        if manifest.machine != std::env::consts::ARCH {
            return Err(unsupported(format!(
                "it is compiled for {}, this process runs on {}; compile it there",
                manifest.machine,
                std::env::consts::ARCH
            )));
        }
        if manifest.abi != runtime.library.version {
            return Err(unsupported(format!(
                "it is compiled by TVM {} for FFI {}, and this process has FFI {}; compile it again",
                manifest.tvm, manifest.abi, runtime.library.version
            )));
        }
        let context = match (manifest.device, context) {
            (Device::Cpu, _) => None,
            (Device::Cuda, Some(context)) => Some(Arc::clone(context)),
            (Device::Cuda, None) => Some(Context::open(0, Wait::default()).map_err(|why| {
                unsupported(format!("it is compiled for a CUDA device ({}), and {why}", manifest.arch))
            })?),
        };
        if context.is_some() {
            runtime.with_cuda()?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let library =
            Library::load(runtime.api, code, &name).map_err(|why| malformed(path, &manifest, &why))?;
        if library.has(PARALLEL) {
            return Err(unsupported(
                "its kernels start threads of TVM's own, whose time and memory belong to no model; compile it without \
                 parallel loops"
                    .to_owned(),
            ));
        }
        Ok(Self { manifest, library: Arc::new(library), context, code, path })
    }

    /// A machine of this code.
    pub(crate) fn machine(&self, api: &'static Api) -> Result<Vm, BackendError> {
        Vm::open(api, &self.library, self.context.clone()).map_err(|why| self.malformed(&why))
    }

    fn malformed(&self, why: &str) -> BackendError {
        malformed(self.path, &self.manifest, why)
    }
}

fn malformed(path: &Path, manifest: &Manifest, why: &str) -> BackendError {
    let why = format!("compiled by TVM {} for {}: {why}", manifest.tvm, manifest.arch);
    BackendError::Malformed { path: path.to_path_buf(), why }
}

impl TvmModel {
    pub(crate) fn load(
        runtime: &Runtime,
        context: Option<&Arc<Context>>,
        artifact: &Artifact,
        limits: &Limits,
    ) -> Result<Self, BackendError> {
        let loaded = Loaded::new(runtime, context, artifact)?;
        let weights = loaded.weights()?;
        let known = weights.checked_add(loaded.tensors()?);
        loaded.within(limits, known)?;
        if let Some(context) = &loaded.context {
            // TVM's own message would not tell this from a broken file.
            let (free, total) = context.memory()?;
            if weights > free {
                return Err(CudaError::OutOfMemory { asked: weights, free, total }.into());
            }
        }
        let mut vm = loaded.machine(runtime.api)?;
        let stream =
            loaded.context.as_ref().map(|context| Stream::new(context, StreamPriority::Usual)).transpose()?;
        let limit = limits.device_memory.zip(known);
        let recording = loaded.record(runtime.api, &mut vm, stream.as_deref(), limit)?;
        let align = if loaded.context.is_some() { DEVICE_ALIGN } else { TensorBuf::ALIGN };
        let script = Script::plan(recording.events, &recording.outputs, align)
            .map_err(|why| loaded.malformed(&format!("its memory cannot be planned: {why}")))?;
        let scratch = script.scratch();
        loaded.within(limits, known.and_then(|known| known.checked_add(scratch)))?;
        let facts = ModelFacts {
            inputs: loaded.manifest.inputs.clone(),
            outputs: loaded.manifest.outputs.clone(),
            place: if loaded.context.is_some() { Place::Device } else { Place::Host },
            weights,
            scratch: match (&loaded.context, scratch) {
                (_, Bytes::ZERO) => Scratch::None,
                (Some(_), bytes) => Scratch::Placeable { bytes, align },
                (None, bytes) => Scratch::Opaque { at_most: Some(bytes) },
            },
            extra_streams: 0,
            segments: 1,
        };
        let claim = loaded.context.is_none().then(|| Claim::new(scratch));
        let (script, vm, context) = (Arc::new(script), Mutex::new(vm), loaded.context.clone());
        let model = Self(Arc::new(Shared { api: runtime.api, facts, script, vm, context, claim }));
        model.rehearse(stream.as_ref(), &recording.values).map_err(|error| match error {
            BackendError::Execution { why, .. } => {
                loaded.malformed(&format!("with its memory planned it does not run as before: {why}"))
            }
            other => other,
        })?;
        Ok(model)
    }

    /// The device that it runs on, if it does.
    pub(crate) fn context(&self) -> Option<Arc<Context>> {
        self.0.context.clone()
    }

    /// The same model with another machine, which tells `times` of its calls.
    pub(crate) fn observed(&self, times: &Arc<Mutex<Times>>) -> Result<Self, BackendError> {
        let shared = &self.0;
        let sibling = shared.vm.lock().unwrap_or_else(PoisonError::into_inner).sibling();
        let mut vm = sibling.map_err(failed)?;
        vm.observe(times).map_err(failed)?;
        Ok(Self(Arc::new(Shared {
            api: shared.api,
            facts: shared.facts.clone(),
            script: Arc::clone(&shared.script),
            vm: Mutex::new(vm),
            context: shared.context.clone(),
            claim: shared.claim.as_ref().map(|_| Claim::new(shared.script.scratch())),
        })))
    }

    /// Runs the plan once, on zeros, before anybody relies on it. `expected` are the outputs of the recorded run, where
    /// that was on the host.
    fn rehearse(&self, stream: Option<&Arc<Stream>>, expected: &[Vec<u8>]) -> Result<(), BackendError> {
        let device = stream.map(|stream| DeviceBinding::alone(stream, self.facts())).transpose()?;
        let mut runner = Runner::open(self, &Binding { threads: None, device })?;
        runner.run(0)?;
        for ((index, facts), expected) in self.facts().outputs.iter().enumerate().zip(expected) {
            if runner.output(index) != Some(expected) {
                return Err(failed(format!("output `{}` differs", facts.name)));
            }
        }
        Ok(())
    }
}

impl Loaded<'_> {
    /// Memory that the model holds. Its code holds the constants, and the machine a copy of them; of a module for a device
    /// the copy is there and so are its kernels, which are at most the rest of the code.
    fn weights(&self) -> Result<Bytes, BackendError> {
        let Constants { tensors, bytes } = self.manifest.constants;
        let code = self.code.len() as u64;
        let sum = match self.context {
            None => bytes.checked_add(code),
            Some(_) => tensors
                .checked_mul(DEVICE_ALLOCATION)
                .and_then(|gaps| gaps.checked_add(bytes)?.checked_add(code.saturating_sub(bytes))),
        };
        sum.map(Bytes).ok_or_else(|| self.malformed("its weights do not fit 64 bits"))
    }

    /// Bytes of all inputs and outputs.
    fn tensors(&self) -> Result<Bytes, BackendError> {
        let mut tensors = self.manifest.inputs.iter().chain(&self.manifest.outputs);
        let sum = tensors.try_fold(Bytes::ZERO, |sum, tensor| sum.checked_add(tensor.bytes()?));
        sum.ok_or_else(|| self.malformed("its tensors do not fit 64 bits"))
    }

    /// Refuses a model on a device that needs more than it may have.
    fn within(&self, limits: &Limits, asked: Option<Bytes>) -> Result<(), BackendError> {
        let asked = asked.ok_or_else(|| self.malformed("its memory does not fit 64 bits"))?;
        match limits.device_memory {
            Some(limit) if self.context.is_some() && asked > limit => {
                Err(BackendError::OverLimit { path: self.path.to_path_buf(), asked, limit })
            }
            _ => Ok(()),
        }
    }

    /// Runs the program on zeros and notes what it asks for. `limit` is the most that may be held on a device, and what is
    /// held there already.
    fn record(
        &self,
        api: &'static Api,
        vm: &mut Vm,
        stream: Option<&Stream>,
        limit: Option<(Bytes, Bytes)>,
    ) -> Result<Recording, BackendError> {
        let facts = &self.manifest;
        let recorded = if let (Some(context), Some(stream)) = (&self.context, stream) {
            let left = limit.map(|(limit, held)| Bytes(limit.0.saturating_sub(held.0)));
            let source = Source::Device { context: Arc::clone(context), limit: left };
            let mut inputs = Vec::new();
            for tensor in &facts.inputs {
                let slice = DeviceMemory::alloc(context, tensor.bytes().unwrap_or_default())?;
                stream.fill(&slice, 0)?;
                inputs.push(Tensor::device(api, &slice, tensor).map_err(failed)?);
            }
            vm.record(&inputs, &facts.outputs, source, Some(stream))
        } else {
            let zeroed = |tensor| TensorBuf::for_facts(tensor).ok_or_else(|| no_memory("input", tensor));
            let zeros = facts.inputs.iter().map(zeroed).collect::<Result<Vec<_>, _>>()?;
            let mut inputs = Vec::new();
            for zeros in &zeros {
                inputs.push(Tensor::host(api, zeros.data(), zeros.dtype(), zeros.shape()).map_err(failed)?);
            }
            vm.record(&inputs, &facts.outputs, Source::Host, None)
        };
        recorded.map_err(|why| match why {
            Unrecorded::Refused(Refused::OverLimit(asked)) => {
                let (limit, held) = limit.unwrap_or_default();
                let asked = Bytes(held.0.saturating_add(asked.0));
                BackendError::OverLimit { path: self.path.to_path_buf(), asked, limit }
            }
            Unrecorded::Refused(Refused::Device(why)) => why.into(),
            Unrecorded::Refused(why @ Refused::Host(_)) => no_scratch(&why.to_string()),
            Unrecorded::Failed(why) => self.malformed(&format!("its first run failed: {why}")),
        })
    }
}

/// The host has no memory for what a job needs besides its tensors.
pub(crate) fn no_scratch(why: &str) -> BackendError {
    let fault = Fault { blame: Blame::Host, code: FaultCode::ExecutionFailed, usable: Usable::Session };
    BackendError::Execution { why: format!("no memory for the model's scratch: {why}"), fault }
}

/// The host has no memory for a tensor.
pub(crate) fn no_memory(which: &'static str, facts: &TensorFacts) -> BackendError {
    BackendError::NoMemory { which, name: facts.name.clone(), tensor: facts.to_string() }
}
