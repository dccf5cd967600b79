//! Runs what README.md says can be run: the lines of its fences marked `sh run`, with the exit codes that it promises.
//!
//! Every line is a shell command of its own, run in a scratch folder that holds links to the repository's files, with
//! the release build of `aegis` first on the path. `# exits 3` at the end of a line promises that exit code; without it
//! the promise is 0. A `\` at the end continues a command on the next line.
use crate::Findings;
use cargo_metadata::CargoOpt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The opening of a fence whose commands are run.
const FENCE: &str = "```sh run";

/// A command of the README.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    command: String,
    exits: i32,
}

/// Builds the command and runs the README's.
pub fn check(root: &Path) -> Findings {
    let lines = match std::fs::read_to_string(root.join("README.md")) {
        Ok(text) => commands(&text),
        Err(why) => return vec![format!("README.md: {why}")],
    };
    let lines = match lines {
        Ok(lines) if lines.is_empty() => {
            return vec![format!("README.md: has no fence that begins with {FENCE}")];
        }
        Ok(lines) => lines,
        Err(finding) => return vec![finding],
    };
    match prepare(root) {
        Ok((scratch, binaries)) => run(&lines, &scratch, &binaries),
        Err(why) => vec![why],
    }
}

/// The commands of all marked fences.
fn commands(readme: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let mut running = false;
    let mut begun: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(readme.lines()) {
        if line.trim_start().starts_with("```") {
            running = !running && line.trim() == FENCE;
            if let Some((number, _)) = begun {
                return Err(format!("README.md:{number}: the command ends in `\\`"));
            }
            continue;
        }
        let text = line.trim();
        if !running || (begun.is_none() && (text.is_empty() || text.starts_with('#'))) {
            continue;
        }
        let (first, mut command) = begun.take().unwrap_or((number, String::new()));
        if let Some(part) = text.strip_suffix('\\') {
            command.push_str(part);
            begun = Some((first, command));
            continue;
        }
        command.push_str(text);
        lines.push(match command.rsplit_once("# exits ") {
            Some((before, code)) => Line {
                number: first,
                command: before.trim_end().to_string(),
                exits: code
                    .split(|c: char| !c.is_ascii_digit())
                    .next()
                    .and_then(|digits| digits.parse().ok())
                    .ok_or_else(|| format!("README.md:{number}: `# exits {code}` names no exit code"))?,
            },
            None => Line { number: first, command, exits: 0 },
        });
    }
    match begun {
        Some((number, _)) => Err(format!("README.md:{number}: the command ends in `\\`")),
        None => Ok(lines),
    }
}

/// Builds `aegis`, makes an empty scratch folder below the repository (so that `cargo` finds the workspace) and links
/// the repository's files into it. Gives that folder and the one of the binaries.
fn prepare(root: &Path) -> Result<(PathBuf, PathBuf), String> {
    let built = Command::new("cargo").args(["build", "--release", "--quiet"]).current_dir(root).status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("cargo build --release failed".to_string());
    }
    let binaries =
        crate::metadata(root, CargoOpt::SomeFeatures(Vec::new()))?.target_directory.join("release");
    let scratch = root.join("target/readme");
    link_all(root, &scratch).map_err(|why| format!("{}: {why}", scratch.display()))?;
    Ok((scratch, binaries.into_std_path_buf()))
}

/// Cargo's own files stay away: with them the scratch folder would be a workspace, to be built again.
fn link_all(root: &Path, scratch: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(scratch) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => std::fs::create_dir_all(scratch)?,
    }
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && !name.starts_with("target") && !name.starts_with("Cargo.") {
            std::os::unix::fs::symlink(entry.path(), scratch.join(&*name))?;
        }
    }
    Ok(())
}

fn run(lines: &[Line], folder: &Path, binaries: &Path) -> Findings {
    let mut paths = vec![binaries.to_path_buf()];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let path = std::env::join_paths(paths).unwrap_or_default();
    let mut findings = Findings::new();
    for Line { number, command, exits } in lines {
        let start = Instant::now();
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .current_dir(folder)
            .env("PATH", &path)
            .stdin(Stdio::null())
            .output();
        println!("  README.md:{number}: {command}  ({:.1} s)", start.elapsed().as_secs_f64());
        match output {
            Ok(output) if output.status.code() == Some(*exits) => {}
            Ok(output) => findings.push(format!(
                "README.md:{number}: `{command}` should exit with {exits}, but: {}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )),
            Err(why) => findings.push(format!("README.md:{number}: bash: {why}")),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{Line, commands, link_all, run};
    use std::path::Path;
    use std::process::Command;

    fn line(number: usize, command: &str, exits: i32) -> Line {
        Line { number, command: command.to_string(), exits }
    }

    #[test]
    fn marked_fences_only() {
        let readme = "\
# Title
```sh
not this
```
```sh run
# a remark
one --flag   # a remark stays

two \\
  --more  # exits 3
three # exits 1: as two is gone
```
`inline`
```toml
x = 1
```
```sh run
four
```
";
        assert_eq!(
            commands(readme).unwrap(),
            [
                line(7, "one --flag   # a remark stays", 0),
                line(9, "two --more", 3),
                line(11, "three", 1),
                line(18, "four", 0)
            ]
        );
    }

    #[test]
    fn what_cannot_be_read() {
        for (readme, says) in [
            ("```sh run\na # exits soon\n```", "README.md:2: `# exits soon` names no exit code"),
            ("```sh run\na \\\n```", "README.md:2: the command ends in `\\`"),
            ("```sh run\na \\", "README.md:2: the command ends in `\\`"),
        ] {
            assert_eq!(commands(readme).unwrap_err(), says);
        }
        assert_eq!(commands("no fences").unwrap(), []);
    }

    #[test]
    fn the_scratch_folder_shows_the_repository_and_is_no_workspace() {
        let root = crate::root();
        let scratch = root.join("target/readme-test");
        for _ in 0..2 {
            link_all(&root, &scratch).unwrap();
            std::fs::write(scratch.join("left-over"), "").unwrap();
        }
        std::fs::remove_file(scratch.join("left-over")).unwrap();
        assert!(scratch.join("xtask/src/readme.rs").is_file());
        for absent in ["Cargo.toml", "Cargo.lock", "target", ".git"] {
            assert!(scratch.join(absent).symlink_metadata().is_err(), "{absent}");
        }
        let located = Command::new("cargo")
            .args(["locate-project", "--workspace", "--message-format=plain"])
            .current_dir(&scratch)
            .output()
            .unwrap();
        assert_eq!(Path::new(String::from_utf8_lossy(&located.stdout).trim()), root.join("Cargo.toml"));
        std::fs::remove_dir_all(&scratch).unwrap();
        assert!(root.join("xtask/src/readme.rs").is_file(), "links were removed, not what they point to");
    }

    #[test]
    fn promised_exit_codes() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = |command, exits| run(&[line(5, command, exits)], here, here).join("\n");
        for (command, exits) in [("true", 0), ("exit 3", 3), ("test -f Cargo.toml", 0), ("false | true", 1)] {
            assert_eq!(found(command, exits), "", "{command}");
        }
        for (command, exits, says) in [
            (
                "echo why; exit 4",
                3,
                "README.md:5: `echo why; exit 4` should exit with 3, but: exit status: 4\nwhy",
            ),
            ("true", 1, "should exit with 1, but: exit status: 0"),
            ("no-such-command-here", 0, "exit status: 127"),
            ("kill -9 $$", 0, "signal: 9"),
        ] {
            assert!(found(command, exits).contains(says), "{command}: {}", found(command, exits));
        }
    }
}
