//! Tests of rules: truth tables with missing facts, printing, limits, places of mistakes.

use super::*;
use proptest::prelude::*;

fn kind_of(name: &str) -> Option<Kind> {
    match name {
        "orders_all" | "orders_90d" | "n1" => Some(Kind::Number),
        "spent_all" => Some(Kind::Money),
        "colour" => Some(Kind::Text),
        "yes" | "no" | "gone" => Some(Kind::Flag),
        "born" => Some(Kind::Date),
        _ => None,
    }
}

fn rule(text: &str) -> Rule {
    Rule::parse(text, &kind_of).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn mistake(text: &str) -> (RuleMistake, usize) {
    let error = Rule::parse(text, &kind_of).expect_err(text);
    (error.mistake, error.at)
}

fn person(name: &str) -> Option<RuleValue> {
    match name {
        "orders_all" => Some(RuleValue::Number(3)),
        "orders_90d" => Some(RuleValue::Number(0)),
        "spent_all" => Some(RuleValue::Money(12_500_000)),
        "colour" => Some(RuleValue::Text("red".into())),
        "yes" => Some(RuleValue::Flag(true)),
        "no" => Some(RuleValue::Flag(false)),
        _ => None,
    }
}

#[test]
fn a_rule_is_evaluated_for_one_person() {
    for (text, expected) in [
        ("orders_all >= 3 && orders_90d == 0", Some(true)),
        ("orders_all > 3 || orders_90d != 0", Some(false)),
        ("spent_all > 12", Some(true)),
        ("13 <= spent_all", Some(false)),
        ("colour in ['red', \"blue\"]", Some(true)),
        ("!(colour in ['green'])", Some(true)),
        ("yes", Some(true)),
        ("!yes == no", Some(true)),
        ("yes == no == no", Some(true)),
        ("orders_all > -1", Some(true)),
    ] {
        assert_eq!(rule(text).evaluate(&mut person), expected, "{text}");
    }
}

#[test]
fn missing_means_unknown_also_under_negation() {
    for (text, expected) in [
        ("gone", None),
        ("!gone", None),
        ("n1 == 1", None),
        ("n1 != 1", None),
        ("!(n1 == 1)", None),
        ("n1 == n1", None),
        ("gone || yes", Some(true)),
        ("gone && no", Some(false)),
        ("gone && yes", None),
        ("gone || no", None),
        ("!(gone || no)", None),
    ] {
        assert_eq!(rule(text).evaluate(&mut person), expected, "{text}");
    }
}

#[test]
fn a_fact_of_another_shape_counts_as_missing() {
    let mut wrong = |_: &str| Some(RuleValue::Text("3".into()));
    assert_eq!(rule("orders_all != 7").evaluate(&mut wrong), None);
    assert_eq!(rule("!(orders_all in [7])").evaluate(&mut wrong), None);
}

#[test]
fn mistakes_are_named_with_their_place() {
    use RuleMistake::{Grammar, Shape, UnknownName};
    for (text, expected) in [
        ("", (Grammar, 0)),
        ("orders_all >=", (Grammar, 12)),
        ("orders_all = 3", (Grammar, 11)),
        ("(orders_all == 3", (Grammar, 0)),
        ("orders_all == 3)", (Grammar, 15)),
        ("count('x') > 1", (Grammar, 0)),
        ("orders_all + 1 == 2", (Grammar, 11)),
        ("orders_all == 1.5", (Grammar, 14)),
        ("colour == 'red", (Grammar, 10)),
        ("colour in []", (Grammar, 11)),
        ("colour in 'red'", (Grammar, 10)),
        ("emial == ''", (UnknownName, 0)),
        ("orders_all == 1 && emial == ''", (UnknownName, 19)),
        ("orders_all", (Shape, 0)),
        ("orders_all == 'x'", (Shape, 11)),
        ("colour < 'x'", (Shape, 7)),
        ("orders_all && yes", (Shape, 11)),
        ("born == 3", (Shape, 0)),
        ("spent_all == orders_all", (Shape, 10)),
    ] {
        assert_eq!(mistake(text), expected, "{text}");
    }
}

#[test]
fn long_and_deep_rules_are_refused_and_do_not_end_the_process() {
    let deep = format!("{}yes{}", "(".repeat(24), ")".repeat(24));
    assert_eq!(rule(&deep).to_string(), "yes");
    let deeper = format!("({deep})");
    assert_eq!(mistake(&deeper).0, RuleMistake::Grammar);
    let long = vec!["yes"; 160].join(" && ");
    assert_eq!(mistake(&long).0, RuleMistake::Grammar);
    // Short as written, long as printed: refused too, or it could not be read back.
    let dense = vec!["yes"; 190].join("&&");
    assert!(dense.len() < RULE_BYTES_MAX);
    assert_eq!(mistake(&dense).0, RuleMistake::Grammar);
    assert_eq!(mistake(&"!".repeat(999)).0, RuleMistake::Grammar);
    assert_eq!(mistake(&"(".repeat(999)).0, RuleMistake::Grammar);
}

#[test]
fn printing_keeps_the_brackets_that_matter_and_no_others() {
    for (text, printed) in [
        ("((orders_all>=3)&&(orders_90d==0))", "orders_all >= 3 && orders_90d == 0"),
        ("(yes || no) && gone", "(yes || no) && gone"),
        ("yes && (no && gone)", "yes && (no && gone)"),
        ("!(yes == no)", "!(yes == no)"),
        (r#"colour == "it's""#, r"colour == 'it\'s'"),
        ("spent_all >= 100", "spent_all >= 100"),
    ] {
        assert_eq!(rule(text).to_string(), printed);
    }
}

#[test]
fn a_rule_tells_what_it_reads_and_names() {
    let rule = rule("colour in ['red', 'blue'] && orders_all > 1 || colour == 'x'");
    assert_eq!(rule.reads().into_iter().collect::<Vec<_>>(), ["colour", "orders_all"]);
    assert_eq!(rule.texts().collect::<Vec<_>>(), ["red", "blue", "x"]);
}

/// Random rule texts, built with brackets everywhere.
fn texts() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("yes".to_owned()),
        Just("gone".to_owned()),
        (0..3i64).prop_map(|n| format!("orders_all >= {n}")),
        (-2..3i64).prop_map(|n| format!("n1 != {n}")),
        "[a-z' \\\\\"é]{0,4}".prop_map(|t| format!("colour == '{}'", t.replace('\\', "\\\\").replace('\'', "\\'"))),
        (0..9i64).prop_map(|n| format!("spent_all in [{n}, 12]")),
        Just("true".to_owned()),
    ];
    leaf.prop_recursive(5, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) == ({b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

proptest! {
    #[test]
    fn parse_reads_back_what_display_shows(text in texts()) {
        if let Ok(rule) = Rule::parse(&text, &kind_of) {
            prop_assert_eq!(Rule::parse(&rule.to_string(), &kind_of), Ok(rule));
        }
    }

    /// More facts sharpen an answer and never turn it round: Kleene's logic is monotone.
    #[test]
    fn adding_facts_never_turns_an_answer_round(text in texts(), known: [bool; 7], gone: bool, n1 in -2..3i64) {
        let Ok(rule) = Rule::parse(&text, &kind_of) else { return Ok(()) };
        let all = |name: &str| match name {
            "gone" => Some(RuleValue::Flag(gone)),
            "n1" => Some(RuleValue::Number(n1)),
            name => person(name),
        };
        const NAMES: [&str; 7] = ["yes", "gone", "n1", "colour", "spent_all", "orders_all", "no"];
        let mut few = |name: &str| {
            let place = NAMES.iter().position(|known| *known == name)?;
            if known[place] { all(name) } else { None }
        };
        if let Some(answer) = rule.evaluate(&mut few) {
            prop_assert_eq!(rule.evaluate(&mut { all }), Some(answer));
        }
    }

    #[test]
    fn no_text_ends_the_process(text in "[()!&|=<>'a-z0-9 \\[\\],_\\\\-]{0,200}") {
        if let Ok(rule) = Rule::parse(&text, &kind_of) {
            rule.evaluate(&mut person);
        }
    }
}

#[test]
fn the_page_about_rules_tells_the_truth() {
    const PAGE: &str = include_str!("../../../../docs/reference/rules.md");
    let promise = crate::parse("shop.toml", crate::fixture::SHOP).unwrap();
    let kind_of = |name: &str| promise.fact_kind(name);
    let block = |title: &str| {
        let (_, rest) = PAGE.split_once(&format!("```{title}\n")).unwrap();
        rest.split_once("\n```").unwrap().0.lines().collect::<Vec<_>>()
    };
    for text in block("rule") {
        assert!(Rule::parse(text, &kind_of).is_ok(), "{text}");
    }
    for text in block("refused") {
        assert!(Rule::parse(text, &kind_of).is_err(), "{text}");
    }
}
