//! `aegis admit --certificate` and `aegis verify-certificate`: what is written checks, what is changed does not.
mod common;
use common::Folder;

fn tasks(policy: &str, wcet_of_lidar: u64) -> String {
    format!(
        r#"{{"policy": "{policy}", "overheads": {{"dispatch_ns": 1}}, "tasks": [
        {{"name": "camera", "c_ns": 20, "t_ns": 100, "d_ns": 60}},
        {{"name": "lidar", "segments_ns": [{wcet_of_lidar}, 5], "t_ns": 80, "d_ns": 70, "j_ns": 3}}]}}"#
    )
}

#[test]
fn an_admission_is_proved() {
    for policy in ["np-edf", "np-fp", "fifo"] {
        let folder = Folder::with("tasks.json", tasks(policy, 10));
        let admitted = folder.aegis("admit --tasks tasks.json --certificate proof.json");
        assert_eq!((admitted.code, admitted.stderr.as_str()), (0, ""), "{admitted:?}");
        let verified = folder.aegis("verify-certificate proof.json");
        assert_eq!(verified.code, 0, "{verified:?}");
        assert!(
            verified.stdout.starts_with(&format!("PROVED under {policy}: every job meets")),
            "{verified:?}"
        );
        let proof = folder.json("verify-certificate proof.json", 0);
        assert_eq!((&proof["proved"], &proof["policy"]), (&"admitted".into(), &policy.into()));
        let answer = folder.json("admit --tasks tasks.json", 0);
        for (task, proved) in
            answer["tasks"].as_array().unwrap().iter().zip(proof["tasks"].as_array().unwrap())
        {
            assert_eq!(task["name"], proved["name"]);
            assert!(policy == "np-edf" || task["wcrt_ns"] == proved["response_ns"], "{task} {proved}");
        }
        // The same proof for a longer segment proves nothing.
        let text = std::fs::read_to_string(folder.path("proof.json")).unwrap();
        folder.write("changed.json", text.replace("[10, 5]", "[60, 5]"));
        let refused = folder.aegis("verify-certificate changed.json");
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("proves nothing"), "{refused:?}");
    }
}

#[test]
fn a_rejection_is_proved() {
    for policy in ["np-edf", "np-fp", "fifo"] {
        let folder = Folder::with("tasks.json", tasks(policy, 50));
        assert_eq!(folder.aegis("admit --tasks tasks.json --certificate proof.json").code, 3);
        let proof = folder.json("verify-certificate proof.json", 3);
        assert_eq!((&proof["proved"], &proof["missed"]["name"]), (&"miss".into(), &"camera".into()));
        let said = folder.aegis("verify-certificate proof.json").stdout;
        assert!(said.contains("a job of camera takes") && said.contains("its deadline is 60 ns"), "{said}");
    }
    let folder = Folder::with("tasks.json", tasks("np-edf", 70));
    assert_eq!(folder.aegis("admit --tasks tasks.json --certificate proof.json").code, 3);
    let proof = folder.json("verify-certificate proof.json", 3);
    assert_eq!(
        (&proof["proved"], &proof["demand"], &proof["time"]),
        (&"overload".into(), &"469".into(), &"400".into())
    );
}

/// Exactly all of the time with jitter: rejected on the safe side, which is not a proof.
#[test]
fn a_rejection_without_a_proof_says_so() {
    let tasks = r#"{"policy": "np-edf", "tasks": [
        {"name": "a", "c_ns": 1, "t_ns": 2, "d_ns": 9}, {"name": "b", "c_ns": 1, "t_ns": 2, "d_ns": 9, "j_ns": 1}]}"#;
    let folder = Folder::with("tasks.json", tasks);
    let rejected = folder.aegis("admit --tasks tasks.json --certificate proof.json");
    assert_eq!(rejected.code, 3, "{rejected:?}");
    assert!(rejected.stderr.contains("no certificate is written"), "{rejected:?}");
    assert!(!folder.path("proof.json").exists());
}

#[test]
fn files_that_are_no_certificates() {
    let folder = Folder::with("tasks.json", tasks("fifo", 10));
    for file in ["tasks.json", "none.json"] {
        assert_eq!(folder.aegis(&format!("verify-certificate {file}")).code, 2);
    }
    let answer = folder.aegis("admit --tasks tasks.json --certificate none/proof.json");
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("cannot write"), "{answer:?}");
}
