//! Evidence at scale: the tests that compare the analyses with everything else, and those that attack traces, with as many
//! cases as asked for.
//!
//! A campaign is a test in the release profile whose size is in its environment; `cargo test` runs the same one smaller.
use crate::Findings;
use std::path::Path;
use std::process::Command;

/// A test that can be run at any size.
struct Campaign {
    name: &'static str,
    package: &'static str,
    test: &'static str,
    /// The tests of the file that are meant, if not all.
    filter: &'static str,
    /// The option of the command and the variable of the test that say how large.
    size: (&'static str, &'static str),
    /// What CI runs.
    in_ci: u64,
}

const CAMPAIGNS: &[Campaign] = &[
    Campaign {
        name: "exact",
        package: "aegis-analysis",
        test: "small_sets",
        filter: "",
        size: ("--sets", "AEGIS_SETS"),
        in_ci: 50_000,
    },
    Campaign {
        name: "sound",
        package: "aegis-sched",
        test: "soundness",
        filter: "response_never_exceeds_the_bound",
        size: ("--jobs", "AEGIS_JOBS"),
        in_ci: 100_000_000,
    },
    Campaign {
        name: "peers",
        package: "aegis-analysis",
        test: "peers",
        filter: "",
        size: ("--sets", "AEGIS_SETS"),
        in_ci: 10_000,
    },
    Campaign {
        name: "tamper",
        package: "aegis-trace",
        test: "tamper",
        filter: "",
        size: ("--mutations", "AEGIS_TAMPER"),
        in_ci: 1_000_000,
    },
    Campaign {
        name: "hostile",
        package: "aegis-trace",
        test: "hostile",
        filter: "",
        size: ("--files", "AEGIS_HOSTILE"),
        in_ci: 1_000_000,
    },
    Campaign {
        name: "recovery",
        package: "aegis-trace",
        test: "recovery",
        filter: "",
        size: ("--kills", "AEGIS_KILLS"),
        in_ci: 200,
    },
    Campaign {
        name: "explain",
        package: "aegis-sched",
        test: "injected",
        filter: "",
        size: ("--runs", "AEGIS_RUNS"),
        in_ci: 2_400,
    },
];

/// `exact [--sets N] [--seed S]` and so on; sizes may be written as `1e8`.
pub fn run(root: &Path, arguments: &[&str]) -> Findings {
    match parse(arguments) {
        Ok((campaign, size, seed)) => start(root, campaign, size, seed),
        Err(why) => vec![why],
    }
}

/// All campaigns at the size that CI can afford, with a fixed seed.
pub fn ci(root: &Path) -> Findings {
    CAMPAIGNS.iter().flat_map(|campaign| start(root, campaign, campaign.in_ci, 1)).collect()
}

fn start(root: &Path, campaign: &Campaign, size: u64, seed: u64) -> Findings {
    let Campaign { name, package, test, filter, size: (_, variable), .. } = *campaign;
    let command = format!(
        "{variable}={size} AEGIS_SEED={seed} cargo test --release -p {package} --test {test} -- --nocapture {filter}"
    );
    println!("{command}");
    let status = Command::new("cargo")
        .args(["test", "--release", "-p", package, "--test", test, "--", "--nocapture"])
        .args((!filter.is_empty()).then_some(filter))
        .env(variable, size.to_string())
        .env("AEGIS_SEED", seed.to_string())
        .current_dir(root)
        .status();
    match status {
        Ok(status) if status.success() => Findings::new(),
        Ok(status) => vec![format!("campaign {name}: {status}; `{command}` runs it again")],
        Err(why) => vec![format!("campaign {name}: cargo: {why}")],
    }
}

fn parse(arguments: &[&str]) -> Result<(&'static Campaign, u64, u64), String> {
    let usage = || {
        let all = CAMPAIGNS
            .iter()
            .map(|c| format!("  cargo xtask campaign {} [{} N] [--seed S]\n", c.name, c.size.0));
        format!("a campaign is one of\n{}N may be written as 1e8", all.collect::<String>())
    };
    let (name, options) = arguments.split_first().ok_or_else(usage)?;
    let campaign = CAMPAIGNS.iter().find(|campaign| campaign.name == *name).ok_or_else(usage)?;
    let (mut size, mut seed) = (campaign.in_ci, 1);
    for option in options.chunks(2) {
        match option {
            [key, value] if *key == campaign.size.0 => size = number(value)?,
            ["--seed", value] => seed = number(value)?,
            _ => return Err(usage()),
        }
    }
    Ok((campaign, size, seed))
}

/// A whole number, also as `3e8`.
fn number(text: &str) -> Result<u64, String> {
    let (digits, zeros) = text.split_once('e').unwrap_or((text, "0"));
    let value = || digits.parse::<u64>().ok()?.checked_mul(10_u64.checked_pow(zeros.parse().ok()?)?);
    value().ok_or_else(|| format!("`{text}` is not a whole number; write 50000 or 1e8"))
}

#[cfg(test)]
mod tests {
    use super::{CAMPAIGNS, number, parse};

    #[test]
    fn numbers() {
        for (text, value) in [("0", 0), ("50000", 50_000), ("1e8", 100_000_000), ("25e1", 250)] {
            assert_eq!(number(text), Ok(value));
        }
        for text in ["", "e", "1e", "1e20", "-1", "1.5e3", "99999999999e18"] {
            assert!(number(text).unwrap_err().contains("not a whole number"), "{text}");
        }
    }

    #[test]
    fn arguments() {
        let read =
            |arguments: &[&str]| parse(arguments).map(|(campaign, size, seed)| (campaign.name, size, seed));
        assert_eq!(read(&["exact"]), Ok(("exact", CAMPAIGNS[0].in_ci, 1)));
        assert_eq!(read(&["exact", "--sets", "1e6"]), Ok(("exact", 1_000_000, 1)));
        assert_eq!(read(&["sound", "--seed", "7", "--jobs", "3e9"]), Ok(("sound", 3_000_000_000, 7)));
        for wrong in [&[][..], &["other"], &["exact", "--jobs", "3"], &["exact", "--sets"]] {
            assert!(read(wrong).unwrap_err().contains("cargo xtask campaign exact [--sets N]"), "{wrong:?}");
        }
        assert!(read(&["exact", "--sets", "many"]).unwrap_err().contains("`many`"));
    }
}
