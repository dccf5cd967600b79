//! What is done with a device and what must come of it: the same on a real one and on the stand-in.
use aegis_core::Bytes;
use aegis_cuda::{
    Context, CudaError, DeviceMemory, DeviceSlice, Event, Staging, Stream, StreamPriority, Wait,
};
use std::sync::Arc;

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
];

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
    assert_eq!(stream.copy(&part, &memory), Err(CudaError::SizesDiffer { from: Bytes(10), to: Bytes(1000) }));
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
    let seen = |answer: Result<(), CudaError>| matches!(answer, Err(CudaError::HostHasIt { .. }));
    assert!(seen(Staging::new(&stream, vec![part(99, 1)], vec![]).map(drop)), "one view of a byte");
    assert!(seen(Staging::new(&stream, vec![part(300, 2), part(301, 2)], vec![]).map(drop)));
    assert!(seen(stream.fill(&part(199, 5), 1)));
    assert!(seen(stream.copy(&part(0, 1), &part(500, 1))));
    assert!(seen(stream.copy(&part(500, 1), &part(0, 1))));
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
    Ok(())
}

fn staging_dropped_in_flight(context: &Arc<Context>) -> Result<(), CudaError> {
    let stream = Stream::new(context, StreamPriority::Usual)?;
    let tensor = DeviceMemory::alloc(context, Bytes(1 << 16))?;
    let mut staging = Staging::new(&stream, vec![tensor.clone()], vec![tensor])?;
    staging.begin()?;
    staging.end()
}
