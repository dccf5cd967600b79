//! What a real device costs its host: putting work on a stream, noticing that it is done, the processor burnt meanwhile.
//! Without a device it says so; with AEGIS_REQUIRE_GPU=1 it fails then.
use aegis_core::Bytes;
use aegis_cuda::nvml::{Clock, Nvml};
use aegis_cuda::nvrtc::{Form, Nvrtc};
use aegis_cuda::{
    Argument, Context, CudaError, DeviceMemory, Event, Graph, Grid, Kernel, MemoryPool, Module, Stream,
    StreamPriority, Wait, bandwidth,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits on the device for so many nanoseconds.
const DELAY: &str = r#"
extern "C" __global__ void delay(unsigned long long ns) {
    unsigned long long begin, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
    do { asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)); } while (now - begin < ns);
}
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = std::env::var("AEGIS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    for wait in [Wait::Block, Wait::Spin] {
        let context = match Context::open(0, wait) {
            Ok(context) => context,
            Err(why) if std::env::var_os("AEGIS_REQUIRE_GPU").is_none() => {
                println!("not measured: {why}");
                return Ok(());
            }
            Err(why) => return Err(why.into()),
        };
        let code = match Nvrtc::find() {
            Ok(nvrtc) => nvrtc.compile(DELAY, context.device().compute_capability, Form::Cubin)?,
            Err(why) if std::env::var_os("AEGIS_REQUIRE_NVRTC").is_none() => {
                println!("not measured: {why}");
                return Ok(());
            }
            Err(why) => return Err(why.into()),
        };
        println!("\n{:?}: {}", wait, context.device());
        let delay = Module::load(&context, &code)?.kernel(c"delay")?;
        let stream = Stream::new(&context, StreamPriority::Urgent)?;
        submitting(&context, &stream, &delay, rounds)?;
        noticing(&context, &stream, &delay, rounds)?;
        if wait == Wait::Block {
            memory(&context, &stream, rounds)?;
        }
    }
    Ok(())
}

fn launch(delay: &Kernel, stream: &Stream, ns: u64) -> Result<(), CudaError> {
    // SAFETY: the kernel takes one number and touches no memory.
    unsafe { delay.launch(stream, Grid::line(1, 1), &[Argument::U64(ns)]) }
}

/// The host's time for putting one thing on a stream that has room.
fn submitting(
    context: &Arc<Context>,
    stream: &Arc<Stream>,
    delay: &Kernel,
    rounds: usize,
) -> Result<(), CudaError> {
    const AT_ONCE: usize = 20;
    let memory = DeviceMemory::alloc(context, Bytes(4096))?;
    let event = Event::new(context)?;
    // SAFETY: the kernel takes one number and touches no memory; it lives longer than the graph.
    let mut graph =
        unsafe { Graph::capture(stream, |stream| (0..AT_ONCE).try_for_each(|_| launch(delay, stream, 0)))? };
    graph.upload(stream)?;
    let mut measure = |what: &str, act: &mut dyn FnMut() -> Result<(), CudaError>| -> Result<(), CudaError> {
        let mut times = Vec::with_capacity(rounds);
        for round in 0..rounds + 50 {
            let begin = Instant::now();
            act()?;
            if round >= 50 {
                times.push(begin.elapsed());
            }
            if round % AT_ONCE == 0 {
                stream.synchronize()?;
            }
        }
        stream.synchronize()?;
        tell(&format!("submit {what}"), times);
        Ok(())
    };
    measure("nothing (the context made current)", &mut || context.make_current())?;
    measure("an empty kernel", &mut || launch(delay, stream, 0))?;
    measure("a mark", &mut || event.record(stream))?;
    measure("a fill of 4 KiB", &mut || stream.fill(&memory, 0))?;
    measure("20 empty kernels", &mut || (0..AT_ONCE).try_for_each(|_| launch(delay, stream, 0)))?;
    measure("a graph of 20 empty kernels", &mut || graph.launch(stream))
}

/// From the first call to the return of the wait, less what the device says that it took; and the processor's time.
fn noticing(
    context: &Arc<Context>,
    stream: &Arc<Stream>,
    delay: &Kernel,
    rounds: usize,
) -> Result<(), CudaError> {
    let (begin, end) = (Event::timed(context)?, Event::timed(context)?);
    for (length, rounds) in
        [(Duration::from_micros(200), rounds), (Duration::from_millis(5), rounds.div_ceil(10))]
    {
        let ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let mut beyond = Vec::with_capacity(rounds);
        let (burnt, wall) = (processor_time(), Instant::now());
        for _ in 0..rounds {
            let started = Instant::now();
            begin.record(stream)?;
            launch(delay, stream, ns)?;
            end.record(stream)?;
            end.synchronize()?;
            let took = started.elapsed();
            let on_device = Duration::from_nanos(end.since(&begin)?.0);
            assert!(
                on_device >= length.mul_f64(0.99),
                "the kernel waits {length:?}, and the device says {on_device:?}"
            );
            beyond.push(took.saturating_sub(on_device));
        }
        let wall = wall.elapsed();
        tell(&format!("submit and notice {length:?} of work, beyond it"), beyond);
        match (burnt, processor_time()) {
            (Some(before), Some(after)) => {
                let share = (after - before).as_secs_f64() / wall.as_secs_f64() * 100.0;
                println!(
                    "  {:<58} {share:.1} % of one core",
                    format!("processor burnt during {length:?} of work")
                );
            }
            _ => println!("  processor burnt: -- this system does not tell a thread's time"),
        }
    }
    Ok(())
}

/// Taking memory, and moving it.
fn memory(context: &Arc<Context>, stream: &Arc<Stream>, rounds: usize) -> Result<(), CudaError> {
    const SIZE: Bytes = Bytes(1 << 20);
    let (mut own, mut pooled) = (Vec::new(), Vec::new());
    for _ in 0..rounds.div_ceil(10) {
        let begin = Instant::now();
        drop(DeviceMemory::alloc(context, SIZE)?);
        own.push(begin.elapsed());
    }
    tell("take and give back 1 MiB of the device", own);
    if context.device().memory_pools {
        let pool = MemoryPool::new(context, Bytes(64 << 20))?;
        for _ in 0..rounds {
            let begin = Instant::now();
            drop(pool.alloc(stream, SIZE)?);
            pooled.push(begin.elapsed());
            stream.synchronize()?;
        }
        tell("take and give back 1 MiB of a pool", pooled);
    }

    let size = Bytes((context.memory()?.0.0 / 8).min(1 << 30));
    let (from, to) = (DeviceMemory::alloc(context, size)?, DeviceMemory::alloc(context, size)?);
    let (begin, end) = (Event::timed(context)?, Event::timed(context)?);
    let mut best = f64::MAX;
    for _ in 0..20 {
        begin.record(stream)?;
        stream.copy(&from, &to)?;
        end.record(stream)?;
        end.synchronize()?;
        best = best.min(end.since(&begin)?.0 as f64);
    }
    let moved = 2.0 * size.0 as f64 / best; // read and written; bytes per ns are GB/s
    let device = context.device();
    let most = device.bandwidth().or_else(|| {
        let nvml = Nvml::open().ok()?;
        let mhz = nvml.device(device.pci.as_deref()?).ok()?.clock_mhz_max(Clock::Memory).ok()?;
        bandwidth(mhz.checked_mul(1000)?, device.memory_bus_bits?)
    });
    match most {
        Some(most) => {
            let most = most as f64 / 1e9;
            println!(
                "  {:<58} {moved:.0} GB/s of {most:.0} ({:.0} %)",
                "copy 1 GiB on the device",
                moved / most * 100.0
            );
            assert!(moved <= most, "more than the memory can move: a clock or a width is wrong");
        }
        None => println!("  {:<58} {moved:.0} GB/s; the limit is not told", "copy 1 GiB on the device"),
    }
    Ok(())
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |permille: usize| times[(times.len() - 1) * permille / 1000].as_nanos() as f64 / 1e3;
    println!(
        "  {what:<58} p50 {:>8.2} us, p99 {:>8.2}, max {:>8.2} (n = {})",
        at(500),
        at(990),
        at(1000),
        times.len()
    );
}

/// What this thread has had of a processor until now.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}
