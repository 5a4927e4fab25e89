//! What lies under one person's keys opens with those keys and no other's.

use super::*;
use crate::commit::erase::OWN;
use crate::record::{ConsentChange, Identifier, IdentifierKind, Intake, MessageKey, Outcome, Subject};
use crate::{Household, NoProjection, Vault};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{ConsentStatus, EventKind, EventName, FieldName, Method, SourceName, Value, Words};
use std::sync::Arc;

fn vault() -> Vault {
    let household = Household {
        promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
        clock: Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap())),
        rng: Arc::new(Seeded::new(5)),
        projection: Arc::new(NoProjection),
    };
    Vault::in_memory(household).unwrap()
}

fn customer(vault: &Vault, name: &str) -> ProfileId {
    let user = Identifier { kind: IdentifierKind::User, value: name.into() };
    let subject = Subject::Identifiers { user: Some(user), anonymous: None };
    let order = Intake {
        subject: subject.clone(),
        kind: EventKind::Track,
        name: EventName::parse("Order Completed").unwrap(),
        source: SourceName::parse("shop").unwrap(),
        trust: Trust::Server,
        occurred_at: vault.now(),
        source_day: None,
        properties: BTreeMap::new(),
        lines: Vec::new(),
        fields: vec![(FieldName::parse("email").unwrap(), Value::Text(format!("{name}@shop.example")))],
        told_version: Some(1),
        consent: BTreeMap::new(),
        message_key: MessageKey::Wire(name.into()),
    };
    let outcome = vault.take(vec![order]).unwrap().wait().unwrap()[0];
    let Outcome::Kept { profile, .. } = outcome else { panic!("{outcome:?}") };
    let yes = ConsentChange {
        subject,
        source: None,
        purpose: PurposeName::parse("offers").unwrap(),
        status: ConsentStatus::Given,
        level: None,
        words: Words { text: "Offers?".into(), language: "en".into(), answered_at: vault.now() },
        method: Method::Portal,
        notice_version: 1,
        made_up: false,
    };
    vault.consent(yes).unwrap().wait().unwrap();
    profile
}

/// How many of a person's rows open under the keys in some key row, and how many there are.
fn opened(vault: &Vault, whose: &ProfileId, keys_of: &ProfileId) -> (usize, usize) {
    let (house, store) = (&*vault.inner.house, Arc::clone(&vault.inner.house.generation().store));
    let row = store.get(Keyspace::Keys, keys_of.as_bytes()).unwrap().unwrap();
    let keys = || house.unwrap_person(keys_of, &row).unwrap();
    // Not one that is being made: its records lie in the store.
    let mut open = Open { is_new: false, ..Open::new(*whose, keys(), CoreForm::default()) };
    let (mut n_opened, mut n_rows) = (0, 0);
    for keyspace in OWN {
        for row in store.scan(keyspace, whose.as_bytes()) {
            let (key, row) = row.unwrap();
            n_rows += 1;
            let opens = match keyspace {
                Keyspace::Events => matches!(open.open_event(house, &key, &row), Ok(Some(_))),
                Keyspace::Ledger => open.open_ledger(house, &key, &row).is_ok(),
                _ if tail(&key) == CORE.0 => Open::load_under(house, &*store, whose, keys()).is_ok(),
                _ => {
                    let class = RetentionId(tail(&key).try_into().unwrap());
                    open.class(house, &*store, class).is_ok_and(|record| !record.is_empty())
                }
            };
            n_opened += usize::from(opens);
        }
    }
    (n_opened, n_rows)
}

#[test]
fn d14_with_another_persons_keys_nothing_of_a_person_opens() {
    let vault = vault();
    let people: Vec<ProfileId> = (0..6).map(|n| customer(&vault, &format!("customer-{n}"))).collect();
    let store = Arc::clone(&vault.inner.house.generation().store);
    for whose in &people {
        for keys_of in &people {
            let (n_opened, n_rows) = opened(&vault, whose, keys_of);
            assert!(n_rows >= 4, "core, facts, an event, an answer: {n_rows}");
            let expected = if whose == keys_of { n_rows } else { 0 };
            assert_eq!(n_opened, expected, "control: with one's own keys all of it opens");
            // Nor does a wrapped key pass for somebody else's.
            let row = store.get(Keyspace::Keys, keys_of.as_bytes()).unwrap().unwrap();
            assert_eq!(vault.inner.house.unwrap_person(whose, &row).is_ok(), whose == keys_of);
        }
    }
}
