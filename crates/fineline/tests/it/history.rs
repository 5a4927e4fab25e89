//! A real shop's history through the command line: the committed sample of Online Retail II (CC BY 4.0).

use crate::program::Desk;
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
