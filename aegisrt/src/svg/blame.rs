//! Who cost whom how much, as a matrix: a row for each model, a column for each source, the darker the more.
use super::{Drawing, Px, shortened};
use aegis_core::{Nanos, TaskSet};
use aegis_trace::{BlameRow, Source};

const LEFT: i64 = 150;
const TOP: i64 = 90;
const COLUMN: i64 = 110;
const ROW: i64 = 40;

/// The sources that cost anything, models first.
pub(crate) fn sources(rows: &[BlameRow]) -> Vec<Source> {
    let all: std::collections::BTreeSet<Source> =
        rows.iter().flat_map(|row| row.costs.keys().copied()).collect();
    all.into_iter().collect()
}

/// The name of a source for people.
pub(crate) fn name(source: Source, set: &TaskSet) -> String {
    match source {
        Source::Task(task) => {
            set.get(task).map_or_else(|| format!("task {}", task.0), |task| task.name.clone())
        }
        Source::Itself(root) => root.name().replace('_', " "),
    }
}

/// The whole picture.
pub(crate) fn draw(set: &TaskSet, rows: &[BlameRow]) -> String {
    let sources = sources(rows);
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX / 1_000_000);
    let width = LEFT + COLUMN * count(sources.len()).max(2) + 20;
    let height = TOP + ROW * count(rows.len()) + 30;
    let about = "Each row is a model. Each box says how much of its jobs' response times went to the column's model or \
                 cause; the darker the box, the larger that share.";
    let mut drawing = Drawing::new(Px::of(width), Px::of(height), "Who cost whom how much", about);
    drawing.text(
        "",
        "start",
        (Px::of(20), Px::of(30)),
        "Who cost whom how much: response time by model and cause",
    );
    for (i, source) in sources.iter().enumerate() {
        let x = LEFT + COLUMN * count(i) + COLUMN / 2;
        drawing.text("", "middle", (Px::of(x), Px::of(TOP - 14)), &shortened(&name(*source, set), 14));
    }
    for (r, row) in rows.iter().enumerate() {
        let y = TOP + ROW * count(r);
        let task = name(Source::Task(row.task), set);
        drawing.text("", "end", (Px::of(LEFT - 12), Px::of(y + ROW / 2 + 4)), &shortened(&task, 16));
        for (i, source) in sources.iter().enumerate() {
            let Some(cost) = row.costs.get(source) else { continue };
            let x = LEFT + COLUMN * count(i);
            let title = format!("{task}: {:.3} of {:.3} for {}", cost.ns, row.responses, name(*source, set));
            let at = (Px::of(x + 2), Px::of(y + 2));
            drawing.rect(heat(cost.ns, row.responses), at, (Px::of(COLUMN - 4), Px::of(ROW - 4)), &title);
            let middle = (Px::of(x + COLUMN / 2), Px::of(y + ROW / 2 + 4));
            drawing.text("", "middle", middle, &format!("{:.1}", cost.ns));
        }
    }
    drawing.finish()
}

/// The class of a box: under 1 %, 10 %, 25 %, 50 %, or more of the row's responses.
fn heat(ns: Nanos, responses: Nanos) -> &'static str {
    let percent = u128::from(ns.0) * 100 / u128::from(responses.0.max(1));
    match percent {
        0 => "heat0",
        1..10 => "heat1",
        10..25 => "heat2",
        25..50 => "heat3",
        _ => "heat4",
    }
}

#[cfg(test)]
mod tests {
    use super::heat;
    use aegis_core::Nanos;

    #[test]
    fn shades() {
        for (ns, shade) in
            [(9, "heat0"), (10, "heat1"), (99, "heat1"), (100, "heat2"), (250, "heat3"), (500, "heat4")]
        {
            assert_eq!(heat(Nanos(ns), Nanos(1_000)), shade, "{ns}");
        }
        assert_eq!(heat(Nanos(0), Nanos(0)), "heat0");
    }
}
