//! TVM's C interface: its libraries loaded at run time, its objects owned, its requests for memory answered. The crate's
//! only `unsafe`.
#![allow(unsafe_code)]

mod abi;
mod api;
mod image;
mod requests;
mod tensor;
mod vm;

pub use api::FfiVersion;
pub(crate) use api::{Api, Libraries, add, load};
pub(crate) use image::Library;
pub(crate) use requests::{Refused, Source};
pub(crate) use tensor::{Span, Tensor};
pub(crate) use vm::{Call, Recording, Times, Unrecorded, Vm};
