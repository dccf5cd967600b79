//! What cross-building needs on this machine: the standard library for the target, a linker, an emulator; and how to get
//! what is missing.
use super::TARGET;
use super::releases::{JetPack, Version};
use crate::Findings;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// GNU's cross compiler, as Debian, Ubuntu and Fedora call it.
const GCC: &str = "aarch64-linux-gnu-gcc";

/// Where Debian and Ubuntu put the target's C library for that compiler.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";

/// The variable with which Cargo is told a linker; where the user has set it, it is the user's choice.
const LINKER: &str = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER";

/// The variable with which Cargo is told what starts a test.
const RUNNER: &str = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER";

/// What was found on this machine.
#[derive(Debug, Default)]
pub struct Found {
    /// Whether this machine is the target's kind itself.
    native: bool,
    /// Whether the compiler has the standard library for the target, or how it gets one.
    std: Std,
    /// The linker that the user has set.
    told: Option<String>,
    /// GNU's cross compiler.
    gcc: bool,
    /// The words that start zig.
    zig: Option<Vec<String>>,
    /// The words that start a program of the target.
    emulator: Option<Vec<String>>,
    /// A `readelf`.
    readelf: Option<String>,
}

/// The standard library for the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Std {
    /// It is there.
    Here,
    /// It is not, and rustup can bring it.
    FromRustup,
    /// It is not, and there is no rustup.
    #[default]
    FromPackages,
}

/// How the target's binaries are linked.
#[derive(Debug, PartialEq, Eq)]
pub enum Linker {
    /// As the machine or the user has it, the words that say so.
    Given(String),
    /// GNU's cross compiler, with the C library of its package.
    Gcc,
    /// zig, which links for any version of the C library.
    Zig(Vec<String>),
}

impl Found {
    /// Looks for all of it.
    pub fn here() -> Self {
        let native = cfg!(all(target_arch = "aarch64", target_os = "linux"));
        let first = |candidates: &[&[&str]], ask: &str| -> Option<Vec<String>> {
            let words = candidates.iter().find(|words| answers(words, ask))?;
            Some(words.iter().map(ToString::to_string).collect())
        };
        let emulator =
            first(&[&["qemu-aarch64-static"], &["qemu-aarch64"]], "--version").and_then(with_libraries);
        let readelfs: &[&[&str]] = &[&["readelf"], &["aarch64-linux-gnu-readelf"], &["llvm-readelf"]];
        let std = if has_std() {
            Std::Here
        } else if answers(&["rustup"], "--version") {
            Std::FromRustup
        } else {
            Std::FromPackages
        };
        Self {
            native,
            std,
            told: std::env::var(LINKER).ok().filter(|linker| !linker.is_empty()),
            gcc: answers(&[GCC], "--version"),
            zig: first(&[&["zig"], &["python3", "-m", "ziglang"]], "version"),
            emulator: if native { Some(Vec::new()) } else { emulator },
            readelf: first(readelfs, "--version").and_then(|mut words| words.pop()),
        }
    }

    /// The linker for a C library that is not newer than the JetPack's, or what is missing for a build.
    pub fn linker(&self, jetpack: &JetPack) -> Result<Linker, Findings> {
        let mut findings = self.without_std();
        if self.readelf.is_none() {
            findings.push("no `readelf`, which shows what a binary needs: `apt install binutils`".to_owned());
        }
        // GNU's cross compiler of the distributions that are built on today has a C library of 2.34 or newer.
        let gcc_suits = jetpack.glibc() >= Version::new(2, 34);
        let gcc = self.gcc.then_some(Linker::Gcc);
        let zig = self.zig.clone().map(Linker::Zig);
        let found = match &self.told {
            Some(linker) => Some(Linker::Given(format!("{linker}, as {LINKER} says"))),
            None if self.native => Some(Linker::Given("this machine's".to_owned())),
            None if gcc_suits => gcc.or(zig),
            None => zig.or(gcc),
        };
        match found {
            Some(linker) if findings.is_empty() => Ok(linker),
            Some(_) => Err(findings),
            None => {
                findings.push(format!(
                    "no linker for {TARGET}: `apt install gcc-aarch64-linux-gnu g++-aarch64-linux-gnu` brings GNU's, whose \
                     C library is that of the distribution; `pip install ziglang` brings one for any version"
                ));
                Err(findings)
            }
        }
    }

    /// The environment in which Cargo builds and runs the target's tests, or what is missing for it.
    pub fn for_tests(&self) -> Result<Vec<(String, String)>, Findings> {
        let mut findings = self.without_std();
        if self.native {
            return if findings.is_empty() { Ok(Vec::new()) } else { Err(findings) };
        }
        // Tests run with the libraries of GNU's cross compiler, so they are linked with it.
        if self.told.is_none() && !self.gcc {
            findings.push(format!("no `{GCC}`: `apt install gcc-aarch64-linux-gnu`"));
        }
        let Some(emulator) = &self.emulator else {
            findings.push(no_emulator());
            return Err(findings);
        };
        if !findings.is_empty() {
            return Err(findings);
        }
        let mut variables = vec![(RUNNER.to_owned(), emulator.join(" "))];
        if self.told.is_none() {
            variables.push((LINKER.to_owned(), GCC.to_owned()));
        }
        Ok(variables)
    }

    /// What a program of the target is started with: nothing on a machine of its kind.
    pub fn emulator(&self) -> Result<&[String], String> {
        self.emulator.as_deref().ok_or_else(no_emulator)
    }

    /// The output of `readelf` on a file.
    pub fn readelf(&self, file: &Path) -> Result<String, String> {
        let program = self.readelf.as_deref().unwrap_or("readelf");
        let output = Command::new(program)
            .args(["--wide", "--dynamic", "--version-info"])
            .arg(file)
            .env("LC_ALL", "C")
            .output()
            .map_err(|why| format!("{program}: {why}"))?;
        if !output.status.success() {
            return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn without_std(&self) -> Findings {
        let how = match self.std {
            Std::Here => return Findings::new(),
            Std::FromRustup => format!("`rustup target add {TARGET}`"),
            Std::FromPackages => "on Debian `dpkg --add-architecture arm64 && apt update && apt install \
                               libstd-rust-dev:arm64`, of the same version as rustc; or install rustup"
                .to_owned(),
        };
        vec![format!("the compiler has no standard library for {TARGET}: {how}")]
    }
}

impl Linker {
    /// What is told to Cargo, and to the crate `cc` where a dependency compiles C++. Zig is started by scripts that are
    /// written below `folder`.
    pub fn variables(&self, jetpack: &JetPack, folder: &Path) -> Result<Vec<(String, String)>, String> {
        let all = |cc: &str, cxx: &str, ar: &str| {
            let tool = |name: &str| format!("{name}_{}", TARGET.replace('-', "_"));
            let pairs = [(LINKER.to_owned(), cc), (tool("CC"), cc), (tool("CXX"), cxx), (tool("AR"), ar)];
            pairs.map(|(name, value)| (name, value.to_owned())).to_vec()
        };
        match self {
            Self::Given(_) => Ok(Vec::new()),
            Self::Gcc => Ok(all(GCC, "aarch64-linux-gnu-g++", "aarch64-linux-gnu-ar")),
            Self::Zig(words) => {
                let glibc = jetpack.glibc();
                let scripts: Vec<PathBuf> = ["cc", "c++", "ar"]
                    .iter()
                    .map(|tool| {
                        script(&folder.join(format!("zig-{glibc}")), tool, &zig_script(words, tool, glibc))
                    })
                    .collect::<Result<_, _>>()?;
                let [cc, cxx, ar] = [0, 1, 2].map(|i: usize| scripts[i].display().to_string());
                Ok(all(&cc, &cxx, &ar))
            }
        }
    }

    /// Its name, for people.
    pub fn name(&self) -> String {
        match self {
            Self::Given(words) => words.clone(),
            Self::Gcc => GCC.to_owned(),
            Self::Zig(words) => format!("{} cc", words.join(" ")),
        }
    }
}

/// A script that starts one of zig's tools. The target is stated in zig's form, with the version of the C library, so the
/// one that `cc` states is left out.
fn zig_script(words: &[String], tool: &str, glibc: Version) -> String {
    let target = if tool == "ar" { String::new() } else { format!(" -target aarch64-linux-gnu.{glibc}") };
    format!(
        "#!/bin/sh\nfor argument in \"$@\"; do\n  shift\n  case \"$argument\" in\n    --target=*) ;;\n    \
         *) set -- \"$@\" \"$argument\" ;;\n  esac\ndone\nexec {} {tool}{target} \"$@\"\n",
        words.join(" ")
    )
}

/// Writes a script that can be executed.
fn script(folder: &Path, name: &str, text: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    let write = || {
        std::fs::create_dir_all(folder)?;
        std::fs::write(&path, text)?;
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(())
    };
    write().map_err(|why: std::io::Error| format!("{}: {why}", path.display()))?;
    Ok(path)
}

/// The emulator and where it finds the target's libraries, unless the user has said so in qemu's own variable.
fn with_libraries(mut words: Vec<String>) -> Option<Vec<String>> {
    if std::env::var_os("QEMU_LD_PREFIX").is_none() {
        Path::new(SYSROOT).join("lib/ld-linux-aarch64.so.1").exists().then_some(())?;
        words.extend(["-L".to_owned(), SYSROOT.to_owned()]);
    }
    Some(words)
}

fn no_emulator() -> String {
    format!(
        "no `qemu-aarch64` with the target's libraries in {SYSROOT}: `apt install qemu-user-static \
         libc6-dev-arm64-cross`, or name their folder in QEMU_LD_PREFIX"
    )
}

/// Whether a program is there and ends well when it is asked for its version.
fn answers(words: &[&str], ask: &str) -> bool {
    let Some((program, arguments)) = words.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(arguments).arg(ask).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether the folder in which the compiler looks for the target's standard library has it.
fn has_std() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(output) = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()
    else {
        return false;
    };
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let is_std = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("libstd-");
    std::fs::read_dir(folder).is_ok_and(|files| files.flatten().any(|file| is_std(&file.file_name())))
}

#[cfg(test)]
mod tests {
    use super::{Found, Linker, Std, zig_script};
    use crate::jetson::releases::{JetPack, Version};
    use std::process::Command;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// A machine that lacks nothing.
    fn complete() -> Found {
        Found {
            native: false,
            std: Std::Here,
            told: None,
            gcc: true,
            zig: Some(words("zig")),
            emulator: Some(words("qemu-aarch64 -L /lib")),
            readelf: Some("readelf".to_owned()),
        }
    }

    #[test]
    fn the_linker_suits_the_jetpack() {
        let zig = || Linker::Zig(words("zig"));
        let given = |text: &str| Linker::Given(text.to_owned());
        let told = "mold, as CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER says";
        for (found, jetpack, expected) in [
            (complete(), "5", zig()),
            (complete(), "6", Linker::Gcc),
            (complete(), "7", Linker::Gcc),
            (Found { zig: None, ..complete() }, "5", Linker::Gcc),
            (Found { gcc: false, ..complete() }, "6", zig()),
            (Found { native: true, gcc: false, zig: None, ..complete() }, "5", given("this machine's")),
            (Found { told: Some("mold".to_owned()), ..complete() }, "6", given(told)),
        ] {
            assert_eq!(found.linker(JetPack::find(jetpack).unwrap()), Ok(expected), "{found:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_brings_it() {
        let none = Found::default();
        for (found, said) in [
            (
                Found { std: Std::FromRustup, ..complete() },
                vec!["`rustup target add aarch64-unknown-linux-gnu`"],
            ),
            (Found { std: Std::FromPackages, ..complete() }, vec!["libstd-rust-dev:arm64"]),
            (Found { gcc: false, zig: None, ..complete() }, vec!["apt install gcc-aarch64-linux-gnu"]),
            (Found { readelf: None, ..complete() }, vec!["apt install binutils"]),
            (none, vec!["libstd-rust-dev:arm64", "apt install binutils", "pip install ziglang"]),
        ] {
            let findings = found.linker(JetPack::find("6").unwrap()).unwrap_err();
            assert_eq!(findings.len(), said.len(), "{findings:?}");
            for (finding, said) in findings.iter().zip(said) {
                assert!(finding.contains(said), "{finding}");
            }
        }
    }

    #[test]
    fn what_tests_need() {
        let linker = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER";
        let runner = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let run = || pair(runner, "qemu-aarch64 -L /lib");
        assert_eq!(complete().for_tests(), Ok(vec![run(), pair(linker, "aarch64-linux-gnu-gcc")]));
        assert_eq!(
            Found { told: Some("x".to_owned()), gcc: false, ..complete() }.for_tests(),
            Ok(vec![run()])
        );
        assert_eq!(Found { native: true, std: Std::Here, ..Found::default() }.for_tests(), Ok(vec![]));
        let findings = Found::default().for_tests().unwrap_err().join("\n");
        for said in
            ["libstd-rust-dev:arm64", "apt install gcc-aarch64-linux-gnu", "apt install qemu-user-static"]
        {
            assert!(findings.contains(said), "{findings}");
        }
        assert!(Found { emulator: None, ..complete() }.emulator().unwrap_err().contains("qemu-user-static"));
    }

    #[test]
    fn variables_name_all_tools() {
        let jetpack = JetPack::find("5").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let names = |linker: &Linker| -> Vec<String> {
            linker.variables(jetpack, folder.path()).unwrap().into_iter().map(|(name, _)| name).collect()
        };
        let expected = [
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            "CC_aarch64_unknown_linux_gnu",
            "CXX_aarch64_unknown_linux_gnu",
            "AR_aarch64_unknown_linux_gnu",
        ];
        assert_eq!(names(&Linker::Gcc), expected);
        assert_eq!(names(&Linker::Zig(words("zig"))), expected);
        assert!(folder.path().join("zig-2.31/c++").is_file());
        assert!(names(&Linker::Given(String::new())).is_empty());
    }

    /// The script is run with `echo` in zig's place.
    #[cfg(unix)]
    #[test]
    fn the_script_leaves_out_the_target_of_others() {
        for (tool, expected) in [
            ("cc", "cc -target aarch64-linux-gnu.2.31 -c a  b -o c"),
            ("c++", "c++ -target aarch64-linux-gnu.2.31 -c a  b -o c"),
            ("ar", "ar -c a  b -o c"),
        ] {
            let text = zig_script(&words("echo"), tool, Version::new(2, 31));
            let arguments = ["-c", "a  b", "--target=aarch64-unknown-linux-gnu", "-o", "c"];
            let output = Command::new("sh").args(["-c", &text, "sh"]).args(arguments).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected);
        }
    }
}
