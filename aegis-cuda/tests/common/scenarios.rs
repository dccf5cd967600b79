//! What is done with a device and what must come of it: the same on a real one and on the stand-in.
use aegis_core::Bytes;
use aegis_cuda::nvrtc::{Compiled, Form, Nvrtc, NvrtcError};
use aegis_cuda::{
    Argument, Context, CudaError, DeviceMemory, DeviceSlice, Event, Graph, GreenContext, Grid, LibraryError,
    MemoryPool, Module, Reservation, Staging, Stream, StreamPriority, Wait, failed_drops,
};
use std::sync::{Arc, Once, OnceLock};

/// That it is this error; a failed call is passed on.
macro_rules! answers {
    ($answer:expr, $error:ident) => {
        match $answer {
            Err(CudaError::$error { .. }) => {}
            Err(other @ CudaError::Call { .. }) => return Err(other),
            other => panic!("not {}: {other:?}", stringify!($error)),
        }
    };
}

/// A scenario's name and what it does.
pub type Scenario = (&'static str, fn(&Arc<Context>) -> Result<(), CudaError>);

/// All that need nothing but the driver.
pub const ALL: &[Scenario] = &[
    ("nothing", |_| Ok(())),
    ("streams_and_events", streams_and_events),
    ("memory_and_its_parts", memory_and_its_parts),
    ("staging_copies", staging_copies),
    ("staging_in_place", staging_in_place),
    ("staging_dropped_in_flight", staging_dropped_in_flight),
    ("any_bytes_of_the_host", any_bytes_of_the_host),
    ("pools", pools),
    ("reservations", reservations),
    ("kernels_and_graphs", kernels_and_graphs),
    ("parts_of_the_device", parts_of_the_device),
];

/// Kernels that the scenarios launch; the stand-in knows them by their names.
const KERNELS: &str = r#"
extern "C" __global__ void add(unsigned* data, unsigned n, unsigned value) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) data[i] += value;
}
extern "C" __global__ void delay(unsigned long long ns) {
    unsigned long long begin, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
    do { asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)); } while (now - begin < ns);
}
extern "C" __global__ void where_am_i(unsigned* seen, unsigned n) {
    unsigned where;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(where));
    if (where < n) seen[where] = 1;
    unsigned long long begin, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
    do { asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)); } while (now - begin < 20000);
}
extern "C" __global__ void fault(unsigned* nowhere) { *(volatile unsigned*)nowhere = 1; }
"#;

/// The kernels, compiled for the device and loaded. `None` without NVRTC, unless AEGIS_REQUIRE_NVRTC is set.
pub fn kernels(context: &Arc<Context>) -> Result<Option<Arc<Module>>, CudaError> {
    static COMPILED: OnceLock<Result<Compiled, NvrtcError>> = OnceLock::new();
    let compiled = COMPILED
        .get_or_init(|| Nvrtc::find()?.compile(KERNELS, context.device().compute_capability, Form::Cubin));
    match compiled {
        Ok(code) => Module::load(context, code).map(Some),
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_NVRTC").is_none(), "{why}");
            assert!(matches!(why, NvrtcError::Library(LibraryError::NotFound { .. })), "{why}");
            println!("kernels are not tested: {why}");
            Ok(None)
        }
    }
}

/// What the scenario of this name answers on device 0.
pub fn run(name: &str, wait: Wait) -> Result<(), CudaError> {
    let scenario =
        ALL.iter().find(|scenario| scenario.0 == name).unwrap_or_else(|| panic!("no scenario {name}"));
    scenario.1(&Context::open(0, wait)?)
}

pub fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..=255u8).cycle().map(|byte| byte.wrapping_mul(31).wrapping_add(seed)).take(length).collect()
}

/// What a part of the device's memory holds.
pub fn read(stream: &Arc<Stream>, slice: &DeviceSlice) -> Result<Vec<u8>, CudaError> {
    let mut staging = Staging::new(stream, vec![], vec![slice.clone()])?;
    staging.end()?;
    staging.wait()?;
    Ok(staging.output(0).unwrap().to_vec())
}

/// Fills a part of the device's memory.
pub fn write(stream: &Arc<Stream>, slice: &DeviceSlice, bytes: &[u8]) -> Result<(), CudaError> {
    let mut staging = Staging::new(stream, vec![slice.clone()], vec![])?;
    staging.input_mut(0)?.unwrap().copy_from_slice(bytes);
    staging.begin()?;
    staging.settle()
}

/// That the driver refused with one of these codes; another failure is passed on.
pub fn refused<T>(codes: &[i32], answer: Result<T, CudaError>) -> Result<(), CudaError> {
    match answer {
        Err(CudaError::Call { code, .. }) if codes.contains(&code) => Ok(()),
        Err(other) => Err(other),
        Ok(_) => panic!("not refused with {codes:?}"),
    }
}

fn streams_and_events(context: &Arc<Context>) -> Result<(), CudaError> {
    let first = Stream::new(context, StreamPriority::Usual)?;
    let second = Stream::new(context, StreamPriority::Urgent)?;
    let (begin, end, mark) = (Event::timed(context)?, Event::timed(context)?, Event::new(context)?);
    assert!(mark.is_reached()?, "never recorded");
    mark.synchronize()?;
    let memory = DeviceMemory::alloc(context, Bytes(1 << 20))?;
    begin.record(&first)?;
    for byte in 0..8 {
        first.fill(&memory, byte)?;
    }
    end.record(&first)?;
    second.wait_for(&end)?;
    second.fill(&memory, 9)?;
    mark.record(&second)?;
    while !mark.is_reached()? {}
    assert!(end.is_reached()? && begin.is_reached()?, "what the mark waited for is done");
    let took = end.since(&begin)?;
    assert!(took.0 > 0 && took.0 < 1_000_000_000, "{took}");
    refused(&[400], mark.since(&begin))?;
    second.synchronize()?;
    assert!(second.is_done()?);
    context.synchronize()?;
    assert_eq!(read(&first, &memory)?, vec![9; 1 << 20]);
    Ok(())
}

fn memory_and_its_parts(context: &Arc<Context>) -> Result<(), CudaError> {
    let stream = Stream::new(context, StreamPriority::Usual)?;
    let nothing = DeviceMemory::alloc(context, Bytes(0))?;
    assert!(nothing.is_empty() && nothing.address() == 0);
    let no_view = DeviceMemory::alloc_mapped(context, Bytes(0))?;
    assert!(no_view.is_empty() && no_view.is_mapped());
    let memory = DeviceMemory::alloc(context, Bytes(1000))?;
    assert!(!memory.is_mapped() && memory.address() % 256 == 0 && memory.len() == Bytes(1000));
    for (offset, length, within) in [
        (0, 1000, true),
        (1000, 0, true),
        (999, 1, true),
        (999, 2, false),
        (1001, 0, false),
        (u64::MAX, 1, false),
        (1, u64::MAX, false),
    ] {
        assert_eq!(memory.part(Bytes(offset), Bytes(length)).is_some(), within, "{offset} {length}");
    }
    let part = memory.part(Bytes(100), Bytes(200)).unwrap().part(Bytes(50), Bytes(10)).unwrap();
    assert_eq!((part.address(), part.len()), (memory.address() + 150, Bytes(10)));
    stream.fill(&memory, 1)?;
    stream.fill(&part, 2)?;
    stream.copy(&part, &memory.part(Bytes(0), Bytes(10)).unwrap())?;
    answers!(stream.copy(&part, &memory), SizesDiffer);
    let address = memory.address();
    drop(memory);
    let whole = part.part(Bytes(0), Bytes(10)).unwrap();
    assert_eq!(whole.address(), address + 150, "a part keeps the memory");
    assert_eq!(read(&stream, &part)?, [2; 10]);

    let most = DeviceMemory::alloc(context, Bytes(1 << 60));
    let Err(CudaError::OutOfMemory { asked, free, total }) = most else { return most.map(drop) };
    assert!(asked == Bytes(1 << 60) && free < total && total.0 > 1 << 20, "{free} {total}");
    match DeviceMemory::alloc(context, Bytes(u64::MAX)) {
        Err(CudaError::OutOfMemory { .. }) => Ok(()),
        other => refused(&[1, 2], other),
    }
}

fn staging_copies(context: &Arc<Context>) -> Result<(), CudaError> {
    let alloc = |length| DeviceMemory::alloc(context, Bytes(length));
    staging(context, &[alloc(4096)?, alloc(1)?, alloc(0)?], &[alloc(4096)?, alloc(1)?, alloc(0)?])
}

fn staging_in_place(context: &Arc<Context>) -> Result<(), CudaError> {
    let memory = DeviceMemory::alloc_mapped(context, Bytes(10_000))?;
    let part = |offset, length| memory.part(Bytes(offset), Bytes(length)).unwrap();
    let inputs = [part(0, 4096), part(4096, 1), part(4097, 0)];
    let outputs = [part(5000, 4096), part(9096, 1), part(10_000, 0)];
    staging(context, &inputs, &outputs)?;

    let stream = Stream::new(context, StreamPriority::Usual)?;
    let view = Staging::new(&stream, vec![part(0, 100)], vec![part(100, 100)])?;
    answers!(Staging::new(&stream, vec![part(99, 1)], vec![]), HostHasIt); // one view of a byte
    answers!(Staging::new(&stream, vec![part(300, 2), part(301, 2)], vec![]), HostHasIt);
    answers!(stream.fill(&part(199, 5), 1), HostHasIt);
    answers!(stream.copy(&part(0, 1), &part(500, 1)), HostHasIt);
    answers!(stream.copy(&part(500, 1), &part(0, 1)), HostHasIt);
    stream.fill(&part(300, 5), 3)?;
    drop(view);
    stream.fill(&part(0, 100), 4)?;
    stream.synchronize()?;
    let mut view = Staging::new(&stream, vec![part(0, 100), part(300, 5)], vec![])?;
    assert_eq!(view.input_mut(0)?.unwrap(), [4; 100]);
    assert_eq!(view.input_mut(1)?.unwrap(), [3; 5]);
    Ok(())
}

/// Inputs go to the device, are copied there into the outputs, and come back.
fn staging(
    context: &Arc<Context>,
    inputs: &[DeviceSlice; 3],
    outputs: &[DeviceSlice; 3],
) -> Result<(), CudaError> {
    let stream = Stream::new(context, StreamPriority::Usual)?;
    let other = Stream::new(context, StreamPriority::Usual)?;
    let mut staging = Staging::new(&stream, inputs.to_vec(), outputs.to_vec())?;
    assert_eq!(staging.tensors(), (3, 3));
    assert!(staging.input_mut(3)?.is_none() && staging.output(3).is_none());
    for round in 0..3 {
        for (index, seed) in (0..3).zip(round..) {
            let input = staging.input_mut(index)?.unwrap();
            let fresh = bytes(input.len(), seed);
            input.copy_from_slice(&fresh);
        }
        staging.begin()?;
        assert!(staging.output(0).is_none(), "the device has it");
        if inputs[0].is_mapped() {
            answers!(other.fill(&outputs[0], 0), HostHasIt); // lent to one stream
            stream.fill(&outputs[0], 0)?;
        }
        for (from, to) in inputs.iter().zip(outputs) {
            // SAFETY: the slices live to the end of this function, which waits for the work.
            unsafe { stream.copy_raw(from.address(), to.address(), usize::try_from(from.len().0).unwrap())? };
        }
        if round == 1 {
            // No mark: the wait must not believe the mark of the round before.
            staging.wait()?;
            assert!(staging.output(0).is_some());
            assert_eq!(staging.output(1).unwrap() == bytes(1, 2), inputs[0].is_mapped(), "not copied yet");
        }
        staging.end()?;
        assert!(staging.output(0).is_none(), "the device has it");
        if inputs[0].is_mapped() {
            answers!(stream.fill(&outputs[0], 0), HostHasIt); // after the mark
        }
        staging.wait()?;
        for (index, seed) in (0..3).zip(round..) {
            let output = staging.output(index).unwrap();
            assert_eq!(output, bytes(output.len(), seed), "round {round}, tensor {index}");
        }
    }
    other.synchronize()?;
    staging.begin()?;
    staging.end()?;
    assert_eq!(staging.input_mut(1)?.unwrap(), bytes(1, 3), "waited for");
    staging.fill_outputs(7)?;
    assert_eq!(staging.output(0).unwrap(), [7; 4096]);
    Ok(())
}

fn staging_dropped_in_flight(context: &Arc<Context>) -> Result<(), CudaError> {
    let stream = Stream::new(context, StreamPriority::Usual)?;
    let tensor = DeviceMemory::alloc(context, Bytes(1 << 16))?;
    let mut staging = Staging::new(&stream, vec![tensor.clone()], vec![tensor])?;
    staging.begin()?;
    staging.end()
}

fn any_bytes_of_the_host(context: &Arc<Context>) -> Result<(), CudaError> {
    let stream = Stream::new(context, StreamPriority::Usual)?;
    for length in [0, 1, 1000, (1 << 20) + 1, 3 << 20] {
        let memory = DeviceMemory::alloc(context, Bytes(length as u64))?;
        let sent = bytes(length, 5);
        stream.write(&sent, &memory)?;
        let mut came = vec![0; length];
        stream.read(&memory, &mut came)?;
        assert!(came == sent, "{length}");
        answers!(stream.read(&memory, &mut vec![0; length + 1]), SizesDiffer);
        answers!(stream.write(&[0; 7], &memory), SizesDiffer);
    }
    let mapped = DeviceMemory::alloc_mapped(context, Bytes(10))?;
    stream.write(&[3; 10], &mapped)?;
    let mut view = Staging::new(&stream, vec![mapped.clone()], vec![])?;
    assert_eq!(view.input_mut(0)?.unwrap(), [3; 10]);
    answers!(stream.read(&mapped, &mut [0; 10]), HostHasIt);
    view.begin()?;
    let mut came = [0; 10];
    stream.read(&mapped, &mut came)?;
    assert_eq!(came, [3; 10]);
    Ok(())
}

fn pools(context: &Arc<Context>) -> Result<(), CudaError> {
    if !context.device().memory_pools {
        println!("{context:?} has no memory pools");
        return Ok(());
    }
    let stream = Stream::new(context, StreamPriority::Usual)?;
    let other = Stream::new(context, StreamPriority::Usual)?;
    let pool = MemoryPool::new(context, Bytes(64 << 20))?;
    let first = pool.alloc(&stream, Bytes(1 << 20))?;
    let nothing = pool.alloc(&stream, Bytes(0))?;
    assert!(nothing.is_empty());
    stream.fill(&first, 1)?;
    assert_eq!(read(&stream, &first)?, vec![1; 1 << 20]);
    answers!(other.fill(&first, 2), OtherStream);
    answers!(Staging::new(&other, vec![], vec![first.clone()]), OtherStream);
    let usage = pool.usage()?;
    assert!(usage.used >= Bytes(1 << 20) && usage.reserved >= usage.used && usage.used_max >= usage.used);
    drop(first);
    let second = pool.alloc(&stream, Bytes(1 << 20))?;
    stream.fill(&second, 3)?;
    let part = second.part(Bytes(5), Bytes(10)).unwrap();
    drop(second);
    assert_eq!(read(&stream, &part)?, [3; 10]);
    drop(part);
    stream.synchronize()?;
    pool.trim(Bytes(0))?;
    let usage = pool.usage()?;
    if failed_drops().count == 0 {
        assert_eq!((usage.used, usage.reserved), (Bytes(0), Bytes(0)), "{usage:?}");
    }
    match pool.alloc(&stream, Bytes(1 << 60)) {
        Err(CudaError::OutOfMemory { asked, .. }) => assert_eq!(asked, Bytes(1 << 60)),
        other => refused(&[1], other)?,
    }
    let last = pool.alloc(&stream, Bytes(1000))?;
    drop((pool, stream)); // the memory keeps both
    assert_eq!(last.len(), Bytes(1000));
    Ok(())
}

fn reservations(context: &Arc<Context>) -> Result<(), CudaError> {
    if !context.device().virtual_memory {
        println!("{context:?} has no virtual memory");
        return Ok(());
    }
    let stream = Stream::new(context, StreamPriority::Usual)?;
    let granularity = Reservation::granularity(context)?;
    assert!(granularity.0.is_power_of_two(), "{granularity}");
    let mut reservation = Reservation::new(context, Bytes(granularity.0 * 7 + 1), Bytes(1))?;
    assert_eq!((reservation.piece(), reservation.most()), (granularity, Bytes(granularity.0 * 8)));
    assert!(reservation.is_empty() && reservation.part(Bytes(0), Bytes(1)).is_none());
    let address = reservation.address();

    reservation.resize(Bytes(granularity.0 + 1))?;
    assert_eq!(reservation.len(), Bytes(granularity.0 * 2));
    let across = reservation.part(Bytes(granularity.0 - 50), Bytes(100)).unwrap();
    assert_eq!(across.address(), address + granularity.0 - 50);
    stream.write(&bytes(100, 1), &across)?;
    assert!(reservation.part(Bytes(0), Bytes(granularity.0 * 2 + 1)).is_none());
    assert!(reservation.part(Bytes(u64::MAX), Bytes(1)).is_none());
    assert!(reservation.part(Bytes(granularity.0 * 2), Bytes(0)).is_some());

    reservation.resize(Bytes(granularity.0 * 4))?;
    assert_eq!(reservation.address(), address, "grown in place");
    let mut came = [0; 100];
    stream.read(&across, &mut came)?;
    assert_eq!(came[..], bytes(100, 1), "grown with its content");
    answers!(reservation.resize(Bytes(granularity.0)), InUse);
    assert_eq!(reservation.len(), Bytes(granularity.0 * 2), "as far as it went");
    drop(across);
    reservation.resize(Bytes(granularity.0))?;
    assert!(reservation.part(Bytes(granularity.0 - 50), Bytes(100)).is_none());
    reservation.resize(Bytes(granularity.0 * 8))?;
    answers!(reservation.resize(Bytes(granularity.0 * 8 + 1)), OutOfReservation);
    let last = reservation.part(Bytes(granularity.0 * 8 - 10), Bytes(10)).unwrap();
    stream.fill(&last, 9)?;
    drop(reservation); // the slice keeps its memory and the addresses
    let came = read(&stream, &last)?;
    if failed_drops().count == 0 {
        assert_eq!(came, [9; 10]);
    }
    Ok(())
}

fn kernels_and_graphs(context: &Arc<Context>) -> Result<(), CudaError> {
    let Some(module) = kernels(context)? else { return Ok(()) };
    let stream = Stream::new(context, StreamPriority::Usual)?;
    let data = DeviceMemory::alloc(context, Bytes(4000))?;
    let words = |stream: &Arc<Stream>| -> Result<Vec<u32>, CudaError> {
        let mut bytes = [0; 4000];
        stream.read(&data, &mut bytes)?;
        Ok(bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect())
    };
    stream.fill(&data, 0)?;
    refused(&[500], module.kernel(c"missing"))?;
    let (add, delay) = (module.kernel(c"add")?, module.kernel(c"delay")?);
    let add_to = |slice: &DeviceSlice, value| [slice.into(), Argument::U32(1000), Argument::U32(value)];
    // SAFETY: the arguments are the kernels'; `data` has 1000 words and lives to the end of this function, which waits.
    unsafe {
        delay.launch(&stream, Grid::line(1, 1), &[Argument::U64(100_000)])?;
        add.launch(&stream, Grid::line(4, 128), &add_to(&data, 5))?;
    }
    assert_eq!(words(&stream)?, [5; 1000]);

    // SAFETY: the arguments are the kernels'; `data` and the module live longer than the graph.
    let mut graph = unsafe {
        Graph::capture(&stream, |stream| {
            add.launch(stream, Grid::line(4, 128), &add_to(&data, 7))?;
            add.launch(stream, Grid::line(4, 128), &add_to(&data, 1))
        })?
    };
    assert_eq!(words(&stream)?, [5; 1000], "recorded, not run");
    graph.upload(&stream)?;
    for _ in 0..3 {
        graph.launch(&stream)?;
    }
    assert_eq!(words(&stream)?, [29; 1000]);
    graph.launch(&stream)?;
    drop(graph); // its last launch is done all the same
    assert_eq!(words(&stream)?, [37; 1000]);

    // Waiting inside of a recording fails it, and the stream is usable afterwards.
    // SAFETY: nothing is recorded.
    let failed = unsafe { Graph::capture(&stream, |stream| stream.synchronize()) };
    refused(&[900, 901], failed)?;
    if context.device().memory_pools {
        let pool = MemoryPool::new(context, Bytes(0))?;
        // SAFETY: nothing is recorded.
        let failed = unsafe { Graph::capture(&stream, |stream| pool.alloc(stream, Bytes(10)).map(drop)) };
        if !matches!(failed, Err(CudaError::Capturing)) {
            return failed.map(drop);
        }
    }
    assert_eq!(words(&stream)?, [37; 1000]);
    Ok(())
}

fn parts_of_the_device(context: &Arc<Context>) -> Result<(), CudaError> {
    let all = context.device().multiprocessors;
    let parts = match GreenContext::parts(context) {
        // Some devices refuse.
        Err(CudaError::Call { call: "cuDeviceGetDevResource", code: 801, .. }) => {
            println!("no green contexts on {context:?}");
            return Ok(());
        }
        parts => parts?,
    };
    assert!(parts.multiprocessors == all && 0 < parts.least && parts.least <= all);
    let split = GreenContext::split(context, parts.least + 1)?;
    let rest = split.rest.as_ref().map_or(0, |rest| rest.multiprocessors());
    assert!(split.part.multiprocessors() > parts.least);
    assert_eq!(split.part.multiprocessors() + rest, all);
    refused(&[1, 914, 915], GreenContext::split(context, all + 1))?;
    let Some(module) = kernels(context)? else { return Ok(()) };
    let kernel = module.kernel(c"where_am_i")?;
    let seen = DeviceMemory::alloc(context, Bytes(4096))?;
    let mut ran_on = vec![];
    let whole = Stream::new(context, StreamPriority::Usual)?;
    let part = split.part.stream(StreamPriority::Urgent)?;
    for stream in [&whole, &part] {
        stream.fill(&seen, 0)?;
        let (begin, end) = (Event::timed(context)?, Event::timed(context)?);
        begin.record(stream)?;
        // SAFETY: the arguments are the kernel's; `seen` has 1024 words and lives to the end of this function, which waits.
        unsafe {
            kernel.launch(stream, Grid::line(4096, 64), &[(&seen).into(), Argument::U32(1024)])?;
        }
        end.record(stream)?;
        let mut words = [0; 4096];
        stream.read(&seen, &mut words)?;
        let count = words.chunks(4).filter(|word| *word != [0; 4]).count();
        ran_on.push((u32::try_from(count).unwrap(), end.since(&begin)?));
    }
    static TELL: Once = Once::new();
    TELL.call_once(|| println!("{parts:?}; the same kernel ran on so many, in: {ran_on:?}"));
    let ran_on = [ran_on[0].0, ran_on[1].0];
    assert_eq!(ran_on, [all, split.part.multiprocessors()]);
    drop(split); // the stream keeps its part
    part.synchronize()?;
    Ok(())
}
