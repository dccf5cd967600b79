//! What loading model B does to model A, which runs in a closed loop on its stream: alone; while B is loaded by this
//! backend, or as a bare ONNX Runtime session, in the same process; while B is loaded in a process of its own.
//!
//! `cargo bench -p aegis-backend-ort --bench load_beside -- A.onnx B.onnx`, with a CUDA device and ONNX Runtime's build for
//! it. `AEGIS_LOADS` sets how often B is loaded in each phase (20). One line of JSON for each phase: latencies of those jobs
//! of A that overlap a load, and the time that a load takes. A's outputs are compared before and after.
#[path = "../tests/common/bare.rs"]
#[allow(dead_code, reason = "a session is made here, never run")]
mod bare;

use aegis_backend::{Artifact, Binding, DeviceBinding, Limits, Runner, RuntimeBackend, fill_random};
use aegis_backend_ort::{OrtBackend, Provider};
use aegis_core::Rng;
use aegis_cuda::{Context, Stream, StreamPriority, Wait};
use std::error::Error;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// When something began and ended.
type Span = (Instant, Instant);

/// What was done beside A's jobs, and when: for each kind of thing its name and its times.
type Done = Vec<(&'static str, Vec<Span>)>;

/// Does it.
type Phase<'a> = &'a mut dyn FnMut() -> Outcome<Done>;

/// The first argument of the process that only loads.
const CHILD: &str = "load-only";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let loads = std::env::var("AEGIS_LOADS").map_or(Ok(20), |n| n.parse())?;
    if let Err(error) = Context::open(0, Wait::Block) {
        println!("skipped: {error}");
        return Ok(());
    }
    match *words {
        [CHILD, model] => load_only(Path::new(model), loads),
        [a, b] => measure(Path::new(a), Path::new(b), loads),
        _ => {
            println!("skipped: it takes two models: A.onnx, which runs, and B.onnx, which is loaded");
            Ok(())
        }
    }
}

fn cuda(priority: StreamPriority) -> Outcome<(OrtBackend, Arc<Stream>)> {
    let stream = Stream::new(&Context::open(0, Wait::Block)?, priority)?;
    let provider = Provider::Cuda { stream: Arc::clone(&stream), cpu_fallback: true };
    Ok((OrtBackend::find(None)?.on(provider)?, stream))
}

/// Loads `path` again and again, and says on standard output when each load begins and ends. The other process takes the
/// time: clocks of two processes need not agree.
fn load_only(path: &Path, loads: u32) -> Outcome<()> {
    let artifact = Artifact::open(path)?;
    let (backend, _) = cuda(StreamPriority::Usual)?;
    for _ in 0..loads {
        println!("begin");
        let model = backend.load(&artifact, &Limits::default())?;
        println!("end");
        drop(model);
    }
    Ok(())
}

fn measure(a: &Path, b: &Path, loads: u32) -> Outcome<()> {
    let (backend, stream) = cuda(StreamPriority::Urgent)?;
    let model = backend.load(&Artifact::open(a)?, &Limits::default())?;
    let device = DeviceBinding::alone(&stream, model.facts())?;
    let mut runner = Runner::open(&*model, &Binding { threads: None, device: Some(device) })?;
    let mut rng = Rng::new(1);
    for (index, input) in model.facts().inputs.iter().enumerate() {
        fill_random(input.dtype, runner.input_mut(index)?.ok_or("no such input")?, &mut rng);
    }
    runner.run_job(1)?;
    let outputs = |runner: &Runner| -> Vec<Vec<u8>> {
        (0..model.facts().outputs.len()).filter_map(|i| Some(runner.output(i)?.to_vec())).collect()
    };
    let expected = outputs(&runner);

    let artifact = Artifact::open(b)?;
    let (beside, other) = cuda(StreamPriority::Usual)?;
    let plain = beside.load(&artifact, &Limits::default())?;
    let nothing = |name| {
        let begin = Instant::now();
        std::thread::sleep(Duration::from_secs(3));
        Ok(vec![(name, vec![(begin, Instant::now())])])
    };
    let phases: [Phase<'_>; 5] = [
        &mut || nothing("alone"),
        &mut || {
            let spans: Outcome<Vec<Span>> = (0..loads)
                .map(|_| {
                    let begin = Instant::now();
                    let model = beside.load(&artifact, &Limits::default())?;
                    let span = (begin, Instant::now());
                    drop(model);
                    Ok(span)
                })
                .collect();
            Ok(vec![("beside a load by the backend", spans?)])
        },
        &mut || {
            let device = DeviceBinding::alone(&other, plain.facts())?;
            let spans = (0..loads).map(|_| {
                let begin = Instant::now();
                let session = bare::Bare::new(artifact.bytes(), plain.facts(), &device, true);
                let span = (begin, Instant::now());
                drop(session);
                span
            });
            Ok(vec![("beside a bare session's creation", spans.collect())])
        },
        &mut || elsewhere(b),
        &mut || nothing("alone again"),
    ];
    for phase in phases {
        let (jobs, named) = while_running(&mut runner, phase)?;
        for (name, spans) in named {
            report(name, a, b, &jobs, &spans);
            assert_eq!(outputs(&runner), expected, "{name}: the outputs of {} changed", a.display());
        }
    }
    Ok(())
}

/// Runs one job after the other on another thread while `phase` runs; answers the jobs and what `phase` answers.
fn while_running(runner: &mut Runner, phase: Phase<'_>) -> Outcome<(Vec<Span>, Done)> {
    let done = AtomicBool::new(false);
    let mut jobs = Vec::with_capacity(1 << 20);
    let spans = std::thread::scope(|scope| {
        let worker = scope.spawn(|| -> Result<(), aegis_backend::BackendError> {
            while !done.load(Ordering::Acquire) {
                let begin = Instant::now();
                runner.run_job(1)?;
                jobs.push((begin, Instant::now()));
            }
            Ok(())
        });
        let spans = phase();
        done.store(true, Ordering::Release);
        worker.join().map_err(|_| "the loop of A panicked")??;
        spans
    })?;
    Ok((jobs, spans))
}

/// Loads `model` in another process; answers its start and its loads by this process's clock.
fn elsewhere(model: &Path) -> Outcome<Done> {
    let program: PathBuf = std::env::current_exe()?;
    let spawned = Instant::now();
    let mut started = Vec::new();
    let mut child = Command::new(program).arg(CHILD).arg(model).stdout(Stdio::piped()).spawn()?;
    let mut begin = None;
    let mut spans = Vec::new();
    for line in std::io::BufReader::new(child.stdout.take().ok_or("no output")?).lines() {
        match &*line? {
            "begin" => {
                begin = Some(Instant::now());
                if started.is_empty() {
                    started.push((spawned, Instant::now()));
                }
            }
            "end" => spans.extend(begin.take().map(|begin| (begin, Instant::now()))),
            other => println!("{other}"),
        }
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("the other process: {status}").into());
    }
    Ok(vec![("beside another process's start", started), ("beside a load in another process", spans)])
}

fn report(name: &str, a: &Path, b: &Path, jobs: &[Span], spans: &[Span]) {
    let within = |job: &&Span| spans.iter().any(|span| job.0 < span.1 && span.0 < job.1);
    let micros = |span: &Span| (span.1 - span.0).as_secs_f64() * 1e6;
    let mut latencies: Vec<f64> = jobs.iter().filter(within).map(micros).collect();
    assert!(!latencies.is_empty(), "{name}: no job of A ran");
    latencies.sort_unstable_by(f64::total_cmp);
    let at = |permille: usize| latencies[(latencies.len() * permille / 1000).min(latencies.len() - 1)];
    let mut loads: Vec<f64> = spans.iter().map(micros).collect();
    loads.sort_unstable_by(f64::total_cmp);
    let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    println!(
        "{{\"phase\":\"{name}\",\"a\":\"{}\",\"b\":\"{}\",\"jobs\":{},\"p50_us\":{:.0},\"p99_us\":{:.0},\"p999_us\":{:.0},\
         \"worst_us\":{:.0},\"spans\":{},\"span_ms_median\":{:.1},\"span_ms_worst\":{:.1}}}",
        file(a),
        file(b),
        latencies.len(),
        at(500),
        at(990),
        at(999),
        latencies.last().copied().unwrap_or_default(),
        loads.len(),
        loads[loads.len() / 2] / 1e3,
        loads.last().copied().unwrap_or_default() / 1e3,
    );
}
