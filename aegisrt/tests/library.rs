//! The library as a program uses it: the whole job by [`Runtime`], with a backend of one's own.
use aegisrt::backend::{Artifact, BackendError, Limits, Model, RuntimeBackend, sim::SimBackend};
use aegisrt::{Error, Nanos, Runtime, SystemFile};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A backend that is none of the built-in ones; counts its executions.
struct Own {
    inner: SimBackend,
}

impl Own {
    fn new(executions: &Arc<AtomicU64>) -> Self {
        let executions = Arc::clone(executions);
        let wait = move |_| _ = executions.fetch_add(1, Ordering::Relaxed);
        Self { inner: SimBackend::with_wait(1, wait) }
    }
}

impl RuntimeBackend for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn version(&self) -> String {
        "own 1.0".to_owned()
    }

    fn load(&self, artifact: &Artifact, limits: &Limits) -> Result<Box<dyn Model>, BackendError> {
        self.inner.load(artifact, limits)
    }
}

const SYSTEM: &str = "[[task]]\nname = \"camera\"\nbackend = \"own\"\nmodel = \"camera.model\"\n\
                      period = \"50 ms\"\ndeadline = \"1 s\"\nwcet = \"20 ms\"\nqueue = 10\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("system.toml"), SYSTEM).unwrap();
    std::fs::write(folder.path().join("camera.model"), "weights = \"1 MiB\"").unwrap();
    folder
}

#[test]
fn a_backend_of_ones_own() {
    let folder = folder();
    let executions = Arc::new(AtomicU64::new(0));
    let finished = Runtime::builder()
        .backend(Box::new(Own::new(&executions)))
        .system(folder.path().join("system.toml"))
        .trace(folder.path().join("trace"))
        .duration(Nanos::from_millis(400))
        .seed(7)
        .run()
        .unwrap_or_else(|error| panic!("{error}"));
    let [camera] = finished.report.tasks.as_slice() else { panic!("{:?}", finished.report) };
    assert_eq!((camera.jobs, camera.met, camera.bound), (8, 8, Some(Nanos::from_millis(20))));
    assert!(executions.load(Ordering::Relaxed) >= 8);
    assert_eq!((finished.report.failed(), finished.report.lost), (0, 0));
    assert!(finished.verdict.admitted() && finished.trace.complete());
    assert_eq!(finished.trace.header().models[0].version, "own 1.0");
    assert_eq!(finished.trace.header().seed, Some(7));
    assert!(finished.trace_path.ends_with("trace") && finished.trace_path.exists());
    assert!(finished.plan.peak().0 >= 1 << 20);
}

#[test]
fn a_run_can_be_stopped() {
    let folder = folder();
    let runtime = Runtime::builder()
        .backend(Box::new(Own::new(&Arc::default())))
        .system(folder.path().join("system.toml"))
        .duration(Nanos::from_secs(3600));
    runtime.stop_handle().store(true, Ordering::Relaxed);
    let finished = runtime.run().unwrap_or_else(|error| panic!("{error}"));
    assert!(finished.report.jobs() <= 2, "{:?}", finished.report);
}

#[test]
fn errors_are_values() {
    let folder = folder();
    let unknown = Runtime::builder().system(folder.path().join("system.toml")).run().unwrap_err();
    assert!(matches!(unknown, Error::Source(_)), "{unknown}");
    assert!(
        unknown.to_string().contains("system.toml:3:11: task `camera`: unknown backend `own`"),
        "{unknown}"
    );
    let nothing = Runtime::builder().run().unwrap_err();
    assert!(matches!(nothing, Error::Argument(_)), "{nothing}");
    let none = Runtime::builder().system("none.toml").run().unwrap_err();
    assert_eq!((none.exit_code(), none.code()), (2, "bad_file"));

    let overloaded = SYSTEM.replace("wcet = \"20 ms\"", "wcet = \"60 ms\"");
    let file = SystemFile::parse(&folder.path().join("system.toml"), overloaded).unwrap();
    let error =
        Runtime::builder().backend(Box::new(Own::new(&Arc::default()))).system_file(file).run().unwrap_err();
    let Error::NotAdmitted { set, verdict } = &error else { panic!("{error}") };
    assert_eq!((set.tasks().len(), verdict.admitted(), error.exit_code()), (1, false, 3));
}
