//! What would fit: every remedy makes the set admitted, and one nanosecond or one segment less of it does not.
mod common;
mod random;

use aegis_analysis::sensitivity::{self, Beyond, Change};
use aegis_analysis::split::Split;
use aegis_analysis::{Remedy, admit, remedies};
use aegis_core::{Nanos, Overheads, Policy, Rng, TaskDraft, TaskSet};
use common::{named, row, set, set_with};
use random::{POLICIES, overheads, rows};

fn says(set: &TaskSet) -> Vec<String> {
    remedies(set, &admit(set)).iter().map(|remedy| remedy.sentence(set)).collect()
}

#[test]
fn sentences_for_the_blocked_pair() {
    let tasks = [("A", 20, 100, 50), ("B", 15, 80, 40), ("C", 30, 200, 100)];
    let edf = named(Policy::Edf, &tasks);
    assert_eq!(
        says(&edf),
        [
            "`C` in 2 segments",
            "a WCET of 15.000001 ms for `C`",
            "a deadline of 64.999999 ms for `B`",
            "all WCETs at 76.9230 %",
            "strictly periodic arrivals, the first of `A` at 15 ms, of `B` at 0 ms, of `C` at 35 ms (shown over every \
             schedule)",
        ]
    );
    assert!(says(&named(Policy::Edf, &tasks[..2])).is_empty());
}

/// Deadline-monotonic order is not optimal when nothing is preempted.
#[test]
fn other_priorities_are_a_remedy() {
    let rows = [row(3, 10, 8), row(2, 12, 8), row(3, 6, 6)];
    let fixed = set(Policy::FixedPriority, &rows);
    assert!(!admit(&fixed).admitted());
    assert_eq!(says(&fixed)[1], "priorities in the order `c`, `b`, `a`");
    let fifo = set(Policy::Fifo, &rows);
    assert_eq!(says(&fifo)[1], "policy np-fp with priorities in the order `c`, `b`, `a`");
    assert!(admit(&remedies(&fifo, &admit(&fifo))[1].apply(&fifo)).admitted());
}

/// A remedy is what admission accepts: exactly full utilisation with jitter has no bound, although EDF would keep up.
#[test]
fn a_remedy_stays_below_full_utilisation_where_there_is_jitter() {
    let set = set(Policy::Edf, &[row(5, 10, 100).jitter(1), row(6, 10, 100)]);
    assert_eq!(says(&set), ["a WCET of 4 ns for `b`", "a period of 13 ns for `b`", "all WCETs at 80.0000 %"]);
}

#[test]
fn every_remedy_fits_and_no_weaker_one_does() {
    let seed = 22;
    let mut rng = Rng::new(seed);
    let mut kinds = [0; 8];
    for k in 0..random::scaled(100) {
        let n = rng.between(2, 6);
        let rows = rows(&mut rng, n);
        let overheads = overheads(&mut rng);
        for policy in POLICIES {
            let set = set_with(policy, overheads, &rows);
            let verdict = admit(&set);
            for remedy in remedies(&set, &verdict) {
                assert!(!verdict.admitted());
                if let Remedy::Offsets { .. } = remedy {
                    continue;
                }
                let with = remedy.apply(&set);
                assert!(admit(&with).admitted(), "seed {seed}, set {k}: {remedy:?} for {set:?}");
                assert!(!remedy.sentence(&set).is_empty(), "{remedy:?} for {set:?}");
                kinds[match remedy {
                    Remedy::OtherPolicy { .. } => 0,
                    Remedy::Priorities { .. } => 1,
                    Remedy::Split(Split { fewest, .. }) => {
                        assert!(fewest);
                        2
                    }
                    Remedy::Edge(edge) => {
                        assert_eq!(edge.beyond, Beyond::Rejected);
                        let (next, kind) = match edge.change {
                            Change::Wcet(_) => (edge.fits + 1, 3),
                            Change::LongestSegment(_) => (edge.fits + 1, 4),
                            Change::AllWcets => (edge.fits + 1, 5),
                            Change::Deadline(_) => (edge.fits - 1, 6),
                            _ => (edge.fits - 1, 7),
                        };
                        let beyond = sensitivity::apply(&set, edge.change, next).unwrap();
                        assert!(!admit(&beyond).admitted(), "seed {seed}, set {k}: {remedy:?} for {set:?}");
                        kind
                    }
                    other => panic!("{other:?}"),
                }] += 1;
            }
        }
    }
    println!("{kinds:?}");
    assert!(kinds.iter().all(|n| *n > 10), "{kinds:?}");
}
