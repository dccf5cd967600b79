//! Providers that compute on a stream of ours.
#![allow(unsafe_code)]

use aegis_cuda::Stream;
use ort::ep::{CUDA, TensorRT};
use std::sync::Arc;

/// Both providers, told to use `stream`. Whoever makes an ONNX Runtime session with one of them keeps the stream as long
/// as the session: `Engine` in `engine.rs` is the only one that does, and it owns both.
pub(crate) fn compute_on(cuda: CUDA, tensorrt: TensorRT, stream: &Arc<Stream>) -> (CUDA, TensorRT) {
    let raw = stream.raw().cast();
    // SAFETY: the stream outlives every session made with these providers: `Engine` drops its session before its stream.
    unsafe { (cuda.with_compute_stream(raw), tensorrt.with_compute_stream(raw)) }
}
