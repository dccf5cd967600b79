//! What the compiler does not check: first lines, addresses of unsafe code, paths in documents, marks of unfinished work.
use crate::{Findings, licences, rust_text};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Where `unsafe` may stand: `*` is one folder or file, `**` all below. `docs/ARCHITECTURE.md` lists the same.
const UNSAFE_HOMES: &[&str] = &[
    "aegis-cuda/src/**",
    "*/src/ffi.rs",
    "*/src/ffi/**",
    "aegis-trace/src/counter.rs",
    "*/tests/**",
    "*/benches/**",
];

/// The document that lists [`UNSAFE_HOMES`].
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";

/// Larger files do not belong into the repository.
const BYTES_MAX: u64 = 2 << 20;

/// Folders of this name hold files of others, taken as they are.
const FOREIGN: &str = "/tests/data/";

/// Checks every file of the working tree that git tracks or would track, and the licences of the dependencies.
pub fn check(root: &Path) -> Findings {
    let files = match files(root) {
        Ok(files) => files,
        Err(why) => return vec![why],
    };
    let mut findings = licences::check(root);
    for file in &files {
        let path = root.join(file);
        let Ok(about) = path.symlink_metadata() else { continue }; // deleted, but not yet for git
        if about.len() > BYTES_MAX {
            findings.push(format!(
                "{file}: {} KiB; at most {} KiB are allowed",
                about.len() >> 10,
                BYTES_MAX >> 10
            ));
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue }; // not text
        findings.extend(of_text(file, &text));
        if has_extension(file, "rs") {
            findings.extend(of_rust(file, &text));
        }
        if has_extension(file, "md") && file != "CHANGELOG.md" && !file.contains(FOREIGN) {
            findings.extend(of_document(file, &text, &files));
        }
    }
    let architecture = std::fs::read_to_string(root.join(ARCHITECTURE)).unwrap_or_default();
    for home in UNSAFE_HOMES {
        if !architecture.contains(&format!("`{home}`")) {
            findings.push(format!("{ARCHITECTURE}: does not name `{home}` among the places of unsafe code"));
        }
    }
    findings
}

/// Tracked files and those that are new and not ignored, relative to the root.
fn files(root: &Path) -> Result<BTreeSet<String>, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|why| format!("git ls-files: {why}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let list = String::from_utf8_lossy(&output.stdout);
    Ok(list.split('\0').filter(|file| !file.is_empty()).map(str::to_string).collect())
}

fn has_extension(file: &str, extension: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == extension)
}

/// Rules for every text file.
fn of_text(file: &str, text: &str) -> Findings {
    const MACHINE_PATHS: [&str; 2] = [concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    const UNFINISHED: [&str; 2] = [concat!("FIX", "ME"), concat!("X", "XX")];
    let mut findings = Findings::new();
    for (number, line) in (1..).zip(text.lines()) {
        for path in MACHINE_PATHS {
            if line.match_indices(path).any(|(at, _)| !continues_a_path(&line[..at])) {
                findings.push(format!("{file}:{number}: `{path}` is a path of one machine"));
            }
        }
        if file.contains(FOREIGN) {
            continue;
        }
        // Snapshots show what a program printed, white space and all.
        if line.ends_with([' ', '\t']) && Path::new(file).extension() != Some("snap".as_ref()) {
            findings.push(format!("{file}:{number}: white space at the end"));
        }
        for mark in UNFINISHED {
            if words(line).any(|(_, word)| word == mark) {
                findings.push(format!("{file}:{number}: {mark} marks unfinished work"));
            }
        }
    }
    findings
}

/// Whether a `/` after `before` goes on with a path that began earlier, as in `a/b` or `../b`.
fn continues_a_path(before: &str) -> bool {
    before.ends_with(|c: char| c.is_alphanumeric() || "_.-".contains(c))
}

/// Rules for Rust files.
fn of_rust(file: &str, text: &str) -> Findings {
    let mut findings = Findings::new();
    if !text.starts_with("//! ") {
        findings.push(format!("{file}:1: the first line must say what the file is, as in `//! What it is.`"));
    }
    let code = rust_text::code_only(text);
    let is_root = ["*/src/lib.rs", "*/src/main.rs"].iter().any(|root| matches(root, file));
    if is_root && !code.contains("#![forbid(unsafe_code)]") && !code.contains("#![deny(unsafe_code)]") {
        findings
            .push(format!("{file}: needs `#![forbid(unsafe_code)]`, or `deny` where a module may allow it"));
    }
    let raw: Vec<&str> = text.lines().collect();
    let at_home = UNSAFE_HOMES.iter().any(|home| matches(home, file));
    for (index, line) in code.lines().enumerate() {
        let number = index + 1;
        for mark in ["todo!", "unimplemented!", "dbg!", "#[ignore"] {
            if line.contains(mark) {
                findings.push(format!("{file}:{number}: {mark} marks unfinished work"));
            }
        }
        for (_, after) in
            words(line).filter(|(_, word)| *word == "unsafe").map(|(at, word)| (at, &line[at + word.len()..]))
        {
            if !at_home {
                findings.push(format!(
                    "{file}:{number}: unsafe code may stand only in {}",
                    UNSAFE_HOMES.join(", ")
                ));
            }
            if needs_argument(after) && !has_argument(&raw, index) {
                findings.push(format!("{file}:{number}: unsafe without `SAFETY:` in the lines above"));
            }
        }
    }
    findings
}

/// Words and where they begin.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + line[from..].find(is_part)?;
        let end = line[start..].find(|c| !is_part(c)).map_or(line.len(), |length| start + length);
        from = end;
        Some((start, &line[start..end]))
    })
}

/// Whether what follows the word `unsafe` is a block, a function, an impl; not an attribute, not a function's type.
fn needs_argument(after: &str) -> bool {
    let after = after.trim_start();
    let after = after.strip_prefix("extern").map_or(after, str::trim_start);
    !after.starts_with('(')
        && !after.strip_prefix("fn").is_some_and(|rest| rest.trim_start().starts_with('('))
}

/// Whether the argument for the unsafe code in line `index` stands in the three lines above, or in the comment that ends
/// there.
fn has_argument(lines: &[&str], index: usize) -> bool {
    let argues = |line: &str| line.contains("SAFETY:") || line.contains("# Safety");
    let near = &lines[index.saturating_sub(3)..=index.min(lines.len().saturating_sub(1))];
    let comment = lines[..index].iter().rev().take_while(|line| {
        let line = line.trim_start();
        line.starts_with("//") || line.starts_with("#[")
    });
    near.iter().chain(comment).any(|line| argues(line))
}

fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        match (wanted, segments.next()) {
            ("**", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(segment)) if wanted == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

/// Paths of the repository in backticks, and links to its files, must exist.
fn of_document(file: &str, text: &str, files: &BTreeSet<String>) -> Findings {
    let exists = |path: &str| {
        files.contains(path)
            || files.range(format!("{path}/")..).next().is_some_and(|f| f.starts_with(&format!("{path}/")))
    };
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Findings::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for quoted in line.split('`').skip(1).step_by(2) {
            let path = quoted.trim_end_matches('/');
            let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            let ours = quoted.split_once('/').is_some_and(|(top, _)| !top.starts_with('.') && exists(top));
            if plain && ours && !exists(path) {
                findings.push(format!("{file}:{number}: `{quoted}` does not exist"));
            }
        }
        for link in line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !exists(&resolve(folder, target)) {
                findings.push(format!("{file}:{number}: the link to {link} leads nowhere"));
            }
        }
    }
    findings
}

/// `target` seen from `folder`, with `.` and `..` taken out.
fn resolve(folder: &str, target: &str) -> String {
    let mut path: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    path.join("/")
}

#[cfg(test)]
mod tests {
    use super::{matches, of_document, of_rust, of_text, resolve};
    use std::collections::BTreeSet;

    #[track_caller]
    fn check(found: &[String], says: &[&str]) {
        assert_eq!(found.len(), says.len(), "{found:?}");
        for (found, says) in found.iter().zip(says) {
            assert!(found.contains(says), "{found:?} should say {says:?}");
        }
    }

    #[test]
    fn text() {
        let root = format!("/{}/x", "root");
        let work = format!("cd /{}/x", "work");
        let relative = format!("../{}/x and a/{0}/x", "work");
        for (file, line, says) in [
            ("a.md", "plain", &[][..]),
            ("a.md", "tail ", &["a.md:1: white space"]),
            ("a.md", "tail\t", &["white space"]),
            ("a/tests/data/b.csv", "tail ", &[]),
            ("a.md", &root, &["path of one machine"]),
            ("a/tests/data/b.csv", &root, &["path of one machine"]),
            ("a.sh", &work, &["path of one machine"]),
            ("a.sh", &relative, &[]),
            ("a.md", concat!("// FIX", "ME later"), &["marks unfinished work"]),
            ("a.md", concat!("FIX", "MENT"), &[]),
        ] {
            check(&of_text(file, line), says);
        }
    }

    #[test]
    fn rust() {
        let home = "a/src/ffi.rs";
        check(
            &of_rust("a/src/lib.rs", "//! A.\n// #![deny(unsafe_code)]\n"),
            &["a/src/lib.rs: needs `#![forbid"],
        );
        check(&of_rust("a/src/main.rs", "//! A.\n#![deny(unsafe_code)]\n"), &[]);
        for (file, body, says) in [
            ("a/src/b.rs", "fn f() {}", &[][..]),
            ("a/src/b.rs", "// unsafe { in a comment }", &[]),
            ("a/src/b.rs", "const X: &str = \"unsafe {\";", &[]),
            ("a/src/b.rs", "#![forbid(unsafe_code)]", &[]),
            (
                "a/src/b.rs",
                "// SAFETY: no.\nunsafe { f() }",
                &["a/src/b.rs:3: unsafe code may stand only in"],
            ),
            ("a/src/ffi/x.rs", "// SAFETY: yes.\nunsafe { f() }", &[]),
            ("a/src/ffix/x.rs", "// SAFETY: no.\nunsafe { f() }", &["unsafe code may stand only in"]),
            ("aegis-cuda/src/x.rs", "// SAFETY: yes.\nunsafe { f() }", &[]),
            (home, "// SAFETY: yes.\nunsafe { f() }", &[]),
            ("a/tests/alloc.rs", "// SAFETY: yes.\nunsafe impl A for B {}", &[]),
            ("a/benches/b.rs", "// SAFETY: yes.\nunsafe impl A for B {}", &[]),
            (home, "unsafe { f() }", &["a/src/ffi.rs:2: unsafe without"]),
            (home, "// SAFETY: yes.\n\n\n\nunsafe { f() }", &["unsafe without"]),
            (home, "// SAFETY: yes,\n// long,\n// long,\n// long.\nunsafe { f() }", &[]),
            (home, "/// # Safety\n/// a\n/// b\n/// c\n#[inline]\npub unsafe fn f() {}", &[]),
            (home, "pub unsafe fn f() {}", &["unsafe without"]),
            (home, "unsafe impl A for B {}", &["unsafe without"]),
            (home, "unsafe extern \"C\" {}", &["unsafe without"]),
            (home, "pub unsafe extern \"C\" fn f() {}", &["unsafe without"]),
            (home, "type F = unsafe extern \"C\" fn(u8);\ntype G = unsafe fn(u8);", &[]),
            (home, "#[unsafe(no_mangle)]", &[]),
            ("a/src/b.rs", "fn f() { todo!() }", &["todo! marks"]),
            ("a/src/b.rs", "fn f() { unimplemented!() }", &["unimplemented! marks"]),
            ("a/src/b.rs", "fn f() { dbg!(1); }", &["dbg! marks"]),
            ("a/src/b.rs", "#[ignore = \"slow\"]", &["#[ignore marks"]),
        ] {
            check(&of_rust(file, &format!("//! A file.\n{body}\n")), says);
        }
        check(&of_rust("build.rs", "fn main() {}\n//! late\n"), &["build.rs:1: the first line"]);
        check(&of_rust("build.rs", ""), &["build.rs:1: the first line"]);
    }

    #[test]
    fn documents() {
        let files: BTreeSet<String> =
            ["docs/DESIGN.md", "a-core/src/lib.rs", "a-core/src-gen.rs", "README.md"]
                .map(String::from)
                .into();
        for (file, line, says) in [
            ("docs/A.md", "`a-core/src/lib.rs`, `a-core/src`, `a-core/src/`, `a-core`", &[][..]),
            (
                "docs/A.md",
                "`a-core/src/gone.rs` and `a-core/sr`",
                &["docs/A.md:1: `a-core/src/gone.rs`", "a-core/sr"],
            ),
            ("docs/A.md", "`target/x`, `a-core/*.rs`, `a-core/x y`, `and/or`, `../x/y`", &[]),
            ("docs/A.md", "[d](DESIGN.md#why) [r](../README.md) [h](https://x.org/y) [s](#here)", &[]),
            ("docs/A.md", "[d](docs/DESIGN.md)", &["leads nowhere"]),
            ("README.md", "[d](docs/DESIGN.md) [e](docs/E.md)", &["docs/E.md leads nowhere"]),
            ("README.md", "```\n`a-core/gone.rs`\n```\n`a-core/gone.rs`", &["README.md:4"]),
        ] {
            check(&of_document(file, line, &files), says);
        }
        assert_eq!(resolve("docs/a", "../b/./c.md"), "docs/b/c.md");
        assert_eq!(resolve("", "a.md"), "a.md");
    }

    #[test]
    fn patterns() {
        for (pattern, path, expected) in [
            ("*/src/ffi.rs", "a/src/ffi.rs", true),
            ("*/src/ffi.rs", "a/b/src/ffi.rs", false),
            ("*/src/ffi.rs", "a/src/ffi.rs/b", false),
            ("*/src/ffi.rs", "a/src", false),
            ("*/tests/**", "a/tests/b/c.rs", true),
            ("*/tests/**", "a/tests", false),
            ("*/tests/**", "a/src/tests/b.rs", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
