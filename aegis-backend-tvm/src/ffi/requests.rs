//! TVM's requests for memory while a program of ours runs: recorded the first time, answered from a plan after that.
//!
//! Three doors lead to memory: the functions `vm.builtin.alloc_storage` and `vm.builtin.alloc_tensor`, by which a program
//! gets its intermediate tensors and outputs, and the symbol `TVMBackendAllocWorkspace`, by which a kernel gets what it
//! needs inside. All three are replaced once for the process, before anything is loaded. While a run of ours is active on
//! the calling thread they answer from its memory; every other request goes on to TVM's own functions.
use super::abi::{Any, DlDevice, DlTensor, DlType, Handle, Object, ShapeCell, index};
use super::api::{Api, Value};
use super::tensor::tensor;
use crate::script::{Cursor, Event, Place};
use aegis_backend::{DType, TensorBuf};
use aegis_core::Bytes;
use aegis_cuda::{Context, CudaError, DeviceMemory, DeviceSlice};
use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the memory of a recorded run comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Host,
    Device {
        context: Arc<Context>,
        /// The most that may be taken.
        limit: Option<Bytes>,
    },
}

/// Memory of a recorded run, held until the run is over.
#[derive(Debug)]
pub(super) enum Block {
    Host(TensorBuf),
    Device(DeviceSlice),
}

impl Block {
    pub(super) fn address(&self) -> u64 {
        match self {
            Self::Host(buffer) => buffer.data().as_ptr() as u64,
            Self::Device(slice) => slice.address(),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Host(buffer) => buffer.data().len() as u64,
            Self::Device(slice) => slice.len().0,
        }
    }
}

/// Why there is no memory for a recorded run.
#[derive(Debug)]
pub(crate) enum Refused {
    /// So much would have been held, more than the limit.
    OverLimit(Bytes),
    /// The device has not enough, or fails.
    Device(CudaError),
    /// The host has not so much.
    Host(Bytes),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverLimit(asked) => write!(f, "it would hold {asked}, more than its limit"),
            Self::Device(why) => why.fmt(f),
            Self::Host(bytes) => write!(f, "the host has no {bytes}"),
        }
    }
}

/// What answers requests.
#[derive(Debug)]
pub(super) enum Memory {
    /// Each take gets memory of its own.
    Recorded {
        source: Source,
        events: Vec<Event>,
        blocks: Vec<Block>,
        /// Why a take was refused, if one was.
        refused: Option<Refused>,
    },
    /// Each take gets the place that the plan gives it: address and length of the scratch, and of each output.
    Planned { cursor: Cursor, scratch: (u64, u64), outputs: Vec<(u64, u64)> },
}

impl Memory {
    /// The number and the address of a take.
    fn take(&mut self, bytes: u64) -> Result<(usize, u64), String> {
        match self {
            Self::Recorded { source, events, blocks, refused } => {
                let block = source.block(bytes, blocks).map_err(|why| refused.insert(why).to_string())?;
                let answer = (blocks.len(), block.address());
                blocks.push(block);
                events.push(Event::Take(bytes));
                Ok(answer)
            }
            Self::Planned { cursor, scratch, outputs } => {
                let (take, place) = cursor.take(bytes)?;
                let ((start, length), offset) = match place {
                    Place::Scratch(offset) => (*scratch, offset),
                    Place::Output(index) => {
                        (*outputs.get(index).ok_or("the plan names an output that is not there")?, 0)
                    }
                };
                // Whatever the plan says, nothing outside the span is ever given.
                if offset.checked_add(bytes).is_none_or(|end| end > length) {
                    return Err(format!("{bytes} B at offset {offset} do not lie within {length} B"));
                }
                Ok((take, start + offset))
            }
        }
    }

    fn release(&mut self, take: usize) {
        match self {
            Self::Recorded { events, .. } => events.push(Event::Release(take)),
            Self::Planned { cursor, .. } => cursor.release(take),
        }
    }
}

impl Source {
    fn block(&self, bytes: u64, held: &[Block]) -> Result<Block, Refused> {
        match self {
            Self::Host => {
                let buffer = TensorBuf::zeroed(DType::U8, &[bytes]);
                Ok(Block::Host(buffer.ok_or(Refused::Host(Bytes(bytes)))?))
            }
            Self::Device { context, limit } => {
                let held: u64 = held.iter().map(Block::bytes).sum();
                let asked = Bytes(held.saturating_add(bytes));
                if limit.is_some_and(|limit| asked > limit) {
                    return Err(Refused::OverLimit(asked));
                }
                Ok(Block::Device(DeviceMemory::alloc(context, Bytes(bytes)).map_err(Refused::Device)?))
            }
        }
    }
}

/// A run on this thread.
struct Active {
    /// Its number: objects of an earlier run are let go of during a later one.
    run: u64,
    device: DlDevice,
    memory: Memory,
    /// Address and take of what kernels have taken.
    workspaces: Vec<(u64, usize)>,
}

thread_local! {
    static ACTIVE: RefCell<Option<Active>> = const { RefCell::new(None) };
}

/// Does `work` with TVM's requests for memory on `device`, from this thread, answered from `memory`.
pub(super) fn answering<T>(
    device: DlDevice,
    memory: Memory,
    work: impl FnOnce() -> T,
) -> (T, Option<Memory>) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let active = Active { run, device, memory, workspaces: Vec::new() };
    let before = ACTIVE.with(|cell| cell.replace(Some(active)));
    let done = work();
    let active = ACTIVE.with(|cell| cell.replace(before));
    (done, active.map(|active| active.memory))
}

/// The answer of `work` on the active run; `None` without one.
fn with_active<T>(work: impl FnOnce(&mut Active) -> T) -> Option<T> {
    // During a thread's end, or from within itself, there is none.
    ACTIVE.try_with(|cell| cell.try_borrow_mut().ok()?.as_mut().map(work)).ok().flatten()
}

/// What the replaced functions need; lives as long as the process.
struct Originals {
    api: &'static Api,
    storage: Value,
    tensor: Value,
}

static ORIGINALS: std::sync::OnceLock<Originals> = std::sync::OnceLock::new();

const STORAGE: &str = "vm.builtin.alloc_storage";
const TENSOR: &str = "vm.builtin.alloc_tensor";
const ALLOC_WORKSPACE: &CStr = c"__TVMBackendAllocWorkspace";
const FREE_WORKSPACE: &CStr = c"__TVMBackendFreeWorkspace";

/// Puts our functions in front of TVM's.
pub(super) fn answer(api: &'static Api) -> Result<(), String> {
    let originals = Originals { api, storage: api.global(STORAGE)?, tensor: api.global(TENSOR)? };
    if ORIGINALS.set(originals).is_err() {
        return Ok(());
    }
    // SAFETY: both functions have the signature and need no context.
    let (storage, tensor) = unsafe {
        (
            api.function(std::ptr::null_mut(), on_storage, None)?,
            api.function(std::ptr::null_mut(), on_tensor, None)?,
        )
    };
    api.replace(STORAGE, &storage)?;
    api.replace(TENSOR, &tensor)?;
    for (symbol, function) in [
        (ALLOC_WORKSPACE, on_alloc_workspace as *mut c_void),
        (FREE_WORKSPACE, on_free_workspace as *mut c_void),
    ] {
        // SAFETY: the function has the signature that code compiled by TVM calls this symbol with (c_backend_api.h). The
        // registry of these symbols is written here alone, before the first load reads it.
        if unsafe { (api.set_context_symbol)(symbol.as_ptr(), function) } != 0 {
            return Err(api.error());
        }
    }
    Ok(())
}

/// The storage that a tensor object of ours stands for.
struct Ticket {
    run: u64,
    take: usize,
}

/// TVM has let go of a storage.
fn released(ticket: &Ticket) {
    with_active(|active| {
        if active.run == ticket.run {
            active.memory.release(ticket.take);
        }
    });
}

const FAILED: i32 = -1;

/// `vm.builtin.alloc_storage(vm, shape, index of the device, element type, scope)`. Our storage is a tensor of bytes.
// SAFETY: called by TVM alone, with the arguments that its interface names.
unsafe extern "C" fn on_storage(_: Handle, arguments: *const Any, count: i32, result: *mut Any) -> i32 {
    let Some(originals) = ORIGINALS.get() else { return FAILED };
    // SAFETY: TVM passes `count` arguments, valid for the call.
    let given = unsafe { std::slice::from_raw_parts(arguments, usize::try_from(count).unwrap_or(0)) };
    let (mut run, mut device) = (0, DlDevice::HOST);
    let bytes = match given {
        [_, shape, place, dtype, ..] if shape.index == index::SHAPE => {
            // The first of a virtual machine's devices is the one that its operators run on; -1 is the host.
            let place = if place.index == index::INT { place.value.cast_signed() } else { i64::MAX };
            let active = with_active(|active| (run, device) = (active.run, active.device));
            let ours = active.is_some() && (place == 0 || (place == -1 && device == DlDevice::HOST));
            originals.api.element(dtype).filter(|_| ours).map(|element| {
                extents_of(shape)
                    .iter()
                    .try_fold(element.size(), |n, extent| n.checked_mul(u64::try_from(*extent).ok()?))
            })
        }
        _ => None,
    };
    let Some(bytes) = bytes else {
        // SAFETY: a request that is not ours goes on as it came.
        return unsafe { (originals.api.call)(originals.storage.any.handle(), arguments, count, result) };
    };
    let made = bytes.ok_or_else(|| "the program asked for more than 64 bits of memory".to_string()).and_then(
        |bytes| {
            let length = i64::try_from(bytes).map_err(|why| why.to_string())?;
            let taken = with_active(|active| active.memory.take(bytes));
            let (take, address) = taken.ok_or("the run is over")??;
            let byte = DlType { code: 1, bits: 8, lanes: 1 };
            tensor(originals.api, address, device, byte, vec![length], Ticket { run, take }, Some(released))
        },
    );
    answer_with(originals.api, made, result)
}

/// `vm.builtin.alloc_tensor(storage, offset, shape, element type[, scope])`.
// SAFETY: called by TVM alone, with the arguments that its interface names.
unsafe extern "C" fn on_tensor(_: Handle, arguments: *const Any, count: i32, result: *mut Any) -> i32 {
    let Some(originals) = ORIGINALS.get() else { return FAILED };
    // SAFETY: TVM passes `count` arguments, valid for the call.
    let given = unsafe { std::slice::from_raw_parts(arguments, usize::try_from(count).unwrap_or(0)) };
    let [storage, offset, shape, dtype, ..] = given else { return FAILED };
    if storage.index != index::TENSOR || shape.index != index::SHAPE {
        // SAFETY: a storage that is not ours goes on to who made it.
        return unsafe { (originals.api.call)(originals.tensor.any.handle(), arguments, count, result) };
    }
    // SAFETY: by its type index a tensor object, alive during the call.
    let from = unsafe { &(*storage.handle().cast::<Object<DlTensor>>()).cell };
    let made = match originals.api.element(dtype) {
        Some(element) => {
            view(originals.api, storage.handle(), from, offset.value, extents_of(shape), element)
        }
        None => Err(format!("a tensor's type is a value of TVM's type {}", dtype.index)),
    };
    answer_with(originals.api, made, result)
}

/// The extents of an argument that is a shape, during the call.
fn extents_of(shape: &Any) -> &[i64] {
    if shape.index != index::SHAPE {
        return &[];
    }
    // SAFETY: by its type index a shape object, which the caller of the function that this is an argument of keeps alive.
    let cell = unsafe { &(*shape.handle().cast::<Object<ShapeCell>>()).cell };
    if cell.size == 0 {
        return &[];
    }
    // SAFETY: the object owns that many extents.
    unsafe { std::slice::from_raw_parts(cell.data, cell.size) }
}

/// A tensor that lies in a storage of ours, which it keeps alive.
fn view(
    api: &'static Api,
    storage: Handle,
    from: &DlTensor,
    offset: u64,
    extents: &[i64],
    dtype: DlType,
) -> Result<Value, String> {
    if from.dimensions != 1 {
        return Err(format!("a storage has {} dimensions", from.dimensions));
    }
    // SAFETY: one extent (checked above), which is a storage's length in bytes (`on_storage`).
    let length = unsafe { *from.shape }.cast_unsigned();
    let bytes = extents
        .iter()
        .try_fold(dtype.size(), |n, extent| n.checked_mul(u64::try_from(*extent).ok()?))
        .and_then(|bytes| bytes.checked_add(offset))
        .filter(|end| *end <= length);
    if bytes.is_none() {
        return Err(format!("shape {extents:?} at offset {offset} is larger than its storage of {length} B"));
    }
    let mut shape = extents.to_vec();
    let mut strides = super::tensor::strides(&shape);
    let prototype = DlTensor {
        data: (from.address() + offset) as *mut c_void,
        device: from.device,
        dimensions: i32::try_from(shape.len()).map_err(|why| why.to_string())?,
        dtype,
        shape: shape.as_mut_ptr(),
        strides: strides.as_mut_ptr(),
        offset: 0,
    };
    let mut handle = std::ptr::null_mut();
    // SAFETY: the prototype is valid for the call, which copies its extents; its bytes lie within the storage (checked
    // above), which the view keeps alive.
    let status = unsafe { (api.view_of)(storage, &raw const prototype, &raw mut handle) };
    if status == 0 { Ok(Value::object(api, handle, index::TENSOR)) } else { Err(api.error()) }
}

fn answer_with(api: &Api, made: Result<Value, String>, result: *mut Any) -> i32 {
    match made {
        Ok(value) => {
            // SAFETY: TVM passes a valid place for one result, which takes over the reference.
            unsafe { *result = value.into_any() };
            0
        }
        Err(why) => {
            api.raise(&why);
            FAILED
        }
    }
}

/// `TVMBackendAllocWorkspace`.
// SAFETY: called by TVM alone, with the arguments that its interface names.
unsafe extern "C" fn on_alloc_workspace(
    kind: i32,
    ordinal: i32,
    bytes: u64,
    code: i32,
    bits: i32,
) -> *mut c_void {
    let Some(originals) = ORIGINALS.get() else { return std::ptr::null_mut() };
    let taken = with_active(|active| {
        if (active.device != DlDevice { kind, ordinal }) {
            return None;
        }
        Some(active.memory.take(bytes).inspect(|&(take, address)| active.workspaces.push((address, take))))
    });
    match taken.flatten() {
        Some(Ok((_, address))) => address as *mut c_void,
        Some(Err(why)) => {
            originals.api.raise(&why);
            std::ptr::null_mut()
        }
        // SAFETY: a request that is not ours goes on as it came.
        None => unsafe { (originals.api.alloc_workspace)(kind, ordinal, bytes, code, bits) },
    }
}

/// `TVMBackendFreeWorkspace`.
// SAFETY: called by TVM alone, with the arguments that its interface names.
unsafe extern "C" fn on_free_workspace(kind: i32, ordinal: i32, memory: *mut c_void) -> i32 {
    let Some(originals) = ORIGINALS.get() else { return FAILED };
    let ours = with_active(|active| {
        let at = active.workspaces.iter().rposition(|(address, _)| *address == memory as u64)?;
        let (_, take) = active.workspaces.swap_remove(at);
        active.memory.release(take);
        Some(())
    });
    match ours.flatten() {
        Some(()) => 0,
        // SAFETY: what is not ours goes back to who gave it.
        None => unsafe { (originals.api.free_workspace)(kind, ordinal, memory) },
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, Refused, Source};
    use crate::script::{Cursor, Event, Script};
    use aegis_core::Bytes;
    use std::sync::Arc;

    fn planned(scratch: (u64, u64), outputs: Vec<(u64, u64)>) -> Memory {
        let events = vec![Event::Take(64), Event::Take(32), Event::Take(64)];
        let script = Script::plan(events, &[Some(1)], Bytes(64)).unwrap();
        Memory::Planned { cursor: Cursor::new(Arc::new(script)), scratch, outputs }
    }

    #[test]
    fn takes_lie_in_the_scratch_and_in_the_outputs() {
        let mut memory = planned((0x1000, 128), vec![(0x2000, 32)]);
        let taken = [64, 32, 64].map(|bytes| memory.take(bytes).unwrap());
        assert_eq!(taken, [(0, 0x1000), (1, 0x2000), (2, 0x1040)]);
    }

    #[test]
    fn nothing_outside_of_what_was_given_is_ever_taken() {
        for (scratch, outputs, fails_at) in
            [(63, vec![32], 0), (128, vec![31], 1), (128, vec![], 1), (127, vec![32], 2), (0, vec![32], 0)]
        {
            let mut memory =
                planned((0x1000, scratch), outputs.into_iter().map(|bytes| (0x2000, bytes)).collect());
            let failed = [64, 32, 64].into_iter().position(|bytes| memory.take(bytes).is_err());
            assert_eq!(failed, Some(fails_at), "{scratch}");
        }
    }

    #[test]
    fn a_recorded_run_gets_memory_of_its_own_for_each_take() {
        let mut memory =
            Memory::Recorded { source: Source::Host, events: Vec::new(), blocks: Vec::new(), refused: None };
        let ((one, a), (two, b)) = (memory.take(100).unwrap(), memory.take(100).unwrap());
        assert!((one, two) == (0, 1) && a.abs_diff(b) >= 100);
        memory.release(0);
        memory.take(u64::MAX).unwrap_err();
        let Memory::Recorded { events, blocks, refused, .. } = memory else { panic!("still recorded") };
        assert_eq!(events, [Event::Take(100), Event::Take(100), Event::Release(0)]);
        assert_eq!(blocks.len(), 2);
        assert!(matches!(refused, Some(Refused::Host(Bytes(u64::MAX)))), "{refused:?}");
    }
}
