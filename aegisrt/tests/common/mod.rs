//! Running the `aegis` command in a folder of its own, and looking at what it says.
#![allow(dead_code, reason = "each test file uses a part")]
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A folder that is gone after the test.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn with(name: &str, content: impl AsRef<[u8]>) -> Self {
        let folder = Self::new();
        folder.write(name, content);
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Runs `aegis` here, with the words of `command` as its arguments.
    pub fn aegis(&self, command: &str) -> Answer {
        self.aegis_with(&command.split_whitespace().collect::<Vec<_>>())
    }

    pub fn aegis_with(&self, args: &[&str]) -> Answer {
        run(self.0.path(), args)
    }

    /// Runs `aegis --format json` here and expects this exit code.
    pub fn json(&self, command: &str, code: i32) -> Value {
        let answer = self.aegis(&format!("--format json {command}"));
        assert_eq!(answer.code, code, "{command}: {answer:?}");
        answer.json()
    }
}

/// The folder with the examples that the documentation names.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// What the command said.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// Standard output as the one JSON value that it must be.
    pub fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        assert_eq!(value["schema_version"], 1, "{self:?}");
        value
    }
}

/// Runs `aegis` in `folder`, without a terminal.
pub fn run(folder: &Path, args: &[&str]) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_aegis"))
        .args(args)
        .current_dir(folder)
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the command writes UTF-8");
    let answer = Answer {
        code: output.status.code().expect("the command was not killed by a signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    // The one panic that may be seen is the one that a simulated model was asked for.
    let asked_for = answer.stderr.contains("simulated panic in execution");
    for slip in ["panicked at", "unwrap", "RUST_BACKTRACE"] {
        assert!(asked_for || !answer.stderr.contains(slip), "{args:?}: {answer:?}");
    }
    answer
}

/// Removes the mark `§` from a text and returns the line and column where it stood.
pub fn marked(content: &str) -> (String, Option<(usize, usize)>) {
    let Some((before, after)) = content.split_once('§') else { return (content.to_owned(), None) };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (format!("{before}{after}"), Some((line, column)))
}

/// Expects that `command` (which names `file`) refuses this file as bad input: with exit code 2, with a message that
/// has all of `says`, and pointing at the place marked with `§`, for people and for programs.
pub fn refuses(command: &str, file: &str, content: &str, says: &[&str]) {
    let (content, place) = marked(content);
    refuses_bytes(command, file, content.as_bytes(), says, place);
}

/// The same for any bytes.
pub fn refuses_bytes(
    command: &str,
    file: &str,
    content: &[u8],
    says: &[&str],
    place: Option<(usize, usize)>,
) {
    let folder = Folder::with(file, content);
    refuses_in(&folder, command, file, says, place);
}

/// The same for a folder that holds the files already.
pub fn refuses_in(folder: &Folder, command: &str, file: &str, says: &[&str], place: Option<(usize, usize)>) {
    let people = folder.aegis(command);
    let context = format!("{command}: {people:?}");
    assert_eq!(people.code, 2, "{context}");
    assert_eq!(people.stdout, "", "{context}");
    let heading = match place {
        Some((line, column)) => format!("error: {file}:{line}:{column}: "),
        None => format!("error: {file}: "),
    };
    assert!(people.stderr.starts_with(&heading), "expected {heading}\n{context}");

    let programs = folder.aegis(&format!("--format json {command}"));
    assert_eq!(programs.code, 2, "{programs:?}");
    let value = programs.json();
    let error = &value["error"];
    assert_eq!(error["code"], "bad_file", "{value}");
    assert_eq!(error["file"], file, "{value}");
    let given = error["line"].as_u64().zip(error["column"].as_u64());
    assert_eq!(given, place.map(|(line, column)| (line as u64, column as u64)), "{value}");
    let message = error["message"].as_str().unwrap();
    for part in says {
        assert!(message.contains(part), "expected `{part}` in\n{message}\n{context}");
    }
    for word in ["struct ", "u64", "u32", "f64", "invalid type"] {
        assert!(!message.contains(word), "`{word}` is not a word of the file: {message}");
    }
}

/// `sound` with one to four mistakes drawn from `seed`: bytes changed, removed, repeated, or parts swapped in.
pub fn mangled(sound: &[u8], seed: u64) -> Vec<u8> {
    const PARTS: [&str; 12] =
        ["\"", "[", "]", "{", "}", "=", "-", "9999999999999999999", "\n", "\u{e9}", "\u{10ffff}", "\\u00"];
    let mut rng = aegisrt::core::Rng::new(seed);
    let mut bytes = sound.to_vec();
    for _ in 0..rng.between(1, 4) {
        let mut place = || usize::try_from(rng.between(0, bytes.len() as u64 - 1)).unwrap();
        let (at, other) = (place(), place());
        let range = at.min(other)..(at.max(other)).min(at.min(other) + 30);
        match rng.between(0, 3) {
            0 => drop(bytes.drain(range)),
            1 => drop(bytes.splice(at..at, PARTS[other % PARTS.len()].bytes())),
            2 => {
                let copy = bytes[range].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            _ => bytes[at] = bytes[other],
        }
        if bytes.is_empty() {
            return bytes;
        }
    }
    bytes
}
