//! A stand-in for libcuda: a device made of host memory that counts what lives, reports misuse, and fails when told to.
//!
//! Build it under the driver's name and put its folder first in `LD_LIBRARY_PATH` of a process:
//!
//! ```text
//! rustc --edition=2024 --crate-type=cdylib --crate-name=cuda -Anon_snake_case \
//!       aegis-cuda/tests/data/fake_driver.rs -o FOLDER/libcuda.so
//! ```
//!
//! `--cfg incomplete` leaves `cuDeviceGetAttribute` out, `--cfg old` what CUDA 11.4 does not have. The environment says
//! how it answers:
//!
//! | variable | meaning |
//! |---|---|
//! | `FAKE_CUDA_VERSION`, `FAKE_CUDA_DEVICES` | the driver's version (13000) and the number of devices (2; those with odd numbers are integrated) |
//! | `FAKE_CUDA_INIT` | what `cuInit` answers (0) |
//! | `FAKE_CUDA_MEMORY` | bytes of each device (8 GiB) |
//! | `FAKE_CUDA_MEMORY_CLOCK` | kHz (0: not told, as newer drivers do) |
//! | `FAKE_CUDA_DEFER=1` | work on streams is done when something waits for it, so that a forgotten wait shows |
//! | `FAKE_CUDA_FAIL=CALL:N:CODE,…` | the N-th call of CALL answers CODE; `N+` means each from the N-th on; CALL `work` is the work itself |
//! | `FAKE_CUDA_REPORT=FILE` | at the process's end: a line `calls CALL N` for each function called, `live KIND N` for each kind of thing not given back, `wrong …` for each misuse |
//!
//! A code that is sticky in the real driver is sticky here. `fake_cuda_live` gives the `live` and `wrong` lines at once.
//! Device addresses are no host addresses: who mixes them up crashes. Kernels are known by their names: `add`, `delay`,
//! `where_am_i`, `fault`; a module has those whose names its text contains.
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::{Mutex, OnceLock, PoisonError};

type Answer = Result<(), c_int>;

const INVALID_VALUE: c_int = 1;
const OUT_OF_MEMORY: c_int = 2;
const INVALID_DEVICE: c_int = 101;
const INVALID_IMAGE: c_int = 200;
const INVALID_CONTEXT: c_int = 201;
const INVALID_HANDLE: c_int = 400;
const NOT_FOUND: c_int = 500;
const NOT_READY: c_int = 600;
const ILLEGAL_ADDRESS: c_int = 700;
const CAPTURE_UNSUPPORTED: c_int = 900;
const CAPTURE_INVALIDATED: c_int = 901;

const PAGE: usize = 2 << 20;
const MULTIPROCESSORS: u32 = 16;
/// Addresses of the device are addresses of the host with this bit.
const DEVICE_BIT: u64 = 1 << 60;

#[derive(Clone)]
enum Op {
    Copy { from: u64, to: u64, bytes: usize },
    Fill { to: u64, byte: u8, bytes: usize },
    Record { event: usize, mark: u64 },
    Wait { event: usize, mark: u64 },
    Free { address: u64 },
    Launch { kernel: &'static str, args: Vec<u64>, multiprocessors: u32 },
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Device,
    Host,
    Pool(usize),
    Virtual(usize),
}

struct Block {
    bytes: usize,
    kind: Kind,
    usable: bool,
}

struct Stream {
    queue: VecDeque<Op>,
    captured: Option<Result<Vec<Op>, ()>>,
    multiprocessors: u32,
    part: usize,
    destroyed: bool,
}

#[derive(Default)]
struct Event {
    mark: u64,
    reached: u64,
    at: u64,
    timed: bool,
}

#[derive(Default)]
struct State {
    calls: BTreeMap<&'static str, u32>,
    broken: c_int,
    contexts: BTreeMap<c_int, u32>,
    streams: BTreeMap<usize, Stream>,
    events: BTreeMap<usize, Event>,
    memory: BTreeMap<u64, Block>,
    pools: BTreeMap<usize, (u64, u64)>,
    reservations: BTreeMap<u64, usize>,
    physical: BTreeMap<usize, usize>,
    graphs: BTreeMap<usize, Vec<Op>>,
    execs: BTreeMap<usize, Vec<Op>>,
    modules: BTreeMap<usize, String>,
    functions: BTreeMap<usize, (usize, &'static str)>,
    greens: BTreeMap<usize, u32>,
    used: u64,
    next: usize,
    clock: u64,
    wrong: Vec<String>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);
thread_local! { static CURRENT: Cell<usize> = const { Cell::new(0) }; }

fn told<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The failures asked for: call, first and last time, code.
fn failures() -> &'static [(String, u32, u32, c_int)] {
    static FAILURES: OnceLock<Vec<(String, u32, u32, c_int)>> = OnceLock::new();
    FAILURES.get_or_init(|| {
        let text = std::env::var("FAKE_CUDA_FAIL").unwrap_or_default();
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let mut words = part.split(':');
                let mut word = || words.next().expect("FAKE_CUDA_FAIL=CALL:N:CODE");
                let (call, times, code) = (word().to_string(), word(), word().parse().unwrap());
                let first = times.trim_end_matches('+').parse().unwrap();
                (call, first, if times.ends_with('+') { u32::MAX } else { first }, code)
            })
            .collect()
    })
}

fn sticky(code: c_int) -> bool {
    matches!(code, 214 | 220 | 226 | 700 | 702 | 710 | 714..=719 | 721)
}

impl State {
    fn count(&mut self, call: &'static str) -> Answer {
        let count = self.calls.entry(call).or_default();
        *count += 1;
        let failing = failures().iter().find(|f| f.0 == call && (f.1..=f.2).contains(count));
        failing.map_or(Ok(()), |failure| Err(failure.3))
    }

    fn handle(&mut self) -> usize {
        self.next += 1;
        0x5_0000 + self.next * 16
    }

    fn wrong(&mut self, text: String) -> c_int {
        self.wrong.push(text);
        INVALID_HANDLE
    }

    fn report(&self, with_calls: bool) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        if with_calls {
            for (call, count) in &self.calls {
                let _ = writeln!(text, "calls {call} {count}");
            }
        }
        let blocks = |wanted: fn(Kind) -> bool| self.memory.values().filter(|b| wanted(b.kind)).count();
        for (kind, count) in [
            ("context", self.contexts.values().map(|&count| count as usize).sum()),
            ("stream", self.streams.values().filter(|stream| !stream.destroyed).count()),
            ("event", self.events.len()),
            ("device-memory", blocks(|kind| kind == Kind::Device)),
            ("host-memory", blocks(|kind| kind == Kind::Host)),
            ("pool-memory", blocks(|kind| matches!(kind, Kind::Pool(_)))),
            ("mapping", blocks(|kind| matches!(kind, Kind::Virtual(_)))),
            ("pool", self.pools.len()),
            ("reservation", self.reservations.len()),
            ("physical-memory", self.physical.len()),
            ("graph", self.graphs.len()),
            ("executable-graph", self.execs.len()),
            ("module", self.modules.len()),
            ("green-context", self.greens.len()),
        ] {
            if count > 0 {
                let _ = writeln!(text, "live {kind} {count}");
            }
        }
        for wrong in &self.wrong {
            let _ = writeln!(text, "wrong {wrong}");
        }
        text
    }

    fn take(&mut self, bytes: usize, kind: Kind) -> Result<u64, c_int> {
        let total = told("FAKE_CUDA_MEMORY", 8u64 << 30);
        if bytes == 0 {
            return Err(INVALID_VALUE);
        }
        if kind != Kind::Host && (bytes as u64).checked_add(self.used).is_none_or(|sum| sum > total) {
            return Err(OUT_OF_MEMORY);
        }
        let layout = std::alloc::Layout::from_size_align(bytes, 256).map_err(|_| OUT_OF_MEMORY)?;
        // SAFETY: the layout's size is not 0, tested above.
        let host = unsafe { std::alloc::alloc(layout) };
        if host.is_null() {
            return Err(OUT_OF_MEMORY);
        }
        // SAFETY: the line above allocated that much. Nobody may rely on fresh memory being zeros.
        unsafe { host.write_bytes(0xA5, bytes.min(1 << 20)) };
        let address = host as u64 | if kind == Kind::Host { 0 } else { DEVICE_BIT };
        if kind != Kind::Host {
            self.used += bytes as u64;
        }
        self.memory.insert(address, Block { bytes, kind, usable: true });
        Ok(address)
    }

    fn give(&mut self, call: &str, address: u64, wanted: fn(Kind) -> bool) -> Answer {
        let Some(block) = self.memory.get(&address).filter(|block| wanted(block.kind)) else {
            return Err(self.wrong(format!("{call}: {address:#x} is not live")));
        };
        let (bytes, kind) = (block.bytes, block.kind);
        let range = address & !DEVICE_BIT..(address & !DEVICE_BIT) + bytes as u64;
        if self.streams.values().flat_map(|stream| &stream.queue).any(|op| op.uses(&range)) {
            self.wrong(format!("{call}: {address:#x} is used by work that is not done"));
        }
        self.memory.remove(&address);
        if kind != Kind::Host {
            self.used -= bytes as u64;
        }
        let layout = std::alloc::Layout::from_size_align(bytes, 256).unwrap();
        // SAFETY: `take` allocated it with this layout, and it was just taken out of the list.
        unsafe { std::alloc::dealloc((address & !DEVICE_BIT) as *mut u8, layout) };
        Ok(())
    }

    /// The host's address of a range of the device's or of page-locked memory, if all of it is live.
    fn at(&self, address: u64, bytes: usize) -> Option<*mut u8> {
        let within = |address: u64| {
            let end = address.checked_add(bytes as u64)?;
            let mut reached = address;
            // Pieces of a reservation may lie side by side.
            loop {
                let (begin, block) = self.memory.range(..=reached).next_back()?;
                let block_end = begin + block.bytes as u64;
                if !block.usable || block_end < reached || (block_end == reached && reached < end) {
                    return None;
                }
                if end <= block_end {
                    return Some((address & !DEVICE_BIT) as *mut u8);
                }
                if !matches!(block.kind, Kind::Virtual(_)) {
                    return None;
                }
                reached = block_end;
            }
        };
        // Mapped memory is the host's, and the device sees it at an address of its own.
        within(address).or_else(|| {
            let host = within(address & !DEVICE_BIT);
            host.filter(|_| address & DEVICE_BIT != 0)
        })
    }

    fn stream(&mut self, call: &str, stream: *mut c_void) -> Result<&mut Stream, c_int> {
        let handle = stream as usize;
        if self.streams.get(&handle).is_none_or(|stream| stream.destroyed) {
            return Err(self.wrong(format!("{call}: stream {handle:#x} is not live")));
        }
        Ok(self.streams.get_mut(&handle).unwrap())
    }

    fn event(&mut self, call: &str, event: *mut c_void) -> Result<&mut Event, c_int> {
        let handle = event as usize;
        if !self.events.contains_key(&handle) {
            return Err(self.wrong(format!("{call}: event {handle:#x} is not live")));
        }
        Ok(self.events.get_mut(&handle).unwrap())
    }

    fn put(&mut self, call: &str, stream: *mut c_void, op: Op) -> Answer {
        for (address, bytes) in op.ranges() {
            if self.at(address, bytes).is_none() {
                self.wrong(format!("{call}: {bytes} bytes at {address:#x} are not live"));
                return Err(INVALID_VALUE);
            }
        }
        let found = self.stream(call, stream)?;
        match &mut found.captured {
            Some(Ok(ops)) => ops.push(op),
            Some(Err(())) => return Err(CAPTURE_INVALIDATED),
            None => found.queue.push_back(op),
        }
        if std::env::var_os("FAKE_CUDA_DEFER").is_none() {
            let _ = self.run(stream as usize, u64::MAX); // who waits for it learns of its failure
        }
        Ok(())
    }

    /// Does what is on the stream, at most so many things.
    fn run(&mut self, stream: usize, mut most: u64) -> Answer {
        while most > 0 {
            let Some(op) = self.streams.get_mut(&stream).and_then(|stream| stream.queue.pop_front()) else {
                break;
            };
            most -= 1;
            // Giving memory back is the driver's own business and does not fail.
            let counted = if matches!(op, Op::Free { .. }) { Ok(()) } else { self.count("work") };
            let done = counted.and_then(|()| self.perform(op));
            if let Err(code) = done {
                self.broken = if sticky(code) { code } else { self.broken };
                return Err(code);
            }
        }
        Ok(())
    }

    fn run_all(&mut self) -> Answer {
        self.streams
            .keys()
            .copied()
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|stream| self.run(stream, u64::MAX))
    }

    fn perform(&mut self, op: Op) -> Answer {
        self.clock += 1000;
        for (address, bytes) in op.ranges() {
            if self.at(address, bytes).is_none() {
                self.wrong(format!("work: {bytes} bytes at {address:#x} are not live any more"));
                return Err(ILLEGAL_ADDRESS);
            }
        }
        match op {
            Op::Copy { from, to, bytes } => {
                let (from, to) = (self.at(from, bytes).unwrap(), self.at(to, bytes).unwrap());
                // SAFETY: both ranges are live, tested above; they may overlap.
                unsafe { from.copy_to(to, bytes) };
            }
            // SAFETY: the range is live, tested above.
            Op::Fill { to, byte, bytes } => unsafe { self.at(to, bytes).unwrap().write_bytes(byte, bytes) },
            Op::Record { event, mark } => {
                let now = self.clock;
                if let Some(event) = self.events.get_mut(&event) {
                    (event.reached, event.at) = (mark, now);
                }
            }
            Op::Wait { event, mark } => self.reach(event, mark)?,
            Op::Free { address } => {
                self.give("cuMemFreeAsync", address, |kind| matches!(kind, Kind::Pool(_)))?
            }
            Op::Launch { kernel, args, multiprocessors } => self.launch(kernel, &args, multiprocessors)?,
        }
        Ok(())
    }

    fn reach(&mut self, event: usize, mark: u64) -> Answer {
        let waited_for = |op: &Op| matches!(*op, Op::Record { event: e, mark: m } if e == event && m >= mark);
        while self.events.get(&event).is_some_and(|event| event.reached < mark) {
            let holder = self.streams.iter().find(|(_, stream)| stream.queue.iter().any(waited_for));
            let Some(holder) = holder.map(|(&handle, _)| handle) else { break };
            self.run(holder, 1)?;
        }
        Ok(())
    }

    fn launch(&mut self, kernel: &str, args: &[u64], multiprocessors: u32) -> Answer {
        let words = |state: &Self, count: u64| {
            let at = state.at(args[0], count as usize * 4).map(<*mut u8>::cast::<u32>);
            at.ok_or(ILLEGAL_ADDRESS)
        };
        match kernel {
            "add" => {
                let data = words(self, args[1])?;
                for index in 0..args[1] as usize {
                    // SAFETY: `words` has tested the range.
                    unsafe { *data.add(index) = (*data.add(index)).wrapping_add(args[2] as u32) };
                }
            }
            "where_am_i" => {
                let seen = words(self, args[1])?;
                for index in 0..args[1].min(multiprocessors.into()) as usize {
                    // SAFETY: `words` has tested the range.
                    unsafe { *seen.add(index) = 1 };
                }
            }
            "delay" => self.clock += args[0],
            "fault" => return Err(ILLEGAL_ADDRESS),
            _ => {}
        }
        Ok(())
    }
}

impl Op {
    fn ranges(&self) -> Vec<(u64, usize)> {
        match *self {
            Self::Copy { from, to, bytes } => vec![(from, bytes), (to, bytes)],
            Self::Fill { to, bytes, .. } => vec![(to, bytes)],
            _ => Vec::new(),
        }
    }

    fn uses(&self, range: &std::ops::Range<u64>) -> bool {
        match self {
            Self::Launch { args, .. } => args.iter().any(|arg| range.contains(&(arg & !DEVICE_BIT))),
            _ => self.ranges().iter().any(|&(address, bytes)| {
                let address = address & !DEVICE_BIT;
                address < range.end && range.start < address + bytes as u64
            }),
        }
    }
}

extern "C" fn at_exit() {
    let state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(state), Some(file)) = (&*state, std::env::var_os("FAKE_CUDA_REPORT")) {
        let _ = std::fs::write(file, state.report(true));
    }
}

fn with<T>(act: impl FnOnce(&mut State) -> T) -> T {
    // SAFETY: as the C library declares it.
    unsafe extern "C" {
        fn atexit(call: extern "C" fn()) -> c_int;
    }
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if state.is_none() {
        // SAFETY: the C library's function; `at_exit` lives as long as this library, which is never unloaded.
        unsafe { atexit(at_exit) };
    }
    act(state.get_or_insert_with(State::default))
}

/// Whether a call needs a current context of its thread, and fails after a sticky error.
const ANYWHERE: &[&str] = &[
    "cuInit",
    "cuDriverGetVersion",
    "cuGetErrorName",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceTotalMem_v2",
    "cuDeviceGetAttribute",
    "cuDeviceGetPCIBusId",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxSetFlags_v2",
    "cuCtxSetCurrent",
    "cuMemGetAllocationGranularity",
    "cuDeviceGetDevResource",
    "cuDevSmResourceSplitByCount",
    "cuDevResourceGenerateDesc",
];

macro_rules! calls {
    ($($(#[$attribute:meta])* fn $name:ident($state:ident $(, $argument:ident: $type:ty)*) $body:block)*) => {$(
        $(#[$attribute])*
        #[unsafe(no_mangle)]
        pub extern "C" fn $name($($argument: $type),*) -> c_int {
            #[allow(unused_mut)]
            let mut act = |$state: &mut State| -> Answer { $body };
            let answer = with(|state| {
                state.count(stringify!($name)).inspect_err(|&code| {
                    if sticky(code) {
                        state.broken = code;
                    }
                })?;
                if !ANYWHERE.contains(&stringify!($name)) {
                    if state.broken != 0 {
                        return Err(state.broken);
                    }
                    let current = CURRENT.get() as c_int - 0x1000;
                    if state.contexts.get(&current).is_none_or(|&count| count == 0) {
                        state.wrong(format!("{}: no context is current", stringify!($name)));
                        return Err(INVALID_CONTEXT);
                    }
                }
                act(state)
            });
            answer.err().unwrap_or(0)
        }
    )*};
}

/// Reads one attribute of a device.
fn attribute(attribute: c_int, device: c_int) -> Option<c_int> {
    Some(match attribute {
        13 => 1_300_000,
        16 => MULTIPROCESSORS as c_int,
        18 => device % 2,
        36 => told("FAKE_CUDA_MEMORY_CLOCK", 0),
        37 => 128,
        38 => 4 << 20,
        32 => 0,
        40 => 1,
        75 => 8,
        76 => 7,
        102 | 115 => 1,
        _ => return None,
    })
}

fn put_text(text: &str, to: *mut c_char, length: c_int) -> Answer {
    if text.len() + 1 > usize::try_from(length).unwrap_or(0) {
        return Err(INVALID_VALUE);
    }
    // SAFETY: the caller gives room for `length` bytes, and the line above has compared.
    unsafe {
        text.as_ptr().cast::<c_char>().copy_to_nonoverlapping(to, text.len());
        *to.add(text.len()) = 0;
    }
    Ok(())
}

/// The `live` and `wrong` lines; answers their length, writes at most `length` bytes.
#[unsafe(no_mangle)]
pub extern "C" fn fake_cuda_live(to: *mut u8, length: usize) -> usize {
    let text = with(|state| state.report(false));
    // SAFETY: the caller gives room for `length` bytes.
    unsafe { text.as_ptr().copy_to_nonoverlapping(to, text.len().min(length)) };
    text.len()
}

calls! {
    fn cuInit(_state, _flags: c_uint) {
        match told("FAKE_CUDA_INIT", 0) { 0 => Ok(()), code => Err(code) }
    }
    fn cuDriverGetVersion(_state, version: &mut c_int) {
        *version = told("FAKE_CUDA_VERSION", 13000);
        Ok(())
    }
    fn cuDeviceGetCount(_state, count: &mut c_int) {
        *count = told("FAKE_CUDA_DEVICES", 2);
        Ok(())
    }
    fn cuDeviceGet(_state, device: &mut c_int, ordinal: c_int) {
        if ordinal < 0 || ordinal >= told("FAKE_CUDA_DEVICES", 2) {
            return Err(INVALID_DEVICE);
        }
        *device = ordinal + 40;
        Ok(())
    }
    fn cuDeviceGetName(_state, name: *mut c_char, length: c_int, device: c_int) {
        put_text(&format!("Fake {device}"), name, length)
    }
    fn cuDeviceGetPCIBusId(_state, text: *mut c_char, length: c_int, device: c_int) {
        put_text(&format!("0000:{device:02}:00.0"), text, length)
    }
    fn cuDeviceTotalMem_v2(_state, bytes: &mut usize, _device: c_int) {
        *bytes = told("FAKE_CUDA_MEMORY", 8 << 30);
        Ok(())
    }
    #[cfg(not(incomplete))]
    fn cuDeviceGetAttribute(_state, value: &mut c_int, which: c_int, device: c_int) {
        *value = attribute(which, device).ok_or(INVALID_VALUE)?;
        Ok(())
    }
    fn cuGetErrorName(_state, code: c_int, name: &mut *const c_char) {
        // Text beside a failure must not be believed.
        *name = c"NOT_A_NAME".as_ptr();
        *name = match code {
            1 => c"CUDA_ERROR_INVALID_VALUE",
            2 => c"CUDA_ERROR_OUT_OF_MEMORY",
            700 => c"CUDA_ERROR_ILLEGAL_ADDRESS",
            719 => c"CUDA_ERROR_LAUNCH_FAILED",
            801 => c"CUDA_ERROR_NOT_SUPPORTED",
            900 => c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
            _ => return Err(INVALID_VALUE),
        }
        .as_ptr();
        Ok(())
    }

    fn cuDevicePrimaryCtxRetain(state, context: &mut *mut c_void, device: c_int) {
        *state.contexts.entry(device).or_default() += 1;
        *context = (0x1000 + device as usize) as *mut c_void;
        Ok(())
    }
    fn cuDevicePrimaryCtxRelease_v2(state, device: c_int) {
        let Some(count) = state.contexts.get_mut(&device).filter(|count| **count > 0) else {
            return Err(state.wrong(format!("cuDevicePrimaryCtxRelease_v2: device {device} was not retained")));
        };
        *count -= 1;
        if state.contexts.values().all(|&count| count == 0) && state.broken == 0 {
            let _ = state.run_all(); // what is still on its way back arrives
            let left = state.report(false);
            for line in left.lines().filter(|line| line.starts_with("live ")) {
                state.wrong(format!("context released with {line}"));
            }
        }
        Ok(())
    }
    fn cuDevicePrimaryCtxSetFlags_v2(_state, _device: c_int, flags: c_uint) {
        if matches!(flags, 0 | 1 | 2 | 4) { Ok(()) } else { Err(INVALID_VALUE) }
    }
    fn cuCtxSetCurrent(state, context: *mut c_void) {
        let device = context as c_int - 0x1000;
        if state.contexts.get(&device).is_none_or(|&count| count == 0) {
            state.wrong(format!("cuCtxSetCurrent: the context of device {device} is not live"));
            return Err(INVALID_CONTEXT);
        }
        if state.broken != 0 {
            return Err(state.broken);
        }
        CURRENT.set(context as usize);
        Ok(())
    }
    fn cuCtxSynchronize(state) {
        if let Some(stream) = state.streams.values_mut().find(|stream| stream.captured.is_some()) {
            stream.captured = Some(Err(()));
            return Err(CAPTURE_UNSUPPORTED);
        }
        state.run_all()
    }
    fn cuCtxGetStreamPriorityRange(_state, least: &mut c_int, greatest: &mut c_int) {
        (*least, *greatest) = (0, -5);
        Ok(())
    }

    fn cuMemGetInfo_v2(state, free: &mut usize, total: &mut usize) {
        *total = told("FAKE_CUDA_MEMORY", 8 << 30);
        *free = *total - state.used as usize;
        Ok(())
    }
    fn cuMemAlloc_v2(state, address: &mut u64, bytes: usize) {
        *address = state.take(bytes, Kind::Device)?;
        Ok(())
    }
    fn cuMemFree_v2(state, address: u64) {
        state.give("cuMemFree_v2", address, |kind| kind == Kind::Device)
    }
    fn cuMemHostAlloc(state, host: &mut *mut c_void, bytes: usize, _flags: c_uint) {
        *host = state.take(bytes, Kind::Host)? as *mut c_void;
        Ok(())
    }
    fn cuMemFreeHost(state, host: *mut c_void) {
        state.give("cuMemFreeHost", host as u64, |kind| kind == Kind::Host)
    }
    fn cuMemHostGetDevicePointer_v2(state, address: &mut u64, host: *mut c_void, _flags: c_uint) {
        if state.at(host as u64, 1).is_none() {
            return Err(state.wrong(format!("cuMemHostGetDevicePointer_v2: {host:?} is not live")));
        }
        *address = host as u64 | DEVICE_BIT;
        Ok(())
    }

    fn cuMemcpyHtoDAsync_v2(state, to: u64, from: *const c_void, bytes: usize, stream: *mut c_void) {
        state.put("cuMemcpyHtoDAsync_v2", stream, Op::Copy { from: from as u64, to, bytes })
    }
    fn cuMemcpyDtoHAsync_v2(state, to: *mut c_void, from: u64, bytes: usize, stream: *mut c_void) {
        state.put("cuMemcpyDtoHAsync_v2", stream, Op::Copy { from, to: to as u64, bytes })
    }
    fn cuMemcpyDtoDAsync_v2(state, to: u64, from: u64, bytes: usize, stream: *mut c_void) {
        state.put("cuMemcpyDtoDAsync_v2", stream, Op::Copy { from, to, bytes })
    }
    fn cuMemsetD8Async(state, to: u64, byte: u8, bytes: usize, stream: *mut c_void) {
        state.put("cuMemsetD8Async", stream, Op::Fill { to, byte, bytes })
    }

    fn cuStreamCreateWithPriority(state, stream: &mut *mut c_void, _flags: c_uint, priority: c_int) {
        if !(-5..=0).contains(&priority) {
            return Err(INVALID_VALUE);
        }
        *stream = new_stream(state, MULTIPROCESSORS, 0);
        Ok(())
    }
    fn cuStreamDestroy_v2(state, stream: *mut c_void) {
        state.stream("cuStreamDestroy_v2", stream)?.destroyed = true;
        Ok(())
    }
    fn cuStreamSynchronize(state, stream: *mut c_void) {
        let found = state.stream("cuStreamSynchronize", stream)?;
        if found.captured.is_some() {
            found.captured = Some(Err(()));
            return Err(CAPTURE_UNSUPPORTED);
        }
        state.run(stream as usize, u64::MAX)
    }
    fn cuStreamQuery(state, stream: *mut c_void) {
        if state.stream("cuStreamQuery", stream)?.queue.is_empty() {
            return Ok(());
        }
        state.run(stream as usize, 1)?;
        Err(NOT_READY)
    }
    fn cuStreamWaitEvent(state, stream: *mut c_void, event: *mut c_void, _flags: c_uint) {
        let mark = state.event("cuStreamWaitEvent", event)?.mark;
        state.put("cuStreamWaitEvent", stream, Op::Wait { event: event as usize, mark })
    }

    fn cuEventCreate(state, event: &mut *mut c_void, flags: c_uint) {
        let handle = state.handle();
        state.events.insert(handle, Event { timed: flags & 2 == 0, ..Event::default() });
        *event = handle as *mut c_void;
        Ok(())
    }
    fn cuEventDestroy_v2(state, event: *mut c_void) {
        state.event("cuEventDestroy_v2", event)?;
        state.events.remove(&(event as usize));
        Ok(())
    }
    fn cuEventRecord(state, event: *mut c_void, stream: *mut c_void) {
        let found = state.event("cuEventRecord", event)?;
        found.mark += 1;
        let mark = found.mark;
        state.put("cuEventRecord", stream, Op::Record { event: event as usize, mark })
    }
    fn cuEventSynchronize(state, event: *mut c_void) {
        let mark = state.event("cuEventSynchronize", event)?.mark;
        state.reach(event as usize, mark)
    }
    fn cuEventQuery(state, event: *mut c_void) {
        let found = state.event("cuEventQuery", event)?;
        if found.reached >= found.mark {
            return Ok(());
        }
        let mark = found.mark;
        let holder = state.streams.iter().find(|(_, stream)| {
            stream.queue.iter().any(|op| matches!(*op, Op::Record { event: e, mark: m } if e == event as usize && m == mark))
        });
        if let Some(stream) = holder.map(|(&handle, _)| handle) {
            state.run(stream, 1)?;
        }
        Err(NOT_READY)
    }
    fn cuEventElapsedTime(state, milliseconds: &mut f32, from: *mut c_void, to: *mut c_void) {
        let mut at = |event| -> Result<u64, c_int> {
            let event = state.event("cuEventElapsedTime", event)?;
            match &*event {
                Event { timed: false, .. } | Event { mark: 0, .. } => Err(INVALID_HANDLE),
                Event { mark, reached, .. } if reached < mark => Err(NOT_READY),
                Event { at, .. } => Ok(*at),
            }
        };
        *milliseconds = (at(to)? as f32 - at(from)? as f32) / 1e6;
        Ok(())
    }
}

fn new_stream(state: &mut State, multiprocessors: u32, part: usize) -> *mut c_void {
    let handle = state.handle();
    let stream = Stream { queue: VecDeque::new(), captured: None, multiprocessors, part, destroyed: false };
    state.streams.insert(handle, stream);
    handle as *mut c_void
}

// Memory pools.
calls! {
    fn cuMemPoolCreate(state, pool: &mut *mut c_void, properties: &[c_uint; 22]) {
        // Pinned memory, no handle, on a device.
        if properties[0] != 1 || properties[1] != 0 || properties[2] != 1 {
            return Err(INVALID_VALUE);
        }
        let handle = state.handle();
        state.pools.insert(handle, (0, 0));
        *pool = handle as *mut c_void;
        Ok(())
    }
    fn cuMemPoolDestroy(state, pool: *mut c_void) {
        let handle = pool as usize;
        // What is still given out stays: so the driver's documentation.
        match state.pools.remove(&handle) {
            Some(_) => Ok(()),
            None => Err(state.wrong(format!("cuMemPoolDestroy: {handle:#x} is not live"))),
        }
    }
    fn cuMemPoolTrimTo(state, pool: *mut c_void, _keep: usize) {
        if state.pools.contains_key(&(pool as usize)) { Ok(()) } else { Err(INVALID_VALUE) }
    }
    fn cuMemPoolSetAttribute(state, pool: *mut c_void, which: c_int, value: &mut u64) {
        let pool = state.pools.get_mut(&(pool as usize)).ok_or(INVALID_VALUE)?;
        match which { 4 => pool.0 = *value, 6 | 8 => pool.1 = *value, _ => return Err(INVALID_VALUE) }
        Ok(())
    }
    fn cuMemPoolGetAttribute(state, pool: *mut c_void, which: c_int, value: &mut u64) {
        let &(threshold, high) = state.pools.get(&(pool as usize)).ok_or(INVALID_VALUE)?;
        let used = state.memory.values().filter(|block| block.kind == Kind::Pool(pool as usize));
        let used: u64 = used.map(|block| block.bytes as u64).sum();
        *value = match which { 4 => threshold, 5 | 7 => used, 6 | 8 => high.max(used), _ => return Err(INVALID_VALUE) };
        Ok(())
    }
    fn cuMemAllocFromPoolAsync(state, address: &mut u64, bytes: usize, pool: *mut c_void, stream: *mut c_void) {
        state.stream("cuMemAllocFromPoolAsync", stream)?;
        if !state.pools.contains_key(&(pool as usize)) {
            return Err(state.wrong(format!("cuMemAllocFromPoolAsync: pool {pool:?} is not live")));
        }
        *address = state.take(bytes, Kind::Pool(pool as usize))?;
        let used = state.memory.values().filter(|block| block.kind == Kind::Pool(pool as usize));
        let used: u64 = used.map(|block| block.bytes as u64).sum();
        let high = &mut state.pools.get_mut(&(pool as usize)).unwrap().1;
        *high = used.max(*high);
        Ok(())
    }
    fn cuMemFreeAsync(state, address: u64, stream: *mut c_void) {
        if state.at(address, 1).is_none() {
            return Err(state.wrong(format!("cuMemFreeAsync: {address:#x} is not live")));
        }
        state.put("cuMemFreeAsync", stream, Op::Free { address })
    }
}

// Virtual memory.
calls! {
    fn cuMemGetAllocationGranularity(_state, granularity: &mut usize, properties: &[c_uint; 8], _option: c_uint) {
        if properties[0] != 1 || properties[2] != 1 {
            return Err(INVALID_VALUE);
        }
        *granularity = PAGE;
        Ok(())
    }
    fn cuMemAddressReserve(state, address: &mut u64, bytes: usize, _align: usize, _at: u64, _flags: u64) {
        if bytes == 0 || bytes % PAGE != 0 {
            return Err(INVALID_VALUE);
        }
        let layout = std::alloc::Layout::from_size_align(bytes, 256).map_err(|_| OUT_OF_MEMORY)?;
        // SAFETY: the layout's size is not 0.
        let host = unsafe { std::alloc::alloc(layout) };
        if host.is_null() {
            return Err(OUT_OF_MEMORY);
        }
        *address = host as u64 | DEVICE_BIT;
        state.reservations.insert(*address, bytes);
        Ok(())
    }
    fn cuMemAddressFree(state, address: u64, bytes: usize) {
        if state.reservations.get(&address) != Some(&bytes) {
            return Err(state.wrong(format!("cuMemAddressFree: {bytes} bytes at {address:#x} are not reserved")));
        }
        if state.memory.range(address..address + bytes as u64).next().is_some() {
            return Err(state.wrong(format!("cuMemAddressFree: {address:#x} has memory mapped")));
        }
        state.reservations.remove(&address);
        let layout = std::alloc::Layout::from_size_align(bytes, 256).unwrap();
        // SAFETY: allocated by `cuMemAddressReserve` with this layout, and just taken out of the list.
        unsafe { std::alloc::dealloc((address & !DEVICE_BIT) as *mut u8, layout) };
        Ok(())
    }
    fn cuMemCreate(state, memory: &mut u64, bytes: usize, _properties: *const c_void, _flags: u64) {
        if bytes == 0 || bytes % PAGE != 0 {
            return Err(INVALID_VALUE);
        }
        if state.used + bytes as u64 > told("FAKE_CUDA_MEMORY", 8u64 << 30) {
            return Err(OUT_OF_MEMORY);
        }
        state.used += bytes as u64;
        let handle = state.handle();
        state.physical.insert(handle, bytes);
        *memory = handle as u64;
        Ok(())
    }
    fn cuMemRelease(state, memory: u64) {
        let Some(bytes) = state.physical.remove(&(memory as usize)) else {
            return Err(state.wrong(format!("cuMemRelease: {memory:#x} is not live")));
        };
        state.used -= bytes as u64;
        Ok(())
    }
    fn cuMemMap(state, address: u64, bytes: usize, _offset: usize, memory: u64, _flags: u64) {
        let reserved = state.reservations.range(..=address).next_back();
        let within = reserved.is_some_and(|(begin, size)| address + bytes as u64 <= begin + *size as u64);
        let free = state.memory.range(address..address + bytes as u64).next().is_none();
        if !within || !free || state.physical.get(&(memory as usize)) != Some(&bytes) {
            return Err(state.wrong(format!("cuMemMap: {bytes} bytes of {memory:#x} do not fit at {address:#x}")));
        }
        let block = Block { bytes, kind: Kind::Virtual(memory as usize), usable: false };
        state.memory.insert(address, block);
        Ok(())
    }
    fn cuMemSetAccess(state, address: u64, bytes: usize, access: &[c_uint; 3], count: usize) {
        if count != 1 || access[0] != 1 || access[2] != 3 {
            return Err(INVALID_VALUE);
        }
        match state.memory.get_mut(&address).filter(|block| block.bytes == bytes) {
            Some(block) => block.usable = true,
            None => return Err(state.wrong(format!("cuMemSetAccess: {address:#x} is not mapped"))),
        }
        Ok(())
    }
    fn cuMemUnmap(state, address: u64, bytes: usize) {
        let range = address & !DEVICE_BIT..(address & !DEVICE_BIT) + bytes as u64;
        if state.streams.values().flat_map(|stream| &stream.queue).any(|op| op.uses(&range)) {
            state.wrong(format!("cuMemUnmap: {address:#x} is used by work that is not done"));
        }
        let mapped = state.memory.get(&address);
        if !mapped.is_some_and(|block| block.bytes == bytes && matches!(block.kind, Kind::Virtual(_))) {
            return Err(state.wrong(format!("cuMemUnmap: {bytes} bytes at {address:#x} are not one mapping")));
        }
        state.memory.remove(&address);
        Ok(())
    }
}

// Graphs.
calls! {
    fn cuStreamBeginCapture_v2(state, stream: *mut c_void, _mode: c_uint) {
        let stream = state.stream("cuStreamBeginCapture_v2", stream)?;
        if stream.captured.is_some() {
            return Err(CAPTURE_UNSUPPORTED);
        }
        stream.captured = Some(Ok(Vec::new()));
        Ok(())
    }
    fn cuStreamIsCapturing(state, stream: *mut c_void, status: &mut c_uint) {
        *status = match state.stream("cuStreamIsCapturing", stream)?.captured {
            None => 0,
            Some(Ok(_)) => 1,
            Some(Err(())) => 2,
        };
        Ok(())
    }
    fn cuStreamEndCapture(state, stream: *mut c_void, graph: &mut *mut c_void) {
        *graph = std::ptr::null_mut();
        let stream = state.stream("cuStreamEndCapture", stream)?;
        let captured = stream.captured.take().ok_or(INVALID_VALUE)?.map_err(|()| CAPTURE_INVALIDATED)?;
        let handle = state.handle();
        state.graphs.insert(handle, captured);
        *graph = handle as *mut c_void;
        Ok(())
    }
    fn cuGraphInstantiateWithFlags(state, exec: &mut *mut c_void, graph: *mut c_void, _flags: u64) {
        let ops = state.graphs.get(&(graph as usize)).ok_or(INVALID_VALUE)?.clone();
        let handle = state.handle();
        state.execs.insert(handle, ops);
        *exec = handle as *mut c_void;
        Ok(())
    }
    fn cuGraphDestroy(state, graph: *mut c_void) {
        match state.graphs.remove(&(graph as usize)) {
            Some(_) => Ok(()),
            None => Err(state.wrong(format!("cuGraphDestroy: {graph:?} is not live"))),
        }
    }
    fn cuGraphExecDestroy(state, exec: *mut c_void) {
        match state.execs.remove(&(exec as usize)) {
            Some(_) => Ok(()),
            None => Err(state.wrong(format!("cuGraphExecDestroy: {exec:?} is not live"))),
        }
    }
    fn cuGraphUpload(state, exec: *mut c_void, stream: *mut c_void) {
        state.stream("cuGraphUpload", stream)?;
        if state.execs.contains_key(&(exec as usize)) { Ok(()) } else { Err(INVALID_VALUE) }
    }
    fn cuGraphLaunch(state, exec: *mut c_void, stream: *mut c_void) {
        let Some(ops) = state.execs.get(&(exec as usize)).cloned() else {
            return Err(state.wrong(format!("cuGraphLaunch: {exec:?} is not live")));
        };
        ops.into_iter().try_for_each(|op| state.put("cuGraphLaunch", stream, op))
    }
}

/// Kernels and the sizes of their parameters.
const KERNELS: &[(&str, &[usize])] =
    &[("add", &[8, 4, 4]), ("delay", &[8]), ("where_am_i", &[8, 4]), ("fault", &[8])];

// Modules and kernels.
calls! {
    fn cuModuleLoadData(state, module: &mut *mut c_void, image: *const c_char) {
        // SAFETY: a text ends with a 0, and here all images are texts.
        let text = unsafe { CStr::from_ptr(image) }.to_string_lossy().into_owned();
        if !text.contains("__global__") {
            return Err(INVALID_IMAGE);
        }
        let handle = state.handle();
        state.modules.insert(handle, text);
        *module = handle as *mut c_void;
        Ok(())
    }
    fn cuModuleUnload(state, module: *mut c_void) {
        state.functions.retain(|_, function| function.0 != module as usize);
        match state.modules.remove(&(module as usize)) {
            Some(_) => Ok(()),
            None => Err(state.wrong(format!("cuModuleUnload: {module:?} is not live"))),
        }
    }
    fn cuModuleGetFunction(state, function: &mut *mut c_void, module: *mut c_void, name: *const c_char) {
        // SAFETY: the caller gives a C string.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let text = state.modules.get(&(module as usize)).ok_or(INVALID_HANDLE)?;
        let known = KERNELS.iter().find(|kernel| kernel.0 == name && text.contains(&format!(" {name}(")));
        let kernel = known.ok_or(NOT_FOUND)?.0;
        let handle = state.handle();
        state.functions.insert(handle, (module as usize, kernel));
        *function = handle as *mut c_void;
        Ok(())
    }
    fn cuLaunchKernel(
        state, function: *mut c_void, _gx: c_uint, _gy: c_uint, _gz: c_uint, _bx: c_uint, _by: c_uint, _bz: c_uint,
        _shared: c_uint, stream: *mut c_void, parameters: *const *const u8, _extra: *mut c_void
    ) {
        let Some(&(_, kernel)) = state.functions.get(&(function as usize)) else {
            return Err(state.wrong(format!("cuLaunchKernel: {function:?} is not live")));
        };
        let sizes = KERNELS.iter().find(|known| known.0 == kernel).unwrap().1;
        let args = (0..).zip(sizes).map(|(index, &size)| {
            let mut bytes = [0u8; 8];
            // SAFETY: the caller gives as many pointers as the kernel has parameters, each to that many bytes.
            unsafe { (*parameters.add(index)).copy_to_nonoverlapping(bytes.as_mut_ptr(), size) };
            u64::from_le_bytes(bytes)
        });
        let args = args.collect();
        let multiprocessors = state.stream("cuLaunchKernel", stream)?.multiprocessors;
        state.put("cuLaunchKernel", stream, Op::Launch { kernel, args, multiprocessors })
    }
}

/// A resource of a device as the driver lays it out: its kind, room, and for multiprocessors their count, the least of a
/// part and the step.
#[repr(C)]
pub struct Resource {
    kind: c_uint,
    padding: [c_uint; 23],
    count: c_uint,
    least: c_uint,
    step: c_uint,
    rest: [c_uint; 9],
}

// Green contexts.
calls! {
    #[cfg(not(old))]
    fn cuDeviceGetDevResource(_state, _device: c_int, resource: &mut Resource, kind: c_uint) {
        if kind != 1 {
            return Err(INVALID_VALUE);
        }
        (resource.kind, resource.count, resource.least, resource.step) = (1, MULTIPROCESSORS, 4, 2);
        Ok(())
    }
    #[cfg(not(old))]
    fn cuDevSmResourceSplitByCount(
        _state, result: *mut Resource, groups: &mut c_uint, input: &Resource, left: *mut Resource, _flags: c_uint,
        least: c_uint
    ) {
        let count = least.max(4).next_multiple_of(2);
        if count > input.count {
            return Err(INVALID_VALUE);
        }
        let of = |count| Resource { kind: 1, padding: [0; 23], count, least: 4, step: 2, rest: [0; 9] };
        *groups = (*groups).min(input.count / count);
        // SAFETY: the caller gives room for as many groups as it asks for, and for what is left or nothing.
        unsafe {
            (0..*groups as usize).for_each(|index| result.add(index).write(of(count)));
            if !left.is_null() {
                left.write(of(input.count - *groups * count));
            }
        }
        Ok(())
    }
    #[cfg(not(old))]
    fn cuDevResourceGenerateDesc(_state, description: &mut usize, resource: &Resource, count: c_uint) {
        if count != 1 || resource.kind != 1 || resource.count == 0 {
            return Err(INVALID_VALUE);
        }
        *description = 0x7000 + resource.count as usize;
        Ok(())
    }
    #[cfg(not(old))]
    fn cuGreenCtxCreate(state, green: &mut *mut c_void, description: usize, _device: c_int, flags: c_uint) {
        if flags != 1 {
            return Err(INVALID_VALUE);
        }
        let handle = state.handle();
        state.greens.insert(handle, (description - 0x7000) as u32);
        *green = handle as *mut c_void;
        Ok(())
    }
    #[cfg(not(old))]
    fn cuGreenCtxDestroy(state, green: *mut c_void) {
        if state.streams.values().any(|stream| stream.part == green as usize && !stream.destroyed) {
            state.wrong(format!("cuGreenCtxDestroy: {green:?} has a live stream"));
        }
        match state.greens.remove(&(green as usize)) {
            Some(_) => Ok(()),
            None => Err(state.wrong(format!("cuGreenCtxDestroy: {green:?} is not live"))),
        }
    }
    #[cfg(not(old))]
    fn cuGreenCtxStreamCreate(state, stream: &mut *mut c_void, green: *mut c_void, flags: c_uint, _priority: c_int) {
        let count = *state.greens.get(&(green as usize)).ok_or(INVALID_HANDLE)?;
        if flags != 1 {
            return Err(INVALID_VALUE);
        }
        *stream = new_stream(state, count, green as usize);
        Ok(())
    }
}
