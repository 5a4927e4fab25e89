//! Rows that were taken away, put back or changed are missed, whatever history made them.

use super::*;
use crate::engine::Op;
use crate::record::{ConsentChange, Erasure, Identifier, IdentifierKind, Intake, MessageKey, Subject};
use crate::{Household, NoProjection, Vault};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{
    At, ConsentStatus, EventKind, EventName, FieldName, Method, PurposeName, Rng, SourceName, Trust, Value, Words,
};
use proptest::prelude::*;
use std::sync::Arc;

struct Kept {
    vault: Vault,
    clock: Arc<ManualClock>,
}

impl Kept {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap()));
        let household = Household {
            promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
            clock: Arc::clone(&clock) as Arc<dyn model::Clock>,
            rng: Arc::new(Seeded::new(7)),
            projection: Arc::new(NoProjection),
        };
        Self { vault: Vault::in_memory(household).unwrap(), clock }
    }

    fn house(&self) -> &House {
        &self.vault.inner.house
    }

    fn subject(who: u8) -> Subject {
        let value = format!("u{}", who % 5);
        Subject::Identifiers { user: Some(Identifier { kind: IdentifierKind::User, value }), anonymous: None }
    }

    fn order(&self, who: u8, message: u8) {
        let email = (FieldName::parse("email").unwrap(), Value::Text(format!("u{}@people.example", who % 5)));
        let intake = Intake {
            subject: Self::subject(who),
            kind: EventKind::Track,
            name: EventName::parse("Order Completed").unwrap(),
            source: SourceName::parse("shop").unwrap(),
            trust: Trust::Server,
            occurred_at: self.vault.now(),
            source_day: None,
            properties: BTreeMap::new(),
            lines: Vec::new(),
            fields: vec![email],
            told_version: Some(1),
            consent: BTreeMap::new(),
            message_key: MessageKey::Wire(format!("{message}")),
        };
        self.vault.take(vec![intake]).unwrap().wait().unwrap();
    }

    fn answer(&self, who: u8, status: ConsentStatus) {
        let change = ConsentChange {
            subject: Self::subject(who),
            source: None,
            purpose: PurposeName::parse("offers").unwrap(),
            status,
            level: None,
            words: Words { text: "Offers?".into(), language: "en".into(), answered_at: self.vault.now() },
            method: Method::Portal,
            notice_version: 1,
            made_up: false,
        };
        self.vault.consent(change).unwrap().wait().unwrap();
    }

    fn erase(&self, who: u8, how: Erasure) {
        let people = self.house().people();
        if let Some(id) = people.get(usize::from(who) % people.len().max(1)) {
            self.vault.erase(*id, how).unwrap().wait().unwrap();
        }
    }

    fn act(&self, act: u8, who: u8, what: u8) {
        match act % 8 {
            0..=2 => self.order(who, what),
            3 => self.answer(who, ConsentStatus::Given),
            4 => self.answer(who, ConsentStatus::Withdrawn),
            5 => self.erase(who, if what.is_multiple_of(2) { Erasure::Now } else { Erasure::WithinADay }),
            6 => self.clock.set(self.vault.now().plus_days(i32::from(what))),
            _ => drop(self.vault.sweep().unwrap().wait().unwrap()),
        }
    }

    /// What is not as it was counted.
    fn missed(&self) -> Vec<String> {
        // An urgent command is written by the batch after it.
        self.vault.put_house_record("settled", None).unwrap().wait().unwrap();
        let (house, store) = (self.house(), Arc::clone(&self.house().generation().store));
        let of_house = of_house(house, &*store, house.generation().batch).unwrap();
        let mut missed: Vec<String> = of_house.into_iter().map(|(keyspace, ..)| keyspace.name().to_owned()).collect();
        for id in house.people() {
            let Ok(Some(open)) = crate::person::Open::load(house, &*store, &id) else {
                missed.push("unreadable".to_owned());
                continue;
            };
            let found = of_person(house, &*store, &id).unwrap();
            if open.core.tally.clone().unwrap_or(Tallies::default().to_person()) != found {
                missed.push("person".to_owned());
            }
        }
        missed
    }

    /// Writes past the committer.
    fn put(&self, ops: Vec<Op>) {
        self.house().engine.commit(ops).unwrap();
        let store = self.house().engine.snapshot();
        self.house().publish(|generation| generation.store = store);
    }

    fn rows(&self) -> Vec<(Keyspace, Vec<u8>, Vec<u8>)> {
        let store = Arc::clone(&self.house().generation().store);
        let all = Keyspace::ALL.into_iter().filter(|keyspace| *keyspace != Keyspace::Keys);
        let rows = all.flat_map(|keyspace| {
            let rows: Vec<_> = store.scan(keyspace, &[]).map(Result::unwrap).collect();
            rows.into_iter().map(move |(key, value)| (keyspace, key, value))
        });
        rows.filter(|(keyspace, key, _)| is_of_house(*keyspace, key) || person_of(*keyspace, key).is_some()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_happens_every_row_is_counted(acts in prop::collection::vec(any::<(u8, u8, u8)>(), 1..40)) {
        let kept = Kept::new();
        for (act, who, what) in acts {
            kept.act(act, who, what % 60);
        }
        prop_assert_eq!(kept.missed(), Vec::<String>::new());
    }
}

fn filled() -> Kept {
    let kept = Kept::new();
    for n in 0..20 {
        kept.order(n, n);
        kept.answer(n, if n % 3 == 0 { ConsentStatus::Withdrawn } else { ConsentStatus::Given });
    }
    kept.erase(4, Erasure::Now);
    assert!(kept.missed().is_empty());
    kept
}

#[test]
fn a_row_that_was_taken_away_is_missed() {
    let kept = filled();
    for (keyspace, key, value) in kept.rows() {
        kept.put(vec![Op::Delete(keyspace, key.clone())]);
        assert!(!kept.missed().is_empty(), "{} {key:?}", keyspace.name());
        kept.put(vec![Op::Put(keyspace, key, value)]);
    }
    assert!(kept.missed().is_empty(), "control: all put back");
}

#[test]
fn a_row_that_was_put_back_as_it_was_earlier_is_missed() {
    let kept = filled();
    let before = kept.rows();
    for n in 0..20 {
        kept.order(n, 100 + n);
        kept.answer(n, if n % 3 == 0 { ConsentStatus::Given } else { ConsentStatus::Withdrawn });
    }
    assert!(kept.missed().is_empty());
    let store = Arc::clone(&kept.house().generation().store);
    let mut n_changed = 0;
    for (keyspace, key, earlier) in before {
        let now = store.get(keyspace, &key).unwrap();
        if now.as_ref() != Some(&earlier) {
            n_changed += 1;
            kept.put(vec![Op::Put(keyspace, key.clone(), earlier)]);
            assert!(!kept.missed().is_empty(), "{} {key:?}", keyspace.name());
            kept.put(vec![now.map_or(Op::Delete(keyspace, key.clone()), |now| Op::Put(keyspace, key.clone(), now))]);
        }
    }
    assert!(n_changed > 3 && kept.missed().is_empty(), "control: {n_changed} changed, all put back");
}

#[test]
fn a_tally_of_another_batch_is_refused() {
    let kept = filled();
    let (house, store) = (kept.house(), Arc::clone(&kept.house().generation().store));
    let batch = house.generation().batch;
    assert!(HouseTally::open(house, &*store, batch).is_ok());
    assert!(HouseTally::open(house, &*store, batch + 1).is_err());
    kept.put(vec![Op::Delete(Keyspace::House, House::TALLY.to_vec())]);
    let store = Arc::clone(&kept.house().generation().store);
    assert!(HouseTally::open(house, &*store, batch).is_err());
}

#[test]
fn marks_of_different_rows_differ() {
    let marker = Marker::new(crate::key::Secret::generate(&Seeded::new(3)));
    let mut seen = std::collections::BTreeSet::new();
    let rng: &dyn Rng = &Seeded::new(4);
    for _ in 0..100 {
        let bytes: [u8; 24] = rng.bytes();
        for cut in [4, 8, 16] {
            let (key, value) = bytes.split_at(cut);
            assert!(seen.insert(marker.mark(Keyspace::Events, key, value)));
            assert!(seen.insert(marker.mark(Keyspace::Ledger, key, value)));
        }
    }
}
