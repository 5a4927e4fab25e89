//! The rest of the house: catalogue, records, keys, reviews, staff, and the log.

use crate::fixture::{ENGINES, House, computed, event};
use model::{Class, Currency, FactName, ItemCode, LineItem, Money, Provenance, RankedItem, SourceName, Value};
use promise::{ArtefactKind, RefusalReason};
use vault::{AnonymousSale, FactWrite, Household, Item, NoProjection, Outcome, StaffAct, Vault, VaultError};

fn ranking(house: &House, person: model::ProfileId) -> FactWrite {
    let item = ItemCode::parse("22423").unwrap();
    let ranked = RankedItem { item, because: ItemCode::parse("85123A"), score_micros: 900_000 };
    let fact = model::Fact {
        name: computed("candidates"),
        value: Value::Ranking(vec![ranked]),
        class: Class::Never,
        context: model::Context::Work,
        provenance: Provenance::Inferred { ancestors: vec!["Order Completed".into()] },
        as_of: house.now(),
        told_at: Some(house.now()),
        told_how: model::Awareness::InNotice,
        purposes: Vec::new(),
        notice_version: 1,
        expires_at: house.now(),
    };
    let artefact = house.artefact(ArtefactKind::Model, "items");
    let inputs_expire_at = Some(house.now().plus_days(5));
    FactWrite { person, artefact, fact: Some(fact), remove: None, inputs_expire_at }
}

#[test]
fn b01_class_context_purposes_and_life_come_from_the_promise_never_from_the_writer() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    let asked_at = house.now();
    house.clock.advance_days(1);
    house.vault.write_facts(vec![ranking(&house, person)]).unwrap().wait().unwrap()[0].clone().unwrap();
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.campaign()).unwrap();
    let fact = permit.fact(&computed("candidates")).unwrap().unwrap();
    let fact = fact.reveal();
    assert!(fact.told_at.is_some_and(|told_at| told_at <= asked_at), "told when asked, not when worked out");
    assert_eq!((fact.class, fact.context), (Class::Plain, model::Context::Shopping));
    assert_eq!(fact.purposes, house.promise.candidates.as_ref().unwrap().purposes);
    assert_eq!(fact.expires_at, house.now().plus_days(5), "no longer than its earliest input");
    house.clock.advance_days(5);
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.campaign()).unwrap();
    assert!(permit.fact(&computed("candidates")).unwrap().is_none());
}

#[test]
fn b01_a_fact_that_names_no_declared_field_or_no_purpose_in_force_cannot_be_written() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    let write = |change: &dyn Fn(&mut FactWrite)| {
        let mut write = ranking(&house, person);
        change(&mut write);
        house.vault.write_facts(vec![write]).unwrap().wait().unwrap()[0].clone().unwrap_err().reason
    };
    let guessed =
        write(&|write| write.fact.as_mut().unwrap().provenance = Provenance::Derived { ancestors: Vec::new() });
    assert_eq!(guessed, RefusalReason::NotInTerms, "candidates are guesses, and say so");
    let undeclared = write(&|write| write.fact.as_mut().unwrap().name = computed("mood"));
    assert_eq!(undeclared, RefusalReason::NotInTerms);
    let by_campaign = write(&|write| write.artefact = house.campaign());
    assert_eq!(by_campaign, RefusalReason::NotInTerms);
    house.consent(vault::Subject::Profile(person), "offers", model::ConsentStatus::Withdrawn);
    assert_eq!(write(&|_| {}), RefusalReason::Withdrawn);
    let on_their_own_page = write(&|write| {
        write.artefact = house.portal();
        let fact = write.fact.as_mut().unwrap();
        fact.name = crate::fixture::field("favourite_group");
        fact.value = Value::Text("garden".into());
        fact.provenance = Provenance::Provided { source: SourceName::parse("portal").unwrap() };
    });
    assert_eq!(on_their_own_page, RefusalReason::Withdrawn, "whoever writes it");
}

#[test]
fn a26_a_stated_taste_is_kept_from_the_portal_and_can_be_taken_away() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    let name = crate::fixture::field("favourite_group");
    let state = |text: Option<&str>| {
        let mut write = ranking(&house, person);
        write.artefact = house.portal();
        write.inputs_expire_at = None;
        write.remove = text.is_none().then(|| name.clone());
        write.fact = text.map(|text| model::Fact {
            name: name.clone(),
            value: Value::Text(text.into()),
            provenance: Provenance::Provided { source: SourceName::parse("shop").unwrap() },
            ..write.fact.take().unwrap()
        });
        house.vault.write_facts(vec![write]).unwrap().wait().unwrap()[0].clone()
    };
    state(Some("garden")).unwrap();
    assert_eq!(state(Some("guns")).unwrap_err().reason, RefusalReason::NotInTerms, "not on the declared list");
    let read = || {
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.campaign()).unwrap();
        permit.fact(&name).unwrap().map(|fact| fact.reveal().value == Value::Text("garden".into()))
    };
    assert_eq!(read(), Some(true));
    state(None).unwrap();
    assert_eq!(read(), None);
    assert!(matches!(name, FactName::Field(_)));
}

#[test]
fn catalogue_records_sales_of_nobody_and_keys_survive() {
    for engine in ENGINES {
        let house = House::over(engine);
        let item = Item {
            code: ItemCode::parse("85123A").unwrap(),
            title: "White hanging heart".into(),
            group: "garden".into(),
            class: Class::Plain,
            price: Money::parse("2.55", Currency::GBP),
        };
        house.vault.put_items(vec![item.clone()]).unwrap().wait().unwrap();
        house.vault.put_house_record("campaign/win_back", Some(b"{}".to_vec())).unwrap().wait().unwrap();
        house.vault.put_house_record("campaign/gone", Some(b"{}".to_vec())).unwrap().wait().unwrap();
        house.vault.put_house_record("campaign/gone", None).unwrap().wait().unwrap();
        let price = Money::parse("2.55", Currency::GBP).unwrap();
        let sale = AnonymousSale {
            row: 7,
            invoice: [3; 16],
            occurred_at: house.now().plus_days(-3),
            line: LineItem { row: 7, item: item.code.clone(), quantity: 2, price },
            event: event("Order Completed"),
        };
        let outcomes = house.vault.put_anonymous_sales(vec![sale.clone(), sale]).unwrap().wait().unwrap();
        assert!(matches!(outcomes[..], [Outcome::Kept { .. }, Outcome::Repeated]));
        let web = SourceName::parse("web").unwrap();
        let key = |rotate| house.vault.issue_source_key(&web, rotate).unwrap().wait().unwrap();
        let keys = [key(false), key(true), key(true)];
        assert!(keys.iter().all(|key| key.starts_with("fl_pub_")));
        let house = house.reopened();
        let valid: Vec<bool> = keys.iter().map(|key| house.vault.source_of_key(key) == Some(web.clone())).collect();
        assert_eq!(valid, [false, true, true], "two are valid during the overlap");
        let snapshot = house.vault.snapshot();
        assert_eq!(snapshot.item(&item.code), Some(item.clone()));
        assert_eq!(snapshot.items().unwrap(), [item]);
        assert_eq!(snapshot.house_records("campaign/", 9).unwrap(), [("campaign/win_back".to_owned(), b"{}".to_vec())]);
        let sales = snapshot.anonymous_sales().unwrap();
        assert_eq!((sales.n_lines, sales.micros), (1, 5_100_000));
    }
}

#[test]
fn an_artefact_without_a_review_opens_nothing() {
    let promise = std::sync::Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let options = vault::Options {
        data: folder.path().join("data"),
        engine: vault::EngineKind::Fjall,
        root: folder.path().join("root").into(),
        queue_max: 10,
        witness: None,
    };
    let household = Household {
        promise: promise.clone(),
        clock: std::sync::Arc::new(model::time::ManualClock::new(model::At::from_ms(1_790_000_000_000))),
        rng: std::sync::Arc::new(model::chance::Seeded::new(3)),
        projection: std::sync::Arc::new(NoProjection),
    };
    Vault::create(&options, &household).unwrap();
    let vault = Vault::open(&options, household.clone()).unwrap();
    let campaign = promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().id;
    assert_eq!(vault.snapshot().permit_set(campaign).unwrap_err().reason, RefusalReason::NotReviewed);
    assert!(matches!(Vault::open(&options, household), Err(VaultError::Locked { .. })), "one process holds a folder");
}

#[test]
fn staff_who_open_a_person_are_named_to_that_person_and_the_log_names_nobody() {
    let house = House::memory();
    let person = house.customer("ada", 1, 10);
    let act = StaffAct {
        staff: "Grace".into(),
        act: "opened_person",
        person: Some(person),
        reason: "asked by phone".into(),
        at: house.now(),
    };
    house.vault.staff_act(act).unwrap().wait().unwrap();
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.portal()).unwrap();
    let reads = permit.staff_reads().unwrap();
    assert_eq!((reads[0].reveal().staff.as_str(), reads[0].reveal().reason.as_str()), ("Grace", "asked by phone"));
    let entries = snapshot.log_entries(100).unwrap();
    assert_eq!(entries[0].kind, "staff");
    assert!(entries.iter().any(|entry| entry.kind == "consent") && entries.iter().any(|entry| entry.kind == "review"));
    assert!(entries.windows(2).all(|two| two[0].batch >= two[1].batch), "newest first");
}

#[test]
fn whoever_was_touched_is_followed_once_and_in_order() {
    for engine in ENGINES {
        let house = House::over(engine);
        let (ada, bob) = (house.customer("ada", 1, 10), house.customer("bob", 1, 10));
        let (people, cursor) = house.vault.snapshot().touched_since(0, 10).unwrap();
        assert_eq!(people, [ada, bob]);
        assert_eq!(house.vault.snapshot().touched_since(cursor, 10).unwrap(), (Vec::new(), cursor));
        house.take(house.order("ada", house.now(), "again"));
        let house = house.reopened();
        let (people, _) = house.vault.snapshot().touched_since(cursor, 10).unwrap();
        assert_eq!(people, [ada]);
        let (first, cursor) = house.vault.snapshot().touched_since(0, 1).unwrap();
        assert_eq!(first, [bob]);
        assert_eq!(house.vault.snapshot().touched_since(cursor, 1).unwrap().0, [ada]);
    }
}
