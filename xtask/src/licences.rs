//! Licences of everything that is built: each package's expression must be satisfied by the list here.
use crate::Findings;
use cargo_metadata::CargoOpt;
use std::path::Path;

/// SPDX names that dependencies may have.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The licence of this project's own crates.
const OURS: &str = "CC-BY-NC-SA-4.0";

/// Checks the licence of every package that `Cargo.lock` can bring in, on any platform.
pub fn check(root: &Path) -> Findings {
    let workspace = match crate::metadata(root, CargoOpt::AllFeatures) {
        Ok(workspace) => workspace,
        Err(why) => return vec![why],
    };
    let mut findings = Findings::new();
    for package in &workspace.packages {
        let licence = package.license.as_deref();
        let ours = workspace.workspace_members.contains(&package.id);
        match licence {
            _ if ours && licence == Some(OURS) => {}
            _ if ours => findings.push(format!("{}: the licence must be {OURS}", package.name)),
            Some(expression) if is_allowed(expression) => {}
            Some(expression) => findings.push(format!(
                "{} {}: licence `{expression}` is not in the list of xtask/src/licences.rs",
                package.name, package.version
            )),
            None => findings.push(format!("{} {}: states no licence", package.name, package.version)),
        }
    }
    findings
}

/// Whether an SPDX expression can be satisfied with [`ALLOWED`]. `/` is the old form of `OR`. An expression that cannot
/// be read is not allowed.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    any_of(&mut words).is_some_and(|allowed| allowed && words.is_empty())
}

/// `a OR b OR …`; the words are in reverse, so the next one is the last.
fn any_of(words: &mut Vec<&str>) -> Option<bool> {
    let mut allowed = all_of(words)?;
    while words.pop_if(|word| *word == "OR").is_some() {
        allowed |= all_of(words)?;
    }
    Some(allowed)
}

/// `a AND b AND …`, which binds closer.
fn all_of(words: &mut Vec<&str>) -> Option<bool> {
    let mut allowed = one(words)?;
    while words.pop_if(|word| *word == "AND").is_some() {
        allowed &= one(words)?;
    }
    Some(allowed)
}

/// A name, a name `WITH` an exception, or an expression in parentheses.
fn one(words: &mut Vec<&str>) -> Option<bool> {
    match words.pop()? {
        "(" => {
            let allowed = any_of(words)?;
            (words.pop()? == ")").then_some(allowed)
        }
        "OR" | "AND" | "WITH" | ")" => None,
        name if words.pop_if(|word| *word == "WITH").is_some() => {
            let exception = words.pop()?;
            Some(ALLOWED.contains(&format!("{name} WITH {exception}").as_str()))
        }
        name => Some(ALLOWED.contains(&name)),
    }
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn expressions() {
        for (expression, allowed) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("MIT OR GPL-3.0-only", true),
            ("GPL-3.0-only OR MIT", true),
            ("GPL-3.0-only", false),
            ("MIT AND GPL-3.0-only", false),
            ("(MIT OR GPL-3.0-only) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-3.0-only", false),
            ("GPL-3.0-only AND MIT OR ISC", true),
            ("ISC OR GPL-3.0-only AND MIT", true),
            ("GPL-3.0-only AND (MIT OR ISC)", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
            ("MIT WITH LLVM-exception", false),
            ("AGPL-3.0", false),
            // what cannot be read is not allowed
            ("", false),
            ("MIT OR", false),
            ("OR MIT", false),
            ("(MIT", false),
            ("MIT)", false),
            ("MIT ISC", false),
            ("MIT WITH", false),
        ] {
            assert_eq!(is_allowed(expression), allowed, "{expression}");
        }
    }
}
