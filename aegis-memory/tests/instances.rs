//! Published instances: how close to the bound the planner comes on each, checked by the validator.
use aegis_core::Bytes;
use aegis_memory::{Options, PlanError, Problem, csv, lower_bound, plan, validate};
use std::path::Path;

fn load(file: &str, capacity: Option<u64>) -> Problem {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    csv::parse(&text, capacity.map(Bytes)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// Plans with the default options; the peak is at most `per_mille` thousandths of the bound above it. Prints the figures.
fn check(file: &str, bound: u64, per_mille: u64) {
    let problem = load(file, None);
    let plan = plan(&problem, &Options::default()).unwrap();
    validate(&problem, &plan.offsets).unwrap_or_else(|e| panic!("{file}: {e}"));
    let ends = plan.offsets.iter().zip(problem.buffers()).map(|(offset, b)| *offset + b.size);
    assert_eq!(Some(plan.peak), ends.max(), "{file}");
    assert_eq!((plan.bound.bytes, &plan.bound), (Bytes(bound), &lower_bound(&problem)), "{file}");
    let (peak, n) = (plan.peak.0, problem.buffers().len());
    let gap = (peak - bound) * 1000 / bound;
    println!(
        "{file}: {n} buffers, bound {bound}, peak {peak} (+{gap} ‰), optimal {}, {}",
        plan.optimal, plan.method
    );
    assert!(peak * 1000 <= bound * (1000 + per_mille), "{file}: peak {peak} is {gap} ‰ above {bound}");
    assert_eq!(plan.optimal, peak == bound, "{file}");
}

#[test]
fn fifteen_networks_reach_their_bounds() {
    let summary =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/summary.csv"));
    let summary = summary.unwrap();
    let rows: Vec<Vec<&str>> = summary.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 15);
    for row in rows {
        check(&format!("models/{}.csv", row[0]), row[6].parse().unwrap(), 0);
    }
}

#[test]
fn traces_reach_their_bounds() {
    check("input.12.csv", 12, 0);
    check("cross15_r224.4frames.csv", 16_958_720, 0);
    check("G_1.csv", 3_030_937_746, 0);
    check("resnet50.csv", 1_515_472_556, 0);
}

/// Hard by selection. The gap of D is what the default effort reaches, so that a loss shows; its peak of 1 038 336 is below
/// the capacity of 1 048 576 for which the instance was published.
#[test]
fn challenging_instances_and_their_gaps() {
    check("challenging/A.1048576.csv", 1_048_576, 0);
    check("challenging/B.1048576.csv", 1_048_576, 0);
    check("challenging/C.1048576.csv", 1_039_360, 0);
    check("challenging/D.1048576.csv", 986_112, 53);
    check("challenging/E.1048576.csv", 1_048_576, 0);
    check("challenging/F.1048576.csv", 1_048_576, 0);
}

#[test]
fn greedy_passes_alone_miss_the_bounds_of_the_challenging_instances() {
    for name in ["A", "B", "C", "D", "E", "F"] {
        let problem = load(&format!("challenging/{name}.1048576.csv"), None);
        let plan = plan(&problem, &Options { steps: 0 }).unwrap();
        let (peak, bound) = (plan.peak.0, plan.bound.bytes.0);
        println!("{name}: +{} ‰, {}", (peak - bound) * 1000 / bound, plan.method);
        assert!(peak > bound && !plan.optimal, "{name}");
    }
}

#[test]
fn a_capacity_is_met_or_refused_with_the_reason() {
    let fits = plan(&load("input.12.csv", Some(12)), &Options::default()).unwrap();
    assert_eq!((fits.peak, fits.optimal), (Bytes(12), true));
    let error = plan(&load("input.12.csv", Some(11)), &Options::default()).unwrap_err();
    let PlanError::OverCapacity { peak, capacity, bound, impossible } = error.clone() else {
        panic!("{error}")
    };
    assert_eq!((peak, capacity, impossible), (Bytes(12), Bytes(11), true));
    assert_eq!((bound.bytes, bound.at), (Bytes(12), 0));
    assert_eq!(
        error.to_string(),
        "the best plan needs 12 B, the capacity is 11 B; no plan fits: at least 12 B are live at 0: b1, b3, b5"
    );
    let open = plan(&load("challenging/A.1048576.csv", Some(1_048_576)), &Options { steps: 0 }).unwrap_err();
    let PlanError::OverCapacity { impossible, .. } = open else { panic!("{open}") };
    assert!(!impossible, "the bound equals the capacity and nothing was searched");
    assert!(open.to_string().contains("whether another plan fits is open: 1 MiB are live at"), "{open}");
}
