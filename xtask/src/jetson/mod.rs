//! Packages for Jetson, built on any Linux machine, and the pure crates' tests under an emulator.
mod needs;
mod package;
mod releases;
mod toolchain;

use crate::Findings;
use cargo_metadata::{CargoOpt, Metadata};
use needs::Needs;
use package::{Control, File, Tree};
use releases::{ALL_JETPACKS, JetPack, Version};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use toolchain::Found;

/// What Jetsons are, for the compiler.
const TARGET: &str = "aarch64-unknown-linux-gnu";

/// The JetPack of `--jetpack` where it is left out.
const USUAL: &str = "6";

/// Crates whose tests need nothing but a processor.
const PURE: [&str; 4] = ["aegis-core", "aegis-memory", "aegis-trace", "aegis-sched"];

/// Folders with the headers of TensorRT, for the build of its adapter.
const HEADERS: &str = "AEGIS_TENSORRT_INCLUDE";

/// What goes into the packages beside the command.
const PAPERS: [&str; 5] = ["LICENSE", "README.md", "CHANGELOG.md", "docs", "examples"];

/// What is to be done.
#[derive(Debug)]
enum Task {
    /// Build and pack.
    Pack { jetpack: &'static JetPack, features: Option<String> },
    /// Run the tests.
    Test,
    /// Print what the JetPacks bring.
    Table,
}

/// Does what the arguments after `jetson` say.
pub fn run(root: &Path, arguments: &[&str]) -> Findings {
    let done = match parse(arguments) {
        Ok(Task::Pack { jetpack, features }) => pack(root, jetpack, features.as_deref()),
        Ok(Task::Test) => test(root),
        Ok(Task::Table) => {
            println!("{}", table().join("\n"));
            Ok(())
        }
        Err(why) => Err(vec![why]),
    };
    done.err().unwrap_or_default()
}

fn parse(arguments: &[&str]) -> Result<Task, String> {
    let mut jetpack = None;
    let mut features = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().map(ToString::to_string).ok_or(format!("{argument} needs a value"));
        match *argument {
            "--jetpack" => jetpack = Some(value()?),
            "--features" => features = Some(value()?),
            "--test" if arguments.len() == 1 => return Ok(Task::Test),
            "--table" if arguments.len() == 1 => return Ok(Task::Table),
            "--test" | "--table" => return Err(format!("{argument} stands alone")),
            other => {
                return Err(format!(
                    "{other}: known are --jetpack NUMBER, --features LIST, and alone --test, --table"
                ));
            }
        }
    }
    let jetpack = JetPack::find(jetpack.as_deref().unwrap_or(USUAL))?;
    Ok(Task::Pack { jetpack, features })
}

/// What the JetPacks bring, as rows of a table in Markdown.
fn table() -> Vec<String> {
    let mut rows = vec![
        "| JetPack | releases | Ubuntu | glibc | CUDA driver | TensorRT headers | ONNX Runtime with CUDA |"
            .to_owned(),
        "|---|---|---|---|---|---|---|".to_owned(),
    ];
    rows.extend(ALL_JETPACKS.iter().map(|jetpack| {
        let JetPack { number, releases, ubuntu, cuda, onnxruntime_cuda, .. } = jetpack;
        let headers = versions(jetpack.tensorrt);
        let glibc = jetpack.glibc();
        format!("| {number} | {releases} | {ubuntu} | {glibc} | {cuda} | up to {headers} | up to {onnxruntime_cuda} |")
    }));
    rows
}

fn versions(versions: &[Version]) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Builds the command for a JetPack and packs it in both ways.
fn pack(root: &Path, jetpack: &JetPack, features: Option<&str>) -> Result<(), Findings> {
    let workspace = crate::metadata(root, CargoOpt::NoDefaultFeatures).map_err(one)?;
    let features = features.map_or_else(|| jetpack.features.join(","), str::to_owned);
    let found = Found::here();
    let linker = found.linker(jetpack)?;
    let headers = headers(jetpack).map_err(one)?;
    let built_for = format!(
        "Built for JetPack {} ({}): Ubuntu {}, CUDA {} or newer; features {features}; {}.",
        jetpack.number,
        jetpack.releases,
        jetpack.ubuntu,
        jetpack.cuda,
        match &headers[..] {
            [] => format!("no headers of TensorRT named in {HEADERS}"),
            some => format!("headers of TensorRT {}", versions(some)),
        }
    );
    println!("{built_for}\nlinker: {}", linker.name());
    for note in notes(&workspace, jetpack, &features) {
        println!("note: {note}");
    }

    let folder = workspace.target_directory.as_std_path().join("jetson");
    let variables = linker.variables(jetpack, &folder).map_err(one)?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--package", "aegisrt", "--bin", "aegis", "--target", TARGET]);
    cargo.args(["--no-default-features", "--features", &features]);
    cargo.envs(variables).env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo").current_dir(root);
    succeed(&mut cargo).map_err(one)?;

    let binary = workspace.target_directory.as_std_path().join(TARGET).join("release").join("aegis");
    let needs = Needs::parse(&found.readelf(&binary).map_err(one)?).map_err(one)?;
    let missing = needs.missing(jetpack);
    if !missing.is_empty() {
        return Err(missing);
    }
    if let Some(glibc) = needs.glibc() {
        println!("needs glibc {glibc}, has {}", jetpack.glibc());
    }
    match found.emulator() {
        Ok(emulator) => println!("starts, {}: {}", how(emulator), started(emulator, &binary).map_err(one)?),
        Err(why) => println!("NOT STARTED: {why}"),
    }

    let about = workspace.workspace_packages().into_iter().find(|package| package.name == "aegisrt");
    let about = about.ok_or_else(|| one("the workspace has no package aegisrt".to_owned()))?;
    let version = about.version.to_string();
    let libraries: BTreeSet<String> =
        headers.iter().map(|version| format!("libnvinfer{}", version.major())).collect();
    let suggests = libraries.into_iter().collect::<Vec<_>>().join(" | ");
    let control = Control {
        version: &format!("{version}+jetpack{}", jetpack.number),
        depends: &needs.depends(),
        suggests: &suggests,
        summary: about.description.as_deref().unwrap_or_default(),
        built_for: &built_for,
    };
    let program = File::program(read(&binary).map_err(one)?);
    let papers = papers(root).map_err(one)?;
    let name = format!("aegisrt-{version}-jetpack{}-aarch64", jetpack.number);
    let archive = package::tar_gz(&format!("{name}/"), &portable(program.clone(), &papers));
    write(&folder.join(format!("{name}.tar.gz")), archive).map_err(one)?;
    let deb = package::deb(&control, &installed(program, &papers));
    write(&folder.join(format!("aegisrt_{}_arm64.deb", control.version)), deb).map_err(one)
}

/// The tree of the tar archive: as the repository, and the command in `bin`.
fn portable(program: File, papers: &Tree) -> Tree {
    let mut tree = papers.clone();
    tree.insert("bin/aegis".to_owned(), program);
    tree
}

/// The tree of Debian's package.
fn installed(program: File, papers: &Tree) -> Tree {
    let place = |path: &str| match path {
        "LICENSE" => "usr/share/doc/aegisrt/copyright".to_owned(),
        path => format!("usr/share/doc/aegisrt/{path}"),
    };
    let mut tree: Tree = papers.iter().map(|(path, file)| (place(path), file.clone())).collect();
    tree.insert("usr/bin/aegis".to_owned(), program);
    tree
}

/// The papers that git tracks, by their path.
fn papers(root: &Path) -> Result<Tree, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--"])
        .args(PAPERS)
        .current_dir(root)
        .output()
        .map_err(|why| format!("git ls-files: {why}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let list = String::from_utf8_lossy(&output.stdout);
    let files = list.split('\0').filter(|file| !file.is_empty());
    files.map(|file| Ok((file.to_owned(), File::plain(read(&root.join(file))?)))).collect()
}

/// The versions of TensorRT, among those whose headers the build is told, that the JetPack's library can serve. Headers of
/// other versions do no harm beside them: the adapter chooses by the library that it finds.
fn headers(jetpack: &JetPack) -> Result<Vec<Version>, String> {
    let Some(folders) = std::env::var_os(HEADERS).filter(|folders| !folders.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut named = Vec::new();
    for folder in std::env::split_paths(&folders) {
        let file = folder.join("NvInferVersion.h");
        let text = String::from_utf8_lossy(&read(&file)?).into_owned();
        named.push(header_version(&text).ok_or_else(|| format!("{}: names no version", file.display()))?);
    }
    suitable(jetpack, &named)
}

fn suitable(jetpack: &JetPack, named: &[Version]) -> Result<Vec<Version>, String> {
    let suitable: Vec<Version> =
        named.iter().copied().filter(|version| jetpack.takes_headers(*version)).collect();
    if suitable.is_empty() {
        return Err(format!(
            "{HEADERS} names headers of TensorRT {}; JetPack {} has TensorRT {}, which needs its own or older ones of the same \
             first number",
            versions(named),
            jetpack.number,
            versions(jetpack.tensorrt)
        ));
    }
    Ok(suitable)
}

/// The version that `NvInferVersion.h` defines, directly or by another name.
fn header_version(text: &str) -> Option<Version> {
    let defined = |name: &str| {
        text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == "#define" && words.next()? == name).then_some(())?;
            words.next()
        })
    };
    let number = |name: &str| {
        let value = defined(name)?;
        value.parse().ok().or_else(|| defined(value)?.parse().ok())
    };
    let [major, minor, patch] =
        ["MAJOR", "MINOR", "PATCH"].map(|part| number(&format!("NV_TENSORRT_{part}")));
    Some(Version([major?, minor?, patch?]))
}

/// What a user of the package should know about it.
fn notes(workspace: &Metadata, jetpack: &JetPack, features: &str) -> Vec<String> {
    let mut notes = Vec::new();
    let adapter = workspace.packages.iter().find(|package| package.name == "aegis-backend-ort");
    let ort = adapter.and_then(|package| package.dependencies.iter().find(|used| used.name == "ort"));
    let minor =
        ort.and_then(|ort| ort.features.iter().find_map(|name| name.strip_prefix("api-")?.parse().ok()));
    if let Some(minor) = minor.filter(|_| features.split(',').any(|feature| feature == "ort")) {
        let needed = Version::new(1, minor);
        if needed > jetpack.onnxruntime_cuda {
            notes.push(format!(
                "the ONNX Runtime backend needs version {needed} or newer, and packages with CUDA for JetPack {} end at {}: it \
                 runs there on the CPU, with the library of the Python package `onnxruntime`",
                jetpack.number, jetpack.onnxruntime_cuda
            ));
        }
    }
    notes
}

/// Runs the tests of the pure crates as the target's programs.
fn test(root: &Path) -> Result<(), Findings> {
    let variables = Found::here().for_tests()?;
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--target", TARGET, "--tests", "--no-fail-fast"]);
    cargo.args(PURE.iter().flat_map(|name| ["--package", name]));
    succeed(cargo.envs(variables).current_dir(root)).map_err(one)
}

/// What the command answers when it is asked for its version.
fn started(emulator: &[String], binary: &Path) -> Result<String, String> {
    let mut words: Vec<PathBuf> = emulator.iter().map(PathBuf::from).collect();
    words.push(binary.to_path_buf());
    let said = |why: &dyn std::fmt::Display| {
        format!("{} does not start, {}: {why}", binary.display(), how(emulator))
    };
    let output =
        Command::new(&words[0]).args(&words[1..]).arg("--version").output().map_err(|why| said(&why))?;
    if !output.status.success() {
        return Err(said(&String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn how(emulator: &[String]) -> String {
    match emulator.first() {
        Some(program) => format!("emulated by {program}"),
        None => "on this machine".to_owned(),
    }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    println!("{shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(why) => Err(format!("{shown}: {why}")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|why| format!("{}: {why}", path.display()))
}

fn write(path: &Path, bytes: std::io::Result<Vec<u8>>) -> Result<(), String> {
    let write = || {
        let bytes = bytes?;
        std::fs::create_dir_all(path.parent().unwrap_or(path))?;
        std::fs::write(path, &bytes)?;
        println!("{} ({} KiB)", path.display(), bytes.len().div_ceil(1024));
        Ok(())
    };
    write().map_err(|why: std::io::Error| format!("{}: {why}", path.display()))
}

fn one(finding: String) -> Findings {
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let packs = |words: &[&str]| match parse(words) {
            Ok(Task::Pack { jetpack, features }) => format!("{} {features:?}", jetpack.number),
            other => format!("{other:?}"),
        };
        assert_eq!(packs(&[]), "6 None");
        assert_eq!(packs(&["--jetpack", "5"]), "5 None");
        assert_eq!(packs(&["--features", "rten,ort", "--jetpack", "7"]), r#"7 Some("rten,ort")"#);
        assert!(matches!(parse(&["--test"]), Ok(Task::Test)));
        assert!(matches!(parse(&["--table"]), Ok(Task::Table)));
        for (words, said) in [
            (&["--jetpack"][..], "--jetpack needs a value"),
            (&["--jetpack", "4"], "--jetpack 4: known are 5, 6, 7"),
            (&["--test", "--jetpack", "5"], "--test stands alone"),
            (&["--jetpack", "5", "--table"], "--table stands alone"),
            (&["6"], "6: known are --jetpack NUMBER"),
        ] {
            assert!(parse(words).unwrap_err().starts_with(said), "{words:?}");
        }
    }

    #[test]
    fn the_document_has_the_table() {
        let document = std::fs::read_to_string(crate::root().join("docs/JETSON.md")).unwrap();
        for row in table() {
            assert!(
                document.contains(&row),
                "docs/JETSON.md lacks the row `{row}`: see `cargo xtask jetson --table`"
            );
        }
    }

    #[test]
    fn versions_of_headers() {
        let direct = "#define NV_TENSORRT_MAJOR 8 //!< TensorRT major version.\n#define NV_TENSORRT_MINOR 6\n\
                      #define NV_TENSORRT_PATCH 1\n";
        let named = "#define MAJOR_OF_IT 10\n#define MINOR_OF_IT 16\n#define NV_TENSORRT_MAJOR MAJOR_OF_IT\n\
                     #define NV_TENSORRT_MINOR MINOR_OF_IT //!< minor\n\
                     #define NV_TENSORRT_PATCH 0\n";
        assert_eq!(header_version(direct), Some(Version([8, 6, 1])));
        assert_eq!(header_version(named), Some(Version([10, 16, 0])));
        for text in [
            "",
            "#define NV_TENSORRT_MAJOR 8\n#define NV_TENSORRT_MINOR 6",
            "#define NV_TENSORRT_MAJOR A\n#define NV_TENSORRT_MINOR 1",
        ] {
            assert_eq!(header_version(text), None, "{text}");
        }
    }

    #[test]
    fn headers_that_suit() {
        let [old, new] = [Version([8, 5, 2]), Version([10, 3, 0])];
        let suit = |number, named: &[Version]| suitable(JetPack::find(number).unwrap(), named);
        assert_eq!(suit("5", &[new, old]), Ok(vec![old]));
        assert_eq!(suit("6", &[new, old]), Ok(vec![new, old]));
        let error = suit("7", &[old]).unwrap_err();
        assert!(error.contains("names headers of TensorRT 8.5.2; JetPack 7 has TensorRT 10.13"), "{error}");
    }

    #[test]
    fn where_files_go() {
        let papers = papers(&crate::root()).unwrap();
        for file in ["LICENSE", "README.md", "docs/ARCHITECTURE.md", "examples/mvp.toml"] {
            assert!(papers.contains_key(file), "{file}");
        }
        let program = || File::program(vec![1]);
        assert_eq!(portable(program(), &papers)["bin/aegis"], program());
        let installed = installed(program(), &papers);
        for file in
            ["usr/bin/aegis", "usr/share/doc/aegisrt/copyright", "usr/share/doc/aegisrt/examples/mvp.toml"]
        {
            assert!(installed.contains_key(file), "{file}");
        }
        assert_eq!(installed.len(), papers.len() + 1);
    }

    #[test]
    fn an_old_onnx_runtime_is_noted() {
        let workspace = crate::metadata(&crate::root(), CargoOpt::NoDefaultFeatures).unwrap();
        let noted = |number, features| notes(&workspace, JetPack::find(number).unwrap(), features).join("\n");
        assert!(noted("5", "rten,ort").contains("with CUDA for JetPack 5 end at 1.18"));
        for (number, features) in [("5", "rten"), ("6", "ort"), ("7", "ort")] {
            assert_eq!(noted(number, features), "", "{number} {features}");
        }
    }
}
