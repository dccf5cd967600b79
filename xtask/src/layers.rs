//! Which crate may use which. The tables are the documentation; `check` compares them with the manifests.
use crate::Findings;
use cargo_metadata::{CargoOpt, DependencyKind};
use std::fmt::Write as _;
use std::path::Path;

/// Row, crate, what it holds. A crate may use only crates in rows of a smaller number: two in one row do not know each
/// other, so backends see neither contexts nor the scheduler, the memory planner no contexts, and the trace no CUDA.
const ROWS: &[(u8, &str, &str)] = &[
    (0, "aegis-core", "the words as types: time, memory, tasks, events, decisions, verdicts, faults"),
    (0, "aegis-certificate", "the checker of admission certificates; uses no crate of ours"),
    (0, "aegis-trace-verify", "the checker of trace files; uses no crate of ours"),
    (1, "aegis-analysis", "admission: schedulability analyses, their derivations, what would fit"),
    (1, "aegis-trace", "recording of events and decisions: rings, trace file, query"),
    (1, "aegis-cuda", "CUDA driver access: probe first, typed answers"),
    (2, "aegis-export", "traces in the formats of others, and metrics computed from them"),
    (2, "aegis-memory", "one memory plan for all models: problem, bound, search, validator"),
    (3, "aegis-backend", "the backend contract, model facts, the simulated backend, the conformance suite"),
    (4, "aegis-context", "execution contexts: budgets and fault boundaries"),
    (4, "aegis-backend-trt", "TensorRT adapter"),
    (4, "aegis-backend-ort", "ONNX Runtime adapter"),
    (4, "aegis-backend-tvm", "TVM adapter"),
    (4, "aegis-backend-rten", "rten adapter, the embedded CPU backend"),
    (5, "aegis-sched", "profiles, the pure scheduler, dispatcher, simulator"),
    (6, "aegisrt", "the library for users and the `aegis` command"),
    (7, "xtask", "project tasks; nothing uses it"),
];

/// Dependencies for tests that the rows would not allow: user, used, why.
const FOR_TESTS: &[(&str, &str, &str)] =
    &[("aegis-backend-ort", "aegis-backend-rten", "two runtimes must agree on a model's outputs")];

/// Crates of others that only one of ours may use: the runtimes stay behind their adapters.
const OWNED: &[(&str, &str)] = &[
    ("cudarc", "aegis-cuda"),
    ("ort", "aegis-backend-ort"),
    ("rten", "aegis-backend-rten"),
    ("rten-tensor", "aegis-backend-rten"),
];

/// One line of a manifest: `user` depends on `used`.
#[derive(Debug, Clone, Copy)]
struct Edge<'a> {
    user: &'a str,
    used: &'a str,
    for_tests: bool,
}

/// The rows, for people.
pub fn table() -> String {
    let mut text = String::new();
    for (row, name, holds) in ROWS {
        writeln!(text, "{row}  {name:<18}  {holds}").expect("writing to a string");
    }
    text
}

/// Compares the tables with the manifests of the workspace at `root`.
pub fn check(root: &Path) -> Findings {
    let workspace = match crate::metadata(root, CargoOpt::AllFeatures) {
        Ok(workspace) => workspace,
        Err(why) => return vec![why],
    };
    let members = workspace.workspace_packages();
    let names: Vec<&str> = members.iter().map(|package| package.name.as_str()).collect();
    let edges: Vec<Edge<'_>> = members
        .iter()
        .flat_map(|package| {
            package.dependencies.iter().map(|dependency| Edge {
                user: package.name.as_str(),
                used: dependency.name.as_str(),
                for_tests: dependency.kind == DependencyKind::Development,
            })
        })
        .collect();
    violations(&names, &edges)
}

fn row(name: &str) -> Option<u8> {
    ROWS.iter().find(|(_, crate_name, _)| *crate_name == name).map(|(row, ..)| *row)
}

fn violations(members: &[&str], edges: &[Edge<'_>]) -> Findings {
    let mut findings = Findings::new();
    for member in members {
        if row(member).is_none() {
            findings.push(format!("{member}: not in the table of rows; add it to xtask/src/layers.rs"));
        }
    }
    for (_, name, _) in ROWS {
        if !members.contains(name) {
            findings.push(format!("{name}: in the table of rows, but not in the workspace"));
        }
    }
    for edge in edges {
        if let Some((_, owner)) = OWNED.iter().find(|(used, owner)| *used == edge.used && *owner != edge.user)
        {
            findings.push(format!("{}: uses {}, which only {owner} may", edge.user, edge.used));
        }
        let (Some(user), Some(used)) = (row(edge.user), row(edge.used)) else { continue };
        let excused = edge.for_tests
            && FOR_TESTS.iter().any(|(user, used, _)| (*user, *used) == (edge.user, edge.used));
        if used >= user && !excused {
            let what = if edge.for_tests { "uses for its tests" } else { "uses" };
            findings.push(format!(
                "{} (row {user}): {what} {} (row {used}); only rows below {user} are allowed",
                edge.user, edge.used
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{Edge, FOR_TESTS, OWNED, ROWS, check, row, violations};

    fn all() -> Vec<&'static str> {
        ROWS.iter().map(|(_, name, _)| *name).collect()
    }

    fn found(user: &str, used: &str, for_tests: bool) -> String {
        violations(&all(), &[Edge { user, used, for_tests }]).join("\n")
    }

    #[test]
    fn this_workspace() {
        assert_eq!(check(&crate::root()), Vec::<String>::new());
    }

    #[test]
    fn rows_are_in_order_and_names_are_unique() {
        assert!(ROWS.is_sorted_by_key(|(row, ..)| *row));
        let mut names = all();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
        for (_, owner) in OWNED {
            assert!(row(owner).is_some(), "{owner}");
        }
        for (user, used, _) in FOR_TESTS {
            assert!(row(user).is_some() && row(used).is_some(), "{user}, {used}");
        }
    }

    #[test]
    fn what_is_allowed() {
        for (user, used, for_tests) in [
            ("aegis-sched", "aegis-core", false),
            ("aegis-context", "aegis-memory", false),
            ("aegis-sched", "aegis-context", true),
            ("aegis-backend-ort", "aegis-backend-rten", true),
            ("aegis-backend-ort", "ort", false),
            ("aegis-core", "serde", false),
        ] {
            assert_eq!(found(user, used, for_tests), "", "{user} on {used}");
        }
    }

    #[test]
    fn what_is_not() {
        for (user, used, for_tests, says) in [
            // upwards
            (
                "aegis-core",
                "aegis-trace",
                false,
                "aegis-core (row 0): uses aegis-trace (row 1); only rows below 0",
            ),
            ("aegis-memory", "aegis-context", false, "aegis-memory (row 2): uses aegis-context (row 4)"),
            // sideways
            ("aegis-trace", "aegis-cuda", false, "aegis-trace (row 1): uses aegis-cuda (row 1)"),
            (
                "aegis-backend-trt",
                "aegis-context",
                false,
                "aegis-backend-trt (row 4): uses aegis-context (row 4)",
            ),
            (
                "aegis-backend-trt",
                "aegis-sched",
                false,
                "aegis-backend-trt (row 4): uses aegis-sched (row 5)",
            ),
            // an excuse for tests is for tests, for this pair, in this direction
            (
                "aegis-backend-ort",
                "aegis-backend-rten",
                false,
                "aegis-backend-ort (row 4): uses aegis-backend-rten",
            ),
            ("aegis-backend-rten", "aegis-backend-ort", true, "uses for its tests aegis-backend-ort (row 4)"),
            ("aegis-core", "aegis-sched", true, "uses for its tests aegis-sched"),
            // a tool is nobody's dependency
            ("aegisrt", "xtask", false, "aegisrt (row 6): uses xtask (row 7)"),
            // a runtime stays behind its adapter
            ("aegisrt", "ort", false, "aegisrt: uses ort, which only aegis-backend-ort may"),
            (
                "aegis-backend-trt",
                "cudarc",
                true,
                "aegis-backend-trt: uses cudarc, which only aegis-cuda may",
            ),
        ] {
            let found = found(user, used, for_tests);
            assert!(found.contains(says), "{user} on {used}: {found:?}");
        }
    }

    #[test]
    fn strangers_and_absentees() {
        let mut members = all();
        members.push("aegis-new");
        assert_eq!(
            violations(&members, &[]),
            ["aegis-new: not in the table of rows; add it to xtask/src/layers.rs"]
        );
        assert_eq!(
            violations(&all()[1..], &[]),
            ["aegis-core: in the table of rows, but not in the workspace"]
        );
    }
}
