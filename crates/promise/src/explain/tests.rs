//! Golden errors: the wrong example of every explanation is put into the starter file and must give exactly its code, as
//! shown in `snapshots/`; the right example must not.

use super::*;
use crate::{Report, Style, parse_with_warnings};
use std::collections::{BTreeMap, BTreeSet};

/// Sources in which codes are reported: this room's, and the reader of mapping files.
const REPORTERS: [&str; 9] = [
    include_str!("../parse/mod.rs"),
    include_str!("../parse/house.rs"),
    include_str!("../parse/kept.rs"),
    include_str!("../parse/leaving.rs"),
    include_str!("../parse/offered.rs"),
    include_str!("../parse/purpose.rs"),
    include_str!("../parse/read.rs"),
    include_str!("../parse/words.rs"),
    include_str!("../../../collect/src/import/mapping/read.rs"),
];

/// Explanations of this room's codes; the examples of FL9nn are mappings and are tried with the program.
fn own() -> impl Iterator<Item = (&'static str, &'static str)> {
    EXPLANATIONS.into_iter().filter(|(code, _)| !code.starts_with("FL9"))
}

fn example<'t>(text: &'t str, title: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("{title}:\n\n```toml\n"))?;
    rest.split_once("\n```").map(|(example, _)| example)
}

/// Lines of a file by section header; the head has the empty name.
fn sections(text: &str) -> Vec<(String, Vec<&str>)> {
    let mut sections = vec![(String::new(), Vec::new())];
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            sections.push((line.to_owned(), Vec::new()));
        } else {
            sections.last_mut().unwrap().1.push(line);
        }
    }
    sections
}

/// The starter file with the sections of an example in place of its own.
fn with(example: &str) -> String {
    let key = |line: &str| line.split(' ').next().unwrap_or("").to_owned();
    let mut changes: BTreeMap<String, Vec<&str>> = sections(example).into_iter().collect();
    let mut out = String::new();
    let day = model::Day::parse("2026-01-15").unwrap();
    let starter = crate::starter::starter(day);
    for (header, lines) in sections(&starter) {
        let change = changes.remove(&header).unwrap_or_default();
        let replaced: BTreeSet<String> = change.iter().map(|line| key(line)).collect();
        out.extend([header.as_str(), "\n"]);
        let own = lines.iter().filter(|line| header.is_empty() && !replaced.contains(&key(line)));
        let own: Vec<&&str> = if change.is_empty() { lines.iter().collect() } else { own.collect() };
        change.iter().chain(own).for_each(|line| out.extend([line, "\n"]));
    }
    for (header, lines) in changes {
        out.extend(["\n", header.as_str(), "\n", lines.join("\n").as_str(), "\n"]);
    }
    out
}

fn report(text: &str) -> Report {
    parse_with_warnings("promise.toml", text).map_or_else(|report| report, |(_, warnings)| warnings)
}

fn codes(report: &Report) -> BTreeSet<&'static str> {
    report.diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}

#[test]
fn every_wrong_example_gives_its_code_as_shown() {
    for (code, text) in own() {
        let Some(wrong) = example(text, "Wrong") else {
            assert_eq!(code, "FL006", "{code} has no example");
            continue;
        };
        let source = with(wrong);
        let report = report(&source);
        assert_eq!(codes(&report), BTreeSet::from([code]), "{}", report.render(&source, Style::Plain));
        insta::assert_snapshot!(code, report.render(&source, Style::Plain));
    }
}

#[test]
fn no_right_example_gives_anything() {
    for (code, text) in own() {
        let Some(right) = example(text, "Right") else { continue };
        let source = with(right);
        let report = report(&source);
        assert_eq!(report.render(&source, Style::Plain), "", "{code}");
    }
}

#[test]
fn every_code_that_can_be_reported_is_explained_and_the_other_way_round() {
    let codes_in = |source: &'static str| source.match_indices("\"FL").filter_map(|(at, _)| source.get(at + 1..at + 6));
    let reported: BTreeSet<&str> = REPORTERS.into_iter().flat_map(codes_in).collect();
    let explained: BTreeSet<&str> = EXPLANATIONS.iter().map(|(code, _)| *code).collect();
    assert_eq!(reported, explained);
    for (code, text) in EXPLANATIONS {
        assert!(text.starts_with(&format!("# {code}: ")), "{code}");
        assert_eq!(explain(&code.to_lowercase()), Some(text));
    }
    assert_eq!(explain("FL999"), None);
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let text = "#".repeat(crate::FILE_BYTES_MAX + 1);
    assert_eq!(codes(&report(&text)), BTreeSet::from(["FL006"]));
    let many: String = (0..=crate::DECLARATIONS_MAX).map(|n| format!("[source.s{n}]\nkind = \"server\"\n")).collect();
    assert!(codes(&report(&many)).contains("FL006"));
}

#[test]
fn a_section_that_stands_twice_is_one_mistake() {
    let section = "[source.till]\nkind = \"server\"\nlabel = \"Till\"\n";
    let source = format!(
        "{}{section}{section}[source.door]\nkind = \n",
        crate::starter::starter(model::Day::parse("2026-01-15").unwrap())
    );
    let mistakes: Vec<String> = report(&source).diagnostics.into_iter().map(|one| one.label).collect();
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert_eq!(mistakes.first().map(String::as_str), Some("duplicate key"));
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    let source = with(
        "[field.due_month]\ntype = \"number\"\nfrom = \"checkout form\"\nfor = [\"ofers\"]\nkeep = \"forever\"\n\
         [segment.lapsed]\nfor = \"offers\"\nwho = \"orders_90d == 0 && emial != ''\"",
    );
    insta::assert_snapshot!("three_mistakes", report(&source).render(&source, Style::Plain));
    let json = report(&source).to_json();
    assert_eq!(json["errors"], 3);
    assert_eq!(json["diagnostics"][0]["code"], "FL302");
}

#[test]
fn an_empty_file_names_what_is_missing() {
    let report = report("");
    insta::assert_snapshot!("empty", report.render("", Style::Plain));
}

#[test]
fn colour_is_for_terminals_only() {
    let report = report("edition = 2");
    assert!(report.render("edition = 2", Style::Colour).contains('\u{1b}'));
    assert!(!report.render("edition = 2", Style::Plain).contains('\u{1b}'));
}
