//! Errors in a text file, shown with the file, line, column and the offending text; and reading such a file.
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A mistake in a file. Its `Display` is one line, `file:line:column: what`; [`SourceError::render`] adds the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    path: PathBuf,
    text: String,
    span: Option<Range<usize>>,
    message: String,
}

impl SourceError {
    /// A mistake at a place in `text`.
    #[must_use]
    pub fn placed(path: &Path, text: String, span: Range<usize>, message: String) -> Self {
        Self { path: path.to_path_buf(), text, span: Some(span), message }
    }

    /// A mistake that concerns the whole file.
    #[must_use]
    pub fn unplaced(path: &Path, message: String) -> Self {
        Self { path: path.to_path_buf(), text: String::new(), span: None, message }
    }

    /// Line and column of the place, from 1; the column counts characters.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        let start = self.span.as_ref()?.start.min(self.text.len());
        let before = self.text.get(..start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some((line, column))
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The one-line form and, where the place is known, the offending line with a mark under it; but no line that would
    /// flood a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        const WIDEST: usize = 400;
        let shown = |line: usize| self.text.lines().skip(line.saturating_sub(2)).take(3);
        let (Some(span), Some((line, _))) = (&self.span, self.position()) else { return self.to_string() };
        if self.text.trim().is_empty() || shown(line).any(|text| text.len() > WIDEST) {
            return self.to_string();
        }
        // The first line of the place is enough; a whole table would drown the message.
        let end = self.text.get(span.clone()).and_then(|t| t.find('\n')).map_or(span.end, |n| span.start + n);
        let label = LabeledSpan::at(span.start..end, "here");
        let diagnostic = MietteDiagnostic::new(self.to_string()).with_label(label);
        let source = NamedSource::new(self.path.display().to_string(), self.text.clone());
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_context_lines(1).with_width(1000);
        let mut out = String::new();
        let report = Report::new(diagnostic).with_source_code(source);
        match handler.render_report(&mut out, report.as_ref()) {
            Ok(()) => out.trim_matches('\n').to_owned(),
            Err(_) => self.to_string(),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.position() {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for SourceError {}

/// The text of a file that the user wrote, without a byte order mark; `what` is what messages call it.
///
/// # Errors
/// [`SourceError`] if the file cannot be read, with line and column where it is not UTF-8.
pub(crate) fn read_text(path: &Path, what: &str) -> Result<String, SourceError> {
    if path.is_dir() {
        return Err(SourceError::unplaced(path, format!("is a folder; name the file with the {what}")));
    }
    let bytes = std::fs::read(path)
        .map_err(|error| SourceError::unplaced(path, format!("cannot read the {what}: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let message = format!("cannot read the {what}: it is not UTF-8 text from this byte on");
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        SourceError::placed(path, text, valid..valid + char::REPLACEMENT_CHARACTER.len_utf8(), message)
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// What serde says of a mistake, in the words of the file; `group` is what its format calls named values.
pub(crate) fn in_words(message: &str, group: &str) -> String {
    let message = message.trim_end();
    if message == "wanted string or table" {
        return "expected a word in quotes".to_owned();
    }
    if let Some(rest) = message.strip_prefix("EOF while parsing ") {
        return format!("the file ends inside {rest}");
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("{rest} is missing; add it");
    }
    if let Some(rest) = message.strip_prefix("duplicate field ") {
        return format!("{rest} is stated twice; keep one");
    }
    if let Some((found, expected)) = split(message, "invalid length ", ", expected a tuple of size ") {
        return format!("expected a list of {expected} values, found {found}");
    }
    if let Some((key, known)) = split(message, "unknown field ", ", expected ") {
        return format!("unknown key {key}; known here: {}", listed(known));
    }
    if let Some((value, known)) = split(message, "unknown variant ", ", expected ") {
        return format!("{value} is not known here; write {}", known.replace("one of", "one of:"));
    }
    for kind in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) = split(message, kind, ", expected ") {
            return format!("expected {}, found {}", sort_of(expected, group), sort_of(found, group));
        }
    }
    message.to_owned()
}

fn split<'a>(message: &'a str, start: &str, middle: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(start)?.split_once(middle)
}

/// `` `a` or `b` `` and ``one of `a`, `b` `` as a plain list.
fn listed(known: &str) -> String {
    known.strip_prefix("one of ").unwrap_or(known).replace("` or `", "`, `")
}

/// A name of the serde data model as the file's user would say it.
fn sort_of(name: &str, group: &str) -> String {
    match name {
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" => format!("a whole number from 0 to {}", u64::MAX),
        "f64" => "a number".to_owned(),
        "sequence" | "a sequence" => "a list".to_owned(),
        "map" | "a map" => group.to_owned(),
        _ if name.starts_with("struct ") => group.to_owned(),
        _ => name.to_owned(),
    }
}
