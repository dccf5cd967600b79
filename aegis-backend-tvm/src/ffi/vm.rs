//! A program of TVM's virtual machine: loaded, recorded once, and run with its memory planned.
use super::abi::{Any, DlDevice, Handle, Object, SequenceCell, index};
use super::api::{Api, Value};
use super::image::Library;
use super::requests::{Block, Memory, Refused, Source, answering};
use super::tensor::{Span, Tensor, address_of};
use crate::script::{Cursor, Event, Script};
use aegis_backend::TensorFacts;
use aegis_core::Nanos;
use aegis_cuda::{Context, Stream};
use std::ffi::{CStr, c_void};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Who gives memory for constants: each has its own and gives it back at once. A pool of TVM's would keep it for ever.
const NAIVE: i64 = 1;

/// A program that is ready to run. Its state is one flow's: whoever has it runs one job at a time (`&mut`).
#[derive(Debug)]
pub(crate) struct Vm {
    api: &'static Api,
    /// Dropped in this order; `None` only while it is dropped.
    parts: Option<(Value, Value, Arc<Library>)>,
    device: DlDevice,
    context: Option<Arc<Context>>,
}

/// One job.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) script: &'a Arc<Script>,
    pub(crate) facts: &'a [TensorFacts],
    pub(crate) inputs: &'a [Tensor<'a>],
    /// As long as the tensor or longer, one each.
    pub(crate) outputs: &'a [Span<'a>],
    pub(crate) scratch: Span<'a>,
    /// On a device.
    pub(crate) stream: Option<&'a Stream>,
}

/// What a recorded run did.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) events: Vec<Event>,
    /// For each output the take that holds exactly it, if one does.
    pub(crate) outputs: Vec<Option<usize>>,
    /// The outputs, on the host.
    pub(crate) values: Vec<Vec<u8>>,
}

/// Why a run was not recorded.
#[derive(Debug)]
pub(crate) enum Unrecorded {
    /// There was no memory for it, or the device failed.
    Refused(Refused),
    /// TVM's words, or ours.
    Failed(String),
}

impl From<String> for Unrecorded {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl Vm {
    /// Makes a program's machine: its constants go to the device, its functions are looked up.
    pub(crate) fn open(
        api: &'static Api,
        library: &Arc<Library>,
        context: Option<Arc<Context>>,
    ) -> Result<Self, String> {
        let device = match &context {
            Some(context) => DlDevice::of(context)?,
            None => DlDevice::HOST,
        };
        let module = api.call(&api.method(&library.module, c"vm_load_executable")?, &[])?;
        // Triples of device and allocator; the host's comes last.
        let host = [DlDevice::HOST.kind, DlDevice::HOST.ordinal];
        let mut devices = Vec::new();
        if context.is_some() {
            devices.extend([device.kind, device.ordinal].map(|n| Any::int(n.into())));
            devices.push(Any::int(NAIVE));
        }
        devices.extend(host.map(|n| Any::int(n.into())));
        devices.push(Any::int(NAIVE));
        api.call(&api.method(&module, c"vm_initialization")?, &devices)?;
        let main = api.method(&module, c"main")?;
        if let Some(context) = &context {
            context.synchronize().map_err(|why| why.to_string())?; // the constants are there
        }
        Ok(Self { api, parts: Some((main, module, Arc::clone(library))), device, context })
    }

    /// Runs the program once with memory of its own for each request, and says what it asked for.
    pub(crate) fn record(
        &mut self,
        inputs: &[Tensor<'_>],
        facts: &[TensorFacts],
        source: Source,
        stream: Option<&Stream>,
    ) -> Result<Recording, Unrecorded> {
        let memory = Memory::Recorded { source, events: Vec::new(), blocks: Vec::new(), refused: None };
        let (result, memory) = answering(self.device, memory, || self.invoke(inputs, stream));
        // Before the memory goes, the device is done with it; also after an error.
        let settled = stream.map_or(Ok(()), Stream::synchronize);
        let Some(Memory::Recorded { events, blocks, refused, .. }) = memory else {
            return Err("the recording was lost".to_string().into());
        };
        if let Some(why) = refused {
            return Err(Unrecorded::Refused(why));
        }
        settled.map_err(|why| Unrecorded::Refused(Refused::Device(why)))?;
        let result = result?;
        let mut recording = Recording { events, outputs: Vec::new(), values: Vec::new() };
        for (value, facts) in outputs(&result, facts)?.iter().zip(facts) {
            let (address, device) = located(value, facts)?;
            let bytes = facts.bytes().map_or(0, |bytes| bytes.0);
            let exact = |block: &Block| block.address() == address && block.bytes() == bytes && bytes > 0;
            recording.outputs.push(blocks.iter().position(exact));
            if device == DlDevice::HOST {
                let length = usize::try_from(bytes).map_err(|why| why.to_string())?;
                let from = if length == 0 { std::ptr::dangling() } else { address as *const u8 };
                // SAFETY: a compact tensor of the host with this many bytes (`located`), whose memory `blocks` or the
                // machine's constants still hold.
                let bytes = unsafe { std::slice::from_raw_parts(from, length) };
                recording.values.push(bytes.to_vec());
            }
        }
        Ok(recording)
    }

    /// Runs the program, or puts it on the stream. Where an output was not written in place, it is copied.
    pub(crate) fn run(&mut self, call: &Call<'_>) -> Result<(), String> {
        let memory = Memory::Planned {
            cursor: Cursor::new(Arc::clone(call.script)),
            scratch: (call.scratch.address, call.scratch.bytes),
            outputs: call.outputs.iter().map(|span| (span.address, span.bytes)).collect(),
        };
        let (result, _) = answering(self.device, memory, || self.invoke(call.inputs, call.stream));
        let result = result?;
        if call.outputs.len() != call.facts.len() {
            return Err(format!("{} outputs are bound, {} known", call.outputs.len(), call.facts.len()));
        }
        for ((value, facts), span) in outputs(&result, call.facts)?.iter().zip(call.facts).zip(call.outputs) {
            let (address, device) = located(value, facts)?;
            let bytes = facts.bytes().map_or(0, |bytes| bytes.0);
            if address == span.address || bytes == 0 {
                continue;
            }
            if device != self.device || bytes > span.bytes {
                return Err(format!("output `{}` lies elsewhere, or is larger than its place", facts.name));
            }
            let length = usize::try_from(bytes).map_err(|why| why.to_string())?;
            match call.stream {
                // SAFETY: a compact tensor of this length (`located`) in memory that the machine or the caller holds
                // until the stream is done with it, and a span at least as long (checked above).
                Some(stream) => unsafe { stream.copy_raw(address, span.address, length) }
                    .map_err(|why| why.to_string())?,
                // SAFETY: as above; the two may overlap where an output is a part of another.
                None => unsafe { std::ptr::copy(address as *const u8, span.address as *mut u8, length) },
            }
        }
        Ok(())
    }

    /// Calls `main` on the stream.
    fn invoke(&self, inputs: &[Tensor<'_>], stream: Option<&Stream>) -> Result<Value, String> {
        let (main, _, _) = self.parts.as_ref().ok_or("the machine is gone")?;
        let arguments: Vec<Any> = inputs.iter().map(|tensor| tensor.value.any).collect();
        let _restored = match stream {
            Some(stream) => {
                stream.context().make_current().map_err(|why| why.to_string())?;
                Some(CurrentStream::set(self.api, self.device, stream)?)
            }
            None => None,
        };
        self.api.call(main, &arguments)
    }

    /// Another machine of the same program, with constants of its own.
    pub(crate) fn sibling(&self) -> Result<Self, String> {
        let (_, _, library) = self.parts.as_ref().ok_or("the machine is gone")?;
        Self::open(self.api, library, self.context.clone())
    }

    /// From here on the machine tells `times` of every call, before and after it, with its name. It cannot be undone.
    pub(crate) fn observe(&mut self, times: &Arc<Mutex<Times>>) -> Result<(), String> {
        let (_, module, _) = self.parts.as_ref().ok_or("the machine is gone")?;
        let set = self.api.method(module, c"set_instrument")?;
        let context = Arc::into_raw(Arc::clone(times)).cast_mut().cast();
        // SAFETY: the context is a count of the `Arc`, which `forget_times` gives back; `Times` is behind a lock.
        let function = unsafe { self.api.function(context, on_call, Some(forget_times)) }?;
        self.api.call(&set, &[function.any])?;
        Ok(())
    }
}

impl Drop for Vm {
    /// After an error that ends the use of the device TVM would end the process instead of giving things back: then they
    /// are left as they are.
    fn drop(&mut self) {
        let healthy = self.context.as_ref().is_none_or(|context| context.synchronize().is_ok());
        if let Some(parts) = self.parts.take()
            && !healthy
        {
            std::mem::forget(parts);
        }
    }
}

/// TVM's current stream of a device on this thread, set back when this is dropped.
struct CurrentStream {
    api: &'static Api,
    device: DlDevice,
    before: *mut c_void,
}

impl CurrentStream {
    fn set(api: &'static Api, device: DlDevice, stream: &Stream) -> Result<Self, String> {
        let mut before = std::ptr::null_mut();
        // SAFETY: the stream lives as long as the call that this value surrounds; `before` is a valid place.
        let status = unsafe { (api.set_stream)(device.kind, device.ordinal, stream.raw(), &raw mut before) };
        if status == 0 { Ok(Self { api, device, before }) } else { Err(api.error()) }
    }
}

impl Drop for CurrentStream {
    fn drop(&mut self) {
        // SAFETY: what was there before is set again; no place for the one before is asked for.
        unsafe {
            (self.api.set_stream)(self.device.kind, self.device.ordinal, self.before, std::ptr::null_mut());
        }
    }
}

/// The outputs of a program with as many as `facts`: the result, or what the result lists. They are borrowed from it.
fn outputs(result: &Value, facts: &[TensorFacts]) -> Result<Vec<std::mem::ManuallyDrop<Value>>, String> {
    let borrowed = |any: Any| std::mem::ManuallyDrop::new(Value { api: result.api, any });
    let found = if result.any.index == index::ARRAY {
        // SAFETY: an array object, by its type index, has so many values after its header and keeps them alive.
        let listed = unsafe {
            let cell = &(*result.any.handle().cast::<Object<SequenceCell>>()).cell;
            let size = usize::try_from(cell.size).unwrap_or(0);
            if size == 0 { &[][..] } else { std::slice::from_raw_parts(cell.data, size) }
        };
        listed.iter().copied().map(borrowed).collect()
    } else {
        vec![borrowed(result.any)]
    };
    if found.len() != facts.len() {
        return Err(format!("the program gave {} outputs, its manifest lists {}", found.len(), facts.len()));
    }
    Ok(found)
}

fn located(value: &Value, facts: &TensorFacts) -> Result<(u64, DlDevice), String> {
    address_of(value, facts).map_err(|why| format!("output `{}` {why}", facts.name))
}

/// The time of a program's calls, by their names.
#[derive(Debug)]
pub(crate) struct Times {
    /// In the order in which they were first called: name, calls, time of all of them.
    calls: Vec<(String, u64, Nanos)>,
    begun: Vec<Instant>,
    /// Waited for after each call, so that its time is the device's.
    stream: Option<Arc<Stream>>,
}

impl Times {
    pub(crate) const fn new(stream: Option<Arc<Stream>>) -> Self {
        Self { calls: Vec::new(), begun: Vec::new(), stream }
    }

    /// What was noted, as name, calls, and time of all of them.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&str, u64, Nanos)> {
        self.calls.iter().map(|(name, calls, time)| (&**name, *calls, *time))
    }

    /// Begins again.
    pub(crate) fn forget(&mut self) {
        self.calls.clear();
        self.begun.clear();
    }

    fn note(&mut self, name: &str, before: bool) {
        if before {
            self.begun.push(Instant::now());
            return;
        }
        if let Some(stream) = &self.stream {
            let _ = stream.synchronize(); // a failure shows when the run is waited for
        }
        let Some(begun) = self.begun.pop() else { return };
        let took = Nanos(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
        match self.calls.iter_mut().find(|(known, ..)| known == name) {
            Some((_, calls, time)) => (*calls, time.0) = (*calls + 1, time.0.saturating_add(took.0)),
            None => self.calls.push((name.to_string(), 1, took)),
        }
    }
}

/// The instrument: `(function, name, whether before, result, arguments…)`.
// SAFETY: called by TVM alone, with the context that `observe` gave.
unsafe extern "C" fn on_call(times: Handle, arguments: *const Any, count: i32, _: *mut Any) -> i32 {
    // SAFETY: TVM passes `count` arguments, valid for the call.
    let given = unsafe { std::slice::from_raw_parts(arguments, usize::try_from(count).unwrap_or(0)) };
    if let [_, name, before, ..] = given
        && name.index == index::C_STRING
    {
        // SAFETY: by its type index a C string, alive during the call; the context is what `observe` made.
        let (name, times) =
            unsafe { (CStr::from_ptr(name.value as *const _), &*times.cast::<Mutex<Times>>()) };
        times.lock().unwrap_or_else(PoisonError::into_inner).note(&name.to_string_lossy(), before.value != 0);
    }
    0
}

// SAFETY: called by TVM alone, once, with the context that `observe` gave.
unsafe extern "C" fn forget_times(times: *mut c_void) {
    // SAFETY: the count that `observe` took, given back once.
    drop(unsafe { Arc::from_raw(times.cast::<Mutex<Times>>()) });
}
