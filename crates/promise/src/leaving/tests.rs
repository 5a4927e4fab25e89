//! Dates that come by themselves, from the standing alone.

use crate::declaration::{Fate, Promise};
use crate::fixture::SHOP;
use crate::judge::{RefusalReason, Relation, Standing};
use crate::{ArtefactKind, Hold, Verdict, judge};
use model::{At, ConsentStatus, Day, PurposeName};
use std::collections::{BTreeMap, BTreeSet};

fn shop() -> Promise {
    crate::parse("shop.toml", SHOP).unwrap()
}

fn at(text: &str) -> At {
    At::parse(text).unwrap()
}

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

fn offers() -> PurposeName {
    PurposeName::parse("offers").unwrap()
}

/// Somebody who said yes, and was last heard of, at noon of a day.
fn heard_of(text: &str) -> Standing {
    let heard_at = at(text);
    let yes = Relation { status: ConsentStatus::Given, notice_version: 1, at: heard_at, level: None };
    Standing {
        relations: BTreeMap::from([(offers(), yes)]),
        told_version: 1,
        last_act: Some(heard_at),
        ..Standing::default()
    }
}

fn refusal(promise: &Promise, standing: &Standing, now: At) -> Option<RefusalReason> {
    let campaign = promise.artefact(ArtefactKind::Campaign, "win_back").unwrap();
    match judge(promise, campaign, standing, now) {
        Verdict::Yes { .. } => None,
        Verdict::No(refusal) => Some(refusal.reason),
    }
}

#[test]
fn d11_a_yes_lapses_on_the_midnight_after_two_years_of_silence() {
    let (promise, standing) = (shop(), heard_of("2026-03-01T12:00:00Z"));
    assert_eq!(promise.lapses_at(&offers(), &standing), Some(day("2028-02-29").start()));
    assert_eq!(refusal(&promise, &standing, day("2028-02-29").start().plus_ms(-1)), None);
    assert_eq!(refusal(&promise, &standing, day("2028-02-29").start()), Some(RefusalReason::AnswerLapsed));
    let heard_again = Standing { last_act: Some(at("2027-03-01T12:00:00Z")), ..standing };
    assert_eq!(refusal(&promise, &heard_again, day("2028-02-29").start()), None, "an act of theirs keeps it");
}

#[test]
fn d08_silence_counts_as_leaving_and_the_strictest_fate_is_the_default() {
    let (promise, standing) = (shop(), heard_of("2026-03-01T12:00:00Z"));
    let left = day("2029-02-28").start();
    assert_eq!((promise.leaves_at(&standing), promise.ends_at(&standing)), (Some(left), Some(left)));
    let portal = promise.artefact(ArtefactKind::Page, "portal").unwrap();
    assert!(matches!(judge(&promise, portal, &standing, left.plus_ms(-1)), Verdict::Yes { .. }));
    let Verdict::No(refusal) = judge(&promise, portal, &standing, left) else { panic!("gone, but not for their page") };
    assert_eq!(refusal.reason, RefusalReason::NoSuchPerson);
}

#[test]
fn d08_each_fate_ends_what_it_says() {
    let promise = shop();
    let with = |fate| Standing { fate: Some(fate), ..heard_of("2026-03-01T12:00:00Z") };
    let left = day("2029-02-28").start();
    assert_eq!(promise.ends_at(&with(Fate::Minimum)), None);
    let orders = PurposeName::parse("orders").unwrap();
    let contract = Relation { status: ConsentStatus::Given, notice_version: 1, at: left, level: None };
    let mut minimum = with(Fate::Minimum);
    minimum.relations.insert(orders.clone(), contract);
    assert!(promise.in_force(&orders, &minimum, left).is_ok(), "what the contract needs stays");
    assert_eq!(promise.in_force(&offers(), &minimum, left).unwrap_err().reason, RefusalReason::AnswerLapsed);
    let until = day("2030-01-01");
    assert_eq!(promise.ends_at(&with(Fate::Until(until))), Some(until.start()));
    assert_eq!(promise.ends_at(&with(Fate::Until(day("2027-01-01")))), Some(left), "never before they have left");
    let said = Standing { left_at: Some(at("2026-05-01T00:00:00Z")), ..with(Fate::Until(day("2027-01-01"))) };
    assert_eq!(promise.ends_at(&said), Some(day("2027-01-01").start()));
    let without = SHOP.replace("\"minimum\", ", "");
    let promise = crate::parse("shop.toml", &without).unwrap();
    assert_eq!(promise.fate(&with(Fate::Minimum)), Fate::Forget, "what is not offered any more is the strictest");
}

#[test]
fn d03_a_hold_closes_what_it_is_about_and_ends_by_itself() {
    let promise = shop();
    let hold = |names: &[&str]| Hold {
        names: names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(),
        until: day("2026-06-01"),
    };
    let held = Standing { holds: vec![hold(&[])], ..heard_of("2026-03-01T12:00:00Z") };
    let end = day("2026-06-01").start();
    assert_eq!(refusal(&promise, &held, end.plus_ms(-1)), Some(RefusalReason::Held));
    assert_eq!(refusal(&promise, &held, end), None);
    let part = Standing { holds: vec![hold(&["email"])], ..heard_of("2026-03-01T12:00:00Z") };
    assert_eq!(refusal(&promise, &part, end.plus_ms(-1)), None, "the rest goes on");
    assert_eq!(part.held_until("email", end.plus_ms(-1)), Some(end));
    assert_eq!(part.held_until("shirt_size", end.plus_ms(-1)), None);
}

#[test]
fn d03_a_promise_to_delete_sooner_than_backups_of_keys_end_is_refused() {
    for (text, is_right) in [
        ("1 day", false),
        ("6 days", false),
        ("7 days", true),
        ("30 days", true),
        ("31 days", false),
        ("at once", false),
    ] {
        let shop = format!("{SHOP}removed_within = \"{text}\"\n");
        let parsed = crate::parse("shop.toml", &shop);
        assert_eq!(parsed.is_ok(), is_right, "{text}");
        let codes = parsed.err().map(|report| report.diagnostics.iter().map(|one| one.code).collect::<Vec<_>>());
        assert_eq!(codes, (!is_right).then(|| vec!["FL604"]), "{text}");
    }
    let free = SHOP.replace("Count which pages", "We delete at once. Count which pages");
    let codes: Vec<_> = crate::parse("shop.toml", &free).unwrap_err().diagnostics.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["FL605"]);
}

#[test]
fn d03_the_notice_prints_the_bound_its_exceptions_and_the_record() {
    let promise = shop();
    let notice = promise.notice_text("en").to_text();
    assert!(notice.contains("within 7 days of that day, backups of keys included"), "{notice}");
    assert!(notice.contains("tells us to hold") && notice.contains("A backup of sealed records lasts longer"));
    let holds = crate::HoldsOn { n_people: 1, until: day("2026-06-01") };
    let record = crate::RemovalRecord { n_rounds: 12, since: day("2026-01-01"), longest_days: 6 };
    let told = promise.notice_text("en").with_record(Some(holds), Some(record)).to_text();
    assert!(told.contains("data of one person is kept until 2026-06-01"), "{told}");
    assert!(told.contains("Measured 12 times since 2026-01-01: removing took 6 days at the longest."));
}

#[test]
fn d11_an_answer_about_sensitive_data_lapses_after_two_years_at_most() {
    let long = SHOP.replace("[purpose.measuring]", "[purpose.measuring]\nlapses_after = \"3 years\"");
    assert!(crate::parse("shop.toml", &long).is_ok());
    let sensitive = long.replace("has = { path = \"text\" }", "has = { path = \"text\" }\nclass = \"sensitive\"");
    let report = crate::parse("shop.toml", &sensitive).unwrap_err();
    assert_eq!(report.diagnostics.iter().map(|one| one.code).collect::<Vec<_>>(), ["FL208"]);
}
