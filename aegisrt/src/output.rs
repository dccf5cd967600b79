//! How answers reach the user: text for people, JSON for programs, errors on standard error.
use crate::Error;
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};

/// How an answer is written. Every command knows `text` and `json`; those that export know others instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    Csv,
    JobsCsv,
    Arrow,
    Perfetto,
    Chrome,
    OtlpSpans,
    Openmetrics,
    Otlp,
}

impl Format {
    /// Reads the name of one of these.
    pub fn one_of(known: &'static [Self]) -> impl TypedValueParser<Value = Self> {
        let names = known.iter().filter_map(ValueEnum::to_possible_value);
        PossibleValuesParser::new(names).map(|name| Self::from_str(&name, false).unwrap_or(Self::Text))
    }
}

/// Where a command prints.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    pub fn json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints a line for people; nothing in JSON.
    pub fn line(&self, text: impl AsRef<str>) {
        if !self.json() {
            print(text.as_ref());
        }
    }

    /// Prints the answer of a command: `text` for people, `value` for programs.
    pub fn answer(&self, text: impl FnOnce() -> String, value: impl FnOnce() -> Value) {
        if self.json() {
            let value = value();
            debug_assert!(value.get("schema_version").is_some(), "JSON answers carry their version");
            print(&format!("{value:#}"));
        } else {
            print(text().trim_end());
        }
    }

    /// A note that is not part of the answer.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.json() {
            let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
        }
    }

    /// A progress bar on a terminal; invisible everywhere else.
    pub fn progress(&self, total: u64, what: &'static str) -> ProgressBar {
        let visible = !self.json() && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}") {
            bar.set_style(style);
        }
        bar
    }

    /// A sign of life on a terminal while work of unknown progress goes on; invisible everywhere else.
    pub fn busy(&self, what: &'static str) -> ProgressBar {
        let bar = self.progress(0, what);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        bar
    }

    /// Prints an error and returns its exit code.
    pub fn error(&self, error: &Error) -> u8 {
        if self.json() {
            let mut value = json!({ "code": error.code(), "message": error.to_string() });
            if let Error::Source(source) = error {
                value["message"] = source.message().into();
                value["file"] = source.path().display().to_string().into();
                if let Some((line, column)) = source.position() {
                    value["line"] = line.into();
                    value["column"] = column.into();
                }
            }
            print(&format!("{:#}", json!({ "schema_version": 1, "error": value })));
        }
        let colour = std::io::stderr().is_terminal();
        let text = match error {
            Error::Source(source) => source.render(colour),
            other => other.to_string(),
        };
        let _ = writeln!(std::io::stderr(), "error: {}", text.trim_start_matches([' ', '×', '\n']));
        error.exit_code()
    }
}

/// Prints to standard output; a reader that went away is not an error.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A table for people; `align` has one letter a column, `l` for words and `r` for figures.
pub(crate) fn table(header: &[&str], align: &str, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for (i, (column, align)) in table.column_iter_mut().zip(align.chars()).enumerate() {
        column.set_padding((if i == 0 { 2 } else { 1 }, 1));
        column.set_cell_alignment(if align == 'l' { CellAlignment::Left } else { CellAlignment::Right });
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
