//! Every verdict of random sets has a certificate that the checker accepts; no certificate that was changed so that it
//! claims something false is accepted, and neither is one of an analysis with a planted defect.
//!
//! `AEGIS_SCALE` multiplies the number of sets, `AEGIS_SEED` sets the seed.
mod common;
#[path = "common/curve.rs"]
mod curve;

use aegis_analysis::certify::{Claim, NoCertificate};
use aegis_analysis::{admit, certify};
use aegis_certificate::{Checked, Proved, check};
use aegis_core::{
    ArrivalCurve, ArrivalLaw, Nanos, Overheads, Policy, Priority, Rejection, Rng, Stall, TaskDraft, TaskSet,
    Verdict,
};
use common::{row, set_with};
use curve::curve;
use serde_json::Value;

const POLICIES: [Policy; 3] = [Policy::FixedPriority, Policy::Edf, Policy::Fifo];

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// What random sets contain.
#[derive(Debug, Clone, Copy)]
struct Shape {
    longest_period: u64,
    /// Jitter at most, in hundredths of the period.
    jitter: u64,
    /// Half of the tasks arrive by a curve.
    curves: bool,
    /// The partition stands still now and then.
    stalls: bool,
}

/// A random set with a load around what fits.
fn random(rng: &mut Rng, policy: Policy, shape: Shape) -> TaskSet {
    let n = rng.between(1, 6);
    let plain = rng.one_in(2);
    let mut small = |most| if plain { Nanos::ZERO } else { Nanos(rng.between(0, most)) };
    let overheads = Overheads {
        release: if shape.jitter == 0 { Nanos::ZERO } else { small(2) },
        dispatch: small(1),
        launch: small(1),
        copy: small(1),
        completion: small(1),
        ..Overheads::default()
    };
    let mut stall = || {
        if !shape.stalls || rng.one_in(2) {
            return Stall::default();
        }
        let length = rng.between(1, 3);
        Stall { length: Nanos(length), gap: Nanos(rng.between(4 * length, 2 * shape.longest_period)) }
    };
    let overheads = Overheads { recovery: stall(), clock_change: stall(), reload: stall(), ..overheads };
    let drafts = (0..n).map(|i| {
        let t = rng.between(4, shape.longest_period);
        let (arrival, t) = if shape.curves && rng.one_in(2) {
            let law = ArrivalLaw::from(curve(rng, 3 * t));
            let mean = law.mean_distance().0;
            (law, mean)
        } else {
            (Nanos(t).into(), t)
        };
        let wcet = rng.between(1, (t * 5 / n / 4).clamp(1, t));
        let parts = rng.between(1, 3.min(wcet));
        let segments = (0..parts).map(|k| Nanos(wcet / parts + u64::from(k < wcet % parts)));
        TaskDraft {
            name: format!("t{i}"),
            segments: segments.collect(),
            arrival,
            deadline: Some(Nanos(rng.between(t / 2 + 1, if shape.curves { 4 } else { 2 } * t))),
            jitter: Nanos(if rng.one_in(2) { rng.between(0, t * shape.jitter / 100) } else { 0 }),
            priority: Some(Priority(u32::try_from(rng.between(0, n)).unwrap())),
        }
    });
    TaskSet::new(policy, overheads, drafts.collect()).unwrap()
}

/// What the checker accepts is what the verdict says.
#[track_caller]
fn agrees(verdict: &Verdict, checked: &Checked) {
    assert_eq!(verdict.admitted(), checked.proved == Proved::Admitted);
    assert_eq!(verdict.policy.name(), checked.policy);
    for (answer, checked) in verdict.tasks.iter().zip(&checked.tasks) {
        assert_eq!(answer.deadline.0, checked.deadline_ns);
        if let Some(response) = checked.response_ns {
            assert_eq!(answer.bound.as_ref().map(|bound| bound.wcrt.0), Some(response));
        }
    }
}

/// `(admitted, rejected, rejected without a proof)` sets.
fn campaign(seed: u64, sets: u64, shape: Shape) -> (u64, u64, u64) {
    let mut rng = Rng::new(seed);
    let (mut admitted, mut rejected, mut without) = (0, 0, 0);
    for k in 0..sets {
        let policy = POLICIES[usize::try_from(k % 3).unwrap()];
        let set = random(&mut rng, policy, shape);
        let verdict = admit(&set);
        let certificate = match certify(&set, &verdict) {
            Ok(certificate) => certificate,
            Err(NoCertificate::NotProved) => {
                let endless = |r: &Rejection| matches!(r, Rejection::NoFiniteBusyPeriod { .. });
                let overtaking = set
                    .tasks()
                    .iter()
                    .any(|task| task.arrival.arrivals_within(task.jitter.0 + set.overheads().release.0) > 1);
                assert!(!verdict.admitted(), "seed {seed}: {set:?} {verdict:?}");
                let safe = overtaking || verdict.rejections.iter().any(endless);
                assert!(safe, "seed {seed}: {set:?} {verdict:?}");
                without += 1;
                continue;
            }
            Err(error) => panic!("seed {seed}: {error}: {set:?}"),
        };
        let text = certificate.to_string();
        match check(&text) {
            Ok(checked) => agrees(&verdict, &checked),
            Err(error) => panic!("seed {seed}: {error}: {set:?}\n{text}"),
        }
        *(if verdict.admitted() { &mut admitted } else { &mut rejected }) += 1;
    }
    println!(
        "seed {seed}, {shape:?}: {admitted} admissions and {rejected} rejections certified, {without} not proved"
    );
    (admitted, rejected, without)
}

#[test]
fn every_verdict_has_a_certificate_that_checks() {
    let (seed, scale) = (from_env("AEGIS_SEED", 1), from_env("AEGIS_SCALE", 1));
    for (longest_period, jitter, curves, stalls) in [
        (20, 0, false, false),
        (20, 90, false, false),
        (300, 90, false, false),
        (20, 250, false, false),
        (300, 250, false, false),
        (40, 0, true, false),
        (40, 90, true, false),
        (40, 250, true, false),
        (40, 0, false, true),
        (40, 90, false, true),
        (100, 200, true, true),
    ] {
        let shape = Shape { longest_period, jitter, curves, stalls };
        let (admitted, rejected, without) = campaign(seed, 1_500 * scale, shape);
        assert!(admitted > 100 * scale && rejected > 100 * scale, "{admitted} {rejected}");
        assert!(without * 20 < rejected, "{without} of {rejected} rejections are not proved");
    }
}

/// The set that a changed certificate states, if it is one.
fn stated(certificate: &Value) -> Option<TaskSet> {
    let policy = match certificate["policy"].as_str()? {
        "np-fp" => Policy::FixedPriority,
        "np-edf" => Policy::Edf,
        _ => Policy::Fifo,
    };
    let time = |value: &Value| value.as_u64().map(Nanos);
    let overhead = |name: &str| time(&certificate["overheads"][name]);
    let stall = |name: &str| {
        let stall = &certificate["overheads"][name];
        Some(Stall { length: time(&stall["length_ns"])?, gap: time(&stall["gap_ns"])? })
    };
    let overheads = Overheads {
        recovery: stall("recovery")?,
        clock_change: stall("clock_change")?,
        reload: stall("reload")?,
        release: overhead("release_ns")?,
        dispatch: overhead("dispatch_ns")?,
        launch: overhead("launch_ns")?,
        copy: overhead("copy_ns")?,
        completion: overhead("completion_ns")?,
    };
    let draft = |(i, task): (usize, &Value)| {
        Some(TaskDraft {
            name: format!("{i}"),
            segments: task["segments_ns"].as_array()?.iter().map(time).collect::<Option<_>>()?,
            arrival: match time(&task["t_ns"]) {
                Some(period) => period.into(),
                None => stated_curve(&task["arrival"])?.into(),
            },
            deadline: time(&task["d_ns"]),
            jitter: time(&task["j_ns"])?,
            priority: Some(Priority(u32::try_from(task["priority"].as_u64()?).ok()?)),
        })
    };
    let drafts = certificate["tasks"].as_array()?.iter().enumerate().map(draft).collect::<Option<_>>()?;
    TaskSet::new(policy, overheads, drafts).ok()
}

fn stated_curve(curve: &Value) -> Option<ArrivalCurve> {
    let step = |step: &Value| Some((Nanos(step[0].as_u64()?), step[1].as_u64()?));
    let steps = curve["steps"].as_array()?.iter().map(step).collect::<Option<_>>()?;
    ArrivalCurve::new(Nanos(curve["horizon_ns"].as_u64()?), steps).ok()
}

/// Whether what the checker says of the stated set is true.
fn is_true(certificate: &Value, checked: &Checked) -> bool {
    let Some(set) = stated(certificate) else { return false };
    let verdict = admit(&set);
    let bounds = || verdict.tasks.iter().map(|task| task.bound.as_ref().map(|bound| bound.wcrt.0));
    match checked.proved {
        Proved::Admitted => {
            let within = |(bound, task): (Option<u64>, &aegis_certificate::CheckedTask)| {
                task.response_ns.is_none_or(|response| bound.is_some_and(|bound| bound <= response))
            };
            verdict.admitted() && bounds().zip(&checked.tasks).all(within)
        }
        _ => !verdict.admitted(),
    }
}

/// All places of numbers and lists in a JSON value.
fn places(value: &Value, at: &str, numbers: &mut Vec<String>, lists: &mut Vec<(String, usize)>) {
    match value {
        Value::Number(_) => numbers.push(at.to_owned()),
        Value::Array(elements) => {
            lists.push((at.to_owned(), elements.len()));
            for (k, element) in elements.iter().enumerate() {
                places(element, &format!("{at}/{k}"), numbers, lists);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                places(field, &format!("{at}/{name}"), numbers, lists);
            }
        }
        _ => {}
    }
}

/// Every certificate that differs from this one in a number, in an element left out, or in two elements exchanged.
fn changed(certificate: &Value) -> Vec<Value> {
    let (mut numbers, mut lists) = (Vec::new(), Vec::new());
    places(certificate, "", &mut numbers, &mut lists);
    let mut all = Vec::new();
    for place in &numbers {
        let now = certificate.pointer(place).and_then(Value::as_u64).unwrap();
        for other in [now.checked_sub(1), Some(now + 1), Some(now / 2), Some(now * 2)].into_iter().flatten() {
            if other != now {
                let mut with = certificate.clone();
                *with.pointer_mut(place).unwrap() = other.into();
                all.push(with);
            }
        }
    }
    for (place, length) in &lists {
        for k in 0..*length {
            let mut with = certificate.clone();
            let list = with.pointer_mut(place).and_then(Value::as_array_mut).unwrap();
            list.remove(k);
            all.push(with);
            if k > 0 {
                let mut with = certificate.clone();
                with.pointer_mut(place).and_then(Value::as_array_mut).unwrap().swap(k - 1, k);
                all.push(with);
            }
        }
    }
    all
}

#[test]
fn no_changed_certificate_proves_what_is_false() {
    let (seed, scale) = (from_env("AEGIS_SEED", 2), from_env("AEGIS_SCALE", 1));
    let mut rng = Rng::new(seed);
    let (mut refused, mut still_true) = ([0_u64; 3], [0_u64; 3]);
    for k in 0..150 * scale {
        let policy = usize::try_from(k % 3).unwrap();
        let set = random(
            &mut rng,
            POLICIES[policy],
            Shape { longest_period: 24, jitter: 150, curves: k % 2 == 0, stalls: k % 4 < 2 },
        );
        let Ok(certificate) = certify(&set, &admit(&set)) else { continue };
        let certificate: Value = serde_json::from_str(&certificate.to_string()).unwrap();
        for changed in changed(&certificate) {
            match check(&changed.to_string()) {
                Err(_) => refused[policy] += 1,
                Ok(checked) => {
                    assert!(
                        is_true(&changed, &checked),
                        "seed {seed}: {checked:?} is false\n{changed}\n{certificate}"
                    );
                    still_true[policy] += 1;
                }
            }
        }
    }
    println!(
        "seed {seed}, np-fp, np-edf, fifo: {refused:?} refused, {still_true:?} accepted and true, 0 false"
    );
    assert!(refused.iter().all(|n| *n > 1_000 * scale), "{refused:?}");
}

/// The numbers of the claim are as small as they can be: one less anywhere proves nothing.
#[test]
fn no_number_of_an_admission_can_be_smaller() {
    let mut rng = Rng::new(3);
    let mut tried = 0;
    for k in 0..1_500 {
        let set = random(
            &mut rng,
            POLICIES[k % 3],
            Shape { longest_period: 60, jitter: 90, curves: k % 2 == 0, stalls: k % 4 < 2 },
        );
        let verdict = admit(&set);
        if !verdict.admitted() {
            continue;
        }
        let certificate = certify(&set, &verdict).unwrap().to_string();
        let certificate: Value = serde_json::from_str(&certificate).unwrap();
        let (mut numbers, mut lists) = (Vec::new(), Vec::new());
        places(&certificate["claim"], "/claim", &mut numbers, &mut lists);
        for place in numbers {
            let mut with = certificate.clone();
            let number = with.pointer_mut(&place).unwrap();
            let Some(less) = number.as_u64().unwrap().checked_sub(1) else { continue };
            *number = less.into();
            assert!(check(&with.to_string()).is_err(), "{place} may be {less}: {with}");
            tried += 1;
        }
    }
    assert!(tried > 1_000, "{tried}");
}

/// The certificate that an analysis would give if it took `set` for `mistaken`.
/// Whether the checker refuses it; what it accepts has to be true all the same.
#[track_caller]
fn planted(set: &TaskSet, mistaken: &TaskSet) -> bool {
    let certificate = |set| -> Value {
        let certificate = certify(set, &admit(set)).unwrap().to_string();
        serde_json::from_str(&certificate).unwrap()
    };
    let (right, mut wrong) = (certificate(set), certificate(mistaken));
    assert!(check(&wrong.to_string()).is_ok_and(|checked| checked.proved == Proved::Admitted));
    for stated in ["tasks", "overheads"] {
        wrong[stated] = right[stated].clone();
    }
    let answer = check(&wrong.to_string());
    assert!(answer.as_ref().map_or(true, |checked| is_true(&wrong, checked)), "{answer:?} {wrong}");
    answer.is_err()
}

/// Analyses that forget blocking, jitter, an overhead or a nanosecond: refused, except that the deadlines which EDF
/// without jitter looks at are enough here with it.
#[test]
fn certificates_of_wrong_analyses_are_refused() {
    let mut refused = 0;
    for policy in POLICIES {
        let with = |long: u64, jitter: u64, dispatch: u64| {
            let rows = [
                row(2, 20, 16).priority(0).jitter(jitter),
                row(3, 24, 22).priority(1),
                row(long, 60, 60).priority(2),
            ];
            set_with(policy, Overheads { dispatch: Nanos(dispatch), ..Overheads::default() }, &rows)
        };
        for mistaken in [with(1, 2, 1), with(5, 0, 1), with(5, 2, 0), with(4, 2, 1)] {
            refused += u32::from(planted(&with(5, 2, 1), &mistaken));
        }
    }
    assert_eq!(refused, 11);
}

#[test]
fn names_are_any_text() {
    let name = "a \"b\" \\ \n \u{1} ü 名";
    let draft = TaskDraft {
        name: name.to_owned(),
        segments: vec![Nanos(1)],
        arrival: Nanos(2).into(),
        ..TaskDraft::default()
    };
    let set = TaskSet::new(Policy::Fifo, Overheads::default(), vec![draft]).unwrap();
    let certificate = certify(&set, &admit(&set)).unwrap();
    assert_eq!(certificate.claim(), &Claim::FifoSum(Nanos(1)));
    assert_eq!(check(&certificate.to_string()).unwrap().tasks[0].name, name);
}

/// Thirty tasks of milliseconds in nanoseconds: shares of the time that fit no 128 bits, and ranges that stay few.
#[test]
fn large_sets_have_short_certificates() {
    let mut rng = Rng::new(4);
    for policy in POLICIES {
        let (mut certified, mut longest) = (0, 0);
        while certified < 20 {
            let drafts = (0..30).map(|i| {
                let period = rng.between(5_000_000, 500_000_000);
                TaskDraft {
                    name: format!("t{i}"),
                    segments: vec![Nanos((period / 45).min(400_000))],
                    arrival: Nanos(period).into(),
                    deadline: Some(Nanos(period.max(16_000_000))),
                    jitter: Nanos(rng.between(0, 1_000_000)),
                    priority: None,
                }
            });
            let set = TaskSet::new(policy, Overheads::default(), drafts.collect()).unwrap();
            let verdict = admit(&set);
            let text = certify(&set, &verdict).unwrap().to_string();
            agrees(&verdict, &check(&text).unwrap());
            longest = longest.max(text.len());
            certified += 1;
        }
        println!("{policy}: at most {longest} bytes for 30 tasks");
        assert!(longest < 20_000, "{longest}");
    }
}
