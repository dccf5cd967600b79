//! The help of every command, as it is printed: a change of an option shows in a snapshot.
mod common;
use common::Folder;

fn help(name: &str, command: &str) {
    let folder = Folder::new();
    for flag in ["--help", "-h"] {
        let answer = folder.aegis(&format!("{command} {flag}"));
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{answer:?}");
        assert!(answer.stdout.lines().all(|line| line.chars().count() <= 100), "{answer:?}");
        if flag == "--help" {
            insta::assert_snapshot!(name, answer.stdout);
        }
    }
}

macro_rules! helps {
    ($($name:ident: $command:literal,)*) => { $(
        #[test]
        fn $name() {
            help(stringify!($name), $command);
        }
    )* };
}

helps! {
    aegis: "",
    demo: "demo",
    init: "init",
    check: "check",
    inspect: "inspect",
    trust: "trust",
    profile: "profile",
    admit: "admit",
    verify_certificate: "verify-certificate",
    plan: "plan",
    run: "run",
    simulate: "simulate",
    explain: "explain",
    blame: "blame",
    audit: "audit",
    replay: "replay",
    trace: "trace",
    trace_info: "trace info",
    trace_verify: "trace verify",
    trace_query: "trace query",
    trace_export: "trace export",
    trace_metrics: "trace metrics",
    doctor: "doctor",
}

#[test]
fn every_command_is_in_this_file() {
    let folder = Folder::new();
    let listed = folder.aegis("--help").stdout;
    let commands = listed.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let source = include_str!("help.rs");
    // Deeper lines go on with the description before them.
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for command in names.filter(|name| !name.is_empty()) {
        let row = format!("    {}: \"{command}\",", command.replace('-', "_"));
        assert!(command == "help" || source.contains(&row), "{command}");
    }
}

#[test]
fn version() {
    let answer = Folder::new().aegis("--version");
    assert_eq!((answer.code, answer.stdout), (0, format!("aegis {}\n", env!("CARGO_PKG_VERSION"))));
}
