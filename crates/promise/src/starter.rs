//! The promise file that `fineline init` writes: small, right, and ready to be changed.

use model::Day;

const TEXT: &str = include_str!("starter.toml");
/// The day that stands in the committed text.
const DAY: &str = "2026-01-15";

/// The starter file; its notice binds from the given day.
#[must_use]
pub fn starter(starts: Day) -> String {
    TEXT.replace(DAY, &starts.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Style, parse_with_warnings};

    #[test]
    fn the_starter_parses_without_error_or_warning() {
        let day = Day::parse("2027-03-01").unwrap();
        let text = starter(day);
        let (promise, warnings) = parse_with_warnings("promise.toml", &text)
            .unwrap_or_else(|report| panic!("{}", report.render(&text, Style::Plain)));
        assert_eq!(warnings.render(&text, Style::Plain), "");
        assert_eq!(promise.notice.starts, day);
    }
}
