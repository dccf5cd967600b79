//! Device memory for TensorRT: taken from the driver, counted, and refused beyond a limit.
use super::shim::{Memory, Raw};
use aegis_backend::catch;
use aegis_core::Bytes;
use aegis_cuda::{Context, CudaError, DeviceMemory, DeviceSlice};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The driver's allocations begin at multiples of this.
const ALIGN: u64 = 256;

/// Where a model's device memory comes from.
pub(super) struct Budget {
    context: Arc<Context>,
    limit: Option<Bytes>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blocks: HashMap<u64, DeviceSlice>,
    used: Bytes,
    refused: Option<Refusal>,
}

/// Why TensorRT did not get memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It would have been more than allowed.
    OverBudget {
        /// Asked for, with what it has already.
        asked: Bytes,
        /// Allowed.
        limit: Bytes,
    },
    /// The device has no more.
    Device(CudaError),
    /// No power of two.
    Alignment(u64),
}

impl Budget {
    pub(super) fn new(context: &Arc<Context>, limit: Option<Bytes>) -> Arc<Self> {
        Arc::new(Self { context: Arc::clone(context), limit, state: Mutex::default() })
    }

    /// The hooks for the shim. They use this budget as long as they are called: whoever gives them away keeps it alive.
    pub(super) fn hooks(self: &Arc<Self>) -> Memory {
        Memory { owner: Arc::as_ptr(self).cast_mut().cast(), take, give_back }
    }

    /// What TensorRT holds.
    pub(super) fn used(&self) -> Bytes {
        self.state().used
    }

    /// The first refusal since this was asked last.
    pub(super) fn refused(&self) -> Option<Refusal> {
        self.state().refused.take()
    }

    /// The state is whole whenever the lock is free: nothing below panics between two changes that belong together.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, bytes: u64, align: u64) -> Option<u64> {
        if bytes == 0 {
            return None; // as IGpuAllocator::allocate demands
        }
        let mut state = self.state();
        let refuse = |state: &mut State, why| {
            state.refused.get_or_insert(why);
            None
        };
        if !align.max(1).is_power_of_two() {
            return refuse(&mut state, Refusal::Alignment(align));
        }
        // Beyond what the driver promises there is room for the next multiple: TensorRT asks for 512.
        let room = if align > ALIGN { align } else { 0 };
        let asked = bytes.checked_add(room).and_then(|bytes| state.used.checked_add(Bytes(bytes)));
        let asked = asked.unwrap_or(Bytes(u64::MAX));
        if let Some(limit) = self.limit.filter(|limit| asked > *limit) {
            return refuse(&mut state, Refusal::OverBudget { asked, limit });
        }
        match DeviceMemory::alloc(&self.context, Bytes(bytes.saturating_add(room))) {
            Ok(slice) => {
                let address = slice.address().next_multiple_of(align.max(1));
                state.blocks.insert(address, slice);
                state.used = asked;
                Some(address)
            }
            Err(why) => refuse(&mut state, Refusal::Device(why)),
        }
    }

    /// Whether the memory was ours.
    fn give_back(&self, address: u64) -> bool {
        let mut state = self.state();
        let Some(slice) = state.blocks.remove(&address) else { return false };
        state.used = Bytes(state.used.0.saturating_sub(slice.len().0));
        drop(state); // freeing waits for the device
        drop(slice);
        true
    }
}

/// # Safety
/// `owner` is a [`Budget`] that is alive.
unsafe extern "C" fn take(owner: Raw, bytes: u64, align: u64) -> Raw {
    // SAFETY: the caller's promise.
    let budget = unsafe { &*owner.cast::<Budget>() };
    // A panic must not reach C++.
    catch(|| budget.take(bytes, align)).ok().flatten().map_or(std::ptr::null_mut(), |address| address as Raw)
}

/// # Safety
/// `owner` is a [`Budget`] that is alive.
unsafe extern "C" fn give_back(owner: Raw, memory: Raw) -> bool {
    // SAFETY: the caller's promise.
    let budget = unsafe { &*owner.cast::<Budget>() };
    memory.is_null() || catch(|| budget.give_back(memory as u64)).unwrap_or(false)
}
