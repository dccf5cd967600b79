//! Project tasks: what CI runs, and its parts one by one.
#![forbid(unsafe_code)]

mod campaign;
mod ci;
mod curves;
mod jetson;
mod layers;
mod licences;
mod mutants;
mod readme;
mod replay;
mod rust_text;
mod soak;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <task>

  ci       everything below and the compiler's checks, tests and documents, in order; stops at the first failure
  layers   which crate may use which; prints the table
  tidy     first lines, unsafe code's addresses, paths in documents, licences of dependencies, marks of unfinished work
  readme   runs the commands of README.md that are marked `sh run`
  jetson   packages for Jetson: [--jetpack 5|6|7] [--features LIST]; --test runs the pure crates' tests emulated,
           --table prints what the JetPacks bring
  campaign exact | sound | peers | explain [--sets N] [--jobs N] [--runs N] [--seed S]: the evidence for the analyses and
           the explanations, as large as asked for
  campaign tamper | hostile | recovery [--mutations N] [--files N] [--kills N] [--seed S]: the same for trace files
  soak     [--seconds N] [--rate R] [--ring BYTES] [--stall MS]: records at a rate while the file stalls, and counts
  replay   [--decisions N]: the same decisions in the debug and in the release profile
  mutants  [--sample N] [--only TEXT]: seeded defects in the analyses and the scheduler, and which test notices each
  curves   [--sets N]: docs/acceptance.csv and .svg, the share of random sets that each policy admits
  help     this text
";

/// What a task found wrong, one line each: `file:line: what` where there is a place. Empty is good.
type Findings = Vec<String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = root();
    let findings = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["ci"] => return ci::run(&root),
        ["layers"] => {
            print!("{}", layers::table());
            layers::check(&root)
        }
        ["tidy"] => tidy::check(&root),
        ["readme"] => readme::check(&root),
        ["curves", rest @ ..] => curves::run(&root, rest),
        ["mutants", rest @ ..] => mutants::run(&root, rest),
        ["replay", rest @ ..] => replay::run(&root, rest),
        ["campaign", rest @ ..] => campaign::run(&root, rest),
        ["soak", rest @ ..] => soak::run(&root, rest),
        ["jetson", rest @ ..] => jetson::run(&root, rest),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The repository's root: the folder above this crate.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).parent().expect("xtask lies in the repository").to_path_buf()
}

/// The workspace as Cargo sees it, or the reason why it does not.
fn metadata(root: &Path, options: cargo_metadata::CargoOpt) -> Result<cargo_metadata::Metadata, String> {
    cargo_metadata::MetadataCommand::new()
        .current_dir(root)
        .features(options)
        .exec()
        .map_err(|why| format!("cargo metadata: {why}"))
}
