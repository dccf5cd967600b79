//! One flow of executions on the stream and the memory of its binding.
use crate::ffi::Flow;
use crate::model::Parking;
use aegis_backend::{BackendError, DeviceSession, SegmentIndex};
use aegis_core::{Blame, Fault, FaultCode, Usable};
use std::sync::PoisonError;

pub(crate) struct TrtSession {
    /// There until the session is dropped.
    flow: Option<Flow>,
    parking: Parking,
    /// No execution has failed.
    sound: bool,
}

impl TrtSession {
    pub(crate) const fn new(flow: Flow, parking: Parking) -> Self {
        Self { flow: Some(flow), parking, sound: true }
    }
}

impl DeviceSession for TrtSession {
    fn enqueue(&mut self, segment: SegmentIndex) -> Result<(), BackendError> {
        if segment != 0 {
            return Err(BackendError::NoSuchSegment { segment, segments: 1 });
        }
        let Some(flow) = &mut self.flow else { return Err(failed("the session is closed".into())) };
        flow.enqueue().map_err(|why| {
            self.sound = false;
            // Where the device is lost the driver says so better than TensorRT.
            match flow.stream().map(|stream| stream.is_done()) {
                Some(Err(error)) if error.is_sticky() => error.into(),
                _ => failed(why),
            }
        })
    }
}

/// TensorRT said no; the session is not used again.
fn failed(why: String) -> BackendError {
    let fault = Fault { blame: Blame::Backend, code: FaultCode::ExecutionFailed, usable: Usable::Model };
    BackendError::Execution { why, fault }
}

impl Drop for TrtSession {
    /// Waits for the stream. A sound execution context is kept for the model's next session, so that opening one takes no
    /// device memory.
    fn drop(&mut self) {
        let Some(mut flow) = self.flow.take() else { return };
        if self.sound && flow.release().is_ok() {
            let mut parking = self.parking.lock().unwrap_or_else(PoisonError::into_inner);
            if parking.is_none() {
                *parking = Some(flow);
                return;
            }
        }
        drop(flow);
    }
}
