//! A real shop's history through the command line: the committed sample of Online Retail II (CC BY 4.0).

use crate::program::Desk;
use collect::import::Mapping;
use promise::explain::EXPLANATIONS;
use std::path::PathBuf;

fn committed(path: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).display().to_string()
}

#[test]
fn a14_a_history_goes_in_by_one_command_and_twice_changes_nothing() {
    let desk = Desk::applied();
    let mapping = committed("mappings/online-retail.toml");
    let files = ["data/online-retail-ii-sample-2009-2010.csv.gz", "data/online-retail-ii-sample-2010-2011.csv.gz"];
    let [first, second] = files.map(committed);
    desk.run(&["check", &mapping]).fine();
    desk.run(&["import", &mapping, &first]).failed(4, "has not been reviewed: add --as");
    let import = desk.run(&["import", &mapping, &first, &second, "--as", "Ada", "--json"]).fine();
    let reports: Vec<serde_json::Value> = import.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(reports.len(), 2);
    assert!(reports.iter().all(|report| report["is_finished"] == true && report["n_unreadable"] == 0));
    let totals = &reports[1]["totals"];
    assert!(totals["n_lines"].as_u64().unwrap() > 1_000, "{totals}");

    // The other way round, without a reviewer: the mapping is known again, and nothing is counted twice.
    let again = desk.run(&["import", &mapping, &second, &first, "--json"]).fine();
    let last: serde_json::Value = serde_json::from_str(again.out.lines().last().unwrap()).unwrap();
    assert_eq!(&last["totals"], totals);

    let human = desk.run(&["import", &mapping, &first]).fine();
    assert!(human.out.contains("made up") && human.out.contains("held now from all files"), "{}", human.out);
    assert!(!human.err.contains('\u{1b}'), "no bar off a terminal");
    let reviewed = include_str!("../../../../mappings/online-retail.toml");
    desk.write("broken.toml", &reviewed.replace("delimiter = \",\"", "delimiter = \"tab\""));
    assert_eq!(desk.run(&["check", "broken.toml"]).code, 1);
    desk.run(&["import", "broken.toml", &first, "--as", "Ada"]).failed(1, "is refused");
}

#[test]
fn every_code_of_a_mapping_is_explained_by_an_example_that_gives_it() {
    let shop = promise::parse("shop.toml", promise::fixture::SHOP).unwrap();
    let reviewed = include_str!("../../../../mappings/online-retail.toml");
    let codes_with = |line: &str| {
        let key = line.split_inclusive('=').next().unwrap();
        let mut lines: Vec<&str> = reviewed.lines().collect();
        *lines.iter_mut().find(|own| own.starts_with(key)).expect(key) = line;
        let report = Mapping::parse("mapping.toml", &lines.join("\n"), &shop).err();
        let mut codes: Vec<&str> =
            report.iter().flat_map(|report| &report.diagnostics).map(|found| found.code).collect();
        codes.dedup();
        codes
    };
    let explained = EXPLANATIONS.iter().filter(|(code, _)| code.starts_with("FL9"));
    for (code, text) in explained.clone() {
        let examples: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|rest| rest.lines().next()).collect();
        assert_eq!(examples.len(), 2, "{code}");
        assert_eq!(codes_with(examples[0]), [*code], "wrong: {}", examples[0]);
        assert_eq!(codes_with(examples[1]), [""; 0], "{code}, right: {}", examples[1]);
    }
    assert_eq!(explained.count(), 6);
    let desk = Desk::new();
    assert!(desk.run(&["explain", "fl903"]).fine().out.contains("a date that cannot be read"));
}

#[test]
fn a_taste_that_can_be_stated_is_a_group_that_is_sold() {
    let shop = promise::parse("shop.toml", promise::fixture::SHOP).unwrap();
    let mapping: toml::Table = toml::from_str(include_str!("../../../../mappings/online-retail.toml")).unwrap();
    let groups: Vec<&str> =
        mapping["catalogue"]["plain"].as_array().unwrap().iter().filter_map(|plain| plain["group"].as_str()).collect();
    let tastes = &shop.fields["favourite_group"].one_of;
    let unsold: Vec<_> = tastes.iter().filter(|taste| !groups.contains(&taste.as_str())).collect();
    assert!(unsold.is_empty() && !tastes.is_empty(), "{unsold:?}");
}
