//! Traces of real runs under the checker: signed, in parts, changed, cut off, and what the command says to each.
mod common;
use common::Folder;

const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
    -----END PUBLIC KEY-----\n";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n\
    -----END PUBLIC KEY-----\n";

/// Five hundred jobs a second, with room for a busy machine.
const SYSTEM: &str = "[[task]]\nname = \"fast\"\nperiod = \"2 ms\"\ndeadline = \"2 s\"\nqueue = 2000\n\
    wcet = \"1 ms\"\n[task.sim]\ntime = { law = \"constant\", value = \"50 us\" }\n";

fn folder() -> Folder {
    let folder = Folder::with("system.toml", SYSTEM);
    folder.write("key.pem", PRIVATE);
    folder.write("public.pem", PUBLIC);
    folder.write("other.pem", OTHER);
    folder
}

#[test]
fn a_signed_run_in_parts() {
    let folder = folder();
    let ran = folder
        .json("run system.toml --duration 4s --trace-key key.pem --trace-size 65536 --trace run.trace", 0);
    assert_eq!((&ran["complete"], &ran["records_lost"]), (&true.into(), &0.into()), "{ran}");
    assert!(folder.path("run.2.trace").exists());
    let verified = folder.json("trace verify run.trace --key public.pem", 0);
    assert_eq!(verified["intact"], true, "{verified}");
    let files = verified["files"].as_array().unwrap();
    assert!(files.len() >= 2);
    for (part, file) in (1..).zip(files) {
        assert_eq!((&file["part"], &file["signed_by"]), (&part.into(), &"key_given".into()), "{file}");
        assert_eq!(file["signed_bytes"], file["size_bytes"], "{file}");
    }
    assert_eq!(files.last().unwrap()["state"], "whole");
    let said = folder.aegis("trace verify run.trace --key public.pem");
    assert!(said.stdout.contains("INTACT, and recorded by the holder of the key"), "{said:?}");
    let said = folder.aegis("trace verify run.trace");
    assert!(said.code == 0 && said.stdout.contains("give --key to say by whom it should be"), "{said:?}");
    let said = folder.aegis("trace verify run.trace --key other.pem");
    assert!(said.code == 1 && said.stdout.contains("signed with another key than the one given"), "{said:?}");
    // Every job is in it, across the parts.
    let jobs = ran["tasks"][0]["jobs"].as_u64().unwrap();
    let last = folder.json(&format!("explain run.trace fast#{}", jobs - 1), 0);
    assert_eq!(last["jobs"][0]["job"], format!("fast#{}", jobs - 1));

    std::fs::remove_file(folder.path("run.2.trace")).unwrap();
    let said = folder.aegis("trace verify run.trace --key public.pem");
    assert!(said.code == 1 && said.stdout.contains("next part of the trace is missing"), "{said:?}");
}

#[test]
fn changed_cut_off_and_no_trace_at_all() {
    let folder = folder();
    folder.json("simulate system.toml --duration 100ms --trace run.trace", 0);
    let good = std::fs::read(folder.path("run.trace")).unwrap();
    let said = folder.aegis("trace verify run.trace");
    assert!(said.code == 0 && said.stdout.contains("not signed, and whoever changes it"), "{said:?}");
    let said = folder.aegis("trace verify run.trace --key public.pem");
    assert!(said.code == 1 && said.stdout.contains("not signed, so the key proves nothing"), "{said:?}");
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    folder.write("bad.trace", &bad);
    let said = folder.aegis("trace verify bad.trace");
    assert!(said.code == 1 && said.stdout.contains("WRONG at byte"), "{said:?}");
    let verified = folder.json("trace verify bad.trace", 1);
    assert!(verified["files"][0]["findings"][0]["offset_bytes"].is_u64(), "{verified}");
    folder.write("cut.trace", &good[..good.len() - 1]);
    let verified = folder.json("trace verify cut.trace", 1);
    assert_eq!(verified["files"][0]["state"], "cut_off");
    folder.write("text.trace", "text");
    for (command, says) in [
        ("trace verify text.trace", "is not a trace"),
        ("trace verify none.trace", "cannot read the trace"),
        ("trace verify run.trace --key key.pem", "it holds no public Ed25519 key"),
        ("trace verify run.trace --key none.pem", "cannot read the key"),
        ("run system.toml --trace-key public.pem", "holds no private Ed25519 key"),
        ("run system.toml --trace-key none.pem", "cannot read the key"),
        ("run system.toml --trace-size 5", "too small"),
    ] {
        let said = folder.aegis(command);
        assert!(said.code == 2 && said.stderr.contains(says), "{command}: {said:?}");
    }
}

/// A decision against a run is signed like a run.
#[test]
fn a_rejection_is_signed() {
    let folder = folder();
    folder.write("system.toml", SYSTEM.replace("1 ms", "3 ms"));
    let said = folder.aegis("run system.toml --trace-key key.pem --trace run.trace");
    assert_eq!(said.code, 3, "{said:?}");
    let verified = folder.json("trace verify run.trace --key public.pem", 0);
    assert_eq!(verified["files"][0]["signed_by"], "key_given");
}
