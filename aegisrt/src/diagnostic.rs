//! Errors in a text file, shown with the file, line, column and the offending text.
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

    /// The one-line form and, where the place is known, the offending line with a mark under it.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let Some(span) = &self.span else { return self.to_string() };
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
