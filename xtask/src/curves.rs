//! The acceptance curves of the documentation: sets that each policy admits, counted by an example of the analyses, as
//! comma-separated values and as a picture that is readable in light and dark.
use crate::Findings;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where the two files go, without their endings.
const PLACE: &str = "docs/acceptance";

/// `[--sets N]`: sets a point; 1000 unless stated.
pub fn run(root: &Path, arguments: &[&str]) -> Findings {
    let sets = match arguments {
        [] => "1000",
        ["--sets", sets] if sets.parse::<u32>().is_ok() => sets,
        _ => return vec!["cargo xtask curves [--sets N]".to_string()],
    };
    let output = Command::new("cargo")
        .args([
            "run",
            "--release",
            "--quiet",
            "-p",
            "aegis-analysis",
            "--example",
            "acceptance",
            "--",
            sets,
            "1",
        ])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output();
    let written = output
        .map_err(|why| format!("cargo: {why}"))
        .and_then(|output| {
            if output.status.success() {
                String::from_utf8(output.stdout).map_err(|why| why.to_string())
            } else {
                Err(format!("the example acceptance: {}", output.status))
            }
        })
        .and_then(|csv| {
            let picture = svg(&read(&csv)?, &format!("{sets} sets a point"));
            fs::write(root.join(PLACE).with_extension("csv"), csv).map_err(|why| why.to_string())?;
            fs::write(root.join(PLACE).with_extension("svg"), picture).map_err(|why| why.to_string())
        });
    written.err().map(|why| format!("curves: {why}")).into_iter().collect()
}

/// Columns of numbers with their names; the first is what the others are drawn against.
#[derive(Debug, PartialEq)]
struct Table {
    names: Vec<String>,
    rows: Vec<Vec<f64>>,
}

fn read(csv: &str) -> Result<Table, String> {
    let mut lines = csv.lines();
    let names: Vec<String> = lines.next().unwrap_or_default().split(',').map(str::to_string).collect();
    let rows = lines.map(|line| {
        let row: Vec<f64> = line
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|why| format!("{line}: {why}"))?;
        if row.len() == names.len() { Ok(row) } else { Err(format!("{line}: not {} columns", names.len())) }
    });
    let rows: Vec<_> = rows.collect::<Result<_, String>>()?;
    if rows.is_empty() { Err("no rows".to_string()) } else { Ok(Table { names, rows }) }
}

/// Colour-blind safe (Okabe, Ito), distinguishable on white and on black.
const COLOURS: [&str; 6] = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#b8860b", "#56b4e9"];
const DASHES: [&str; 2] = ["", "6 3"];

const LEFT: f64 = 56.0;
const TOP: f64 = 16.0;
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 320.0;

fn svg(table: &Table, note: &str) -> String {
    let x = |percent: f64| LEFT + percent * WIDTH / 100.0;
    let y = |percent: f64| TOP + HEIGHT - percent * HEIGHT / 100.0;
    let (width, height) = (LEFT + WIDTH + 290.0, TOP + HEIGHT + 48.0);
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("writing to a string");
    line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"12\">"
    ));
    line(format_args!("<title>Schedulable sets against the utilisation of the device</title>"));
    line(format_args!(
        "<style>text{{fill:#222}}.axis{{stroke:#222}}.grid{{stroke:#ddd}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ddd}}.axis{{stroke:#ddd}}.grid{{stroke:#444}}}}</style>"
    ));
    for percent in (0..=100).step_by(20).map(f64::from) {
        let (across, up) = (x(percent), y(percent));
        line(format_args!(
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{up}\" x2=\"{}\" y2=\"{up}\"/>",
            x(100.0)
        ));
        line(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{percent}</text>",
            LEFT - 8.0,
            up + 4.0
        ));
        line(format_args!(
            "<text x=\"{across}\" y=\"{}\" text-anchor=\"middle\">{percent}</text>",
            y(0.0) + 18.0
        ));
    }
    line(format_args!("<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {TOP}V{}H{}\"/>", y(0.0), x(100.0)));
    line(format_args!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{} ({note})</text>",
        x(50.0),
        y(0.0) + 38.0,
        table.names[0]
    ));
    line(format_args!(
        "<text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">schedulable sets in %</text>",
        y(50.0)
    ));
    for (k, name) in table.names.iter().enumerate().skip(1) {
        let (colour, dash) =
            (COLOURS[(k - 1) % COLOURS.len()], DASHES[(k - 1) / COLOURS.len() % DASHES.len()]);
        let points: Vec<String> =
            table.rows.iter().map(|row| format!("{:.1},{:.1}", x(row[0]), y(row[k]))).collect();
        let style =
            format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"");
        line(format_args!(
            "<polyline {style} points=\"{}\"><title>{name}</title></polyline>",
            points.join(" ")
        ));
        let at = TOP + 12.0 + 20.0 * (k - 1) as f64;
        line(format_args!("<path {style} d=\"M{} {at}h28\"/>", x(100.0) + 16.0));
        line(format_args!("<text x=\"{}\" y=\"{}\">{name}</text>", x(100.0) + 52.0, at + 4.0));
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::{read, svg};

    #[test]
    fn tables() {
        let table = read("u,a,b\n10,100,50.5\n20,0,1\n").unwrap();
        assert_eq!(table.names, ["u", "a", "b"]);
        assert_eq!(table.rows, [[10.0, 100.0, 50.5], [20.0, 0.0, 1.0]]);
        assert!(read("u,a\n1\n").unwrap_err().contains("not 2 columns"));
        assert!(read("u,a\n1,x\n").unwrap_err().contains("1,x"));
        assert!(read("u,a\n").is_err());
    }

    #[test]
    fn the_picture_draws_every_column() {
        let table = read("use,a,b\n0,100,0\n100,0,100\n").unwrap();
        let picture = svg(&table, "7 sets");
        assert!(picture.contains("points=\"56.0,16.0 576.0,336.0\"><title>a</title>"), "{picture}");
        assert!(picture.contains("points=\"56.0,336.0 576.0,16.0\"><title>b</title>"), "{picture}");
        assert!(picture.contains(">use (7 sets)</text>") && picture.ends_with("</svg>\n"));
        assert_eq!(picture.matches('<').count(), picture.matches('>').count());
    }
}
