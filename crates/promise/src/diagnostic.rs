//! Mistakes in a promise file with their place, shown as rustc shows them, or as JSON.
//!
//! It does not find mistakes (`parse` does) and does not explain them at length ([`crate::explain()`] does).

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken; somebody should look.
    Warning,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// Its code, "FL203".
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// Bytes of the file it points at.
    pub span: Range<usize>,
    /// Line of its beginning, from 1.
    pub line: u32,
    /// Column of its beginning in characters, from 1.
    pub column: u32,
    /// What stands under the marks.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
}

/// All mistakes of one file, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// As given by the caller.
    pub file_name: String,
    /// The mistakes.
    pub diagnostics: Vec<Diagnostic>,
}

/// With or without terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No escape codes.
    Plain,
    /// For a terminal.
    Colour,
}

impl Report {
    /// How many errors.
    #[must_use]
    pub fn n_errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings.
    #[must_use]
    pub fn n_warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// Everything for a reader, as rustc shows it; ends with a line that counts. Empty when there is nothing to say.
    /// `source` is the text that was parsed.
    #[must_use]
    pub fn render(&self, source: &str, style: Style) -> String {
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Colour => Renderer::styled(),
        };
        let mut out = String::new();
        for diagnostic in &self.diagnostics {
            out.push_str(&renderer.render(&[self.group(diagnostic, source)]));
            out.push_str("\n\n");
        }
        let counts = self.counts();
        if !counts.is_empty() {
            out.push_str(&counts);
            out.push('\n');
        }
        out
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic, source: &'a str) -> Group<'a> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let end = diagnostic.span.end.min(source.len());
        let span = diagnostic.span.start.min(end)..end;
        let help = diagnostic.help.clone().unwrap_or_else(|| format!("run `fineline explain {}`", diagnostic.code));
        level
            .primary_title(diagnostic.title.as_str())
            .id(diagnostic.code)
            .element(
                Snippet::source(source)
                    .path(self.file_name.as_str())
                    .annotation(AnnotationKind::Primary.span(span).label(diagnostic.label.as_str())),
            )
            .element(Level::HELP.message(help))
    }

    /// "3 errors, 1 warning"; empty when there are none.
    #[must_use]
    pub fn counts(&self) -> String {
        let parts = [(self.n_errors(), "error"), (self.n_warnings(), "warning")];
        let parts = parts.into_iter().filter(|(n, _)| *n > 0);
        let parts: Vec<String> =
            parts.map(|(n, word)| format!("{n} {word}{}", if n == 1 { "" } else { "s" })).collect();
        parts.join(", ")
    }

    /// `{"file": …, "errors": n, "warnings": n, "diagnostics": […]}` for machines.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "file": self.file_name,
            "errors": self.n_errors(),
            "warnings": self.n_warnings(),
            "diagnostics": self.diagnostics,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file_name, self.counts())?;
        match self.diagnostics.first() {
            Some(first) => write!(f, "; line {}: {}: {}", first.line, first.code, first.title),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Report {}

/// Line and column, both from 1, of a byte.
pub(crate) fn place(source: &str, at: usize) -> (u32, u32) {
    let before = source.get(..at).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
    let line = count(before.bytes().filter(|byte| *byte == b'\n').count());
    let column = count(before.get(line_start..).unwrap_or("").chars().count());
    (line, column)
}
