//! The `is` of a trait: one aggregate over one event, such as `count('Order Completed', days(90))`.

use crate::declaration::Aggregate;
use model::EventName;
use std::fmt;

/// Longest window, in days: as long as anything may be kept.
pub const WINDOW_DAYS_MAX: i32 = 3_650;

/// An `is` could not be read; the place is in bytes from its beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AggregateError {
    /// Where.
    pub at: usize,
    /// What is wrong, in plain words.
    pub message: String,
}

impl Aggregate {
    /// Reads `count(event[, days(n)])`, `sum(event, property[, days(n)])`, `days_since(event)`,
    /// `days_since_first(event)`; names stand in quotes.
    ///
    /// # Errors
    /// [`AggregateError`] with the place of the mistake.
    pub fn parse(text: &str) -> Result<Self, AggregateError> {
        let mut cursor = Cursor { text, at: 0 };
        let function = cursor.word().to_owned();
        if !matches!(function.as_str(), "count" | "sum" | "days_since" | "days_since_first") {
            return Err(cursor.mistake_at(0, "expected count(…), sum(…), days_since(…) or days_since_first(…)"));
        }
        cursor.expect('(')?;
        let at = cursor.at;
        let name = cursor.quoted()?;
        let event = EventName::parse(&name).map_err(|error| cursor.mistake_at(at, error.to_string()))?;
        let aggregate = match function.as_str() {
            "count" => Self::Count { event, window_days: cursor.window()? },
            "sum" => {
                cursor.expect(',')?;
                let property = cursor.quoted()?;
                Self::Sum { event, property, window_days: cursor.window()? }
            }
            "days_since" => Self::DaysSince { event },
            _ => Self::DaysSinceFirst { event },
        };
        cursor.expect(')')?;
        cursor.skip_spaces();
        if cursor.rest().is_empty() { Ok(aggregate) } else { Err(cursor.mistake("expected nothing more")) }
    }

    /// The event it looks at.
    #[must_use]
    pub const fn event(&self) -> &EventName {
        match self {
            Self::Count { event, .. }
            | Self::Sum { event, .. }
            | Self::DaysSince { event }
            | Self::DaysSinceFirst { event } => event,
        }
    }

    /// The property it looks at, if any.
    #[must_use]
    pub fn property(&self) -> Option<&str> {
        match self {
            Self::Sum { property, .. } => Some(property),
            _ => None,
        }
    }

    /// How many days back it looks, today included; `None` = within what may be kept.
    #[must_use]
    pub const fn window_days(&self) -> Option<i32> {
        match self {
            Self::Count { window_days, .. } | Self::Sum { window_days, .. } => *window_days,
            Self::DaysSince { .. } | Self::DaysSinceFirst { .. } => None,
        }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = quote(self.event().as_str());
        match self {
            Self::Count { .. } => write!(f, "count({event}")?,
            Self::Sum { property, .. } => write!(f, "sum({event}, {}", quote(property))?,
            Self::DaysSince { .. } => write!(f, "days_since({event}")?,
            Self::DaysSinceFirst { .. } => write!(f, "days_since_first({event}")?,
        }
        match self.window_days() {
            Some(days) => write!(f, ", days({days}))"),
            None => f.write_str(")"),
        }
    }
}

fn quote(name: &str) -> String {
    let mark = if name.contains('\'') { '"' } else { '\'' };
    format!("{mark}{name}{mark}")
}

struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl Cursor<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn word(&mut self) -> &str {
        self.skip_spaces();
        let start = self.at;
        let len = self.rest().find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest().len());
        self.at += len;
        self.text.get(start..self.at).unwrap_or("")
    }

    fn expect(&mut self, wanted: char) -> Result<(), AggregateError> {
        self.skip_spaces();
        if self.rest().starts_with(wanted) {
            self.at += wanted.len_utf8();
            return Ok(());
        }
        Err(self.mistake(format!("expected `{wanted}`")))
    }

    fn quoted(&mut self) -> Result<String, AggregateError> {
        self.skip_spaces();
        let mark = match self.rest().chars().next() {
            Some(mark @ ('\'' | '"')) => mark,
            _ => return Err(self.mistake("expected a name in quotes")),
        };
        let inside = self.rest().get(1..).unwrap_or("");
        let Some(len) = inside.find(mark) else { return Err(self.mistake("this name is not closed")) };
        let name = inside.get(..len).unwrap_or("").to_owned();
        self.at += len + 2;
        Ok(name)
    }

    fn window(&mut self) -> Result<Option<i32>, AggregateError> {
        self.skip_spaces();
        if !self.rest().starts_with(',') {
            return Ok(None);
        }
        self.expect(',')?;
        self.skip_spaces();
        let start = self.at;
        if self.word() != "days" {
            return Err(self.mistake_at(start, "expected days(…)"));
        }
        self.expect('(')?;
        self.skip_spaces();
        let start = self.at;
        let days = self.word().parse::<i32>().ok().filter(|days| (1..=WINDOW_DAYS_MAX).contains(days));
        let Some(days) = days else {
            return Err(self.mistake_at(start, format!("expected a number of days from 1 to {WINDOW_DAYS_MAX}")));
        };
        self.expect(')')?;
        Ok(Some(days))
    }

    fn mistake(&self, message: impl Into<String>) -> AggregateError {
        self.mistake_at(self.at, message)
    }

    fn mistake_at(&self, at: usize, message: impl Into<String>) -> AggregateError {
        AggregateError { at, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for text in [
            "count('Order Completed')",
            "count('Order Completed', days(90))",
            "sum('Order Completed', 'total', days(365))",
            "sum('Order Completed', 'total')",
            "days_since('Order Completed')",
            "days_since_first(\"Bob's Day\")",
        ] {
            assert_eq!(Aggregate::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Aggregate::parse(" count ( \"A\" , days( 7 ) ) ").unwrap().to_string(), "count('A', days(7))");
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, at) in [
            ("", 0),
            ("median('A')", 0),
            ("count", 5),
            ("count(A)", 6),
            ("count('A'", 9),
            ("count('A', weeks(2))", 11),
            ("count('A', days(0))", 16),
            ("count('A', days(99999))", 16),
            ("count('A') > 3", 11),
            ("sum('A')", 7),
            ("days_since('A', days(3))", 14),
            ("count('')", 6),
        ] {
            assert_eq!(Aggregate::parse(text).expect_err(text).at, at, "{text}");
        }
    }
}
