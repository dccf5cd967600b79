//! The planner against brute force on tiny problems, and its promises on random ones.
use aegis_core::{Bytes, Rng};
use aegis_memory::{
    Buffer, Interval, Invalid, Lifetime, Options, PlanError, Problem, lower_bound, plan, validate,
};

/// Up to `most` buffers over `horizon` instants, some with gaps, some of size 0, some aligned.
fn random(rng: &mut Rng, most: u64, horizon: u64, largest: u64) -> Vec<Buffer> {
    let buffer = |i: u64, rng: &mut Rng| {
        let mut live: Vec<Interval> = Vec::new();
        let mut at = rng.between(0, horizon - 1);
        loop {
            let upper = rng.between(at + 1, horizon);
            live.push(Interval { lower: at, upper });
            if upper + 2 > horizon || !rng.one_in(3) {
                break;
            }
            at = rng.between(upper + 1, horizon - 1);
        }
        let size = if rng.one_in(20) { 0 } else { rng.between(1, largest) };
        let align = [1, 1, 1, 2, 3, 4][usize::try_from(rng.between(0, 5)).unwrap()];
        let lifetime = Lifetime::union(live).unwrap();
        Buffer { id: format!("b{i}"), lifetime, size: Bytes(size), align: Bytes(align) }
    };
    (0..rng.between(1, most)).map(|i| buffer(i, rng)).collect()
}

/// The lowest peak there is, by trying every offset of every buffer.
fn brute_force(buffers: &[Buffer]) -> u64 {
    let alive = |b: &Buffer, t: u64| b.lifetime.intervals().iter().any(|i| i.lower <= t && t < i.upper);
    let masks: Vec<u64> =
        buffers.iter().map(|b| (0..64).map(|t| u64::from(alive(b, t)) << t).sum()).collect();
    fn fits(buffers: &[Buffer], masks: &[u64], placed: &mut Vec<u64>, height: u64) -> bool {
        let i = placed.len();
        let Some(buffer) = buffers.get(i) else { return true };
        let (size, align) = (buffer.size.0, buffer.align.0);
        for offset in (0..=height.saturating_sub(size)).filter(|o| o % align == 0) {
            let clash = |j: usize| {
                masks[i] & masks[j] != 0
                    && offset < placed[j] + buffers[j].size.0
                    && placed[j] < offset + size
            };
            if offset + size <= height && !(0..i).any(clash) {
                placed.push(offset);
                if fits(buffers, masks, placed, height) {
                    return true;
                }
                placed.pop();
            }
        }
        false
    }
    (0..=1000).find(|&height| fits(buffers, &masks, &mut Vec::new(), height)).unwrap()
}

#[test]
fn never_below_the_optimum_and_never_a_false_proof() {
    let (mut equal, mut greedy_equal, mut above_bound, cases) = (0, 0, 0, 3000);
    for seed in 0..cases {
        let buffers = random(&mut Rng::new(seed), 6, 7, 8);
        let problem = Problem::new(buffers, None).unwrap();
        let best = brute_force(problem.buffers());
        for steps in [0, 60, 120, 200, 300, 500, 1_000_000] {
            let plan = plan(&problem, &Options { steps }).unwrap();
            let peak = plan.peak.0;
            validate(&problem, &plan.offsets).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            assert!(plan.bound.bytes.0 <= best, "seed {seed}: bound {} > {best}", plan.bound.bytes);
            assert!(peak >= best, "seed {seed}: {peak} < {best}");
            assert!(!plan.optimal || peak == best, "seed {seed}: {peak} called optimal, {best} is possible");
            match steps {
                0 => greedy_equal += u64::from(peak == best),
                1_000_000 => {
                    equal += u64::from(peak == best);
                    assert!(plan.optimal, "seed {seed}: not proven with ample steps");
                }
                _ => {}
            }
        }
        above_bound += u64::from(best > lower_bound(&problem).bytes.0);
    }
    println!("{cases} problems, {above_bound} with an optimum above the bound");
    println!("optimal: greedy passes {greedy_equal}, with search {equal}");
    assert_eq!(equal, cases);
    assert!(above_bound > 50, "too easy: only {above_bound} need the search for their proof");
}

/// With ample steps every answer is definite and right; with few, "impossible" is still never a lie.
#[test]
fn over_capacity_is_impossible_exactly_when_it_is() {
    let (mut open, ample) = (0, 1_000_000);
    for seed in 0..2000 {
        let buffers = random(&mut Rng::new(seed), 6, 7, 8);
        let best = brute_force(&buffers);
        for capacity in best.saturating_sub(2)..best + 2 {
            let problem = Problem::new(buffers.clone(), Some(Bytes(capacity))).unwrap();
            for steps in [0, 60, 120, 200, 300, ample] {
                match plan(&problem, &Options { steps }) {
                    Ok(plan) => {
                        assert!(capacity >= best, "seed {seed}, capacity {capacity}");
                        validate(&problem, &plan.offsets).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
                    }
                    Err(PlanError::OverCapacity { peak, impossible, .. }) => {
                        assert!(
                            capacity < best || !impossible,
                            "seed {seed}, steps {steps}: {capacity} >= {best}"
                        );
                        assert!(
                            steps < ample || (impossible && peak.0 == best),
                            "seed {seed}: {peak} {best}"
                        );
                        open += u32::from(!impossible);
                    }
                    Err(other) => panic!("seed {seed}: {other}"),
                }
            }
        }
    }
    assert!(open > 100, "{open}");
}

#[test]
fn a_plan_does_not_depend_on_how_the_buffers_are_listed() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let buffers = random(&mut rng, 60, 40, 9);
        let options = Options { steps: 20_000 };
        let problem = Problem::new(buffers.clone(), None).unwrap();
        let first = plan(&problem, &options).unwrap();
        assert_eq!(first, plan(&problem, &options).unwrap(), "seed {seed}");
        let mut listed: Vec<usize> = (0..buffers.len()).collect();
        for i in (1..listed.len()).rev() {
            listed.swap(i, usize::try_from(rng.between(0, i as u64)).unwrap());
        }
        let permuted = listed.iter().map(|&i| buffers[i].clone()).collect();
        let other = plan(&Problem::new(permuted, None).unwrap(), &options).unwrap();
        let by_listing: Vec<Bytes> = listed.iter().map(|&i| first.offsets[i]).collect();
        assert_eq!(other.offsets, by_listing, "seed {seed}");
        assert_eq!((other.peak, other.method), (first.peak, first.method), "seed {seed}");
    }
}

/// Moves one buffer of a sound plan onto another that is live with it.
#[test]
fn a_mutated_plan_is_rejected_by_name() {
    let mut mutated = 0;
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let problem = Problem::new(random(&mut rng, 40, 30, 9), None).unwrap();
        let plan = plan(&problem, &Options { steps: 20_000 }).unwrap();
        validate(&problem, &plan.offsets).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let buffers = problem.buffers();
        let pick = |rng: &mut Rng| usize::try_from(rng.between(0, buffers.len() as u64 - 1)).unwrap();
        let (i, j) = (pick(&mut rng), pick(&mut rng));
        let meet = buffers[i].lifetime.meets(&buffers[j].lifetime).is_some();
        if i == j || !meet || buffers[i].size.0 == 0 || buffers[j].size.0 == 0 {
            continue;
        }
        let mut offsets = plan.offsets;
        offsets[i] = offsets[j];
        match validate(&problem, &offsets) {
            Err(Invalid::Overlap { first, second, .. }) => {
                let name = &buffers[i].id;
                assert!(*name == first || *name == second, "seed {seed}: {name}, not {first} and {second}");
            }
            Err(Invalid::Misaligned { id, .. }) => assert_eq!(id, buffers[i].id, "seed {seed}"),
            other => panic!("seed {seed}: {other:?}"),
        }
        mutated += 1;
    }
    assert!(mutated > 100, "{mutated}");
}

/// A long chain: neither the stack nor the list of conflicts may grow with it.
#[test]
fn a_hundred_thousand_buffers() {
    let mut rng = Rng::new(1);
    let buffer = |i: u64, rng: &mut Rng| Buffer {
        id: i.to_string(),
        lifetime: Lifetime::interval(i, i + rng.between(2, 60)).unwrap(),
        size: Bytes(rng.between(1, 4096) * 256),
        align: Bytes(256),
    };
    let buffers = (0..100_000).map(|i| buffer(i, &mut rng)).collect();
    let problem = Problem::new(buffers, None).unwrap();
    let plan = plan(&problem, &Options { steps: 1_000_000 }).unwrap();
    println!("bound {}, peak {}, {}", plan.bound.bytes, plan.peak, plan.method);
    assert!(plan.peak.0 * 100 <= plan.bound.bytes.0 * 115, "{} above {}", plan.peak, plan.bound.bytes);
}
