//! The fuzz target's function on its corpus and on changes to it, in the ordinary test run.
//!
//! `AEGIS_HOSTILE=1000000 cargo test --release -p aegis-trace --test hostile` reads that many.
#[path = "common/hostile.rs"]
mod hostile;
#[path = "../../fuzz/src/trace.rs"]
mod trace;

use aegis_core::Rng;
use aegis_trace::{Selection, Trace, TraceFile};
use hostile::{corpus, mutated};

#[test]
fn hostile_files_are_an_answer() {
    let n: u64 = std::env::var("AEGIS_HOSTILE").map_or(100_000, |n| n.parse().expect("a number"));
    let corpus = corpus();
    for bytes in &corpus {
        trace::read(bytes);
    }
    let seed = std::env::var("AEGIS_SEED").map_or(21, |n| n.parse().expect("a number"));
    let mut rng = Rng::new(seed);
    println!("seed {seed}");
    for round in 0..n {
        let bytes = mutated(&mut rng, &corpus[usize::try_from(round).expect("few") % corpus.len()]);
        trace::read(&bytes);
        trace::read(&trace::rehashed(&bytes));
    }
}

/// The same where only single blocks are read.
#[test]
fn hostile_files_in_the_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let corpus = corpus();
    let seed = 22;
    let mut rng = Rng::new(seed);
    let mut opened = 0;
    for round in 0..5_000 {
        let bytes = trace::rehashed(&mutated(&mut rng, &corpus[round % corpus.len()]));
        std::fs::write(&path, &bytes).unwrap();
        let Ok(file) = TraceFile::open(&path) else { continue };
        opened += 1;
        let part = file.read(&Selection::default());
        // Where both read it, they read the same.
        if let (Ok(part), Ok(whole)) = (part, Trace::open(&path)) {
            assert_eq!(part.entries(), whole.entries(), "seed {seed}, round {round}");
        }
        if let Some(job) = file.blocks().iter().find_map(|block| block.summary.tasks.keys().next()) {
            let job = aegis_core::JobId { task: aegis_core::TaskId(*job), seq: 1 };
            let _ = file.around(job);
        }
    }
    assert!(opened > 500, "{opened}");
}
