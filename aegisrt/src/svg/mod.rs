//! Pictures as SVG: text that is escaped, colours for light and dark, a title for those who do not see them.
//!
//! Places are whole thousandths of a pixel, computed without floating point: the same on every machine.
pub(crate) mod blame;
pub(crate) mod demand;
pub(crate) mod schedule;

use aegis_core::Nanos;
use std::fmt::Write;

/// A length or a place, in thousandths of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Px(i64);

impl Px {
    const fn of(pixels: i64) -> Self {
        Self(pixels * 1000)
    }
}

impl std::ops::Add for Px {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::fmt::Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = (self.0.unsigned_abs() / 1000, self.0.unsigned_abs() % 1000);
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{}", format!("{rest:03}").trim_end_matches('0'))
    }
}

/// Times from `from` to `until` along a line of pixels.
#[derive(Debug, Clone, Copy)]
struct Axis {
    from: Nanos,
    until: Nanos,
    first: Px,
    last: Px,
}

impl Axis {
    /// Where a time is; times outside lie on the ends.
    fn at(self, time: Nanos) -> Px {
        let span = i128::from(self.until.0.saturating_sub(self.from.0).max(1));
        let into = i128::from(time.0.clamp(self.from.0, self.until.0.max(self.from.0)) - self.from.0);
        let length = i128::from(self.last.0) - i128::from(self.first.0);
        // Between the two ends, both of which are pixels.
        Px(self.first.0 + i64::try_from(length * into / span).unwrap_or(0))
    }

    /// Round times inside, some four to ten of them.
    fn ticks(self) -> Vec<Nanos> {
        let span = self.until.0.saturating_sub(self.from.0).max(1);
        let power = 10_u64.pow(span.ilog10());
        let step = [(power / 10).max(1), (power / 5).max(1), (power / 2).max(1), power]
            .into_iter()
            .find(|step| span / step <= 10)
            .unwrap_or(power);
        let first = self.from.0.div_ceil(step);
        (first..=self.until.0 / step).map(|k| Nanos(k * step)).collect()
    }
}

/// A drawing, element by element.
#[derive(Debug)]
struct Drawing {
    width: Px,
    height: Px,
    body: String,
}

/// What every picture looks like; a class is what a shape means.
const STYLE: &str = "
svg{--paper:#ffffff;--ink:#1f2328;--faint:#d1d9e0;--blue:#0969da;--amber:#bc6c00;--red:#cf222e;--grey:#818b98}
@media (prefers-color-scheme:dark){svg{--paper:#0d1117;--ink:#e6edf3;--faint:#3d444d;--blue:#4493f8;--amber:#d29922;\
--red:#f85149;--grey:#7d8590}}
text{font:13px system-ui,sans-serif;fill:var(--ink)}
.paper{fill:var(--paper)}.axis{stroke:var(--ink);fill:none}.grid{stroke:var(--faint);fill:none}
.time{stroke:var(--grey);stroke-dasharray:6 4;fill:none}.busy{fill:var(--faint);opacity:.35}
.demand{stroke:var(--blue);stroke-width:2;fill:none}.needed{stroke:var(--amber);stroke-width:2;fill:none}
.bad{stroke:var(--red);stroke-width:4;fill:none}.bad-text{fill:var(--red)}
.job{fill:var(--grey)}.analysed{fill:var(--blue)}.blocker{fill:var(--amber)}.late{fill:var(--red)}
.release,.arrival,.deadline{stroke:var(--ink);fill:none}.arrival{stroke-dasharray:2 2}
.missed{stroke:var(--red);stroke-width:2;fill:none}
.heat0{fill:var(--faint);opacity:.35}.heat1,.heat2,.heat3,.heat4{fill:var(--amber)}.heat1{opacity:.2}.heat2{opacity:.4}\
.heat3{opacity:.65}.heat4{opacity:.9}";

impl Drawing {
    /// An empty one; `title` and `about` are read to those who do not see it.
    fn new(width: Px, height: Px, title: &str, about: &str) -> Self {
        let body = format!(
            "<title id=\"title\">{}</title>\n<desc id=\"about\">{}</desc>\n<style>{STYLE}\n</style>\n\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n",
            escaped(title),
            escaped(about),
        );
        Self { width, height, body }
    }

    fn line(&mut self, class: &str, (x1, y1): (Px, Px), (x2, y2): (Px, Px)) {
        self.push(format_args!("<path class=\"{class}\" d=\"M{x1} {y1}L{x2} {y2}\"/>"));
    }

    /// A line through points.
    fn path(&mut self, class: &str, points: &[(Px, Px)]) {
        let mut d = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            let _ = write!(d, "{}{x} {y}", if i == 0 { 'M' } else { 'L' });
        }
        self.push(format_args!("<path class=\"{class}\" d=\"{d}\"/>"));
    }

    /// A box with a title of its own.
    fn rect(&mut self, class: &str, (x, y): (Px, Px), (width, height): (Px, Px), title: &str) {
        let title = escaped(title);
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"><title>{title}</title></rect>"
        ));
    }

    /// A word; `anchor` is `start`, `middle` or `end`.
    fn text(&mut self, class: &str, anchor: &str, (x, y): (Px, Px), text: &str) {
        let text = escaped(text);
        self.push(format_args!(
            "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y}\">{text}</text>"
        ));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{element}");
    }

    /// The whole text of the file.
    fn finish(self) -> String {
        let Self { width, height, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             role=\"img\" aria-labelledby=\"title about\">\n{body}</svg>\n"
        )
    }
}

/// Text as XML has it; characters that XML does not have are left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            c => out.push(c),
        }
    }
    out
}

/// A name that fits beside a row.
fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_exact() {
        let axis = Axis { from: Nanos(10), until: Nanos(40), first: Px::of(100), last: Px::of(190) };
        for (time, place) in [(0, "100"), (10, "100"), (25, "145"), (40, "190"), (99, "190"), (11, "103")] {
            assert_eq!(axis.at(Nanos(time)).to_string(), place, "{time}");
        }
        let tenth = Axis { from: Nanos(0), until: Nanos(10_000), first: Px::of(0), last: Px::of(-1) };
        assert_eq!(tenth.at(Nanos(5)).to_string(), "0");
        assert_eq!(tenth.at(Nanos(1_250)).to_string(), "-0.125");
        let widest = Axis { from: Nanos(0), until: Nanos::MAX, first: Px::of(0), last: Px::of(1_000) };
        assert_eq!(widest.at(Nanos(1 << 63)).to_string(), "500");
    }

    #[test]
    fn ticks_are_round_and_few() {
        let ticks = |from: u64, until: u64| {
            Axis { from: Nanos(from), until: Nanos(until), first: Px::of(0), last: Px::of(1) }.ticks()
        };
        assert_eq!(ticks(0, 100), (0..=10).map(|k| Nanos(10 * k)).collect::<Vec<_>>());
        assert_eq!(ticks(7, 10), [7, 8, 9, 10].map(Nanos));
        assert_eq!(ticks(0, 0), [Nanos(0)]);
        for until in [1, 9, 11, 19, 21, 49, 51, 99, 101, 12_345, u64::MAX] {
            let ticks = ticks(0, until);
            assert!((2..=11).contains(&ticks.len()), "{until}: {ticks:?}");
            assert!(ticks.iter().all(|tick| tick.0 <= until));
        }
    }

    #[test]
    fn text_cannot_break_the_file() {
        let mut drawing = Drawing::new(Px::of(1), Px::of(1), "a<b", "\"&\"");
        drawing.text("", "start", (Px(0), Px(0)), "</text>\n\u{0}<script>");
        let file = drawing.finish();
        assert!(file.contains("a&lt;b") && file.contains("&quot;&amp;&quot;"), "{file}");
        assert!(file.contains(">&lt;/text&gt; &lt;script&gt;<"), "{file}");
        assert_eq!(shortened("planner", 7), "planner");
        assert_eq!(shortened("planning", 7), "planni…");
    }
}
