//! What is stored, and what leaves no trace.

use crate::fixture::{ENGINES, House, anonymous, browser, computed, event, field, purpose, user};
use model::{At, Awareness, ConsentStatus, FactName, Provenance, Value};
use promise::RefusalReason;
use vault::{MessageKey, Outcome, OutcomeReason, Subject};

#[test]
fn b01_a_profile_holds_each_fact_with_source_time_telling_purposes_notice_context_and_expiry() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 3, 100).to_owned();
        let house = house.reopened();
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.campaign()).unwrap();
        let email = permit.fact(&field("email")).unwrap().expect("the address is there");
        let fact = email.reveal();
        assert!(matches!(&fact.provenance, Provenance::Observed { source } if source.as_str() == "history"));
        assert!(fact.value == Value::Text("ada@shop.example".into()));
        assert_eq!(fact.as_of, house.now().plus_days(-100), "{engine:?}: the newest statement wins");
        assert_eq!(fact.told_at, Some(fact.as_of));
        assert_eq!(fact.told_how, Awareness::InNotice);
        assert_eq!(fact.purposes, [purpose("offers"), purpose("orders")], "as declared");
        assert_eq!((fact.notice_version, fact.context), (1, model::Context::Shopping));
        assert_eq!(fact.expires_at, fact.as_of.day().plus(730).start());
        let orders = permit.fact(&computed("orders_all")).unwrap().expect("a trait is a fact");
        assert!(orders.reveal().value == Value::Number(3));
        assert!(
            matches!(&orders.reveal().provenance, Provenance::Derived { ancestors } if ancestors == &["Order Completed"])
        );
        let oldest = house.now().plus_days(-120).day();
        let kept_days = house.promise.events[&event("Order Completed")].retention.keep_days;
        assert_eq!(
            orders.reveal().expires_at,
            oldest.plus(kept_days).start(),
            "a trait expires with its earliest input"
        );
        let names: Vec<FactName> = permit.reads().facts.into_iter().map(|fact| fact.name).collect();
        assert_eq!(names, [field("email"), computed("orders_all")], "what was read is recorded, in order");
    }
}

/// What somebody says about themselves in an identify of the shop.
fn says(house: &House, taste: &str) -> Outcome {
    let fields = vec![(model::FieldName::parse("favourite_group").unwrap(), Value::Text(taste.into()))];
    let source = model::SourceName::parse("shop").unwrap();
    let message_key = MessageKey::Wire(taste.into());
    house.take(vault::Intake {
        kind: model::EventKind::Identify,
        name: event("Identify"),
        source,
        trust: model::Trust::Server,
        fields,
        message_key,
        ..house.order("ada", house.now(), taste)
    })
}

#[test]
fn a26_a_taste_that_is_not_on_the_declared_list_is_kept_from_no_door() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    assert!(matches!(says(&house, "garden"), Outcome::Kept { .. }));
    house.clock.advance_ms(1);
    assert!(matches!(says(&house, "my neighbour"), Outcome::Refused { reason: OutcomeReason::NoPurpose, .. }));
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.campaign()).unwrap();
    let taste = permit.fact(&field("favourite_group")).unwrap().unwrap();
    assert!(taste.reveal().value == Value::Text("garden".into()));
}

#[test]
fn b01_a_fact_given_along_ends_when_its_declaration_says() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 3, 100);
        let given_at = house.now();
        says(&house, "garden");
        house.customer("ada", 1, 0);
        let house = house.reopened();
        let ends_at = {
            let snapshot = house.vault.snapshot();
            let permit = snapshot.permit(person, house.portal()).unwrap();
            let taste = permit.fact(&field("favourite_group")).unwrap().unwrap();
            taste.reveal().expires_at
        };
        assert_eq!(ends_at, given_at.day().plus(730).start(), "{engine:?}: two years");
        house.clock.set(ends_at);
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.portal()).unwrap();
        assert!(permit.fact(&field("favourite_group")).unwrap().is_none(), "{engine:?}: then it is not there");
    }
}

#[test]
fn no_purpose_in_force_leaves_nothing_at_all() {
    for engine in ENGINES {
        let house = House::over(engine);
        let outcome = house.take(house.page("browser-1", "m1"));
        let line = house.promise.line("purpose", "measuring");
        assert_eq!(outcome, Outcome::Refused { reason: OutcomeReason::NoPurpose, line });
        assert_eq!(house.vault.snapshot().find(&anonymous("browser-1")), None);
        let counted = house.vault.snapshot().house_records("outcome/", 10).unwrap();
        assert_eq!(counted.len(), 1);
        assert!(counted[0].0.ends_with("/web/Page Viewed/no_purpose"), "{}", counted[0].0);
        assert_eq!(counted[0].1, b"1");
        // The same message is no repeat: there is no mark of it either.
        assert!(matches!(house.take(house.page("browser-1", "m1")), Outcome::Refused { .. }));
        let refused = house.consent(browser("browser-1"), "measuring", ConsentStatus::Refused);
        assert_eq!((refused.profile, refused.refusal), (None, Some(OutcomeReason::NoSubject)));
    }
}

#[test]
fn a_yes_lets_a_browser_be_measured_and_a_message_counts_once() {
    for engine in ENGINES {
        let house = House::over(engine);
        let answer = house.consent(browser("b"), "measuring", ConsentStatus::Given);
        let device = answer.profile.expect("a yes makes a device profile");
        assert!(matches!(house.take(house.page("b", "m1")), Outcome::Kept { profile, .. } if profile == device));
        assert_eq!(house.take(house.page("b", "m1")), Outcome::Repeated);
        house.clock.advance_days(7);
        assert!(matches!(house.take(house.page("b", "m1")), Outcome::Kept { .. }), "a week later it is forgotten");
        let mut narrowed = house.page("b", "m2");
        narrowed.consent.insert(purpose("measuring"), false);
        assert!(matches!(house.take(narrowed), Outcome::Refused { reason: OutcomeReason::NoPurpose, .. }));
    }
}

#[test]
fn a_browsers_own_yes_counts_for_one_event_and_never_against_a_no() {
    let house = House::memory();
    let mut page = house.page("b", "m1");
    page.consent.insert(purpose("measuring"), true);
    assert!(matches!(house.take(page), Outcome::Kept { .. }));
    assert!(matches!(house.take(house.page("b", "m2")), Outcome::Refused { .. }), "it opens nothing beyond itself");
    house.consent(browser("b"), "measuring", ConsentStatus::Refused);
    let mut again = house.page("b", "m3");
    again.consent.insert(purpose("measuring"), true);
    assert!(matches!(house.take(again), Outcome::Refused { reason: OutcomeReason::NoPurpose, .. }));
}

#[test]
fn a_history_met_again_unites_lines_by_row_in_either_order_and_twice() {
    for engine in ENGINES {
        let house = House::over(engine);
        let at = house.now().plus_days(-30);
        let line = |row: u64| {
            let mut order = house.order("ada", at, "536365");
            order.lines[0].row = row;
            order.lines.remove(0)
        };
        let with = |rows: &[u64]| {
            let mut order = house.order("ada", at, "536365");
            order.lines = rows.iter().map(|row| line(*row)).collect();
            let micros = 12_500_000 * i64::try_from(rows.len()).unwrap();
            order.properties.insert("total".into(), money(micros));
            order
        };
        assert!(matches!(house.take(with(&[1, 2])), Outcome::Kept { .. }));
        assert_eq!(house.take(with(&[1, 2])), Outcome::Repeated);
        assert_eq!(house.take(with(&[2])), Outcome::Repeated, "fewer lines tell nothing new");
        assert!(matches!(house.take(with(&[2, 3])), Outcome::Kept { .. }));
        let house = house.reopened();
        let person = house.find("ada").unwrap();
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.portal()).unwrap();
        let events = permit.events(&event("Order Completed"), 10).unwrap();
        assert_eq!(events.len(), 1);
        let order = &events[0].reveal().event;
        assert_eq!(order.lines.iter().map(|line| line.row).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(order.properties["total"] == money(37_500_000), "the total is still the sum of the lines");
        let spent = permit.fact(&computed("spent_all")).unwrap().unwrap();
        assert!(spent.reveal().value == money(37_500_000), "the earlier form was folded out again");
        let orders = permit.fact(&computed("orders_all")).unwrap().unwrap();
        assert!(orders.reveal().value == Value::Number(1));
    }
}

fn money(micros: i64) -> Value {
    Value::Money(model::Money { micros, currency: model::Currency::GBP })
}

#[test]
fn what_has_outlived_itself_is_not_taken_and_not_read() {
    let house = House::memory();
    let kept_days = house.promise.events[&event("Order Completed")].retention.keep_days;
    let old = house.order("ada", house.now().plus_days(-kept_days), "old");
    assert_eq!(house.take(old), Outcome::Refused { reason: OutcomeReason::Expired, line: None });
    let person = house.customer("ada", 1, kept_days - 2);
    let read = |house: &House| {
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.portal()).unwrap();
        let n_events = permit.all_events(10).unwrap().len();
        let orders = permit.fact(&computed("orders_all")).unwrap();
        (n_events, orders.map(|fact| fact.reveal().value == Value::Number(1)))
    };
    assert_eq!(read(&house), (1, Some(true)));
    house.clock.set(house.now().day().plus(2).start());
    assert_eq!(read(&house).0, 0, "true at read time, sweeper or not");
    assert_ne!(read(&house).1, Some(true));
    let swept = house.vault.sweep().unwrap().wait().unwrap();
    assert!(swept.n_records > 0 && swept.n_day_secrets > 0, "{swept:?}");
    assert_eq!(house.vault.sweep().unwrap().wait().unwrap().n_records, 0, "twice is once");
}

#[test]
fn a_clock_of_the_last_order_moves_with_each_order() {
    let house = House::memory();
    let person = house.customer("ada", 1, 700);
    let read = |house: &House| {
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.portal()).unwrap();
        permit.fact(&field("email")).unwrap().is_some()
    };
    house.clock.advance_days(20);
    house.take(house.order("ada", house.now(), "new"));
    house.clock.advance_days(700);
    assert!(read(&house));
    house.clock.advance_days(31);
    assert!(!read(&house));
}

#[test]
fn a_class_that_nobody_may_read_any_more_is_dropped_a_week_after_the_last_yes_was_taken_back() {
    let house = House::memory();
    let person = house.consent(browser("b"), "measuring", ConsentStatus::Given).profile.unwrap();
    house.take(house.page("b", "m1"));
    house.consent(Subject::Profile(person), "measuring", ConsentStatus::Withdrawn);
    let n_events = |house: &House| {
        house.vault.sweep().unwrap().wait().unwrap();
        let snapshot = house.vault.snapshot();
        snapshot.permit(person, house.portal()).unwrap().all_events(10).unwrap().len()
    };
    house.clock.advance_days(6);
    assert_eq!(n_events(&house), 1, "a week to change one's mind");
    house.clock.advance_days(1);
    assert_eq!(n_events(&house), 0);
    let ada = house.customer("ada", 1, 10);
    house.consent(Subject::Profile(ada), "offers", ConsentStatus::Withdrawn);
    house.clock.advance_days(30);
    n_events(&house);
    let snapshot = house.vault.snapshot();
    let orders = snapshot.permit(ada, house.portal()).unwrap().all_events(10).unwrap().len();
    assert_eq!(orders, 1, "never while another purpose in force needs it");
}

#[test]
fn other_traits_than_the_buckets_were_made_for_are_folded_from_the_events() {
    let house = House::over(vault::EngineKind::Redb);
    let person = house.customer("ada", 3, 100);
    let without =
        promise::fixture::SHOP.replace("count('Order Completed', days(90))", "count('Order Completed', days(60))");
    let house = house.reopened_with(&without);
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.portal()).unwrap();
    let orders = permit.fact(&computed("orders_all")).unwrap().unwrap();
    assert!(orders.reveal().value == Value::Number(3), "folded once, not twice");
}

#[test]
fn undeclared_unknown_and_nobody_have_names() {
    let house = House::memory();
    let mut unknown = house.page("b", "m");
    unknown.name = event("Something Else");
    assert_eq!(house.take(unknown), Outcome::Refused { reason: OutcomeReason::UndeclaredEvent, line: None });
    let mut nobody = house.page("b", "m");
    nobody.subject = Subject::Identifiers { user: None, anonymous: None };
    assert_eq!(house.take(nobody), Outcome::Refused { reason: OutcomeReason::NoSubject, line: None });
    let mut browser_order = house.order("ada", house.now(), "x");
    browser_order.trust = model::Trust::Browser;
    browser_order.message_key = MessageKey::Wire("x".into());
    let refused = house.take(browser_order);
    assert!(
        matches!(refused, Outcome::Refused { reason: OutcomeReason::NoPurpose, .. }),
        "a browser makes no contract"
    );
    assert_eq!(house.vault.snapshot().find(&user("ada")), None);
}

#[test]
fn a_fact_outside_the_terms_is_refused_and_a_missing_one_is_missing() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.campaign()).unwrap();
    let refused = permit.fact(&computed("days_since_order")).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::NotInTerms);
    assert!(permit.fact(&field("favourite_group")).unwrap().is_none());
    assert_eq!(permit.events(&event("Order Completed"), 1).unwrap_err().reason, RefusalReason::NotInTerms);
    assert!(permit.ledger().is_err() && permit.uses().is_err() && permit.decisions(1).is_err());
    assert!(At::parse("2026-11-23T12:00:00Z").is_some_and(|at| at == snapshot.now()));
}

#[test]
fn d03_a_changed_retention_closes_nothing_and_destroys_nothing_before_its_day() {
    let house = House::over(vault::EngineKind::Redb);
    let person = house.customer("ada", 3, 100);
    let read = |house: &House| {
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.portal()).unwrap();
        let orders = permit.fact(&computed("orders_all")).unwrap().map(|fact| fact.reveal().value.clone());
        (permit.all_events(10).unwrap().len(), orders == Some(Value::Number(3)))
    };
    assert_eq!(read(&house), (3, true));
    let longer = promise::fixture::SHOP.replace("keep = \"36 months\"", "keep = \"35 months\"");
    let house = house.reopened_with(&longer);
    house.vault.sweep().unwrap().wait().unwrap();
    assert_eq!(read(&house), (3, true), "it goes on");
    let house = house.reopened_with(promise::fixture::SHOP);
    house.vault.sweep().unwrap().wait().unwrap();
    assert_eq!(read(&house), (3, true), "and under the old words again");
}

#[test]
fn an_event_that_is_not_for_a_purpose_is_in_no_trait_and_no_fact_of_it() {
    let house = House::memory();
    let person = house.customer("ada", 2, 100);
    let mut order = house.order("ada", house.now().plus_days(-90), "ada-9");
    order.consent.insert(purpose("offers"), false);
    order.fields = vec![(model::FieldName::parse("email").unwrap(), Value::Text("new@shop.example".into()))];
    assert!(matches!(house.take(order), Outcome::Kept { .. }), "it is an order all the same");
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.campaign()).unwrap();
    let orders = permit.fact(&computed("orders_all")).unwrap().expect("two others");
    assert!(orders.reveal().value == Value::Number(2));
    assert_eq!(permit.fact(&field("email")).unwrap_err().reason, RefusalReason::OtherPurpose);
    let portal = snapshot.permit(person, house.portal()).unwrap();
    assert_eq!(portal.all_events(10).unwrap().len(), 3, "the person sees it");
    assert_eq!(portal.fact(&field("email")).unwrap().unwrap().reveal().purposes, [purpose("orders")]);
}

#[test]
fn what_ended_with_the_last_order_does_not_come_back_with_the_next() {
    let house = House::memory();
    let person = house.customer("ada", 1, 10);
    house.clock.advance_days(730);
    let mut order = house.order("ada", house.now(), "later");
    order.fields.clear();
    assert!(matches!(house.take(order), Outcome::Kept { .. }));
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.portal()).unwrap();
    assert!(permit.fact(&field("email")).unwrap().is_none(), "no sweep has run");
}
