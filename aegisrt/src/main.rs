//! The `aegis` command.
#![forbid(unsafe_code)]

use aegisrt::heap::CountingAllocator;
use std::process::ExitCode;

/// So that the scratch of models which take it from this program's heap can be measured.
#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    ExitCode::from(aegisrt::cli::main())
}
