//! The `aegis` command.
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(aegisrt::cli::main())
}
