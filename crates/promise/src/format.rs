//! `fineline fmt`: one way to space a promise file. Comments, order, quotes and line breaks inside lists stay.

use crate::diagnostic::Report;
use crate::parse::check_syntax;
use toml_edit::{Array, Decor, DocumentMut, Item, RawString, Table, Value};

/// The same file, spaced: one blank around `=`, no indentation, no blanks at line ends, one empty line before a section.
/// Formatting twice changes nothing.
///
/// # Errors
/// A [`Report`] when the text is not TOML.
pub fn fmt(file_name: &str, text: &str) -> Result<String, Report> {
    check_syntax(file_name, text)?;
    let Ok(mut document) = text.parse::<DocumentMut>() else { return Ok(text.to_owned()) };
    let trailing = lines_before(&format!("{}\n", raw(document.trailing())));
    table(document.as_table_mut());
    document.set_trailing(trailing.trim_end());
    let mut out = document.to_string().trim_start_matches('\n').trim_end().to_owned();
    out.push('\n');
    Ok(out)
}

fn table(table: &mut Table) {
    let prefix = table.decor().prefix().map(|prefix| lines_before(raw(prefix))).unwrap_or_default();
    let suffix = table.decor().suffix().map(|suffix| comment_after(raw(suffix))).unwrap_or_default();
    if !table.is_implicit() {
        let prefix = if prefix.starts_with('\n') { prefix } else { format!("\n{prefix}") };
        *table.decor_mut() = Decor::new(prefix, suffix);
    }
    for (mut key, item) in table.iter_mut() {
        match item {
            Item::Value(inner) => {
                let prefix = key.leaf_decor().prefix().map(|prefix| lines_before(raw(prefix))).unwrap_or_default();
                *key.leaf_decor_mut() = Decor::new(prefix, " ");
                value(inner);
            }
            Item::Table(inner) => self::table(inner),
            Item::ArrayOfTables(tables) => tables.iter_mut().for_each(self::table),
            Item::None => {}
        }
    }
}

fn value(value: &mut Value) {
    let suffix = value.decor().suffix().map(|suffix| comment_after(raw(suffix))).unwrap_or_default();
    inside(value);
    *value.decor_mut() = Decor::new(" ", suffix);
}

/// Spaces inside lists and inline tables; toml bounds how deep they go.
fn inside(value: &mut Value) {
    match value {
        Value::InlineTable(table) => {
            table.fmt();
            table.iter_mut().for_each(|(_, value)| inside(value));
        }
        Value::Array(array) if is_one_line(array) => {
            array.fmt();
            array.iter_mut().for_each(inside);
        }
        _ => {}
    }
}

/// A list over several lines, perhaps with comments in it, stays as it was written.
fn is_one_line(array: &Array) -> bool {
    let one_line = |text: Option<&RawString>| text.is_none_or(|text| !raw(text).contains('\n'));
    let values = array.iter().all(|value| one_line(value.decor().prefix()) && one_line(value.decor().suffix()));
    values && !raw(array.trailing()).contains('\n')
}

fn raw(text: &RawString) -> &str {
    text.as_str().unwrap_or("")
}

/// Comments and empty lines that stand before something: no indentation, no blanks at ends, at most one empty line.
fn lines_before(text: &str) -> String {
    // What follows the last line break is the indentation of the thing itself.
    let Some((lines, _)) = text.rsplit_once('\n') else { return String::new() };
    let mut out = String::new();
    let mut empty = false;
    for line in lines.split('\n').map(str::trim) {
        if !(line.is_empty() && empty) {
            out.push_str(line);
            out.push('\n');
        }
        empty = line.is_empty();
    }
    out
}

/// A comment at the end of a line, one blank before it.
fn comment_after(text: &str) -> String {
    let comment = text.trim();
    if comment.is_empty() { String::new() } else { format!(" {comment}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str) -> String {
        fmt("promise.toml", text).unwrap()
    }

    #[test]
    fn spaces_are_put_right_and_comments_stay() {
        let crooked = "\n\n# top\nedition=1   # one\n\n\n\n  company   =   \"A  B\"\n[purpose.orders]\t# why\nsays='x'\n  # indented\n  levels={a=[\"b\",\"c\"],d=[]}\nlist=[\n  \"a\", # first\n  \"b\",\n]\n\n\n# about offers\n[purpose.offers]\nfor=[\"a\",\"b\"]   \n\n# the end\n\n\n";
        let straight = "# top\nedition = 1 # one\n\ncompany = \"A  B\"\n\n[purpose.orders] # why\nsays = 'x'\n# indented\nlevels = { a = [\"b\", \"c\"], d = [] }\nlist = [\n  \"a\", # first\n  \"b\",\n]\n\n# about offers\n[purpose.offers]\nfor = [\"a\", \"b\"]\n\n# the end\n";
        assert_eq!(formatted(crooked), straight);
        assert_eq!(formatted(straight), straight);
    }

    #[test]
    fn the_files_we_ship_are_formatted() {
        let day = model::Day::parse("2026-01-15").unwrap();
        for text in [crate::fixture::SHOP.to_owned(), crate::starter::starter(day)] {
            assert_eq!(formatted(&text), text);
        }
    }

    #[test]
    fn what_is_not_toml_is_named_and_left_alone() {
        let report = fmt("promise.toml", "a = ").unwrap_err();
        assert_eq!(report.diagnostics.first().map(|diagnostic| diagnostic.code), Some("FL001"));
    }

    proptest::proptest! {
        /// The meaning stays, and a second time changes nothing.
        #[test]
        fn formatting_keeps_meaning_and_is_idempotent(
            gaps in proptest::collection::vec("[ \t]{0,3}", 200),
            empties in proptest::collection::vec(0usize..4, 200),
        ) {
            let mut text = String::new();
            for (at, line) in crate::fixture::SHOP.lines().enumerate() {
                let gap = &gaps[at % gaps.len()];
                let line = if line.starts_with('#') { line.to_owned() } else { line.replacen(" = ", &format!("{gap}={gap}"), 1) };
                text.push_str(&format!("{gap}{line}{gap}\n{}", "\n".repeat(empties[at % empties.len()])));
            }
            let once = formatted(&text);
            proptest::prop_assert_eq!(&formatted(&once), &once);
            let hash = |text: &str| crate::parse("shop.toml", text).map(|promise| promise.hash);
            proptest::prop_assert_eq!(hash(&once), hash(crate::fixture::SHOP));
        }
    }
}
