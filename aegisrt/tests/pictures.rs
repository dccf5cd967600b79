//! The pictures of `aegis admit`: as they look, and that what they show is what was computed.
mod common;
use aegis_analysis::demand_curve::{Step, curve};
use aegisrt::core::{PartitionId, TaskSet};
use common::{Folder, examples};

/// The tasks of a file with one partition.
fn set(folder: &Folder) -> TaskSet {
    let system = aegisrt::tasks_file::read(&folder.path("tasks.json"), None).unwrap();
    system.partition_set(PartitionId(0)).unwrap().unwrap()
}

fn mvp(policy: &str) -> Folder {
    let text = std::fs::read_to_string(examples().join("mvp.json")).unwrap();
    Folder::with("tasks.json", text.replace("np-fp", policy))
}

fn picture(folder: &Folder, options: &str, code: i32) -> String {
    let answer = folder.aegis(&format!("admit --tasks tasks.json {options} out.svg"));
    assert_eq!(answer.code, code, "{answer:?}");
    std::fs::read_to_string(folder.path("out.svg")).unwrap()
}

/// The corners of the path of that class, in thousandths of a pixel.
fn corners(svg: &str, class: &str) -> Vec<(i64, i64)> {
    let start = format!("<path class=\"{class}\" d=\"M");
    let (_, rest) = svg.split_once(&start).unwrap_or_else(|| panic!("no {class} in {svg}"));
    let (path, _) = rest.split_once('"').unwrap();
    let milli = |number: &str| {
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        whole.parse::<i64>().unwrap() * 1000 + format!("{part:0<3}").parse::<i64>().unwrap()
    };
    let point = |point: &str| {
        let (x, y) = point.split_once(' ').unwrap();
        (milli(x), milli(y))
    };
    path.split('L').map(point).collect()
}

/// Elements end, quotes close, and nothing is left of what the escapes stand for.
fn well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('>'), "{text}");
        let (tag, behind) = after.split_once('>').unwrap();
        rest = behind;
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for part in ["role=\"img\"", "<title id=\"title\">", "<desc id=\"about\">", "prefers-color-scheme:dark"] {
        assert!(svg.contains(part), "no {part}");
    }
}

/// 20 + 15 ms are due in 49 ms beside 29.999999 ms of C.
#[test]
fn demand_of_a_rejected_set() {
    let svg = picture(&mvp("np-edf"), "--svg-demand", 3);
    well_formed(&svg);
    insta::assert_snapshot!("demand_rejected", svg);
}

#[test]
fn the_staircase_is_the_computed_demand() {
    for policy in ["np-edf", "np-fp", "fifo"] {
        let folder = mvp(policy);
        let svg = picture(&folder, "--svg-demand", 3);
        let set = set(&folder);
        // Where the axes lie is part of the picture; what lies between is not.
        let [(left, bottom), (right, top)] = corners(&svg, "time")[..] else { panic!("{svg}") };
        let busy = aegis_analysis::admit(&set)
            .tasks
            .iter()
            .map(|task| task.bound.as_ref().unwrap().busy_period)
            .max();
        let busy = busy.unwrap().0;
        let until = (busy + busy / 10).max(100_000_000);
        let steps = curve(&set, aegisrt::Nanos(until));
        // Along the diagonal of the time both axes are known; demand may be above it.
        let x = |t: u64| {
            left + i64::try_from(i128::from(right - left) * i128::from(t) / i128::from(until)).unwrap()
        };
        let most = steps.iter().map(Step::needed).max().unwrap().0.max(until);
        let full = 70_000 - bottom;
        let y = |t: u64| bottom + i64::try_from(i128::from(full) * i128::from(t) / i128::from(most)).unwrap();
        assert_eq!(top, y(until));
        for (class, height) in [
            ("needed", (|step: &Step| step.needed().0) as fn(&Step) -> u64),
            ("demand", |step: &Step| step.demand.0),
        ] {
            let mut expected = Vec::new();
            for (i, step) in steps.iter().enumerate() {
                let end = steps.get(i + 1).map_or(until, |next| next.at.0);
                expected.push((x(step.at.0), y(height(step))));
                expected.push((x(end), y(height(step))));
            }
            expected.dedup();
            assert_eq!(corners(&svg, class), expected, "{policy} {class}");
        }
    }
}

#[test]
fn an_admitted_set_shows_no_violation() {
    let folder = Folder::with(
        "tasks.json",
        r#"{ "policy": "np-edf", "tasks": [
             { "name": "a<b>&\"c\"", "c_ns": 10, "t_ns": 100 }, { "name": "b", "c_ns": 50, "t_ns": 100 } ] }"#,
    );
    let svg = picture(&folder, "--svg-demand", 0);
    well_formed(&svg);
    assert!(!svg.contains("class=\"bad\""), "{svg}");
    assert!(svg.contains("stays within the time"), "{svg}");
}

#[test]
fn an_overload_is_drawn_without_a_busy_period() {
    let folder = Folder::with(
        "tasks.json",
        r#"{ "policy": "np-edf", "tasks": [
             { "name": "a", "c_ns": 60, "t_ns": 100 }, { "name": "b", "c_ns": 50, "t_ns": 100 } ] }"#,
    );
    let svg = picture(&folder, "--svg-demand", 3);
    well_formed(&svg);
    assert!(!svg.contains("class=\"busy\"") && svg.contains("every policy misses"), "{svg}");
}

#[test]
fn which_partition() {
    let folder = Folder::with(
        "tasks.json",
        r#"{ "policy": "np-edf", "partitions": [{ "name": "left" }, { "name": "right" }, { "name": "spare" }], "tasks": [
             { "name": "a", "c_ns": 60, "t_ns": 100, "partition": "left" },
             { "name": "b", "c_ns": 50, "t_ns": 100, "partition": "right" } ] }"#,
    );
    assert!(picture(&folder, "--svg-demand", 0).contains("Demand against time: left"));
    assert!(picture(&folder, "--partition right --svg-demand", 0).contains("Demand against time: right"));
    for partition in ["none", "spare"] {
        let answer = folder.aegis(&format!("admit --tasks tasks.json --partition {partition}"));
        assert_eq!(answer.code, 2, "{answer:?}");
        let says = format!("no partition with tasks is named `{partition}`; there are left, right");
        assert!(answer.stderr.contains(&says), "{answer:?}");
    }
    let answer = folder.aegis("admit --tasks tasks.json --svg-demand no/such/folder.svg");
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("cannot write no/such/folder.svg"), "{answer:?}");
}

/// A, B and C of the published scenario under fixed priorities: C starts 1 ns before, B responds after 44.999999 ms.
#[test]
fn schedule_of_a_rejected_set() {
    let svg = picture(&mvp("np-fp"), "--svg-schedule", 3);
    well_formed(&svg);
    assert!(
        svg.contains("A takes 64.999999 ms, its bound, after its deadline; C had started 1 ns before"),
        "{svg}"
    );
    insta::assert_snapshot!("schedule_rejected", svg);
}

/// The boxes of a class: place and width, in thousandths of a pixel.
fn boxes(svg: &str, class: &str) -> Vec<(i64, i64)> {
    let milli = |number: &str| {
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        whole.parse::<i64>().unwrap() * 1000 + format!("{part:0<3}").parse::<i64>().unwrap()
    };
    let start = format!("<rect class=\"{class}\" ");
    svg.split(&start)
        .skip(1)
        .map(|rest| {
            let value = |name: &str| {
                milli(rest.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0)
            };
            (value("x"), value("width"))
        })
        .collect()
}

/// What is drawn is as long as it takes: the boxes of the scenario are 30, 15 and 20 ms wide, on one scale.
#[test]
fn boxes_are_as_wide_as_their_segments() {
    let svg = picture(&mvp("np-fp"), "--svg-schedule", 3);
    let (blocker, analysed) = (boxes(&svg, "blocker"), boxes(&svg, "late"));
    let others = boxes(&svg, "job");
    assert_eq!((blocker.len(), analysed.len(), others.len()), (1, 1, 1), "{svg}");
    let near = |wide: i64, ms: i64| (wide * 30 - blocker[0].1 * ms).abs() <= 60;
    assert!(near(others[0].1, 15) && near(analysed[0].1, 20), "{blocker:?} {others:?} {analysed:?}");
    // One after the other, without a gap.
    assert!((blocker[0].0 + blocker[0].1 - others[0].0).abs() <= 1);
    assert!((others[0].0 + others[0].1 - analysed[0].0).abs() <= 1);
}

#[test]
fn schedules_under_every_policy_attain_the_bound() {
    for (policy, says) in [
        ("np-edf", "A takes 64.999999 ms, its bound, after its deadline"),
        ("np-fp", "A takes 64.999999 ms, its bound"),
        ("fifo", "B takes 65 ms, its bound"),
    ] {
        let svg = picture(&mvp(policy), "--svg-schedule", 3);
        well_formed(&svg);
        assert!(svg.contains(says), "{policy}: {svg}");
    }
}

/// A stall in the pattern is in the schedule: the bound is attained with it.
#[test]
fn stalls_are_played() {
    let folder = Folder::with(
        "tasks.json",
        r#"{ "policy": "np-fp", "overheads": { "reload": { "length_ns": 7, "gap_ns": 1000 } },
             "tasks": [{ "name": "a", "c_ns": 10, "t_ns": 100 }, { "name": "b", "c_ns": 30, "t_ns": 200 }] }"#,
    );
    let svg = picture(&folder, "--svg-schedule", 0);
    assert!(svg.contains(" ns, its bound"), "{svg}");
}

#[test]
fn no_schedule_is_drawn_where_none_is_the_worst() {
    let folder = Folder::with(
        "tasks.json",
        r#"{ "policy": "np-edf", "tasks": [
             { "name": "a", "c_ns": 60, "t_ns": 100 }, { "name": "b", "c_ns": 50, "t_ns": 100 } ] }"#,
    );
    let answer = folder.aegis("admit --tasks tasks.json --svg-schedule out.svg");
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.stderr.contains("--svg-schedule: no task has a bound"), "{answer:?}");
}
