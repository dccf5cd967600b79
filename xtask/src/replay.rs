//! Decisions that are the same everywhere: ten million of them hashed in the debug and in the release profile.
use crate::Findings;
use std::path::Path;
use std::process::Command;

const DECISIONS: u64 = 10_000_000;

/// `[--decisions N]`
pub fn run(root: &Path, arguments: &[&str]) -> Findings {
    let decisions = match arguments {
        [] => Ok(DECISIONS),
        ["--decisions", number] => number.parse().map_err(|_| format!("`{number}` is not a whole number")),
        _ => Err("replay [--decisions N]".to_owned()),
    };
    let decisions = match decisions {
        Ok(decisions) => decisions,
        Err(why) => return vec![why],
    };
    let profiles = [&[][..], &["--release"]];
    let hashes: Vec<Result<String, String>> =
        profiles.iter().map(|profile| hashed(root, profile, decisions)).collect();
    match hashes.as_slice() {
        [Ok(debug), Ok(release)] if debug == release => Findings::new(),
        [Ok(debug), Ok(release)] => {
            vec![format!("the decisions of the two profiles differ: debug {debug}, release {release}")]
        }
        _ => hashes.into_iter().filter_map(Result::err).collect(),
    }
}

/// The hash that the example prints when it is built in this profile.
fn hashed(root: &Path, profile: &[&str], decisions: u64) -> Result<String, String> {
    let shown = format!("cargo run {} -p aegis-sched --example decisions -- {decisions}", profile.join(" "));
    println!("{shown}");
    let output = Command::new("cargo")
        .args(["run", "--quiet", "-p", "aegis-sched", "--example", "decisions"])
        .args(profile)
        .args(["--", &decisions.to_string()])
        .current_dir(root)
        .output()
        .map_err(|why| format!("cargo: {why}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    if !output.status.success() {
        return Err(format!("`{shown}`: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    hash_in(&said).map(str::to_owned).ok_or_else(|| format!("`{shown}` printed no hash"))
}

fn hash_in(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.strip_prefix("decisions ")).filter(|hash| hash.len() == 64)
}

#[cfg(test)]
mod tests {
    use super::{hash_in, run};
    use std::path::Path;

    #[test]
    fn the_hash_is_found() {
        let hash = "ab".repeat(32);
        assert_eq!(hash_in(&format!("7 decisions of 1 systems\ndecisions {hash}\n")), Some(hash.as_str()));
        assert_eq!(hash_in("7 decisions of 1 systems\ndecisions abc\n"), None);
    }

    #[test]
    fn arguments_that_are_none() {
        for wrong in [&["--decisions"][..], &["--decisions", "many"], &["7"]] {
            assert_eq!(run(Path::new("."), wrong).len(), 1, "{wrong:?}");
        }
    }
}
