//! The TOML tree with spans, read key by key: types, missing and unknown keys. Knows nothing about promises.

use super::{did_you_mean, keys};
use crate::diagnostic::{Diagnostic, Severity, place};
use model::Day;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What has been found so far.
pub(super) struct Findings<'s> {
    source: &'s str,
    diagnostics: Vec<Diagnostic>,
}

impl<'s> Findings<'s> {
    pub(super) const fn new(source: &'s str) -> Self {
        Self { source, diagnostics: Vec::new() }
    }

    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    pub(super) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity.is_error())
    }

    pub(super) fn line(&self, at: usize) -> u32 {
        place(self.source, at).0
    }

    /// Adds an error without help: the reader is sent to `fineline explain`.
    pub(super) fn error(&mut self, code: &'static str, span: Range<usize>, title: String, label: impl Into<String>) {
        self.add(Severity::Error, code, span, title, label.into(), None);
    }

    /// Adds an error with help, if there is some.
    pub(super) fn error_with_help(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        title: String,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        self.add(Severity::Error, code, span, title, label.into(), help);
    }

    pub(super) fn warning(&mut self, code: &'static str, span: Range<usize>, title: String, label: impl Into<String>) {
        self.add(Severity::Warning, code, span, title, label.into(), None);
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Range<usize>,
        title: String,
        label: String,
        help: Option<String>,
    ) {
        let (line, column) = place(self.source, span.start);
        self.diagnostics.push(Diagnostic { code, severity, title, span, line, column, label, help });
    }
}

/// A text of the file.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) value: String,
    /// With its quotes.
    pub(super) span: Range<usize>,
    /// Where the first byte of `value` stands; `None` when escapes shift what follows.
    inside: Option<usize>,
}

impl Text {
    fn new(value: &str, span: Range<usize>, source: &str) -> Self {
        let written = source.get(span.clone()).unwrap_or("");
        let inside = ["\"\"\"\n", "'''\n", "\"\"\"", "'''", "\"", "'"].iter().find_map(|quote| {
            let rest = written.strip_prefix(quote)?;
            rest.starts_with(value).then_some(span.start + quote.len())
        });
        Self { value: value.to_owned(), span, inside }
    }

    /// The place of some bytes of the value, or all of it where escapes are in the way.
    pub(super) fn part(&self, at: usize, len: usize) -> Range<usize> {
        match self.inside {
            Some(start) => start + at..start + at + len.max(1),
            None => self.span.clone(),
        }
    }
}

/// One table: the root, `[purpose.orders]`, …
pub(super) struct Section<'d> {
    /// How mistakes call it: "field `email`".
    pub(super) what: String,
    /// Its own name: "email".
    pub(super) name: String,
    /// Where its name stands.
    pub(super) span: Range<usize>,
    table: &'d DeTable<'d>,
}

impl<'d> Section<'d> {
    /// The whole file.
    pub(super) fn root(table: &'d DeTable<'d>, findings: &mut Findings<'_>) -> Self {
        let root = Self { what: "the file".to_owned(), name: String::new(), span: 0..1, table };
        root.knows(&keys::ROOT, findings);
        root
    }

    /// Refuses keys that are not in the list.
    pub(super) fn knows(&self, keys: &[&str], findings: &mut Findings<'_>) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !keys.contains(&name) {
                let help = did_you_mean(name, keys.iter().copied())
                    .unwrap_or_else(|| format!("keys known here: {}", keys.join(", ")));
                let title = format!("{} has no key `{name}`", self.what);
                findings.error_with_help("FL002", key.span(), title, "not known here", Some(help));
            }
        }
    }

    /// The sections `[key.*]`, in order of name.
    pub(super) fn children(&self, key: &str, findings: &mut Findings<'_>) -> Vec<Section<'d>> {
        let Some(value) = self.table.get(key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, value, "a table", findings);
            return Vec::new();
        };
        let child = |(name, value): (&Spanned<_>, &'d Spanned<DeValue<'d>>)| {
            let text: &std::borrow::Cow<'d, str> = name.get_ref();
            match value.get_ref() {
                DeValue::Table(table) => {
                    let what = format!("{key} `{text}`");
                    Some(Section { what, name: text.to_string(), span: name.span(), table })
                }
                _ => {
                    self.wrong_type(text, value, "a table", findings);
                    None
                }
            }
        };
        table.iter().filter_map(child).collect()
    }

    /// The one section `[key]`.
    pub(super) fn child(&self, key: &str, findings: &mut Findings<'_>) -> Option<Section<'d>> {
        let (name, value) = self.table.get_key_value(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, value, "a table", findings);
            return None;
        };
        Some(Section { what: format!("[{key}]"), name: key.to_owned(), span: name.span(), table })
    }

    pub(super) fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.table.get_key_value(key).map(|(name, _)| name.span())
    }

    /// Where a key's value stands, or the section's name.
    pub(super) fn value_span(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn missing(&self, key: &str, findings: &mut Findings<'_>) {
        if !self.has(key) {
            let title = format!("{} has no `{key}`", self.what);
            findings.error("FL004", self.span.clone(), title, format!("`{key}` is missing"));
        }
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str, findings: &mut Findings<'_>) {
        let title = format!("`{key}` of {} must be {wanted}", self.what);
        findings.error("FL005", value.span(), title, format!("expected {wanted}"));
    }

    /// Says that a value is of the right type and still wrong.
    pub(super) fn wrong_value(&self, key: &str, label: impl Into<String>, findings: &mut Findings<'_>) {
        let title = format!("`{key}` of {} cannot be this", self.what);
        findings.error("FL005", self.value_span(key), title, label);
    }

    pub(super) fn text(&self, key: &str, findings: &mut Findings<'_>) -> Option<Text> {
        let value = self.table.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Text::new(text, value.span(), findings.source)),
            _ => {
                self.wrong_type(key, value, "a text", findings);
                None
            }
        }
    }

    /// A text that must be there and not be empty.
    pub(super) fn need_text(&self, key: &str, findings: &mut Findings<'_>) -> Option<Text> {
        self.missing(key, findings);
        let text = self.text(key, findings)?;
        if text.value.trim().is_empty() {
            self.wrong_value(key, "must not be empty", findings);
            return None;
        }
        Some(text)
    }

    pub(super) fn number(&self, key: &str, findings: &mut Findings<'_>) -> Option<i64> {
        let value = self.table.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong_type(key, value, "a whole number", findings);
        }
        number
    }

    pub(super) fn flag(&self, key: &str, findings: &mut Findings<'_>) -> Option<bool> {
        let value = self.table.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => {
                self.wrong_type(key, value, "true or false", findings);
                None
            }
        }
    }

    pub(super) fn day(&self, key: &str, findings: &mut Findings<'_>) -> Option<Day> {
        let value = self.table.get(key)?;
        let day = match value.get_ref() {
            DeValue::Datetime(date) if date.time.is_none() && date.offset.is_none() => Day::parse(&date.to_string()),
            _ => None,
        };
        if day.is_none() {
            self.wrong_type(key, value, "a date without quotes, such as 2026-01-15", findings);
        }
        day
    }

    /// A list of texts; `None` when missing or no such list.
    pub(super) fn texts(&self, key: &str, findings: &mut Findings<'_>) -> Option<Vec<Text>> {
        let value = self.table.get(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type(key, value, "a list of texts", findings);
            return None;
        };
        let mut texts = Vec::new();
        for value in array.iter() {
            match value.get_ref() {
                DeValue::String(text) => texts.push(Text::new(text, value.span(), findings.source)),
                _ => {
                    self.wrong_type(key, value, "a list of texts", findings);
                    return None;
                }
            }
        }
        Some(texts)
    }

    /// An inline table of texts, in order of name, with the span of each name.
    pub(super) fn text_table(&self, key: &str, findings: &mut Findings<'_>) -> Vec<(String, Range<usize>, Text)> {
        let Some(value) = self.table.get(key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, value, "a table of texts", findings);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (name, value) in table.iter() {
            match value.get_ref() {
                DeValue::String(text) => {
                    let text = Text::new(text, value.span(), findings.source);
                    texts.push((name.get_ref().to_string(), name.span(), text));
                }
                _ => self.wrong_type(key, value, "a table of texts", findings),
            }
        }
        texts
    }

    pub(super) fn is_table(&self, key: &str) -> bool {
        matches!(self.table.get(key).map(Spanned::get_ref), Some(DeValue::Table(_)))
    }

    /// A table of tables' or lists' inner section.
    pub(super) fn inner(&self, key: &str, findings: &mut Findings<'_>) -> Option<Section<'d>> {
        let inner = self.child(key, findings)?;
        Some(Section { what: format!("`{key}` of {}", self.what), ..inner })
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.table.keys().map(|key| (key.get_ref().as_ref(), key.span()))
    }
}
