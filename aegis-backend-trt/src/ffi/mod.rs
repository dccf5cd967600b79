//! TensorRT's objects as owned values. The crate's only `unsafe`.
//!
//! Every call goes through the shim (`shim/shim.cpp`), whose functions do what their C++ namesakes do and check nothing.
//! Four rules make the wrappers here sound:
//! 1. A library that was loaded is never unloaded, and a voice (logger and error recorder) is never freed.
//! 2. An [`Engine`] frees its engine before its runtime before its allocator, and a [`Flow`] keeps its engine alive.
//! 3. A [`Flow`] keeps the stream and the memory that were bound to it until the stream has done what was put on it.
//! 4. Execution contexts of one engine may execute at the same time, each on one thread at a time. So [`Flow`] is `Send`
//!    and not `Sync`, and what reaches TensorRT takes `&mut`. Runtimes, and the contexts of one engine, are made and freed
//!    under a lock; the rest of [`Engine`], which is `Sync`, only reads.
#![allow(unsafe_code)]

mod budget;
mod engine;
mod flow;
mod library;
mod shim;
mod voice;

pub(crate) use budget::Refusal;
pub(crate) use engine::{Engine, Layout, NotLoaded, Port};
pub(crate) use flow::Flow;
pub(crate) use library::{Failure, Library, Opened};
pub(crate) use shim::versions;
