//! The time of a model's operators, one by one: for people, beside the production path and never in it.
use crate::ffi::Times;
use crate::model::TvmModel;
use aegis_backend::{BackendError, Binding, DeviceBinding, Model, Runner, fill_random};
use aegis_core::{Nanos, Rng};
use aegis_cuda::{Stream, StreamPriority};
use std::sync::{Arc, Mutex, PoisonError};

/// What one function of a model took. Functions of TVM's virtual machine, `vm.builtin.…`, are listed as well.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorTime {
    /// The function's name in the compiled module; fused operators have one together.
    pub name: String,
    /// How often it was called in one job.
    pub calls: u64,
    /// The time of all its calls in one job, the mean over the jobs. On a device it includes the launch and the wait for
    /// the device after each call, so that the sum is more than a job takes when nobody looks.
    pub time: Nanos,
}

/// Times the operators of a loaded model over `jobs` jobs on random inputs from `seed`, after one that is not counted.
pub(crate) fn profile(model: &TvmModel, jobs: u32, seed: u64) -> Result<Vec<OperatorTime>, BackendError> {
    let stream = model.context().map(|context| Stream::new(&context, StreamPriority::Usual)).transpose()?;
    let times = Arc::new(Mutex::new(Times::new(stream.clone())));
    let observed = model.observed(&times)?;
    let device = stream.map(|stream| DeviceBinding::alone(&stream, observed.facts())).transpose()?;
    let mut runner = Runner::open(&observed, &Binding { threads: None, device })?;
    let mut rng = Rng::new(seed);
    for (index, facts) in observed.facts().inputs.iter().enumerate() {
        if let Some(data) = runner.input_mut(index)? {
            fill_random(facts.dtype, data, &mut rng);
        }
    }
    let jobs = jobs.max(1);
    runner.run(0)?;
    times.lock().unwrap_or_else(PoisonError::into_inner).forget();
    for _ in 0..jobs {
        runner.run(0)?;
    }
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    let each = u64::from(jobs);
    let operator = |(name, calls, time): (&str, u64, Nanos)| OperatorTime {
        name: name.to_owned(),
        calls: calls / each,
        time: Nanos(time.0 / each),
    };
    Ok(times.calls().map(operator).collect())
}
