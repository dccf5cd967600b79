//! What every plan must pass. `AEGIS_TRT_PLAN` names it; its digest lies beside it, or is written there.
use aegis_backend::conformance::Case;
use aegis_backend::{
    Artifact, BackendError, Binding, DeviceBinding, DeviceSession, Limits, Model, Runner, RuntimeBackend,
    fill_random,
};
use aegis_backend_trt::{TrtBackend, digest_file, trust};
use aegis_core::{Bytes, Rng};
use aegis_cuda::{Context, DeviceMemory, DeviceSlice, Stream, StreamPriority, Wait};
use std::path::PathBuf;
use std::sync::{Arc, Barrier, OnceLock};
use std::time::{Duration, Instant};

/// The driver rounds what it gives to this.
const GRANULE: u64 = 2 << 20;

pub struct Found {
    pub backend: TrtBackend,
    pub context: Arc<Context>,
    pub plan: PathBuf,
}

/// The backend and the plan; `None`, with a notice, where no plan is named and `AEGIS_REQUIRE_TRT=1` is not set.
pub fn found() -> Option<&'static Found> {
    static FOUND: OnceLock<Option<Found>> = OnceLock::new();
    let look = || {
        let Some(plan) = std::env::var_os("AEGIS_TRT_PLAN").map(PathBuf::from) else {
            let required = std::env::var_os("AEGIS_REQUIRE_TRT").is_some_and(|v| v == "1");
            assert!(!required, "AEGIS_TRT_PLAN names no plan");
            println!("skipped: AEGIS_TRT_PLAN names no plan");
            return None;
        };
        let context = Context::open(0, Wait::Block).unwrap_or_else(|e| panic!("{e}"));
        let backend = TrtBackend::find(None, &context).unwrap_or_else(|e| panic!("{e}"));
        println!("{} in {}, {}", backend.version(), backend.library().path.display(), context.device());
        if !digest_file(&plan).exists() {
            trust(&plan).unwrap_or_else(|e| panic!("{e}"));
        }
        Some(Found { backend, context, plan })
    };
    FOUND.get_or_init(look).as_ref()
}

impl Found {
    pub fn artifact(&self) -> Artifact {
        Artifact::open(&self.plan).unwrap_or_else(|e| panic!("{e}"))
    }

    pub fn load(&self) -> Box<dyn Model> {
        self.backend.load(&self.artifact(), &Limits::default()).unwrap_or_else(|e| panic!("{e}"))
    }

    pub fn stream(&self) -> Arc<Stream> {
        Stream::new(&self.context, StreamPriority::Usual).unwrap()
    }

    fn free(&self) -> u64 {
        self.context.memory().unwrap().0.0
    }
}

fn case() -> Option<Case> {
    let found = found()?;
    let (backend, stream) = (Box::new(found.backend.clone()), Some(found.stream()));
    Some(Case { backend, model: found.artifact(), stream })
}

mod conformance {
    aegis_backend::conformance!(super::case());
}

fn binding(model: &dyn Model, stream: &Arc<Stream>, scratch: Option<&DeviceSlice>) -> Binding {
    let mut device = DeviceBinding::alone(stream, model.facts()).unwrap();
    if let Some(scratch) = scratch {
        device.scratch = Some(scratch.clone());
    }
    Binding { threads: None, device: Some(device) }
}

/// A runner with random inputs from a seed.
fn runner(model: &dyn Model, binding: &Binding, seed: u64) -> Runner {
    let mut runner = Runner::open(model, binding).unwrap_or_else(|e| panic!("{e}"));
    let mut rng = Rng::new(seed);
    for (index, input) in model.facts().inputs.iter().enumerate() {
        fill_random(input.dtype, runner.input_mut(index).unwrap().unwrap(), &mut rng);
    }
    runner
}

fn job(runner: &mut Runner) -> Vec<Vec<u8>> {
    runner.fill_outputs(0xa5).unwrap();
    runner.run(0).unwrap_or_else(|e| panic!("{e}"));
    (0..).map_while(|index| runner.output(index).map(<[u8]>::to_vec)).collect()
}

#[test]
fn facts() {
    let Some(found) = found() else { return };
    let started = Instant::now();
    let model = found.load();
    println!("loaded in {:?}: {:#?}", started.elapsed(), model.facts());
    assert_eq!(model.facts().place, aegis_backend::Place::Device);
    assert!(model.facts().weights > Bytes(0));
}

#[test]
fn more_than_the_limit_is_refused_and_given_back() {
    let Some(found) = found() else { return };
    let artifact = found.artifact();
    let model = found.load();
    let needs = model.facts().weights;
    drop(model);
    let before = found.free();
    for limit in [Bytes(0), Bytes(needs.0 / 2), Bytes(needs.0 - 1)] {
        match found.backend.load(&artifact, &Limits { device_memory: Some(limit) }).map(|_| ()) {
            Err(error @ BackendError::OverLimit { .. }) => {
                let BackendError::OverLimit { asked, limit: told, .. } = &error else { unreachable!() };
                assert!(*told == limit && *asked > limit, "{error}");
                println!("{error}");
            }
            other => panic!("{limit}: {other:?}"),
        }
    }
    assert!(found.free() + GRANULE >= before, "a refused load keeps {} bytes", before - found.free());
    // Exactly what it needs is enough for one session.
    let model = found.backend.load(&artifact, &Limits { device_memory: Some(needs) }).unwrap();
    assert_eq!(model.facts().weights, needs);
    let stream = found.stream();
    let binding = binding(&*model, &stream, None);
    let mut first = runner(&*model, &binding, 1);
    job(&mut first);
    match Runner::open(&*model, &binding) {
        Ok(_) => println!("a second session takes no device memory of its own"),
        Err(BackendError::OverLimit { asked, limit, .. }) => assert!(asked > limit && limit == needs),
        Err(other) => panic!("{other}"),
    }
    job(&mut first);
}

#[test]
fn a_plan_is_loaded_only_with_its_digest() {
    let Some(found) = found() else { return };
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("copy.plan");
    let sound = found.artifact();
    std::fs::write(&plan, sound.bytes()).unwrap();
    let load = |backend: &TrtBackend| {
        let artifact = Artifact::open(&plan).unwrap();
        backend.load(&artifact, &Limits::default()).map(|_| ())
    };
    let error = load(&found.backend).unwrap_err();
    assert!(
        matches!(error, BackendError::Unsupported { .. }) && error.to_string().contains("b3sum"),
        "{error}"
    );
    load(&found.backend.clone().trust_unhashed()).unwrap();
    trust(&plan).unwrap();
    load(&found.backend).unwrap();
    // What TensorRT itself does not notice: some bytes in the middle.
    let mut damaged = sound.bytes().to_vec();
    let middle = damaged.len() / 2;
    let end = damaged.len().min(middle + 4096);
    damaged[middle..end].iter_mut().for_each(|byte| *byte ^= 0xff);
    std::fs::write(&plan, damaged).unwrap();
    for backend in [found.backend.clone(), found.backend.clone().trust_unhashed()] {
        let error = load(&backend).unwrap_err();
        assert!(matches!(error, BackendError::Malformed { .. }), "{error:?}");
        assert!(error.to_string().contains("damaged or changed"), "{error}");
    }
}

#[test]
fn engines_in_turn_share_one_scratch() {
    let Some(found) = found() else { return };
    let (one, two) = (found.load(), found.load());
    let stream = found.stream();
    let alone = |model: &dyn Model, seed| job(&mut runner(model, &binding(model, &stream, None), seed));
    let (a, b) = (alone(&*one, 1), alone(&*two, 2));
    assert_ne!(a, b);
    let needs = one.facts().placeable().unwrap_or_default().max(two.facts().placeable().unwrap_or_default());
    let shared = DeviceMemory::alloc(&found.context, needs).unwrap();
    let mut first = runner(&*one, &binding(&*one, &stream, Some(&shared)), 1);
    let mut second = runner(&*two, &binding(&*two, &stream, Some(&shared)), 2);
    for round in 0..10 {
        assert_eq!(job(&mut first), a, "round {round}");
        assert_eq!(job(&mut second), b, "round {round}");
    }
}

#[test]
fn sessions_on_threads_of_their_own() {
    let Some(found) = found() else { return };
    let model = found.load();
    let expected: Vec<_> = (0..3)
        .map(|seed| job(&mut runner(&*model, &binding(&*model, &found.stream(), None), seed)))
        .collect();
    let start = Barrier::new(expected.len());
    std::thread::scope(|scope| {
        for (seed, expected) in (0..).zip(&expected) {
            let (model, start) = (&*model, &start);
            scope.spawn(move || {
                let mut runner = runner(model, &binding(model, &found.stream(), None), seed);
                start.wait();
                for _ in 0..20 {
                    assert_eq!(job(&mut runner), *expected);
                }
            });
        }
    });
}

#[test]
fn a_thread_that_never_used_the_device_can_run_and_close() {
    let Some(found) = found() else { return };
    let model = found.load();
    let stream = found.stream();
    let mut session = model.open(&binding(&*model, &stream, None)).unwrap().into_device().unwrap();
    let elsewhere = std::thread::spawn(move || {
        session.enqueue(0).unwrap();
        drop(session);
        drop(model);
    });
    elsewhere.join().unwrap();
    assert!(stream.is_done().unwrap());
}

#[test]
fn opening_again_takes_no_device_memory() {
    let Some(found) = found() else { return };
    let model = found.load();
    let stream = found.stream();
    let binding = binding(&*model, &stream, None);
    let open = || model.open(&binding).unwrap().into_device().unwrap();
    let run = |session: &mut dyn DeviceSession| {
        session.enqueue(0).unwrap();
        stream.synchronize().unwrap();
    };
    run(&mut *open());
    let before = found.free();
    for _ in 0..5 {
        let mut session = open();
        run(&mut *session);
        assert_eq!(found.free(), before, "an open session");
        // Dropped in flight, it waits: its memory is the caller's again.
        session.enqueue(0).unwrap();
        drop(session);
        assert!(stream.is_done().unwrap());
    }
    assert_eq!(found.free(), before, "a closed session");
}

#[test]
fn loading_and_unloading_leaves_nothing() {
    let Some(found) = found() else { return };
    let cycles = std::env::var("AEGIS_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(20u32);
    let cycle = || {
        let model = found.load();
        let (one, two) = (found.stream(), found.stream());
        let mut first = runner(&*model, &binding(&*model, &one, None), 1);
        let mut second = runner(&*model, &binding(&*model, &two, None), 1);
        assert_eq!(job(&mut first), job(&mut second));
        // Models and sessions in any order.
        drop(second);
        drop(model);
        job(&mut first);
    };
    // What the driver and TensorRT take once.
    cycle();
    cycle();
    let before = found.free();
    for number in 0..cycles {
        cycle();
        println!("cycle {number}: {} bytes free", found.free());
    }
    let lost = before.saturating_sub(found.free());
    assert!(lost < GRANULE, "{cycles} cycles lose {lost} bytes of device memory");
}

/// The loop without anything of ours around the session: what a job costs at least. Prints figures, asserts none.
#[test]
fn bare_loop() {
    let Some(found) = found() else { return };
    let model = found.load();
    let stream = found.stream();
    let mut session = model.open(&binding(&*model, &stream, None)).unwrap().into_device().unwrap();
    let mut times: Vec<(Duration, Duration)> = Vec::with_capacity(1000);
    for round in 0..1100 {
        let start = Instant::now();
        session.enqueue(0).unwrap();
        let enqueued = start.elapsed();
        stream.synchronize().unwrap();
        if round >= 100 {
            times.push((start.elapsed(), enqueued));
        }
    }
    for (what, mut times) in [
        ("enqueue and wait", times.iter().map(|t| t.0).collect::<Vec<_>>()),
        ("of it enqueue", times.iter().map(|t| t.1).collect()),
    ] {
        times.sort_unstable();
        println!(
            "{what}: p50 {:?}, p99 {:?}, max {:?} of {}",
            times[500],
            times[990],
            times[999],
            times.len()
        );
    }
}
