//! The example of `docs/CERTIFICATES.md` is what it says it is.
use aegis_certificate::{Proved, check};

#[test]
fn the_example_checks() {
    let document = include_str!("../../docs/CERTIFICATES.md");
    let blocks: Vec<&str> =
        document.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [fp, miss] = blocks[..] else { panic!("{} examples", blocks.len()) };
    let responses = |text: &str| {
        let checked = check(text).unwrap();
        assert_eq!(checked.proved, Proved::Admitted);
        checked.tasks.iter().map(|task| task.response_ns).collect::<Vec<_>>()
    };
    assert_eq!(responses(fp), [Some(8), Some(9)]);

    let set = fp.split("\"claim\"").next().unwrap();
    let edf = document.split("have the claim `").nth(1).unwrap().split('`').next().unwrap();
    let edf = format!("{}\"claim\": {edf}}}", set.replace("np-fp", "np-edf"));
    assert_eq!(responses(&edf), [None, None]);
    // "A start of 5 instead of 6, a deadline of 7 instead of 8, or a lidar of 8 instead of 7"
    for (now, then) in [("[0, 6, 8]", "[0, 5, 8]"), ("\"d_ns\": 8", "\"d_ns\": 7"), ("[7]", "[8]")] {
        assert!(check(&fp.replace(now, then)).is_err());
    }
    for (now, then) in [("\"d_ns\": 8", "\"d_ns\": 7"), ("[7]", "[8]")] {
        assert!(check(&edf.replace(now, then)).is_err());
    }

    let miss = format!("{}{miss}}}", set.replace("\"d_ns\": 8", "\"d_ns\": 7"));
    assert_eq!(check(&miss).unwrap().proved, Proved::Miss { task: 0, response_ns: 8 });
}
